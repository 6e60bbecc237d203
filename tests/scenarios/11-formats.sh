#!/bin/bash
# signctl cms and attest as a user meets them: exit status 0, 1, 2 and the codes of refusals.
set -u
dir=$(mktemp -d) || exit 2
trap 'rm -rf "$dir"' EXIT
corpus=$(cd "$(dirname "$0")/../.." && pwd)/fuzz/corpus
doc=$corpus/attest_doc/definite
pcr=$(printf 'ab%.0s' $(seq 48))
failed=0

# expect STATUS WORD NAME COMMAND...: exit status, and WORD somewhere in the output
expect() {
    local status=$1 word=$2 name=$3
    shift 3
    "$@" >"$dir/log" 2>&1 </dev/null
    local got=$?
    if [ $got = "$status" ] && { [ -z "$word" ] || grep -q -- "$word" "$dir/log"; }; then
        echo "ok $name"
    else
        echo "not ok $name (status $got)"
        sed 's/^/    /' "$dir/log"
        failed=1
    fi
}

expect 0 "NOT VERIFIED" "show prints what is not verified and says so" signctl attest show "$doc"
expect 0 '"verified":false' "show in JSON says it too" signctl attest show --json "$doc"
expect 1 ATT_FORMAT "show refuses what is no document" signctl attest show "$0"
expect 1 NOT_FOUND "a file that is not there" signctl attest show "$dir/none"
expect 1 ATT_NO_POLICY "verify without a condition on PCRs is a refusal" signctl attest verify "$doc"
expect 1 '"code":"ATT_NO_POLICY"' "also in JSON" signctl attest verify --json "$doc"
expect 1 ATT_CHAIN "verify refuses a document of nobody" signctl attest verify --any-pcrs --time document "$doc"
expect 1 ATT_CHAIN "with a PCR too" signctl attest verify --pcr "0=$pcr" --time 2025-01-02T03:04:05Z "$doc"
expect 2 "48\|96" "a short PCR is a usage error" signctl attest verify --pcr 0=ab "$doc"
expect 2 twice "a register twice is one" signctl attest verify --pcr "0=$pcr" --pcr "0=$pcr" "$doc"
expect 2 zeros "a PCR of zeros is one" signctl attest verify --pcr "0=${pcr//ab/00}" "$doc"
expect 2 "registers" "a register beyond 31 is one" signctl attest verify --pcr "32=$pcr" "$doc"
expect 2 exclude "both kinds of condition are one" signctl attest verify --any-pcrs --pcr "0=$pcr" "$doc"
expect 2 "--time" "a time that is none is one" signctl attest verify --any-pcrs --time yesterday "$doc"
expect 2 "--nonce" "a nonce that is no hex is one" signctl attest verify --any-pcrs --nonce xy "$doc"
expect 2 "" "no file is one" signctl attest verify --any-pcrs
expect 1 FORMAT "a root that is no certificate" signctl attest verify --any-pcrs --root "$0" "$doc"

openssl req -x509 -newkey rsa:2048 -nodes -keyout "$dir/key.pem" -out "$dir/cert.pem" -subj /CN=x -days 1 2>"$dir/log" &&
    openssl genrsa -out "$dir/other.pem" 2048 2>"$dir/log" && printf 'the plaintext' >"$dir/plain" &&
    openssl cms -encrypt -binary -aes256 -keyid -recip "$dir/cert.pem" -keyopt rsa_padding_mode:oaep -keyopt rsa_oaep_md:sha256 \
        -outform DER -in "$dir/plain" -out "$dir/envelope" || exit 2
expect 0 "the plaintext" "cms open" signctl cms open --key "$dir/key.pem" "$dir/envelope"
expect 0 "" "cms open into a file" signctl cms open --key "$dir/key.pem" -o "$dir/out" "$dir/envelope"
expect 0 "" "which has the plaintext" cmp "$dir/out" "$dir/plain"
expect 0 600 "and mode 600" stat -c %a "$dir/out"
expect 1 CMS "another key is refused" signctl cms open --key "$dir/other.pem" -o "$dir/none" "$dir/envelope"
expect 1 CMS "a cut envelope is refused" signctl cms open --key "$dir/key.pem" -o "$dir/none" <(head -c 300 "$dir/envelope")
expect 1 CMS "an envelope beyond 8 KiB is refused" signctl cms open --key "$dir/key.pem" /dev/zero
expect 1 "" "nothing is left of a refused envelope" test -e "$dir/none"
expect 1 FORMAT "a key that is none" signctl cms open --key "$dir/plain" "$dir/envelope"
expect 2 key "no key is a usage error" signctl cms open "$dir/envelope"
expect 2 "" "age needs to know whom to encrypt to" signctl age encrypt "$dir/plain"
expect 1 AGE_IDENTITY "a recipient that is none" signctl age encrypt -r age1xyz "$dir/plain"
expect 1 AGE_IDENTITY "an identity file that is none" signctl age decrypt -i "$dir/plain" "$dir/plain"
[ $failed = 0 ]
