#!/bin/bash
# Runs in the guest: what the boot test tries there. Prints `ok CASE` or `not ok CASE`, and steps with the time since the boot.
set -u
export PATH=$CS_BIN:$PATH
RUN=/tmp/run
mkdir -p $RUN
# shellcheck source=tests/boot/uml/guest/lib.sh
. "$CS_ROOT/tests/boot/uml/guest/lib.sh"

# ---- the image as it ships: boot, preload, signature
loaded() { [ "$(preload | sed 's/^{"code":"\([A-Z_]*\)".*/\1/')" = "$1" ]; }

step "guest is up"
emulator_up
step "emulated AWS listens"
parent_up main
enclave_up main
step "enclave started"
case_ preload loaded OK
step "enclave serves"
case_ signature sign main 1
step "first signature"
enclave_down
parent_down
exit $failed
