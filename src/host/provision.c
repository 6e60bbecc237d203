/* See provision.h. */
#include "host/provision.h"

#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/clock.h"

#define ANSWER_MS 30000u

static void say(int fd, const char *text)
{
    (void)!write(fd, text, strlen(text));
}

static int fail(int fd, cs_err err, const char *detail)
{
    char line[320];

    (void)snprintf(line, sizeof line, "E %s %.200s\n", cs_err_code(err), detail);
    say(fd, line);
    return 1;
}

static bool read_go(cs_provision_go *go, int fd)
{
    size_t at = 0;
    ssize_t n;

    while (at < sizeof *go && (n = read(fd, (uint8_t *)go + at, sizeof *go - at)) > 0) {
        at += (size_t)n;
    }
    return at == sizeof *go;
}

/* Nothing to inject: it is ready when it answers. */
static cs_err wait_answer(const cs_endpoint *grpc)
{
    uint64_t start = cs_clock_mono_ms();
    char phase[32] = "";
    cs_err err;

    do {
        err = cs_host_status(NULL, phase, grpc, 2000);
        if (err != CS_OK) {
            (void)usleep(10000);
        }
    } while (err != CS_OK && cs_clock_mono_ms() - start < ANSWER_MS);
    cs_phase("enclave answers", start, err, phase);
    return err;
}

static cs_err inject(cs_preload *p, cs_preload_opts *o, const cs_provision_go *go)
{
    o->to = go->to;
    o->grpc = &go->grpc;
    return o->order[0] == '\0' ? wait_answer(&go->grpc) : cs_preload_inject(p, o);
}

int cs_provision_child(void *arg, int in_fd, int out_fd)
{
    cs_preload_opts o = *(const cs_preload_opts *)arg;
    cs_provision_go go;
    cs_preload p = {0};
    char line[40];
    cs_err err = CS_OK;

    (void)prctl(PR_SET_DUMPABLE, 0); /* no core file, no debugger: it holds credentials */
    if (o.order[0] != '\0') {
        err = cs_preload_fetch(&p, &o);
    }
    if (err == CS_OK) {
        (void)snprintf(line, sizeof line, "X %llu\nF\n", (unsigned long long)p.expires_ms);
        say(out_fd, line);
        if (!read_go(&go, in_fd)) {
            cs_preload_free(&p);
            return 1; /* nobody waits any more */
        }
        err = inject(&p, &o, &go);
    }
    cs_preload_free(&p);
    return err == CS_OK ? 0 : fail(out_fd, err, p.detail);
}

cs_err cs_provision_parse(char detail[200], const char *line)
{
    char code[48] = "";
    size_t len = strcspn(line + 2, " ");

    (void)snprintf(code, sizeof code, "%.*s", (int)(len < sizeof code ? len : 0), line + 2);
    const char *rest = line + 2 + len;
    (void)snprintf(detail, 200, "%.199s", *rest == ' ' ? rest + 1 : rest);
    return cs_err_from_code(code);
}
