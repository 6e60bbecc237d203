/* AWS's regions by name: which text may be one, and what hangs on its prefix. Pure; no list of regions that would be out of date. */
#ifndef CS_NET_AWS_REGION_H
#define CS_NET_AWS_REGION_H

#include <stdbool.h>

/* cs_aws_region_valid - has the form of a region's name: words of small letters, then a number, with '-' between (us-east-1); at most
 * 32 characters. Safe in host names. */
bool cs_aws_region_valid(const char *region);
/* cs_aws_suffix - of the host names of its services, e.g. "amazonaws.com"; that of the common partition for an unknown prefix. */
const char *cs_aws_suffix(const char *region);
/* cs_aws_partition - of its ARNs, e.g. "aws". */
const char *cs_aws_partition(const char *region);

#endif
