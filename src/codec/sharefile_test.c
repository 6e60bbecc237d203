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
    unsigned sets, accounts;
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

static const cs_sharefile_events events = {on_parties, on_account};
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
        cmocka_unit_test(hex_in_constant_time_equals_the_plain_codec),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
