/* See image_elf.h. Source: System V ABI, ELF-64 object file format; elf(5). */
#include "tools/image_elf.h"

#include <elf.h>
#include <stddef.h>
#include <string.h>

#define MAX_HEADERS 64

/* Where the last loaded byte of the file ends; 0: not a program for an image. */
static size_t loaded_end(const Elf64_Ehdr *h, cs_slice elf)
{
    size_t end = h->e_phoff + (size_t)h->e_phnum * sizeof(Elf64_Phdr);
    bool loads = false;

    for (size_t i = 0; i < h->e_phnum; i++) {
        Elf64_Phdr p;
        memcpy(&p, elf.p + h->e_phoff + i * sizeof p, sizeof p);
        if (p.p_type == PT_INTERP || p.p_filesz > elf.len || p.p_offset > elf.len - p.p_filesz) {
            return 0;
        }
        loads = loads || p.p_type == PT_LOAD;
        if (p.p_filesz > 0 && p.p_offset + p.p_filesz > end) {
            end = p.p_offset + p.p_filesz;
        }
    }
    return loads ? end : 0;
}

static bool header_ok(const Elf64_Ehdr *h, size_t file_len)
{
    return memcmp(h->e_ident, ELFMAG, SELFMAG) == 0 && h->e_ident[EI_CLASS] == ELFCLASS64 &&
           h->e_ident[EI_DATA] == ELFDATA2LSB && h->e_type == ET_DYN && h->e_machine == EM_X86_64 &&
           h->e_phentsize == sizeof(Elf64_Phdr) && h->e_phnum > 0 && h->e_phnum <= MAX_HEADERS &&
           h->e_phoff >= sizeof *h && h->e_phoff <= file_len &&
           file_len - h->e_phoff >= h->e_phnum * sizeof(Elf64_Phdr);
}

cs_err cs_image_strip(cs_buf *out, cs_slice elf)
{
    const size_t before = out->len;
    Elf64_Ehdr h;
    size_t end;
    cs_err err;

    if (elf.len < sizeof h) {
        return CS_E_IMAGE_PROGRAM;
    }
    memcpy(&h, elf.p, sizeof h);
    if (!header_ok(&h, elf.len) || (end = loaded_end(&h, elf)) == 0) {
        return CS_E_IMAGE_PROGRAM;
    }
    h.e_shoff = 0;
    h.e_shentsize = h.e_shnum = h.e_shstrndx = 0;
    err = cs_put(out, &h, sizeof h);
    if (err == CS_OK) {
        err = cs_put(out, elf.p + sizeof h, end - sizeof h);
    }
    if (err != CS_OK) {
        out->len = before;
    }
    return err;
}
