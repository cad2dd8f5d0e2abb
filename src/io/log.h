/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "base/sv.h"

#include <stdint.h>

/*
 * The log: one line an event. Its words are those of Postfix where Postfix has any, so that pflogsumm,
 * logwatch and fail2ban understand them: `postern/smtp[123]: ID: to=<a@b>, ..., status=sent (250 ...)`.
 * With `json` a line is an object. Only inbound, outbound, observe, sandbox and cli log (style 3.3).
 * Any thread may call. Values are escaped here; there is no way to print a struct secret.
 */
enum log_level {
	LOG_DEBUG,
	LOG_INFO,
	LOG_WARN,
	LOG_ERROR
};

enum log_kind {
	LOG_KIND_TEXT,    /* key=value, quoted when it could be misread; nothing when empty */
	LOG_KIND_NUMBER,  /* `value` is a decimal number, and one in JSON */
	LOG_KIND_ADDRESS, /* key=<value> */
	LOG_KIND_REPLY,   /* " (value)" after the field before it: what a server said */
};

struct log_field {
	const char *key;
	struct sv value;
	enum log_kind kind;
};
#define LOG_F(key, value) ((struct log_field){ (key), (value), LOG_KIND_TEXT })
#define LOG_N(key, value) ((struct log_field){ (key), (value), LOG_KIND_NUMBER })
#define LOG_A(key, value) ((struct log_field){ (key), (value), LOG_KIND_ADDRESS })
#define LOG_R(key, value) ((struct log_field){ (key), (value), LOG_KIND_REPLY })

/*
 * `part` is what Postfix calls the daemon: "smtpd", "pickup", "qmgr", "smtp", "bounce"; or "serve",
 * "alert". `id`: queue id text or empty.
 */
void log_event(enum log_level level, const char *part, struct sv id, const char *event,
	const struct log_field *fields, size_t field_count);
/* Likewise; but as text the line has other words: `text` alone, or only the fields when it is empty. */
void log_record(enum log_level level, const char *part, struct sv id, const char *event,
	struct sv text, const struct log_field *fields, size_t field_count);
/* A plain sentence. */
void log_line(enum log_level level, const char *part, const char *fmt, ...) PRINTF_LIKE(3, 4);

void log_setup(enum log_level least, bool json);

/*
 * Looks where standard error leads: to the journal (each line goes there by the socket at
 * `journal_path`, with its priority, the facility mail and the tag `postern/PART`), to a file (lines
 * begin with time and host, as syslog's do), or elsewhere (a terminal, a container's log: bare lines).
 * Once, before other threads run.
 */
#define LOG_JOURNAL_PATH "/run/systemd/journal/socket"
void log_open(const char *journal_path);
bool log_is_journal(void);

/*
 * From log_start() on a thread writes the lines, and nobody waits for whoever reads them: what does not
 * fit into LIMIT_LOG_WAITING is lost, and the log says how many lines. log_stop() writes what waits, and
 * does not wait long for a reader that stalls.
 */
void log_start(void);
void log_stop(void);
uint64_t log_lost(void); /* lines, since the start */
