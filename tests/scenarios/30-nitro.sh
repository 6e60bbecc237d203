#!/bin/bash
# Goal of this test: sign-host run --driver nitro, from IMDS to a signature and to the end, with a nitro-cli that behaves like the real one;
# attested PCRs are those of the image file; nothing is left behind.
set -u
# shellcheck source=tests/scenarios/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/scenarios/nitro-lib.sh
. "$(dirname "$0")/nitro-lib.sh"

logged_by_the_enclave() { grep -q '"program":"sign-core-emulated".*"event":"signed"' "$RUN/one.console.log"; }
left_nothing() {
    [ "$(enclaves)" = 0 ] && [ -z "$(find "$RUN/one" "$V" \( -type f ! -name lock ! -name '*.log' ! -name start.lock \) -o -type s -o -type l)" ] &&
        ! pgrep -P "$1" >/dev/null
}
nitro_prepare
case_ "serves" nitro_up one
case_ "signs-with-the-pcr0-of-the-image" sign_ok
case_ "another-pcr0-is-refused" eval '! sign_ok 00$(printf %s "$PCR0" | cut -c3-)'
case_ "log-of-port-7110" logged_by_the_enclave
pid=$HOST_PID
case_ "stops" nitro_down one
case_ "nothing-is-left" left_nothing "$pid"
finish
