/*
 * Core and the client's real state machines with a relay between them that flips, drops, doubles and mixes frames (a malicious
 * parent), and a client that lies inside the protocol. The first must end in no ban and no wrong signature, and a retry signs; each
 * of the second ends in the class of specs mpc-wire.md 6.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "driver.h"
#include "party/session.h"

#define OK(x) assert_int_equal((x), CS_OK)

/* What happens to the frame with number `at` of a run: set-up HS1 HS2 O1 .. O5 OT_DONE, signature HELLO M2 M3 M4. */
typedef enum act { PASS, FLIP, DROP, TWICE } act;
typedef struct relay {
    act what;
    unsigned at;
    size_t byte; /* FLIP: from the front, or with `back` from the end; beyond the frame: its last one */
    bool back;
    uint8_t mask;
    unsigned num; /* frames seen */
} relay;

/* What the client changes before it seals: the byte of the payload's message, of the message with that length. */
static struct lie {
    bool on;
    size_t len, byte;
    uint8_t mask;
} lie;

void cs_party_seam_plain(uint8_t *plain, size_t len)
{
    size_t head = 1;

    if (plain[0] == CS_DATA_HELLO) {
        head = 3u + cs_load_u16(plain + 1);
    }
    if (lie.on && len == head + lie.len) {
        plain[head + lie.byte] ^= lie.mask;
    }
}

void cs_party_seam_frame(uint8_t *frame, size_t len)
{
    (void)frame;
    (void)len;
}

static cs_pwork *work;

static int setup(void **state)
{
    world *w = world_new();

    serve(w, 7);
    work = cs_secret_alloc(sizeof *work);
    assert_non_null(work);
    lie.on = false;
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    cs_secret_free(work);
    world_free(*state);
    return 0;
}

/* the client's machine of one run */
typedef struct run {
    world *w;
    relay *r;
    cs_psetup *setup;
    cs_psign *sign;
    cs_pchannel *made;
    cs_mpc_signature sig;
    uint8_t digest[32];
    uint64_t stream;
    bool signed_ok, over; /* over: the client gave up or has what it wanted */
    cs_err failed;        /* of the client; CS_OK: none */
    cs_err ended;         /* how core ended the stream */
    bool has_ended;
} run;

/* copies of a frame as the relay hands them on: how many, 0 to 2 */
static unsigned pass(relay *r, uint8_t *frame, size_t len)
{
    if (r->num++ != r->at || r->what == PASS) {
        return 1;
    }
    if (r->what == FLIP) {
        size_t at = r->byte < len ? r->byte : len - 1;

        frame[r->back ? len - 1 - at : at] ^= r->mask;
    }
    return r->what == DROP ? 0 : r->what == TWICE ? 2 : 1;
}

static void to_core(run *x, cs_slice frame)
{
    static uint8_t copy[CS_FRAME_MAX];

    memcpy(copy, frame.p, frame.len);
    for (unsigned n = pass(x->r, copy, frame.len); n > 0; n--) {
        give1(x->w, CS_LINK_SERVICE, CS_RPC_PARTY_DATA, x->stream, cs_slice_of(copy, frame.len));
    }
}

static void to_client(run *x, cs_slice frame)
{
    cs_slice out = CS_SLICE_NULL;
    bool done = false;

    if (x->over) {
        return;
    }
    if (x->setup != NULL) {
        x->failed = cs_psetup_on(x->setup, work, &out, &x->made, frame, NULL);
        done = x->made != NULL;
    } else {
        x->failed = cs_psign_on(x->sign, work, &out, &done, &x->sig, frame, NULL);
        x->signed_ok = done;
    }
    x->over = done || x->failed != CS_OK;
    if (x->failed == CS_OK && out.len > 0) {
        to_core(x, out);
    }
}

static void from_core(run *x)
{
    static uint8_t copy[CS_FRAME_MAX];

    while (!none(x->w, CS_LINK_SERVICE)) {
        cs_rpc_frame f = next(x->w, CS_LINK_SERVICE);
        char code[64] = "";
        size_t len = f.f[0].s.len;

        assert_int_equal(f.id, x->stream);
        if (f.type == CS_RPC_PARTY_END) {
            memcpy(code, f.f[0].s.p, len);
            x->ended = cs_err_from_code(code);
            x->has_ended = true;
            continue;
        }
        memcpy(copy, f.f[0].s.p, len);
        for (unsigned n = pass(x->r, copy, len); n > 0; n--) {
            to_client(x, cs_slice_of(copy, len));
        }
    }
}

/* until nothing moves; then what is left open ends at the deadline. Whatever came out as a signature is one. */
static void play(run *x, cs_slice first)
{
    to_core(x, first);
    from_core(x);
    if (!x->has_ended) {
        tick_ms(x->w, 10000);
        from_core(x);
        assert_int_equal(x->ended, CS_E_PEER_SILENT);
    }
    assert_true(x->has_ended);
    has(x->w, "\"streams\":0");
    has(x->w, "\"live\":0");
    if (x->signed_ok) {
        OK(cs_psign_verify(&x->sig, x->digest));
    }
}

/* the channel, or NULL */
static cs_pchannel *make_channel(world *w, unsigned family, relay *r, run *x)
{
    cs_share_party own = {.parties = w->parties[family], .index = 1};
    cs_slice first;

    *x = (run){.w = w, .r = r};
    memcpy(own.static_key.b, w->client_key[family], 32);
    memcpy(own.static_pub, w->client_pub[family], 32);
    OK(cs_psetup_new(&x->setup, work, &first, &own, 2, w->peer[family]));
    x->stream = open_stream(w);
    play(x, first);
    cs_psetup_free(x->setup);
    x->setup = NULL;
    return x->made;
}

static cs_pchannel *channel(world *w, unsigned family)
{
    run x;
    cs_pchannel *ch = make_channel(w, family, &(relay){0}, &x);

    assert_non_null(ch);
    return ch;
}

static cs_slice begin_sign(world *w, cs_pchannel *ch, unsigned account, int64_t tx, relay *r, run *x)
{
    cs_psign_request q = {.account_id = cs_slice_str(account_name[account]),
                          .key = &w->key[account][0],
                          .tx_id = tx,
                          .execution_id = cs_slice_str("e")};
    cs_slice first;

    *x = (run){.w = w, .r = r};
    memset(x->digest, (int)(tx & 0xff), 32);
    memcpy(q.digest32, x->digest, 32);
    OK(cs_psign_new(&x->sign, work, &first, ch, &q));
    x->stream = open_stream(w);
    return first;
}

static bool sign(world *w, cs_pchannel *ch, unsigned account, int64_t tx, relay *r, run *x)
{
    play(x, begin_sign(w, ch, account, tx, r, x));
    cs_psign_free(x->sign);
    x->sign = NULL;
    return x->signed_ok;
}

static void discard(world *w)
{
    while (!none(w, CS_LINK_SERVICE)) {
        (void)next(w, CS_LINK_SERVICE);
    }
}

static void nobody_is_banned(world *w)
{
    has(w, "\"bans_total\":0");
    assert_int_equal(cs_mpc_peer_banned(w->peer[0]), CS_MPC_CHK_NONE);
}

static const struct {
    size_t byte;
    bool back;
} places[] = {{0, false},  {1, false},  {16, false},  {17, false},   {32, false}, {33, false}, {40, false},
              {41, false}, {42, false}, {300, false}, {5000, false}, {15, true},  {16, true},  {0, true}};
#define NUM_PLACES (sizeof places / sizeof places[0])

static void test_a_damaged_lost_or_doubled_frame_of_a_signature_bans_nobody_and_a_retry_signs(void **state)
{
    world *w = *state;
    cs_pchannel *ch = channel(w, 0);
    int64_t tx = 0;

    for (unsigned at = 0; at < 4; at++) {
        for (unsigned i = 0; i < 2 * NUM_PLACES + 2; i++) {
            relay r = {.what = i < 2 * NUM_PLACES ? FLIP : i == 2 * NUM_PLACES ? DROP : TWICE, .at = at};
            run x, again;

            if (r.what == FLIP) {
                r.byte = places[i / 2].byte;
                r.back = places[i / 2].back;
                r.mask = i % 2 == 0 ? 1 : 0x80;
            }
            tx++;
            /* only a doubled M3 or M4 comes behind the end */
            assert_int_equal(sign(w, ch, 0, tx, &r, &x), r.what == TWICE && at >= 2);
            nobody_is_banned(w);
            assert_true(sign(w, ch, 0, tx, &(relay){0}, &again));
            if (x.signed_ok || at == 3) { /* core had signed: the answer is the same one */
                assert_memory_equal(again.sig.r, x.signed_ok ? x.sig.r : again.sig.r, 32);
                assert_int_equal(again.r->num, 2); /* HELLO, ANSWER */
            }
        }
    }
    has(w, "\"bad_frames\":");
    cs_pchannel_release(ch);
}

static void test_a_damaged_lost_or_doubled_frame_of_a_set_up_bans_nobody_and_a_retry_signs(void **state)
{
    static const size_t some[] = {0, 4, 5, 8, 11, 13}; /* of places */
    world *w = *state;

    for (unsigned at = 0; at < 8; at++) {
        for (unsigned i = 0; i < sizeof some / sizeof some[0] + 2; i++) {
            relay r = {.what = i < 6 ? FLIP : i == 6 ? DROP : TWICE, .at = at, .mask = 0x10};
            cs_pchannel *ch = NULL;
            run x;

            if (r.what == FLIP) {
                r.byte = places[some[i]].byte;
                r.back = places[some[i]].back;
            }
            cs_pchannel_release(make_channel(w, 0, &r, &x));
            nobody_is_banned(w);
            has(w, "\"half_open\":0");
            ch = channel(w, 0);
            assert_true(sign(w, ch, 1, 100 * at + i, &(relay){0}, &x));
            cs_pchannel_release(ch);
        }
    }
}

/* a goes on up to its frame number `at`, which is kept in held. */
static size_t go_on_until(run *a, uint8_t *held, cs_slice first, unsigned at)
{
    size_t len = first.len;

    memcpy(held, first.p, len);
    for (unsigned n = 0; n < at; n++) {
        cs_slice out = CS_SLICE_NULL;
        bool done;

        if (n % 2 == 0) {
            give1(a->w, CS_LINK_SERVICE, CS_RPC_PARTY_DATA, a->stream, cs_slice_of(held, len));
            out = next(a->w, CS_LINK_SERVICE).f[0].s;
        } else {
            OK(cs_psign_on(a->sign, work, &out, &done, &a->sig, cs_slice_of(held, len), NULL));
        }
        len = out.len;
        memcpy(held, out.p, len);
    }
    return len;
}

/* The frames number `at` of two sessions change places, each on the other's stream. */
static void swap_frames(world *w, cs_pchannel *ch, unsigned at, int64_t tx)
{
    static uint8_t held[CS_FRAME_MAX];
    relay ra = {.what = DROP, .at = at}, rb = ra;
    run a, b, x;
    size_t len = 0;
    cs_slice first = begin_sign(w, ch, 0, tx, &ra, &a);

    len = go_on_until(&a, held, first, at);
    discard(w); /* the end of a's stream, when M4 was the one */
    first = begin_sign(w, ch, 1, tx + 1, &rb, &b);
    if (at == 0) {
        uint8_t *copy = work->plain;

        memcpy(copy, first.p, first.len);
        /* crossed over: the names are the channel's, so each session runs on the other's stream, or nowhere */
        give1(w, CS_LINK_SERVICE, CS_RPC_PARTY_DATA, b.stream, cs_slice_of(held, len));
        give1(w, CS_LINK_SERVICE, CS_RPC_PARTY_DATA, a.stream, cs_slice_of(copy, first.len));
    } else {
        cs_slice out;
        bool done = false;

        give1(w, CS_LINK_SERVICE, CS_RPC_PARTY_DATA, b.stream, first);
        if (at % 2 == 0) { /* a's M3 into b's stream */
            give1(w, CS_LINK_SERVICE, CS_RPC_PARTY_DATA, b.stream, cs_slice_of(held, len));
        } else { /* a's M2 or M4 to b's client */
            assert_int_equal(cs_psign_on(b.sign, work, &out, &done, &b.sig, cs_slice_of(held, len), NULL),
                             CS_E_ABORT_SESSION);
            assert_false(done);
        }
    }
    tick_ms(w, 10000);
    discard(w);
    cs_psign_free(a.sign);
    cs_psign_free(b.sign);
    has(w, "\"streams\":0");
    nobody_is_banned(w);
    assert_true(sign(w, ch, 0, tx, &(relay){0}, &x));
    assert_true(sign(w, ch, 1, tx + 1, &(relay){0}, &x));
}

static void test_frames_of_two_sessions_that_change_places_ban_nobody_and_retries_sign(void **state)
{
    world *w = *state;
    cs_pchannel *ch = channel(w, 0);

    for (unsigned at = 0; at < 4; at++) {
        swap_frames(w, ch, at, 10 * (int64_t)at + 1);
    }
    cs_pchannel_release(ch);
}

/* ---------------------------------------------------------------- lies */

static void unban(world *w)
{
    uint8_t mem[CS_UNBAN_MAX], stranger[32] = {1};
    cs_unban u = {0};

    tick_ms(w, 9u * 3600u * 1000u); /* three a day */
    u.time_s = wall_ms / 1000;
    memcpy(u.key32, w->client_pub[0], 32);
    for (unsigned i = 0; i < 2; i++) {
        cs_buf b = cs_buf_wrap(mem, sizeof mem);

        OK(cs_unban_put(&b, i == 0 ? stranger : w->publisher_seed, &u));
        give1(w, CS_LINK_SERVICE, CS_RPC_UNBAN, 900, cs_buf_slice(&b));
        expect_reply(w, 900, i == 0 ? CS_E_UNBAN : CS_OK);
    }
}

/* Field by field what the client sends to core, and the class of each. Offsets: specs mpc-wire.md 4. */
static const struct {
    size_t len, byte;
    uint8_t mask;
    cs_mpc_class cls;
    const char *check;
} lies[] = {
    {CS_MPC_M1_LEN, 0, 1, CS_MPC_DROP, "header"},
    {CS_MPC_M1_LEN, 39, 1, CS_MPC_DROP, "header"},
    {CS_MPC_M1_LEN, 40, 1, CS_MPC_ABORT, "xid"},         /* nonce */
    {CS_MPC_M1_LEN, 72, 1, CS_MPC_ABORT, "com"},         /* found with M3 */
    {CS_MPC_M1_LEN, 111, 0x80, CS_MPC_ABORT, "xid"},     /* ctr */
    {CS_MPC_M1_LEN, 112, 1, CS_MPC_ABORT, "xid"},        /* xid */
    {CS_MPC_M1_LEN, 144, 1, CS_MPC_BAN, "ot-check"},     /* u */
    {CS_MPC_M1_LEN, 2703, 0x80, CS_MPC_BAN, "ot-check"}, /* u */
    {CS_MPC_M1_LEN, 2704, 1, CS_MPC_BAN, "ot-check"},    /* x */
    {CS_MPC_M1_LEN, 2751, 1, CS_MPC_BAN, "ot-check"},    /* ht */
    {CS_MPC_M3_LEN, 1, 1, CS_MPC_DROP, "header"},
    {CS_MPC_M3_LEN, 40, 1, CS_MPC_ABORT, "ssid"},
    {CS_MPC_M3_LEN, 72, 8, CS_MPC_ABORT, "malformed-point"},
    {CS_MPC_M3_LEN, 72, 1, CS_MPC_ABORT, "com"},      /* -R */
    {CS_MPC_M3_LEN, 105, 1, CS_MPC_ABORT, "com"},     /* salt */
    {CS_MPC_M3_LEN, 137 + 31, 1, CS_MPC_BAN, "mu"},   /* at */
    {CS_MPC_M3_LEN, 40072, 1, CS_MPC_BAN, "mu"},      /* at, last byte */
    {CS_MPC_M3_LEN, 40073 + 31, 1, CS_MPC_BAN, "mu"}, /* eta */
    {CS_MPC_M3_LEN, 40105, 1, CS_MPC_BAN, "mu"},
    {CS_MPC_M3_LEN, 40137, 8, CS_MPC_ABORT, "malformed-point"},
    {CS_MPC_M3_LEN, 40137, 1, CS_MPC_BAN, "gamma-u"},
    {CS_MPC_M3_LEN, 40170, 1, CS_MPC_BAN, "gamma-v"},
    {CS_MPC_M3_LEN, 40203 + 31, 1, CS_MPC_BAN, "bad-signature"}, /* psi */
    {CS_MPC_M3_LEN, 40235, 1, CS_MPC_BAN, "gamma-v"},            /* pk */
    {CS_MPC_M3_LEN, 40268 + 31, 1, CS_MPC_BAN, "bad-signature"}, /* w */
    {CS_MPC_M3_LEN, 40300 + 31, 1, CS_MPC_BAN, "bad-signature"}, /* u */
};

static void expect_count(world *w, const char *name, unsigned num)
{
    char text[64];

    (void)snprintf(text, sizeof text, "\"%s\":%u", name, num);
    has(w, text);
}

/* A session of the liar in another channel, honest, up to its M3, which is kept. */
static cs_slice other_session(world *w, cs_pchannel *ch, int64_t tx, run *other)
{
    static uint8_t m3[CS_FRAME_MAX];
    static relay straight;
    cs_slice out = begin_sign(w, ch, 1, tx, &straight, other);
    bool done;

    give1(w, CS_LINK_SERVICE, CS_RPC_PARTY_DATA, other->stream, out);
    OK(cs_psign_on(other->sign, work, &out, &done, &other->sig, next(w, CS_LINK_SERVICE).f[0].s, NULL));
    memcpy(m3, out.p, out.len);
    return cs_slice_of(m3, out.len);
}

/* A ban has ended it, else it signs. */
static void finish_other(world *w, run *other, cs_slice m3, bool ban)
{
    cs_slice out;
    bool done;

    give1(w, CS_LINK_SERVICE, CS_RPC_PARTY_DATA, other->stream, m3);
    if (ban) {
        assert_true(none(w, CS_LINK_SERVICE));
    } else {
        OK(cs_psign_on(other->sign, work, &out, &done, &other->sig, next(w, CS_LINK_SERVICE).f[0].s, NULL));
        assert_true(done);
        expect_end(w, other->stream, CS_OK);
    }
    cs_psign_free(other->sign);
}

/* The session with the lie; frames of the other one come too when a ban ends it. */
static void lying_session(world *w, cs_pchannel *ch, int64_t tx, size_t i, run *x)
{
    static uint8_t copy[CS_FRAME_MAX];
    static relay straight;

    lie = (struct lie){.on = true, .len = lies[i].len, .byte = lies[i].byte, .mask = lies[i].mask};
    to_core(x, begin_sign(w, ch, 0, tx, &straight, x));
    while (!none(w, CS_LINK_SERVICE)) {
        cs_rpc_frame f = next(w, CS_LINK_SERVICE);
        size_t len = f.f[0].s.len;

        if (f.id != x->stream) {
            assert_int_equal(lies[i].cls, CS_MPC_BAN);
        } else if (f.type == CS_RPC_PARTY_SEND) {
            memcpy(copy, f.f[0].s.p, len);
            to_client(x, cs_slice_of(copy, len));
        } else {
            x->has_ended = true;
            assert_true(cs_slice_eq_str(f.f[0].s, cs_err_code(CS_E_ABORT_SESSION)));
        }
    }
    lie.on = false;
    cs_psign_free(x->sign);
    assert_false(x->signed_ok);
    assert_int_equal(x->has_ended, lies[i].cls != CS_MPC_DROP);
    assert_int_equal(x->failed, x->has_ended ? CS_E_ABORT_SESSION : CS_OK); /* all that core tells */
}

static void test_each_lie_of_a_client_ends_in_its_class_and_only_a_ban_takes_its_other_sessions_along(void **state)
{
    world *w = *state;
    cs_pchannel *own = channel(w, 0), *second = channel(w, 0), *bystander = channel(w, 1);
    unsigned bans = 0;
    int64_t tx = 0;

    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        const bool ban = lies[i].cls == CS_MPC_BAN;
        unsigned same = 0;
        run other, x;
        cs_slice m3 = other_session(w, second, ++tx, &other);

        lying_session(w, own, ++tx, i, &x);
        for (size_t k = 0; k <= i; k++) {
            same += strcmp(lies[k].check, lies[i].check) == 0;
        }
        bans += ban;
        expect_count(w, lies[i].check, same);
        expect_count(w, "bans_total", bans);
        expect_count(w, "bans", ban);
        finish_other(w, &other, m3, ban);
        if (lies[i].cls == CS_MPC_DROP) { /* the session waits until it was silent too long */
            has(w, "\"live\":1");
            tick_ms(w, 10000);
            discard(w);
        }
        has(w, "\"live\":0");
        assert_true(sign(w, bystander, 2, ++tx, &(relay){0}, &x));
        if (ban) {
            assert_null(make_channel(w, 0, &(relay){0}, &x));
            assert_int_equal(x.ended, CS_E_PEER_BANNED);
            unban(w);
            assert_false(sign(w, own, 0, ++tx, &(relay){0}, &x)); /* what the ban wiped stays gone */
            assert_int_equal(x.ended, CS_E_CHANNEL_UNKNOWN);
            cs_pchannel_release(own);
            cs_pchannel_release(second);
            own = channel(w, 0);
            second = channel(w, 0);
            cs_pchannel_release(bystander); /* a channel lives a day, and unban moves the clock */
            bystander = channel(w, 1);
        }
        assert_true(sign(w, own, 0, ++tx, &(relay){0}, &x));
    }
    cs_pchannel_release(own);
    cs_pchannel_release(second);
    cs_pchannel_release(bystander);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_a_damaged_lost_or_doubled_frame_of_a_signature_bans_nobody_and_a_retry_signs),
        T(test_a_damaged_lost_or_doubled_frame_of_a_set_up_bans_nobody_and_a_retry_signs),
        T(test_frames_of_two_sessions_that_change_places_ban_nobody_and_retries_sign),
        T(test_each_lie_of_a_client_ends_in_its_class_and_only_a_ban_takes_its_other_sessions_along),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
