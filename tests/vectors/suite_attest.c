/*
 * Genuine attestation documents (vectors/nitro-attestation, index.json). An accepted document counts five cases: verdict and
 * contents at its own time, debug mode, one second after its leaf's notAfter, one second before notBefore, single flipped bits.
 * A document to reject counts one.
 */
#include <string.h>

#include "attest/verify.h"
#include "base/text.h"
#include "suite.h"

void cs_suite_nitro_attestation(cs_suite *s, const char *dir);

#define PAYLOAD_SAMPLES 80
#define SIGNATURE_STEP 9

typedef struct document {
    cs_suite *s;
    const json_t *row;
    const char *file;
    cs_buf bytes;
    uint64_t time_s;
    cs_att_result result;
} document;

static cs_err verify_at(document *d, uint64_t time_s, const cs_att_policy *policy, bool allow_debug)
{
    cs_att_options o = {.time = CS_ATT_TIME_FIXED,
                        .fixed_s = time_s,
                        .policy = policy,
                        .any_pcrs = policy == NULL,
                        .allow_debug = allow_debug};

    return cs_att_verify(&d->result, cs_buf_slice(&d->bytes), &o);
}

static uint64_t number(const json_t *row, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(row, key));
}

/* The tuple of the PCRs listed, which are those that are not zero. */
static bool listed_pcrs(cs_att_policy *policy, const json_t *pcrs)
{
    cs_att_tuple t = {0};
    const char *index;
    json_t *value;

    json_object_foreach((json_t *)pcrs, index, value)
    {
        cs_pcr pcr;
        uint64_t n = 0;

        if (cs_parse_u64(cs_slice_str(index), CS_ATT_NUM_PCRS - 1, &n) != CS_OK || !json_is_string(value) ||
            cs_hex_decode(pcr.b, sizeof pcr.b, cs_slice_str(json_string_value(value))) != CS_OK ||
            cs_att_tuple_set(&t, n, cs_slice_of(pcr.b, sizeof pcr.b)) != CS_OK) {
            return false;
        }
    }
    memset(policy, 0, sizeof *policy);
    return t.mask != 0 && cs_att_policy_add(policy, &t) == CS_OK;
}

static bool length_ok(const cs_att_bytes *field, const json_t *len)
{
    /* null stands for absent, and may for empty */
    return json_is_integer(len) ? field->present && field->len == (uint64_t)json_integer_value(len) : field->len == 0;
}

static bool contents_ok(const document *d, const cs_att_policy *policy)
{
    const cs_att_claims *c = &d->result.claims;
    bool ok = strcmp(c->module_id, cs_suite_str(d->row, "module_id")) == 0 &&
              c->timestamp_ms == number(d->row, "timestamp_ms") &&
              (uint64_t)__builtin_popcount(c->pcr_mask) == number(d->row, "pcr_count") &&
              length_ok(&c->public_key, json_object_get(d->row, "public_key_len")) &&
              length_ok(&c->user_data, json_object_get(d->row, "user_data_len")) &&
              length_ok(&c->nonce, json_object_get(d->row, "nonce_len"));

    for (unsigned i = 0; i < CS_ATT_NUM_PCRS; i++) {
        ok = ok && (cs_pcr_is_zero(&c->pcr[i]) || (policy->tuple[0].mask >> i & 1) != 0);
    }
    return ok;
}

static bool validity_ok(const document *d)
{
    const json_t *validity = json_object_get(d->row, "leaf_validity");
    uint64_t from = 0, to = 0;

    return cs_parse_rfc3339(cs_slice_str(json_string_value(json_array_get(validity, 0))), &from) == CS_OK &&
           cs_parse_rfc3339(cs_slice_str(json_string_value(json_array_get(validity, 1))), &to) == CS_OK &&
           from == d->result.leaf_not_before_s * 1000 && to == d->result.leaf_not_after_s * 1000;
}

static bool flip_refused(document *d, size_t bit)
{
    bool refused;

    d->bytes.p[bit / 8] ^= (uint8_t)(1U << bit % 8);
    refused = verify_at(d, d->time_s, NULL, true) != CS_OK;
    d->bytes.p[bit / 8] ^= (uint8_t)(1U << bit % 8);
    return refused;
}

/* All bits of the protected header, and samples of payload and signature. */
static bool flips_refused(document *d)
{
    static cs_att_doc doc;
    const uint8_t *base = d->bytes.p;
    bool ok = cs_att_doc_parse(&doc, cs_buf_slice(&d->bytes)) == CS_OK;
    cs_slice p = doc.cose.head.protected_bytes, payload = doc.cose.payload, sig = doc.cose.signature;

    for (size_t i = 0; ok && i < p.len * 8; i++) {
        ok = flip_refused(d, (size_t)(p.p - base) * 8 + i);
    }
    for (size_t i = 0; ok && i < PAYLOAD_SAMPLES; i++) {
        ok = flip_refused(d, (size_t)(payload.p - base) * 8 + (payload.len * 8 - 1) * i / (PAYLOAD_SAMPLES - 1));
    }
    for (size_t i = 0; ok && i < sig.len * 8; i += SIGNATURE_STEP) {
        ok = flip_refused(d, (size_t)(sig.p - base) * 8 + i);
    }
    return ok;
}

static void check_accept(document *d)
{
    bool debug = json_is_true(json_object_get(d->row, "debug_mode"));
    static cs_att_policy policy;
    uint64_t from, to;
    cs_err err;

    if (!listed_pcrs(&policy, json_object_get(d->row, "pcrs"))) {
        cs_suite_fail(d->s, d->file, "index.json lists no PCRs");
        return;
    }
    err = verify_at(d, d->time_s, &policy, true);
    if (err != CS_OK || !contents_ok(d, &policy) || !validity_ok(d)) {
        cs_suite_failf(d->s, d->file, "%s", err != CS_OK ? cs_err_code(err) : "other contents than index.json has");
        return;
    }
    cs_suite_pass(d->s);
    from = d->result.leaf_not_before_s;
    to = d->result.leaf_not_after_s;
    cs_suite_check(d->s, verify_at(d, d->time_s, &policy, false) == (debug ? CS_E_ATT_DEBUG : CS_OK), d->file,
                   "debug mode");
    cs_suite_check(d->s, verify_at(d, to, NULL, true) == CS_OK && verify_at(d, to + 1, NULL, true) != CS_OK, d->file,
                   "notAfter");
    cs_suite_check(d->s, verify_at(d, from, NULL, true) == CS_OK && verify_at(d, from - 1, NULL, true) != CS_OK,
                   d->file, "notBefore");
    cs_suite_check(d->s, flips_refused(d), d->file, "a flipped bit was not refused");
}

static void check_document(cs_suite *s, const char *dir, const json_t *row)
{
    static document d;
    char docs[CS_SUITE_PATH], path[CS_SUITE_PATH];

    cs_suite_path(docs, dir, "docs");
    cs_suite_path(path, docs, cs_suite_str(row, "file"));
    d = (document){.s = s, .row = row, .file = path, .time_s = number(row, "timestamp_ms") / 1000};
    if (cs_suite_read(path, &d.bytes) != CS_OK) {
        cs_suite_fail(s, path, "cannot be read");
    } else if (strcmp(cs_suite_str(row, "expected"), "accept") == 0) {
        check_accept(&d);
    } else {
        cs_suite_check(s, verify_at(&d, d.time_s, NULL, true) != CS_OK, path, "accepted");
    }
    cs_buf_free(&d.bytes);
}

void cs_suite_nitro_attestation(cs_suite *s, const char *dir)
{
    char path[CS_SUITE_PATH];
    json_t *index;

    cs_suite_path(path, dir, "index.json");
    index = cs_suite_json(s, path);
    for (size_t i = 0; i < json_array_size(index); i++) {
        check_document(s, dir, json_array_get(index, i));
    }
    json_decref(index);
}
