/*
 * trace-context: the W3C harness' header lists through what the gateway does with a request's headers, and what its call to core carries
 * then: one traceparent, well formed, of the trace that is asserted, and the tracestate that is.
 */
#include <string.h>

#include "net/trace.h"
#include "suite.h"

void cs_suite_trace_context(cs_suite *s, const char *dir);

static cs_slice text_of(const json_t *v)
{
    return cs_slice_of(json_string_value(v), json_string_length(v));
}

/* Position of the member key=value in the state, -1: not there. */
static long find(cs_slice state, const char *key, const char *value)
{
    char member[1024];
    int n = snprintf(member, sizeof member, value != NULL ? "%s=%s" : "%s=", key, value != NULL ? value : "");
    for (size_t at = 0; n > 0 && at < state.len;) {
        const uint8_t *comma = memchr(state.p + at, ',', state.len - at);
        size_t len = comma != NULL ? (size_t)(comma - state.p) - at : state.len - at;
        if (len >= (size_t)n && memcmp(state.p + at, member, (size_t)n) == 0 && (value == NULL || len == (size_t)n)) {
            return (long)at;
        }
        at += len + 1;
    }
    return -1;
}

/* "key=value" as one text */
static long find_member(cs_slice state, const char *member)
{
    char key[512];
    const char *sign = strchr(member, '=');
    (void)snprintf(key, sizeof key, "%.*s", (int)(sign - member), member);
    return find(state, key, sign + 1);
}

static size_t members(cs_slice state)
{
    size_t n = state.len > 0 ? 1 : 0;
    for (size_t i = 0; i < state.len; i++) {
        n += state.p[i] == ',';
    }
    return n;
}

static bool state_ok(const json_t *v, cs_slice state)
{
    const char *key;
    json_t *value;
    size_t i;
    bool ok = true;
    json_object_foreach(json_object_get(v, "tracestate"), key, value)
    {
        ok = ok && find(state, key, json_string_value(value)) >= 0;
    }
    json_array_foreach(json_object_get(v, "tracestate_absent"), i, value)
    {
        ok = ok && find(state, json_string_value(value), NULL) < 0;
    }
    json_array_foreach(json_object_get(v, "tracestate_order"), i, value)
    {
        long first = find_member(state, json_string_value(json_array_get(value, 0)));
        long second = find_member(state, json_string_value(json_array_get(value, 1)));
        ok = ok && first >= 0 && second > first;
    }
    const json_t *any = json_object_get(v, "tracestate_any_of"), *count = json_object_get(v, "tracestate_members");
    bool one = any == NULL;
    json_array_foreach(any, i, value)
    {
        one = one || find_member(state, json_string_value(value)) >= 0;
    }
    return ok && one && (count == NULL || members(state) == (size_t)json_integer_value(count));
}

/* What the case gave as its (only) traceparent; p NULL: none, or several. */
static cs_slice given_parent(const cs_trace_headers *h)
{
    return h->num_parents == 1 ? h->parent : CS_SLICE_NULL;
}

static bool ids_ok(const json_t *v, const cs_trace_headers *h, const cs_trace *sent)
{
    const char *want = cs_suite_str(v, "trace_id");
    cs_trace given = {0};
    cs_slice parent = given_parent(h);
    bool read = parent.p != NULL && cs_trace_parent_read(&given, parent) == CS_OK;
    bool same = read && memcmp(given.id, sent->id, sizeof sent->id) == 0;
    if (strcmp(want, "same") == 0 && !same) {
        return false;
    }
    if (strcmp(want, "new") == 0 && same) {
        return false;
    }
    if (strcmp(cs_suite_str(v, "parent_id"), "new") == 0 &&
        (!read || memcmp(given.parent, sent->parent, sizeof sent->parent) == 0)) {
        return false;
    }
    const json_t *bit = json_object_get(v, "flag_bit_kept");
    return bit == NULL || (sent->flags & (1u << (json_integer_value(bit) - 1))) != 0;
}

/* The call to core, as another reader sees it. */
static bool sent_ok(cs_trace *out, const cs_trace *call)
{
    uint8_t mem[CS_TRACE_PARENT_LEN];
    cs_buf text = cs_buf_wrap(mem, sizeof mem);
    cs_slice state = cs_trace_state(call);
    if (cs_trace_parent_put(&text, call) != CS_OK || memcmp(mem, "00-", 3) != 0 ||
        cs_trace_parent_read(out, cs_buf_slice(&text)) != CS_OK) {
        return false;
    }
    return cs_trace_state_read(out, &state, 1) == CS_OK && cs_slice_eq(cs_trace_state(out), state);
}

static void one_case(cs_suite *s, const char *path, const json_t *v)
{
    cs_trace_headers h = {0};
    cs_trace door, core, sent = {0};
    size_t i;
    json_t *header;
    json_array_foreach(json_object_get(v, "headers"), i, header)
    {
        cs_trace_header(&h, text_of(json_array_get(header, 0)), text_of(json_array_get(header, 1)));
    }
    bool ok = cs_trace_take(&door, &h) == CS_OK && cs_trace_child(&core, &door) == CS_OK && sent_ok(&sent, &core) &&
              memcmp(door.span, sent.parent, sizeof sent.parent) != 0;
    ok = ok && ids_ok(v, &h, &sent) && state_ok(v, cs_trace_state(&sent));
    cs_suite_check(s, ok, path, cs_suite_str(v, "what"));
}

static void known_only(const json_t *v)
{
    static const char *const known[] = {"test",
                                        "what",
                                        "headers",
                                        "trace_id",
                                        "parent_id",
                                        "tracestate",
                                        "tracestate_absent",
                                        "tracestate_any_of",
                                        "tracestate_order",
                                        "tracestate_members",
                                        "flag_bit_kept",
                                        "note",
                                        "strict"};
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)v, key, value)
    {
        bool is_known = false;
        for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
            is_known = is_known || strcmp(key, known[i]) == 0;
        }
        if (!is_known) { /* an expectation that this suite does not look at must not pass in silence */
            fprintf(stderr, "trace-context: %s: field \"%s\" is not looked at\n", cs_suite_str(v, "test"), key);
        }
    }
}

static void one_file(cs_suite *s, const char *path, void *cookie)
{
    json_t *root = cs_suite_json(s, path), *v;
    size_t i;
    (void)cookie;
    json_array_foreach(root, i, v)
    {
        known_only(v);
        one_case(s, path, v);
    }
    json_decref(root);
}

void cs_suite_trace_context(cs_suite *s, const char *dir)
{
    cs_suite_walk(s, dir, ".json", one_file, NULL);
}
