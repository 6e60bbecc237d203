/* ASCII armor of age files: RFC 7468 in its strict form, LF or CRLF. Source: age specification, "ASCII armor". */
#include <string.h>

#include "base/text.h"
#include "secret/age_int.h"

#define BEGIN_LINE "-----BEGIN AGE ENCRYPTED FILE-----"
#define END_LINE "-----END AGE ENCRYPTED FILE-----"
#define MAX_SPACE 1024 /* white space before and behind, each */

enum { BEFORE, BODY, CLOSING, BEHIND };

static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool all_space(cs_slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!is_space(s.p[i])) {
            return false;
        }
    }
    return true;
}

static cs_err count_space(age_armor *a, size_t n)
{
    a->num_space += n;
    return a->num_space <= MAX_SPACE ? CS_OK : CS_E_AGE_ARMOR;
}

static cs_err close_armor(age_armor *a, cs_age_bytes_fn *next, void *cookie)
{
    a->state = BEHIND;
    a->num_space = 0;
    return a->held_len > 0 ? next(cookie, cs_slice_of(a->held, a->held_len)) : CS_OK;
}

static cs_err body_line(age_armor *a, cs_slice line, cs_age_bytes_fn *next, void *cookie)
{
    cs_buf buf = cs_buf_wrap(a->held, sizeof a->held);

    if (cs_slice_eq_str(line, END_LINE)) {
        return close_armor(a, next, cookie);
    }
    if (line.len == 0 || line.len > AGE_COLUMNS || cs_b64_get(&buf, line, CS_B64_STD) != CS_OK) {
        return CS_E_AGE_ARMOR;
    }
    if (buf.len < sizeof a->held) { /* short: only the closing line may follow */
        a->held_len = buf.len;
        a->state = CLOSING;
        return CS_OK;
    }
    return next(cookie, cs_buf_slice(&buf));
}

static cs_err take_line(age_armor *a, cs_slice line, cs_age_bytes_fn *next, void *cookie)
{
    switch (a->state) {
    case BEFORE:
        if (all_space(line)) {
            return count_space(a, line.len + 1);
        }
        if (!cs_slice_eq_str(line, BEGIN_LINE)) {
            return CS_E_AGE_ARMOR;
        }
        a->state = BODY;
        return CS_OK;
    case BODY:
        return body_line(a, line, next, cookie);
    default: /* CLOSING */
        return cs_slice_eq_str(line, END_LINE) ? close_armor(a, next, cookie) : CS_E_AGE_ARMOR;
    }
}

static cs_err end_line(age_armor *a, cs_age_bytes_fn *next, void *cookie)
{
    cs_slice line = cs_slice_of(a->line, a->line_len);

    a->line_len = 0;
    if (line.len > 0 && line.p[line.len - 1] == '\r') {
        line.len--;
    }
    return take_line(a, line, next, cookie);
}

static cs_err take_byte(age_armor *a, uint8_t c, cs_age_bytes_fn *next, void *cookie)
{
    if (a->state == BEHIND) {
        return is_space(c) ? count_space(a, 1) : CS_E_AGE_ARMOR;
    }
    if (c == '\n') {
        return end_line(a, next, cookie);
    }
    if (a->line_len == sizeof a->line) {
        /* only white space before the armor may be in lines longer than those of the armor */
        if (a->state != BEFORE || !is_space(c) || !all_space(cs_slice_of(a->line, a->line_len))) {
            return CS_E_AGE_ARMOR;
        }
        return count_space(a, 1);
    }
    a->line[a->line_len++] = c;
    return CS_OK;
}

cs_err cs_age_armor_push(age_armor *a, cs_slice bytes, cs_age_bytes_fn *next, void *cookie)
{
    for (size_t i = 0; i < bytes.len; i++) {
        CS_TRY(take_byte(a, bytes.p[i], next, cookie));
    }
    return CS_OK;
}

cs_err cs_age_armor_finish(age_armor *a, cs_age_bytes_fn *next, void *cookie)
{
    if (a->state != BEHIND && a->line_len > 0) {
        CS_TRY(end_line(a, next, cookie)); /* the last line may lack its end */
    }
    return a->state == BEHIND ? CS_OK : CS_E_AGE_ARMOR;
}
