/* SPDX-License-Identifier: Apache-2.0 */
#include "io/log.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/must.h"
#include "base/text.h"
#include "io/log_queue.h"
#include "io/loop.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	/* Of a sentence. Every byte may become six, and the line must be whole (as JSON) all the same. */
	EVENT_MAX = 1024,
	HOST_MAX = 64,
	FACILITY_MAIL = 2,
	/* Bursts of lines fit; journald's own library asks for as much. */
	JOURNAL_BUFFER_BYTES = 8 << 20,
};

static_assert(EVENT_MAX * 6 + 1024 < LIMIT_LOG_LINE, "what stands before it fits, too");

static const struct {
	const char *name;
	int priority; /* syslog's */
} levels[] = {
	[LOG_DEBUG] = { "debug", 7 },
	[LOG_INFO] = { "info", 6 },
	[LOG_WARN] = { "warning", 4 },
	[LOG_ERROR] = { "error", 3 },
};

static _Atomic int log_least = LOG_INFO;
static _Atomic bool log_json;

static struct {
	int journal; /* its socket; -1: standard error is not the journal */
	bool file;
	char host[HOST_MAX + 1];
} place = { .journal = -1 };

struct log_words {
	enum log_level level;
	const char *part;
	struct sv id;
	struct sv event;
	struct sv text;
	bool has_text;
	const struct log_field *fields;
	size_t field_count;
};

void log_setup(enum log_level least, bool json)
{
	atomic_store_explicit(&log_least, (int)least, memory_order_relaxed);
	atomic_store_explicit(&log_json, json, memory_order_relaxed);
}

/* ---- where to ---- */

static bool is_journal(const struct stat *st)
{
	const char *name = getenv("JOURNAL_STREAM");
	char here[64];

	(void)snprintf(here,
		sizeof(here),
		"%llu:%llu",
		(unsigned long long)st->st_dev,
		(unsigned long long)st->st_ino);
	return name && strcmp(name, here) == 0;
}

static int open_journal(const char *path)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	const int size = JOURNAL_BUFFER_BYTES;
	int fd;

	if (strlen(path) >= sizeof(to.sun_path))
		return -1;
	memcpy(to.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&to, sizeof(to)) != 0) {
		(void)close(fd);
		return -1;
	}
	if (fd >= 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return fd;
}

void log_open(const char *journal_path)
{
	struct stat st;

	if (place.journal >= 0)
		(void)close(place.journal);
	place.journal = -1;
	place.file = false;
	if (fstat(STDERR_FILENO, &st) != 0)
		return;
	place.file = S_ISREG(st.st_mode);
	if (is_journal(&st))
		place.journal = open_journal(journal_path);
	if (gethostname(place.host, HOST_MAX) != 0 || place.host[0] == '\0')
		(void)snprintf(place.host, sizeof(place.host), "localhost");
	/* As syslog has it: without the domain. */
	place.host[strcspn(place.host, ". ")] = '\0';
}

bool log_is_journal(void)
{
	return place.journal >= 0;
}

/* journald's own protocol: a field a line; none of ours holds a line end. */
static int put_journal_head(struct buf *out, const struct log_words *w)
{
	return buf_printf(out,
		"PRIORITY=%d\nSYSLOG_FACILITY=%d\nSYSLOG_IDENTIFIER=postern/%s\n%s%.*s%sMESSAGE=",
		levels[w->level].priority,
		FACILITY_MAIL,
		w->part,
		w->id.len ? "POSTERN_ID=" : "",
		SV_ARG(w->id),
		w->id.len ? "\n" : "");
}

/* "2026-11-30T03:35:00.123456+01:00 host ", as rsyslog writes it. */
static int put_time(struct buf *line)
{
	char at[IO_LOCAL_TIME_MAX];

	return buf_printf(line, "%s %s ", io_local_time(io_clock_wall(), at), place.host);
}

/* ---- as text ---- */

/* A quoted local part may hold anything: it must not end the address early and go on as a status. */
static int put_address(struct buf *line, struct sv address)
{
	struct sv part;

	while (sv_cut_char(&address, '>', &part)) {
		if (text_log_quote(line, part) != 0 || buf_append(line, SV("\\x3e")) != 0)
			return RC_LIMIT;
	}
	return text_log_quote(line, part);
}

/* "key=value", quoted when it could be misread. */
static int put_text_field(struct buf *line, const struct log_field *f, bool first)
{
	const char *open = "", *close = "";

	if (f->kind == LOG_KIND_REPLY) {
		if (buf_append(line, SV(" (")) != 0 || text_log_quote(line, f->value) != 0)
			return RC_LIMIT;
		return buf_append(line, SV(")"));
	}
	if (f->kind == LOG_KIND_TEXT && f->value.len == 0)
		return 0;
	for (size_t i = 0; i < f->value.len && f->kind == LOG_KIND_TEXT; i++) {
		if (f->value.ptr[i] == ' ' || f->value.ptr[i] == '"' || f->value.ptr[i] == ',')
			open = close = "\"";
	}
	if (f->kind == LOG_KIND_ADDRESS) {
		open = "<";
		close = ">";
	}
	if (buf_printf(line, "%s%s=%s", first ? "" : ", ", f->key, open) != 0 ||
		(f->kind == LOG_KIND_ADDRESS ? put_address(line, f->value)
					     : text_log_quote(line, f->value)) != 0)
		return RC_LIMIT;
	return buf_append(line, sv_from(close));
}

/* A field that does not fit is left out whole. */
static int put_text(struct buf *line, const struct log_words *w)
{
	bool first = w->has_text;

	if (buf_printf(line,
		    "%s%s%.*s%s",
		    w->level >= LOG_WARN ? levels[w->level].name : "",
		    w->level >= LOG_WARN ? ": " : "",
		    SV_ARG(w->id),
		    w->id.len ? ": " : "") != 0 ||
		text_log_quote(line, w->has_text ? w->text : w->event) != 0)
		return RC_LIMIT;
	for (size_t i = 0; i < w->field_count && !(w->has_text && w->text.len); i++) {
		size_t before = line->len;

		if (put_text_field(line, &w->fields[i], first) != 0)
			line->len = before;
		first = first && line->len == before;
	}
	return 0;
}

/* ---- as JSON ---- */

static int put_json_field(struct buf *line, const struct log_field *f)
{
	if (f->kind == LOG_KIND_TEXT && f->value.len == 0)
		return 0;
	if (buf_printf(line, ",\"%s\":", f->key) != 0)
		return RC_LIMIT;
	return f->kind == LOG_KIND_NUMBER ? buf_append(line, f->value)
					  : text_json_string(line, f->value);
}

static int put_json(struct buf *line, const struct log_words *w)
{
	char at[WALL_RFC3339_MAX];

	if (buf_printf(line,
		    "{\"time\":\"%s\",\"level\":\"%s\",\"part\":\"%s\",\"id\":\"%.*s\",\"event\":",
		    wall_rfc3339(io_clock_wall(), at),
		    levels[w->level].name,
		    w->part,
		    SV_ARG(w->id)) != 0 ||
		text_json_string(line, w->event) != 0)
		return RC_LIMIT;
	for (size_t i = 0; i < w->field_count; i++) {
		size_t before = line->len;

		if (put_json_field(line, &w->fields[i]) != 0)
			line->len = before;
	}
	return 0;
}

/* ---- a line ---- */

static struct log_entry *make_line(const struct log_words *w)
{
	CLEANUP(buf_deinitp) struct buf line = BUF_INIT(LIMIT_LOG_LINE);
	bool json = atomic_load_explicit(&log_json, memory_order_relaxed);
	struct log_entry *e;
	size_t text_at;

	if (place.journal >= 0)
		(void)!put_journal_head(&line, w);
	text_at = line.len;
	/* Room is kept for the end. */
	line.max -= 2;
	if (place.journal < 0 && !json) {
		if (place.file)
			(void)!put_time(&line);
		(void)!buf_printf(&line, "postern/%s[%d]: ", w->part, (int)getpid());
	}
	(void)!(json ? put_json(&line, w) : put_text(&line, w));
	line.max += 2;
	if (json)
		must(buf_append(&line, SV("}")) == 0);
	must(buf_append(&line, SV("\n")) == 0);
	e = xmalloc(sizeof(*e) + line.len);
	*e = (struct log_entry){ .journal = place.journal,
		.urgent = w->level >= LOG_WARN,
		.len = line.len,
		.text_at = text_at,
		.text_len = line.len - text_at };
	memcpy(e->bytes, buf_sv(&line).ptr, line.len);
	return e;
}

static void put_line(const struct log_words *w)
{
	log_queue_put(make_line(w));
}

static struct log_entry *lost_line(uint64_t lost)
{
	char event[128];

	(void)snprintf(event,
		sizeof(event),
		"%llu %s lost: the reader of the log does not keep up",
		(unsigned long long)lost,
		lost == 1 ? "line" : "lines");
	return make_line(
		&(struct log_words){ .level = LOG_WARN, .part = "log", .event = sv_from(event) });
}

void log_start(void)
{
	log_queue_start(lost_line);
}

void log_stop(void)
{
	log_queue_stop();
}

uint64_t log_lost(void)
{
	return log_queue_lost();
}

static bool is_wanted(enum log_level level)
{
	return (int)level >= atomic_load_explicit(&log_least, memory_order_relaxed);
}

void log_event(enum log_level level, const char *part, struct sv id, const char *event,
	const struct log_field *fields, size_t field_count)
{
	if (is_wanted(level))
		put_line(&(struct log_words){ .level = level,
			.part = part,
			.id = id,
			.event = sv_head(sv_from(event), EVENT_MAX),
			.fields = fields,
			.field_count = field_count });
}

void log_record(enum log_level level, const char *part, struct sv id, const char *event,
	struct sv text, const struct log_field *fields, size_t field_count)
{
	if (is_wanted(level))
		put_line(&(struct log_words){ .level = level,
			.part = part,
			.id = id,
			.event = sv_head(sv_from(event), EVENT_MAX),
			.text = sv_head(text, EVENT_MAX),
			.has_text = true,
			.fields = fields,
			.field_count = field_count });
}

void log_line(enum log_level level, const char *part, const char *fmt, ...)
{
	char text[EVENT_MAX + 1];
	va_list args;

	if (!is_wanted(level))
		return;
	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	log_event(level, part, SV(""), text, NULL, 0);
}
