#!/bin/bash
# Goal of this test: the TEE service through the shipped programs: keys of each algorithm are made and used in the enclave, and their signatures
# verify with openssl and @noble/curves; data is sealed and comes back to its caller only; what a caller may not do is refused; the same request id is one
# request; swapped rows of the store do not open; keys outlive a new boot; the audit log is proven, and no plaintext is anywhere.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
parts=$root/tests/scenarios/parts
dir=$(mktemp -d /tmp/cs-tee.XXXXXX)
export COUNTERSIGN_RUN=$dir/run NODE_PATH=$root/build/npm/node_modules
unset ATTESTATION_PCRS ATTESTATION_ROOT NSM_ROOT_PEM TEE_GRPC TEE_CALLER
# shellcheck source=/dev/null
. "$root/scripts/stack.sh"
set +e
failed=0
trap 'down; [ -n "${KEEP:-}" ] || rm -rf "$dir"' EXIT
MARK=plaintext-$RANDOM$RANDOM-that-nobody-may-see

callers() {
    caller_new demo Sign,Decrypt,Seal,Unseal,Generate,Import,Rotate '*'
    caller_new reader Sign,Unseal 'wallet-*'
}
(set -e; up) >"$dir/up.log" 2>&1 || { tail -5 "$dir/up.log"; echo "not ok up"; exit 1; }
cd "$dir" || exit 1
ENV=$RUN/endpoints.env
value() { sed -n "s/^$1=//p" "$ENV"; }
# shellcheck disable=SC2034 # used by stack-lib.sh
PCR0=$(value PCR0) PCR1=$(value PCR1) PCR2=$(value PCR2) GRPC=$(value SIGN_SERVICE_GRPC) GATEWAY_GRPC=$(value GATEWAY_GRPC) GATEWAY_HTTP=$(value GATEWAY_HTTP)
"$BIN/signctl" caller new --id stranger -o "$dir/stranger.json" >/dev/null

tee_() { "$BIN/signctl" tee "$@" --env "$ENV"; }
# code COMMAND...: OK, or the code of the refusal
code() {
    local out
    if out=$(tee_ "$@" --json 2>"$dir/err"); then echo OK; else jq -r .code <<<"$out"; fi
}
is() {
    local wanted=$1 got
    shift
    got=$(code "$@")
    [ "$got" = "$wanted" ] || { echo "# $*: $got instead of $wanted"; return 1; }
}
case_() {
    local name=$1
    shift
    if "$@"; then echo "ok $name"; else
        echo "not ok $name"
        tail -3 "$dir/err" "$RUN/gateway.log" "$RUN/host/enclave.log" 2>/dev/null | sed 's/^/# /'
        failed=1
    fi
}

# ---- keys

printf 'a message of some length' >"$dir/message"
sign_and_verify() {
    local algorithm=$1 record=wallet-$1 key sig out=$dir/p256
    key=$(tee_ generate "$record" -a "$algorithm" --json | jq -r .public_key)
    sig=$(tee_ sign "$record" -a "$algorithm" --message "$dir/message" --json | jq -r .signature)
    [ "$(tee_ public-key "$record" --json | jq -r .public_key)" = "$key" ] || return 1
    node "$parts/tee_verify.cjs" "$algorithm" "$key" "$sig" "$dir/message" || return 1
    case $algorithm in
    schnorr-bip340) return 0 ;; # openssl does not know it
    ed25519) out=$dir/ed ;;
    *k1) out=$dir/k1 ;;
    esac
    python3 "$parts/tee_openssl.py" "$key" "$sig" "$out"
    if [ "$algorithm" = ed25519 ]; then
        openssl pkeyutl -verify -rawin -pubin -keyform DER -inkey "$out.pub" -sigfile "$out.sig" -in "$dir/message" >/dev/null
    else
        openssl dgst -sha256 -verify <(openssl pkey -pubin -inform DER -in "$out.pub") -signature "$out.sig" "$dir/message" >/dev/null
    fi
}
for algorithm in ecdsa-secp256k1 ecdsa-p256 ed25519 schnorr-bip340; do
    case_ "sign-$algorithm" sign_and_verify "$algorithm"
done
sealed_request() {
    local key sig
    key=$(tee_ public-key wallet-ed25519 --json | jq -r .public_key)
    sig=$(tee_ sign wallet-ed25519 -a ed25519 --message "$dir/message" --seal-all --json | jq -r .signature)
    node "$parts/tee_verify.cjs" ed25519 "$key" "$sig" "$dir/message"
}
case_ sealed-request sealed_request
imported() {
    local key
    key=$(printf '%064x' 1 | tee_ import wallet-imported -a ecdsa-secp256k1 --private-key - --json | jq -r .public_key)
    [ "$key" = 0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798 ]
}
case_ import imported
case_ generate-twice is EXISTS generate wallet-ed25519 -a ed25519
case_ other-algorithm is ALGORITHM sign wallet-ed25519 -a schnorr-bip340 --message "$dir/message"
case_ no-such-record is NOT_FOUND sign wallet-nowhere -a ed25519 --message "$dir/message"

# ---- data

sealed() {
    printf '%s' "$MARK" | tee_ seal secret-1 --json >/dev/null && [ "$(tee_ unseal secret-1)" = "$MARK" ] &&
        printf '%s 2' "$MARK" | tee_ seal secret-1 --version 2 --json >/dev/null && [ "$(tee_ unseal secret-1)" = "$MARK 2" ]
}
case_ seal-unseal sealed
version_again() { printf x | is SEAL_VERSION seal secret-1 --version 2; }
case_ seal-version version_again

# ---- who may do what

case_ stranger is CALLER_UNKNOWN sign wallet-ed25519 -a ed25519 --message "$dir/message" -i "$dir/stranger.json"
case_ other-operation is CALLER_OPERATION generate wallet-x -a ed25519 -i "$RUN/callers/reader.json"
case_ other-record is CALLER_RECORD unseal secret-1 -o "$dir/never" -i "$RUN/callers/reader.json"
case_ may-sign is OK sign wallet-ed25519 -a ed25519 --message "$dir/message" -i "$RUN/callers/reader.json"
stolen_name() {
    jq '.id = "demo"' "$dir/stranger.json" >"$dir/thief.json" && chmod 600 "$dir/thief.json"
    is CALLER_AUTH unseal secret-1 -o "$dir/never" -i "$dir/thief.json"
}
case_ stolen-name stolen_name
case_ old-request is REQUEST_TIME sign wallet-ed25519 -a ed25519 --message "$dir/message" --time-ms 1700000000000
other_image() { [ "$("$BIN/signctl" tee stats -g "tcp:$GATEWAY_GRPC" --root "$(emu_get nsm_root)" --pcr "0=$PCR1" --json | jq -r .code)" = ATT_PCR ]; }
case_ other-image other_image

# ---- one request

request=(--request-id 00112233445566778899aabbccddeeff --time-ms "$(date +%s%3N)")
same_request() {
    local first
    first=$(tee_ sign wallet-ecdsa-p256 -a ecdsa-p256 --message "$dir/message" "${request[@]}" --json | jq -r '.signature, .counter')
    [ -n "$first" ] && [ "$(tee_ sign wallet-ecdsa-p256 -a ecdsa-p256 --message "$dir/message" "${request[@]}" --json | jq -r '.signature, .counter')" = "$first" ]
}
case_ same-id-same-answer same_request
case_ same-id-other-request is REQUEST_REPLAY sign wallet-ed25519 -a ed25519 --message "$dir/message" "${request[@]}"

# ---- the store

with_store() {
    gateway_down
    python3 "$parts/tee_store.py" "$RUN/tee.db" "$@" || return 1
    gateway >/dev/null
}
swapped() {
    tee_ generate wallet-other -a ed25519 >/dev/null
    with_store swap wallet-ed25519 wallet-other || return 1
    is SEAL_OPEN sign wallet-ed25519 -a ed25519 --message "$dir/message"
    local first=$?
    is SEAL_OPEN sign wallet-other -a ed25519 --message "$dir/message"
    local second=$?
    with_store swap wallet-ed25519 wallet-other && [ $first$second = 00 ] && is OK sign wallet-ed25519 -a ed25519 --message "$dir/message"
}
case_ swapped-rows-do-not-open swapped
rotated() {
    printf '%s\n' wallet-ed25519 wallet-ecdsa-p256 secret-1 wallet-nowhere >"$dir/records"
    tee_ rotate --records "$dir/records" --state "$dir/state" --json >"$dir/rotated" 2>/dev/null
    [ "$(head -1 "$dir/rotated" | jq -r '.rotated, .failed' | paste -sd' ')" = "3 1" ] || { cat "$dir/rotated"; return 1; }
    is OK sign wallet-ed25519 -a ed25519 --message "$dir/message" && [ "$(tee_ unseal secret-1)" = "$MARK 2" ]
}
case_ rotate rotated

# ---- another boot

HEADS=()
keep_head() { HEADS+=(--head "$(tee_ attest --json -o "$1" | jq -r '"\(.counter):\(.head)"')"); }
keep_head "$dir/boot1.bin"
another_boot() {
    restart >"$dir/restart.log" 2>&1 || { tail -3 "$dir/restart.log"; return 1; }
    is OK sign wallet-ecdsa-secp256k1 -a ecdsa-secp256k1 --message "$dir/message" && [ "$(tee_ unseal secret-1)" = "$MARK 2" ]
}
case_ keys-outlive-a-boot another_boot
keep_head "$dir/boot2.bin"

# ---- the log, and what is written anywhere

audit() { "$BIN/signctl" audit verify "$dir/audit.jsonl" --env "$ENV" --document "$dir/boot1.bin" --document "$dir/boot2.bin" "$@" --json; }
proven() {
    with_store export "$dir/audit.jsonl" || return 1
    audit "${HEADS[@]}" >"$dir/proof" || { cat "$dir/proof"; return 1; }
    [ "$(jq -r .boots "$dir/proof")" = 2 ] && [ "$(jq -r .heads_found "$dir/proof")" = 2 ]
}
case_ audit-log-is-proven proven
edited() {
    sed -i '9s/\("signature": "\)\(.\)/\1A/;9s/\("signature": "\)A\(A\)/\1B\2/' "$dir/audit.jsonl"
    audit >"$dir/proof"
    [ $? = 1 ] && jq -r .detail "$dir/proof" | grep -q 'line 9: the signature is wrong'
}
case_ edited-log-is-refused edited
no_plaintext() { ! grep -rlaF "$MARK" "$RUN"; }
case_ no-plaintext-written no_plaintext
case_ nothing-was-given-out test ! -e "$dir/never"
exit "$failed"
