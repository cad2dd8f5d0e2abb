/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "io/loop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
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

void io_sleep(uint64_t us)
{
	struct timespec left = { .tv_sec = (time_t)(us / US_PER_S),
		.tv_nsec = (long)(us % US_PER_S) * 1000 };

	while (nanosleep(&left, &left) != 0)
		must(errno == EINTR);
}

const char *io_local_time(struct wall_time t, char out[IO_LOCAL_TIME_MAX])
{
	time_t second = (time_t)(t.us / (int64_t)US_PER_S);
	struct tm tm = { 0 };
	long offset;

	(void)localtime_r(&second, &tm);
	offset = labs(tm.tm_gmtoff) / 60;
	(void)snprintf(out,
		IO_LOCAL_TIME_MAX,
		"%04d-%02d-%02dT%02d:%02d:%02d.%06d%c%02ld:%02ld",
		tm.tm_year + 1900,
		tm.tm_mon + 1,
		tm.tm_mday,
		tm.tm_hour,
		tm.tm_min,
		tm.tm_sec,
		(int)(t.us % (int64_t)US_PER_S),
		tm.tm_gmtoff < 0 ? '-' : '+',
		offset / 60,
		offset % 60);
	return out;
}

uint64_t io_random_u64(void)
{
	uint64_t n;

	io_random(&n, sizeof(n));
	return n;
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
