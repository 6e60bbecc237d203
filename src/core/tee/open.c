/* First stage of a call, on a worker: from bytes to a request whose caller is known. Reads the share set that the job holds. */
#include <string.h>

#include "core/tee/tee_int.h"
#include "secret/hpke.h"
#include "secret/sign/ed25519.h"
#include "secret/sign/scheme.h"
#include "secret/th.h"

static const char request_label[] = "countersign-tee-request-1\n", approval_label[] = "countersign-tee-approval-1\n",
                  hpke_info[] = "countersign-tee-request-1";

static cs_err unseal(cs_tee_job *j, cs_slice *out)
{
    const cs_hpke_args args = {.aead = CS_HPKE_CHACHA20_POLY1305, .info = cs_slice_str(hpke_info)};

    if (!j->sealed) {
        *out = j->call_bytes;
        return CS_OK;
    }
    if (j->call_bytes.len <= CS_HPKE_ENC + CS_HPKE_TAG) {
        return CS_E_FORMAT;
    }
    CS_TRY(cs_secret_buf(&j->opened, j->call_bytes.len - CS_HPKE_ENC - CS_HPKE_TAG));
    CS_TRY(cs_hpke_open_once(&j->opened, j->tee->request_key->b, &args, CS_SLICE_NULL, j->call_bytes));
    *out = cs_buf_slice(&j->opened);
    return CS_OK;
}

/* Whatever is wrong with the bytes is FORMAT, or one of the ranges that the body's table has. */
static cs_err decode(cs_tee_job *j)
{
    cs_slice bytes;
    cs_err err = unseal(j, &bytes);
    cs_sha256 h;

    if (err == CS_E_AUTH) {
        return CS_E_FORMAT; /* not sealed to this boot's key */
    }
    CS_TRY(err);
    CS_TRY(cs_tee_call_decode(&j->call, bytes));
    CS_TRY(cs_tee_request_decode(&j->r, j->call.body));
    cs_sha256_init(&h);
    cs_sha256_put(&h, j->call.body.p, j->call.body.len);
    cs_sha256_end(&h, j->hash32);
    return CS_OK;
}

/* The body behind a label, as it is signed. The body may hold a secret. */
static cs_err labelled(cs_buf *out, const char *label, cs_slice body)
{
    CS_TRY(cs_secret_buf(out, strlen(label) + body.len));
    CS_TRY(cs_put_str(out, label));
    return cs_put_slice(out, body);
}

static cs_err check_caller(cs_tee_job *j)
{
    cs_buf text = {0};
    cs_err err;

    if (j->r.caller.len == 0) {
        /* a signature of nobody is not looked at, so it must not be there */
        return (j->r.row->flags & CS_TEE_CALLER) != 0 ? CS_E_CALLER_UNKNOWN
               : j->call.signature.len > 0            ? CS_E_CALLER_AUTH
                                                      : CS_OK;
    }
    j->caller = cs_share_caller(j->set, j->r.caller);
    if (j->caller == NULL) {
        return CS_E_CALLER_UNKNOWN;
    }
    if (j->call.signature.len != CS_SCHEME_SIG) {
        return CS_E_CALLER_AUTH;
    }
    err = labelled(&text, request_label, j->call.body);
    if (err == CS_OK && cs_ed25519_verify(j->caller->ed25519, j->call.signature.p, cs_buf_slice(&text)) != CS_OK) {
        err = CS_E_CALLER_AUTH;
    }
    cs_secret_buf_free(&text);
    return err;
}

static bool counted_before(const cs_tee_job *j, size_t i)
{
    for (size_t k = 0; k < i; k++) {
        if (cs_slice_eq(j->call.approval[k].approver, j->call.approval[i].approver)) {
            return true;
        }
    }
    return false;
}

static bool good_approval(const cs_tee_job *j, size_t i, cs_slice text)
{
    const cs_tee_approval *a = &j->call.approval[i];
    const cs_caller *by = cs_share_caller(j->set, a->approver);

    return by != NULL && by != j->caller && cs_caller_may(by, CS_TEE_APPROVE) && !counted_before(j, i) &&
           cs_ed25519_verify(by->ed25519, a->sig64, text) == CS_OK;
}

/* Only where some are wanted, and no more than there are. */
static cs_err count_approvals(cs_tee_job *j)
{
    const uint64_t wanted = j->tee->core->config->tee_approvals[j->r.row->op];
    cs_buf text = {0};
    cs_err err = CS_OK;

    if (wanted == 0 || j->call.num_approvals == 0) {
        return CS_OK;
    }
    err = labelled(&text, approval_label, j->call.body);
    for (size_t i = 0; err == CS_OK && i < j->call.num_approvals && j->approvals < wanted; i++) {
        j->approvals += good_approval(j, i, cs_buf_slice(&text));
    }
    cs_secret_buf_free(&text);
    return err;
}

void cs_tee_open(cs_tee_job *j)
{
    j->err = decode(j);
    if (j->err == CS_OK) {
        j->err = check_caller(j);
        j->known = j->err == CS_OK;
    }
    if (j->err == CS_OK) {
        j->err = count_approvals(j);
    }
    if (j->err == CS_OK) {
        j->attached_err = cs_tee_attached_decode(&j->attached, j->attached_bytes);
    }
}
