/*
 * Errors: one enum for the whole project, made from the table in err_table.h.
 * Fallible functions return cs_err and are marked CS_MUST; CS_OK is 0. Callers decide on the class, not on the code.
 * Nothing here allocates or logs.
 */
#ifndef CS_BASE_ERR_H
#define CS_BASE_ERR_H

#include <stdbool.h>

#include "base/err_table.h"

#define CS_MUST __attribute__((warn_unused_result))

typedef enum cs_err {
    CS_OK = 0,
#define CS_ERR_ROW(name, cls, grpc, retry, cause, fix) CS_E_##name,
    CS_ERR_TABLE(CS_ERR_ROW)
#undef CS_ERR_ROW
        CS_ERR_COUNT
} cs_err;

typedef enum cs_err_class {
    CS_CLASS_OK,       /* no error */
    CS_CLASS_INPUT,    /* the caller's input is wrong */
    CS_CLASS_AUTH,     /* something is not authentic or not allowed */
    CS_CLASS_STATE,    /* not now */
    CS_CLASS_LIMIT,    /* a limit or resource */
    CS_CLASS_PEER,     /* the other party of a protocol */
    CS_CLASS_IO,       /* transport, files */
    CS_CLASS_REMOTE,   /* AWS and other services */
    CS_CLASS_INTERNAL, /* ours */
} cs_err_class;

/* gRPC status numbers (grpc/statuscodes). */
typedef enum cs_grpc_status {
    CS_GRPC_OK = 0,
    CS_GRPC_CANCELLED = 1,
    CS_GRPC_UNKNOWN = 2,
    CS_GRPC_INVALID_ARGUMENT = 3,
    CS_GRPC_DEADLINE_EXCEEDED = 4,
    CS_GRPC_NOT_FOUND = 5,
    CS_GRPC_ALREADY_EXISTS = 6,
    CS_GRPC_PERMISSION_DENIED = 7,
    CS_GRPC_RESOURCE_EXHAUSTED = 8,
    CS_GRPC_FAILED_PRECONDITION = 9,
    CS_GRPC_ABORTED = 10,
    CS_GRPC_OUT_OF_RANGE = 11,
    CS_GRPC_UNIMPLEMENTED = 12,
    CS_GRPC_INTERNAL = 13,
    CS_GRPC_UNAVAILABLE = 14,
    CS_GRPC_DATA_LOSS = 15,
    CS_GRPC_UNAUTHENTICATED = 16,
} cs_grpc_status;

/* cs_err_code - the stable code, e.g. "INJECT_BUSY"; "OK" for CS_OK, "INTERNAL" for a number that is no error. Static. */
const char *cs_err_code(cs_err e);
/* cs_err_class_of, cs_err_class_name - the class of e; its lower-case name, e.g. "input". */
cs_err_class cs_err_class_of(cs_err e);
const char *cs_err_class_name(cs_err_class c);
/* cs_err_grpc - the gRPC status that e travels as. */
cs_grpc_status cs_err_grpc(cs_err e);
/* cs_err_retry - true when the same request may succeed later. */
bool cs_err_retry(cs_err e);
/* cs_err_cause, cs_err_fix - one sentence each, static, without any value of a request. */
const char *cs_err_cause(cs_err e);
const char *cs_err_fix(cs_err e);
/* cs_err_from_code - the error of a stable code; CS_E_INTERNAL when there is none. */
cs_err cs_err_from_code(const char *code);

#endif
