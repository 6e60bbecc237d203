/* systemd's notifications: datagrams to NOTIFY_SOCKET (sd_notify(3)). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/text.h"
#include "host/service_int.h"

struct cs_notify {
    int fd;
    struct sockaddr_un to;
    socklen_t to_len;
    cs_timer *watchdog;
};

void cs_notify_say(const cs_notify *n, const char *text)
{
    if (n->fd >= 0) {
        (void)sendto(n->fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *)&n->to,
                     n->to_len);
    }
}

static void on_watchdog(void *cookie)
{
    cs_notify_say(cookie, "WATCHDOG=1");
}

/* An absolute path, or '@' and an abstract name. */
static bool set_address(cs_notify *n, const char *path)
{
    size_t len = strlen(path);

    if ((path[0] != '/' && path[0] != '@') || len >= sizeof n->to.sun_path) {
        return false;
    }
    n->to.sun_family = AF_UNIX;
    memcpy(n->to.sun_path, path, len);
    n->to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (path[0] == '/' ? 1 : 0));
    if (path[0] == '@') {
        n->to.sun_path[0] = '\0';
    }
    return true;
}

/* WATCHDOG_USEC counts for WATCHDOG_PID only: not for children that inherit the environment. */
static uint64_t watchdog_ms(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    uint64_t us = 0, who = 0;

    if (usec == NULL || cs_parse_u64(cs_slice_str(usec), UINT64_MAX, &us) != CS_OK ||
        (pid != NULL && (cs_parse_u64(cs_slice_str(pid), UINT32_MAX, &who) != CS_OK || who != (uint64_t)getpid()))) {
        return 0;
    }
    return us / 1000;
}

cs_err cs_notify_new(cs_notify **out, cs_loop *l)
{
    cs_notify *n = calloc(1, sizeof *n);
    const char *path = getenv("NOTIFY_SOCKET");
    uint64_t every = watchdog_ms() / 2;

    if (n == NULL) {
        return CS_E_NO_MEMORY;
    }
    n->fd = path != NULL && set_address(n, path) ? socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;
    (void)unsetenv("NOTIFY_SOCKET"); /* not for nitro-cli */
    if (n->fd >= 0 && every > 0) {
        cs_err err = cs_timer_new(&n->watchdog, l, on_watchdog, n);
        if (err != CS_OK) {
            cs_notify_free(n);
            return err;
        }
        cs_timer_start(n->watchdog, 0, every);
    }
    *out = n;
    return CS_OK;
}

void cs_notify_free(cs_notify *n)
{
    if (n == NULL) {
        return;
    }
    cs_timer_free(n->watchdog);
    if (n->fd >= 0) {
        (void)close(n->fd);
    }
    free(n);
}
