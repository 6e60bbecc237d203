/* A JSON object for people. */
#ifndef CS_TOOLS_JSON_LINES_H
#define CS_TOOLS_JSON_LINES_H

#include "base/bytes.h"

/* cs_json_print - one object on standard output: as it is in a line, or (lines) as lines "name value", what is nested as JSON. CS_E_IO | CS_E_FORMAT. */
CS_MUST cs_err cs_json_print(cs_slice json, bool lines);

#endif
