/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"

#include <stddef.h>

/*
 * Failures of local operations are one negative int. -1 to -999 are negated errno; ours start at
 * -1000. What a mail system answers is never an error: that is a `struct verdict` (provider/verdict.h).
 */
enum {
	RC_PARSE = -1000,   /* the text does not have the form it must have */
	RC_LIMIT = -1001,   /* a named maximum would be passed (base/limits.h) */
	RC_CORRUPT = -1002, /* stored data contradicts itself */
	RC_TLS = -1003,     /* handshake, certificate or record failure */
	RC_DNS = -1004,     /* the name could not be resolved now */
	RC_NO_NAME = -1005, /* the name does not exist */
	RC_TIMEOUT = -1006,
	RC_CLOSED = -1007, /* the other side closed */
	RC_NOT_FOUND = -1008,
	RC_CONFIG = -1009,
	RC_UNKNOWN_OUTCOME = -1010, /* a commit may or may not have happened */
	RC_DISK_FULL = -1011,
	RC_STATE = -1012, /* not possible in the state the thing is in */
};

/*
 * Context for a human: one sentence, made without allocation. Functions take it last and allow NULL.
 * The text never holds a secret.
 */
struct err {
	int code;
	int line;
	const char *file;
	char text[240];
};

/* Fills *err (if not NULL) and returns `code`, so that `return err_set(...)` reads well. */
#define err_set(err, code, ...) err_set_at((err), (code), __FILE__, __LINE__, __VA_ARGS__)
int err_set_at(struct err *err, int code, const char *file, int line, const char *fmt, ...)
	PRINTF_LIKE(5, 6);

/* Puts "prefix: " before the text. */
int err_wrap(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Words for any code, errno included. Thread-safe; valid for ever. */
const char *rc_text(int code);
