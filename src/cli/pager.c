/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pager.h"

#include "cli/cli.h"
#include "io/spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
	pid_t pid;
	int terminal; /* standard output as it was */
} pager = { .terminal = -1 };

/* $PAGER goes through the shell, as everywhere: it may have arguments. */
static int start(int input)
{
	char *plain[] = { (char *)(uintptr_t) "less", NULL };
	char *shell[] = {
		(char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", getenv("PAGER"), NULL
	};
	char **argv = shell[2] ? shell : plain;
	const struct io_spawn what = { .words = argv,
		.search = true,
		.foreground = true,
		.in = input,
		.out = IO_SPAWN_SAME,
		.err = IO_SPAWN_SAME };

	return io_spawn_start(&what, &pager.pid);
}

void cli_pager_open(const struct cli_context *ctx)
{
	const char *wanted = getenv("PAGER");
	int ends[2];

	if (ctx->json || !isatty(STDOUT_FILENO) || pager.terminal >= 0 ||
		(wanted && (!wanted[0] || strcmp(wanted, "cat") == 0)) ||
		/* Close-on-exec: a pager that holds the writing end never sees the end. */
		pipe2(ends, O_CLOEXEC) != 0)
		return;
	/* The width of the terminal is asked for by now: behind the pipe nobody knows it. */
	cli_columns_keep();
	(void)setenv("LESS", "FRX", 0);
	pager.terminal = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
	if (pager.terminal < 0 || start(ends[0]) != 0 || dup2(ends[1], STDOUT_FILENO) < 0) {
		if (pager.terminal >= 0)
			(void)close(pager.terminal);
		pager.terminal = -1;
	} else {
		/* Whoever leaves the pager has seen enough. */
		(void)signal(SIGPIPE, SIG_IGN);
	}
	(void)close(ends[0]);
	(void)close(ends[1]);
}

void cli_pager_close(void)
{
	int status;

	if (pager.terminal < 0)
		return;
	(void)fflush(stdout);
	clearerr(stdout);
	(void)dup2(pager.terminal, STDOUT_FILENO);
	(void)close(pager.terminal);
	pager.terminal = -1;
	/* A person reads. */
	(void)!io_spawn_wait(pager.pid, true, MONO_NEVER, &status);
}
