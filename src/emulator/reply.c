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

cs_err cs_emu_form_get(cs_slice form, const char *name, char *out, size_t cap)
{
    for (size_t i = 0; i < form.len;) {
        size_t end = i, eq = i;
        uint8_t raw[4096];
        while (end < form.len && form.p[end] != '&') {
            end++;
        }
        while (eq < end && form.p[eq] != '=') {
            eq++;
        }
        if (!cs_slice_eq_str(cs_slice_of(form.p + i, eq - i), name)) {
            i = end + 1;
            continue;
        }
        size_t len = eq < end ? end - eq - 1 : 0;
        cs_buf b = cs_buf_wrap(out, cap - 1);
        if (len > sizeof raw) {
            return CS_E_RANGE;
        }
        for (size_t k = 0; k < len; k++) {
            raw[k] = form.p[eq + 1 + k] == '+' ? ' ' : form.p[eq + 1 + k];
        }
        CS_TRY(cs_sigv4_put_decoded(&b, cs_slice_of(raw, len)));
        if (memchr(out, 0, b.len) != NULL) {
            return CS_E_FORMAT;
        }
        out[b.len] = '\0';
        return CS_OK;
    }
    return CS_E_NOT_FOUND;
}
