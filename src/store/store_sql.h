/*
 * Inside of the store: a connection (one driver for each kind of database), the statements, jobs and their memory. What both
 * databases share is in store_sql.c (transactions), store_ops.c and store_page.c (operations); the text of a statement is the same
 * for both: parameters $1.., all values text or integers.
 */
#ifndef CS_STORE_STORE_SQL_H
#define CS_STORE_STORE_SQL_H

#include "store/store.h"

/* ---- memory of a job: freed at once, wiped */

typedef struct cs_store_mem {
    struct cs_store_chunk *first;
    size_t total; /* what was handed out */
} cs_store_mem;

/* cs_store_mem_get - aligned, zeroed; NULL. cs_store_mem_copy - of a slice (never NULL pointer on success); false: no memory. */
void *cs_store_mem_get(cs_store_mem *m, size_t len);
bool cs_store_mem_copy(cs_store_mem *m, cs_slice *io);
/* Encodings for parameters and of columns. CS_E_NO_MEMORY | CS_E_STORE (a column that is not what was stored). */
CS_MUST cs_err cs_store_mem_b64(cs_store_mem *m, cs_slice *out, cs_slice bytes);
CS_MUST cs_err cs_store_mem_unb64(cs_store_mem *m, cs_slice *out, cs_slice text);
CS_MUST cs_err cs_store_mem_hex(cs_store_mem *m, cs_slice *out, cs_slice bytes);
CS_MUST cs_err cs_store_mem_unhex(cs_store_mem *m, cs_slice *out, cs_slice text);
void cs_store_mem_free(cs_store_mem *m);

/* ---- a connection */

typedef enum cs_sql_fault {
    CS_SQL_NONE,
    CS_SQL_AGAIN,  /* busy, deadlock, serialisation: the same transaction may succeed */
    CS_SQL_LOST,   /* the connection is gone: open another */
    CS_SQL_SCHEMA, /* a table or column is not there, or not what it should be */
    CS_SQL_OTHER,
} cs_sql_fault;

typedef struct cs_sql {
    const struct cs_sql_driver *driver;
    cs_sql_fault fault; /* of the last call that was not CS_OK */
    uint8_t boot[16];   /* the last boot that an entry was stored of */
    bool has_boot;
    char why[200]; /* code and, where it has no data in it, text of the database */
} cs_sql;

typedef struct cs_sql_value {
    cs_slice s; /* CS_SQL_TEXT_, and every column that is read: p NULL is NULL */
    int64_t i;
    bool number;
} cs_sql_value;

/* One row of a result; `set` counts the sets of parameters. Not CS_OK: nothing more is wanted, and run returns that. */
typedef cs_err cs_sql_row_fn(void *cookie, size_t set, const cs_slice *cols, size_t num_cols);

typedef struct cs_sql_run {
    int stmt; /* cs_store_stmt: prepared once for each connection; -1: text */
    const char *text;
    const cs_sql_value *values; /* num_values for each set */
    size_t num_values, num_sets;
    cs_sql_row_fn *row;
    void *cookie;
    uint64_t *changed; /* rows changed by each set; may be NULL */
} cs_sql_run;

typedef struct cs_sql_driver {
    const char *name;
    const char *begin;      /* of a transaction that writes */
    const char *begin_read; /* of one that reads, all of it of one moment */
    const char *has_table;  /* $1: table. One row when it is there */
    const char *has_column; /* $1, $2: table, column. One row with its type, lower case */
    const char *unique;     /* one row when column id of table keys is unique */
    const char *scrub;      /* after plaintext was overwritten: no old copy stays in a log of ours; may be "" */
    const char *lock;       /* for migrations, inside their transaction; may be "" */
    cs_err (*open)(cs_sql **out, const cs_store_config *c, bool writes, char why256[256]);
    void (*close)(cs_sql *db);
    cs_err (*script)(cs_sql *db, const char *sql); /* statements without parameters and results */
    cs_err (*run)(cs_sql *db, const cs_sql_run *r);
} cs_sql_driver;

extern const cs_sql_driver cs_store_sqlite, cs_store_pg;
const cs_sql_driver *cs_store_driver(const char *dsn);

/* cs_sql_failed - sets fault and why; CS_E_STORE (CS_E_STORE_SCHEMA for CS_SQL_SCHEMA). */
__attribute__((format(printf, 3, 4))) cs_err cs_sql_failed(cs_sql *db, cs_sql_fault fault, const char *fmt, ...);

#define CS_SQL_S(x) ((cs_sql_value){.s = (x)})
#define CS_SQL_I(x) ((cs_sql_value){.i = (int64_t)(x), .number = true})

/* ---- statements */

#define CS_STORE_EXPIRE_MAX 1000

#define CS_STORE_COLS                                                                                                  \
    "id, ciphertext_blob, data_key_ciphertext, kms_key_id, version, algorithm, public_key, created_at, updated_at"
#define CS_STORE_LIST_WHERE                                                                                            \
    "id > $1 AND ciphertext_blob IS NOT NULL AND ($2 = '' OR kms_key_id = $2) AND ($3 = '' OR kms_key_id <> $3) AND "  \
    "($4 = '' OR data_key_ciphertext <> $4) AND (updated_at IS NULL OR updated_at < $5)"

#define CS_STORE_MATCH_WHERE                                                                                           \
    "ciphertext_blob IS NOT NULL AND ($1 = '' OR kms_key_id = $1) AND ($2 = '' OR kms_key_id <> $2) AND "              \
    "($3 = '' OR data_key_ciphertext = $3) AND (updated_at IS NULL OR updated_at < $4) AND ($5 = '' OR "               \
    "data_key_ciphertext <> $5)"

#define CS_STORE_STMTS(X)                                                                                              \
    X(GET, "SELECT " CS_STORE_COLS " FROM keys WHERE id = $1 AND ciphertext_blob IS NOT NULL")                         \
    X(HAS_ROW, "SELECT 1 FROM keys WHERE id = $1")                                                                     \
    X(INSERT,                                                                                                          \
      "INSERT INTO keys (" CS_STORE_COLS ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING")       \
    X(UPDATE, "UPDATE keys SET ciphertext_blob = $2, data_key_ciphertext = $3, kms_key_id = $4, version = $5, "        \
              "algorithm = $6, public_key = $7, updated_at = $8 WHERE id = $1 AND version = $9 AND ciphertext_blob "   \
              "IS NOT NULL")                                                                                           \
    X(REPLACE, "UPDATE keys SET ciphertext_blob = $2, data_key_ciphertext = $3, kms_key_id = $4, version = $5, "       \
               "algorithm = $6, public_key = $7, created_at = $8, updated_at = $9 WHERE id = $1")                      \
    X(LIST, "SELECT " CS_STORE_COLS " FROM keys WHERE " CS_STORE_LIST_WHERE " ORDER BY id LIMIT $6")                   \
    X(LIST_KEY, "SELECT " CS_STORE_COLS " FROM keys WHERE data_key_ciphertext = $7 AND " CS_STORE_LIST_WHERE           \
                " ORDER BY id LIMIT $6")                                                                               \
    X(HEADS,                                                                                                           \
      "SELECT id, data_key_ciphertext, kms_key_id, version, algorithm, public_key, updated_at FROM keys WHERE "        \
      "(data_key_ciphertext, id) > ($7, $8) AND " CS_STORE_MATCH_WHERE " ORDER BY data_key_ciphertext, id LIMIT $6")   \
    X(MATCH, "SELECT COUNT(*) FROM keys WHERE " CS_STORE_MATCH_WHERE)                                                  \
    X(DATA_KEYS, "SELECT data_key_ciphertext, MIN(kms_key_id), COUNT(*) FROM keys WHERE data_key_ciphertext > $1 "     \
                 "GROUP BY data_key_ciphertext ORDER BY data_key_ciphertext LIMIT $2")                                 \
    X(NEW_REQUEST, "INSERT INTO tee_requests (caller, request_id, hash, created_at) VALUES ($1, $2, $3, $4) "          \
                   "ON CONFLICT DO NOTHING")                                                                           \
    X(GET_REQUEST, "SELECT hash, reply FROM tee_requests WHERE caller = $1 AND request_id = $2")                       \
    X(REPLY, "INSERT INTO tee_requests (caller, request_id, hash, created_at, reply) VALUES ($1, $2, $3, $4, $5) "     \
             "ON CONFLICT (caller, request_id) DO UPDATE SET reply = excluded.reply "                                  \
             "WHERE tee_requests.reply IS NULL AND tee_requests.hash = excluded.hash")                                 \
    X(DROP, "DELETE FROM tee_requests WHERE caller = $1 AND request_id = $2 AND hash = $3 AND reply IS NULL")          \
    X(EXPIRE, "DELETE FROM tee_requests WHERE (caller, request_id) IN (SELECT caller, request_id FROM tee_requests "   \
              "WHERE created_at < $1 LIMIT 1000)")                                                                     \
    X(ENTRY, "INSERT INTO tee_audit (boot, counter, entry, signature, created_at) VALUES ($1, $2, $3, $4, $5) "        \
             "ON CONFLICT DO NOTHING")                                                                                 \
    X(GET_ENTRY, "SELECT entry, signature FROM tee_audit WHERE boot = $1 AND counter = $2")                            \
    X(AUDIT, "SELECT boot, counter, entry, signature, created_at FROM tee_audit WHERE (boot, counter) > ($1, $2) "     \
             "ORDER BY boot, counter LIMIT $3")                                                                        \
    X(BOOT, "INSERT INTO tee_boots (boot, document, created_at) VALUES ($1, $2, $3) ON CONFLICT (boot) DO UPDATE "     \
            "SET document = excluded.document WHERE tee_boots.document IS NULL")                                       \
    X(BOOT_SEEN, "INSERT INTO tee_boots (boot, created_at) VALUES ($1, $2) ON CONFLICT DO NOTHING")                    \
    X(BOOTS, "SELECT b.boot, (SELECT MAX(counter) FROM tee_audit a WHERE a.boot = b.boot), b.document, b.created_at, " \
             "(SELECT COUNT(*) FROM tee_audit a WHERE a.boot = b.boot) FROM tee_boots b WHERE b.boot > $1 "            \
             "ORDER BY b.boot LIMIT $2")                                                                               \
    X(COUNTS, "SELECT (SELECT COUNT(*) FROM keys WHERE ciphertext_blob IS NOT NULL), "                                 \
              "(SELECT COUNT(*) FROM keys WHERE ciphertext_blob IS NULL), (SELECT COUNT(*) FROM tee_requests), "       \
              "(SELECT COUNT(*) FROM tee_requests WHERE reply IS NULL), (SELECT COUNT(*) FROM tee_audit), "            \
              "(SELECT COUNT(*) FROM tee_boots)")                                                                      \
    X(SCHEMA, "SELECT MAX(version) FROM schema_migrations")

typedef enum cs_store_stmt {
#define CS_STORE_ROW(name, sql) CS_STMT_##name,
    CS_STORE_STMTS(CS_STORE_ROW)
#undef CS_STORE_ROW
        CS_STMT_NUM
} cs_store_stmt;
extern const char *const cs_store_stmt_text[CS_STMT_NUM];

/* cs_sql_one - one set of parameters. cs_sql_text - the same for a statement that is not in the table. */
CS_MUST cs_err cs_sql_one(cs_sql *db, cs_store_stmt stmt, const cs_sql_value *v, size_t num, cs_sql_row_fn *row,
                          void *cookie, uint64_t *changed);
CS_MUST cs_err cs_sql_text(cs_sql *db, const char *text, const cs_sql_value *v, size_t num, cs_sql_row_fn *row,
                           void *cookie, uint64_t *changed);

/* ---- jobs */

struct cs_store_job {
    cs_store_job *next;
    cs_store *store;
    cs_store_op op;
    cs_store_in in;
    cs_store_out out;
    cs_err err;
    bool finished; /* its result is final, also when what it did is rolled back with others */
    cs_store_fn *done;
    void *cookie;
    bool forgotten;     /* under the lock of the store */
    cs_store_mem mem;   /* of `in` */
    cs_store_mem found; /* of `out`, of this attempt */
};

/* One operation inside a transaction (writes) or alone. CS_E_STORE and CS_E_STORE_SCHEMA are failures of the database. */
typedef cs_err cs_store_do_fn(cs_sql *db, cs_store_job *job);
typedef struct cs_store_op_row {
    cs_store_do_fn *fn;
    bool writes;
    bool one; /* one statement changes something: alone it needs no transaction */
} cs_store_op_row;
extern const cs_store_op_row cs_store_ops[CS_STORE_NUM_OPS];
cs_store_do_fn cs_store_do_heads, cs_store_do_match, cs_store_do_list, cs_store_do_data_keys, cs_store_do_plain,
    cs_store_do_audit, cs_store_do_boots, cs_store_do_counts;
cs_store_do_fn cs_store_do_get, cs_store_do_adopt, cs_store_do_import;
/* store_ops.c: shared by both files of operations */
CS_MUST cs_err cs_store_now(cs_store_mem *m, cs_slice *out, uint64_t ms);
CS_MUST cs_err cs_store_row_of(cs_store_mem *m, cs_store_row *out, const cs_slice *cols);
CS_MUST cs_err cs_store_time_of(uint64_t *out_ms, cs_slice text);
CS_MUST cs_err cs_store_rows_room(cs_store_job *job, size_t num);
CS_MUST cs_err cs_store_row_values(cs_store_mem *m, cs_sql_value v[7], const cs_tee_row *row);
CS_MUST cs_err cs_store_put_entry(cs_sql *db, cs_store_job *job);

/*
 * cs_store_run - all jobs of the list in one transaction (or one read without). Sets err and out of each. *io_db may be NULL (no
 * connection yet) and is opened again when it was lost; it is NULL when it cannot be.
 */
void cs_store_run(cs_sql **io_db, const cs_store_config *c, cs_store_job *jobs);

/* cs_store_in_valid - what the operation needs is there and in range. cs_store_keep - job->in becomes the job's own; false: no memory. */
bool cs_store_in_valid(cs_store_op op, const cs_store_in *in);
bool cs_store_keep(cs_store_job *job);

/* ---- shared by the front and the commands */

/* cs_store_config_fit - defaults for what is 0. CS_E_CONFIG: the dsn. */
CS_MUST cs_err cs_store_config_fit(cs_store_config *c, char why256[256]);
/*
 * cs_store_connect - one connection that may write; migrates when the configuration says so. *out_lock_fd: SQLite's lock, to be
 * closed behind the connection; -1: none. CS_E_STORE | CS_E_STORE_SCHEMA.
 */
CS_MUST cs_err cs_store_connect(cs_sql **out, const cs_store_config *c, int *out_lock_fd, char why256[256]);
CS_MUST cs_err cs_store_sqlite_lock(int *out_fd, const cs_store_config *c, char why256[256]);
/* cs_store_pg_secret - the address holds a password. */
bool cs_store_pg_secret(const char *dsn);

#endif
