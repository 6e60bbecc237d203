#!/bin/bash
# kmstool_enclave_cli as the reference tool is used: options, output lines, phrases and exit status; then what it does better: KMS's refusal
# is shown, a proxy that is down or mute is an error with a deadline, and the form of seed 001 works. The commands that need an enclave run
# against the emulated KMS and security module.
# Prints `ok NAME` or `not ok NAME`.
# limit: 600
set -u
RUN=$(mktemp -d /tmp/cs-kmstool.XXXXXX)
# shellcheck source=scripts/stack-lib.sh
. "$(cd "$(dirname "${BASH_SOURCE[0]}")/../../scripts" && pwd)/stack-lib.sh"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
failed=0
proxy=

cleanup() {
    [ -z "$proxy" ] || kill "$proxy" 2>/dev/null
    exec {nsm_in}>&- {debug_in}>&- 2>/dev/null
    emulator_down
    wait 2>/dev/null
    rm -rf "$RUN"
}
trap cleanup EXIT

report() {
    if [ "$1" = 0 ]; then echo "ok $2"; else
        echo "not ok $2"
        sed 's/^/# /' "$RUN/out" "$RUN/err"
        failed=1
    fi
}
# says NAME STATUS PHRASE COMMAND...: exit status, and a line of standard error; nothing on standard output
says() {
    local name=$1 want=$2 phrase=$3 status
    shift 3
    "$@" >"$RUN/out" 2>"$RUN/err" </dev/null
    status=$?
    [ $status = "$want" ] && grep -qF -- "$phrase" "$RUN/err" && [ ! -s "$RUN/out" ]
    report $? "$name"
}

tool=$BIN/kmstool_enclave_cli
creds=(--aws-access-key-id A --aws-secret-access-key S --aws-session-token T)

# options: the order of the checks is the reference's
says no_command 1 "usage: kmstool_enclave_cli" "$tool"
says help 1 "--proxy-port PORT" "$tool" decrypt --help
says help_letter 1 "usage" "$tool" genkey -h
says no_access_key 1 "--aws-access-key-id must be set" "$tool" decrypt
says unknown_command_without_credentials 1 "--aws-access-key-id must be set" "$tool" nothing
says no_secret_key 1 "--aws-secret-access-key must be set" "$tool" decrypt -k A
says no_token 1 "--aws-session-token must be set" "$tool" decrypt -k A -s S
says environment_is_not_read 1 "--aws-access-key-id must be set" env AWS_ACCESS_KEY_ID=A AWS_SECRET_ACCESS_KEY=S AWS_SESSION_TOKEN=T "$tool" decrypt -c AA==
says unknown_command 1 "usage" "$tool" nothing "${creds[@]}"
says no_ciphertext 1 "--ciphertext must be set" "$tool" decrypt "${creds[@]}"
says decrypt_names_unknown_options 1 "Unknown option: --colour" "$tool" decrypt "${creds[@]}" --colour red -c AA==
says decrypt_has_no_length 1 "Unknown option: --length" "$tool" decrypt "${creds[@]}" --length 3 -c AA==
says genkey_ignores_unknown_options 1 "--key-id must be set" "$tool" genkey "${creds[@]}" --colour
says no_key_spec 1 "--key-spec must be set" "$tool" genkey "${creds[@]}" -K k
says key_spec 1 "Unknown key spec: AES_256" "$tool" genkey "${creds[@]}" -K k -p AES_256
says no_length 1 "--length must be set" "$tool" genrandom "${creds[@]}"
says length_zero 1 "--length must be greater than 0" "$tool" genrandom "${creds[@]}" -l 0
says length_negative 1 "--length must be greater than 0" "$tool" genrandom "${creds[@]}" -l -1
says length_large 1 "--length must be smaller or equal to 1024" "$tool" genrandom "${creds[@]}" -l 1025
says no_base64 255 "Ciphertext not a base64 string" "$tool" decrypt "${creds[@]}" -c '@@'
says key_id_without_algorithm 255 "Invalid encryption algorithm" "$tool" decrypt "${creds[@]}" -c AA== -K k
says algorithm 255 "Invalid encryption algorithm" "$tool" decrypt "${creds[@]}" -c AA== -K k -a RSA
says endpoint_form 1 "--endpoint must be CID:PORT" "$tool" generate-data-key --endpoint 8000 --key-id k --key-spec AES-256
if [ ! -e /dev/nsm ]; then
    says outside_an_enclave 255 "Could not open the Nitro Security Module" "$tool" genrandom "${creds[@]}" -l 32
    says the_phrase_of_genrandom 255 "Could not generate random bytes" "$tool" genrandom "${creds[@]}" -l 32
fi

emulator_up
pcr=$(printf 'ab%.0s' {1..48})
exec {nsm_in}> >(exec python3 "$here/nsm_hold.py" "$(emu_get nsm_control)" "$pcr" "$pcr" "$pcr" >"$RUN/nsm")
exec {debug_in}> >(exec python3 "$here/nsm_hold.py" "$(emu_get nsm_control)" "$pcr" "$pcr" "$pcr" debug >"$RUN/nsm.debug")
wait_until 10 test -s "$RUN/nsm" && wait_until 10 test -s "$RUN/nsm.debug" || die "no security module"
mkdir "$RUN/vsock"
connect=$(emu_get kms_connect)
start_proxy() {
    socat "UNIX-LISTEN:$RUN/vsock/parent-$1.sock,fork" "TCP:${connect#tcp:}" 2>/dev/null &
    proxy=$!
    wait_until 5 test -S "$RUN/vsock/parent-$1.sock"
}

key_new
key_bind "$pcr"
sign() { "$BIN/signctl" "$@"; }
# the role may make data keys too: the policy of one release
sign kms policy --role "$ROLE_ARN" --account "$ACCOUNT" --admin-role KMSAdmin --release "$pcr:$pcr:$pcr" --data-keys 2>/dev/null |
    jq --arg root "arn:aws:iam::$ACCOUNT:root" '.Statement += [{Effect: "Allow", Principal: {AWS: $root}, Action: ["kms:Encrypt", "kms:PutKeyPolicy", "kms:GetKeyPolicy", "kms:DescribeKey"], Resource: "*"}]' |
    jq --arg key "$KEY_ARN" '{KeyId: $key, PolicyName: "default", Policy: tojson}' | kms PutKeyPolicy >/dev/null || die "PutKeyPolicy failed"
token=$(curl -sS --noproxy '*' -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$IMDS/latest/api/token")
role=$(curl -sS --noproxy '*' -H "X-aws-ec2-metadata-token: $token" "$IMDS/latest/meta-data/iam/security-credentials/")
curl -sS --noproxy '*' -H "X-aws-ec2-metadata-token: $token" "$IMDS/latest/meta-data/iam/security-credentials/$role" >"$RUN/creds"
creds=(--aws-access-key-id "$(jq -r .AccessKeyId "$RUN/creds")" --aws-secret-access-key "$(jq -r .SecretAccessKey "$RUN/creds")"
    --aws-session-token "$(jq -r .Token "$RUN/creds")")
inside() {
    local nsm=$1 command=$2
    shift 2
    "$BIN/kmstool_enclave_cli-emulated" "$command" --nsm "unix:$(cat "$RUN/$nsm")" --local-dir "$RUN/vsock" --ca-file "$CA" "$@"
}
blob=$(jq -n --arg key "$KEY_ARN" '{KeyId: $key, Plaintext: ("a secret" | @base64)}' | kms Encrypt | jq -r .CiphertextBlob)

start=$SECONDS
says proxy_down 255 "Connection failed with error CONNECT" inside nsm decrypt "${creds[@]}" -c "$blob"
[ $((SECONDS - start)) -le 5 ]
report $? proxy_down_is_seen_at_once
says proxy_down_names_the_fix 255 "sign-host proxy 8000 kms.us-east-1.amazonaws.com 443" inside nsm decrypt "${creds[@]}" -c "$blob"
says garbage_port_is_port_zero 255 "Connection failed" inside nsm decrypt "${creds[@]}" -c "$blob" -x garbage
start_proxy 8000

# result NAME LINES COMMAND...: exit status 0 and exactly these lines (a pattern for each) on standard output
result() {
    local name=$1 pattern=$2
    shift 2
    "$@" >"$RUN/out" 2>"$RUN/err" </dev/null && [ "$(tr '\n' '|' <"$RUN/out" | grep -cE "^$pattern\$")" = 1 ]
    report $? "$name"
}
b64='[A-Za-z0-9+/]+=*'
result decrypt "PLAINTEXT: $(printf 'a secret' | base64)\\|" inside nsm decrypt "${creds[@]}" --region us-east-1 --proxy-port 8000 --ciphertext "$blob"
grep -q '^Connected.$' "$RUN/err" && grep -q '^Disconnected.$' "$RUN/err"
report $? progress_is_on_standard_error
result decrypt_with_key_id "PLAINTEXT: $(printf 'a secret' | base64)\\|" inside nsm decrypt "${creds[@]}" -c "$blob" -K "$KEY_ARN" -a SYMMETRIC_DEFAULT
result genkey "CIPHERTEXT: $b64\\|PLAINTEXT: $b64\\|" inside nsm genkey "${creds[@]}" -K "$KEY_ARN" -p AES-256 --colour
plain=$(sed -n 's/^PLAINTEXT: //p' "$RUN/out")
sealed=$(sed -n 's/^CIPHERTEXT: //p' "$RUN/out")
[ "$(printf %s "$plain" | base64 -d | wc -c)" = 32 ]
report $? a_key_of_256_bits
result a_data_key_opens_again "PLAINTEXT: ${plain//+/\\+}\\|" inside nsm decrypt "${creds[@]}" -c "$sealed"
result genkey_128 "CIPHERTEXT: $b64\\|PLAINTEXT: [A-Za-z0-9+/]{22}==\\|" inside nsm genkey "${creds[@]}" -K "$KEY_ARN" -p AES-128
result genrandom "PLAINTEXT: [A-Za-z0-9+/]{22}==\\|" inside nsm genrandom "${creds[@]}" -l 16
env_creds=(env "AWS_ACCESS_KEY_ID=${creds[1]}" "AWS_SECRET_ACCESS_KEY=${creds[3]}" "AWS_SESSION_TOKEN=${creds[5]}")
seed_001() {
    "${env_creds[@]}" "$BIN/kmstool_enclave_cli-emulated" "$@" --endpoint 3:8000 --nsm "unix:$(cat "$RUN/nsm")" --local-dir "$RUN/vsock" --ca-file "$CA"
}
result seed_001_generate_data_key "CIPHERTEXT: $b64\\|PLAINTEXT: $b64\\|" seed_001 generate-data-key --key-id "$KEY_ARN" --audience kms --key-spec AES-256
result seed_001_decrypt "PLAINTEXT: $(printf 'a secret' | base64)\\|" seed_001 decrypt --ciphertext "$blob"

# refusals of KMS are shown, without account numbers
says debug_enclave_denied 255 "AccessDeniedException: " inside nsm.debug decrypt "${creds[@]}" -c "$blob"
says the_status_line 255 "Got non-200 answer from KMS: 400" inside nsm.debug decrypt "${creds[@]}" -c "$blob"
says the_last_line 255 "Could not decrypt ciphertext" inside nsm.debug decrypt "${creds[@]}" -c "$blob"
! grep -q "$ACCOUNT" "$RUN/err"
report $? account_numbers_are_not_shown
says the_last_line_of_genkey 255 "Could not generate data key" inside nsm.debug genkey "${creds[@]}" -K "$KEY_ARN" -p AES-256
says bad_ciphertext 255 "InvalidCiphertextException" inside nsm decrypt "${creds[@]}" -c "$(printf '%s' "$blob" | base64 -d | head -c 60 | base64 -w0)"
says expired_token 255 "UnrecognizedClientException" inside nsm decrypt "${creds[@]:0:4}" -t other -c "$blob"
says wrong_secret 255 "InvalidSignatureException" inside nsm decrypt "${creds[@]:0:2}" -s other "${creds[@]:4:2}" -c "$blob"
says unknown_ca 255 "Connection failed with error TLS" "$BIN/kmstool_enclave_cli-emulated" decrypt "${creds[@]}" -c "$blob" \
    --nsm "unix:$(cat "$RUN/nsm")" --local-dir "$RUN/vsock" --ca-file /etc/ssl/certs/ca-certificates.crt
says other_region 255 "Connection failed with error TLS" inside nsm decrypt "${creds[@]}" -c "$blob" -r eu-west-1

# a proxy that takes the connection and says nothing
kill "$proxy" && wait "$proxy" 2>/dev/null
rm -f "$RUN/vsock/parent-8000.sock"
socat "UNIX-LISTEN:$RUN/vsock/parent-8000.sock,fork" SYSTEM:'sleep 30' 2>/dev/null &
proxy=$!
wait_until 5 test -S "$RUN/vsock/parent-8000.sock"
start=$SECONDS
says mute_proxy 255 "Connection failed with error TIMEOUT" inside nsm decrypt "${creds[@]}" -c "$blob"
[ $((SECONDS - start)) -le 9 ]
report $? the_handshake_has_a_deadline

# what is secret does not stay in the arguments (the proxy is still mute, so there is time to look)
"$BIN/kmstool_enclave_cli-emulated" decrypt --nsm "unix:$(cat "$RUN/nsm")" --local-dir "$RUN/vsock" --ca-file "$CA" "${creds[@]}" -c "$blob" >/dev/null 2>"$RUN/err" &
pid=$!
sleep 1
tr '\0' '\n' <"/proc/$pid/cmdline" >"$RUN/out" && grep -qF -- --aws-session-token "$RUN/out" && ! grep -qF -e "${creds[3]}" -e "${creds[5]}" "$RUN/out"
report $? secrets_leave_the_arguments
wait $pid
exit $failed
