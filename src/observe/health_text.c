/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/health.h"

#include "base/must.h"
#include "base/text.h"

#include <stddef.h>

/* What is in the health file, and what it means. */
enum {
	LATE_S = 60,         /* beyond the interval: a machine under load is late, too */
	FIGURES_ALWAYS = 12, /* a daemon that was not restarted after an upgrade has only these */
};

#define FIGURE(member)                                                            \
	{                                                                         \
		SV_INIT(#member), offsetof(struct observe_health_figures, member) \
	}
static const struct {
	struct sv name;
	size_t at;
} figures[] = {
	FIGURE(unix_time),
	FIGURE(boot_time),
	FIGURE(every),
	FIGURE(messages_waiting),
	FIGURE(oldest_seconds),
	FIGURE(recipients_parked),
	FIGURE(mailboxes_parked),
	FIGURE(recipients_uncertain),
	FIGURE(delivered_day),
	FIGURE(bounced_day),
	FIGURE(disk_full),
	FIGURE(disk_free_bytes),
	FIGURE(disk_trouble),
	FIGURE(queue_damaged),
	FIGURE(inbound_sessions),
	FIGURE(inbound_sessions_max),
	FIGURE(inbound_memory_bytes),
	FIGURE(inbound_memory_max_bytes),
	FIGURE(inbound_refused_total),
	FIGURE(quota_refused_total),
	FIGURE(sign_ins_failed_total),
	FIGURE(sign_ins_blocked_total),
	FIGURE(loop_turn_us_max),
};
static_assert(COUNT_OF(figures) == sizeof(struct observe_health_figures) / sizeof(uint64_t),
	"one row a figure");

int observe_health_render(const struct observe_health_figures *f, struct buf *out)
{
	int rc = 0;

	for (size_t i = 0; i < COUNT_OF(figures) && rc == 0; i++)
		rc = buf_printf(out,
			"%.*s %llu\n",
			SV_ARG(figures[i].name),
			(unsigned long long)*(
				const uint64_t *)(const void *)((const char *)f + figures[i].at));
	return rc;
}

int observe_health_parse(struct sv text, struct observe_health_figures *out)
{
	struct observe_health_figures f = { 0 };
	bool seen[COUNT_OF(figures)] = { false };
	struct sv line, name;

	while (text.len) {
		(void)sv_cut_char(&text, '\n', &line);
		(void)sv_cut_char(&line, ' ', &name);
		for (size_t i = 0; i < COUNT_OF(figures); i++) {
			uint64_t *value = (uint64_t *)(void *)((char *)&f + figures[i].at);

			if (!sv_eq(name, figures[i].name))
				continue;
			/* JSON readers and shells count to 2^63. */
			if (seen[i] || sv_parse_u64(line, INT64_MAX, value) != 0)
				return RC_PARSE;
			seen[i] = true;
		}
	}
	for (size_t i = 0; i < FIGURES_ALWAYS; i++)
		if (!seen[i])
			return RC_PARSE;
	*out = f;
	return 0;
}

static bool is_beyond(uint64_t value, uint64_t limit)
{
	return limit && value > limit;
}

static void raise_to(enum observe_health_state *state, enum observe_health_state to)
{
	if (to > *state)
		*state = to;
}

static enum observe_health_state judge(
	const struct observe_health_figures *f, const struct observe_health_limits *limits)
{
	enum observe_health_state state = OBSERVE_HEALTH_OK;

	if (f->recipients_parked || f->mailboxes_parked ||
		is_beyond(f->oldest_seconds, limits->oldest_warning_s) ||
		is_beyond(f->messages_waiting, limits->waiting_warning))
		raise_to(&state, OBSERVE_HEALTH_WARNING);
	if (f->disk_full || f->disk_trouble || f->queue_damaged ||
		is_beyond(f->oldest_seconds, limits->oldest_critical_s) ||
		is_beyond(f->messages_waiting, limits->waiting_critical))
		raise_to(&state, OBSERVE_HEALTH_CRITICAL);
	return state;
}

static int put_words(
	const struct observe_health_figures *f, enum observe_health_state state, struct buf *out)
{
	static const char *const names[] = { "OK", "WARNING", "CRITICAL" };
	char span[TEXT_DURATION_MAX];
	int rc = buf_printf(out,
		"POSTERN %s - %llu waiting",
		names[state],
		(unsigned long long)f->messages_waiting);

	if (rc == 0 && f->messages_waiting)
		rc = buf_printf(out, ", oldest %s", text_span(f->oldest_seconds * US_PER_S, span));
	if (rc == 0 && f->disk_full)
		rc = buf_append(out, SV("; the disk is full: new mail is refused"));
	if (rc == 0 && f->disk_trouble)
		rc = buf_append(out, SV("; the disk fails: new mail is refused (postern status)"));
	if (rc == 0 && f->queue_damaged)
		rc = buf_append(out, SV("; the queue is damaged: postern doctor"));
	if (rc == 0 && (f->recipients_parked || f->mailboxes_parked))
		rc = buf_printf(out,
			"; parked until somebody acts: %llu recipient%s, %llu mailbox%s (postern "
			"status)",
			(unsigned long long)f->recipients_parked,
			f->recipients_parked == 1 ? "" : "s",
			(unsigned long long)f->mailboxes_parked,
			f->mailboxes_parked == 1 ? "" : "es");
	if (rc == 0)
		rc = buf_printf(out,
			"; last 24 h: %llu delivered, %llu bounced",
			(unsigned long long)f->delivered_day,
			(unsigned long long)f->bounced_day);
	return rc;
}

static int put_limit(uint64_t limit, struct buf *out)
{
	return limit ? buf_printf(out, ";%llu", (unsigned long long)limit)
		     : buf_append_char(out, ';');
}

/* https://www.monitoring-plugins.org/doc/guidelines.html: 'label'=value[unit];[warn];[crit];[min];[max] */
static int put_figures(const struct observe_health_figures *f,
	const struct observe_health_limits *limits, struct buf *out)
{
	int rc = buf_printf(out, " | waiting=%llu", (unsigned long long)f->messages_waiting);

	if (rc == 0)
		rc = put_limit(limits->waiting_warning, out);
	if (rc == 0)
		rc = put_limit(limits->waiting_critical, out);
	if (rc == 0)
		rc = buf_printf(out, ";0 oldest=%llus", (unsigned long long)f->oldest_seconds);
	if (rc == 0)
		rc = put_limit(limits->oldest_warning_s, out);
	if (rc == 0)
		rc = put_limit(limits->oldest_critical_s, out);
	if (rc == 0)
		rc = buf_printf(out,
			";0 parked_recipients=%llu;0;;0 parked_mailboxes=%llu;0;;0 "
			"uncertain=%llu;;;0 "
			"delivered_day=%llu;;;0 bounced_day=%llu;;;0",
			(unsigned long long)f->recipients_parked,
			(unsigned long long)f->mailboxes_parked,
			(unsigned long long)f->recipients_uncertain,
			(unsigned long long)f->delivered_day,
			(unsigned long long)f->bounced_day);
	/* 0: not measured yet. */
	if (rc == 0 && f->disk_free_bytes)
		rc = buf_printf(
			out, " disk_free=%lluB;;;0", (unsigned long long)f->disk_free_bytes);
	if (rc == 0 && f->loop_turn_us_max)
		rc = buf_printf(
			out, " loop_turn_max=%lluus;;;0", (unsigned long long)f->loop_turn_us_max);
	return rc;
}

enum observe_health_state observe_health_judge(const struct observe_health_figures *f,
	const struct observe_health_limits *limits, uint64_t now, struct buf *out)
{
	enum observe_health_state state = judge(f, limits);
	uint64_t age = now > f->boot_time ? now - f->boot_time : 0;
	char span[TEXT_DURATION_MAX];
	int rc;

	/* A file of an earlier start of the machine says nothing. */
	if (f->boot_time > now || age > LATE_S + (f->every < UINT32_MAX ? f->every : UINT32_MAX)) {
		rc = buf_printf(out,
			"POSTERN CRITICAL - no sign of life for %s: the daemon does not run, or "
			"hangs",
			text_span((age < INT64_MAX / US_PER_S ? age : 0) * US_PER_S, span));
		state = OBSERVE_HEALTH_CRITICAL;
	} else {
		rc = put_words(f, state, out);
		if (rc == 0)
			rc = put_figures(f, limits, out);
	}
	must(rc == 0);
	return state;
}
