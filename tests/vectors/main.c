/*
 * cs-vectors [--portable] DIR [NAME...]: runs the suite of every folder of DIR (or of the folders named) and prints
 * `suite NAME: P passed, F failed, S skipped` for each, in name order. Exit status 1 when a case failed or none ran.
 * --portable: the inner loops without any extension of the CPU; the suites are then printed as NAME-portable.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "secret/accel.h"
#include "suite.h"
#include "suites.h"

typedef void suite_fn(cs_suite *s, const char *dir);

#define SUITE_EXTERN(name, fn) suite_fn fn;
CS_SUITES(SUITE_EXTERN)

static const struct {
    const char *name;
    suite_fn *fn;
} suites[] = {
#define SUITE_ROW(name, fn) {name, fn},
    CS_SUITES(SUITE_ROW)};

static void count_file(cs_suite *s, const char *path, void *cookie)
{
    (void)path;
    (void)cookie;
    s->skipped++;
}

static void run_here(cs_suite *s, const char *dir)
{
    for (size_t i = 0; i < sizeof suites / sizeof *suites; i++) {
        if (strcmp(suites[i].name, s->name) == 0) {
            suites[i].fn(s, dir);
            cs_suite_leftovers(s, dir);
            return;
        }
    }
    static const struct {
        const char *name, *why;
    } later[] = {{"bls-h2c", "BLS comes with the signer RPC (issue 6)"},
                 {"frost", "FROST does not exist yet"},
                 {"jws", "JSON web signatures come with the TEE service (issue 5)"},
                 {"kms-policies", "the policy linter comes with the launcher (issue 4)"},
                 {"otlp-json", "telemetry export does not exist yet"},
                 {"trace-context", "trace propagation does not exist yet"}};
    const char *why = "no suite for this folder";
    for (size_t i = 0; i < sizeof later / sizeof *later; i++) {
        why = strcmp(later[i].name, s->name) == 0 ? later[i].why : why;
    }
    cs_suite_visit(s, dir, "", count_file, NULL);
    printf("%s: skipped: %s\n", s->name, why);
}

/* in a child, so that a crash or an exit counts as one failure of this suite */
static void run_suite(cs_suite *s, const char *dir)
{
    int fd[2];
    cs_suite got = {0};
    int status = 0;
    (void)fflush(stdout);
    if (pipe(fd) != 0) {
        cs_suite_fail(s, dir, "pipe");
        return;
    }
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(fd[0]);
        run_here(s, dir);
        (void)fflush(stdout);
        /* exit, not _exit: a leak found at exit must fail the suite */
        exit(write(fd[1], s, sizeof *s) == (ssize_t)sizeof *s ? 0 : 1);
    }
    (void)close(fd[1]);
    ssize_t n = pid > 0 ? read(fd[0], &got, sizeof got) : -1;
    (void)close(fd[0]);
    if (pid > 0) {
        (void)waitpid(pid, &status, 0);
    }
    if (n == (ssize_t)sizeof got) {
        *s = got;
    }
    if (n != (ssize_t)sizeof got || status != 0) {
        cs_suite_fail(s, dir, "the suite did not end normally");
    }
}

static bool wanted(const char *name, int argc, char **argv)
{
    bool any = argc <= 1;
    for (int i = 1; i < argc; i++) {
        any = any || strcmp(argv[i], name) == 0;
    }
    return any && name[0] != '.';
}

int main(int argc, char **argv)
{
    struct dirent **list = NULL;
    cs_suite total = {"total", 0, 0, 0};
    bool portable = argc > 1 && strcmp(argv[1], "--portable") == 0;
    if (argc < (portable ? 3 : 2)) {
        fprintf(stderr, "usage: cs-vectors [--portable] DIR [NAME...]\n");
        return 2;
    }
    if (portable) {
        cs_accel_force_portable_for_tests(true);
        argc--;
        argv++;
    }
    argc--;
    argv++;
    int n = scandir(argv[0], &list, NULL, alphasort);
    if (n < 0) {
        fprintf(stderr, "cs-vectors: %s cannot be read\n", argv[0]);
        return 2;
    }
    for (int i = 0; i < n; i++) {
        char dir[CS_SUITE_PATH];
        struct stat st;
        cs_suite s = {list[i]->d_name, 0, 0, 0};
        cs_suite_path(dir, argv[0], s.name);
        if (wanted(s.name, argc, argv) && stat(dir, &st) == 0 && S_ISDIR(st.st_mode)) {
            run_suite(&s, dir);
            printf("suite %s%s: %u passed, %u failed, %u skipped\n", s.name, portable ? "-portable" : "", s.passed,
                   s.failed, s.skipped);
            total.passed += s.passed;
            total.failed += s.failed;
            total.skipped += s.skipped;
        }
        free(list[i]);
    }
    free(list);
    printf("vectors: %u passed, %u failed, %u skipped\n", total.passed, total.failed, total.skipped);
    return total.failed == 0 && total.passed + total.skipped > 0 ? 0 : 1;
}
