/* Tests of tools/image_layout and tools/image_elf: what an image holds is docs/formats/image.md, byte for byte each time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <elf.h>

#include "codec/newc.h"
#include "tools/image_elf.h"
#include "tools/image_layout.h"

#define ELF_LEN 4096u

static uint8_t elf_mem[ELF_LEN], kernel_mem[4096];

/* A program whose second segment ends at byte 3000; behind it stand a section's bytes. */
static cs_slice make_elf(void)
{
    Elf64_Ehdr h = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                    .e_type = ET_DYN,
                    .e_machine = EM_X86_64,
                    .e_version = EV_CURRENT,
                    .e_phoff = sizeof h,
                    .e_shoff = 3500,
                    .e_ehsize = sizeof h,
                    .e_phentsize = sizeof(Elf64_Phdr),
                    .e_phnum = 3,
                    .e_shentsize = sizeof(Elf64_Shdr),
                    .e_shnum = 2,
                    .e_shstrndx = 1};
    Elf64_Phdr p[3] = {{.p_type = PT_LOAD, .p_offset = 0, .p_filesz = 1000, .p_memsz = 1000},
                       {.p_type = PT_LOAD, .p_offset = 2000, .p_filesz = 1000, .p_memsz = 5000},
                       {.p_type = PT_GNU_STACK}};

    memset(elf_mem, 0xee, sizeof elf_mem);
    memcpy(elf_mem, &h, sizeof h);
    memcpy(elf_mem + sizeof h, p, sizeof p);
    return cs_slice_of(elf_mem, ELF_LEN);
}

static void put_u16(size_t at, unsigned v)
{
    elf_mem[at] = (uint8_t)v;
    elf_mem[at + 1] = (uint8_t)(v >> 8);
}

static void what_is_loaded_is_kept_and_nothing_else(void **state)
{
    cs_buf out = cs_buf_heap(ELF_LEN);
    cs_slice elf = make_elf();
    Elf64_Ehdr h;

    assert_int_equal(cs_image_strip(&out, elf), CS_OK);
    assert_int_equal(out.len, 3000);
    memcpy(&h, out.p, sizeof h);
    assert_int_equal(h.e_shoff | h.e_shnum | h.e_shstrndx, 0);
    assert_int_equal(h.e_phnum, 3);
    assert_memory_equal(out.p + sizeof h, elf_mem + sizeof h, 3000 - sizeof h);
    /* once more: nothing is left to take away */
    cs_buf again = cs_buf_heap(ELF_LEN);
    assert_int_equal(cs_image_strip(&again, cs_buf_slice(&out)), CS_OK);
    assert_true(cs_slice_eq(cs_buf_slice(&again), cs_buf_slice(&out)));
    cs_buf_free(&again);
    cs_buf_free(&out);
}

static void refused(size_t len)
{
    cs_buf out = cs_buf_heap(ELF_LEN);

    assert_int_equal(cs_image_strip(&out, cs_slice_of(elf_mem, len)), CS_E_IMAGE_PROGRAM);
    assert_int_equal(out.len, 0);
    cs_buf_free(&out);
}

static void what_cannot_run_in_an_image_is_refused(void **state)
{
    static const struct {
        size_t at;
        unsigned value;
    } faults[] = {{0, 0x7e}, {4, 1},   {5, 2},  {16, ET_EXEC},   {18, EM_AARCH64}, {54, 55},
                  {56, 0},   {56, 65}, {32, 3}, {64, PT_INTERP}, {64 + 32, 5000},  {64 + 56 + 8, 3500}};

    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        (void)make_elf();
        put_u16(faults[i].at,
                faults[i].at <= 5 ? (faults[i].value | (unsigned)elf_mem[faults[i].at + 1] << 8) : faults[i].value);
        refused(ELF_LEN);
    }
    (void)make_elf();
    for (size_t len = 0; len < 3000; len++) {
        refused(len);
    }
    memset(elf_mem + 64 + 8, 0xff, 8); /* an offset that would wrap around */
    refused(ELF_LEN);
    (void)make_elf();
    put_u16(64, PT_NOTE);
    put_u16(64 + 56, PT_NOTE); /* loads nothing */
    refused(ELF_LEN);
}

static cs_slice make_kernel(void)
{
    memset(kernel_mem, 1, sizeof kernel_mem);
    memcpy(kernel_mem + 0x202, "HdrS", 4);
    kernel_mem[0x20e] = 0x00;
    kernel_mem[0x20f] = 0x03;
    memcpy(kernel_mem + 0x500, "6.12.0 (someone@somewhere) #1", 30);
    return cs_slice_of(kernel_mem, sizeof kernel_mem);
}

static cs_image_parts parts(void)
{
    const cs_slice elf = make_elf();

    return (cs_image_parts){.kernel = make_kernel(),
                            .cmdline = cs_slice_str(" reboot=k panic=30\n"),
                            .program = {elf, elf, elf, elf},
                            .config = cs_slice_str("cbor"),
                            .yaml = cs_slice_str("yaml"),
                            .ca = cs_slice_str("pem"),
                            .name = "n",
                            .version = "1",
                            .build_time = 86400};
}

/* "path mode;" of each file, until the archive ends */
static void assert_tree(cs_slice ramdisk, const char *want)
{
    cs_newc r = cs_newc_of(ramdisk);
    cs_buf have = cs_buf_heap(8192);
    cs_newc_file f;
    bool more = true;

    while (more) {
        assert_int_equal(cs_newc_next(&r, &f, &more), CS_OK);
        if (more) {
            assert_int_equal(cs_put_fmt(&have, "%.*s %o;", (int)f.path.len, (const char *)f.path.p, f.mode), CS_OK);
            assert_int_equal(f.uid | f.gid | f.mtime, 0);
        }
    }
    assert_true(cs_slice_eq_str(cs_buf_slice(&have), want));
    cs_buf_free(&have);
}

static void an_image_holds_what_the_format_says(void **state)
{
    cs_image_parts p = parts();
    const char *what = NULL;
    cs_image_made m, again;

    assert_int_equal(cs_image_make(&m, &what, &p), CS_OK);
    assert_int_equal(m.eif.num_sections, 5);
    assert_true(cs_slice_eq_str(m.eif.sections[1].body, "reboot=k panic=30"));
    assert_true(cs_slice_eq_str(m.eif.sections[2].body,
                                "{\"ImageName\":\"n\",\"ImageVersion\":\"1\",\"BuildMetadata\":{\"BuildTime\":"
                                "\"1970-01-02T00:00:00Z\",\"BuildTool\":\"signctl\",\"BuildToolVersion\":\"" CS_VERSION
                                "\",\"OperatingSystem\":\"Linux\",\"KernelVersion\":\"6.12.0\"},\"DockerInfo\":{},"
                                "\"CustomMetadata\":null}"));
    assert_tree(m.eif.sections[3].body, "dev 40755;dev/console 20600;init 120777;");
    assert_tree(m.eif.sections[4].body,
                "bin 40755;bin/sign-core 100755;bin/sign-init 100755;bin/sign-kms 100755;bin/sign-service 100755;"
                "dev 40755;etc 40755;etc/countersign 40755;etc/countersign/config.cbor 100644;"
                "etc/countersign/sign-service.yaml 100644;etc/ssl 40755;etc/ssl/certs 40755;"
                "etc/ssl/certs/ca-certificates.crt 100644;proc 40755;run 40755;sys 40755;tmp 40755;");
    assert_int_equal(cs_image_make(&again, &what, &p), CS_OK);
    for (size_t i = 0; i < 5; i++) {
        assert_true(cs_slice_eq(m.eif.sections[i].body, again.eif.sections[i].body));
    }
    cs_image_made_cleanup(&again);
    p.nsm_ko = cs_slice_str("module");
    assert_int_equal(cs_image_make(&again, &what, &p), CS_OK);
    assert_tree(again.eif.sections[3].body, "dev 40755;dev/console 20600;init 120777;nsm.ko 100644;");
    cs_image_made_cleanup(&again);
    cs_image_made_cleanup(&m);
}

static void assert_not_made(const cs_image_parts *p, cs_err want, const char *want_what)
{
    const char *what = NULL;
    cs_image_made m;

    assert_int_equal(cs_image_make(&m, &what, p), want);
    assert_string_equal(what, want_what);
    cs_image_made_cleanup(&m);
}

static void what_is_no_kernel_command_line_or_program_is_refused(void **state)
{
    char line[CS_IMAGE_CMDLINE_MAX + 2];
    cs_image_parts p = parts();

    p.kernel.len = 0x400;
    assert_not_made(&p, CS_E_IMAGE_KERNEL, "kernel");
    p = parts();
    kernel_mem[0x202] = 'h';
    assert_not_made(&p, CS_E_IMAGE_KERNEL, "kernel");
    p = parts();
    p.cmdline = cs_slice_str(" \n");
    assert_not_made(&p, CS_E_IMAGE_KERNEL, "cmdline");
    p.cmdline = cs_slice_str("a\nb");
    assert_not_made(&p, CS_E_IMAGE_KERNEL, "cmdline");
    p.cmdline = cs_slice_of("a\0b", 3);
    assert_not_made(&p, CS_E_IMAGE_KERNEL, "cmdline");
    memset(line, 'x', sizeof line);
    p.cmdline = cs_slice_of(line, CS_IMAGE_CMDLINE_MAX + 1);
    assert_not_made(&p, CS_E_IMAGE_KERNEL, "cmdline");
    p = parts();
    p.program[2].len = 100;
    assert_not_made(&p, CS_E_IMAGE_PROGRAM, "sign-kms");
}

static void an_application_over_16_MB_is_refused(void **state)
{
    cs_image_parts p = parts();
    uint8_t *big = calloc(1, CS_IMAGE_RAMDISK1_MAX);
    const char *what = NULL;
    cs_image_made m;

    assert_non_null(big);
    p.ca = cs_slice_of(big, CS_IMAGE_RAMDISK1_MAX);
    assert_not_made(&p, CS_E_IMAGE_SIZE, "ramdisk 1");
    p.ca.len = 0;
    assert_int_equal(cs_image_make(&m, &what, &p), CS_OK);
    p.ca.len = CS_IMAGE_RAMDISK1_MAX - m.ramdisk[1].len;
    cs_image_made_cleanup(&m);
    assert_int_equal(cs_image_make(&m, &what, &p), CS_OK);
    assert_int_equal(m.ramdisk[1].len, CS_IMAGE_RAMDISK1_MAX);
    cs_image_made_cleanup(&m);
    p.ca.len++;
    assert_not_made(&p, CS_E_IMAGE_SIZE, "ramdisk 1");
    free(big);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_loaded_is_kept_and_nothing_else),
        cmocka_unit_test(what_cannot_run_in_an_image_is_refused),
        cmocka_unit_test(an_image_holds_what_the_format_says),
        cmocka_unit_test(what_is_no_kernel_command_line_or_program_is_refused),
        cmocka_unit_test(an_application_over_16_MB_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
