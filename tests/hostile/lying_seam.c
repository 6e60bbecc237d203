/*
 * A client that attacks: linked into signctl-lying in the place of src/party/seam.c, in no shipped program.
 * SIGNCTL_LIE=inside flips a bit of every M3 before it is sealed: a lie inside the protocol, which bans the pair.
 * SIGNCTL_LIE=wire flips a bit of the first sealed M3: what an attacker on the way could do; a retry signs.
 */
#include <stdlib.h>
#include <string.h>

#include "party/session.h"

#define M3_AT 137u /* field "at" of M3, specs mpc-wire.md 4 */

/* the mark that the symbol check looks for in shipped programs */
extern const char cs_lying_client[];
const char cs_lying_client[] = "signctl-lying";

static bool lies(const char *how)
{
    const char *lie = getenv("SIGNCTL_LIE");
    return lie != NULL && strcmp(lie, how) == 0;
}

void cs_party_seam_plain(uint8_t *plain, size_t len)
{
    if (plain[0] == CS_DATA_MSG && len == 1 + CS_MPC_M3_LEN && lies("inside")) {
        plain[1 + M3_AT + 31] ^= 1;
    }
}

void cs_party_seam_frame(uint8_t *frame, size_t len)
{
    static bool flipped;
    if (!flipped && len == 1 + CS_MPC_M3_LEN + CS_FRAME_OVERHEAD && lies("wire")) {
        flipped = true;
        frame[CS_FRAME_HEAD + 1000] ^= 1;
    }
}
