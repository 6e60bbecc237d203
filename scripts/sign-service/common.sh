# shellcheck shell=sh
# shellcheck disable=SC2034 # the sourcing script uses what is set here
# Common part of the scripts of this folder: the seed system's paths and names. To be sourced; reads the environment, changes nothing.

TOP=$(cd "$(dirname "$0")/../.." && pwd)
TARGET=${COUNTERSIGN_TARGET:-$TOP/target}
STAGE=$TARGET/sign-service-enclave
EIF=${EIF_PATH:-$TARGET/sign-service.enclave.eif}
ENCLAVE_NAME=${ENCLAVE_NAME:-sign-service-enclave}
CONSOLE_LOG=$TARGET/$ENCLAVE_NAME-console.log
RUN_DIR=$TARGET/$ENCLAVE_NAME-run
DOCKER=${DOCKER:-docker}
IMAGE=${DOCKER_IMAGE:-sign-service-enclave:latest}
CONFIG=${SIGN_SERVICE_CONFIG:-$TOP/deploy/config/sign-service.yaml}
case $CONFIG in /*) ;; *) CONFIG=$PWD/$CONFIG ;; esac
case $EIF in /*) ;; *) EIF=$PWD/$EIF ;; esac
case $TARGET in /*) ;; *) echo "COUNTERSIGN_TARGET is an absolute path" >&2; exit 2 ;; esac
PROGRAMS='sign-init sign-core sign-kms sign-service' # of the enclave

die() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

# no_arguments "$@": --help prints the comment at the top of the script, anything else is an error
no_arguments() {
    case ${1:-} in
    '') return 0 ;;
    -h | --help)
        sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
        exit 0
        ;;
    *)
        echo "$(basename "$0"): takes no arguments but --help; its settings are environment variables" >&2
        exit 2
        ;;
    esac
}

# tool NAME: path of one of our programs: COUNTERSIGN_BIN, the build tree, the PATH
tool() {
    for tool_dir in "${COUNTERSIGN_BIN:-}" "$TOP/build/bin"; do
        if [ -n "$tool_dir" ] && [ -x "$tool_dir/$1" ]; then
            echo "$tool_dir/$1"
            return 0
        fi
    done
    command -v "$1" || die "$1 is missing: run scripts/sign-service/build_server.sh, or install it"
}

have() { command -v "$1" >/dev/null 2>&1; }

# config_sets: the --set options that the seeds' port variables stand for, one word per line; nothing when they are unset
config_sets() {
    [ -z "${KMS_PROXY_PORT:-}" ] || printf '%s\n' --set "kms.proxyPort=$KMS_PROXY_PORT"
    [ -z "${HOST_EGRESS_VSOCK_PORT:-}" ] || printf '%s\n' --set "gateway.egressPort=$HOST_EGRESS_VSOCK_PORT"
    [ -z "${ENCLAVE_PARENT_CID:-}" ] || printf '%s\n' --set "enclave.parentCid=$ENCLAVE_PARENT_CID"
}
