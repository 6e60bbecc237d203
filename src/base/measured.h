/*
 * The measurements of the image that was built or installed with a program, for --version: PREFIX/share/countersign/pcrs.json beside
 * PREFIX/bin, as `make eif` writes it. For a person to compare: what runs is known by attestation only.
 */
#ifndef CS_BASE_MEASURED_H
#define CS_BASE_MEASURED_H

#include <stdio.h>

#include "base/bytes.h"

/* cs_measured_print - a line "PCRn HEX" for each register 0, 1, 2 and 8 that text has as "PCRn": "96 hex digits". Returns how many. */
unsigned cs_measured_print(FILE *out, cs_slice text);
/* cs_measured_version - for cs_cmd_on_version: the same of the file beside this program; nothing where there is none. */
void cs_measured_version(FILE *out);

#endif
