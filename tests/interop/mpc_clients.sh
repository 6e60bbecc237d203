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

# participant NAME: its address is put into the file NAME.at
participant() {
    "${COUNTERSIGN_BIN:-$TOP/build/bin}/signctl" participant serve --env "$RUN/run/endpoints.env" --listen tcp:127.0.0.1:0 2>"$RUN/$1.log" &
    participants="$participants $!"
    local i address=
    for ((i = 0; i < 400; i++)); do
        address=$(jq -r 'select(.event == "ready") | .endpoint' "$RUN/$1.log" 2>/dev/null)
        [ -z "$address" ] || break
        sleep 0.05
    done
    echo "${address#tcp:}" >"$RUN/$1.at"
}

round() {
    participants=
    participant python
    participant node
    ROUND=$1 PARTICIPANT=$(cat "$RUN/python.at") timeout 120 "$python" "$TOP/tests/interop/mpc_client.py" &
    local client=$!
    ROUND=$1 PARTICIPANT=$(cat "$RUN/node.at") timeout 120 "$(node_peer)" "$TOP/tests/interop/mpc_client.mjs" || failed=1
    wait $client || failed=1
    # shellcheck disable=SC2086 # a list of processes
    kill $participants
    # shellcheck disable=SC2086
    wait $participants || { echo "not ok round-$1/participants-end"; failed=1; }
}

round 1
case_ restart-of-everything restack
round 2
[ $failed = 0 ] || tail -n 15 "$RUN"/*.log "$RUN"/run/gateway.log
exit $failed
