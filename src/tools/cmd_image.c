/* signctl eif describe, eif diff, pcr role, pcr instance, pcr file: what an enclave image is and how it is measured. */
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attest/eif.h"
#include "base/json_out.h"
#include "base/text.h"
#include "tools/cmds.h"
#include "tools/tool_file.h"

#define FILE_MAX ((size_t)1 << 31)
#define SHOW_MAX ((size_t)1 << 16)

typedef struct image {
    cs_buf file;
    cs_eif eif;
    bool crc_ok, is_signed;
    cs_pcr pcr[3], pcr8;
} image;

/* PCR8 is over the DER of the certificate that the signature section holds as PEM. */
static cs_err certificate_pcr(cs_pcr *out, cs_slice pem)
{
    BIO *in = BIO_new_mem_buf(pem.p, (int)pem.len);
    X509 *cert = in != NULL ? PEM_read_bio_X509(in, NULL, NULL, NULL) : NULL;
    uint8_t *der = NULL;
    int len = cert != NULL ? i2d_X509(cert, &der) : -1;
    cs_err err = len > 0 ? cs_pcr_of_file(out, cs_slice_of(der, (size_t)len)) : CS_E_EIF_FORMAT;

    OPENSSL_free(der);
    X509_free(cert);
    BIO_free(in);
    return err;
}

static cs_err measure_signature(image *i, const cs_eif_section *s)
{
    cs_buf mem = cs_buf_heap(s->body.len + 1);
    cs_eif_signature sig;
    cs_err err = s->body.len > SHOW_MAX ? CS_E_EIF_FORMAT : cs_eif_signature_parse(&sig, &mem, s->body);

    if (err == CS_OK) {
        err = certificate_pcr(&i->pcr8, sig.certificate_pem);
    }
    cs_buf_free(&mem);
    i->is_signed = err == CS_OK;
    return err;
}

/* A wrong checksum is no reason to show nothing: crc_ok says it. */
static cs_err load(image *i, const char *path)
{
    const cs_eif_section *s;
    cs_err err;

    *i = (image){.file = cs_buf_heap(FILE_MAX)};
    CS_TRY(cs_tfile_read(&i->file, path));
    err = cs_eif_parse(&i->eif, cs_buf_slice(&i->file));
    i->crc_ok = err == CS_OK;
    if (err != CS_OK && err != CS_E_EIF_CRC) {
        return err;
    }
    CS_TRY(cs_eif_measure(i->pcr, &i->eif));
    s = cs_eif_find(&i->eif, CS_EIF_SIGNATURE);
    return s == NULL ? CS_OK : measure_signature(i, s);
}

static void put_measurements(cs_jw *w, const image *i)
{
    static const char *const names[] = {"PCR0", "PCR1", "PCR2"};

    cs_jw_object(w, "Measurements");
    cs_jw_cstr(w, "HashAlgorithm", "Sha384 { ... }");
    for (unsigned k = 0; k < 3; k++) {
        cs_jw_hex(w, names[k], cs_slice_of(i->pcr[k].b, CS_PCR_LEN));
    }
    if (i->is_signed) {
        cs_jw_hex(w, "PCR8", cs_slice_of(i->pcr8.b, CS_PCR_LEN));
    }
    cs_jw_close_object(w);
}

static cs_err put_json(cs_buf *out, const image *i)
{
    const cs_eif_section *meta = cs_eif_find(&i->eif, CS_EIF_METADATA);
    cs_jw w = cs_jw_begin(out);

    cs_jw_object(&w, NULL);
    cs_jw_u64(&w, "EifVersion", i->eif.version);
    cs_jw_cstr(&w, "Architecture", (i->eif.flags & CS_EIF_ARM64) != 0 ? "aarch64" : "x86_64");
    cs_jw_u64(&w, "DefaultMemoryBytes", i->eif.default_mem);
    cs_jw_u64(&w, "DefaultCpus", i->eif.default_cpus);
    cs_jw_bool(&w, "IsSigned", i->is_signed);
    cs_jw_bool(&w, "CheckCRC", i->crc_ok);
    cs_jw_array(&w, "Sections");
    for (size_t k = 0; k < i->eif.num_sections; k++) {
        cs_pcr hash;
        if (cs_pcr_of_file(&hash, i->eif.sections[k].body) != CS_OK) {
            return CS_E_NO_MEMORY;
        }
        cs_jw_object(&w, NULL);
        cs_jw_cstr(&w, "Type", cs_eif_type_name(i->eif.sections[k].type));
        cs_jw_u64(&w, "Bytes", i->eif.sections[k].body.len);
        cs_jw_hex(&w, "FilePCR", cs_slice_of(hash.b, CS_PCR_LEN));
        cs_jw_close_object(&w);
    }
    cs_jw_close_array(&w);
    if (meta != NULL && meta->body.len <= SHOW_MAX) {
        cs_jw_str(&w, "Metadata", meta->body); /* not measured: only what the builder said */
    }
    put_measurements(&w, i);
    cs_jw_close_object(&w);
    return cs_jw_end(&w);
}

static void print_pcr(const char *name, const cs_pcr *pcr)
{
    char hex[2 * CS_PCR_LEN + 1];

    cs_hex_encode(hex, cs_slice_of(pcr->b, CS_PCR_LEN));
    printf("%s  %s\n", name, hex);
}

static void print_text(const image *i)
{
    printf("EIF version %u, %s, default %llu bytes of memory and %llu CPUs, checksum %08x %s\n", i->eif.version,
           (i->eif.flags & CS_EIF_ARM64) != 0 ? "aarch64" : "x86_64", (unsigned long long)i->eif.default_mem,
           (unsigned long long)i->eif.default_cpus, i->eif.crc, i->crc_ok ? "ok" : "WRONG");
    for (size_t k = 0; k < i->eif.num_sections; k++) {
        printf("  %-9s  %12zu bytes%s\n", cs_eif_type_name(i->eif.sections[k].type), i->eif.sections[k].body.len,
               i->eif.sections[k].type > CS_EIF_RAMDISK ? "  (not measured)" : "");
    }
    print_pcr("PCR0", &i->pcr[0]);
    print_pcr("PCR1", &i->pcr[1]);
    print_pcr("PCR2", &i->pcr[2]);
    if (i->is_signed) {
        print_pcr("PCR8", &i->pcr8);
    }
}

static int run_describe(const cs_args *a)
{
    const bool json = cs_args_flag(a, "json");
    cs_buf out = cs_buf_heap(4 * SHOW_MAX);
    image i;
    cs_err err = load(&i, a->pos[0]);

    if (err == CS_OK && json) {
        err = put_json(&out, &i);
        if (err == CS_OK) {
            printf("%.*s\n", (int)out.len, (const char *)out.p);
        }
    } else if (err == CS_OK) {
        print_text(&i);
    }
    if (err == CS_OK && !i.crc_ok) {
        err = CS_E_EIF_CRC; /* shown, and refused */
    }
    cs_buf_free(&out);
    cs_buf_free(&i.file);
    return err == CS_OK ? 0 : cs_refuse(a, err, false, a->pos[0]);
}

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

static const char *moved_pcrs(cs_eif_type t, size_t rank)
{
    switch (t) {
    case CS_EIF_KERNEL:
    case CS_EIF_CMDLINE:
        return "moves PCR0, PCR1";
    case CS_EIF_RAMDISK:
        return rank == 0 ? "moves PCR0, PCR1" : "moves PCR0, PCR2";
    case CS_EIF_SIGNATURE:
        return "may move PCR8";
    case CS_EIF_METADATA:
        return "not measured";
    }
    return "";
}

static unsigned diff_type(const image *x, const image *y, cs_eif_type t)
{
    unsigned differ = 0;

    for (size_t rank = 0; rank < CS_EIF_MAX_SECTIONS; rank++) {
        const cs_eif_section *p = nth(&x->eif, t, rank), *q = nth(&y->eif, t, rank);
        if (p == NULL && q == NULL) {
            break;
        }
        if (p == NULL || q == NULL || !cs_slice_eq(p->body, q->body)) {
            printf("%s %zu: %s (%s)\n", cs_eif_type_name(t), rank,
                   p == NULL   ? "only in the second"
                   : q == NULL ? "only in the first"
                               : "differs",
                   moved_pcrs(t, rank));
            differ++;
        }
    }
    return differ;
}

static int run_diff(const cs_args *a)
{
    static const char *const names[] = {"PCR0", "PCR1", "PCR2"};
    unsigned differ = 0;
    image x = {0}, y = {0};
    const char *detail = a->pos[0];
    cs_err err = load(&x, a->pos[0]);

    if (err == CS_OK) {
        detail = a->pos[1];
        err = load(&y, a->pos[1]);
    }
    if (err == CS_OK) {
        for (unsigned t = CS_EIF_KERNEL; t <= CS_EIF_METADATA; t++) {
            differ += diff_type(&x, &y, (cs_eif_type)t);
        }
        for (unsigned k = 0; k < 3; k++) {
            printf("%s %s\n", names[k], memcmp(&x.pcr[k], &y.pcr[k], CS_PCR_LEN) == 0 ? "equal" : "DIFFERENT");
        }
    }
    cs_buf_free(&x.file);
    cs_buf_free(&y.file);
    return err != CS_OK ? cs_refuse(a, err, false, detail) : differ > 0 ? 1 : 0;
}

static int print_one(const cs_args *a, cs_err err, const cs_pcr *pcr)
{
    char hex[2 * CS_PCR_LEN + 1];

    if (err != CS_OK) {
        return cs_refuse(a, err, false, a->pos[0]);
    }
    cs_hex_encode(hex, cs_slice_of(pcr->b, CS_PCR_LEN));
    puts(hex);
    return 0;
}

static int run_role(const cs_args *a)
{
    cs_pcr pcr;

    if (strncmp(a->pos[0], "arn:aws", 7) != 0 || strstr(a->pos[0], ":role/") == NULL) {
        return cs_usage_error(
            a, "give the ARN of an IAM role, arn:aws:iam::ACCOUNT:role/NAME (not of an instance profile)");
    }
    return print_one(a, cs_pcr_of_string(&pcr, cs_slice_str(a->pos[0])), &pcr);
}

static int run_instance(const cs_args *a)
{
    cs_pcr pcr;

    if (strncmp(a->pos[0], "i-", 2) != 0 || strspn(a->pos[0] + 2, "0123456789abcdef") != strlen(a->pos[0]) - 2 ||
        strlen(a->pos[0]) < 10) {
        return cs_usage_error(a, "give the id of an instance, i-0123456789abcdef0");
    }
    return print_one(a, cs_pcr_of_string(&pcr, cs_slice_str(a->pos[0])), &pcr);
}

static int run_file(const cs_args *a)
{
    cs_buf file = cs_buf_heap(FILE_MAX);
    cs_pcr pcr;
    cs_err err = cs_tfile_read(&file, a->pos[0]);

    if (err == CS_OK && cs_args_flag(a, "signing-certificate")) {
        err = file.len > SHOW_MAX ? CS_E_TOO_LARGE : certificate_pcr(&pcr, cs_buf_slice(&file));
        err = err == CS_E_EIF_FORMAT ? CS_E_FORMAT : err;
    } else if (err == CS_OK) {
        err = cs_pcr_of_file(&pcr, cs_buf_slice(&file));
    }
    cs_buf_free(&file);
    return print_one(a, err, &pcr);
}

static const cs_opt describe_opts[] = {
    {"json", 'j', CS_OPT_FLAG, NULL, "as JSON, measurements as nitro-cli prints them", NULL, NULL, 0, 0}, {0}};
static const cs_opt file_opts[] = {
    {"signing-certificate", 0, CS_OPT_FLAG, NULL, "the file is a PEM certificate: PCR8", NULL, NULL, 0, 0}, {0}};
static const cs_opt no_opts[] = {{0}};

const cs_cmd cs_cmds_image[] = {
    {"eif describe", "[--json] FILE", "sections, checksum and PCR0, 1, 2 and 8 of an enclave image",
     "A wrong checksum is shown and refused. Metadata and default sizes are not measured.\n\n"
     "Example:\n  signctl eif describe --json target/sign-service.enclave.eif",
     describe_opts, 1, 1, run_describe},
    {"eif diff", "FILE FILE", "which sections of two enclave images differ, and which PCR each moves",
     "Exit status 0: all sections are equal, 1: some differ or a file is refused.\n\n"
     "Example:\n  signctl eif diff old.eif new.eif",
     no_opts, 2, 2, run_diff},
    {"pcr role", "ARN", "PCR3: SHA-384 of 48 zero bytes and the ARN of the instance's role",
     "Example:\n  signctl pcr role arn:aws:iam::123456789012:role/NitroEnclaveInstanceRole", no_opts, 1, 1, run_role},
    {"pcr instance", "ID", "PCR4: SHA-384 of 48 zero bytes and the instance id",
     "Example:\n  signctl pcr instance i-1234567890abcdef0", no_opts, 1, 1, run_instance},
    {"pcr file", "[--signing-certificate] FILE", "SHA-384 of 48 zero bytes and the SHA-384 of a file, as nitro-cli pcr",
     "Example:\n  signctl pcr file --signing-certificate cert.pem", file_opts, 1, 1, run_file},
    {0},
};
