#!/bin/bash
# Goal of this test: a name of KMS that does not resolve ends a first start with code DNS and leaves nothing; with --keep, and for a reload of
# an enclave that serves, the name is asked again, and all goes on when it comes back.
# limit: 120
# shellcheck disable=SC2034 # variables that nitro-lib.sh reads
set -u
# shellcheck source=tests/scenarios/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/scenarios/nitro-lib.sh
. "$(dirname "$0")/nitro-lib.sh"

name_gone() { : >"$RUN/hosts"; }
name_back() { printf '127.0.0.1 localhost kms.test\n' >"$RUN/hosts"; }
first_start() {
    name_gone
    run_nitro "$RUN/f" >"$RUN/f.out" 2>"$RUN/f.err" </dev/null
    [ $? = 1 ] && grep -q '^sign-host: DNS: .*the way to KMS, tcp:kms.test:' "$RUN/f.err" && grep -q '"event":"lookup_failed"' "$RUN/f.err" &&
        [ "$(enclaves)" = 0 ] && [ ! -e "$RUN/f/run.json" ] && [ -z "$(find "$V" -name '*.sock')" ]
}
kept() {
    run_nitro "$RUN/k" --keep --restart-ms 200 >"$RUN/k.out" 2>"$RUN/k.err" </dev/null &
    wait_until 20 grep -q 'DNS: .*starts again' "$RUN/k.out" || return 1
    name_back
    wait_until 60 grep -q 'serves' "$RUN/k.out" && HOST_PID=$(jq -r .pid "$RUN/k/run.json") && echo "$HOST_PID" >"$RUN/k.pid" &&
        GRPC=$(jq -r .grpc "$RUN/k/run.json" | sed 's/^tcp://') && sign_ok
}
# addresses that were known once are used while a lookup fails; so the destination itself is away here
reload() { "$BIN/sign-host" reload --dir "$RUN/k" >"$RUN/reload.out" 2>"$RUN/reload.err"; }
reload_after() { name_gone && reload && sign_ok && name_back; }

nitro_prepare
KMS_TO=tcp:kms.test:${KMS##*:}
name_gone
IN=("$(dirname "$0")/parts/own_hosts.sh" "$RUN/hosts")
"${IN[@]}" true 2>/dev/null || {
    echo "skip nitro-dns (no mount namespace for this user)"
    exit 0
}
case_ "first-start" first_start
case_ "kept-until-the-name-is-back" kept
case_ "reload-with-the-addresses-that-were-known" reload_after
case_ "stops" nitro_down k
finish
