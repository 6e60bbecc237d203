/* /dev/nsm as sign-init uses it: random bytes for the kernel's pool, and the PCRs. See init.h. */
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/text.h"
#include "init/init.h"
#include "init/nsm_codec.h"

#define SEED_BYTES 256u
#define SEED_TRIES 64
#define DEVICE_WAIT_MS 1000 /* a driver may find its device a moment after it was loaded */
#define DEVICE_STEP_MS 20

struct nsm_raw {
    uint64_t request, request_len, response, response_len;
};
_Static_assert(sizeof(struct nsm_raw) == 32, "the ioctl number carries the size");

static uint8_t answer[CS_INIT_NSM_RESPONSE_MAX]; /* always the full size: the driver cuts silently */

static cs_err fail(cs_init *in, cs_err err, const char *why, int number)
{
    in->why = why;
    in->why_errno = number;
    return err;
}

cs_err cs_init_open_nsm(cs_init *in)
{
    for (int waited = 0; in->nsm < 0 && waited <= DEVICE_WAIT_MS; waited += DEVICE_STEP_MS) {
        in->nsm = open("/dev/nsm", O_RDWR | O_CLOEXEC);
        if (in->nsm < 0) {
            int why = errno;
            (void)poll(NULL, 0, DEVICE_STEP_MS);
            errno = why;
        }
    }
    return in->nsm >= 0 ? CS_OK : fail(in, CS_E_NSM, "/dev/nsm cannot be opened", errno);
}

static cs_err ask(cs_init *in, cs_slice request, cs_slice *out)
{
    struct nsm_raw raw = {(uint64_t)(uintptr_t)request.p, request.len, (uint64_t)(uintptr_t)answer, sizeof answer};
    int rc;

    do {
        rc = ioctl(in->nsm, CS_INIT_NSM_IOCTL, &raw);
    } while (rc != 0 && errno == EINTR);
    if (rc != 0 || raw.response_len > sizeof answer) {
        return fail(in, CS_E_NSM, "the ioctl of /dev/nsm failed", rc != 0 ? errno : 0);
    }
    *out = cs_slice_of(answer, (size_t)raw.response_len);
    return CS_OK;
}

/* The seed, as the kernel takes it. */
struct pool {
    int entropy_count, buf_size;
    uint8_t bytes[SEED_BYTES + CS_INIT_NSM_RANDOM_MAX];
};

static cs_err collect(cs_init *in, cs_buf *seed)
{
    uint8_t mem[32];

    for (int i = 0; i < SEED_TRIES && seed->len < SEED_BYTES; i++) {
        cs_buf request = cs_buf_wrap(mem, sizeof mem);
        cs_slice response;

        CS_TRY(cs_init_put_get_random(&request));
        CS_TRY(ask(in, cs_buf_slice(&request), &response));
        cs_err err = cs_init_read_random(seed, response);
        if (err != CS_OK) {
            return fail(in, err, "GetRandom of the security module", 0);
        }
    }
    return seed->len >= SEED_BYTES ? CS_OK : fail(in, CS_E_ENTROPY, "GetRandom gives too few bytes", 0);
}

cs_err cs_init_seed(cs_init *in)
{
    static struct pool pool;
    cs_buf seed = cs_buf_wrap(pool.bytes, sizeof pool.bytes);
    int fd = open("/dev/random", O_RDWR | O_CLOEXEC), why = errno;
    uint8_t draw;
    cs_err err = fd >= 0 ? collect(in, &seed) : fail(in, CS_E_ENTROPY, "/dev/random cannot be opened", why);

    if (err == CS_OK) {
        pool.buf_size = (int)seed.len;
        pool.entropy_count = (int)(seed.len * 8);
        if (ioctl(fd, RNDADDENTROPY, &pool) != 0) {
            err = fail(in, CS_E_ENTROPY, "RNDADDENTROPY", errno);
        } else if (getrandom(&draw, 1, GRND_NONBLOCK) != 1) {
            err = fail(in, CS_E_ENTROPY, "the kernel's pool is not ready", errno);
        }
    }
    if (err == CS_OK) {
        cs_log(CS_LOG_INFO, "entropy", CS_LU("bytes", seed.len));
    }
    explicit_bzero(&pool, sizeof pool);
    explicit_bzero(answer, sizeof answer);
    if (fd >= 0) {
        (void)close(fd);
    }
    return err;
}

cs_err cs_init_say_measured(cs_init *in)
{
    uint8_t pcr[3][CS_INIT_PCR_BYTES], mem[64];

    for (unsigned i = 0; i < 3; i++) {
        cs_buf request = cs_buf_wrap(mem, sizeof mem);
        cs_slice response;

        CS_TRY(cs_init_put_describe_pcr(&request, i));
        CS_TRY(ask(in, cs_buf_slice(&request), &response));
        if (cs_init_read_pcr(pcr[i], response) != CS_OK) {
            return fail(in, CS_E_NSM, "DescribePCR of the security module", 0);
        }
    }
    cs_log(CS_LOG_INFO, "measured", CS_LHEX("pcr0", cs_slice_of(pcr[0], sizeof pcr[0])),
           CS_LHEX("pcr1", cs_slice_of(pcr[1], sizeof pcr[1])), CS_LHEX("pcr2", cs_slice_of(pcr[2], sizeof pcr[2])));
    return CS_OK;
}
