/* A room's message: what is taken, what is refused, and the event that goes out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/message.h"

static void good_messages_are_read(void **state)
{
    cs_message m;
    (void)state;
    assert_int_equal(cs_message_parse(&m, cs_slice_str("{\"sender\":1,\"receiver\":null,\"body\":\"AAA-_w\"}")), CS_OK);
    assert_true(m.sender == 1 && m.to_all && cs_slice_eq_str(m.body, "AAA-_w"));
    assert_int_equal(cs_message_parse(&m, cs_slice_str(" {\n\"body\" : \"\",\"receiver\" :65535 , \"sender\":0 }\r\n")),
                     CS_OK);
    assert_true(m.sender == 0 && !m.to_all && m.receiver == 65535 && m.body.len == 0);
    assert_int_equal(cs_message_parse(&m, cs_slice_str("{\"sender\":1,\"receiver\":2,\"body\":\"AA==\"}")), CS_OK);
    assert_true(cs_slice_eq_str(m.body, "AA"));
    assert_int_equal(cs_message_parse(&m, cs_slice_str("{\"sender\":1,\"receiver\":2,\"body\":\"AAAAAAAAAAA=\"}")),
                     CS_OK);
    assert_true(cs_slice_eq_str(m.body, "AAAAAAAAAAA"));
}

static void bad_messages_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "{",
        "{}",
        "[]",
        "null",
        "{\"sender\":1,\"receiver\":null}",
        "{\"sender\":1,\"body\":\"AAAA\"}",
        "{\"receiver\":null,\"body\":\"AAAA\"}",
        "{\"sender\":1,\"receiver\":null,\"body\":\"AAAA\",\"x\":1}",
        "{\"sender\":1,\"sender\":1,\"receiver\":null,\"body\":\"AAAA\"}",
        "{\"sender\":1,\"receiver\":null,\"body\":\"AAAA\",\"body\":\"AAAA\"}",
        "{\"sender\":1,\"receiver\":null,\"body\":\"AAAA\",}",
        "{\"sender\":1,\"receiver\":null,\"body\":\"AAAA\"} x",
        "{\"sender\":1,\"receiver\":null,\"body\":\"AAAA\"}{}",
        "{\"sender\":-1,\"receiver\":null,\"body\":\"AAAA\"}",
        "{\"sender\":01,\"receiver\":null,\"body\":\"AAAA\"}",
        "{\"sender\":1.0,\"receiver\":null,\"body\":\"AAAA\"}",
        "{\"sender\":1e0,\"receiver\":null,\"body\":\"AAAA\"}",
        "{\"sender\":65536,\"receiver\":null,\"body\":\"AAAA\"}",
        "{\"sender\":99999999999999999999999,\"receiver\":null,\"body\":\"AAAA\"}",
        "{\"sender\":\"1\",\"receiver\":null,\"body\":\"AAAA\"}",
        "{\"sender\":null,\"receiver\":null,\"body\":\"AAAA\"}",
        "{\"sender\":1,\"receiver\":nul,\"body\":\"AAAA\"}",
        "{\"sender\":1,\"receiver\":nulll,\"body\":\"AAAA\"}",
        "{\"sender\":1,\"receiver\":true,\"body\":\"AAAA\"}",
        "{\"sender\":1,\"receiver\":65536,\"body\":\"AAAA\"}",
        "{\"sender\":1,\"receiver\":[],\"body\":\"AAAA\"}",
        "{\"sender\":1,\"receiver\":null,\"body\":null}",
        "{\"sender\":1,\"receiver\":null,\"body\":\"A\"}",
        "{\"sender\":1,\"receiver\":null,\"body\":\"AAAAA\"}",
        "{\"sender\":1,\"receiver\":null,\"body\":\"AB\"}",
        "{\"sender\":1,\"receiver\":null,\"body\":\"AAB\"}",
        "{\"sender\":1,\"receiver\":null,\"body\":\"AA=\"}",
        "{\"sender\":1,\"receiver\":null,\"body\":\"AAAA=\"}",
        "{\"sender\":1,\"receiver\":null,\"body\":\"AAAA====\"}",
        "{\"sender\":1,\"receiver\":null,\"body\":\"AA==AA==\"}",
        "{\"sender\":1,\"receiver\":null,\"body\":\"AA+/\"}",
        "{\"sender\":1,\"receiver\":null,\"body\":\"AA A\"}",
        "{\"sender\":1,\"receiver\":null,\"body\":\"AAAA\\n\"}",
        "{\"sender\":1,\"receiver\":null,\"body\":\"\\u0041AAA\"}",
        "{\"sender\":1,\"receiver\":null,\"body\":\"AAAA",
        "{\"sender\":1,\"receiver\":null,\"body\":\"AA==",
        "{\"sender\":1,\"receiver\":null,\"body\":AAAA}",
        "{\"s\\u0065nder\":1,\"receiver\":null,\"body\":\"AAAA\"}",
        "{\"Sender\":1,\"receiver\":null,\"body\":\"AAAA\"}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cs_message m = {.sender = 7};
        if (cs_message_parse(&m, cs_slice_str(bad[i])) != CS_E_ROOM_MESSAGE || m.sender != 7) {
            fail_msg("%s", bad[i]);
        }
    }
}

static void body_is_bounded(void **state)
{
    static const char head[] = "{\"sender\":1,\"receiver\":null,\"body\":\"";
    size_t text = (CS_MESSAGE_BODY_MAX * 4 + 2) / 3;
    char *json = malloc(sizeof head + text + 16);
    cs_message m;
    (void)state;
    memcpy(json, head, sizeof head - 1);
    memset(json + sizeof head - 1, 'A', text + 8);
    strcpy(json + sizeof head - 1 + text, "\"}");
    assert_int_equal(cs_message_parse(&m, cs_slice_str(json)), CS_OK);
    assert_int_equal(m.body.len, text);
    strcpy(json + sizeof head - 1 + text, "A\"}"); /* one byte more */
    assert_int_equal(cs_message_parse(&m, cs_slice_str(json)), CS_E_TOO_LARGE);
    free(json);
}

static void event_is_one_chunk(void **state)
{
    uint8_t mem[CS_MESSAGE_EVENT_OVERHEAD + 4];
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    cs_message m = {.sender = 65535, .receiver = 65535, .body = cs_slice_str("AAAA")};
    size_t body_at = 0;
    (void)state;
    assert_int_equal(cs_message_event(&out, &body_at, &m, UINT64_MAX), CS_OK); /* the longest head fits the overhead */
    out.len = 0;
    m = (cs_message){.sender = 0, .to_all = true, .body = cs_slice_str("AA-_")};
    assert_int_equal(cs_message_event(&out, &body_at, &m, 12), CS_OK);
    assert_true(cs_slice_eq_str(cs_buf_slice(&out),
                                "4c\r\nid: 12\nevent: new-message\n"
                                "data: {\"sender\":0,\"receiver\":null,\"body\":\"AA-_\"}\n\n\r\n"));
    assert_memory_equal(out.p + body_at, "AA-_\"}", 6);
    size_t before = out.len;
    m.body = cs_slice_of(mem, sizeof mem);
    assert_int_equal(cs_message_event(&out, &body_at, &m, 12), CS_E_RANGE);
    assert_int_equal(out.len, before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_messages_are_read),
        cmocka_unit_test(bad_messages_are_refused),
        cmocka_unit_test(body_is_bounded),
        cmocka_unit_test(event_is_one_chunk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
