/* The writer of share files: the form that sharefile.c reads, one account a line. */
#include "codec/sharefile.h"

enum { W_START, W_PARTIES, W_SEALING, W_CALLERS, W_ACCOUNTS, W_END };

cs_sharefile_writer cs_sharefile_write(cs_buf *out)
{
    return (cs_sharefile_writer){.out = out, .state = W_START};
}

static cs_err put_hex_member(cs_buf *out, const char *name, const uint8_t *bytes, size_t len)
{
    CS_TRY(cs_put_str(out, name));
    CS_TRY(cs_put_str(out, ":\""));
    CS_TRY(cs_put_hex_ct(out, bytes, len));
    return cs_put_u8(out, '"');
}

static cs_err put_numbered(cs_buf *out, bool first, unsigned number, const uint8_t bytes[32])
{
    char name[16];
    cs_buf text = cs_buf_wrap(name, sizeof name);
    CS_TRY(cs_put_fmt(&text, "%s\"%u\"", first ? "" : ",", number));
    CS_TRY(cs_put_u8(&text, 0));
    return put_hex_member(out, name, bytes, 32);
}

cs_err cs_sharefile_put_parties(cs_sharefile_writer *w, const cs_sharefile_parties *p)
{
    cs_buf *out = w->out;
    if (w->state > W_PARTIES || p->n > CS_SHAREFILE_MAX_PARTIES || w->num_sets == CS_SHAREFILE_MAX_SETS) {
        return CS_E_RANGE;
    }
    CS_TRY(cs_put_str(out, w->state == W_START ? "{\"countersign/parties\":[" : ",\n"));
    CS_TRY(cs_put_fmt(out, "{\"index\":%u,\"n\":%u,\"t\":%u,", p->index, p->n, p->t));
    CS_TRY(put_hex_member(out, "\"static_key\"", p->static_key32, 32));
    CS_TRY(cs_put_str(out, ",\"static_keys\":{"));
    for (unsigned i = 0; i < p->n; i++) {
        CS_TRY(put_numbered(out, i == 0, i + 1, p->static_keys[i]));
    }
    CS_TRY(cs_put_str(out, "}}"));
    w->state = W_PARTIES;
    w->num_sets++;
    return CS_OK;
}

/* From the part that is written to a later one; a file without parties has an empty list of them. */
static cs_err go(cs_sharefile_writer *w, unsigned part)
{
    if (w->state == W_START) {
        CS_TRY(cs_put_str(w->out, "{\"" CS_SHAREFILE_PARTIES "\":["));
        w->state = W_PARTIES;
    }
    CS_TRY(cs_put_str(w->out, w->state == W_PARTIES || w->state == W_CALLERS ? "]" : ""));
    w->state = part;
    return CS_OK;
}

cs_err cs_sharefile_put_sealing(cs_sharefile_writer *w, const uint8_t (*roots)[32], size_t num_roots)
{
    if (w->state > W_PARTIES || num_roots == 0 || num_roots > CS_SHAREFILE_MAX_ROOTS) {
        return CS_E_RANGE;
    }
    CS_TRY(go(w, W_SEALING));
    for (size_t i = 0; i < num_roots; i++) {
        CS_TRY(cs_put_str(w->out, i == 0 ? ",\n\"" CS_SHAREFILE_SEALING "\":[\"" : ",\""));
        CS_TRY(cs_put_hex_ct(w->out, roots[i], 32));
        CS_TRY(cs_put_u8(w->out, '"'));
        w->num_roots++;
    }
    return cs_put_u8(w->out, ']');
}

cs_err cs_sharefile_put_caller(cs_sharefile_writer *w, const cs_sharefile_caller *c)
{
    if (w->state > W_CALLERS || w->num_callers == CS_SHAREFILE_MAX_CALLERS) {
        return CS_E_RANGE;
    }
    if (w->state < W_CALLERS) {
        CS_TRY(go(w, W_CALLERS));
        CS_TRY(cs_put_str(w->out, ",\n\"" CS_SHAREFILE_CALLERS "\":["));
    } else {
        CS_TRY(cs_put_str(w->out, ",\n"));
    }
    w->num_callers++;
    return cs_sharefile_caller_put(w->out, c);
}

cs_err cs_sharefile_put_account(cs_sharefile_writer *w, const cs_sharefile_account *a, uint16_t n, uint16_t index)
{
    cs_buf *out = w->out;
    if (w->state < W_PARTIES || w->state == W_END || !cs_account_id_valid(cs_slice_of(a->id, a->id_len)) ||
        a->parties >= w->num_sets || n > CS_SHAREFILE_MAX_PARTIES || index < 1 || index > n) {
        return CS_E_RANGE;
    }
    if (w->state != W_ACCOUNTS) {
        CS_TRY(go(w, W_ACCOUNTS));
    }
    CS_TRY(cs_put_str(out, ",\n\""));
    CS_TRY(cs_put(out, a->id, a->id_len));
    CS_TRY(cs_put_fmt(out, "\":{\"parties\":%u,\"epoch\":%u,", a->parties, a->epoch));
    CS_TRY(put_hex_member(out, "\"public_key\"", a->public_key33, 33));
    CS_TRY(put_hex_member(out, ",\"chain_code\"", a->chain_code32, 32));
    CS_TRY(put_hex_member(out, ",\"share\"", a->share32, 32));
    CS_TRY(cs_put_str(out, ",\"zero_seeds\":{"));
    for (unsigned party = 1, k = 0; party <= n; party++) {
        if (party != index) {
            CS_TRY(put_numbered(out, k == 0, party, a->zero_seeds[k]));
            k++;
        }
    }
    CS_TRY(cs_put_str(out, "}}"));
    return CS_OK;
}

cs_err cs_sharefile_put_end(cs_sharefile_writer *w)
{
    if (w->state == W_START || w->state == W_END || (w->num_sets == 0 && w->num_roots == 0)) {
        return CS_E_RANGE;
    }
    CS_TRY(go(w, W_END));
    return cs_put_str(w->out, "}\n");
}
