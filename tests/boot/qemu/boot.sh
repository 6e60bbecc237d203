#!/bin/bash
# Goal of this test: an image of ours boots in QEMU's machine `nitro-enclave`, on the kernel's own nsm driver, up to waiting for its
# injections; the registers that /dev/nsm reads are those that `signctl eif describe` predicts; the whole injection arrives, and KMS
# refuses QEMU's unsigned document. boot.sh --bench: only the time of the boot, median of five, as JSON. Skipped when QEMU, the daemon or the kernel has not been built (`make boot-test-qemu`).
# limit: 600
# programs: release
set -u
# shellcheck source=tests/scenarios/lib.sh
. "$(cd "$(dirname "$0")/../../scenarios" && pwd)/lib.sh"
# shellcheck disable=SC2154 # of stack-lib.sh
BIN=$root/build/bin
cd "$root" || exit 1
QEMU=$(tools/dev/build-qemu --path)
if [ -z "$QEMU" ] || ! tools/dev/build-kernel --cached >/dev/null; then
    echo "skip boot-qemu (QEMU with the machine nitro-enclave and the enclave's kernel: make boot-test-qemu builds them)"
    exit 77
fi
PATH=$BIN:$(dirname "$QEMU"):$PATH # vhost-device-vsock lies beside QEMU

# image OUT [CLOCKS]: for a machine whose parent has CID 2 and whose clock is not a hypervisor's; PCR0
image() {
    config_write "$1.yaml"
    sed -i "s/^enclave: .*/enclave: {parentCid: 2, clockSources: [${2:-refined-jiffies, jiffies, tsc-early, tsc}]}/" "$1.yaml"
    signctl eif build --config "$1.yaml" --kernel build/kernel/bzImage --cmdline images/cmdline --program-dir "$BIN" --output "$1" \
        >"$1.json" 2>"$1.err" || die "eif build failed: $(cat "$1.err")"
    signctl eif describe --json "$1" >"$1.describe" || die "eif describe failed"
    PCR0=$(jq -r .Measurements.PCR0 "$1.describe")
}

# enclave DIR EIF [OPTION...]: sign-host run in the foreground
enclave() {
    local dir=$RUN/$1 eif=$2
    shift 2
    mkdir -p "$dir"
    AGE_KEY_S3_URI=s3://$BUCKET/enclave/age-private.key.enc KEY_SHARES_S3_URI=s3://$BUCKET/enclave/service_key_shares.json.age \
        AWS_REGION=$REGION IMDS_ENDPOINT=$IMDS S3_ENDPOINT=$S3 \
        exec sign-host run --driver qemu --qemu "$QEMU" --eif "$RUN/$eif" --dir "$dir" --console-log "$dir/enclave.log" \
        --kms-endpoint "$(emu_get kms_connect)" --egress none --listen tcp:127.0.0.1:0 --drain-seconds 0 "$@" >"$dir.out" 2>"$dir.err" </dev/null
}

# boots DIR: in the background, until it waits for its injections; HOST_PID
boots() {
    rm -f "$RUN/$1.out"
    (enclave "$1" a.eif --no-preload) &
    HOST_PID=$!
    echo $HOST_PID >"$RUN/$1.pid"
    # shellcheck disable=SC2016 # expanded by the inner shell
    wait_until 120 bash -c 'grep -q "^sign-host: enclave .* answers" "$0" || ! kill -0 "$1"' "$RUN/$1.out" $HOST_PID
    grep -q 'enclave answers .* ok  WAITING' "$RUN/$1.out" && return 0
    kill -9 $HOST_PID 2>/dev/null
    return 1
}

# boot_ms DIR: from the start of QEMU to the enclave's first answer, WAITING
boot_ms() { sed -n 's/^  \(start enclave\|enclave answers\) *\([0-9]*\) ms .*/\2/p' "$RUN/$1.out" | paste -sd + | bc; }

measured() {
    local want got
    want=$(jq -c '.Measurements | [.PCR0, .PCR1, .PCR2]' "$RUN/$2.describe")
    got=$(grep '"event":"measured"' "$RUN/$1/enclave.log" | jq -c '[.pcr0, .pcr1, .pcr2]')
    echo "# /dev/nsm: $got"
    [ -n "$got" ] && [ "$got" = "$want" ]
}

# nothing_left DIR: no process has it among its arguments, and of its files only logs and lock remain
nothing_left() {
    # shellcheck disable=SC2016
    wait_until 5 bash -c '! pgrep -f "$0/qemu-" >/dev/null' "$RUN/$1" && [ -z "$(find "$RUN/$1" ! -type f -o -name run.json | grep -vx "$RUN/$1")" ]
}

ends_in_order() {
    kill -TERM "$(cat "$RUN/$1.pid")" && wait "$HOST_PID" && nothing_left "$1"
}

# The guest's memory that was ever touched, kernel and ramdisks included
touched_mib() {
    local pid
    pid=$(pgrep -f "$QEMU .*$RUN/$1/qemu-" | head -1)
    awk '/memfd|pc.ram/ {on = 1; next} /^[0-9a-f]+-/ {on = 0} on && /^Rss:/ {sum += $2} END {print int(sum / 1024)}' "/proc/$pid/smaps"
}

killed_leaves_nothing() {
    boots "$1" || return 1
    kill -9 "$(cat "$RUN/$1.pid")"
    wait "$HOST_PID" 2>/dev/null
    # shellcheck disable=SC2016
    wait_until 5 bash -c '! pgrep -f "$0/qemu-" >/dev/null' "$RUN/$1"
}

# The whole preload: fetched, injected, unsealed as far as KMS, which refuses. Exit status 1, the code of the refusal, nothing left.
kms_refuses() {
    (enclave k a.eif --memory-mib 256)
    [ $? = 1 ] && grep -q 'KMS_VALIDATION' "$RUN/k.err" && nothing_left k
}
injected() {
    grep -q '"event":"credentials-injected"' "$RUN/k/enclave.log" && grep -q '"event":"injected","file":"age"' "$RUN/k/enclave.log" &&
        grep -q '"event":"phase","from":"WAITING","phase":"UNSEALING"' "$RUN/k/enclave.log"
}
asked_with_a_document() { grep '"Decrypt"' "$(emu_get trail)" | tail -1 | grep -q 'ValidationException'; }

# sign-init halts: the kernel's reboot ends QEMU, and sign-host says that the enclave has ended
halts() {
    (enclave h h.eif --no-preload)
    [ $? = 1 ] && grep -q '"event":"halt"' "$RUN/h/enclave.log" && grep -q 'CLOCK_SOURCE' "$RUN/h/enclave.log" && nothing_left h
}

# bench: {"waiting_s":..,"guest_mib":..}
bench() {
    local i mib=0 all=''
    for i in 1 2 3 4 5; do
        boots "b$i" || return 1
        all="$all $(boot_ms "b$i")"
        mib=$(touched_mib "b$i")
        ends_in_order "b$i" || return 1
    done
    jq -cn --argjson mib "$mib" --arg all "$all" '{waiting_s: ($all | split(" ") | map(tonumber? // empty) | sort | .[2] / 1000), guest_mib: $mib}'
}

emulator_up
publisher_new
age_new
key_new
image "$RUN/h.eif" kvm-clock
image "$RUN/a.eif"
key_bind "$PCR0"
shares_new "$RUN/shares" 1 -n 2
store

if [ "${1:-}" = --bench ]; then
    bench
    exit
fi
case_ boots-to-awaiting-injection boots w
echo "# boot to awaiting injection: $(boot_ms w) ms; guest memory touched: $(touched_mib w) MiB"
echo "# kernel $(stat -c %s build/kernel/bzImage) bytes, image $(stat -c %s "$RUN/a.eif"), ramdisks $(jq -c "[.Sections[] | select(.Type == \"ramdisk\").Bytes]" "$RUN/a.eif.describe")"
case_ registers-as-predicted measured w a.eif
case_ stop-in-order ends_in_order w
case_ kms-refuses-the-unsigned-document kms_refuses
case_ injections-arrived injected
case_ kms-was-asked-with-a-document asked_with_a_document
case_ registers-as-predicted-256-mib measured k a.eif
case_ other-clock-halts halts
case_ killed-host-leaves-no-process killed_leaves_nothing x
case_ starts-again-in-the-same-folder boots x
case_ stops-again ends_in_order x
finish
