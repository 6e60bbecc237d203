/* What the parent itself must have: device, allocator, CPUs, huge pages, memory, clock, entropy. Files below the root only. See doctor.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <unistd.h>

#include "base/text.h"
#include "host/doctor.h"
#include "host/doctor_alloc.h"

#define DEVICE "/dev/nitro_enclaves"
#define ALLOCATOR "/etc/nitro_enclaves/allocator.yaml"
#define NE_CPUS "/sys/module/nitro_enclaves/parameters/ne_cpus"
#define CLOCKS "/sys/devices/system/clocksource/clocksource0/current_clocksource"
#define HWRNG "/sys/class/misc/hw_random/rng_current"
#define ENTROPY "/proc/sys/kernel/random/entropy_avail"
#define ENTROPY_ENOUGH 256u
#define NODES_MAX 64
#define MIB ((uint64_t)1 << 20)

static bool local_run(const cs_doctor *d, cs_doctor_line *l)
{
    if (d->local) {
        cs_doctor_report_say(l, CS_DOCTOR_SKIP, CS_OK, "a local run has no enclave device");
    }
    return d->local;
}

cs_err cs_doctor_host_file(cs_buf *out, const char *root, const char *path, size_t max)
{
    char full[CS_DOCTOR_PATH];
    struct stat st;
    uint8_t block[4096];
    size_t len0 = out->len;
    ssize_t n = 0;
    int k = snprintf(full, sizeof full, "%s%s", root, path);
    int fd = k > 0 && (size_t)k < sizeof full ? open(full, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY) : -1;

    if (fd < 0) {
        return errno == ENOENT || errno == ENOTDIR ? CS_E_NOT_FOUND : CS_E_IO;
    }
    cs_err err = fstat(fd, &st) != 0 ? CS_E_IO : S_ISREG(st.st_mode) ? CS_OK : CS_E_FORMAT;
    while (err == CS_OK && (n = read(fd, block, sizeof block)) > 0) {
        err = out->len - len0 + (size_t)n > max ? CS_E_TOO_LARGE : cs_put(out, block, (size_t)n);
    }
    (void)close(fd);
    if (err == CS_OK && n < 0) {
        err = CS_E_IO;
    }
    if (err != CS_OK) {
        out->len = len0;
    }
    return err;
}

/* The first line of a small file, without blanks at its ends; false: it cannot be read or has no printable line. */
static bool line_of(char *out, size_t cap, const cs_doctor *d, const char *path)
{
    uint8_t mem[CS_DOCTOR_FILE_MAX];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    size_t n = 0;

    if (cs_doctor_host_file(&b, d->root, path, sizeof mem) != CS_OK) {
        return false;
    }
    while (n < b.len && mem[n] >= ' ' && mem[n] < 0x7f) {
        n++;
    }
    while (n > 0 && mem[n - 1] == ' ') {
        n--;
    }
    if (n >= cap) {
        return false;
    }
    memcpy(out, mem, n);
    out[n] = '\0';
    return true;
}

static bool number_of(uint64_t *out, const cs_doctor *d, const char *path)
{
    char text[32];

    return line_of(text, sizeof text, d, path) && cs_parse_u64(cs_slice_str(text), UINT32_MAX, out) == CS_OK;
}

/* ---------------------------------------------------------------- device, allocator */

void cs_doctor_host_device(cs_doctor *d, cs_doctor_line *l)
{
    char path[CS_DOCTOR_PATH];
    struct stat st;

    if (local_run(d, l)) {
        return;
    }
    (void)snprintf(path, sizeof path, "%s%s", d->root, DEVICE);
    if (stat(path, &st) != 0) {
        cs_doctor_report_say(l, CS_DOCTOR_FAIL, CS_E_NITRO_DEVICE, "no %s: the instance is not enabled for enclaves",
                             path);
    } else if (d->root[0] == '\0' && !S_ISCHR(st.st_mode)) {
        cs_doctor_report_say(l, CS_DOCTOR_FAIL, CS_E_NITRO_DEVICE, "%s is no character device", path);
    } else if (access(path, R_OK | W_OK) != 0) {
        cs_doctor_report_say(l, CS_DOCTOR_FAIL, CS_E_NITRO_DEVICE,
                             "%s may not be opened by this user: it belongs to group ne", path);
    } else {
        cs_doctor_report_say(l, CS_DOCTOR_OK, CS_OK, "%s is there and may be opened", path);
    }
}

void cs_doctor_host_nitro_cli(cs_doctor *d, cs_doctor_line *l)
{
    char path[CS_DOCTOR_PATH];
    const char *dirs = strchr(d->nitro_cli, '/') != NULL ? "" : getenv("PATH");

    if (local_run(d, l)) {
        return;
    }
    for (const char *at = dirs != NULL ? dirs : "", *end; at != NULL; at = end != NULL ? end + 1 : NULL) {
        end = strchr(at, ':');
        int len = end != NULL ? (int)(end - at) : (int)strlen(at);
        int n = snprintf(path, sizeof path, "%.*s%s%s", len, at, len > 0 ? "/" : "", d->nitro_cli);
        if (n > 0 && (size_t)n < sizeof path && access(path, X_OK) == 0) {
            cs_doctor_report_say(l, CS_DOCTOR_OK, CS_OK, "%.200s", path);
            return;
        }
    }
    cs_doctor_report_say(l, CS_DOCTOR_FAIL, CS_E_NITRO_CLI, "no program %.200s", d->nitro_cli);
}

/* The file as it is; false: l says why not. */
static bool allocator(cs_doctor_alloc *a, cs_doctor *d, cs_doctor_line *l)
{
    cs_buf text = cs_buf_heap(CS_DOCTOR_ALLOC_MAX);
    unsigned line = 0;
    cs_err err = cs_doctor_host_file(&text, d->root, ALLOCATOR, CS_DOCTOR_ALLOC_MAX);
    bool there = err == CS_OK;

    if (there) {
        err = cs_doctor_alloc_parse(a, &line, cs_buf_slice(&text));
    }
    cs_buf_free(&text);
    if (err == CS_E_NOT_FOUND) {
        cs_doctor_report_say(l, CS_DOCTOR_FAIL, CS_E_ALLOCATOR, "no %s%s: aws-nitro-enclaves-cli is not installed",
                             d->root, ALLOCATOR);
    } else if (err != CS_OK && !there) {
        cs_doctor_report_say(l, CS_DOCTOR_FAIL, CS_E_ALLOCATOR, "%s%s cannot be read (%s)", d->root, ALLOCATOR,
                             cs_err_code(err));
    } else if (err != CS_OK && line > 0) {
        cs_doctor_report_say(l, CS_DOCTOR_FAIL, CS_E_ALLOCATOR, "%s%s, line %u: %s", d->root, ALLOCATOR, line,
                             err == CS_E_CONFIG_KEY ? "no key of the allocator (memory_mib, cpu_count, cpu_pool)"
                             : err == CS_E_RANGE    ? "the number is out of range"
                                                 : "not `key: value` with a key that is there once, below a line ---");
    } else if (err != CS_OK) {
        cs_doctor_report_say(l, CS_DOCTOR_FAIL, CS_E_ALLOCATOR,
                             "%s%s needs a line ---, memory_mib, and either cpu_count or cpu_pool", d->root, ALLOCATOR);
    }
    return err == CS_OK;
}

void cs_doctor_host_allocator(cs_doctor *d, cs_doctor_line *l)
{
    cs_doctor_alloc a;

    if (local_run(d, l) || !allocator(&a, d, l)) {
        return;
    }
    bool memory = a.memory_mib >= d->memory_mib, cpus = a.cpu_count >= d->cpu_count;
    cs_doctor_report_say(l, memory && cpus ? CS_DOCTOR_OK : CS_DOCTOR_FAIL, memory && cpus ? CS_OK : CS_E_ALLOCATOR,
                         "allocator.yaml reserves %llu MiB and %llu CPUs%s; the enclave takes %llu MiB and %llu",
                         (unsigned long long)a.memory_mib, (unsigned long long)a.cpu_count,
                         a.has_pool ? " (cpu_pool)" : "", (unsigned long long)d->memory_mib,
                         (unsigned long long)d->cpu_count);
}

void cs_doctor_host_cpus(cs_doctor *d, cs_doctor_line *l)
{
    char text[2048];
    cs_doctor_cpus pool;

    if (local_run(d, l)) {
        return;
    }
    if (!line_of(text, sizeof text, d, NE_CPUS)) {
        cs_doctor_report_say(l, CS_DOCTOR_FAIL, CS_E_NITRO_CPUS, "no %s%s: the module nitro_enclaves is not loaded",
                             d->root, NE_CPUS);
        return;
    }
    if (text[0] == '\0') {
        cs_doctor_report_say(l, CS_DOCTOR_FAIL, CS_E_NITRO_CPUS,
                             "the CPU pool is empty: the allocator service did not run");
        return;
    }
    if (cs_doctor_alloc_cpus(&pool, cs_slice_str(text)) != CS_OK) {
        cs_doctor_report_say(l, CS_DOCTOR_FAIL, CS_E_NITRO_CPUS, "ne_cpus holds no list of CPUs: %.80s", text);
        return;
    }
    unsigned n = cs_doctor_alloc_count(&pool);
    bool enough = n >= d->cpu_count;
    cs_doctor_report_say(l, enough ? CS_DOCTOR_OK : CS_DOCTOR_FAIL, enough ? CS_OK : CS_E_NITRO_CPUS,
                         "the pool has %u CPUs (%.60s), the enclave takes %llu", n, text,
                         (unsigned long long)d->cpu_count);
}

/* ---------------------------------------------------------------- huge pages */

typedef struct pages {
    uint64_t free_mib, all_mib;
    bool known;
} pages;

/* Huge pages of a folder hugepages/ of sysfs, of both sizes. */
static pages pages_of(const cs_doctor *d, const char *folder)
{
    static const struct {
        const char *name;
        uint64_t mib;
    } sizes[] = {{"hugepages-2048kB", 2}, {"hugepages-1048576kB", 1024}};
    pages p = {0};

    for (size_t i = 0; i < 2; i++) {
        char path[CS_DOCTOR_PATH];
        uint64_t n, all;
        (void)snprintf(path, sizeof path, "%s/%s/free_hugepages", folder, sizes[i].name);
        bool have = number_of(&n, d, path);
        (void)snprintf(path, sizeof path, "%s/%s/nr_hugepages", folder, sizes[i].name);
        if (have && number_of(&all, d, path)) {
            p.free_mib += n * sizes[i].mib;
            p.all_mib += all * sizes[i].mib;
            p.known = true;
        }
    }
    return p;
}

/* An enclave's memory comes from one NUMA node: the best one; without nodes the whole machine. */
static pages best_node(const cs_doctor *d)
{
    pages best = {0};

    for (int i = 0; i < NODES_MAX; i++) {
        char folder[96];
        (void)snprintf(folder, sizeof folder, "/sys/devices/system/node/node%d/hugepages", i);
        pages p = pages_of(d, folder);
        if (p.known && (!best.known || p.free_mib > best.free_mib)) {
            best = p;
        }
    }
    return best.known ? best : pages_of(d, "/sys/kernel/mm/hugepages");
}

void cs_doctor_host_hugepages(cs_doctor *d, cs_doctor_line *l)
{
    if (local_run(d, l)) {
        return;
    }
    pages p = best_node(d);
    unsigned long long need = d->memory_mib, have = p.free_mib, all = p.all_mib;
    if (!p.known) {
        cs_doctor_report_say(l, CS_DOCTOR_FAIL, CS_E_NITRO_HUGEPAGES, "this kernel shows no huge pages");
    } else if (have >= need) {
        cs_doctor_report_say(l, CS_DOCTOR_OK, CS_OK,
                             "%llu MiB of huge pages are free on one node, the enclave takes %llu", have, need);
    } else if (d->enclave_runs && all >= need) {
        cs_doctor_report_say(l, CS_DOCTOR_OK, CS_OK, "%llu of %llu MiB of huge pages are free: an enclave runs", have,
                             all);
    } else if (all >= need) {
        cs_doctor_report_say(
            l, CS_DOCTOR_FAIL, CS_E_NITRO_HUGEPAGES,
            "%llu of %llu MiB of huge pages are free on one node, the enclave takes %llu: who holds the rest? "
            "(nitro-cli describe-enclaves)",
            have, all, need);
    } else {
        cs_doctor_report_say(
            l, CS_DOCTOR_FAIL, CS_E_NITRO_HUGEPAGES,
            "%llu MiB of huge pages on one node, the enclave takes %llu (the allocator may report success with "
            "less than it was asked for)",
            all, need);
    }
}

void cs_doctor_host_memory(cs_doctor *d, cs_doctor_line *l)
{
    if (!d->img.loaded || !d->img.is_eif) {
        cs_doctor_report_say(l, CS_DOCTOR_SKIP, CS_OK, "no enclave image to compare MEMORY_MIB with");
        return;
    }
    uint64_t need = (4 * d->img.size + MIB - 1) / MIB;
    bool enough = d->memory_mib >= need;
    cs_doctor_report_say(l, enough ? CS_DOCTOR_OK : CS_DOCTOR_FAIL, enough ? CS_OK : CS_E_NITRO_MEMORY,
                         "MEMORY_MIB is %llu; 4 times the image of %.1f MiB are %llu",
                         (unsigned long long)d->memory_mib, (double)d->img.size / (double)MIB,
                         (unsigned long long)need);
}

/* ---------------------------------------------------------------- clock, entropy */

/* Whether the kernel's clock is disciplined; a folder of tests has no clock. */
static bool synchronised(const cs_doctor *d)
{
    struct timex t = {0};

    return d->root[0] != '\0' || (adjtimex(&t) >= 0 && (t.status & STA_UNSYNC) == 0);
}

void cs_doctor_host_clock(cs_doctor *d, cs_doctor_line *l)
{
    char source[64];

    if (!line_of(source, sizeof source, d, CLOCKS) || source[0] == '\0') {
        cs_doctor_report_say(l, CS_DOCTOR_WARN, CS_E_HOST_CLOCK, "the kernel names no clock source");
        return;
    }
    bool good = strcmp(source, "kvm-clock") == 0 || strcmp(source, "tsc") == 0;
    bool sync = synchronised(d);
    if (!good && !d->local) {
        cs_doctor_report_say(l, CS_DOCTOR_WARN, CS_E_HOST_CLOCK,
                             "clock source %s; an EC2 instance has kvm-clock or tsc", source);
    } else if (!sync) {
        cs_doctor_report_say(l, CS_DOCTOR_WARN, CS_E_HOST_CLOCK, "clock source %s; nothing synchronises the clock",
                             source);
    } else {
        cs_doctor_report_say(l, CS_DOCTOR_OK, CS_OK, "clock source %s, synchronised", source);
    }
}

void cs_doctor_host_entropy(cs_doctor *d, cs_doctor_line *l)
{
    char source[64];
    uint64_t bits = 0;
    bool pool = number_of(&bits, d, ENTROPY);
    bool rng = line_of(source, sizeof source, d, HWRNG) && source[0] != '\0' && strcmp(source, "none") != 0;

    if (!pool || bits < ENTROPY_ENOUGH) {
        cs_doctor_report_say(l, CS_DOCTOR_WARN, CS_E_ENTROPY_LOW, "the kernel's pool holds %llu bits, %s",
                             (unsigned long long)bits, rng ? source : "and there is no hardware generator");
        return;
    }
    cs_doctor_report_say(l, CS_DOCTOR_OK, CS_OK, "the kernel's pool holds %llu bits; hardware generator: %s",
                         (unsigned long long)bits, rng ? source : "none (the CPU's instruction serves)");
}
