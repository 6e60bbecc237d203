#!/bin/bash
# Every aws, age and age-keygen command of the packaging guide and of the key policy guide, as written there but for the names in
# capitals, with the real tools and --endpoint-url of the emulator; then an enclave loads those very files. Once per aws command
# line that is installed (Debian's, and another one first in PATH). limit below: two stacks
# limit: 300
set -u
if [ $# -eq 0 ]; then
    status=0
    ran=
    for cli in /usr/bin/aws "$(command -v aws)"; do
        version=$([ -x "$cli" ] && "$cli" --version 2>/dev/null | cut -d' ' -f1 | tr / -)
        case " $ran " in *" ${version:-none} "*) continue ;; esac
        [ -n "$version" ] || continue
        ran="$ran $version"
        "$0" "$cli" "$version" || status=1
    done
    [ -n "$ran" ] || { echo "skip aws_seeds (aws is not installed)" && exit 77; }
    exit $status
fi
AWS_CLI=$1
LABEL=$2
# shellcheck source=tests/scenarios/lib.sh
. "$(dirname "$0")/../scenarios/lib.sh"
BUCKET=your-bucket
ACCOUNT_ID=123456789012
FIRST_PCR0=$(printf '0%.0s' {1..95})1

# ---- the commands, a paragraph each: "## WHO NAME", then the text of the guides ----
commands() {
    cat <<'COMMANDS'
## nobody age-keygen
age-keygen -o age-private.key
## KMSAdminRole create-key
aws kms create-key \
    --description "Sign Service Enclave Age Key" \
    --key-usage ENCRYPT_DECRYPT \
    --key-spec SYMMETRIC_DEFAULT \
    --policy file://kms-key-policy.json \
    --tags TagKey=Application,TagValue=sign-service \
    --region us-east-1
## KMSAdminRole create-alias
aws kms create-alias \
    --alias-name alias/sign-service-enclave-key \
    --target-key-id 1234abcd-12ab-34cd-56ef-1234567890ab \
    --region us-east-1
## KeyManagementRole encrypt-by-arn
aws kms encrypt \
  --key-id arn:aws:kms:us-east-1:ACCOUNT:key/KEY_ID \
  --plaintext fileb://age-private.key \
  --output text \
  --query CiphertextBlob | base64 --decode > age-private.key.enc
## KeyManagementRole encrypt-by-id
aws kms encrypt \
    --key-id 1234abcd-12ab-34cd-56ef-1234567890ab \
    --plaintext fileb://age-private.key \
    --output text \
    --query CiphertextBlob \
    --region us-east-1 | base64 -d > age-private.key.enc
## KeyManagementRole encrypt-by-alias
aws kms encrypt \
    --key-id alias/sign-service-enclave-key \
    --plaintext fileb://age-private.key \
    --output text \
    --query CiphertextBlob \
    --region us-east-1 | base64 -d > age-private.key.enc
## nobody age
age -r age1xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx \
  -o service_key_shares.json.age \
  service_key_shares.json
## administrator s3-cp-identity
aws s3 cp age-private.key.enc s3://your-bucket/enclave/age-private.key.enc
## administrator s3-cp-shares
aws s3 cp service_key_shares.json.age s3://your-bucket/enclave/service_key_shares.json.age
## nobody shred
shred -u age-private.key
## KMSAdminRole get-key-policy
aws kms get-key-policy \
    --key-id YOUR_KEY_ID \
    --policy-name default \
    --output text > current-policy.json
## KMSAdminRole put-key-policy
aws kms put-key-policy \
    --key-id YOUR_KEY_ID \
    --policy-name default \
    --policy file://current-policy.json \
    --region us-east-1
COMMANDS
}

# The guides' commands (fenced bash; aws, age and age-keygen lines with their continuations), one per line
guide_commands() {
    cat "$root"/../shared/seeds/00[23]_* | awk '/^```/{f=/bash/} f' | one_line | grep -E '^(aws|age|age-keygen|shred) '
}
one_line() { sed -z 's/\\\n/ /g' | tr -s ' \t' ' '; }
all_are_here() {
    local have line missing=
    have=$(commands | grep -v '^##' | one_line)
    while read -r line; do
        grep -qxF -- "$line" <<<"$have" || missing="$missing$line;"
    done < <(guide_commands)
    [ -z "$missing" ] && [ "$(guide_commands | wc -l)" -ge 12 ] && return
    echo "not run: $missing"
    return 1
}

# as WHO: credentials in the environment
as() {
    unset AWS_SESSION_TOKEN
    AWS_ACCESS_KEY_ID=$(emu_get access_key_id)
    AWS_SECRET_ACCESS_KEY=$(emu_get secret_access_key)
    export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
    case $1 in
    administrator | nobody) return ;;
    esac
    "$RUN/tools/aws" sts assume-role --role-arn "arn:aws:iam::$ACCOUNT_ID:role/$1" --role-session-name interop >"$RUN/session.json" || return 1
    AWS_ACCESS_KEY_ID=$(jq -r .Credentials.AccessKeyId "$RUN/session.json")
    AWS_SECRET_ACCESS_KEY=$(jq -r .Credentials.SecretAccessKey "$RUN/session.json")
    AWS_SESSION_TOKEN=$(jq -r .Credentials.SessionToken "$RUN/session.json")
    export AWS_SESSION_TOKEN
}

# run_command NAME: the paragraph of that name, in the working folder
run_command() {
    local who text
    who=$(commands | sed -n "s/^## \\([^ ]*\\) $1\$/\\1/p")
    text=$(commands | sed -n "/^## [^ ]* $1\$/,/^##/p" | grep -v '^##' |
        sed "s/ACCOUNT:key\\/KEY_ID/$ACCOUNT_ID:key\\/${KEY_ID:-}/; s/1234abcd-12ab-34cd-56ef-1234567890ab/${KEY_ID:-}/; s/YOUR_KEY_ID/${KEY_ID:-}/
             s/age1x\\{39\\}/${RECIPIENT:-}/")
    as "$who" || return 1
    (cd "$RUN/work" && PATH=$RUN/tools:$PATH bash -o pipefail -c "$text" >"$RUN/out" 2>"$RUN/command.err") || {
        echo "$text"
        cat "$RUN/command.err"
        return 1
    }
}
run_case() { case_ "$LABEL-$1" run_command "$1"; }
refused_case() {
    local name=$1 error=$2
    shift 2
    ! "$RUN/tools/aws" "$@" >"$RUN/out" 2>"$RUN/command.err" && grep -q "$error" "$RUN/command.err" && return
    echo "$name: wanted $error: $(cat "$RUN/command.err")"
    return 1
}

# policies of the guide, in the folder where the commands look for them and in the emulator's folder of identity policies
policies() {
    jq -n --arg a "arn:aws:iam::$ACCOUNT_ID:role/" --arg pcr "$FIRST_PCR0" '
      {Version: "2012-10-17", Id: "sign-service-enclave-key-policy", Statement: [
        {Sid: "AllowEnclaveDecrypt", Effect: "Allow", Principal: {AWS: ($a + "NitroEnclaveInstanceRole")}, Action: "kms:Decrypt",
         Resource: "*", Condition: {StringEqualsIgnoreCase: {"kms:RecipientAttestation:ImageSha384": $pcr}}},
        {Sid: "AllowEncrypt", Effect: "Allow", Principal: {AWS: ($a + "KeyManagementRole")}, Action: "kms:Encrypt", Resource: "*"},
        {Sid: "AllowKeyAdministration", Effect: "Allow", Principal: {AWS: ($a + "KMSAdminRole")}, Resource: "*",
         Action: ["kms:Create*", "kms:Describe*", "kms:Enable*", "kms:List*", "kms:Put*", "kms:Update*", "kms:Revoke*",
                  "kms:Disable*", "kms:Get*", "kms:Delete*", "kms:TagResource", "kms:UntagResource", "kms:ScheduleKeyDeletion",
                  "kms:CancelKeyDeletion"]},
        {Sid: "AllowKeyUsageViaGrant", Effect: "Allow", Principal: {AWS: ($a + "KMSAdminRole")}, Resource: "*",
         Action: ["kms:CreateGrant", "kms:ListGrants", "kms:RevokeGrant"], Condition: {Bool: {"kms:GrantIsForAWSResource": "true"}}}]}' \
        >"$RUN/work/kms-key-policy.json"
    # what an administrator of keys has in IAM: what no key policy can give, because there is no key yet or it is about an alias
    jq -n '{Version: "2012-10-17", Statement: {Effect: "Allow", Resource: "*",
            Action: ["kms:CreateKey", "kms:TagResource", "kms:CreateAlias", "kms:ListAliases"]}}' >"$RUN/emu/iam/KMSAdminRole.json"
}
instance_policy() {
    jq -n --arg key "$KEY_ARN" '
      {Version: "2012-10-17", Statement: [
        {Sid: "AllowKMSDecrypt", Effect: "Allow", Action: "kms:Decrypt", Resource: $key},
        {Sid: "AllowS3Read", Effect: "Allow", Action: ["s3:GetObject"], Resource: ["arn:aws:s3:::your-bucket/enclave/*"]}]}' \
        >"$RUN/emu/iam/NitroEnclaveInstanceRole.json"
}

# the guide's "edit": another PCR0
edit_policy() {
    sed -i "s/$FIRST_PCR0/$PCR0/" "$RUN/work/current-policy.json" && grep -q "$PCR0" "$RUN/work/current-policy.json"
}

decision_recorded() {
    jq -es --arg pcr "$PCR0" --arg key "$KEY_ARN" 'map(select(.eventName == "Decrypt" and .errorCode == null)) | last |
        .additionalEventData.recipient.attestationDocumentEnclaveImageDigest == $pcr and .resources[0].ARN == $key and
        .countersignDecision.sid == "AllowEnclaveDecrypt" and .userIdentity.type == "AssumedRole"' "$RUN/emu/trail.jsonl" >/dev/null
}
no_secret_recorded() { ! grep -q -e AGE-SECRET -e AQICAH "$RUN/emu/trail.jsonl"; }

mkdir -p "$RUN/work" "$RUN/tools" "$RUN/home"
export AWS_EC2_METADATA_DISABLED=true AWS_DEFAULT_REGION=us-east-1 AWS_PAGER='' HOME=$RUN/home
unset AWS_PROFILE AWS_CONFIG_FILE AWS_SHARED_CREDENTIALS_FILE AWS_ENDPOINT_URL
emulator_up --role NitroEnclaveInstanceRole --iam-role KMSAdminRole --iam-role KeyManagementRole
export AWS_CA_BUNDLE=$CA
printf '#!/bin/sh\nexec "%s" --endpoint-url "%s" "$@"\n' "$AWS_CLI" "$KMS" >"$RUN/tools/aws"
chmod +x "$RUN/tools/aws"

[ ! -d "$root/../shared/seeds" ] || case_ "$LABEL-every-command-of-the-guides-is-here" all_are_here
policies
publisher_new
run_case age-keygen
RECIPIENT=$(sed -n 's/^# public key: //p' "$RUN/work/age-private.key")
run_case create-key
KEY_ARN=$(jq -r .KeyMetadata.Arn "$RUN/out")
KEY_ID=${KEY_ARN##*/}
run_case create-alias
run_case encrypt-by-arn
run_case encrypt-by-id
run_case encrypt-by-alias
as KMSAdminRole
case_ "$LABEL-admin-cannot-encrypt" refused_case encrypt AccessDenied kms encrypt --key-id "$KEY_ID" --plaintext "fileb://$RUN/work/age-private.key"
case_ "$LABEL-create-grant-is-refused" refused_case create-grant 'carries no attestation' kms create-grant --key-id "$KEY_ID" \
    --grantee-principal "arn:aws:iam::$ACCOUNT_ID:role/x" --operations Decrypt
image_build "$RUN/image"
instance_policy
"$BIN/signctl" keygen --plaintext --publisher-key "$RUN/publisher.key" -n 2 -d "$RUN/work" --json >"$RUN/keygen.json"
run_case age
run_case s3-cp-identity
run_case s3-cp-shares
run_case shred
run_case get-key-policy
case_ "$LABEL-edit-policy" edit_policy
run_case put-key-policy
case_ "$LABEL-files-of-the-real-tools-load" serve host
case_ "$LABEL-decision-is-recorded" decision_recorded
case_ "$LABEL-no-secret-in-the-record" no_secret_recorded
finish
