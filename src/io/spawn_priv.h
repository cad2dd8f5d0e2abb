/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "io/spawn.h"

/*
 * spawn.c   programs: starting them, waiting for them, a command of the configuration
 * runner.c  the process that starts commands for a daemon that may not
 */
struct io_command_words {
	char line[IO_COMMAND_LINE_MAX];
	char *words[IO_COMMAND_WORDS_MAX + 1];
};
/* False: none, or too many. */
bool io_command_split(struct sv line, struct io_command_words *out);

/* As io_spawn_wait(); also ends it when nobody holds the other end of `asker` (a socket) any more; -1: none. */
NODISCARD int io_spawn_wait_for(
	pid_t child, bool foreground, int asker, struct mono_time deadline, int *out_status);

/* runner.c */
NODISCARD bool io_runner_is_on(void);
/* `in` and `out` stay the caller's; negative: none. The answer is waited for at *out_answer. */
NODISCARD int io_runner_ask(struct sv line, int in, int out, uint64_t timeout_us, int *out_answer);
NODISCARD int io_runner_wait(int answer, struct mono_time deadline, int *out_status);
