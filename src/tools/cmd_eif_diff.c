/* signctl eif diff: which sections of two enclave images differ, which PCR each moves, and which files inside a ramdisk are why. */
#include <stdio.h>
#include <string.h>

#include "base/json_out.h"
#include "tools/cmds.h"
#include "tools/image_file.h"

#define JSON_MAX ((size_t)64 << 20)

static const char *const pcr_names[] = {"PCR0", "PCR1", "PCR2", "PCR8"};
#define NUM_PCRS (sizeof pcr_names / sizeof *pcr_names)

/* Both images, and where the findings go: lines on standard output, or JSON. */
typedef struct diff {
    cs_image_file image[2];
    bool json;
    cs_jw w;
    unsigned differ;
} diff;

/* The section of this type and rank among its type, or NULL. */
static const cs_eif_section *nth(const cs_eif *e, cs_eif_type t, size_t rank)
{
    for (size_t k = 0; k < e->num_sections; k++) {
        if (e->sections[k].type == t && rank-- == 0) {
            return &e->sections[k];
        }
    }
    return NULL;
}

/* Which of pcr_names a section is measured in, as bits. */
static unsigned moved(cs_eif_type t, size_t rank)
{
    switch (t) {
    case CS_EIF_KERNEL:
    case CS_EIF_CMDLINE:
        return 1u | 2u;
    case CS_EIF_RAMDISK:
        return rank == 0 ? 1u | 2u : 1u | 4u;
    default:
        return 0;
    }
}

/* PCR8 is the certificate's: a new signature by the same one moves nothing. */
static bool pcr_equal(const diff *d, unsigned k)
{
    const cs_image_file *x = &d->image[0], *y = &d->image[1];

    return k < 3 ? memcmp(&x->pcr[k], &y->pcr[k], CS_PCR_LEN) == 0
                 : memcmp(&x->signer.pcr8, &y->signer.pcr8, CS_PCR_LEN) == 0;
}

static const char *change_of(bool first, bool second)
{
    return !first ? "only in the second" : !second ? "only in the first" : "differs";
}

static void put_moves(diff *d, unsigned pcrs)
{
    cs_jw_array(&d->w, "Moves");
    for (unsigned k = 0; k < NUM_PCRS; k++) {
        if ((pcrs & 1u << k) != 0) {
            cs_jw_cstr(&d->w, NULL, pcr_names[k]);
        }
    }
    cs_jw_close_array(&d->w);
}

static void say_section(diff *d, cs_eif_type t, size_t rank, const char *change)
{
    unsigned pcrs = moved(t, rank);

    if (t == CS_EIF_SIGNATURE && !pcr_equal(d, 3)) {
        pcrs = 8u;
    }
    d->differ++;
    if (d->json) {
        cs_jw_object(&d->w, NULL);
        cs_jw_cstr(&d->w, "Type", cs_eif_type_name(t));
        cs_jw_u64(&d->w, "Index", rank);
        cs_jw_cstr(&d->w, "Change", change);
        put_moves(d, pcrs);
        return; /* closed by the caller, behind the files */
    }
    printf("%s %zu: %s (", cs_eif_type_name(t), rank, change);
    for (unsigned k = 0, n = 0; k < NUM_PCRS; k++) {
        if ((pcrs & 1u << k) != 0) {
            printf("%s%s", n++ == 0 ? "moves " : ", ", pcr_names[k]);
        }
    }
    printf("%s)\n", pcrs == 0 ? (t == CS_EIF_SIGNATURE ? "PCR8 is the same" : "not measured") : "");
}

/* ---------------------------------------------------------------- files of a ramdisk */

static void say_file(diff *d, cs_slice path, const char *change)
{
    if (d->json) {
        cs_jw_object(&d->w, NULL);
        cs_jw_str(&d->w, "Path", path);
        cs_jw_cstr(&d->w, "Change", change);
        cs_jw_close_object(&d->w);
        return;
    }
    printf("  ");
    for (size_t i = 0; i < path.len; i++) {
        (void)putchar(path.p[i] >= ' ' && path.p[i] != 0x7f ? path.p[i] : '?');
    }
    printf(": %s\n", change);
}

/* NULL: the same file. */
static const char *file_change(const cs_newc_file *x, const cs_newc_file *y)
{
    if (x->mode != y->mode || x->rdev_major != y->rdev_major || x->rdev_minor != y->rdev_minor) {
        return "mode differs";
    }
    if (!cs_slice_eq(x->data, y->data)) {
        return "contents differ";
    }
    return x->uid != y->uid || x->gid != y->gid ? "owner differs" : x->mtime != y->mtime ? "time differs" : NULL;
}

static int path_order(cs_slice a, cs_slice b)
{
    const int order = memcmp(a.p, b.p, a.len < b.len ? a.len : b.len);

    return order != 0 ? order : a.len < b.len ? -1 : a.len > b.len;
}

/* Both are in the order of their paths. */
static unsigned merge_trees(diff *d, const cs_image_tree *x, const cs_image_tree *y)
{
    size_t i = 0, k = 0;
    unsigned found = 0;

    while (i < x->num || k < y->num) {
        const int order = i == x->num ? 1 : k == y->num ? -1 : path_order(x->files[i].path, y->files[k].path);
        const char *change = order < 0   ? "only in the first"
                             : order > 0 ? "only in the second"
                                         : file_change(&x->files[i], &y->files[k]);
        if (change != NULL) {
            say_file(d, order > 0 ? y->files[k].path : x->files[i].path, change);
            found++;
        }
        i += order <= 0 ? 1 : 0;
        k += order >= 0 ? 1 : 0;
    }
    return found;
}

static void say_note(diff *d, const char *note)
{
    if (d->json) {
        cs_jw_cstr(&d->w, "Note", note);
    } else {
        printf("  %s\n", note);
    }
}

static cs_err diff_files(diff *d, cs_slice first, cs_slice second)
{
    cs_image_tree x, y = {0};
    cs_err err = cs_image_tree_read(&x, first);

    if (err == CS_OK) {
        err = cs_image_tree_read(&y, second);
    }
    if (err == CS_OK && x.readable && y.readable) {
        if (d->json) {
            cs_jw_array(&d->w, "Files");
        }
        unsigned found = merge_trees(d, &x, &y);
        if (d->json) {
            cs_jw_close_array(&d->w);
        }
        if (found == 0) {
            say_note(d, "the files are equal: order, inode numbers or padding of the archive differ");
        }
    } else if (err == CS_OK) {
        say_note(d, x.compressed != NULL || y.compressed != NULL ? "compressed: files are not compared"
                                                                 : "not a newc archive: files are not compared");
    }
    cs_image_tree_cleanup(&x);
    cs_image_tree_cleanup(&y);
    return err;
}

/* ---------------------------------------------------------------- images */

static cs_err diff_type(diff *d, cs_eif_type t)
{
    for (size_t rank = 0; rank < CS_EIF_MAX_SECTIONS; rank++) {
        const cs_eif_section *p = nth(&d->image[0].eif, t, rank), *q = nth(&d->image[1].eif, t, rank);
        if (p == NULL && q == NULL) {
            break;
        }
        if (p != NULL && q != NULL && cs_slice_eq(p->body, q->body)) {
            continue;
        }
        say_section(d, t, rank, change_of(p != NULL, q != NULL));
        if (t == CS_EIF_RAMDISK && p != NULL && q != NULL) {
            CS_TRY(diff_files(d, p->body, q->body));
        }
        if (d->json) {
            cs_jw_close_object(&d->w);
        }
    }
    return CS_OK;
}

/* The header's fields and the order of sections: in no PCR, but in the file. */
static bool header_equal(const cs_eif *x, const cs_eif *y)
{
    bool equal = x->flags == y->flags && x->default_mem == y->default_mem && x->default_cpus == y->default_cpus &&
                 x->version == y->version;

    for (size_t k = 0; equal && x->num_sections == y->num_sections && k < x->num_sections; k++) {
        equal = x->sections[k].type == y->sections[k].type;
    }
    return equal;
}

static cs_err diff_all(diff *d)
{
    for (unsigned t = CS_EIF_KERNEL; t <= CS_EIF_METADATA; t++) {
        CS_TRY(diff_type(d, (cs_eif_type)t));
    }
    return CS_OK;
}

static void print_pcrs(const diff *d)
{
    const bool with_pcr8 = d->image[0].is_signed || d->image[1].is_signed;

    for (unsigned k = 0; k < (with_pcr8 ? NUM_PCRS : 3); k++) {
        printf("%s %s\n", pcr_names[k], pcr_equal(d, k) ? "equal" : "DIFFERENT");
    }
}

static cs_err as_text(diff *d)
{
    CS_TRY(diff_all(d));
    if (!header_equal(&d->image[0].eif, &d->image[1].eif)) {
        printf("header: differs (not measured)\n");
        d->differ++;
    }
    print_pcrs(d);
    return fflush(stdout) == 0 ? CS_OK : CS_E_IO;
}

static cs_err as_json(diff *d, cs_buf *out)
{
    d->w = cs_jw_begin(out);
    cs_jw_object(&d->w, NULL);
    cs_jw_array(&d->w, "Sections");
    CS_TRY(diff_all(d));
    cs_jw_close_array(&d->w);
    const bool header = header_equal(&d->image[0].eif, &d->image[1].eif);
    d->differ += header ? 0 : 1;
    cs_jw_bool(&d->w, "HeaderEqual", header);
    cs_jw_object(&d->w, "PcrEqual");
    for (unsigned k = 0; k < NUM_PCRS; k++) {
        cs_jw_bool(&d->w, pcr_names[k], pcr_equal(d, k));
    }
    cs_jw_close_object(&d->w);
    cs_jw_bool(&d->w, "Equal", d->differ == 0);
    cs_jw_close_object(&d->w);
    CS_TRY(cs_jw_end(&d->w));
    return printf("%.*s\n", (int)out->len, (const char *)out->p) > 0 && fflush(stdout) == 0 ? CS_OK : CS_E_IO;
}

static int run(const cs_args *a)
{
    cs_buf out = cs_buf_heap(JSON_MAX);
    diff d = {.json = cs_args_flag(a, "json")};
    const char *detail = a->pos[0];
    bool shown = false;
    cs_err err = CS_OK;

    for (unsigned k = 0; err == CS_OK && k < 2; k++) {
        detail = a->pos[k];
        err = cs_image_file_read(&d.image[k], a->pos[k]);
    }
    if (err == CS_OK) {
        shown = true;
        err = d.json ? as_json(&d, &out) : as_text(&d);
    }
    for (unsigned k = 0; err == CS_OK && k < 2; k++) {
        detail = a->pos[k];
        err = d.image[k].crc; /* compared, and refused */
    }
    cs_image_file_cleanup(&d.image[0]);
    cs_image_file_cleanup(&d.image[1]);
    cs_buf_free(&out);
    return err != CS_OK ? cs_refuse(a, err, d.json && !shown, detail) : d.differ > 0 ? 1 : 0;
}

static const cs_opt opts[] = {
    {.name = "json", .letter = 'j', .kind = CS_OPT_FLAG, .help = "as JSON"},
    {0},
};

const cs_cmd cs_cmds_eif_diff[] = {
    {"eif diff", "[--json] FILE FILE",
     "which sections and files of two enclave images differ, and which PCR each moves",
     "Exit status 0: all sections and the header are equal, 1: some differ or a file is refused.\n\n"
     "Example:\n  signctl eif diff old.eif new.eif",
     opts, 2, 2, run},
    {0},
};
