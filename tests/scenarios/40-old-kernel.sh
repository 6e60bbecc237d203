#!/bin/bash
# Goal of this test: nothing newer than Linux 4.14 is needed: preload, signatures, restart and reload under a filter that answers later
# system calls with ENOSYS and later values of old ones with EINVAL; the programs that ship start under it too.
# programs: release
set -u
# shellcheck source=tests/scenarios/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck disable=SC2154 # of stack-lib.sh
old=$root/build/release/tests/oldkernel/cs-old-kernel

refuses_what_is_newer() { "$old" --check >"$RUN/check.out" 2>&1 && [ "$(grep -c '^ok' "$RUN/check.out")" = 13 ]; }
pid_of() { pgrep -P "$HOST_PID" -x "${1:0:15}"; }
# every program of the enclave runs under two filters, its own and that of the old kernel
under_it() {
    local p
    for p in sign-core-emulated sign-kms-local sign-service-local; do
        [ "$(sed -n 's/^Seccomp_filters:[[:space:]]*//p' "/proc/$(pid_of $p)/status")" = 2 ] || return 1
    done
}
sign() {
    "$BIN/signctl" sign -s "tcp:$GRPC" --shares "$RUN/shares/client_key_shares.json" --root "$(emu_get nsm_root)" --pcr "0=$PCR0" \
        -a account-1 --json --digest "$(printf '%064d' "$1")" >"$RUN/sign.json" 2>"$RUN/sign.err"
}
restarted() {
    local before
    before=$(pid_of "$1")
    kill -9 "$before" && wait_until 10 other_pid "$1" "$before"
}
other_pid() { local now && now=$(pid_of "$1") && [ -n "$now" ] && [ "$now" != "$2" ]; }
reloaded() { [ "$(pair old "$RUN/age-private.key.enc" "$RUN/shares/service_key_shares.json.age" | code)" = OK ]; }
never_killed() { ! grep -q '"status":31' "$RUN/old.err" "$RUN/old/enclave.log"; }

# as they ship: set up behind inherited descriptors, the filter, then the loop
start_shipped() {
    "$BIN/signctl" config compile "$RUN/image.yaml" -o "$RUN/shipped.cbor" || return 1
    "$old" python3 "$(dirname "$0")/shipped.py" "$BIN" "$RUN/shipped.cbor"
}
# PID 1 of namespaces without /dev/nsm: up to that step, then the halt says so
init_halts() {
    mkdir -p "$RUN/pid1"/{bin,dev,proc,sys,etc/countersign}
    cp "$BIN/sign-init" "$RUN/pid1/bin/"
    cp "$RUN/shipped.cbor" "$RUN/pid1/etc/countersign/config.cbor"
    "$old" unshare --pid --mount --fork --kill-child chroot "$RUN/pid1" /bin/sign-init >"$RUN/pid1.out" 2>&1
    grep -q '"event":"boot_failed","code":"NSM"' "$RUN/pid1.out" && tail -1 "$RUN/pid1.out" | grep -q '"event":"halt","code":"NSM"'
}

case_ "old-kernel-refuses-what-is-newer" refuses_what_is_newer
prepare
# shellcheck disable=SC2034 # of stack-lib.sh
HOST_PREFIX=("$old")
case_ "preload" serve old
case_ "all-programs-are-under-it" under_it
case_ "signature" sign 1
case_ "front-restarts" restarted sign-service-local
case_ "signature-after-that" wait_until 10 sign 2
case_ "kms-channel-restarts" restarted sign-kms-local
case_ "reload" reloaded
case_ "signature-after-the-reload" sign 3
case_ "no-forbidden-call" never_killed
host_down "$RUN/old"
for program in sign-core sign-kms sign-service sign-init; do
    "$old" "$BIN/$program" --selftest-forbidden 165 >/dev/null 2>&1
    case_ "$program-mount-is-forbidden" [ $? = 159 ]
    "$old" "$BIN/$program" --selftest-forbidden 0 >/dev/null 2>&1
    case_ "$program-read-is-allowed" [ $? = 3 ]
done
if python3 -c 'import socket; socket.socket(socket.AF_VSOCK).bind((0xffffffff, 1024))' 2>/dev/null; then
    case_ "programs-as-they-ship-start" start_shipped
else
    echo "skip programs-as-they-ship-start: no AF_VSOCK here (the boot test has it)"
fi
if unshare --pid --mount --fork true 2>/dev/null; then
    case_ "sign-init-starts-and-halts" init_halts
else
    echo "skip sign-init-starts-and-halts: no namespaces for this user (the boot test has them)"
fi
finish
