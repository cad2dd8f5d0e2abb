/* SPDX-License-Identifier: Apache-2.0 */
#include "io/https_priv.h"

#include <string.h>

enum {
	DATE_MAX = 64
};

uint64_t https_retry_after(struct sv value, struct wall_time now)
{
	char text[DATE_MAX];
	uint64_t seconds;
	int64_t at_us;
	time_t at;

	value = sv_trim(value);
	if (value.len == 0 || value.len >= sizeof(text) || memchr(value.ptr, '\0', value.len))
		return 0;
	if (value.ptr[0] >= '0' && value.ptr[0] <= '9') {
		int rc = sv_parse_u64(value, US_PER_HOUR / US_PER_S, &seconds);

		return rc == 0 ? seconds * US_PER_S : rc == RC_LIMIT ? US_PER_HOUR : 0;
	}
	/* All forms begin with the day of the week; curl_getdate() would take many others. */
	if (sv_find_char(value, ' ') < 3)
		return 0;
	memcpy(text, value.ptr, value.len);
	text[value.len] = '\0';
	at = curl_getdate(text, NULL);
	if (at <= 0 || at > INT64_MAX / (int64_t)US_PER_S)
		return 0;
	at_us = (int64_t)at * (int64_t)US_PER_S;
	if (at_us <= now.us)
		return 0;
	return now.us < 0 || (uint64_t)(at_us - now.us) > US_PER_HOUR ? US_PER_HOUR
								      : (uint64_t)(at_us - now.us);
}
