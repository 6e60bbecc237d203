/* Folder name -> function. One row per suite that exists. A suite's .c file goes into meson.build. */
#ifndef CS_TESTS_SUITES_H
#define CS_TESTS_SUITES_H

#define CS_SUITES(X)                                                                                                   \
    X("chain-tx", cs_suite_chain_tx)                                                                                   \
    X("signatures", cs_suite_signatures)                                                                               \
    X("age", cs_suite_age)                                                                                             \
    X("base64", cs_suite_base64)                                                                                       \
    X("bip32", cs_suite_bip32)                                                                                         \
    X("bip340", cs_suite_bip340)                                                                                       \
    X("bech32", cs_suite_bech32)                                                                                       \
    X("cms-kms", cs_suite_cms_kms)                                                                                     \
    X("cose-cbor", cs_suite_cose_cbor)                                                                                 \
    X("nitro-attestation", cs_suite_nitro_attestation)                                                                 \
    X("hpke", cs_suite_hpke)                                                                                           \
    X("http2", cs_suite_http2)                                                                                         \
    X("jws", cs_suite_jws)                                                                                             \
    X("json", cs_suite_json_parsing)                                                                                   \
    X("kms-policies", cs_suite_kms_policies)                                                                           \
    X("noise", cs_suite_noise)                                                                                         \
    X("mpc-model", cs_suite_mpc_model)                                                                                 \
    X("otlp-json", cs_suite_otlp_json)                                                                                 \
    X("sigv4", cs_suite_sigv4)                                                                                         \
    X("sse", cs_suite_sse)                                                                                             \
    X("trace-context", cs_suite_trace_context)                                                                         \
    X("vsock-proxy", cs_suite_vsock_proxy)                                                                             \
    X("wycheproof", cs_suite_wycheproof)

#endif
