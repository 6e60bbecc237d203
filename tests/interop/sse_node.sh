#!/bin/bash
# The rooms of sign-gateway through EventSource clients of Node 22: sse_node.mjs with the npm package, then with Node's own.
set -u
# shellcheck source=tests/interop/lib.sh
. "$(dirname "$0")/lib.sh"
need node
RUN=$(mktemp -d /tmp/cs-interop.XXXXXX)
trap unstack EXIT
gateway_up
for which in npm builtin; do
    timeout 120 "$(node_peer)" --experimental-eventsource --no-warnings "$TOP/tests/interop/sse_node.mjs" "$which" "$GATEWAY_HTTP" || failed=1
    kill -0 "$GATEWAY_PID" || { echo "not ok $which/gateway-lives"; failed=1; }
    # rooms of the next run are new ones
    gateway_down
    gateway_up
done
exit $failed
