#!/bin/bash
# Goal of this test: the sealed share file has at most 256 MiB, the sealed age identity at most 64 KiB. A byte more is TOO_LARGE at
# S3 and at the inject ports and changes nothing; exactly as much passes and is judged by what is in it.
# programs: release
set -u
# shellcheck source=tests/scenarios/lib.sh
. "$(dirname "$0")/lib.sh"
HERE=$(cd "$(dirname "$0")" && pwd)
AGE=$RUN/age-private.key.enc
SHARES=$RUN/shares/service_key_shares.json.age
SHARES_MAX=$((256 << 20))
AGE_MAX=$((64 << 10))
ZEROS=
trap '[ -z "$ZEROS" ] || kill "$ZEROS" 2>/dev/null; cleanup' EXIT

zeros_up() {
    setsid python3 "$HERE/zeros.py" "$RUN/zeros.port" </dev/null >/dev/null 2>&1 &
    ZEROS=$!
    wait_until 10 test -s "$RUN/zeros.port"
}
# fetched AGE_BYTES SHARES_BYTES: what sign-host says of two objects of that size
fetched() {
    rm -rf "$RUN/f"
    AGE_KEY_S3_URI=s3://$BUCKET/$1 KEY_SHARES_S3_URI=s3://$BUCKET/$2 AWS_REGION=$REGION IMDS_ENDPOINT=$IMDS \
        S3_ENDPOINT=http://127.0.0.1:$(cat "$RUN/zeros.port") timeout 60 "$BIN/sign-host" run --driver local --image "$RUN/image" --dir "$RUN/f" \
        --nsm-control "$(emu_get nsm_control)" --kms-endpoint "$(emu_get kms_connect)" --listen tcp:127.0.0.1:0 >"$RUN/f.out" 2>"$RUN/f.err"
    [ $? = 1 ]
}
s3_line() { grep 'S3 GetObject' "$RUN/f.out" | sed -n "$1p"; }
s3_age() { fetched $((AGE_MAX + 1)) 1000 && s3_line 1 | grep -q TOO_LARGE; }
s3_shares() { fetched "$AGE_MAX" $((SHARES_MAX + 1)) && s3_line 1 | grep -q ' ok ' && s3_line 2 | grep -q TOO_LARGE; }
s3_largest() { fetched "$AGE_MAX" "$SHARES_MAX" && s3_line 2 | grep -q ' ok ' && grep -q 'inject 7102.*\(ok\|KMS_CIPHERTEXT\)' "$RUN/f.out"; }
# inject_zeros PORT BYTES: the code
inject_zeros() { head -c "$2" /dev/zero | inject e "$1" | code; }
same() { [ "$("$BIN/sign-host" status --json --dir "$RUN/e" | jq -r '[.phase, .generation, .load.stage] | join(" ")')" = "SERVING 1 idle" ]; }
too_large() { [ "$(inject_zeros "$1" "$2")" = TOO_LARGE ] && same; }
largest_age() {
    credentials | inject e 7100 >/dev/null
    [ "$(inject_zeros 7101 "$AGE_MAX")" = OK ] && [ "$(inject e 7102 <"$SHARES" | code)" = KMS_CIPHERTEXT ] && same
}
largest_shares() { [ "$(inject_zeros 7102 "$SHARES_MAX")" = OK ] && [ "$(inject e 7101 <"$AGE" | code)" = AGE_ARMOR ] && same; }
reload() { shares_new "$RUN/two" 2 && [ "$(pair e "$AGE" "$RUN/two/service_key_shares.json.age" | code)" = OK ]; }

prepare
case_ an-endpoint-of-large-objects zeros_up
[ "$failed" = 0 ] || finish
case_ s3-age-key-of-64-kib-and-1 s3_age
case_ s3-shares-of-256-mib-and-1 s3_shares
case_ s3-both-of-the-largest-size s3_largest
serve e || exit 1
case_ inject-age-key-of-64-kib-and-1 too_large 7101 $((AGE_MAX + 1))
case_ inject-shares-of-256-mib-and-1 too_large 7102 $((SHARES_MAX + 1))
case_ inject-age-key-of-64-kib largest_age
case_ inject-shares-of-256-mib largest_shares
case_ right-pair-afterwards reload
finish
