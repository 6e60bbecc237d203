/* For tee_refuse_test.c and tee_msg_test.c: a writer of CBOR that checks nothing, and short names. */
#ifndef CS_RPC_TEE_TEST_H
#define CS_RPC_TEE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "rpc/tee_rpc.h"

static __attribute__((unused)) uint8_t mem[1u << 20], mem2[1u << 20];
static uint8_t bytes[CS_TEE_BODY_MAX + 8];

static inline cs_buf fresh(void)
{
    return cs_buf_wrap(mem, sizeof mem);
}

static inline cs_slice txt(const char *text)
{
    return cs_slice_str(text);
}

/*
 * cbor - appends items: u uint64_t, t text (cs_slice), b bytes (cs_slice), r an item as it is (cs_slice), [ array, { map (uint64_t
 * count). Nothing here is checked: the writer of a peer that lies.
 */
static __attribute__((unused)) void cbor(cs_buf *out, const char *items, ...)
{
    va_list args;
    cs_err err = CS_OK;
    va_start(args, items);
    for (; *items != '\0' && err == CS_OK; items++) {
        err = *items == 'u'   ? cs_cbor_put_uint(out, va_arg(args, uint64_t))
              : *items == '[' ? cs_cbor_put_array(out, va_arg(args, uint64_t))
              : *items == '{' ? cs_cbor_put_map(out, va_arg(args, uint64_t))
              : *items == 't' ? cs_cbor_put_text_slice(out, va_arg(args, cs_slice))
              : *items == 'b' ? cs_cbor_put_bytes(out, va_arg(args, cs_slice))
                              : cs_put_slice(out, va_arg(args, cs_slice));
    }
    va_end(args);
    assert_int_equal(err, CS_OK);
}

#define N(x) ((uint64_t)(x))
#define B(len) cs_slice_of(bytes, len)

/* one field of a request or result */
#define S(x)                                                                                                           \
    {                                                                                                                  \
        .s = x                                                                                                         \
    }
#define T(x)                                                                                                           \
    {                                                                                                                  \
        .s = cs_slice_str(x)                                                                                           \
    }
#define U(x)                                                                                                           \
    {                                                                                                                  \
        .u = x                                                                                                         \
    }

#endif
