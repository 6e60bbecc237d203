#!/bin/bash
# Goal of this test: after `make up` a command works with no option, with the address that endpoints.env has, and with the file's lines
# as environment; with any other address nothing of the emulator's root and PCRs is taken over.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
BIN=${COUNTERSIGN_BIN:-$root/build/bin}
dir=$(mktemp -d /tmp/cs-endpoints.XXXXXX)
export COUNTERSIGN_RUN=$dir/build/run COUNTERSIGN_BIN=$BIN
unset ATTESTATION_PCRS ATTESTATION_ROOT NSM_ROOT_PEM CLIENT_SHARES GATEWAY_HTTP GATEWAY_GRPC SIGN_SERVICE_GRPC ACCOUNT_ID
trap '"$root/scripts/stack.sh" down; rm -rf "$dir"' EXIT
failed=0
"$root/scripts/stack.sh" up >"$dir/up.log" 2>&1 || { tail -5 "$dir/up.log"; echo "not ok up"; exit 1; }
digest=$(printf x | sha256sum | cut -c1-64)
file=$dir/build/run/endpoints.env
value() { sed -n "s/^$1=//p" "$file"; }

# is CASE WANTED COMMAND...: the output has that text
is() {
    local name=$1 wanted=$2
    shift 2
    if "$@" 2>&1 | grep -q "$wanted"; then echo "ok $name"; else
        echo "not ok $name"
        failed=1
    fi
}
here() { (cd "$dir" && timeout 20 "$BIN/signctl" "$@"); }
exported() {
    set -a
    # shellcheck disable=SC1090 # made by make up
    . "$file"
    set +a
}
elsewhere() { (cd / && exported && timeout 20 "$BIN/signctl" "$@"); }
# a server that is ended when it is ready, or refuses
serves() { (cd "$dir" && timeout 3 "$BIN/signctl" participant serve -l tcp:127.0.0.1:0 --shares "$1" --gateway "$2"); }
serves_elsewhere() { (cd / && exported && timeout 3 "$BIN/signctl" participant serve -l tcp:127.0.0.1:0); }

is no_option '^signature\|^r ' here sign --account account-1 --digest "$digest"
is the_address_of_the_file '^signature\|^r ' here sign -s "tcp:$(value SIGN_SERVICE_GRPC)" --account account-1 --digest "$digest"
is another_address_takes_nothing_over ATT_NO_POLICY here sign -s tcp:127.0.0.1:1 --shares "$(value CLIENT_SHARES)" --account account-1 --digest "$digest"
is the_file_as_environment '^signature\|^r ' elsewhere sign --account account-1 --digest "$digest"
is participant_at_the_gateway_of_the_file '"ready"' serves "$(value CLIENT_SHARES)" "$(value GATEWAY_HTTP)/"
is participant_with_the_environment '"ready"' serves_elsewhere
is participant_at_another_gateway ATT_NO_POLICY serves "$(value CLIENT_SHARES)" http://127.0.0.1:1
is a_pcr_that_is_none_is_refused FORMAT env ATTESTATION_PCRS=0=00 timeout 20 "$BIN/signctl" sign -s tcp:127.0.0.1:1 --shares "$(value CLIENT_SHARES)" --account account-1 --digest "$digest"
exit $failed
