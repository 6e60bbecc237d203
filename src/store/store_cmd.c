/* See store_cmd.h. Waits for the database: these commands have no loop. */
#include "store/store_cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/json_out.h"
#include "base/text.h"
#include "store/store_file.h"
#include "store/store_migrate.h"
#include "store/store_plain.h"
#include "store/store_sql.h"

#define ADDRESS_ROW                                                                                                    \
    {                                                                                                                  \
        .name = "store", .letter = 's', .kind = CS_OPT_STR, .arg = "ADDRESS",                                          \
        .help = "sqlite:PATH or postgresql://HOST/NAME (the password in the passfile)", .env = "SIGN_GATEWAY_STORE"    \
    }
#define CONFIG_ROW                                                                                                     \
    {                                                                                                                  \
        .name = "config", .letter = 'c', .kind = CS_OPT_STR, .arg = "FILE",                                            \
        .help = "the gateway's configuration: its tee.store, where --store is not given", .env = "SIGN_GATEWAY_CONFIG" \
    }
#define JSON_ROW                                                                                                       \
    {                                                                                                                  \
        .name = "json", .kind = CS_OPT_FLAG, .help = "machine-readable result"                                         \
    }

const cs_opt cs_store_cmd_migrate_opts[] = {
    ADDRESS_ROW,
    CONFIG_ROW,
    {.name = "to", .kind = CS_OPT_U64, .arg = "N", .help = "the version that is wanted; 0: no tables", .max = 9999},
    {.name = "print", .kind = CS_OPT_FLAG, .help = "write the statements, do nothing"},
    {.name = "discard", .kind = CS_OPT_FLAG, .help = "down: also when sealed rows are lost with it"},
    JSON_ROW,
    {0},
};

const char cs_store_cmd_migrate_text[] =
    "up goes to the newest version, down one back; --to N says where to. Each migration is one transaction. A table "
    "keys that an\n"
    "application has gets the columns that are missing, and keeps its own when they are taken back. down refuses where "
    "sealed rows\n"
    "would be lost. No gateway may have an SQLite store open meanwhile.\n\n"
    "Examples:\n"
    "  sign-gateway migrate status --store sqlite:/var/lib/countersign/store.db\n"
    "  sign-gateway migrate up --print --store 'postgresql:///wallet?host=/var/run/postgresql'\n"
    "  sign-gateway migrate down --to 1 --store sqlite:/var/lib/countersign/store.db";

const cs_opt cs_store_cmd_export_opts[] = {ADDRESS_ROW, CONFIG_ROW, JSON_ROW, {0}};
const char cs_store_cmd_export_text[] =
    "All of one moment, also while a gateway serves. The file must not exist. Its last line has the number of rows and "
    "the SHA-256\n"
    "of what is before it.\n\n"
    "Example:\n"
    "  sign-gateway export backup.jsonl --store sqlite:/var/lib/countersign/store.db";

const cs_opt cs_store_cmd_audit_opts[] = {ADDRESS_ROW, CONFIG_ROW, JSON_ROW, {0}};
const char cs_store_cmd_audit_text[] = "All of one moment, also while a gateway serves: the documents of all boots, "
                                       "then the entries as core signed them. The file must\n"
                                       "not exist. signctl audit verify proves it without this store.\n\n"
                                       "Example:\n"
                                       "  sign-gateway audit audit.jsonl --store sqlite:/var/lib/countersign/store.db";

const cs_opt cs_store_cmd_import_opts[] = {
    ADDRESS_ROW,
    CONFIG_ROW,
    {.name = "check", .kind = CS_OPT_FLAG, .help = "verify the file, store nothing"},
    {.name = "replace", .kind = CS_OPT_FLAG, .help = "rows of the file take the place of other versions"},
    JSON_ROW,
    {0},
};
const char cs_store_cmd_import_text[] =
    "The file is verified before anything is written. Rows that are there must be the same ones, unless --replace.\n\n"
    "Examples:\n"
    "  sign-gateway import backup.jsonl --check\n"
    "  sign-gateway import backup.jsonl --store 'postgresql:///wallet?host=/var/run/postgresql'";

/* ---- status */

static cs_err status_json(cs_sql *db, unsigned have, cs_buf *out)
{
    cs_jw w = cs_jw_begin(out);

    cs_jw_object(&w, NULL);
    cs_jw_cstr(&w, "database", db->driver->name);
    cs_jw_u64(&w, "version", have);
    cs_jw_u64(&w, "latest", cs_store_schema_latest());
    cs_jw_array(&w, "migrations");
    for (const cs_migration *m = cs_store_migrations(); m->number != 0; m++) {
        uint64_t ms = 0;
        bool changed = false;
        CS_TRY(cs_store_migration_applied(db, m, &ms, &changed));
        cs_jw_object(&w, NULL);
        cs_jw_u64(&w, "number", m->number);
        cs_jw_cstr(&w, "name", m->name);
        cs_jw_bool(&w, "applied", ms > 0);
        if (ms > 0) {
            uint8_t text[32];
            cs_buf b = cs_buf_wrap(text, sizeof text);
            CS_TRY(cs_put_rfc3339(&b, ms));
            cs_jw_str(&w, "applied_at", cs_buf_slice(&b));
            cs_jw_bool(&w, "changed", changed);
        }
        cs_jw_close_object(&w);
    }
    cs_jw_close_array(&w);
    cs_jw_close_object(&w);
    return cs_jw_end(&w);
}

static cs_err status_text(cs_sql *db, unsigned have)
{
    printf("%s, version %u of %u\n", db->driver->name, have, cs_store_schema_latest());
    for (const cs_migration *m = cs_store_migrations(); m->number != 0; m++) {
        uint8_t text[32];
        cs_buf b = cs_buf_wrap(text, sizeof text);
        uint64_t ms = 0;
        bool changed = false;
        CS_TRY(cs_store_migration_applied(db, m, &ms, &changed));
        if (ms > 0) {
            CS_TRY(cs_put_rfc3339(&b, ms));
        }
        printf("%04u  %-12s %.*s%s\n", m->number, m->name, ms > 0 ? (int)b.len : 1, ms > 0 ? (const char *)text : "-",
               changed ? "  (its text was another one then)" : "");
    }
    return CS_OK;
}

static cs_err status(const cs_args *a, cs_sql *db)
{
    uint8_t mem[4096];
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    unsigned have = 0;

    CS_TRY(cs_store_schema(db, &have));
    if (!cs_args_flag(a, "json")) {
        return status_text(db, have);
    }
    CS_TRY(status_json(db, have, &out));
    printf("%.*s\n", (int)out.len, (const char *)out.p);
    return CS_OK;
}

/* ---- up and down */

/* Where to: --to, else the newest one or one back. False: that is the other way. */
static bool target(const cs_args *a, unsigned have, bool down, unsigned *out)
{
    uint64_t to = cs_args_u64(a, "to");

    if (cs_args_str(a, "to") == NULL) {
        to = !down ? cs_store_schema_latest() : have > 0 ? have - 1 : 0;
    }
    *out = (unsigned)to;
    return down ? to <= have : to >= have;
}

static int done(const cs_args *a, const cs_migrate *m)
{
    if (m->print != NULL) {
        return 0;
    }
    if (cs_args_flag(a, "json")) {
        printf("{\"version\":%u,\"migrations\":%u}\n", m->to, m->done);
    } else {
        printf("version %u, %u migrations done\n", m->to, m->done);
    }
    return 0;
}

static int up_or_down(const cs_args *a, cs_sql *db, bool down)
{
    cs_migrate m = {.discard = cs_args_flag(a, "discard"), .print = cs_args_flag(a, "print") ? stdout : NULL};
    unsigned have = 0;
    cs_err err = cs_store_schema(db, &have);

    if (err != CS_OK) {
        return cs_refuse(a, err, cs_args_flag(a, "json"), db->why);
    }
    if (!target(a, have, down, &m.to)) {
        return cs_usage_error(a, "--to %u: the store has version %u", m.to, have);
    }
    if (m.to > cs_store_schema_latest()) {
        return cs_usage_error(a, "--to %u: the newest version is %u", m.to, cs_store_schema_latest());
    }
    err = cs_store_migrate(db, &m);
    return err == CS_OK ? done(a, &m) : cs_refuse(a, err, cs_args_flag(a, "json"), m.why);
}

/* ---- the address */

int (*cs_store_cmd_config)(const cs_args *a, const char *path, char dsn[CS_STORE_DSN_MAX]);

static int address_of(const cs_args *a, char dsn[CS_STORE_DSN_MAX])
{
    const char *address = cs_args_str(a, "store"),
               *config = cs_store_cmd_config != NULL ? cs_args_str(a, "config") : NULL;

    if (address == NULL && config != NULL) {
        return cs_store_cmd_config(a, config, dsn);
    }
    if (address == NULL) {
        return cs_usage_error(a, "--store ADDRESS%s is missing",
                              cs_store_cmd_config != NULL ? " or --config FILE" : "");
    }
    if (strlen(address) >= CS_STORE_DSN_MAX) {
        return cs_usage_error(a, "--store: longer than %d bytes", CS_STORE_DSN_MAX - 1);
    }
    (void)snprintf(dsn, CS_STORE_DSN_MAX, "%s", address);
    return 0;
}

int cs_store_cmd_connect(const cs_args *a, bool read_only, cs_sql **out, int *out_lock)
{
    char why[256] = "";
    cs_store_config c = {.read_only = read_only, .timeout_ms = 60000};
    int rc = address_of(a, c.dsn);

    if (rc != 0) {
        return rc;
    }
    if (read_only && strncmp(c.dsn, "sqlite:", 7) == 0 && access(c.dsn + 7, F_OK) != 0 && errno == ENOENT) {
        (void)snprintf(c.dsn, sizeof c.dsn, "sqlite::memory:"); /* a file that is not there has no tables */
    }
    cs_err err = cs_store_config_fit(&c, why);
    if (err != CS_OK) {
        return cs_usage_error(a, "--store: %s", why);
    }
    err = cs_store_connect(out, &c, out_lock, why);
    return err == CS_OK ? 0 : cs_refuse(a, err, cs_args_flag(a, "json"), why);
}

void cs_store_cmd_disconnect(cs_sql *db, int lock)
{
    db->driver->close(db);
    if (lock >= 0) {
        (void)close(lock);
    }
}

int cs_store_cmd_migrate(const cs_args *a)
{
    static const char *const what[] = {"up", "down", "status"};
    cs_sql *db = NULL;
    int lock = -1;
    size_t which = 0;

    while (which < 3 && strcmp(a->pos[0], what[which]) != 0) {
        which++;
    }
    if (which == 3) {
        return cs_usage_error(a, "up, down or status, not %s", a->pos[0]);
    }
    bool reads = which == 2 || cs_args_flag(a, "print");
    int rc = cs_store_cmd_connect(a, reads, &db, &lock);
    if (rc != 0 || db == NULL) {
        return rc;
    }
    if (which < 2) {
        rc = up_or_down(a, db, which == 1);
    } else {
        cs_err err = status(a, db);
        rc = err == CS_OK ? 0 : cs_refuse(a, err, cs_args_flag(a, "json"), db->why);
    }
    cs_store_cmd_disconnect(db, lock);
    return rc;
}

/* ---- export and import */

static int told(const cs_args *a, cs_err err, const cs_store_file *f, const char *verb)
{
    bool json = cs_args_flag(a, "json");

    if (err != CS_OK) {
        return cs_refuse(a, err, json, f->why[0] != '\0' ? f->why : a->pos[0]);
    }
    if (json) {
        printf("{\"rows\":%llu,\"stored\":%llu}\n", (unsigned long long)f->rows, (unsigned long long)f->stored);
    } else {
        printf("%llu rows, %llu %s\n", (unsigned long long)f->rows, (unsigned long long)f->stored, verb);
    }
    return 0;
}

static int write_file(const cs_args *a, cs_err (*write_to)(cs_sql *db, FILE *out, cs_store_file *f))
{
    cs_sql *db = NULL;
    int lock = -1;
    cs_store_file f = {.rows = 0};
    int rc = cs_store_cmd_connect(a, true, &db, &lock);

    if (rc != 0 || db == NULL) {
        return rc;
    }
    int fd = open(a->pos[0], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (out == NULL) {
        cs_store_cmd_disconnect(db, lock);
        return cs_refuse(a, errno == EEXIST ? CS_E_EXISTS : CS_E_IO, cs_args_flag(a, "json"), a->pos[0]);
    }
    cs_err err = write_to(db, out, &f);
    bool kept = fsync(fd) == 0;
    kept = fclose(out) == 0 && kept;
    err = err == CS_OK && !kept ? CS_E_IO : err;
    if (err != CS_OK) {
        (void)unlink(a->pos[0]); /* no half of a backup */
    }
    cs_store_cmd_disconnect(db, lock);
    f.stored = f.rows;
    return told(a, err, &f, "written");
}

int cs_store_cmd_export(const cs_args *a)
{
    return write_file(a, cs_store_export);
}

int cs_store_cmd_audit(const cs_args *a)
{
    return write_file(a, cs_store_audit);
}

int cs_store_cmd_import(const cs_args *a)
{
    cs_sql *db = NULL;
    int lock = -1, rc = 0;
    bool check = cs_args_flag(a, "check");
    cs_store_file f = {.rows = 0};
    FILE *in = fopen(a->pos[0], "re");

    if (in == NULL) {
        return cs_refuse(a, CS_E_IO, cs_args_flag(a, "json"), a->pos[0]);
    }
    if (!check && (rc = cs_store_cmd_connect(a, false, &db, &lock)) != 0) {
        (void)fclose(in);
        return rc;
    }
    cs_err err = check || db == NULL ? cs_store_check(in, &f) : cs_store_take(db, in, cs_args_flag(a, "replace"), &f);
    (void)fclose(in);
    if (db != NULL) {
        cs_store_cmd_disconnect(db, lock);
    }
    return told(a, err, &f, check ? "stored: only checked" : "stored");
}
