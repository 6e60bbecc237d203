# shellcheck shell=bash
# Common part of the scenarios: a stack of its own in a temporary folder, removed at the end. To be sourced.
# Each scenario prints `ok NAME` or `not ok NAME` and ends with `finish`.
RUN=$(mktemp -d /tmp/cs-scenario.XXXXXX)
# shellcheck source=scripts/stack-lib.sh
. "$(cd "$(dirname "${BASH_SOURCE[0]}")/../../scripts" && pwd)/stack-lib.sh"
failed=0

cleanup() {
    local f
    for f in "$RUN"/*.pid; do
        [ -e "$f" ] && [ "$f" != "$RUN/emulator.pid" ] && stop_pid "$f" sign-host
    done
    emulator_down
    rm -rf "$RUN"
}
trap cleanup EXIT

# case_ NAME COMMAND...
case_() {
    local name=$1
    shift
    if "$@"; then
        echo "ok $name"
    else
        echo "not ok $name"
        echo "# failed: $*"
        tail -n 5 "$RUN"/*/enclave.log "$RUN"/*.err 2>/dev/null | sed 's/^/# /'
        failed=1
    fi
}
finish() { exit "$failed"; }

store() {
    age_seal "$RUN/age-private.key" "$RUN/age-private.key.enc"
    s3_put "$RUN/age-private.key.enc" enclave/age-private.key.enc
    s3_put "$RUN/shares/service_key_shares.json.age" enclave/service_key_shares.json.age
}

# prepare [EMULATOR OPTION...]: everything but the enclave
prepare() {
    emulator_up "$@"
    publisher_new
    age_new
    key_new
    image_build "$RUN/image"
    key_bind "$PCR0"
    shares_new "$RUN/shares" 1 -n 2
    store
}

# serve NAME [OPTION...]: an enclave in $RUN/NAME that serves
serve() {
    local name=$1
    shift
    host_up "$RUN/$name" "${IMAGE:-$RUN/image}" "$@" && wait_until 30 serving "$RUN/$name"
}

credentials() {
    local token role
    token=$(curl -sS --noproxy '*' -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$IMDS/latest/api/token")
    role=$(curl -sS --noproxy '*' -H "X-aws-ec2-metadata-token: $token" "$IMDS/latest/meta-data/iam/security-credentials/")
    curl -sS --noproxy '*' -H "X-aws-ec2-metadata-token: $token" "$IMDS/latest/meta-data/iam/security-credentials/$role"
}

# inject DIR PORT <BYTES: the answer's line, as socat gives it
inject() { socat -t 130 - "UNIX-CONNECT:$RUN/$1/enclave-$2.sock"; }
# code: of an answer on standard input
code() { jq -r .code; }
# last DIR: how the last load ended, by status
last() { "$BIN/sign-host" status --json --dir "$RUN/$1" | jq -r .load.last; }
phase() { "$BIN/sign-host" status --json --dir "$RUN/$1" | jq -r .phase; }
logged() { grep -q "\"code\":\"$2\"" "$RUN/$1/enclave.log"; }
# pair DIR AGE SHARES: credentials, then the pair; prints the second answer's line (the outcome)
pair() {
    credentials | inject "$1" 7100 >/dev/null
    inject "$1" 7101 <"$2" >"$RUN/first.json"
    inject "$1" 7102 <"$3"
}
