#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "codec/sharefile.h"

#define H64 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define J64 "10112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define SET                                                                                                            \
    "{\"index\":2,\"n\":2,\"t\":2,\"static_key\":\"" H64 "\",\"static_keys\":{\"1\":\"" H64 "\",\"2\":\"" J64 "\"}}"
#define HEAD "{\"countersign/parties\":[" SET "]"
#define ACCOUNT                                                                                                        \
    "{\"parties\":0,\"epoch\":0,\"public_key\":\"02" H64 "\",\"chain_code\":\"" H64 "\",\"share\":\"" J64              \
    "\",\"zero_seeds\":{\"1\":\"" J64 "\"}}"

typedef struct seen {
    unsigned sets, accounts, roots, callers;
    uint8_t root[CS_SHAREFILE_MAX_ROOTS][32];
    char caller[512]; /* the last one, written again */
    cs_sharefile_account last;
    cs_sharefile_parties set;
    cs_err answer;
} seen;

static cs_err on_parties(void *cookie, uint32_t position, const cs_sharefile_parties *p)
{
    seen *s = cookie;
    assert_int_equal(position, s->sets);
    s->sets++;
    s->set = *p;
    return CS_OK;
}

static cs_err on_account(void *cookie, const cs_sharefile_account *a)
{
    seen *s = cookie;
    s->accounts++;
    s->last = *a;
    return s->answer;
}

static cs_err on_root(void *cookie, const uint8_t root32[32])
{
    seen *s = cookie;
    assert_true(s->callers == 0 && s->accounts == 0 && s->roots < CS_SHAREFILE_MAX_ROOTS);
    memcpy(s->root[s->roots++], root32, 32);
    return CS_OK;
}

static cs_err on_caller(void *cookie, const cs_sharefile_caller *c)
{
    static uint8_t mem[8192];
    seen *s = cookie;
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    assert_int_equal(s->accounts, 0);
    assert_int_equal(cs_sharefile_caller_put(&b, c), CS_OK);
    (void)snprintf(s->caller, sizeof s->caller, "%.*s", (int)b.len, (const char *)b.p);
    s->callers++;
    return s->answer;
}

static const cs_sharefile_events events = {on_parties, on_account, on_root, on_caller};
static cs_sharefile_work work;

/* The same text in pieces of some sizes has the same outcome. */
static void in_pieces(const char *text, const seen *want, cs_err want_err, const cs_sharefile_fault *want_fault)
{
    static const size_t sizes[] = {1, 7, 100, 1 << 20};
    static cs_sharefile_stream stream, zero;
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
        cs_slice all = cs_slice_str(text);
        seen s = {.answer = want->answer};
        cs_err err = CS_OK;
        cs_sharefile_stream_begin(&stream, &events, &s);
        while (err == CS_OK && all.len > 0) {
            size_t n = all.len < sizes[k] ? all.len : sizes[k];
            err = cs_sharefile_stream_push(&stream, cs_slice_of(all.p, n));
            all = cs_slice_of(all.p + n, all.len - n);
        }
        err = err == CS_OK ? cs_sharefile_stream_end(&stream) : err;
        assert_int_equal(err, want_err);
        assert_int_equal(s.sets, want->sets);
        assert_int_equal(s.accounts, want->accounts);
        assert_true(s.roots == want->roots && s.callers == want->callers);
        assert_memory_equal(s.root, want->root, sizeof s.root);
        assert_string_equal(s.caller, want->caller);
        assert_memory_equal(&s.last, &want->last, sizeof s.last);
        if (err != CS_OK) {
            assert_string_equal(stream.fault.what, want_fault->what);
            assert_int_equal(stream.fault.offset, want_fault->offset);
        }
        assert_int_equal(cs_sharefile_stream_end(&stream), err == CS_OK ? CS_E_STATE : err);
        assert_int_equal(cs_sharefile_stream_push(&stream, cs_slice_str(" ")), err == CS_OK ? CS_E_STATE : err);
        assert_memory_equal(&stream.work, &zero.work, sizeof stream.work);
    }
}

static cs_err parse(const char *text, seen *s)
{
    cs_sharefile_fault fault;
    memset(s, 0, sizeof *s);
    cs_err err = cs_sharefile_parse(&events, s, &work, cs_slice_str(text), &fault);
    assert_true(err == CS_OK || fault.what != NULL);
    static const cs_sharefile_work zero;
    assert_memory_equal(&work, &zero, sizeof work); /* wiped on every exit */
    in_pieces(text, s, err, &fault);
    return err;
}

static cs_err account(const char *text)
{
    char all[4096];
    seen s;
    (void)snprintf(all, sizeof all, HEAD ",\"a\":%s}", text);
    return parse(all, &s);
}

static cs_err one_set(const char *text)
{
    char all[4096];
    seen s;
    (void)snprintf(all, sizeof all, "{\"countersign/parties\":[%s]}", text);
    return parse(all, &s);
}

static void accounts_are_delivered_one_by_one(void **state)
{
    seen s;
    assert_int_equal(parse(HEAD " ,\n\"a\": " ACCOUNT ", \"b\":" ACCOUNT "}\n", &s), CS_OK);
    assert_int_equal(s.sets, 1);
    assert_int_equal(s.accounts, 2);
    assert_string_equal(s.last.id, "b");
    assert_int_equal(s.last.public_key33[0], 2);
    assert_int_equal(s.last.share32[0], 0x10);
    assert_int_equal(s.last.zero_seeds[0][0], 0x10);
    assert_int_equal(s.set.static_keys[1][0], 0x10);
    assert_int_equal(parse(HEAD "}", &s), CS_OK);
    assert_int_equal(s.accounts, 0);
}

/* so that a window always holds a whole account: the limit is the same for a file in memory */
static void an_account_takes_at_most_16_kib_with_its_white_space(void **state)
{
    static char text[CS_SHAREFILE_UNIT_MAX + 4096], tail[1 << 18];
    for (unsigned over = 0; over < 2; over++) {
        const size_t spaces = CS_SHAREFILE_UNIT_MAX - strlen(",\"a\":" ACCOUNT) + over;
        seen s;
        (void)snprintf(text, sizeof text, HEAD ",%*s\"a\":" ACCOUNT "}", (int)spaces, "");
        assert_int_equal(parse(text, &s), over ? CS_E_SHARES_FORMAT : CS_OK);
        (void)snprintf(text, sizeof text, HEAD ",\"b\":" ACCOUNT ",%*s\"a\":" ACCOUNT "}", (int)spaces, "");
        assert_int_equal(parse(text, &s), over ? CS_E_SHARES_FORMAT : CS_OK);
        assert_int_equal(s.accounts, over ? 1 : 2);
    }
    /* behind the object there may be any amount of it, and nothing else */
    seen s;
    (void)snprintf(tail, sizeof tail, HEAD "}%200000s", "");
    assert_int_equal(parse(tail, &s), CS_OK);
    (void)snprintf(tail, sizeof tail, HEAD "}%200000s", "}");
    assert_int_equal(parse(tail, &s), CS_E_SHARES_FORMAT);
}

static void many_accounts_come_in_any_pieces(void **state)
{
    static char mem[1 << 20];
    cs_buf all = cs_buf_wrap(mem, sizeof mem - 1);
    seen s;
    assert_int_equal(cs_put_str(&all, HEAD), CS_OK);
    for (unsigned i = 0; i < 2000; i++) {
        assert_int_equal(cs_put_fmt(&all, ",\n\"account-%u\":%s", i, ACCOUNT), CS_OK);
    }
    assert_int_equal(cs_put_str(&all, "}\n"), CS_OK);
    assert_int_equal(parse(mem, &s), CS_OK);
    assert_int_equal(s.accounts, 2000);
    mem[all.len - 40] = 'x'; /* a digit of the last one */
    assert_int_equal(parse(mem, &s), CS_E_SHARES_FORMAT);
    assert_int_equal(s.accounts, 1999);
}

static void shape_errors_are_SHARES_FORMAT(void **state)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"a\":" ACCOUNT "}",
        "{\"countersign/parties\":[]}",
        "{\"countersign/parties\":{}}",
        HEAD,
        HEAD "} x",
        HEAD ",}",
        HEAD ",\"a\":" ACCOUNT,
        HEAD ",\"countersign/x\":{}}",
        HEAD ",\"a/b\":" ACCOUNT "}",
        HEAD ",\"\":" ACCOUNT "}",
        HEAD ",\"\\u0061\":" ACCOUNT "}",
        HEAD ",\"a\":{}}",
        HEAD ",\"a\":[]}",
        "{\"countersign/parties\":[" SET ",]}",
    };
    seen s;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(parse(bad[i], &s), CS_E_SHARES_FORMAT);
    }
}

/* ACCOUNT with `from` replaced by `to` */
static cs_err changed(const char *from, const char *to)
{
    char text[2048];
    const char *at = strstr(ACCOUNT, from);
    assert_non_null(at);
    (void)snprintf(text, sizeof text, "%.*s%s%s", (int)(at - ACCOUNT), ACCOUNT, to, at + strlen(from));
    return account(text);
}

static void account_fields_are_strict(void **state)
{
    assert_int_equal(account(ACCOUNT), CS_OK);
    assert_int_equal(changed("\"epoch\":0,", ""), CS_E_SHARES_FORMAT);
    assert_int_equal(changed("\"epoch\":0,", "\"epoch\":0,\"epoch\":0,"), CS_E_SHARES_FORMAT);
    assert_int_equal(changed("\"epoch\":0,", "\"epoch\":0,\"more\":0,"), CS_E_SHARES_FORMAT);
    assert_int_equal(changed("\"epoch\":0", "\"epoch\":-1"), CS_E_SHARES_FORMAT);
    assert_int_equal(changed("\"epoch\":0", "\"epoch\":0.0"), CS_E_SHARES_FORMAT);
    assert_int_equal(changed("\"epoch\":0", "\"epoch\":1e2"), CS_E_SHARES_FORMAT);
    assert_int_equal(changed("\"epoch\":0", "\"epoch\":00"), CS_E_SHARES_FORMAT);
    assert_int_equal(changed("\"epoch\":0", "\"epoch\":\"0\""), CS_E_SHARES_FORMAT);
    assert_int_equal(changed("\"epoch\":0", "\"epoch\":4294967296"), CS_E_SHARES_ACCOUNT);
    assert_int_equal(changed("\"epoch\":0", "\"epoch\":4294967295"), CS_OK);
    assert_int_equal(changed("\"parties\":0", "\"parties\":1"), CS_E_SHARES_ACCOUNT);
    assert_int_equal(changed("\"02"
                             "0011",
                             "\"02"
                             "0011223"),
                     CS_E_SHARES_FORMAT);
    assert_int_equal(changed("\"share\":\"10", "\"share\":\"1"), CS_E_SHARES_FORMAT);
    assert_int_equal(changed("\"share\":\"10112233445566778899aa", "\"share\":\"10112233445566778899AA"),
                     CS_E_SHARES_FORMAT);
    assert_int_equal(changed("\"share\":\"10", "\"share\":\"g0"), CS_E_SHARES_FORMAT);
    assert_int_equal(changed("\"share\":\"", "\"share\":\"\\u0030"), CS_E_SHARES_FORMAT);
    assert_int_equal(changed("\"share\":\"" J64 "\"", "\"share\":1"), CS_E_SHARES_FORMAT);
    assert_int_equal(changed("{\"1\":", "{\"2\":"), CS_E_SHARES_FORMAT);
    assert_int_equal(changed("{\"1\":", "{\"01\":"), CS_E_SHARES_FORMAT);
    assert_int_equal(changed("{\"1\":", "{\"17\":"), CS_E_SHARES_FORMAT);
    assert_int_equal(changed("{\"1\":\"" J64 "\"}", "{}"), CS_E_SHARES_FORMAT);
    assert_int_equal(changed("{\"1\":\"" J64 "\"}", "{\"1\":\"" J64 "\",\"1\":\"" J64 "\"}"), CS_E_SHARES_FORMAT);
}

static void sets_of_parties_are_strict(void **state)
{
    assert_int_equal(one_set(SET), CS_OK);
    assert_int_equal(one_set("{\"index\":2,\"n\":2,\"t\":2}"), CS_E_SHARES_FORMAT);
    assert_int_equal(one_set("{\"index\":3"
                             ",\"n\":2,\"t\":2,\"static_key\":\"" H64 "\",\"static_keys\":{\"1\":\"" H64
                             "\",\"2\":\"" J64 "\"}}"),
                     CS_E_SHARES_ACCOUNT);
    assert_int_equal(one_set("{\"index\":0"
                             ",\"n\":2,\"t\":2,\"static_key\":\"" H64 "\",\"static_keys\":{\"1\":\"" H64
                             "\",\"2\":\"" J64 "\"}}"),
                     CS_E_SHARES_ACCOUNT);
    assert_int_equal(one_set("{\"index\":2"
                             ",\"n\":2,\"t\":3,\"static_key\":\"" H64 "\",\"static_keys\":{\"1\":\"" H64
                             "\",\"2\":\"" J64 "\"}}"),
                     CS_E_SHARES_ACCOUNT);
    assert_int_equal(one_set("{\"index\":2"
                             ",\"n\":17,\"t\":2,\"static_key\":\"" H64 "\",\"static_keys\":{\"1\":\"" H64
                             "\",\"2\":\"" J64 "\"}}"),
                     CS_E_SHARES_ACCOUNT);
    assert_int_equal(one_set("{\"index\":2"
                             ",\"n\":3,\"t\":2,\"static_key\":\"" H64 "\",\"static_keys\":{\"1\":\"" H64
                             "\",\"2\":\"" J64 "\"}}"),
                     CS_E_SHARES_FORMAT);
}

static void an_error_of_the_receiver_ends_the_parse(void **state)
{
    seen s = {.answer = CS_E_SHARES_DUPLICATE};
    cs_sharefile_fault fault;
    assert_int_equal(
        cs_sharefile_parse(&events, &s, &work, cs_slice_str(HEAD ",\"a\":" ACCOUNT ",\"b\":" ACCOUNT "}"), &fault),
        CS_E_SHARES_DUPLICATE);
    assert_int_equal(s.accounts, 1);
}

#define LINE "countersign-shares/1 generation=7 publisher=" H64 " sha256=" J64 " sig=" H64 J64 "\n{}"

static void headers_are_read(void **state)
{
    cs_sharefile_header h;
    assert_int_equal(cs_sharefile_header_parse(&h, cs_slice_str(LINE)), CS_OK);
    assert_true(h.generation == 7 && h.is_signed && h.publisher32[1] == 0x11 && h.sha256[0] == 0x10 &&
                h.sig64[32] == 0x10);
    assert_true(cs_slice_eq_str(h.body, "{}"));
    assert_int_equal(h.signed_part.len, strlen("countersign-shares/1 generation=7 publisher= sha256=") + 128);
    assert_int_equal(cs_sharefile_header_parse(&h, cs_slice_str("countersign-shares/1 generation=18446744073709551615 "
                                                                "publisher=none sha256=" J64 "\n")),
                     CS_OK);
    assert_true(!h.is_signed && h.body.len == 0 && h.generation == UINT64_MAX);
}

static void header_errors_are_SHARES_FORMAT(void **state)
{
    static const char *const bad[] = {
        "",
        "\n",
        "countersign-shares/1",
        "countersign-shares/2 generation=7 publisher=none sha256=" J64 "\n",
        "countersign-shares/1 generation=07 publisher=none sha256=" J64 "\n",
        "countersign-shares/1 generation= publisher=none sha256=" J64 "\n",
        "countersign-shares/1 generation=-1 publisher=none sha256=" J64 "\n",
        "countersign-shares/1 generation=18446744073709551616 publisher=none sha256=" J64 "\n",
        "countersign-shares/1  generation=7 publisher=none sha256=" J64 "\n",
        "countersign-shares/1 generation=7 publisher=none sha256=" J64,
        "countersign-shares/1 generation=7 publisher=none sha256=" J64 "\r\n",
        "countersign-shares/1 generation=7 publisher=none sha256=" J64 " sig=" H64 J64 "\n",
        "countersign-shares/1 generation=7 publisher=" H64 " sha256=" J64 "\n",
        "countersign-shares/1 generation=7 publisher=" H64 " sha256=" J64 " sig=" H64 "\n",
        "countersign-shares/1 generation=7 publisher=" H64 " sha256=0" J64 " sig=" H64 J64 "\n",
        "countersign-shares/1 generation=7 sha256=" J64 " publisher=none\n",
        "countersign-shares/1 generation=7 publisher=" H64 " sha256=" J64 " sig=" H64 J64 " \n",
    };
    cs_sharefile_header h;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(cs_sharefile_header_parse(&h, cs_slice_str(bad[i])), CS_E_SHARES_FORMAT);
    }
    char long_line[700];
    memset(long_line, 'a', sizeof long_line);
    long_line[600] = '\n';
    assert_int_equal(cs_sharefile_header_parse(&h, cs_slice_of(long_line, sizeof long_line)), CS_E_SHARES_FORMAT);
}

static void what_is_written_is_read(void **state)
{
    seen s, t;
    assert_int_equal(parse(HEAD ",\"x y\":" ACCOUNT "}", &s), CS_OK);
    cs_buf out = cs_buf_heap(1 << 16);
    cs_sharefile_writer w = cs_sharefile_write(&out);
    assert_int_equal(cs_sharefile_put_account(&w, &s.last, 2, 2), CS_E_RANGE);
    assert_int_equal(cs_sharefile_put_parties(&w, &s.set), CS_OK);
    assert_int_equal(cs_sharefile_put_account(&w, &s.last, 2, 2), CS_OK);
    assert_int_equal(cs_sharefile_put_parties(&w, &s.set), CS_E_RANGE);
    assert_int_equal(cs_sharefile_put_account(&w, &s.last, 2, 2), CS_OK);
    assert_int_equal(cs_sharefile_put_end(&w), CS_OK);
    assert_int_equal(cs_put_u8(&out, 0), CS_OK);
    assert_int_equal(parse((const char *)out.p, &t), CS_OK);
    assert_int_equal(t.accounts, 2);
    assert_memory_equal(&s.last, &t.last, sizeof s.last);
    assert_memory_equal(&s.set, &t.set, sizeof s.set);
    cs_buf_free(&out);
}

static void hex_in_constant_time_equals_the_plain_codec(void **state)
{
    uint8_t all[256], back[256];
    char hex[513];
    cs_buf out = cs_buf_heap(512);
    for (unsigned i = 0; i < 256; i++) {
        all[i] = (uint8_t)i;
    }
    cs_hex_encode(hex, cs_slice_of(all, 256));
    assert_int_equal(cs_put_hex_ct(&out, all, 256), CS_OK);
    assert_memory_equal(out.p, hex, 512);
    assert_int_equal(cs_hex_decode_ct(back, 256, out.p), 1);
    assert_memory_equal(back, all, 256);
    for (unsigned c = 0; c < 256; c++) {
        uint8_t pair[2] = {(uint8_t)c, '0'}, v;
        bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        assert_int_equal(cs_hex_decode_ct(&v, 1, pair), digit ? 1 : 0);
    }
    cs_buf_free(&out);
}

#define ROOTS ",\"countersign/sealing\":[\"" H64 "\",\"" J64 "\"]"
#define KEYS "\"ed25519\":\"" H64 "\",\"x25519\":\"" J64 "\""
#define CALLER                                                                                                         \
    "{\"id\":\"app-1\"," KEYS ",\"operations\":[\"Sign\",\"Approve\"],\"records\":[\"wallet-*\",\"x\"],\"rate\":100,"  \
    "\"burst\":200}"
#define CALLERS ",\"countersign/callers\":[" CALLER "]"

static void roots_and_callers_stand_between_parties_and_accounts(void **state)
{
    seen s;
    assert_int_equal(parse(HEAD ROOTS CALLERS ",\"a\":" ACCOUNT "}", &s), CS_OK);
    assert_true(s.sets == 1 && s.roots == 2 && s.callers == 1 && s.accounts == 1);
    assert_true(s.root[0][0] == 0 && s.root[1][0] == 0x10);
    assert_string_equal(s.caller, CALLER);
    assert_int_equal(parse(HEAD ROOTS ",\"a\":" ACCOUNT "}", &s), CS_OK);
    assert_int_equal(parse(HEAD CALLERS ",\"a\":" ACCOUNT "}", &s), CS_OK);
    assert_int_equal(parse(HEAD ROOTS CALLERS "}", &s), CS_OK);
    assert_int_equal(parse("{\"countersign/parties\":[]" ROOTS CALLERS "}\n", &s), CS_OK);
    assert_int_equal(parse("{\"countersign/parties\" : [ ] " ROOTS " } ", &s), CS_OK);
    assert_int_equal(parse("{\"countersign/parties\":[]" CALLERS "}", &s), CS_E_SHARES_FORMAT);
    assert_int_equal(parse("{\"countersign/parties\":[]" ROOTS ",\"a\":" ACCOUNT "}", &s), CS_E_SHARES_ACCOUNT);
    static const char *const bad[] = {
        HEAD CALLERS ROOTS "}",
        HEAD ROOTS ROOTS "}",
        HEAD CALLERS CALLERS "}",
        HEAD ",\"a\":" ACCOUNT ROOTS "}",
        HEAD ",\"a\":" ACCOUNT CALLERS "}",
        HEAD ROOTS ",\"countersign/parties\":[" SET "]}",
        "{\"countersign/sealing\":[\"" H64 "\"]}",
        HEAD ",\"countersign/sealing\":[]}",
        HEAD ",\"countersign/sealing\":\"" H64 "\"}",
        HEAD ",\"countersign/sealing\":[\"" H64 "\",]}",
        HEAD ",\"countersign/sealing\":[\"" H64 "0\"]}",
        HEAD ",\"countersign/sealing\":[\"F" H64 "\"]}",
        HEAD ",\"countersign/sealing\":[1]}",
        HEAD ",\"countersign/callers\":[]}",
        HEAD ",\"countersign/callers\":{}}",
        HEAD ",\"countersign/callers\":[" CALLER ",]}",
        HEAD ",\"countersign/callers\":[" CALLER,
        HEAD ROOTS,
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(parse(bad[i], &s), CS_E_SHARES_FORMAT);
    }
    s = (seen){.answer = CS_E_SHARES_DUPLICATE};
    cs_sharefile_fault fault;
    assert_int_equal(cs_sharefile_parse(&events, &s, &work, cs_slice_str(HEAD CALLERS "}"), &fault),
                     CS_E_SHARES_DUPLICATE);
    s = (seen){0};
    static const cs_sharefile_events deaf = {on_parties, on_account, NULL, NULL};
    assert_int_equal(cs_sharefile_parse(&deaf, &s, &work, cs_slice_str(HEAD ROOTS CALLERS "}"), &fault), CS_OK);
}

static void roots_and_callers_have_limits(void **state)
{
    static char mem[1 << 21];
    seen s;
    for (unsigned over = 0; over < 2; over++) {
        cs_buf all = cs_buf_wrap(mem, sizeof mem - 1);
        assert_int_equal(cs_put_str(&all, HEAD), CS_OK);
        for (unsigned i = 0; i < 8 + over; i++) {
            assert_int_equal(cs_put_fmt(&all, "%s\"%s\"", i == 0 ? ",\"countersign/sealing\":[" : ",", H64), CS_OK);
        }
        assert_int_equal(cs_put_str(&all, "]}"), CS_OK);
        mem[all.len] = '\0';
        assert_int_equal(parse(mem, &s), over ? CS_E_SHARES_FORMAT : CS_OK);
        all.len = 0;
        assert_int_equal(cs_put_str(&all, HEAD), CS_OK);
        for (unsigned i = 0; i < 4096 + over; i++) {
            assert_int_equal(cs_put_fmt(&all, "%s%s", i == 0 ? ",\"countersign/callers\":[" : ",", CALLER), CS_OK);
        }
        assert_int_equal(cs_put_str(&all, "]}"), CS_OK);
        mem[all.len] = '\0';
        assert_int_equal(parse(mem, &s), over ? CS_E_SHARES_FORMAT : CS_OK);
        assert_int_equal(s.callers, 4096);
    }
}

/* a caller alone, and in a file: one outcome */
static cs_err one_caller(const char *text)
{
    char all[8192];
    seen s;
    cs_sharefile_caller c;
    cs_sharefile_fault fault;
    (void)snprintf(all, sizeof all, HEAD ",\"countersign/callers\":[%s]}", text);
    cs_err err = parse(all, &s);
    assert_int_equal(cs_sharefile_caller_parse(&c, cs_slice_str(text), &fault), err);
    assert_true(err == CS_OK || (fault.what != NULL && c.id.len == 0));
    return err;
}

/* CALLER with `from` replaced by `to` */
static cs_err caller_with(const char *from, const char *to)
{
    char text[4096];
    const char *at = strstr(CALLER, from);
    assert_non_null(at);
    (void)snprintf(text, sizeof text, "%.*s%s%s", (int)(at - CALLER), CALLER, to, at + strlen(from));
    return one_caller(text);
}

static void callers_are_strict(void **state)
{
    static const char *const fine[][2] = {
        {",\"rate\":100,\"burst\":200", ""},
        {"\"rate\":100", "\"rate\":1000000"},
        {"[\"Sign\",\"Approve\"]", "[]"},
        {"[\"wallet-*\",\"x\"]", "[]"},
        {"[\"wallet-*\",\"x\"]", "[\"*\"]"},
        {"\"id\":\"app-1\",", "\n \"id\" : \"app-1\" ,"},
        {"app-1", "a0123456789012345678901234567890123456789012345678901234567890/3"}, /* 64 */
    };
    static const char *const format[][2] = {
        {"\"id\":\"app-1\",", ""},
        {"\"id\":\"app-1\",", "\"id\":\"app-1\",\"id\":\"app-1\","},
        {"\"id\":\"app-1\",", "\"id\":\"app-1\",\"more\":1,"},
        {"\"app-1\"", "\"\""},
        {"\"app-1\"", "\"a b\""},
        {"\"app-1\"", "\"a\\u0062\""},
        {"\"app-1\"", "\"\xc3\xa9\""},
        {"\"app-1\"", "7"},
        {"app-1", "a0123456789012345678901234567890123456789012345678901234567890123/5"}, /* 65 */
        {"\"ed25519\":\"00", "\"ed25519\":\""},
        {"\"ed25519\":\"00", "\"ed25519\":\"0000"},
        {"\"ed25519\":\"00112233445566778899aa", "\"ed25519\":\"00112233445566778899AA"},
        {"\"x25519\":", "\"x25518\":"},
        {",\"records\":[\"wallet-*\",\"x\"]", ""},
        {"[\"Sign\",\"Approve\"]", "\"Sign\""},
        {"[\"Sign\",\"Approve\"]", "[\"Sign\",\"Sign\"]"},
        {"[\"Sign\",\"Approve\"]", "[\"Sign\",]"},
        {"[\"Sign\",\"Approve\"]", "[\"\"]"},
        {"\"x\"]", "\"\"]"},
        {"\"x\"]", "\"a b\"]"},
        {"\"x\"]", "\"wallet-*\"]"},
        {",\"burst\":200", ""},
        {"\"rate\":100,", ""},
        {"\"rate\":100", "\"rate\":1.5"},
        {"\"rate\":100", "\"rate\":\"100\""},
    };
    static const char *const range[][2] = {
        {"\"rate\":100", "\"rate\":0"},
        {"\"burst\":200", "\"burst\":0"},
        {"\"rate\":100", "\"rate\":1000001"},
        {"\"burst\":200", "\"burst\":1000001"},
    };
    assert_int_equal(one_caller(CALLER), CS_OK);
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
        assert_int_equal(caller_with(fine[i][0], fine[i][1]), CS_OK);
    }
    for (size_t i = 0; i < sizeof format / sizeof *format; i++) {
        assert_int_equal(caller_with(format[i][0], format[i][1]), CS_E_SHARES_FORMAT);
    }
    for (size_t i = 0; i < sizeof range / sizeof *range; i++) {
        assert_int_equal(caller_with(range[i][0], range[i][1]), CS_E_SHARES_ACCOUNT);
    }
    cs_sharefile_caller c;
    assert_int_equal(cs_sharefile_caller_parse(&c, cs_slice_str(CALLER "\n"), NULL), CS_OK);
    assert_int_equal(cs_sharefile_caller_parse(&c, cs_slice_str(CALLER CALLER), NULL), CS_E_SHARES_FORMAT);
}

static void patterns_are_counted_and_measured(void **state)
{
    char record[140], list[4096];
    for (size_t len = 127; len < 132; len++) {
        memset(record, 'a', sizeof record);
        record[len] = '\0';
        (void)snprintf(list, sizeof list, "[\"%s\"]", record);
        assert_int_equal(caller_with("[\"wallet-*\",\"x\"]", list), len <= 128 ? CS_OK : CS_E_SHARES_FORMAT);
        record[len - 1] = '*';
        (void)snprintf(list, sizeof list, "[\"%s\"]", record);
        assert_int_equal(caller_with("[\"wallet-*\",\"x\"]", list), len <= 129 ? CS_OK : CS_E_SHARES_FORMAT);
    }
    for (unsigned num = 32; num < 34; num++) {
        int at = 0;
        for (unsigned i = 0; i < num; i++) {
            at += snprintf(list + at, sizeof list - (size_t)at, "%s\"r%u\"", i == 0 ? "[" : ",", i);
        }
        (void)snprintf(list + at, sizeof list - (size_t)at, "]");
        assert_int_equal(caller_with("[\"wallet-*\",\"x\"]", list), num == 32 ? CS_OK : CS_E_SHARES_FORMAT);
        assert_int_equal(caller_with("[\"Sign\",\"Approve\"]", list), num == 32 ? CS_OK : CS_E_SHARES_FORMAT);
    }
}

static void what_is_written_for_the_tee_is_read(void **state)
{
    static const uint8_t roots[9][32] = {{1}, {2}, {3}};
    for (unsigned parts = 0; parts < 8; parts++) { /* bits: parties, callers, account */
        seen s, t;
        cs_sharefile_caller c;
        assert_int_equal(parse(HEAD ",\"a\":" ACCOUNT "}", &s), CS_OK);
        assert_int_equal(cs_sharefile_caller_parse(&c, cs_slice_str(CALLER), NULL), CS_OK);
        if ((parts & 4) != 0 && (parts & 1) == 0) {
            continue;
        }
        cs_buf out = cs_buf_heap(1 << 16);
        cs_sharefile_writer w = cs_sharefile_write(&out);
        assert_int_equal(cs_sharefile_put_end(&w), CS_E_RANGE);
        if (parts & 1) {
            assert_int_equal(cs_sharefile_put_parties(&w, &s.set), CS_OK);
        }
        assert_int_equal(cs_sharefile_put_sealing(&w, roots, 0), CS_E_RANGE);
        assert_int_equal(cs_sharefile_put_sealing(&w, roots, 9), CS_E_RANGE);
        assert_int_equal(cs_sharefile_put_sealing(&w, roots, 3), CS_OK);
        assert_int_equal(cs_sharefile_put_sealing(&w, roots, 3), CS_E_RANGE);
        assert_int_equal(cs_sharefile_put_parties(&w, &s.set), CS_E_RANGE);
        for (unsigned i = 0; i < (parts & 2); i++) {
            assert_int_equal(cs_sharefile_put_caller(&w, &c), CS_OK);
        }
        if (parts & 4) {
            assert_int_equal(cs_sharefile_put_account(&w, &s.last, 2, 2), CS_OK);
            assert_int_equal(cs_sharefile_put_caller(&w, &c), CS_E_RANGE);
        }
        assert_int_equal(cs_sharefile_put_end(&w), CS_OK);
        assert_int_equal(cs_put_u8(&out, 0), CS_OK);
        assert_int_equal(parse((const char *)out.p, &t), CS_OK);
        assert_true(t.roots == 3 && t.callers == (parts & 2) && t.accounts == parts / 4 && t.sets == (parts & 1));
        assert_memory_equal(t.root, roots, sizeof roots[0] * 8);
        assert_string_equal(t.caller, parts & 2 ? CALLER : "");
        cs_buf_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accounts_are_delivered_one_by_one),
        cmocka_unit_test(an_account_takes_at_most_16_kib_with_its_white_space),
        cmocka_unit_test(many_accounts_come_in_any_pieces),
        cmocka_unit_test(shape_errors_are_SHARES_FORMAT),
        cmocka_unit_test(account_fields_are_strict),
        cmocka_unit_test(sets_of_parties_are_strict),
        cmocka_unit_test(an_error_of_the_receiver_ends_the_parse),
        cmocka_unit_test(headers_are_read),
        cmocka_unit_test(header_errors_are_SHARES_FORMAT),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(roots_and_callers_stand_between_parties_and_accounts),
        cmocka_unit_test(roots_and_callers_have_limits),
        cmocka_unit_test(callers_are_strict),
        cmocka_unit_test(patterns_are_counted_and_measured),
        cmocka_unit_test(what_is_written_for_the_tee_is_read),
        cmocka_unit_test(hex_in_constant_time_equals_the_plain_codec),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
