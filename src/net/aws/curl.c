/* See curl.h. */
#include "net/aws/curl.h"

#include <curl/curl.h>
#include <stdint.h>
#include <string.h>

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
    struct curl_slist *list = curl_slist_append(NULL, "Expect:"); /* bodies are sent at once */
    for (size_t i = 0; i < CS_CURL_MAX_HEADERS && q->headers[i] != NULL && list != NULL; i++) {
        struct curl_slist *more = curl_slist_append(list, q->headers[i]);
        if (more == NULL) {
            curl_slist_free_all(list);
        }
        list = more;
    }
    return list;
}

static void set_method(CURL *c, const cs_curl_request *q, transfer *t)
{
    if (strcmp(q->method, "HEAD") == 0) {
        curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
    } else if (strcmp(q->method, "PUT") == 0 && q->body.p != NULL) {
        curl_easy_setopt(c, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(c, CURLOPT_READFUNCTION, on_upload);
        curl_easy_setopt(c, CURLOPT_READDATA, t);
        curl_easy_setopt(c, CURLOPT_INFILESIZE_LARGE, (curl_off_t)q->body.len);
    } else if (strcmp(q->method, "POST") == 0) {
        curl_easy_setopt(c, CURLOPT_POST, 1L);
        curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->body.len);
        curl_easy_setopt(c, CURLOPT_POSTFIELDS, q->body.p != NULL ? (const char *)q->body.p : ""); /* not copied */
    } else {
        curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, q->method);
    }
}

static void set_peer(CURL *c, const cs_curl_request *q, struct curl_slist *to)
{
    struct curl_blob roots = {
        .data = (void *)(uintptr_t)q->roots_pem.p, .len = q->roots_pem.len, .flags = CURL_BLOB_COPY};

    if (to != NULL) {
        curl_easy_setopt(c, CURLOPT_CONNECT_TO, to);
    }
    if (q->unix_path != NULL) {
        curl_easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, q->unix_path);
    }
    if (q->ca_file != NULL || q->roots_pem.len > 0) {
        curl_easy_setopt(c, CURLOPT_CAPATH, NULL);
    }
    if (q->roots_pem.len > 0) {
        curl_easy_setopt(c, CURLOPT_CAINFO, NULL);
        curl_easy_setopt(c, CURLOPT_CAINFO_BLOB, &roots);
    } else if (q->ca_file != NULL) {
        curl_easy_setopt(c, CURLOPT_CAINFO, q->ca_file);
    }
}

cs_err cs_curl_run(cs_curl_reply *reply, const cs_curl_request *q)
{
    transfer t = {.q = q, .r = reply, .start = reply->body->len};
    long status = 0;
    curl_off_t connect_us = 0;
    CURL *c = curl_easy_init();
    struct curl_slist *list = header_list(q),
                      *to = q->connect_to != NULL ? curl_slist_append(NULL, q->connect_to) : NULL;
    cs_err err = CS_E_NO_MEMORY;
    if (c != NULL && list != NULL && (to != NULL || q->connect_to == NULL)) {
        curl_easy_setopt(c, CURLOPT_URL, q->url);
        curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L); /* what was signed is what is sent */
        curl_easy_setopt(c, CURLOPT_HTTPHEADER, list);
        curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
        curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
        curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
        curl_easy_setopt(c, CURLOPT_PROXY, "");
        curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(c, CURLOPT_QUICK_EXIT,
                         1L); /* a lookup that hangs is left behind: the deadline is the caller's */
        curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)q->connect_ms);
        curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)q->timeout_ms);
        curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
        curl_easy_setopt(c, CURLOPT_WRITEDATA, &t);
        curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
        curl_easy_setopt(c, CURLOPT_HEADERDATA, &t);
        set_peer(c, q, to);
        set_method(c, q, &t);
        err = err_of(curl_easy_perform(c), &t);
        curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
        curl_easy_getinfo(c, CURLINFO_CONNECT_TIME_T, &connect_us);
    }
    reply->status = (int)status;
    reply->connected = connect_us > 0;
    if (err != CS_OK && !(q->keep_partial && (err == CS_E_IO || err == CS_E_TIMEOUT))) {
        reply->body->len = t.start;
    }
    curl_slist_free_all(list);
    curl_slist_free_all(to);
    curl_easy_cleanup(c);
    return err;
}
