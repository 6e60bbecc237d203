/* Target: cs_emu_xml_next. A document is read to its end; what comes of it as text is escaped and read again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "emulator/xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void again(cs_slice text)
{
    char name[CS_EMU_XML_NAME];
    cs_emu_xml_event e;
    cs_emu_xml x;
    cs_buf doc = cs_buf_heap(1u << 20), back = cs_buf_heap(1u << 20);
    if (cs_put_str(&doc, "<a>") == CS_OK && cs_emu_xml_put_text(&doc, text) == CS_OK &&
        cs_put_str(&doc, "</a>") == CS_OK) {
        cs_emu_xml_init(&x, cs_buf_slice(&doc));
        if (cs_emu_xml_next(&x, &e, name, &back) != CS_OK || cs_emu_xml_next(&x, &e, name, &back) != CS_OK ||
            (e == CS_EMU_XML_TEXT && !cs_slice_eq(cs_buf_slice(&back), text))) {
            abort();
        }
    }
    cs_buf_free(&doc);
    cs_buf_free(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char name[CS_EMU_XML_NAME];
    cs_emu_xml_event e = CS_EMU_XML_START;
    cs_emu_xml x;
    cs_buf text = cs_buf_heap(65536);
    cs_emu_xml_init(&x, cs_slice_of(data, size));
    while (e != CS_EMU_XML_DONE && cs_emu_xml_next(&x, &e, name, &text) == CS_OK) {
        if (e == CS_EMU_XML_TEXT) {
            again(cs_buf_slice(&text));
            text.len = 0;
        }
    }
    cs_buf_free(&text);
    return 0;
}
