/*
 * The share file countersign-shares/1 (docs/formats/share-file.md): header line, pull parser of the JSON behind it, writer.
 * Strict, no heap, one account at a time. Secret hex is decoded in constant time straight into the work area of the caller,
 * which is arena memory where shares are parsed. Signature, hash and account set are in secret/share/share.h.
 */
#ifndef CS_CODEC_SHAREFILE_H
#define CS_CODEC_SHAREFILE_H

#include "base/bytes.h"
#include "codec/hello.h"

#define CS_SHAREFILE_HEADER_MAX 512 /* with LF */
#define CS_SHAREFILE_MAX_SETS 1024
#define CS_SHAREFILE_MAX_PARTIES 16
#define CS_SHAREFILE_UNIT_MAX 16384u /* an account or a set of parties, with the white space before and in it */
#define CS_SHAREFILE_MAX_ROOTS 8
#define CS_SHAREFILE_MAX_CALLERS 4096
#define CS_SHAREFILE_MAX_OPERATIONS 32
#define CS_SHAREFILE_MAX_PATTERNS 32
#define CS_SHAREFILE_MAX_CALLER_ID 64
#define CS_SHAREFILE_MAX_RECORD 128
#define CS_SHAREFILE_MAX_RATE 1000000u
#define CS_SHAREFILE_ACCOUNT_MIN 320u /* no account is shorter: bounds their number by the length of the body */

#define CS_SHAREFILE_PARTIES "countersign/parties"
#define CS_SHAREFILE_SEALING "countersign/sealing"
#define CS_SHAREFILE_CALLERS "countersign/callers"

/* ---- header line */

typedef struct cs_sharefile_header {
    uint64_t generation;
    bool is_signed;          /* false: publisher=none, the two fields below are zero */
    uint8_t publisher32[32]; /* Ed25519 public key */
    uint8_t sig64[64];
    uint8_t sha256[32];   /* of body */
    cs_slice signed_part; /* the line without " sig=..." and LF */
    cs_slice body;        /* everything behind LF */
} cs_sharefile_header;

/* cs_sharefile_header_parse - shape only; slices point into file. CS_E_SHARES_FORMAT. */
CS_MUST cs_err cs_sharefile_header_parse(cs_sharefile_header *out, cs_slice file);
/*
 * cs_sharefile_header_put - the line without " sig=" and LF (what is signed); publisher32 NULL: none.
 * cs_sharefile_header_end - " sig=<hex>" when sig64 is not NULL, and LF.
 */
CS_MUST cs_err cs_sharefile_header_put(cs_buf *out, uint64_t generation, const uint8_t *publisher32,
                                       const uint8_t sha256[32]);
CS_MUST cs_err cs_sharefile_header_end(cs_buf *out, const uint8_t *sig64);

/* ---- body */

/* One set of parties. static_key32 is secret. */
typedef struct cs_sharefile_parties {
    uint16_t index, n, t;                              /* 1 <= index <= n, 2 <= t <= n <= 16 */
    uint8_t static_key32[32];                          /* X25519 private key of `index` */
    uint8_t static_keys[CS_SHAREFILE_MAX_PARTIES][32]; /* public keys of parties 1..n, all different */
} cs_sharefile_parties;

/* One account. share32 and zero_seeds are secret. Ranges that need the curve are checked by the receiver. */
typedef struct cs_sharefile_account {
    char id[CS_HELLO_MAX_ACCOUNT + 1];
    size_t id_len;
    uint32_t parties; /* position of its set, already delivered */
    uint32_t epoch;
    uint8_t public_key33[33], chain_code32[32], share32[32];
    uint8_t zero_seeds[CS_SHAREFILE_MAX_PARTIES][32]; /* of the other n - 1 parties, ascending */
} cs_sharefile_account;

/*
 * One caller of the TEE service. All public; slices point into what is parsed and are valid during the call. What an operation is
 * called is for the receiver to check: this file knows no operations.
 */
typedef struct cs_sharefile_caller {
    cs_slice id; /* 1..64 bytes of printable ASCII without '"', '\' and space */
    uint8_t ed25519[32], x25519[32];
    cs_slice operation[CS_SHAREFILE_MAX_OPERATIONS]; /* no two the same */
    size_t num_operations;
    cs_slice record[CS_SHAREFILE_MAX_PATTERNS]; /* patterns: a record id of at most 128 bytes, or a prefix and '*' */
    size_t num_records;
    uint32_t rate, burst; /* requests a second, requests at once: 1..1000000; both 0: no limit */
} cs_sharefile_caller;

/* The parser's memory, about 8 kB: arena memory. Wiped by the parser on return. */
typedef struct cs_sharefile_work {
    cs_sharefile_parties parties;
    cs_sharefile_account account;
    cs_sharefile_caller caller;
    uint8_t root32[32];
    uint32_t num_roots, num_callers;
    unsigned part; /* the last part of the file that has begun */
    uint16_t set_n[CS_SHAREFILE_MAX_SETS], set_index[CS_SHAREFILE_MAX_SETS];
    uint32_t seen_map; /* parties named by the last inner map, bit i = party i + 1 */
} cs_sharefile_work;

/* What stopped the parser: byte offset in the body and a static text (never a value). */
typedef struct cs_sharefile_fault {
    size_t offset;
    const char *what;
} cs_sharefile_fault;

/*
 * Receivers: valid during the call; an error of theirs ends the parse and is returned as it is. on_root (secret) and on_caller may
 * be NULL: then nobody hears of these.
 */
typedef struct cs_sharefile_events {
    cs_err (*on_parties)(void *cookie, uint32_t position, const cs_sharefile_parties *p);
    cs_err (*on_account)(void *cookie, const cs_sharefile_account *a);
    cs_err (*on_root)(void *cookie, const uint8_t root32[32]);
    cs_err (*on_caller)(void *cookie, const cs_sharefile_caller *c);
} cs_sharefile_events;

/*
 * cs_sharefile_parse - the whole body. fault may be NULL. CS_E_SHARES_FORMAT | CS_E_SHARES_ACCOUNT (a number out of range, a
 * position without a set) | an error of a receiver. Accounts, roots and callers named twice are the receiver's to find
 * (CS_E_SHARES_DUPLICATE).
 */
CS_MUST cs_err cs_sharefile_parse(const cs_sharefile_events *events, void *cookie, cs_sharefile_work *work,
                                  cs_slice body, cs_sharefile_fault *fault);

/*
 * The same for a body that comes in pieces of any size: begin, push..., end. The struct is arena memory (about 90 kB) and may be
 * freed at any time; its secrets are wiped on an error and after the end. An error is returned again by every later call; fault
 * then says where and what. What was delivered before an error belongs to a body that is refused: the caller discards it.
 */
typedef struct cs_sharefile_stream {
    const cs_sharefile_events *events;
    void *cookie;
    cs_sharefile_work work;
    cs_sharefile_fault fault;
    cs_err err;
    uint32_t num_sets;
    unsigned unit;
    size_t parsed, len; /* bytes that are done with; bytes in the window */
    uint8_t window[CS_SHAREFILE_UNIT_MAX + 65536];
} cs_sharefile_stream;
void cs_sharefile_stream_begin(cs_sharefile_stream *s, const cs_sharefile_events *events, void *cookie);
CS_MUST cs_err cs_sharefile_stream_push(cs_sharefile_stream *s, cs_slice piece);
/* cs_sharefile_stream_end - the body ends here. CS_OK only when it was whole; CS_E_STATE when it has ended before. */
CS_MUST cs_err cs_sharefile_stream_end(cs_sharefile_stream *s);

/*
 * cs_sharefile_caller_parse - one caller's object alone: what a caller gives to who publishes the share file. fault may be NULL;
 * slices of *out point into json. CS_E_SHARES_FORMAT | CS_E_SHARES_ACCOUNT; then *out is zero.
 * cs_sharefile_caller_put - the same object, in one line. CS_E_RANGE (a name, number or count that could not be read again).
 */
CS_MUST cs_err cs_sharefile_caller_parse(cs_sharefile_caller *out, cs_slice json, cs_sharefile_fault *fault);
CS_MUST cs_err cs_sharefile_caller_put(cs_buf *out, const cs_sharefile_caller *c);

/* ---- writer: begin, parties, sealing, callers, accounts, end; none of these but the ends is needed, but a file needs parties
 * or sealing. Errors CS_E_RANGE (out full, bad id, out of order) | CS_E_NO_MEMORY. */
typedef struct cs_sharefile_writer {
    cs_buf *out; /* secret: arena memory, or flushed and wiped by the caller between accounts */
    unsigned state;
    uint32_t num_sets, num_roots, num_callers;
} cs_sharefile_writer;
cs_sharefile_writer cs_sharefile_write(cs_buf *out);
CS_MUST cs_err cs_sharefile_put_parties(cs_sharefile_writer *w, const cs_sharefile_parties *p);
/* cs_sharefile_put_sealing - all roots at once, 1..8; secret. cs_sharefile_put_caller - one of them. */
CS_MUST cs_err cs_sharefile_put_sealing(cs_sharefile_writer *w, const uint8_t (*roots)[32], size_t num_roots);
CS_MUST cs_err cs_sharefile_put_caller(cs_sharefile_writer *w, const cs_sharefile_caller *c);
CS_MUST cs_err cs_sharefile_put_account(cs_sharefile_writer *w, const cs_sharefile_account *a, uint16_t n,
                                        uint16_t index);
CS_MUST cs_err cs_sharefile_put_end(cs_sharefile_writer *w);

/* cs_hex_decode_ct - out_len bytes from 2*out_len lower-case digits, constant time in the digits. 1 when all were digits, else 0. */
unsigned cs_hex_decode_ct(uint8_t *out, size_t out_len, const uint8_t *hex);
/* cs_put_hex_ct - append lower-case hex in constant time. */
CS_MUST cs_err cs_put_hex_ct(cs_buf *out, const uint8_t *in, size_t len);

#endif
