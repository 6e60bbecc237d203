#!/bin/bash
# Goal of this test: unary SignTx of the seed system through rooms, with gRPC's own Python client: the same message to gateway and local
# participant gives the same valid signature; repeats, conflicts and bad requests are answered alike; each process may be restarted
# while requests come; noise and forged frames in the room change nothing; who is alone hears so.
set -u
# shellcheck source=tests/scenarios/lib.sh
. "$(dirname "$0")/lib.sh"
PYTHON=/usr/bin/python3 # Debian's: python3-grpcio
"$PYTHON" -c 'import grpc' 2>/dev/null || { echo "skip 18-rooms (python3-grpcio is not installed)" && exit 77; }
here=$(dirname "$0")
trap 'stop_pid "$RUN/participant.pid" signctl; gateway_down; cleanup' EXIT

digest() { printf '%064x' "$1"; }
both() { printf '["gateway=%s","participant=%s"]' "$GATEWAY_GRPC" "$PARTICIPANT"; }
only() { [ "$1" = gateway ] && printf '["gateway=%s"]' "$GATEWAY_GRPC" || printf '["participant=%s"]' "$PARTICIPANT"; }
# request TO TX EXECUTION DIGEST [JSON FIELDS]: one request for `ask`
request() { printf '{"to":%s,"account":"account-1","tx":%s,"execution":"%s","digest":"%s","chain":%s%s}' "$1" "$2" "$3" "$4" $(($2 % 2)) "${5:+,$5}"; }
# ask REQUEST...: all at once; the answers in $RUN/answers.json
ask() {
    local IFS=,
    echo "[$*]" | PUBLIC_KEYS="$keys" timeout 120 "$PYTHON" "$here/sign_tx.py" >"$RUN/answers.json" 2>"$RUN/ask.err"
}
# answers JQ: true of the answers
answers() { { [ -s "$RUN/answers.json" ] && jq -e "length > 0 and ($1)" "$RUN/answers.json" >/dev/null; } || { echo "# $(cut -c1-600 "$RUN/answers.json")"; return 1; }; }
same='length > 0 and all(.[]; length == 2 and all(.[]; .valid) and .[0].r == .[1].r and .[0].s == .[1].s and .[0].v == .[1].v)'
# refused CODE STATUS: by everybody who was asked
refused() { answers "(.[0] | length > 0) and all(.[][]; .code == \"$1\" and .status == \"$2\")"; }

participant_up() {
    : >"$RUN/participant.err"
    setsid "$BIN/signctl" participant serve --listen "tcp:${PARTICIPANT:-127.0.0.1:0}" --gateway "$GATEWAY_HTTP" \
        --shares "$RUN/shares/client_key_shares.json" --root "$(emu_get nsm_root)" --pcr "0=$PCR0" </dev/null >"$RUN/participant.out" 2>"$RUN/participant.err" &
    echo $! >"$RUN/participant.pid"
    wait_until 10 grep -q '"event":"ready"' "$RUN/participant.err" || return 1
    PARTICIPANT=$(jq -r 'select(.event == "ready").endpoint' "$RUN/participant.err" | sed 's/^tcp://')
}

several() {
    local i list=()
    for i in $(seq 6); do
        list+=("$(request "$(both)" "$i" "a$i" "$(digest "$i")")")
    done
    ask "${list[@]}" && answers "length == 6 and ($same)"
}
one_room() {
    local i list=()
    for i in $(seq 10 21); do
        list+=("$(request "$(both)" 7 "b0$i" "$(digest "$i")")")
    done
    ask "${list[@]}" && answers "length == 12 and ($same) and (map(.[0].r) | unique | length == 12)"
}
# the answers of three ways to ask again are the first one's
remembered() {
    local first again
    first=$(jq -r '.[0][0].r' "$RUN/answers.json")
    again=$(request "$(both)" 7 b010 "$(digest 10)")
    ask "$again" && answers "$same and .[0][0].r == \"$first\"" &&
        ask "$(request "$(only gateway)" 7 b010 "$(digest 10)")" && answers ".[0][0].r == \"$first\"" &&
        ask "$(request "$(only participant)" 7 b010 "$(digest 10)")" && answers ".[0][0].r == \"$first\""
}
conflict() { ask "$(request "$(both)" 7 b010 "$(digest 99)")" && refused EXECUTION_CONFLICT FAILED_PRECONDITION; }
unknown_account() { ask "$(request "$(both)" 8 c1 "$(digest 1)" '"account":"nobody"')" && refused ACCOUNT_UNKNOWN NOT_FOUND; }
digest_length() {
    ask "$(request "$(both)" 8 c2 "$(digest 1)00")" "$(request "$(both)" 8 c2 00)" "$(request "$(both)" 8 c2 "")" && refused DIGEST_LENGTH INVALID_ARGUMENT
}
out_of_range() {
    ask "$(request "$(both)" 8 "" "$(digest 1)")" "$(request "$(both)" 8 "$(printf '%0130d' 0)" "$(digest 1)")" \
        "$(request "$(both)" 8 c3 "$(digest 1)" '"chain":2')" && refused RANGE OUT_OF_RANGE
}
extremes() {
    ask "$(request "$(both)" -2147483648 d1 "$(digest 1)")" "$(request "$(both)" 2147483647 d1 "$(digest 1)")" \
        "$(request "$(both)" 0 "$(printf '%0128d' 0)" "$(digest 1)" '"account":"account-2"')" && answers "$same"
}
alone() { # WHO TX: silence, or the caller's own deadline when it is shorter
    ask "$(request "$(only "$1")" "$2" e1 "$(digest 1)" '"timeout":2')" && answers '.[0][0].status == "DEADLINE_EXCEEDED"' &&
        ask "$(request "$(only "$1")" "$2" e2 "$(digest 1)" '"timeout":30')" && refused PEER_SILENT DEADLINE_EXCEEDED &&
        ask "$(request "$(both)" "$2" e2 "$(digest 1)")" && answers "$same"
}
late() { # the gateway hears of it 3 s after the participant: between two attempts
    ask "$(request "$(only participant)" 32 e2 "$(digest 2)")" &
    sleep 3
    (RUN=$RUN/late && mkdir -p "$RUN" && ask "$(request "$(only gateway)" 32 e2 "$(digest 2)")" && answers '.[0][0].valid')
    local status=$?
    wait $!
    [ $status = 0 ] && answers '.[0][0].valid'
}
post() { curl -sS --noproxy '*' -o /dev/null -w '%{http_code}\n' -H 'Content-Type: application/json' --data-binary "$2" "$GATEWAY_HTTP/rooms/$1/broadcast"; }
# whoever reaches the gateway writes what he likes, before, during and after
noise() {
    local i bodies=("" AA AQlhY2NvdW50LTEBYQ AQlhY2NvdW50LTECb-EF AQlhY2NvdW50LTECZjEFAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAQ0hBTk5FTF9VTktOT1dO)
    bodies+=("AQlhY2NvdW50LTECZjE$(head -c 3000 /dev/urandom | base64 -w0 | tr '+/' '-_')") # our request's head, then rubbish
    for i in "${bodies[@]}"; do
        post signing_40 "{\"sender\":1,\"receiver\":null,\"body\":\"$i\"}"
        post signing_40 "{\"sender\":0,\"receiver\":1,\"body\":\"$i\"}"
    done >"$RUN/post.out"
    (while [ ! -e "$RUN/quiet" ]; do post signing_40 "{\"sender\":1,\"receiver\":0,\"body\":\"${bodies[5]}\"}"; done >/dev/null) &
    ask "$(request "$(both)" 40 f1 "$(digest 1)")" "$(request "$(both)" 40 f2 "$(digest 2)")"
    : >"$RUN/quiet"
    wait $!
    answers "$same"
}

# until_signed TX EXECUTION: a caller that sends a request again to both until both have answered
until_signed() {
    for _ in $(seq 12); do
        ask "$(request "$(both)" "$1" "$2" "$(digest "$1")" '"timeout":8,"wait":true')" && answers "$same" >/dev/null && return 0
    done
    answers "$same"
}
# requests one after the other in the background while something is restarted: $RUN/stream.err names those that failed
stream() {
    local i
    for i in $(seq "$1" $(($1 + 14))); do
        (RUN=$RUN/stream && mkdir -p "$RUN" && until_signed "$i" "$2$(printf %04d "$i")") || echo "$i"
    done >"$RUN/stream.err" 2>&1
}
during() { # FIRST PREFIX COMMAND...
    local first=$1 prefix=$2 pid
    shift 2
    stream "$first" "$prefix" &
    pid=$!
    sleep 1
    "$@" || return 1
    wait $pid
    [ ! -s "$RUN/stream.err" ] || { head -c 400 "$RUN/stream.err" | sed 's/^/# /'; return 1; }
}
gateway_again() { kill -9 "$(cat "$RUN/gateway.pid")" && sleep 0.3 && gateway_up; }
# sign-host starts it again; core and its channels live on
service_again() { pkill -9 -P "$(cat "$RUN/e.pid")" -x "sign-service-lo" && wait_until 10 serving "$RUN/e"; }
participant_again() {
    stop_pid "$RUN/participant.pid" signctl
    grep -q '"event":"stopped"' "$RUN/participant.err" && participant_up
}
first_is_kept() { # the enclave's memory answers the participant that has forgotten
    ask "$(request "$(both)" 1 a1 "$(digest 1)")" && answers "$same and .[0][0].r == \"$1\""
}
# another enclave with the same shares: the channel is unknown there
enclave_again() {
    host_down "$RUN/e"
    serve e2 --egress "tcp:${GATEWAY_HTTP#http://}" || return 1
    gateway_down
    gateway_up && until_signed 300 aa
}

signctl_sign() {
    "$BIN/signctl" sign --shares "$RUN/shares/client_key_shares.json" --root "$(emu_get nsm_root)" --pcr "0=$PCR0" -a account-1 --json \
        --gateway "$GATEWAY_HTTP" --gateway-grpc "$GATEWAY_GRPC" "$@" >"$RUN/sign.json" 2>"$RUN/sign.err"
}
by_signctl() { signctl_sign --digest "$(digest 5)" --tx-id 50 && [ "$(jq -r .attempts "$RUN/sign.json")" = 1 ]; }
no_path() { signctl_sign --digest "$(digest 5)" --path m/1; [ $? = 2 ]; }
lying_sign() { # HOW OPTION...
    local how=$1 lying=$BIN/signctl-lying BIN=$RUN/lying
    shift
    mkdir -p "$BIN" && ln -sf "$lying" "$BIN/signctl"
    SIGNCTL_LIE=$how signctl_sign "$@"
}
# a lie inside the protocol bans the pair, in rooms too; the publisher lifts it, and the participant makes a new channel
liar() {
    local key
    ! lying_sign inside --digest "$(digest 8)" --tx-id 52 && [ "$(jq -r .code "$RUN/sign.json")" = PEER_BANNED ] || return 1
    ask "$(request "$(only gateway)" 53 e1 "$(digest 1)")" && refused PEER_BANNED PERMISSION_DENIED || return 1
    key=$(tail -n +2 "$RUN/shares/client_key_shares.json" | jq -r '."countersign/parties"[0].static_keys."1"')
    # an order must be younger than the ban, in whole seconds
    wait_until 5 "$BIN/signctl" unban -s "tcp:$GRPC" --key "$key" --publisher-key "$RUN/publisher.key" || return 1
    ask "$(request "$(both)" 54 e1 "$(digest 1)")" && answers "$same"
}
byte_changed() { # a sealed frame is changed on the way: dropped, and the retry signs
    lying_sign wire --digest "$(digest 6)" --tx-id 51 && [ "$(jq -r '"\(.attempts) \(.first_error)"' "$RUN/sign.json")" = "2 PEER_SILENT" ]
}
beyond_loopback() {
    timeout 10 "$BIN/signctl" participant serve --listen tcp:0.0.0.0:0 --gateway "$GATEWAY_HTTP" --shares "$RUN/shares/client_key_shares.json" --any-pcrs 2>"$RUN/remote.err"
    [ $? = 2 ] && grep -q allow-remote "$RUN/remote.err"
}
wrong_image() {
    local PARTICIPANT=127.0.0.1:0 PCR0=${PCR1//[0-9]/1}
    mv "$RUN/participant.pid" "$RUN/first.pid"
    participant_up && ask "$(request "$(only participant)" 60 e1 "$(digest 1)")" && refused ATT_PCR PERMISSION_DENIED
    local status=$?
    stop_pid "$RUN/participant.pid" signctl
    mv "$RUN/first.pid" "$RUN/participant.pid"
    return $status
}

CONFIG_GATEWAY=http://gateway:8080
CONFIG_LIMITS=", silenceMs: 8000"
gateway_ports
prepare
serve e --egress "tcp:${GATEWAY_HTTP#http://}" || exit 1
gateway_up || exit 1
keys=$(jq -r '.accounts[] | "\(.account_id)=\(.public_key)"' "$RUN/shares/keygen.json" | tr '\n' ' ')
case_ participant-starts participant_up
case_ same-message-same-signature several
first=$(jq -r '.[0][0].r' "$RUN/answers.json")
case_ twelve-in-one-room one_room
case_ repeated-is-remembered remembered
case_ other-digest-conflicts conflict
case_ unknown-account unknown_account
case_ digest-length digest_length
case_ execution-and-chain-out-of-range out_of_range
case_ extreme-ids extremes
case_ noise-in-the-room noise
case_ signctl-sign-through-rooms by_signctl
case_ no-path-in-rooms no_path
case_ byte-changed-on-the-way byte_changed
case_ lie-inside-bans liar
case_ gateway-alone alone gateway 30
case_ participant-alone alone participant 31
case_ gateway-hears-of-it-late late
case_ wrong-image wrong_image
case_ beyond-loopback-needs-a-flag beyond_loopback
case_ gateway-restarted during 100 aa gateway_again
case_ service-restarted during 120 bb service_again
case_ participant-restarted during 140 cc participant_again
case_ participant-forgot-enclave-did-not first_is_kept "$first"
case_ enclave-restarted enclave_again
finish
