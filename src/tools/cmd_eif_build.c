/* signctl eif build: an enclave image of a configuration, the enclave's programs and a kernel. No Docker, no nitro-cli, no root. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "tools/cmds.h"
#include "tools/config_file.h"
#include "tools/eif_sign.h"
#include "tools/image_file.h"
#include "tools/image_layout.h"
#include "tools/secret_io.h"
#include "tools/tool_file.h"

#define KERNEL_MAX ((size_t)256 << 20)
#define PROGRAM_MAX ((size_t)256 << 20) /* as linked, with debug information */
#define EIF_MAX ((size_t)1 << 30)
#define PATH_LEN 4096
#define BLOBS "/usr/share/nitro_enclaves/blobs"
#define YAML_MAX (CS_CONFIG_YAML_MAX + 65536u) /* with what --set said */

/* All that is read from files. */
typedef struct inputs {
    cs_buf kernel, cmdline, nsm_ko, yaml;
    cs_buf program[CS_IMAGE_PROGRAMS];
    cs_config_file config;
    char detail[PATH_LEN + 64]; /* what a refusal is about */
} inputs;

static void cleanup(inputs *in)
{
    cs_buf_free(&in->kernel);
    cs_buf_free(&in->cmdline);
    cs_buf_free(&in->nsm_ko);
    cs_buf_free(&in->yaml);
    for (size_t i = 0; i < CS_IMAGE_PROGRAMS; i++) {
        cs_buf_free(&in->program[i]);
    }
    cs_config_file_cleanup(&in->config);
}

static cs_err read_to(cs_buf *out, inputs *in, size_t max, const char *dir, const char *name)
{
    int n = dir != NULL ? snprintf(in->detail, sizeof in->detail, "%s/%s", dir, name)
                        : snprintf(in->detail, sizeof in->detail, "%s", name);

    *out = cs_buf_heap(max);
    return n < 0 || (size_t)n >= sizeof in->detail ? CS_E_RANGE : cs_tfile_read(out, in->detail);
}

static bool is_file(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* --cmdline is a file's name or the text itself. */
static cs_err read_cmdline(inputs *in, const char *given, const char *blobs)
{
    if (given != NULL && !is_file(given)) {
        (void)snprintf(in->detail, sizeof in->detail, "%s", "--cmdline");
        in->cmdline = cs_buf_heap(PATH_LEN);
        return cs_put_str(&in->cmdline, given) == CS_OK ? CS_OK : CS_E_IMAGE_KERNEL;
    }
    if (given != NULL || blobs != NULL) {
        return read_to(&in->cmdline, in, PATH_LEN, given != NULL ? NULL : blobs, given != NULL ? given : "cmdline");
    }
    in->cmdline = cs_buf_heap(PATH_LEN);
    return cs_put_str(&in->cmdline, CS_DEFAULT_CMDLINE);
}

/* AWS's folder of kernel, command line and driver: given, or there. With a kernel of one's own only when given. */
static const char *find_blobs(const cs_args *a)
{
    const char *given = cs_args_str(a, "blobs");
    struct stat st;

    if (given != NULL || cs_args_str(a, "kernel") != NULL) {
        return given;
    }
    given = getenv("NITRO_CLI_BLOBS");
    if (given != NULL && given[0] != '\0') {
        return given;
    }
    return stat(BLOBS, &st) == 0 && S_ISDIR(st.st_mode) ? BLOBS : NULL;
}

/* The folder of this program, which has its neighbours. */
static cs_err own_dir(char out[PATH_LEN])
{
    ssize_t n = readlink("/proc/self/exe", out, PATH_LEN - 1);

    if (n <= 0) {
        return CS_E_IO;
    }
    out[n] = '\0';
    *strrchr(out, '/') = '\0';
    return CS_OK;
}

/* The kernel of make (build/kernel beside build/bin) or of make install; NULL when there is none. */
static const char *find_own_kernel(char out[PATH_LEN])
{
    static const char *const places[] = {"../kernel/bzImage", "../share/countersign/bzImage"};
    char dir[PATH_LEN];

    for (size_t i = 0; own_dir(dir) == CS_OK && i < sizeof places / sizeof *places; i++) {
        int n = snprintf(out, PATH_LEN, "%s/%s", dir, places[i]);

        if (n > 0 && n < PATH_LEN && is_file(out)) {
            return out;
        }
    }
    return NULL;
}

static cs_err read_kernel(inputs *in, const cs_args *a)
{
    const char *kernel = cs_args_str(a, "kernel"), *blobs = find_blobs(a);
    char own[PATH_LEN];
    cs_err err;

    if (kernel == NULL && blobs == NULL) {
        kernel = find_own_kernel(own);
    }
    if (kernel == NULL && blobs == NULL) {
        (void)snprintf(in->detail, sizeof in->detail, "no --kernel, no --blobs, no %s, none beside signctl", BLOBS);
        return CS_E_IMAGE_KERNEL;
    }
    err = read_to(&in->kernel, in, KERNEL_MAX, kernel != NULL ? NULL : blobs, kernel != NULL ? kernel : "bzImage");
    if (err != CS_OK) {
        return err == CS_E_NOT_FOUND ? CS_E_IMAGE_KERNEL : err;
    }
    CS_TRY(read_cmdline(in, cs_args_str(a, "cmdline"), blobs));
    if (blobs == NULL) {
        return CS_OK;
    }
    err = read_to(&in->nsm_ko, in, KERNEL_MAX, blobs, "nsm.ko");
    return err == CS_E_NOT_FOUND ? CS_OK : err; /* a kernel with the driver in it */
}

static cs_err read_programs(inputs *in, const char *dir)
{
    char own[PATH_LEN];

    if (dir == NULL) {
        CS_TRY(own_dir(own));
        dir = own;
    }
    for (size_t i = 0; i < CS_IMAGE_PROGRAMS; i++) {
        cs_err err = read_to(&in->program[i], in, PROGRAM_MAX, dir, cs_image_program(i));
        if (err != CS_OK) {
            return err == CS_E_NOT_FOUND ? CS_E_IMAGE_PROGRAM : err;
        }
    }
    return CS_OK;
}

/* The source as given, and what --set changed of it as comments: the image shows its reviewer both. */
static cs_err read_config(inputs *in, const cs_args *a)
{
    cs_err err = cs_config_file_load(&in->config, cs_args_str(a, "config"), a);

    if (err != CS_OK) {
        (void)snprintf(in->detail, sizeof in->detail, "%s", in->config.detail);
        return err;
    }
    in->yaml = cs_buf_heap(YAML_MAX);
    CS_TRY(cs_put_slice(&in->yaml, cs_buf_slice(&in->config.yaml)));
    for (size_t i = 0; i < a->num_many; i++) {
        if (strpbrk(a->many[i], "\r\n") != NULL) {
            (void)snprintf(in->detail, sizeof in->detail, "--set %.*s", (int)strcspn(a->many[i], "="), a->many[i]);
            return CS_E_CONFIG;
        }
        CS_TRY(cs_put_fmt(&in->yaml, "# --set %s\n", a->many[i]));
    }
    return CS_OK;
}

/* SOURCE_DATE_EPOCH, or 0: the time of a build is no part of an image. */
static cs_err build_time(uint64_t *out, inputs *in)
{
    const char *text = getenv("SOURCE_DATE_EPOCH");

    *out = 0;
    if (text == NULL || text[0] == '\0') {
        return CS_OK;
    }
    (void)snprintf(in->detail, sizeof in->detail, "SOURCE_DATE_EPOCH");
    return cs_parse_u64(cs_slice_str(text), 253402300799u /* the year 9999 */, out);
}

static cs_err make(cs_image_made *made, inputs *in, const cs_args *a)
{
    cs_image_parts parts = {.name = cs_args_str(a, "name"), .version = cs_args_str(a, "image-version")};
    const char *what = NULL;
    cs_err err;

    CS_TRY(build_time(&parts.build_time, in));
    CS_TRY(read_config(in, a));
    CS_TRY(read_kernel(in, a));
    CS_TRY(read_programs(in, cs_args_str(a, "program-dir")));
    parts.kernel = cs_buf_slice(&in->kernel);
    parts.cmdline = cs_buf_slice(&in->cmdline);
    parts.nsm_ko = cs_buf_slice(&in->nsm_ko);
    parts.config = cs_buf_slice(&in->config.cbor);
    parts.yaml = cs_buf_slice(&in->yaml);
    parts.ca = cs_buf_slice(&in->config.ca);
    for (size_t i = 0; i < CS_IMAGE_PROGRAMS; i++) {
        parts.program[i] = cs_buf_slice(&in->program[i]);
    }
    err = cs_image_make(made, &what, &parts);
    if (err != CS_OK) {
        (void)snprintf(in->detail, sizeof in->detail, "%s", what);
    }
    return err;
}

static void progress(const char *text)
{
    if (isatty(STDERR_FILENO)) {
        (void)fprintf(stderr, "%s\n", text);
    }
}

static cs_err sign(cs_eif *eif, cs_buf *section, cs_pcr *pcr8, inputs *in, const cs_args *a, const cs_pcr *pcr0)
{
    const char *what = "memory for secrets";
    cs_err err = cs_tool_arena(CS_EIF_SIGN_ARENA);

    if (err == CS_OK) {
        err = cs_eif_sign(section, pcr8, &what, cs_args_str(a, "signing-certificate"), cs_args_str(a, "private-key"),
                          pcr0);
    }
    (void)snprintf(in->detail, sizeof in->detail, "%s", what);
    CS_TRY(err);
    return cs_eif_attach(eif, cs_buf_slice(section));
}

static int run(const cs_args *a)
{
    const char *output = cs_args_str(a, cs_args_str(a, "output-file") != NULL ? "output-file" : "output");
    cs_buf file = cs_buf_heap(EIF_MAX), signature = cs_buf_heap(CS_EIF_SIGNATURE_MAX);
    const bool with_signature = cs_args_str(a, "private-key") != NULL;
    cs_image_made made = {0};
    inputs in = {0};
    cs_pcr pcr[3], pcr8;
    cs_err err;

    if (strcmp(output, "-") == 0) {
        return cs_usage_error(a, "--output wants a file: standard output holds the measurements");
    }
    if (with_signature != (cs_args_str(a, "signing-certificate") != NULL)) {
        return cs_usage_error(a, "--signing-certificate and --private-key are given together");
    }
    progress("Start building the Enclave Image...");
    err = make(&made, &in, a);
    if (err == CS_OK) {
        err = cs_eif_measure(pcr, &made.eif);
    }
    if (err == CS_OK && with_signature) {
        err = sign(&made.eif, &signature, &pcr8, &in, a, &pcr[0]);
    }
    if (err == CS_OK) {
        err = cs_eif_write(&file, &made.eif);
    }
    if (err == CS_OK) {
        (void)snprintf(in.detail, sizeof in.detail, "%s", output);
        err = cs_image_file_write(output, cs_buf_slice(&file));
    }
    if (err == CS_OK) {
        (void)fprintf(stderr, "Enclave Image successfully created.\n");
        err = cs_image_print_measurements(stdout, pcr, with_signature ? &pcr8 : NULL);
    }
    int status = err == CS_OK ? 0 : cs_refuse(a, err, cs_args_flag(a, "json"), in.detail);
    cs_image_made_cleanup(&made);
    cleanup(&in);
    cs_buf_free(&file);
    cs_buf_free(&signature);
    return status;
}

static const cs_opt opts[] = {
    {.name = "config",
     .letter = 'c',
     .kind = CS_OPT_STR,
     .arg = "FILE",
     .help = "the enclave's configuration (docs/formats/config.md), measured",
     .def = "sign-service.yaml"},
    {.name = "output",
     .letter = 'o',
     .kind = CS_OPT_STR,
     .arg = "FILE",
     .help = "where the image goes, whole or not at all",
     .def = "target/sign-service.enclave.eif"},
    {.name = "output-file", .kind = CS_OPT_STR, .arg = "FILE", .help = "the same, as nitro-cli has it"},
    {.name = "set",
     .kind = CS_OPT_MANY,
     .arg = "KEY=VALUE",
     .help = "a value that comes before the file's (may be repeated; keys of one value); the image notes it"},
    {.name = "kernel",
     .kind = CS_OPT_STR,
     .arg = "FILE",
     .help = "a bzImage with nsm and vsock drivers (default: bzImage of --blobs, else ../kernel/bzImage or "
             "../share/countersign/bzImage from signctl's folder, where make and make install put the small kernel)"},
    {.name = "cmdline",
     .kind = CS_OPT_STR,
     .arg = "TEXT|FILE",
     .help = "the kernel's command line (default: file cmdline of --blobs, else the one for the kernel of make eif)"},
    {.name = "blobs",
     .kind = CS_OPT_STR,
     .arg = "DIR",
     .help = "AWS's bzImage, cmdline and nsm.ko (default without --kernel: $NITRO_CLI_BLOBS, " BLOBS ")"},
    {.name = "program-dir",
     .kind = CS_OPT_STR,
     .arg = "DIR",
     .help = "sign-init, sign-core, sign-kms, sign-service, static-pie (default: the folder of signctl)"},
    {.name = "name",
     .kind = CS_OPT_STR,
     .arg = "TEXT",
     .help = "ImageName of the metadata (not measured)",
     .def = "sign-service"},
    {.name = "image-version",
     .kind = CS_OPT_STR,
     .arg = "TEXT",
     .help = "ImageVersion of the metadata (not measured)",
     .def = CS_VERSION},
    {.name = "signing-certificate",
     .kind = CS_OPT_STR,
     .arg = "PEM",
     .help = "sign the image, as signctl eif sign does: PCR8"},
    {.name = "private-key", .kind = CS_OPT_STR, .arg = "PEM", .help = "of --signing-certificate, not encrypted"},
    {.name = "json", .letter = 'j', .kind = CS_OPT_FLAG, .help = "a refusal as JSON too (measurements always are)"},
    {0},
};

const cs_cmd cs_cmds_eif_build[] = {
    {"eif build", "[-c FILE] [-o FILE] [--kernel FILE | --blobs DIR]",
     "write an enclave image; prints its measurements as nitro-cli build-enclave does",
     "The same inputs give the same bytes: owners, times and the order of files are fixed, the metadata's BuildTime is "
     "SOURCE_DATE_EPOCH "
     "(else 1970). What is in an image and what is measured: docs/formats/image.md.\n\n"
     "Example:\n  signctl eif build --config sign-service.yaml",
     opts, 0, 0, run},
    {0},
};
