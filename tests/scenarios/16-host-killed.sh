#!/bin/bash
# Goal of this test: whatever ends sign-host, nothing of it lives on, and its directory can be used again; refusals before the
# start have their codes.
set -u
# shellcheck source=tests/scenarios/lib.sh
. "$(dirname "$0")/lib.sh"

# the process numbers of the enclave's programs and of the injecting child
children() { pgrep -P "$1"; }
gone() {
    local p
    for p in "$@"; do [ ! -e "/proc/$p" ] || return 1; done
}
killed_leaves_no_process() {
    local pid all
    serve killed || return 1
    pid=$(jq .pid "$RUN/killed/run.json")
    mapfile -t all < <(children "$pid")
    [ ${#all[@]} -eq 3 ] || return 1
    kill -9 "$pid" && wait_until 5 gone "$pid" "${all[@]}"
}
# run.json is still there, and names a process number that is nobody's or anybody's
stop_refuses_what_is_not_held() {
    local bystander
    sleep 30 &
    bystander=$!
    sed -i "s/\"pid\":[0-9]*/\"pid\":$bystander/" "$RUN/killed/run.json"
    "$BIN/sign-host" stop --dir "$RUN/killed" 2>/dev/null && return 1
    [ -e "/proc/$bystander" ] && kill "$bystander"
}
used_again() { serve killed && host_down "$RUN/killed"; }
# killed while the injection waits for a pair that never comes: the injecting child must not hold the directory
killed_amid_the_injection() {
    local pid
    host_up "$RUN/amid" "$RUN/image" --order k --keep || return 1
    pid=$(jq .pid "$RUN/amid/run.json")
    kill -9 "$pid" && wait_until 5 gone "$pid" && serve amid && host_down "$RUN/amid"
}
second_run_is_refused() {
    serve twice || return 1
    run_refused "$RUN/twice" | grep -q EXISTS && [ "$(phase twice)" = SERVING ] && host_down "$RUN/twice"
}
run_refused() {
    timeout 20 "$BIN/sign-host" run --driver local --image "$RUN/image" --dir "$1" --nsm-control "$RUN/none" \
        --kms-endpoint tcp:127.0.0.1:1 --imds-endpoint "${2:-$IMDS}" --s3-endpoint "${3:-$IMDS}" \
        --age-key-uri s3://b/a --key-shares-uri s3://b/s 2>&1
}
prepare
case_ "sigkill-leaves-no-process" killed_leaves_no_process
case_ "stop-refuses-a-stale-directory" stop_refuses_what_is_not_held
case_ "stale-directory-is-used-again" used_again
case_ "sigkill-amid-the-injection" killed_amid_the_injection
case_ "second-run-is-refused" second_run_is_refused
case_ "imds-not-there" eval 'run_refused "$RUN/r1" http://127.0.0.1:1 | grep -q "CONNECT\|IMDS"'
finish
