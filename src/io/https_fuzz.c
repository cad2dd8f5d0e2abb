/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "io/https_priv.h"
#include "io/net.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* No line that the resolver, CURLOPT_RESOLVE or a log line is made of could hold this. */
static void check_place(const struct https_place *at)
{
	struct sv host = sv_from(at->host);

	must(host.len > 0 && host.len < sizeof(at->host));
	must(at->port > 0 && at->port <= UINT16_MAX);
	for (size_t i = 0; i < host.len; i++) {
		must((unsigned char)host.ptr[i] > ' ' && (unsigned char)host.ptr[i] < 0x7f);
		must(host.ptr[i] != '/' && host.ptr[i] != '@' && host.ptr[i] != ',');
		must(at->numeric || host.ptr[i] != ':');
	}
}

/* A line for Retry-After, then a URL: both come from servers. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct wall_time now = { INT64_C(1795600000) * (int64_t)US_PER_S };
	struct sv url = sv_make((const char *)data, size), line;
	struct https_place at;
	uint64_t wait_us;

	https_curl_init();
	(void)sv_cut_char(&url, '\n', &line);
	wait_us = https_retry_after(line, now);
	must(wait_us <= US_PER_HOUR);
	/* A later look at the same line never gives more, unless it was cut at the hour. */
	must(https_retry_after(line, wall_add(now, (int64_t)US_PER_S)) <= wait_us ||
		wait_us == US_PER_HOUR);
	if (https_place_parse(url, "https", &at) == 0) {
		check_place(&at);
		must(sv_starts_nocase(url, SV("https://")));
		must(sv_find_char(url, '\r') < 0 && sv_find_char(url, '\n') < 0);
		must(https_place_parse(url, "http", &at) != 0);
	}
	if (https_place_parse(url, "http", &at) == 0)
		check_place(&at);
	return 0;
}
