/* signctl shares new, edit, show: sealing roots and callers of the service's share file. */
#include <stdio.h>
#include <string.h>

#include "base/json_out.h"
#include "base/text.h"
#include "party/deal.h"
#include "rpc/tee_rpc.h"
#include "secret/age.h"
#include "secret/share/share.h"
#include "tools/caller_file.h"
#include "tools/cmds.h"
#include "tools/secret_io.h"
#include "tools/shares_edit.h"

#define STREAM_MAX ((size_t)64 << 20) /* of a file whose size is not known before */
#define ARENA_MIN ((size_t)64 << 20)

static const cs_share_policy any = {.allow_unsigned = true, .grant_of = cs_tee_grant_of};

typedef struct job {
    const cs_args *args;
    cs_buf in; /* arena: the file as it was */
    cs_sharefile_header header;
    cs_caller_list callers;
    cs_slice removed[CS_OPT_MAX_MANY];
    uint8_t removed_root[CS_SHAREFILE_MAX_ROOTS][4], first_root[4];
    cs_shares_edit edit;
    cs_age_recipient recipient;
    cs_buf body;       /* arena: the new file */
    cs_share_set *set; /* of the file that is shown */
    char detail[320];
} job;

static cs_err fail(job *j, cs_err err, const char *what)
{
    (void)snprintf(j->detail, sizeof j->detail, "%s", what);
    return err;
}

/* signature when there is one, hash, every account and caller: what a reader would see */
static cs_err load(job *j, cs_slice file, const char *name)
{
    cs_sharefile_fault fault = {0};
    cs_err err = cs_share_load(&j->set, file, &any, &fault);

    if (err != CS_OK && fault.what != NULL) {
        (void)snprintf(j->detail, sizeof j->detail, "%.120s: at byte %zu of the body: %s", name, fault.offset,
                       fault.what);
        return err;
    }
    return err == CS_OK ? CS_OK : fail(j, err, name);
}

static cs_err read_file(job *j, const char *path)
{
    const size_t size = strcmp(path, "-") == 0 ? 0 : cs_tool_size(path), max = size > 0 ? size : STREAM_MAX;
    /* the file, the new one and its set */
    cs_err err = cs_tool_arena(ARENA_MIN + 4 * max + j->callers.num * (2 * CS_DEAL_CALLER_BYTES + 1024));

    if (err == CS_OK) {
        err = cs_tool_read(&j->in, path, max);
    }
    if (err != CS_OK) {
        return fail(j, err, path);
    }
    CS_TRY(load(j, cs_buf_slice(&j->in), path));
    return cs_sharefile_header_parse(&j->header, cs_buf_slice(&j->in));
}

/* ---- what a file says, without its secrets */

static void put_operations(cs_jw *w, const cs_caller *c)
{
    cs_jw_array(w, "operations");
    for (unsigned op = 1; op < 32; op++) {
        if (cs_caller_may(c, op) && cs_tee_op_of(op) != NULL) {
            cs_jw_cstr(w, NULL, cs_tee_op_of(op)->name);
        }
    }
    if (cs_caller_may(c, CS_TEE_APPROVE)) {
        cs_jw_cstr(w, NULL, "Approve");
    }
    cs_jw_close_array(w);
}

static cs_err put_caller(cs_jw *w, const cs_caller *c)
{
    cs_reader r = cs_reader_of(c->records);

    cs_jw_object(w, NULL);
    cs_jw_str(w, "id", c->id);
    cs_jw_hex(w, "ed25519", cs_slice_of(c->ed25519, 32));
    cs_jw_hex(w, "x25519", cs_slice_of(c->x25519, 32));
    put_operations(w, c);
    cs_jw_array(w, "records");
    while (r.left > 0) {
        uint8_t len = 0;
        cs_slice pattern;
        CS_TRY(cs_read_u8(&r, &len));
        CS_TRY(cs_read_slice(&r, &pattern, len));
        cs_jw_str(w, NULL, pattern);
    }
    cs_jw_close_array(w);
    if (c->rate > 0) {
        cs_jw_u64(w, "rate", c->rate);
        cs_jw_u64(w, "burst", c->burst);
    }
    cs_jw_close_object(w);
    return CS_OK;
}

static cs_err put_json(cs_buf *out, const cs_share_set *s, const char *path)
{
    const cs_seal_roots roots = cs_share_roots(s);
    cs_jw w = cs_jw_begin(out);

    cs_jw_object(&w, NULL);
    cs_jw_cstr(&w, "file", path);
    cs_jw_u64(&w, "generation", cs_share_generation(s));
    if (cs_share_publisher(s) != NULL) {
        cs_jw_hex(&w, "publisher", cs_slice_of(cs_share_publisher(s), 32));
    } else {
        cs_jw_null(&w, "publisher");
    }
    cs_jw_u64(&w, "accounts", cs_share_count(s));
    cs_jw_array(&w, "sealing_roots");
    for (size_t i = 0; i < roots.num; i++) {
        cs_jw_hex(&w, NULL, cs_slice_of(roots.root[i].id, sizeof roots.root[i].id));
    }
    cs_jw_close_array(&w);
    cs_jw_array(&w, "callers");
    for (size_t i = 0; i < cs_share_num_callers(s); i++) {
        CS_TRY(put_caller(&w, cs_share_caller_at(s, i)));
    }
    cs_jw_close_array(&w);
    cs_jw_close_object(&w);
    CS_TRY(cs_jw_end(&w));
    return cs_put_u8(out, '\n');
}

static cs_err put_lines(cs_buf *out, const cs_share_set *s, const char *path)
{
    const cs_seal_roots roots = cs_share_roots(s);

    CS_TRY(cs_put_fmt(out, "%s: generation %llu, %zu accounts, ", path, (unsigned long long)cs_share_generation(s),
                      cs_share_count(s)));
    CS_TRY(cs_put_str(out, cs_share_publisher(s) == NULL ? "not signed" : "signed by "));
    if (cs_share_publisher(s) != NULL) {
        CS_TRY(cs_put_hex(out, cs_slice_of(cs_share_publisher(s), 32)));
    }
    for (size_t i = 0; i < roots.num; i++) {
        CS_TRY(cs_put_str(out, "\nsealing root "));
        CS_TRY(cs_put_hex(out, cs_slice_of(roots.root[i].id, sizeof roots.root[i].id)));
        CS_TRY(cs_put_str(out, i == 0 ? ": seals and opens" : ": opens"));
    }
    for (size_t i = 0; i < cs_share_num_callers(s); i++) {
        cs_jw w = cs_jw_begin(out);
        CS_TRY(cs_put_str(out, "\ncaller "));
        CS_TRY(put_caller(&w, cs_share_caller_at(s, i)));
        CS_TRY(cs_jw_end(&w));
    }
    return cs_put_u8(out, '\n');
}

static cs_err say(const job *j, const char *path)
{
    cs_buf out = cs_buf_heap((size_t)64 << 20);
    cs_err err = cs_args_flag(j->args, "json") ? put_json(&out, j->set, path) : put_lines(&out, j->set, path);

    if (err == CS_OK && fwrite(out.p, 1, out.len, stdout) != out.len) {
        err = CS_E_IO;
    }
    cs_buf_free(&out);
    return err;
}

/* ---- edit */

/* the lists of ids on the command line; 0 or the exit status */
static int read_lists(job *j)
{
    const cs_args *a = j->args;
    const bool edit = strcmp(a->cmd->name, "shares edit") == 0;
    const char *text;

    while (edit && (text = cs_args_many(a, "remove-caller", j->edit.num_remove_caller)) != NULL) {
        j->removed[j->edit.num_remove_caller++] = cs_slice_str(text);
    }
    while (edit && (text = cs_args_many(a, "remove-root", j->edit.num_remove_root)) != NULL) {
        if (j->edit.num_remove_root == CS_SHAREFILE_MAX_ROOTS ||
            cs_hex_decode(j->removed_root[j->edit.num_remove_root], 4, cs_slice_str(text)) != CS_OK) {
            return cs_usage_error(a, "--remove-root: 8 hex digits, at most 8 times (signctl shares show)");
        }
        j->edit.num_remove_root++;
    }
    text = edit ? cs_args_str(a, "first-root") : NULL;
    if (text != NULL && cs_hex_decode(j->first_root, 4, cs_slice_str(text)) != CS_OK) {
        return cs_usage_error(a, "--first-root: 8 hex digits (signctl shares show)");
    }
    j->edit.first_root = text != NULL ? j->first_root : NULL;
    j->edit.add_root_last = edit && cs_args_flag(a, "add-root-last");
    j->edit.add_root = !edit || cs_args_flag(a, "add-root");
    j->edit.remove_caller = j->removed;
    j->edit.remove_root = (const uint8_t(*)[4])j->removed_root;
    if (cs_args_str(a, "output") == NULL) {
        return cs_usage_error(a, "-o FILE is needed");
    }
    text = cs_args_str(a, "recipient");
    if ((text == NULL) != cs_args_flag(a, "plaintext")) {
        return cs_usage_error(a, "give --recipient age1..., or --plaintext to write the file unsealed");
    }
    if (text != NULL && cs_age_recipient_parse(&j->recipient, cs_slice_str(text)) != CS_OK) {
        return cs_usage_error(a, "--recipient is not an age1 recipient");
    }
    return 0;
}

/* above the file's own, or that and 1 */
static cs_err choose_generation(job *j, uint64_t *out)
{
    const cs_args *a = j->args;

    if (cs_args_str(a, "generation") != NULL) {
        *out = cs_args_u64(a, "generation");
        return j->in.len == 0 || *out > j->header.generation
                   ? CS_OK
                   : fail(j, CS_E_SHARES_GENERATION, "--generation is not above that of the file");
    }
    *out = j->in.len == 0 ? 1 : j->header.generation + 1;
    return *out > 0 ? CS_OK : fail(j, CS_E_SHARES_GENERATION, "the file has the highest generation");
}

static cs_err sign(job *j, cs_slice *out)
{
    CS_SECRET(cs_secret32) seed = {0};
    const char *publisher = cs_args_str(j->args, "publisher-key");
    uint64_t generation = 0;

    if (publisher == NULL && j->header.is_signed && !cs_args_flag(j->args, "unsigned")) {
        return fail(j, CS_E_SHARES_UNSIGNED, "the file is signed: give --publisher-key, or --unsigned");
    }
    if (publisher != NULL) {
        cs_err err = cs_tool_publisher(&seed, publisher);
        if (err != CS_OK) {
            return fail(j, err, "--publisher-key");
        }
    }
    CS_TRY(choose_generation(j, &generation));
    return cs_deal_sign(out, &j->body, generation, publisher != NULL ? seed.b : NULL);
}

static cs_err write_out(const job *j, cs_slice file, const char *path)
{
    const bool force = cs_args_flag(j->args, "force");
    const cs_age_to to = {.recipients = &j->recipient, .num_recipients = 1};
    cs_tool_file f = {.fd = -1};
    cs_err err = cs_tool_seal(&f, path, force, file, cs_args_flag(j->args, "plaintext") ? NULL : &to);

    if (err == CS_OK) {
        err = cs_tool_commit(&f, force);
    }
    cs_tool_abandon(&f);
    return err;
}

static cs_err edit(job *j, const char *in)
{
    const char *path = cs_args_str(j->args, "output");
    cs_sharefile_fault fault = {0};
    cs_slice file;

    cs_err err = cs_caller_list_read(&j->callers, j->args);
    if (err != CS_OK) {
        return fail(j, err, j->callers.detail);
    }
    j->edit.caller = j->callers.caller;
    j->edit.num_caller = j->callers.num;
    CS_TRY(in != NULL ? read_file(j, in)
                      : cs_tool_arena(ARENA_MIN + j->callers.num * (2 * CS_DEAL_CALLER_BYTES + 1024)));
    cs_share_free(j->set);
    j->set = NULL;
    err = cs_shares_edit_apply(&j->body, &fault, j->header.body, &j->edit);
    if (err != CS_OK) {
        return fail(j, err,
                    fault.what != NULL ? fault.what : "more sealing roots or callers than may be, or none at all");
    }
    CS_TRY(sign(j, &file));
    CS_TRY(load(j, file, "the new file")); /* as its readers will */
    err = write_out(j, file, path);
    return err == CS_OK ? say(j, path) : fail(j, err, path);
}

static int end(job *j, cs_err err)
{
    int status = err == CS_OK ? 0 : cs_refuse(j->args, err, cs_args_flag(j->args, "json"), j->detail);

    cs_share_free(j->set);
    cs_secret_buf_free(&j->body);
    cs_secret_buf_free(&j->in);
    cs_caller_list_free(&j->callers);
    return status;
}

static int run_edit(const cs_args *a)
{
    job j = {.args = a};
    int status = read_lists(&j);

    return status != 0 ? status : end(&j, edit(&j, a->num_pos > 0 ? a->pos[0] : NULL));
}

static int run_show(const cs_args *a)
{
    job j = {.args = a};
    cs_err err = read_file(&j, a->pos[0]);

    return end(&j, err == CS_OK ? say(&j, a->pos[0]) : err);
}

#define CS_SHARES_OUT_OPTS                                                                                              \
    {"caller", 0,    CS_OPT_MANY, "FILE", "add these callers, or replace those of their ids (signctl caller public)",   \
     NULL,     NULL, 0,           0},                                                                                   \
        {"publisher-key", 0, CS_OPT_STR, "FILE", "sign with this key of `signctl publisher keygen`", NULL, NULL, 0, 0}, \
        {"unsigned", 0, CS_OPT_FLAG, NULL, "do not sign, though the file was", NULL, NULL, 0, 0},                       \
        {"generation", 'g',  CS_OPT_U64, "N",       "generation of the new file (default: the file's and 1)",           \
         NULL,         NULL, 0,          UINT64_MAX},                                                                   \
        {"output", 'o', CS_OPT_STR, "FILE", "where the new file goes (mode 0600)", NULL, NULL, 0, 0},                   \
        {"recipient", 'r', CS_OPT_STR, "AGE1", "seal it to this age recipient", NULL, NULL, 0, 0},                      \
        {"plaintext", 0, CS_OPT_FLAG, NULL, "do not seal it", NULL, NULL, 0, 0},                                        \
        {"force", 'f', CS_OPT_FLAG, NULL, "replace an existing file", NULL, NULL, 0, 0},                                \
        {"json", 0, CS_OPT_FLAG, NULL, "what the new file holds, as JSON; no secrets", NULL, NULL, 0, 0}, {0},

static const cs_opt new_opts[] = {CS_SHARES_OUT_OPTS};

static const cs_opt edit_opts[] = {
    {"add-root", 0, CS_OPT_FLAG, NULL, "a fresh sealing root, which seals from now on; the others go on opening", NULL,
     NULL, 0, 0},
    {"add-root-last", 0, CS_OPT_FLAG, NULL,
     "a fresh sealing root behind the others: it opens, and seals after --first-root", NULL, NULL, 0, 0},
    {"first-root", 0, CS_OPT_STR, "ID", "this root seals from now on", NULL, NULL, 0, 0},
    {"remove-root", 0, CS_OPT_MANY, "ID", "without this root: what it sealed opens no more (may repeat)", NULL, NULL, 0,
     0},
    {"remove-caller", 0, CS_OPT_MANY, "ID", "without this caller (may repeat)", NULL, NULL, 0, 0},
    CS_SHARES_OUT_OPTS};

static const cs_opt show_opts[] = {
    {"json", 0, CS_OPT_FLAG, NULL, "as JSON", NULL, NULL, 0, 0},
    {0},
};

const cs_cmd cs_cmds_shares[] = {
    {"shares new", "[--caller FILE]... -o FILE (-r age1... | --plaintext)",
     "write a share file for the TEE service alone: a sealing root, callers, no accounts",
     "example: signctl shares new --caller payments.pub.json --publisher-key publisher.key -r age1... -o "
     "service_key_shares.json.age",
     new_opts, 0, 0, run_edit},
    {"shares edit", "FILE [--add-root] [--caller FILE]... [--remove-caller ID]... -o FILE (-r age1... | --plaintext)",
     "write the service's share file anew with other sealing roots and callers",
     "FILE is the plaintext, - standard input; it is verified first and its accounts stay as they are. Keep its "
     "plaintext as the\n"
     "publisher, not on a host: it holds the service's shares.\n\n"
     "examples:\n"
     "    signctl shares edit service_key_shares.json --add-root --caller payments.pub.json --publisher-key "
     "publisher.key \\\n"
     "        --plaintext -o next.json\n"
     "    signctl age decrypt -i service.key service_key_shares.json.age | signctl shares edit - --remove-caller "
     "payments \\\n"
     "        --publisher-key publisher.key -r age1... -o next.json.age",
     edit_opts, 1, 1, run_edit},
    {"shares show", "FILE", "what a share file holds, without its secrets",
     "FILE is the plaintext, - standard input. Its hash and, when it is signed, its signature are verified; whether "
     "the publisher "
     "is\nthe right one is for the reader to see.\n\n"
     "example: signctl shares show service_key_shares.json --json",
     show_opts, 1, 1, run_show},
    {0},
};
