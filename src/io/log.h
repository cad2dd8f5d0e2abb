/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "base/sv.h"

/*
 * The log: one line an event, on stderr (the journal's and the container's place), in the spirit of
 * Postfix (`postern/outbound[123]: ID: to=<a@b>, status=sent (250 ...)`) or as JSON lines. Only
 * inbound, outbound, observe, sandbox and cli log (style 3.3). Any thread may call; a line is one
 * write. Values are escaped here; there is no way to print a struct secret.
 */
enum log_level {
	LOG_DEBUG,
	LOG_INFO,
	LOG_WARN,
	LOG_ERROR
};

struct log_field {
	const char *key;
	struct sv value;
};
#define LOG_F(key, value) ((struct log_field){ (key), (value) })

/* `part`: "inbound", "outbound", "serve". `id`: queue id text or empty. `fields` ends at count. */
void log_event(enum log_level level, const char *part, struct sv id, const char *event,
	const struct log_field *fields, size_t field_count);
/* A plain sentence. */
void log_line(enum log_level level, const char *part, const char *fmt, ...) PRINTF_LIKE(3, 4);

void log_setup(enum log_level least, bool json);
