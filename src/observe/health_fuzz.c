/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "observe/health.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is read is written the same way, and any figures make one line. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(buf_deinitp)
	struct buf text = BUF_INIT(OBSERVE_HEALTH_FILE_MAX),
		   line = BUF_INIT(OBSERVE_HEALTH_FILE_MAX);
	const struct observe_health_limits limits = { 1, 2, 3, 4 };
	struct observe_health_figures f, again;

	if (observe_health_parse(sv_make((const char *)data, size), &f) != 0)
		return 0;
	must(observe_health_render(&f, &text) == 0);
	must(observe_health_parse(buf_sv(&text), &again) == 0);
	must(memcmp(&f, &again, sizeof(f)) == 0);
	(void)observe_health_judge(&f, &limits, f.boot_time + size, &line);
	must(line.len > 0 && sv_find_char(buf_sv(&line), '\n') < 0);
	return 0;
}
