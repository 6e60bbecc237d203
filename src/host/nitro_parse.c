/* See nitro_parse.h. */
#include "host/nitro_parse.h"

#include <string.h>

#include "codec/json.h"

enum member { NAME, ID, CID, CPUS, MEMORY, STATE, FLAGS, NUM_MEMBERS };
static const char *const members[NUM_MEMBERS] = {"EnclaveName", "EnclaveID", "EnclaveCID", "NumberOfCPUs",
                                                 "MemoryMiB",   "State",     "Flags"};

/* ---------------------------------------------------------------- JSON */

/* Names go to arguments and into logs: printable ASCII without quotes and blanks at most. */
static cs_err copy_name(char out[CS_NITRO_NAME_MAX + 1], cs_slice raw, bool plain)
{
    if (!plain || raw.len == 0 || raw.len > CS_NITRO_NAME_MAX || raw.p[0] == '-') {
        return CS_E_NITRO_ANSWER;
    }
    for (size_t i = 0; i < raw.len; i++) {
        uint8_t c = raw.p[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
                  c == '.';
        if (!ok) {
            return CS_E_NITRO_ANSWER;
        }
    }
    memcpy(out, raw.p, raw.len);
    out[raw.len] = '\0';
    return CS_OK;
}

static cs_err take_text(cs_nitro_enclave *e, enum member m, cs_json *j)
{
    cs_slice raw;
    bool plain = false;

    if (cs_json_string(j, &raw, &plain) != CS_OK) {
        return CS_E_NITRO_ANSWER;
    }
    switch (m) {
    case NAME:
        /* a name that another tool gave may be anything; it is then none of ours */
        if (copy_name(e->name, raw, plain) != CS_OK) {
            e->name[0] = '\0';
        }
        return CS_OK;
    case ID:
        return copy_name(e->id, raw, plain);
    case STATE:
        e->state = cs_slice_eq_str(raw, "RUNNING")       ? CS_NITRO_RUNNING
                   : cs_slice_eq_str(raw, "TERMINATING") ? CS_NITRO_TERMINATING
                                                         : CS_NITRO_OTHER;
        return CS_OK;
    default:
        e->debug = raw.len >= 10 && memmem(raw.p, raw.len, "DEBUG_MODE", 10) != NULL;
        return CS_OK;
    }
}

static cs_err take_number(cs_nitro_enclave *e, enum member m, cs_json *j)
{
    uint64_t v = 0;

    if (cs_json_u64(j, m == CID ? UINT32_MAX - 1 : UINT32_MAX, &v) != CS_OK) {
        return CS_E_NITRO_ANSWER;
    }
    if (m == CID) {
        e->cid = (uint32_t)v;
    } else if (m == CPUS) {
        e->cpus = v;
    } else {
        e->memory_mib = v;
    }
    return CS_OK;
}

static enum member member_of(cs_slice key)
{
    enum member m = NAME;

    while (m < NUM_MEMBERS && !cs_slice_eq_str(key, members[m])) {
        m++;
    }
    return m;
}

static cs_err take_member(cs_nitro_enclave *e, unsigned *seen, cs_json *j)
{
    cs_slice key;
    bool plain = false;

    if (cs_json_string(j, &key, &plain) != CS_OK || cs_json_char(j, ':') != CS_OK) {
        return CS_E_NITRO_ANSWER;
    }
    enum member m = plain ? member_of(key) : NUM_MEMBERS;
    if (m == NUM_MEMBERS) {
        return cs_json_skip(j) == CS_OK ? CS_OK : CS_E_NITRO_ANSWER;
    }
    if ((*seen & 1u << m) != 0) {
        return CS_E_NITRO_ANSWER;
    }
    *seen |= 1u << m;
    return m == CID || m == CPUS || m == MEMORY ? take_number(e, m, j) : take_text(e, m, j);
}

static cs_err take_object(cs_nitro_enclave *out, cs_json *j)
{
    cs_nitro_enclave e = {.state = CS_NITRO_RUNNING};
    unsigned seen = 0;

    if (cs_json_char(j, '{') != CS_OK) {
        return CS_E_NITRO_ANSWER;
    }
    if (!cs_json_try(j, '}')) {
        do {
            CS_TRY(take_member(&e, &seen, j));
        } while (cs_json_try(j, ','));
        if (cs_json_char(j, '}') != CS_OK) {
            return CS_E_NITRO_ANSWER;
        }
    }
    if ((seen & 1u << ID) == 0 || (seen & 1u << CID) == 0 || e.cid < 4) {
        return CS_E_NITRO_ANSWER;
    }
    *out = e;
    return CS_OK;
}

cs_err cs_nitro_parse_run(cs_nitro_enclave *out, cs_slice json)
{
    cs_json j = cs_json_of(json);
    cs_nitro_enclave e;

    CS_TRY(take_object(&e, &j));
    if (cs_json_end(&j) != CS_OK) {
        return CS_E_NITRO_ANSWER;
    }
    *out = e;
    return CS_OK;
}

cs_err cs_nitro_parse_list(cs_nitro_enclave *out, size_t *out_num, size_t max, cs_slice json)
{
    cs_json j = cs_json_of(json);
    size_t num = 0;

    if (cs_json_char(&j, '[') != CS_OK) {
        return CS_E_NITRO_ANSWER;
    }
    if (!cs_json_try(&j, ']')) {
        do {
            if (num == max) {
                return CS_E_NITRO_ANSWER;
            }
            CS_TRY(take_object(&out[num++], &j));
        } while (cs_json_try(&j, ','));
        if (cs_json_char(&j, ']') != CS_OK) {
            return CS_E_NITRO_ANSWER;
        }
    }
    if (cs_json_end(&j) != CS_OK) {
        return CS_E_NITRO_ANSWER;
    }
    *out_num = num;
    return CS_OK;
}

/* ---------------------------------------------------------------- E-codes */

cs_err cs_nitro_err_of(int code)
{
    static const struct {
        int code;
        cs_err err;
    } rows[] = {
        {1, CS_E_NITRO_ARGUMENT},   {2, CS_E_NITRO_ARGUMENT},   {3, CS_E_NITRO_ARGUMENT},   {10, CS_E_NITRO_GONE},
        {11, CS_E_NITRO_GONE},      {18, CS_E_NITRO_DEVICE},    {19, CS_E_NITRO_DEVICE},    {20, CS_E_NITRO_CPUS},
        {21, CS_E_NITRO_CPUS},      {22, CS_E_NITRO_CPUS},      {23, CS_E_NITRO_CPUS},      {24, CS_E_NITRO_CPUS},
        {25, CS_E_NITRO_HUGEPAGES}, {26, CS_E_NITRO_MEMORY},    {27, CS_E_NITRO_HUGEPAGES}, {29, CS_E_NITRO_START},
        {30, CS_E_NITRO_START},     {31, CS_E_NITRO_START},     {32, CS_E_NITRO_START},     {33, CS_E_NITRO_START},
        {34, CS_E_NITRO_MEMORY},    {35, CS_E_NITRO_IMAGE},     {36, CS_E_NITRO_BOOT},      {37, CS_E_NITRO_GONE},
        {40, CS_E_NITRO_GONE},      {44, CS_E_NITRO_CONSOLE},   {45, CS_E_NITRO_CONSOLE},   {46, CS_E_NITRO_CONSOLE},
        {58, CS_E_NITRO_NAME},      {59, CS_E_NITRO_SIGNATURE}, {60, CS_E_NITRO_SIGNATURE},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].code == code) {
            return rows[i].err;
        }
    }
    return CS_E_NITRO;
}

/* "[ E26 ] text" at `at`: its number, -1 when it is none; *len of what stands before the text. */
static int code_at(cs_slice s, size_t at, size_t *len)
{
    if (s.len - at < 7 || memcmp(s.p + at, "[ E", 3) != 0 || memcmp(s.p + at + 5, " ]", 2) != 0) {
        return -1;
    }
    uint8_t a = s.p[at + 3], b = s.p[at + 4];
    *len = 7;
    return a >= '0' && a <= '9' && b >= '0' && b <= '9' ? (a - '0') * 10 + (b - '0') : -1;
}

static void copy_line(char text[200], cs_slice s)
{
    size_t n = 0, i = 0;

    while (i < s.len && s.p[i] == ' ') {
        i++;
    }
    for (; i < s.len && s.p[i] != '\n' && n < 199; i++) {
        text[n++] = (char)(s.p[i] < ' ' || s.p[i] > '~' ? '?' : s.p[i]);
    }
    text[n] = '\0';
}

cs_err cs_nitro_error(int *out_code, char text[200], cs_slice stderr_text)
{
    size_t len = 0;

    *out_code = -1;
    text[0] = '\0';
    for (size_t i = 0; i < stderr_text.len; i++) {
        int code = code_at(stderr_text, i, &len);
        if (code >= 0) {
            *out_code = code;
            copy_line(text, cs_slice_of(stderr_text.p + i + len, stderr_text.len - i - len));
            return cs_nitro_err_of(code);
        }
    }
    copy_line(text, stderr_text);
    return CS_E_NITRO;
}
