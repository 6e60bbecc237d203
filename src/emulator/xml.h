/*
 * The little XML of S3 and STS: a strict reader of small documents (elements, text, the five entities and character references;
 * no DTD, no processing instruction but the declaration, no CDATA) and the escaping of text.
 */
#ifndef CS_EMULATOR_XML_H
#define CS_EMULATOR_XML_H

#include "base/bytes.h"

#define CS_EMU_XML_DEPTH 8
#define CS_EMU_XML_NAME 64 /* longest element name and NUL */

/* A reader; positions point into text. */
typedef struct cs_emu_xml {
    cs_reader r;
    char open[CS_EMU_XML_DEPTH][CS_EMU_XML_NAME];
    size_t depth;
    bool started, pending_end;
} cs_emu_xml;

typedef enum cs_emu_xml_event {
    CS_EMU_XML_START,
    CS_EMU_XML_TEXT, /* white space alone is left out */
    CS_EMU_XML_END,
    CS_EMU_XML_DONE
} cs_emu_xml_event;

void cs_emu_xml_init(cs_emu_xml *x, cs_slice text);
/*
 * cs_emu_xml_next - the next event. name: of the element that starts or ends, without its prefix, NUL-terminated. text: decoded,
 * appended to out. DONE comes once, after the root's end and nothing but white space.
 * CS_E_FORMAT | CS_E_RANGE (a name or the depth over its limit; out is full)
 */
CS_MUST cs_err cs_emu_xml_next(cs_emu_xml *x, cs_emu_xml_event *event, char name[CS_EMU_XML_NAME], cs_buf *out);
/*
 * cs_emu_xml_leaf - after the START of name: its text alone into out (NUL-terminated, cap with the NUL), its END eaten.
 * CS_E_FORMAT (an element inside) | CS_E_RANGE
 */
CS_MUST cs_err cs_emu_xml_leaf(cs_emu_xml *x, char *out, size_t cap);
/* cs_emu_xml_skip - after a START: everything to its END. */
CS_MUST cs_err cs_emu_xml_skip(cs_emu_xml *x);

/* cs_emu_xml_put_text - with &, <, >, ", ' and control characters escaped. CS_E_RANGE. */
CS_MUST cs_err cs_emu_xml_put_text(cs_buf *out, cs_slice text);
/* cs_emu_xml_put - <name>value</name>, the value escaped. CS_E_RANGE. */
CS_MUST cs_err cs_emu_xml_put(cs_buf *out, const char *name, const char *value);

#endif
