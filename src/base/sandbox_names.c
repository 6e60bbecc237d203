/* Names of system calls, of the C library's headers at build time (tools/dev/call-names). */
#include "base/sandbox.h"

static const struct {
    long number;
    const char *name;
} names[] = {
#include "call_names.h"
};

const char *cs_sandbox_call_name(long number)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (names[i].number == number) {
            return names[i].name;
        }
    }
    return "unknown";
}
