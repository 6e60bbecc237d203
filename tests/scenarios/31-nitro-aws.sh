#!/bin/bash
# Goal of this test: whatever IMDS and S3 answer, sign-host ends in the one code that says why, before an enclave is started, or goes on as
# it should: tokens renewed once, regions corrected once and to hosts of our own making, broken transfers resumed, busy services asked again.
# limit: 400
# shellcheck disable=SC2034 # variables that nitro-lib.sh reads
set -u
# shellcheck source=tests/scenarios/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/scenarios/nitro-lib.sh
. "$(dirname "$0")/nitro-lib.sh"

nitro_prepare
"$(dirname "$0")/parts/aws_faults.py" "$IMDS" "$S3" "$RUN/mode" "$RUN/port" 2>"$RUN/faults.err" &
FAULTS=$!
trap 'kill $FAULTS; nitro_cleanup' EXIT
wait_until 10 test -s "$RUN/port"
BAD=http://127.0.0.1:$(cat "$RUN/port")

mode() { echo "$1" >"$RUN/mode" && rm -f "$RUN/mode.log"; }
# fails MODE CODE: the run ends with that code, nothing has been started, nothing is left
fails() {
    mode "$1"
    IMDS_ENDPOINT=$BAD S3_ENDPOINT=$BAD run_nitro "$RUN/f" >"$RUN/f.out" 2>"$RUN/f.err" </dev/null
    [ $? = 1 ] && grep -q "^sign-host: $2: " "$RUN/f.err" && grep -q '^fix: ' "$RUN/f.err" && [ "$(enclaves)" = 0 ] && [ ! -e "$RUN/f/run.json" ]
}
# works MODE: it serves all the same
works() {
    mode "$1"
    IMDS_ENDPOINT=$BAD S3_ENDPOINT=$BAD nitro_up w && nitro_down w
}
# the rest only, and only of the same object
resumed() { works s3:cut && grep -q 'bytes=50-' "$RUN/mode.log" && ! grep 'bytes=' "$RUN/mode.log" | grep -q -- '-$'; }
# a host that S3 names is never asked
own_hosts_only() { ! grep -qi evil "$RUN/f.out" "$RUN/f.err"; }

for row in imds:hop=IMDS_HOP imds:v1=IMDS_V1 imds:405=IMDS_V1 imds:403=IMDS_OFF imds:400=IMDS imds:401=IMDS_TOKEN imds:role=IMDS_ROLE \
    imds:no-role=IMDS_ROLE imds:code=IMDS_CODE imds:expired=CRED_EXPIRED imds:junk=CRED_FORMAT \
    s3:301=S3_REGION s3:301-silent=S3_REGION s3:301-host=S3_REGION s3:slow=S3_THROTTLED s3:expired=S3_TOKEN s3:skew=S3_SIGNATURE; do
    case_ "${row%=*}" fails "${row%=*}" "${row#*=}"
done
case_ "own-hosts-only" own_hosts_only
absent() (
    BAD=http://127.0.0.1:1
    fails none IMDS_ABSENT
)
# without s3:ListBucket a key that is not there cannot be told from one that may not be read
missing() (
    KEY_SHARES_S3_URI=$1
    fails none "S3_NOT_FOUND\|S3_DENIED"
)
other_region() (
    AWS_REGION=eu-central-1
    works "$1" && grep -c '^GET /enclave' "$RUN/mode.log" | grep -qx 4
)
case_ "imds:absent" absent
case_ "s3:404" missing "s3://$BUCKET/none"
case_ "s3:no-bucket" missing s3://no-such-bucket/none
case_ "imds:401-once" works imds:401-once
case_ "imds:500-once" works imds:500-once
case_ "s3:slow-twice" works s3:slow-twice
case_ "s3:resumed" resumed
case_ "s3:changed-meanwhile" works s3:changed
for m in 301 307 400; do
    case_ "s3:$m-other-region" other_region "s3:$m-back"
done
case_ "s3:cut-always-ends" fails s3:cut-always IO
finish
