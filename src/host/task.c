/* See task.h. */
#include "host/task.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define LINE_MAX_ 512

struct cs_task {
    cs_tasks *owner;
    cs_task *next;
    pid_t pid;
    cs_timer *deadline;
    cs_watch *watch[2]; /* standard output and error, or lines */
    int fd[2], in;
    cs_buf got[2];
    cs_err err;
    void (*on_line)(void *cookie, const char *line);
    cs_task_fn *done;
    void *cookie;
};

struct cs_tasks {
    cs_loop *loop;
    cs_signal *chld;
    cs_task *first;
};

/* ---------------------------------------------------------------- output */

static void close_out(cs_task *t, int i)
{
    cs_watch_free(t->watch[i]);
    t->watch[i] = NULL;
    if (t->fd[i] >= 0) {
        (void)close(t->fd[i]);
        t->fd[i] = -1;
    }
}

static void give_lines(cs_task *t)
{
    cs_buf *b = &t->got[0];
    const uint8_t *end;

    while (b->len > 0 && (end = memchr(b->p, '\n', b->len)) != NULL) {
        char line[LINE_MAX_];
        size_t len = (size_t)(end - b->p), keep = len < sizeof line ? len : sizeof line - 1;
        memcpy(line, b->p, keep);
        line[keep] = '\0';
        cs_buf_consume(b, len + 1);
        t->on_line(t->cookie, line);
    }
}

/* One read. False: nothing more now. */
static bool take(cs_task *t, int i)
{
    uint8_t block[16384];
    ssize_t n = t->fd[i] >= 0 ? read(t->fd[i], block, sizeof block) : 0;

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return false;
    }
    if (n <= 0) {
        close_out(t, i);
        return false;
    }
    if (cs_put(&t->got[i], block, (size_t)n) != CS_OK && i == 0) {
        t->err = t->err == CS_OK ? CS_E_TOO_LARGE : t->err;
        if (t->pid > 0) {
            (void)kill(t->pid, SIGKILL);
        }
    }
    if (i == 0 && t->on_line != NULL) {
        give_lines(t);
    }
    return true;
}

static void on_out(void *cookie, unsigned ready)
{
    (void)ready;
    (void)take(cookie, 0);
}

static void on_err(void *cookie, unsigned ready)
{
    (void)ready;
    (void)take(cookie, 1);
}

static void on_deadline(void *cookie)
{
    cs_task *t = cookie;

    t->err = CS_E_TIMEOUT;
    (void)kill(t->pid, SIGKILL); /* done follows when it has been reaped */
}

/* ---------------------------------------------------------------- ends */

static void unlink_task(cs_task *t)
{
    for (cs_task **at = &t->owner->first; *at != NULL; at = &(*at)->next) {
        if (*at == t) {
            *at = t->next;
            return;
        }
    }
}

static void discard(cs_task *t)
{
    close_out(t, 0);
    close_out(t, 1);
    if (t->in >= 0) {
        (void)close(t->in);
    }
    cs_timer_free(t->deadline);
    cs_buf_free(&t->got[0]);
    cs_buf_free(&t->got[1]);
    free(t);
}

static void reaped(cs_task *t, int status)
{
    t->pid = 0; /* may be anybody's from here on */
    for (int i = 0; i < 2; i++) {
        /* what is in the pipe; a program's background child may hold it open */
        for (int n = 0; n < 64 && t->fd[i] >= 0 && take(t, i); n++) {
        }
    }
    bool signalled = WIFSIGNALED(status);
    cs_task_end end = {.err = t->err,
                       .status = signalled ? 128 + WTERMSIG(status) : WEXITSTATUS(status),
                       .out = cs_buf_slice(&t->got[0]),
                       .err_out = cs_buf_slice(&t->got[1])};

    unlink_task(t);
    if (t->done != NULL) {
        t->done(t->cookie, &end);
    }
    discard(t);
}

static void on_child(void *cookie)
{
    cs_tasks *ts = cookie;
    bool again = true;

    while (again) { /* done may start and free tasks */
        again = false;
        for (cs_task *t = ts->first; t != NULL; t = t->next) {
            int status = 0;
            if (waitpid(t->pid, &status, WNOHANG) == t->pid) {
                reaped(t, status); /* frees it: not even its successor may be asked for */
                again = true;
                break;
            }
        }
    }
}

void cs_task_free(cs_task *t)
{
    if (t == NULL) {
        return;
    }
    if (t->pid > 0) {
        (void)kill(t->pid, SIGKILL);
        (void)waitpid(t->pid, NULL, 0);
    }
    unlink_task(t);
    discard(t);
}

cs_err cs_tasks_new(cs_tasks **out, cs_loop *l)
{
    cs_tasks *t = calloc(1, sizeof *t);

    if (t == NULL) {
        return CS_E_NO_MEMORY;
    }
    t->loop = l;
    cs_err err = cs_signal_new(&t->chld, l, SIGCHLD, on_child, t);
    if (err != CS_OK) {
        free(t);
        return err;
    }
    *out = t;
    return CS_OK;
}

void cs_tasks_free(cs_tasks *t)
{
    if (t == NULL) {
        return;
    }
    while (t->first != NULL) {
        cs_task_free(t->first);
    }
    cs_signal_free(t->chld);
    free(t);
}

/* ---------------------------------------------------------------- starts */

/* Three pipes: to its input, from its output and its errors. */
static bool open_pipes(int p[3][2])
{
    for (int i = 0; i < 3; i++) {
        p[i][0] = p[i][1] = -1;
    }
    for (int i = 0; i < 3; i++) {
        if (pipe2(p[i], O_CLOEXEC) != 0) {
            return false;
        }
    }
    return true;
}

static void close_pipes(int p[3][2])
{
    for (int i = 0; i < 6; i++) {
        if (p[i / 2][i % 2] >= 0) {
            (void)close(p[i / 2][i % 2]);
        }
    }
}

static void in_child(pid_t parent)
{
    static const int defaults[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGCHLD, SIGXFSZ};
    sigset_t none;

    for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++) {
        (void)signal(defaults[i], SIG_DFL);
    }
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(127);
    }
}

static void keep_only(int a, int b)
{
    unsigned low = (unsigned)(a < b ? a : b), high = (unsigned)(a < b ? b : a);

    if (low > 3) {
        (void)close_range(3, low - 1, 0);
    }
    if (high > low + 1) {
        (void)close_range(low + 1, high - 1, 0);
    }
    (void)close_range(high + 1, ~0u, 0);
}

static cs_err adopt(cs_task **out, cs_tasks *ts, cs_task *t, int p[3][2])
{
    t->owner = ts;
    t->fd[0] = p[1][0];
    t->fd[1] = p[2][0];
    t->in = p[0][1];
    (void)close(p[0][0]);
    (void)close(p[1][1]);
    (void)close(p[2][1]);
    t->got[0] = cs_buf_heap(CS_TASK_OUT_MAX);
    t->got[1] = cs_buf_heap(CS_TASK_ERR_MAX);
    t->next = ts->first;
    ts->first = t;
    for (int i = 0; i < 2; i++) {
        (void)fcntl(t->fd[i], F_SETFL, O_NONBLOCK);
        cs_err err = cs_watch_new(&t->watch[i], ts->loop, t->fd[i], i == 0 ? on_out : on_err, t);
        if (err != CS_OK) {
            cs_task_free(t);
            return err;
        }
        cs_watch_set(t->watch[i], CS_WATCH_READ);
    }
    *out = t;
    return CS_OK;
}

/* A task, its pipes and its process; also returns in the child (pid 0), where the end that writes its input is closed. */
static cs_err begin(cs_task **out, int p[3][2])
{
    pid_t parent = getpid();
    cs_task *t = calloc(1, sizeof *t);

    if (t == NULL || !open_pipes(p)) {
        if (t != NULL) {
            close_pipes(p);
        }
        free(t);
        return CS_E_NO_MEMORY;
    }
    t->pid = fork();
    if (t->pid < 0) {
        close_pipes(p);
        free(t);
        return CS_E_LAUNCH;
    }
    if (t->pid == 0) {
        in_child(parent);
        (void)close(p[0][1]);
    }
    *out = t;
    return CS_OK;
}

cs_err cs_task_exec(cs_task **out, cs_tasks *ts, const char *const *argv, uint32_t timeout_ms, cs_task_fn *done,
                    void *cookie)
{
    int p[3][2];
    cs_task *t = NULL;

    CS_TRY(begin(&t, p));
    t->done = done;
    t->cookie = cookie;
    if (t->pid == 0) { /* its input ends at once */
        if (dup2(p[0][0], STDIN_FILENO) < 0 || dup2(p[1][1], STDOUT_FILENO) < 0 || dup2(p[2][1], STDERR_FILENO) < 0) {
            _exit(127);
        }
        (void)close_range(3, ~0u, 0);
        (void)execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    CS_TRY(adopt(out, ts, t, p));
    (void)close(t->in);
    t->in = -1;
    cs_err err = cs_timer_new(&t->deadline, ts->loop, on_deadline, t);
    if (err != CS_OK) {
        cs_task_free(t);
        return err;
    }
    cs_timer_start(t->deadline, timeout_ms, 0);
    return CS_OK;
}

cs_err cs_task_fork(cs_task **out, cs_tasks *ts, int (*child)(void *arg, int in_fd, int out_fd), void *arg,
                    void (*on_line)(void *cookie, const char *line), cs_task_fn *done, void *cookie)
{
    int p[3][2];
    cs_task *t = NULL;

    CS_TRY(begin(&t, p));
    t->done = done;
    t->cookie = cookie;
    t->on_line = on_line;
    if (t->pid == 0) {
        /* nothing of ours but the standard streams: listeners and locks must not live on in it */
        keep_only(p[0][0], p[1][1]);
        _exit(child(arg, p[0][0], p[1][1]));
    }
    return adopt(out, ts, t, p);
}

cs_err cs_task_tell(cs_task *t, const void *p, size_t len)
{
    return t->in >= 0 && write(t->in, p, len) == (ssize_t)len ? CS_OK : CS_E_CLOSED;
}
