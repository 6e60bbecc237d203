/* See image_layout.h. */
#include "tools/image_layout.h"

#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/json_out.h"
#include "codec/newc.h"
#include "tools/image_elf.h"

#define PROGRAM_MAX ((size_t)64 << 20)
#define RAMDISK_MAX ((size_t)256 << 20)
#define METADATA_MAX 8192u
#define DEFAULT_MEMORY (1u << 30) /* as nitro-cli writes them: run-enclave has its own options */
#define DEFAULT_CPUS 2u

#define DIR_MODE (S_IFDIR | 0755u)
#define FILE_MODE (S_IFREG | 0644u)
#define PROGRAM_MODE (S_IFREG | 0755u)

/* In the order of their paths in the ramdisk. */
static const char *const programs[] = {"sign-core", "sign-init", "sign-kms", "sign-service", NULL};
_Static_assert(sizeof programs / sizeof *programs == CS_IMAGE_PROGRAMS + 1, "one name for each");

const char *cs_image_program(size_t i)
{
    return i < CS_IMAGE_PROGRAMS ? programs[i] : NULL;
}

static cs_newc_entry file(const char *path, cs_slice data)
{
    return (cs_newc_entry){.path = path, .mode = FILE_MODE, .data = data};
}

static cs_newc_entry dir(const char *path)
{
    return (cs_newc_entry){.path = path, .mode = DIR_MODE};
}

/* The kernel starts /init: a link to the program of ramdisk 1, so that this ramdisk (and PCR1) is the same in every release. */
static cs_err put_init_ramdisk(cs_buf *out, const cs_image_parts *p)
{
    const cs_newc_entry entries[] = {
        dir("dev"),
        {.path = "dev/console", .mode = S_IFCHR | 0600u, .rdev_major = 5, .rdev_minor = 1},
        {.path = "init", .mode = S_IFLNK | 0777u, .data = cs_slice_str("/bin/sign-init")},
        file("nsm.ko", p->nsm_ko),
    };

    return cs_newc_put(out, entries, p->nsm_ko.len > 0 ? 4 : 3);
}

static cs_err put_app_ramdisk(cs_buf *out, const cs_slice stripped[CS_IMAGE_PROGRAMS], const cs_image_parts *p)
{
    const cs_newc_entry entries[] = {
        dir("bin"),
        {.path = "bin/sign-core", .mode = PROGRAM_MODE, .data = stripped[0]},
        {.path = "bin/sign-init", .mode = PROGRAM_MODE, .data = stripped[1]},
        {.path = "bin/sign-kms", .mode = PROGRAM_MODE, .data = stripped[2]},
        {.path = "bin/sign-service", .mode = PROGRAM_MODE, .data = stripped[3]},
        dir("dev"),
        dir("etc"),
        dir("etc/countersign"),
        file("etc/countersign/config.cbor", p->config),
        file("etc/countersign/sign-service.yaml", p->yaml),
        dir("etc/ssl"),
        dir("etc/ssl/certs"),
        file("etc/ssl/certs/ca-certificates.crt", p->ca),
        dir("proc"),
        dir("run"),
        dir("sys"),
        dir("tmp"),
    };

    CS_TRY(cs_newc_put(out, entries, sizeof entries / sizeof *entries));
    return out->len <= CS_IMAGE_RAMDISK1_MAX ? CS_OK : CS_E_IMAGE_SIZE;
}

static cs_err put_application(cs_buf *out, const char **out_what, const cs_image_parts *p)
{
    cs_buf mem[CS_IMAGE_PROGRAMS] = {{0}};
    cs_slice stripped[CS_IMAGE_PROGRAMS];
    cs_err err = CS_OK;

    for (size_t i = 0; err == CS_OK && i < CS_IMAGE_PROGRAMS; i++) {
        mem[i] = cs_buf_heap(PROGRAM_MAX);
        *out_what = programs[i];
        err = cs_image_strip(&mem[i], p->program[i]);
        stripped[i] = cs_buf_slice(&mem[i]);
    }
    if (err == CS_OK) {
        *out_what = "ramdisk 1";
        err = put_app_ramdisk(out, stripped, p);
    }
    for (size_t i = 0; i < CS_IMAGE_PROGRAMS; i++) {
        cs_buf_free(&mem[i]);
    }
    return err;
}

/* The first word of the version that a bzImage names at 0x20e (little endian, from 0x200 on); Documentation/arch/x86/boot.rst. */
static cs_slice kernel_version(cs_slice kernel)
{
    static const char unknown[] = "Unknown version";
    size_t at, len = 0;

    at = 0x200u + kernel.p[0x20e] + 256u * kernel.p[0x20f];
    if (at == 0x200u || at >= kernel.len) {
        return cs_slice_str(unknown);
    }
    while (len < 64 && at + len < kernel.len && kernel.p[at + len] > ' ' && kernel.p[at + len] < 0x7f) {
        len++;
    }
    return len > 0 ? cs_slice_of(kernel.p + at, len) : cs_slice_str(unknown);
}

static bool is_bzimage(cs_slice kernel)
{
    return kernel.len > 0x400 && cs_slice_eq_str(cs_slice_of(kernel.p + 0x202, 4), "HdrS");
}

/* Names and order as nitro-cli has them. */
static cs_err put_metadata(cs_buf *out, const cs_image_parts *p)
{
    const time_t when = (time_t)p->build_time;
    char text[32] = "";
    struct tm utc;
    cs_jw w = cs_jw_begin(out);

    if (gmtime_r(&when, &utc) == NULL || strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0) {
        return CS_E_RANGE;
    }
    cs_jw_object(&w, NULL);
    cs_jw_cstr(&w, "ImageName", p->name);
    cs_jw_cstr(&w, "ImageVersion", p->version);
    cs_jw_object(&w, "BuildMetadata");
    cs_jw_cstr(&w, "BuildTime", text);
    cs_jw_cstr(&w, "BuildTool", "signctl");
    cs_jw_cstr(&w, "BuildToolVersion", CS_VERSION);
    cs_jw_cstr(&w, "OperatingSystem", "Linux");
    cs_jw_str(&w, "KernelVersion", kernel_version(p->kernel));
    cs_jw_close_object(&w);
    cs_jw_object(&w, "DockerInfo");
    cs_jw_close_object(&w);
    cs_jw_null(&w, "CustomMetadata");
    cs_jw_close_object(&w);
    return cs_jw_end(&w);
}

static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* One line of printable text, without the space around it. */
static cs_err clean_cmdline(cs_slice *out, cs_slice c)
{
    while (c.len > 0 && is_space(c.p[c.len - 1])) {
        c.len--;
    }
    while (c.len > 0 && is_space(c.p[0])) {
        c = cs_slice_of(c.p + 1, c.len - 1);
    }
    for (size_t i = 0; i < c.len; i++) {
        if (c.p[i] < ' ' || c.p[i] > '~') {
            return CS_E_IMAGE_KERNEL;
        }
    }
    *out = c;
    return c.len > 0 && c.len <= CS_IMAGE_CMDLINE_MAX ? CS_OK : CS_E_IMAGE_KERNEL;
}

cs_err cs_image_make(cs_image_made *out, const char **out_what, const cs_image_parts *parts)
{
    cs_slice cmdline;

    *out = (cs_image_made){.metadata = cs_buf_heap(METADATA_MAX),
                           .ramdisk = {cs_buf_heap(RAMDISK_MAX), cs_buf_heap(RAMDISK_MAX)}};
    *out_what = "kernel";
    if (!is_bzimage(parts->kernel)) {
        return CS_E_IMAGE_KERNEL;
    }
    *out_what = "cmdline";
    CS_TRY(clean_cmdline(&cmdline, parts->cmdline));
    *out_what = "metadata";
    CS_TRY(put_metadata(&out->metadata, parts));
    *out_what = "ramdisk 0";
    CS_TRY(put_init_ramdisk(&out->ramdisk[0], parts));
    CS_TRY(put_application(&out->ramdisk[1], out_what, parts));
    out->eif = (cs_eif){.default_mem = DEFAULT_MEMORY,
                        .default_cpus = DEFAULT_CPUS,
                        .num_sections = 5,
                        .sections = {{CS_EIF_KERNEL, parts->kernel},
                                     {CS_EIF_CMDLINE, cmdline},
                                     {CS_EIF_METADATA, cs_buf_slice(&out->metadata)},
                                     {CS_EIF_RAMDISK, cs_buf_slice(&out->ramdisk[0])},
                                     {CS_EIF_RAMDISK, cs_buf_slice(&out->ramdisk[1])}}};
    return CS_OK;
}

void cs_image_made_cleanup(cs_image_made *m)
{
    cs_buf_free(&m->metadata);
    cs_buf_free(&m->ramdisk[0]);
    cs_buf_free(&m->ramdisk[1]);
}
