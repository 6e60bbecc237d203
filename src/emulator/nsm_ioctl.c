/* See nsm_ioctl.h. */
#include "emulator/nsm_ioctl.h"

#include <errno.h>
#include <string.h>

#include "emulator/nsm_model.h"

struct raw {
    uint64_t request_addr, request_len, response_addr, response_len;
};

_Static_assert(sizeof(struct raw) == CS_NSM_RAW_LEN, "the ioctl number carries the size");

static void fail(cs_nsm_ioctl *out, int error)
{
    out->act = CS_NSM_IOCTL_FAIL;
    out->error = error;
}

static struct iovec area(uint64_t addr, size_t len)
{
    return (struct iovec){.iov_base = (void *)(uintptr_t)addr, .iov_len = len};
}

/* The structure is known: ask for the request, and for both places that are written to. */
static void ask_for_buffers(cs_nsm_ioctl *out, void *arg, const struct raw *r)
{
    size_t room = r->response_len < CS_NSM_MAX_RESPONSE ? (size_t)r->response_len : CS_NSM_MAX_RESPONSE;

    out->act = CS_NSM_IOCTL_RETRY;
    out->in[0] = out->out[0] = area((uintptr_t)arg, CS_NSM_RAW_LEN);
    out->in[1] = area(r->request_addr, (size_t)r->request_len);
    out->out[1] = area(r->response_addr, room);
    out->num_in = r->request_len > 0 ? 2 : 1;
    out->num_out = room > 0 ? 2 : 1;
}

void cs_nsm_ioctl_next(cs_nsm_ioctl *out, uint32_t number, void *arg, cs_slice data, size_t out_len)
{
    cs_reader in = cs_reader_of(data);
    struct raw r;

    memset(out, 0, sizeof *out);
    if (number != CS_NSM_IOCTL_NUMBER) {
        fail(out, EINVAL);
        return;
    }
    if (data.len == 0) {
        out->act = CS_NSM_IOCTL_RETRY;
        out->in[0] = area((uintptr_t)arg, CS_NSM_RAW_LEN);
        out->num_in = 1;
        return;
    }
    if (cs_read_bytes(&in, out->raw, sizeof out->raw) != CS_OK) {
        fail(out, EINVAL);
        return;
    }
    memcpy(&r, out->raw, sizeof r);
    if (r.request_len > CS_NSM_MAX_REQUEST) {
        fail(out, EMSGSIZE);
        return;
    }
    if (out_len == 0) {
        ask_for_buffers(out, arg, &r);
        return;
    }
    if (in.left != r.request_len || out_len < CS_NSM_RAW_LEN) { /* the caller changed the structure between two steps */
        fail(out, EINVAL);
        return;
    }
    out->act = CS_NSM_IOCTL_CALL;
    out->request = cs_slice_of(in.p, in.left);
    out->room = out_len - CS_NSM_RAW_LEN;
}

size_t cs_nsm_ioctl_done(cs_nsm_ioctl *io, size_t response_len)
{
    struct raw r;

    memcpy(&r, io->raw, sizeof r);
    r.response_len = response_len < io->room ? response_len : io->room;
    memcpy(io->raw, &r, sizeof r);
    return (size_t)r.response_len;
}
