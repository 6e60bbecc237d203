#!/bin/sh
# build-docker.sh - make the enclave's container image of the programs in target/sign-service-enclave/
#
# usage: scripts/sign-service/build-docker.sh
#
# Run build_server.sh first. Only `nitro-cli build-enclave` needs this image: build-eif.sh works without it. Example:
#
#   DOCKER=buildah BUILDAH_ISOLATION=chroot scripts/sign-service/build-docker.sh
#
# environment:
#   DOCKER                docker (with BuildKit, default), podman or buildah: a program and its options
#   DOCKER_IMAGE          name of the image (default sign-service-enclave:latest)
#   COUNTERSIGN_TARGET    folder instead of target/

set -eu
# shellcheck source=scripts/sign-service/common.sh
. "$(dirname "$0")/common.sh"
no_arguments "$@"

EXPECTED='ca-certificates.crt config.cbor mounts mounts/dev mounts/proc mounts/run mounts/sys mounts/tmp sign-core sign-init sign-kms sign-service sign-service.yaml'
[ -d "$STAGE" ] || die "$STAGE is missing: run scripts/sign-service/build_server.sh first"
found=$(cd "$STAGE" && find . -mindepth 1 | sed 's|^\./||' | LC_ALL=C sort | tr '\n' ' ')
# A share file here would be measured, published with the image and readable by all who have it.
[ "$found" = "$EXPECTED " ] || die "$STAGE holds other files than build_server.sh puts there: $found"

# shellcheck disable=SC2086 # a program and its options
have ${DOCKER%% *} || die "${DOCKER%% *} is missing; without it build-eif.sh makes the EIF by itself"
# The staged folder is the whole context: nothing else of the repository can get into the image.
# shellcheck disable=SC2086 # a program and its options
DOCKER_BUILDKIT=1 $DOCKER build -f "$TOP/scripts/sign-service/Dockerfile" --build-context "programs=$STAGE" -t "$IMAGE" "$STAGE"
echo "image $IMAGE"
