/*
 * Blocking input and output with deadlines over one descriptor, plain or TLS, and one HTTP/1.1 exchange on it: for programs
 * that do one thing at a time (a worker of sign-kms, kmstool_enclave_cli). Not for use on a loop's thread that serves others.
 */
#ifndef CS_NET_IO_H
#define CS_NET_IO_H

#include "net/endpoint.h"
#include "net/http1.h"

/* Deadlines of specs/nitro-kms.md 1.3. */
#define CS_IO_CONNECT_MS 3000u
#define CS_IO_HANDSHAKE_MS 5000u
#define CS_IO_READ_MS 10000u

/* A connection. ops are of the descriptor, or of TLS (cs_tls_connect_io). Zero state: closed (fd -1 set by init). */
typedef struct cs_io cs_io;
typedef struct cs_io_ops {
    /* up to cap bytes; *out_len 0: end of file. CS_E_TIMEOUT | CS_E_IO | CS_E_TLS | CS_E_CLOSED */
    cs_err (*read)(cs_io *io, void *out, size_t cap, size_t *out_len, uint64_t deadline_ms);
    cs_err (*write)(cs_io *io, cs_slice data, uint64_t deadline_ms);
    void (*close)(cs_io *io);
} cs_io_ops;
struct cs_io {
    int fd; /* non-blocking, owned */
    const cs_io_ops *ops;
    void *tls;
};

/* cs_io_init - over a connected non-blocking descriptor, which becomes the io's. */
void cs_io_init(cs_io *io, int fd_take);
/* cs_io_connect - cs_endpoint_connect into io. */
CS_MUST cs_err cs_io_connect(cs_io *io, const cs_endpoint *ep, uint32_t timeout_ms);
/* All deadlines are of cs_clock_mono_ms. Write sends everything. */
CS_MUST cs_err cs_io_read(cs_io *io, void *out, size_t cap, size_t *out_len, uint64_t deadline_ms);
CS_MUST cs_err cs_io_write(cs_io *io, cs_slice data, uint64_t deadline_ms);
/* cs_io_wait - until fd is readable (or writable): CS_E_TIMEOUT. */
CS_MUST cs_err cs_io_wait(int fd, bool write, uint64_t deadline_ms);
void cs_io_close(cs_io *io);

typedef struct cs_http1_request {
    cs_slice method, target;
    const cs_http1_header *headers; /* host included; content-length is added */
    size_t num_headers;
    cs_slice body;
} cs_http1_request;

/*
 * cs_http1_exchange - send the request, read the response into parser (made by the caller for CS_HTTP1_RESPONSE, with its
 * limits; 1xx answers are skipped). timeout_ms is for the whole exchange. The connection may be used again when the
 * message says keep_alive. CS_E_TIMEOUT | CS_E_IO | CS_E_CLOSED | CS_E_TLS | CS_E_FORMAT | CS_E_TOO_LARGE.
 */
CS_MUST cs_err cs_http1_exchange(cs_io *io, cs_http1_parser *parser, const cs_http1_request *request,
                                 uint32_t timeout_ms);
/* cs_http1_exchange_bytes - the same with a request that is ready, head and body; it is no HEAD. */
CS_MUST cs_err cs_http1_exchange_bytes(cs_io *io, cs_http1_parser *parser, cs_slice request, uint32_t timeout_ms);

#endif
