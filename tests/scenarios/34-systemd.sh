#!/bin/bash
# Goal of this test: the units of deploy/systemd are accepted by systemd, harden what they start, and name only options and variables that
# sign-host has.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
BIN=${COUNTERSIGN_BIN:-$root/build/bin}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
case_() {
    local name=$1
    shift
    if "$@"; then echo "ok $name"; else
        echo "not ok $name"
        failed=1
    fi
}
command -v systemd-analyze >/dev/null || {
    echo "systemd-analyze is not installed"
    exit 77
}
sed "s|/usr/local/bin|$BIN|" "$root/deploy/systemd/sign-host.service" >"$work/sign-host.service"
for p in kms imds sts; do sed "s|/usr/local/bin|$BIN|" "$root/deploy/systemd/sign-host-proxy@.service" >"$work/sign-host-proxy@$p.service"; done

verified() { [ -z "$(systemd-analyze verify --man=no "$work/$1" 2>&1 | grep -F "$work")" ]; }
exposure() { systemd-analyze security --offline=yes --threshold=25 "$work/$1" >"$work/security" 2>&1; }
variables_are_known() {
    local v
    for v in $(sed -n 's/^\([A-Z_0-9]*\)=.*/\1/p' "$root/deploy/systemd/sign-host.env"); do
        "$BIN/sign-host" run --help | grep -qw "$v" || return 1
    done
}
options_are_known() {
    local o
    for o in $(grep '^ExecStart=' "$work/sign-host.service" | grep -o -- ' --[a-z-]*'); do
        "$BIN/sign-host" run --help | grep -q -- "$o" || return 1
    done
}
ports() { [ "$(cat "$root"/deploy/systemd/proxy-{kms,imds,sts}.env | sed -n 's/^LOCAL_PORT=//p' | tr '\n' ' ')" = "8000 8001 8002 " ]; }
# as ExecStart starts them, but on a unix socket
proxies_start() {
    local p in=("$@")
    for p in kms imds sts; do
        (
            # shellcheck disable=SC1090
            . "$root/deploy/systemd/proxy-$p.env"
            # shellcheck disable=SC2086 # options, as systemd takes them apart
            timeout 10 "${in[@]}" "$BIN/sign-host" proxy $PROXY_OPTIONS --listen "unix:$work/$p.sock" "$LOCAL_PORT" "$REMOTE_HOST" "$REMOTE_PORT" 2>"$work/$p.log" &
            for _ in $(seq 100); do
                grep -q listening "$work/$p.log" && kill $! && exit 0
                sleep 0.05
            done
            exit 1
        ) || return 1
    done
}
case_ "sign-host.service" verified sign-host.service
for p in kms imds sts; do case_ "sign-host-proxy@$p.service" verified "sign-host-proxy@$p.service"; done
case_ "sign-host.service-is-hardened" exposure sign-host.service
case_ "sign-host-proxy-is-hardened" exposure sign-host-proxy@kms.service
case_ "variables-are-known" variables_are_known
case_ "options-are-known" options_are_known
case_ "ports-of-the-seed" ports
case_ "proxies-start" proxies_start
# where AWS's vsock-proxy is installed, its list has KMS alone
mkdir "$work/etc" && printf 'allowlist:\n- {address: kms.us-east-1.amazonaws.com, port: 443}\n' >"$work/etc/vsock-proxy.yaml"
# shellcheck disable=SC2016 # for the inner shell
beside_aws=(unshare --mount --propagation private sh -c 'mount -t tmpfs none /etc/nitro_enclaves && cp "$0" /etc/nitro_enclaves && exec "$@"' "$work/etc/vsock-proxy.yaml")
if [ -d /etc/nitro_enclaves ] && "${beside_aws[@]}" true 2>/dev/null; then
    case_ "proxies-start-beside-vsock-proxy" proxies_start "${beside_aws[@]}"
else
    case_ "options-of-what-aws-does-not-list" eval '[ "$(grep -l "^PROXY_OPTIONS=--builtin" "$root"/deploy/systemd/proxy-*.env | wc -l)" = 2 ]'
fi
exit $failed
