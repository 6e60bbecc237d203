#!/bin/bash
# Goal of this test: signctl tee rotate --all over the whole stack: rows are restored from a backup, counted, rotated under few new data keys, also when
# the rotation or the gateway is killed in the middle; no row is unreadable at any moment, none is rotated twice, what is left is said. ROWS=20000 measures.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
parts=$root/tests/scenarios/parts
dir=$(mktemp -d /tmp/cs-rot.XXXXXX)
export COUNTERSIGN_RUN=$dir/run
unset ATTESTATION_PCRS ATTESTATION_ROOT NSM_ROOT_PEM TEE_GRPC TEE_CALLER
/usr/bin/python3 -c 'import cryptography' 2>/dev/null || { echo "python3-cryptography is needed" && exit 77; }
# shellcheck source=/dev/null
. "$root/scripts/stack.sh"
set +e
failed=0
trap 'down; [ -n "${KEEP:-}" ] || rm -rf "$dir"' EXIT
ROWS=${ROWS:-3000} PER_KEY=$((${ROWS:-3000} / 20))
callers() { caller_new demo Sign,Generate,Import,Seal,Unseal,Rotate '*'; }
# two KMS keys, both on the measured list: the first one seals until the rotation to the other
eval "one_$(declare -f key_new)"
eval "one_$(declare -f key_bind)"
eval "with_one_$(declare -f image_build)"
key_new() {
    one_key_new
    echo "$KEY_ARN" >"$RUN/key2"
    one_key_new
}
key_bind() {
    one_key_bind "$1"
    KEY_ARN=$(cat "$RUN/key2") one_key_bind "$1"
}
image_build() {
    # shellcheck disable=SC2034 # used by stack-lib.sh
    CONFIG_TEE="{enabled: true, dataKeyCacheSeconds: 60, kmsKeyArns: [\"$KEY_ARN\", \"$(cat "$RUN/key2")\"]}"
    with_one_image_build "$@"
}
(set -e; up) >"$dir/up.log" 2>&1 || { tail -5 "$dir/up.log"; echo "not ok up"; exit 1; }
cd "$dir" || exit 1
ENV=$RUN/endpoints.env
value() { sed -n "s/^$1=//p" "$ENV"; }
# shellcheck disable=SC2034 # used by stack-lib.sh
PCR0=$(value PCR0) PCR1=$(value PCR1) PCR2=$(value PCR2) GRPC=$(value SIGN_SERVICE_GRPC) GATEWAY_GRPC=$(value GATEWAY_GRPC) GATEWAY_HTTP=$(value GATEWAY_HTTP)
# shellcheck disable=SC2034 # used by stack-lib.sh
KEY_ARN=$(value KMS_KEY_ARN) KMS=$(emu_get kms) CA=$(emu_get ca) DB=sqlite:$RUN/tee.db
# shellcheck disable=SC2034
METRICS=$(value METRICS)
tee_() { "$BIN/signctl" tee "$@" --env "$ENV"; }
case_() {
    local name=$1
    shift
    if "$@"; then echo "ok $name"; else
        echo "not ok $name"
        tail -3 "$dir/err" "$RUN/gateway.log" "$RUN/host/enclave.log" 2>/dev/null | sed 's/^/# /'
        failed=1
    fi
}
# sql STATEMENT: one value of the store
sql() { python3 -c 'import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).fetchone()[0])' "$RUN/tee.db" "$1"; }
rotate() { tee_ rotate --all --json "$@" 2>"$dir/err"; }
said() { head -1 "$1" | jq -r "$2"; }
# all_open: keys of all parts of the store sign, and are the ones that were there
all_open() {
    local i
    for i in 0 1 $((ROWS / 3)) $((ROWS / 2)) $((ROWS - 1)); do
        [ "$(tee_ public-key "k$i" --json | jq -r .public_key)" = "$(jq -r "select(.id==\"k$i\").public_key" "$dir/backup.jsonl")" ] || { echo "# k$i does not open"; return 1; }
    done
}

data_keys() {
    local i plain
    for i in $(seq 20); do
        plain=$(openssl rand -hex 32)
        printf '%s' "$plain" | xxd -r -p >"$dir/plain"
        age_seal "$dir/plain" "$dir/wrapped" || return 1
        echo "$plain:$(base64 -w0 "$dir/wrapped")"
    done
}
restored() {
    local keys sealing
    mapfile -t keys < <(data_keys)
    sealing=$("$BIN/signctl" age decrypt -i "$RUN/age-private.key" "$RUN/shares/service_key_shares.json.age" | tail -n +2 | jq -r '."countersign/sealing"[0]')
    python3 "$parts/tee_rows.py" make "$sealing" "$KEY_ARN" "$ROWS" "$PER_KEY" "${keys[@]}" >"$dir/backup.jsonl" || return 1
    gateway_down
    "$BIN/signctl" tee import "$dir/backup.jsonl" --check >/dev/null && "$BIN/signctl" tee import "$dir/backup.jsonl" --store "$DB" >/dev/null || return 1
    gateway >/dev/null
    all_open
}
case_ restored-from-a-backup restored
counted() { [ "$(rotate --count | jq -r '.records, .left, .rotated' | paste -sd' ')" = "$ROWS $ROWS 0" ] && [ "$(sql 'select max(version) from keys')" = 1 ]; }
case_ count-changes-nothing counted

# ---- killed in the middle: the rotation itself, then the gateway under it

# killed PIDFILE-OR-PID: SIGKILL when a part of the rows has been rotated
killed_at_third() {
    local pid=$1
    wait_until 60 bash -c '[ "$(python3 -c "import sqlite3,sys; print(sqlite3.connect(sys.argv[1]).execute(\"select count(*) from keys where version > 1\").fetchone()[0])" "$0")" -gt "$1" ]' "$RUN/tee.db" "$2" &&
        kill -9 "$pid"
}
rotation_killed() {
    rotate --state "$dir/state" --batch 16 >"$dir/out1" &
    local job=$!
    wait_until 60 pgrep -P $job >/dev/null || true
    killed_at_third "$(pgrep -P $job -f 'signctl' || echo $job)" $((ROWS / 10))
    wait $job 2>/dev/null
    local done_
    done_=$(sql 'select count(*) from keys where version > 1')
    echo "# killed after $done_ rows"
    [ "$done_" -gt 0 ] && [ "$done_" -lt "$ROWS" ] && [ -s "$dir/state" ] && all_open
}
case_ rotation-killed-leaves-all-readable rotation_killed
other_state() { rotate --state "$dir/state" --old-kms-key "$KEY_ARN" >"$dir/other"; [ $? = 1 ] && [ "$(jq -r .code "$dir/other")" = STATE ]; }
case_ state-of-another-rotation other_state
gateway_killed() {
    local status
    rotate --state "$dir/state" --batch 16 --timeout-ms 30000 --retries 20 >"$dir/out2" &
    local job=$!
    killed_at_third "$(cat "$RUN/gateway.pid")" $((ROWS / 2)) || return 1
    sleep 0.3
    gateway >/dev/null || return 1
    wait $job
    status=$?
    echo "# status $status: $(head -c 300 "$dir/out2")"
    [ $status = 0 ] || { rotate --state "$dir/state" >"$dir/out2" || return 1; }
    [ "$(said "$dir/out2" '.left, .failed' | paste -sd' ')" = "0 0" ] && all_open
}
case_ gateway-killed-rotation-goes-on gateway_killed
once() {
    [ "$(sql 'select count(*) from keys where version = 2')" = "$ROWS" ] && [ "$(sql 'select count(*) from keys')" = "$ROWS" ] && [ ! -e "$dir/state" ]
}
case_ each-row-was-rotated-once once
few_keys() {
    local n
    n=$(sql 'select count(distinct data_key_ciphertext) from keys')
    echo "# $n data keys instead of 20"
    [ "$n" -le 4 ]
}
case_ few-data-keys few_keys

# ---- measured, and what cannot be rotated

measured() {
    rotate >"$dir/out3" || return 1
    echo "# $(head -1 "$dir/out3")"
    [ "$(said "$dir/out3" '.rotated, .left, .failed' | paste -sd' ')" = "$ROWS 0 0" ] && [ "$(said "$dir/out3" .sampled)" -gt 0 ] && all_open
}
case_ rotated-again measured
broken() {
    gateway_down
    python3 -c 'import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("UPDATE keys SET ciphertext_blob = (SELECT ciphertext_blob FROM keys WHERE id = \"k2\") WHERE id = \"k1\"")
db.commit()' "$RUN/tee.db"
    gateway >/dev/null
    rotate >"$dir/out4"
    [ $? = 1 ] && [ "$(said "$dir/out4" '.rotated, .left, .failed' | paste -sd' ')" = "$((ROWS - 1)) 1 1" ] && grep -q '^k1: SEAL_OPEN' "$dir/err"
}
case_ broken-row-is-named-and-left broken
under_the_key() { [ "$(rotate --count --kms-key "$KEY_ARN" | jq -r .left)" = 0 ] && [ "$(rotate --count --old-kms-key "$KEY_ARN" | jq -r .left)" = "$ROWS" ]; }
case_ filters-by-kms-key under_the_key
other_kms_key() {
    local key2
    key2=$(cat "$RUN/key2")
    rotate --kms-key "$key2" >"$dir/out5"
    [ "$(said "$dir/out5" '.rotated, .left' | paste -sd' ')" = "$((ROWS - 1)) 1" ] && [ "$(sql "select count(*) from keys where kms_key_id = '$key2'")" = "$((ROWS - 1))" ] || return 1
    rotate --kms-key "$key2" >"$dir/out6" # again: nothing but the row that is broken
    [ "$(said "$dir/out6" '.records, .rotated, .failed' | paste -sd' ')" = "1 0 1" ] || return 1
    jq -n --arg key "$KEY_ARN" '{KeyId: $key}' | kms DisableKey >/dev/null && all_but_broken_open
}
all_but_broken_open() {
    local i
    for i in 0 $((ROWS / 3)) $((ROWS - 1)); do
        [ "$(tee_ public-key "k$i" --json | jq -r .public_key)" = "$(jq -r "select(.id==\"k$i\").public_key" "$dir/backup.jsonl")" ] || { echo "# k$i does not open"; return 1; }
    done
}
case_ other-kms-key-and-the-old-one-disabled other_kms_key
usage() { rotate k1 >/dev/null; [ $? = 2 ]; }
case_ all-and-records usage

# ---- backups

backup() {
    "$BIN/signctl" tee export "$dir/copy.jsonl" --store "$DB" --json >"$dir/exported" && [ "$(jq -r .rows "$dir/exported")" = "$ROWS" ] &&
        "$BIN/signctl" tee import "$dir/copy.jsonl" --check >/dev/null && ! grep -qF "$(printf 'private 7' | sha256sum | cut -c1-64)" "$dir/copy.jsonl"
}
case_ export-while-serving backup
damaged() {
    sed '5s/"version":[0-9]*/"version":99/' "$dir/copy.jsonl" >"$dir/damaged.jsonl"
    ! "$BIN/signctl" tee import "$dir/damaged.jsonl" --check >/dev/null 2>"$dir/err"
}
case_ damaged-backup-is-refused damaged
restored_elsewhere() {
    gateway_down
    rm -f "$RUN"/tee.db*
    "$BIN/sign-gateway" migrate up --store "$DB" >/dev/null && "$BIN/signctl" tee import "$dir/copy.jsonl" --store "$DB" >/dev/null || return 1
    gateway >/dev/null
    [ "$(tee_ public-key k5 --json | jq -r .public_key)" = "$(jq -r 'select(.id=="k5").public_key' "$dir/backup.jsonl")" ]
}
case_ restored-into-an-empty-store restored_elsewhere
exit "$failed"
