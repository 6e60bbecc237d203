#!/bin/bash
# Goal of this test: sign-host doctor says ok of everything that is right, and for each single fault its own line says what is wrong and how
# to mend it. AWS is the emulator, the parent's /dev, /etc, /proc and /sys are a made-up tree, the enclave runs under nitro-cli-emulated.
set -u
# shellcheck source=tests/scenarios/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/scenarios/nitro-lib.sh
. "$(dirname "$0")/nitro-lib.sh"
unset KMS_KEY_ARN EIF_PATH
top=$(cd "$(dirname "$0")/../.." && pwd)

# tree DIR: a parent as it should be
tree() {
    local t=$1 d
    rm -rf "$t"
    mkdir -p "$t"/{dev,etc/nitro_enclaves,proc/sys/kernel/random} "$t"/sys/module/nitro_enclaves/parameters \
        "$t"/sys/devices/system/clocksource/clocksource0 "$t"/sys/class/misc/hw_random
    for d in sys/kernel/mm/hugepages sys/devices/system/node/node0/hugepages; do
        mkdir -p "$t/$d"/hugepages-{2048,1048576}kB
        echo 300 | tee "$t/$d/hugepages-2048kB/free_hugepages" >"$t/$d/hugepages-2048kB/nr_hugepages"
        echo 0 | tee "$t/$d/hugepages-1048576kB/free_hugepages" >"$t/$d/hugepages-1048576kB/nr_hugepages"
    done
    : >"$t/dev/nitro_enclaves"
    printf -- '---\n# Enclave configuration file.\nmemory_mib: 600\ncpu_count: 2\n' >"$t/etc/nitro_enclaves/allocator.yaml"
    printf 'allowlist:\n- {address: kms.%s.amazonaws.com, port: 443}\n' "$REGION" >"$t/etc/nitro_enclaves/vsock-proxy.yaml"
    echo 1,3 >"$t/sys/module/nitro_enclaves/parameters/ne_cpus"
    echo kvm-clock >"$t/sys/devices/system/clocksource/clocksource0/current_clocksource"
    echo tpm-rng-0 >"$t/sys/class/misc/hw_random/rng_current"
    echo 256 >"$t/proc/sys/kernel/random/entropy_avail"
}

# doctor [OPTION...]: everything given; the variables of run are the same
doctor() {
    env AGE_KEY_S3_URI="${AGE-s3://$BUCKET/enclave/age-private.key.enc}" KEY_SHARES_S3_URI="${SHARES-s3://$BUCKET/enclave/service_key_shares.json.age}" \
        AWS_REGION="$REGION" IMDS_ENDPOINT="${IMDS_AT-$IMDS}" S3_ENDPOINT="$S3" AWS_CA_BUNDLE="$CA" MEMORY_MIB="${MEMORY_MIB-512}" \
        "$BIN/sign-host" doctor --root "$RUN/tree" --eif "${EIF-$RUN/a.eif}" --kms-endpoint "${KMS_AT-$(emu_get kms_connect)}" \
        --nsm-root "$(emu_get nsm_root)" --dir "$RUN/one" --nitro-cli "${CLI-$BIN/nitro-cli-emulated}" "$@"
}
# says CHECK STATUS CODE TEXT [OPTION...]: of the report with one fault; the exit status is 1 exactly when it says fail
says() {
    local check=$1 status=$2 code=$3 text=$4 got=0
    shift 4
    doctor --json "$@" >"$RUN/report.json" 2>"$RUN/doctor.err" || got=$?
    [ $got = "$([ "$status" = fail ] && echo 1 || jq 'if .ok then 0 else 1 end' "$RUN/report.json")" ] &&
        jq -e --arg c "$check" --arg s "$status" --arg k "$code" --arg t "$text" \
            '.checks[] | select(.check == $c) | .status == $s and .code == $k and (.text | contains($t)) and ($k == "OK" or (.fix | length) > 3)' \
            "$RUN/report.json" >/dev/null || { jq -c '.checks[]' "$RUN/report.json" | sed 's/^/# /'; cat "$RUN/doctor.err"; return 1; }
}
# only CHECK...: the same with nothing else looked at
only() { says "$@" --only "$1"; }
# with_file PATH TEXT CHECK STATUS CODE TEXT: a fault of the tree
with_file() {
    tree "$RUN/tree"
    if [ "$2" = none ]; then rm -f "$RUN/tree/$1"; else printf '%b' "$2" >"$RUN/tree/$1"; fi
    shift 2
    only "$@"
    local status=$?
    tree "$RUN/tree"
    return $status
}

# ---------------------------------------------------------------- all is well

all_ok() {
    doctor --json >"$RUN/report.json" && jq -e '.ok and .num_fail == 0 and .num_warn == 0' "$RUN/report.json" >/dev/null || {
        jq -c '.checks[] | select(.status != "ok")' "$RUN/report.json" | sed 's/^/# /'
        return 1
    }
    jq -c ".checks[] | select(.status == \"skip\")" "$RUN/report.json" | sed "s/^/# /"
    # what is not there to be looked at
    [ "$(jq -r '[.checks[] | select(.status == "skip") | .check] | join(" ")' "$RUN/report.json")" = "expected signer" ]
}
one_screen() {
    doctor >"$RUN/screen" && [ "$(wc -l <"$RUN/screen")" -le 25 ] && ! grep -q $'\033' "$RUN/screen" && tail -1 "$RUN/screen" | grep -q ' 0 warn, 0 fail'
}
red_on_a_terminal() {
    local run="$BIN/sign-host doctor --root $RUN/none --only device"
    TERM=xterm script -qec "$run" /dev/null >"$RUN/coloured" </dev/null
    NO_COLOR=1 script -qec "$run" /dev/null >"$RUN/plain" </dev/null
    grep -q $'\033\\[1;31mFAIL' "$RUN/coloured" && grep -q FAIL "$RUN/plain" && ! grep -q $'\033' "$RUN/plain"
}
keeps_nothing() {
    ! grep -rlE 'SecretAccessKey|AGE-SECRET' "$RUN/report.json" "$RUN/screen" && ! grep -q "$(credentials | jq -r .SecretAccessKey)" "$RUN/screen" "$RUN/report.json"
}
usage() { ! doctor --only nonsense 2>"$RUN/u" && grep -q 'no such check' "$RUN/u" && [ "$(doctor --list | wc -l)" -ge 20 ]; }

# huge_pages ALL FREE STATUS CODE TEXT: of 2 MiB, on the only node
huge_pages() {
    local pages=$RUN/tree/sys/devices/system/node/node0/hugepages/hugepages-2048kB
    echo "$1" >"$pages/nr_hugepages"
    echo "$2" >"$pages/free_hugepages"
    shift 2
    only hugepages "$@"
    local status=$?
    tree "$RUN/tree"
    return $status
}

# ---------------------------------------------------------------- faults of AWS

# policy SED: the key policy with something changed; put back by key_bind
policy_with() {
    echo "{\"KeyId\":\"$KEY_ARN\",\"PolicyName\":\"default\"}" | kms GetKeyPolicy | jq -r .Policy | jq -c "$1" |
        jq -R --arg key "$KEY_ARN" '{KeyId: $key, PolicyName: "default", Policy: .}' | kms PutKeyPolicy >/dev/null
}
open_policy() {
    policy_with '.Statement |= map(select(.Sid != "nobody-else")) | .Statement += [{Sid: "hole", Effect: "Allow", Principal: "*", Action: "kms:Decrypt", Resource: "*"}]'
    only negative fail KMS_OPEN "would decrypt"
    local status=$?
    key_bind "$PCR0"
    return $status
}
another_image() {
    key_bind "$(printf 'ab%.0s' {1..48})"
    only policy fail PCR_MISMATCH "PCR0 alone does not say"
    local status=$?
    key_bind "$PCR0"
    return $status
}
another_application() {
    local app
    app=$(printf 'cd%.0s' {1..48})
    policy_with ".Statement |= map(if .Sid == \"enclave\" then .Condition.StringEqualsIgnoreCase += {\"kms:RecipientAttestation:PCR0\": \"$app\", \"kms:RecipientAttestation:PCR1\": \"$PCR1\", \"kms:RecipientAttestation:PCR2\": \"$app\"} else . end)"
    only policy fail PCR_MISMATCH "the application (ramdisk 1: programs or configuration) differs; kernel and init are the same"
    local status=$?
    key_bind "$PCR0"
    return $status
}
clear_key() {
    s3_put "$RUN/age-private.key" enclave/clear.key
    AGE=s3://$BUCKET/enclave/clear.key only age-key fail KMS_CIPHERTEXT "in the clear"
}
not_of_kms() {
    head -c 200 /dev/urandom >"$RUN/noise" && s3_put "$RUN/noise" enclave/noise
    AGE=s3://$BUCKET/enclave/noise only negative fail KMS_CIPHERTEXT "InvalidCiphertextException"
}

# ---------------------------------------------------------------- servers that hang, lie or are of another kind

# server NAME PYTHON: an HTTP server on a free port, NAME_AT
servers=
server() {
    python3 - "$RUN/$1.port" <<END >/dev/null 2>&1 &
import http.server, sys, time
class H(http.server.BaseHTTPRequestHandler):
    def log_message(self, *a): pass
    def say(self, status, body=b""):
        self.send_response(status); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
$2
s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), H)
open(sys.argv[1] + ".new", "w").write(str(s.server_port))
import os; os.rename(sys.argv[1] + ".new", sys.argv[1])
s.serve_forever()
END
    servers="$servers $!"
    wait_until 10 test -s "$RUN/$1.port"
    AT=http://127.0.0.1:$(cat "$RUN/$1.port")
}
stop_servers() {
    local p
    for p in $servers; do kill "$p" 2>/dev/null; done
    nitro_cleanup
}
trap stop_servers EXIT
never_hangs() {
    local start=$SECONDS
    server silent '    def do_GET(self): time.sleep(60)
    do_PUT = do_POST = do_HEAD = do_GET'
    ! S3=$AT IMDS_AT=$AT KMS_AT=tcp:${AT#http://} doctor --timeout-ms 700 --json >"$RUN/report.json" && [ $((SECONDS - start)) -le 15 ] &&
        [ "$(jq '.checks | length' "$RUN/report.json")" = "$(doctor --list | wc -l)" ]
}
# What hangs in a library: a lookup is left behind at the deadline, anything else ends the report.
hanging_library() {
    cat >"$RUN/slow.c" <<'END'
#include <fcntl.h>
#include <netdb.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
int getaddrinfo(const char *n, const char *s, const struct addrinfo *h, struct addrinfo **r) { sleep(30); return EAI_AGAIN; }
int access(const char *p, int m) { return strstr(p, "nitro_enclaves") != NULL ? (int)sleep(30) : faccessat(AT_FDCWD, p, m, 0); }
time_t time(time_t *t) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    now.tv_sec += 2 * 366 * 86400;
    if (t) *t = now.tv_sec;
    return now.tv_sec;
}
END
    gcc -shared -fPIC -o "$RUN/slow.so" "$RUN/slow.c"
}
# the shim goes before a sanitizer, which refuses that: the released program
slow() { LD_PRELOAD=$RUN/slow.so timeout 20 "$top/build/bin/sign-host" doctor --root "$RUN/tree" --timeout-ms 800 --json "$@" >"$RUN/report.json"; }
slow_lookup() { ! slow --only kms --only entropy --only roots && jq -e '(.checks | length) == 3 and .num_fail == 1' "$RUN/report.json" || { cat "$RUN/report.json"; return 1; }; }
slow_check() {
    ! slow --only entropy --only device --only roots && jq -e '[.checks[].check] == ["device"] and .checks[0].code == "TIMEOUT"' "$RUN/report.json" || { cat "$RUN/report.json"; return 1; }
}
fifo_for_a_file() {
    rm "$RUN/tree/etc/nitro_enclaves/allocator.yaml" && mkfifo "$RUN/tree/etc/nitro_enclaves/allocator.yaml"
    only allocator fail ALLOCATOR "cannot be read"
    local status=$?
    tree "$RUN/tree"
    return $status
}
hop_limit() {
    server hop '    def do_PUT(self): time.sleep(60)
    def do_GET(self): self.say(401)'
    IMDS_AT=$AT only imds fail IMDS_HOP "its token does not arrive"
}
version_1() {
    server v1 '    def do_PUT(self): self.say(405)
    def do_GET(self): self.say(200, b"ami-id")'
    IMDS_AT=$AT only imds fail IMDS_V1 "gives no token"
}
both_versions() {
    server both '    def do_PUT(self): self.say(200, b"A" * 56)
    def do_GET(self): self.say(200, b"ami-id")'
    IMDS_AT=$AT only imds warn IMDS_OPEN "without one too"
}
no_role() {
    server norole '    def do_PUT(self): self.say(200, b"A" * 56)
    def do_GET(self): self.say(404)'
    IMDS_AT=$AT only credentials fail IMDS_ROLE "no credentials of a role"
}
ends_in() {
    server "creds$1" "    def do_PUT(self): self.say(200, b'A' * 56)
    def do_GET(self):
        import datetime
        end = (datetime.datetime.utcnow() + datetime.timedelta(seconds=$1)).strftime('%Y-%m-%dT%H:%M:%SZ')
        self.say(200, b'role' if self.path.endswith('/') else ('{\"Code\":\"Success\",\"AccessKeyId\":\"ASIAXXXXXXXXXXXXXXXX\",\"SecretAccessKey\":\"s\",\"Token\":\"t\",\"Expiration\":\"%s\"}' % end).encode())"
    IMDS_AT=$AT only credentials "$2" CRED_EXPIRED "$3"
}
skewed() {
    server "skew$1" "    def date_time_string(self, timestamp=None): return super().date_time_string(time.time() + $1)
    def do_GET(self): self.say(403)"
    S3=$AT only skew "$2" CLOCK_SKEW "$3"
}

# ---------------------------------------------------------------- images

other_image() { eif_build "$RUN/b.eif" 8; EIF=$RUN/a.eif says expected fail PCR_MISMATCH "kernel differs, cmdline equal" --expected "$RUN/b.eif" --only expected; }
same_measurements() { jq -n --arg a "$PCR0" '{Measurements: {PCR0: $a}}' >"$RUN/m.json" && says expected ok OK "has the measurements" --expected "$RUN/m.json" --only expected; }
other_measurements() {
    jq -n --arg a "$PCR1" --arg b "$PCR2" '{PCR0: $b, PCR1: $a, PCR2: $a}' >"$RUN/m.json"
    says expected fail PCR_MISMATCH "the application (ramdisk 1" --expected "$RUN/m.json" --only expected
}
broken_image() {
    cp "$RUN/a.eif" "$RUN/c.eif" && printf X | dd of="$RUN/c.eif" bs=1 seek=562 conv=notrunc 2>/dev/null
    EIF=$RUN/c.eif only image fail EIF_CRC c.eif
}
no_image() { EIF=$RUN/none.eif only image fail NOT_FOUND none.eif; }
runs_another() { eif_build "$RUN/b.eif" 8 && EIF=$RUN/b.eif only running warn PCR_MISMATCH "another image"; }
debug_allowed() {
    config_write "$RUN/d.yaml"
    sed -i 's/enclave: {parentCid: 3}/enclave: {parentCid: 3, debugAllowed: true}/' "$RUN/d.yaml"
    "$BIN/signctl" config compile "$RUN/d.yaml" -o "$RUN/d.cbor" && "$(dirname "$0")/parts/mk_eif.py" "$RUN/d.cbor" "$RUN/d.eif" &&
        EIF=$RUN/d.eif only debug fail ATT_DEBUG "debugAllowed"
}
old_roots() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$RUN/r.key" -out "$RUN/r.pem" -subj /CN=root -days 20 2>/dev/null
    CA=$RUN/r.pem config_write "$RUN/r.yaml"
    "$BIN/signctl" config compile "$RUN/r.yaml" -o "$RUN/r.cbor" && "$(dirname "$0")/parts/mk_eif.py" "$RUN/r.cbor" "$RUN/r.eif" &&
        EIF=$RUN/r.eif only roots warn CERT_AGE "first expires in" && EIF=$RUN/r.eif only kms fail TLS "the image's roots"
}
# two years later
signed_once() { slow --eif "$RUN/s.eif" --only signer || jq -e '.checks[0] | .code == "CERT_AGE" and (.text | contains("expired: nitro-cli starts no such image"))' "$RUN/report.json"; }
# signed DAYS STATUS CODE TEXT: by a certificate of so many days
signed() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -keyout "$RUN/s.key" -out "$RUN/s.pem" -subj /CN=eif -days "$1" 2>/dev/null
    rm -f "$RUN/s.eif" && cp "$RUN/a.eif" "$RUN/unsigned.eif" || return 1
    "$BIN/signctl" eif sign --signing-certificate "$RUN/s.pem" --private-key "$RUN/s.key" -o "$RUN/s.eif" "$RUN/unsigned.eif" >"$RUN/case.out" 2>&1 || { cat "$RUN/case.out"; return 1; }
    shift
    EIF=$RUN/s.eif only signer "$@"
}
local_run() {
    image_build "$RUN/image" && doctor_local --json >"$RUN/report.json"
    jq -e '[.checks[] | select(.check == ("device", "allocator", "cpus", "hugepages")) | .status] | all(. == "skip")' "$RUN/report.json" >/dev/null &&
        jq -e '.checks[] | select(.check == "image") | .status == "ok"' "$RUN/report.json" >/dev/null
}
doctor_local() {
    env AWS_REGION="$REGION" IMDS_ENDPOINT="$IMDS" S3_ENDPOINT="$S3" AWS_CA_BUNDLE="$CA" "$BIN/sign-host" doctor --driver local --image "$RUN/image" \
        --root "$RUN/tree" --kms-endpoint "$(emu_get kms_connect)" "$@"
}

nitro_prepare --role-iam "s3:GetObject s3:ListBucket kms:GetKeyPolicy"
PCR1=$("$BIN/nitro-cli-emulated" describe-eif --eif-path "$RUN/a.eif" | jq -r .Measurements.PCR1)
PCR2=$("$BIN/nitro-cli-emulated" describe-eif --eif-path "$RUN/a.eif" | jq -r .Measurements.PCR2)
tree "$RUN/tree"
nitro_up one || { echo "not ok enclave"; exit 1; }
case_ all-ok all_ok
case_ one-screen one_screen
case_ red-on-a-terminal red_on_a_terminal
case_ no-secret-in-the-report keeps_nothing
case_ usage usage

case_ no-device with_file dev/nitro_enclaves none device fail NITRO_DEVICE "not enabled"
case_ no-nitro-cli eval 'CLI=no-such-nitro-cli only nitro-cli fail NITRO_CLI "no program no-such-nitro-cli"'
case_ no-allocator with_file etc/nitro_enclaves/allocator.yaml none allocator fail ALLOCATOR "not installed"
case_ allocator-conflict with_file etc/nitro_enclaves/allocator.yaml '---\nmemory_mib: 600\ncpu_count: 2\ncpu_pool: 1,3\n' allocator fail ALLOCATOR "either cpu_count or cpu_pool"
case_ allocator-line with_file etc/nitro_enclaves/allocator.yaml '---\nmemory_mib: 600\ncpus: 2\n' allocator fail ALLOCATOR "line 3"
case_ allocator-too-small with_file etc/nitro_enclaves/allocator.yaml '---\nmemory_mib: 256\ncpu_count: 2\n' allocator fail ALLOCATOR "reserves 256 MiB"
case_ fifo-for-a-file fifo_for_a_file
case_ empty-pool with_file sys/module/nitro_enclaves/parameters/ne_cpus '\n' cpus fail NITRO_CPUS "empty"
case_ small-pool with_file sys/module/nitro_enclaves/parameters/ne_cpus '3\n' cpus fail NITRO_CPUS "the pool has 1 CPUs"
case_ no-module with_file sys/module/nitro_enclaves/parameters/ne_cpus none cpus fail NITRO_CPUS "not loaded"
case_ few-huge-pages huge_pages 10 10 fail NITRO_HUGEPAGES "20 MiB of huge pages on one node"
case_ huge-pages-of-the-enclave huge_pages 300 2 ok OK "an enclave runs"
case_ not-on-the-allow-list with_file etc/nitro_enclaves/vsock-proxy.yaml 'allowlist:\n- {address: kms.eu-west-1.amazonaws.com, port: 443}\n' allow-list fail PROXY_DENIED "not on /etc"
case_ broken-allow-list with_file etc/nitro_enclaves/vsock-proxy.yaml 'allow: []\n' allow-list fail ALLOWLIST "vsock-proxy.yaml"
case_ built-in-allow-list with_file etc/nitro_enclaves/vsock-proxy.yaml none allow-list ok OK "built-in"
case_ clock-source with_file sys/devices/system/clocksource/clocksource0/current_clocksource 'hpet\n' clock warn HOST_CLOCK hpet
case_ entropy with_file proc/sys/kernel/random/entropy_avail '12\n' entropy warn ENTROPY_LOW "12 bits"
case_ too-little-memory eval 'eif_build "$RUN/large.eif" 40000000 && EIF=$RUN/large.eif MEMORY_MIB=64 only memory fail NITRO_MEMORY "4 times the image"'

case_ imds-gone eval 'IMDS_AT=http://127.0.0.1:1 only imds fail IMDS_ABSENT "nothing answers"'
case_ imds-hop-limit hop_limit
case_ imds-version-1-only version_1
case_ imds-both-versions both_versions
case_ no-role no_role
case_ credentials-expired ends_in -60 fail "expired"
case_ credentials-expire-soon ends_in 300 warn "min more"
case_ s3-no-object eval 'SHARES=s3://$BUCKET/none only shares fail S3_NOT_FOUND none'
case_ s3-uri eval 'SHARES=http://x only shares fail FORMAT "not s3://"'
case_ key-in-the-clear clear_key
case_ no-ciphertext-of-kms not_of_kms
case_ kms-gone eval 'KMS_AT=tcp:127.0.0.1:1 only kms fail CONNECT 127.0.0.1:1'
case_ kms-with-other-roots old_roots
case_ kms-through-the-proxy eval 'KMS_AT=unix:$(find "$V" -name "parent-5000.sock" | head -1) only kms ok OK parent-5000.sock'
case_ clock-90-s-behind skewed 90 fail behind
case_ clock-20-s-ahead skewed -20 warn "ahead"
case_ never-hangs never_hangs
case_ a-library-that-hangs hanging_library
case_ lookup-that-hangs slow_lookup
case_ check-that-hangs slow_check

case_ decrypts-without-attestation open_policy
case_ policy-of-another-image another_image
case_ policy-of-another-application another_application
case_ expected-image other_image
case_ expected-measurements same_measurements
case_ other-measurements other_measurements
case_ broken-image broken_image
case_ no-image no_image
case_ another-image-runs runs_another
case_ debug-allowed debug_allowed
case_ signed signed 400 ok OK "the image expires in"
case_ signed-for-not-much-longer signed 9 warn CERT_AGE "the image expires in"
case_ signed-by-an-expired-certificate signed_once
case_ local-run local_run
nitro_down one
case_ huge-pages-held-by-another huge_pages 300 2 fail NITRO_HUGEPAGES "who holds the rest?"
case_ nothing-runs eval 'only enclave skip OK "nothing listens"'
nitro_up one --debug-mode --no-preload --keep
case_ debug-enclave eval 'only debug fail ATT_DEBUG "this host can read it"'
finish
