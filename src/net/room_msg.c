/* See room_msg.h, and cs_url_parse of room.h. */
#include "net/room_msg.h"

#include <string.h>

#include "base/text.h"
#include "codec/json.h"
#include "net/room.h"

#define CODE_MAX 48u
#define REFUSAL_KEYS 16u

/* ---- messages ---- */

static cs_err read_index(cs_json *j, uint16_t *out)
{
    uint64_t v = 0;

    CS_TRY(cs_json_u64(j, UINT16_MAX, &v));
    *out = (uint16_t)v;
    return CS_OK;
}

static cs_err read_receiver(cs_json *j, cs_room_msg *m)
{
    if (cs_json_peek(j) != CS_JSON_WORD) {
        m->to_one = true;
        return read_index(j, &m->receiver);
    }
    CS_TRY(cs_json_skip(j)); /* true, false or null: four bytes at least */
    return cs_slice_eq_str(cs_slice_of(j->r.p - 4, 4), "null") ? CS_OK : CS_E_FORMAT;
}

static cs_err read_body(cs_json *j, cs_room_msg *m)
{
    bool plain = false;
    unsigned pad = 0;

    CS_TRY(cs_json_string(j, &m->body, &plain));
    size_t len = m->body.len;
    while (pad < 2 && m->body.len > 0 && m->body.p[m->body.len - 1] == '=') {
        m->body.len--;
        pad++;
    }
    return plain && (pad == 0 || len % 4 == 0) ? CS_OK : CS_E_FORMAT;
}

cs_err cs_room_msg_parse(cs_room_msg *out, cs_slice json)
{
    static const char *const keys[] = {"sender", "receiver", "body"};
    cs_json j = cs_json_of(json);
    cs_room_msg m = {0};
    unsigned seen = 0;

    if (json.len > CS_ROOM_MESSAGE_MAX) {
        return CS_E_TOO_LARGE;
    }
    CS_TRY(cs_json_char(&j, '{'));
    for (unsigned n = 0; n < 3; n++) {
        cs_slice name;
        bool plain = false;
        unsigned k = 0;

        if (n > 0) {
            CS_TRY(cs_json_char(&j, ','));
        }
        CS_TRY(cs_json_string(&j, &name, &plain));
        CS_TRY(cs_json_char(&j, ':'));
        while (k < 3 && !cs_slice_eq_str(name, keys[k])) {
            k++;
        }
        if (k == 3 || (seen & 1u << k) != 0) {
            return CS_E_FORMAT;
        }
        seen |= 1u << k;
        CS_TRY(k == 0 ? read_index(&j, &m.sender) : k == 1 ? read_receiver(&j, &m) : read_body(&j, &m));
    }
    CS_TRY(cs_json_char(&j, '}'));
    CS_TRY(cs_json_end(&j));
    *out = m;
    return CS_OK;
}

#define MSG_HEAD "{\"sender\":%u,\"receiver\":null,\"body\":\""
#define MSG_TAIL "\"}"

cs_err cs_room_msg_put(cs_buf *out, uint16_t sender, cs_slice body)
{
    size_t before = out->len;
    cs_err err = cs_put_fmt(out, MSG_HEAD, (unsigned)sender);

    err = err == CS_OK ? cs_b64_put(out, body, CS_B64_URL) : err;
    err = err == CS_OK ? cs_put_str(out, MSG_TAIL) : err;
    if (err != CS_OK) {
        out->len = before;
    }
    return err;
}

size_t cs_room_msg_len(uint16_t sender, size_t body_len)
{
    size_t digits = sender < 10 ? 1 : sender < 100 ? 2 : sender < 1000 ? 3 : sender < 10000 ? 4 : 5;
    size_t rest = body_len % 3;

    return sizeof MSG_HEAD - 1 - 2 + digits + body_len / 3 * 4 + (rest > 0 ? rest + 1 : 0) + sizeof MSG_TAIL - 1;
}

cs_err cs_room_name_check(cs_slice name)
{
    if (name.len == 0 || name.len > CS_ROOM_NAME_MAX) {
        return CS_E_RANGE;
    }
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.p[i];
        if (!((c | 0x20) >= 'a' && (c | 0x20) <= 'z') && !(c >= '0' && c <= '9') && c != '_' && c != '.' && c != '-') {
            return CS_E_RANGE;
        }
    }
    return CS_OK;
}

/* ---- refusals ---- */

/* The text of the member "code"; CS_SLICE_NULL when there is none. */
static cs_slice code_of(cs_slice body)
{
    cs_json j = cs_json_of(body);
    cs_slice code = CS_SLICE_NULL;

    if (cs_json_char(&j, '{') != CS_OK) {
        return code;
    }
    for (unsigned n = 0; n < REFUSAL_KEYS; n++) {
        cs_slice name;
        bool plain = false;

        if (cs_json_string(&j, &name, &plain) != CS_OK || cs_json_char(&j, ':') != CS_OK) {
            return CS_SLICE_NULL;
        }
        bool is_code = cs_slice_eq_str(name, "code") && cs_json_peek(&j) == CS_JSON_STRING;
        if ((is_code ? cs_json_string(&j, &code, &plain) : cs_json_skip(&j)) != CS_OK) {
            return CS_SLICE_NULL;
        }
        if (!cs_json_try(&j, ',')) {
            break;
        }
    }
    return cs_json_char(&j, '}') == CS_OK && cs_json_end(&j) == CS_OK ? code : CS_SLICE_NULL;
}

cs_err cs_room_refusal(unsigned status, cs_slice body)
{
    char text[CODE_MAX] = {0};
    cs_slice code = code_of(body);

    if (code.len > 0 && code.len < sizeof text) {
        memcpy(text, code.p, code.len);
        cs_err err = cs_err_from_code(text);
        if (err != CS_OK && (err != CS_E_INTERNAL || cs_slice_eq_str(code, "INTERNAL"))) {
            return err;
        }
    }
    switch (status) {
    case 404:
        return CS_E_NOT_FOUND;
    case 413:
        return CS_E_TOO_LARGE;
    case 429:
        return CS_E_ROOM_LIMIT;
    default:
        return status >= 500 ? CS_E_UPSTREAM : CS_E_FORMAT; /* also what we do not take: redirects */
    }
}

/* ---- URLs ---- */

static bool is_alnum(uint8_t c)
{
    return ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || (c >= '0' && c <= '9');
}

static cs_err check_bytes(cs_slice s, const char *also)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] == 0 || (!is_alnum(s.p[i]) && strchr(also, s.p[i]) == NULL)) {
            return CS_E_FORMAT;
        }
    }
    return CS_OK;
}

/* ":PORT" or nothing. */
static cs_err parse_port(cs_url *u, cs_slice text)
{
    uint64_t port = 0;

    u->port = 80;
    if (text.len == 0) {
        return CS_OK;
    }
    if (text.p[0] != ':') {
        return CS_E_FORMAT;
    }
    CS_TRY(cs_parse_u64(cs_slice_of(text.p + 1, text.len - 1), UINT16_MAX, &port));
    if (port == 0) {
        return CS_E_RANGE;
    }
    u->port = (uint16_t)port;
    return CS_OK;
}

static cs_err parse_authority(cs_url *u, cs_slice text)
{
    bool v6 = text.len > 0 && text.p[0] == '[';
    const uint8_t *end = text.len > 0 ? memchr(text.p, v6 ? ']' : ':', text.len) : NULL;
    cs_slice name =
        cs_slice_of(text.p + (v6 ? 1 : 0), (end != NULL ? (size_t)(end - text.p) : text.len) - (v6 ? 1 : 0));
    size_t used = name.len + (v6 ? 2 : 0);

    if ((v6 && end == NULL) || name.len == 0) {
        return CS_E_FORMAT;
    }
    CS_TRY(check_bytes(name, v6 ? ":." : ".-_"));
    CS_TRY(parse_port(u, cs_slice_of(text.p + used, text.len - used)));
    cs_buf host = cs_buf_wrap(u->host, sizeof u->host - 1), plain = cs_buf_wrap(u->name, sizeof u->name - 1);
    CS_TRY(cs_put_slice(&plain, name));
    CS_TRY(cs_put(&host, text.p, used));
    return u->port == 80 ? CS_OK : cs_put_fmt(&host, ":%u", (unsigned)u->port);
}

cs_err cs_url_parse(cs_url *out, cs_slice text)
{
    static const char scheme[] = "http://";
    cs_url u = {.port = 80};

    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] == '@' || text.p[i] == '?' || text.p[i] == '#') {
            return CS_E_UNSUPPORTED;
        }
    }
    if (text.len >= 8 && memcmp(text.p, "https://", 8) == 0) {
        return CS_E_UNSUPPORTED;
    }
    if (text.len < sizeof scheme || memcmp(text.p, scheme, sizeof scheme - 1) != 0) {
        return CS_E_FORMAT;
    }
    cs_slice rest = cs_slice_of(text.p + sizeof scheme - 1, text.len - (sizeof scheme - 1));
    const uint8_t *slash = memchr(rest.p, '/', rest.len);
    size_t host_len = slash != NULL ? (size_t)(slash - rest.p) : rest.len;
    CS_TRY(parse_authority(&u, cs_slice_of(rest.p, host_len)));
    cs_slice path = cs_slice_of(rest.p + host_len, rest.len - host_len);
    while (path.len > 0 && path.p[path.len - 1] == '/') {
        path.len--;
    }
    CS_TRY(check_bytes(path, "/-._~%"));
    cs_buf prefix = cs_buf_wrap(u.prefix, sizeof u.prefix - 1);
    CS_TRY(cs_put_slice(&prefix, path));
    *out = u;
    return CS_OK;
}
