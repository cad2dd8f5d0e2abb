/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "identity/secrets.h"

/*
 * secrets.c  files, the environment, credentials, the vault
 * command.c  command:PROGRAM
 */
/* "postern.yaml:7:15: " + the sentence. Returns `code`. */
int identity_secret_fail(const struct conf_secret *where, struct err *err, int code,
	const char *fmt, ...) PRINTF_LIKE(4, 5);

/* Runs the program and takes what it prints (one line end is cut). */
NODISCARD int identity_command_run(
	const struct conf_secret *where, struct secret **out_secret, struct err *err);

/* Without one line end, "\n" or "\r\n". */
struct sv identity_secret_line(struct sv text);
