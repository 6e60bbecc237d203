#include "base/log.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/json_out.h"
#include "base/text.h"

#define LINE_MAX_BYTES 4096

static const char *log_program = "countersign";
static cs_log_level log_lowest = CS_LOG_INFO;
static int log_fd = STDERR_FILENO;
static cs_log_sink *log_sink;
static void *log_cookie;
static const char *const level_names[] = {"debug", "info", "warn", "error"};

void cs_log_init(const char *program, cs_log_level level, int fd)
{
    log_program = program;
    log_lowest = level;
    log_fd = fd;
}

void cs_log_set_sink(cs_log_sink *fn, void *cookie)
{
    log_sink = fn;
    log_cookie = cookie;
}

cs_err cs_log_level_of(cs_slice name, cs_log_level *out)
{
    for (int i = 0; i < 4; i++) {
        if (cs_slice_eq_str(name, level_names[i])) {
            *out = (cs_log_level)i;
            return CS_OK;
        }
    }
    return CS_E_FORMAT;
}

static void put_field(cs_jw *w, const cs_log_field *f)
{
    switch (f->kind) {
    case CS_LF_STR:
        cs_jw_str(w, f->key, f->v.s);
        break;
    case CS_LF_CSTR:
        cs_jw_cstr(w, f->key, f->v.c != NULL ? f->v.c : "");
        break;
    case CS_LF_U64:
        cs_jw_u64(w, f->key, f->v.u);
        break;
    case CS_LF_I64:
        cs_jw_i64(w, f->key, f->v.i);
        break;
    case CS_LF_BOOL:
        cs_jw_bool(w, f->key, f->v.b);
        break;
    case CS_LF_HEX:
        cs_jw_hex(w, f->key, f->v.s);
        break;
    case CS_LF_END:
        break;
    }
}

static void write_line(const cs_buf *line)
{
    if (log_sink != NULL) {
        log_sink(log_cookie, cs_buf_slice(line));
        return;
    }
    for (size_t at = 0; at < line->len;) {
        ssize_t n = write(log_fd, line->p + at, line->len - at);
        if (n <= 0) {
            return; /* the log must never stop the program */
        }
        at += (size_t)n;
    }
}

void cs_log_event(cs_log_level level, const char *event, const cs_log_field *fields)
{
    if (level < log_lowest) {
        return;
    }
    uint8_t mem[LINE_MAX_BYTES];
    char ts[40];
    /* two bytes are kept for the closing brace and LF */
    cs_buf line = cs_buf_wrap(mem, sizeof mem - 2);
    cs_buf tb = cs_buf_wrap(ts, sizeof ts);
    cs_jw w = cs_jw_begin(&line);
    cs_jw_object(&w, NULL);
    if (cs_put_rfc3339(&tb, cs_clock_wall_ms()) == CS_OK) {
        cs_jw_str(&w, "ts", cs_buf_slice(&tb));
    }
    cs_jw_cstr(&w, "level", level_names[level]);
    cs_jw_cstr(&w, "program", log_program);
    cs_jw_cstr(&w, "event", event);
    for (; fields != NULL && fields->kind != CS_LF_END; fields++) {
        cs_jw before = w;
        size_t len = line.len;
        put_field(&w, fields);
        if (w.err != CS_OK) { /* cut at a field */
            w = before;
            line.len = len;
            break;
        }
    }
    line.max = line.cap = sizeof mem;
    cs_jw_close_object(&w);
    if (cs_jw_end(&w) == CS_OK && cs_put_u8(&line, '\n') == CS_OK) {
        write_line(&line);
    }
}

void cs_log_refusal(cs_log_level level, const char *event, cs_err e, const cs_log_field *fields)
{
    cs_log_field all[16] = {
        CS_LC("code", cs_err_code(e)),
        CS_LC("class", cs_err_class_name(cs_err_class_of(e))),
        CS_LC("cause", cs_err_cause(e)),
        CS_LC("fix", cs_err_fix(e)),
    };
    size_t n = 4;
    for (; fields != NULL && fields->kind != CS_LF_END && n < 15; fields++) {
        all[n++] = *fields;
    }
    all[n] = (cs_log_field){0};
    cs_log_event(level, event, all);
}
