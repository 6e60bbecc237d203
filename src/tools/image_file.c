/* See image_file.h. */
#include "tools/image_file.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"
#include "tools/tool_file.h"

/* Images are no secrets: others may read them, as the umask says. */
static mode_t public_mode(void)
{
    const mode_t mask = umask(022);

    (void)umask(mask);
    return 0666 & ~mask;
}

static cs_err make_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char dir[4096];

    if (slash == NULL || slash == path) {
        return CS_OK;
    }
    if ((size_t)(slash - path) >= sizeof dir) {
        return CS_E_RANGE;
    }
    memcpy(dir, path, (size_t)(slash - path));
    dir[slash - path] = '\0';
    return mkdir(dir, 0777) == 0 || errno == EEXIST ? CS_OK : CS_E_IO;
}

cs_err cs_image_file_write(const char *path, cs_slice bytes)
{
    cs_tfile_out out = {0};
    cs_err err = make_folder(path);

    if (err == CS_OK) {
        err = cs_tfile_out_open(&out, path, false);
    }
    if (err == CS_OK && out.path != NULL && fchmod(fileno(out.file), public_mode()) != 0) {
        err = CS_E_IO;
    }
    if (err == CS_OK) {
        err = cs_tfile_out_write(&out, bytes);
    }
    if (err == CS_OK) {
        err = cs_tfile_out_commit(&out);
    }
    cs_tfile_out_close(&out);
    return err;
}

cs_err cs_image_print_measurements(FILE *out, const cs_pcr pcr[3], const cs_pcr *pcr8)
{
    char hex[2 * CS_PCR_LEN + 1];
    bool ok = fputs("{\n  \"Measurements\": {\n    \"HashAlgorithm\": \"Sha384 { ... }\"", out) >= 0;

    for (unsigned i = 0; i < 3; i++) {
        cs_hex_encode(hex, cs_slice_of(pcr[i].b, CS_PCR_LEN));
        ok = ok && fprintf(out, ",\n    \"PCR%u\": \"%s\"", i, hex) > 0;
    }
    if (pcr8 != NULL) {
        cs_hex_encode(hex, cs_slice_of(pcr8->b, CS_PCR_LEN));
        ok = ok && fprintf(out, ",\n    \"PCR8\": \"%s\"", hex) > 0;
    }
    ok = ok && fputs("\n  }\n}\n", out) >= 0 && fflush(out) == 0;
    return ok ? CS_OK : CS_E_IO;
}
