/* SPDX-License-Identifier: Apache-2.0 */
#include "io/notify.h"

#include "base/sv.h"
#include "io/file.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
	LISTEN_FDS_MAX = 64
};

static void notify(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	CLEANUP(io_closep) int fd = -1;
	size_t len = path ? strlen(path) : 0;

	if (len < 2 || len >= sizeof(to.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(to.sun_path, path, len);
	if (path[0] == '@')
		to.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	/* Nothing can be done about a manager that does not listen. */
	(void)sendto(fd,
		text,
		strlen(text),
		MSG_NOSIGNAL | MSG_DONTWAIT,
		(const struct sockaddr *)&to,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
}

void io_notify_ready(void)
{
	notify("READY=1");
}

void io_notify_stopping(void)
{
	notify("STOPPING=1");
}

void io_notify_reloading(void)
{
	char text[80];
	struct timespec ts = { 0 };

	/* systemd wants CLOCK_MONOTONIC here, which is not our mono clock. */
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	(void)snprintf(text,
		sizeof(text),
		"RELOADING=1\nMONOTONIC_USEC=%llu",
		(unsigned long long)ts.tv_sec * US_PER_S + (unsigned long long)ts.tv_nsec / 1000);
	notify(text);
}

void io_notify_watchdog(void)
{
	notify("WATCHDOG=1");
}

static bool is_for_us(const char *pid_name)
{
	const char *text = getenv(pid_name);
	uint32_t pid;

	return !text ||
	       (sv_parse_u32(sv_from(text), INT32_MAX, &pid) == 0 && pid == (uint32_t)getpid());
}

uint64_t io_notify_watchdog_interval_us(void)
{
	uint64_t us = 0;

	if (!is_for_us("WATCHDOG_PID") ||
		sv_parse_u64(sv_from(getenv("WATCHDOG_USEC")), US_PER_DAY, &us) != 0)
		return 0;
	return us / 2;
}

unsigned io_notify_listen_fds(void)
{
	uint32_t count = 0;

	if (!getenv("LISTEN_PID") || !is_for_us("LISTEN_PID") ||
		sv_parse_u32(sv_from(getenv("LISTEN_FDS")), LISTEN_FDS_MAX, &count) != 0)
		return 0;
	return count;
}

struct sv io_notify_listen_name(unsigned index)
{
	struct sv names = sv_from(getenv("LISTEN_FDNAMES"));
	struct sv name = SV("");

	for (unsigned i = 0; i <= index; i++) {
		bool more = sv_cut_char(&names, ':', &name);

		if (!more && i < index)
			return SV("");
	}
	return name;
}
