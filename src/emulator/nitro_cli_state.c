/*
 * What runs, as files DIR/nitro/ID.json; faults.
 *
 * NITRO_FAKE_FAIL, or the file DIR/nitro/fail: COMMAND:FAULT[:N] words separated by commas; N: only the first N times.
 *   E27         that error (of an enclave's process, so that the command itself ends with E39)
 *   silent      run-enclave: no heartbeat            die      run-enclave: the enclave ends right after its start
 *   garbage     not JSON on standard output          empty    nothing on it, exit status 0
 *   hang        never ends                           bare     exit status 39 without any E-code
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "emulator/nitro_cli.h"

const char *cs_nitro_dir(void)
{
    const char *dir = getenv("NITRO_FAKE_DIR");

    if (dir == NULL || dir[0] != '/' || strlen(dir) > 70) {
        (void)fprintf(stderr, "nitro-cli-emulated: NITRO_FAKE_DIR must be an absolute path of at most 70 bytes\n");
        exit(1);
    }
    return dir;
}

void cs_nitro_path(char out[CS_NITRO_PATH], const char *name)
{
    (void)snprintf(out, CS_NITRO_PATH, "%s/nitro", cs_nitro_dir());
    (void)mkdir(out, 0700);
    (void)snprintf(out, CS_NITRO_PATH, "%s/nitro/%s", cs_nitro_dir(), name);
}

int cs_nitro_lock(void)
{
    char path[CS_NITRO_PATH];

    cs_nitro_path(path, "lock");
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || flock(fd, LOCK_EX) != 0) {
        (void)fprintf(stderr, "nitro-cli-emulated: cannot lock %s\n", path);
        exit(1);
    }
    return fd;
}

static void state_path(char out[CS_NITRO_PATH], const cs_nitro_vm *vm)
{
    char name[80];

    (void)snprintf(name, sizeof name, "%s.json", vm->id);
    cs_nitro_path(out, name);
}

static bool load(cs_nitro_vm *vm, const char *path)
{
    static const char *const names[] = {"PCR0", "PCR1", "PCR2"};
    const char *id = NULL, *name = NULL, *eif = NULL, *pcr = NULL;
    json_int_t cid = 0, memory = 0, cpus = 0, pid = 0;
    int debug = 0;
    json_t *pcrs = NULL, *j = json_load_file(path, 0, NULL);
    bool ok = j != NULL &&
              json_unpack(j, "{s:s,s:s,s:s,s:I,s:I,s:I,s:I,s:b,s:o}", "id", &id, "name", &name, "eif", &eif, "cid",
                          &cid, "memory", &memory, "cpus", &cpus, "pid", &pid, "debug", &debug, "pcrs", &pcrs) == 0;

    *vm = (cs_nitro_vm){.cid = (uint32_t)cid,
                        .memory_mib = (uint64_t)memory,
                        .cpus = (uint64_t)cpus,
                        .pid = (pid_t)pid,
                        .debug = debug != 0};
    for (int i = 0; ok && i < 3; i++) {
        pcr = json_string_value(json_object_get(pcrs, names[i]));
        ok = pcr != NULL && cs_hex_decode(vm->pcr[i].b, CS_PCR_LEN, cs_slice_str(pcr)) == CS_OK;
    }
    if (ok) {
        (void)snprintf(vm->id, sizeof vm->id, "%s", id);
        (void)snprintf(vm->name, sizeof vm->name, "%s", name);
        (void)snprintf(vm->eif, sizeof vm->eif, "%s", eif);
    }
    json_decref(j);
    return ok;
}

size_t cs_nitro_list(cs_nitro_vm out[CS_NITRO_MAX])
{
    char dir[CS_NITRO_PATH], path[2 * CS_NITRO_PATH];
    size_t num = 0;

    cs_nitro_path(dir, "");
    DIR *d = opendir(dir);
    for (const struct dirent *e; d != NULL && num < CS_NITRO_MAX && (e = readdir(d)) != NULL;) {
        size_t len = strlen(e->d_name);
        if (len < 6 || strcmp(e->d_name + len - 5, ".json") != 0) {
            continue;
        }
        (void)snprintf(path, sizeof path, "%s%s", dir, e->d_name);
        if (!load(&out[num], path)) {
            continue;
        }
        if (kill(out[num].pid, 0) != 0 && errno == ESRCH) {
            (void)unlink(path);
            continue;
        }
        num++;
    }
    if (d != NULL) {
        (void)closedir(d);
    }
    return num;
}

cs_err cs_nitro_save(const cs_nitro_vm *vm)
{
    char path[CS_NITRO_PATH], tmp[CS_NITRO_PATH + 8];
    json_t *j =
        json_pack("{s:s,s:s,s:s,s:I,s:I,s:I,s:I,s:b,s:o}", "id", vm->id, "name", vm->name, "eif", vm->eif, "cid",
                  (json_int_t)vm->cid, "memory", (json_int_t)vm->memory_mib, "cpus", (json_int_t)vm->cpus, "pid",
                  (json_int_t)vm->pid, "debug", vm->debug ? 1 : 0, "pcrs", cs_nitro_measurements(vm->pcr));

    state_path(path, vm);
    (void)snprintf(tmp, sizeof tmp, "%s.new", path);
    bool ok = j != NULL && json_dump_file(j, tmp, 0) == 0 && rename(tmp, path) == 0;
    json_decref(j);
    return ok ? CS_OK : CS_E_IO;
}

void cs_nitro_remove(const cs_nitro_vm *vm)
{
    char path[CS_NITRO_PATH];

    state_path(path, vm);
    (void)unlink(path);
}

json_t *cs_nitro_describe(const cs_nitro_vm *vm, bool with_state)
{
    static const cs_pcr zero[3];
    json_t *ids = json_array();

    for (uint64_t i = 0; i < vm->cpus; i++) {
        (void)json_array_append_new(ids, json_integer((json_int_t)(2 * i + 1)));
    }
    json_t *j = json_pack("{s:s,s:s,s:I,s:I,s:I,s:o,s:I}", "EnclaveName", vm->name, "EnclaveID", vm->id, "ProcessID",
                          (json_int_t)vm->pid, "EnclaveCID", (json_int_t)vm->cid, "NumberOfCPUs", (json_int_t)vm->cpus,
                          "CPUIDs", ids, "MemoryMiB", (json_int_t)vm->memory_mib);
    if (j != NULL && with_state) {
        (void)json_object_set_new(j, "State", json_string("RUNNING"));
        (void)json_object_set_new(j, "Flags", json_string(vm->debug ? "DEBUG_MODE" : "NONE"));
        (void)json_object_set_new(j, "Measurements", cs_nitro_measurements(vm->debug ? zero : vm->pcr));
    }
    return j;
}

/* ---------------------------------------------------------------- faults */

/* Whether this one is still due; a limited one counts its uses in a file. */
static bool due(const char *word, const char *limit)
{
    char name[128], path[CS_NITRO_PATH];
    uint64_t max = 0;

    if (limit == NULL) {
        return true;
    }
    (void)snprintf(name, sizeof name, "count-%.100s", word);
    for (char *c = name; *c != '\0'; c++) {
        *c = (char)(*c == ':' || *c == '/' ? '-' : *c);
    }
    cs_nitro_path(path, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    off_t used = fd >= 0 ? lseek(fd, 0, SEEK_END) : 0;
    bool more = cs_parse_u64(cs_slice_str(limit), 1000, &max) == CS_OK && (uint64_t)used < max;
    if (fd >= 0) {
        (void)!write(fd, ".", more ? 1 : 0);
        (void)close(fd);
    }
    return more;
}

static void read_faults(char out[512])
{
    char path[CS_NITRO_PATH];
    const char *env = getenv("NITRO_FAKE_FAIL");

    out[0] = '\0';
    cs_nitro_path(path, "fail");
    FILE *f = fopen(path, "re");
    if (f != NULL) {
        if (fgets(out, 512, f) == NULL) {
            out[0] = '\0';
        }
        (void)fclose(f);
    } else if (env != NULL) {
        (void)snprintf(out, 512, "%s", env);
    }
    out[strcspn(out, "\n")] = '\0';
}

const char *cs_nitro_fault(const char *command)
{
    static char words[512], whole[512];
    char *save = NULL;

    read_faults(words);
    for (char *w = strtok_r(words, ",", &save); w != NULL; w = strtok_r(NULL, ",", &save)) {
        (void)snprintf(whole, sizeof whole, "%s", w);
        char *fault = strchr(w, ':');
        if (fault == NULL) {
            continue;
        }
        *fault++ = '\0';
        char *limit = strchr(fault, ':');
        if (limit != NULL) {
            *limit++ = '\0';
        }
        if (strcmp(w, command) == 0 && due(whole, limit)) {
            return fault;
        }
    }
    return "";
}

uint64_t cs_nitro_ms(const char *variable, uint64_t otherwise)
{
    uint64_t v = 0;
    const char *text = getenv(variable);

    return text != NULL && cs_parse_u64(cs_slice_str(text), 3600000, &v) == CS_OK ? v : otherwise;
}

int cs_nitro_fail(int code, const char *text)
{
    (void)fprintf(stderr,
                  "[ E%02d ] %s\n\nFor more details, please visit "
                  "https://docs.aws.amazon.com/enclaves/latest/user/cli-errors.html#E%02d\n",
                  code, text, code);
    return code;
}

int cs_nitro_fail_wrapped(int code, const char *text)
{
    (void)cs_nitro_fail(code, text);
    (void)fprintf(stderr, "Failed connections: 1\n");
    return cs_nitro_fail(39, "Enclave process connection failure. Such error appears when the enclave manager fails to "
                             "connect to at least one enclave process for retrieving the description information.");
}
