/* signctl config compile: the YAML of an enclave's configuration to the CBOR that is measured with the image. */
#include <glob.h>
#include <stdio.h>
#include <string.h>

#include "base/json_out.h"
#include "tools/cmds.h"
#include "tools/config_compile.h"
#include "tools/tool_file.h"

#define SET_MAX 1280
#define DEFAULT_ROOTS "/usr/share/ca-certificates/mozilla/Amazon_Root_CA_*.crt"

/* Amazon's roots in the order of their names, so that the same package gives the same bytes. */
static cs_err default_roots(cs_buf *out)
{
    glob_t found;

    if (glob(DEFAULT_ROOTS, 0, NULL, &found) != 0) {
        return CS_E_NOT_FOUND;
    }
    cs_err err = CS_OK;
    for (size_t i = 0; err == CS_OK && i < found.gl_pathc; i++) {
        err = cs_tfile_read(out, found.gl_pathv[i]);
    }
    globfree(&found);
    return err;
}

/* A relative path is taken from the folder of the configuration file (cookie). */
static cs_err read_ca(void *cookie, cs_buf *out, const char *path)
{
    const char *config = cookie, *slash = strrchr(config, '/');
    char full[4096];

    if (path == NULL) {
        return default_roots(out);
    }
    if (path[0] == '/' || slash == NULL) {
        return cs_tfile_read(out, path);
    }
    int n = snprintf(full, sizeof full, "%.*s/%s", (int)(slash - config), config, path);
    return n < 0 || (size_t)n >= sizeof full ? CS_E_RANGE : cs_tfile_read(out, full);
}

static cs_err write_out(const char *path, cs_slice bytes)
{
    cs_tfile_out out = {0};
    cs_err err = cs_tfile_out_open(&out, path, false);

    if (err == CS_OK) {
        err = cs_tfile_out_write(&out, bytes);
    }
    if (err == CS_OK) {
        err = cs_tfile_out_commit(&out);
    }
    cs_tfile_out_close(&out);
    return err;
}

static int report(const cs_args *a, size_t len)
{
    uint8_t mem[8192];
    cs_buf line = cs_buf_wrap(mem, sizeof mem);
    cs_jw w = cs_jw_begin(&line);

    cs_jw_object(&w, NULL);
    cs_jw_cstr(&w, "out", cs_args_str(a, "out"));
    cs_jw_u64(&w, "bytes", len);
    cs_jw_close_object(&w);
    if (cs_jw_end(&w) != CS_OK || printf("%.*s\n", (int)line.len, (const char *)line.p) < 0 || fflush(stdout) != 0) {
        return 1;
    }
    return 0;
}

/* "KEY=VALUE" of each --set, cut in two in mem. */
static bool take_sets(cs_config_set set[CS_OPT_MAX_MANY], char mem[CS_OPT_MAX_MANY][SET_MAX], const cs_args *a)
{
    for (size_t i = 0; i < a->num_many; i++) {
        char *equals;
        if (strlen(a->many[i]) >= SET_MAX) {
            return false;
        }
        memcpy(mem[i], a->many[i], strlen(a->many[i]) + 1);
        equals = strchr(mem[i], '=');
        if (equals == NULL || equals == mem[i]) {
            return false;
        }
        *equals = '\0';
        set[i] = (cs_config_set){mem[i], equals + 1};
    }
    return true;
}

static int run(const cs_args *a)
{
    static char set_mem[CS_OPT_MAX_MANY][SET_MAX];
    cs_config_set set[CS_OPT_MAX_MANY];
    cs_buf yaml = cs_buf_heap(CS_CONFIG_YAML_MAX + 1), cbor = cs_buf_heap(CS_CONFIG_CBOR_MAX);
    const cs_config_files files = {read_ca, (void *)(uintptr_t)a->pos[0], set, a->num_many};
    const char *out = cs_args_str(a, "out");
    bool json = cs_args_flag(a, "json");
    cs_yaml_fault fault = {0};
    char detail[512];
    int status = 0;

    if (json && (out == NULL || strcmp(out, "-") == 0)) {
        return cs_usage_error(a, "--json needs --out FILE: standard output holds the report");
    }
    if (!take_sets(set, set_mem, a)) {
        return cs_usage_error(a, "--set wants KEY=VALUE, at most %d bytes", SET_MAX - 1);
    }
    cs_err err = cs_tfile_read(&yaml, a->pos[0]);
    if (err == CS_OK) {
        err = cs_config_compile(&cbor, &fault, cs_buf_slice(&yaml), &files);
    }
    if (err == CS_OK) {
        err = write_out(out, cs_buf_slice(&cbor));
    }
    if (err != CS_OK) {
        (void)snprintf(detail, sizeof detail, "%s:%u: %s", a->pos[0], fault.line, fault.text);
        status = cs_refuse(a, err, json, fault.text[0] != '\0' ? detail : a->pos[0]);
    } else if (json) {
        status = report(a, cbor.len);
    }
    cs_buf_free(&yaml);
    cs_buf_free(&cbor);
    return status;
}

static const cs_opt opts[] = {
    {.name = "out",
     .letter = 'o',
     .kind = CS_OPT_STR,
     .arg = "FILE",
     .help = "where the CBOR goes (default: standard output)"},
    {.name = "set",
     .kind = CS_OPT_MANY,
     .arg = "KEY=VALUE",
     .help = "a value that comes before the file's (may be repeated; keys of one value)"},
    {.name = "json", .kind = CS_OPT_FLAG, .help = "report as JSON on standard output (with --out)"},
    {0},
};

const cs_cmd cs_cmds_config[] = {
    {"config compile", "FILE [-o OUT] [--set KEY=VALUE...]",
     "compile an enclave's YAML configuration to the CBOR that is measured",
     "Deterministic: the same file gives the same bytes. Unknown keys are refused. Keys and defaults: "
     "docs/formats/config.md.\n\n"
     "example:\n    signctl config compile enclave.yaml -o image/config.cbor",
     opts, 1, 1, run},
    {0},
};
