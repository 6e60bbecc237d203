/* S3: lists of the objects in a bucket, both versions of the operation. See s3_call.h. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "emulator/s3_call.h"
#include "emulator/xml.h"

#define XML_HEAD "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
#define NS " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""
#define MAX_KEYS 1000u

typedef struct listing {
    cs_emu_s3_call *c;
    bool v2, encode; /* encoding-type=url */
    char prefix[CS_EMU_S3_MAX_KEY + 1], delimiter[65], after[CS_EMU_S3_MAX_KEY + 1], token[2 * CS_EMU_S3_MAX_KEY + 1];
    uint64_t max;
    json_t **metas;
    size_t num;
    /* the answer: */
    cs_buf contents, groups;
    uint64_t count;
    bool truncated;
    char last[CS_EMU_S3_MAX_KEY + 1]; /* entry that came last: a key, or a group */
    cs_err err;
} listing;

static const char *key_of(const json_t *meta)
{
    const char *k = json_string_value(json_object_get(meta, "key"));
    return k != NULL ? k : "";
}

static int by_key(const void *a, const void *b)
{
    return strcmp(key_of(*(json_t *const *)a), key_of(*(json_t *const *)b));
}

static bool load(listing *l)
{
    char path[4096], file[4400];
    size_t cap = 0;
    snprintf(path, sizeof path, "%s/s3/%s", l->c->s->o.dir, l->c->bucket);
    DIR *d = opendir(path);
    bool ok = d != NULL;
    for (struct dirent *e = ok ? readdir(d) : NULL; ok && e != NULL; e = readdir(d)) {
        size_t n = strlen(e->d_name);
        if (n != 69 || strcmp(e->d_name + 64, ".json") != 0) {
            continue;
        }
        if (l->num == cap) {
            cap = cap == 0 ? 256 : 2 * cap;
            json_t **more = realloc(l->metas, cap * sizeof(json_t *));
            ok = more != NULL;
            l->metas = ok ? more : l->metas;
        }
        snprintf(file, sizeof file, "%s/%s", path, e->d_name);
        json_t *meta = ok ? json_load_file(file, 0, NULL) : NULL;
        if (meta != NULL) {
            l->metas[l->num++] = meta;
        }
    }
    if (d != NULL) {
        closedir(d);
    }
    if (l->num > 0) {
        qsort(l->metas, l->num, sizeof(json_t *), by_key);
    }
    return ok;
}

static cs_err put_name(const listing *l, cs_buf *out, const char *element, const char *text)
{
    uint8_t mem[3 * CS_EMU_S3_MAX_KEY + 1];
    cs_buf b = cs_buf_wrap(mem, sizeof mem - 1);
    if (!l->encode) {
        return cs_emu_xml_put(out, element, text);
    }
    CS_TRY(cs_sigv4_put_encoded(&b, cs_slice_str(text), true));
    mem[b.len] = '\0';
    return cs_emu_xml_put(out, element, (const char *)mem);
}

static cs_err put_object(listing *l, const json_t *meta)
{
    char etag[80], date[40] = "";
    cs_buf t = cs_buf_wrap(date, sizeof date - 1), *b = &l->contents;
    snprintf(etag, sizeof etag, "\"%.70s\"", json_string_value(json_object_get(meta, "etag")));
    CS_TRY(cs_put_rfc3339(&t, (uint64_t)json_integer_value(json_object_get(meta, "modified")) * 1000u));
    CS_TRY(cs_put_str(b, "<Contents>"));
    CS_TRY(put_name(l, b, "Key", key_of(meta)));
    CS_TRY(cs_put_fmt(b, "<LastModified>%s</LastModified>", date));
    CS_TRY(cs_emu_xml_put(b, "ETag", etag));
    return cs_put_fmt(b, "<Size>%lld</Size><StorageClass>STANDARD</StorageClass></Contents>",
                      (long long)json_integer_value(json_object_get(meta, "size")));
}

/* The group of a key: up to and with the first delimiter behind the prefix; 0: none. */
static size_t group_len(const listing *l, const char *key)
{
    size_t p = strlen(l->prefix);
    const char *at = l->delimiter[0] != '\0' ? strstr(key + p, l->delimiter) : NULL;
    return at != NULL ? (size_t)(at - key) + strlen(l->delimiter) : 0;
}

static void visit(listing *l, const json_t *meta)
{
    const char *key = key_of(meta);
    char entry[CS_EMU_S3_MAX_KEY + 1];
    size_t g = 0;
    if (l->truncated || strncmp(key, l->prefix, strlen(l->prefix)) != 0) {
        return;
    }
    g = group_len(l, key);
    snprintf(entry, sizeof entry, "%.*s", (int)(g > 0 ? g : strlen(key)), key);
    if (strcmp(g > 0 ? entry : key, l->after) <= 0 && l->after[0] != '\0') {
        return; /* was in an earlier page */
    }
    if (g > 0 && l->count > 0 && strcmp(entry, l->last) == 0) {
        return; /* another one of the group */
    }
    if (l->count == l->max) {
        l->truncated = l->max > 0;
        return;
    }
    l->count++;
    snprintf(l->last, sizeof l->last, "%s", entry);
    if (g == 0) {
        l->err = l->err == CS_OK ? put_object(l, meta) : l->err;
        return;
    }
    l->err = l->err == CS_OK ? cs_put_str(&l->groups, "<CommonPrefixes>") : l->err;
    l->err = l->err == CS_OK ? put_name(l, &l->groups, "Prefix", entry) : l->err;
    l->err = l->err == CS_OK ? cs_put_str(&l->groups, "</CommonPrefixes>") : l->err;
}

/* The parameters; refuses. A token is the hex of the entry before. */
static bool read_parameters(listing *l)
{
    char text[64];
    cs_emu_s3_call *c = l->c;
    l->v2 = cs_emu_s3_query(c, "list-type", text, sizeof text);
    bool ok = !l->v2 || strcmp(text, "2") == 0;
    l->encode = cs_emu_s3_query(c, "encoding-type", text, sizeof text);
    ok = ok && (!l->encode || strcmp(text, "url") == 0);
    cs_emu_s3_query(c, "prefix", l->prefix, sizeof l->prefix);
    cs_emu_s3_query(c, "delimiter", l->delimiter, sizeof l->delimiter);
    l->max = MAX_KEYS;
    if (cs_emu_s3_query(c, "max-keys", text, sizeof text)) {
        ok = ok && cs_parse_u64(cs_slice_str(text), INT32_MAX, &l->max) == CS_OK;
        l->max = l->max > MAX_KEYS ? MAX_KEYS : l->max;
    }
    cs_emu_s3_query(c, l->v2 ? "start-after" : "marker", l->after, sizeof l->after);
    if (l->v2 && cs_emu_s3_query(c, "continuation-token", l->token, sizeof l->token)) {
        size_t n = strlen(l->token) / 2;
        ok = ok && n > 0 && n < sizeof l->after &&
             cs_hex_decode((uint8_t *)l->after, n, cs_slice_str(l->token)) == CS_OK && memchr(l->after, 0, n) == NULL;
        l->after[ok ? n : 0] = '\0';
    }
    if (!ok) {
        cs_emu_s3_refuse(c, 400, "InvalidArgument", "A parameter of the list is not valid.");
    }
    return ok;
}

static cs_err put_head(listing *l, cs_buf *b)
{
    char hex[2 * CS_EMU_S3_MAX_KEY + 1];
    CS_TRY(cs_emu_xml_put(b, "Name", l->c->bucket));
    CS_TRY(put_name(l, b, "Prefix", l->prefix));
    CS_TRY(l->delimiter[0] != '\0' ? put_name(l, b, "Delimiter", l->delimiter) : CS_OK);
    CS_TRY(l->encode ? cs_put_str(b, "<EncodingType>url</EncodingType>") : CS_OK);
    CS_TRY(cs_put_fmt(b, "<MaxKeys>%llu</MaxKeys><IsTruncated>%s</IsTruncated>", (unsigned long long)l->max,
                      l->truncated ? "true" : "false"));
    if (!l->v2) {
        CS_TRY(put_name(l, b, "Marker", l->after));
        return l->truncated && l->delimiter[0] != '\0' ? put_name(l, b, "NextMarker", l->last) : CS_OK;
    }
    CS_TRY(cs_put_fmt(b, "<KeyCount>%llu</KeyCount>", (unsigned long long)l->count));
    CS_TRY(l->token[0] != '\0' ? cs_emu_xml_put(b, "ContinuationToken", l->token) : CS_OK);
    CS_TRY(l->token[0] == '\0' && l->after[0] != '\0' ? put_name(l, b, "StartAfter", l->after) : CS_OK);
    if (l->truncated) {
        cs_hex_encode(hex, cs_slice_str(l->last));
        CS_TRY(cs_emu_xml_put(b, "NextContinuationToken", hex));
    }
    return CS_OK;
}

static void answer(listing *l)
{
    cs_buf *b = &l->c->reply->body;
    cs_emu_reply_text(l->c->reply, 200, "application/xml", XML_HEAD "<ListBucketResult" NS ">");
    cs_err err = l->err == CS_OK ? put_head(l, b) : l->err;
    err = err == CS_OK ? cs_put_slice(b, cs_buf_slice(&l->contents)) : err;
    err = err == CS_OK ? cs_put_slice(b, cs_buf_slice(&l->groups)) : err;
    err = err == CS_OK ? cs_put_str(b, "</ListBucketResult>") : err;
    if (err != CS_OK) {
        cs_emu_s3_refuse(l->c, 500, "InternalError", "The list could not be made.");
    }
}

void cs_emu_s3_list_objects(cs_emu_s3_call *c)
{
    static listing l; /* one thread */
    l = (listing){.c = c, .contents = cs_buf_heap(16u << 20), .groups = cs_buf_heap(16u << 20)};
    if (cs_emu_s3_allowed(c, "s3:ListBucket") && read_parameters(&l)) {
        if (load(&l)) {
            for (size_t i = 0; i < l.num; i++) {
                visit(&l, l.metas[i]);
            }
            answer(&l);
        } else {
            cs_emu_s3_refuse(c, 500, "InternalError", "The bucket could not be read.");
        }
    }
    for (size_t i = 0; i < l.num; i++) {
        json_decref(l.metas[i]);
    }
    free(l.metas);
    cs_buf_free(&l.contents);
    cs_buf_free(&l.groups);
}
