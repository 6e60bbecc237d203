#!/bin/bash
# Runs in the guest: what the boot test tries there. Prints `ok CASE` or `not ok CASE`, and steps with the time since the boot.
set -u
export PATH=$CS_BIN:$PATH
RUN=/tmp/run
mkdir -p $RUN

step() { printf '# %6s s  %s\n' "$(cut -d' ' -f1 /proc/uptime)" "$1"; }

pcr0=$(printf '%096d' 7)
step "guest is up"
sign-emulator --dir $RUN/emu >$RUN/emulator.out 2>$RUN/emulator.log &
until [ -s $RUN/emu/emulator.json ]; do sleep 0.01; done
step "emulated AWS listens"
coproc nsm-device --emulator $RUN/emu --pcr "0=$pcr0"
read -r ready <&"${COPROC[0]}"
step "/dev/nsm: $ready"
"$CS_ROOT/tests/boot/uml/guest/nsm_device.py" "$pcr0"
step "end"
