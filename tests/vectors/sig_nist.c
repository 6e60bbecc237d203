/*
 * Signatures of NIST's CAVP files: blocks of "Name = value". P-256 is ours, signing (with the nonce of the file)
 * and verifying; for the
 * other curves there is no component that takes a bare digest.
 */
#include <string.h>

#include "secret/sign/ecdsa_p256.h"
#include "sig_suites.h"

typedef struct block {
    char curve[32];
    cs_buf key, x, y, digest, nonce, r, s;
    bool invalid, broken;
} block;

/* a number as 32 bytes; false: it has more */
static bool number32(uint8_t out[32], const cs_buf *n)
{
    if (n->len > 32) {
        return false;
    }
    memset(out, 0, 32);
    if (n->len > 0) {
        memcpy(out + (32 - n->len), n->p, n->len);
    }
    return true;
}

/* the leftmost 256 bits of the digest; a shorter one is a smaller number [FIPS186-5 6.4] */
static void digest32(uint8_t out[32], const cs_buf *digest)
{
    cs_buf left = *digest;
    left.len = left.len > 32 ? 32 : left.len;
    (void)number32(out, &left);
}

static bool p256_block(const block *b)
{
    uint8_t point[65] = {4}, rs[64], got[64], digest[32], public33[33];
    cs_secret32 key, nonce;
    digest32(digest, &b->digest);
    if (!number32(point + 1, &b->x) || !number32(point + 33, &b->y)) {
        return b->invalid;
    }
    bool numbers = number32(rs, &b->r) && number32(rs + 32, &b->s);
    cs_err err = numbers ? cs_ecdsa_p256_verify(rs, digest, cs_slice_of(point, sizeof point)) : CS_E_AUTH;
    if ((err == CS_OK) == b->invalid || b->key.len == 0) {
        return (err == CS_OK) != b->invalid;
    }
    return number32(key.b, &b->key) && number32(nonce.b, &b->nonce) && cs_ecdsa_p256_public(public33, &key) == CS_OK &&
           public33[0] == (2 | (point[64] & 1)) && memcmp(public33 + 1, point + 1, 32) == 0 &&
           cs_ecdsa_p256_unsafe_sign(got, &key, digest, &nonce) == CS_OK && memcmp(got, rs, 64) == 0;
}

static void end_block(cs_suite *s, const char *path, block *b)
{
    if (b->curve[0] != '\0') {
        char why[128];
        (void)snprintf(why, sizeof why, "ECDSA over a bare digest on %s: no component", b->curve);
        if (b->broken || b->digest.len == 0 || b->r.len == 0 || b->s.len == 0) {
            cs_suite_fail(s, path, "a block without curve, digest, R or S");
        } else if (strcmp(b->curve, "P-256") == 0) {
            cs_suite_check(s, p256_block(b), path, "P-256");
        } else {
            cs_suite_skip(s, why);
        }
    }
    cs_buf *all[] = {&b->key, &b->x, &b->y, &b->digest, &b->nonce, &b->r, &b->s};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        cs_buf_free(all[i]);
    }
    memset(b, 0, sizeof *b);
}

static void one_line(block *b, char *line)
{
    char *eq = strstr(line, " =");
    if (eq == NULL) {
        return;
    }
    *eq = '\0';
    const char *value = eq[2] == ' ' ? eq + 3 : eq + 2;
    struct {
        const char *name;
        cs_buf *to;
    } fields[] = {{"Private", &b->key}, {"X", &b->x}, {"Y", &b->y}, {"Digest", &b->digest},
                  {"K", &b->nonce},     {"R", &b->r}, {"S", &b->s}};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (strcmp(line, fields[i].name) == 0) {
            cs_buf_free(fields[i].to);
            b->broken = b->broken || cs_suite_hex_text(value, fields[i].to) != CS_OK;
        }
    }
    if (strcmp(line, "Curve") == 0) {
        (void)snprintf(b->curve, sizeof b->curve, "%s", value);
    }
    b->invalid = b->invalid || strcmp(line, "Invalid") == 0;
}

void cs_sig_nist(cs_suite *s, const char *path, char *text)
{
    block b = {0};
    for (char *line = text; line != NULL;) {
        char *next = strchr(line, '\n');
        if (next != NULL) {
            *next++ = '\0';
        }
        line[strcspn(line, "\r")] = '\0';
        if (line[0] == '\0') {
            end_block(s, path, &b);
        } else if (line[0] != '#') {
            one_line(&b, line);
        }
        line = next;
    }
    end_block(s, path, &b);
}
