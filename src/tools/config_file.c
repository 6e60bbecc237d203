/* See config_file.h. */
#include "tools/config_file.h"

#include <glob.h>
#include <stdio.h>
#include <string.h>

#include "tools/tool_file.h"

#define SET_MAX 1280
#define DEFAULT_ROOTS "/usr/share/ca-certificates/mozilla/Amazon_Root_CA_*.crt"

typedef struct sets {
    cs_config_set set[CS_OPT_MAX_MANY];
    char mem[CS_OPT_MAX_MANY][SET_MAX];
} sets;

typedef struct roots {
    const char *config; /* a relative path is taken from its folder */
    cs_buf *copy;
} roots;

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

static cs_err read_file(cs_buf *out, const char *path, const char *config)
{
    const char *slash = strrchr(config, '/');
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

static cs_err read_ca(void *cookie, cs_buf *out, const char *path)
{
    const roots *r = cookie;
    const size_t before = out->len;

    CS_TRY(read_file(out, path, r->config));
    r->copy->len = 0;
    return cs_put(r->copy, out->p + before, out->len - before);
}

/* "KEY=VALUE" of each --set, cut in two. */
static bool take_sets(sets *s, const cs_args *a)
{
    for (size_t i = 0; i < a->num_many; i++) {
        char *equals;
        if (strlen(a->many[i]) >= SET_MAX) {
            return false;
        }
        memcpy(s->mem[i], a->many[i], strlen(a->many[i]) + 1);
        equals = strchr(s->mem[i], '=');
        if (equals == NULL || equals == s->mem[i]) {
            return false;
        }
        *equals = '\0';
        s->set[i] = (cs_config_set){s->mem[i], equals + 1};
    }
    return true;
}

cs_err cs_config_file_load(cs_config_file *out, const char *path, const cs_args *a)
{
    static sets s; /* too large for the stack; commands run once */
    roots r = {path, &out->ca};
    const cs_config_files files = {read_ca, &r, s.set, a->num_many};
    cs_yaml_fault fault = {0};
    cs_err err;

    *out = (cs_config_file){.yaml = cs_buf_heap(CS_CONFIG_YAML_MAX + 1),
                            .cbor = cs_buf_heap(CS_CONFIG_CBOR_MAX),
                            .ca = cs_buf_heap(CS_CONFIG_CA_MAX)};
    if (!take_sets(&s, a)) {
        (void)snprintf(out->detail, sizeof out->detail, "--set wants KEY=VALUE, at most %d bytes", SET_MAX - 1);
        return CS_E_USAGE;
    }
    (void)snprintf(out->detail, sizeof out->detail, "%s", path);
    CS_TRY(cs_tfile_read(&out->yaml, path));
    err = cs_config_compile(&out->cbor, &fault, cs_buf_slice(&out->yaml), &files);
    if (err != CS_OK && fault.text[0] != '\0') {
        (void)snprintf(out->detail, sizeof out->detail, "%s:%u: %s", path, fault.line, fault.text);
    }
    return err;
}

void cs_config_file_cleanup(cs_config_file *c)
{
    cs_buf_free(&c->yaml);
    cs_buf_free(&c->cbor);
    cs_buf_free(&c->ca);
}
