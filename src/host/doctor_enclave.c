/* What runs on this host now: asked like any client would, and believed only as far as its attestation document goes. See doctor.h. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "host/attested.h"
#include "host/doctor.h"
#include "host/host.h"

#define STEP_MS 3000u

static cs_err attested(cs_doctor *d)
{
    static cs_att_result result;
    cs_err err = cs_host_attested(&result, &d->grpc, d->nsm_root, cs_doctor_aws_left(d, STEP_MS));

    if (err == CS_OK) {
        d->enclave_attested = true;
        d->enclave_debug = result.debug;
        memcpy(d->enclave_pcr, result.claims.pcr, sizeof d->enclave_pcr);
    }
    return err;
}

void cs_doctor_enclave_look(cs_doctor *d, cs_doctor_line *l)
{
    char phase[32] = "", hex[2 * CS_PCR_LEN + 1], at[CS_EP_TEXT_MAX];
    cs_buf where = cs_buf_wrap(at, sizeof at - 1);
    int fd = -1;
    cs_err err =
        cs_endpoint_connect(&fd, &d->grpc, cs_doctor_aws_left(d, STEP_MS)); /* gRPC would dial again and again */

    if (err == CS_OK) {
        (void)close(fd);
        err = cs_host_status(NULL, phase, &d->grpc, cs_doctor_aws_left(d, STEP_MS));
    }
    at[cs_endpoint_format(&where, &d->grpc) == CS_OK ? where.len : 0] = '\0';
    if (err == CS_E_CONNECT && !d->grpc_given) {
        cs_doctor_report_say(l, CS_DOCTOR_SKIP, CS_OK,
                             "nothing listens at %s: no enclave runs, or its bridge is elsewhere", at);
        return;
    }
    if (err != CS_OK) {
        cs_doctor_report_say(l, CS_DOCTOR_FAIL, err, "no enclave answers at %s", at);
        return;
    }
    d->enclave_runs = true;
    err = attested(d);
    if (err != CS_OK) {
        cs_doctor_report_say(l, CS_DOCTOR_FAIL, err,
                             "an enclave answers at %s (%s), but its attestation does not verify", at, phase);
        return;
    }
    cs_hex_encode(hex, cs_slice_of(d->enclave_pcr[0].b, CS_PCR_LEN));
    bool serving = strcmp(phase, "SERVING") == 0;
    cs_doctor_report_say(l, serving ? CS_DOCTOR_OK : CS_DOCTOR_WARN, serving ? CS_OK : CS_E_NOT_SERVING,
                         "%s at %s, attested PCR0 %.16s...", phase, at, hex);
}

void cs_doctor_enclave_debug(cs_doctor *d, cs_doctor_line *l)
{
    if (d->enclave_attested && d->enclave_debug) {
        cs_doctor_report_say(l, CS_DOCTOR_FAIL, CS_E_ATT_DEBUG,
                             "the enclave that runs is in debug mode: this host can read it");
    } else if (d->img.loaded && cs_doctor_image_flag(&d->img, "core", "debugAllowed")) {
        cs_doctor_report_say(l, CS_DOCTOR_FAIL, CS_E_ATT_DEBUG,
                             "the image's configuration has enclave.debugAllowed: true");
    } else if (d->enclave_attested || d->img.loaded) {
        cs_doctor_report_say(
            l, CS_DOCTOR_OK, CS_OK, "%s%s%s", d->enclave_attested ? "the enclave that runs is in no debug mode" : "",
            d->enclave_attested && d->img.loaded ? "; " : "", d->img.loaded ? "the image unseals in none" : "");
    } else {
        cs_doctor_report_say(l, CS_DOCTOR_SKIP, CS_OK, "no enclave runs and there is no image");
    }
}

void cs_doctor_enclave_image(cs_doctor *d, cs_doctor_line *l)
{
    char why[CS_DOCTOR_TEXT - 60];
    unsigned differ = 0;

    if (!d->enclave_attested || !d->img.loaded) {
        cs_doctor_report_say(l, CS_DOCTOR_SKIP, CS_OK, "%s",
                             d->img.loaded ? "no attested enclave runs" : "no image to compare with");
        return;
    }
    if (d->enclave_debug) {
        cs_doctor_report_say(l, CS_DOCTOR_SKIP, CS_OK, "a debug enclave's PCRs are zeros");
        return;
    }
    for (unsigned i = 0; i < 3; i++) {
        differ |= memcmp(d->enclave_pcr[i].b, d->img.pcr[i].b, CS_PCR_LEN) != 0 ? 1u << i : 0;
    }
    if (differ == 0) {
        cs_doctor_report_say(l, CS_DOCTOR_OK, CS_OK,
                             "the enclave that runs is this image, as attested (PCR0, PCR1, PCR2)");
        return;
    }
    cs_doctor_image_explain(why, sizeof why, 7, differ);
    cs_doctor_report_say(l, CS_DOCTOR_WARN, CS_E_PCR_MISMATCH, "the enclave that runs is another image: %s", why);
}
