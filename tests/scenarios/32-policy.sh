#!/bin/bash
# A key under the policy that signctl kms policy writes, put with the AWS CLI: the enclave of the release serves, and nobody else decrypts:
# no other image, no debug enclave, no mixture of two releases, no caller without attestation, no grant, no re-encryption. Then kms update:
# a second release is added, the first removed, with the difference shown and nothing put that was not agreed to.
# limit: 600
set -u
# shellcheck source=tests/scenarios/lib.sh
. "$(dirname "$0")/lib.sh"
aws=/usr/bin/aws
[ -x "$aws" ] || { echo "skip policy (aws is not installed)"; exit 77; }
interop=$(cd "$(dirname "$0")/../interop" && pwd)
holders=()
proxy=

end() {
    [ -z "$proxy" ] || kill "$proxy" 2>/dev/null
    [ ${#holders[@]} = 0 ] || kill "${holders[@]}" 2>/dev/null
    cleanup
}
trap end EXIT

emulator_up --iam-role KMSAdminRole --iam-role KeyManagementRole
export AWS_CA_BUNDLE=$CA AWS_DEFAULT_REGION=$REGION AWS_ENDPOINT_URL_KMS=$KMS AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_PAGER=
kms_cli() { "$aws" --endpoint-url "$KMS" kms "$@"; }

# as WHO: credentials in the environment
as() {
    unset AWS_SESSION_TOKEN
    AWS_ACCESS_KEY_ID=$(emu_get access_key_id)
    AWS_SECRET_ACCESS_KEY=$(emu_get secret_access_key)
    export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
    [ "$1" != administrator ] || return 0
    if [ "$1" = host ]; then
        credentials | jq '{Credentials: {AccessKeyId, SecretAccessKey, SessionToken: .Token}}' >"$RUN/session.json"
    else
        "$aws" --endpoint-url "$KMS" sts assume-role --role-arn "arn:aws:iam::$ACCOUNT:role/$1" --role-session-name test >"$RUN/session.json"
    fi
    AWS_ACCESS_KEY_ID=$(jq -r .Credentials.AccessKeyId "$RUN/session.json")
    AWS_SECRET_ACCESS_KEY=$(jq -r .Credentials.SecretAccessKey "$RUN/session.json")
    AWS_SESSION_TOKEN=$(jq -r .Credentials.SessionToken "$RUN/session.json")
    export AWS_SESSION_TOKEN
}
policy() {
    "$BIN/signctl" kms policy --role "$ROLE_ARN" --admin-role KMSAdminRole --encrypt-role KeyManagementRole "$@"
}
# denied WHO COMMAND...: KMS says no
denied() {
    as "$1"
    shift
    ! kms_cli "$@" >"$RUN/out" 2>"$RUN/refusal.err" && grep -q AccessDenied "$RUN/refusal.err"
}

# a key that is born with a policy, so that its ARN can be in the measured configuration
zero_but_one() { printf '0%.0s' {1..95}; echo "$1"; }
echo '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:CreateKey","Resource":"*"}]}' >"$RUN/emu/iam/KMSAdminRole.json"
as KMSAdminRole
policy --release "$(zero_but_one 1)" >"$RUN/first.json"
KEY_ARN=$(kms_cli create-key --policy "file://$RUN/first.json" --output text --query KeyMetadata.Arn)
[ "${KEY_ARN#arn:}" != "$KEY_ARN" ] || die "create-key failed"
publisher_new
age_new
CONFIG_LEVEL=debug image_build "$RUN/image-b"
B=("$PCR0" "$PCR1" "$PCR2")
image_build "$RUN/image"
A=("$PCR0" "$PCR1" "$PCR2")
shares_new "$RUN/shares" 1 -n 1
as KeyManagementRole
kms_cli encrypt --key-id "$KEY_ARN" --plaintext "fileb://$RUN/age-private.key" --output text --query CiphertextBlob >"$RUN/blob.b64"
base64 -d "$RUN/blob.b64" >"$RUN/age-private.key.enc"
s3_put "$RUN/age-private.key.enc" enclave/age-private.key.enc
s3_put "$RUN/shares/service_key_shares.json.age" enclave/service_key_shares.json.age

# ---- one release ----
policy --release "$RUN/image.pcrs.json" >"$RUN/policy.json"
case_ what_is_written_lints_clean "$BIN/signctl" kms lint "$RUN/policy.json"
pipe_lints() { policy --release "$RUN/image.pcrs.json" --release "$RUN/image-b.pcrs.json" --data-keys | "$BIN/signctl" kms lint -; }
case_ two_releases_lint_clean pipe_lints
same_twice() { [ "$(policy --release "$RUN/image.pcrs.json" | sha256sum)" = "$(sha256sum <"$RUN/policy.json")" ]; }
case_ the_policy_is_the_same_each_time same_twice
put() { as KMSAdminRole && kms_cli put-key-policy --key-id "$KEY_ARN" --policy-name default --policy "file://$1"; }
case_ kms_takes_it put "$RUN/policy.json"
case_ the_release_serves serve a
not_serving() {
    host_up "$RUN/$1" "$2" || true
    wait_until 30 logged "$1" KMS_DENIED && ! serving "$RUN/$1"
}
case_ another_image_is_denied not_serving other "$RUN/image-b"
host_down "$RUN/other"
host_down "$RUN/a"

# everybody without attestation
for who in host administrator KMSAdminRole KeyManagementRole; do
    case_ "$who-cannot-decrypt" denied $who decrypt --ciphertext-blob "fileb://$RUN/age-private.key.enc"
    case_ "$who-gets-no-data-key" denied $who generate-data-key --key-id "$KEY_ARN" --key-spec AES_256
    case_ "$who-cannot-re-encrypt" denied $who re-encrypt --ciphertext-blob "fileb://$RUN/age-private.key.enc" --destination-key-id "$KEY_ARN"
    case_ "$who-cannot-grant" denied $who create-grant --key-id "$KEY_ARN" --grantee-principal "$ROLE_ARN" --operations Decrypt
done
case_ host-cannot-change-the-policy denied host put-key-policy --key-id "$KEY_ARN" --policy-name default --policy "file://$RUN/policy.json"

# enclaves by their PCRs, through kmstool_enclave_cli
mkdir "$RUN/vsock"
connect=$(emu_get kms_connect)
socat "UNIX-LISTEN:$RUN/vsock/parent-8000.sock,fork" "TCP:${connect#tcp:}" 2>/dev/null &
proxy=$!
mkfifo "$RUN/hold"
exec {hold}<>"$RUN/hold" # kept open: the holders read it
: "$hold"
# module NAME PCR0 PCR1 PCR2 [debug]
module() {
    local name=$1
    shift
    python3 "$interop/nsm_hold.py" "$(emu_get nsm_control)" "$@" <"$RUN/hold" >"$RUN/nsm.$name" &
    holders+=($!)
    wait_until 10 test -s "$RUN/nsm.$name"
}
module a "${A[@]}"
module b "${B[@]}"
module debug "${A[@]}" debug
module kernel "${A[0]}" "$(zero_but_one 2)" "${A[2]}"
module mixed "${A[0]}" "${A[1]}" "${B[2]}"
module mixed2 "${B[0]}" "${A[1]}" "${A[2]}"
decrypts() {
    as host
    "$BIN/kmstool_enclave_cli-emulated" decrypt --nsm "unix:$(cat "$RUN/nsm.$1")" --local-dir "$RUN/vsock" --ca-file "$CA" \
        --aws-access-key-id "$AWS_ACCESS_KEY_ID" --aws-secret-access-key "$AWS_SECRET_ACCESS_KEY" --aws-session-token "$AWS_SESSION_TOKEN" \
        --ciphertext "$(cat "$RUN/blob.b64")" >"$RUN/out" 2>"$RUN/tool.err"
}
refused() { ! decrypts "$1" && grep -q AccessDenied "$RUN/tool.err" && [ ! -s "$RUN/out" ]; }
case_ an_enclave_of_the_release_decrypts decrypts a
for m in b debug kernel mixed mixed2; do
    case_ "an_enclave_that_is_$m-is_denied" refused $m
done

# ---- kms update ----
update() { as KMSAdminRole && "$BIN/signctl" kms update --key-id "$KEY_ARN" "$@" >"$RUN/update.out" 2>"$RUN/update.err"; }
says() { update "${@:3}"; [ $? = "$1" ] && grep -qF -- "$2" "$RUN/update.out" "$RUN/update.err"; }
stored() { as KMSAdminRole && kms_cli get-key-policy --key-id "$KEY_ARN" --policy-name default --output text; }
shows_the_difference() {
    says 0 "not put" --add-release "$RUN/image-b.pcrs.json" --dry-run && grep -q "^+ .*${B[0]}" "$RUN/update.out" &&
        grep -q '^@@ ' "$RUN/update.out" && ! grep -q '^-[^-].*Admin' "$RUN/update.out"
}
case_ a_dry_run_shows_the_difference shows_the_difference
case_ a_dry_run_changes_nothing refused b
case_ nobody_to_ask says 2 "--yes" --add-release "$RUN/image-b.pcrs.json"
case_ nothing_was_put refused b
case_ a_release_is_added says 0 "policy put" --add-release "$RUN/image-b.pcrs.json" --yes
for m in a b; do case_ "release-$m-decrypts" decrypts $m; done
for m in debug kernel mixed mixed2; do case_ "beside_two_releases_$m-is_denied" refused $m; done
lints() { stored | "$BIN/signctl" kms lint -; }
case_ it_lints_clean lints
equals_a_new_one() {
    policy --release "$RUN/image.pcrs.json" --release "$RUN/image-b.pcrs.json" | jq -S . >"$RUN/want" && stored | jq -S . >"$RUN/have" &&
        [ "$(jq '.Statement | sort_by(.Sid)' "$RUN/want")" = "$(jq '.Statement | sort_by(.Sid)' "$RUN/have")" ]
}
case_ it_is_the_policy_of_both equals_a_new_one
case_ twice_is_refused says 1 EXISTS --add-release "$RUN/image-b.pcrs.json" --yes
both_serve() {
    serve both-a && IMAGE=$RUN/image-b serve both-b
}
case_ both_releases_serve both_serve
host_down "$RUN/both-a"
host_down "$RUN/both-b"
as_json() { says 0 '"put":true' --remove-release "${A[0]}" --yes --json && jq -e '.changed and (.codesAfter | length) == 0' "$RUN/update.out"; }
case_ a_release_is_removed as_json
case_ the_removed_release_is_denied refused a
case_ the_other_goes_on decrypts b
case_ the_last_release_stays says 1 POLICY_LAST_RELEASE --remove-release "${B[0]}" --yes
case_ a_release_that_is_not_there says 1 POLICY_NO_RELEASE --remove-release "${A[0]}" --yes
as_host() { as host && ! "$BIN/signctl" kms update --key-id "$KEY_ARN" --add-release "${A[0]}" --yes >"$RUN/out" 2>"$RUN/err.txt" && grep -q AccessDeniedException "$RUN/err.txt"; }
case_ the_host_may_not_read_it as_host

# a policy written by hand, as in the guide: the list of images grows, and what would open a further hole is not put
as KMSAdminRole
jq --arg a "${A[0]}" '.Statement |= [.[] | select(.Sid | startswith("DenyOther") or startswith("AllowEnclave") | not)] |
    .Statement += [{Sid: "AllowEnclaveDecrypt", Effect: "Allow", Principal: "*", Action: "kms:Decrypt", Resource: "*",
      Condition: {StringEqualsIgnoreCase: {"kms:RecipientAttestation:ImageSha384": $a}}},
     {Sid: "others", Effect: "Deny", Principal: "*", Action: "kms:Decrypt", Resource: "*",
      Condition: {StringNotEqualsIgnoreCase: {"kms:RecipientAttestation:ImageSha384": $a}}}]' "$RUN/policy.json" >"$RUN/hand.json"
put "$RUN/hand.json"
case_ worse_is_refused says 1 POLICY_WORSE --add-release "${B[0]}" --yes
case_ worse_was_not_put refused b
case_ worse_with_force says 0 "policy put" --add-release "${B[0]}" --yes --force
for m in a b; do case_ "by_hand-$m-decrypts" decrypts $m; done
case_ by_hand-debug-is_denied refused debug

# the variant for debugging is of a test key
debug_variant() { policy --debug >"$RUN/debug.json" 2>"$RUN/out" && grep -q '^warning: .*test key' "$RUN/out" && ! "$BIN/signctl" kms lint "$RUN/debug.json" >"$RUN/out" && grep -q debug-zero "$RUN/out"; }
case_ the_debug_variant_warns_and_lints debug_variant
case_ debug_with_a_release_is_refused eval '! policy --debug --release "${A[0]}" 2>/dev/null'
case_ zeros_are_no_release eval '! policy --release "$(printf "0%.0s" {1..96})" 2>/dev/null'
finish
