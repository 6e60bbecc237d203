#!/bin/bash
# Goal of this test: missing, malformed, expired and wrong credentials, and a second injector, each end in their stable code on
# the inject port and in the log; the enclave stays up and serves when right ones come.
set -u
# shellcheck source=tests/scenarios/lib.sh
. "$(dirname "$0")/lib.sh"

start() { host_up "$RUN/$1" "$RUN/image" --no-preload --keep; }
answers() { [ "$(code)" = "$1" ]; }

# nobody sends credentials: the pair waits its 60 s, then both ends say why
begin_missing() {
    start m || return 1
    inject m 7101 <"$RUN/age-private.key.enc" >/dev/null
    inject m 7102 <"$RUN/shares/service_key_shares.json.age" >"$RUN/missing.json" &
}
missing() { wait_until 75 test -s "$RUN/missing.json" && answers CRED_MISSING <"$RUN/missing.json" && [ "$(phase m)" = WAITING ]; }
malformed() { echo '{"AccessKeyId": 1' | inject e 7100 | answers CRED_FORMAT; }
empty() { inject e 7100 </dev/null | answers INJECT_EMPTY; }
expired() { credentials | jq -c '.Expiration = "2020-01-01T00:00:00Z"' | inject e 7100 | answers CRED_EXPIRED; }
# KMS itself refuses: unknown key id, wrong secret, wrong token
refused_by_kms() {
    credentials | jq -c "$1" | inject e 7100 | answers OK || return 1
    inject e 7101 <"$RUN/age-private.key.enc" >/dev/null
    inject e 7102 <"$RUN/shares/service_key_shares.json.age" >"$RUN/kms.json"
    [ "$(jq -r .code "$RUN/kms.json")" = "$2" ] && jq -r .detail "$RUN/kms.json" | grep -q "$3" && logged e "$2" && [ "$(phase e)" = WAITING ]
}
# one injector holds the port open; the second one is told so at once. A second one that came first would be the holder.
held() { grep -qE " 0001 03 +[0-9]+ .*/e/enclave-$1\.sock$" /proc/net/unix; } # a connected socket of the listener
busy() {
    local holder
    (sleep 20 | socat -t 1 - "UNIX-CONNECT:$RUN/e/enclave-$1.sock" >/dev/null 2>&1) &
    holder=$!
    wait_until 5 held "$1"
    wait_until 5 bash -c 'echo x | socat -t 5 - "UNIX-CONNECT:$0" | grep -q INJECT_BUSY' "$RUN/e/enclave-$1.sock"
    local got=$?
    kill "$(pgrep -P "$holder" | tail -1)" "$holder" 2>/dev/null
    return $got
}
# a holder that was cut off leaves the port free for the next one
served() { pair e "$RUN/age-private.key.enc" "$RUN/shares/service_key_shares.json.age" | answers OK && [ "$(phase e)" = SERVING ]; }

prepare
start e || exit 1
begin_missing
case_ malformed-credentials malformed
case_ empty-credentials empty
case_ expired-credentials expired
case_ unknown-access-key refused_by_kms '.AccessKeyId = "ASIAAAAAAAAAAAAAAAAA"' KMS_TOKEN '.'
case_ wrong-secret refused_by_kms '.SecretAccessKey = "wrongwrongwrongwrongwrongwrongwrongwrong"' KMS_SIGNATURE InvalidSignature
case_ busy-7101 busy 7101
case_ busy-7102 busy 7102
case_ serves-afterwards wait_until 20 served
case_ missing-credentials missing
finish
