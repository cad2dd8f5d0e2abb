/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int err_set_at(struct err *err, int code, const char *file, int line, const char *fmt, ...)
{
	va_list args;

	if (!err)
		return code;
	err->code = code;
	err->file = file;
	err->line = line;
	va_start(args, fmt);
	(void)vsnprintf(err->text, sizeof(err->text), fmt, args);
	va_end(args);
	return code;
}

int err_wrap(struct err *err, const char *fmt, ...)
{
	char rest[sizeof(err->text)];
	va_list args;
	size_t used;
	int n;

	if (!err)
		return 0;
	memcpy(rest, err->text, sizeof(rest));
	va_start(args, fmt);
	n = vsnprintf(err->text, sizeof(err->text), fmt, args);
	va_end(args);
	if (n < 0)
		return err->code;
	used = (size_t)n < sizeof(err->text) ? (size_t)n : sizeof(err->text) - 1;
	(void)snprintf(err->text + used, sizeof(err->text) - used, ": %s", rest);
	return err->code;
}

static const char *own_text(int code)
{
	switch (code) {
	case RC_PARSE:
		return "not well formed";
	case RC_LIMIT:
		return "over the limit";
	case RC_CORRUPT:
		return "stored data is damaged";
	case RC_TLS:
		return "TLS failed";
	case RC_DNS:
		return "name could not be resolved";
	case RC_NO_NAME:
		return "name does not exist";
	case RC_TIMEOUT:
		return "timed out";
	case RC_CLOSED:
		return "closed by the other side";
	case RC_NOT_FOUND:
		return "not found";
	case RC_CONFIG:
		return "configuration is wrong";
	case RC_UNKNOWN_OUTCOME:
		return "outcome unknown";
	case RC_DISK_FULL:
		return "disk is full";
	case RC_STATE:
		return "not possible now";
	default:
		return "unknown error";
	}
}

const char *rc_text(int code)
{
	const char *text;

	if (code == 0)
		return "success";
	if (code <= RC_PARSE || code > 0)
		return own_text(code);
	text = strerrordesc_np(-code);
	return text ? text : "unknown error";
}
