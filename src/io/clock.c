/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "io/loop.h"

#include <errno.h>
#include <sys/random.h>
#include <time.h>

struct mono_time io_clock_mono(void)
{
	struct timespec ts;

	must(clock_gettime(CLOCK_BOOTTIME, &ts) == 0);
	return (struct mono_time){ (uint64_t)ts.tv_sec * US_PER_S + (uint64_t)ts.tv_nsec / 1000 };
}

struct wall_time io_clock_wall(void)
{
	struct timespec ts;

	must(clock_gettime(CLOCK_REALTIME, &ts) == 0);
	return (struct wall_time){ (int64_t)ts.tv_sec * (int64_t)US_PER_S + ts.tv_nsec / 1000 };
}

void io_random(void *out, size_t len)
{
	char *at = out;

	while (len) {
		ssize_t n = getrandom(at, len, 0);

		must(n > 0 || errno == EINTR);
		if (n > 0) {
			at += n;
			len -= (size_t)n;
		}
	}
}
