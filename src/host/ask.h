/* One question to the sign-host that holds a run directory. */
#ifndef CS_HOST_ASK_H
#define CS_HOST_ASK_H

#include "base/bytes.h"

/* cs_host_ask - sends one line of JSON, appends the answer's line. CS_E_NOT_RUNNING | CS_E_TIMEOUT | CS_E_CLOSED | CS_E_TOO_LARGE. */
CS_MUST cs_err cs_host_ask(cs_buf *answer, const char *dir, cs_slice line, uint32_t timeout_ms);
/* cs_host_answer - {"code","detail"} of an answer. CS_E_FORMAT: it is another document. */
CS_MUST cs_err cs_host_answer(cs_err *code, char detail[256], cs_slice json);

#endif
