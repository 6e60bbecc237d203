/* See measured.h. */
#include "base/measured.h"

#include <string.h>
#include <unistd.h>

#include "base/text.h"

#define FILE_MAX 4096
#define PATH_LEN 4096
#define PCR_LEN 48u
#define HEX_LEN (2u * PCR_LEN)

unsigned cs_measured_print(FILE *out, cs_slice text)
{
    static const unsigned registers[] = {0, 1, 2, 8};
    unsigned num = 0;

    for (size_t i = 0; i < sizeof registers / sizeof *registers; i++) {
        char name[16];
        uint8_t value[PCR_LEN];
        int n = snprintf(name, sizeof name, "\"PCR%u\"", registers[i]);
        const uint8_t *at = text.len > 0 ? memmem(text.p, text.len, name, (size_t)n) : NULL;
        size_t left = at != NULL ? text.len - (size_t)(at - text.p) - (size_t)n : 0, skip = 0;

        while (skip < left && skip < 8 && memchr(" :\t\n\"", at[(size_t)n + skip], 5) != NULL) {
            skip++;
        }
        const cs_slice hex = cs_slice_of(at != NULL ? at + n + skip : NULL, HEX_LEN);
        if (left >= skip + HEX_LEN && cs_hex_decode(value, sizeof value, hex) == CS_OK) {
            (void)fprintf(out, "PCR%u %.*s\n", registers[i], (int)HEX_LEN, (const char *)hex.p);
            num++;
        }
    }
    return num;
}

void cs_measured_version(FILE *out)
{
    char path[PATH_LEN], text[FILE_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 64);

    path[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(path, '/');
    if (slash == NULL) {
        return;
    }
    (void)snprintf(slash, 64, "/../share/countersign/pcrs.json"); /* so much room was kept */
    FILE *f = fopen(path, "re");
    if (f != NULL) {
        size_t len = fread(text, 1, sizeof text, f);
        (void)fclose(f);
        (void)cs_measured_print(out, cs_slice_of((const uint8_t *)text, len));
    }
}
