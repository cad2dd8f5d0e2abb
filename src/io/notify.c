/* SPDX-License-Identifier: Apache-2.0 */
#include "io/notify.h"

#include "base/sv.h"
#include "io/file.h"
#include "io/passed.h"

#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
	BARRIER_MS = 5000,
	SEND_S = 2, /* a descriptor may wait for room in the manager's socket; nothing else does */
};

static bool manager_address(struct sockaddr_un *out, socklen_t *out_len)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t len = path ? strlen(path) : 0;

	*out = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (len < 2 || len >= sizeof(out->sun_path) || (path[0] != '/' && path[0] != '@'))
		return false;
	memcpy(out->sun_path, path, len);
	if (path[0] == '@')
		out->sun_path[0] = '\0';
	*out_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	return true;
}

bool io_notify_has_manager(void)
{
	struct sockaddr_un to;
	socklen_t len;

	return manager_address(&to, &len);
}

/* `passed` goes along as a copy; -1: none. */
static bool notify_with(const char *text, int passed)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct sockaddr_un to;
	struct iovec part = { (void *)(uintptr_t)text, strlen(text) };
	struct msghdr m = { .msg_name = &to, .msg_iov = &part, .msg_iovlen = 1 };
	CLEANUP(io_closep) int fd = -1;

	if (!manager_address(&to, &m.msg_namelen))
		return false;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	if (passed >= 0) {
		const struct timeval patience = { .tv_sec = SEND_S };

		m.msg_control = &control;
		m.msg_controllen = sizeof(control);
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.head), &passed, sizeof(int));
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	}
	return sendmsg(fd, &m, MSG_NOSIGNAL | (passed >= 0 ? 0 : MSG_DONTWAIT)) >= 0;
}

static void notify(const char *text)
{
	/* Nothing can be done about a manager that does not listen. */
	(void)notify_with(text, -1);
}

void io_notify_store(int fd, struct sv name)
{
	char text[IO_PASSED_NAME_MAX + 64];

	/* FDPOLL=0: the manager would close a stored socket that reports an error. */
	(void)snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%.*s\nFDPOLL=0", SV_ARG(name));
	(void)notify_with(text, fd);
}

void io_notify_forget(struct sv name)
{
	char text[IO_PASSED_NAME_MAX + 64];

	(void)snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%.*s", SV_ARG(name));
	notify(text);
}

void io_notify_barrier(void)
{
	struct pollfd wait = { .events = 0 };
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) != 0)
		return;
	wait.fd = ends[0];
	/* The manager closes its copy when it has done all that was sent before. */
	if (notify_with("BARRIER=1", ends[1])) {
		io_closep(&ends[1]);
		(void)poll(&wait, 1, BARRIER_MS);
	} else {
		io_closep(&ends[1]);
	}
	io_closep(&ends[0]);
}

void io_notify_ready(void)
{
	notify("READY=1");
}

void io_notify_extend(uint64_t us)
{
	char text[64];

	(void)snprintf(text, sizeof(text), "EXTEND_TIMEOUT_USEC=%llu", (unsigned long long)us);
	notify(text);
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
