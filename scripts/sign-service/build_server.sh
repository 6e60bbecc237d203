#!/bin/sh
# build_server.sh - compile the enclave's programs and put them into target/sign-service-enclave/
#
# usage: scripts/sign-service/build_server.sh
#
# Builds the repository (make's own steps, gcc, optimised) and stages what the image consists of: sign-init, sign-core, sign-kms
# and sign-service (static, stripped), the compiled configuration config.cbor, its source sign-service.yaml, and
# ca-certificates.crt, the roots that sign-kms accepts. Example:
#
#   SIGN_SERVICE_CONFIG=sign-service.yaml scripts/sign-service/build_server.sh
#
# environment:
#   SIGN_SERVICE_CONFIG       the measured configuration (default deploy/config/sign-service.yaml, an example: not for production)
#   KMS_PROXY_PORT            sets kms.proxyPort before the file
#   HOST_EGRESS_VSOCK_PORT    sets gateway.egressPort before the file
#   ENCLAVE_PARENT_CID        sets enclave.parentCid before the file
#   COUNTERSIGN_BIN           take the programs from this folder and compile nothing
#   COUNTERSIGN_TARGET        folder instead of target/
#
# The programs, the configuration and its roots are measured (PCR0, PCR2). Share files are never staged.

set -eu
# shellcheck source=scripts/sign-service/common.sh
. "$(dirname "$0")/common.sh"
no_arguments "$@"
umask 022

build() {
    (cd "$TOP" && tools/dev/build release && tools/dev/link-programs)
    COUNTERSIGN_BIN=$TOP/build/bin
}

# stage_program NAME: static, or the empty image has no loader for it; stripped
stage_program() {
    [ -x "$COUNTERSIGN_BIN/$1" ] || die "no $1 in $COUNTERSIGN_BIN"
    if readelf -lW "$COUNTERSIGN_BIN/$1" | grep -q INTERP; then
        die "$COUNTERSIGN_BIN/$1 is not static (a build with sanitizers or coverage?)"
    fi
    strip -o "$NEW/$1" "$COUNTERSIGN_BIN/$1"
    chmod 755 "$NEW/$1"
}

stage_config() {
    [ -f "$CONFIG" ] || die "SIGN_SERVICE_CONFIG: no file $CONFIG"
    [ -n "${SIGN_SERVICE_CONFIG:-}" ] || echo "build_server.sh: SIGN_SERVICE_CONFIG is not set: this is the example configuration, not for production" >&2
    # shellcheck disable=SC2046 # words without blanks: options and numbers
    "$COUNTERSIGN_BIN/signctl" config compile "$CONFIG" -o "$NEW/config.cbor" $(config_sets)
    cp "$CONFIG" "$NEW/sign-service.yaml"
    # the compiled configuration holds the PEM of the roots as it is
    LC_ALL=C sed -n '/-----BEGIN CERTIFICATE-----/,/-----END CERTIFICATE-----/{s/^.*\(-----BEGIN\)/\1/;p}' "$NEW/config.cbor" >"$NEW/ca-certificates.crt"
    grep -q 'END CERTIFICATE' "$NEW/ca-certificates.crt" || die "the configuration has no roots for KMS"
    chmod 644 "$NEW/config.cbor" "$NEW/sign-service.yaml" "$NEW/ca-certificates.crt"
}

[ -n "${COUNTERSIGN_BIN:-}" ] || build
mkdir -p "$TARGET"
NEW=$(mktemp -d "$TARGET/.staged.XXXXXX")
trap 'rm -rf "$NEW"' EXIT
chmod 755 "$NEW"
for program in $PROGRAMS; do
    stage_program "$program"
done
stage_config
mkdir "$NEW/mounts"
for dir in dev proc run sys tmp; do
    mkdir "$NEW/mounts/$dir" # places to mount on
done
rm -rf "$STAGE"
mv "$NEW" "$STAGE"
trap - EXIT
echo "staged in $STAGE:"
ls -l "$STAGE"
