/* The writer of share files: the form that sharefile.c reads, one account a line. */
#include "codec/sharefile.h"

enum { W_START, W_PARTIES, W_ACCOUNTS, W_END };

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

cs_err cs_sharefile_put_account(cs_sharefile_writer *w, const cs_sharefile_account *a, uint16_t n, uint16_t index)
{
    cs_buf *out = w->out;
    if (w->state < W_PARTIES || w->state == W_END || !cs_account_id_valid(cs_slice_of(a->id, a->id_len)) ||
        a->parties >= w->num_sets || n > CS_SHAREFILE_MAX_PARTIES || index < 1 || index > n) {
        return CS_E_RANGE;
    }
    CS_TRY(cs_put_str(out, w->state == W_PARTIES ? "],\n\"" : ",\n\""));
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
    w->state = W_ACCOUNTS;
    return CS_OK;
}

cs_err cs_sharefile_put_end(cs_sharefile_writer *w)
{
    if (w->state != W_PARTIES && w->state != W_ACCOUNTS) {
        return CS_E_RANGE;
    }
    CS_TRY(cs_put_str(w->out, w->state == W_PARTIES ? "]}\n" : "}\n"));
    w->state = W_END;
    return CS_OK;
}
