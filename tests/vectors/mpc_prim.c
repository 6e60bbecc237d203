/* Suite mpc-model, primitives.json: single functions of the MPC core. */
#include <string.h>

#include "mpc_model.h"
#include "secret/mpc/mpc_int.h"

static void check_bytes(cs_suite *s, const char *what, const void *got, size_t len, const json_t *obj, const char *key)
{
    cs_suite_check(s, cs_mm_same(obj, key, cs_slice_of(got, len)), "primitives.json", what);
}

static void draws(cs_suite *s, const json_t *root)
{
    cs_drbg d;
    uint8_t seed[32], out[512];
    size_t i;
    json_t *row;
    cs_mm_fixed(seed, 32, root, "seed");
    cs_drbg_seed(&d, seed);
    json_array_foreach(json_object_get(root, "draw"), i, row)
    {
        size_t len = (size_t)json_integer_value(json_object_get(row, "len"));
        memset(out, 0, sizeof out);
        cs_drbg_draw(&d, out, len <= sizeof out ? len : 0, cs_suite_str(row, "label"), -1);
        check_bytes(s, "draw", out, len, row, "out");
    }
    json_array_foreach(json_object_get(root, "scalar"), i, row)
    {
        cs_sc v;
        cs_drbg_scalar(&d, &v, cs_suite_str(row, "label"), -1);
        cs_sc_to_be(out, &v);
        check_bytes(s, "scalar", out, 32, row, "out");
    }
}

static void hashes(cs_suite *s, const json_t *root)
{
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(root, "th"), i, row)
    {
        cs_buf data = {0};
        uint8_t out[32];
        cs_sc v;
        cs_tag tag = cs_tag_from_text(cs_suite_str(row, "tag"));
        bool ok = tag != CS_NUM_TAGS && cs_suite_hex(row, "data", &data) == CS_OK;
        if (ok) {
            cs_th(out, tag, data.p, data.len);
            cs_sc_from_be_mod(&v, out);
            ok = cs_mm_same(row, "out", cs_slice_of(out, 32));
            cs_sc_to_be(out, &v);
            ok = ok && cs_mm_same(row, "h2s", cs_slice_of(out, 32));
        }
        cs_suite_check(s, ok, "primitives.json", "th");
        cs_buf_free(&data);
    }
    json_array_foreach(json_object_get(root, "h2p"), i, row)
    {
        cs_buf data = {0};
        uint8_t out[33];
        cs_sha256 h;
        cs_pt p;
        cs_tag tag = cs_tag_from_text(cs_suite_str(row, "tag"));
        bool ok = tag != CS_NUM_TAGS && cs_suite_hex(row, "data", &data) == CS_OK;
        if (ok) {
            cs_th_begin(&h, tag);
            cs_th_put(&h, data.p, data.len);
            cs_pt_h2p(&p, &h);
            cs_pt_ser(out, &p);
            ok = cs_mm_same(row, "out", cs_slice_of(out, 33));
        }
        cs_suite_check(s, ok, "primitives.json", "h2p");
        cs_buf_free(&data);
    }
}

static void symmetric(cs_suite *s, const json_t *root, const cs_accel *a)
{
    size_t i;
    json_t *row;
    uint8_t chi[64], line[80], out[96], key[16], iv[16];
    json_array_foreach(json_object_get(root, "gf_mul"), i, row)
    {
        memset(chi, 0, sizeof chi);
        memset(line, 0, sizeof line);
        cs_mm_fixed(chi, 16, row, "a");
        cs_mm_fixed(line, 16, row, "b");
        a->folds(out, chi, line, 1);
        check_bytes(s, "gf_mul", out, 16, row, "out");
    }
    json_array_foreach(json_object_get(root, "aes_ctr"), i, row)
    {
        cs_mm_fixed(key, 16, row, "key");
        cs_mm_fixed(iv, 16, row, "iv");
        a->aes_ctr(out, key, iv, 6);
        check_bytes(s, "aes_ctr", out, 96, row, "out");
    }
    json_array_foreach(json_object_get(root, "leaf_stream"), i, row)
    {
        uint8_t xid[32], hiv[32], leaves[256], streams[16 * 80];
        cs_sha256 h;
        memset(leaves, 0, sizeof leaves);
        cs_mm_fixed(xid, 32, row, "xid");
        cs_mm_fixed(leaves + 16 * (5 * i + 2), 16, row, "leaf");
        cs_th_begin(&h, CS_TAG_EXT);
        cs_th_put(&h, xid, 32);
        cs_th_put_u8(&h, (uint8_t)json_integer_value(json_object_get(row, "tree")));
        cs_th_end(&h, hiv);
        a->leaves(streams, leaves, hiv);
        check_bytes(s, "leaf_stream", streams + 80 * (5 * i + 2), 80, row, "out");
    }
}

static void columns(cs_suite *s, const json_t *root, const cs_accel *a, scratch *w)
{
    const json_t *t = json_object_get(root, "transpose"), *p = json_object_get(root, "pads"),
                 *c = json_object_get(root, "check");
    uint8_t rsid[32], xid[32], u[U_LEN], chi[64], row[80], out[96];
    cs_sha256 h;
    cs_mm_fixed(w->rows, sizeof w->rows, t, "rows");
    a->transpose(w->cols, w->rows);
    check_bytes(s, "transpose", w->cols, COLS_LEN, t, "columns");
    cs_mm_fixed(rsid, 32, p, "rsid");
    cs_mpc_pads(w->pads, w, rsid, w->cols);
    cs_sha256_init(&h);
    bool first = true;
    for (unsigned k = 0; k < XI * SLOTS; k++) {
        cs_sc v;
        cs_sc_from_be_mod(&v, w->pads + 32 * k);
        cs_sc_to_be(out, &v);
        cs_sha256_put(&h, out, 32);
        first = first &&
                (k >= SLOTS || cs_mm_same_text(json_array_get(json_object_get(p, "first"), k), cs_slice_of(out, 32)));
    }
    cs_suite_check(s, first, "primitives.json", "pads first");
    cs_sha256_end(&h, out);
    check_bytes(s, "pads", out, 32, p, "sha256");
    cs_mm_fixed(xid, 32, c, "xid");
    cs_mm_fixed(u, sizeof u, c, "u");
    cs_ext_chi(chi, xid, u);
    check_bytes(s, "chi", chi, 64, c, "chi");
    cs_mm_fixed(row, 80, c, "row");
    a->folds(out, chi, row, 1);
    check_bytes(s, "fold", out, 16, c, "fold");
}

static void pprf(cs_suite *s, const json_t *root)
{
    const json_t *p = json_object_get(root, "pprf");
    uint8_t osid[32], keys[8][16], leaves[TREE_LEN], opened[TREE_LEN], msg[160];
    unsigned tree = (unsigned)json_integer_value(json_object_get(p, "tree"));
    cs_mm_fixed(osid, 32, p, "osid");
    bool ok = true;
    for (unsigned i = 0; i < 8; i++) {
        ok = cs_mm_fixed_text(keys[i], 16, json_array_get(json_array_get(json_object_get(p, "keys"), i / 2), i % 2)) &&
             ok;
    }
    cs_pprf_build(leaves, msg, osid, tree, (const uint8_t(*)[16])keys);
    for (unsigned y = 0; y < 16; y++) {
        ok = cs_mm_same_text(json_array_get(json_object_get(p, "leaves"), y), cs_slice_of(leaves + 16 * y, 16)) && ok;
    }
    cs_suite_check(s, ok, "primitives.json", "pprf leaves");
    check_bytes(s, "pprf message", msg, 160, p, "message");
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(p, "open"), i, row)
    {
        unsigned choice = 0;
        uint8_t mine[4][16], y = 0;
        for (unsigned k = 0; k < 4; k++) {
            unsigned c = (unsigned)json_integer_value(json_array_get(json_object_get(row, "choice"), k)) & 1;
            choice |= c << k;
            memcpy(mine[k], keys[2 * k + c], 16);
        }
        chk got = cs_pprf_open(opened, &y, osid, tree, choice, (const uint8_t(*)[16])mine, msg);
        ok = got == CS_MPC_CHK_NONE && y == json_integer_value(json_object_get(row, "y"));
        for (unsigned k = 0; k < 16; k++) {
            ok = ok && (k == y ? cs_ct_is_zero(opened + 16 * k, 16) == 1
                               : cs_ct_eq(opened + 16 * k, leaves + 16 * k, 16) == 1);
        }
        cs_suite_check(s, ok, "primitives.json", "pprf open");
    }
}

static void gadget(cs_suite *s, const json_t *root)
{
    const json_t *g = json_object_get(root, "gadget");
    cs_sc v[XI], b;
    uint8_t osid[32], beta[BETA_LEN], out[32];
    cs_sha256 h;
    bool first = true;
    cs_mm_fixed(osid, 32, g, "osid");
    cs_mm_fixed(beta, sizeof beta, g, "beta");
    cs_mpc_gadget(v, osid);
    cs_sha256_init(&h);
    for (unsigned j = 0; j < XI; j++) {
        cs_sc_to_be(out, &v[j]);
        cs_sha256_put(&h, out, 32);
        first =
            first && (j >= 3 || cs_mm_same_text(json_array_get(json_object_get(g, "first"), j), cs_slice_of(out, 32)));
    }
    cs_suite_check(s, first, "primitives.json", "gadget first");
    cs_sha256_end(&h, out);
    check_bytes(s, "gadget", out, 32, g, "sha256");
    cs_mpc_bob_input(&b, v, beta);
    cs_sc_to_be(out, &b);
    check_bytes(s, "b", out, 32, g, "b");
}

static void key_values(cs_suite *s, const json_t *k, const cs_mpc_key *mine)
{
    uint16_t ids[2];
    uint32_t path[CS_MPC_MAX_PATH];
    size_t path_len = cs_mm_path(path, json_object_get(k, "path"));
    uint8_t pk[33], cc[32], out[32], label[32], digest[32], ssid[32];
    char name[8];
    cs_sc v;
    bool ok = cs_mpc_derive(pk, &v, cc, mine, path, path_len) == CS_OK;
    cs_sc_to_be(out, &v);
    ok = ok && cs_mm_same(k, "delta", cs_slice_of(out, 32)) && cs_mm_same(k, "derived_pk", cs_slice_of(pk, 33)) &&
         cs_mm_same(k, "derived_cc", cs_slice_of(cc, 32));
    cs_suite_check(s, ok, "primitives.json", "derive");
    for (unsigned i = 0; i < 2; i++) {
        ids[i] = (uint16_t)json_integer_value(json_array_get(json_object_get(k, "signers"), i));
    }
    cs_mm_fixed(label, 32, k, "label");
    cs_mm_fixed(digest, 32, k, "digest");
    cs_mm_fixed(ssid, 32, k, "ssid");
    cs_mpc_request r = {.key = mine,
                        .peer = ids[0] == mine->index ? ids[1] : ids[0],
                        .digest32 = digest,
                        .label32 = label,
                        .path = path,
                        .path_len = path_len};
    ok = cs_mpc_request_id(out, pk, &r) == CS_OK && cs_mm_same(k, "rid", cs_slice_of(out, 32));
    cs_suite_check(s, ok, "primitives.json", "rid");
    (void)snprintf(name, sizeof name, "%u", mine->index);
    cs_mpc_lagrange(&v, mine->index, ids, 2);
    cs_sc_to_be(out, &v);
    check_bytes(s, "lagrange", out, 32, json_object_get(k, "lagrange"), name);
    cs_mpc_zero_share(&v, mine, ssid, ids, 2);
    cs_sc_to_be(out, &v);
    check_bytes(s, "zeta", out, 32, json_object_get(k, "zeta"), name);
}

static void keys(cs_suite *s, const json_t *root)
{
    const json_t *k = json_object_get(root, "key"), *shares = json_object_get(k, "shares");
    const char *name;
    json_t *row;
    json_object_foreach((json_t *)shares, name, row)
    {
        cs_mpc_parties parties;
        cs_mpc_key key = {0};
        bool ok = cs_mm_key(&key, &parties, row) && cs_mm_same(row, "kid", cs_slice_of(key.kid32, 32));
        cs_suite_check(s, ok, "primitives.json", "kid");
        if (ok && json_object_get(json_object_get(k, "zeta"), name) != NULL) {
            key_values(s, k, &key);
        }
        cs_mpc_key_wipe(&key);
    }
}

void cs_mm_primitives(cs_suite *s, const json_t *root)
{
    scratch *w = cs_secret_alloc(sizeof *w);
    if (w == NULL || cs_pt_init() != CS_OK) {
        cs_suite_fail(s, "primitives.json", "no memory");
        return;
    }
    bool forced = cs_accel_get() == cs_accel_portable(); /* --portable */
    for (int portable = 0; portable < 2; portable++) {   /* each once as on this CPU, once without its extensions */
        cs_accel_force_portable_for_tests(portable == 1 || forced);
        draws(s, root);
        hashes(s, root);
        symmetric(s, root, cs_accel_get());
        columns(s, root, cs_accel_get(), w);
        pprf(s, root);
        gadget(s, root);
        keys(s, root);
    }
    cs_accel_force_portable_for_tests(forced);
    cs_secret_free(w);
}
