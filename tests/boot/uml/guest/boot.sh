#!/bin/bash
# Runs in the guest: what the boot test tries there. Prints `ok CASE` or `not ok CASE`, and steps with the time since the boot.
set -u
export PATH=$CS_BIN:$PATH
RUN=/tmp/run
mkdir -p $RUN
# shellcheck source=tests/boot/uml/guest/lib.sh
. "$CS_ROOT/tests/boot/uml/guest/lib.sh"

loaded() { [ "$(preload | sed 's/^{"code":"\([A-Z_]*\)".*/\1/')" = "$1" ]; }
# ended_with IMAGE HOW REASON: the enclave has ended so; the last record of its log says why
ended_with() {
    wait_until 20 ended "$1" >/dev/null && [ "$(ended "$1")" = "ended $2" ] || return 1
    wait_until 5 last_record "$1" "$3"
}
last_record() { tail -n 1 "$CS_RUN/$1.log" | grep '"program":"sign-init","event":"halt"' | grep -q "\"reason\":\"$2\""; }

# ---- the image as it ships: boot, preload, signature
measured() {
    logged main "\"event\":\"measured\",\"pcr0\":\"$(pcr main 0)\",\"pcr1\":\"$(pcr main 1)\",\"pcr2\":\"$(pcr main 2)\""
}
# filtered: the three programs run under a filter and cannot gain rights
filtered() {
    local p
    for p in sign-core sign-kms sign-service; do
        grep -q '^Seccomp:.2$' "/proc/$(pid_of $p)/status" && grep -q '^NoNewPrivs:.1$' "/proc/$(pid_of $p)/status" || return 1
    done
}
# own_pids: process 1 of a namespace of its own, with a file system that holds nothing else
own_files() {
    local root
    root=/proc/$(sed -n 's/^started //p' $RUN/main.ns)/root/
    [ "$(find "$root" -xdev -type f | sed "s#^$root#/#" | LC_ALL=C sort | tr '\n' ' ')" = \
        "/bin/sign-core /bin/sign-init /bin/sign-kms /bin/sign-service /etc/countersign/config.cbor /etc/countersign/sign-service.yaml /etc/ssl/certs/ca-certificates.crt " ]
}
wrong_pcr() { # one digit of one register
    local p=("$(pcr main 0)" "$(pcr main 1)" "$(pcr main 2)") digit=0
    [ "${p[$1]:0:1}" != 0 ] || digit=1
    p[$1]=$digit${p[$1]:1}
    ! sign_with "${p[@]}" 9 && grep -q '"code":"ATT_PCR"' $RUN/sign.json
}
restarted() {
    kill -KILL "$(pid_of "$1")"
    wait_until 10 again "$1"
}
again() { [ "$(grep -c "\"event\":\"started\",\"what\":\"$1\"" "$CS_RUN/main.log")" = 2 ]; }
sign_soon() { wait_until 10 sign main "$1"; } # the front may not listen yet
one_at_a_time() {
    ns-enclave --emulator $RUN/emu --console $RUN/second "$CS_RUN/main.eif" >$RUN/second.out 2>&1
    [ $? = 1 ] && grep -q EXISTS $RUN/second.out && [ -c /dev/nsm ]
}
core_killed() {
    kill -KILL "$(pid_of sign-core)"
    ended_with main reboot CORE_ENDED && logged main '"event":"ended","what":"sign-core","by_signal":true,"status":9'
}
nothing_left() {
    local p
    for p in sign-core sign-kms sign-service nsm-device ns-enclave; do
        ! pgrep -x $p >/dev/null || return 1
    done
    [ ! -e /dev/nsm ]
}

image_that_ships() {
    step "guest is up"
    emulator_up
    step "emulated AWS listens"
    parent_up main
    enclave_up main
    step "enclave started"
    case_ preload loaded OK
    step "enclave serves"
    case_ signature sign main 1
    step "first signature"
    case_ measured-is-what-eif-describe-says measured
    case_ other-pcr0-is-refused wrong_pcr 0
    case_ other-pcr1-is-refused wrong_pcr 1
    case_ other-pcr2-is-refused wrong_pcr 2
    case_ filters-are-installed filtered
    case_ no-file-but-the-images own_files
    case_ device "$CS_ROOT/tests/boot/uml/guest/nsm_device.py" "$(pcr main 0)"
    case_ one-enclave-at-a-time one_at_a_time
    case_ service-killed-is-restarted restarted sign-service
    case_ signature-after-a-restart-of-the-front sign_soon 2
    case_ kms-killed-is-restarted restarted sign-kms
    case_ core-killed-halts core_killed
    wait "$enclave"
    case_ nothing-is-left nothing_left
    parent_down
    step "image that ships: done"
}

# ---- other images
image_that_traps() {
    parent_up trap
    enclave_up trap
    case_ trap-preload loaded OK
    case_ trap-signature sign trap 1
    case_ trap-names-no-call silent_trap
    enclave_down
    parent_down
    step "image that traps: done"
}
silent_trap() { ! logged trap 'SYSTEM_CALL\|system_call'; }

# PCR0 that the key's policy does not name: KMS refuses, and the enclave waits on
image_of_another_pcr() {
    parent_up other
    enclave_up other
    case_ other-image-is-refused-by-kms loaded KMS_DENIED
    enclave_down
    parent_down
    step "image of another PCR0: done"
}

debug_enclave() {
    parent_up debug
    enclave_up main --debug-mode
    case_ debug-enclave-is-refused refused_debug
    enclave_down
    parent_down
    step "debug enclave: done"
}
refused_debug() {
    case $(preload) in
    '{"code":"ATT_DEBUG"'* | '{"code":"KMS_DENIED"'*) ;;
    *) return 1 ;;
    esac
}

# halts IMAGE REASON WORDS: it ends by itself before it listens
halts() {
    ended_with "$1" reboot "$2" && logged "$1" "$3" && ! logged "$1" '"event":"started"'
}
images_that_halt() {
    parent_up clock
    enclave_up clock
    case_ wrong-clock-source-halts halts clock CLOCK_SOURCE '"event":"boot_failed".*"step":"clock","why":"timer"'
    parent_down
    parent_up heart 'SYSTEM:printf x'
    enclave_up heart
    case_ wrong-heartbeat-halts halts heart HEARTBEAT '"step":"heartbeat","why":"another byte than B7"'
    parent_down
    step "images that halt: done"
}

# a parent of another CID than the measured one is nobody
image_of_another_cid() {
    parent_up cid
    enclave_up cid
    case_ peer-of-another-cid-is-refused stranger
    enclave_down
    parent_down
}
stranger() {
    wait_until 20 listening 7101 || return 1
    [ -z "$(inject 7101 <"$CS_RUN/age-private.key.enc")" ]
}

broken_file() {
    cp "$CS_RUN/main.eif" $RUN/broken.eif
    printf X | dd of=$RUN/broken.eif bs=1 seek=5000 conv=notrunc 2>/dev/null
    ns-enclave --emulator $RUN/emu $RUN/broken.eif >$RUN/broken.out 2>&1
    [ $? = 1 ] && grep -q EIF_CRC $RUN/broken.out && nothing_left
}

image_that_ships
image_that_traps
image_of_another_pcr
debug_enclave
images_that_halt
image_of_another_cid
case_ broken-file-does-not-start broken_file
step "end"
exit $failed
