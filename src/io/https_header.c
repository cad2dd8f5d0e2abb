/* SPDX-License-Identifier: Apache-2.0 */
#include "io/https_priv.h"

#include <string.h>

enum {
	DATE_MAX = 64
};

struct wall_time https_date(struct sv value)
{
	const struct wall_time none = { 0 };
	char text[DATE_MAX];
	time_t at;

	value = sv_trim(value);
	/* All forms begin with the day of the week; curl_getdate() would take many others. */
	if (value.len >= sizeof(text) || sv_find_char(value, ' ') < 3 ||
		memchr(value.ptr, '\0', value.len) || (value.ptr[0] >= '0' && value.ptr[0] <= '9'))
		return none;
	memcpy(text, value.ptr, value.len);
	text[value.len] = '\0';
	at = curl_getdate(text, NULL);
	if (at <= 0 || at > INT64_MAX / (int64_t)US_PER_S)
		return none;
	return (struct wall_time){ (int64_t)at * (int64_t)US_PER_S };
}

uint64_t https_retry_after(struct sv value, struct wall_time now)
{
	uint64_t seconds;
	int64_t at_us;

	value = sv_trim(value);
	if (value.len && value.ptr[0] >= '0' && value.ptr[0] <= '9') {
		int rc = value.len < DATE_MAX && !memchr(value.ptr, '\0', value.len)
				 ? sv_parse_u64(value, US_PER_HOUR / US_PER_S, &seconds)
				 : RC_PARSE;

		return rc == 0 ? seconds * US_PER_S : rc == RC_LIMIT ? US_PER_HOUR : 0;
	}
	at_us = https_date(value).us;
	if (at_us <= now.us)
		return 0;
	return now.us < 0 || (uint64_t)(at_us - now.us) > US_PER_HOUR ? US_PER_HOUR
								      : (uint64_t)(at_us - now.us);
}
