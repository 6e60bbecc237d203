/* Folder name -> function. One row per suite that exists. A suite's .c file goes into meson.build. */
#ifndef CS_TESTS_SUITES_H
#define CS_TESTS_SUITES_H

#define CS_SUITES(X) \
    X("json", cs_suite_json_parsing) \
    X("noise", cs_suite_noise) \
    X("mpc-model", cs_suite_mpc_model) \
    X("sigv4", cs_suite_sigv4) \
    X("wycheproof", cs_suite_wycheproof)

#endif
