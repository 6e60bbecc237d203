#!/bin/sh
# run.sh BUILD_DIR: the constant-time run of the MPC core. First a branch on a secret is seeded, to see that it is reported;
# then the real run, of which any report fails.
set -eu
program=$1/tests/ctime/ctime_mpc
run() {
    valgrind -q --error-exitcode=9 --leak-check=no "$program" "$@"
}
if run --seed-a-leak >/dev/null 2>&1; then
    echo "not ok ctime_mpc: a seeded leak was not reported" >&2
    exit 1
fi
run
