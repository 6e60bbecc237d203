#!/bin/bash
# The seed system's contract as its callers see it: two clients at once, python3-grpcio and @grpc/grpc-js, each with a participant of
# its own and both using tx_id 1..20, so that two requests meet in every room; then again after a restart of everything. 80
# signatures, each the same from gateway and participant, low s, by the account's key. Stubs from proto/mpc.proto alone.
set -u
# shellcheck source=tests/interop/lib.sh
. "$(dirname "$0")/lib.sh"
python=/usr/bin/python3 # Debian's, which has python3-grpcio
"$python" -c 'import grpc, google.protobuf' 2>/dev/null || { echo "skip mpc_clients (missing python3-grpcio or python3-protobuf)"; exit 77; }
need node
stack
mkdir "$RUN/stubs"
protoc --proto_path="$TOP/proto" --python_out="$RUN/stubs" mpc.proto || exit 1
STUBS=$RUN/stubs
ACCOUNTS=$(jq -r '[.accounts[] | "\(.account_id)=\(.public_key)"] | join(",")' "$RUN/run/shares/keygen.json")
export STUBS ACCOUNTS

round() {
    participant python
    participant node
    ROUND=$1 PARTICIPANT=$(cat "$RUN/python.at") timeout 120 "$python" "$TOP/tests/interop/mpc_client.py" >"$RUN/round-$1.python" 2>&1 &
    local client=$!
    ROUND=$1 PARTICIPANT=$(cat "$RUN/node.at") timeout 120 "$(node_peer)" "$TOP/tests/interop/mpc_client.mjs" >"$RUN/round-$1.node" 2>&1 || failed=1
    wait $client || failed=1
    cat "$RUN/round-$1.python" "$RUN/round-$1.node"
    participants_end || { echo "not ok round-$1/participants-end"; failed=1; }
}

round 1
case_ restart-of-everything restack
round 2
case_ 80-signatures test "$(cat "$RUN"/round-* | grep -c '^ok .*/tx-')" = 80
[ $failed = 0 ] || tail -n 15 "$RUN"/*.log "$RUN"/run/gateway.log
exit $failed
