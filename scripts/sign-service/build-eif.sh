#!/bin/sh
# build-eif.sh - make target/sign-service.enclave.eif and print its measurements
#
# usage: scripts/sign-service/build-eif.sh
#
# With nitro-cli and the container image of build-docker.sh at hand: nitro-cli build-enclave. Else, and always without Docker:
# signctl eif build, which is reproducible. The two images carry the same programs and configuration, but not the same kernel
# and init, so their PCRs differ: put the printed ones of the image that you run into the key policy. Which one made it is said on
# standard error; the measurements (JSON) are on standard output and in target/sign-service.enclave.pcrs.json. Example:
#
#   EIF_BUILDER=signctl scripts/sign-service/build-eif.sh
#
# environment:
#   EIF_BUILDER           nitro-cli or signctl; default: nitro-cli where both it and the image are there
#   NITRO_CLI             nitro-cli's path (default nitro-cli)
#   DOCKER, DOCKER_IMAGE  as in build-docker.sh; nitro-cli itself knows docker only
#   SIGN_SERVICE_CONFIG, KMS_PROXY_PORT, HOST_EGRESS_VSOCK_PORT, ENCLAVE_PARENT_CID   as in build_server.sh (signctl only)
#   NITRO_CLI_BLOBS       AWS's kernel, command line and driver, for either; signctl without them: KERNEL (a bzImage), else
#                         the small kernel that tools/dev/build-kernel makes of Debian's source
#   EIF_PATH              the image (default target/sign-service.enclave.eif)
#   COUNTERSIGN_TARGET    folder instead of target/

set -eu
# shellcheck source=scripts/sign-service/common.sh
. "$(dirname "$0")/common.sh"
no_arguments "$@"
NITRO_CLI=${NITRO_CLI:-nitro-cli}
PCRS=${EIF%.eif}.pcrs.json

image_there() {
    # shellcheck disable=SC2086 # a program and its options
    have ${DOCKER%% *} && $DOCKER image inspect "$IMAGE" >/dev/null 2>&1
}

choose() {
    if ! have "$NITRO_CLI"; then
        WHY="no $NITRO_CLI here"
    elif ! image_there; then
        WHY="no container image $IMAGE here"
    else
        WHY="nitro-cli and the image $IMAGE are here"
        BUILDER=nitro-cli
        return 0
    fi
    BUILDER=signctl
}

build_nitro_cli() {
    "$NITRO_CLI" build-enclave --docker-uri "$IMAGE" --output-file "$EIF"
}

# What was packed into a container and what is built here must not differ by a variable that was set for one script only.
check_config() {
    [ -d "$STAGE" ] || die "$STAGE is missing: run scripts/sign-service/build_server.sh first"
    # shellcheck disable=SC2046 # words without blanks
    "$(tool signctl)" config compile "$CONFIG" $(config_sets) | cmp -s - "$STAGE/config.cbor" ||
        die "$CONFIG (with the variables set now) is not what build_server.sh staged: run it again"
}

build_signctl() {
    check_config
    # shellcheck disable=SC2046 # words without blanks
    (cd "$TOP" && CONFIG=$CONFIG EIF=$EIF BLOBS=${NITRO_CLI_BLOBS:-} tools/dev/eif --program-dir "$STAGE" $(config_sets))
}

mkdir -p "$TARGET"
BUILDER=${EIF_BUILDER:-}
WHY='as EIF_BUILDER says'
[ -n "$BUILDER" ] || choose
echo "build-eif.sh: with $BUILDER ($WHY)" >&2
[ ! -e "$EIF" ] || [ -f "$EIF" ] || die "EIF_PATH: $EIF is there and is no file"
# what is left of an image before would be taken for this one
rm -f "$EIF" "$PCRS"
trap 'rm -f "$PCRS.new"' EXIT
case $BUILDER in
nitro-cli) build_nitro_cli >"$PCRS.new" ;;
signctl) build_signctl >"$PCRS.new" ;;
*) die "EIF_BUILDER is nitro-cli or signctl, not $BUILDER" ;;
esac
[ -s "$EIF" ] || die "$BUILDER left no $EIF"
mv "$PCRS.new" "$PCRS"
cat "$PCRS"
