/* The installed API against no service: what is refused before anything is sent, and silence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "countersign/party.h"
#include "net/endpoint.h"
#include "party/deal.h"

static cs_deal *dealt;
static cs_slice file;

static int start(void **state)
{
    uint8_t pk[33];
    cs_slice service;
    return cs_arena_init((size_t)64 << 20, false) == CS_OK && cs_deal_new(&dealt, 1) == CS_OK &&
                   cs_deal_add(dealt, cs_slice_str("a"), NULL, pk) == CS_OK &&
                   cs_deal_finish(dealt, 1, NULL, &file, &service) == CS_OK
               ? 0
               : -1;
}

static countersign_party_options options(void)
{
    return (countersign_party_options){
        .service = "tcp:127.0.0.1:9", .shares = file.p, .shares_len = file.len, .any_pcrs = 1, .timeout_ms = 300};
}

static void refused(const countersign_party_options *o, const char *code)
{
    countersign_party *p = NULL;
    countersign_error e;
    assert_int_equal(countersign_party_open(&p, o, &e), -1);
    assert_string_equal(e.code, code);
    assert_null(p);
}

static void bad_options_are_refused(void **state)
{
    countersign_party_options o = options();
    const char *zero[] = {"0=00"};
    o.any_pcrs = 0;
    refused(&o, "ATT_NO_POLICY");
    o.pcrs = zero;
    o.num_pcrs = 1;
    refused(&o, "FORMAT");
    o = options();
    o.service = NULL;
    refused(&o, "FORMAT");
    o = options();
    o.root_pem = "no certificate";
    refused(&o, "CONFIG");
    o = options();
    o.shares_len--;
    refused(&o, "SHARES_SIGNATURE");
    o = options();
    o.passphrase = "x";
    o.passphrase_len = 1;
    refused(&o, "AGE_ARMOR");
}

static void unknown_accounts_and_bad_ranges_are_refused_at_once(void **state)
{
    countersign_party_options o = options();
    countersign_party *p = NULL;
    countersign_error e[3];
    countersign_signature s[3];
    countersign_request r[3] = {
        {.account_id = "nobody", .execution_id = (const uint8_t *)"x", .execution_id_len = 1},
        {.account_id = "a"},
        {.account_id = "a", .execution_id = (const uint8_t *)"x", .execution_id_len = 1, .path_len = 11}};
    assert_int_equal(countersign_party_open(&p, &o, NULL), 0);
    assert_int_equal(countersign_party_sign_many(p, r, 3, s, e), 3);
    assert_string_equal(e[0].code, "ACCOUNT_UNKNOWN");
    assert_string_equal(e[1].code, "RANGE");
    assert_string_equal(e[2].code, "RANGE");
    countersign_party_close(p);
    countersign_party_close(NULL);
}

/* rooms: a gateway that is not there, and requests that fit no room */
static void rooms_of_a_gateway(void **state)
{
    countersign_party_options o = options();
    countersign_party *p = NULL;
    countersign_error e;
    countersign_signature s;
    countersign_request r = {.account_id = "a", .execution_id = (const uint8_t *)"x", .execution_id_len = 1};
    const uint32_t path = 1;
    o.service = NULL;
    o.gateway_url = "https://127.0.0.1:9";
    refused(&o, "UNSUPPORTED");
    o.gateway_url = "127.0.0.1:9";
    refused(&o, "FORMAT");
    o.gateway_url = "http://127.0.0.1:9";
    assert_int_equal(countersign_party_open(&p, &o, NULL), 0);
    assert_int_equal(countersign_party_sign(p, &r, &s, &e), -1);
    assert_string_equal(e.code, "CONNECT");
    r.path = &path;
    r.path_len = 1;
    assert_int_equal(countersign_party_sign(p, &r, &s, &e), -1);
    assert_string_equal(e.code, "RANGE");
    r.path_len = 0;
    r.tx_id = (int64_t)1 << 31;
    assert_int_equal(countersign_party_sign(p, &r, &s, &e), -1);
    assert_string_equal(e.code, "RANGE");
    countersign_party_close(p);
}

/* a service that accepts and says nothing */
static void a_silent_service_ends_in_a_stable_code(void **state)
{
    cs_endpoint ep, bound;
    int fd = -1;
    uint8_t text[CS_EP_TEXT_MAX];
    cs_buf b = cs_buf_wrap(text, sizeof text);
    countersign_party *p = NULL;
    countersign_error e;
    countersign_signature s;
    countersign_request r = {.account_id = "a", .execution_id = (const uint8_t *)"x", .execution_id_len = 1};
    assert_int_equal(cs_endpoint_parse(&ep, cs_slice_str("tcp:127.0.0.1:0")), CS_OK);
    assert_int_equal(cs_endpoint_listen(&fd, &ep, 4), CS_OK);
    assert_int_equal(cs_endpoint_bound(&bound, fd), CS_OK);
    assert_int_equal(cs_endpoint_format(&b, &bound), CS_OK);
    assert_int_equal(cs_put_u8(&b, 0), CS_OK);
    countersign_party_options o = options();
    o.service = (const char *)text;
    assert_int_equal(countersign_party_open(&p, &o, NULL), 0);
    assert_int_equal(countersign_party_sign(p, &r, &s, &e), -1);
    assert_string_equal(e.code, "TIMEOUT");
    assert_int_equal(e.retry, 1);
    countersign_party_close(p);
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_options_are_refused),
        cmocka_unit_test(unknown_accounts_and_bad_ranges_are_refused_at_once),
        cmocka_unit_test(rooms_of_a_gateway),
        cmocka_unit_test(a_silent_service_ends_in_a_stable_code),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
