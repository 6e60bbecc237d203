/*
 * AWS Signature Version 4 (vectors/sigv4): folders with context.json, request.txt and the expected canonical request, string
 * to sign and signature for signing by header (header-*) and by query string (query-*). Six comparisons a folder.
 */
#include <libgen.h>
#include <string.h>

#include "base/text.h"
#include "net/aws/sigv4.h"
#include "suite.h"

void cs_suite_sigv4(cs_suite *s, const char *dir);

typedef struct vector {
    cs_suite *s;
    const char *path; /* of context.json */
    char dir[CS_SUITE_PATH];
    cs_sigv4_header headers[CS_SIGV4_MAX_HEADERS];
    cs_sigv4_request r;
    cs_slice body;
} vector;

static cs_slice strip_cr(cs_slice line)
{
    return line.len > 0 && line.p[line.len - 1] == '\r' ? cs_slice_of(line.p, line.len - 1) : line;
}

/* "METHOD path?query HTTP/1.1"; the path may hold blanks, so the version is behind the last one. */
static cs_err parse_first_line(vector *v, cs_slice line)
{
    size_t a = 0, b = line.len, q;
    while (a < line.len && line.p[a] != ' ') {
        a++;
    }
    while (b > 0 && line.p[b - 1] != ' ') {
        b--;
    }
    if (b <= a + 1) {
        return CS_E_FORMAT;
    }
    v->r.method = cs_slice_of(line.p, a);
    cs_slice uri = cs_slice_of(line.p + a + 1, b - 1 - (a + 1));
    for (q = 0; q < uri.len && uri.p[q] != '?'; q++) {
    }
    v->r.path = cs_slice_of(uri.p, q);
    v->r.query = q < uri.len ? cs_slice_of(uri.p + q + 1, uri.len - q - 1) : CS_SLICE_NULL;
    return CS_OK;
}

static cs_err parse_request(vector *v, cs_slice text)
{
    cs_reader r = cs_reader_of(text);
    cs_slice line = CS_SLICE_NULL;
    CS_TRY(cs_read_line(&r, &line, 16384));
    CS_TRY(parse_first_line(v, strip_cr(line)));
    for (;;) {
        if (cs_read_line(&r, &line, 16384) != CS_OK) {
            CS_TRY(cs_read_slice(&r, &line, r.left)); /* a last line without LF */
        }
        line = strip_cr(line);
        if (line.len == 0) {
            break;
        }
        if ((line.p[0] == ' ' || line.p[0] == '\t') && v->r.num_headers > 0) {
            /* a folded line: the value goes on, line break and all (one slice of the same text) */
            cs_slice *value = &v->headers[v->r.num_headers - 1].value;
            value->len = (size_t)(line.p + line.len - value->p);
            continue;
        }
        size_t n = 0;
        while (n < line.len && line.p[n] != ':') {
            n++;
        }
        if (n == line.len || v->r.num_headers == CS_SIGV4_MAX_HEADERS) {
            return CS_E_FORMAT;
        }
        v->headers[v->r.num_headers++] =
            (cs_sigv4_header){cs_slice_of(line.p, n), cs_slice_of(line.p + n + 1, line.len - n - 1)};
    }
    v->r.headers = v->headers;
    v->body = cs_slice_of(r.p, r.left);
    return CS_OK;
}

static void compare(vector *v, const char *file, cs_slice got)
{
    char path[CS_SUITE_PATH];
    cs_buf want = {0};
    cs_suite_path(path, v->dir, file);
    if (cs_suite_read(path, &want) != CS_OK) {
        cs_suite_fail(v->s, path, "cannot be read");
        return;
    }
    while (want.len > 0 && (want.p[want.len - 1] == '\n' || want.p[want.len - 1] == '\r')) {
        want.len--;
    }
    cs_suite_check(v->s, cs_slice_eq(cs_buf_slice(&want), got), path, "differs");
    cs_buf_free(&want);
}

static void run_mode(vector *v, const cs_sigv4_signer *signer, bool query)
{
    char names[3][64];
    static const char *const kinds[3] = {"canonical-request", "string-to-sign", "signature"};
    cs_buf canonical = cs_buf_heap(CS_SIGV4_MAX_TEXT), sts = cs_buf_heap(4096), out = cs_buf_heap(CS_SIGV4_MAX_TEXT);
    cs_sigv4_result res = {&canonical, &sts, "", "", &out};
    cs_err err = query ? cs_sigv4_presign(&res, &v->r, signer) : cs_sigv4_sign(&res, &v->r, signer);
    if (err != CS_OK) {
        cs_suite_failf(v->s, v->path, "%s: %s", query ? "query" : "header", cs_err_code(err));
    } else {
        for (int i = 0; i < 3; i++) {
            snprintf(names[i], sizeof names[i], "%s-%s.txt", query ? "query" : "header", kinds[i]);
        }
        compare(v, names[0], cs_buf_slice(&canonical));
        compare(v, names[1], cs_buf_slice(&sts));
        compare(v, names[2], cs_slice_str(res.signature));
    }
    cs_buf_free(&canonical);
    cs_buf_free(&sts);
    cs_buf_free(&out);
}

static unsigned flags_of(const json_t *context)
{
    unsigned f = json_is_true(json_object_get(context, "normalize")) ? CS_SIGV4_NORMALIZE : 0;
    f |= json_is_true(json_object_get(context, "omit_session_token")) ? CS_SIGV4_TOKEN_UNSIGNED : 0;
    return f | (json_is_true(json_object_get(context, "sign_body")) ? CS_SIGV4_CONTENT_SHA256 : 0);
}

static void one_vector(cs_suite *s, const char *path, void *cookie)
{
    static vector v;
    char file[CS_SUITE_PATH], copy[CS_SUITE_PATH], hash[65];
    cs_buf text = {0};
    json_t *context = cs_suite_json(s, path);
    memset(&v, 0, sizeof v);
    (void)cookie;
    if (context == NULL) {
        return;
    }
    snprintf(copy, sizeof copy, "%s", path);
    snprintf(v.dir, sizeof v.dir, "%s", dirname(copy));
    v.s = s;
    v.path = path;
    cs_suite_path(file, v.dir, "request.txt");
    const json_t *cred = json_object_get(context, "credentials");
    cs_sigv4_signer signer = {cs_slice_str(cs_suite_str(cred, "access_key_id")),
                              cs_slice_str(cs_suite_str(cred, "secret_access_key")),
                              cs_slice_str(cs_suite_str(cred, "token")),
                              cs_slice_str(cs_suite_str(context, "region")),
                              cs_slice_str(cs_suite_str(context, "service")),
                              0,
                              (uint64_t)json_integer_value(json_object_get(context, "expiration_in_seconds")),
                              flags_of(context)};
    if (cs_parse_rfc3339(cs_slice_str(cs_suite_str(context, "timestamp")), &signer.time_ms) != CS_OK ||
        cs_suite_read(file, &text) != CS_OK || parse_request(&v, cs_buf_slice(&text)) != CS_OK ||
        cs_sigv4_hash(hash, v.body) != CS_OK) {
        cs_suite_fail(s, path, "the vector cannot be read");
    } else {
        v.r.payload_hash = cs_slice_str(hash);
        run_mode(&v, &signer, false);
        run_mode(&v, &signer, true);
    }
    cs_buf_free(&text);
    json_decref(context);
}

void cs_suite_sigv4(cs_suite *s, const char *dir)
{
    cs_suite_walk(s, dir, "context.json", one_vector, NULL);
}
