/* SPDX-License-Identifier: Apache-2.0 */
#include "io/log.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/must.h"
#include "base/text.h"
#include "io/loop.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Of a sentence. Every byte may become six, and the line must be whole (as JSON) all the same. */
enum {
	EVENT_MAX = 1024
};

static_assert(EVENT_MAX * 6 + 512 < LIMIT_LOG_LINE, "what stands before it fits, too");

static const char *const level_names[] = { "debug", "info", "warning", "error" };

static _Atomic int log_least = LOG_INFO;
static _Atomic bool log_json;

void log_setup(enum log_level least, bool json)
{
	atomic_store_explicit(&log_least, (int)least, memory_order_relaxed);
	atomic_store_explicit(&log_json, json, memory_order_relaxed);
}

/* "key=value", quoted when it could be misread. `status` is raw, as Postfix has it, and so comes last. */
static int put_text_field(struct buf *line, const struct log_field *f)
{
	bool plain = f->value.len > 0;
	const char *quote;

	for (size_t i = 0; i < f->value.len && plain; i++)
		plain = f->value.ptr[i] != ' ' && f->value.ptr[i] != '"' && f->value.ptr[i] != ',';
	quote = plain || strcmp(f->key, "status") == 0 ? "" : "\"";
	if (buf_printf(line, ", %s=%s", f->key, quote) != 0 || text_log_quote(line, f->value) != 0)
		return RC_LIMIT;
	return buf_append(line, sv_from(quote));
}

static int put_json_field(struct buf *line, const struct log_field *f)
{
	if (buf_printf(line, ",\"%s\":", f->key) != 0)
		return RC_LIMIT;
	return text_json_string(line, f->value);
}

static int begin_text(
	struct buf *line, const char *part, enum log_level level, struct sv id, struct sv event)
{
	if (buf_printf(line,
		    "postern/%s[%d]: %s%s%.*s%s",
		    part,
		    (int)getpid(),
		    level >= LOG_WARN ? level_names[level] : "",
		    level >= LOG_WARN ? ": " : "",
		    SV_ARG(id),
		    id.len ? ": " : "") != 0)
		return RC_LIMIT;
	return text_log_quote(line, event);
}

static int begin_json(
	struct buf *line, const char *part, enum log_level level, struct sv id, struct sv event)
{
	char at[WALL_RFC3339_MAX];

	if (buf_printf(line,
		    "{\"time\":\"%s\",\"level\":\"%s\",\"part\":\"%s\",\"id\":\"%.*s\",\"event\":",
		    wall_rfc3339(io_clock_wall(), at),
		    level_names[level],
		    part,
		    SV_ARG(id)) != 0)
		return RC_LIMIT;
	return text_json_string(line, event);
}

void log_event(enum log_level level, const char *part, struct sv id, const char *event,
	const struct log_field *fields, size_t field_count)
{
	CLEANUP(buf_deinitp) struct buf line = BUF_INIT(LIMIT_LOG_LINE);
	bool json = atomic_load_explicit(&log_json, memory_order_relaxed);
	struct sv words = sv_head(sv_from(event), EVENT_MAX);
	int rc;
	ssize_t n;

	if ((int)level < atomic_load_explicit(&log_least, memory_order_relaxed))
		return;
	/* Room is kept for the end; a field that does not fit is left out whole. */
	line.max -= 2;
	rc = json ? begin_json(&line, part, level, id, words)
		  : begin_text(&line, part, level, id, words);
	for (size_t i = 0; i < field_count && rc == 0; i++) {
		size_t before = line.len;

		if ((json ? put_json_field(&line, &fields[i])
			  : put_text_field(&line, &fields[i])) != 0)
			line.len = before;
	}
	line.max += 2;
	must(buf_append(&line, json ? SV("}\n") : SV("\n")) == 0);
	/* One write, so that lines of threads do not mix. A full pipe may lose it: the log must not
	 * stop the mail. */
	n = write(STDERR_FILENO, buf_sv(&line).ptr, line.len);
	(void)n;
}

void log_line(enum log_level level, const char *part, const char *fmt, ...)
{
	char text[EVENT_MAX + 1];
	va_list args;

	if ((int)level < atomic_load_explicit(&log_least, memory_order_relaxed))
		return;
	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	log_event(level, part, SV(""), text, NULL, 0);
}
