/* The reader and the escaping of small XML documents. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "emulator/xml.h"

#define S(x) cs_slice_str(x)

/* The events of a document as one line: "<a text /a" ... or the error's code. */
static const char *events(const char *doc)
{
    static char out[1024];
    uint8_t mem[64];
    char name[CS_EMU_XML_NAME];
    cs_emu_xml_event e = CS_EMU_XML_START;
    cs_emu_xml x;
    size_t n = 0;
    cs_emu_xml_init(&x, S(doc));
    while (e != CS_EMU_XML_DONE) {
        cs_buf text = cs_buf_wrap(mem, sizeof mem);
        cs_err err = cs_emu_xml_next(&x, &e, name, &text);
        if (err != CS_OK) {
            return cs_err_code(err);
        }
        if (e == CS_EMU_XML_TEXT) {
            n += (size_t)snprintf(out + n, sizeof out - n, "%.*s ", (int)text.len, (char *)mem);
        } else if (e != CS_EMU_XML_DONE) {
            n += (size_t)snprintf(out + n, sizeof out - n, "%s%s ", e == CS_EMU_XML_START ? "<" : "/", name);
        }
    }
    out[n > 0 ? n - 1 : 0] = '\0';
    return out;
}

static void documents_are_read(void **state)
{
    assert_string_equal(events("<a/>"), "<a /a");
    assert_string_equal(events("<?xml version=\"1.0\"?>\n<a x='1' y=\"<\"> </a>\n"), cs_err_code(CS_E_FORMAT));
    assert_string_equal(
        events("<?xml version=\"1.0\"?>\n<s3:a xmlns:s3='u' y=\">\"> <b>t&amp;&lt;&#65;&#x20AC;</b><c/></s3:a>\n"),
        "<a <b t&<A\xe2\x82\xac /b <c /c /a");
    assert_string_equal(events("<a><!-- <b> --><c>x</c></a>"), "<a <c x /c /a");
}

static void malformed_documents_are_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "text",
                                      "<a>",
                                      "<a></b>",
                                      "</a>",
                                      "<a/><b/>",
                                      "<a/>x",
                                      "<a b=c/>",
                                      "<a b/>",
                                      "<a b='1'c='2'/>",
                                      "<a",
                                      "<a b='",
                                      "<>x</>",
                                      "<a>&nope;</a>",
                                      "<a>&#0;</a>",
                                      "<a>&#xD800;</a>",
                                      "<a>&#x110000;</a>",
                                      "<a>&#;</a>",
                                      "<a>&#x;</a>",
                                      "<a>& b</a>",
                                      "<a>\x01</a>",
                                      "<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>",
                                      "<a><![CDATA[x]]></a>",
                                      "<a><?php x?></a>",
                                      "<a><!-- </a>"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (strcmp(events(bad[i]), cs_err_code(CS_E_FORMAT)) != 0) {
            fail_msg("taken: %s", bad[i]);
        }
    }
    assert_string_equal(events("<a><a><a><a><a><a><a><a><a>"), cs_err_code(CS_E_RANGE));
    assert_string_equal(events("<a0123456789012345678901234567890123456789012345678901234567890123/>"),
                        cs_err_code(CS_E_RANGE));
    assert_string_equal(events("<a>01234567890123456789012345678901234567890123456789012345678901234</a>"),
                        cs_err_code(CS_E_RANGE));
}

static void leaves_and_skipping(void **state)
{
    char name[CS_EMU_XML_NAME], text[8];
    uint8_t mem[8];
    cs_buf none = cs_buf_wrap(mem, sizeof mem);
    cs_emu_xml_event e;
    cs_emu_xml x;
    cs_emu_xml_init(&x, S("<a><b>1234567</b><c><d>1</d>2</c><e>x<f/></e></a>"));
    assert_int_equal(cs_emu_xml_next(&x, &e, name, &none), CS_OK);
    assert_int_equal(cs_emu_xml_next(&x, &e, name, &none), CS_OK);
    assert_int_equal(cs_emu_xml_leaf(&x, text, sizeof text), CS_OK);
    assert_string_equal(text, "1234567");
    assert_int_equal(cs_emu_xml_next(&x, &e, name, &none), CS_OK);
    assert_string_equal(name, "c");
    assert_int_equal(cs_emu_xml_skip(&x), CS_OK);
    assert_int_equal(cs_emu_xml_next(&x, &e, name, &none), CS_OK);
    assert_string_equal(name, "e");
    assert_int_equal(cs_emu_xml_leaf(&x, text, sizeof text), CS_E_FORMAT);
    cs_emu_xml_init(&x, S("<a>12345678</a>"));
    assert_int_equal(cs_emu_xml_next(&x, &e, name, &none), CS_OK);
    assert_int_equal(cs_emu_xml_leaf(&x, text, sizeof text), CS_E_RANGE);
}

static void text_is_escaped(void **state)
{
    uint8_t mem[64];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    assert_int_equal(cs_emu_xml_put(&b, "K", "a<b>&\"'\n"), CS_OK);
    assert_true(cs_slice_eq_str(cs_buf_slice(&b), "<K>a&lt;b&gt;&amp;&quot;&apos;&#xA;</K>"));
    b = cs_buf_wrap(mem, 10);
    assert_int_equal(cs_emu_xml_put(&b, "K", "abcdefgh"), CS_E_RANGE);
    assert_int_equal(b.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_are_read),
        cmocka_unit_test(malformed_documents_are_refused),
        cmocka_unit_test(leaves_and_skipping),
        cmocka_unit_test(text_is_escaped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
