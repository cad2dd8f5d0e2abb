/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "identity/secrets_priv.h"
#include "io/spawn.h"

#include <sys/wait.h>

/*
 * A secret that a program prints: a password manager, a cloud's tool. What it prints goes into locked memory
 * and nowhere else.
 */
enum {
	OUTPUT_MAX = 65536,
};

static int failed(
	const struct conf_secret *where, const struct io_command_end *end, int rc, struct err *err)
{
	const char *program = end->program;

	if (rc == RC_PARSE)
		return identity_secret_fail(where,
			err,
			RC_CONFIG,
			"command: must be a program with at most %d words",
			IO_COMMAND_WORDS_MAX);
	if (rc == RC_TIMEOUT)
		return identity_secret_fail(where,
			err,
			rc,
			"%.100s did not end within %d seconds",
			program,
			(int)IDENTITY_COMMAND_S);
	if (rc == RC_LIMIT)
		return identity_secret_fail(
			where, err, rc, "%.100s prints more than %d bytes", program, OUTPUT_MAX);
	if (rc != 0)
		return identity_secret_fail(
			where, err, rc, "cannot run %.100s: %s", program, rc_text(rc));
	if (WIFSIGNALED(end->status))
		return identity_secret_fail(where,
			err,
			RC_CONFIG,
			"%.100s was ended by signal %d",
			program,
			WTERMSIG(end->status));
	return identity_secret_fail(where,
		err,
		RC_CONFIG,
		"%.100s ended with code %d: run it by hand, as the daemon's user, to see why",
		program,
		WEXITSTATUS(end->status));
}

int identity_command_run(
	const struct conf_secret *where, struct secret **out_secret, struct err *err)
{
	struct io_command c = { .line = where->name,
		.output_max = OUTPUT_MAX,
		.timeout_us = IDENTITY_COMMAND_S * US_PER_S };
	struct io_command_end end;
	struct sv text;
	CLEANUP(secret_freep) struct secret *printed = secret_alloc(OUTPUT_MAX, &c.output);
	int rc = io_command_run(&c, &end);

	if (rc != 0 || !WIFEXITED(end.status) || WEXITSTATUS(end.status) != 0)
		return failed(where, &end, rc, err);
	text = identity_secret_line(sv_head(secret_reveal(printed), end.output_len));
	if (text.len == 0)
		return identity_secret_fail(
			where, err, RC_CONFIG, "%.100s printed nothing", end.program);
	*out_secret = secret_new(text);
	return 0;
}
