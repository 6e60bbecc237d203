/* A room's message. See message.h. */
#include "gateway/message.h"

#include <stdio.h>

#include "codec/json.h"
#include "net/http1.h"

enum { SENDER = 1, RECEIVER = 2, BODY = 4 };

static int value_of(uint8_t c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

/* 1: a byte of the alphabet. One look-up per byte: bodies are most of what the gateway moves. */
static uint8_t allowed[256];

static void fill_allowed(void)
{
    if (allowed['A'] == 0) {
        for (unsigned c = 0; c < 256; c++) {
            allowed[c] = value_of((uint8_t)c) >= 0 ? 1 : 0;
        }
    }
}

static size_t alphabet_run(cs_slice s)
{
    size_t n = 0;
    fill_allowed();
    while (s.len - n >= 8 &&
           (allowed[s.p[n]] & allowed[s.p[n + 1]] & allowed[s.p[n + 2]] & allowed[s.p[n + 3]] & allowed[s.p[n + 4]] &
            allowed[s.p[n + 5]] & allowed[s.p[n + 6]] & allowed[s.p[n + 7]]) != 0) {
        n += 8;
    }
    while (n < s.len && allowed[s.p[n]] != 0) {
        n++;
    }
    return n;
}

/* A string of base64url, whole groups or not, with the right padding or none. Escapes are not base64url. */
static cs_err body_string(cs_json *j, cs_slice *out)
{
    CS_TRY(cs_json_char(j, '"'));
    cs_slice rest = {j->r.p, j->r.left};
    size_t n = alphabet_run(rest);
    size_t pad = 0;
    cs_slice skipped;
    uint8_t quote = 0;
    while (n + pad < rest.len && rest.p[n + pad] == '=') {
        pad++;
    }
    CS_TRY(cs_read_slice(&j->r, &skipped, n + pad));
    CS_TRY(cs_read_u8(&j->r, &quote));
    size_t tail = n % 4;
    if (quote != '"' || tail == 1 || (pad != 0 && (tail == 0 || pad != 4 - tail))) {
        return CS_E_FORMAT;
    }
    if (tail != 0 && (value_of(rest.p[n - 1]) & (tail == 2 ? 15 : 3)) != 0) { /* two texts for the same bytes */
        return CS_E_FORMAT;
    }
    *out = cs_slice_of(rest.p, n);
    return n / 4 * 3 + (tail != 0 ? tail - 1 : 0) > CS_MESSAGE_BODY_MAX ? CS_E_TOO_LARGE : CS_OK;
}

static cs_err number(cs_json *j, uint16_t *out)
{
    uint64_t n = 0;
    CS_TRY(cs_json_u64(j, UINT16_MAX, &n));
    *out = (uint16_t)n;
    return CS_OK;
}

static cs_err receiver(cs_json *j, cs_message *m)
{
    uint8_t rest[3];
    if (!cs_json_try(j, 'n')) {
        return number(j, &m->receiver);
    }
    CS_TRY(cs_read_bytes(&j->r, rest, sizeof rest));
    m->to_all = true;
    return cs_slice_eq_str(cs_slice_of(rest, sizeof rest), "ull") ? CS_OK : CS_E_FORMAT;
}

static cs_err member(cs_json *j, cs_message *m, unsigned *seen)
{
    cs_slice key;
    bool plain;
    unsigned which;
    CS_TRY(cs_json_string(j, &key, &plain));
    CS_TRY(cs_json_char(j, ':'));
    if (cs_slice_eq_str(key, "sender")) {
        which = SENDER;
        CS_TRY(number(j, &m->sender));
    } else if (cs_slice_eq_str(key, "receiver")) {
        which = RECEIVER;
        CS_TRY(receiver(j, m));
    } else if (cs_slice_eq_str(key, "body")) {
        which = BODY;
        CS_TRY(body_string(j, &m->body));
    } else {
        return CS_E_FORMAT;
    }
    if ((*seen & which) != 0) {
        return CS_E_FORMAT;
    }
    *seen |= which;
    return CS_OK;
}

static cs_err parse(cs_message *m, cs_slice json)
{
    cs_json j = cs_json_of(json);
    unsigned seen = 0;
    CS_TRY(cs_json_char(&j, '{'));
    do {
        CS_TRY(member(&j, m, &seen));
    } while (cs_json_try(&j, ','));
    CS_TRY(cs_json_char(&j, '}'));
    CS_TRY(cs_json_end(&j));
    return seen == (SENDER | RECEIVER | BODY) ? CS_OK : CS_E_FORMAT;
}

cs_err cs_message_parse(cs_message *out, cs_slice json)
{
    cs_message m = {0};
    cs_err err = parse(&m, json);
    if (err != CS_OK) {
        return err == CS_E_TOO_LARGE ? err : CS_E_ROOM_MESSAGE;
    }
    *out = m;
    return CS_OK;
}

cs_err cs_message_event(cs_buf *out, size_t *out_body_at, const cs_message *m, uint64_t id)
{
    static const char tail[] = "\"}\n\n";
    char head[CS_MESSAGE_EVENT_OVERHEAD], to[8] = "null";
    if (!m->to_all) {
        snprintf(to, sizeof to, "%u", m->receiver);
    }
    int n =
        snprintf(head, sizeof head, "id: %llu\nevent: new-message\ndata: {\"sender\":%u,\"receiver\":%s,\"body\":\"",
                 (unsigned long long)id, m->sender, to);
    cs_slice parts[] = {cs_slice_of(head, (size_t)n), m->body, cs_slice_str(tail)};
    CS_TRY(cs_http1_put_chunk(out, parts, 3));
    *out_body_at = out->len - 2 - (sizeof tail - 1) - m->body.len; /* CR LF behind a chunk */
    return CS_OK;
}
