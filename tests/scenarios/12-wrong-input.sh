#!/bin/bash
# Goal of this test: a wrong key, region or encryption context in the measured configuration, another PCR0, and truncated or
# tampered files each end in their stable code at the inject port, in the status and in the log; nothing is loaded and the
# enclave takes the right pair afterwards.
set -u
# shellcheck source=tests/scenarios/lib.sh
. "$(dirname "$0")/lib.sh"
AGE=$RUN/age-private.key.enc
SHARES=$RUN/shares/service_key_shares.json.age

# configured NAME CODE [VAR=VALUE]: an image that differs in one setting, its PCR0 allowed by the key's policy
configured() {
    local name=$1 wanted=$2
    shift 2
    (
        local "$@"
        image_build "$RUN/image-$name" && key_bind "$PCR0"
    ) || return 1
    host_up "$RUN/$name" "$RUN/image-$name" --no-preload --keep || return 1
    [ "$(pair "$name" "$AGE" "$SHARES" | code)" = "$wanted" ] && [ "$(last "$name")" = "$wanted" ] && logged "$name" "$wanted" &&
        [ "$(phase "$name")" = WAITING ]
    local got=$?
    host_down "$RUN/$name"
    return $got
}
# bad CODE AGE SHARES: refused with this code, and phase WAITING
bad() {
    local got
    got=$(pair e "$2" "$3" | code)
    [ "$got" = "$1" ] && [ "$(phase e)" = WAITING ] && logged e "$1" || { echo "# got $got"; return 1; }
}
good() { [ "$(pair e "$AGE" "$SHARES" | code)" = OK ] && [ "$(phase e)" = SERVING ]; }
# change FILE OFFSET OUT: one byte of a copy
change() {
    cp "$1" "$3"
    printf '\xa5' | dd of="$3" bs=1 seek="$2" conv=notrunc status=none
}

prepare
PCR_OK=$PCR0
other=$(echo '{}' | kms CreateKey | jq -r .KeyMetadata.Arn)
case_ wrong-key configured key KMS_KEY CONFIG_KEY_ARN="$other"
case_ wrong-encryption-context configured context KMS_CIPHERTEXT CONFIG_CONTEXT='{"app": "other"}'
case_ wrong-region configured region KMS_SIGNATURE CONFIG_REGION=eu-west-3
key_bind "$PCR_OK"
host_up "$RUN/e" "$RUN/image" --no-preload --keep || exit 1
head -c 100 "$AGE" >"$RUN/age.short"
change "$AGE" 120 "$RUN/age.changed"
size=$(stat -c %s "$SHARES")
head -c $((size - 1)) "$SHARES" >"$RUN/shares.short"
change "$SHARES" $((size - 20)) "$RUN/shares.changed"
change "$SHARES" 150 "$RUN/shares.header"
echo 'not an age file' >"$RUN/shares.text"
case_ age-key-truncated bad KMS_CIPHERTEXT "$RUN/age.short" "$SHARES"
case_ age-key-changed bad KMS_CIPHERTEXT "$RUN/age.changed" "$SHARES"
case_ shares-truncated bad AGE_PAYLOAD "$AGE" "$RUN/shares.short"
case_ shares-changed bad AGE_PAYLOAD "$AGE" "$RUN/shares.changed"
case_ shares-no-age-file bad AGE_ARMOR "$AGE" "$RUN/shares.text"
printf 'age-encryption.org/v1\nnonsense\n' >"$RUN/shares.text"
case_ shares-bad-age-header bad AGE_HEADER "$AGE" "$RUN/shares.text"
# to another recipient
(RECIPIENT=$("$BIN/signctl" age keygen 2>/dev/null | sed -n 's/^# public key: //p') && shares_new "$RUN/stranger" 1)
case_ shares-of-another-recipient bad AGE_NO_MATCH "$AGE" "$RUN/stranger/service_key_shares.json.age"
# duplicate account: signed by the publisher over such a file cannot be made with keygen; unsigned and garbage can
printf 'countersign-shares/1 generation=1 publisher=none sha256=%064d\n{}' 0 | "$BIN/signctl" age encrypt -r "$RECIPIENT" -o "$RUN/unsigned.age"
case_ shares-unsigned bad SHARES_UNSIGNED "$AGE" "$RUN/unsigned.age"
echo hello | "$BIN/signctl" age encrypt -r "$RECIPIENT" -o "$RUN/garbage.age"
case_ shares-garbage bad SHARES_FORMAT "$AGE" "$RUN/garbage.age"
head -c 70000 /dev/zero >"$RUN/age.large"
case_ age-key-too-large bash -c '[ "$(socat -t 20 - UNIX-CONNECT:$0 <"$1" | jq -r .code)" = TOO_LARGE ]' "$RUN/e/enclave-7101.sock" "$RUN/age.large"
case_ right-pair-afterwards good
finish
