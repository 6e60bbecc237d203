/*
 * The programs of an image as the image carries them: what is loaded, and nothing else (no symbols, no debug information, no section
 * headers). Done here and not by strip(1), so that the same program gives the same bytes whatever binutils are installed, or none.
 */
#ifndef CS_TOOLS_IMAGE_ELF_H
#define CS_TOOLS_IMAGE_ELF_H

#include "base/bytes.h"

/*
 * cs_image_strip - append the part of a static-pie program for x86-64 that its program headers name, with a header that knows no sections.
 * CS_E_IMAGE_PROGRAM (not such a program: another machine, needs an interpreter, cut) | CS_E_RANGE | CS_E_NO_MEMORY; out is then as before.
 */
CS_MUST cs_err cs_image_strip(cs_buf *out, cs_slice elf);

#endif
