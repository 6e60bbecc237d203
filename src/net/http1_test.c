/* HTTP/1.1: the parser's strictness, written heads, and the server against the blocking client, plain and TLS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/io.h"
#include "net/tls.h"

static const cs_http1_limits small = {.head_max = 400, .body_max = 10};

/* Feeds text in pieces of `step` bytes. */
static cs_err feed(cs_http1_parser *p, const char *text, size_t step, bool *done)
{
    size_t len = strlen(text);
    size_t at = 0;
    *done = false;
    while (at < len && !*done) {
        size_t used = 0;
        size_t n = len - at < step ? len - at : step;
        cs_err err = cs_http1_feed(p, &used, done, cs_slice_of(text + at, n));
        if (err != CS_OK) {
            return err;
        }
        at += used;
    }
    return CS_OK;
}

static cs_err parse(cs_http1_kind kind, const char *text, bool *done)
{
    cs_http1_parser *p;
    assert_int_equal(cs_http1_parser_new(&p, kind, &small), CS_OK);
    cs_err err = feed(p, text, 1000, done);
    cs_http1_parser_free(p);
    cs_err split = CS_OK;
    for (size_t step = 1; step < 8; step += 3) { /* the verdict does not depend on how the bytes are cut */
        bool d;
        assert_int_equal(cs_http1_parser_new(&p, kind, &small), CS_OK);
        split = feed(p, text, step, &d);
        assert_int_equal(split, err);
        assert_int_equal(d, *done);
        cs_http1_parser_free(p);
    }
    return err;
}

static void request_is_parsed_at_any_cut(void **state)
{
    static const char text[] = "PUT /a?b=c HTTP/1.1\r\nHost: x\r\nX-A:  v w \r\nContent-Length: 5\r\n\r\nhello";
    for (size_t step = 1; step < sizeof text; step++) {
        cs_http1_parser *p;
        bool done;
        assert_int_equal(cs_http1_parser_new(&p, CS_HTTP1_REQUEST, &small), CS_OK);
        assert_int_equal(feed(p, text, step, &done), CS_OK);
        assert_true(done);
        const cs_http1_msg *m = cs_http1_message(p);
        assert_true(cs_slice_eq_str(m->method, "PUT"));
        assert_true(cs_slice_eq_str(m->target, "/a?b=c"));
        assert_true(cs_slice_eq_str(cs_http1_header_get(m, "x-a"), "v w"));
        assert_null(cs_http1_header_get(m, "x-b").p);
        assert_true(cs_slice_eq_str(m->body, "hello"));
        assert_true(m->keep_alive);
        cs_http1_parser_free(p);
    }
}

static void requests_that_smuggle_are_refused(void **state)
{
    static const struct {
        const char *text;
        cs_err err;
    } bad[] = {
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", CS_E_FORMAT},
        {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", CS_E_FORMAT},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", CS_E_FORMAT},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3, 3\r\n\r\n", CS_E_FORMAT},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\n", CS_E_FORMAT},
        {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", CS_E_UNSUPPORTED},
        {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", CS_E_FORMAT},
        {"GET / HTTP/1.1\r\nHost: x\r\nX-A: a\r\n b\r\n\r\n", CS_E_FORMAT},
        {"GET / HTTP/1.1\r\nHost: x\r\nX-A: a\rb\r\n\r\n", CS_E_FORMAT},
        {"GET / HTTP/1.1\nHost: x\n\n", CS_E_FORMAT},
        {"GET / HTTP/1.1\r\nHost : x\r\n\r\n", CS_E_FORMAT},
        {"GET / HTTP/1.1\r\n\r\n", CS_E_FORMAT},
        {"GET / HTTP/1.1\r\nHost: x\r\n: a\r\n\r\n", CS_E_FORMAT},
        {"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", CS_E_FORMAT},
        {"G@T / HTTP/1.1\r\nHost: x\r\n\r\n", CS_E_FORMAT},
        {"GET / HTTP/2.0\r\nHost: x\r\n\r\n", CS_E_UNSUPPORTED},
        {"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", CS_E_UNSUPPORTED},
        {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-T: v\r\n\r\n",
         CS_E_UNSUPPORTED},
        {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", CS_E_FORMAT},
        {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;a=b\r\nx\r\n0\r\n\r\n", CS_E_UNSUPPORTED},
        {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;a\r\nx\r\n0\r\n\r\n", CS_E_UNSUPPORTED},
        {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0;a\r\n\r\n", CS_E_UNSUPPORTED},
        {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n", CS_E_UNSUPPORTED},
        {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\n", CS_E_FORMAT},
        {"POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", CS_E_FORMAT},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n", CS_E_TOO_LARGE},
        {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nhello hello\r\n0\r\n\r\n",
         CS_E_TOO_LARGE},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        bool done;
        assert_int_equal(parse(CS_HTTP1_REQUEST, bad[i].text, &done), bad[i].err);
        assert_false(done);
    }
}

static void heads_over_the_limit_are_refused(void **state)
{
    char text[600];
    bool done;
    size_t n = (size_t)snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: x\r\nX-A: ");
    memset(text + n, 'a', 500);
    text[n + 500] = '\0';
    assert_int_equal(parse(CS_HTTP1_REQUEST, text, &done), CS_E_TOO_LARGE);
    static const cs_http1_limits wide = {.head_max = 4096};
    char many[4096];
    size_t at = (size_t)snprintf(many, sizeof many, "GET / HTTP/1.1\r\nHost: x\r\n");
    for (int i = 0; i < CS_HTTP1_HEADERS; i++) {
        at += (size_t)snprintf(many + at, sizeof many - at, "A: b\r\n");
    }
    cs_http1_parser *p;
    assert_int_equal(cs_http1_parser_new(&p, CS_HTTP1_REQUEST, &wide), CS_OK);
    assert_int_equal(feed(p, many, 4096, &done), CS_E_TOO_LARGE);
    cs_http1_parser_free(p);
}

static void chunks_are_joined_and_the_rest_is_left(void **state)
{
    static const char text[] =
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nGET";
    cs_http1_parser *p;
    size_t used;
    bool done;
    assert_int_equal(cs_http1_parser_new(&p, CS_HTTP1_REQUEST, &small), CS_OK);
    assert_int_equal(cs_http1_feed(p, &used, &done, cs_slice_str(text)), CS_OK);
    assert_true(done);
    assert_int_equal(used, sizeof text - 1 - 3);
    assert_true(cs_slice_eq_str(cs_http1_message(p)->body, "abcde"));
    cs_http1_reset(p);
    assert_int_equal(feed(p, "GET / HTTP/1.0\r\n\r\n", 100, &done), CS_OK);
    assert_true(done);
    assert_false(cs_http1_message(p)->keep_alive);
    cs_http1_parser_free(p);
}

static void response_ends_by_length_or_by_close(void **state)
{
    cs_http1_parser *p;
    bool done;
    assert_int_equal(cs_http1_parser_new(&p, CS_HTTP1_RESPONSE, &small), CS_OK);
    assert_int_equal(feed(p, "HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\n{}", 7, &done), CS_OK);
    assert_true(done);
    assert_int_equal(cs_http1_message(p)->status, 400);
    cs_http1_reset(p);
    assert_int_equal(feed(p, "HTTP/1.1 200 OK\r\n\r\nbody", 100, &done), CS_OK);
    assert_false(done);
    assert_int_equal(cs_http1_eof(p, &done), CS_OK);
    assert_true(done);
    assert_true(cs_slice_eq_str(cs_http1_message(p)->body, "body"));
    cs_http1_reset(p);
    assert_int_equal(feed(p, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nbod", 100, &done), CS_OK);
    assert_int_equal(cs_http1_eof(p, &done), CS_E_CLOSED);
    cs_http1_parser_free(p);
}

static void heads_with_control_bytes_are_not_written(void **state)
{
    uint8_t mem[300];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    cs_http1_header h = {cs_slice_str("X-A"), cs_slice_str("a\r\nX-B: c")};
    assert_int_equal(cs_http1_put_request(&b, cs_slice_str("GET"), cs_slice_str("/"), &h, 1, 0), CS_E_FORMAT);
    assert_int_equal(b.len, 0);
    h.value = cs_slice_str("v");
    assert_int_equal(cs_http1_put_request(&b, cs_slice_str("GET"), cs_slice_str("/ x"), &h, 1, 0), CS_E_FORMAT);
    assert_int_equal(cs_http1_put_request(&b, cs_slice_str("POST"), cs_slice_str("/"), &h, 1, 3), CS_OK);
    assert_true(cs_slice_eq_str(cs_buf_slice(&b), "POST / HTTP/1.1\r\nX-A: v\r\nContent-Length: 3\r\n\r\n"));
}

/* ---- server and client ---- */

static void a_body_is_asked_for_when_the_client_waits(void **state)
{
    static const struct {
        const char *head;
        bool wants;
    } rows[] = {
        {"PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue \r\nContent-Length: 3\r\n\r\n", true},
        {"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n", false},
        {"PUT / HTTP/1.1\r\nHost: x\r\nExpect: other\r\nContent-Length: 3\r\n\r\n", false},
        {"PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\na", false},
        {"PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n", false}, /* no head yet */
        {"PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n", false},
        {"PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cs_http1_parser *p = NULL;
        static const cs_http1_limits limits = {.body_max = 100};
        size_t used = 0;
        bool done = false;
        assert_int_equal(cs_http1_parser_new(&p, CS_HTTP1_REQUEST, &limits), CS_OK);
        assert_int_equal(cs_http1_feed(p, &used, &done, cs_slice_str(rows[i].head)), CS_OK);
        if (cs_http1_wants_continue(p) != rows[i].wants) {
            fail_msg("row %zu", i);
        }
        cs_http1_parser_free(p);
    }
}

typedef struct job {
    cs_loop *loop;
    cs_async *finished;
    cs_endpoint ep;
    cs_tls_ctx *tls;
    const char *host;
    cs_err connect, first, second;
    unsigned status[2];
    size_t body[2];
} job;

static void handler(void *cookie, cs_http1_conn *conn, const cs_http1_msg *m)
{
    static uint8_t big[300000];
    cs_http1_header h = {cs_slice_str("Content-Type"), cs_slice_str("text/plain")};
    if (cs_slice_eq_str(m->target, "/big")) {
        cs_http1_respond(conn, 200, &h, 1, cs_slice_of(big, sizeof big));
    } else {
        cs_http1_respond(conn, 404, &h, 1, m->body);
    }
}

static void *client(void *arg)
{
    static const cs_http1_limits limits = {.body_max = 1 << 20};
    job *j = arg;
    cs_io io = {.fd = -1};
    cs_http1_parser *p = NULL;
    cs_http1_header host = {cs_slice_str("Host"), cs_slice_str("x")};
    cs_http1_request r = {cs_slice_str("GET"), cs_slice_str("/big"), &host, 1, {0}};
    j->connect = cs_io_connect(&io, &j->ep, 3000);
    if (j->connect == CS_OK && j->tls != NULL) {
        j->connect = cs_tls_connect_io(&io, j->tls, j->host, 5000);
    }
    if (j->connect == CS_OK && cs_http1_parser_new(&p, CS_HTTP1_RESPONSE, &limits) == CS_OK) {
        j->first = cs_http1_exchange(&io, p, &r, 5000);
        j->status[0] = cs_http1_message(p)->status;
        j->body[0] = cs_http1_message(p)->body.len;
        r.target = cs_slice_str("/x");
        r.method = cs_slice_str("POST");
        r.body = cs_slice_str("12345");
        j->second = cs_http1_exchange(&io, p, &r, 5000);
        j->status[1] = cs_http1_message(p)->status;
        j->body[1] = cs_http1_message(p)->body.len;
    }
    cs_http1_parser_free(p);
    cs_io_close(&io);
    cs_async_send(j->finished);
    return NULL;
}

static void stop_loop(void *cookie)
{
    cs_loop_stop(cookie);
}

static void run_job(job *j, cs_tls_ctx *server_tls)
{
    cs_http1_server *s;
    cs_http1_server_opts o = {
        .limits = {.body_max = 1000}, .cid = CS_EP_CID_ANY, .tls = server_tls, .tls_wrap = cs_tls_accept};
    int fd;
    pthread_t t;
    assert_int_equal(cs_loop_new(&j->loop), CS_OK);
    assert_int_equal(cs_endpoint_parse(&j->ep, cs_slice_str("tcp:127.0.0.1:0")), CS_OK);
    assert_int_equal(cs_endpoint_listen(&fd, &j->ep, 8), CS_OK);
    assert_int_equal(cs_endpoint_bound(&j->ep, fd), CS_OK);
    assert_int_equal(cs_http1_server_new(&s, j->loop, fd, &o, handler, NULL), CS_OK);
    assert_int_equal(cs_async_new(&j->finished, j->loop, stop_loop, j->loop), CS_OK);
    assert_int_equal(pthread_create(&t, NULL, client, j), 0);
    cs_loop_run(j->loop);
    pthread_join(t, NULL);
    cs_async_free(j->finished);
    cs_http1_server_free(s);
    cs_loop_free(j->loop);
}

static void server_answers_on_a_kept_connection(void **state)
{
    job j = {0};
    run_job(&j, NULL);
    assert_int_equal(j.connect, CS_OK);
    assert_int_equal(j.first, CS_OK);
    assert_int_equal(j.status[0], 200);
    assert_int_equal(j.body[0], 300000);
    assert_int_equal(j.second, CS_OK);
    assert_int_equal(j.status[1], 404);
    assert_int_equal(j.body[1], 5);
}

static void to_pem(cs_buf *cert_pem, cs_buf *key_pem)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_set_version(x, 2);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:kms.test");
    X509_add_ext(x, e, -1);
    X509_EXTENSION_free(e);
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    BIO *b = BIO_new(BIO_s_mem());
    char *p;
    PEM_write_bio_X509(b, x);
    long n = BIO_get_mem_data(b, &p);
    assert_int_equal(cs_put(cert_pem, p, (size_t)n), CS_OK);
    (void)BIO_reset(b);
    PEM_write_bio_PrivateKey(b, key, NULL, NULL, 0, NULL, NULL);
    n = BIO_get_mem_data(b, &p);
    assert_int_equal(cs_put(key_pem, p, (size_t)n), CS_OK);
    BIO_free(b);
    X509_free(x);
    EVP_PKEY_free(key);
}

static void tls_checks_chain_and_name(void **state)
{
    cs_buf cert[2] = {cs_buf_heap(10000), cs_buf_heap(10000)};
    cs_buf key[2] = {cs_buf_heap(10000), cs_buf_heap(10000)};
    cs_tls_ctx *server;
    cs_tls_ctx *good;
    cs_tls_ctx *other;
    to_pem(&cert[0], &key[0]);
    to_pem(&cert[1], &key[1]);
    assert_int_equal(cs_tls_server_new(&server, cs_buf_slice(&cert[0]), cs_buf_slice(&key[1])), CS_E_FORMAT);
    assert_int_equal(cs_tls_client_new(&good, cs_buf_slice(&key[0])), CS_E_FORMAT);
    assert_int_equal(cs_tls_server_new(&server, cs_buf_slice(&cert[0]), cs_buf_slice(&key[0])), CS_OK);
    assert_int_equal(cs_tls_client_new(&good, cs_buf_slice(&cert[0])), CS_OK);
    assert_int_equal(cs_tls_client_new(&other, cs_buf_slice(&cert[1])), CS_OK);

    job j = {.tls = good, .host = "kms.test"};
    run_job(&j, server);
    assert_int_equal(j.connect, CS_OK);
    assert_int_equal(j.first, CS_OK);
    assert_int_equal(j.body[0], 300000);
    assert_int_equal(j.status[1], 404);

    job wrong_name = {.tls = good, .host = "kms.other"};
    run_job(&wrong_name, server);
    assert_int_equal(wrong_name.connect, CS_E_TLS);

    job wrong_root = {.tls = other, .host = "kms.test"};
    run_job(&wrong_root, server);
    assert_int_equal(wrong_root.connect, CS_E_TLS);

    job no_tls = {.tls = good, .host = "kms.test"};
    run_job(&no_tls, NULL); /* a server that speaks plain HTTP */
    assert_int_not_equal(no_tls.connect, CS_OK);
    cs_tls_ctx_free(server);
    cs_tls_ctx_free(good);
    cs_tls_ctx_free(other);
    for (int i = 0; i < 2; i++) {
        cs_buf_free(&cert[i]);
        cs_buf_free(&key[i]);
    }
}

struct pieces {
    char text[64];
    cs_http1_parser *p;
    unsigned status;
    cs_err err;
};

static cs_err on_piece(void *cookie, cs_slice piece)
{
    struct pieces *b = cookie;
    size_t at = strlen(b->text);
    b->status = cs_http1_message(b->p)->status;
    assert_true(at + piece.len < sizeof b->text);
    memcpy(b->text + at, piece.p, piece.len);
    return b->err;
}

static void a_streamed_body_is_not_kept_nor_limited(void **state)
{
    static const char *const text = "HTTP/1.1 200 OK\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n"
                                    "10\r\n0123456789abcdef\r\n1\r\nX\r\n0\r\n\r\n";
    for (size_t step = 1; step < 120; step++) {
        struct pieces b = {0};
        bool done;
        assert_int_equal(cs_http1_parser_new(&b.p, CS_HTTP1_RESPONSE, &small), CS_OK);
        cs_http1_stream_body(b.p, on_piece, &b);
        assert_int_equal(feed(b.p, text, step, &done), CS_OK);
        assert_true(done);
        assert_int_equal(b.status, 200);
        assert_string_equal(b.text, "0123456789abcdefX");
        assert_int_equal(cs_http1_message(b.p)->body.len, 0);
        assert_true(cs_slice_eq_str(cs_http1_header_get(cs_http1_message(b.p), "a"), "b"));
        /* a length above body_max, and the receiver's error */
        cs_http1_reset(b.p);
        b.text[0] = '\0';
        memset(b.text, 0, sizeof b.text);
        b.err = CS_E_CLOSED;
        assert_int_equal(feed(b.p, "HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\nxy", step, &done), CS_E_CLOSED);
        assert_int_equal(b.text[0], 'x');
        cs_http1_parser_free(b.p);
    }
}

static void silent_server_ends_in_timeout(void **state)
{
    int pair[2];
    cs_io io;
    cs_http1_parser *p;
    cs_http1_request r = {cs_slice_str("GET"), cs_slice_str("/"), NULL, 0, {0}};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    cs_io_init(&io, pair[0]);
    assert_int_equal(cs_http1_parser_new(&p, CS_HTTP1_RESPONSE, &small), CS_OK);
    assert_int_equal(cs_http1_exchange(&io, p, &r, 20), CS_E_TIMEOUT);
    close(pair[1]);
    assert_int_equal(cs_http1_exchange(&io, p, &r, 1000), CS_E_CLOSED);
    cs_http1_parser_free(p);
    cs_io_close(&io);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_is_parsed_at_any_cut),
        cmocka_unit_test(requests_that_smuggle_are_refused),
        cmocka_unit_test(heads_over_the_limit_are_refused),
        cmocka_unit_test(chunks_are_joined_and_the_rest_is_left),
        cmocka_unit_test(response_ends_by_length_or_by_close),
        cmocka_unit_test(heads_with_control_bytes_are_not_written),
        cmocka_unit_test(a_body_is_asked_for_when_the_client_waits),
        cmocka_unit_test(server_answers_on_a_kept_connection),
        cmocka_unit_test(tls_checks_chain_and_name),
        cmocka_unit_test(a_streamed_body_is_not_kept_nor_limited),
        cmocka_unit_test(silent_server_ends_in_timeout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
