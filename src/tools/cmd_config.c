/* signctl config compile: the YAML of an enclave's configuration to the CBOR that is measured with the image. */
#include <stdio.h>
#include <string.h>

#include "base/json_out.h"
#include "tools/cmds.h"
#include "tools/config_file.h"
#include "tools/tool_file.h"

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

static int run(const cs_args *a)
{
    const char *out = cs_args_str(a, "out");
    bool json = cs_args_flag(a, "json");
    cs_config_file config;
    cs_tfile_out file = {0};
    int status = 0;

    if (json && (out == NULL || strcmp(out, "-") == 0)) {
        return cs_usage_error(a, "--json needs --out FILE: standard output holds the report");
    }
    cs_err err = cs_config_file_load(&config, a->pos[0], a);
    if (err == CS_OK) {
        err = cs_tfile_out_open(&file, out, false);
    }
    if (err == CS_OK) {
        err = cs_tfile_out_all(&file, cs_buf_slice(&config.cbor));
    }
    if (err == CS_E_USAGE) {
        status = cs_usage_error(a, "%s", config.detail);
    } else if (err != CS_OK) {
        status = cs_refuse(a, err, json, config.detail);
    } else if (json) {
        status = report(a, config.cbor.len);
    }
    cs_config_file_cleanup(&config);
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
