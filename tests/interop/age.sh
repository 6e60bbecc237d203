#!/bin/sh
# Files of signctl age and of the age program, in both directions: Debian's age, and the newest one from the Go registry.
# Usage: age.sh [SIGNCTL]
# Prints "ok NAME", "not ok NAME" or "skip NAME" per case, then "N passed, N failed, N skipped"; exit status 1 when one failed.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)

signctl=${1:-signctl}
passed=0
failed=0
skipped=0
dir=$(mktemp -d) || exit 2
trap 'rm -rf "$dir"' EXIT

# check NAME COMMAND...: the command succeeds
check() {
    name=$1
    shift
    if "$@" >"$dir/log" 2>&1; then
        echo "ok $label: $name"
        passed=$((passed + 1))
    else
        echo "not ok $label: $name"
        sed 's/^/    /' "$dir/log"
        failed=$((failed + 1))
    fi
}

# refused NAME COMMAND...: the command ends with status 1
refused() {
    name=$1
    shift
    "$@" >"$dir/log" 2>&1
    if [ $? -eq 1 ]; then
        echo "ok $label: $name"
        passed=$((passed + 1))
    else
        echo "not ok $label: $name"
        sed 's/^/    /' "$dir/log"
        failed=$((failed + 1))
    fi
}

recipient_of() {
    sed -n 's/^# public key: //p' "$1"
}

# theirs opens ours, ours opens theirs: one file size, armored or not
both_ways() {
    size=$1
    armor=$2
    head -c "$size" /dev/urandom >"$dir/plain"
    # shellcheck disable=SC2086 # armor is empty or one option
    check "signctl encrypts, age decrypts: $size bytes $armor" sh -c "
        '$signctl' age encrypt $armor -r '$their_recipient' -r '$our_recipient' -o '$dir/ours.age' '$dir/plain' &&
        '$age' -d -i '$dir/their.key' '$dir/ours.age' >'$dir/back' && cmp '$dir/plain' '$dir/back' &&
        '$age' -d -i '$dir/our.key' '$dir/ours.age' >'$dir/back' && cmp '$dir/plain' '$dir/back'"
    check "age encrypts, signctl decrypts: $size bytes $armor" sh -c "
        '$age' $armor -r '$their_recipient' -r '$our_recipient' -o '$dir/theirs.age' '$dir/plain' &&
        '$signctl' age decrypt -i '$dir/their.key' -o '$dir/back' '$dir/theirs.age' && cmp '$dir/plain' '$dir/back' &&
        '$signctl' age decrypt -i '$dir/our.key' <'$dir/theirs.age' >'$dir/back' && cmp '$dir/plain' '$dir/back'"
}

# age reads a passphrase from a terminal only: give it one, and answer each prompt when it comes
with_terminal() {
    phrase=$1
    shift
    python3 - "$phrase" "$@" <<'EOF'
import os, pty, sys

pid, fd = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
seen = b""
while True:
    try:
        piece = os.read(fd, 4096)
    except OSError:
        break
    if not piece:
        break
    seen += piece
    if b"assphrase" in seen and seen.rstrip(b" ").endswith(b":"):
        os.write(fd, sys.argv[1].encode() + b"\n")
        seen = b""
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
EOF
}

passphrases() {
    printf 'correct horse battery staple\n' >"$dir/phrase"
    printf 'secret' >"$dir/plain"
    check "a passphrase goes around in signctl" sh -c "
        '$signctl' age encrypt --passphrase-file '$dir/phrase' -o '$dir/phrase.age' '$dir/plain' &&
        '$signctl' age decrypt --passphrase-file '$dir/phrase' -o '$dir/back' '$dir/phrase.age' && cmp '$dir/plain' '$dir/back'"
    if ! command -v python3 >/dev/null; then
        echo "skip $label: passphrases with age: python3 is not installed"
        skipped=$((skipped + 1))
        return
    fi
    rm -f "$dir/back"
    check "age decrypts what signctl encrypted to a passphrase" \
        with_terminal "$(cat "$dir/phrase")" "$age" -d -o "$dir/back" "$dir/phrase.age"
    check "with the same contents" cmp "$dir/plain" "$dir/back"
    check "age encrypts to a passphrase" with_terminal "$(cat "$dir/phrase")" "$age" -p -o "$dir/theirs.age" "$dir/plain"
    check "signctl decrypts it" "$signctl" age decrypt --passphrase-file "$dir/phrase" -o "$dir/back" "$dir/theirs.age"
    check "to the same contents" cmp "$dir/plain" "$dir/back"
}

keys() {
    rm -f "$dir"/*.key
    check "signctl makes an identity" "$signctl" age keygen -o "$dir/our.key"
    check "age-keygen makes an identity" "$age-keygen" -o "$dir/their.key"
    our_recipient=$(recipient_of "$dir/our.key")
    their_recipient=$(recipient_of "$dir/their.key")
    check "an identity file has mode 600" test "$(stat -c %a "$dir/our.key")" = 600
    check "age-keygen reads an identity of signctl" test "$("$age-keygen" -y "$dir/our.key")" = "$our_recipient"
    refused "an existing identity is kept" "$signctl" age keygen -o "$dir/our.key"
    "$signctl" age keygen >"$dir/pipe.key"
    printf secret >"$dir/plain"
    check "signctl encrypts to an identity file of age" sh -c "
        '$signctl' age encrypt -i '$dir/their.key' -o '$dir/ours.age' '$dir/plain' &&
        '$age' -d -i '$dir/their.key' '$dir/ours.age' | cmp - '$dir/plain'"
    check "age encrypts to an identity file of signctl" sh -c "
        '$age' -e -i '$dir/pipe.key' -o '$dir/theirs.age' '$dir/plain' &&
        '$signctl' age decrypt -i '$dir/pipe.key' '$dir/theirs.age' | cmp - '$dir/plain'"
}

faults() {
    head -c 200000 /dev/urandom >"$dir/plain"
    "$signctl" age encrypt -r "$our_recipient" -o "$dir/ours.age" "$dir/plain"
    head -c 150000 "$dir/ours.age" >"$dir/cut.age"
    rm -f "$dir/back"
    refused "a truncated file is refused" "$signctl" age decrypt -i "$dir/our.key" -o "$dir/back" "$dir/cut.age"
    check "nothing of a refused file is left" test -z "$(find "$dir" -name 'back*')"
    refused "another identity is refused" "$signctl" age decrypt -i "$dir/their.key" -o "$dir/back" "$dir/ours.age"
}

# what only newer versions write: recipients that signctl has no part in are refused, never mistaken
post_quantum() {
    if ! "$age-keygen" -pq -o "$dir/pq.key" 2>"$dir/log"; then
        return
    fi
    pq_recipient=$("$age-keygen" -y "$dir/pq.key")
    refused "a post-quantum recipient is refused" "$signctl" age encrypt -r "$pq_recipient" -o "$dir/ours.age" "$dir/plain"
    "$age" -r "$pq_recipient" -o "$dir/theirs.age" "$dir/plain"
    rm -f "$dir/back"
    refused "a file for another kind of recipient is refused" "$signctl" age decrypt -i "$dir/our.key" -o "$dir/back" "$dir/theirs.age"
    check "nothing of it is left" test ! -e "$dir/back"
}

# suite LABEL AGE: AGE-keygen is beside it
suite() {
    label=$1
    age=$2
    keys
    for size in 0 1 47 48 65535 65536 65537 200000 3000000; do
        both_ways "$size" ""
        both_ways "$size" "-a"
    done
    passphrases
    faults
    post_quantum
}

label=debian
if command -v age >/dev/null && command -v age-keygen >/dev/null; then
    suite debian "$(command -v age)"
else
    echo "skip debian: the age program is not installed"
    skipped=$((skipped + 1))
fi
if missing=$("$root/tools/dev/peers" age age-keygen); then
    suite newest "$root/build/peers/go/age"
else
    echo "skip newest: $(echo "$missing" | grep '^missing ')"
    skipped=$((skipped + 1))
fi

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
