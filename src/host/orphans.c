/* See orphans.h. */
#include "host/orphans.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "host/host.h"
#include "host/nitro_parse.h"

#define CLI_MS 60000u

/* Blocking: standard output of one nitro-cli. */
static cs_err run_cli(cs_buf *out, const char *const *argv)
{
    int p[2], status = 0;
    uint64_t deadline = cs_clock_mono_ms() + CLI_MS;
    uint8_t block[4096];
    ssize_t n = 1;

    if (pipe(p) != 0) {
        return CS_E_IO;
    }
    pid_t pid = fork();
    if (pid == 0) {
        (void)dup2(p[1], STDOUT_FILENO);
        (void)close_range(3, ~0u, 0);
        (void)execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    (void)close(p[1]);
    while (pid > 0 && n > 0) {
        uint64_t now = cs_clock_mono_ms();
        struct pollfd w = {p[0], POLLIN, 0};
        if (now >= deadline || poll(&w, 1, (int)(deadline - now)) != 1) {
            (void)kill(pid, SIGKILL);
            break;
        }
        n = read(p[0], block, sizeof block);
        if (n > 0 && cs_put(out, block, (size_t)n) != CS_OK) {
            (void)kill(pid, SIGKILL);
            break;
        }
    }
    (void)close(p[0]);
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) {
        return CS_E_NITRO;
    }
    return WEXITSTATUS(status) == 127 ? CS_E_NITRO_CLI : WEXITSTATUS(status) != 0 ? CS_E_NITRO : CS_OK;
}

static cs_err list(cs_nitro_enclave *all, size_t *num, const char *tool)
{
    const char *argv[] = {tool, "describe-enclaves", NULL};
    cs_buf out = cs_buf_heap((size_t)256 << 10);
    cs_err err = run_cli(&out, argv);

    if (err == CS_OK) {
        err = cs_nitro_parse_list(all, num, CS_NITRO_LIST_MAX, cs_buf_slice(&out));
    }
    cs_buf_free(&out);
    return err;
}

static cs_err terminate(const char *id, const char *tool)
{
    const char *argv[] = {tool, "terminate-enclave", "--enclave-id", id, NULL};
    cs_buf out = cs_buf_heap(65536);
    cs_err err = run_cli(&out, argv);

    cs_buf_free(&out);
    return err;
}

cs_err cs_orphans_end_named(unsigned *out_num, const char *name, const char *tool)
{
    cs_nitro_enclave all[CS_NITRO_LIST_MAX];
    char second[160];
    size_t num = 0;
    cs_err err = list(all, &num, tool);

    *out_num = 0;
    (void)snprintf(second, sizeof second, "%.128s-2", name);
    for (size_t i = 0; err == CS_OK && i < num; i++) {
        if (strcmp(all[i].name, name) == 0 || strcmp(all[i].name, second) == 0) {
            err = terminate(all[i].id, tool);
            *out_num += err == CS_OK;
        }
    }
    return err;
}

/* True when the text of run.json has "key":"value": both come from us, without escapes. */
static bool names(cs_slice json, const char *id)
{
    char want[CS_NITRO_NAME_MAX + 16];

    (void)snprintf(want, sizeof want, "\"id\":\"%s\"", id);
    return memmem(json.p, json.len, want, strlen(want)) != NULL;
}

/* One that was being started when its sign-host was killed has no id in run.json yet: its name and CID are there. */
static bool named(cs_slice json, const cs_nitro_enclave *e)
{
    char want[CS_NITRO_NAME_MAX + 64];

    (void)snprintf(want, sizeof want, "\"name\":\"%s\",\"id\":\"\",\"cid\":%u", e->name, e->cid);
    return memmem(json.p, json.len, want, strlen(want)) != NULL;
}

cs_err cs_orphans_end(unsigned *out_num, const char *dir, const char *tool)
{
    char path[CS_HOST_PATH_MAX];
    cs_nitro_enclave all[CS_NITRO_LIST_MAX];
    cs_buf json = {0};
    size_t num = 0;

    *out_num = 0;
    (void)snprintf(path, sizeof path, "%.480s/run.json", dir);
    if (cs_run_dir_held(dir) || access(path, R_OK) != 0) {
        return CS_OK;
    }
    CS_TRY(cs_read_whole(&json, path));
    cs_slice text = cs_buf_slice(&json);
    cs_err err = memmem(text.p, text.len, "\"enclaves\":[{", 13) != NULL ? list(all, &num, tool) : CS_OK;
    for (size_t i = 0; err == CS_OK && i < num; i++) {
        if (names(text, all[i].id) || named(text, &all[i])) {
            err = terminate(all[i].id, tool);
            *out_num += err == CS_OK;
            (void)printf("sign-host: ended %s, which a killed sign-host had left\n", all[i].id);
        }
    }
    cs_buf_free(&json);
    return err;
}
