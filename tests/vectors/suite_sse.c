/*
 * sse: event streams of the web platform tests through the parser of the rooms' clients, cut at every size from
 * one byte to the
 * whole: the events listed, in order, and no others. (The sending side is read back by other languages' clients,
 * tests/interop.)
 */
#include <string.h>

#include "net/sse.h"
#include "suite.h"

void cs_suite_sse(cs_suite *s, const char *dir);

struct run {
    const json_t *events;
    size_t num;
    bool same;
};

static bool text_is(const json_t *event, const char *key, cs_slice got)
{
    const json_t *v = json_object_get(event, key);
    return v == NULL ||
           (json_is_string(v) && cs_slice_eq(got, cs_slice_of(json_string_value(v), json_string_length(v))));
}

static cs_err on_event(void *cookie, const cs_sse_event *e)
{
    struct run *r = cookie;
    const json_t *want = json_array_get(r->events, r->num++);
    r->same = r->same && want != NULL && json_object_get(want, "data") != NULL && text_is(want, "data", e->data) &&
              text_is(want, "type", e->type) && text_is(want, "id", e->id) && text_is(want, "lastEventId", e->id) &&
              text_is(want, "last_event_id", e->id);
    return CS_OK;
}

static bool same_events(const json_t *events, cs_slice stream, size_t step)
{
    struct run r = {.events = events, .same = true};
    cs_sse *s = NULL;
    cs_err err = cs_sse_new(&s, 0, on_event, &r);
    for (size_t at = 0; err == CS_OK && at < stream.len; at += step) {
        err = cs_sse_feed(s, cs_slice_of(stream.p + at, stream.len - at < step ? stream.len - at : step));
    }
    cs_sse_free(s);
    return err == CS_OK && r.same && r.num == json_array_size(events);
}

static void one_stream(cs_suite *s, const char *path, const json_t *v)
{
    static const char *const known[] = {"name", "source", "stream_hex", "events", "note"};
    cs_buf stream = {0};
    const json_t *events = json_object_get(v, "events");
    const char *key;
    json_t *value;
    bool ok = json_is_array(events) && cs_suite_hex(v, "stream_hex", &stream) == CS_OK;
    for (size_t step = 1; ok && step < 64; step++) {
        ok = same_events(events, cs_buf_slice(&stream), step);
    }
    ok = ok && same_events(events, cs_buf_slice(&stream), stream.len + 1);
    cs_buf_free(&stream);
    json_object_foreach((json_t *)(uintptr_t)v, key, value)
    {
        bool is_known = false;
        for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
            is_known = is_known || strcmp(key, known[i]) == 0;
        }
        if (!is_known) { /* an expectation that this suite does not look at must not pass in silence */
            fprintf(stderr, "sse: %s: field \"%s\" is not looked at\n", cs_suite_str(v, "name"), key);
        }
    }
    cs_suite_check(s, ok, path, cs_suite_str(v, "name"));
}

static void one_file(cs_suite *s, const char *path, void *cookie)
{
    json_t *root = cs_suite_json(s, path);
    (void)cookie;
    if (root != NULL && json_array_size(root) == 0) {
        cs_suite_fail(s, path, "no streams");
    }
    for (size_t i = 0; i < json_array_size(root); i++) {
        one_stream(s, path, json_array_get(root, i));
    }
    json_decref(root);
}

void cs_suite_sse(cs_suite *s, const char *dir)
{
    cs_suite_walk(s, dir, ".json", one_file, NULL);
}
