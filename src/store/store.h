/*
 * The store of the TEE service (docs/formats/store.md): rows of ciphertext, requests with their replies, audit entries; SQLite or
 * PostgreSQL behind one interface. Holds ciphertext and public data only. Operations are asynchronous: they run on threads of the
 * store, each with a connection of its own, and end in a callback on the loop. The functions of this header are for the loop's
 * thread; nothing of them waits for the database but cs_store_open and cs_store_close.
 *
 * What an operation changed, it changed in one transaction: done is called with CS_OK when that is on disk; with an error nothing
 * of it was stored, or (a connection that was lost in the middle of its commit) all of it. Asking again with the same request id
 * is safe in either case. Busy databases, deadlocks and lost connections are tried again by the store itself (CS_STORE_TRIES).
 */
#ifndef CS_STORE_STORE_H
#define CS_STORE_STORE_H

#include "net/loop.h"
#include "rpc/tee_rpc.h"

#define CS_STORE_DSN_MAX 1024
#define CS_STORE_PAGE_MAX 256                 /* rows or entries of one page */
#define CS_STORE_BYTES_MAX (24u << 20)        /* of one result */
#define CS_STORE_REPLY_MAX ((size_t)20 << 20) /* a reply as it is stored */
#define CS_STORE_KMS_KEY_MAX 2048             /* printable ASCII without blank, quote and backslash */
#define CS_STORE_TRIES 8

typedef struct cs_store cs_store;
typedef struct cs_store_job cs_store_job;

typedef struct cs_store_config {
    /*
     * "sqlite:PATH": the file and PATH-wal, PATH-shm, PATH.lock beside it; one process at a time. "postgresql://..." as libpq
     * takes it (a unix socket: postgresql:///NAME?host=/FOLDER), without a password: that comes from the passfile or a service file.
     */
    char dsn[CS_STORE_DSN_MAX];
    unsigned
        conns; /* PostgreSQL: threads and connections, 0: 8, at most 64. SQLite: readers beside the one writer, 0: 2 */
    unsigned queue;      /* operations waiting or under way; above: CS_E_TEE_BUSY. 0: 1024 */
    uint32_t timeout_ms; /* of one statement and of connecting; 0: 5000 */
    uint32_t
        request_seconds; /* how long requests and their replies are kept: older ones are deleted each minute; 0: never */
    bool migrate;        /* an empty or older schema is brought up to date at open; else CS_E_STORE_SCHEMA */
    bool read_only;      /* takes no lock; operations that change something are CS_E_STORE */
} cs_store_config;

/*
 * cs_store_open - connects once and checks the schema (the only waiting: at most timeout_ms and the migrations).
 * CS_E_CONFIG (dsn) | CS_E_STORE (unreachable; SQLite: another process has it) | CS_E_STORE_SCHEMA | CS_E_NO_MEMORY.
 * why256 (may be NULL) gets one line about the failure, without passwords and data.
 */
CS_MUST cs_err cs_store_open(cs_store **out, cs_loop *l, const cs_store_config *c, char why256[256]);
/* cs_store_close - waits for the operations under way (at most a few timeouts); none calls back any more. NULL is fine. */
void cs_store_close(cs_store *s);
/* cs_store_is_dsn - begins as a store's address; *out_secret: it holds a password, which is refused. */
bool cs_store_is_dsn(const char *dsn, bool *out_secret);

/* cs_store_is_column - [A-Za-z_][A-Za-z0-9_]*, at most 63 bytes; NULL is none. */
bool cs_store_is_column(const char *name);

typedef enum cs_store_op {
    CS_STORE_GET, /* rows of `records` (at most CS_TEE_ROWS_MAX), in their order; one that is not there has code NOT_FOUND */
    CS_STORE_BEGIN, /* `caller`, `id16`, `hash32`: see cs_store_state. CS_E_REQUEST_REPLAY: the id with another hash */
    CS_STORE_DROP,  /* the request of `caller`, `id16`, `hash32` is forgotten when it has no reply: it was nobody's */
    CS_STORE_APPLY, /* what one call brought: see cs_store_in */
    CS_STORE_LIST,  /* sealed rows by id: `after`, `limit`, `filter` */
    CS_STORE_HEADS, /* sealed rows without their blob, by data key, then id: `after` (out->next), `limit`, `filter` */
    CS_STORE_MATCH, /* counts.rows: how many of them match `filter` */
    CS_STORE_DATA_KEYS, /* data keys in use and how many rows each has: `after` (the data key, base64 as in out->next), `limit` */
    CS_STORE_PLAIN, /* rows without ciphertext, with the text of `column` in blob (SECRET until sealed): `after`, `limit` */
    CS_STORE_ADOPT,  /* `rows` become the sealed form of such rows, version 1, and `column` NULL; see cs_store_in */
    CS_STORE_AUDIT,  /* entries in order of boot, counter: behind `boot16` (NULL: from the first), `counter`; `limit` */
    CS_STORE_BOOT,   /* keeps `reply` as attestation document of `boot16`; the first one stays */
    CS_STORE_BOOTS,  /* boots in order, with document, number of entries, last counter: behind `boot16`, `limit` */
    CS_STORE_COUNTS, /* numbers of everything */
    CS_STORE_EXPIRE, /* deletes at most 1,000 requests older than `before_ms`; counts.requests: how many it were */
    CS_STORE_IMPORT, /* `rows` as they are: new ones inserted, the same ones left, others CS_E_SEAL_VERSION unless `replace` */
    CS_STORE_NUM_OPS
} cs_store_op;

typedef struct cs_store_filter {
    cs_slice kms_key, not_kms_key;   /* empty: any */
    cs_slice data_key, not_data_key; /* empty: any */
    uint64_t older_than_ms;          /* changed before; 0: any */
} cs_store_filter;

/*
 * What an operation reads. Everything is copied by cs_store_start. Rows have their own kms_key and data_key (none "as before").
 *
 * APPLY: rows with version 1 are inserted (not there yet, else EXISTS), others replace the stored version - 1 (else SEAL_VERSION).
 * A row that does not fit: with `partial` it is left out and its err says so; without, no row and no reply is stored, and done
 * gets the error. The audit entry is stored in either case. When the request has a stored reply already (another attempt was
 * faster), no row is stored and done gets CS_OK, state DONE and that reply. The reply is stored when `reply` is not empty.
 * ADOPT: as APPLY with rows, partial, entry; a row that is gone is NOT_FOUND, one that is sealed already EXISTS, one whose
 * plaintext is not `plain` of the same index any more SEAL_VERSION. With plain NULL this is not compared.
 */
typedef struct cs_store_in {
    const cs_slice *records; /* GET */
    const cs_tee_row *rows;  /* APPLY, ADOPT, IMPORT; at most CS_TEE_ROWS_MAX */
    const cs_slice *plain;   /* ADOPT: as many as rows */
    size_t num;              /* of records or rows */
    bool partial, replace;
    cs_slice caller;              /* BEGIN, APPLY; empty: the request is not kept */
    const uint8_t *id16, *hash32; /* BEGIN, APPLY */
    cs_slice reply;               /* APPLY, BOOT */
    cs_slice entry, entry_sig;    /* APPLY, ADOPT: with boot16 and counter, or empty */
    const uint8_t *boot16;        /* of the entry; AUDIT, BOOT, BOOTS */
    uint64_t counter;
    cs_slice after; /* pages: the id of the last row seen (out->next), empty: from the first */
    size_t limit;   /* pages: 1..CS_STORE_PAGE_MAX */
    cs_store_filter filter;
    const char *column; /* PLAIN, ADOPT: [A-Za-z_][A-Za-z0-9_]*, at most 63 */
    uint64_t before_ms;
    const uint64_t *created_ms; /* IMPORT: as many as rows; NULL: now */
} cs_store_in;

typedef enum cs_store_state {
    CS_STORE_NEW,     /* BEGIN: the request was not known */
    CS_STORE_PENDING, /* BEGIN: known, without a reply: under way, or its gateway died. Do it again */
    CS_STORE_DONE,    /* BEGIN, APPLY: out->reply is the stored one */
} cs_store_state;

typedef struct cs_store_row {
    cs_tee_row row; /* code: "OK"; "NOT_FOUND" (GET) */
    uint64_t created_ms, updated_ms;
    uint64_t num; /* DATA_KEYS: rows that have it */
} cs_store_row;

typedef struct cs_store_entry {
    uint8_t boot[16];
    uint64_t counter; /* BOOTS: the last one, 0: none */
    uint64_t created_ms;
    uint64_t num;       /* BOOTS: entries */
    cs_slice entry;     /* BOOTS: the document, empty: none was stored */
    cs_slice entry_sig; /* BOOTS: empty */
} cs_store_entry;

typedef struct cs_store_counts {
    uint64_t rows, plain_rows, requests, pending, entries, boots;
} cs_store_counts;

/* What an operation found. Valid during the callback. */
typedef struct cs_store_out {
    cs_store_row *rows; /* GET, LIST, HEADS, DATA_KEYS, PLAIN */
    size_t num_rows;
    cs_err *row_err; /* APPLY, ADOPT, IMPORT: one for each row, CS_OK: stored; NULL when the call was answered before */
    size_t num_stored;
    cs_store_entry *entries; /* AUDIT, BOOTS */
    size_t num_entries;
    cs_store_state state;
    cs_slice reply;
    cs_slice next; /* pages: `after` of the next one; empty: that was the last page */
    cs_store_counts counts;
} cs_store_out;

/* Called once, on the loop. err: CS_OK | STORE | STORE_SCHEMA | EXISTS | SEAL_VERSION | NOT_FOUND | REQUEST_REPLAY |
 * AUDIT_CHAIN (another entry has this boot and counter) | TOO_LARGE | NO_MEMORY. out is never NULL. */
typedef void cs_store_fn(void *cookie, cs_err err, const cs_store_out *out);

/*
 * cs_store_start - CS_E_TEE_BUSY (the queue is full) | CS_E_RANGE (in) | CS_E_NO_MEMORY: then done is not called. *out_job (may be
 * NULL) is for cs_store_forget only and valid until done is called.
 */
CS_MUST cs_err cs_store_start(cs_store *s, cs_store_op op, const cs_store_in *in, cs_store_job **out_job,
                              cs_store_fn *done, void *cookie);
/* cs_store_forget - done is not called any more; the operation itself may be done or not. */
void cs_store_forget(cs_store_job *job);

/* cs_store_ok - the last operation reached the database. cs_store_queued - operations waiting or under way. */
bool cs_store_ok(const cs_store *s);
size_t cs_store_queued(const cs_store *s);

#endif
