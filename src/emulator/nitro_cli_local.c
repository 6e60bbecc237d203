/*
 * Back end "local": the programs of this build stand for those in the image; its configuration and its measurements are the image's.
 * `sign-host run --driver local` plays sign-init in DIR/CID; its security module is asked for the PCRs of the image file by this process,
 * which stands between it and sign-emulator. DIR/CID/enclave-PORT.sock are the enclave's ports (DIR/enclave-PORT.sock: of the last one
 * started), DIR/parent-PORT.sock the parent's.
 */
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attest/eif_config.h"
#include "base/json_out.h"
#include "base/launch_table.h"
#include "emulator/nitro_cli.h"

#define NSM_MS 5000

static void vm_path(char out[CS_NITRO_PATH], const cs_nitro_vm *vm, const char *name)
{
    (void)snprintf(out, CS_NITRO_PATH, "%s/%u/%s", cs_nitro_dir(), vm->cid, name);
}

static void program(char out[CS_NITRO_PATH])
{
    char self[CS_NITRO_PATH - 16];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

    self[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (slash != NULL) {
        *slash = '\0';
    }
    (void)snprintf(out, CS_NITRO_PATH, "%s/sign-host", self);
}

/* ---------------------------------------------------------------- the image */

static cs_err write_file(const char *path, cs_slice bytes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool ok = fd >= 0 && write(fd, bytes.p, bytes.len) == (ssize_t)bytes.len;

    if (fd >= 0) {
        (void)close(fd);
    }
    return ok ? CS_OK : CS_E_IO;
}

/* Port `port` of the parent, as the programs in DIR/CID dial it. */
static void link_parent(const cs_nitro_vm *vm, uint64_t port)
{
    char at[CS_NITRO_PATH], to[64], name[64];

    (void)snprintf(name, sizeof name, "parent-%llu.sock", (unsigned long long)port);
    (void)snprintf(to, sizeof to, "../parent-%llu.sock", (unsigned long long)port);
    vm_path(at, vm, name);
    (void)unlink(at);
    (void)!symlink(to, at);
}

static void link_ports(const cs_nitro_vm *vm, cs_slice config)
{
    static const unsigned ports[] = {7100, 7101, 7102, 50051};
    uint64_t kms = CS_LAUNCH_PORT_KMS_PROXY, egress = CS_LAUNCH_PORT_EGRESS;
    char at[CS_NITRO_PATH], to[64];

    (void)!cs_eif_config_uint(&kms, config, "kms", "proxyPort");
    (void)!cs_eif_config_uint(&egress, config, "service", "egressPort");
    link_parent(vm, kms);
    link_parent(vm, egress);
    for (size_t i = 0; i < sizeof ports / sizeof *ports; i++) {
        (void)snprintf(at, sizeof at, "%s/enclave-%u.sock", cs_nitro_dir(), ports[i]);
        (void)snprintf(to, sizeof to, "%u/enclave-%u.sock", vm->cid, ports[i]);
        (void)unlink(at);
        (void)!symlink(to, at);
    }
}

static cs_err prepare(const cs_nitro_vm *vm)
{
    cs_nitro_image image;
    cs_slice config;
    char path[CS_NITRO_PATH];
    cs_err err = cs_nitro_image_read(&image, vm->eif);

    if (err == CS_OK) {
        err = image.parsed;
    }
    if (err == CS_OK) {
        err = cs_eif_config(&config, &image.eif);
    }
    if (err == CS_OK) {
        vm_path(path, vm, "config.cbor");
        err = write_file(path, config);
    }
    if (err == CS_OK) {
        link_ports(vm, config);
    }
    cs_nitro_image_free(&image);
    return err;
}

/* ---------------------------------------------------------------- the process */

static void say_heartbeat(void)
{
    char path[CS_NITRO_PATH];
    uint8_t byte = 0xb7;

    (void)snprintf(path, sizeof path, "%s/parent-9000.sock", cs_nitro_dir());
    int fd = cs_nitro_connect(path);
    if (fd < 0 || write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1 || byte != 0xb7) {
        _exit(1);
    }
    (void)close(fd);
}

static void build_image(const char *host, const char *config, const char *image)
{
    pid_t pid = fork();
    int status = 0;

    if (pid == 0) {
        (void)execl(host, "sign-host", "image", "build", "--config", config, image, (char *)NULL);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
        _exit(1);
    }
}

static _Noreturn void become(const cs_nitro_vm *vm, bool heartbeat)
{
    char host[CS_NITRO_PATH], config[CS_NITRO_PATH], image[CS_NITRO_PATH], dir[CS_NITRO_PATH], nsm[CS_NITRO_PATH],
        listen[CS_NITRO_PATH + 8], grpc[CS_NITRO_PATH];

    program(host);
    vm_path(config, vm, "config.cbor");
    vm_path(image, vm, "image");
    vm_path(nsm, vm, "nsm.sock");
    vm_path(grpc, vm, "enclave-50051.sock");
    (void)snprintf(dir, sizeof dir, "%s/%u", cs_nitro_dir(), vm->cid);
    (void)snprintf(listen, sizeof listen, "unix:%s", grpc);
    if (heartbeat) {
        say_heartbeat(); /* before any program of ours, as AWS's init does */
    }
    (void)clearenv();
    (void)setenv("KMS_PROXY_ENABLE", "0", 1);
    build_image(host, config, image);
    (void)execl(host, "sign-host", "run", "--driver", "local", "--image", image, "--dir", dir, "--nsm-control", nsm,
                "--listen", listen, "--egress", "none", "--no-preload", "--verbose", (char *)NULL);
    _exit(127);
}

static cs_err start(pid_t *out, const cs_nitro_vm *vm, int out_fd, bool heartbeat)
{
    pid_t parent = getpid();

    CS_TRY(prepare(vm));
    pid_t pid = fork();
    if (pid == 0) {
        (void)setpgid(0, 0);
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent || dup2(out_fd, STDOUT_FILENO) < 0 || dup2(out_fd, STDERR_FILENO) < 0) {
            _exit(127);
        }
        become(vm, heartbeat);
    }
    (void)setpgid(pid, pid);
    *out = pid;
    return pid > 0 ? CS_OK : CS_E_LAUNCH;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    (void)remove(path);
    return 0;
}

static void cleanup(const cs_nitro_vm *vm)
{
    static const unsigned ports[] = {7100, 7101, 7102, 50051};
    char path[CS_NITRO_PATH], to[64] = "", mine[64];

    for (size_t i = 0; i < sizeof ports / sizeof *ports; i++) {
        (void)snprintf(path, sizeof path, "%s/enclave-%u.sock", cs_nitro_dir(), ports[i]);
        (void)snprintf(mine, sizeof mine, "%u/enclave-%u.sock", vm->cid, ports[i]);
        ssize_t n = readlink(path, to, sizeof to - 1);
        to[n > 0 ? n : 0] = '\0';
        if (strcmp(to, mine) == 0) {
            (void)unlink(path);
        }
    }
    (void)snprintf(path, sizeof path, "%s/%u", cs_nitro_dir(), vm->cid);
    (void)nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

const cs_nitro_backend cs_nitro_backend_local = {"local", true, true, start, cleanup};

/* ---------------------------------------------------------------- the security module */

static bool read_line(int fd, char *line, size_t cap)
{
    size_t len = 0;

    while (len < cap - 1 && memchr(line, '\n', len) == NULL) {
        struct pollfd p = {fd, POLLIN, 0};
        ssize_t n = poll(&p, 1, NSM_MS) == 1 ? read(fd, line + len, cap - 1 - len) : -1;
        if (n <= 0) {
            return false;
        }
        len += (size_t)n;
    }
    line[len] = '\0';
    return true;
}

static cs_err create_line(cs_buf *line, const cs_nitro_vm *vm)
{
    static const char *const index[] = {"0", "1", "2"};
    cs_jw w = cs_jw_begin(line);

    cs_jw_object(&w, NULL);
    cs_jw_cstr(&w, "op", "create");
    cs_jw_cstr(&w, "module_id", vm->id);
    cs_jw_object(&w, "pcrs");
    for (int i = 0; i < 3; i++) {
        cs_jw_hex(&w, index[i], cs_slice_of(vm->pcr[i].b, CS_PCR_LEN));
    }
    cs_jw_close_object(&w);
    cs_jw_bool(&w, "debug", vm->debug); /* zeros for PCR0, 1 and 2 */
    cs_jw_close_object(&w);
    CS_TRY(cs_jw_end(&w));
    return cs_put_u8(line, '\n');
}

void cs_nitro_local_nsm(const cs_nitro_vm *vm, int fd_take)
{
    static unsigned kept; /* both ends stay open as long as the enclave: closing one ends its security module */
    const char *control = getenv("NITRO_FAKE_NSM_CONTROL");
    uint8_t mem[1024];
    char line[1024] = "";
    cs_buf mine = cs_buf_wrap(mem, sizeof mem);

    int up = fd_take >= 0 && control != NULL && kept < 8 ? cs_nitro_connect(control) : -1;
    bool ok = up >= 0 && read_line(fd_take, line, sizeof line) && create_line(&mine, vm) == CS_OK &&
              write(up, mine.p, mine.len) == (ssize_t)mine.len;
    memset(line, 0, sizeof line);
    if (ok && read_line(up, line, sizeof line) && write(fd_take, line, strlen(line)) > 0) {
        kept++;
        return;
    }
    (void)fprintf(stderr, "no security module: is NITRO_FAKE_NSM_CONTROL the control socket of sign-emulator?\n");
    (void)close(up);
    (void)close(fd_take);
}
