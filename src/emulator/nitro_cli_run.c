/* run-enclave: the command's side. The enclave's own process is nitro_cli_vm.c. See nitro_cli.h. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "emulator/nitro_cli.h"

/* As nitro-cli does on a clash: name, name_1, name_2, ... */
static void unique_name(cs_nitro_vm *vm, const cs_nitro_vm *all, size_t num)
{
    char base[100];

    (void)snprintf(base, sizeof base, "%.90s", vm->name);
    for (int k = 0; k < CS_NITRO_MAX + 1; k++) {
        bool taken = false;
        if (k > 0) {
            (void)snprintf(vm->name, sizeof vm->name, "%s_%d", base, k);
        }
        for (size_t i = 0; i < num; i++) {
            taken = taken || strcmp(all[i].name, vm->name) == 0;
        }
        if (!taken) {
            return;
        }
    }
}

static bool cid_taken(const cs_nitro_vm *all, size_t num, uint32_t cid)
{
    for (size_t i = 0; i < num; i++) {
        if (all[i].cid == cid) {
            return true;
        }
    }
    return false;
}

/* What nitro-cli and its driver check before anything starts; 0 or an exit status. */
static int admit(cs_nitro_vm *vm, const cs_nitro_vm *all, size_t num)
{
    cs_nitro_image image;
    char text[256];

    if (cs_nitro_image_read(&image, vm->eif) != CS_OK) {
        cs_nitro_image_free(&image);
        return cs_nitro_fail_wrapped(19, "File operation failure. Failed to open the EIF file.");
    }
    uint64_t least = (4 * image.bytes.len + (1 << 20) - 1) >> 20;
    memcpy(vm->pcr, image.pcr, sizeof vm->pcr);
    cs_nitro_image_free(&image);
    if (vm->memory_mib < least) {
        (void)snprintf(text, sizeof text,
                       "Insufficient memory requested. User provided `memory` is %llu MB, but based on the EIF file "
                       "size, the minimum memory should be %llu MB",
                       (unsigned long long)vm->memory_mib, (unsigned long long)least);
        return cs_nitro_fail_wrapped(26, text);
    }
    if (vm->cid != 0 && cid_taken(all, num, vm->cid)) {
        return cs_nitro_fail_wrapped(33,
                                     "Enclave start ioctl failure. Such error appears when the enclave could not be "
                                     "started: the requested CID is in use.");
    }
    for (uint32_t cid = 16; vm->cid == 0; cid++) {
        vm->cid = cid_taken(all, num, cid) ? 0 : cid;
    }
    unique_name(vm, all, num);
    vm->pid = getpid(); /* the name and the CID are taken from here on */
    return cs_nitro_save(vm) == CS_OK ? 0 : cs_nitro_fail(7, "File operation failure.");
}

/* The first line of the enclave's process: "OK", or "E36 text". */
static int outcome(int fd, bool *ok)
{
    char line[512] = "";
    size_t len = 0;
    ssize_t n;

    *ok = false;
    while (len < sizeof line - 1 && (n = read(fd, line + len, sizeof line - 1 - len)) > 0) {
        len += (size_t)n;
    }
    line[strcspn(line, "\n")] = '\0';
    if (strcmp(line, "OK") == 0) {
        *ok = true;
        return 0;
    }
    int code = line[0] == 'E' ? (int)strtol(line + 1, NULL, 10) : 0;
    if (code == 0) {
        (void)fprintf(stderr, "Failed connections: 1\n");
        return cs_nitro_fail(39, "Enclave process connection failure.");
    }
    return cs_nitro_fail_wrapped(code, line + 4);
}

static const char *fault_text(int code)
{
    static const struct {
        int code;
        const char *text;
    } rows[] = {
        {11, "Socket error. Such error appears when attempting to retrieve an enclave's CID and it has gone."},
        {19, "File operation failure. Failed to open device file: \"/dev/nitro_enclaves\"."},
        {21, "Requested CPU(s) not available in the pool."},
        {22, "Insufficient CPUs requested."},
        {27, "Insufficient memory available. User provided `memory` is more than the available hugepage memory."},
        {29, "Ioctl failure. Failed to create VM."},
        {31, "Ioctl failure: set memory region."},
        {32, "Ioctl failure: add vCPU."},
        {33, "Enclave start ioctl failure."},
        {35, "EIF parsing error."},
        {36, "Enclave boot failure. Such error appears when attempting to receive the `ready` signal from a freshly "
             "booted enclave."},
        {44, "Enclave console connection failure."},
        {58, "Enclave naming error."},
        {59, "EIF signature checker error. The signing certificate is not valid now."},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].code == code) {
            return rows[i].text;
        }
    }
    return "Unspecified error.";
}

static int fault_of(const char *fault)
{
    if (strcmp(fault, "hang") == 0) {
        (void)pause();
    }
    if (strcmp(fault, "bare") == 0) {
        (void)fprintf(stderr, "Failed connections: 1\n");
        return 39;
    }
    if (strcmp(fault, "garbage") == 0 || strcmp(fault, "empty") == 0) {
        (void)printf(fault[0] == 'g' ? "{\"EnclaveID\": 17, \"Encl" : "");
        return 0;
    }
    int code = fault[0] == 'E' ? (int)strtol(fault + 1, NULL, 10) : 0;
    return code > 3 ? cs_nitro_fail_wrapped(code, fault_text(code)) : cs_nitro_fail(code, fault_text(code));
}

static int start(cs_nitro_vm *vm, const char *fault)
{
    int result[2];
    bool ok = false;

    if (pipe2(result, O_CLOEXEC) != 0) {
        return cs_nitro_fail(4, "Socket pair creation failure.");
    }
    (void)fflush(NULL);
    vm->pid = fork();
    if (vm->pid == 0) {
        (void)close(result[0]);
        cs_nitro_vm_main(vm, fault, result[1]);
    }
    (void)close(result[1]);
    int status = vm->pid > 0 ? outcome(result[0], &ok) : cs_nitro_fail(5, "Process spawn failure.");
    (void)close(result[0]);
    return ok ? 0 : status;
}

int cs_nitro_run(cs_nitro_vm *vm, bool attach_console)
{
    cs_nitro_vm all[CS_NITRO_MAX];
    const char *fault = cs_nitro_fault("run-enclave");

    (void)attach_console;
    (void)fprintf(stderr, "Start allocating memory...\n");
    if (fault[0] != '\0' && strcmp(fault, "silent") != 0 && strcmp(fault, "die") != 0) {
        return fault_of(fault);
    }
    int lock = cs_nitro_lock();
    int status = admit(vm, all, cs_nitro_list(all));
    (void)close(lock);
    if (status != 0) {
        return status;
    }
    status = start(vm, fault);
    if (status != 0) {
        cs_nitro_remove(vm);
        return status;
    }
    (void)fprintf(stderr, "Started enclave with enclave-cid: %u, memory: %llu MiB, cpu-ids: [1, 3]\n", vm->cid,
                  (unsigned long long)vm->memory_mib);
    json_t *j = cs_nitro_describe(vm, false);
    (void)json_dumpf(j, stdout, JSON_INDENT(2));
    (void)putchar('\n');
    json_decref(j);
    return 0;
}
