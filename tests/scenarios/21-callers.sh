#!/bin/bash
# Goal of this test: sealing roots and callers go from the publisher's tools to a serving core: identities whose public keys OpenSSL
# computes too, share files whose signature and root ids are checked without our code, refusals that write nothing, and a core that
# takes the edited file by a reload and refuses what it must.
set -u
# shellcheck source=tests/scenarios/lib.sh
. "$(dirname "$0")/lib.sh"
AGE=$RUN/age-private.key.enc
CTL=$BIN/signctl

unhex() { tr a-f A-F | basenc -d --base16; }
# public OID SECRET: raw public key (hex) of a private key of 32 bytes (hex), by OpenSSL; 70 Ed25519, 6e X25519
public() {
    printf '302e020100300506032b65%s04220420%s' "$1" "$2" | unhex >"$RUN/der"
    openssl pkey -inform DER -in "$RUN/der" -pubout -outform DER 2>/dev/null | tail -c 32 | od -An -v -tx1 | tr -d ' \n'
}
# refuses STATUS CODE ARGS...: that exit status; the code is on standard error
refuses() {
    local want=$1 code=$2
    shift 2
    "$CTL" "$@" >"$RUN/out" 2>"$RUN/refused.err" </dev/null
    [ $? = "$want" ] && grep -q "$code" "$RUN/refused.err" && [ ! -s "$RUN/out" ]
}
identity() {
    "$CTL" caller new --id payments -o "$RUN/payments.json" --json >"$RUN/new.json" && [ "$(stat -c %a "$RUN/payments.json")" = 600 ] &&
        [ "$(public 70 "$(jq -r .ed25519_seed "$RUN/payments.json")")" = "$(jq -r .ed25519 "$RUN/new.json")" ] &&
        [ "$(public 6e "$(jq -r .x25519_secret "$RUN/payments.json")")" = "$(jq -r .x25519 "$RUN/new.json")" ] &&
        ! grep -q "$(jq -r .ed25519_seed "$RUN/payments.json")" "$RUN/new.json"
}
kept() {
    cp "$RUN/payments.json" "$RUN/before"
    refuses 1 EXISTS caller new --id other -o "$RUN/payments.json" && cmp -s "$RUN/before" "$RUN/payments.json"
}
description() {
    "$CTL" caller public "$RUN/payments.json" --operations Sign,Seal --records 'wallet-*' --records x --rate 7 >"$RUN/payments.pub" &&
        [ "$(jq -c '[.id, .operations, .records, .rate, .burst, (keys | length)]' "$RUN/payments.pub")" = \
            '["payments",["Sign","Seal"],["wallet-*","x"],7,7,7]' ] &&
        [ "$(jq -r .ed25519 "$RUN/payments.pub")" = "$(jq -r .ed25519 "$RUN/new.json")" ] &&
        "$CTL" caller new --id officer -o "$RUN/officer.json" >/dev/null &&
        "$CTL" caller public "$RUN/officer.json" --operations Approve >"$RUN/officer.pub"
}
open_identity() {
    cp "$RUN/payments.json" "$RUN/open.json" && chmod 640 "$RUN/open.json"
    refuses 1 IO caller public "$RUN/open.json" --operations Sign
}
# the file's own words, with sha256sum and openssl: hash of the body, signature of the publisher over the line, id of the root
by_hand() {
    local file=$1 line sig der
    head -1 "$file" >"$RUN/line"
    line=$(cat "$RUN/line")
    [ "$(tail -n +2 "$file" | sha256sum | cut -d' ' -f1)" = "$(sed -n 's/.* sha256=\([0-9a-f]*\).*/\1/p' "$RUN/line")" ] || return 1
    sig=${line##* sig=}
    der=302a300506032b6570032100$(sed -n 's/.* publisher=\([0-9a-f]*\).*/\1/p' "$RUN/line")
    printf '%s' "$der" | unhex >"$RUN/publisher.der"
    printf '%s' "${line% sig=*}" >"$RUN/signed"
    printf '%s' "$sig" | unhex >"$RUN/sig"
    openssl pkeyutl -verify -pubin -keyform DER -inkey "$RUN/publisher.der" -rawin -in "$RUN/signed" -sigfile "$RUN/sig" >/dev/null
}
root_id() {
    { printf countersign-root-1 && tail -n +2 "$1" | jq -j '."countersign/sealing"['"$2"']' | unhex; } | sha256sum | cut -c1-8
}
publishes() {
    "$CTL" keygen -n 2 --sealing-root --caller "$RUN/payments.pub" --plaintext --publisher-key "$RUN/publisher.key" -g 2 -d "$RUN/plain" \
        --json >"$RUN/keygen.json" && by_hand "$RUN/plain/service_key_shares.json" &&
        [ "$(root_id "$RUN/plain/service_key_shares.json" 0)" = "$(jq -r .sealing_root "$RUN/keygen.json")" ] &&
        [ "$(tail -n +2 "$RUN/plain/service_key_shares.json" | jq -c '."countersign/callers"[0]')" = "$(jq -c . "$RUN/payments.pub")" ] &&
        ! grep -q countersign/sealing "$RUN/plain/client_key_shares.json"
}
edits() {
    "$CTL" shares edit "$RUN/plain/service_key_shares.json" --add-root --caller "$RUN/officer.pub" --publisher-key "$RUN/publisher.key" \
        --plaintext -o "$RUN/next.json" --json >"$RUN/edit.json" && by_hand "$RUN/next.json" && [ "$(stat -c %a "$RUN/next.json")" = 600 ] &&
        [ "$(jq -c '[.generation, .accounts, [.callers[].id], (.sealing_roots | length)]' "$RUN/edit.json")" = \
            '[3,2,["payments","officer"],2]' ] &&
        [ "$(jq -r '.sealing_roots[1]' "$RUN/edit.json")" = "$(jq -r .sealing_root "$RUN/keygen.json")" ] &&
        [ "$(root_id "$RUN/next.json" 0)" = "$(jq -r '.sealing_roots[0]' "$RUN/edit.json")" ] &&
        diff <(tail -n +2 "$RUN/plain/service_key_shares.json" | jq -cS '."account-1", ."account-2", ."countersign/parties"') \
            <(tail -n +2 "$RUN/next.json" | jq -cS '."account-1", ."account-2", ."countersign/parties"')
}
# refused CODE ARGS...: an edit of next.json that must not write
refused() {
    local code=$1
    shift
    rm -f "$RUN/never.json"
    refuses 1 "$code" shares edit "$RUN/next.json" --plaintext -o "$RUN/never.json" "$@" && [ ! -e "$RUN/never.json" ]
}
no_secrets() {
    "$CTL" shares show "$RUN/next.json" --json >"$RUN/show.json" && "$CTL" shares show - <"$RUN/next.json" >"$RUN/show.txt" || return 1
    local secret
    for secret in $(tail -n +2 "$RUN/next.json" | jq -r '."countersign/sealing"[], ."account-1".share, ."countersign/parties"[].static_key'); do
        ! grep -q "$secret" "$RUN/show.json" "$RUN/show.txt" "$RUN/edit.json" "$RUN/keygen.json" || return 1
    done
    grep -q '^sealing root .*: seals and opens$' "$RUN/show.txt"
}
# changed SED: one change of the description
changed() { sed "$1" "$RUN/officer.pub" >"$RUN/changed.pub"; }
weak() {
    changed 's/"ed25519":"[0-9a-f]*"/"ed25519":"0100000000000000000000000000000000000000000000000000000000000000"/' &&
        refused SHARES_ACCOUNT --publisher-key "$RUN/publisher.key" --caller "$RUN/changed.pub"
}
two_names() {
    changed 's/"officer"/"officer2"/' && refused SHARES_DUPLICATE --publisher-key "$RUN/publisher.key" --caller "$RUN/changed.pub"
}
operation() {
    changed 's/"Approve"/"approve"/' && refused SHARES_ACCOUNT --publisher-key "$RUN/publisher.key" --caller "$RUN/changed.pub" &&
        grep -q 'approve is no operation' "$RUN/refused.err"
}
tampered() {
    sed 's/wallet-/wallot-/' "$RUN/next.json" >"$RUN/tampered.json"
    refuses 1 SHARES_SIGNATURE shares edit "$RUN/tampered.json" --plaintext --publisher-key "$RUN/publisher.key" -o "$RUN/never.json" &&
        [ ! -e "$RUN/never.json" ]
}
shares_of() { "$BIN/sign-host" status --json --dir "$RUN/e" | jq -c '[.generation, .accounts, .shares.sealing_roots, .shares.callers]'; }
# seals EDITED: as a publisher sends it
seals() { "$CTL" shares edit "$1" --publisher-key "$RUN/publisher.key" -r "$RECIPIENT" -o "$2" "${@:3}" >/dev/null; }
loads() {
    seals "$RUN/next.json" "$RUN/next.age" && [ "$(pair e "$AGE" "$RUN/next.age" | code)" = OK ] && [ "$(shares_of)" = '[4,2,2,2]' ]
}
without_accounts() {
    "$CTL" shares new --caller "$RUN/payments.pub" --publisher-key "$RUN/publisher.key" -g 9 -r "$RECIPIENT" -o "$RUN/tee.age" >/dev/null &&
        [ "$(pair e "$AGE" "$RUN/tee.age" | code)" = OK ] && [ "$(shares_of)" = '[9,0,1,1]' ] && [ "$(phase e)" = SERVING ]
}
older() { [ "$(pair e "$AGE" "$RUN/next.age" | code)" = SHARES_GENERATION ] && [ "$(shares_of)" = '[9,0,1,1]' ]; }

prepare
case_ identity identity
case_ identity-is-never-replaced kept
case_ description description
case_ identity-that-others-can-read open_identity
case_ description-needs-operations refuses 2 'operations is needed' caller public "$RUN/payments.json"
case_ description-of-no-operation refuses 2 'none of Sign' caller public "$RUN/payments.json" --operations Sing
case_ keygen publishes
case_ edit edits
case_ show-has-no-secrets no_secrets
case_ edit-needs-the-publisher refused SHARES_UNSIGNED
case_ edit-keeps-generations-rising refused SHARES_GENERATION --publisher-key "$RUN/publisher.key" -g 3
case_ edit-of-an-unknown-caller refused NOT_FOUND --publisher-key "$RUN/publisher.key" --remove-caller nobody
case_ edit-of-an-unknown-root refused NOT_FOUND --publisher-key "$RUN/publisher.key" --remove-root 00000000
case_ edit-with-a-weak-key weak
case_ edit-with-one-key-twice two_names
case_ edit-with-no-operation operation
case_ edit-of-a-changed-file tampered
case_ edit-takes-no-private-identity refused SHARES_FORMAT --publisher-key "$RUN/publisher.key" --caller "$RUN/payments.json"
host_up "$RUN/e" "$RUN/image" --no-preload --keep || exit 1
case_ core-takes-roots-and-callers loads
case_ core-takes-a-file-without-accounts without_accounts
case_ core-refuses-an-older-file older
finish
