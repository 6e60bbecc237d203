#!/bin/bash
# Goal of this test: sign-host proxy and bridge on real AF_VSOCK, in a guest of user-mode Linux: bytes, half-close, and whose CID may connect.
# programs: release
# limit: 200
set -u
# shellcheck source=tests/boot/uml/lib.sh
. "$(dirname "$0")/lib.sh"
missing=$(uml_missing)
if [ -n "$missing" ]; then
    echo "boot-test: $missing"
    exit 77
fi
RUN=$(mktemp -d /tmp/cs-boot.XXXXXX)
trap 'rm -rf "$RUN"' EXIT
UML_SECONDS=180 uml_boot "$RUN" "$uml_root/tests/boot/uml/guest/proxy.sh"
