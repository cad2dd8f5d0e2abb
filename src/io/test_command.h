/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "io/spawn.h"

#include <string.h>
#include <sys/wait.h>

#include "cmocka_all.h"

/* Commands and what they print, for the tests of spawn (in this process) and runner (in another). */

enum {
	LONG_S = 60, /* what ends in a test ends long before */
};

struct command_case {
	const char *line, *input, *output;
	int rc, code;
};

/* The output is written to. NOLINTNEXTLINE(readability-non-const-parameter) */
static inline int run(const char *line, const char *input, char *output, size_t max, uint64_t us,
	struct io_command_end *end)
{
	const struct io_command c = { .line = sv_from(line),
		.input = sv_from(input),
		.output = output,
		.output_max = max,
		.timeout_us = us };

	return io_command_run(&c, end);
}

static inline void run_cases(const struct command_case *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct command_case *c = &cases[i];
		struct io_command_end end;
		char out[100];
		int rc = run(c->line, c->input, out, sizeof(out), LONG_S * US_PER_S, &end);

		assert_int_equal(rc, c->rc);
		if (rc != 0)
			continue;
		assert_true(WIFEXITED(end.status));
		assert_int_equal(WEXITSTATUS(end.status), c->code);
		assert_int_equal(end.output_len, strlen(c->output));
		assert_memory_equal(out, c->output, end.output_len);
	}
}
