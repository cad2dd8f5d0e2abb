/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/must.h"
#include "simio/simio.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmocka_all.h"

/* A process has one world, so each script has a process. What it notes comes out; nothing in it may longjmp. */
enum {
	SAID_MAX = 65536,
	TIME_LEN = sizeof("00:00:00.000000 ") - 1,
};

static inline void world_log(uint64_t seed, void (*script)(void), char out[SAID_MAX])
{
	FILE *f = tmpfile();
	int status = 0;
	size_t len;
	pid_t pid;

	assert_non_null(f);
	pid = fork();
	if (pid == 0) {
		simio_begin(seed);
		script();
		must(fwrite(simio_log().ptr, 1, simio_log().len, f) == simio_log().len);
		must(fclose(f) == 0);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	rewind(f);
	len = fread(out, 1, SAID_MAX - 1, f);
	out[len] = '\0';
	(void)fclose(f);
}

/* The same without the times: a blank behind each line. */
static inline void world_said(uint64_t seed, void (*script)(void), char out[SAID_MAX])
{
	static char log[SAID_MAX];
	struct sv rest, line;
	size_t len = 0;

	world_log(seed, script, log);
	rest = sv_from(log);
	while (rest.len) {
		(void)sv_cut_char(&rest, '\n', &line);
		line = sv_skip(line, TIME_LEN);
		memcpy(out + len, line.ptr, line.len);
		len += line.len;
		out[len++] = ' ';
	}
	out[len] = '\0';
}

static inline void run_for(uint64_t us)
{
	uint64_t until = simio_now() + us;

	while (simio_step(until))
		must(simio_log().len < SAID_MAX);
}
