/*
 * A share file in pieces, read twice: the first pass checks the signature over the whole, the second parses. The plaintext never
 * exists as a whole: at any time there is one piece of it, and the window of the parser. The second pass is hashed again, so
 * that what was parsed is what was signed whatever the caller does.
 */
#include <string.h>

#include "secret/share/share_int.h"
#include "secret/th.h"

enum { S_CHECK, S_BUILD, S_OVER };

struct cs_share_loader {
    int state;
    cs_err err; /* sticky */
    cs_share_policy policy;
    cs_sharefile_header header; /* its slices are into line */
    size_t line_len;            /* of the header line with LF, once has_line */
    bool has_line;
    uint64_t total, seen; /* bytes of the file: in the first pass; in this one */
    cs_sha256 hash;       /* of the body */
    cs_share_set *set;
    cs_sharefile_stream stream;
    uint8_t line[CS_SHAREFILE_HEADER_MAX];
};

cs_err cs_share_loader_new(cs_share_loader **out, const cs_share_policy *policy)
{
    cs_share_loader *l = cs_secret_alloc(sizeof *l);
    if (l == NULL) {
        return CS_E_SHARES_LIMIT;
    }
    l->policy = *policy;
    cs_sha256_init(&l->hash);
    *out = l;
    return CS_OK;
}

void cs_share_loader_free(cs_share_loader *l)
{
    if (l != NULL) {
        cs_share_free(l->set);
        cs_secret_free(l);
    }
}

cs_sharefile_fault cs_share_loader_fault(const cs_share_loader *l)
{
    return l->stream.fault;
}

/* Any error is the end: what was built is wiped now, not when the caller gets to it. */
static cs_err fail(cs_share_loader *l, cs_err err)
{
    if (err != CS_OK) {
        cs_share_free(l->set);
        l->set = NULL;
        l->err = err;
        l->state = S_OVER;
    }
    return err;
}

/* Header bytes up to the LF; the signature is checked as soon as they are there. */
static cs_err take_line(cs_share_loader *l, cs_slice *piece)
{
    const size_t room = sizeof l->line - l->line_len, n = piece->len < room ? piece->len : room;
    const uint8_t *lf = n == 0 ? NULL : memchr(piece->p, '\n', n);
    const size_t take = lf == NULL ? n : (size_t)(lf - piece->p) + 1;
    if (take > 0) {
        memcpy(l->line + l->line_len, piece->p, take);
    }
    l->line_len += take;
    *piece = cs_slice_of(piece->p + take, piece->len - take);
    if (lf == NULL) {
        return l->line_len == sizeof l->line ? CS_E_SHARES_FORMAT : CS_OK;
    }
    CS_TRY(cs_sharefile_header_parse(&l->header, cs_slice_of(l->line, l->line_len)));
    l->has_line = true;
    return cs_share_check_header(&l->header, &l->policy);
}

cs_err cs_share_loader_check(cs_share_loader *l, cs_slice piece)
{
    if (l->state != S_CHECK) {
        return l->err != CS_OK ? l->err : CS_E_STATE;
    }
    l->total += piece.len;
    if (!l->has_line && piece.len > 0) {
        CS_TRY(fail(l, take_line(l, &piece)));
    }
    if (piece.len > 0) {
        cs_sha256_put(&l->hash, piece.p, piece.len);
    }
    return CS_OK;
}

cs_err cs_share_loader_checked(cs_share_loader *l)
{
    uint8_t hash[32];
    if (l->state != S_CHECK) {
        return l->err != CS_OK ? l->err : CS_E_STATE;
    }
    if (!l->has_line) {
        return fail(l, CS_E_SHARES_FORMAT);
    }
    cs_sha256_end(&l->hash, hash);
    if (!cs_ct_eq(hash, l->header.sha256, 32)) {
        return fail(l, CS_E_SHARES_SIGNATURE);
    }
    if (l->header.generation < l->policy.min_generation) {
        return fail(l, CS_E_SHARES_GENERATION);
    }
    CS_TRY(fail(l, cs_share_begin(&l->set, &l->header, (size_t)(l->total - l->line_len), &l->policy)));
    cs_sharefile_stream_begin(&l->stream, &cs_share_events, l->set);
    cs_sha256_init(&l->hash);
    l->state = S_BUILD;
    return CS_OK;
}

cs_err cs_share_loader_build(cs_share_loader *l, cs_slice piece)
{
    if (l->state != S_BUILD) {
        return l->err != CS_OK ? l->err : CS_E_STATE;
    }
    const uint64_t head = l->seen < l->line_len ? l->line_len - l->seen : 0;
    const size_t skip = head < piece.len ? (size_t)head : piece.len;
    l->seen += piece.len;
    if (skip < piece.len) {
        piece = cs_slice_of(piece.p + skip, piece.len - skip);
        cs_sha256_put(&l->hash, piece.p, piece.len);
        return fail(l, cs_sharefile_stream_push(&l->stream, piece));
    }
    return CS_OK;
}

cs_err cs_share_loader_take(cs_share_set **out, cs_share_loader *l)
{
    uint8_t hash[32];
    if (l->state != S_BUILD) {
        return l->err != CS_OK ? l->err : CS_E_STATE;
    }
    cs_sha256_end(&l->hash, hash);
    if (l->seen != l->total || !cs_ct_eq(hash, l->header.sha256, 32)) {
        return fail(l, CS_E_SHARES_SIGNATURE); /* the caller gave another file the second time */
    }
    CS_TRY(fail(l, cs_sharefile_stream_end(&l->stream)));
    CS_TRY(fail(l, cs_share_check_whole(l->set, &l->stream.fault)));
    *out = l->set; /* transferred */
    l->set = NULL;
    l->state = S_OVER;
    return CS_OK;
}
