/* See ask.h. */
#include "host/ask.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "net/aws/json.h"
#include "net/io.h"

cs_err cs_host_ask(cs_buf *answer, const char *dir, cs_slice line, uint32_t timeout_ms)
{
    cs_endpoint at = {.scheme = CS_EP_UNIX};
    uint64_t deadline = cs_clock_mono_ms() + timeout_ms;
    cs_io io = {.fd = -1};
    size_t begun = answer->len;

    int n = snprintf(at.host, sizeof at.host, "%s/control.sock", dir);
    if (n < 0 || n >= 108 || cs_io_connect(&io, &at, 3000) != CS_OK) {
        return CS_E_NOT_RUNNING;
    }
    cs_err err = cs_io_write(&io, line, deadline);
    if (err == CS_OK) {
        err = cs_io_write(&io, cs_slice_str("\n"), deadline);
    }
    while (err == CS_OK && (answer->len == begun || answer->p[answer->len - 1] != '\n')) {
        uint8_t block[4096];
        size_t got = 0;
        err = cs_io_read(&io, block, sizeof block, &got, deadline);
        if (err == CS_OK) {
            err = got == 0 ? CS_E_CLOSED : cs_put(answer, block, got);
        }
    }
    cs_io_close(&io);
    return err == CS_E_RANGE ? CS_E_TOO_LARGE : err;
}

cs_err cs_host_answer(cs_err *code, char detail[256], cs_slice json)
{
    char code_text[64] = "", detail_text[256] = "";
    cs_buf c = cs_buf_wrap(code_text, sizeof code_text - 1), d = cs_buf_wrap(detail_text, sizeof detail_text - 1);
    cs_json_field f[] = {{.key = "code", .kind = CS_JSON_STRING, .out = &c, .required = true},
                         {.key = "detail", .kind = CS_JSON_STRING, .out = &d}};

    while (json.len > 0 && json.p[json.len - 1] == '\n') {
        json.len--;
    }
    CS_TRY(cs_json_read(json, f, 2));
    *code = strcmp(code_text, "OK") == 0 ? CS_OK : cs_err_from_code(code_text);
    memcpy(detail, detail_text, sizeof detail_text);
    return CS_OK;
}
