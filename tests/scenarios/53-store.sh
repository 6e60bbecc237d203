#!/bin/bash
# The store's commands on SQLite: migrate up and down by address and by the gateway's configuration, export, import, what is refused,
# and that a store which is open in one process is refused to another.
set -u
dir=$(mktemp -d /tmp/cs-store.XXXXXX) || exit 2
trap 'rm -rf "$dir"' EXIT
failed=0
result() { # NAME STATUS
    if [ "$2" = 0 ]; then echo "ok $1"; else echo "not ok $1"; failed=1; fi
}
refused() { # NAME CODE COMMAND...: exit status 1 and this code
    local name=$1 code=$2
    shift 2
    "$@" >"$dir/out" 2>&1
    [ $? = 1 ] && grep -q "^sign-gateway: $code:" "$dir/out"
    result "$name" $?
}
S="sqlite:$dir/store.db"
printf 'tee:\n  store:\n    path: %s\n' "$dir/store.db" >"$dir/gateway.yaml"

[ "$(sign-gateway migrate status --json --store "$S" | jq .version)" = 0 ] && [ ! -e "$dir/store.db" ]
result status-makes-nothing $?
sign-gateway migrate up --config "$dir/gateway.yaml" >/dev/null && [ "$(sign-gateway migrate status --json --store "$S" | jq '.version == .latest')" = true ]
result up-by-configuration $?
[ "$(stat -c %a "$dir/store.db")" = 600 ]
result store-is-its-owners $?

# three rows, as a file of the documented form
row() { printf '{"id":"%s","ciphertext_blob":"YmxvYg==","data_key_ciphertext":"a2V5","kms_key_id":"arn:aws:kms:eu-west-1:111122223333:key/1","version":%s,"algorithm":"data","public_key":"","created_at":"2026-01-02T03:04:05.678Z"}\n' "$1" "$2"; }
file() { # ROWS on standard input
    { printf '{"format":"countersign-store-export-1","created_at":"2026-01-02T03:04:05.678Z"}\n'; cat; } >"$dir/body"
    cat "$dir/body"
    printf '{"rows":%s,"sha256":"%s"}\n' $(($(wc -l <"$dir/body") - 1)) "$(sha256sum <"$dir/body" | cut -d' ' -f1)"
}
{ row a 1; row b 3; row c 1; } | file >"$dir/in.jsonl"
sign-gateway import "$dir/in.jsonl" --check >/dev/null
result made-by-the-documentation $?
sign-gateway import "$dir/in.jsonl" --store "$S" --json | jq -e '.rows == 3 and .stored == 3' >/dev/null
result import $?
sign-gateway export "$dir/out.jsonl" --store "$S" >/dev/null && [ "$(sed '1d;$d' "$dir/out.jsonl")" = "$(sed '1d;$d' "$dir/in.jsonl")" ]
result export-gives-the-same-rows $?
[ "$(stat -c %a "$dir/out.jsonl")" = 600 ]
result export-is-its-owners $?
refused export-does-not-overwrite EXISTS sign-gateway export "$dir/out.jsonl" --store "$S"
sed 's/"id":"c"/"id":"d"/' "$dir/in.jsonl" >"$dir/forged.jsonl"
refused import-of-a-changed-file FORMAT sign-gateway import "$dir/forged.jsonl" --store "$S"
{ row d 1; row b 4; } | file >"$dir/newer.jsonl"
refused import-of-another-version SEAL_VERSION sign-gateway import "$dir/newer.jsonl" --store "$S"
[ "$(sqlite3 "$dir/store.db" 'SELECT count(*), sum(version) FROM keys')" = '3|5' ]
result nothing-of-it-is-stored $?
sign-gateway import "$dir/newer.jsonl" --replace --store "$S" >/dev/null && [ "$(sqlite3 "$dir/store.db" 'SELECT count(*), sum(version) FROM keys')" = '4|7' ]
result replace $?
refused down-keeps-sealed-rows EXISTS sign-gateway migrate down --to 0 --store "$S"
flock "$dir/store.db.lock" sh -c 'sign-gateway migrate up --store "$1" >"$2" 2>&1' - "$S" "$dir/out"
[ $? = 1 ] && grep -q 'another process' "$dir/out"
result one-process-at-a-time $?
sign-gateway migrate down --to 0 --discard --store "$S" >/dev/null && [ -z "$(sqlite3 "$dir/store.db" .tables)" ]
result down $?
exit $failed
