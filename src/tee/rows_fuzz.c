/*
 * Target: cs_tee_page_read
 * A page of a gateway that lies: what is accepted has valid records, at most as many as were asked for.
 */
#include <stdlib.h>

#include "tee/rows.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint32_t limit = size > 0 ? data[0] % 5u : 0;
    cs_tee_page page = {0};

    if (cs_tee_page_read(&page, cs_slice_of(data, size), limit) == CS_OK) {
        for (size_t i = 0; i < page.num_rows; i++) {
            if (page.num_rows > limit || !cs_tee_record_valid(page.rows[i].record) || page.rows[i].version == 0) {
                abort();
            }
        }
    }
    cs_tee_page_free(&page);
    return 0;
}
