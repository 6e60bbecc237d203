/*
 * HTTP/2 (vectors/http2). error/: the frame is sent to our gRPC server over a socket, behind the preface; the
 * GOAWAY or
 * RST_STREAM that comes back must carry a listed code. Other frames: their header as nghttp2 reads it, and for
 * PING and
 * SETTINGS the payload (the header blocks of these files are no HPACK). hpack/: decoded in order with one table
 * a story.
 */
#include <nghttp2/nghttp2.h>
#include <string.h>
#include <unistd.h>

#include "net/h2/grpc.h"
#include "net/io.h"
#include "suite.h"

void cs_suite_http2(cs_suite *s, const char *dir);

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
#define PREFACE_LEN 33 /* 24 and an empty SETTINGS of 9 */
#define TURNS 4000     /* 2 s on a machine with other work; a good answer ends them */

struct rig {
    cs_loop *loop;
    cs_grpc_server *server;
    int client;
};

static cs_err rig_open(struct rig *r)
{
    static const cs_grpc_method none[] = {{.path = NULL}};
    cs_endpoint ep;
    int fd = -1;
    CS_TRY(cs_loop_new(&r->loop));
    CS_TRY(cs_endpoint_parse(&ep, cs_slice_str("tcp:127.0.0.1:0")));
    CS_TRY(cs_endpoint_listen(&fd, &ep, 4));
    CS_TRY(cs_endpoint_bound(&ep, fd));
    CS_TRY(cs_grpc_server_new(&r->server, r->loop, fd, none, NULL, NULL));
    return cs_endpoint_connect(&r->client, &ep, 1000);
}

/* The error code of the first GOAWAY or RST_STREAM in bytes; -1: none. */
static long error_code(cs_slice bytes)
{
    cs_reader r = cs_reader_of(bytes);
    uint8_t head[9];
    cs_slice payload;
    while (cs_read_bytes(&r, head, sizeof head) == CS_OK &&
           cs_read_slice(&r, &payload, (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2]) == CS_OK) {
        if (head[3] == NGHTTP2_GOAWAY && payload.len >= 8) {
            return (long)cs_load_u32(payload.p + 4);
        }
        if (head[3] == NGHTTP2_RST_STREAM && payload.len == 4) {
            return (long)cs_load_u32(payload.p);
        }
    }
    return -1;
}

static long ask_server(cs_slice wire)
{
    struct rig r = {.client = -1};
    static uint8_t mem[65536];
    size_t len = 0;
    long code = -1;
    if (rig_open(&r) == CS_OK && write(r.client, preface, PREFACE_LEN) == PREFACE_LEN &&
        write(r.client, wire.p, wire.len) == (ssize_t)wire.len) {
        for (int i = 0; i < TURNS && code < 0; i++) {
            (void)cs_loop_run_once(r.loop, false);
            ssize_t n = read(r.client, mem + len, sizeof mem - len);
            len += n > 0 ? (size_t)n : 0;
            code = error_code(cs_slice_of(mem, len));
            if (n < 0) {
                (void)usleep(500); /* loopback: the bytes are under way */
            }
        }
    }
    if (r.client >= 0) {
        close(r.client);
    }
    cs_grpc_server_free(r.server);
    cs_loop_free(r.loop);
    return code;
}

/* the acknowledgement of the probe below is among the frames */
static bool probe_answered(cs_slice bytes)
{
    cs_reader r = cs_reader_of(bytes);
    uint8_t head[9];
    cs_slice payload;
    while (cs_read_bytes(&r, head, sizeof head) == CS_OK &&
           cs_read_slice(&r, &payload, (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2]) == CS_OK) {
        if (head[3] == NGHTTP2_PING && head[4] == NGHTTP2_FLAG_ACK && cs_slice_eq_str(payload, "vecprobe")) {
            return true;
        }
    }
    return false;
}

/* our server takes the frame: a PING behind it is answered, and nothing is reset or ended before */
static bool server_takes(cs_slice wire)
{
    static const char probe[] = "\0\0\10\6\0\0\0\0\0vecprobe";
    struct rig r = {.client = -1};
    static uint8_t mem[65536];
    size_t len = 0;
    bool answered = false;
    if (rig_open(&r) == CS_OK && write(r.client, preface, PREFACE_LEN) == PREFACE_LEN &&
        write(r.client, wire.p, wire.len) == (ssize_t)wire.len && write(r.client, probe, 17) == 17) {
        for (int i = 0; i < TURNS && !answered && error_code(cs_slice_of(mem, len)) < 0; i++) {
            (void)cs_loop_run_once(r.loop, false);
            ssize_t n = read(r.client, mem + len, sizeof mem - len);
            len += n > 0 ? (size_t)n : 0;
            answered = probe_answered(cs_slice_of(mem, len));
            if (n < 0) {
                (void)usleep(500); /* loopback: the bytes are under way */
            }
        }
    }
    if (r.client >= 0) {
        close(r.client);
    }
    cs_grpc_server_free(r.server);
    cs_loop_free(r.loop);
    return answered && error_code(cs_slice_of(mem, len)) < 0;
}

static void error_case(cs_suite *s, const char *path, const json_t *errors, cs_slice wire)
{
    long code = ask_server(wire);
    for (size_t i = 0; i < json_array_size(errors); i++) {
        if (json_integer_value(json_array_get(errors, i)) == code) {
            cs_suite_pass(s);
            return;
        }
    }
    cs_suite_failf(s, path, "answered with code %ld", code);
}

struct seen {
    nghttp2_frame_hd hd;
    bool has;
    const json_t *payload;
    bool payload_ok;
};

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *user)
{
    struct seen *v = user;
    v->hd = *hd;
    v->has = true;
    return 0;
}

static bool settings_equal(const nghttp2_settings *got, const json_t *want)
{
    if (got->niv != json_array_size(want)) {
        return false;
    }
    for (size_t i = 0; i < got->niv; i++) {
        const json_t *pair = json_array_get(want, i);
        if (got->iv[i].settings_id != json_integer_value(json_array_get(pair, 0)) ||
            got->iv[i].value != json_integer_value(json_array_get(pair, 1))) {
            return false;
        }
    }
    return true;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *f, void *user)
{
    struct seen *v = user;
    if (f->hd.type == NGHTTP2_PING) {
        v->payload_ok = memcmp(f->ping.opaque_data, cs_suite_str(v->payload, "opaque_data"), 8) == 0;
    } else if (f->hd.type == NGHTTP2_SETTINGS) {
        v->payload_ok = settings_equal(&f->settings, json_object_get(v->payload, "settings"));
    }
    return 0;
}

static size_t put_frame(uint8_t *out, uint8_t type, uint8_t flags, uint32_t id, cs_slice payload)
{
    cs_store_u32(out, (uint32_t)payload.len << 8 | type);
    out[4] = flags;
    cs_store_u32(out + 5, id);
    memcpy(out + 9, payload.p, payload.len);
    return 9 + payload.len;
}

/*
 * DATA and CONTINUATION need an open stream of the number in the file, an even one: a client is brought there by a
 * PUSH_PROMISE and a HEADERS frame (left open for CONTINUATION).
 */
static nghttp2_session *pushed_stream(nghttp2_session_callbacks *cb, struct seen *v, uint32_t id, bool headers_end)
{
    static const nghttp2_nv get[] = {{(uint8_t *)(uintptr_t) ":method", (uint8_t *)(uintptr_t) "GET", 7, 3, 0},
                                     {(uint8_t *)(uintptr_t) ":path", (uint8_t *)(uintptr_t) "/", 5, 1, 0},
                                     {(uint8_t *)(uintptr_t) ":scheme", (uint8_t *)(uintptr_t) "http", 7, 4, 0}};
    uint8_t in[200];
    uint8_t promise[] = {0, 0, 0, 0, 0x82, 0x84, 0x86, 0x41, 1, 'x'};
    const uint8_t *out;
    nghttp2_session *session = NULL;
    cs_store_u32(promise, id);
    if (nghttp2_session_client_new(&session, cb, v) != 0 ||
        nghttp2_submit_request(session, NULL, get, 3, NULL, NULL) != 1) {
        return session;
    }
    while (nghttp2_session_mem_send(session, &out) > 0) {
    }
    size_t n = put_frame(in, NGHTTP2_SETTINGS, 0, 0, cs_slice_str(""));
    n += put_frame(in + n, NGHTTP2_PUSH_PROMISE, NGHTTP2_FLAG_END_HEADERS, 1, cs_slice_of(promise, sizeof promise));
    n += put_frame(in + n, NGHTTP2_HEADERS, headers_end ? NGHTTP2_FLAG_END_HEADERS : 0, id, cs_slice_str("\x88"));
    (void)nghttp2_session_mem_recv(session, in, n);
    return session;
}

static nghttp2_session *server_session(nghttp2_session_callbacks *cb, struct seen *v, bool settings)
{
    nghttp2_session *session = NULL;
    if (nghttp2_session_server_new(&session, cb, v) == 0) {
        (void)nghttp2_session_mem_recv(session, (const uint8_t *)preface, settings ? 24 : PREFACE_LEN);
    }
    return session;
}

static void normal_case(cs_suite *s, const char *path, const json_t *frame, cs_slice wire)
{
    nghttp2_session_callbacks *cb = NULL;
    nghttp2_session *session = NULL;
    struct seen v = {.payload = json_object_get(frame, "frame_payload")};
    if (nghttp2_session_callbacks_new(&cb) != 0) {
        cs_suite_fail(s, path, "no memory");
        return;
    }
    nghttp2_session_callbacks_set_on_begin_frame_callback(cb, on_begin_frame);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    json_int_t type = json_integer_value(json_object_get(frame, "type"));
    uint32_t id = (uint32_t)json_integer_value(json_object_get(frame, "stream_identifier"));
    session = type == NGHTTP2_DATA || type == NGHTTP2_CONTINUATION ? pushed_stream(cb, &v, id, type == NGHTTP2_DATA)
                                                                   : server_session(cb, &v, type == NGHTTP2_SETTINGS);
    v.has = false;
    if (session != NULL) {
        (void)nghttp2_session_mem_recv(session, wire.p, wire.len);
    }
    nghttp2_session_del(session);
    nghttp2_session_callbacks_del(cb);
    bool has_payload = v.hd.type == NGHTTP2_PING || v.hd.type == NGHTTP2_SETTINGS;
    /* frames that mean something without an open stream also go to our server; a stream of an even number it never has */
    bool alone = type == NGHTTP2_PING || type == NGHTTP2_SETTINGS || type == NGHTTP2_PRIORITY;
    cs_suite_check(s,
                   v.has && (!alone || server_takes(wire)) && (v.payload_ok || !has_payload) &&
                       (json_int_t)v.hd.length == json_integer_value(json_object_get(frame, "length")) &&
                       v.hd.type == json_integer_value(json_object_get(frame, "type")) &&
                       v.hd.flags == json_integer_value(json_object_get(frame, "flags")) &&
                       v.hd.stream_id == json_integer_value(json_object_get(frame, "stream_identifier")),
                   path, "the frame is read differently");
}

static void frame_file(cs_suite *s, const char *path, void *cookie)
{
    json_t *doc = cs_suite_json(s, path);
    cs_buf wire = {0};
    if (doc == NULL) {
        return;
    }
    const json_t *errors = json_object_get(doc, "error");
    if (cs_suite_hex(doc, "wire", &wire) != CS_OK) {
        cs_suite_fail(s, path, "wire is no hex");
    } else if (json_is_array(errors)) {
        error_case(s, path, errors, cs_buf_slice(&wire));
    } else {
        normal_case(s, path, json_object_get(doc, "frame"), cs_buf_slice(&wire));
    }
    cs_buf_free(&wire);
    json_decref(doc);
}

/* ---- hpack ---- */

static bool header_equal(const nghttp2_nv *nv, const json_t *want)
{
    const char *name = json_object_iter_key(json_object_iter((json_t *)(uintptr_t)want));
    const json_t *value = name != NULL ? json_object_get(want, name) : NULL;
    return value != NULL && cs_slice_eq(cs_slice_of(nv->name, nv->namelen), cs_slice_str(name)) &&
           cs_slice_eq(cs_slice_of(nv->value, nv->valuelen),
                       cs_slice_of(json_string_value(value), json_string_length(value)));
}

static bool inflate_equal(nghttp2_hd_inflater *in, cs_slice wire, const json_t *headers)
{
    size_t num = 0;
    for (;;) {
        nghttp2_nv nv;
        int flags = 0;
        ssize_t n = nghttp2_hd_inflate_hd2(in, &nv, &flags, wire.p, wire.len, 1);
        if (n < 0) {
            return false;
        }
        wire = cs_slice_of(wire.p + n, wire.len - (size_t)n);
        if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0 && !header_equal(&nv, json_array_get(headers, num++))) {
            return false;
        }
        if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) {
            (void)nghttp2_hd_inflate_end_headers(in);
            return wire.len == 0 && num == json_array_size(headers);
        }
        if ((flags & NGHTTP2_HD_INFLATE_EMIT) == 0 && wire.len == 0) {
            return false;
        }
    }
}

static void story_file(cs_suite *s, const char *path, void *cookie)
{
    json_t *doc = cs_suite_json(s, path);
    nghttp2_hd_inflater *in = NULL;
    size_t at;
    const json_t *c;
    if (doc == NULL) {
        return;
    }
    if (nghttp2_hd_inflate_new(&in) != 0) {
        cs_suite_fail(s, path, "no memory");
        json_decref(doc);
        return;
    }
    json_array_foreach(json_object_get(doc, "cases"), at, c)
    {
        cs_buf wire = {0};
        const json_t *size = json_object_get(c, "header_table_size");
        if (json_object_get(c, "wire") == NULL) {
            cs_suite_skip(s, "a story without wire (an encoder's input): nothing to decode");
            continue;
        }
        bool ok = cs_suite_hex(c, "wire", &wire) == CS_OK;
        if (ok && json_is_integer(size)) {
            ok = nghttp2_hd_inflate_change_table_size(in, (size_t)json_integer_value(size)) == 0;
        }
        ok = ok && inflate_equal(in, cs_buf_slice(&wire), json_object_get(c, "headers"));
        if (ok) {
            cs_suite_pass(s);
        } else {
            cs_suite_failf(s, path, "seqno %zu: other headers", at);
        }
        cs_buf_free(&wire);
    }
    nghttp2_hd_inflate_del(in);
    json_decref(doc);
}

void cs_suite_http2(cs_suite *s, const char *dir)
{
    char path[CS_SUITE_PATH];
    cs_suite_path(path, dir, "frames");
    cs_suite_walk(s, path, ".json", frame_file, NULL);
    cs_suite_path(path, dir, "hpack");
    cs_suite_walk(s, path, ".json", story_file, NULL);
}
