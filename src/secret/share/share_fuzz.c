/*
 * Target: cs_share_load, cs_share_verify, cs_share_loader_check, cs_share_loader_build, cs_unban_verify
 * The input is the JSON behind a right header of an unsigned file (the hash is made here), then a whole file, then an unban
 * order. A set that loads has no more accounts than bytes; nothing unsigned passes a policy that wants signatures; given twice
 * in pieces, whose size is the last byte, the file has the same outcome.
 */
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/text.h"
#include "secret/share/share.h"

#define MAX_BODY 8192

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
    if (!ok) {
        abort();
    }
}

typedef cs_err feed_fn(cs_share_loader *l, cs_slice piece);

static cs_err feed(cs_share_loader *l, feed_fn *fn, cs_slice file, size_t size)
{
    cs_err err = CS_OK;
    while (err == CS_OK && file.len > 0) {
        size_t n = file.len < size ? file.len : size;
        err = fn(l, cs_slice_of(file.p, n));
        file = cs_slice_of(file.p + n, file.len - n);
    }
    return err;
}

static void in_pieces(cs_slice file, const cs_share_policy *policy, cs_err want, size_t want_count)
{
    const size_t size = (size_t)file.p[file.len - 1] + 1;
    cs_share_loader *l = NULL;
    cs_share_set *set = NULL;
    cs_err err = cs_share_loader_new(&l, policy);
    err = err == CS_OK ? feed(l, cs_share_loader_check, file, size) : err;
    err = err == CS_OK ? cs_share_loader_checked(l) : err;
    err = err == CS_OK ? feed(l, cs_share_loader_build, file, size) : err;
    err = err == CS_OK ? cs_share_loader_take(&set, l) : err;
    require(err == want && (set != NULL) == (want == CS_OK));
    require(set == NULL || cs_share_count(set) == want_count);
    cs_share_free(set);
    cs_share_loader_free(l);
}

/* two operations */
static uint32_t grant_of(cs_slice name)
{
    return cs_slice_eq_str(name, "Sign") ? 2 : cs_slice_eq_str(name, "Approve") ? 1 : 0;
}

/* what a set says of its callers is what it was given */
static void check_callers(const cs_share_set *s)
{
    for (size_t i = 0; i < cs_share_num_callers(s); i++) {
        const cs_caller *c = cs_share_caller_at(s, i);
        require(c != NULL && c->index == i && cs_share_caller(s, c->id) == c && c->grants < 4);
        require(!cs_caller_record(c, CS_SLICE_NULL) || c->records.len > 0);
    }
    require(cs_share_caller_at(s, cs_share_num_callers(s)) == NULL);
    require(cs_share_roots(s).num <= CS_SEAL_ROOTS_MAX);
}

static void load(cs_slice body)
{
    static const cs_share_policy unsigned_ok = {.allow_unsigned = true, .grant_of = grant_of}, strict = {0};
    uint8_t mem[MAX_BODY + 512], hash[32];
    cs_buf file = cs_buf_wrap(mem, sizeof mem);
    cs_share_set *set = NULL;
    cs_sharefile_header h;
    (void)crypto_hash_sha256(hash, body.p, body.len);
    require(cs_put_str(&file, "countersign-shares/1 generation=1 publisher=none sha256=") == CS_OK &&
            cs_put_hex(&file, cs_slice_of(hash, sizeof hash)) == CS_OK && cs_put_u8(&file, '\n') == CS_OK &&
            cs_put_slice(&file, body) == CS_OK);
    require(cs_share_verify(&h, cs_buf_slice(&file), &unsigned_ok) == CS_OK && h.generation == 1);
    require(cs_share_verify(&h, cs_buf_slice(&file), &strict) == CS_E_SHARES_UNSIGNED);
    cs_err err = cs_share_load(&set, cs_buf_slice(&file), &unsigned_ok, NULL);
    require((set != NULL) == (err == CS_OK) && (set == NULL || cs_share_count(set) <= body.len));
    if (set != NULL) {
        check_callers(set);
    }
    in_pieces(cs_buf_slice(&file), &unsigned_ok, err, set == NULL ? 0 : cs_share_count(set));
    in_pieces(cs_buf_slice(&file), &strict, CS_E_SHARES_UNSIGNED, 0);
    cs_share_free(set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t publisher[1][32] = {{1}};
    static const cs_unban_check check = {publisher, 1, 1};
    static const cs_share_policy strict = {publisher, 1, false, 0, grant_of};
    static bool ready;
    cs_sharefile_header h;
    cs_unban u;
    if (size > MAX_BODY) {
        return 0;
    }
    if (!ready) {
        require(sodium_init() >= 0 && cs_arena_init((size_t)8 << 20, false) == CS_OK);
        ready = true;
    }
    cs_slice in = cs_slice_of(size > 0 ? data : (const uint8_t *)"", size);
    load(in);
    require(cs_share_verify(&h, in, &strict) != CS_OK);
    require(cs_unban_verify(&u, in, &check) == CS_E_UNBAN);
    require(cs_arena_used() == 0);
    return 0;
}
