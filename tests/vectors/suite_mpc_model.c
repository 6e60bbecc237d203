/*
 * Suite mpc-model: transcripts of the executable model. Given the seeds of a step every message must be byte-equal and every
 * value that a session shows equal; a changed message must end in the recorded class and check at the recorded party, and
 * nothing may leave that party afterwards.
 */
#include <stdlib.h>
#include <string.h>

#include "mpc_model.h"
#include "secret/mpc/sign2_int.h"

void cs_suite_mpc_model(cs_suite *s, const char *dir);

#define MAX_N 5
#define ARENA ((size_t)64 << 20)

/* ---------------------------------------------------------------- the world of one scenario */

/* A mutation on the way, and where it ended. */
typedef struct tamper {
    const json_t *row; /* NULL: none */
    unsigned party;    /* who failed */
    cs_mpc_verdict v;
    bool fired, quiet; /* quiet: nothing was left behind by the failing step */
} tamper;

typedef struct world {
    cs_suite *s; /* NULL while a mutation runs: nothing is counted */
    const char *file;
    const json_t *root;
    cs_mpc_parties parties[MAX_N + 1];
    cs_mpc_key keys[MAX_N + 1]; /* of the set named by key_set */
    char key_set[64];
    cs_mpc_peer *peers[MAX_N + 1][MAX_N + 1];
    cs_mpc_pair *pairs[MAX_N + 1][MAX_N + 1];
    tamper t;
} world;

static void note(world *w, bool ok, const char *what)
{
    if (w->s != NULL) {
        cs_suite_check(w->s, ok, w->file, what);
    }
}

static void world_end(world *w)
{
    for (unsigned i = 0; i <= MAX_N; i++) {
        for (unsigned j = 0; j <= MAX_N; j++) {
            cs_mpc_pair_free(w->pairs[i][j]);
        }
        cs_mpc_key_wipe(&w->keys[i]);
    }
    for (unsigned i = 0; i <= MAX_N; i++) {
        for (unsigned j = 0; j <= MAX_N; j++) {
            cs_mpc_peer_free(w->peers[i][j]);
        }
    }
}

/* the static keys of all parties are in any share */
static const json_t *any_share(const world *w)
{
    const char *name;
    json_t *set;
    json_object_foreach(json_object_get(w->root, "keys"), name, set)
    {
        return json_object_iter_value(json_object_iter(set));
    }
    return NULL;
}

static cs_mpc_peer *peer_of(world *w, unsigned me, unsigned other)
{
    uint8_t a[32], b[32];
    char name[8];
    const json_t *ids = json_object_get(any_share(w), "idkeys");
    if (w->peers[me][other] == NULL) {
        (void)snprintf(name, sizeof name, "%u", me);
        cs_mm_fixed(a, 32, ids, name);
        (void)snprintf(name, sizeof name, "%u", other);
        cs_mm_fixed(b, 32, ids, name);
        (void)!cs_mpc_peer_new(&w->peers[me][other], a, b);
    }
    return w->peers[me][other];
}

static bool load_keys(world *w, const char *set)
{
    bool ok = true;
    if (strcmp(w->key_set, set) == 0) {
        return true;
    }
    const char *name;
    json_t *row;
    json_object_foreach(json_object_get(json_object_get(w->root, "keys"), set), name, row)
    {
        unsigned i = cs_mm_u(row, "id");
        if (i > MAX_N) {
            return false;
        }
        cs_mpc_key_wipe(&w->keys[i]);
        ok = cs_mm_key(&w->keys[i], &w->parties[i], row) && cs_mm_same(row, "kid", cs_slice_of(w->keys[i].kid32, 32)) &&
             ok;
    }
    (void)snprintf(w->key_set, sizeof w->key_set, "%s", set);
    return ok;
}

static bool seed_of(uint8_t out[32], const json_t *step, unsigned party)
{
    char name[16];
    (void)snprintf(name, sizeof name, "%u", party);
    return cs_mm_fixed(out, 32, json_object_get(step, "seeds"), name);
}

/* the message at place i of a step: compared, then changed if it is the one to change. in becomes what arrives. */
static void travel(world *w, const json_t *step, size_t i, cs_slice sent, cs_buf *in)
{
    const json_t *m = json_array_get(json_object_get(step, "messages"), i);
    char what[64];
    (void)snprintf(what, sizeof what, "%s message %s", cs_suite_str(step, "step"), cs_suite_str(m, "name"));
    note(w, cs_mm_same(m, "hex", sent), what);
    cs_buf_free(in);
    *in = cs_buf_heap(1 << 17);
    if (cs_put_slice(in, sent) != CS_OK) {
        abort();
    }
    if (w->t.row == NULL || cs_mm_u(w->t.row, "no") != cs_mm_u(m, "no")) {
        return;
    }
    const char *op = cs_suite_str(w->t.row, "op");
    w->t.fired = true;
    if (strcmp(op, "append") == 0) {
        (void)!cs_put_u8(in, 0);
    } else if (strcmp(op, "cut") == 0) {
        in->len--;
    } else if (strcmp(op, "short") == 0) {
        in->len = 39;
    } else {
        in->p[cs_mm_u(w->t.row, "offset")] ^= (uint8_t)cs_mm_u(w->t.row, "xor");
    }
}

/* ---------------------------------------------------------------- steps */

static void digest_value(world *w, const json_t *vals, const char *key, const void *p, size_t len)
{
    cs_sha256 h;
    uint8_t d[32];
    cs_sha256_init(&h);
    cs_sha256_put(&h, p, len);
    cs_sha256_end(&h, d);
    note(w, cs_mm_same(vals, key, cs_slice_of(d, 32)), key);
}

static void gadget_value(world *w, const json_t *vals, const char *key, const cs_sc *g)
{
    uint8_t be[XI * 32];
    for (unsigned j = 0; j < XI; j++) {
        cs_sc_to_be(be + 32 * j, &g[j]);
    }
    digest_value(w, vals, key, be, sizeof be);
}

static void pair_values(world *w, const json_t *step, unsigned party, const cs_mpc_pair *p)
{
    char name[16];
    uint8_t known[TREES * 15 * 16];
    size_t at = 0;
    (void)snprintf(name, sizeof name, "%u", party);
    const json_t *v = json_object_get(json_object_get(step, "values"), name);
    for (unsigned j = 0; j < TREES; j++) {
        unsigned hole = p->alice->delta[j >> 1] >> (4 * (j & 1)) & 15;
        for (unsigned y = 0; y < 16; y++) {
            if (y != hole) {
                memcpy(known + at, p->alice->leaves + TREE_LEN * j + 16 * y, 16);
                at += 16;
            }
        }
    }
    note(w, cs_mm_same(v, "psid", cs_slice_of(p->psid, 32)), "psid");
    note(w, cs_mm_same(v, "osid_alice", cs_slice_of(p->alice->osid, 32)), "osid_alice");
    note(w, cs_mm_same(v, "osid_bob", cs_slice_of(p->bob->osid, 32)), "osid_bob");
    note(w, cs_mm_same(v, "delta", cs_slice_of(p->alice->delta, 16)), "delta");
    note(w, cs_mm_same(v, "bob_tree0", cs_slice_of(p->bob->leaves, TREE_LEN)), "bob_tree0");
    digest_value(w, v, "alice_leaves", known, sizeof known);
    digest_value(w, v, "bob_leaves", p->bob->leaves, LEAVES_LEN);
    gadget_value(w, v, "gadget_alice", p->alice->gadget);
    gadget_value(w, v, "gadget_bob", p->bob->gadget);
}

static bool failed(world *w, unsigned party, const cs_mpc_verdict *v, bool quiet)
{
    w->t.party = party;
    w->t.v = *v;
    w->t.quiet = quiet;
    return false;
}

/* O1..O5; false when a check failed */
static bool run_setup(world *w, const json_t *step)
{
    const json_t *in = json_object_get(step, "inputs");
    unsigned id[2] = {cs_mm_u(in, "initiator"), cs_mm_u(in, "responder")};
    uint8_t chan[32], seed[32], zeros[32] = {0};
    cs_mpc_setup *s[2] = {NULL, NULL};
    cs_mpc_verdict v = {0};
    cs_buf arrived = {0}, out = cs_buf_heap(CS_MPC_SETUP_MAX_LEN);
    bool ok = cs_mm_fixed(chan, 32, in, "chan") && id[0] >= 1 && id[0] <= MAX_N && id[1] >= 1 && id[1] <= MAX_N;
    for (unsigned r = 0; r < 2 && ok; r++) {
        cs_mpc_setup_args a = {.peer = peer_of(w, id[r], id[1 - r]),
                               .role = r == 0 ? CS_MPC_INITIATOR : CS_MPC_RESPONDER,
                               .chan32 = chan,
                               .secret32 = zeros,
                               .unsafe_seed32 = seed};
        ok = a.peer != NULL && seed_of(seed, step, id[r]) && cs_mpc_setup_new(&s[r], &a) == CS_OK;
    }
    ok = ok && cs_mpc_setup_start(s[0], &out, &v) == CS_OK;
    for (unsigned i = 0; ok && i < 5; i++) {
        unsigned to = 1 - i % 2;
        travel(w, step, i, cs_buf_slice(&out), &arrived);
        out.len = 0;
        if (cs_mpc_setup_on(s[to], cs_buf_slice(&arrived), &out, &v) != CS_OK) {
            cs_mpc_verdict again = {0};
            bool quiet = out.len == 0 && cs_mpc_setup_take(s[to]) == NULL;
            bool drop = v.cls == CS_MPC_DROP;
            quiet = quiet && (drop || cs_mpc_setup_on(s[to], cs_buf_slice(&arrived), &out, &again) != CS_OK);
            quiet = quiet &&
                    (cs_mpc_peer_banned(peer_of(w, id[to], id[1 - to])) != CS_MPC_CHK_NONE) == (v.cls == CS_MPC_BAN);
            ok = failed(w, id[to], &v, quiet && out.len == 0);
        }
    }
    for (unsigned r = 0; r < 2 && ok; r++) {
        cs_mpc_pair_free(w->pairs[id[r]][id[1 - r]]);
        w->pairs[id[r]][id[1 - r]] = cs_mpc_setup_take(s[r]);
        ok = w->pairs[id[r]][id[1 - r]] != NULL;
        if (ok) {
            pair_values(w, step, id[r], w->pairs[id[r]][id[1 - r]]);
        }
    }
    cs_mpc_setup_free(s[0]);
    cs_mpc_setup_free(s[1]);
    cs_buf_free(&arrived);
    cs_buf_free(&out);
    return ok;
}

static void scalar_value(world *w, const json_t *v, const char *key, const cs_sc *a)
{
    uint8_t b[32];
    cs_sc_to_be(b, a);
    note(w, cs_mm_same(v, key, cs_slice_of(b, 32)), key);
}

static void peer_value(world *w, const json_t *v, const char *key, const cs_mpc_sign2 *s, const void *p, size_t len)
{
    char name[32];
    (void)snprintf(name, sizeof name, "%s/%u", key, s->peer_id);
    if (len == 0) {
        scalar_value(w, v, name, p);
    } else if (len == COLS_LEN) {
        digest_value(w, v, name, p, len);
    } else {
        note(w, cs_mm_same(v, name, cs_slice_of(p, len)), name);
    }
}

/* What a session holds: of the initiator after M3 (all of it), of the responder after M2 (what it has then). */
static void session_values(world *w, const json_t *step, const cs_mpc_sign2 *s, bool all)
{
    char name[16];
    uint8_t theta[64];
    const sign2_secrets *x = &s->x;
    (void)snprintf(name, sizeof name, "%u", s->id);
    const json_t *v = json_object_get(json_object_get(step, "values"), name);
    note(w, cs_mm_same(v, "rid", cs_slice_of(s->rid, 32)), "rid");
    note(w, cs_mm_same(v, "ssid", cs_slice_of(s->ssid, 32)), "ssid");
    scalar_value(w, v, "zeta", &x->zeta);
    scalar_value(w, v, "sk_i", &x->sk);
    scalar_value(w, v, "r_i", &x->r);
    scalar_value(w, v, "phi_i", &x->phi);
    peer_value(w, v, "xid/bob", s, s->xid_bob, 32);
    peer_value(w, v, "xid/alice", s, s->xid_alice, 32);
    peer_value(w, v, "beta", s, x->xhat, BETA_LEN);
    peer_value(w, v, "b", s, &x->b, 0);
    peer_value(w, v, "v", s, x->v, COLS_LEN);
    peer_value(w, v, "c_u", s, &x->alice.out[0], 0);
    peer_value(w, v, "c_v", s, &x->alice.out[1], 0);
    cs_sc_to_be(theta, &x->alice.theta[0]);
    cs_sc_to_be(theta + 32, &x->alice.theta[1]);
    peer_value(w, v, "theta/alice", s, theta, 64);
    if (all) {
        peer_value(w, v, "d_u", s, &x->bob.out[0], 0);
        peer_value(w, v, "d_v", s, &x->bob.out[1], 0);
        scalar_value(w, v, "PHI", &x->big_phi);
        scalar_value(w, v, "u", &x->u_frag);
        scalar_value(w, v, "v", &x->v_frag);
        scalar_value(w, v, "w", &x->w_frag);
    }
}

static cs_err sign_step(cs_mpc_sign2 *s, unsigned i, cs_slice in, uint8_t *out, cs_mpc_signature *sig,
                        cs_mpc_verdict *v)
{
    switch (i) {
    case 0:
        return cs_mpc_sign2_on_m1(s, in, out, v);
    case 1:
        return cs_mpc_sign2_on_m2(s, in, out, v);
    case 2:
        return cs_mpc_sign2_on_m3(s, in, out, sig, v);
    default:
        return cs_mpc_sign2_on_m4(s, in, sig, v);
    }
}

/* After a failure: no output, the session answers nothing any more (DROP: goes on with the true message), a ban took the pair. */
static bool is_quiet(cs_mpc_sign2 *s, unsigned i, cs_mpc_pair *pair, const cs_mpc_verdict *v, cs_slice sent,
                     uint8_t *out, size_t out_len)
{
    cs_mpc_signature sig = {0};
    cs_mpc_verdict again = {0};
    bool ok = cs_ct_is_zero(out, out_len) == 1;
    cs_err err = sign_step(s, i, sent, out, &sig, &again);
    if (v->cls == CS_MPC_DROP) {
        return ok && err == CS_OK;
    }
    ok = ok && err == CS_E_STATE && again.cls == CS_MPC_DROP && cs_ct_is_zero(&s->x, sizeof s->x) == 1;
    return ok && cs_mpc_pair_live(pair) == 0 && cs_mpc_pair_usable(pair) == (v->cls != CS_MPC_BAN) &&
           (v->cls != CS_MPC_BAN || (pair->alice == NULL && pair->bob == NULL));
}

static void signature_value(world *w, const json_t *step, const cs_mpc_signature *sig)
{
    const json_t *want = json_object_get(step, "signature");
    note(w,
         cs_mm_same(want, "pk", cs_slice_of(sig->pk33, 33)) && cs_mm_same(want, "r", cs_slice_of(sig->r, 32)) &&
             cs_mm_same(want, "s", cs_slice_of(sig->s, 32)) && cs_mm_u(want, "recid") == sig->recid,
         "signature");
}

static bool run_messages(world *w, const json_t *step, cs_mpc_sign2 *s[2], const unsigned id[2])
{
    static const size_t len[4] = {M1_END, M2_END, M3_END, M4_END};
    static uint8_t sent[M2_END], out[M2_END];
    cs_mpc_signature sig[2] = {{{0}, {0}, 0, {0}}, {{0}, {0}, 0, {0}}};
    cs_mpc_verdict v = {0};
    cs_buf arrived = {0};
    bool ok = cs_mpc_sign2_m1(s[0], sent, &v) == CS_OK;
    for (unsigned i = 0; i < 4 && ok; i++) {
        unsigned to = 1 - i % 2;
        size_t out_len = i < 3 ? len[i + 1] : 0;
        travel(w, step, i, cs_slice_of(sent, len[i]), &arrived);
        memset(out, 0, sizeof out);
        if (sign_step(s[to], i, cs_buf_slice(&arrived), out, &sig[to], &v) != CS_OK) {
            bool quiet = is_quiet(s[to], i, w->pairs[id[to]][id[1 - to]], &v, cs_slice_of(sent, len[i]), out, out_len);
            ok = failed(w, id[to], &v, quiet);
        } else if (i < 2) {
            session_values(w, step, s[to], i == 1);
        }
        memcpy(sent, out, out_len);
    }
    if (ok) {
        signature_value(w, step, &sig[0]);
        signature_value(w, step, &sig[1]);
    }
    cs_buf_free(&arrived);
    return ok;
}

static bool run_sign2(world *w, const json_t *step)
{
    const json_t *in = json_object_get(step, "inputs");
    unsigned id[2] = {cs_mm_u(in, "initiator"), cs_mm_u(in, "responder")};
    uint8_t digest[32], label[32], seed[32];
    uint32_t path[CS_MPC_MAX_PATH];
    cs_mpc_sign2 *s[2] = {NULL, NULL};
    bool ok = cs_mm_fixed(digest, 32, in, "digest") && cs_mm_fixed(label, 32, in, "label") && id[0] <= MAX_N &&
              id[1] <= MAX_N && w->pairs[id[0]][id[1]] != NULL && w->pairs[id[1]][id[0]] != NULL;
    for (unsigned r = 0; r < 2 && ok; r++) {
        cs_mpc_request q = {.key = &w->keys[id[r]],
                            .peer = (uint16_t)id[1 - r],
                            .digest32 = digest,
                            .label32 = label,
                            .path = path,
                            .path_len = cs_mm_path(path, json_object_get(in, "path")),
                            .unsafe_seed32 = seed};
        ok = seed_of(seed, step, id[r]) && cs_mpc_sign2_new(&s[r], w->pairs[id[r]][id[1 - r]], &q) == CS_OK;
    }
    ok = ok && run_messages(w, step, s, id);
    cs_mpc_sign2_free(s[0]);
    cs_mpc_sign2_free(s[1]);
    return ok;
}

static void run_dealer(world *w, const json_t *step)
{
    uint8_t seed[32];
    cs_mpc_key out[MAX_N];
    unsigned n = cs_mm_u(json_object_get(step, "inputs"), "n");
    bool ok = load_keys(w, "dealt") && n <= MAX_N && cs_mm_fixed(seed, 32, json_object_get(step, "seeds"), "dealer") &&
              cs_mpc_deal(out, &w->parties[1], NULL, seed) == CS_OK;
    note(w, ok, "dealer");
    for (unsigned i = 1; ok && i <= n; i++) {
        const cs_mpc_key *a = &out[i - 1], *b = &w->keys[i];
        bool same = cs_sc_eq(&a->s, &b->s) == 1 && cs_ct_eq(a->pk33, b->pk33, 33) == 1 &&
                    cs_ct_eq(a->cc32, b->cc32, 32) == 1 && cs_ct_eq(a->kid32, b->kid32, 32) == 1;
        for (unsigned j = 1; j <= n; j++) {
            same =
                same && (j == i || cs_ct_eq(cs_mpc_key_zero(a, (uint16_t)j), cs_mpc_key_zero(b, (uint16_t)j), 32) == 1);
        }
        note(w, same, "dealt share");
    }
    for (unsigned i = 0; ok && i < n; i++) {
        cs_mpc_key_wipe(&out[i]);
    }
}

/* One step; until: stop (true) behind this step. Three-round signing, DKG and FROST do not exist yet. */
static void run_step(world *w, const json_t *step)
{
    const char *name = cs_suite_str(step, "step");
    const json_t *in = json_object_get(step, "inputs");
    unsigned n = (unsigned)json_array_size(json_object_get(step, "messages"));
    bool ok = true;
    if (strcmp(name, "dealer") == 0) {
        run_dealer(w, step);
    } else if (strncmp(name, "ot-setup", 8) == 0) {
        ok = run_setup(w, step);
    } else if (strncmp(name, "sign/", 5) == 0 && json_object_get(in, "initiator") != NULL) {
        ok = run_sign2(w, step);
    } else if (w->s != NULL) {
        cs_suite_skip_many(w->s, n, "three-round signing, DKG, refresh and FROST do not exist yet");
    }
    if (json_object_get(json_object_get(w->root, "keys"), name) != NULL) {
        note(w, load_keys(w, name), "kid");
    }
    if (!ok && w->t.row == NULL) {
        note(w, false, name);
    }
}

static void run_scenario(cs_suite *s, const char *file, const json_t *root)
{
    world *w = calloc(1, sizeof *w);
    size_t i;
    json_t *step;
    if (w == NULL) {
        abort();
    }
    *w = (world){.s = s, .file = file, .root = root};
    json_array_foreach(json_object_get(root, "steps"), i, step)
    {
        run_step(w, step);
    }
    world_end(w);
    free(w);
}

/* ---------------------------------------------------------------- mutations */

static bool exists(const char *step, const json_t *name)
{
    const char *n = json_string_value(name);
    return strncmp(step, "ot-setup", 8) == 0 || (n != NULL && n[0] == 'M');
}

static bool expected(const world *w, const json_t *want)
{
    if (json_is_string(want)) {
        return w->t.fired && w->t.party == 0;
    }
    return w->t.fired && w->t.quiet && w->t.party == cs_mm_u(want, "party") &&
           strcmp(cs_mpc_class_name(w->t.v.cls), cs_suite_str(want, "class")) == 0 &&
           strcmp(cs_mpc_check_name(w->t.v.check), cs_suite_str(want, "check")) == 0 && w->t.v.culprit != 0 &&
           w->t.v.culprit != w->t.party;
}

/* replays the scenario up to the step of the mutation */
static void run_mutation(cs_suite *s, const json_t *root, const json_t *row)
{
    world *w = calloc(1, sizeof *w);
    const char *until = cs_suite_str(row, "step");
    size_t i;
    json_t *step;
    if (w == NULL) {
        abort();
    }
    *w = (world){.file = "mutations.json", .root = root, .t = {.row = row}};
    json_array_foreach(json_object_get(root, "steps"), i, step)
    {
        run_step(w, step);
        if (strcmp(cs_suite_str(step, "step"), until) == 0) {
            break;
        }
    }
    if (expected(w, json_object_get(row, "expect"))) {
        cs_suite_pass(s);
    } else {
        cs_suite_failf(s, "mutations.json", "no %u %s %s: party %u %s %s%s", cs_mm_u(row, "no"),
                       cs_suite_str(row, "name"), cs_suite_str(row, "field"), w->t.party, cs_mpc_class_name(w->t.v.cls),
                       cs_mpc_check_name(w->t.v.check), w->t.quiet ? "" : ", not quiet");
    }
    world_end(w);
    free(w);
}

static void run_mutations(cs_suite *s, const char *dir, const json_t *root)
{
    size_t i;
    json_t *row, *scenario = NULL;
    char path[CS_SUITE_PATH], name[128], loaded[128] = "";
    json_array_foreach(json_object_get(root, "mutations"), i, row)
    {
        if (!exists(cs_suite_str(row, "step"), json_object_get(row, "name"))) {
            cs_suite_skip(s, "three-round signing, DKG, refresh and FROST do not exist yet");
            continue;
        }
        (void)snprintf(name, sizeof name, "%s.json", cs_suite_str(row, "scenario"));
        if (strcmp(name, loaded) != 0) {
            json_decref(scenario);
            cs_suite_path(path, dir, name);
            scenario = cs_suite_json(s, path);
            (void)snprintf(loaded, sizeof loaded, "%s", name);
        }
        if (scenario != NULL) {
            run_mutation(s, scenario, row);
        }
    }
    json_decref(scenario);
}

static void run_file(cs_suite *s, const char *path, void *cookie)
{
    json_t *root = cs_suite_json(s, path);
    const char *dir = cookie;
    if (root == NULL) {
        return;
    }
    if (json_object_get(root, "mutations") != NULL) {
        run_mutations(s, dir, root);
    } else if (json_object_get(root, "steps") != NULL) {
        run_scenario(s, path, root);
    } else if (json_object_get(root, "th") != NULL) {
        cs_mm_primitives(s, root);
    } else {
        cs_suite_fail(s, path, "not a file of the model");
    }
    json_decref(root);
}

void cs_suite_mpc_model(cs_suite *s, const char *dir)
{
    if (cs_arena_init(ARENA, false) != CS_OK) {
        cs_suite_fail(s, dir, "no arena");
        return;
    }
    cs_suite_walk(s, dir, ".json", run_file, (void *)(uintptr_t)dir);
    if (cs_arena_used() != 0) {
        cs_suite_fail(s, dir, "secret memory was not freed");
    }
}
