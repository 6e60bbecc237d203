#!/bin/bash
# Goal of this test: an enclave that dies is started and provisioned again with back-off; reload; blue/green replacement where the old one
# serves until the new one does, and goes on when the new one fails; a killed sign-host leaves nothing that the next one does not end.
# limit: 400
# shellcheck disable=SC2034 # variables that nitro-lib.sh reads
set -u
# shellcheck source=tests/scenarios/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/scenarios/nitro-lib.sh
. "$(dirname "$0")/nitro-lib.sh"

st() { "$BIN/sign-host" status --json --dir "$RUN/s" 2>/dev/null | jq -r "$1"; }
is() { [ "$(st "$1")" = "$2" ]; }
vm_pid() { "$BIN/nitro-cli-emulated" describe-enclaves | jq -r ".[$1].ProcessID"; }
# the enclave's first program dies: what a halted sign-core does
halt_enclave() { kill -9 "$(pgrep -P "$(vm_pid 0)")"; }
again() {
    local id
    id=$(st .host.enclave_id)
    halt_enclave && wait_until 30 eval "is .host.state SERVING && ! is .host.enclave_id $id" && is .host.restarts 1 && sign_ok &&
        grep -q 'ENCLAVE_DIED.*starts again in 0.1 s' "$RUN/s.out"
}
# each start fails until nothing is in the way: the wait doubles
backs_off() {
    echo "run-enclave:E27:3" >"$V/nitro/fail"
    halt_enclave && wait_until 40 eval 'is .host.restarts 5 && is .host.state SERVING' && rm "$V/nitro/fail" && sign_ok &&
        [ "$(grep -o 'NITRO_HUGEPAGES.*starts again in [0-9.]* s' "$RUN/s.out" | grep -o '[0-9.]* s$' | tr '\n' ,)" = "0.4 s,0.8 s,1.6 s," ]
}
dies_amid_injection() {
    echo "run-enclave:die:1" >"$V/nitro/fail"
    halt_enclave && wait_until 90 eval 'is .host.restarts 7 && is .host.state SERVING' && rm "$V/nitro/fail" && sign_ok
}
reloads() {
    shares_new "$RUN/shares2" 2 -n 2 && s3_put "$RUN/shares2/service_key_shares.json.age" enclave/service_key_shares.json.age &&
        "$BIN/sign-host" reload --dir "$RUN/s" >/dev/null && is .generation 2 && cp "$RUN/shares2/client_key_shares.json" "$RUN/shares/" && sign_ok
}
reload_refused() {
    s3_put "$RUN/shares/service_key_shares.json.age" enclave/service_key_shares.json.age
    "$BIN/sign-host" reload --dir "$RUN/s" 2>"$RUN/reload.err" && return 1
    grep -q SHARES_GENERATION "$RUN/reload.err" && is .generation 2 && is .phase SERVING
}
reload_by_hup() {
    s3_put "$RUN/shares2/service_key_shares.json.age" enclave/service_key_shares.json.age
    local n
    n=$(grep -c "inject 7102" "$RUN/s.out")
    kill -HUP "$HOST_PID" && wait_until 10 eval "[ \$(grep -c 'inject 7102' '$RUN/s.out') -gt $n ]" && wait_until 5 is .phase SERVING
}
replace_with() (
    EIF=$1
    shift
    run_nitro "$RUN/s" --replace "$@" >"$RUN/replace.out" 2>"$RUN/replace.err"
)
# a connection that was open before goes on until it ends; the old enclave waits for it
replaced() {
    key_bind_two "$PCR0" "$EIF_PCR0"
    (printf 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0'; sleep 3) | socat -t 1 - "TCP:$GRPC" >"$RUN/open" 2>/dev/null &
    local open=$! begun=$SECONDS
    wait_until 5 eval 'is .host.open_grpc 1' && replace_with "$RUN/b.eif" || return 1
    [ $((SECONDS - begun)) -ge 2 ] && wait $open && is .host.enclave_name sign-service-enclave-2 && is .host.cid 17 && is .attested.PCR0 "$EIF_PCR0" &&
        is .attested.image same && [ "$(enclaves)" = 1 ] && sign_ok "$EIF_PCR0"
}
key_bind_two() {
    local policy
    key_bind "$1"
    policy=$(jq -n --arg k "$KEY_ARN" '{KeyId: $k, PolicyName: "default"}' | kms GetKeyPolicy | jq -r .Policy | jq -c --arg a "$1" --arg b "$2" \
        'walk(if . == $a then [$a, $b] else . end)')
    jq -n --arg k "$KEY_ARN" --arg p "$policy" '{KeyId: $k, PolicyName: "default", Policy: $p}' | kms PutKeyPolicy >/dev/null
}
# the key policy does not know the third image: the second one serves on, and signs
replace_refused() {
    eif_build "$RUN/c.eif" 200
    replace_with "$RUN/c.eif" && return 1
    grep -q '^sign-host: KMS_DENIED' "$RUN/replace.err" && [ "$(enclaves)" = 1 ] && is .host.enclave_name sign-service-enclave-2 && sign_ok "$B" &&
        grep -q 'serves on' "$RUN/s.out"
}
replace_does_not_boot() {
    echo "run-enclave:E36" >"$V/nitro/fail"
    replace_with "$RUN/a.eif"
    local status=$?
    rm "$V/nitro/fail"
    [ $status = 1 ] && grep -q '^sign-host: NITRO_BOOT' "$RUN/replace.err" && [ "$(enclaves)" = 1 ] && sign_ok "$B"
}
replace_dies() {
    echo "run-enclave:die" >"$V/nitro/fail"
    replace_with "$RUN/a.eif"
    local status=$?
    rm "$V/nitro/fail"
    [ $status = 1 ] && grep -q '^sign-host: ENCLAVE_DIED' "$RUN/replace.err" && [ "$(enclaves)" = 1 ] && sign_ok "$B"
}
replace_too_big() {
    MEMORY_MIB=64 eif_build "$RUN/big.eif" 20000000
    ( MEMORY_MIB=64; replace_with "$RUN/big.eif" ) && return 1
    grep -q '^sign-host: NITRO_MEMORY.*needs 77' "$RUN/replace.err" && is .host.replacements 1
}
# the first CID is another's by now: the next free one is taken
replace_other_cid() {
    "$BIN/nitro-cli-emulated" run-enclave --eif-path "$RUN/a.eif" --memory 128 --cpu-count 2 --enclave-cid 16 --enclave-name stranger >/dev/null 2>&1
    replace_with "$RUN/a.eif" && is .host.enclave_name sign-service-enclave && ! is .host.cid 16 && ! is .host.cid 17 && sign_ok &&
        "$BIN/nitro-cli-emulated" terminate-enclave --enclave-name stranger >/dev/null 2>&1
}
two_at_once() {
    replace_with "$RUN/b.eif" &
    local first=$!
    wait_until 5 eval '[ "$(st ".host.enclaves | length")" -ge 2 ]'
    replace_with "$RUN/b.eif"
    local second=$?
    cp "$RUN/replace.err" "$RUN/second.err"
    wait $first && [ $second = 1 ] && grep -q REPLACE_BUSY "$RUN/second.err"
}
# the enclave outlives its sign-host, as a real one does; the next run ends it by what run.json says, and no other
killed() {
    local id pid
    id=$(st .host.enclave_id)
    pid=$(st .host.pid)
    "$BIN/nitro-cli-emulated" run-enclave --eif-path "$RUN/a.eif" --memory 128 --cpu-count 2 --enclave-name stranger >/dev/null 2>&1
    kill -9 "$pid" && wait_until 5 eval "[ ! -e /proc/$pid ]" && [ "$(enclaves)" = 2 ] || return 1
    nitro_up s --enclave-cid 40 && grep -q "ended $id" "$RUN/s.out" && [ "$(enclaves)" = 2 ] && sign_ok
}
stop_after_kill() {
    local pid
    pid=$(st .host.pid)
    kill -9 "$pid" && wait_until 5 eval "[ ! -e /proc/$pid ]" && NITRO_CLI=$BIN/nitro-cli-emulated "$BIN/sign-host" stop --dir "$RUN/s" >/dev/null &&
        [ "$("$BIN/nitro-cli-emulated" describe-enclaves | jq -r '[.[].EnclaveName] | join(",")')" = stranger ] && [ ! -e "$RUN/s/run.json" ]
}
nothing_to_stop() {
    NITRO_CLI=$BIN/nitro-cli-emulated "$BIN/sign-host" stop --dir "$RUN/s" 2>"$RUN/stop.err"
    [ $? = 1 ] && grep -q NOT_FOUND "$RUN/stop.err"
}
# asked to stop while nitro-cli is still at it: the enclave that comes is ended too
stopped_amid_the_start() {
    NITRO_FAKE_DELAY_MS=1500 run_nitro "$RUN/t" --enclave-cid 41 >"$RUN/t.out" 2>"$RUN/t.err" </dev/null &
    local pid=$!
    wait_until 10 grep -q 'service_key' "$RUN/t.out" && sleep 2 && kill -TERM "$(pgrep -P $pid -x sign-host || echo $pid)"
    wait $pid
    [ $? = 0 ] && [ "$("$BIN/nitro-cli-emulated" describe-enclaves | jq 'map(select(.EnclaveName != "stranger")) | length')" = 0 ]
}

nitro_prepare
case_ "serves" nitro_up s --restart-ms 100
case_ "starts-again-when-the-enclave-dies" again
case_ "backs-off-while-starts-fail" backs_off
case_ "dies-amid-the-injection" dies_amid_injection
case_ "reload" reloads
case_ "reload-of-an-older-file-is-refused" reload_refused
case_ "reload-by-sighup" reload_by_hup
eif_build "$RUN/b.eif" 100
B=$EIF_PCR0
case_ "replace-drains-the-old-one" replaced
case_ "replace-refused-by-kms" replace_refused
case_ "replace-does-not-boot" replace_does_not_boot
case_ "replace-dies" replace_dies
case_ "replace-needs-more-memory" replace_too_big
case_ "replace-takes-a-free-cid" replace_other_cid
case_ "one-replacement-at-a-time" two_at_once
case_ "orphans-of-a-killed-host-are-ended" killed
case_ "stop-after-a-kill" stop_after_kill
case_ "nothing-to-stop" nothing_to_stop
case_ "stopped-amid-the-start" stopped_amid_the_start
finish
