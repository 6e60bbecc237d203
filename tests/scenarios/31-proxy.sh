#!/bin/bash
# sign-host proxy as a whole program: vsock-proxy's arguments and refusals, allow-list files, a resolver that fails and comes back,
# limits, metrics, the drain at the end; sign-host bridge with several pairs; sign-host allowlist.
set -u
DIR=$(mktemp -d /tmp/cs-proxy.XXXXXX)
BIN=${COUNTERSIGN_BIN:-$(cd "$(dirname "$0")/../.." && pwd)/build/bin}
HOST=$BIN/sign-host
pids=()
failed=0

cleanup() {
    [ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null
    wait "${pids[@]}" 2>/dev/null
    rm -rf "$DIR"
}
trap cleanup EXIT

case_() {
    local name=$1
    shift
    if "$@"; then
        echo "ok $name"
    else
        echo "not ok $name"
        tail -n 5 "$DIR"/*.err 2>/dev/null | sed 's/^/# /'
        failed=1
    fi
}

# refused STATUS CODE ARGUMENT...: the exit status, and the code (or words) on standard error
refused() {
    local status=$1 word=$2
    shift 2
    timeout 30 "$HOST" "$@" >"$DIR/out" 2>"$DIR/refused.err"
    [ $? = "$status" ] && grep -q -- "$word" "$DIR/refused.err"
}

wait_for() {
    for _ in $(seq 500); do
        "$@" && return 0
        sleep 0.02
    done
    return 1
}

# up NAME COMMAND...: a program in the background; its log is NAME.err
up() {
    local name=$1
    shift
    "$@" </dev/null >"$DIR/$name.out" 2>"$DIR/$name.err" &
    pids+=($!)
    last=$!
    wait_for grep -q '"event":"listening"' "$DIR/$name.err"
}
# down PID: its exit status after SIGTERM
down() {
    kill "$1"
    wait "$1"
}
port_of() { sed -nE 's/.*"at":"tcp:127\.0\.0\.1:([0-9]+)".*/\1/p' "$DIR/$1.err" | head -1; }
# say SOCKET TEXT: what the other side answers
say() { printf '%s' "$2" | timeout 20 socat -t 10 - "UNIX-CONNECT:$1"; }
logged() { grep -q "$2" "$DIR/$1.err"; }
metric() { curl -sS --noproxy '*' --unix-socket "$DIR/metrics" http://localhost/metrics | sed -nE "s/^countersign_proxy_$1\{[^}]*${2:-}[^}]*\} //p"; }
is() { [ "$1" = "$2" ]; }

# a service that answers with what it got, upper-case, and knows end of file
socat "TCP-LISTEN:0,bind=127.0.0.1,fork,backlog=64" "SYSTEM:tr a-z A-Z" 2>/dev/null &
pids+=($!)
service() { awk -v pid=$! 'NR > 1 && $4 == "0A" { print $2, $10 }' /proc/net/tcp | while read -r at inode; do
    for fd in /proc/$!/fd/*; do [ "$(readlink "$fd")" = "socket:[$inode]" ] && printf '%d\n' "0x${at#*:}"; done
done 2>/dev/null | head -1; }
wait_for test -n "$(service)"
PORT=$(service)

# ---- arguments and refusals
printf 'allowlist:\n- {address: 127.0.0.1, port: %s}\n- {address: name.test, port: %s}\n' "$PORT" "$PORT" >"$DIR/allow.yaml"
printf 'allowlist:\n- {address: 127.0.0.1}\n' >"$DIR/bad.yaml"
case_ usage-too-few refused 2 'too few' proxy 8000 kms.us-east-1.amazonaws.com
case_ usage-both-families refused 2 'exclude' proxy -4 -6 8000 kms.us-east-1.amazonaws.com 443
case_ usage-no-workers refused 2 'num_workers' proxy -w 0 8000 kms.us-east-1.amazonaws.com 443
case_ usage-local-port refused 2 'local port' proxy 0 kms.us-east-1.amazonaws.com 443
case_ usage-remote-port refused 2 'remote port' proxy 8000 kms.us-east-1.amazonaws.com 65536
case_ usage-remote-name refused 2 'no host name' proxy 8000 'kms us' 443
case_ usage-peer refused 2 'peer-cid' proxy --builtin --peer-cid 0 8000 kms.us-east-1.amazonaws.com 443
case_ denied-not-listed refused 1 PROXY_DENIED proxy --config "$DIR/allow.yaml" 8000 127.0.0.2 "$PORT"
case_ denied-other-port refused 1 PROXY_DENIED proxy --config "$DIR/allow.yaml" 8000 127.0.0.1 1
case_ denied-dot-added refused 1 PROXY_DENIED proxy --config "$DIR/allow.yaml" 8000 name.test. "$PORT"
case_ allowlist-bad-file refused 1 'ALLOWLIST.*line 2: an entry without port' proxy --config "$DIR/bad.yaml" 8000 127.0.0.1 "$PORT"
case_ allowlist-no-file refused 1 'none.yaml' proxy --config "$DIR/none.yaml" 8000 127.0.0.1 "$PORT"
case_ metrics-only-here refused 1 'loopback' proxy --config "$DIR/allow.yaml" --listen "unix:$DIR/x.sock" \
    --metrics tcp:0.0.0.0:0 8000 127.0.0.1 "$PORT"
case_ metrics-refusal-leaves-no-socket test ! -e "$DIR/x.sock"
"$HOST" allowlist --builtin >"$DIR/builtin.yaml"
case_ builtin-read-back refused 1 PROXY_DENIED proxy --config "$DIR/builtin.yaml" 8000 s3.us-east-1.amazonaws.com 443
allows() { "$HOST" allowlist "$@" >/dev/null; }
case_ builtin-has-kms allows --config "$DIR/builtin.yaml" kms-fips.eu-central-1.amazonaws.com 443
case_ builtin-has-imds allows --builtin 169.254.169.254 80

# ---- bytes, half-close, peer and metrics
mkdir "$DIR/vsock"
case_ listens up one "$HOST" proxy --config "$DIR/allow.yaml" -w 2 --vsock-dir "$DIR/vsock" --metrics "unix:$DIR/metrics" \
    --idle-ms 1500 8000 127.0.0.1 "$PORT"
one=$last
at=$DIR/vsock/parent-8000.sock
case_ passes-bytes-and-half-close is "$(say "$at" abc)" ABC
case_ bytes-counted wait_for is "$(metric bytes_total out)" 3
case_ port-in-use refused 1 'EXISTS.*listen on unix:' proxy --config "$DIR/allow.yaml" --vsock-dir "$DIR/vsock" 8000 127.0.0.1 "$PORT"
none_open() { [ "$(metric connections_open)" = 0 ]; }
wait_for none_open # also the one by which the refused command has seen that the port is in use
sleep 5 | socat - "UNIX-CONNECT:$at" &
sleep 5 | socat - "UNIX-CONNECT:$at" &
two_open() { [ "$(metric connections_open)" = 2 ]; }
wait_for two_open
case_ one-too-many-is-refused-at-once is "$(say "$at" abc 2>/dev/null)" ""
case_ one-too-many-counted is "$(metric connections_total full)" 1
idle_ended() { [ "$(metric connections_total idle)" = 2 ]; }
case_ silence-ends-connections wait_for idle_ended
case_ and-makes-room is "$(say "$at" again)" AGAIN
case_ stops-in-order down "$one"
case_ stop-removes-its-sockets test ! -e "$at" -a ! -e "$DIR/metrics"
case_ stop-is-logged logged one '"event":"stopped","cut":0'

# ---- drain: what is open ends its work, nothing new begins; the deadline cuts
up drain "$HOST" bridge --listen "unix:$DIR/drain.sock" --to "tcp:127.0.0.1:$PORT" --drain-ms 20000
drain=$last
{ printf a; sleep 2; printf b; } | socat -t 10 - "UNIX-CONNECT:$DIR/drain.sock" >"$DIR/drained" &
client=$!
sleep 1
kill "$drain"
wait_for logged drain '"event":"draining","open":1'
sleep 0.2
case_ drain-takes-nothing-new is "$(say "$DIR/drain.sock" x 2>/dev/null)" ""
wait "$client"
case_ drain-lets-open-ones-end is "$(cat "$DIR/drained")" AB
case_ drain-exit wait "$drain"
up cut "$HOST" bridge --listen "unix:$DIR/cut.sock" --to "tcp:127.0.0.1:$PORT" --drain-ms 300
cut=$last
sleep 20 | socat - "UNIX-CONNECT:$DIR/cut.sock" &
sleep 0.5
case_ deadline-exit down "$cut"
case_ deadline-cuts logged cut '"event":"stopped","cut":1'

# ---- several pairs, both directions
up pairs "$HOST" bridge --vsock-dir "$DIR/vsock" --listen tcp:127.0.0.1:0 --to vsock:16:50051 \
    --listen vsock:any:8080 --to "tcp:127.0.0.1:$PORT"
mkdir "$DIR/vsock/16"
socat "UNIX-LISTEN:$DIR/vsock/16/enclave-50051.sock,fork" "SYSTEM:rev" &
pids+=($!)
wait_for test -S "$DIR/vsock/16/enclave-50051.sock"
case_ pair-in is "$(printf 'abc\n' | socat -t 10 - "TCP:127.0.0.1:$(port_of pairs)")" cba
case_ pair-out is "$(say "$DIR/vsock/parent-8080.sock" abc)" ABC
case_ pairs-usage refused 2 'listen' bridge --listen "unix:$DIR/y" --listen "unix:$DIR/z" --to "unix:$DIR/a"

# ---- a resolver that fails and comes back: a hosts file of its own
if unshare --mount true 2>/dev/null; then
    : >"$DIR/hosts"
    printf 'hosts: files\n' >"$DIR/nsswitch"
    # shellcheck disable=SC2016 # for the inner shell
    up dns unshare --mount --propagation private sh -c 'mount --bind "$1/hosts" /etc/hosts && mount --bind "$1/nsswitch" /etc/nsswitch.conf &&
        shift && exec "$@"' sh "$DIR" "$HOST" proxy --config "$DIR/allow.yaml" --listen "unix:$DIR/dns.sock" \
        --metrics "unix:$DIR/metrics" 8000 name.test "$PORT"
    dns=$last
    case_ dns-fails-for-one-connection is "$(say "$DIR/dns.sock" abc 2>/dev/null)" ""
    case_ dns-failure-is-counted is "$(metric connections_total dns)" 1
    case_ dns-failure-is-said logged dns '"result":"dns"'
    printf '127.0.0.1 name.test\n' >"$DIR/hosts"
    case_ dns-comes-back is "$(say "$DIR/dns.sock" abc)" ABC
    : >"$DIR/hosts"
    case_ dns-gone-again-old-address is "$(say "$DIR/dns.sock" def)" DEF
    case_ dns-exit down "$dns"
else
    echo "skip dns (no mount namespace for this user)"
fi
exit "$failed"
