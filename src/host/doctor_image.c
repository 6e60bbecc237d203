/* The enclave image: that it is whole, its measurements against those expected, ages of the certificates in it. See doctor.h. */
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "attest/eif_config.h"
#include "base/text.h"
#include "codec/cbor.h"
#include "host/doctor.h"
#include "host/host.h"
#include "net/aws/json.h"

#define DEFAULT_EIF "target/sign-service.enclave.eif"
#define ROOTS_WARN_DAYS 90
#define SIGNER_WARN_DAYS 30
#define JSON_MAX 65536u

/* ---------------------------------------------------------------- loading */

static cs_err certificate_of(X509 **out, const cs_eif *eif)
{
    const cs_eif_section *s = cs_eif_find(eif, CS_EIF_SIGNATURE);
    cs_eif_signature sig;

    if (s == NULL || s->body.len > JSON_MAX) {
        return s == NULL ? CS_E_NOT_FOUND : CS_E_EIF_FORMAT;
    }
    cs_buf mem = cs_buf_heap(s->body.len + 1);
    cs_err err = cs_eif_signature_parse(&sig, &mem, s->body);
    if (err == CS_OK) {
        BIO *in = BIO_new_mem_buf(sig.certificate_pem.p, (int)sig.certificate_pem.len);
        *out = in != NULL ? PEM_read_bio_X509(in, NULL, NULL, NULL) : NULL;
        BIO_free(in);
        err = *out != NULL ? CS_OK : CS_E_EIF_FORMAT;
    }
    cs_buf_free(&mem);
    return err;
}

static cs_err measure_signer(cs_doctor_image *i)
{
    X509 *cert = NULL;
    uint8_t *der = NULL;
    cs_err err = certificate_of(&cert, &i->eif);

    if (err == CS_E_NOT_FOUND) {
        return CS_OK;
    }
    int len = err == CS_OK ? i2d_X509(cert, &der) : -1;
    if (err == CS_OK) {
        err = len > 0 ? cs_pcr_of_file(&i->pcr8, cs_slice_of(der, (size_t)len)) : CS_E_EIF_FORMAT;
    }
    i->is_signed = err == CS_OK;
    OPENSSL_free(der);
    X509_free(cert);
    return err;
}

static cs_err load_eif(cs_doctor_image *i, const char *path)
{
    i->file = cs_buf_heap(CS_DOCTOR_IMAGE_MAX);
    CS_TRY(cs_doctor_host_file(&i->file, "", path, CS_DOCTOR_IMAGE_MAX));
    CS_TRY(cs_eif_parse(&i->eif, cs_buf_slice(&i->file)));
    CS_TRY(cs_eif_measure(i->pcr, &i->eif));
    CS_TRY(measure_signer(i));
    i->size = i->file.len;
    if (cs_eif_config(&i->config, &i->eif) != CS_OK) {
        i->config = CS_SLICE_NULL;
    }
    i->loaded = i->is_eif = true;
    return CS_OK;
}

static cs_err load_simulated(cs_doctor_image *i, const char *dir)
{
    char path[CS_DOCTOR_PATH];
    cs_image *image = NULL;

    CS_TRY(cs_image_load(&image, dir));
    memcpy(i->pcr, cs_image_pcrs(image), sizeof i->pcr);
    cs_image_free(image);
    i->file = cs_buf_heap(CS_DOCTOR_FILE_MAX);
    int n = snprintf(path, sizeof path, "%s/config.cbor", dir);
    if (n < 0 || (size_t)n >= sizeof path) {
        return CS_E_RANGE;
    }
    CS_TRY(cs_doctor_host_file(&i->file, "", path, CS_DOCTOR_FILE_MAX));
    i->config = cs_buf_slice(&i->file);
    i->loaded = true;
    return CS_OK;
}

void cs_doctor_image_load(cs_doctor *d, cs_doctor_line *l)
{
    const char *path = d->image != NULL ? d->image : d->eif != NULL ? d->eif : DEFAULT_EIF;
    char hex[2 * CS_PCR_LEN + 1];

    if (d->image == NULL && d->eif == NULL && access(DEFAULT_EIF, F_OK) != 0) {
        cs_doctor_report_say(l, CS_DOCTOR_SKIP, CS_OK, "no image: give --eif FILE (there is no %s here)", DEFAULT_EIF);
        return;
    }
    cs_err err = d->image != NULL ? load_simulated(&d->img, path) : load_eif(&d->img, path);
    if (err != CS_OK) {
        cs_doctor_image_free(&d->img);
        cs_doctor_report_say(l, CS_DOCTOR_FAIL, err, "%.200s", path);
        return;
    }
    cs_hex_encode(hex, cs_slice_of(d->img.pcr[0].b, CS_PCR_LEN));
    if (d->img.config.p == NULL) {
        cs_doctor_report_say(l, CS_DOCTOR_WARN, CS_E_IMAGE_CONFIG,
                             "%.120s is whole, PCR0 %.16s...; it holds no configuration of ours", path, hex);
        return;
    }
    cs_doctor_report_say(l, CS_DOCTOR_OK, CS_OK, "%.120s is whole, PCR0 %.16s...%s", path, hex,
                         d->img.is_signed ? ", signed" : "");
}

void cs_doctor_image_free(cs_doctor_image *i)
{
    cs_buf_free(&i->file);
    *i = (cs_doctor_image){.loaded = false};
}

/* ---------------------------------------------------------------- the measured configuration */

/* The value of a key of a section; a NULL slice when there is none. */
static cs_slice value_of(const cs_doctor_image *i, const char *section, const char *key)
{
    cs_slice map, name, value;
    cs_cbor_iter it;

    if (i->config.p == NULL || cs_config_section(&map, i->config, section) != CS_OK) {
        return CS_SLICE_NULL;
    }
    cs_cbor c = cs_cbor_of(map, CS_CBOR_STRICT);
    if (cs_cbor_map(&c, &it) != CS_OK) {
        return CS_SLICE_NULL;
    }
    while (cs_cbor_more(&c, &it)) {
        if (cs_cbor_text(&c, &name) != CS_OK || cs_cbor_skip(&c, &value) != CS_OK) {
            return CS_SLICE_NULL;
        }
        if (cs_slice_eq_str(name, key)) {
            return value;
        }
    }
    return CS_SLICE_NULL;
}

bool cs_doctor_image_text(char *out, size_t cap, const cs_doctor_image *i, const char *section, const char *key)
{
    cs_slice value = value_of(i, section, key), text;
    cs_cbor c = cs_cbor_of(value, CS_CBOR_STRICT);

    if (value.p == NULL || cs_cbor_text(&c, &text) != CS_OK || text.len >= cap || memchr(text.p, 0, text.len) != NULL) {
        return false;
    }
    memcpy(out, text.p, text.len);
    out[text.len] = '\0';
    return true;
}

bool cs_doctor_image_flag(const cs_doctor_image *i, const char *section, const char *key)
{
    cs_slice value = value_of(i, section, key);
    cs_cbor c = cs_cbor_of(value, CS_CBOR_STRICT);
    bool flag = false;

    return value.p != NULL && cs_cbor_bool(&c, &flag) == CS_OK && flag;
}

cs_slice cs_doctor_image_value(const cs_doctor_image *i, const char *section, const char *key)
{
    return value_of(i, section, key);
}

cs_slice cs_doctor_image_roots_pem(const cs_doctor_image *i)
{
    cs_slice value = value_of(i, "kms", "ca"), pem = CS_SLICE_NULL;
    cs_cbor c = cs_cbor_of(value, CS_CBOR_STRICT);

    return value.p != NULL && cs_cbor_bytes(&c, &pem) == CS_OK ? pem : CS_SLICE_NULL;
}

/* ---------------------------------------------------------------- measurements */

void cs_doctor_image_explain(char *out, size_t cap, unsigned known, unsigned differ)
{
    const char *what;

    if ((known & 6) == 6) {
        what = (differ & 6) == 6   ? "kernel, command line or init, and the application differ"
               : (differ & 2) != 0 ? "kernel, command line or init (ramdisk 0) differ; the application is the same"
               : (differ & 4) != 0
                   ? "the application (ramdisk 1: programs or configuration) differs; kernel and init are the same"
                   : "the same parts, put together otherwise";
    } else if ((known & 2) != 0) {
        what = (differ & 2) != 0 ? "kernel, command line or init differ; PCR2 would say whether the application does"
                                 : "kernel and init are the same, so the application differs";
    } else if ((known & 4) != 0) {
        what = (differ & 4) != 0 ? "the application (ramdisk 1) differs; PCR1 would say whether kernel and init do"
                                 : "the application is the same, so kernel, command line or init differ";
    } else {
        what =
            "PCR0 alone does not say which section; name PCR1 and PCR2 too, or compare the images (signctl eif diff)";
    }
    (void)snprintf(out, cap, "%s%s%s%s", (differ & 1) != 0 ? "PCR0 " : "", (differ & 2) != 0 ? "PCR1 " : "",
                   (differ & 4) != 0 ? "PCR2 " : "", (differ & 7) != 0 ? "differ: " : "");
    size_t n = strlen(out);
    (void)snprintf(out + n, cap - n, "%s", what);
}

/* The three values of nitro-cli's Measurements, with or without that object around them; bits of those that are there. */
static unsigned read_measurements(cs_pcr out[3], cs_slice json)
{
    static const char *const names[] = {"PCR0", "PCR1", "PCR2"};
    cs_json_field outer = {.key = "Measurements", .kind = CS_JSON_OBJECT};
    unsigned known = 0;

    if (cs_json_read(json, &outer, 1) == CS_OK && outer.seen) {
        json = outer.raw;
    }
    for (unsigned i = 0; i < 3; i++) {
        uint8_t mem[2 * CS_PCR_LEN];
        cs_buf text = cs_buf_wrap(mem, sizeof mem);
        cs_json_field f = {.key = names[i], .kind = CS_JSON_STRING, .out = &text};
        if (cs_json_read(json, &f, 1) == CS_OK && f.seen &&
            cs_hex_decode(out[i].b, CS_PCR_LEN, cs_buf_slice(&text)) == CS_OK) {
            known |= 1u << i;
        }
    }
    return known;
}

/* Section by section: two images are at hand. */
static void compare_sections(cs_doctor_line *l, const cs_eif *ours, const cs_eif *theirs)
{
    char text[CS_DOCTOR_TEXT] = "";
    size_t n = ours->num_sections > theirs->num_sections ? ours->num_sections : theirs->num_sections;
    unsigned ramdisk = 0;
    bool measured = false;

    for (size_t i = 0; i < n; i++) {
        const cs_eif_section *a = i < ours->num_sections ? &ours->sections[i] : NULL;
        const cs_eif_section *b = i < theirs->num_sections ? &theirs->sections[i] : NULL;
        const cs_eif_section *any = a != NULL ? a : b;
        bool counts = any->type == CS_EIF_KERNEL || any->type == CS_EIF_CMDLINE || any->type == CS_EIF_RAMDISK;
        bool same = a != NULL && b != NULL && a->type == b->type && cs_slice_eq(a->body, b->body);
        char name[32];
        if (any->type == CS_EIF_RAMDISK) {
            (void)snprintf(name, sizeof name, "ramdisk %u", ramdisk++);
        } else {
            (void)snprintf(name, sizeof name, "%s", cs_eif_type_name(any->type));
        }
        measured = measured || (counts && !same);
        size_t at = strlen(text);
        (void)snprintf(text + at, sizeof text - at, "%s%s %s%s", at > 0 ? ", " : "", name, same ? "equal" : "differs",
                       counts ? "" : " (not measured)");
    }
    cs_doctor_report_say(l, measured ? CS_DOCTOR_FAIL : CS_DOCTOR_OK, measured ? CS_E_PCR_MISMATCH : CS_OK, "%s", text);
}

static void compare_measurements(cs_doctor *d, cs_doctor_line *l, cs_slice json)
{
    cs_pcr want[3];
    char text[CS_DOCTOR_TEXT];
    unsigned known = read_measurements(want, json), differ = 0;

    for (unsigned i = 0; i < 3; i++) {
        if ((known >> i & 1) != 0 && memcmp(want[i].b, d->img.pcr[i].b, CS_PCR_LEN) != 0) {
            differ |= 1u << i;
        }
    }
    if (known == 0) {
        cs_doctor_report_say(l, CS_DOCTOR_FAIL, CS_E_FORMAT, "%.200s names no PCR0, PCR1 or PCR2", d->expected);
    } else if (differ == 0) {
        cs_doctor_report_say(l, CS_DOCTOR_OK, CS_OK, "the image has the measurements of %.200s", d->expected);
    } else {
        cs_doctor_image_explain(text, sizeof text, known, differ);
        cs_doctor_report_say(l, CS_DOCTOR_FAIL, CS_E_PCR_MISMATCH, "%s", text);
    }
}

void cs_doctor_image_expected(cs_doctor *d, cs_doctor_line *l)
{
    cs_buf file = cs_buf_heap(CS_DOCTOR_IMAGE_MAX);
    cs_eif eif;

    if (d->expected == NULL || !d->img.loaded) {
        cs_doctor_report_say(l, CS_DOCTOR_SKIP, CS_OK, "%s",
                             d->img.loaded ? "no measurements to compare with (--expected FILE)" : "no image");
        return;
    }
    cs_err err = cs_doctor_host_file(&file, "", d->expected, CS_DOCTOR_IMAGE_MAX);
    bool image = err == CS_OK && file.len > 4 && memcmp(file.p, ".eif", 4) == 0;
    if (image) {
        err = cs_eif_parse(&eif, cs_buf_slice(&file));
    }
    if (err != CS_OK) {
        cs_doctor_report_say(l, CS_DOCTOR_FAIL, err, "%.200s", d->expected);
    } else if (image && d->img.is_eif) {
        compare_sections(l, &d->img.eif, &eif);
    } else if (image) {
        cs_doctor_report_say(l, CS_DOCTOR_FAIL, CS_E_USAGE,
                             "a simulated image is compared with measurements, not with an EIF");
    } else {
        compare_measurements(d, l, cs_buf_slice(&file));
    }
    cs_buf_free(&file);
}

/* ---------------------------------------------------------------- certificates */

/* Days until then; negative: it is past. false: no time. */
static bool days_until(int *out, const ASN1_TIME *t)
{
    int days, seconds;

    if (ASN1_TIME_diff(&days, &seconds, NULL, t) != 1) {
        return false;
    }
    *out = days < 0 || seconds < 0 || (days == 0 && seconds == 0) ? days - 1 : days;
    return true;
}

void cs_doctor_image_roots(cs_doctor *d, cs_doctor_line *l)
{
    cs_slice pem = cs_doctor_image_roots_pem(&d->img);
    BIO *in = pem.len > 0 && pem.len < JSON_MAX ? BIO_new_mem_buf(pem.p, (int)pem.len) : NULL;
    int least = 0, n = 0, days;
    X509 *cert;

    if (in == NULL) {
        cs_doctor_report_say(l, CS_DOCTOR_SKIP, CS_OK, "no image with roots for KMS");
        return;
    }
    while ((cert = PEM_read_bio_X509(in, NULL, NULL, NULL)) != NULL) {
        if (!days_until(&days, X509_get0_notAfter(cert))) {
            days = -1;
        }
        least = n == 0 || days < least ? days : least;
        n++;
        X509_free(cert);
    }
    BIO_free(in);
    if (n == 0 || least < ROOTS_WARN_DAYS) {
        cs_doctor_report_say(l, n == 0 || least < 0 ? CS_DOCTOR_FAIL : CS_DOCTOR_WARN, CS_E_CERT_AGE,
                             "of %d roots for KMS in the image the first %s %d days", n,
                             least < 0 ? "expired before" : "expires in", least < 0 ? -least : least);
    } else {
        cs_doctor_report_say(l, CS_DOCTOR_OK, CS_OK, "%d roots for KMS in the image; the first expires in %d days", n,
                             least);
    }
}

void cs_doctor_image_signer(cs_doctor *d, cs_doctor_line *l)
{
    X509 *cert = NULL;
    int until, since;

    if (!d->img.is_signed || certificate_of(&cert, &d->img.eif) != CS_OK) {
        cs_doctor_report_say(l, CS_DOCTOR_SKIP, CS_OK, "the image is not signed (no PCR8)");
        return;
    }
    bool known = days_until(&until, X509_get0_notAfter(cert)) && days_until(&since, X509_get0_notBefore(cert));
    X509_free(cert);
    if (!known || until < 0 || since >= 0) {
        cs_doctor_report_say(l, CS_DOCTOR_FAIL, CS_E_CERT_AGE,
                             "the certificate that signed the image is %s: nitro-cli starts no such image (E36, E59)",
                             !known      ? "unreadable"
                             : until < 0 ? "expired"
                                         : "not valid yet");
    } else if (until < SIGNER_WARN_DAYS) {
        cs_doctor_report_say(l, CS_DOCTOR_WARN, CS_E_CERT_AGE,
                             "the certificate that signed the image expires in %d days", until);
    } else {
        cs_doctor_report_say(l, CS_DOCTOR_OK, CS_OK, "the certificate that signed the image expires in %d days", until);
    }
}
