/* One injection: raw bytes to a port until end of file, then one JSON line back. Blocking, with deadlines. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "host/host.h"
#include "net/aws/json.h"
#include "net/io.h"

#define RETRY_MS 20u
#define LINE_BYTES 2048
#define SEND_MS 60000u

/* Again until the port listens: an enclave that boots refuses at first. */
static cs_err connect_until(cs_io *io, const cs_endpoint *to, uint64_t deadline)
{
    for (;;) {
        cs_err err = cs_io_connect(io, to, CS_IO_CONNECT_MS);
        if (err == CS_OK || cs_clock_mono_ms() >= deadline) {
            return err;
        }
        (void)!cs_io_wait(-1, false, cs_clock_mono_ms() + RETRY_MS);
    }
}

static cs_err read_line(cs_buf *line, cs_io *io, uint64_t deadline)
{
    while (line->len == 0 || line->p[line->len - 1] != '\n') {
        uint8_t block[512];
        size_t n = 0;
        CS_TRY(cs_io_read(io, block, sizeof block, &n, deadline));
        if (n == 0) {
            return CS_E_CLOSED;
        }
        CS_TRY(cs_put(line, block, n));
    }
    line->len--;
    return CS_OK;
}

static cs_err parse_answer(cs_inject_answer *a, cs_slice line)
{
    char code_text[64] = {0}, detail_text[LINE_BYTES];
    cs_buf code = cs_buf_wrap(code_text, sizeof code_text - 1), detail = cs_buf_wrap(detail_text, sizeof detail_text);
    cs_json_field f[] = {
        {.key = "code", .kind = CS_JSON_STRING, .out = &code, .required = true},
        {.key = "detail", .kind = CS_JSON_STRING, .out = &detail},
    };

    memset(a, 0, sizeof *a);
    CS_TRY(cs_json_read(line, f, sizeof f / sizeof *f));
    a->code = cs_err_from_code(code_text);
    memcpy(a->detail, detail_text, detail.len < sizeof a->detail - 1 ? detail.len : sizeof a->detail - 1);
    return CS_OK;
}

cs_err cs_inject_send(cs_inject_answer *a, const cs_endpoint *to, cs_slice bytes, uint32_t wait_ms, uint32_t answer_ms)
{
    uint8_t mem[LINE_BYTES];
    cs_buf line = cs_buf_wrap(mem, sizeof mem);
    cs_io io = {.fd = -1};

    CS_TRY(connect_until(&io, to, cs_clock_mono_ms() + wait_ms));
    cs_err sent = cs_io_write(&io, bytes, cs_clock_mono_ms() + SEND_MS);
    (void)shutdown(io.fd, SHUT_WR);
    /* the answer may come before all was sent: a busy port, or a file that is too large */
    cs_err err = read_line(&line, &io, cs_clock_mono_ms() + answer_ms);
    cs_io_close(&io);
    if (err != CS_OK) {
        return sent != CS_OK ? sent : err;
    }
    return parse_answer(a, cs_buf_slice(&line));
}
