/*
 * Back end "namespace": the programs of the image itself, started by its own sign-init (emulator/ns_enclave.h). They dial the parent's
 * ports on AF_VSOCK, so that heartbeat and log need nothing but listeners; the heartbeat's is ours, as nitro-cli's is its own.
 */
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "emulator/nitro_cli.h"
#include "emulator/ns_enclave.h"

static cs_ns_enclave enclave;

int cs_nitro_vsock(uint32_t port)
{
    struct sockaddr_vm at = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = port};
    int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && (bind(fd, (const struct sockaddr *)&at, sizeof at) != 0 || listen(fd, 16) != 0)) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}

static bool beside(char out[CS_NITRO_PATH], const char *name)
{
    char self[CS_NITRO_PATH];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

    self[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (slash == NULL) {
        return false;
    }
    *slash = '\0';
    return snprintf(out, CS_NITRO_PATH, "%s/%s", self, name) < CS_NITRO_PATH;
}

static bool emulator_dir(char out[CS_NITRO_PATH])
{
    const char *control = getenv("NITRO_FAKE_NSM_CONTROL");
    const char *slash = control != NULL ? strrchr(control, '/') : NULL;

    return slash != NULL && snprintf(out, CS_NITRO_PATH, "%.*s", (int)(slash - control), control) < CS_NITRO_PATH;
}

static cs_err start(pid_t *out, const cs_nitro_vm *vm, int out_fd, bool heartbeat)
{
    char emulator[CS_NITRO_PATH], device[CS_NITRO_PATH];
    cs_ns_enclave_opts o = {.emulator = emulator,
                            .nsm_device = device,
                            .module_id = vm->id,
                            .role_arn = getenv("NITRO_FAKE_ROLE"),
                            .instance = getenv("NITRO_FAKE_INSTANCE"),
                            .debug = vm->debug,
                            .console_fd = out_fd,
                            .under = getenv("NITRO_FAKE_UNDER")};

    (void)heartbeat; /* whether it is heard was decided by who listens */
    if (!emulator_dir(emulator) || !beside(device, "nsm-device")) {
        (void)fprintf(stderr, "NITRO_FAKE_NSM_CONTROL must be the control socket of sign-emulator\n");
        return CS_E_USAGE;
    }
    CS_TRY(cs_ns_read_image(&o.eif, vm->eif));
    cs_err err = cs_ns_enclave_start(&enclave, &o);
    cs_ns_free_image(o.eif);
    if (err != CS_OK) {
        (void)fprintf(stderr, "%s: %s\n", cs_err_code(err), enclave.step);
        return err;
    }
    *out = enclave.pid;
    return CS_OK;
}

static void cleanup(const cs_nitro_vm *vm)
{
    (void)vm;
    cs_ns_enclave_cleanup(&enclave);
}

const cs_nitro_backend cs_nitro_backend_namespace = {"namespace", false, false, start, cleanup};

const cs_nitro_backend *cs_nitro_backend_chosen(void)
{
    static const cs_nitro_backend *const all[] = {&cs_nitro_backend_local, &cs_nitro_backend_namespace};
    const char *name = getenv("NITRO_FAKE_BACKEND");

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (strcmp(name != NULL && name[0] != '\0' ? name : "local", all[i]->name) == 0) {
            return all[i];
        }
    }
    (void)fprintf(stderr, "nitro-cli-emulated: NITRO_FAKE_BACKEND is local or namespace\n");
    exit(1);
}
