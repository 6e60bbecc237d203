/*
 * Target: cs_eth_tx_parse, cs_eth_address_parse, cs_u256_parse
 * An address that is accepted is accepted again in the form that is written.
 */
#include <stdlib.h>
#include <string.h>

#include "party/eth_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cs_slice in = cs_slice_of(size > 0 ? data : (const uint8_t *)"", size);
    cs_eth_addr a, again;
    cs_u256 v;
    char text[CS_ETH_ADDR_TEXT];
    cs_eth_tx_file f = {0};
    if (cs_eth_address_parse(&a, in) == CS_OK) {
        cs_eth_address_text(text, &a);
        if (cs_eth_address_parse(&again, cs_slice_str(text)) != CS_OK || memcmp(&a, &again, sizeof a) != 0) {
            abort();
        }
    }
    (void)!cs_u256_parse(&v, in);
    (void)!cs_eth_tx_parse(&f, in);
    cs_eth_tx_cleanup(&f);
    return 0;
}
