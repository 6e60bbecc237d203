/* Answers. See reply.h. */
#include "emulator/reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cs_emu_reply_header(cs_emu_reply *r, const char *name, const char *fmt, ...)
{
    va_list ap;
    if (r->num_headers == sizeof r->header / sizeof r->header[0]) {
        return;
    }
    va_start(ap, fmt);
    int n = vsnprintf(r->header[r->num_headers].value, sizeof r->header[0].value, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof r->header[0].value) {
        snprintf(r->header[r->num_headers].name, sizeof r->header[0].name, "%s", name);
        r->num_headers++;
    }
}

void cs_emu_reply_text(cs_emu_reply *r, unsigned status, const char *content_type, const char *text)
{
    r->status = status;
    r->body.len = 0;
    cs_emu_reply_header(r, "Content-Type", "%s", content_type);
    if (cs_put_str(&r->body, text) != CS_OK) {
        r->status = 500;
    }
}

void cs_emu_reply_json(cs_emu_reply *r, unsigned status, const char *content_type, json_t *body_take)
{
    char *text = body_take != NULL ? json_dumps(body_take, JSON_COMPACT) : NULL;
    cs_emu_reply_text(r, text != NULL ? status : 500, content_type, text != NULL ? text : "{}");
    free(text);
    json_decref(body_take);
}
