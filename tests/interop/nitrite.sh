#!/bin/bash
# Attestation documents of the emulated security module under an independent verifier (github.com/hf/nitrite), given the emulator's root: those
# of the enclave and of the TEE service, over HTTP. Another root, another nonce and any flipped bit are refused.
# shellcheck source=tests/interop/lib.sh
. "$(dirname "$0")/lib.sh"
need nitrite-verify
stack
VERIFY=$(go_peer nitrite-verify)
NONCE=$(od -An -tx1 -N32 /dev/urandom | tr -d ' \n')
B64=$(printf '%s' "$NONCE" | python3 -c 'import base64, sys; print(base64.b64encode(bytes.fromhex(sys.stdin.read())).decode())')
# ask PATH FILE
ask() {
    curl -sSf --noproxy '*' -H 'Content-Type: application/json' -d "{\"nonce\": \"$B64\"}" "$GATEWAY_HTTP$1" | jq -er .document | base64 -d >"$2"
}
# verified FILE: by nitrite, with the measurements that were expected
verified() {
    "$VERIFY" "$NSM_ROOT_PEM" "$NONCE" <"$1" >"$1.json" || { cat "$1.json"; return 1; }
    jq -e --arg a "$PCR0" --arg b "$PCR1" --arg c "$PCR2" '.pcrs["0"] == $a and .pcrs["1"] == $b and .pcrs["2"] == $c' "$1.json"
}
# refused FILE ROOT NONCE
refused() { ! "$VERIFY" "$2" "$3" <"$1"; }
# flipped FILE: one bit in each tenth of it
flipped() {
    python3 -c 'import subprocess, sys
data = open(sys.argv[1], "rb").read()
for part in range(10):
    at = len(data) * part // 10 + len(data) // 20
    wrong = data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]
    if subprocess.run(sys.argv[2:], input=wrong, capture_output=True).returncode == 0:
        sys.exit(f"a flipped bit at {at} of {len(data)} is accepted")' "$1" "$VERIFY" "$NSM_ROOT_PEM" "$NONCE"
}
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:secp384r1 -nodes -keyout /dev/null -subj /CN=other -out "$RUN/other.pem" 2>/dev/null
for kind in v1 v1/tee; do
    name=${kind//\//-} file=$RUN/${kind//\//-}.doc
    case_ "$name-attest" ask "/$kind/attest" "$file"
    case_ "$name-verifies" verified "$file"
    case_ "$name-other-root" refused "$file" "$RUN/other.pem" "$NONCE"
    case_ "$name-other-nonce" refused "$file" "$NSM_ROOT_PEM" "00$NONCE"
    case_ "$name-flipped-bits" flipped "$file"
done
# user_data: CBOR [1, "tee", request key, audit key, boot]
case_ tee-vouches jq -e '(.user_data | length) > 160 and (.user_data | startswith("850163746565"))' "$RUN/v1-tee.doc.json"
exit $failed
