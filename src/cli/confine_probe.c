/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "cli/confine.h"
#include "io/confine.h"
#include "io/file.h"
#include "io/spawn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * What somebody has who has broken into the daemon: confines itself as `serve` does, with the same configuration,
 * then tries what it is told to and says how each ended. For tests/e2e/test_confine.py; not installed.
 *
 *	confine_probe CONFIG read:PATH write:PATH exec:PATH connect:PORT command:LINE ...
 */
static int try_open(const char *path, int flags)
{
	CLEANUP(io_closep) int fd = open(path, flags | O_CLOEXEC, 0600);
	char byte;

	if (fd < 0)
		return -errno;
	return flags == O_RDONLY && read(fd, &byte, 1) < 0 ? -errno : 0;
}

static int try_connect(const char *port)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	CLEANUP(io_closep) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint32_t number = 0;

	if (fd < 0 || sv_parse_u32(sv_from(port), UINT16_MAX, &number) != 0)
		return -EINVAL;
	to.sin_port = htons((uint16_t)number);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0 ? 0 : -errno;
}

/* Replaces this process when it works: then nothing is said. */
static int try_exec(char *path)
{
	char *words[] = { path, NULL };

	(void)execv(path, words);
	return -errno;
}

static int try_command(const char *line)
{
	const struct io_command c = { .line = sv_from(line), .timeout_us = 20 * US_PER_S };
	struct io_command_end end;
	int rc = io_command_run(&c, &end);

	return rc ? rc : WIFEXITED(end.status) ? WEXITSTATUS(end.status) : RC_STATE;
}

static int attempt(char *what)
{
	char *colon = strchr(what, ':');

	must(colon != NULL);
	if (strncmp(what, "read:", 5) == 0)
		return try_open(colon + 1, O_RDONLY);
	if (strncmp(what, "write:", 6) == 0)
		return try_open(colon + 1, O_WRONLY | O_CREAT);
	if (strncmp(what, "connect:", 8) == 0)
		return try_connect(colon + 1);
	if (strncmp(what, "exec:", 5) == 0)
		return try_exec(colon + 1);
	must(strncmp(what, "command:", 8) == 0);
	return try_command(colon + 1);
}

int main(int argc, char **argv)
{
	struct conf_findings findings;
	struct err err = { 0 };
	const struct io_confine_state *s = io_confine_state();
	struct conf *c;

	must(argc > 1);
	c = conf_load(argv[1], &findings);
	conf_findings_free(&findings);
	if (!c || cli_confine(c, &err) != 0)
		return EXIT_FAILURE;
	cli_confine_settled(c);
	(void)printf("calls %d files %d tcp %d\n", s->system_calls, s->files, s->tcp);
	(void)fflush(stdout);
	for (int i = 2; i < argc; i++) {
		int rc = attempt(argv[i]);

		(void)printf("%s %s\n", argv[i], rc > 0 ? "failed" : rc ? rc_text(rc) : "worked");
		(void)fflush(stdout);
	}
	conf_unref(c);
	return EXIT_SUCCESS;
}
