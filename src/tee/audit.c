#include "tee/audit.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "codec/json.h"

#define ENTRY_MAX 2048u
#define SIGNATURE 64u
#define BOOTS_MAX 65536u

/* The entry before. */
typedef struct last {
    cs_buf entry;
    uint8_t sig64[SIGNATURE];
    uint64_t line, counter;
    uint8_t hash32[32];
} last;

typedef struct boot {
    cs_tee_boot vouched;
    bool begun;
} boot;

struct cs_tee_audit {
    cs_att_options att;
    cs_tee_head from, head[CS_TEE_AUDIT_HEADS_MAX];
    bool has_from, all_signatures, found[CS_TEE_AUDIT_HEADS_MAX];
    size_t num_heads;
    boot *boots;
    size_t num_boots, cap_boots;
    boot *now; /* whose entries are read; NULL: none yet */
    last last;
    cs_tee_audit_sum sum;
    cs_tee_audit_fault jump; /* line 0: none */
    uint64_t missing;        /* the counter that it skipped */
    cs_buf document, entry, sig;
    EVP_MD_CTX *ctx;
    EVP_MD *sha256;
};

static cs_err faulty(cs_tee_audit_fault *out, uint64_t line, const char *what)
{
    *out = (cs_tee_audit_fault){.line = line, .err = CS_E_AUDIT_CHAIN, .what = what};
    return CS_E_AUDIT_CHAIN;
}

/* ---------------------------------------------------------------- documents */

static boot *find_boot(cs_tee_audit *a, const uint8_t boot16[16])
{
    for (size_t i = a->num_boots; i > 0; i--) { /* the newest is asked for */
        if (memcmp(a->boots[i - 1].vouched.boot16, boot16, 16) == 0) {
            return &a->boots[i - 1];
        }
    }
    return NULL;
}

static cs_err grow(cs_tee_audit *a)
{
    size_t now = a->now != NULL ? (size_t)(a->now - a->boots) : 0, cap = a->cap_boots * 2 + 4;
    boot *more;

    if (a->num_boots < a->cap_boots) {
        return CS_OK;
    }
    more = cap <= BOOTS_MAX ? realloc(a->boots, cap * sizeof *more) : NULL;
    if (more == NULL) {
        return CS_E_NO_MEMORY;
    }
    a->boots = more;
    a->cap_boots = cap;
    a->now = a->now != NULL ? &more[now] : NULL;
    return CS_OK;
}

cs_err cs_tee_audit_document(cs_tee_audit *a, cs_slice document)
{
    cs_tee_boot vouched;
    const boot *known;

    CS_TRY(cs_tee_boot_verify(&vouched, document, &a->att));
    a->sum.documents++;
    known = find_boot(a, vouched.boot16);
    if (known != NULL) {
        return memcmp(known->vouched.audit_key32, vouched.audit_key32, 32) == 0 &&
                       memcmp(known->vouched.pcr_digest32, vouched.pcr_digest32, 32) == 0
                   ? CS_OK
                   : CS_E_ATT_BINDING;
    }
    CS_TRY(grow(a));
    a->boots[a->num_boots++] = (boot){.vouched = vouched};
    return CS_OK;
}

/* ---------------------------------------------------------------- lines */

enum { DOCUMENT, ENTRY, SIG, KIND, NUM_MEMBERS };
static const char *const members[NUM_MEMBERS] = {"document", "entry", "signature", "kind"};
#define IS_DOCUMENT (1u << DOCUMENT | 1u << KIND)
#define IS_ENTRY (1u << ENTRY | 1u << SIG | 1u << KIND)

static cs_err get_member(cs_tee_audit *a, unsigned *seen, cs_slice *kind, cs_json *j)
{
    cs_buf *const into[KIND] = {&a->document, &a->entry, &a->sig};
    cs_slice name, value;
    bool plain = false;
    unsigned m = 0;

    CS_TRY(cs_json_string(j, &name, &plain));
    CS_TRY(cs_json_char(j, ':'));
    CS_TRY(cs_json_string(j, &value, &plain));
    while (m < NUM_MEMBERS && !cs_slice_eq_str(name, members[m])) {
        m++;
    }
    if (m == NUM_MEMBERS || (*seen >> m & 1) != 0) {
        return CS_E_FORMAT;
    }
    *seen |= 1u << m;
    if (m == KIND) {
        *kind = value;
        return CS_OK;
    }
    into[m]->len = 0;
    return cs_b64_get(into[m], value, CS_B64_STD);
}

/* Which members the line has: IS_DOCUMENT or IS_ENTRY. */
static cs_err read_line(cs_tee_audit *a, unsigned *out_seen, cs_slice line)
{
    cs_json j = cs_json_of(line);
    cs_slice kind = CS_SLICE_NULL;
    unsigned seen = 0;

    if (line.len > CS_TEE_AUDIT_LINE_MAX) {
        return CS_E_TOO_LARGE;
    }
    CS_TRY(cs_json_char(&j, '{'));
    do {
        CS_TRY(get_member(a, &seen, &kind, &j));
    } while (cs_json_try(&j, ','));
    CS_TRY(cs_json_char(&j, '}'));
    CS_TRY(cs_json_end(&j));
    *out_seen = seen;
    return (seen == IS_DOCUMENT && cs_slice_eq_str(kind, "document")) ||
                   (seen == IS_ENTRY && cs_slice_eq_str(kind, "entry") && a->sig.len == SIGNATURE)
               ? CS_OK
               : CS_E_FORMAT;
}

/* cs_tee_entry_hash with a context that is kept: this is what each line costs. */
static cs_err hash_entry(cs_tee_audit *a, uint8_t out32[32])
{
    bool ok = EVP_DigestInit_ex2(a->ctx, a->sha256, NULL) == 1 &&
              EVP_DigestUpdate(a->ctx, CS_TEE_AUDIT_LINK, sizeof CS_TEE_AUDIT_LINK - 1) == 1 &&
              EVP_DigestUpdate(a->ctx, a->entry.p, a->entry.len) == 1 &&
              EVP_DigestUpdate(a->ctx, a->sig.p, a->sig.len) == 1 && EVP_DigestFinal_ex(a->ctx, out32, NULL) == 1;

    return ok ? CS_OK : CS_E_NO_MEMORY;
}

static bool last_is_signed(const cs_tee_audit *a)
{
    return cs_tee_entry_verify(a->now->vouched.audit_key32, cs_buf_slice(&a->last.entry),
                               cs_slice_of(a->last.sig64, SIGNATURE)) == CS_OK;
}

static bool is_signed(const cs_tee_audit *a, const boot *b)
{
    return cs_tee_entry_verify(b->vouched.audit_key32, cs_buf_slice(&a->entry), cs_buf_slice(&a->sig)) == CS_OK;
}

/* The boot has no more lines: its last signature vouches for all of them. */
static cs_err end_boot(cs_tee_audit *a, cs_tee_audit_fault *fault)
{
    /* a boot whose first line shown is behind a jump has no last one */
    if (a->now != NULL && a->last.entry.len > 0 && !last_is_signed(a)) {
        (void)faulty(fault, a->last.line, "the signature is wrong: the line was edited");
        fault->line_uncertain = !a->all_signatures;
        return CS_E_AUDIT_CHAIN;
    }
    return CS_OK;
}

/* What must come before this entry: counter and hash. */
static cs_err begin_boot(cs_tee_audit *a, boot *b, cs_tee_audit_fault *fault)
{
    CS_TRY(end_boot(a, fault));
    if (b->begun) {
        return faulty(fault, a->sum.lines, "lines of this boot stand before another boot's: a line was moved");
    }
    b->begun = true;
    a->now = b;
    a->last.counter = 0;
    memset(a->last.hash32, 0, sizeof a->last.hash32);
    a->last.entry.len = 0;
    if (a->sum.boots++ == 0 && a->has_from) {
        a->last.counter = a->from.counter;
        memcpy(a->last.hash32, a->from.hash32, sizeof a->last.hash32);
    }
    return CS_OK;
}

static const char *order_fault(const cs_tee_audit *a, uint64_t counter, const uint8_t hash32[32])
{
    if (counter == a->last.counter && memcmp(hash32, a->last.hash32, 32) == 0) {
        return "the line before once more: it is doubled";
    }
    return "the counter is not higher than that of the line before: the line is doubled or swapped";
}

/* Behind a jump: only looks whether what is missing stands here. */
static cs_err after_jump(cs_tee_audit *a, const boot *b, const cs_tee_entry *e)
{
    if (b == a->now && e->counter == a->missing) {
        a->jump.what = "the counter jumps: the line is swapped with a later one";
    }
    return CS_OK;
}

/* The entry follows the line before. */
static cs_err follows(cs_tee_audit *a, const cs_tee_entry *e, const uint8_t hash32[32], cs_tee_audit_fault *fault)
{
    bool ordered = e->counter == a->last.counter + 1;
    bool linked = ordered && memcmp(e->previous32, a->last.hash32, 32) == 0;
    const uint64_t line = a->sum.lines;

    if (linked && memcmp(e->pcr_digest32, a->now->vouched.pcr_digest32, 32) == 0 &&
        (!a->all_signatures || is_signed(a, a->now))) {
        return CS_OK;
    }
    if (!is_signed(a, a->now)) {
        return faulty(fault, line, "the signature is wrong: the line was edited");
    }
    if (a->last.entry.len > 0 && !last_is_signed(a)) {
        return faulty(fault, a->last.line, "the signature is wrong: the line was edited");
    }
    if (linked) {
        return faulty(fault, line, "the image is not that of the boot's document");
    }
    if (e->counter > a->last.counter + 1) {
        (void)faulty(&a->jump, line,
                     a->last.entry.len > 0 || a->last.counter > 0
                         ? "the counter jumps: lines before it were removed"
                         : "the boot's first entries are missing: lines before it were removed");
        a->missing = a->last.counter + 1;
        return CS_OK;
    }
    return faulty(fault, line,
                  ordered ? "signed, but another entry stood before it" : order_fault(a, e->counter, hash32));
}

static void remember(cs_tee_audit *a, const cs_tee_entry *e, const uint8_t hash32[32])
{
    cs_buf swap = a->last.entry;

    a->last.entry = a->entry;
    a->entry = swap;
    memcpy(a->last.sig64, a->sig.p, SIGNATURE);
    memcpy(a->last.hash32, hash32, 32);
    a->last.counter = e->counter;
    a->last.line = a->sum.lines;
    a->sum.entries++;
    for (size_t i = 0; i < a->num_heads; i++) {
        a->found[i] = a->found[i] || (a->head[i].counter == e->counter && memcmp(a->head[i].hash32, hash32, 32) == 0);
    }
}

static cs_err on_entry(cs_tee_audit *a, cs_tee_audit_fault *fault)
{
    cs_tee_entry e;
    uint8_t hash32[32];
    boot *b;

    if (cs_tee_entry_decode(&e, cs_buf_slice(&a->entry)) != CS_OK) {
        return faulty(fault, a->sum.lines, "not an audit entry: the line was edited");
    }
    b = a->now != NULL && memcmp(a->now->vouched.boot16, e.boot16, 16) == 0 ? a->now : find_boot(a, e.boot16);
    if (b == NULL) {
        return faulty(fault, a->sum.lines, "no verified document of this boot stands before it");
    }
    if (a->jump.line != 0) {
        return after_jump(a, b, &e);
    }
    CS_TRY(hash_entry(a, hash32));
    if (b != a->now) {
        CS_TRY(begin_boot(a, b, fault));
    }
    CS_TRY(follows(a, &e, hash32, fault));
    if (a->jump.line == 0) {
        remember(a, &e, hash32); /* e's slices are valid: only the buffers' names were swapped */
    }
    return CS_OK;
}

cs_err cs_tee_audit_line(cs_tee_audit *a, cs_slice line, cs_tee_audit_fault *fault)
{
    unsigned seen = 0;
    cs_err err;

    a->sum.lines++;
    if (read_line(a, &seen, line) != CS_OK) {
        return faulty(fault, a->sum.lines, "not a line of an audit log: it was edited or cut");
    }
    if (seen == IS_ENTRY) {
        return on_entry(a, fault);
    }
    err = cs_tee_audit_document(a, cs_buf_slice(&a->document));
    if (err != CS_OK) {
        *fault = (cs_tee_audit_fault){a->sum.lines, err, "the attestation document does not verify", false};
    }
    return err;
}

cs_err cs_tee_audit_end(cs_tee_audit *a, cs_tee_audit_sum *out, cs_tee_audit_fault *fault)
{
    CS_TRY(end_boot(a, fault));
    if (a->jump.line != 0) {
        *fault = a->jump;
        return a->jump.err;
    }
    for (size_t i = 0; i < a->num_heads; i++) {
        if (!a->found[i]) {
            return faulty(fault, 0, "the entry of --head is not in the log: its tail was cut, or it is another log");
        }
    }
    a->sum.head.counter = a->last.counter;
    memcpy(a->sum.head.hash32, a->last.hash32, 32);
    if (a->now != NULL) {
        memcpy(a->sum.boot16, a->now->vouched.boot16, sizeof a->sum.boot16);
    }
    *out = a->sum;
    return CS_OK;
}

/* ---------------------------------------------------------------- making and freeing */

cs_err cs_tee_audit_new(cs_tee_audit **out, const cs_tee_audit_options *options)
{
    cs_tee_audit *a;

    if (options->num_heads > CS_TEE_AUDIT_HEADS_MAX) {
        return CS_E_RANGE;
    }
    a = calloc(1, sizeof *a);
    if (a == NULL) {
        return CS_E_NO_MEMORY;
    }
    a->att = *options->att;
    a->att.time = CS_ATT_TIME_DOCUMENT;
    a->att.nonce = NULL;
    a->has_from = options->from != NULL;
    a->from = a->has_from ? *options->from : a->from;
    a->num_heads = options->num_heads;
    if (options->num_heads > 0) {
        memcpy(a->head, options->heads, options->num_heads * sizeof a->head[0]);
    }
    a->all_signatures = options->all_signatures;
    a->document = cs_buf_heap(CS_ATT_MAX_DOC);
    a->entry = cs_buf_heap(ENTRY_MAX);
    a->sig = cs_buf_heap(SIGNATURE);
    a->last.entry = cs_buf_heap(ENTRY_MAX);
    a->ctx = EVP_MD_CTX_new();
    a->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (a->ctx == NULL || a->sha256 == NULL) {
        cs_tee_audit_free(a);
        return CS_E_NO_MEMORY;
    }
    *out = a; /* transferred */
    return CS_OK;
}

void cs_tee_audit_free(cs_tee_audit *a)
{
    if (a == NULL) {
        return;
    }
    cs_buf_free(&a->document);
    cs_buf_free(&a->entry);
    cs_buf_free(&a->sig);
    cs_buf_free(&a->last.entry);
    EVP_MD_CTX_free(a->ctx);
    EVP_MD_free(a->sha256);
    free(a->boots);
    free(a);
}
