/*
 * The examples in the text of BIP-143: an unsigned transaction, then for each input that is signed the fields of its digest by name, the
 * digest and the signature. The digest is made from the transaction and what the input spends; the signature, with the private key that
 * stands in the same section, must be the one printed.
 */
#include <string.h>

#include "codec/ecdsa_der.h"
#include "party/btc.h"
#include "secret/sign/ecdsa_k1.h"
#include "suite.h"

#define MAX_KEYS 8

cs_suite_file_fn cs_btc_wiki_file;

typedef struct section {
    cs_buf tx, outpoint, code, amount, type;
    cs_secret32 key[MAX_KEYS];
    size_t num_keys;
    uint8_t digest[32];
    bool tx_next, has_digest;
} section;

static void section_end(section *x)
{
    cs_buf *all[] = {&x->tx, &x->outpoint, &x->code, &x->amount, &x->type};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        cs_buf_free(all[i]);
    }
    memset(x, 0, sizeof *x);
}

/* the hex at the start of text, at least `least` bytes; false: none there */
static bool hex_at(cs_buf *out, const char *text, size_t least)
{
    char word[4096];
    size_t n = strspn(text, " \t");
    size_t len = strspn(text + n, "0123456789abcdef");
    cs_buf got = {0};
    if (len < 2 * least || len >= sizeof word) {
        return false;
    }
    memcpy(word, text + n, len);
    word[len] = '\0';
    if (cs_suite_hex_text(word, &got) != CS_OK) {
        return false;
    }
    cs_buf_free(out);
    *out = got;
    return true;
}

/* the input with this outpoint */
static bool find_input(uint32_t *out, const cs_btc_tx *tx, const cs_buf *outpoint)
{
    cs_slice o, sequence;
    for (uint32_t i = 0; i < tx->num_inputs; i++) {
        if (cs_btc_input(&o, &sequence, tx, i) == CS_OK && cs_slice_eq(o, cs_buf_slice(outpoint))) {
            *out = i;
            return true;
        }
    }
    return false;
}

static bool digest_is(section *x, const cs_buf *want)
{
    cs_btc_tx tx;
    cs_btc_spent spent = {0};
    uint32_t input = 0;
    size_t head = x->code.len > 0 && x->code.p[0] == 0xfd ? 3 : 1; /* the script's length in front */
    if (cs_btc_parse(&tx, cs_buf_slice(&x->tx)) != CS_OK || !find_input(&input, &tx, &x->outpoint) ||
        x->amount.len != 8 || x->type.len != 4 || x->code.len <= head) {
        return false;
    }
    for (size_t i = 8; i-- > 0;) {
        spent.sats = spent.sats << 8 | x->amount.p[i];
    }
    spent.script = cs_slice_of(x->code.p + head, x->code.len - head);
    return cs_btc_digest_v0(x->digest, &tx, input, &spent, x->type.p[0]) == CS_OK &&
           cs_slice_eq(cs_buf_slice(want), cs_slice_of(x->digest, 32));
}

static bool signature_is(const section *x, const cs_buf *want)
{
    for (size_t i = 0; i < x->num_keys; i++) {
        uint8_t rs[64], mem[CS_ECDSA_DER_MAX];
        cs_buf der = cs_buf_wrap(mem, sizeof mem);
        if (cs_ecdsa_k1_sign(rs, NULL, &x->key[i], x->digest, NULL) == CS_OK &&
            cs_ecdsa_der_put(&der, rs, 32) == CS_OK && cs_put_u8(&der, x->type.p[0]) == CS_OK &&
            cs_slice_eq(cs_buf_slice(&der), cs_buf_slice(want))) {
            return true;
        }
    }
    return false;
}

static void on_digest(cs_suite *s, const char *path, section *x, const char *text)
{
    cs_buf want = {0};
    if (!hex_at(&want, text, 32)) {
        return;
    }
    if (x->tx.len == 0) {
        cs_suite_skip(s, "BIP-143: an example without its unsigned transaction");
    } else {
        x->has_digest = digest_is(x, &want);
        cs_suite_check(s, x->has_digest, path, text);
    }
    cs_buf_free(&want);
}

static void on_signature(cs_suite *s, const char *path, section *x, const char *text)
{
    cs_buf want = {0};
    if (x->has_digest && x->num_keys > 0 && hex_at(&want, text, 60)) {
        cs_suite_check(s, signature_is(x, &want), path, text);
    }
    x->has_digest = false; /* a signature of another form than v0 comes without a digest */
    cs_buf_free(&want);
}

static void one_line(cs_suite *s, const char *path, section *x, char *line)
{
    static const char unsigned_tx[] = "unsigned transaction:";
    char *at = strstr(line, unsigned_tx), *colon = strchr(line, ':');
    cs_buf key = {0};
    if (strstr(line, "===") == line || at != NULL || strstr(line, "The following transaction is") != NULL) {
        section_end(x);
    }
    if (at != NULL || x->tx_next) {
        x->tx_next = !hex_at(&x->tx, at != NULL ? at + strlen(unsigned_tx) : line, 60);
        return;
    }
    if (colon == NULL) {
        return;
    }
    *colon = '\0';
    char *name = line + strspn(line, " ");
    name[strcspn(name, " ") + (strstr(name, " key") != NULL ? 4 : 0)] = '\0'; /* "private key  " */
    struct {
        const char *name;
        cs_buf *to;
    } fields[] = {
        {"outpoint", &x->outpoint}, {"scriptCode", &x->code}, {"amount", &x->amount}, {"nHashType", &x->type}};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (strcmp(name, fields[i].name) == 0) {
            (void)hex_at(fields[i].to, colon + 1, 1);
        }
    }
    if (strcmp(name, "private key") == 0 && x->num_keys < MAX_KEYS && hex_at(&key, colon + 1, 32) && key.len == 32) {
        memcpy(x->key[x->num_keys++].b, key.p, 32);
    } else if (strcmp(name, "sigHash") == 0 || strcmp(name, "sighash") == 0) {
        on_digest(s, path, x, colon + 1);
    } else if (strcmp(name, "signature") == 0) {
        on_signature(s, path, x, colon + 1);
    }
    cs_buf_free(&key);
}

void cs_btc_wiki_file(cs_suite *s, const char *path, void *cookie)
{
    cs_buf b = {0};
    section x = {0};
    (void)cookie;
    if (cs_suite_read(path, &b) != CS_OK || cs_put_u8(&b, 0) != CS_OK) {
        cs_suite_fail(s, path, "cannot be read");
    } else {
        for (char *line = (char *)b.p; line != NULL;) {
            char *next = strchr(line, '\n');
            if (next != NULL) {
                *next++ = '\0';
            }
            one_line(s, path, &x, line);
            line = next;
        }
    }
    section_end(&x);
    cs_buf_free(&b);
}
