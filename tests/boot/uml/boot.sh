#!/bin/bash
# Goal of this test: the programs that ship run on a real boot: a guest of user-mode Linux with AF_VSOCK and a real /dev/nsm.
# programs: release
# limit: 400
set -u
# shellcheck source=tests/boot/uml/lib.sh
. "$(dirname "$0")/lib.sh"
missing=$(uml_missing)
if [ -n "$missing" ]; then
    echo "boot-test: $missing"
    exit 77
fi
RUN=$(mktemp -d /tmp/cs-boot.XXXXXX)
# shellcheck source=tests/boot/uml/prepare.sh
. "$(dirname "$0")/prepare.sh"
cleanup() {
    emulator_down
    rm -rf "$RUN"
}
trap cleanup EXIT
began=$(date +%s%N)
prepare
echo "# prepared in $((($(date +%s%N) - began) / 1000000)) ms"
uml_boot "$RUN" "$uml_root/tests/boot/uml/guest/boot.sh"
