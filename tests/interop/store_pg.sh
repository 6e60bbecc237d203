#!/bin/bash
# The store against a real PostgreSQL: the suites of src/store/*_test.c, the same as with SQLite, and sign-gateway migrate.
# The server is the test's own: in a temporary folder, a unix socket only, never as root.
# limit: 600
set -u
# shellcheck source=tests/interop/lib.sh
. "$(dirname "$0")/lib.sh"
bin=$(find /usr/lib/postgresql/*/bin -name initdb -printf '%h\n' 2>/dev/null | sort -V | tail -1)
[ -n "$bin" ] || { echo "skip store_pg (the package postgresql is not installed)"; exit 77; }
dir=$(mktemp -d /tmp/cs-pg.XXXXXX) || exit 2
user=$(id -un)
as=()
if [ "$(id -u)" = 0 ]; then # PostgreSQL refuses root
    user=nobody
    as=(setpriv --reuid nobody --regid nogroup --clear-groups)
    chown nobody "$dir"
fi
cat >"$dir/ctl" <<END
#!/bin/bash
cd "$dir" || exit 1
case \$1 in
init) exec ${as[*]} env LC_ALL=C.UTF-8 $bin/initdb -D $dir/data -A trust -U $user -E UTF8 >$dir/init.log 2>&1 ;;
start) exec ${as[*]} $bin/pg_ctl -D $dir/data -w -o "-k $dir -c listen_addresses=''" -l $dir/log start </dev/null >$dir/start.log 2>&1 ;;
stop) exec ${as[*]} $bin/pg_ctl -D $dir/data -w -m fast stop </dev/null >$dir/stop.log 2>&1 ;;
esac
END
chmod 755 "$dir/ctl"
finish() {
    "$dir/ctl" stop
    rm -rf "$dir"
}
trap finish EXIT
if ! "$dir/ctl" init || ! "$dir/ctl" start || ! "$bin/createdb" -h "$dir" -U "$user" tee; then
    echo "not ok server"
    cat "$dir"/*log
    exit 1
fi
address="postgresql:///tee?host=$dir&user=$user"

result() { # NAME STATUS
    if [ "$2" = 0 ]; then echo "ok $1"; else echo "not ok $1"; failed=1; fi
}

# the suites: built with the tests (asan), else by themselves
for suite in store store_migrate store_fault store_file; do
    test=$TOP/build/asan/test_$suite
    if [ ! -x "$test" ]; then
        "$TOP/tools/dev/build" release "test_$suite" || exit 1
        test=$TOP/build/release/test_$suite
    fi
    CMOCKA_MESSAGE_OUTPUT=STDOUT CS_TEST_STORE=$address CS_TEST_STORE_CTL=$dir/ctl "$test" >"$dir/$suite.log" 2>&1
    status=$?
    result "$suite" $status
    [ $status = 0 ] || tail -40 "$dir/$suite.log"
done
# the writers of store_fault must really have locked each other out, else that was not tried
grep -q 'deadlock detected' "$dir/log"
result deadlock-happened $?

# the command: a table of an application, up, down, and what was there is there
psql() { "$bin/psql" -q -h "$dir" -U "$user" -At tee -c "$1" 2>&1; }
psql "DROP SCHEMA public CASCADE; CREATE SCHEMA public;
CREATE TABLE keys (id TEXT PRIMARY KEY, private_key TEXT); INSERT INTO keys VALUES ('w1', 'x')" >/dev/null
sign-gateway migrate up --print --store "$address" | grep -q '^-- not needed: CREATE TABLE keys'
result print-names-what-is-there $?
[ "$(psql "SELECT count(*) FROM information_schema.tables WHERE table_name = 'schema_migrations'")" = 0 ]
result print-does-nothing $?
sign-gateway migrate up --store "$address" >/dev/null && sign-gateway migrate status --json --store "$address" | jq -e '.version == .latest' >/dev/null
result up $?
[ "$(psql "SELECT column_name || ' ' || data_type FROM information_schema.columns WHERE table_name = 'keys' ORDER BY 1" | tr '\n' ';')" = \
    "algorithm text;ciphertext_blob text;created_at timestamp with time zone;data_key_ciphertext text;id text;kms_key_id text;private_key text;public_key text;updated_at timestamp with time zone;version bigint;" ]
result columns $?
sign-gateway migrate down --to 0 --store "$address" >/dev/null && [ "$(psql 'SELECT * FROM keys')" = 'w1|x' ]
result down-leaves-the-application $?
out=$(sign-gateway migrate status --store "postgresql://$user:hunter2@localhost/tee" 2>&1)
[ $? = 2 ] && ! grep -q hunter2 <<<"$out"
result password-refused $?
# two at once: one of them does it, both end well
sign-gateway migrate up --store "$address" >/dev/null 2>"$dir/one" &
one=$!
sign-gateway migrate up --store "$address" >/dev/null 2>"$dir/two"
two=$?
wait $one && [ $two = 0 ] && [ "$(psql 'SELECT count(*) FROM schema_migrations')" = 3 ]
result two-at-once $?
"$dir/ctl" stop
sign-gateway migrate status --store "$address" >"$dir/out" 2>&1
[ $? = 1 ] && grep -q '^sign-gateway: STORE:' "$dir/out"
result server-down-is-named $?
exit $failed
