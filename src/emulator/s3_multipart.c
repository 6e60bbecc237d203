/*
 * Uploads in parts, as the AWS command line makes them for files over 8 MiB: create, put parts, complete or abort. Parts are files
 * in BUCKET/ID.parts until then. See s3_call.h.
 */
#include <dirent.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "emulator/s3_call.h"

#define ID_LEN 32
#define MAX_PART 10000u
#define MAX_PARTS 512

/* Value of a query parameter; false when it is absent. */
static bool query_get(const cs_emu_s3_call *c, const char *name, cs_slice *out)
{
    cs_slice q = c->q->sig.query;
    for (size_t i = 0; i < q.len;) {
        size_t end = i, eq = i;
        while (end < q.len && q.p[end] != '&') {
            end++;
        }
        while (eq < end && q.p[eq] != '=') {
            eq++;
        }
        if (cs_slice_eq_str(cs_slice_of(q.p + i, eq - i), name)) {
            *out = eq < end ? cs_slice_of(q.p + eq + 1, end - eq - 1) : CS_SLICE_NULL;
            return true;
        }
        i = end + 1;
    }
    return false;
}

static void parts_dir(char out[4300], const cs_emu_s3_call *c, const char *id)
{
    snprintf(out, 4300, "%s/s3/%s/%s.parts", c->s->o.dir, c->bucket, id);
}

static void create(cs_emu_s3_call *c)
{
    uint8_t raw[ID_LEN / 2];
    char id[ID_LEN + 1], path[4300];
    if (!cs_emu_s3_allowed(c, "s3:PutObject")) {
        return;
    }
    bool ok = RAND_bytes(raw, sizeof raw) == 1;
    cs_hex_encode(id, cs_slice_of(raw, sizeof raw));
    parts_dir(path, c, id);
    if (!ok || mkdir(path, 0700) != 0) {
        cs_emu_s3_refuse(c, 500, "InternalError", "The upload could not be started.");
        return;
    }
    cs_emu_reply_text(c->reply, 200, "application/xml", "");
    if (cs_put_fmt(&c->reply->body,
                   "<?xml version=\"1.0\" "
                   "encoding=\"UTF-8\"?>\n<InitiateMultipartUploadResult><Bucket>%s</Bucket><UploadId>%s</UploadId>"
                   "</InitiateMultipartUploadResult>",
                   c->bucket, id) != CS_OK) {
        c->reply->status = 500;
    }
}

/* The upload that the request names: its folder; refuses when there is none. */
static bool find_upload(cs_emu_s3_call *c, cs_slice id, char path[4300])
{
    uint8_t raw[ID_LEN / 2];
    char text[ID_LEN + 1];
    struct stat st;
    if (cs_hex_decode(raw, sizeof raw, id) == CS_OK) {
        cs_hex_encode(text, cs_slice_of(raw, sizeof raw));
        parts_dir(path, c, text);
        if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
            return true;
        }
    }
    cs_emu_s3_refuse(c, 404, "NoSuchUpload", "The specified upload does not exist.");
    return false;
}

static void part_path(char out[4400], const char *dir, uint32_t number)
{
    snprintf(out, 4400, "%s/%05u", dir, number);
}

static void put_part(cs_emu_s3_call *c, const char *dir, cs_slice number)
{
    char path[4400], etag[33] = "";
    uint64_t n = 0;
    if (cs_parse_u64(number, MAX_PART, &n) != CS_OK || n == 0) {
        cs_emu_s3_refuse(c, 400, "InvalidArgument", "Part number must be an integer between 1 and 10000");
        return;
    }
    part_path(path, dir, (uint32_t)n);
    if (!cs_emu_s3_md5(etag, c->body) || cs_emu_file_write(path, c->body) != CS_OK) {
        cs_emu_s3_refuse(c, 500, "InternalError", "The part could not be stored.");
        return;
    }
    cs_emu_reply_header(c->reply, "ETag", "\"%s\"", etag);
    c->reply->status = 200;
}

cs_err cs_emu_s3_parse_parts(uint32_t *out, size_t cap, size_t *out_num, cs_slice xml)
{
    static const char open[] = "<PartNumber>";
    size_t num = 0;
    while (xml.len > 0) {
        const uint8_t *at = memmem(xml.p, xml.len, open, strlen(open));
        if (at == NULL) {
            break;
        }
        at += strlen(open);
        cs_slice rest = cs_slice_of(at, (size_t)(xml.p + xml.len - at));
        size_t n = 0;
        uint64_t v = 0;
        while (n < rest.len && rest.p[n] != '<') {
            n++;
        }
        if (cs_parse_u64(cs_slice_of(rest.p, n), MAX_PART, &v) != CS_OK || v == 0 || (num > 0 && v <= out[num - 1])) {
            return CS_E_FORMAT;
        }
        if (num == cap) {
            return CS_E_RANGE;
        }
        out[num++] = (uint32_t)v;
        xml = cs_slice_of(rest.p + n, rest.len - n);
    }
    *out_num = num;
    return num > 0 ? CS_OK : CS_E_FORMAT;
}

static void remove_parts(const char *dir)
{
    char path[4600];
    DIR *d = opendir(dir);
    for (struct dirent *e = d != NULL ? readdir(d) : NULL; e != NULL; e = readdir(d)) {
        if (e->d_name[0] != '.') {
            snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
            unlink(path);
        }
    }
    if (d != NULL) {
        closedir(d);
    }
    rmdir(dir);
}

static void complete(cs_emu_s3_call *c, const char *dir)
{
    uint32_t part[MAX_PARTS];
    char path[4400], md5[33] = "", etag[48];
    size_t num = 0;
    cs_buf whole = cs_buf_heap(CS_EMU_MAX_BODY);
    cs_err err = cs_emu_s3_parse_parts(part, MAX_PARTS, &num, c->body);
    if (err != CS_OK) {
        cs_emu_s3_refuse(c, 400, "MalformedXML", "The list of parts is not valid.");
        return;
    }
    for (size_t i = 0; i < num && err == CS_OK; i++) {
        part_path(path, dir, part[i]);
        err = cs_emu_file_read(&whole, path);
    }
    if (err != CS_OK) {
        cs_emu_s3_refuse(c, 400, err == CS_E_TOO_LARGE ? "EntityTooLarge" : "InvalidPart",
                         "The parts could not be put together.");
    } else if (cs_emu_s3_md5(md5, cs_buf_slice(&whole))) {
        snprintf(etag, sizeof etag, "%s-%zu", md5, num);
        if (cs_emu_s3_store(c, cs_buf_slice(&whole), etag)) {
            remove_parts(dir);
            cs_emu_reply_text(c->reply, 200, "application/xml", "");
            err = cs_put_fmt(&c->reply->body,
                             "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<CompleteMultipartUploadResult>"
                             "<Bucket>%s</Bucket><ETag>&quot;%s&quot;</ETag></CompleteMultipartUploadResult>",
                             c->bucket, etag);
            c->reply->status = err == CS_OK ? 200 : 500;
        }
    }
    cs_buf_free(&whole);
}

bool cs_emu_s3_multipart(cs_emu_s3_call *c)
{
    char dir[4300];
    cs_slice id = CS_SLICE_NULL, number = CS_SLICE_NULL, method = c->q->sig.method;
    if (c->key[0] == '\0') {
        return false;
    }
    if (query_get(c, "uploads", &id) && cs_slice_eq_str(method, "POST")) {
        create(c);
        return true;
    }
    if (!query_get(c, "uploadId", &id)) {
        return false;
    }
    if (!cs_emu_s3_allowed(c, "s3:PutObject") || !find_upload(c, id, dir)) {
        return true;
    }
    if (cs_slice_eq_str(method, "PUT") && query_get(c, "partNumber", &number)) {
        put_part(c, dir, number);
    } else if (cs_slice_eq_str(method, "POST")) {
        complete(c, dir);
    } else if (cs_slice_eq_str(method, "DELETE")) {
        remove_parts(dir);
        c->reply->status = 204;
    } else {
        cs_emu_s3_refuse(c, 501, "NotImplemented", "This operation is not emulated.");
    }
    return true;
}
