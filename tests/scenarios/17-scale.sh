#!/bin/bash
# Goal of this test: an enclave of 512 MiB (sign-host, sign-core, sign-kms, sign-service together) loads 100,000 accounts, signs with
# the first, the middle and the last, and takes a reload while it signs: one whose account 99,999 is broken changes nothing, a good
# one is swapped in; no signature fails in either. Core needs at most 150 MB at any time and 2 s of CPU for a load.
# The limit is a memory cgroup where one may be made; else (or with CS_SCALE_BY=address-space) limits of address space of the three
# enclave programs that add up to it. CS_SCALE_ACCOUNTS: another number. CS_SCALE_JSON=1: the figures as a last line of JSON.
# programs: release
# limit: 300
set -u
# shellcheck source=tests/scenarios/lib.sh
. "$(dirname "$0")/lib.sh"
HERE=$(cd "$(dirname "$0")" && pwd)
N=${CS_SCALE_ACCOUNTS:-100000}
LIMIT=$((512 << 20))
PREFIX=customer-$(printf '%0110d' 0)- # long ids: 100,000 accounts are 48 MB of JSON
CONFIG_ARENA=128
GROUP=
leave() {
    cleanup
    [ -z "$GROUP" ] || wait_until 5 rmdir "$GROUP"
}
trap leave EXIT

# files_make DIR: keys and share files; good-1 and good-2 hold the same accounts, broken has one that cannot be
files_make() {
    local dir=$1 f
    RUN=$dir publisher_new && RUN=$dir age_new
    "$BIN/signctl" keygen -n "$N" --prefix "$PREFIX" --plaintext --publisher-key "$dir/publisher.key" --generation 1 -d "$dir" >/dev/null || return 1
    python3 "$HERE/resign.py" "$dir/service_key_shares.json" "$dir/good-2" "$dir/publisher.key" 2 &&
        python3 "$HERE/resign.py" "$dir/service_key_shares.json" "$dir/broken" "$dir/publisher.key" 2 "$PREFIX$((N - 1))" || return 1
    mv "$dir/service_key_shares.json" "$dir/good-1"
    for f in good-1 good-2 broken; do
        "$BIN/signctl" age encrypt -r "$RECIPIENT" -o "$dir/$f.age" "$dir/$f" && rm "$dir/$f" || return 1
    done
    echo "$PUBLISHER" >"$dir/publisher.pub"
}

# files: they depend on signctl and the number only, so they are kept below build/ for the next run
files() {
    local at
    at=$root/build/scale/$N-$(sha256sum "$BIN/signctl" "$0" | sha256sum | cut -c1-16)
    if [ ! -s "$at/publisher.pub" ]; then
        rm -rf "$root/build/scale"
        mkdir -p "$root/build/scale/new" && chmod 700 "$root/build/scale"
        files_make "$root/build/scale/new" && mv "$root/build/scale/new" "$at" || return 1
    fi
    FILES=$at
    PUBLISHER=$(cat "$at/publisher.pub")
}

# group_new: a memory cgroup (v2, else v1) with the limit; it holds sign-host and what it starts
group_new() {
    local dir
    [ "${CS_SCALE_BY:-cgroup}" = cgroup ] || return 1
    for dir in /sys/fs/cgroup /sys/fs/cgroup/memory; do
        GROUP=$dir/countersign-scale-$$
        if mkdir "$GROUP" 2>/dev/null; then
            if { [ -e "$GROUP/memory.max" ] && echo "$LIMIT" >"$GROUP/memory.max"; } 2>/dev/null ||
                { [ -e "$GROUP/memory.limit_in_bytes" ] && echo "$LIMIT" >"$GROUP/memory.limit_in_bytes"; } 2>/dev/null; then
                return 0
            fi
            rmdir "$GROUP"
        fi
    done
    GROUP=
    return 1
}
group_peak() { cat "$GROUP/memory.peak" "$GROUP/memory.max_usage_in_bytes" 2>/dev/null | head -1; }
# shellcheck disable=SC2016 # expanded by the inner shell
in_group() { HOST_PREFIX=(bash -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$GROUP"); }

pid_of() { pgrep -P "$HOST_PID" -f "$1"; }
# without a cgroup: limits of address space that add up to the same
limit_each() { prlimit --pid "$(pid_of "$1")" --as=$(($2 << 20)); }
start_by_rlimit() {
    host_up "$RUN/e" "$RUN/image" --no-preload && limit_each sign-core-emulated 384 && limit_each sign-kms-local 32 &&
        limit_each sign-service-local 96 && [ "$(pair e "$RUN/age-private.key.enc" "$FILES/good-1.age" | code)" = OK ] &&
        serving "$RUN/e"
}
start() {
    key_bind "$PCR0"
    if [ -n "$GROUP" ]; then
        in_group
        serve e
    else
        start_by_rlimit
    fi
}

status() { "$BIN/sign-host" status --json --dir "$RUN/e" | jq -r "$1"; }
is() { [ "$(status '[.phase, .accounts, .generation] | join(" ")')" = "SERVING $N $1" ]; }
sign() {
    "$BIN/signctl" sign -s "tcp:$GRPC" --shares "$FILES/client_key_shares.json" --root "$(emu_get nsm_root)" --pcr "0=$PCR0" -a "$PREFIX$1" \
        --digest "$(printf '%064d' "$1")" --json >"$RUN/sign.json" 2>&1
}
peak_of_core() { awk '/^VmHWM/ {print $2 * 1024}' "/proc/$(pid_of sign-core-emulated)/status"; }
cpu_ms() { status '.load | .verify_cpu_ms + .parse_cpu_ms'; }
# for `make bench` the figure is enough: there a missed target is a line in a table
at_most() { echo "# $1: $2 (at most $3)" && [ "$2" -gt 0 ] && { [ "$2" -le "$3" ] || [ -n "${CS_SCALE_JSON:-}" ]; }; }
reload() {
    local started
    started=$(date +%s%N)
    [ "$(pair e "$RUN/age-private.key.enc" "$FILES/$1.age" | code)" = "$2" ] || return 1
    RELOAD_MS=$((($(date +%s%N) - started) / 1000000))
    echo "# reload of $1 under load: $RELOAD_MS ms"
}
load_begin() {
    SIGNED=$(status .sessions.signatures)
    "$BIN/signctl" bench stack --path direct --inflight 8 --seconds "$1" --json -s "tcp:$GRPC" --shares "$FILES/client_key_shares.json" \
        --root "$(emu_get nsm_root)" --pcr "0=$PCR0" >"$RUN/bench.$2" 2>"$RUN/bench.err" &
    BENCH=$!
    wait_until 20 eval "[ \$(status .sessions.signatures) -gt $((SIGNED + 100)) ]"
}
# load_end NAME: nothing failed
load_end() {
    wait $BENCH
    jq -c '{signatures, failures, retried, p50_ms, p99_ms, signatures_per_second}' "$RUN/bench.$1" | sed "s/^/# during $1: /"
    jq -e '.failures == 0 and .retried == 0 and .signatures > 100' "$RUN/bench.$1" >/dev/null
}
# under_load FILE CODE: it is still signing when the reload has ended; on a machine that is too busy for that, once more for longer
under_load() {
    local seconds running
    for seconds in 6 30; do
        load_begin "$seconds" "$1" && reload "$1" "$2" || return 1
        kill -0 $BENCH 2>/dev/null && running=1 || running=
        load_end "$1" || return 1
        [ -z "$running" ] || return 0
    done
    return 1
}
undisturbed() { load_begin 4 quiet && load_end quiet; }
broken() { under_load broken SHARES_ACCOUNT && is 1 && [ "$(status .load.last)" = SHARES_ACCOUNT ]; }
programs() { ps -o pid=,comm= --ppid "$HOST_PID" | grep -v sign-host; } # its preload is a process of its own
same_processes() { [ "$(programs)" = "$STARTED" ] || { echo "# $STARTED; now: $(programs)" | tr '\n' ' ' && echo && return 1; }; }

emulator_up
cp_keys() { cp "$FILES/age-private.key" "$FILES/publisher.key" "$RUN/"; }
case_ "files-of-$N-accounts" files
[ "$failed" = 0 ] || finish
cp_keys
key_new
image_build "$RUN/image"
age_seal "$RUN/age-private.key" "$RUN/age-private.key.enc"
s3_put "$RUN/age-private.key.enc" enclave/age-private.key.enc
s3_put "$FILES/good-1.age" enclave/service_key_shares.json.age
group_new && BY=cgroup || BY=address-space
case_ "serves-in-512-mib-by-$BY" start
[ "$failed" = 0 ] || finish
STARTED=$(programs)
case_ all-accounts-are-there is 1
COLD_CPU=$(cpu_ms)
COLD_PEAK=$(peak_of_core)
case_ load-takes-at-most-2-s-of-cpu at_most "ms of CPU" "$COLD_CPU" 2000
case_ core-takes-at-most-150-mb at_most bytes "$COLD_PEAK" 150000000
for account in 1 $((N / 2)) "$N"; do
    case_ "account-$account-signs" sign "$account"
done
[ -z "${CS_SCALE_JSON:-}" ] || case_ signs-undisturbed undisturbed
case_ "broken-account-$((N - 1))-changes-nothing" broken
case_ good-reload-is-swapped-in under_load good-2 OK
case_ new-generation is 2
case_ account-signs-after-the-reload sign "$N"
RELOAD_PEAK=$(peak_of_core)
case_ core-takes-at-most-150-mb-at-reloads at_most bytes "$RELOAD_PEAK" 150000000
case_ no-program-was-killed same_processes
[ -z "$GROUP" ] || echo "# peak of all programs with the page cache of their files: $(group_peak) of $LIMIT"
if [ -n "${CS_SCALE_JSON:-}" ]; then
    jq -cn --argjson accounts "$N" --argjson cpu "$COLD_CPU" --argjson cold "$COLD_PEAK" --argjson reload "$RELOAD_PEAK" --argjson ms "$RELOAD_MS" \
        --slurpfile quiet "$RUN/bench.quiet" --slurpfile busy "$RUN/bench.good-2" \
        '{accounts: $accounts, serving_cpu_seconds_after_decryption: ($cpu / 1000), core_peak_bytes: $cold, reload_peak_bytes: $reload,
          reload_wall_seconds: ($ms / 1000), quiet_p99_ms: $quiet[0].p99_ms, reload_p99_ms: $busy[0].p99_ms, reload_failures: $busy[0].failures}'
fi
finish
