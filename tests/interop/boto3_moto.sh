#!/bin/bash
# The newest boto3 against the emulator and, with the same calls, against moto: answers of the same form, errors of the same code.
set -u
# shellcheck source=tests/interop/lib.sh
. "$(dirname "$0")/lib.sh"
need boto3 moto
exec "$TOP/build/peers/py/bin/python" "$TOP/tests/interop/boto3_moto.py"
