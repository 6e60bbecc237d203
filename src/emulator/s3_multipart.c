/*
 * Uploads in parts, as the AWS command line makes them for files over 8 MiB: create, put parts, list, complete or abort. Until then
 * parts are files in BUCKET/ID.parts, beside upload.json, which names the key. See s3_call.h.
 */
#include <dirent.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "emulator/s3_call.h"
#include "emulator/xml.h"

#define XML_HEAD "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
#define NS " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""
#define ID_LEN 32
#define MIN_PART (5u << 20) /* but for the last one */
#define DIR_LEN 4300
#define PATH_LEN 4600

static void parts_dir(char out[DIR_LEN], const cs_emu_s3_call *c, const char *id)
{
    snprintf(out, DIR_LEN, "%s/s3/%s/%s.parts", c->s->o.dir, c->bucket, id);
}

static bool write_json(const char *path, const json_t *j)
{
    char *text = j != NULL ? json_dumps(j, 0) : NULL;
    bool ok = text != NULL && cs_emu_file_write(path, cs_slice_str(text)) == CS_OK;
    free(text);
    return ok;
}

static void create(cs_emu_s3_call *c)
{
    uint8_t raw[ID_LEN / 2];
    char id[ID_LEN + 1], dir[DIR_LEN], path[PATH_LEN];
    if (!cs_emu_s3_allowed(c, "s3:PutObject")) {
        return;
    }
    json_t *meta = cs_emu_s3_new_meta(c);
    bool ok = meta != NULL && RAND_bytes(raw, sizeof raw) == 1 &&
              json_object_set_new(meta, "key", json_string(c->key)) == 0 &&
              json_object_set_new(meta, "initiated", json_integer((json_int_t)cs_clock_wall_ms())) == 0;
    if (ok) {
        cs_hex_encode(id, cs_slice_of(raw, sizeof raw));
        parts_dir(dir, c, id);
        snprintf(path, sizeof path, "%s/upload.json", dir);
        ok = mkdir(dir, 0700) == 0 && write_json(path, meta);
    }
    json_decref(meta);
    if (!ok) {
        cs_emu_s3_refuse(c, 500, "InternalError", "The upload could not be started.");
        return;
    }
    cs_slice algorithm = cs_emu_s3_header(c, "x-amz-checksum-algorithm");
    if (algorithm.len > 0 && algorithm.len < 32) {
        cs_emu_reply_header(c->reply, "x-amz-checksum-algorithm", "%.*s", (int)algorithm.len,
                            (const char *)algorithm.p);
    }
    cs_buf *b = &c->reply->body;
    cs_emu_reply_text(c->reply, 200, "application/xml", XML_HEAD "<InitiateMultipartUploadResult" NS ">");
    cs_err err = cs_emu_xml_put(b, "Bucket", c->bucket);
    err = err == CS_OK ? cs_emu_xml_put(b, "Key", c->key) : err;
    err = err == CS_OK ? cs_put_fmt(b, "<UploadId>%s</UploadId></InitiateMultipartUploadResult>", id) : err;
    c->reply->status = err == CS_OK ? 200 : 500;
}

/* The upload that the request names, if it is one of this key: its folder and what was kept; refuses when there is none. */
static json_t *find_upload(cs_emu_s3_call *c, const char *id, char dir[DIR_LEN])
{
    uint8_t raw[ID_LEN / 2];
    char text[ID_LEN + 1], path[PATH_LEN];
    json_t *meta = NULL;
    if (cs_hex_decode(raw, sizeof raw, cs_slice_str(id)) == CS_OK) {
        cs_hex_encode(text, cs_slice_of(raw, sizeof raw));
        parts_dir(dir, c, text);
        snprintf(path, sizeof path, "%s/upload.json", dir);
        meta = json_load_file(path, 0, NULL);
    }
    const char *key = json_string_value(json_object_get(meta, "key"));
    if (key != NULL && strcmp(key, c->key) == 0) {
        return meta;
    }
    json_decref(meta);
    cs_emu_s3_refuse(
        c, 404, "NoSuchUpload",
        "The specified multipart upload does not exist. The upload ID may be invalid, or the upload may have been "
        "aborted or completed.");
    return NULL;
}

static void part_path(char out[PATH_LEN], const char *dir, uint32_t number)
{
    snprintf(out, PATH_LEN, "%s/%05u", dir, number);
}

static void put_part(cs_emu_s3_call *c, const char *dir, const char *number)
{
    char path[PATH_LEN], etag[33] = "", name[64];
    uint64_t n = 0;
    if (cs_parse_u64(cs_slice_str(number), CS_EMU_S3_MAX_PART, &n) != CS_OK || n == 0) {
        cs_emu_s3_refuse(c, 400, "InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive");
        return;
    }
    if (cs_emu_s3_header(c, "x-amz-copy-source").len > 0) {
        cs_emu_s3_refuse(c, 501, "NotImplemented", "not implemented: a part copied of another object.");
        return;
    }
    if (!cs_emu_s3_body_ok(c)) {
        return;
    }
    part_path(path, dir, (uint32_t)n);
    if (!cs_emu_s3_md5(etag, c->body) || cs_emu_file_write(path, c->body) != CS_OK) {
        cs_emu_s3_refuse(c, 500, "InternalError", "The part could not be stored.");
        return;
    }
    for (int k = 0; k < CS_EMU_NUM_SUMS; k++) {
        if (c->sums.text[k][0] != '\0') {
            snprintf(name, sizeof name, "x-amz-checksum-%s", cs_emu_sum_name((cs_emu_sum)k));
            cs_emu_reply_header(c->reply, name, "%s", c->sums.text[k]);
        }
    }
    cs_emu_reply_header(c->reply, "ETag", "\"%s\"", etag);
    c->reply->status = 200;
}

/* After the START of a Part. */
static cs_err parse_part(cs_emu_s3_part *out, cs_emu_xml *x)
{
    char name[CS_EMU_XML_NAME], text[80];
    uint8_t none[1];
    cs_emu_xml_event e;
    uint64_t v = 0;
    *out = (cs_emu_s3_part){.number = 0};
    for (;;) {
        cs_buf b = cs_buf_wrap(none, 0);
        CS_TRY(cs_emu_xml_next(x, &e, name, &b));
        if (e == CS_EMU_XML_END) {
            return out->number != 0 ? CS_OK : CS_E_FORMAT;
        }
        if (e != CS_EMU_XML_START) {
            return CS_E_FORMAT;
        }
        if (strcmp(name, "PartNumber") == 0) {
            CS_TRY(cs_emu_xml_leaf(x, text, sizeof text));
            CS_TRY(cs_parse_u64(cs_slice_str(text), CS_EMU_S3_MAX_PART, &v) == CS_OK && v > 0 ? CS_OK : CS_E_FORMAT);
            out->number = (uint32_t)v;
        } else if (strcmp(name, "ETag") == 0) {
            CS_TRY(cs_emu_xml_leaf(x, text, sizeof text));
            size_t n = strlen(text);
            bool quoted = n >= 2 && text[0] == '"' && text[n - 1] == '"';
            snprintf(out->etag, sizeof out->etag, "%.*s", (int)(quoted ? n - 2 : n), quoted ? text + 1 : text);
        } else {
            CS_TRY(cs_emu_xml_skip(x)); /* checksums of the parts */
        }
    }
}

cs_err cs_emu_s3_parse_parts(cs_emu_s3_part *out, size_t cap, size_t *out_num, cs_slice xml)
{
    char name[CS_EMU_XML_NAME];
    uint8_t none[1];
    cs_emu_xml x;
    cs_emu_xml_event e;
    size_t num = 0;
    bool ordered = true;
    cs_emu_xml_init(&x, xml);
    for (;;) {
        cs_buf b = cs_buf_wrap(none, 0);
        CS_TRY(cs_emu_xml_next(&x, &e, name, &b) == CS_OK ? CS_OK : CS_E_FORMAT);
        if (e == CS_EMU_XML_DONE) {
            break;
        }
        if (e == CS_EMU_XML_END) {
            continue; /* the root's */
        }
        if (strcmp(name, x.depth == 1 ? "CompleteMultipartUpload" : "Part") != 0) {
            return CS_E_FORMAT;
        }
        if (x.depth == 1) {
            continue;
        }
        if (num == cap) {
            return CS_E_RANGE;
        }
        CS_TRY(parse_part(&out[num], &x) == CS_OK ? CS_OK : CS_E_FORMAT);
        ordered = ordered && (num == 0 || out[num].number > out[num - 1].number);
        num++;
    }
    *out_num = num;
    return num == 0 ? CS_E_FORMAT : (ordered ? CS_OK : CS_E_STATE);
}

static void remove_parts(const char *dir)
{
    char path[PATH_LEN];
    DIR *d = opendir(dir);
    for (struct dirent *e = d != NULL ? readdir(d) : NULL; e != NULL; e = readdir(d)) {
        if (e->d_name[0] != '.') {
            snprintf(path, sizeof path, "%s/%.255s", dir, e->d_name);
            unlink(path);
        }
    }
    if (d != NULL) {
        closedir(d);
    }
    rmdir(dir);
}

/* The parts put together; etag: MD5 of the parts' MD5s, and how many there are, as S3 does. Refuses. */
static bool join(cs_emu_s3_call *c, const char *dir, const cs_emu_s3_part *part, size_t num, cs_buf *whole,
                 char etag[48])
{
    char path[PATH_LEN], hex[33];
    uint8_t md[16];
    cs_buf sums = cs_buf_heap(16 * CS_EMU_S3_MAX_PART);
    bool ok = true;
    for (size_t i = 0; ok && i < num; i++) {
        size_t before = whole->len;
        part_path(path, dir, part[i].number);
        cs_err err = cs_emu_file_read(whole, path);
        cs_slice data = whole->len > before ? cs_slice_of(whole->p + before, whole->len - before) : CS_SLICE_NULL;
        ok = err == CS_OK && cs_emu_s3_md5(hex, data) && cs_hex_decode(md, sizeof md, cs_slice_str(hex)) == CS_OK &&
             cs_put(&sums, md, sizeof md) == CS_OK && (part[i].etag[0] == '\0' || strcmp(part[i].etag, hex) == 0);
        if (err == CS_E_TOO_LARGE) {
            cs_emu_s3_refuse(c, 400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size");
        } else if (!ok) {
            cs_emu_s3_refuse(
                c, 400, "InvalidPart",
                "One or more of the specified parts could not be found. The part may not have been uploaded, or "
                "the specified entity tag may not match the part's entity tag.");
        } else if (data.len < MIN_PART && i + 1 < num) {
            ok = false;
            cs_emu_s3_refuse(c, 400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size");
        }
    }
    ok = ok && cs_emu_s3_md5(hex, cs_buf_slice(&sums));
    cs_buf_free(&sums);
    snprintf(etag, 48, "%s-%zu", ok ? hex : "", num);
    return ok;
}

static void answer_complete(cs_emu_s3_call *c, const char *etag)
{
    char quoted[64], location[1200];
    cs_buf *b = &c->reply->body;
    snprintf(quoted, sizeof quoted, "\"%s\"", etag);
    snprintf(location, sizeof location, "/%s/%s", c->bucket, c->key);
    cs_emu_reply_text(c->reply, 200, "application/xml", XML_HEAD "<CompleteMultipartUploadResult" NS ">");
    cs_err err = cs_emu_xml_put(b, "Location", location);
    err = err == CS_OK ? cs_emu_xml_put(b, "Bucket", c->bucket) : err;
    err = err == CS_OK ? cs_emu_xml_put(b, "Key", c->key) : err;
    err = err == CS_OK ? cs_emu_xml_put(b, "ETag", quoted) : err;
    err = err == CS_OK ? cs_put_str(b, "</CompleteMultipartUploadResult>") : err;
    c->reply->status = err == CS_OK ? 200 : 500;
}

static void complete(cs_emu_s3_call *c, const char *dir, const json_t *meta)
{
    static cs_emu_s3_part part[CS_EMU_S3_MAX_PART]; /* one thread */
    char etag[48];
    size_t num = 0;
    cs_buf whole = cs_buf_heap(CS_EMU_MAX_BODY);
    cs_err err = cs_emu_s3_parse_parts(part, CS_EMU_S3_MAX_PART, &num, c->body);
    if (err != CS_OK) {
        cs_emu_s3_refuse(c, 400, err == CS_E_STATE ? "InvalidPartOrder" : "MalformedXML",
                         err == CS_E_STATE
                             ? "The list of parts was not in ascending order. Parts must be ordered by part number."
                             : "The XML you provided was not well-formed or did not validate against our published "
                               "schema");
        return;
    }
    json_t *kept = json_pack("{s:O}", "headers", json_object_get(meta, "headers"));
    if (join(c, dir, part, num, &whole, etag)) {
        c->body = cs_buf_slice(&whole);
        /* a checksum in the header of this request is of the whole object */
        if (!cs_emu_s3_body_ok(c)) {
            json_decref(kept);
        } else if (cs_emu_s3_store(c, c->body, etag, kept)) {
            remove_parts(dir);
            answer_complete(c, etag);
        }
    } else {
        json_decref(kept);
    }
    cs_buf_free(&whole);
}

static cs_err put_part_entry(cs_buf *b, const char *dir, uint32_t number)
{
    char path[PATH_LEN], etag[33] = "", date[40] = "";
    struct stat st;
    cs_buf data = cs_buf_heap(CS_EMU_MAX_BODY), t = cs_buf_wrap(date, sizeof date - 1);
    part_path(path, dir, number);
    cs_err err = stat(path, &st) == 0 ? cs_emu_file_read(&data, path) : CS_E_NOT_FOUND;
    if (err == CS_OK && cs_emu_s3_md5(etag, cs_buf_slice(&data))) {
        err = cs_put_rfc3339(&t, (uint64_t)st.st_mtime * 1000u);
        err = err == CS_OK
                  ? cs_put_fmt(b,
                               "<Part><PartNumber>%u</PartNumber><LastModified>%s</LastModified><ETag>&quot;%s&quot;"
                               "</ETag><Size>%zu</Size></Part>",
                               number, date, etag, data.len)
                  : err;
    }
    cs_buf_free(&data);
    return err == CS_E_NOT_FOUND ? CS_OK : err;
}

static void list_parts(cs_emu_s3_call *c, const char *dir, const char *id)
{
    cs_buf *b = &c->reply->body;
    cs_emu_reply_text(c->reply, 200, "application/xml", XML_HEAD "<ListPartsResult" NS ">");
    cs_err err = cs_emu_xml_put(b, "Bucket", c->bucket);
    err = err == CS_OK ? cs_emu_xml_put(b, "Key", c->key) : err;
    err = err == CS_OK ? cs_emu_xml_put(b, "UploadId", id) : err;
    err = err == CS_OK ? cs_put_fmt(b, "<MaxParts>%u</MaxParts><IsTruncated>false</IsTruncated>", CS_EMU_S3_MAX_PART)
                       : err;
    for (uint32_t n = 1; n <= CS_EMU_S3_MAX_PART && err == CS_OK; n++) {
        err = put_part_entry(b, dir, n);
    }
    err = err == CS_OK ? cs_put_str(b, "</ListPartsResult>") : err;
    c->reply->status = err == CS_OK ? 200 : 500;
}

static cs_err put_upload_entry(cs_emu_s3_call *c, const char *folder, const char *file)
{
    char path[PATH_LEN], id[ID_LEN + 1], date[40] = "";
    cs_buf *b = &c->reply->body, t = cs_buf_wrap(date, sizeof date - 1);
    snprintf(path, sizeof path, "%s/%s/upload.json", folder, file);
    snprintf(id, sizeof id, "%.*s", ID_LEN, file);
    json_t *meta = json_load_file(path, 0, NULL);
    const char *key = json_string_value(json_object_get(meta, "key"));
    cs_err err = key == NULL ? CS_OK : cs_put_str(b, "<Upload>");
    if (key != NULL) {
        err = err == CS_OK ? cs_emu_xml_put(b, "Key", key) : err;
        err = err == CS_OK ? cs_put_rfc3339(&t, (uint64_t)json_integer_value(json_object_get(meta, "initiated"))) : err;
        err = err == CS_OK ? cs_put_fmt(b, "<UploadId>%s</UploadId><Initiated>%s</Initiated></Upload>", id, date) : err;
    }
    json_decref(meta);
    return err;
}

static void list_uploads(cs_emu_s3_call *c)
{
    char folder[4200];
    cs_buf *b = &c->reply->body;
    if (!cs_emu_s3_allowed(c, "s3:ListBucketMultipartUploads")) {
        return;
    }
    cs_emu_reply_text(c->reply, 200, "application/xml", XML_HEAD "<ListMultipartUploadsResult" NS ">");
    cs_err err = cs_emu_xml_put(b, "Bucket", c->bucket);
    err = err == CS_OK ? cs_put_str(b, "<IsTruncated>false</IsTruncated>") : err;
    snprintf(folder, sizeof folder, "%s/s3/%s", c->s->o.dir, c->bucket);
    DIR *d = opendir(folder);
    for (struct dirent *e = d != NULL ? readdir(d) : NULL; e != NULL && err == CS_OK; e = readdir(d)) {
        if (strlen(e->d_name) == ID_LEN + 6 && strcmp(e->d_name + ID_LEN, ".parts") == 0) {
            err = put_upload_entry(c, folder, e->d_name);
        }
    }
    if (d != NULL) {
        closedir(d);
    }
    err = err == CS_OK ? cs_put_str(b, "</ListMultipartUploadsResult>") : err;
    c->reply->status = err == CS_OK ? 200 : 500;
}

static void of_upload(cs_emu_s3_call *c, const char *id)
{
    char dir[DIR_LEN], number[16];
    cs_slice method = c->q->sig.method;
    bool put = cs_slice_eq_str(method, "PUT"), get = cs_slice_eq_str(method, "GET"),
         drop = cs_slice_eq_str(method, "DELETE");
    if (!cs_emu_s3_allowed(c,
                           get ? "s3:ListMultipartUploadParts" : (drop ? "s3:AbortMultipartUpload" : "s3:PutObject"))) {
        return;
    }
    json_t *meta = find_upload(c, id, dir);
    if (meta == NULL) {
        return;
    }
    if (put && cs_emu_s3_query(c, "partNumber", number, sizeof number)) {
        put_part(c, dir, number);
    } else if (cs_slice_eq_str(method, "POST")) {
        complete(c, dir, meta);
    } else if (drop) {
        remove_parts(dir);
        c->reply->status = 204;
    } else if (get) {
        list_parts(c, dir, id);
    } else {
        cs_emu_s3_refuse(c, 405, "MethodNotAllowed", "The specified method is not allowed against this resource.");
    }
    json_decref(meta);
}

bool cs_emu_s3_multipart(cs_emu_s3_call *c)
{
    char id[80];
    if (cs_emu_s3_query(c, "uploads", id, sizeof id)) {
        if (c->key[0] == '\0') {
            list_uploads(c);
        } else if (cs_slice_eq_str(c->q->sig.method, "POST")) {
            create(c);
        } else {
            cs_emu_s3_refuse(c, 405, "MethodNotAllowed", "The specified method is not allowed against this resource.");
        }
        return true;
    }
    if (!cs_emu_s3_query(c, "uploadId", id, sizeof id)) {
        return false;
    }
    of_upload(c, id);
    return true;
}
