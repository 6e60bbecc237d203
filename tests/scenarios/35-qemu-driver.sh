#!/bin/bash
# Goal of this test: driver qemu of sign-host, without QEMU: whatever goes wrong in QEMU or vhost-device-vsock has its code and cause,
# and leaves no process and no socket. Stand-ins play both (qemu_standin.py); the real ones: make boot-test-qemu.
set -u
# shellcheck source=tests/scenarios/lib.sh
. "$(dirname "$0")/lib.sh"

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$RUN/bin" "$RUN/q"
ln -s "$here/parts/qemu_standin.py" "$RUN/bin/vhost-device-vsock"
ln -s "$here/parts/qemu_standin.py" "$RUN/bin/qemu-system-x86_64"
PATH=$RUN/bin:$PATH
printf 'enclave: {parentCid: 2}\nkms: {region: us-east-1, keyArn: "arn:aws:kms:us-east-1:111122223333:key/0"}\n' >"$RUN/a.yaml"
"$BIN/signctl" config compile "$RUN/a.yaml" -o "$RUN/a.cbor" || die "config compile failed"
"$here/parts/mk_eif.py" "$RUN/a.cbor" "$RUN/a.eif" 0 || die "no image"

# run MODE [OPTION...]: in the foreground; exit status of sign-host
run() {
    local mode=$1
    shift
    rm -f "$RUN/q/qemu-16.up"
    PATH=${FIND_IN:-$PATH} QEMU_STANDIN=$mode "$BIN/sign-host" run --driver qemu --eif "$RUN/a.eif" --dir "$RUN/q" --console-log "$RUN/q.log" --egress none \
        --kms-proxy-enable 0 --listen tcp:127.0.0.1:0 --no-preload --start-seconds "${START:-20}" --drain-seconds 0 "$@" >"$RUN/q.out" 2>"$RUN/q.err" </dev/null
}
# shellcheck disable=SC2016 # expanded by the inner shell
left_nothing() { wait_until 5 bash -c '! pgrep -f "$0/qemu-" >/dev/null' "$RUN/q" && [ -z "$(find "$RUN/q" -type s -o -type l -o -name run.json)" ] && [ ! -d "$RUN/q/qemu-16" ]; }
# refused MODE CODE TEXT: exit status 1 with that code and cause
refused() {
    run "$1"
    [ $? = 1 ] && grep -q "^sign-host: $2: .*$3" "$RUN/q.err" && grep -q '^fix: ' "$RUN/q.err" && left_nothing
}
without() { FIND_IN=$RUN/none refused '' QEMU 'vhost-device-vsock is not there'; }
no_qemu() { run '' --qemu "$RUN/none"; [ $? = 1 ] && grep -q "^sign-host: QEMU: .*$RUN/none is not there" "$RUN/q.err" && left_nothing; }
no_debug() { run '' --debug-mode; [ $? = 2 ] && grep -q -- '--debug-mode' "$RUN/q.err" && left_nothing; }
start_bg() {
    (run "$@") 2>/dev/null &
    wait_until 10 test -e "$RUN/q/qemu-16.up"
}
# the stand-in has no gRPC: it is started, and answers nothing
stopped() {
    start_bg '' || return 1
    wait_until 5 pgrep -f "$RUN/q/qemu-" && kill -TERM "$(jq .pid "$RUN/q/run.json")" && wait $! && left_nothing
}
killed() {
    start_bg '' || return 1
    kill -KILL "$(jq .pid "$RUN/q/run.json")"
    wait $!
    # shellcheck disable=SC2016
    wait_until 5 bash -c '! pgrep -f "$0/qemu-" >/dev/null' "$RUN/q"
}
what_a_kill_left_is_removed() { [ -e "$RUN/q/qemu-16/vm.vsock" ] && stopped; }
foreign_file_stays() {
    mkdir -p "$RUN/q/qemu-16" && echo mine >"$RUN/q/qemu-16/mine"
    run ''
    [ $? = 1 ] && grep -q '^sign-host: ' "$RUN/q.err" && [ "$(cat "$RUN/q/qemu-16/mine")" = mine ] && rm -r "$RUN/q/qemu-16"
}
console_is_kept() { grep -q 'stand-in boots' "$RUN/q/qemu-16.console"; }

case_ no-daemon without
case_ no-qemu no_qemu
case_ debug-mode-is-refused no_debug
case_ daemon-ends refused daemon-ends QEMU 'vhost-device-vsock ended with status 1: Could not create'
START=2 case_ daemon-without-socket refused no-socket NITRO_BOOT 'sent no heartbeat within'
case_ image-that-qemu-refuses refused bad-image QEMU 'QEMU ended with status 1: qemu-system-x86_64: EIF'
START=2 case_ no-heartbeat refused no-beat NITRO_BOOT 'has sent no heartbeat'
case_ wrong-heartbeat refused wrong-beat NITRO_BOOT 'another byte'
START=2 case_ nobody-listens refused no-listener NITRO_BOOT 'does not listen'
case_ ends-before-it-listens refused qemu-ends ENCLAVE_DIED 'QEMU ended'
case_ ends-after-the-start refused dies ENCLAVE_DIED 'QEMU ended'
case_ console-is-kept console_is_kept
case_ stopped stopped
case_ killed-leaves-no-process killed
case_ what-a-kill-left-is-removed what_a_kill_left_is_removed
case_ foreign-file-stays foreign_file_stays
finish
