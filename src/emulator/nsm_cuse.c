/*
 * nsm-device: /dev/nsm as a real character device, served by the NSM model through CUSE (character devices in user space). For
 * the boot test's guest only: a driver that opens the device sees the kernel's ioctl, with documents below the emulator's root.
 * One request at a time, as the real device.
 */
#define FUSE_USE_VERSION 31
#include <cuse_lowlevel.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/opts.h"
#include "base/text.h"
#include "emulator/nsm_ioctl.h"
#include "emulator/nsm_model.h"

struct device {
    cs_nsm_model model;
    cs_emu_cert root;
};

static void on_open(fuse_req_t req, struct fuse_file_info *fi)
{
    (void)fuse_reply_open(req, fi);
}

static void answer(fuse_req_t req, cs_nsm_model *m, cs_nsm_ioctl *io)
{
    static uint8_t mem[CS_NSM_MAX_RESPONSE];
    cs_buf response = cs_buf_wrap(mem, sizeof mem);

    if (cs_nsm_model_handle(m, io->request, &response) != CS_OK) {
        (void)fuse_reply_err(req, EIO);
        return;
    }
    size_t len = cs_nsm_ioctl_done(io, response.len);
    struct iovec iov[2] = {{.iov_base = io->raw, .iov_len = sizeof io->raw}, {.iov_base = mem, .iov_len = len}};
    (void)fuse_reply_ioctl_iov(req, 0, iov, len > 0 ? 2 : 1);
}

static void on_ioctl(fuse_req_t req, int cmd, void *arg, struct fuse_file_info *fi, unsigned flags, const void *in,
                     size_t in_len, size_t out_len)
{
    struct device *d = fuse_req_userdata(req);
    cs_nsm_ioctl io;

    (void)fi;
    if ((flags & FUSE_IOCTL_COMPAT) != 0) {
        (void)fuse_reply_err(req, ENOSYS); /* a 32-bit caller: another structure */
        return;
    }
    cs_nsm_ioctl_next(&io, (uint32_t)cmd, arg, cs_slice_of(in, in_len), out_len);
    switch (io.act) {
    case CS_NSM_IOCTL_RETRY:
        (void)fuse_reply_ioctl_retry(req, io.in, (size_t)io.num_in, io.num_out > 0 ? io.out : NULL, (size_t)io.num_out);
        return;
    case CS_NSM_IOCTL_CALL:
        answer(req, &d->model, &io);
        return;
    case CS_NSM_IOCTL_FAIL:
        (void)fuse_reply_err(req, io.error);
        return;
    }
}

/* The node is there: whoever started us may go on. */
static void on_ready(void *userdata)
{
    const struct device *d = userdata;

    printf("ready %s\n", d->model.module_id);
    (void)fflush(stdout);
}

static int serve(const cs_args *a, struct device *d)
{
    static const struct cuse_lowlevel_ops ops = {.open = on_open, .ioctl = on_ioctl, .init_done = on_ready};
    const char *info_args[1];
    char name[80];
    char program[] = "nsm-device", foreground[] = "-f";
    char *fuse_args[] = {program, foreground, NULL};
    int threads = 0;

    (void)snprintf(name, sizeof name, "DEVNAME=%s", cs_args_str(a, "name"));
    info_args[0] = name;
    struct cuse_info info = {.dev_info_argc = 1, .dev_info_argv = info_args, .flags = CUSE_UNRESTRICTED_IOCTL};
    struct fuse_session *s = cuse_lowlevel_setup(2, fuse_args, &info, &ops, &threads, d);
    if (s == NULL) {
        return cs_refuse(a, CS_E_NSM, false, "/dev/cuse cannot be used: the module cuse, and root, are needed");
    }
    int rc = fuse_session_loop(s);
    cuse_lowlevel_teardown(s);
    return rc < 0 ? 1 : 0; /* > 0: ended by a signal */
}

/* INDEX=HEX */
static cs_err set_pcr(cs_nsm_model *m, const char *text)
{
    const char *eq = strchr(text, '=');
    uint64_t index = 0;

    if (eq == NULL) {
        return CS_E_FORMAT;
    }
    CS_TRY(cs_parse_u64(cs_slice_of(text, (size_t)(eq - text)), 15, &index));
    return cs_hex_decode(m->pcr[index], CS_NSM_PCR_LEN, cs_slice_str(eq + 1));
}

static int run(const cs_args *a)
{
    static struct device d;
    const char *dir = cs_args_str(a, "emulator"), *module = cs_args_str(a, "module-id");

    cs_log_init("nsm-device", CS_LOG_INFO, 2);
    if (dir == NULL) {
        return cs_usage_error(a, "--emulator is required");
    }
    if (module[0] == '\0' || strlen(module) >= sizeof d.model.module_id || strlen(cs_args_str(a, "name")) > 64) {
        return cs_usage_error(a, "--module-id and --name have 1 to 64 characters");
    }
    cs_nsm_model_init(&d.model, module, &d.root);
    for (size_t i = 0; i < a->num_many; i++) {
        if (set_pcr(&d.model, a->many[i]) != CS_OK) {
            return cs_usage_error(a, "--pcr is INDEX=HEX: 0 to 15, 96 hex digits");
        }
    }
    cs_err err = cs_emu_cert_load(&d.root, dir, "nsm-root");
    if (err != CS_OK) {
        return cs_refuse(a, err, false, "the folder has no nsm-root of sign-emulator");
    }
    int status = serve(a, &d);
    cs_nsm_model_cleanup(&d.model);
    cs_emu_cert_cleanup(&d.root);
    return status;
}

static const cs_opt opts[] = {
    {"emulator", 'e', CS_OPT_STR, "DIR", "folder of sign-emulator, whose root signs the documents", NULL, NULL, 0, 0},
    {"module-id", 'm', CS_OPT_STR, "ID", "module id in documents", NULL, "i-1234567890abcdef0-enc0000000000000001", 0,
     0},
    {"pcr", 'p', CS_OPT_MANY, "N=HEX", "value of a PCR at the start (0 to 15; others are zero)", NULL, NULL, 0, 0},
    {"name", 0, CS_OPT_STR, "NAME", "name of the device below /dev", NULL, "nsm", 0, 0},
    {NULL, 0, CS_OPT_FLAG, NULL, NULL, NULL, NULL, 0, 0},
};

static const cs_cmd cmds[] = {
    {"", "--emulator DIR [--module-id ID] [--pcr N=HEX]...", "serve /dev/nsm in user space (CUSE)",
     "Prints `ready ID` when the device is there; ends on SIGTERM, and the device with it. For tests in a guest whose "
     "kernel has the\n"
     "module cuse.\n\n"
     "Example:\n  nsm-device --emulator emu --pcr 0=$PCR0 --pcr 1=$PCR1 --pcr 2=$PCR2",
     opts, 0, 0, run},
    {NULL, NULL, NULL, NULL, NULL, 0, 0, NULL},
};

int main(int argc, char **argv)
{
    return cs_cmd_main("nsm-device", "Nitro Security Module of the emulator as a character device", cmds, argc, argv);
}
