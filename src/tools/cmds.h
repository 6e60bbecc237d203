/*
 * The commands of signctl. A command file exports its own table `const cs_cmd cs_cmds_NAME[]` (ends with name == NULL);
 * adding a file is one row here and one line in meson.build. Rows appear in --help in this order.
 */
#ifndef CS_TOOLS_CMDS_H
#define CS_TOOLS_CMDS_H

#include "base/opts.h"

#define CS_CMD_FILES(X)                                                                                                \
    X(age)                                                                                                             \
    X(cms)                                                                                                             \
    X(attest)                                                                                                          \
    X(eif_build)                                                                                                       \
    X(eif_describe)                                                                                                    \
    X(eif_diff)                                                                                                        \
    X(eif_sign)                                                                                                        \
    X(pcr)                                                                                                             \
    X(kms)                                                                                                             \
    X(kms_policy)                                                                                                      \
    X(kms_update)                                                                                                      \
    X(keygen)                                                                                                          \
    X(shares)                                                                                                          \
    X(caller)                                                                                                          \
    X(sign)                                                                                                            \
    X(participant)                                                                                                     \
    X(tee)                                                                                                             \
    X(tee_approve)                                                                                                     \
    X(tee_store)                                                                                                       \
    X(tee_rotate)                                                                                                      \
    X(audit)                                                                                                           \
    X(service)                                                                                                         \
    X(bench_stack)                                                                                                     \
    X(config)                                                                                                          \
    X(bench_mpc)                                                                                                       \
    X(errors)

#define CS_CMD_EXTERN(name) extern const cs_cmd cs_cmds_##name[];
CS_CMD_FILES(CS_CMD_EXTERN)
#undef CS_CMD_EXTERN

#endif
