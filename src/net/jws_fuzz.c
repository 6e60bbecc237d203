/* Target: keys and tokens of bearers: any bytes are refused or read, nothing else. cs_jws_keys_read cs_jws_verify cs_jwt_verify */
#include <string.h>

#include "net/jws.h"

static const char fixed[] =
    "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static cs_jws_keys *known;
    cs_jws_keys *own = NULL;
    cs_jwt jwt;
    const char *why = NULL;
    cs_jwt_rules rules = {"joe", "us", 1300819379, 0};
    uint8_t mem[CS_JWS_MAX];
    cs_buf out = cs_buf_wrap(mem, sizeof mem);

    if (known == NULL && cs_jws_keys_read(&known, cs_slice_str(fixed)) != CS_OK) {
        __builtin_trap();
    }
    if (cs_jwt_verify(&jwt, &why, known, cs_slice_of(data, size), &rules) == CS_OK || why == NULL) {
        __builtin_trap(); /* whoever gets here has broken Ed25519 */
    }
    if (cs_jws_keys_read(&own, cs_slice_of(data, size)) == CS_OK) {
        if (cs_jws_keys_num(own) == 0 ||
            cs_jws_verify(&out, own, cs_slice_str("eyJhbGciOiJFZERTQSJ9.e30.AA")) != CS_E_TOKEN || out.len != 0) {
            __builtin_trap();
        }
        cs_jws_keys_free(own);
    }
    return 0;
}
