#!/bin/bash
# The emulator against the real AWS command line: the commands of the packaging guide (kms encrypt, s3 cp both ways) and the refusals.
# Then what administration needs: aliases, tags, states, STS, listing, ranges, parts. aws_seeds.sh has the guides' own commands.
# Prints `ok NAME`, `not ok NAME` or `skip NAME`. sign-emulator is taken from PATH.
# limit: 600
set -u
# Debian's aws: the one of a user's own Python may be any version
aws=/usr/bin/aws
[ -x "$aws" ] || aws=$(command -v aws) || { echo "skip awscli (aws is not installed)"; exit 77; }
work=$(mktemp -d)
emulator=
failed=0

cleanup() {
    [ -z "$emulator" ] || kill "$emulator" 2>/dev/null
    wait 2>/dev/null
    rm -rf "$work"
}
trap cleanup EXIT

# check NAME COMMAND...: ok when the command succeeds
check() {
    local name=$1
    shift
    if "$@" >"$work/out" 2>"$work/err"; then
        echo "ok $name"
    else
        echo "not ok $name"
        sed 's/^/  /' "$work/out" "$work/err"
        failed=1
    fi
}

# refused NAME ERROR COMMAND...: ok when the command fails and names the error
refused() {
    local name=$1 error=$2
    shift 2
    if ! "$@" >"$work/out" 2>"$work/err" && grep -q "$error" "$work/err"; then
        echo "ok $name"
    else
        echo "not ok $name (wanted $error)"
        sed 's/^/  /' "$work/out" "$work/err"
        failed=1
    fi
}

get() {
    jq -r ".$1" "$work/emu/emulator.json"
}

start() {
    rm -f "$work/emu/emulator.json"
    sign-emulator --dir "$work/emu" --bucket your-bucket "$@" >/dev/null 2>>"$work/log" &
    emulator=$!
    local i
    for ((i = 0; i < 200; i++)); do
        [ -f "$work/emu/emulator.json" ] && return
        kill -0 "$emulator" 2>/dev/null || break
        sleep 0.05
    done
    echo "not ok start"
    cat "$work/log"
    exit 1
}

stop() {
    kill "$emulator"
    wait "$emulator"
    emulator=
}

kms() {
    "$aws" --endpoint-url "$(get kms)" kms "$@"
}

s3() {
    "$aws" --endpoint-url "$(get s3)" s3 "$@"
}

as_admin() {
    AWS_ACCESS_KEY_ID=$(get access_key_id)
    AWS_SECRET_ACCESS_KEY=$(get secret_access_key)
    export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
    unset AWS_SESSION_TOKEN
}

imds() {
    curl -sf -H "X-aws-ec2-metadata-token: $token" "$(get imds)/latest/$1"
}

# what the parent does: token, role, credentials
as_role() {
    local role
    token=$(curl -sf -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$(get imds)/latest/api/token")
    role=$(imds meta-data/iam/security-credentials/)
    imds "meta-data/iam/security-credentials/$role" >"$work/role.json"
    AWS_ACCESS_KEY_ID=$(jq -r .AccessKeyId "$work/role.json")
    AWS_SECRET_ACCESS_KEY=$(jq -r .SecretAccessKey "$work/role.json")
    AWS_SESSION_TOKEN=$(jq -r .Token "$work/role.json")
    export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN
}

# curl's status for a request of the metadata service
imds_status() {
    local want=$1
    shift
    [ "$(curl -s -o /dev/null -w '%{http_code}' "$@")" = "$want" ]
}

encrypt() {
    kms encrypt --key-id "$arn" --plaintext "fileb://$work/age-private.key" --output text --query CiphertextBlob "$@" >"$work/blob.b64" &&
        base64 --decode <"$work/blob.b64" >"$work/age-private.key.enc"
}

decrypts_to_the_same() {
    kms decrypt --ciphertext-blob "fileb://$work/age-private.key.enc" --output text --query Plaintext "$@" |
        base64 --decode | cmp - "$work/age-private.key"
}

upload_download() {
    s3 cp --no-progress "$1" "s3://your-bucket/enclave/$2" && s3 cp --no-progress "s3://your-bucket/enclave/$2" "$work/back" &&
        cmp "$1" "$work/back"
}

unset AWS_PROFILE AWS_CONFIG_FILE AWS_SHARED_CREDENTIALS_FILE
export AWS_EC2_METADATA_DISABLED=true AWS_DEFAULT_REGION=us-east-1 AWS_MAX_ATTEMPTS=1 AWS_PAGER='' HOME="$work"
start
export AWS_CA_BUNDLE="$work/emu/ca.pem"
printf 'AGE-SECRET-KEY-TEST-VECTOR-ONLY\n' >"$work/age-private.key"
head -c 300000 /dev/urandom >"$work/shares"

as_admin
arn=$(kms create-key --description 'interop' --output text --query KeyMetadata.Arn)
check create-key test -n "$arn"
check describe-key kms describe-key --key-id "$arn"
check encrypt encrypt
check decrypt decrypts_to_the_same
check encrypt-context encrypt --encryption-context app=sign
check decrypt-context decrypts_to_the_same --encryption-context app=sign
refused decrypt-wrong-context InvalidCiphertextException kms decrypt --ciphertext-blob "fileb://$work/age-private.key.enc"
refused decrypt-garbage InvalidCiphertextException kms decrypt --ciphertext-blob "fileb://$work/age-private.key"
check data-key kms generate-data-key --key-id "$arn" --key-spec AES_256
check random kms generate-random --number-of-bytes 32
refused unknown-key NotFoundException kms describe-key --key-id 00000000-0000-0000-0000-000000000000
refused bad-policy MalformedPolicyDocument kms put-key-policy --key-id "$arn" --policy-name default --policy '{}'

check s3-cp-small upload_download "$work/age-private.key.enc" age-private.key.enc
check s3-cp-large upload_download "$work/shares" 'service key+shares~.json.age'
head -c 20000000 /dev/urandom >"$work/many-shares"
check s3-cp-in-parts upload_download "$work/many-shares" many.age
check s3-presigned curl -sf -o "$work/back" "$("$aws" --endpoint-url "$(get s3)" s3 presign s3://your-bucket/enclave/age-private.key.enc)"
expired=$("$aws" --endpoint-url "$(get s3)" s3 presign --expires-in 1 s3://your-bucket/enclave/age-private.key.enc)
presigned_expires() {
    local end=$((SECONDS + 10))
    until curl -s "$expired" | grep -q 'AccessDenied.*Request has expired'; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.2
    done
}
check s3-presigned-expires presigned_expires
refused s3-missing '404' s3 cp s3://your-bucket/none "$work/none"
refused s3-no-bucket 'NoSuchBucket\|404' s3 cp s3://other-bucket/none "$work/none"

AWS_SECRET_ACCESS_KEY=wrong
refused kms-bad-signature InvalidSignatureException kms generate-random --number-of-bytes 1
refused s3-bad-signature '403\|SignatureDoesNotMatch' s3 cp s3://your-bucket/enclave/age-private.key.enc "$work/none"
AWS_ACCESS_KEY_ID=AKIANOBODY
refused kms-unknown-key-id UnrecognizedClientException kms generate-random --number-of-bytes 1
as_admin
refused kms-wrong-region InvalidSignatureException kms --region eu-west-1 generate-random --number-of-bytes 1
AWS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt
refused kms-other-ca 'SSL\|CERTIFICATE' kms generate-random --number-of-bytes 1
AWS_CA_BUNDLE="$work/emu/ca.pem"

# names and labels of keys
answers() { # NAME WANTED COMMAND...: ok when the command prints exactly that
    local name=$1 wanted=$2
    shift 2
    if [ "$("$@" 2>"$work/err")" = "$wanted" ]; then
        echo "ok $name"
    else
        echo "not ok $name (wanted $wanted)"
        sed 's/^/  /' "$work/err"
        failed=1
    fi
}
sts() {
    "$aws" --endpoint-url "$(get sts)" sts "$@"
}
s3api() {
    "$aws" --endpoint-url "$(get s3)" s3api "$@"
}
answers sts-identity "arn:aws:iam::123456789012:user/admin" sts get-caller-identity --output text --query Arn
check create-alias kms create-alias --alias-name alias/app --target-key-id "$arn"
answers describe-by-alias "$arn" kms describe-key --key-id alias/app --output text --query KeyMetadata.Arn
answers describe-by-alias-arn "$arn" kms describe-key --key-id "${arn%%:key/*}:alias/app" --output text --query KeyMetadata.Arn
answers list-aliases alias/app kms list-aliases --key-id "$arn" --output text --query 'Aliases[].AliasName'
refused create-alias-twice AlreadyExistsException kms create-alias --alias-name alias/app --target-key-id "$arn"
refused policy-by-alias NotFoundException kms get-key-policy --key-id alias/app --policy-name default
check tag kms tag-resource --key-id "$arn" --tags TagKey=Application,TagValue=sign-service
answers list-tags "Application	sign-service" kms list-resource-tags --key-id "$arn" --output text --query 'Tags[].[TagKey,TagValue]'
check untag kms untag-resource --key-id "$arn" --tag-keys Application
refused create-grant 'carries no attestation' kms create-grant --key-id "$arn" --operations Decrypt \
    --grantee-principal arn:aws:iam::123456789012:role/x
other=$(kms create-key --output text --query KeyMetadata.KeyId)
check re-encrypt kms re-encrypt --ciphertext-blob "fileb://$work/age-private.key.enc" --destination-key-id "$other" \
    --source-encryption-context app=sign
answers schedule-deletion PendingDeletion kms schedule-key-deletion --key-id "$other" --pending-window-in-days 7 --output text --query KeyState
refused encrypt-dying KMSInvalidStateException kms encrypt --key-id "$other" --plaintext "fileb://$work/age-private.key"
check cancel-deletion kms cancel-key-deletion --key-id "$other"
refused encrypt-disabled DisabledException kms encrypt --key-id "$other" --plaintext "fileb://$work/age-private.key"
check delete-alias kms delete-alias --alias-name alias/app

# more of S3
ranged() {
    s3api get-object --bucket your-bucket --key enclave/many.age --range "bytes=$1" "$work/piece" >/dev/null &&
        cmp "$work/piece" <(tail -c +"$2" "$work/many-shares" | head -c "$3")
}
check s3-range ranged 1048576-2097151 1048577 1048576
check s3-range-end ranged -100 19999901 100
refused s3-range-outside InvalidRange s3api get-object --bucket your-bucket --key enclave/many.age --range bytes=20000000- "$work/piece"
answers s3-list "3" s3api list-objects-v2 --bucket your-bucket --prefix enclave/ --output text --query 'length(Contents)'
check s3-one-endpoint-for-all "$aws" --endpoint-url "$(get kms)" s3 cp --no-progress "$work/age-private.key.enc" s3://your-bucket/tls
check s3-rm s3 rm s3://your-bucket/tls
refused s3-rm-missing 404 s3 cp s3://your-bucket/tls "$work/none"
upload=$(s3api create-multipart-upload --bucket your-bucket --key aborted --output text --query UploadId)
check s3-part s3api upload-part --bucket your-bucket --key aborted --upload-id "$upload" --part-number 1 --body "$work/age-private.key"
answers s3-list-parts 1 s3api list-parts --bucket your-bucket --key aborted --upload-id "$upload" --output text --query 'Parts[].PartNumber'
check s3-abort s3api abort-multipart-upload --bucket your-bucket --key aborted --upload-id "$upload"
refused s3-aborted NoSuchUpload s3api list-parts --bucket your-bucket --key aborted --upload-id "$upload"
refused s3-acl 'not implemented' s3api get-object-acl --bucket your-bucket --key enclave/many.age

# the record of decisions: one JSON object on each line, nothing secret
check trail-is-json jq -es 'length > 20 and all(.eventSource == "kms.amazonaws.com" and .requestID != null)' "$work/emu/trail.jsonl"
check trail-has-refusals grep -q '"errorCode":"UnsupportedOperationException"' "$work/emu/trail.jsonl"
check trail-has-no-secret bash -c '! grep -q -e AGE-SECRET -e AQICAH -e "$0" "$1"' "$(get secret_access_key)" "$work/emu/trail.jsonl"

# the instance's role: reads objects, has no right to the key without attestation
as_role
answers sts-role "arn:aws:sts::123456789012:assumed-role/enclave-host/i-1234567890abcdef0" sts get-caller-identity --output text --query Arn
check role-s3-cp s3 cp --no-progress s3://your-bucket/enclave/age-private.key.enc "$work/back"
refused role-s3-put AccessDenied s3 cp "$work/shares" s3://your-bucket/enclave/x
refused role-decrypt AccessDeniedException kms decrypt --ciphertext-blob "fileb://$work/age-private.key.enc" --encryption-context app=sign
check imds-identity imds dynamic/instance-identity/document
check imds-no-token imds_status 401 "$(get imds)/latest/meta-data/iam/security-credentials/"
check imds-bad-ttl imds_status 400 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 0' "$(get imds)/latest/api/token"
check imds-forwarded imds_status 403 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' -H 'X-Forwarded-For: 1.2.3.4' \
    "$(get imds)/latest/api/token"

# a restart keeps key, policy and objects, and forgets the role's credentials
stop
start --credential-seconds 2
as_admin
check restart-decrypt decrypts_to_the_same --encryption-context app=sign
check restart-s3 s3 cp --no-progress s3://your-bucket/enclave/age-private.key.enc "$work/back"
as_role
until [ "$(date -u +%Y-%m-%dT%H:%M:%SZ)" \> "$(jq -r .Expiration "$work/role.json")" ]; do sleep 0.2; done
refused expired-token ExpiredTokenException kms generate-random --number-of-bytes 1
refused s3-expired-token 'ExpiredToken\|400' s3 cp s3://your-bucket/enclave/age-private.key.enc "$work/none"
exit $failed
