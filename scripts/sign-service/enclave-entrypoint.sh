#!/bin/sh
# enclave-entrypoint.sh - what the seed system ran inside its enclave; here a name for sign-init
#
# usage: enclave-entrypoint.sh [OPTION OF sign-init...]
#
# The seed's script received credentials and ciphertext on 7100 to 7102, called kmstool_enclave_cli and age, and started
# sign-service. The four programs of the image do that now (sign-core, sign-kms and sign-service under sign-init), without a
# file in the clear and without a shell: the image of scripts/sign-service/Dockerfile has none, so this script is not in it and
# its CMD is /bin/sign-init. Use it in an image of your own that has a shell. Example:
#
#   CMD ["/app/enclave-entrypoint.sh"]
#
# environment:
#   SIGN_INIT    the program (default /bin/sign-init)

set -eu
case ${1:-} in
-h | --help)
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac
# Nothing that sign-core must not be given may come by this way.
unset SIGN_SERVICE_KEY_SHARE_FILE
exec "${SIGN_INIT:-/bin/sign-init}" "$@"
