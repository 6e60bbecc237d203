/* The run directory: its lock, and run.json. See host.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json_out.h"
#include "base/text.h"
#include "host/host.h"

static int open_lock(const char *dir, int flags)
{
    char path[CS_HOST_PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/lock", dir);

    return n > 0 && (size_t)n < sizeof path ? open(path, O_RDWR | O_CLOEXEC | flags, 0600) : -1;
}

cs_err cs_run_dir_lock(const char *dir)
{
    char stale[CS_HOST_PATH_MAX];

    if (mkdir(dir, 0700) != 0 && errno != EEXIST) {
        return CS_E_IO;
    }
    int fd = open_lock(dir, O_CREAT);
    if (fd < 0) {
        return CS_E_IO;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        (void)close(fd);
        return CS_E_EXISTS;
    }
    (void)snprintf(stale, sizeof stale, "%s/run.json", dir);
    (void)unlink(stale);
    return CS_OK;
}

bool cs_run_dir_held(const char *dir)
{
    int fd = open_lock(dir, 0);
    bool held = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) != 0;

    if (fd >= 0) {
        (void)close(fd);
    }
    return held;
}

cs_err cs_run_file_write(const char *dir, const cs_enclave *e)
{
    uint8_t mem[2048], grpc_mem[CS_EP_TEXT_MAX];
    cs_buf json = cs_buf_wrap(mem, sizeof mem), grpc = cs_buf_wrap(grpc_mem, sizeof grpc_mem);
    static const char *const names[] = {"PCR0", "PCR1", "PCR2"};
    char path[CS_HOST_PATH_MAX], tmp[CS_HOST_PATH_MAX];
    cs_jw w = cs_jw_begin(&json);

    CS_TRY(cs_endpoint_format(&grpc, cs_enclave_grpc(e)));
    cs_jw_object(&w, NULL);
    cs_jw_u64(&w, "pid", (uint64_t)getpid());
    cs_jw_str(&w, "grpc", cs_buf_slice(&grpc));
    for (int i = 0; i < 3; i++) {
        cs_jw_hex(&w, names[i], cs_slice_of(cs_enclave_pcrs(e)[i].b, CS_PCR_LEN));
    }
    cs_jw_close_object(&w);
    CS_TRY(cs_jw_end(&w));
    CS_TRY(cs_put_u8(&json, '\n'));
    (void)snprintf(tmp, sizeof tmp, "%s/run.json.new", dir);
    (void)snprintf(path, sizeof path, "%s/run.json", dir);
    int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool ok = fd >= 0 && write(fd, json.p, json.len) == (ssize_t)json.len;
    if (fd >= 0) {
        (void)close(fd);
    }
    return ok && rename(tmp, path) == 0 ? CS_OK : CS_E_IO;
}

cs_err cs_read_whole(cs_buf *out, const char *path)
{
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "rbe");
    uint8_t block[65536];
    cs_err err = CS_OK;
    size_t n;

    if (f == NULL) {
        return CS_E_IO;
    }
    *out = cs_buf_heap((size_t)256 << 20);
    while (err == CS_OK && (n = fread(block, 1, sizeof block, f)) > 0) {
        err = cs_put(out, block, n);
    }
    if (ferror(f)) {
        err = CS_E_IO;
    }
    if (f != stdin) {
        (void)fclose(f);
    }
    return err == CS_E_RANGE ? CS_E_TOO_LARGE : err;
}

cs_err cs_run_file_read(cs_endpoint *out, char pid[24], const char *dir)
{
    char path[CS_HOST_PATH_MAX];
    cs_buf text = {0};

    (void)snprintf(path, sizeof path, "%s/run.json", dir);
    cs_err err = cs_read_whole(&text, path);
    if (err == CS_OK) {
        err = cs_put_u8(&text, 0);
    }
    const char *at = err == CS_OK ? strstr((const char *)text.p, "\"grpc\":\"") : NULL;
    const char *end = at != NULL ? strchr(at + 8, '"') : NULL;
    const char *p = err == CS_OK ? strstr((const char *)text.p, "\"pid\":") : NULL;
    if (err == CS_OK) {
        err = end != NULL && p != NULL ? cs_endpoint_parse(out, cs_slice_of(at + 8, (size_t)(end - at - 8)))
                                       : CS_E_FORMAT;
    }
    if (err == CS_OK && pid != NULL) {
        (void)snprintf(pid, 24, "%ld", strtol(p + 6, NULL, 10));
    }
    cs_buf_free(&text);
    return err;
}
