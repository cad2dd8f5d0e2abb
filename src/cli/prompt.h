/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/secret.h"

/*
 * Reads a secret: asked for twice on a terminal, without an echo; else from `file`, or from standard
 * input. `whole`: all that is there, less one line end (keys have many lines); else the first line.
 * Returns an exit code; EX_OK with *out_secret.
 */
enum {
	CLI_SECRET_MAX = 65536
};
NODISCARD int cli_read_secret(
	const char *what, const char *file, bool whole, struct secret **out_secret);

/* Writes the verifier of an inbound user's password to `path`. Returns an exit code (user.c). */
NODISCARD int cli_write_verifier(const struct secret *password, const char *path);
