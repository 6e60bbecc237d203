# shellcheck shell=bash
# shellcheck disable=SC2034 # the sourcing script uses what is set here
# What a parent host does, inside the guest: both sides of AF_VSOCK are here, CID 1 is the enclave for the one and the parent for the
# other. To be sourced by boot.sh. RUN: folder in memory; CS_RUN: folder shared with the outside.
#
# A process costs the guest 50 to 500 ms, for a page fault or a system call in it is dear: whatever is waited for is looked at with
# builtins of the shell only.
GRPC=tcp:127.0.0.1:50051
EMU_imds='' EMU_s3='' EMU_kms_connect=''
enclave=0
host=0
failed=0
exec {never}<> <(:) # a pipe that nothing is written to: to sleep without a process

step() {
    local up rest
    read -r up rest </proc/uptime
    printf '# %6s s  %s\n' "$up" "$*"
}
# case_ NAME COMMAND...: false when it failed
case_() {
    local name=$1
    shift
    if "$@"; then
        echo "ok $name"
        [ "$CS_ONLY" != verbose ] || step "$name"
    else
        echo "not ok $name"
        step "failed: $*"
        failed=1
        tell_why
        return 1
    fi
}
# tell_why: the last lines of what was written since it was last told
tell_why() {
    local f
    for f in "$CS_RUN"/*.out "$CS_RUN"/*.err "$CS_RUN"/*.log "$RUN"/*.ns "$RUN"/sign.*; do
        [ ! -s "$f" ] || [ ! "$f" -nt "$RUN/told" ] || { echo "# ---- $f"; tail -n 4 "$f" | cut -c 1-300 | sed 's/^/#   /'; }
    done
    : >"$RUN/told"
}
# stuck PID: what a process that should have ended waits for; false
stuck() {
    step "process $1 goes on"
    { cat "/proc/$1/stack"; ls -l "/proc/$1/fd"; ps ax | grep -v '\['; } 2>/dev/null | sed 's/^/#   /'
    return 1
}
nap() { read -r -t "$1" -u "$never" || true; }
# wait_until SECONDS COMMAND...
wait_until() {
    local end=$((SECONDS + $1))
    shift
    until "$@" 2>/dev/null; do
        [ $SECONDS -lt $end ] || return 1
        nap 0.02
    done
}
# count FILE PATTERN: how many lines are like *PATTERN*; has FILE PATTERN: there is one
count() {
    local lines=() line n=0
    [ ! -e "$1" ] || mapfile -t lines <"$1"
    for line in "${lines[@]}"; do
        # shellcheck disable=SC2053 # a pattern
        [[ $line != *$2* ]] || n=$((n + 1))
    done
    counted=$n
}
has() { count "$1" "$2" && [ $counted != 0 ]; }
has_times() { count "$1" "$2" && [ $counted = "$3" ]; }
# gone PID: ended, whether the shell has noticed or not
gone() {
    local stat
    ! read -r stat 2>/dev/null <"/proc/$1/stat" || [[ $stat == *') Z '* ]]
}
# running NAME: pids of the processes of that name, in the order of their numbers; false when there is none
running() {
    local p stat
    pids=()
    for p in /proc/[0-9]*; do
        read -r stat 2>/dev/null <"$p/stat" && [[ $stat == *" (${1:0:15}) "[^Z]* ]] && pids+=("${p#/proc/}")
    done
    [ ${#pids[@]} != 0 ]
}

emulator_up() {
    local lines line
    sign-emulator --dir "$RUN/emu" --bucket enclave-artifacts >"$RUN/emulator.out" 2>"$CS_RUN/emulator.log" &
    wait_until 15 test -s "$RUN/emu/emulator.json" || return 1
    mapfile -t lines <"$RUN/emu/emulator.json"
    for line in "${lines[@]}"; do
        [[ $line =~ ^\ \"(imds|s3|kms_connect)\":\ \"(.*)\",$ ]] || continue
        declare -g "EMU_${BASH_REMATCH[1]}=${BASH_REMATCH[2]}"
    done
}

# host_up NAME [OPTION...]: sign-host run with the image $IMAGE (NAME); true when it serves. Its output in $CS_RUN/NAME.{out,err}
host_up() {
    local name=$1 line out
    shift
    exec {out}< <(NITRO_FAKE_DIR=$RUN/nitro NITRO_FAKE_BACKEND=namespace NITRO_FAKE_NSM_CONTROL=$RUN/emu/nsm-control.sock \
        NITRO_FAKE_ROLE=$ROLE NITRO_FAKE_INSTANCE=$INSTANCE \
        IMDS_ENDPOINT=$EMU_imds S3_ENDPOINT=$EMU_s3 AGE_KEY_S3_URI=s3://enclave-artifacts/enclave/age-private.key.enc \
        KEY_SHARES_S3_URI=s3://enclave-artifacts/enclave/service_key_shares.json.age \
        exec sign-host run --driver nitro --nitro-cli "$CS_BIN/nitro-cli-emulated" --eif "$CS_RUN/${IMAGE:-$name}.eif" --dir "$RUN/$name" \
        --peer-cid 1 --console-log "$CS_RUN/$name.log" --kms-endpoint "$EMU_kms_connect" --egress none --listen "$GRPC" "$@" \
        2>"$CS_RUN/$name.err")
    host=$! # out stays open: what it prints later goes nowhere
    while IFS= read -r -t 60 -u "$out" line; do
        printf '%s\n' "$line" >>"$CS_RUN/$name.out"
        [[ $line != *" serving "*" ok "* ]] || return 0
    done
    return 1
}
# host_down NAME: as an operator stops it
host_down() { sign-host stop --dir "$RUN/$1" && wait "$host"; }

# parent_up NAME [HEARTBEAT]: without sign-host: heartbeat (socat's address) and log
parent_up() {
    socat VSOCK-LISTEN:9000,fork "${2:-EXEC:cat}" 2>/dev/null &
    parents=$!
    socat -u VSOCK-LISTEN:7110,fork "OPEN:$CS_RUN/$1.log,creat,append" 2>/dev/null &
    parents+=" $!"
}
parent_down() {
    # shellcheck disable=SC2086 # a list of numbers
    kill $parents 2>/dev/null
    # shellcheck disable=SC2086
    wait $parents 2>/dev/null
}
# enclave_up NAME [OPTION...]: the image NAME in namespaces; console in $CS_RUN/NAME.console, how it ended in $RUN/NAME.ns
enclave_up() {
    local name=$1
    shift
    ns-enclave --emulator "$RUN/emu" --console "$CS_RUN/$name.console" "$@" "$CS_RUN/$name.eif" >"$RUN/$name.ns" 2>&1 &
    enclave=$!
    wait_until 10 has "$RUN/$name.ns" started
}
enclave_down() {
    kill "$enclave" 2>/dev/null
    wait "$enclave" 2>/dev/null
}
inject() { socat -t 130 - "VSOCK-CONNECT:1:$1" 2>/dev/null; }
listening() { socat -u OPEN:/dev/null "VSOCK-CONNECT:1:$1" 2>/dev/null; }

# sign NAME N: with the image's measurements as policy; sign_with PCR0 PCR1 PCR2 N. PCRS: of each image, as eif describe predicted them
# (role, instance: PCR3 and PCR4, as signctl pcr says)
declare -A PCRS
ROLE='' INSTANCE=''
sign() { sign_with "${PCRS[$1.0]}" "${PCRS[$1.1]}" "${PCRS[$1.2]}" "$2"; }
sign_with() {
    local digest
    printf -v digest '%064d' "$4"
    signctl sign -s "$GRPC" --shares "$CS_RUN/shares/client_key_shares.json" --root "$RUN/emu/nsm-root.pem" --pcr "0=$1" --pcr "1=$2" \
        --pcr "2=$3" -a account-1 --digest "$digest" --json >"$RUN/sign.json" 2>"$RUN/sign.err"
}
