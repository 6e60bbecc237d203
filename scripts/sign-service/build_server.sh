#!/bin/sh
# build_server.sh - compile the enclave's programs and put them into target/sign-service-enclave/
#
# usage: scripts/sign-service/build_server.sh
#
# Builds the repository (make's own steps, gcc, optimised) and stages what the image consists of: sign-init, sign-core, sign-kms
# and sign-service (static, without symbols), the compiled configuration config.cbor, its source sign-service.yaml, and
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

# A kernel that is none: only what stands behind it is taken of the image.
placeholder() {
    head -c 4096 /dev/zero >"$1"
    printf 'U\252' | dd of="$1" bs=1 seek=510 conv=notrunc 2>/dev/null
    printf 'HdrS' | dd of="$1" bs=1 seek=514 conv=notrunc 2>/dev/null
}

# big_endian FILE OFFSET BYTES: a number of a file
big_endian() { od -An -v -t "u$3" --endian=big -j "$2" -N "$3" "$1" | tr -d ' '; }

# application_ramdisk IMAGE: the last section of an image that is not signed (header: number of sections at 26, their sizes at 284)
application_ramdisk() {
    sections=$(big_endian "$1" 26 2)
    tail -c "$(big_endian "$1" $((284 + 8 * (sections - 1))) 8)" "$1"
}

# What signctl puts into the application ramdisk is taken out of one, so that the container image holds the same bytes as the EIF.
stage() {
    [ -f "$CONFIG" ] || die "SIGN_SERVICE_CONFIG: no file $CONFIG"
    [ -n "${SIGN_SERVICE_CONFIG:-}" ] || echo "build_server.sh: SIGN_SERVICE_CONFIG is not set: this is the example configuration, not for production" >&2
    placeholder "$NEW/kernel"
    # shellcheck disable=SC2046 # words without blanks: options and numbers
    "$COUNTERSIGN_BIN/signctl" eif build --config "$CONFIG" $(config_sets) --program-dir "$COUNTERSIGN_BIN" --kernel "$NEW/kernel" \
        -o "$NEW/image" >/dev/null 2>"$NEW/said" || {
        cat "$NEW/said" >&2
        die "signctl eif build refused"
    }
    mkdir "$NEW/tree" "$NEW/stage" "$NEW/stage/mounts"
    application_ramdisk "$NEW/image" | (cd "$NEW/tree" && cpio -idm --quiet --no-absolute-filenames)
    for program in $PROGRAMS; do
        mv "$NEW/tree/bin/$program" "$NEW/stage/"
    done
    mv "$NEW/tree/etc/countersign/config.cbor" "$NEW/tree/etc/countersign/sign-service.yaml" \
        "$NEW/tree/etc/ssl/certs/ca-certificates.crt" "$NEW/stage/"
    for dir in dev proc run sys tmp; do
        mv "$NEW/tree/$dir" "$NEW/stage/mounts/" # places to mount on
    done
    find "$NEW/stage" -type d -exec touch -d @0 {} + # the times of files are 0 already: one container layer for one tree
    left=$(find "$NEW/tree" ! -type d)
    [ -z "$left" ] || die "the image has files that this script does not know: $left"
}

[ -n "${COUNTERSIGN_BIN:-}" ] || build
mkdir -p "$TARGET"
NEW=$(mktemp -d "$TARGET/.staged.XXXXXX")
trap 'rm -rf "$NEW"' EXIT
stage
rm -rf "$STAGE"
mv "$NEW/stage" "$STAGE"
echo "staged in $STAGE:"
ls -l "$STAGE"
