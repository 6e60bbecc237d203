#include "party/tee_body.h"

#include <string.h>

#include "secret/hpke.h"
#include "secret/sign/ed25519.h"

#define REQUEST_DOMAIN "countersign-tee-request-1\n"
#define APPROVAL_DOMAIN "countersign-tee-approval-1\n"
#define REQUEST_INFO "countersign-tee-request-1"
#define REPLY_INFO "countersign-tee-reply-1"
#define HEADS 512u /* of items and fixed fields */

static size_t body_bound(const cs_tee_request *r)
{
    size_t len = HEADS + r->caller.len + r->records.len;

    for (size_t i = 0; i < CS_TEE_MAX_FIELDS; i++) {
        len += r->f[i].s.len;
    }
    return len;
}

cs_err cs_tee_body_make(cs_tee_body *out, const cs_tee_request *r, const cs_tee_identity *identity)
{
    const size_t domain = strlen(REQUEST_DOMAIN);
    cs_tee_body b = {0};
    cs_err err = body_bound(r) > CS_TEE_BODY_MAX + HEADS ? CS_E_TOO_LARGE
                                                         : cs_secret_buf(&b.signed_text, domain + body_bound(r));

    if (err == CS_OK && (err = cs_put_str(&b.signed_text, REQUEST_DOMAIN)) == CS_OK) {
        err = cs_tee_request_encode(&b.signed_text, r);
    }
    if (err != CS_OK) {
        cs_tee_body_free(&b);
        return err;
    }
    b.body = cs_slice_of(b.signed_text.p + domain, b.signed_text.len - domain);
    if (identity != NULL) {
        cs_ed25519_sign(b.sig64, &identity->ed25519_seed, cs_buf_slice(&b.signed_text));
        b.is_signed = true;
    }
    *out = b; /* transferred */
    return CS_OK;
}

void cs_tee_body_free(cs_tee_body *b)
{
    cs_secret_buf_free(&b->signed_text);
    *b = (cs_tee_body){0};
}

cs_err cs_tee_body_approve(uint8_t out64[64], cs_slice body, const cs_tee_identity *approver)
{
    cs_tee_request r;
    cs_buf text = {0};
    cs_err err;

    CS_TRY(cs_tee_request_decode(&r, body));
    if (cs_slice_eq_str(r.caller, approver->id)) {
        return CS_E_RANGE;
    }
    CS_TRY(cs_secret_buf(&text, strlen(APPROVAL_DOMAIN) + body.len));
    err = cs_put_str(&text, APPROVAL_DOMAIN);
    if (err == CS_OK && (err = cs_put_slice(&text, body)) == CS_OK) {
        cs_ed25519_sign(out64, &approver->ed25519_seed, cs_buf_slice(&text));
    }
    cs_secret_buf_free(&text);
    return err;
}

static cs_err seal(cs_buf *out, cs_slice plain, const uint8_t request_key32[32])
{
    const cs_hpke_args args = {.aead = CS_HPKE_CHACHA20_POLY1305, .info = cs_slice_str(REQUEST_INFO)};

    return cs_hpke_seal_once(out, request_key32, &args, CS_SLICE_NULL, plain);
}

cs_err cs_tee_body_call(cs_buf *out, const cs_tee_body *b, const cs_tee_approval *approvals, size_t num_approvals,
                        const uint8_t *request_key32)
{
    cs_tee_call call = {.body = b->body, .signature = cs_slice_of(b->sig64, b->is_signed ? sizeof b->sig64 : 0)};
    cs_buf plain = {0};
    cs_err err;

    if (num_approvals > CS_TEE_APPROVALS_MAX) {
        return CS_E_RANGE;
    }
    call.num_approvals = num_approvals;
    for (size_t i = 0; i < num_approvals; i++) {
        call.approval[i] = approvals[i];
    }
    if (request_key32 == NULL) {
        return cs_tee_call_encode(out, &call);
    }
    CS_TRY(cs_secret_buf(&plain, b->body.len + HEADS + num_approvals * (CS_TEE_CALLER_MAX + HEADS)));
    err = cs_tee_call_encode(&plain, &call);
    if (err == CS_OK) {
        err = seal(out, cs_buf_slice(&plain), request_key32);
    }
    cs_secret_buf_free(&plain);
    return err;
}

cs_err cs_tee_result_open(cs_buf *out, cs_slice sealed, const uint8_t id16[16], const cs_tee_identity *identity)
{
    const cs_hpke_args args = {.aead = CS_HPKE_CHACHA20_POLY1305, .info = cs_slice_str(REPLY_INFO)};

    return cs_hpke_open_once(out, identity->x25519_secret.b, &args, cs_slice_of(id16, CS_TEE_ID_LEN), sealed);
}
