/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "base/sv.h"
#include "base/time.h"

#include <stdbool.h>
#include <sys/types.h>

/*
 * Programs of others: the only place that starts them. No shell stands between, every descriptor but those
 * named here is closed, and signals are as in a fresh shell. Any thread.
 */
enum {
	IO_SPAWN_NULL = -1, /* /dev/null */
	IO_SPAWN_SAME = -2, /* that of this process */
};

struct io_spawn {
	char *const *words;  /* ends with NULL; the first is the program */
	const char *program; /* when it is not called by its name; NULL: it is */
	bool search;         /* the program is looked for in PATH */
	bool foreground; /* stays in our group: the terminal's keys reach it, a deadline only itself */
	bool real_ids;    /* without the rights that a setuid or setgid bit lent us */
	int in, out, err; /* a descriptor, or one of the above */
	int fourth;       /* a descriptor that it gets as 3; 0: none */
};

/* Negated errno. The child is waited for with io_spawn_wait(). */
NODISCARD int io_spawn_start(const struct io_spawn *what, pid_t *out_child);
/* Until it has ended, or ends it (and its children) at `deadline`: RC_TIMEOUT. *out_status as of waitpid(2). */
NODISCARD int io_spawn_wait(
	pid_t child, bool foreground, struct mono_time deadline, int *out_status);

/* "PROGRAM ARGUMENT...", as the configuration has it: words between blanks, nothing is quoted. */
enum {
	IO_COMMAND_WORDS_MAX = 32,
	IO_COMMAND_LINE_MAX = 4096,
};

struct io_command {
	struct sv line;
	struct sv input; /* what it reads; a program that reads nothing holds nobody up */
	char *output;    /* what it prints goes here, and nowhere else; NULL: thrown away */
	size_t output_max;
	uint64_t timeout_us;
};

struct io_command_end {
	size_t output_len;
	int status; /* as of waitpid(2) */
	char program[128];
};

/*
 * Runs it to its end. RC_PARSE: too many words, or none; RC_TIMEOUT; RC_LIMIT: it prints more than output_max;
 * else a negated errno: it could not be started. What it writes to its standard error is thrown away: it might
 * hold what must not be in a log.
 */
NODISCARD int io_command_run(const struct io_command *c, struct io_command_end *out_end);
