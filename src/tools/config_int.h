/* Inside of config_compile.c and config_values.c: the table's rows, and a value's way from YAML to CBOR. */
#ifndef CS_TOOLS_CONFIG_INT_H
#define CS_TOOLS_CONFIG_INT_H

#include "tools/config_compile.h"

typedef enum cs_ckind {
    CS_CK_UINT,
    CS_CK_BOOL,
    CS_CK_TEXT,
    CS_CK_HOST,   /* a host name; default kms.<region>.amazonaws.com */
    CS_CK_URL,    /* of the gateway, or "" */
    CS_CK_LEVEL,  /* of the log */
    CS_CK_FILTER, /* what a forbidden system call does */
    CS_CK_PATH,   /* absolute, or "" */
    CS_CK_LISTEN, /* an address that means "here" */
    CS_CK_FIXED,  /* only the default is possible; `why` says why */
    CS_CK_TEXTS,
    CS_CK_HEXES,
    CS_CK_MAP,
    CS_CK_APPROVALS, /* operation -> how many */
    CS_CK_CA,
} cs_ckind;

typedef struct cs_ckey {
    const char *yaml; /* "group.name" */
    const char *cbor; /* name in the sections, when it is not the last part of yaml */
    cs_ckind kind;
    unsigned sections; /* 0: checked only */
    const char *def;   /* default as text; NULL: required. Lists: words; "" is empty, of maps always */
    uint64_t min, max; /* UINT: range; TEXT: bytes; TEXTS: entries at least, bytes at most */
    const char *why;   /* FIXED */
} cs_ckey;

typedef struct cs_cvalues {
    const cs_yaml *yaml;
    cs_yaml_fault *fault;
    const cs_config_files *files;
    char region[65];
} cs_cvalues;

/* cs_cvalue_put - the value of an entry of the file (or of --set: then e is made by the caller) as CBOR. */
CS_MUST cs_err cs_cvalue_put(const cs_cvalues *c, cs_buf *out, const cs_ckey *k, const cs_yaml_entry *e);
/* cs_cvalue_default - the same of what the file does not have. */
CS_MUST cs_err cs_cvalue_default(const cs_cvalues *c, cs_buf *out, const cs_ckey *k);
/* cs_ctext_order - deterministic order of text keys (RFC 8949 4.2.1): their encodings begin with the length. */
int cs_ctext_order(const char *a, const char *b);

#endif
