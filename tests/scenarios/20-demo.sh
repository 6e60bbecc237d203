#!/bin/bash
# programs: both
# Goal of this test: `make demo` ends well, its record is complete, and it leaves no process and no private key behind.
set -u
dir=$(mktemp -d /tmp/cs-demo.XXXXXX)
trap 'rm -rf "$dir"' EXIT
export COUNTERSIGN_RUN=$dir/run
if ! "$(dirname "$0")/../../scripts/demo.sh" >"$dir/out" 2>&1; then
    tail -30 "$dir/out"
    echo "not ok demo"
    exit 1
fi
failed=0
check() {
    if [ "$2" = "$3" ]; then
        echo "ok $1"
    else
        echo "not ok $1"
        echo "# $2, expected $3"
        failed=1
    fi
}
check record "$(jq -c '[(.transaction_hash | length), (.sender | length), .refusals.other_image, .refusals.byte_changed, .refusals.lying_client, .refusals.older_shares, .refusals.forged_shares]' "$dir/run/demo.json")" \
    '[66,42,"KMS_DENIED","ABORT_SESSION","PEER_BANNED","SHARES_GENERATION","SHARES_SIGNATURE"]'
check no-process-left "$(pgrep -f "$dir/run" | wc -l)" 0
check no-private-key-left "$(find "$dir/run" -maxdepth 1 -name '*.key' | wc -l)" 0
exit $failed
