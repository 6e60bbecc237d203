#!/bin/bash
# Goal of this test: sign-init as PID 1 halts in order, with a stable code on its console, whatever is missing or broken in the image. Its
# log stream, heartbeat and security module lie in src/init's unit tests; a real start is the boot test's.
# programs: release
set -u
BIN=${COUNTERSIGN_BIN:-build/bin}
unshare --pid --mount --fork true 2>/dev/null || {
    echo "no namespaces for this user"
    exit 77
}
RUN=$(mktemp -d /tmp/cs-init.XXXXXX)
trap 'rm -rf "$RUN"' EXIT
failed=0
case_() {
    local name=$1
    shift
    if "$@"; then
        echo "ok $name"
    else
        echo "not ok $name"
        sed 's/^/# /' "$RUN/out"
        failed=1
    fi
}

printf 'kms: {region: us-east-1, keyArn: "arn:aws:kms:us-east-1:111122223333:key/x"}\n' >"$RUN/c.yaml"
"$BIN/signctl" config compile "$RUN/c.yaml" -o "$RUN/good.cbor" || exit 1
mkdir -p "$RUN/root"/{bin,dev,proc,sys,etc/countersign}
cp "$BIN/sign-init" "$RUN/root/bin/"

# boots CONFIG|none: its console is in $RUN/out
boots() {
    rm -f "$RUN/root/etc/countersign/config.cbor"
    [ "$1" = none ] || cp "$1" "$RUN/root/etc/countersign/config.cbor"
    timeout -k 5 30 unshare --pid --mount --fork --kill-child chroot "$RUN/root" /bin/sign-init >"$RUN/out" 2>&1
    [ $? = 129 ] # SIGHUP: what a halt is to a PID namespace
}
# halts CODE STEP WORDS CONFIG: one line says where and why, the last one is the halt's
halts() {
    boots "$4"
    grep -q "\"event\":\"boot_failed\",\"code\":\"$1\".*\"step\":\"$2\",\"why\":\"$3" "$RUN/out" &&
        tail -n 1 "$RUN/out" | grep -q "\"event\":\"halt\",\"code\":\"$1\".*\"reason\":\"$1\""
}

case_ "no-configuration" halts IO config '/etc/countersign/config.cbor' none
: >"$RUN/empty"
case_ "empty-configuration" halts CONFIG config 'config.cbor is not a compiled configuration' "$RUN/empty"
head -c 1000 "$RUN/good.cbor" >"$RUN/cut"
case_ "cut-configuration" halts CONFIG config 'config.cbor is not a compiled configuration' "$RUN/cut"
head -c 3000000 /dev/zero >"$RUN/huge"
case_ "huge-configuration" halts TOO_LARGE config '/etc/countersign/config.cbor' "$RUN/huge"
case_ "yaml-in-its-place" halts CONFIG config 'config.cbor is not a compiled configuration' "$RUN/c.yaml"
# same lengths, another key in the section init: level -> lever
python3 - "$RUN/good.cbor" "$RUN/key" <<'PY'
import sys
b = open(sys.argv[1], "rb").read()
at = b.index(b"\x64init")
at = b.index(b"\x65level", at)
open(sys.argv[2], "wb").write(b[:at] + b"\x65lever" + b[at + 6 :])
PY
case_ "unknown-key" halts CONFIG config 'config.cbor: init' "$RUN/key"
sed 's/\x64core/\x64cere/' "$RUN/good.cbor" >"$RUN/section"
case_ "unknown-section" halts CONFIG config '' "$RUN/section"
case_ "no-security-module" halts NSM nsm '/dev/nsm cannot be opened' "$RUN/good.cbor"
printf 'not a module' >"$RUN/root/nsm.ko"
case_ "broken-module" halts BOOT module '/nsm.ko cannot be loaded' "$RUN/good.cbor"
rm -f "$RUN/root/nsm.ko"

# AWS's own init may have started it: then it mounts nothing, sends no heartbeat, and its exit status says how it went
below_another_init() {
    mkdir -p "$RUN/root/proc/sys" # what a mount would hide
    chroot "$RUN/root" /bin/sign-init >"$RUN/out" 2>&1
    [ $? = 1 ] && tail -n 1 "$RUN/out" | grep -q '"event":"halt","code":"NSM"' && [ -d "$RUN/root/proc/sys" ]
}
case_ "below-another-init" below_another_init
exit $failed
