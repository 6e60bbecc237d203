#!/bin/bash
# Runs in the guest: what the boot test tries there. Prints `ok CASE` or `not ok CASE`, and steps with the time since the boot.
set -u
export PATH=$CS_BIN:$PATH
RUN=/tmp/run # made by guest_init.c, with a copy of CS_RUN/emu
# shellcheck source=tests/boot/uml/guest/lib.sh
. "$CS_ROOT/tests/boot/uml/guest/lib.sh"
# shellcheck disable=SC1091 # made by prepare.sh
. "$CS_RUN/pcrs"

log() { has "$CS_RUN/$1.log" "$2"; }
# halted IMAGE REASON: the last record of its log says why
halted() {
    local lines=()
    [ ! -e "$CS_RUN/$1.log" ] || mapfile -t lines <"$CS_RUN/$1.log"
    [ ${#lines[@]} != 0 ] && [[ ${lines[-1]} == *'"program":"sign-init","event":"halt"'*"\"reason\":\"$2\""* ]]
}

# ---- the image as it ships: sign-host starts it, preload, signature
measured() {
    log main "\"event\":\"measured\",\"pcr0\":\"${PCRS[main.0]}\",\"pcr1\":\"${PCRS[main.1]}\",\"pcr2\":\"${PCRS[main.2]}\""
}
attested_in_status() {
    sign-host status --dir $RUN/main --root $RUN/emu/nsm-root.pem --json >$RUN/status.json &&
        has $RUN/status.json "\"attested\":{*\"PCR0\":\"${PCRS[main.0]}\",\"PCR1\":\"${PCRS[main.1]}\",\"PCR2\":\"${PCRS[main.2]}\",\"PCR3\":\"${PCRS[role]}\",\"PCR4\":\"${PCRS[instance]}\""
}
wrong_pcr() { # one digit of one register
    local p=("${PCRS[main.0]}" "${PCRS[main.1]}" "${PCRS[main.2]}") digit=0
    [ "${p[$1]:0:1}" != 0 ] || digit=1
    p[$1]=$digit${p[$1]:1}
    ! sign_with "${p[@]}" 9 && has $RUN/sign.json '"code":"ATT_PCR"'
}
# filtered: the four programs run under a filter and cannot gain rights (init: the enclave's comes after the guest's)
filtered() {
    local p
    for p in init sign-core sign-kms sign-service; do
        running $p && has "/proc/${pids[-1]}/status" 'Seccomp:?2' && has "/proc/${pids[-1]}/status" 'NoNewPrivs:?1' || return 1
    done
}
# own_files: a file system that holds what the image holds and nothing else
own_files() {
    running init
    [ "$(cd "/proc/${pids[-1]}/root" && find . -xdev -type f | LC_ALL=C sort | tr '\n' ' ')" = \
        "./bin/sign-core ./bin/sign-init ./bin/sign-kms ./bin/sign-service ./etc/countersign/config.cbor ./etc/countersign/sign-service.yaml ./etc/ssl/certs/ca-certificates.crt " ]
}
one_at_a_time() {
    ns-enclave --emulator $RUN/emu --console $RUN/second "$CS_RUN/main.eif" >$RUN/second.out 2>&1
    [ $? = 1 ] && has $RUN/second.out EXISTS && [ -c /dev/nsm ]
}
restarted() {
    running "$1" && kill -KILL "${pids[0]}"
    wait_until 10 has_times "$CS_RUN/main.log" "\"event\":\"started\",\"what\":\"$1\"" 2
}
sign_soon() { wait_until 10 sign main "$1"; } # the front may not listen yet
core_killed() {
    running sign-core && kill -KILL "${pids[0]}"
    wait_until 10 log main '"program":"sign-init","event":"halt"*"reason":"CORE_ENDED"' &&
        log main '"event":"ended","what":"sign-core","by_signal":true,"status":9'
}
serves_again() { wait_until 60 has_times "$CS_RUN/main.log" '"event":"phase","from":"UNSEALING","phase":"SERVING"' 2; }
nothing_left() {
    local p
    for p in sign-core sign-kms sign-service sign-host nsm-device ns-enclave nitro-cli-emulated; do
        ! running $p || return 1
    done
    [ ! -e /dev/nsm ] && [ -z "$(ls /dev/shm)" ]
}

image_that_ships() {
    step "guest is up"
    emulator_up
    step "emulated AWS listens"
    case_ preload host_up main || return
    step "enclave serves"
    case_ signature sign main 1 || return
    step "first signature"
    [ "$CS_ONLY" != signature ] || exit $failed
    case_ measured-is-what-eif-describe-says measured
    case_ status-shows-the-attested-registers attested_in_status
    for i in 0 1 2; do
        case_ other-pcr$i-is-refused wrong_pcr $i
    done
    case_ filters-are-installed filtered
    case_ no-file-but-the-images own_files
    case_ device "$CS_ROOT/tests/boot/uml/guest/nsm_device.py" "${PCRS[main.0]}"
    case_ one-enclave-at-a-time one_at_a_time
    case_ front-killed-is-restarted restarted sign-service
    case_ signature-after-that sign_soon 2
    case_ kms-channel-killed-is-restarted restarted sign-kms
    case_ core-killed-halts core_killed
    case_ halted-enclave-is-started-again serves_again
    case_ signature-of-the-second-boot sign_soon 3
    case_ stop host_down main
    case_ nothing-is-left nothing_left
    step "image that ships: done"
}

# ---- forbidden system calls: execve (59; sign-init starts programs), socket (41), mount (165), ptrace (101)
forbidden() {
    { "$1" --selftest-forbidden "$2"; } >$RUN/forbidden 2>&1
    [ $? = 159 ] # SIGSYS
}

# ---- other images
image_that_traps() {
    case_ trap-preload host_up trap || return
    case_ trap-signature sign trap 1
    case_ trap-names-no-call silent_trap
    host_down trap
    step "image that traps: done"
}

# as if the kernel were AWS's 4.14: sign-init and its programs are started behind cs-old-kernel (tests/scenarios/40-old-kernel.sh)
old_kernel() {
    export NITRO_FAKE_UNDER=$CS_ROOT/build/release/tests/oldkernel/cs-old-kernel
    IMAGE='trap' case_ old-kernel-preload host_up old
    case_ old-kernel-filters filtered_twice
    case_ old-kernel-signature sign trap 2
    host_down old
    unset NITRO_FAKE_UNDER
    step "old kernel: done"
}
filtered_twice() { filters_of sign-core 3 && filters_of sign-kms 3 && filters_of sign-service 3; }
filters_of() { running "$1" && has "/proc/${pids[-1]}/status" "Seccomp_filters:?$2"; }
silent_trap() { ! log trap SYSTEM_CALL && ! log trap SIGSYS; }

# refused NAME CODE OPTION...: sign-host says why, and nothing is left
refused() {
    local name=$1 code=$2
    shift 2
    ! host_up "$name" "$@" || return 1
    wait_until 20 gone $host || stuck $host || return 1
    { has "$CS_RUN/$name.err" "$code" || has "$CS_RUN/$name.out" "$code"; } && nothing_left
}

images_that_halt() {
    parent_up clock
    enclave_up clock
    case_ wrong-clock-source-halts halts clock CLOCK_SOURCE '"event":"boot_failed"*"step":"clock","why":"timer"'
    parent_down
    parent_up heart 'SYSTEM:printf x'
    enclave_up heart
    case_ wrong-heartbeat-halts halts heart HEARTBEAT '"step":"heartbeat","why":"another byte than B7"'
    parent_down
    step "images that halt: done"
}
# halts IMAGE REASON WORDS: it ends by itself before it starts anything
halts() {
    wait_until 20 has "$RUN/$1.ns" 'ended reboot' && wait_until 5 halted "$1" "$2" && log "$1" "$3" && ! log "$1" '"event":"started"'
}

# a parent of another CID than the measured one is nobody
image_of_another_cid() {
    parent_up cid
    enclave_up cid
    case_ peer-of-another-cid-is-refused stranger
    enclave_down
    parent_down
}
stranger() { wait_until 20 listening 7101 && [ -z "$(inject 7101 <"$CS_RUN/age-private.key.enc")" ]; }

broken_file() {
    cp "$CS_RUN/main.eif" $RUN/broken.eif
    printf X | dd of=$RUN/broken.eif bs=1 seek=5000 conv=notrunc 2>/dev/null
    ns-enclave --emulator $RUN/emu $RUN/broken.eif >$RUN/broken.out 2>&1
    [ $? = 1 ] && has $RUN/broken.out EIF_CRC && nothing_left
}

image_that_ships
image_that_traps
old_kernel
case_ other-image-is-refused-by-kms refused other KMS_DENIED
IMAGE=main case_ debug-enclave-is-refused refused debug ATT_DEBUG --debug-mode
step "refused images: done"
images_that_halt
image_of_another_cid
case_ broken-file-does-not-start broken_file
for call in 59 41; do
    for program in sign-core sign-kms sign-service; do
        case_ $program-dies-of-call-$call forbidden $program $call
    done
done
for call in 41 165 101; do
    case_ sign-init-dies-of-call-$call forbidden sign-init $call
done
step "end"
exit $failed
