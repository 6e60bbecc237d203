#include "party/tee_identity.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec/json.h"
#include "codec/sharefile.h"

#define FILE_MAX 4096u
#define SEED 32u

enum { ID, ED25519_SEED, X25519_SECRET, NUM_KEYS };
static const char *const keys[NUM_KEYS] = {"id", "ed25519_seed", "x25519_secret"};

static cs_err get_member(cs_tee_identity *out, int key, cs_slice raw)
{
    cs_secret32 *secret = key == ED25519_SEED ? &out->ed25519_seed : &out->x25519_secret;

    if (key == ID) {
        if (raw.len < 1 || raw.len > CS_TEE_CALLER_MAX) {
            return CS_E_FORMAT;
        }
        memcpy(out->id, raw.p, raw.len);
        return CS_OK;
    }
    return raw.len == (size_t)2 * SEED && cs_hex_decode_ct(secret->b, SEED, raw.p) != 0 ? CS_OK : CS_E_FORMAT;
}

static int key_of(cs_slice name)
{
    int key = 0;

    while (key < NUM_KEYS && !cs_slice_eq_str(name, keys[key])) {
        key++;
    }
    return key;
}

static cs_err parse(cs_tee_identity *out, cs_json *j)
{
    unsigned seen = 0;
    cs_slice name, raw;
    bool plain = false;

    CS_TRY(cs_json_char(j, '{'));
    do {
        CS_TRY(cs_json_string(j, &name, &plain));
        CS_TRY(cs_json_char(j, ':'));
        CS_TRY(cs_json_string(j, &raw, &plain));
        int key = key_of(name);
        if (key == NUM_KEYS || !plain || (seen >> key & 1) != 0) {
            return CS_E_FORMAT;
        }
        CS_TRY(get_member(out, key, raw));
        seen |= 1u << key;
    } while (cs_json_try(j, ','));
    CS_TRY(cs_json_char(j, '}'));
    CS_TRY(cs_json_end(j));
    return seen == (1u << NUM_KEYS) - 1 ? CS_OK : CS_E_FORMAT;
}

cs_err cs_tee_identity_parse(cs_tee_identity *out, cs_slice text)
{
    cs_json j = cs_json_of(text);
    cs_err err;

    cs_wipe(out, sizeof *out);
    err = parse(out, &j);
    if (err != CS_OK) {
        cs_wipe(out, sizeof *out);
    }
    return err;
}

static cs_err read_file(cs_buf *text, int fd)
{
    struct stat st;
    ssize_t n = 1;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || (st.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        return CS_E_IO;
    }
    while (n > 0 && text->len < text->cap) {
        n = read(fd, text->p + text->len, text->cap - text->len);
        if (n < 0 && errno == EINTR) {
            n = 1;
            continue;
        }
        text->len += n > 0 ? (size_t)n : 0;
    }
    return n < 0 ? CS_E_IO : text->len == text->cap ? CS_E_TOO_LARGE : CS_OK;
}

cs_err cs_tee_identity_read(cs_tee_identity **out, const char *path)
{
    cs_tee_identity *id = cs_secret_alloc(sizeof *id);
    cs_buf text = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    cs_err err = id == NULL ? CS_E_NO_MEMORY : fd < 0 ? CS_E_IO : cs_secret_buf(&text, FILE_MAX);

    if (err == CS_OK && (err = read_file(&text, fd)) == CS_OK) {
        err = cs_tee_identity_parse(id, cs_buf_slice(&text));
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    cs_secret_buf_free(&text);
    if (err != CS_OK) {
        cs_secret_free(id);
        return err;
    }
    *out = id; /* transferred */
    return CS_OK;
}
