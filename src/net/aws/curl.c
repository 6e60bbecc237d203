/* See curl.h. */
#include "net/aws/curl.h"

#define CURL_DISABLE_TYPECHECK /* its macros would link what is loaded here */
#include <curl/curl.h>
#include <dlfcn.h>
#include <stdint.h>
#include <string.h>

#include "base/log.h"

/*
 * libcurl is loaded at the first request: it brings some thirty libraries, and most commands and all processes that a program of the
 * host starts never make one. A start is half as long without.
 */
#define LIBRARY "libcurl.so.4"
static struct {
    CURL *(*init)(void);
    CURLcode (*setopt)(CURL *, CURLoption, ...);
    CURLcode (*perform)(CURL *);
    CURLcode (*getinfo)(CURL *, CURLINFO, ...);
    void (*cleanup)(CURL *);
    struct curl_slist *(*append)(struct curl_slist *, const char *);
    void (*free_all)(struct curl_slist *);
    time_t (*getdate)(const char *, const time_t *);
} lib;

static bool take(void *handle, const char *name, void *to)
{
    void *found = dlsym(handle, name);

    memcpy(to, &found, sizeof found); /* ISO C has no cast from an object's pointer to a function's */
    return found != NULL;
}

static bool load(void)
{
    static bool whole;
    void *handle = NULL;

    if (whole) {
        return true;
    }
    handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    whole = handle != NULL && take(handle, "curl_easy_init", &lib.init) &&
            take(handle, "curl_easy_setopt", &lib.setopt) && take(handle, "curl_easy_perform", &lib.perform) &&
            take(handle, "curl_easy_getinfo", &lib.getinfo) && take(handle, "curl_easy_cleanup", &lib.cleanup) &&
            take(handle, "curl_slist_append", &lib.append) && take(handle, "curl_slist_free_all", &lib.free_all) &&
            take(handle, "curl_getdate", &lib.getdate);
    if (!whole) {
        cs_log_err(CS_LOG_ERROR, "library", CS_E_LIBRARY, CS_LC("name", LIBRARY));
    }
    return whole;
}

typedef struct transfer {
    const cs_curl_request *q;
    cs_curl_reply *r;
    size_t start; /* length of reply->body before */
    size_t sent;
    bool too_large, no_memory;
} transfer;

static size_t on_body(char *p, size_t size, size_t n, void *cookie)
{
    transfer *t = cookie;
    size_t len = size * n;
    if (len > t->q->max_bytes || t->r->body->len - t->start > t->q->max_bytes - len) {
        t->too_large = true;
        return 0;
    }
    cs_err err = cs_put(t->r->body, p, len);
    t->too_large = err == CS_E_RANGE;
    t->no_memory = err == CS_E_NO_MEMORY;
    return err == CS_OK ? len : 0;
}

static size_t on_upload(char *p, size_t size, size_t n, void *cookie)
{
    transfer *t = cookie;
    size_t room = size * n, left = t->q->body.len - t->sent, len = left < room ? left : room;
    if (len > 0) {
        memcpy(p, t->q->body.p + t->sent, len);
        t->sent += len;
    }
    return len;
}

static size_t on_header(char *p, size_t size, size_t n, void *cookie)
{
    transfer *t = cookie;
    cs_slice line = cs_slice_of(p, size * n);
    size_t at = 0;
    while (line.len > 0 && (line.p[line.len - 1] == '\r' || line.p[line.len - 1] == '\n')) {
        line.len--;
    }
    while (at < line.len && line.p[at] != ':') {
        at++;
    }
    if (t->r->on_header != NULL && at < line.len) {
        size_t v = at + 1;
        while (v < line.len && line.p[v] == ' ') {
            v++;
        }
        t->r->on_header(t->r->cookie, cs_slice_of(line.p, at), cs_slice_of(line.p + v, line.len - v));
    }
    return size * n;
}

static cs_err err_of(CURLcode code, const transfer *t)
{
    if (code == CURLE_OK) {
        return CS_OK;
    }
    if (t->too_large) {
        return CS_E_TOO_LARGE;
    }
    switch (code) {
    case CURLE_COULDNT_CONNECT:
        return CS_E_CONNECT;
    case CURLE_COULDNT_RESOLVE_HOST:
        return CS_E_DNS;
    case CURLE_OPERATION_TIMEDOUT:
        return CS_E_TIMEOUT;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
        return CS_E_TLS;
    case CURLE_OUT_OF_MEMORY:
        return CS_E_NO_MEMORY;
    default:
        return t->no_memory ? CS_E_NO_MEMORY : CS_E_IO;
    }
}

static struct curl_slist *header_list(const cs_curl_request *q)
{
    struct curl_slist *list = lib.append(NULL, "Expect:"); /* bodies are sent at once */
    for (size_t i = 0; i < CS_CURL_MAX_HEADERS && q->headers[i] != NULL && list != NULL; i++) {
        struct curl_slist *more = lib.append(list, q->headers[i]);
        if (more == NULL) {
            lib.free_all(list);
        }
        list = more;
    }
    return list;
}

static void set_method(CURL *c, const cs_curl_request *q, transfer *t)
{
    if (strcmp(q->method, "HEAD") == 0) {
        lib.setopt(c, CURLOPT_NOBODY, 1L);
    } else if (strcmp(q->method, "PUT") == 0 && q->body.p != NULL) {
        lib.setopt(c, CURLOPT_UPLOAD, 1L);
        lib.setopt(c, CURLOPT_READFUNCTION, on_upload);
        lib.setopt(c, CURLOPT_READDATA, t);
        lib.setopt(c, CURLOPT_INFILESIZE_LARGE, (curl_off_t)q->body.len);
    } else if (strcmp(q->method, "POST") == 0) {
        lib.setopt(c, CURLOPT_POST, 1L);
        lib.setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->body.len);
        lib.setopt(c, CURLOPT_POSTFIELDS, q->body.p != NULL ? (const char *)q->body.p : ""); /* not copied */
    } else {
        lib.setopt(c, CURLOPT_CUSTOMREQUEST, q->method);
    }
}

static void set_peer(CURL *c, const cs_curl_request *q, struct curl_slist *to)
{
    struct curl_blob roots = {
        .data = (void *)(uintptr_t)q->roots_pem.p, .len = q->roots_pem.len, .flags = CURL_BLOB_COPY};

    if (to != NULL) {
        lib.setopt(c, CURLOPT_CONNECT_TO, to);
    }
    if (q->unix_path != NULL) {
        lib.setopt(c, CURLOPT_UNIX_SOCKET_PATH, q->unix_path);
    }
    if (q->ca_file != NULL || q->roots_pem.len > 0) {
        lib.setopt(c, CURLOPT_CAPATH, NULL);
    }
    if (q->roots_pem.len > 0) {
        lib.setopt(c, CURLOPT_CAINFO, NULL);
        lib.setopt(c, CURLOPT_CAINFO_BLOB, &roots);
    } else if (q->ca_file != NULL) {
        lib.setopt(c, CURLOPT_CAINFO, q->ca_file);
    }
}

cs_err cs_curl_run(cs_curl_reply *reply, const cs_curl_request *q)
{
    transfer t = {.q = q, .r = reply, .start = reply->body->len};
    long status = 0;
    curl_off_t connect_us = 0;
    CURL *c = NULL;
    struct curl_slist *list = NULL, *to = NULL;
    cs_err err = CS_E_NO_MEMORY;

    reply->status = 0;
    reply->connected = false;
    if (!load()) {
        return CS_E_LIBRARY;
    }
    c = lib.init();
    list = header_list(q);
    to = q->connect_to != NULL ? lib.append(NULL, q->connect_to) : NULL;
    if (c != NULL && list != NULL && (to != NULL || q->connect_to == NULL)) {
        lib.setopt(c, CURLOPT_URL, q->url);
        lib.setopt(c, CURLOPT_PATH_AS_IS, 1L); /* what was signed is what is sent */
        lib.setopt(c, CURLOPT_HTTPHEADER, list);
        lib.setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
        lib.setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
        lib.setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
        lib.setopt(c, CURLOPT_PROXY, "");
        lib.setopt(c, CURLOPT_NOSIGNAL, 1L);
        lib.setopt(c, CURLOPT_QUICK_EXIT, 1L); /* a lookup that hangs is left behind: the deadline is the caller's */
        lib.setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)q->connect_ms);
        lib.setopt(c, CURLOPT_TIMEOUT_MS, (long)q->timeout_ms);
        lib.setopt(c, CURLOPT_WRITEFUNCTION, on_body);
        lib.setopt(c, CURLOPT_WRITEDATA, &t);
        lib.setopt(c, CURLOPT_HEADERFUNCTION, on_header);
        lib.setopt(c, CURLOPT_HEADERDATA, &t);
        set_peer(c, q, to);
        set_method(c, q, &t);
        err = err_of(lib.perform(c), &t);
        lib.getinfo(c, CURLINFO_RESPONSE_CODE, &status);
        lib.getinfo(c, CURLINFO_CONNECT_TIME_T, &connect_us);
    }
    reply->status = (int)status;
    reply->connected = connect_us > 0;
    if (err != CS_OK && !(q->keep_partial && (err == CS_E_IO || err == CS_E_TIMEOUT))) {
        reply->body->len = t.start;
    }
    lib.free_all(list);
    lib.free_all(to);
    lib.cleanup(c);
    return err;
}

cs_err cs_curl_date(const char *text, uint64_t *out_ms)
{
    time_t then = load() ? lib.getdate(text, NULL) : -1;

    if (then <= 0) {
        return CS_E_FORMAT;
    }
    *out_ms = (uint64_t)then * 1000;
    return CS_OK;
}
