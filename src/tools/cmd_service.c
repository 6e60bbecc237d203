/* signctl status, signctl unban: questions and orders to a running service. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json_out.h"
#include "base/text.h"
#include "net/countersign.pb-c.h"
#include "net/h2/grpc.h"
#include "secret/share/share.h"
#include "tools/cmds.h"
#include "tools/party_open.h"
#include "tools/secret_io.h"

#define CALL_MS 5000u

static cs_err fetch_status(cs_party_open *o, cs_buf *answer, cs_buf *text, const cs_args *a)
{
    CS_TRY(cs_party_env(o, a));
    return cs_grpc_unary(answer, text, &o->service, "/countersign.v1.Enclave/Status", CS_SLICE_NULL, CALL_MS);
}

static void print_status(const Countersign__V1__StatusReply *r)
{
    printf("phase         %s\ngeneration    %llu\naccounts      %llu\nbans          %llu\nversion       %s\n", r->phase,
           (unsigned long long)r->generation, (unsigned long long)r->accounts, (unsigned long long)r->bans, r->version);
    printf("memory locked %s\ndebug mode    %s\nemulated      %s\n", r->memory_locked ? "yes" : "NO",
           r->debug ? "YES" : "no", r->emulated ? "YES" : "no");
}

static cs_err print_status_json(const Countersign__V1__StatusReply *r)
{
    cs_buf out = cs_buf_heap(65536);
    cs_jw w = cs_jw_begin(&out);
    cs_jw_object(&w, NULL);
    cs_jw_cstr(&w, "phase", r->phase);
    cs_jw_u64(&w, "generation", r->generation);
    cs_jw_u64(&w, "accounts", r->accounts);
    cs_jw_u64(&w, "bans", r->bans);
    cs_jw_bool(&w, "memory_locked", r->memory_locked);
    cs_jw_bool(&w, "debug", r->debug);
    cs_jw_bool(&w, "emulated", r->emulated);
    cs_jw_cstr(&w, "version", r->version);
    cs_jw_cstr(&w, "detail", r->json);
    cs_jw_close_object(&w);
    cs_err err = cs_jw_end(&w);
    if (err == CS_OK) {
        printf("%.*s\n", (int)out.len, (const char *)out.p);
    }
    cs_buf_free(&out);
    return err;
}

static int run_status(const cs_args *a)
{
    static cs_party_open o;
    cs_buf answer = cs_buf_heap(1u << 20), text = cs_buf_heap(4096);
    bool json = cs_args_flag(a, "json");
    cs_err err = fetch_status(&o, &answer, &text, a);
    if (err == CS_OK) {
        Countersign__V1__StatusReply *r = countersign__v1__status_reply__unpack(NULL, answer.len, answer.p);
        err = r == NULL ? CS_E_FORMAT : CS_OK;
        if (r != NULL && json) {
            err = print_status_json(r);
        } else if (r != NULL) {
            print_status(r);
        }
        if (r != NULL) {
            countersign__v1__status_reply__free_unpacked(r, NULL);
        }
    }
    int status = err == CS_E_USAGE ? cs_usage_error(a, "%s", o.detail)
                 : err == CS_OK    ? 0
                                   : cs_refuse(a, err, json, o.detail);
    cs_buf_free(&answer);
    cs_buf_free(&text);
    cs_party_stop(&o);
    return status;
}

static cs_err make_order(cs_buf *order, const cs_args *a, const char **detail)
{
    CS_SECRET(cs_secret32) seed = {0};
    /* the next second: an order must be later than the ban, which may be of this second */
    cs_unban u = {.time_s = cs_clock_wall_ms() / 1000 + 1};
    const char *key = cs_args_str(a, "key"), *publisher = cs_args_str(a, "publisher-key");
    *detail = "--key HEX (static public key of the banned client) and --publisher-key FILE are needed";
    if (key == NULL || publisher == NULL || cs_hex_decode(u.key32, 32, cs_slice_str(key)) != CS_OK) {
        return CS_E_USAGE;
    }
    CS_TRY(cs_tool_arena((size_t)1 << 20));
    *detail = publisher;
    CS_TRY(cs_tool_publisher(&seed, publisher));
    *detail = NULL;
    return cs_unban_put(order, seed.b, &u);
}

static cs_err send_order(cs_party_open *o, cs_slice order, const cs_args *a)
{
    Countersign__V1__UnbanRequest m = COUNTERSIGN__V1__UNBAN_REQUEST__INIT;
    uint8_t packed[CS_UNBAN_MAX + 16];
    cs_buf answer = cs_buf_heap(4096), text = cs_buf_heap(4096);
    m.order = (ProtobufCBinaryData){order.len, (uint8_t *)(uintptr_t)order.p};
    cs_err err = cs_party_env(o, a);
    if (err == CS_OK) {
        size_t len = countersign__v1__unban_request__pack(&m, packed);
        err = cs_grpc_unary(&answer, &text, &o->service, "/countersign.v1.Enclave/Unban", cs_slice_of(packed, len),
                            CALL_MS);
    }
    cs_buf_free(&answer);
    cs_buf_free(&text);
    return err;
}

static int run_unban(const cs_args *a)
{
    static cs_party_open o;
    uint8_t mem[CS_UNBAN_MAX];
    cs_buf order = cs_buf_wrap(mem, sizeof mem);
    const char *detail = NULL;
    bool json = cs_args_flag(a, "json");
    cs_err err = make_order(&order, a, &detail);
    if (err == CS_OK && cs_args_flag(a, "print")) {
        printf("%.*s", (int)order.len, (const char *)order.p);
        return 0;
    }
    if (err == CS_OK) {
        err = send_order(&o, cs_buf_slice(&order), a);
        detail = o.detail;
    }
    int status = err == CS_E_USAGE ? cs_usage_error(a, "%s", detail)
                 : err == CS_OK    ? 0
                                   : cs_refuse(a, err, json, detail);
    if (err == CS_OK) {
        printf(json ? "{\"unbanned\":true}\n" : "the order was taken\n");
    }
    cs_party_stop(&o);
    return status;
}

static const cs_opt status_opts[] = {
    CS_PARTY_OPTS{"json", 0, CS_OPT_FLAG, NULL, "as JSON", NULL, NULL, 0, 0},
    {0},
};

static const cs_opt unban_opts[] = {
    CS_PARTY_OPTS{"key", 'k', CS_OPT_STR, "HEX", "static public key of the client whose ban is to end", NULL, NULL, 0,
                  0},
    {"publisher-key", 0, CS_OPT_STR, "FILE", "key of `signctl publisher keygen`", NULL, NULL, 0, 0},
    {"print", 0, CS_OPT_FLAG, NULL, "print the order instead of sending it", NULL, NULL, 0, 0},
    {"json", 0, CS_OPT_FLAG, NULL, "as JSON", NULL, NULL, 0, 0},
    {0},
};

const cs_cmd cs_cmds_service[] = {
    {"status", "-s ENDPOINT", "what a service says of itself (not attested)", NULL, status_opts, 0, 0, run_status},
    {"unban", "-s ENDPOINT -k HEX --publisher-key FILE", "end a ban, by an order that the publisher signs",
     "A ban means that a party lied inside the protocol: find out why before you end it. The banned key is in the "
     "enclave's\n"
     "log. The client needs a new channel afterwards, which it makes by itself.",
     unban_opts, 0, 0, run_unban},
    {0},
};
