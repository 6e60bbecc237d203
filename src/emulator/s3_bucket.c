/* S3 buckets: make, remove, list buckets and objects, delete several objects. See s3_call.h. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "emulator/s3_call.h"
#include "emulator/xml.h"

#define XML_HEAD "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
#define NS " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""
#define MAX_DELETE 1000

static void bucket_path(char out[4096], const cs_emu_s3_call *c)
{
    snprintf(out, 4096, "%s/s3/%s", c->s->o.dir, c->bucket);
}

static void put_bucket(cs_emu_s3_call *c)
{
    char path[4096];
    if (!cs_emu_s3_allowed(c, "s3:CreateBucket")) {
        return;
    }
    bucket_path(path, c);
    if (mkdir(path, 0700) != 0) {
        bool there = errno == EEXIST;
        cs_emu_s3_refuse(c, there ? 409 : 500, there ? "BucketAlreadyOwnedByYou" : "InternalError",
                         there ? "Your previous request to create the named bucket succeeded and you already own it."
                               : "The bucket could not be made.");
        return;
    }
    cs_emu_reply_header(c->reply, "Location", "/%s", c->bucket);
    c->reply->status = 200;
}

static void delete_bucket(cs_emu_s3_call *c)
{
    char path[4096];
    if (!cs_emu_s3_allowed(c, "s3:DeleteBucket")) {
        return;
    }
    bucket_path(path, c);
    if (rmdir(path) != 0) {
        bool full = errno == ENOTEMPTY || errno == EEXIST;
        cs_emu_s3_refuse(c, full ? 409 : 500, full ? "BucketNotEmpty" : "InternalError",
                         full ? "The bucket you tried to delete is not empty" : "The bucket could not be removed.");
        return;
    }
    c->reply->status = 204;
}

static void location(cs_emu_s3_call *c)
{
    if (!cs_emu_s3_allowed(c, "s3:GetBucketLocation")) {
        return;
    }
    cs_emu_reply_text(c->reply, 200, "application/xml", XML_HEAD "<LocationConstraint" NS ">");
    /* us-east-1 has none, for historical reasons of S3 */
    const char *region = strcmp(c->s->o.region, "us-east-1") == 0 ? "" : c->s->o.region;
    if (cs_put_fmt(&c->reply->body, "%s</LocationConstraint>", region) != CS_OK) {
        c->reply->status = 500;
    }
}

void cs_emu_s3_bucket(cs_emu_s3_call *c)
{
    cs_slice method = c->q->sig.method;
    char v[64];
    if (cs_slice_eq_str(method, "PUT")) {
        put_bucket(c);
    } else if (cs_slice_eq_str(method, "DELETE")) {
        delete_bucket(c);
    } else if (cs_slice_eq_str(method, "HEAD")) {
        if (cs_emu_s3_allowed(c, "s3:ListBucket")) {
            c->reply->status = 200;
            cs_emu_reply_header(c->reply, "x-amz-bucket-region", "%s", c->s->o.region);
        }
    } else if (cs_slice_eq_str(method, "GET") && cs_emu_s3_query(c, "location", v, sizeof v)) {
        location(c);
    } else if (cs_slice_eq_str(method, "GET") && cs_emu_s3_query(c, "uploads", v, sizeof v)) {
        (void)cs_emu_s3_multipart(c);
    } else if (cs_slice_eq_str(method, "GET")) {
        cs_emu_s3_list_objects(c);
    } else if (cs_slice_eq_str(method, "POST") && cs_emu_s3_query(c, "delete", v, sizeof v)) {
        cs_emu_s3_delete_objects(c);
    } else {
        cs_emu_s3_refuse(c, 405, "MethodNotAllowed", "The specified method is not allowed against this resource.");
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void cs_emu_s3_list_buckets(cs_emu_s3_call *c)
{
    char path[4096], date[40];
    char *names[1024];
    size_t num = 0;
    if (!cs_slice_eq_str(c->q->sig.method, "GET")) {
        cs_emu_s3_refuse(c, 405, "MethodNotAllowed", "The specified method is not allowed against this resource.");
        return;
    }
    if (!cs_emu_s3_allowed(c, "s3:ListAllMyBuckets")) {
        return;
    }
    snprintf(path, sizeof path, "%s/s3", c->s->o.dir);
    DIR *d = opendir(path);
    for (struct dirent *e = d != NULL ? readdir(d) : NULL; e != NULL && num < 1024; e = readdir(d)) {
        if (e->d_name[0] != '.' && (names[num] = strdup(e->d_name)) != NULL) {
            num++;
        }
    }
    if (d != NULL) {
        closedir(d);
    }
    qsort(names, num, sizeof names[0], by_name);
    cs_buf *b = &c->reply->body;
    cs_emu_reply_text(c->reply, 200, "application/xml", XML_HEAD "<ListAllMyBucketsResult" NS "><Owner><ID>");
    cs_err err = cs_put_fmt(b, "%s</ID></Owner><Buckets>", c->s->o.account);
    for (size_t i = 0; i < num; i++) {
        struct stat st = {0};
        snprintf(path, sizeof path, "%s/s3/%s", c->s->o.dir, names[i]);
        (void)stat(path, &st);
        cs_buf t = cs_buf_wrap(date, sizeof date - 1);
        err = err == CS_OK ? cs_put_rfc3339(&t, (uint64_t)st.st_mtime * 1000u) : err;
        date[t.len] = '\0';
        err = err == CS_OK
                  ? cs_put_fmt(b, "<Bucket><Name>%.63s</Name><CreationDate>%s</CreationDate></Bucket>", names[i], date)
                  : err;
        free(names[i]);
    }
    err = err == CS_OK ? cs_put_str(b, "</Buckets></ListAllMyBucketsResult>") : err;
    c->reply->status = err == CS_OK ? 200 : 500;
}

cs_err cs_emu_s3_parse_delete(json_t **out, bool *quiet, cs_slice xml)
{
    char name[CS_EMU_XML_NAME], text[CS_EMU_S3_MAX_KEY + 1];
    cs_emu_xml x;
    cs_emu_xml_event e;
    uint8_t none[1];
    json_t *keys = json_array();
    cs_emu_xml_init(&x, xml);
    cs_err err = CS_OK;
    *quiet = false;
    for (;;) {
        cs_buf b = cs_buf_wrap(none, 0);
        err = cs_emu_xml_next(&x, &e, name, &b);
        if (err != CS_OK || e == CS_EMU_XML_DONE) {
            break;
        }
        if (e != CS_EMU_XML_START) {
            continue;
        }
        bool root = x.depth == 1, in_object = x.depth == 3 && strcmp(x.open[1], "Object") == 0;
        if (root ? strcmp(name, "Delete") != 0 : x.depth > 3) {
            err = CS_E_FORMAT;
        } else if (in_object && strcmp(name, "Key") == 0) {
            err = cs_emu_xml_leaf(&x, text, sizeof text);
            err = err == CS_OK && text[0] == '\0' ? CS_E_FORMAT : err;
            err = err == CS_OK && json_array_size(keys) == MAX_DELETE ? CS_E_RANGE : err;
            err = err == CS_OK && json_array_append_new(keys, json_string(text)) != 0 ? CS_E_FORMAT : err;
        } else if (x.depth == 2 && strcmp(name, "Quiet") == 0) {
            err = cs_emu_xml_leaf(&x, text, sizeof text);
            *quiet = err == CS_OK && strcmp(text, "true") == 0;
        } else if (!root && strcmp(name, "Object") != 0) {
            err = cs_emu_xml_skip(&x);
        }
        if (err != CS_OK) {
            break;
        }
    }
    err = err == CS_OK && json_array_size(keys) == 0 ? CS_E_FORMAT : err;
    if (err != CS_OK) {
        json_decref(keys);
        return err;
    }
    *out = keys; /* transferred */
    return CS_OK;
}

void cs_emu_s3_delete_objects(cs_emu_s3_call *c)
{
    json_t *keys = NULL, *k;
    size_t i;
    bool quiet = false;
    if (!cs_emu_s3_body_ok(c)) {
        return;
    }
    if (cs_emu_s3_parse_delete(&keys, &quiet, c->body) != CS_OK) {
        cs_emu_s3_refuse(c, 400, "MalformedXML",
                         "The XML you provided was not well-formed or did not validate against our published schema");
        return;
    }
    cs_buf *b = &c->reply->body;
    cs_emu_reply_text(c->reply, 200, "application/xml", XML_HEAD "<DeleteResult" NS ">");
    cs_err err = CS_OK;
    json_array_foreach(keys, i, k)
    {
        snprintf(c->key, sizeof c->key, "%s", json_string_value(k));
        bool ok = cs_emu_s3_may(c, "s3:DeleteObject", false);
        cs_emu_s3_set_base(c);
        if (ok) {
            cs_emu_s3_remove(c);
        }
        if (ok && quiet) {
            continue;
        }
        err = err == CS_OK ? cs_put_str(b, ok ? "<Deleted>" : "<Error>") : err;
        err = err == CS_OK ? cs_emu_xml_put(b, "Key", c->key) : err;
        err = err == CS_OK ? cs_put_str(b, ok ? "</Deleted>"
                                              : "<Code>AccessDenied</Code><Message>Access Denied</Message></Error>")
                           : err;
    }
    err = err == CS_OK ? cs_put_str(b, "</DeleteResult>") : err;
    c->reply->status = err == CS_OK ? 200 : 500;
    json_decref(keys);
}
