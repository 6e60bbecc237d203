#!/bin/bash
# Goal: every program answers --help, --version, man and completion from its table; a wrong option is a usage error that names
# the nearest one; a full standard output is no success.
set -u
failed=0

case_() {
    local name=$1
    shift
    if "$@"; then
        echo "ok $name"
    else
        echo "not ok $name"
        failed=1
    fi
}

helps() { "$1" --help >"$tmp/out" && grep -q "^usage: $1" "$tmp/out" && grep -q 'exit status: 0 done, 1 refused, 2 usage' "$tmp/out"; }
versions() { "$1" --version >"$tmp/out" && grep -Eq "^$1 [0-9]+\.[0-9]+" "$tmp/out" && grep -Eq '^build id [0-9a-f]{40}$' "$tmp/out"; }
refuses() {
    "$1" --hlep >"$tmp/out" 2>"$tmp/err" </dev/null
    [ $? = 2 ] && [ ! -s "$tmp/out" ] && grep -q '^see: ' "$tmp/err"
}
man_page() { "$1" man >"$tmp/out" && head -1 "$tmp/out" | grep -q '^\.TH ' && grep -q '^\.SH EXIT STATUS' "$tmp/out"; }
bash_completion() { "$1" completion bash >"$tmp/out" && bash -n "$tmp/out" && grep -q "^complete -F .* $1\$" "$tmp/out"; }
# bash offers the sub-commands and options of the table
bash_completes() {
    signctl completion bash >"$tmp/out"
    # shellcheck disable=SC1091
    (. "$tmp/out" && COMP_WORDS=(signctl err) COMP_CWORD=1 && _signctl && [ "${COMPREPLY[*]}" = errors ])
}
full_disk() {
    signctl errors >/dev/full 2>"$tmp/err"
    [ $? = 1 ] && grep -q '^signctl: IO' "$tmp/err"
}

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
for program in signctl sign-core sign-core-emulated sign-kms sign-kms-local sign-service sign-service-local sign-init sign-host sign-gateway sign-emulator; do
    command -v "$program" >/dev/null || continue
    case_ "$program-help" helps "$program"
    case_ "$program-version" versions "$program"
    case_ "$program-wrong-option" refuses "$program"
    case_ "$program-man" man_page "$program"
    case_ "$program-bash-completion" bash_completion "$program"
done
case_ bash-completes-a-command bash_completes
case_ full-disk-is-no-success full_disk
exit $failed
