/* The two halves of the cose-cbor suite. */
#ifndef CS_TESTS_SUITE_COSE_H
#define CS_TESTS_SUITE_COSE_H

#include "suite.h"

/* cs_suite_cbor_file - every row of a file of plain CBOR. */
void cs_suite_cbor_file(cs_suite *s, const char *path);

#endif
