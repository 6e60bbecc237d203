#!/bin/bash
# grpc_python.py once more with the newest grpcio, from the Python registry; the first run has Debian's.
set -u
# shellcheck source=tests/interop/lib.sh
. "$(dirname "$0")/lib.sh"
need grpcio
exec "$TOP/build/peers/py/bin/python" "$TOP/tests/interop/grpc_python.py"
