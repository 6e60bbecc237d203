#!/bin/bash
# h2spec, strict cases included, against the gRPC ports of sign-service and sign-gateway: every case of generic, hpack and http2.
# One line per case. Takes seconds; a case that fails takes 2 s.
set -u
# shellcheck source=tests/interop/lib.sh
. "$(dirname "$0")/lib.sh"
need h2spec
stack

# conforms NAME HOST:PORT
conforms() {
    local report=$RUN/$1.xml
    timeout 120 "$(go_peer h2spec)" -S -h "${2%:*}" -p "${2##*:}" -j "$report" >"$RUN/$1.out" 2>&1
    python3 - "$1" "$report" <<'PY' || { failed=1; tail -n 60 "$RUN/$1.out"; }
import sys
import xml.etree.ElementTree as tree

name, report = sys.argv[1:]
bad = count = 0
for case in tree.parse(report).iter("testcase"):
    good = case.find("failure") is None and case.find("error") is None and case.find("skipped") is None
    print(f"{'ok' if good else 'not ok'} {name}/{case.get('package')} {case.get('classname')}")
    count += 1
    bad += not good
if count < 147:
    print(f"not ok {name}: {count} cases ran, 147 are known")
sys.exit(1 if bad or count < 147 else 0)
PY
}

conforms service "$SIGN_SERVICE_GRPC"
# a connection error ends one connection, and no more
case_ service_lives "${COUNTERSIGN_BIN:-$TOP/build/bin}/signctl" status --env "$RUN/run/endpoints.env"
conforms gateway "$GATEWAY_GRPC"
case_ gateway_lives curl -sSf "$GATEWAY_HTTP/health"
exit $failed
