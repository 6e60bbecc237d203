/* What sign-host doctor shows: one line for each check, cause and fix below what is not ok; or JSON. See doctor.h. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/json_out.h"
#include "host/doctor.h"

static const struct {
    const char *word, *json, *colour;
} shown[] = {
    [CS_DOCTOR_OK] = {"ok", "ok", "\033[32m"},
    [CS_DOCTOR_WARN] = {"warn", "warn", "\033[33m"},
    [CS_DOCTOR_FAIL] = {"FAIL", "fail", "\033[1;31m"},
    [CS_DOCTOR_SKIP] = {"skip", "skip", "\033[2m"},
};

void cs_doctor_report_say(cs_doctor_line *l, cs_doctor_status s, cs_err code, const char *fmt, ...)
{
    va_list ap;

    l->status = s;
    l->code = code;
    va_start(ap, fmt);
    (void)vsnprintf(l->text, sizeof l->text, fmt, ap);
    va_end(ap);
    /* names and codes of peers end up here: nothing may move the cursor */
    for (char *p = l->text; *p != '\0'; p++) {
        if ((unsigned char)*p < ' ' || *p == 0x7f) {
            *p = '?';
        }
    }
}

void cs_doctor_report_line(const cs_doctor_row *row, const cs_doctor_line *l, bool colour)
{
    const char *on = colour ? shown[l->status].colour : "", *off = colour ? "\033[0m" : "";
    bool explain = l->code != CS_OK && l->status != CS_DOCTOR_OK && l->status != CS_DOCTOR_SKIP;

    (void)printf("%s%-4s%s  %-12s %s\n", on, shown[l->status].word, off, row->name, l->text);
    if (explain) {
        (void)printf("%19scause: %s (%s)\n%19sfix:   %s\n", "", cs_err_cause(l->code), cs_err_code(l->code), "",
                     cs_err_fix(l->code));
    }
    (void)fflush(stdout);
}

static void count(unsigned num[4], const cs_doctor_line *lines, const bool *ran, size_t n)
{
    memset(num, 0, 4 * sizeof num[0]);
    for (size_t i = 0; i < n; i++) {
        if (ran[i]) {
            num[lines[i].status]++;
        }
    }
}

void cs_doctor_report_end(const cs_doctor_line *lines, const bool *ran, size_t n, bool colour)
{
    unsigned num[4];

    count(num, lines, ran, n);
    cs_doctor_status worst = num[CS_DOCTOR_FAIL] > 0   ? CS_DOCTOR_FAIL
                             : num[CS_DOCTOR_WARN] > 0 ? CS_DOCTOR_WARN
                                                       : CS_DOCTOR_OK;
    (void)printf("%s%u ok, %u warn, %u fail, %u skip%s\n", colour ? shown[worst].colour : "", num[CS_DOCTOR_OK],
                 num[CS_DOCTOR_WARN], num[CS_DOCTOR_FAIL], num[CS_DOCTOR_SKIP], colour ? "\033[0m" : "");
    (void)fflush(stdout);
}

cs_err cs_doctor_report_json(cs_buf *out, const cs_doctor_row *rows, const cs_doctor_line *lines, const bool *ran,
                             size_t n)
{
    unsigned num[4];
    cs_jw w = cs_jw_begin(out);

    count(num, lines, ran, n);
    cs_jw_object(&w, NULL);
    cs_jw_bool(&w, "ok", num[CS_DOCTOR_FAIL] == 0);
    for (int s = 0; s < 4; s++) {
        cs_jw_u64(&w,
                  s == CS_DOCTOR_OK     ? "num_ok"
                  : s == CS_DOCTOR_WARN ? "num_warn"
                  : s == CS_DOCTOR_FAIL ? "num_fail"
                                        : "num_skip",
                  num[s]);
    }
    cs_jw_array(&w, "checks");
    for (size_t i = 0; i < n; i++) {
        if (!ran[i]) {
            continue;
        }
        cs_jw_object(&w, NULL);
        cs_jw_cstr(&w, "check", rows[i].name);
        cs_jw_cstr(&w, "status", shown[lines[i].status].json);
        cs_jw_cstr(&w, "code", cs_err_code(lines[i].code));
        cs_jw_cstr(&w, "text", lines[i].text);
        if (lines[i].code != CS_OK) {
            cs_jw_cstr(&w, "cause", cs_err_cause(lines[i].code));
            cs_jw_cstr(&w, "fix", cs_err_fix(lines[i].code));
        }
        cs_jw_u64(&w, "ms", lines[i].took_ms);
        cs_jw_close_object(&w);
    }
    cs_jw_close_array(&w);
    cs_jw_close_object(&w);
    CS_TRY(cs_jw_end(&w));
    return cs_put_u8(out, '\n');
}

bool cs_doctor_report_failed(const cs_doctor_line *lines, const bool *ran, size_t n)
{
    unsigned num[4];

    count(num, lines, ran, n);
    return num[CS_DOCTOR_FAIL] > 0;
}
