#!/bin/bash
# demo.sh: the whole path on this machine. Keys are dealt, sealed, stored, fetched, injected and unsealed under attestation; client
# and enclave sign an Ethereum transaction together; then four attacks, and what stopped each. Ends with build/run/demo.json.
# Exit status 1 when any step does not behave. No AWS, no Docker, no root.
set -euo pipefail
# shellcheck disable=SC2034 # stack.sh reads it
GENERATION=7
# shellcheck source=scripts/stack.sh
. "$(dirname "$0")/stack.sh"
export NODE_PATH=$root/build/npm/node_modules
LIAR=$BIN/signctl-lying
began=$(date +%s%N)

say() { printf '\n%s\n' "$*"; }
shown() { printf '  %-28s %s\n' "$1" "$2"; }
# expect WHAT GOT WANTED
expect() {
    if [ "$2" = "$3" ]; then
        shown "$1" "$2"
    else
        tail -n 8 "$RUN"/*/enclave.log >&2 || true
        die "$1: $2 where $3 was expected"
    fi
}

sign() { "${SIGNER:-$BIN/signctl}" sign --env "$RUN/endpoints.env" --json "$@"; }
digest() { head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n'; }
# signs: an honest client gets a signature; prints OK or the refusal's code
signs() { sign --digest "$(digest)" 2>/dev/null | jq -r 'if .r then "OK" else .code end'; }

transaction() {
    sign --eip1559 "$root/scripts/demo/transfer.json" >"$RUN/signed.json" || die "signing failed: $(cat "$RUN/signed.json")"
    node "$root/scripts/demo/recover.cjs" "$(jq -r .raw_transaction "$RUN/signed.json")" >"$RUN/recovered.json"
    HASH=$(jq -r .hash "$RUN/recovered.json")
    SENDER=$(jq -r .from "$RUN/recovered.json")
    shown "raw transaction" "$(jq -r .raw_transaction "$RUN/signed.json" | cut -c1-60)..."
    expect "hash, by ethers" "$HASH" "$(jq -r .hash "$RUN/signed.json")"
    expect "sender, by ethers" "$SENDER" "$(jq -r '.accounts[0].eth_address' "$RUN/shares/keygen.json")"
}

# The parent swaps one digit of the publisher key that the image carries: another PCR0, so KMS keeps the age identity.
other_image() {
    local old=$PUBLISHER new
    rm -rf "$RUN/image-changed"
    cp -r "$RUN/image" "$RUN/image-changed"
    case ${old:0:1} in 0) new=1${old:1} ;; *) new=0${old:1} ;; esac
    LC_ALL=C sed -i "s/$old/$new/" "$RUN/image-changed/config.cbor"
    shown "bytes changed" "$(cmp -l "$RUN/image/config.cbor" "$RUN/image-changed/config.cbor" | wc -l)"
    shown "PCR0 in the key policy" "${PCR0:0:32}..."
    shown "PCR0 of this image" "$("$BIN/sign-host" pcrs "$RUN/image-changed" | jq -r .Measurements.PCR0 | cut -c1-32)..."
    host_up "$RUN/changed" "$RUN/image-changed" --keep || die "the changed image did not start"
    # shellcheck disable=SC2016 # expanded by the inner shell
    wait_until 30 bash -c '"$0" status --json --dir "$1" | jq -e .load.last' "$BIN/sign-host" "$RUN/changed"
    "$BIN/sign-host" status --json --dir "$RUN/changed" >"$RUN/changed.json"
    host_down "$RUN/changed"
    expect "stopped by" "$(jq -r .load.last "$RUN/changed.json")" KMS_DENIED
    expect "KMS said" "$(jq -r .load.last_detail "$RUN/changed.json" | grep -o AccessDeniedException)" AccessDeniedException
    OTHER_IMAGE=KMS_DENIED
}

flipped_byte() {
    SIGNCTL_LIE=wire SIGNER=$LIAR sign --digest "$(digest)" >"$RUN/flipped.json" || die "no retry after a flipped byte: $(cat "$RUN/flipped.json")"
    FLIPPED=$(jq -r .first_error "$RUN/flipped.json")
    expect "first attempt" "$FLIPPED" ABORT_SESSION
    expect "attempts until signed" "$(jq -r .attempts "$RUN/flipped.json")" 2
    expect "bans" "$("$BIN/sign-host" status --json --dir "$RUN/host" | jq -r .bans)" 0
}

lying_client() {
    local key
    SIGNCTL_LIE=inside SIGNER=$LIAR sign --digest "$(digest)" --retries 0 >"$RUN/lying.json" 2>/dev/null && die "a lie was signed"
    expect "the lie" "$(jq -r .code "$RUN/lying.json")" ABORT_SESSION
    LIAR_CODE=$(signs || true)
    expect "the pair afterwards" "$LIAR_CODE" PEER_BANNED
    expect "bans" "$("$BIN/sign-host" status --json --dir "$RUN/host" | jq -r .bans)" 1
    key=$(tail -n +2 "$RUN/shares/client_key_shares.json" | jq -r '."countersign/parties"[0].static_keys."1"')
    # an order must be younger than the ban, in whole seconds
    wait_until 5 "$BIN/signctl" unban --env "$RUN/endpoints.env" --key "$key" --publisher-key "$RUN/publisher.key" || die "unban failed"
    expect "unbanned by the publisher" "$(signs)" OK
}

# reload AGE_KEY SHARES: the outcome's code
reload() {
    curl -sS --noproxy '*' -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$IMDS/latest/api/token" >"$RUN/token"
    local header
    header="X-aws-ec2-metadata-token: $(cat "$RUN/token")"
    local path=$IMDS/latest/meta-data/iam/security-credentials/
    curl -sS --noproxy '*' -H "$header" "$path$(curl -sS --noproxy '*' -H "$header" "$path")" |
        "$BIN/sign-host" inject --dir "$RUN/host" --credentials - --age-key "$1" --shares "$2" 2>/dev/null >"$RUN/reload.out" || true
    tail -1 "$RUN/reload.out" | jq -r .code
}

# Signs without pause while the files are refused; every one must succeed.
sign_meanwhile() {
    local n=0
    while [ ! -e "$RUN/stop-signing" ]; do
        [ "$(signs)" = OK ] || return 1
        n=$((n + 1))
        echo $n >"$RUN/signed-meanwhile"
    done
}

old_and_forged() {
    rm -f "$RUN/stop-signing"
    sign_meanwhile &
    local signer=$!
    shares_new "$RUN/older" 6
    OLDER=$(reload "$RUN/age-private.key.enc" "$RUN/older/service_key_shares.json.age")
    "$BIN/signctl" publisher keygen -o "$RUN/forger.key" >/dev/null
    mkdir -p "$RUN/forged"
    "$BIN/signctl" keygen -r "$RECIPIENT" --plaintext --publisher-key "$RUN/forger.key" --generation 8 -d "$RUN/forged" >/dev/null
    FORGED=$(reload "$RUN/age-private.key.enc" "$RUN/forged/service_key_shares.json.age")
    : >"$RUN/stop-signing"
    wait "$signer" || die "signing stopped during the reload"
    expect "generation 6, in service 7" "$OLDER" SHARES_GENERATION
    expect "signed by another key" "$FORGED" SHARES_SIGNATURE
    expect "generation in service" "$("$BIN/sign-host" status --json --dir "$RUN/host" | jq -r .generation)" 7
    shown "signed meanwhile" "$(cat "$RUN/signed-meanwhile")"
    expect "and afterwards" "$(signs)" OK
}

attack() {
    say "attack: $1"
    started=$(date +%s%N)
    "$2"
    phase "  time"
}

[ -x "$LIAR" ] || die "$LIAR is missing: make all"
trap 'down; rm -f "$RUN"/*.key "$RUN/token"' EXIT
up
say "an EIP-1559 transaction, signed by client and enclave together"
started=$(date +%s%N)
transaction
phase "  time"
attack "an image with another PCR0" other_image
attack "a byte changed on the way" flipped_byte
attack "a client that lies inside the protocol" lying_client
attack "an older and a forged share file" old_and_forged
jq -n --arg hash "$HASH" --arg sender "$SENDER" --arg image "$OTHER_IMAGE" --arg byte "$FLIPPED" --arg liar "$LIAR_CODE" --arg older "$OLDER" \
    --arg forged "$FORGED" '{transaction_hash: $hash, sender: $sender, refusals: {other_image: $image, byte_changed: $byte,
      lying_client: $liar, older_shares: $older, forged_shares: $forged}}' >"$RUN/demo.json"
say "all as it must be, in $((($(date +%s%N) - began) / 1000000)) ms"
cat "$RUN/demo.json"
