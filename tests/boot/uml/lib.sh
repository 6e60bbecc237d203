# shellcheck shell=bash
# One guest of the boot tests: user-mode Linux from Debian, guest_init.c as its first program. To be sourced.
# uml_boot DIR SCRIPT: boots, runs SCRIPT (below the repository) in the guest with CS_ROOT, CS_BIN and CS_RUN=DIR; its output goes to
# standard output as it comes. Returns the script's exit status; 124 when the guest did not end. DIR: an absolute path, made new.
# COUNTERSIGN_BIN: folder of the programs (default build/bin). UML_SECONDS: limit, default 280. UML_WORDS: further NAME=VALUE for the script.

uml_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
uml_init=$uml_root/build/release/tests/boot/uml/cs-guest-init

# uml_missing: what this machine lacks, or nothing
uml_missing() {
    command -v linux.uml >/dev/null || { echo "user-mode-linux is not installed"; return; }
    command -v cpio >/dev/null || { echo "cpio is not installed"; return; }
    [ -n "$(uml_module cuse)" ] || { echo "user-mode-linux without its modules"; return; }
    case $uml_root in *[[:space:]]*) echo "the guest cannot be told of a path with blanks" && return ;; esac
    [ -x "$uml_init" ] || echo "$uml_init is not built"
}

uml_module() { find /usr/lib/uml/modules -name "$1.ko" 2>/dev/null | head -n 1; }

# uml_ramdisk DIR: DIR/initrd, the guest's first file system (uml_boot makes it when it is not there)
uml_ramdisk() {
    local m fs=$1/fs
    mkdir -p "$fs/mod"
    cp "$uml_init" "$fs/init"
    for m in vsock vmw_vsock_virtio_transport_common vsock_loopback fuse cuse; do
        cp "$(uml_module $m)" "$fs/mod/"
    done
    (cd "$fs" && find . | LC_ALL=C sort | cpio -o -H newc --quiet) >"$1/initrd"
    rm -rf "$fs"
}

# words in front of the guest's kernel: an ordinary user, where that user can read the programs
uml_user() {
    local as=(setpriv --reuid nobody --regid nogroup --clear-groups)
    if [ "$(id -u)" = 0 ] && "${as[@]}" test -x "$uml_init" 2>/dev/null && "${as[@]}" test -r "${COUNTERSIGN_BIN:-$uml_root/build/bin}/signctl"; then
        echo "${as[*]}"
    fi
}

# memory of the guest is a file that is executed: where there is room for it
uml_tmp() {
    local d free
    for d in /dev/shm "${TMPDIR:-/tmp}" /var/tmp; do
        free=$(df --output=avail -B1M "$d" 2>/dev/null | tail -n 1)
        if [ -w "$d" ] && [ "${free:-0}" -gt 1200 ] && ! findmnt -n -o OPTIONS -T "$d" | grep -qw noexec; then
            echo "$d"
            return
        fi
    done
    echo /tmp
}

# Without the kernel's measurement of RAID checksums (0.85 s), with nothing but panics on the console.
uml_boot() {
    local dir=$1 script=$2 user status
    mkdir -p "$dir/home"
    rm -f "$dir/status"
    [ -s "$dir/initrd" ] || uml_ramdisk "$dir"
    user=$(uml_user)
    [ -z "$user" ] || chown -R nobody:nogroup "$dir"
    # shellcheck disable=SC2086 # a list of words
    (
        cd "$dir" || exit 1
        echo "$BASHPID" >"$dir/group" # of everything that the guest is on this machine
        exec setsid env -i PATH="$PATH" HOME="$dir/home" TMPDIR="$(uml_tmp)" timeout -k 5 "${UML_SECONDS:-280}" \
            $user linux.uml mem="${UML_MEMORY:-768M}" initrd="$dir/initrd" con0=fd:0,fd:1 con=null quiet loglevel=1 selinux=0 \
            initcall_blacklist=raid6_select_algo CS_ROOT="$uml_root" CS_BIN="${COUNTERSIGN_BIN:-$uml_root/build/bin}" CS_RUN="$dir" \
            CS_SCRIPT="$script" ${UML_WORDS:-}
    ) </dev/null 2>&1 &
    wait $! # a trap runs meanwhile
    status=$?
    uml_kill "$dir"
    rm -f "$dir/group"
    [ "$status" != 124 ] || return 124
    [ -s "$dir/status" ] || { echo "the guest ended before its script did"; return 125; }
    return "$(cat "$dir/status")"
}

# uml_kill DIR: the guest of uml_boot, with all its processes on this machine, when it has not ended
uml_kill() {
    local group
    group=$(cat "$1/group" 2>/dev/null) || return 0
    kill -KILL -- "-$group" 2>/dev/null
}
