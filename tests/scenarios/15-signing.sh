#!/bin/bash
# Goal of this test: requests through the enclave behave as documented: the same triple gives the same signature, with other data
# it is refused, a digest of another length and a wrong attestation root are refused, a debug enclave is not accepted, a standing
# stack signs 20 times in a row.
set -u
# shellcheck source=tests/scenarios/lib.sh
. "$(dirname "$0")/lib.sh"

sign() {
    "$BIN/signctl" sign -s "tcp:$GRPC" --shares "$RUN/shares/client_key_shares.json" --root "$(emu_get nsm_root)" --pcr "0=$PCR0" \
        -a account-1 --json "$@" >"$RUN/sign.json" 2>"$RUN/sign.err"
}
digest() { printf '%064d' "$1"; }
refused() {
    local wanted=$1 got
    shift
    if sign "$@"; then
        return 1
    fi
    got=$(jq -r .code "$RUN/sign.json")
    [ "$got" = "$wanted" ] || { echo "# got $got"; return 1; }
}
remembered() {
    local first
    sign --digest "$(digest 1)" --tx-id 5 --execution-id aa01 || return 1
    first=$(jq -r .r+.s "$RUN/sign.json")
    sign --digest "$(digest 1)" --tx-id 5 --execution-id aa01 && [ "$(jq -r .r+.s "$RUN/sign.json")" = "$first" ]
}
other_execution() { sign --digest "$(digest 2)" --tx-id 5 --execution-id aa02; }
derived() { sign --digest "$(digest 3)" --path m/0/7 && [ "$(jq -r .public_key "$RUN/sign.json")" != "$(jq -r '.accounts[0].public_key' "$RUN/shares/keygen.json")" ]; }
usage() {
    sign --digest "$1"
    [ $? = 2 ] || [ "$(jq -r .code "$RUN/sign.json")" = DIGEST_LENGTH ]
}
twenty() {
    local i
    for i in $(seq 20); do
        sign --digest "$(digest "$i")" || return 1
    done
}
wrong_root() {
    "$BIN/signctl" sign -s "tcp:$GRPC" --shares "$RUN/shares/client_key_shares.json" --pcr "0=$PCR0" -a account-1 --digest "$(digest 1)" \
        --json >"$RUN/sign.json" 2>/dev/null
    [ $? = 1 ] && [ "$(jq -r .code "$RUN/sign.json")" = ATT_CHAIN ]
}
no_policy() {
    "$BIN/signctl" sign -s "tcp:$GRPC" --shares "$RUN/shares/client_key_shares.json" --root "$(emu_get nsm_root)" -a account-1 \
        --digest "$(digest 1)" --json >"$RUN/sign.json" 2>/dev/null
    [ $? != 0 ] && [ "$(jq -r .code "$RUN/sign.json")" = ATT_NO_POLICY ]
}
# PCR0 of zeros: KMS refuses it, and so does core before it asks
debug_enclave() {
    host_up "$RUN/d" "$RUN/image" --debug-mode --no-preload --keep || return 1
    case $(pair d "$RUN/age-private.key.enc" "$RUN/shares/service_key_shares.json.age" | code) in
    ATT_DEBUG | KMS_DENIED) [ "$("$BIN/sign-host" status --json --dir "$RUN/d" | jq -r .debug)" = true ] && [ "$(phase d)" = WAITING ] ;;
    *) return 1 ;;
    esac
}

prepare
serve e || exit 1
case_ same-request-same-signature remembered
case_ same-execution-other-digest refused EXECUTION_CONFLICT --digest "$(digest 9)" --tx-id 5 --execution-id aa01
case_ other-execution-is-a-new-session other_execution
case_ derived-key derived
case_ digest-of-31-bytes usage "$(printf '%062d' 1)"
case_ digest-not-hex refused FORMAT --digest "$(printf 'x%063d' 1)"
case_ twenty-in-a-row twenty
case_ wrong-attestation-root wrong_root
case_ no-pcr-policy no_policy
case_ debug-enclave-is-refused debug_enclave
finish
