#!/bin/bash
# Goal of this test: the programs that ship run on a real boot: a guest of user-mode Linux with AF_VSOCK and a real /dev/nsm.
# boot.sh --bench: only up to the first signature; one line of JSON with the seconds since the guest was started.
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
    uml_kill "$RUN"
    emulator_down
    rm -rf "$RUN"
}
trap cleanup EXIT
trap 'exit 143' INT TERM HUP

# bench: the guest's steps, by this machine's clock
bench() {
    local line began guest='' serves='' signed=''
    began=$(date +%s%N)
    while IFS= read -r line; do
        case $line in
        '# '*'guest is up') guest=$(date +%s%N) ;;
        '# '*'enclave serves') serves=$(date +%s%N) ;;
        '# '*'first signature') signed=$(date +%s%N) ;;
        'not ok '*) return 1 ;;
        esac
    done < <(UML_WORDS=CS_ONLY=signature uml_boot "$RUN" "$uml_root/tests/boot/uml/guest/boot.sh")
    [ -n "$signed" ] && jq -cn --argjson b "$began" --argjson g "$guest" --argjson s "$serves" --argjson f "$signed" \
        '{guest_up_s: (($g - $b) / 1e9), serving_s: (($s - $b) / 1e9), first_signature_s: (($f - $b) / 1e9)}'
}

if [ "${1:-}" = --bench ]; then
    prepare >&2
    uml_ramdisk "$RUN"
    bench
    exit
fi
began=$(date +%s%N)
prepare
echo "# prepared in $((($(date +%s%N) - began) / 1000000)) ms"
uml_boot "$RUN" "$uml_root/tests/boot/uml/guest/boot.sh"
