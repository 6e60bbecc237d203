#!/bin/bash
# Goal of this test: an application's table keys with private keys in the clear: the migration adds the columns, signctl tee adopt seals the rows in place, also
# when it is killed in the middle; every row is in the clear or sealed, never both and never neither; afterwards no plaintext is in the store.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
dir=$(mktemp -d /tmp/cs-ado.XXXXXX)
export COUNTERSIGN_RUN=$dir/run
unset ATTESTATION_PCRS ATTESTATION_ROOT NSM_ROOT_PEM TEE_GRPC TEE_CALLER
# shellcheck source=/dev/null
. "$root/scripts/stack.sh"
set +e
failed=0
trap 'down; [ -n "${KEEP:-}" ] || rm -rf "$dir"' EXIT
ROWS=${ROWS:-200}
callers() { caller_new demo Sign,Generate,Import,Seal,Unseal,Rotate '*'; }
(set -e; up) >"$dir/up.log" 2>&1 || { tail -5 "$dir/up.log"; echo "not ok up"; exit 1; }
cd "$dir" || exit 1
ENV=$RUN/endpoints.env
value() { sed -n "s/^$1=//p" "$ENV"; }
# shellcheck disable=SC2034 # used by stack-lib.sh
PCR0=$(value PCR0) PCR1=$(value PCR1) PCR2=$(value PCR2) GRPC=$(value SIGN_SERVICE_GRPC) GATEWAY_GRPC=$(value GATEWAY_GRPC) GATEWAY_HTTP=$(value GATEWAY_HTTP)
# shellcheck disable=SC2034
METRICS=$(value METRICS) DB=$RUN/tee.db
tee_() { "$BIN/signctl" tee "$@" --env "$ENV"; }
case_() {
    local name=$1
    shift
    if "$@"; then echo "ok $name"; else
        echo "not ok $name"
        tail -3 "$dir/err" "$RUN/gateway.log" 2>/dev/null | sed 's/^/# /'
        failed=1
    fi
}
sql() { python3 -c 'import sqlite3, sys; print(*(x for row in sqlite3.connect(sys.argv[1], timeout=10).execute(sys.argv[2]) for x in row))' "$DB" "$1"; }
adopt() { tee_ adopt --column private_key --store "sqlite:$DB" --json "$@" 2>"$dir/err"; }
key_of() { printf 'private %s' "$1" | sha256sum | cut -c1-64; }
neither_nor() { [ "$(sql 'select count(*) from keys where (private_key is null) = (ciphertext_blob is null)')" = 0 ] && [ "$(sql 'select count(*) from keys')" = "$((ROWS + 1))" ]; }

table() {
    gateway_down
    rm -f "$DB" "$DB"-*
    python3 -c '
import hashlib, sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("CREATE TABLE keys (id TEXT PRIMARY KEY NOT NULL, owner TEXT, private_key TEXT)")
n = int(sys.argv[2])
db.executemany("INSERT INTO keys VALUES (?, ?, ?)", [(f"w{i}", f"owner {i}", ("0x" if i % 2 else "") + hashlib.sha256(b"private %d" % i).hexdigest()) for i in range(n)] + [("broken", "x", "no key")])
db.commit()' "$DB" "$ROWS" && "$BIN/sign-gateway" migrate up --store "sqlite:$DB" >/dev/null && gateway >/dev/null &&
        [ "$(adopt --count -a ecdsa-secp256k1 | jq -r '.rows, .left' | paste -sd' ')" = "$((ROWS + 1)) $((ROWS + 1))" ]
}
case_ migration-keeps-the-table table
not_asked_for() { adopt -a ecdsa-secp256k1 >"$dir/out"; [ "$(jq -r .code "$dir/out")" = EXISTS ] && [ "$(sql 'select count(*) from keys where ciphertext_blob is null')" = "$((ROWS + 1))" ]; }
case_ gateway-that-does-not-adopt not_asked_for
gateway_down
export APP_TEE_STORE_ADOPTCOLUMN=private_key
gateway >/dev/null
killed() {
    adopt -a ecdsa-secp256k1 >"$dir/out" &
    local job=$! n=0
    # shellcheck disable=SC2016 # expanded by the inner shell
    wait_until 60 bash -c '[ "$(python3 -c "import sqlite3,sys; print(sqlite3.connect(sys.argv[1], timeout=10).execute(\"select count(*) from keys where version = 1\").fetchone()[0])" "$0")" -gt 20 ]' "$DB" || return 1
    kill -9 "$(pgrep -P $job -f signctl || echo $job)"
    wait $job 2>/dev/null
    n=$(sql 'select count(*) from keys where version = 1')
    echo "# killed after $n rows"
    [ "$n" -lt "$ROWS" ] && neither_nor
}
case_ killed-in-the-middle killed
goes_on() {
    adopt -a ecdsa-secp256k1 >"$dir/out"
    [ $? = 1 ] && echo "# $(head -1 "$dir/out")" && [ "$(head -1 "$dir/out" | jq -r '.failed, .left' | paste -sd' ')" = "1 1" ] && grep -q '^broken: FORMAT' "$dir/err" && neither_nor &&
        [ "$(sql 'select count(*) from keys where version = 1')" = "$ROWS" ]
}
case_ goes-on-and-names-what-is-no-key goes_on
same_keys() {
    local i
    for i in 0 1 $((ROWS / 2)) $((ROWS - 1)); do
        [ "$(tee_ public-key "w$i" --json | jq -r .public_key)" = "$(printf '%s' "$(key_of "$i")" | python3 -c '
import sys
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
print(ec.derive_private_key(int(sys.stdin.read(), 16), ec.SECP256K1()).public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint).hex())')" ] || { echo "# w$i"; return 1; }
    done
    printf m >"$dir/m" && tee_ sign w0 -a ecdsa-secp256k1 --message "$dir/m" --json >/dev/null && [ "$(sql "select owner from keys where id = 'w0'")" = "owner 0" ]
}
case_ keys-are-the-same same_keys
again() { printf '%064d' 7 >"$dir/k" && [ "$(tee_ import w0 -a ecdsa-secp256k1 --private-key "$dir/k" --json 2>/dev/null | jq -r .code)" = EXISTS ]; }
case_ sealed-row-is-not-sealed-again again
gone() {
    gateway_down
    local i
    for i in 0 1 $((ROWS / 2)) $((ROWS - 1)); do
        ! grep -lqaF "$(key_of "$i")" "$RUN"/tee.db* "$RUN"/*.log "$RUN"/host/*.log || { echo "# w$i is in a file"; return 1; }
    done
    gateway >/dev/null
}
case_ no-plaintext-is-left gone
rotated() { tee_ rotate --all --json >"$dir/rot" 2>"$dir/err"; [ "$(head -1 "$dir/rot" | jq -r '.rotated, .left' | paste -sd' ')" = "$ROWS 0" ] && [ "$(sql 'select count(distinct data_key_ciphertext) from keys where version = 2')" = 1 ] && same_keys; }
case_ one-data-key-for-all-by-rotation rotated
# the table took the place of a store that had the boot's first entries; since then none is missing
audited() { [ "$(sql 'select max(counter) - min(counter) + 1 - count(*), count(distinct boot) from tee_audit')" = "0 1" ]; }
case_ no-audit-entry-is-missing audited
exit "$failed"
