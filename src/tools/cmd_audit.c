/* signctl audit verify: proof of an exported audit log of the TEE service, offline (docs/formats/audit.md). */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "party/api_att.h"
#include "tee/audit.h"
#include "tools/cmds.h"
#include "tools/json_lines.h"
#include "tools/tee_open.h"

typedef struct audit_job {
    cs_tee_open open;
    cs_api_att att;
    cs_tee_head from, heads[CS_TEE_AUDIT_HEADS_MAX];
    bool has_from;
    size_t num_heads;
    cs_slice file; /* mapped */
    cs_tee_audit_sum sum;
    cs_tee_audit_fault fault;
    double seconds;
    char detail[512];
} audit_job;

static cs_err map_file(cs_slice *out, const char *path)
{
    struct stat st;
    void *p = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return CS_E_NOT_FOUND;
    }
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0) {
        p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    }
    (void)close(fd);
    if (p == NULL || p == MAP_FAILED) {
        return CS_E_IO;
    }
    *out = cs_slice_of(p, (size_t)st.st_size);
    return CS_OK;
}

/* COUNTER:HASH */
static cs_err parse_head(cs_tee_head *out, const char *text)
{
    size_t n = strcspn(text, ":");

    CS_TRY(cs_parse_u64(cs_slice_of(text, n), UINT64_MAX, &out->counter));
    return text[n] == ':' ? cs_hex_decode(out->hash32, 32, cs_slice_str(text + n + 1)) : CS_E_FORMAT;
}

static cs_err read_options(audit_job *j, const cs_args *a)
{
    const char *from = cs_args_str(a, "from");
    const countersign_tee_options *o = &j->open.options;

    CS_TRY(cs_tee_open_images(&j->open, a));
    CS_TRY(cs_api_att_init(&j->att, &(cs_api_images){.pcrs = o->pcrs,
                                                     .num_pcrs = o->num_pcrs,
                                                     .allowed = o->allowed,
                                                     .num_allowed = o->num_allowed,
                                                     .any_pcrs = o->any_pcrs,
                                                     .allow_debug = o->allow_debug,
                                                     .root_pem = o->root_pem}));
    j->open.detail = "--head and --from take COUNTER:HASH, as an answer has them";
    for (size_t i = 0; i < a->num_many; i++) {
        if (strcmp(a->cmd->opts[a->many_opt[i]].name, "head") == 0) {
            CS_TRY(parse_head(&j->heads[j->num_heads++], a->many[i]) == CS_OK ? CS_OK : CS_E_USAGE);
        }
    }
    j->has_from = from != NULL;
    CS_TRY(from == NULL || parse_head(&j->from, from) == CS_OK ? CS_OK : CS_E_USAGE);
    j->open.detail = NULL;
    return CS_OK;
}

static cs_err add_documents(audit_job *j, cs_tee_audit *log)
{
    const cs_args *a = j->open.args;
    cs_buf document = cs_buf_heap(CS_ATT_MAX_DOC);
    cs_err err = CS_OK;

    for (size_t i = 0; i < a->num_many && err == CS_OK; i++) {
        if (strcmp(a->cmd->opts[a->many_opt[i]].name, "document") == 0) {
            document.len = 0;
            j->open.detail = a->many[i];
            err = cs_tfile_read(&document, a->many[i]);
            err = err == CS_OK ? cs_tee_audit_document(log, cs_buf_slice(&document)) : err;
        }
    }
    j->open.detail = err == CS_OK ? NULL : j->open.detail;
    cs_buf_free(&document);
    return err;
}

static void show_progress(uint64_t lines, size_t done, size_t all)
{
    fprintf(stderr, "\r%llu lines, %u %%", (unsigned long long)lines, (unsigned)(done * 100.0 / (double)all));
}

static cs_err read_lines(audit_job *j, cs_tee_audit *log)
{
    cs_reader r = cs_reader_of(j->file);
    const bool progress = isatty(STDERR_FILENO) != 0;
    uint64_t lines = 0;
    cs_slice line;

    while (r.left > 0) {
        if (cs_read_line(&r, &line, CS_TEE_AUDIT_LINE_MAX) != CS_OK) { /* the last one, or too long */
            size_t n = r.left < CS_TEE_AUDIT_LINE_MAX ? r.left : CS_TEE_AUDIT_LINE_MAX;
            line = cs_slice_of(r.p, n);
            r.left = 0;
        }
        CS_TRY(cs_tee_audit_line(log, line, &j->fault));
        if (progress && ++lines % 100000 == 0) {
            show_progress(lines, j->file.len - r.left, j->file.len);
        }
    }
    if (progress && lines >= 100000) {
        fprintf(stderr, "\r%40s\r", "");
    }
    CS_TRY(cs_tee_audit_end(log, &j->sum, &j->fault));
    if (j->sum.entries == 0) {
        j->fault = (cs_tee_audit_fault){.err = CS_E_AUDIT_CHAIN, .what = "there is no entry in it"};
        return CS_E_AUDIT_CHAIN;
    }
    return CS_OK;
}

static cs_err pass(audit_job *j, bool all_signatures)
{
    const cs_tee_audit_options o = {.att = &j->att.options,
                                    .from = j->has_from ? &j->from : NULL,
                                    .heads = j->heads,
                                    .num_heads = j->num_heads,
                                    .all_signatures = all_signatures};
    uint64_t began = cs_clock_mono_ns();
    cs_tee_audit *log = NULL;
    cs_err err = cs_tee_audit_new(&log, &o);

    j->fault = (cs_tee_audit_fault){0};
    if (err == CS_OK && (err = add_documents(j, log)) == CS_OK) {
        err = read_lines(j, log);
    }
    cs_tee_audit_free(log);
    j->seconds = (double)(cs_clock_mono_ns() - began) / 1e9;
    return err;
}

static cs_err print(const audit_job *j)
{
    cs_buf out = cs_buf_heap(4096);
    cs_jw w = cs_jw_begin(&out);
    cs_err err;

    cs_jw_object(&w, NULL);
    cs_jw_bool(&w, "verified", true);
    cs_jw_u64(&w, "entries", j->sum.entries);
    cs_jw_u64(&w, "boots", j->sum.boots);
    cs_jw_u64(&w, "documents", j->sum.documents);
    cs_jw_hex(&w, "boot", cs_slice_of(j->sum.boot16, sizeof j->sum.boot16));
    cs_jw_u64(&w, "counter", j->sum.head.counter);
    cs_jw_hex(&w, "head", cs_slice_of(j->sum.head.hash32, 32));
    cs_jw_u64(&w, "heads_found", j->num_heads);
    cs_jw_double(&w, "seconds", j->seconds);
    cs_jw_close_object(&w);
    err = cs_jw_end(&w);
    if (err == CS_OK) {
        err = cs_json_print(cs_buf_slice(&out), !cs_args_flag(j->open.args, "json"));
    }
    cs_buf_free(&out);
    return err;
}

static cs_err verify(audit_job *j, const cs_args *a)
{
    cs_err err;

    CS_TRY(read_options(j, a));
    j->open.detail = a->pos[0];
    CS_TRY(map_file(&j->file, a->pos[0]));
    j->open.detail = NULL;
    err = pass(j, cs_args_flag(a, "all-signatures"));
    if (err != CS_OK && j->fault.line_uncertain) {
        err = pass(j, true);
    }
    if (err != CS_OK && j->fault.line > 0) {
        (void)snprintf(j->detail, sizeof j->detail, "%s, line %llu: %s", a->pos[0], (unsigned long long)j->fault.line,
                       j->fault.what);
        j->open.detail = j->detail;
    } else if (err != CS_OK && j->fault.what != NULL) {
        (void)snprintf(j->detail, sizeof j->detail, "%s: %s", a->pos[0], j->fault.what);
        j->open.detail = j->detail;
    }
    return err == CS_OK ? print(j) : err;
}

static int run_verify(const cs_args *a)
{
    static audit_job j;
    cs_err err = verify(&j, a);

    if (j.file.p != NULL) {
        (void)munmap((void *)(uintptr_t)j.file.p, j.file.len);
    }
    return cs_tee_end(&j.open, err);
}

static const cs_opt verify_opts[] = {
    {"head", 0, CS_OPT_MANY, "COUNTER:HASH",
     "head of an answer that was received: its entry must be there; repeat for more", NULL, NULL, 0, 0},
    {"from", 0, CS_OPT_STR, "COUNTER:HASH", "the log begins behind this entry", NULL, NULL, 0, 0},
    {"document", 0, CS_OPT_MANY, "FILE", "an attestation document of a boot, beside those in the log; repeat for more",
     NULL, NULL, 0, 0},
    {"all-signatures", 0, CS_OPT_FLAG, NULL, "verify the signature of each line: slow, and proves nothing more", NULL,
     NULL, 0, 0},
    CS_TEE_IMAGE_OPTS CS_PARTY_ENV_OPT{"json", 0, CS_OPT_FLAG, NULL, "result as JSON", NULL, NULL, 0, 0},
    {0}};

const cs_cmd cs_cmds_audit[] = {
    {"audit verify", "FILE [--head COUNTER:HASH]... [--document FILE]... (--allowed IMAGE... | --any-pcrs)",
     "prove that an audit log is whole, in order and made by attested enclaves",
     "FILE is an export of the gateway's audit log (docs/formats/audit.md). Nothing is asked of anybody: documents are "
     "verified at\n"
     "their own time. A line that was edited, removed, swapped or doubled is named; a tail that was cut is found when "
     "--head\n"
     "names an entry behind the cut: keep the counter and head of an answer (signctl tee ... --json).\n\n"
     "example:\n"
     "    signctl audit verify audit.jsonl --head 4711:ab..12 --allowed images/pcrs.json",
     verify_opts, 1, 1, run_verify},
    {0},
};
