/* signctl eif describe: what an enclave image is, what is in it and how it is measured. */
#include <inttypes.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/json_out.h"
#include "base/text.h"
#include "codec/cose.h"
#include "tools/cmds.h"
#include "tools/image_file.h"

#define JSON_MAX ((size_t)256 << 20)
#define METADATA_MAX ((size_t)1 << 20)
#define METADATA_DEPTH 16
#define LISTED 64 /* files of a ramdisk, without --files */
#define NAME_MAX_LEN 512

/* ---------------------------------------------------------------- certificate */

static void name_text(char out[NAME_MAX_LEN], const X509_NAME *name)
{
    BIO *mem = BIO_new(BIO_s_mem());
    int n = -1;

    if (mem != NULL && X509_NAME_print_ex(mem, name, 0, XN_FLAG_RFC2253) >= 0) {
        n = BIO_read(mem, out, NAME_MAX_LEN - 1);
    }
    out[n > 0 ? n : 0] = '\0';
    BIO_free(mem);
}

static void time_text(char out[32], const ASN1_TIME *t)
{
    struct tm tm;

    if (ASN1_TIME_to_tm(t, &tm) != 1 || strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0) {
        out[0] = '\0';
    }
}

typedef struct signer_text {
    char subject[NAME_MAX_LEN], issuer[NAME_MAX_LEN], from[32], to[32];
    const char *alg, *validity;
} signer_text;

static void describe_signer(signer_text *t, const cs_eif_signed *s)
{
    static const char *const validity[] = {
        [CS_IMAGE_VALID] = "valid", [CS_IMAGE_NOT_YET] = "not yet valid", [CS_IMAGE_EXPIRED] = "expired"};

    name_text(t->subject, X509_get_subject_name(s->certificate));
    name_text(t->issuer, X509_get_issuer_name(s->certificate));
    time_text(t->from, X509_get0_notBefore(s->certificate));
    time_text(t->to, X509_get0_notAfter(s->certificate));
    t->alg = s->alg == CS_COSE_ES256   ? "ES256"
             : s->alg == CS_COSE_ES384 ? "ES384"
             : s->alg == CS_COSE_ES512 ? "ES512"
                                       : "unknown";
    t->validity = validity[cs_image_validity_now(s->certificate)];
}

/* ---------------------------------------------------------------- JSON */

static void put_value(cs_jw *w, const char *key, const json_t *v, unsigned depth)
{
    const char *name;
    json_t *child;
    size_t k;

    if (depth > METADATA_DEPTH) {
        cs_jw_cstr(w, key, "...");
    } else if (json_is_object(v)) {
        cs_jw_object(w, key);
        json_object_foreach((json_t *)(uintptr_t)v, name, child)
        {
            put_value(w, name, child, depth + 1);
        }
        cs_jw_close_object(w);
    } else if (json_is_array(v)) {
        cs_jw_array(w, key);
        json_array_foreach(v, k, child)
        {
            put_value(w, NULL, child, depth + 1);
        }
        cs_jw_close_array(w);
    } else if (json_is_string(v)) {
        cs_jw_str(w, key, cs_slice_of(json_string_value(v), json_string_length(v)));
    } else if (json_is_integer(v)) {
        cs_jw_i64(w, key, json_integer_value(v));
    } else if (json_is_real(v)) {
        cs_jw_double(w, key, json_real_value(v));
    } else if (json_is_boolean(v)) {
        cs_jw_bool(w, key, json_is_true(v));
    } else {
        cs_jw_null(w, key);
    }
}

/* The builder's word, not measured: as JSON when it is, else as text. */
static json_t *metadata_of(const cs_image_file *i)
{
    const cs_eif_section *s = cs_eif_find(&i->eif, CS_EIF_METADATA);

    return s != NULL && s->body.len <= METADATA_MAX ? json_loadb((const char *)s->body.p, s->body.len, 0, NULL) : NULL;
}

static void put_metadata(cs_jw *w, const cs_image_file *i)
{
    const cs_eif_section *s = cs_eif_find(&i->eif, CS_EIF_METADATA);
    json_t *m = metadata_of(i);

    if (json_is_object(m)) {
        put_value(w, "ImageName", json_object_get(m, "ImageName"), 0);
        put_value(w, "ImageVersion", json_object_get(m, "ImageVersion"), 0);
        put_value(w, "Metadata", m, 0);
    } else if (s != NULL && s->body.len <= METADATA_MAX) {
        cs_jw_str(w, "Metadata", s->body);
    }
    json_decref(m);
}

static void put_file(cs_jw *w, const cs_newc_file *f)
{
    uint8_t hash[32];
    char mode[8];

    (void)snprintf(mode, sizeof mode, "%06o", f->mode & 0177777u);
    cs_jw_object(w, NULL);
    cs_jw_str(w, "Path", f->path);
    cs_jw_cstr(w, "Mode", mode);
    if (S_ISLNK(f->mode)) {
        cs_jw_str(w, "Target", f->data);
    } else if (S_ISCHR(f->mode) || S_ISBLK(f->mode)) {
        cs_jw_u64(w, "Major", f->rdev_major);
        cs_jw_u64(w, "Minor", f->rdev_minor);
    } else if (S_ISREG(f->mode)) {
        cs_jw_u64(w, "Bytes", f->data.len);
        if (EVP_Digest(f->data.p, f->data.len, hash, NULL, EVP_sha256(), NULL) == 1) {
            cs_jw_hex(w, "Sha256", cs_slice_of(hash, sizeof hash));
        }
    }
    cs_jw_close_object(w);
}

static cs_err put_files(cs_jw *w, cs_slice ramdisk)
{
    cs_image_tree t;

    CS_TRY(cs_image_tree_read(&t, ramdisk));
    if (t.readable) {
        cs_jw_array(w, "Files");
        for (size_t k = 0; k < t.num; k++) {
            put_file(w, &t.files[k]);
        }
        cs_jw_close_array(w);
    } else {
        cs_jw_cstr(w, "Compressed", t.compressed != NULL ? t.compressed : "unknown");
    }
    cs_image_tree_cleanup(&t);
    return CS_OK;
}

static uint64_t offset_of(const cs_image_file *i, size_t section)
{
    return (uint64_t)(i->eif.sections[section].body.p - i->file.p) - CS_EIF_SECTION_HEADER_LEN;
}

static cs_err put_section(cs_jw *w, const cs_image_file *i, size_t k)
{
    const cs_eif_section *s = &i->eif.sections[k];
    cs_pcr hash;

    CS_TRY(cs_pcr_of_file(&hash, s->body));
    cs_jw_object(w, NULL);
    cs_jw_cstr(w, "Type", cs_eif_type_name(s->type));
    cs_jw_u64(w, "Offset", offset_of(i, k));
    cs_jw_u64(w, "Flags", 0); /* the reader refuses others */
    cs_jw_u64(w, "Bytes", s->body.len);
    cs_jw_bool(w, "Measured", s->type <= CS_EIF_RAMDISK);
    cs_jw_hex(w, "FilePCR", cs_slice_of(hash.b, CS_PCR_LEN));
    if (s->type == CS_EIF_CMDLINE) {
        cs_jw_str(w, "Text", s->body);
    } else if (s->type == CS_EIF_RAMDISK) {
        CS_TRY(put_files(w, s->body));
    }
    cs_jw_close_object(w);
    return CS_OK;
}

static void put_signer(cs_jw *w, const cs_image_file *i)
{
    signer_text t;

    cs_jw_bool(w, "SignatureCheck", i->signature == CS_OK);
    if (i->signer.certificate == NULL) {
        return;
    }
    describe_signer(&t, &i->signer);
    cs_jw_object(w, "SigningCertificate");
    cs_jw_cstr(w, "SubjectName", t.subject);
    cs_jw_cstr(w, "IssuerName", t.issuer);
    cs_jw_cstr(w, "Algorithm", t.alg);
    cs_jw_cstr(w, "NotBefore", t.from);
    cs_jw_cstr(w, "NotAfter", t.to);
    cs_jw_cstr(w, "Validity", t.validity);
    cs_jw_close_object(w);
}

static void put_measurements(cs_jw *w, const cs_image_file *i)
{
    static const char *const names[] = {"PCR0", "PCR1", "PCR2"};

    cs_jw_object(w, "Measurements");
    cs_jw_cstr(w, "HashAlgorithm", "Sha384 { ... }");
    for (unsigned k = 0; k < 3; k++) {
        cs_jw_hex(w, names[k], cs_slice_of(i->pcr[k].b, CS_PCR_LEN));
    }
    if (i->signer.certificate != NULL) {
        cs_jw_hex(w, "PCR8", cs_slice_of(i->signer.pcr8.b, CS_PCR_LEN));
    }
    cs_jw_close_object(w);
}

static cs_err put_json(cs_buf *out, const cs_image_file *i)
{
    cs_jw w = cs_jw_begin(out);

    cs_jw_object(&w, NULL);
    cs_jw_u64(&w, "EifVersion", i->eif.version);
    put_measurements(&w, i);
    cs_jw_bool(&w, "IsSigned", i->is_signed);
    if (i->is_signed) {
        put_signer(&w, i);
    }
    cs_jw_bool(&w, "CheckCRC", i->crc == CS_OK);
    put_metadata(&w, i);
    cs_jw_cstr(&w, "Architecture", (i->eif.flags & CS_EIF_ARM64) != 0 ? "aarch64" : "x86_64");
    cs_jw_u64(&w, "DefaultMemoryBytes", i->eif.default_mem);
    cs_jw_u64(&w, "DefaultCpus", i->eif.default_cpus);
    cs_jw_array(&w, "Sections");
    for (size_t k = 0; k < i->eif.num_sections; k++) {
        CS_TRY(put_section(&w, i, k));
    }
    cs_jw_close_array(&w);
    cs_jw_close_object(&w);
    return cs_jw_end(&w);
}

/* ---------------------------------------------------------------- text */

/* Text of others on a terminal: what could steer it becomes a question mark. */
static void print_plain(cs_slice text)
{
    for (size_t k = 0; k < text.len; k++) {
        (void)putchar(text.p[k] >= ' ' && text.p[k] != 0x7f ? text.p[k] : '?');
    }
}

static void print_file(const cs_newc_file *f)
{
    printf("    %06o %10zu  ", f->mode & 0177777u, f->data.len);
    print_plain(f->path);
    if (S_ISLNK(f->mode)) {
        printf(" -> ");
        print_plain(f->data);
    } else if (S_ISCHR(f->mode) || S_ISBLK(f->mode)) {
        printf("  (device %u:%u)", f->rdev_major, f->rdev_minor);
    }
    (void)putchar('\n');
}

static cs_err print_files(cs_slice ramdisk, bool all)
{
    cs_image_tree t;

    CS_TRY(cs_image_tree_read(&t, ramdisk));
    if (!t.readable) {
        printf("    %s%s\n", t.compressed != NULL ? "compressed: " : "not a newc archive that is well formed",
               t.compressed != NULL ? t.compressed : "");
    }
    for (size_t k = 0; t.readable && k < t.num && (all || k < LISTED); k++) {
        print_file(&t.files[k]);
    }
    if (t.readable && !all && t.num > LISTED) {
        printf("    and %zu more (--files)\n", t.num - LISTED);
    }
    cs_image_tree_cleanup(&t);
    return CS_OK;
}

static void print_pcr(const char *name, const cs_pcr *pcr)
{
    char hex[2 * CS_PCR_LEN + 1];

    cs_hex_encode(hex, cs_slice_of(pcr->b, CS_PCR_LEN));
    printf("%s  %s\n", name, hex);
}

static cs_err print_sections(const cs_image_file *i, bool all)
{
    for (size_t k = 0; k < i->eif.num_sections; k++) {
        const cs_eif_section *s = &i->eif.sections[k];
        printf("  %-9s at %10" PRIu64 "  %12zu bytes%s\n", cs_eif_type_name(s->type), offset_of(i, k), s->body.len,
               s->type > CS_EIF_RAMDISK ? "  (not measured)" : "");
        if (s->type == CS_EIF_RAMDISK) {
            CS_TRY(print_files(s->body, all));
        } else if (s->type == CS_EIF_CMDLINE || (s->type == CS_EIF_METADATA && s->body.len <= METADATA_MAX)) {
            printf("    ");
            print_plain(s->body);
            (void)putchar('\n');
        }
    }
    return CS_OK;
}

static void print_signer(const cs_image_file *i)
{
    signer_text t;

    if (i->signer.certificate == NULL) {
        printf("signature  not readable\n");
        return;
    }
    describe_signer(&t, &i->signer);
    print_pcr("PCR8", &i->signer.pcr8);
    printf("signature  %s, %s; certificate ", i->signature == CS_OK ? "ok" : "WRONG", t.alg);
    print_plain(cs_slice_str(t.subject));
    printf(", %s to %s: %s\n", t.from, t.to, t.validity);
}

static cs_err print_text(const cs_image_file *i, bool all)
{
    static const char *const names[] = {"PCR0", "PCR1", "PCR2"};

    printf("EIF version %u, %s, default %" PRIu64 " bytes of memory and %" PRIu64 " CPUs, checksum %08x %s\n",
           i->eif.version, (i->eif.flags & CS_EIF_ARM64) != 0 ? "aarch64" : "x86_64", i->eif.default_mem,
           i->eif.default_cpus, i->eif.crc, i->crc == CS_OK ? "ok" : "WRONG");
    CS_TRY(print_sections(i, all));
    for (unsigned k = 0; k < 3; k++) {
        print_pcr(names[k], &i->pcr[k]);
    }
    if (i->is_signed) {
        print_signer(i);
    }
    return CS_OK;
}

static int run(const cs_args *a)
{
    const bool json = cs_args_flag(a, "json");
    cs_buf out = cs_buf_heap(JSON_MAX);
    cs_image_file i;
    cs_err err = cs_image_file_read(&i, a->pos[0]);
    bool shown = err == CS_OK;

    if (err == CS_OK && json) {
        err = put_json(&out, &i);
        if (err == CS_OK) {
            printf("%.*s\n", (int)out.len, (const char *)out.p);
        }
    } else if (err == CS_OK) {
        err = print_text(&i, cs_args_flag(a, "files"));
    }
    if (err == CS_OK) {
        err = fflush(stdout) == 0 ? cs_image_file_verdict(&i) : CS_E_IO; /* shown, and refused */
    }
    cs_buf_free(&out);
    cs_image_file_cleanup(&i);
    return err == CS_OK ? 0 : cs_refuse(a, err, json && !shown, a->pos[0]);
}

static const cs_opt opts[] = {
    {.name = "json", .letter = 'j', .kind = CS_OPT_FLAG, .help = "as JSON, with the names of nitro-cli describe-eif"},
    {.name = "files", .letter = 'f', .kind = CS_OPT_FLAG, .help = "every file of long ramdisks too"},
    {0},
};

const cs_cmd cs_cmds_eif_describe[] = {
    {"eif describe", "[--json] [--files] FILE",
     "sections, files, checksum, signature and PCR0, 1, 2 and 8 of an enclave image",
     "A wrong checksum or signature is shown and refused (exit status 1). Metadata and default sizes are not "
     "measured.\n\n"
     "Example:\n  signctl eif describe --json target/sign-service.enclave.eif",
     opts, 1, 1, run},
    {0},
};
