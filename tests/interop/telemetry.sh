#!/bin/bash
# Telemetry of sign-gateway, read by others: /metrics by the parser and linter that promtool has, OTLP bodies by OpenTelemetry's messages, in
# a collector of the test's own that refuses at first; one trace from the client to core.
# shellcheck source=tests/interop/lib.sh
. "$(dirname "$0")/lib.sh"
need promlint opentelemetry-proto
DIR=$(mktemp -d /tmp/cs-telemetry.XXXXXX)
RUN=$DIR
trap 'rm -rf "$DIR"' EXIT
/usr/bin/python3 "$(dirname "$0")/telemetry_calls.py" "$DIR" || failed=1
case_ promlint sh -c '"$1" <"$2/metrics"' sh "$(go_peer promlint)" "$DIR"
printf 'a_total 1\n# TYPE b counter\nb 1\n' >"$DIR/wrong"
case_ promlint_finds_faults sh -c '! "$1" <"$2/wrong"' sh "$(go_peer promlint)" "$DIR"
case_ dashboard_names_what_there_is /usr/bin/python3 "$(dirname "$0")/telemetry_dashboard.py" "$DIR/metrics" "$TOP/deploy/grafana/countersign-tee.json"
"$TOP/build/peers/py/bin/python" "$(dirname "$0")/telemetry_otlp.py" "$DIR" || failed=1
exit $failed
