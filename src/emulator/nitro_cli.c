/* nitro-cli-emulated: commands. See nitro_cli.h. */
#include "emulator/nitro_cli.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/opts.h"
#include "base/text.h"

#define CID_MAX 0xfffffffeu

/* Waits and answers what a fault asks for; -1: go on. */
static int faulty(const char *command)
{
    const char *fault = cs_nitro_fault(command);

    (void)poll(NULL, 0, (int)cs_nitro_ms("NITRO_FAKE_DELAY_MS", 0));
    if (strcmp(fault, "hang") == 0) {
        (void)pause();
    }
    if (strcmp(fault, "garbage") == 0) {
        (void)printf("[{\"EnclaveName\": ");
        return 0;
    }
    if (strcmp(fault, "empty") == 0) {
        return 0;
    }
    if (strcmp(fault, "bare") == 0) {
        (void)fprintf(stderr, "Failed connections: 1\n");
        return 39;
    }
    return fault[0] == 'E' ? cs_nitro_fail_wrapped((int)strtol(fault + 1, NULL, 10), "Injected failure.") : -1;
}

/* MiB, or a number with M, G or T. */
static bool parse_memory(uint64_t *out, const char *text)
{
    char digits[24];
    size_t len = strlen(text);
    uint64_t unit = 1;

    if (len == 0 || len >= sizeof digits) {
        return false;
    }
    memcpy(digits, text, len + 1);
    switch (digits[len - 1]) {
    case 'T':
        unit = 1024 * 1024;
        break;
    case 'G':
        unit = 1024;
        break;
    default:
        break;
    }
    if (digits[len - 1] == 'M' || unit != 1) {
        digits[len - 1] = '\0';
    }
    bool ok = cs_parse_u64(cs_slice_str(digits), (uint64_t)1 << 30, out) == CS_OK;
    *out *= unit;
    return ok;
}

static bool set_number(uint64_t *out, const char *text, uint64_t max)
{
    return text == NULL || cs_parse_u64(cs_slice_str(text), max, out) == CS_OK;
}

/* The JSON file of --config; names as nitro-cli's. */
static int from_config(cs_nitro_vm *vm, const char *path)
{
    const char *eif = NULL, *name = NULL;
    json_int_t cid = 0, memory = 0, cpus = 0;
    int debug = 0, attach = 0;
    json_t *ids = NULL, *j = json_load_file(path, 0, NULL);

    if (j == NULL || json_unpack(j, "{s:s,s?I,s:I,s?I,s?o,s?b,s?b,s?s !}", "eif_path", &eif, "enclave_cid", &cid,
                                 "memory_mib", &memory, "cpu_count", &cpus, "cpu_ids", &ids, "debug_mode", &debug,
                                 "attach_console", &attach, "enclave_name", &name) != 0) {
        json_decref(j);
        return cs_nitro_fail(17, "Serde error. Such error appears when the configuration file is not valid.");
    }
    (void)snprintf(vm->eif, sizeof vm->eif, "%s", eif);
    (void)snprintf(vm->name, sizeof vm->name, "%s", name != NULL ? name : "");
    vm->cid = (uint32_t)cid;
    vm->memory_mib = (uint64_t)memory;
    vm->cpus = cpus > 0 ? (uint64_t)cpus : json_array_size(ids);
    vm->debug = debug != 0 || attach != 0;
    json_decref(j);
    return 0;
}

static int from_flags(cs_nitro_vm *vm, const cs_args *a)
{
    const char *eif = cs_args_str(a, "eif-path"), *memory = cs_args_str(a, "memory"),
               *cpus = cs_args_str(a, "cpu-count"), *name = cs_args_str(a, "enclave-name");
    uint64_t cid = 0;

    if (eif == NULL || memory == NULL || (cpus == NULL && cs_args_str(a, "cpu-ids") == NULL)) {
        return cs_nitro_fail(1, "Missing mandatory argument: --eif-path, --memory and one of --cpu-count, --cpu-ids.");
    }
    if (cpus != NULL && cs_args_str(a, "cpu-ids") != NULL) {
        return cs_nitro_fail(2, "Conflicting arguments: --cpu-count and --cpu-ids.");
    }
    vm->cpus = 2;
    if (!parse_memory(&vm->memory_mib, memory) || !set_number(&vm->cpus, cpus, 1024) ||
        !set_number(&cid, cs_args_str(a, "enclave-cid"), CID_MAX) || (cid > 0 && cid < 4)) {
        return cs_nitro_fail(3, "Invalid argument provided.");
    }
    vm->cid = (uint32_t)cid;
    vm->debug = cs_args_flag(a, "debug-mode") || cs_args_flag(a, "attach-console");
    (void)snprintf(vm->eif, sizeof vm->eif, "%s", eif);
    (void)snprintf(vm->name, sizeof vm->name, "%s", name != NULL ? name : "");
    return 0;
}

static int cmd_run(const cs_args *a)
{
    cs_nitro_vm vm = {0};
    struct timespec now;
    const char *config = cs_args_str(a, "config");
    int status = config != NULL ? from_config(&vm, config) : from_flags(&vm, a);

    if (status != 0) {
        return status;
    }
    if (vm.name[0] == '\0') { /* the file's name without its last extension */
        const char *base = strrchr(vm.eif, '/') != NULL ? strrchr(vm.eif, '/') + 1 : vm.eif;
        (void)snprintf(vm.name, sizeof vm.name, "%.*s", (int)strcspn(base, "."), base);
    }
    (void)poll(NULL, 0, (int)cs_nitro_ms("NITRO_FAKE_DELAY_MS", 0));
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)snprintf(vm.id, sizeof vm.id, "i-1234567890abcdef0-enc%08lx%08lx", (unsigned long)now.tv_sec & 0xffffffff,
                   (unsigned long)now.tv_nsec ^ (unsigned long)getpid());
    return cs_nitro_run(&vm, cs_args_flag(a, "attach-console"));
}

static const cs_nitro_vm *find(const cs_nitro_vm *all, size_t num, const cs_args *a)
{
    const char *id = cs_args_str(a, "enclave-id"), *name = cs_args_str(a, "enclave-name");

    for (size_t i = 0; i < num; i++) {
        if ((id != NULL && strcmp(all[i].id, id) == 0) ||
            (id == NULL && name != NULL && strcmp(all[i].name, name) == 0)) {
            return &all[i];
        }
    }
    return NULL;
}

static void print_terminated(const cs_nitro_vm *vm)
{
    json_t *j = json_pack("{s:s,s:s,s:b}", "EnclaveName", vm->name, "EnclaveID", vm->id, "Terminated", 1);

    (void)fprintf(stderr, "Successfully terminated enclave %s.\n", vm->id);
    (void)json_dumpf(j, stdout, JSON_INDENT(2));
    (void)putchar('\n');
    json_decref(j);
}

static int cmd_terminate(const cs_args *a)
{
    cs_nitro_vm all[CS_NITRO_MAX];
    int status = faulty("terminate-enclave");
    size_t num = cs_nitro_list(all);

    if (status >= 0) {
        return status;
    }
    if (cs_args_flag(a, "all")) {
        for (size_t i = 0; i < num; i++) {
            if (cs_nitro_ask(&all[i], "terminate", STDERR_FILENO) == CS_OK) {
                print_terminated(&all[i]);
            }
        }
        return 0;
    }
    if (cs_args_str(a, "enclave-id") == NULL && cs_args_str(a, "enclave-name") == NULL) {
        return cs_nitro_fail(1, "Missing mandatory argument: one of --enclave-id, --enclave-name, --all.");
    }
    const cs_nitro_vm *vm = find(all, num, a);
    if (vm == NULL && cs_args_str(a, "enclave-id") == NULL) {
        return cs_nitro_fail(58, "Enclave naming error. The enclave name does not exist.");
    }
    if (vm == NULL || cs_nitro_ask(vm, "terminate", STDERR_FILENO) != CS_OK) {
        return cs_nitro_fail(11, "Socket error. Such error appears when the enclave process is not there.");
    }
    print_terminated(vm);
    return 0;
}

static int cmd_describe(const cs_args *a)
{
    cs_nitro_vm all[CS_NITRO_MAX];
    int status = faulty("describe-enclaves");
    json_t *list = json_array();

    if (status >= 0) {
        json_decref(list);
        return status;
    }
    size_t num = cs_nitro_list(all);
    for (size_t i = 0; i < num; i++) {
        json_t *j = cs_nitro_describe(&all[i], true);
        if (cs_args_flag(a, "metadata")) {
            (void)json_object_set_new(j, "ImageName", json_string("sign-service"));
        }
        (void)json_array_append_new(list, j);
    }
    (void)json_dumpf(list, stdout, JSON_INDENT(2));
    (void)putchar('\n');
    json_decref(list);
    return 0;
}

static int cmd_console(const cs_args *a)
{
    cs_nitro_vm all[CS_NITRO_MAX];
    int status = faulty("console");
    uint64_t seconds = 0;

    if (status >= 0) {
        return status;
    }
    const cs_nitro_vm *vm = find(all, cs_nitro_list(all), a);
    if (vm == NULL) {
        return cs_nitro_fail(cs_args_str(a, "enclave-id") != NULL ? 11 : 58, "There is no such enclave.");
    }
    if (!vm->debug) {
        return cs_nitro_fail(44, "Enclave console connection failure. Such error appears when the Nitro CLI process "
                                 "fails to establish a connection to a running enclave's console: it was not started "
                                 "in debug mode.");
    }
    if (set_number(&seconds, cs_args_str(a, "disconnect-timeout"), 86400) && seconds > 0) {
        (void)alarm((unsigned)seconds);
        (void)signal(SIGALRM, SIG_DFL);
    }
    (void)fprintf(stderr, "Connecting to the console for enclave %u...\nSuccessfully connected to the console.\n",
                  vm->cid);
    return cs_nitro_ask(vm, "console", STDOUT_FILENO) == CS_OK ? 0 : cs_nitro_fail(44, "The console has gone.");
}

static int cmd_describe_eif(const cs_args *a)
{
    if (cs_args_str(a, "eif-path") == NULL) {
        return cs_nitro_fail(1, "Missing mandatory argument: --eif-path.");
    }
    return cs_nitro_describe_eif(cs_args_str(a, "eif-path"));
}

#define TEXT(name_, arg_, help_)                                                                                       \
    {                                                                                                                  \
        .name = (name_), .kind = CS_OPT_STR, .arg = (arg_), .help = (help_)                                            \
    }
static const cs_opt run_opts[] = {
    TEXT("eif-path", "FILE", "image"),
    TEXT("memory", "MIB", "memory, MiB or with M, G, T"),
    TEXT("cpu-count", "N", "vCPUs"),
    TEXT("cpu-ids", "LIST", "vCPUs by number"),
    TEXT("enclave-cid", "CID", "context id; 0: any"),
    TEXT("enclave-name", "NAME", "default: name of the image"),
    TEXT("config", "FILE", "JSON with all of these"),
    {.name = "debug-mode", .kind = CS_OPT_FLAG, .help = "console readable, PCRs zero"},
    {.name = "attach-console", .kind = CS_OPT_FLAG, .help = "implies --debug-mode"},
    {0},
};
static const cs_opt which_opts[] = {
    TEXT("enclave-id", "ID", "by id"),
    TEXT("enclave-name", "NAME", "by name"),
    {.name = "all", .kind = CS_OPT_FLAG, .help = "every one"},
    {0},
};
static const cs_opt console_opts[] = {
    TEXT("enclave-id", "ID", "by id"),
    TEXT("enclave-name", "NAME", "by name"),
    TEXT("disconnect-timeout", "S", "give up after this time"),
    {0},
};
static const cs_opt describe_opts[] = {{.name = "metadata", .kind = CS_OPT_FLAG, .help = "with image name"}, {0}};
static const cs_opt eif_opts[] = {TEXT("eif-path", "FILE", "image"), {0}};

static const cs_cmd commands[] = {
    {.name = "run-enclave", .summary = "start an enclave", .opts = run_opts, .run = cmd_run},
    {.name = "terminate-enclave", .summary = "end an enclave", .opts = which_opts, .run = cmd_terminate},
    {.name = "describe-enclaves", .summary = "list enclaves", .opts = describe_opts, .run = cmd_describe},
    {.name = "console", .summary = "read an enclave's console", .opts = console_opts, .run = cmd_console},
    {.name = "describe-eif", .summary = "describe an image", .opts = eif_opts, .run = cmd_describe_eif},
    {0},
};

int main(int argc, char **argv)
{
    return cs_cmd_main("nitro-cli-emulated", "AWS's nitro-cli as tests need it; never installed", commands, argc, argv);
}
