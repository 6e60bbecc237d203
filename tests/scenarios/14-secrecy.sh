#!/bin/bash
# Goal of this test: no secret leaves by the side. Known secrets are planted (age identity, private key, its service share, static
# key, AWS secret key, session token); after a load, signatures and refusals none of them is in any log, status, answer, command
# line or environment: searched raw, as hex and as base64.
set -u
# shellcheck source=tests/scenarios/lib.sh
. "$(dirname "$0")/lib.sh"

collect() {
    local p
    mkdir -p "$RUN/seen"
    cat "$RUN"/e/enclave.log "$RUN"/e.out "$RUN"/e.err "$RUN"/emulator.log "$RUN"/*.json "$RUN"/answer.* >"$RUN/seen/logs"
    "$BIN/sign-host" status --json --dir "$RUN/e" >"$RUN/seen/status"
    "$BIN/signctl" status -s "tcp:$GRPC" --json >"$RUN/seen/status-grpc" || return 1
    for p in "$HOST_PID" $(pgrep -P "$HOST_PID"); do
        cat "/proc/$p/cmdline" >>"$RUN/seen/cmdline"
        cat "/proc/$p/environ" >>"$RUN/seen/environ" 2>/dev/null # not readable when not dumpable: good too
    done
    [ -s "$RUN/seen/logs" ] && [ -s "$RUN/seen/status" ] && [ -s "$RUN/seen/cmdline" ]
}
# forms HEX: a secret as hex (both cases), as its bytes (in base64 at three alignments: the middle is searched)
absent() {
    python3 - "$RUN/seen" "$@" <<'EOF'
import base64, pathlib, sys
folder, name, kind, secret = sys.argv[1:5]
raw = bytes.fromhex(secret) if kind == "hex" else secret.encode()
forms = {raw, raw.hex().encode(), raw.hex().upper().encode()}
for shift in range(3):
    text = base64.b64encode(b"\0" * shift + raw)[4:-8]
    forms |= {text, text.replace(b"+", b"-").replace(b"/", b"_")}
for path in pathlib.Path(folder).iterdir():
    data = path.read_bytes()
    for form in forms:
        if form in data:
            sys.exit(f"# {name} is in {path.name}")
EOF
}
# the search itself finds what is there
search_works() {
    echo "x $(printf 'planted-secret-0123456789abcdef' | base64)" >"$RUN/seen/planted"
    ! absent planted text planted-secret-0123456789abcdef >/dev/null 2>&1 && rm "$RUN/seen/planted"
}
sign() {
    "$BIN/signctl" sign -s "tcp:$GRPC" --shares "$RUN/shares/client_key_shares.json" --root "$(emu_get nsm_root)" --pcr "0=$PCR0" -a "$1" \
        --digest "$(printf '%064d' "$2")" --json >"$RUN/answer.$1.$2" 2>&1
}

CONFIG_LEVEL=debug
export CONFIG_LEVEL
key=$(head -c 31 /dev/urandom | od -An -tx1 | tr -d ' \n')4d
prepare
# the same key for the account, so that it is known here; the service's file in clear beside it, for the search only
mkdir -p "$RUN/clear"
echo "marker $key" | "$BIN/signctl" keygen --import - --plaintext --publisher-key "$RUN/publisher.key" --generation 2 -d "$RUN/clear" >/dev/null || exit 1
rm "$RUN/shares/service_key_shares.json.age"
"$BIN/signctl" age encrypt -r "$RECIPIENT" -o "$RUN/shares/service_key_shares.json.age" "$RUN/clear/service_key_shares.json" || exit 1
cp "$RUN/clear/client_key_shares.json" "$RUN/shares/client_key_shares.json"
store
serve e --verbose || exit 1
case_ signs sign marker 1
sign nobody 2
credentials >"$RUN/creds"
pair e "$RUN/age-private.key.enc" <(head -c 400 "$RUN/shares/service_key_shares.json.age") >"$RUN/answer.cut"
pair e <(head -c 90 "$RUN/age-private.key.enc") "$RUN/shares/service_key_shares.json.age" >"$RUN/answer.age"
jq -c '.SecretAccessKey = 7' "$RUN/creds" | inject e 7100 >"$RUN/answer.creds"
case_ collected collect
case_ search-finds-what-is-there search_works
share() { tail -n +2 "$RUN/clear/service_key_shares.json" | jq -r "$1"; }
case_ no-age-identity absent age-identity text "$(grep -o 'AGE-SECRET-KEY-1.*' "$RUN/age-private.key")"
case_ no-private-key absent private-key hex "$key"
case_ no-service-share absent share hex "$(share .marker.share)"
case_ no-static-key absent static-key hex "$(share '."countersign/parties"[0].static_key')"
case_ no-zero-seed absent zero-seed hex "$(share '.marker.zero_seeds."1"')"
case_ no-aws-secret absent aws-secret text "$(jq -r .SecretAccessKey "$RUN/creds")"
case_ no-session-token absent session-token text "$(jq -r .Token "$RUN/creds")"
finish
