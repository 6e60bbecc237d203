#!/bin/bash
# Runs in the guest.
exec python3 "$CS_ROOT/tests/boot/uml/guest/proxy.py"
