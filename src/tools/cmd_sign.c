/* signctl sign: one signature with the service, directly or through rooms, over a digest or an EIP-1559 transaction. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json_out.h"
#include "base/text.h"
#include "party/eth_json.h"
#include "secret/rng.h"
#include "tools/cmds.h"
#include "tools/gateway_sign.h"
#include "tools/json_lines.h"
#include "tools/party_open.h"
#include "tools/tool_file.h"

#define MAX_TX_FILE (512u * 1024u)

typedef struct sign_job {
    cs_party_open open;
    cs_psign_request request;
    uint8_t execution[CS_HELLO_MAX_EXECUTION];
    cs_eth_tx_file tx;
    bool is_tx, done;
    cs_presult result;
    cs_grpc_client *gateway; /* rooms: the other side's answer comes from here */
    bool gateway_done;
    cs_gateway_sign theirs;
    uint64_t began_ns, ended_ns;
} sign_job;

/* ---- arguments */

static cs_slice without_0x(const char *text)
{
    return cs_slice_str(text[0] == '0' && text[1] == 'x' ? text + 2 : text);
}

static cs_err parse_path(cs_psign_request *r, const char *text)
{
    if (text[0] != 'm') {
        return CS_E_FORMAT;
    }
    for (text++; *text == '/';) {
        uint64_t v = 0;
        size_t n = strcspn(++text, "/");
        if (r->path_len == CS_HELLO_MAX_PATH || cs_parse_u64(cs_slice_of(text, n), 0x7fffffff, &v) != CS_OK) {
            return CS_E_FORMAT;
        }
        r->path[r->path_len++] = (uint32_t)v;
        text += n;
    }
    return *text == '\0' ? CS_OK : CS_E_FORMAT;
}

static cs_err parse_execution(sign_job *j, const char *text)
{
    if (text == NULL) {
        j->request.execution_id = cs_slice_of(j->execution, 16);
        return cs_random(j->execution, 16);
    }
    cs_slice hex = without_0x(text);
    if (hex.len < 2 || hex.len % 2 != 0 || hex.len / 2 > sizeof j->execution) {
        return CS_E_FORMAT;
    }
    j->request.execution_id = cs_slice_of(j->execution, hex.len / 2);
    return cs_hex_decode(j->execution, hex.len / 2, hex);
}

static cs_err read_tx(sign_job *j, const char *path)
{
    cs_buf text = cs_buf_heap(MAX_TX_FILE);
    j->is_tx = true;
    j->open.detail = path;
    cs_err err = cs_tfile_read(&text, path);
    if (err == CS_OK) {
        err = cs_eth_tx_parse(&j->tx, cs_buf_slice(&text));
        j->open.detail = err == CS_OK ? NULL : j->tx.bad;
    }
    cs_buf_free(&text);
    return err == CS_OK ? cs_eth_tx_digest(j->request.digest32, &j->tx.tx) : err;
}

static cs_err parse_request(sign_job *j, const cs_args *a)
{
    const char *digest = cs_args_str(a, "digest"), *tx = cs_args_str(a, "eip1559"), *account;
    account = cs_party_value(&j->open, "account", "ACCOUNT_ID");
    j->open.detail = "--account ID is needed";
    if (account == NULL) {
        return CS_E_USAGE;
    }
    j->request.account_id = cs_slice_str(account);
    j->request.tx_id = (int64_t)cs_args_u64(a, "tx-id");
    j->open.detail = "--path is m or m/N/N..., each N below 2^31, at most 10, none hardened";
    CS_TRY(parse_path(&j->request, cs_args_str(a, "path")));
    j->open.detail = "--execution-id is 1 to 64 bytes of hex";
    CS_TRY(parse_execution(j, cs_args_str(a, "execution-id")));
    j->open.detail = "exactly one of --digest HEX and --eip1559 FILE";
    if ((digest == NULL) == (tx == NULL)) {
        return CS_E_USAGE;
    }
    if (tx != NULL) {
        return read_tx(j, tx);
    }
    j->open.detail = "--digest";
    if (without_0x(digest).len != 64) {
        return CS_E_DIGEST_LENGTH;
    }
    CS_TRY(cs_hex_decode(j->request.digest32, 32, without_0x(digest)));
    j->open.detail = NULL;
    return CS_OK;
}

/* ---- output */

static void put_hex0x(cs_jw *w, const char *key, cs_slice bytes)
{
    cs_buf text = cs_buf_heap(2 * bytes.len + 3);
    if (cs_put_str(&text, "0x") == CS_OK && cs_put_hex(&text, bytes) == CS_OK) {
        cs_jw_str(w, key, cs_buf_slice(&text));
    } else {
        w->err = CS_E_NO_MEMORY;
    }
    cs_buf_free(&text);
}

/* raw transaction, its hash, and the sender as anyone recovers it */
static cs_err put_tx(cs_jw *w, const sign_job *j, const cs_eth_addr *expected, cs_buf *raw)
{
    const cs_mpc_signature *m = &j->result.sig;
    cs_eth_sig sig = {.parity = m->recid};
    cs_eth_addr sender;
    uint8_t hash[32];
    char text[CS_ETH_ADDR_TEXT];
    memcpy(sig.r, m->r, 32);
    memcpy(sig.s, m->s, 32);
    if (m->recid > 1) {
        return CS_E_RANGE; /* x(R) >= n: 2^-127, not expressible in a transaction; another signature is */
    }
    CS_TRY(cs_eth_recover(&sender, j->request.digest32, &sig));
    if (memcmp(&sender, expected, sizeof sender) != 0) {
        return CS_E_BAD_SIGNATURE;
    }
    CS_TRY(cs_eth_tx_put(raw, &j->tx.tx, &sig));
    cs_keccak256(hash, (cs_slice[]){cs_buf_slice(raw)}, 1);
    cs_eth_address_text(text, &sender);
    put_hex0x(w, "raw_transaction", cs_buf_slice(raw));
    put_hex0x(w, "hash", cs_slice_of(hash, 32));
    cs_jw_cstr(w, "sender", text);
    return CS_OK;
}

static void put_signature(cs_jw *w, const sign_job *j, const char *address)
{
    const cs_presult *r = &j->result;
    cs_jw_str(w, "account_id", j->request.account_id);
    cs_jw_hex(w, "digest", cs_slice_of(j->request.digest32, 32));
    cs_jw_hex(w, "r", cs_slice_of(r->sig.r, 32));
    cs_jw_hex(w, "s", cs_slice_of(r->sig.s, 32));
    cs_jw_u64(w, "recid", r->sig.recid);
    cs_jw_hex(w, "public_key", cs_slice_of(r->sig.pk33, 33));
    cs_jw_cstr(w, "eth_address", address);
    cs_jw_i64(w, "tx_id", j->request.tx_id);
    cs_jw_hex(w, "execution_id", j->request.execution_id);
    cs_jw_u64(w, "attempts", r->attempts);
    if (r->first_err != CS_OK) {
        cs_jw_cstr(w, "first_error", cs_err_code(r->first_err));
    }
    cs_jw_double(w, "ms", (double)(j->ended_ns - j->began_ns) / 1e6);
}

static cs_err print_result(const sign_job *j, bool json)
{
    cs_buf out = cs_buf_heap(4u << 20), raw = cs_buf_heap(CS_ETH_TX_MAX);
    cs_jw w = cs_jw_begin(&out);
    cs_eth_addr addr;
    char text[CS_ETH_ADDR_TEXT];
    cs_err err = cs_eth_address(&addr, j->result.sig.pk33);
    cs_eth_address_text(text, &addr);
    cs_jw_object(&w, NULL);
    put_signature(&w, j, text);
    if (err == CS_OK && j->is_tx) {
        err = put_tx(&w, j, &addr, &raw);
    }
    cs_jw_close_object(&w);
    if (err == CS_OK) {
        err = cs_jw_end(&w);
    }
    if (err == CS_OK) {
        err = cs_json_print(cs_buf_slice(&out), !json);
    }
    cs_buf_free(&raw);
    cs_buf_free(&out);
    return err;
}

/* ---- the run */

static void on_theirs(void *cookie, const cs_gateway_sign *result)
{
    sign_job *j = cookie;
    j->theirs = *result;
    j->gateway_done = true;
}

/* the same request to mpc.SignGateway, which brings the enclave's party into the room */
static cs_err ask_gateway(sign_job *j, const cs_args *a)
{
    cs_endpoint ep;
    uint64_t ms = cs_args_u64(a, "timeout-ms") * (1 + cs_args_u64(a, "retries"));
    j->open.detail = "--gateway-grpc ENDPOINT (tcp:HOST:PORT) is needed with --gateway";
    CS_TRY(cs_party_endpoint(&j->open, &ep, "gateway-grpc", "GATEWAY_GRPC"));
    j->open.detail = "--path and a --tx-id beyond 32 bits work without --gateway only";
    if (j->request.path_len != 0 || j->request.tx_id > INT32_MAX) {
        return CS_E_USAGE;
    }
    j->open.detail = NULL;
    CS_TRY(cs_grpc_client_new(&j->gateway, j->open.loop, &ep, NULL));
    return cs_gateway_sign_start(j->gateway, &j->request, ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX, on_theirs, j);
}

/* both answers must be the same signature; ours was verified */
static cs_err compare(sign_job *j)
{
    if (j->theirs.err != CS_OK) {
        j->open.detail = j->theirs.detail;
        return j->theirs.err;
    }
    j->open.detail = "the gateway answered another signature";
    bool same = memcmp(j->theirs.r, j->result.sig.r, 32) == 0 && memcmp(j->theirs.s, j->result.sig.s, 32) == 0 &&
                j->theirs.v == j->result.sig.recid;
    return same ? CS_OK : CS_E_BAD_SIGNATURE;
}

static void on_result(void *cookie, const cs_presult *result)
{
    sign_job *j = cookie;
    j->result = *result;
    j->ended_ns = cs_clock_mono_ns();
    j->done = true;
}

/* both sides' requests, until both have answered; the gateway's refusal ends the wait for what cannot come */
static cs_err run(sign_job *j)
{
    bool rooms = j->open.path == CS_PARTY_ROOMS;
    j->began_ns = cs_clock_mono_ns();
    CS_TRY(cs_pclient_sign(NULL, j->open.client, &j->request, on_result, j));
    while ((!j->done || (rooms && !j->gateway_done && j->result.err == CS_OK)) &&
           !(j->gateway_done && j->theirs.err != CS_OK) && cs_loop_run_once(j->open.loop, true)) {
    }
    if (rooms && j->gateway_done && j->theirs.err != CS_OK) {
        return compare(j);
    }
    if (!j->done) {
        return CS_E_CLOSED;
    }
    if (j->result.err == CS_OK) {
        return rooms ? compare(j) : CS_OK;
    }
    if (j->result.check != CS_MPC_CHK_NONE) {
        j->open.detail = cs_mpc_check_name(j->result.check);
    } else if (j->result.hint != CS_OK) {
        j->open.detail = cs_err_code(j->result.hint);
    }
    return j->result.err;
}

static cs_err sign(sign_job *j, const cs_args *a)
{
    j->open.path = cs_args_str(a, "gateway") != NULL ? CS_PARTY_ROOMS : CS_PARTY_DIRECT;
    CS_TRY(cs_party_env(&j->open, a));
    CS_TRY(parse_request(j, a)); /* before anything is read that is secret */
    cs_buf_free(&j->open.env);
    CS_TRY(cs_party_start(&j->open, a));
    if (j->open.path == CS_PARTY_ROOMS) {
        CS_TRY(ask_gateway(j, a));
    }
    CS_TRY(run(j));
    return print_result(j, cs_args_flag(a, "json"));
}

static int run_sign(const cs_args *a)
{
    static sign_job j;
    cs_err err = sign(&j, a);
    const char *detail = j.open.detail;
    int status = 0;
    if (err == CS_E_USAGE) {
        status = cs_usage_error(a, "%s", detail != NULL ? detail : "a bad option");
    } else if (err != CS_OK) {
        status = cs_refuse(a, err, cs_args_flag(a, "json"), detail);
    }
    cs_eth_tx_cleanup(&j.tx);
    cs_grpc_client_free(j.gateway);
    cs_party_stop(&j.open);
    return status;
}

static const cs_opt sign_opts[] = {
    {"account", 'a', CS_OPT_STR, "ID", "which key", "ACCOUNT_ID", NULL, 0, 0},
    {"digest", 0, CS_OPT_STR, "HEX", "the 32-byte hash to sign", NULL, NULL, 0, 0},
    {"eip1559", 0, CS_OPT_STR, "FILE", "build this Ethereum transaction (JSON) and sign it; - reads standard input",
     NULL, NULL, 0, 0},
    {"path", 0, CS_OPT_STR, "PATH", "BIP-32 path below the account's key", NULL, "m", 0, 0},
    {"tx-id", 0, CS_OPT_U64, "N", "transaction id of the request", NULL, "0", 0, INT64_MAX},
    {"execution-id", 0, CS_OPT_STR, "HEX", "execution id, 1 to 64 bytes; default: random", NULL, NULL, 0, 0},
    {"gateway", 'g', CS_OPT_STR, "URL", "sign through rooms of this gateway, e.g. http://127.0.0.1:8080", NULL, NULL, 0,
     0},
    CS_PARTY_GATEWAY_GRPC_OPT CS_PARTY_SIGN_OPTS{"json", 0, CS_OPT_FLAG, NULL, "result as JSON", NULL, NULL, 0, 0},
    {0},
};

const cs_cmd cs_cmds_sign[] = {
    {"sign", "-a ID (--digest HEX | --eip1559 FILE) --shares FILE -s ENDPOINT (--pcr N=HEX... | --any-pcrs)",
     "sign with the service: this side holds one share, the enclave the other",
     "The enclave's attestation is verified before the first session. The same account, tx-id and execution-id with "
     "the same\n"
     "digest gives the same signature until the enclave restarts; with another digest it is refused.\n\n"
     "With --gateway the request goes to the gateway's mpc.SignGateway, both parties meet in the gateway's room\n"
     "signing_{tx-id}, and both answers must be the same.\n\n"
     "The transaction file holds chainId, nonce, maxPriorityFeePerGas, maxFeePerGas, gasLimit, to, and optionally "
     "value, data,\n"
     "accessList: integers, or strings of decimal or 0x hex.\n\n"
     "examples:\n"
     "    signctl sign -a account-1 --digest 0xab...12 --shares client_key_shares.json -s tcp:127.0.0.1:50051 --pcr "
     "0=...\n"
     "    signctl sign --env build/run/endpoints.env --eip1559 tx.json --json\n"
     "    signctl sign -a account-1 --digest 0xab...12 --shares client_key_shares.json --pcr 0=... \\\n"
     "        --gateway http://127.0.0.1:8080 --gateway-grpc tcp:127.0.0.1:50050",
     sign_opts, 0, 0, run_sign},
    {0},
};
