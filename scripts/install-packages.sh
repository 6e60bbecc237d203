#!/bin/sh
# Installs what is missing of scripts/packages.txt (Debian packages) and scripts/npm/package-lock.json (npm, into build/npm).
# install-packages.sh GROUP: scripts/packages-GROUP.txt instead, what a verb that few need asks for (kernel, qemu).
# Says what it installs. Needs root, or sudo, only when a Debian package is missing; running Countersign needs neither.
set -eu
cd "$(dirname "$0")/.."
list=scripts/packages${1:+-$1}.txt

missing=
while read -r package command; do
    case $package in '' | '#'*) continue ;; esac
    if [ -n "$command" ] && command -v "$command" >/dev/null 2>&1; then
        continue
    fi
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing="$missing $package"
done <"$list"

if [ -n "$missing" ]; then
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "install-packages: this is not Debian; these packages are needed:$missing" >&2
        exit 1
    fi
    echo "installing Debian packages:$missing"
    sudo=
    if [ "$(id -u)" != 0 ]; then
        if ! command -v sudo >/dev/null 2>&1; then
            echo "install-packages: run once as root: apt-get install --no-install-recommends$missing" >&2
            exit 1
        fi
        sudo="sudo -n"
        # a terminal may be asked for a password, a script may not
        [ -t 0 ] && sudo=sudo
    fi
    export DEBIAN_FRONTEND=noninteractive
    $sudo apt-get update -qq </dev/null
    # shellcheck disable=SC2086 # a list of words
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing </dev/null
fi

if [ $# = 0 ] && [ -f scripts/npm/package-lock.json ]; then
    if ! cmp -s scripts/npm/package-lock.json build/npm/package-lock.json || [ ! -d build/npm/node_modules ]; then
        echo "installing npm packages: $(sed -n 's/^ *"\([^"]*\)": "[0-9][0-9.]*",\{0,1\}$/\1/p' scripts/npm/package.json | tr '\n' ' ')"
        mkdir -p build/npm
        cp scripts/npm/package.json build/npm/
        rm -f build/npm/package-lock.json
        cp scripts/npm/package-lock.json build/npm/.lock
        (cd build/npm && mv .lock package-lock.json && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error </dev/null) || {
            rm -f build/npm/package-lock.json
            exit 1
        }
    fi
fi
