/* Values in conditions of IAM policies: numbers, dates, addresses. Pure. Source: IAM user guide, "Condition operators". */
#ifndef CS_NET_AWS_IAM_VALUE_H
#define CS_NET_AWS_IAM_VALUE_H

#include <stdbool.h>

/* cs_iam_number - decimal, no blanks, hexadecimal, infinity or NaN. */
bool cs_iam_number(const char *text, double *out);
/* cs_iam_date - ISO 8601 as IAM takes it (a date, or date and time in UTC), or seconds since 1970; in milliseconds. */
bool cs_iam_date(const char *text, double *out_ms);
/* cs_iam_ip - is it an address or a CIDR range? */
bool cs_iam_ip(const char *text);
/* cs_iam_ip_in - is the address `got` in the address or CIDR range `want`? False also when either is none. IPv4 and IPv6. */
bool cs_iam_ip_in(const char *want, const char *got);

#endif
