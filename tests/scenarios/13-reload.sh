#!/bin/bash
# Goal of this test: a new pair on a serving enclave is a reload that swaps all or nothing; refused files leave the old set in
# service; a killed sign-service or sign-kms comes back, the death of sign-core halts everything and leaves no process.
set -u
# shellcheck source=tests/scenarios/lib.sh
. "$(dirname "$0")/lib.sh"
AGE=$RUN/age-private.key.enc

generation() { "$BIN/sign-host" status --json --dir "$RUN/e" | jq -r .generation; }
sign() {
    "$BIN/signctl" sign -s "tcp:$GRPC" --shares "$1/client_key_shares.json" --root "$(emu_get nsm_root)" --pcr "0=$PCR0" -a account-1 \
        --digest "$(printf '%064d' "$2")" --json >"$RUN/sign.json" 2>&1
}
signs() { sign "$1" 1; }
refused() { ! sign "$1" 1 && [ "$(head -1 "$RUN/sign.json" | jq -r .code 2>/dev/null)" = "$2" ] || { cat "$RUN/sign.json"; return 1; }; }
reload() { [ "$(pair e "$AGE" "$1/service_key_shares.json.age" | code)" = "$2" ]; }
same_set() { [ "$(generation)" = 5 ] && [ "$(phase e)" = SERVING ] && signs "$RUN/five"; }
refused_reload() { reload "$1" "$2" && same_set; }
swapped() { shares_new "$RUN/five" 5 && reload "$RUN/five" OK && same_set; }
old_pair_is_gone() { refused "$RUN/shares" ATT_BINDING; }
unsigned_publisher() {
    "$BIN/signctl" publisher keygen -o "$RUN/other.key" >/dev/null
    mkdir -p "$RUN/forged"
    "$BIN/signctl" keygen -r "$RECIPIENT" --plaintext --publisher-key "$RUN/other.key" --generation 9 -d "$RUN/forged" >/dev/null
    refused_reload "$RUN/forged" SHARES_SIGNATURE
}
older() { shares_new "$RUN/four" 4 && refused_reload "$RUN/four" SHARES_GENERATION; }
unknown_account() {
    "$BIN/signctl" sign -s "tcp:$GRPC" --shares "$RUN/five/client_key_shares.json" --root "$(emu_get nsm_root)" --pcr "0=$PCR0" \
        -a nobody --digest "$(printf '%064d' 1)" --json >"$RUN/sign.json" 2>/dev/null
    [ $? = 1 ] && [ "$(jq -r .code "$RUN/sign.json")" = ACCOUNT_UNKNOWN ]
}
other_pcr() {
    "$BIN/signctl" sign -s "tcp:$GRPC" --shares "$RUN/five/client_key_shares.json" --root "$(emu_get nsm_root)" --pcr "0=${PCR1}" \
        -a account-1 --digest "$(printf '%064d' 1)" --json >"$RUN/sign.json" 2>/dev/null
    [ $? = 1 ] && [ "$(jq -r .code "$RUN/sign.json")" = ATT_PCR ]
}
child() { pgrep -P "$HOST_PID" -f "$1"; }
restarted() {
    local old
    old=$(child "$1") && kill -9 "$old" || return 1
    # shellcheck disable=SC2016 # expanded by the inner shell
    wait_until 10 bash -c 'p=$(pgrep -P "$0" -f "$1") && [ "$p" != "$2" ]' "$HOST_PID" "$1" "$old"
}
service_restart() { restarted sign-service-local && wait_until 20 same_set; }
kms_restart() { restarted sign-kms-local && shares_new "$RUN/five" 5 --force && wait_until 20 reload "$RUN/five" OK; }
core_dies() {
    local core pids
    pids=$(pgrep -P "$HOST_PID")
    core=$(child sign-core-emulated) && kill -9 "$core" || return 1
    # shellcheck disable=SC2086,SC2016 # a list of numbers; expanded by the inner shell
    wait_until 15 bash -c 'for p in "$@"; do ! kill -0 "$p" || exit 1; done' - $pids "$HOST_PID" &&
        [ -z "$(find "$RUN/e" -name '*.sock')" ]
}

prepare
serve e || exit 1
case_ signs-before signs "$RUN/shares"
case_ reload-swaps-the-set swapped
case_ old-client-is-refused old_pair_is_gone
case_ older-generation-is-refused older
case_ other-publisher-is-refused unsigned_publisher
case_ unknown-account unknown_account
case_ another-image-is-refused-by-the-client other_pcr
case_ sign-service-is-restarted service_restart
case_ sign-kms-is-restarted kms_restart
case_ death-of-core-halts-everything core_dies
finish
