/* Messages, refusals and URLs of rooms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "net/room.h"
#include "net/room_msg.h"

static void messages_are_read(void **state)
{
    static const struct {
        const char *json;
        unsigned sender;
        bool to_one;
        unsigned receiver;
        const char *body;
    } good[] = {
        {"{\"sender\":0,\"receiver\":null,\"body\":\"AQ\"}", 0, false, 0, "AQ"},
        {"{\"sender\":65535,\"receiver\":1,\"body\":\"\"}", 65535, true, 1, ""},
        {" { \"body\" : \"AQ==\" , \"receiver\" : 65535 , \"sender\" : 7 } ", 7, true, 65535, "AQ"},
        {"{\"receiver\":null ,\"sender\":1,\"body\":\"AAE=\"}", 1, false, 0, "AAE"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        cs_room_msg m;
        assert_int_equal(cs_room_msg_parse(&m, cs_slice_str(good[i].json)), CS_OK);
        assert_int_equal(m.sender, good[i].sender);
        assert_int_equal(m.to_one, good[i].to_one);
        assert_int_equal(m.receiver, good[i].receiver);
        assert_true(cs_slice_eq_str(m.body, good[i].body));
    }
}

static void everything_else_is_no_message(void **state)
{
    static const struct {
        const char *json;
        cs_err err;
    } bad[] = {
        {"", CS_E_FORMAT},
        {"{}", CS_E_FORMAT},
        {"[]", CS_E_FORMAT},
        {"null", CS_E_FORMAT},
        {"{\"sender\":0,\"receiver\":null}", CS_E_FORMAT},
        {"{\"sender\":0,\"receiver\":null,\"body\":\"AQ\",\"x\":1}", CS_E_FORMAT},
        {"{\"sender\":0,\"receiver\":null,\"sender\":0}", CS_E_FORMAT},
        {"{\"sender\":0,\"receiver\":null,\"body\":\"AQ\"} x", CS_E_FORMAT},
        {"{\"sender\":0,\"receiver\":null,\"body\":\"AQ\"", CS_E_FORMAT},
        {"{\"sender\":65536,\"receiver\":null,\"body\":\"AQ\"}", CS_E_RANGE},
        {"{\"sender\":-1,\"receiver\":null,\"body\":\"AQ\"}", CS_E_FORMAT},
        {"{\"sender\":1.0,\"receiver\":null,\"body\":\"AQ\"}", CS_E_FORMAT},
        {"{\"sender\":01,\"receiver\":null,\"body\":\"AQ\"}", CS_E_FORMAT},
        {"{\"sender\":\"0\",\"receiver\":null,\"body\":\"AQ\"}", CS_E_FORMAT},
        {"{\"sender\":null,\"receiver\":null,\"body\":\"AQ\"}", CS_E_FORMAT},
        {"{\"sender\":0,\"receiver\":true,\"body\":\"AQ\"}", CS_E_FORMAT},
        {"{\"sender\":0,\"receiver\":false,\"body\":\"AQ\"}", CS_E_FORMAT},
        {"{\"sender\":0,\"receiver\":\"1\",\"body\":\"AQ\"}", CS_E_FORMAT},
        {"{\"sender\":0,\"receiver\":65536,\"body\":\"AQ\"}", CS_E_RANGE},
        {"{\"sender\":0,\"receiver\":null,\"body\":null}", CS_E_FORMAT},
        {"{\"sender\":0,\"receiver\":null,\"body\":7}", CS_E_FORMAT},
        {"{\"sender\":0,\"receiver\":null,\"body\":\"\\u0041Q\"}", CS_E_FORMAT},
        {"{\"sender\":0,\"receiver\":null,\"body\":\"A=\"}", CS_E_FORMAT},
        {"{\"sender\":0,\"receiver\":null,\"body\":\"AQ=\"}", CS_E_FORMAT},
        {"{\"sender\":0 \"receiver\":null,\"body\":\"AQ\"}", CS_E_FORMAT},
        {"{\"Sender\":0,\"receiver\":null,\"body\":\"AQ\"}", CS_E_FORMAT},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cs_room_msg m = {.sender = 77};
        assert_int_equal(cs_room_msg_parse(&m, cs_slice_str(bad[i].json)), bad[i].err);
        assert_int_equal(m.sender, 77);
    }
    static char large[CS_ROOM_MESSAGE_MAX + 1];
    cs_room_msg m;
    memset(large, ' ', sizeof large);
    assert_int_equal(cs_room_msg_parse(&m, cs_slice_of(large, sizeof large)), CS_E_TOO_LARGE);
}

static void what_is_written_is_read_and_as_long_as_promised(void **state)
{
    static const uint16_t senders[] = {0, 9, 10, 99, 100, 999, 1000, 9999, 10000, 65535};
    uint8_t body[16] = {0xff, 0xfe};

    (void)state;
    for (size_t i = 0; i < sizeof senders / sizeof *senders; i++) {
        for (size_t len = 0; len < sizeof body; len++) {
            cs_buf b = cs_buf_heap(4096);
            cs_room_msg m;

            assert_int_equal(cs_room_msg_put(&b, senders[i], cs_slice_of(body, len)), CS_OK);
            assert_int_equal(b.len, cs_room_msg_len(senders[i], len));
            assert_int_equal(cs_room_msg_parse(&m, cs_buf_slice(&b)), CS_OK);
            assert_int_equal(m.sender, senders[i]);
            assert_false(m.to_one);
            cs_buf_free(&b);
        }
    }
    uint8_t mem[50] = {0};
    cs_buf small = cs_buf_wrap(mem, sizeof mem);
    assert_int_equal(cs_room_msg_put(&small, 0, cs_slice_of(body, sizeof body)), CS_E_RANGE);
    assert_int_equal(small.len, 0);
}

static void a_refusal_is_its_code_or_its_status(void **state)
{
    static const struct {
        unsigned status;
        const char *body;
        cs_err err;
    } cases[] = {
        {429, "{\"code\":\"ROOM_LIMIT\",\"cause\":\"x\",\"fix\":\"y\"}", CS_E_ROOM_LIMIT},
        {400, "{\"cause\":{\"code\":\"X\"},\"code\":\"ROOM_MESSAGE\"}", CS_E_ROOM_MESSAGE},
        {500, "{\"code\":\"INTERNAL\"}", CS_E_INTERNAL},
        {400, "{\"code\":\"OK\"}", CS_E_FORMAT},
        {404, "{\"code\":\"NO_SUCH_CODE\"}", CS_E_NOT_FOUND},
        {404, "{\"code\":7}", CS_E_NOT_FOUND},
        {413, "{\"code\":\"ROOM_LIMIT\"", CS_E_TOO_LARGE},
        {429, "<html>", CS_E_ROOM_LIMIT},
        {302, "", CS_E_FORMAT},
        {503, "", CS_E_UPSTREAM},
        {502, "{\"code\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}", CS_E_UPSTREAM},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(cs_room_refusal(cases[i].status, cs_slice_str(cases[i].body)), cases[i].err);
    }
}

static void urls(void **state)
{
    static const struct {
        const char *text, *host, *name, *prefix;
        unsigned port;
    } good[] = {
        {"http://gateway", "gateway", "gateway", "", 80},
        {"http://gateway/", "gateway", "gateway", "", 80},
        {"http://gateway:80", "gateway", "gateway", "", 80},
        {"http://127.0.0.1:8080", "127.0.0.1:8080", "127.0.0.1", "", 8080},
        {"http://[::1]:8080/a/b/", "[::1]:8080", "::1", "/a/b", 8080},
        {"http://[::1]", "[::1]", "::1", "", 80},
        {"http://a-b.c_d/%7Ex", "a-b.c_d", "a-b.c_d", "/%7Ex", 80},
    };
    static const struct {
        const char *text;
        cs_err err;
    } bad[] = {
        {"", CS_E_FORMAT},
        {"http://", CS_E_FORMAT},
        {"http:///a", CS_E_FORMAT},
        {"gateway:8080", CS_E_FORMAT},
        {"http://a b", CS_E_FORMAT},
        {"http://a\r\nX: y", CS_E_FORMAT},
        {"http://a/b c", CS_E_FORMAT},
        {"http://a:", CS_E_FORMAT},
        {"http://a:x", CS_E_FORMAT},
        {"http://a:0", CS_E_RANGE},
        {"http://a:65536", CS_E_RANGE},
        {"http://[::1", CS_E_FORMAT},
        {"http://[::1]x", CS_E_FORMAT},
        {"http://[]", CS_E_FORMAT},
        {"https://a", CS_E_UNSUPPORTED},
        {"http://u:p@a", CS_E_UNSUPPORTED},
        {"http://a/?q", CS_E_UNSUPPORTED},
        {"http://a/#f", CS_E_UNSUPPORTED},
    };
    char longest[400] = "http://";
    cs_url u;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(cs_url_parse(&u, cs_slice_str(good[i].text)), CS_OK);
        assert_string_equal(u.host, good[i].host);
        assert_string_equal(u.name, good[i].name);
        assert_string_equal(u.prefix, good[i].prefix);
        assert_int_equal(u.port, good[i].port);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(cs_url_parse(&u, cs_slice_str(bad[i].text)), bad[i].err);
    }
    memset(longest + 7, 'a', 300);
    assert_int_equal(cs_url_parse(&u, cs_slice_str(longest)), CS_E_RANGE);
    longest[8] = '/';
    assert_int_equal(cs_url_parse(&u, cs_slice_str(longest)), CS_E_RANGE);
}

static void names_of_rooms(void **state)
{
    char name[CS_ROOM_NAME_MAX + 2];

    (void)state;
    assert_int_equal(cs_room_name_check(cs_slice_str("signing_-2147483648")), CS_OK);
    assert_int_equal(cs_room_name_check(cs_slice_str("A.z_9-")), CS_OK);
    assert_int_equal(cs_room_name_check(cs_slice_str("")), CS_E_RANGE);
    assert_int_equal(cs_room_name_check(cs_slice_str("a/b")), CS_E_RANGE);
    assert_int_equal(cs_room_name_check(cs_slice_str("a b")), CS_E_RANGE);
    assert_int_equal(cs_room_name_check(cs_slice_str("\xc3\xa4")), CS_E_RANGE);
    memset(name, 'n', sizeof name);
    assert_int_equal(cs_room_name_check(cs_slice_of(name, CS_ROOM_NAME_MAX)), CS_OK);
    assert_int_equal(cs_room_name_check(cs_slice_of(name, CS_ROOM_NAME_MAX + 1)), CS_E_RANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_read),
        cmocka_unit_test(everything_else_is_no_message),
        cmocka_unit_test(what_is_written_is_read_and_as_long_as_promised),
        cmocka_unit_test(a_refusal_is_its_code_or_its_status),
        cmocka_unit_test(urls),
        cmocka_unit_test(names_of_rooms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
