/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/plan.h"

#include "base/must.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

enum {
	BAR_MAX = 40,
	BAR_MIN = 8,
	LINE_HEAD = 58, /* columns of a line before its bar */
	LINE_TAIL = 13,
	STEP_HEAD = 26, /* of a step, with what binds behind the bar */
	STEP_TAIL = 22,
};

static const char *window_words(uint64_t us)
{
	return us == US_PER_MIN ? "a minute" : us == US_PER_HOUR ? "an hour" : "a day";
}

static int put_count(struct buf *out, int width, uint64_t n)
{
	char text[TEXT_COUNT_MAX];

	return buf_printf(out, "%*s", width, text_count((long long)n, text));
}

/* A bar of `value` in `all`; something is never nothing. */
static int put_bar(
	struct buf *out, const struct plan_style *style, uint64_t value, uint64_t all, size_t width)
{
	size_t full = all == 0 || value >= all ? width : (size_t)(value * width / all);
	int rc = 0;

	if (full == 0 && value)
		full = 1;
	for (size_t i = 0; i < full && rc == 0; i++)
		rc = buf_append(out, style->utf8 ? SV("\u2588") : SV("#"));
	return rc;
}

static size_t bar_width(const struct plan_style *style, size_t beside)
{
	size_t room = style->width > beside ? style->width - beside : 0;

	return room < BAR_MIN ? BAR_MIN : room > BAR_MAX ? BAR_MAX : room;
}

/* ---- head ---- */

static int put_question(const struct plan_ask *ask, const struct plan *p, struct buf *out)
{
	char volume[TEXT_COUNT_MAX], day[TEXT_COUNT_MAX];
	const struct plan_group *g = &ask->groups[0];
	int rc = buf_printf(out, "%s recipients", text_count((long long)ask->volume, volume));

	(void)text_count((long long)p->a_day, day);
	if (rc == 0 && ask->per_us == US_PER_DAY)
		rc = buf_append(out, SV(" a day"));
	else if (rc == 0 && ask->per_us)
		rc = buf_printf(out,
			" %s: %s a day",
			ask->per_us == US_PER_HOUR ? "an hour" : "a week",
			day);
	else if (rc == 0)
		rc = buf_append(out, SV(", once"));
	if (rc == 0 && !ask->fixed && g->each_per_day)
		rc = buf_printf(out, ", at most %u a day from one mailbox", g->each_per_day);
	return rc == 0 ? buf_append(out, SV("\n\n")) : rc;
}

static uint32_t connectors_of(const struct plan_ask *ask, const struct plan *p)
{
	uint32_t n = 0;

	/* One group has as many as were found to be needed. */
	for (size_t i = 0; i < ask->group_count; i++)
		if (ask->groups[i].is_connector)
			n += ask->group_count == 1 ? p->mailboxes : ask->groups[i].count;
	return n;
}

static int put_senders(const struct plan_ask *ask, const struct plan *p, struct buf *out)
{
	uint32_t connectors = connectors_of(ask, p), mailboxes = p->mailboxes - connectors;
	int rc = buf_append(out, SV("  "));

	if (rc == 0 && mailboxes)
		rc = buf_printf(out,
			"%u %s%s",
			mailboxes,
			mailboxes == 1 ? "mailbox" : "mailboxes",
			connectors ? " and " : "");
	if (rc == 0 && connectors)
		rc = buf_printf(
			out, "%u %s", connectors, connectors == 1 ? "connector" : "connectors");
	return rc;
}

static int put_answer(const struct plan_ask *ask, const struct plan *p, struct buf *out)
{
	char carries[TEXT_COUNT_MAX], more[TEXT_COUNT_MAX], span[TEXT_DURATION_MAX];
	int rc = put_senders(ask, p, out);

	(void)text_count((long long)p->carries, carries);
	if (rc == 0 && p->finished_us)
		rc = buf_printf(out,
			", %u %s: all of it can have left after %s.\n",
			p->days,
			p->days == 1 ? "day" : "days",
			text_span(p->finished_us, span));
	else if (rc == 0)
		rc = buf_printf(out,
			" %s %s of it a day: %s more wait after each day.\n",
			p->mailboxes == 1 ? "carries" : "carry",
			carries,
			text_count((long long)(p->a_day - p->carries), more));
	if (rc == 0 && !p->fits && p->finished_us)
		rc = buf_printf(out, "  That is more than the %u days asked for.\n", ask->in_days);
	return rc;
}

/* ---- lines ---- */

static int put_line(const struct plan_line *l, const struct plan_style *style, struct buf *out)
{
	char text[96], amount[TEXT_COUNT_MAX];
	size_t width = bar_width(style, LINE_HEAD + LINE_TAIL);
	int rc;

	if (l->allowed)
		(void)snprintf(text,
			sizeof(text),
			"%s %s",
			text_count((long long)l->allowed, amount),
			window_words(l->window_us));
	else
		(void)snprintf(text, sizeof(text), "differs");
	rc = buf_printf(out, "%-21s%-15s", l->name, text);
	rc = rc == 0 ? put_count(out, 13, l->carries) : rc;
	rc = rc == 0 ? buf_printf(out, "%5u %%%s", l->percent, l->percent ? "  " : "") : rc;
	rc = rc == 0 ? put_bar(out, style, l->percent, 100, width) : rc;
	if (rc == 0 && l->binds)
		rc = buf_append(out, SV("  binds first"));
	return rc == 0 ? buf_append(out, SV("\n")) : rc;
}

/* Nobody but Microsoft knows it: what was taken for it. */
static int put_licences(const struct plan_ask *ask, const struct plan *p, struct buf *out)
{
	const struct plan_tenant *t = &ask->tenants[0];
	uint32_t licences = t->licence_each ? p->mailboxes : t->is.licences;

	if (ask->tenant_count != 1 || t->is.trial || t->is.external_per_day ||
		ask->external_percent == 0)
		return 0;
	return buf_printf(out,
		"tenant-external is reckoned with %u licence%s (--licences, --tenant-limit)\n",
		licences,
		licences == 1 ? "" : "s");
}

static int put_lines(const struct plan_ask *ask, const struct plan *p,
	const struct plan_style *style, struct buf *out)
{
	bool has_tenant = false;
	int rc;

	if (p->line_count == 0)
		return buf_append(out, SV("\nNo limit over time is known for this door.\n"));
	rc = buf_printf(out, "\n%-21s%-15s%13s%7s\n", "limit", "allows", "all, a day", "used");
	for (size_t i = 0; i < p->line_count && rc == 0; i++) {
		rc = put_line(&p->lines[i], style, out);
		has_tenant |= strcmp(p->lines[i].name, "tenant-external") == 0;
	}
	return rc == 0 && has_tenant ? put_licences(ask, p, out) : rc;
}

/* ---- steps ---- */

static int put_when(uint64_t at_us, uint64_t step_us, struct buf *out)
{
	if (step_us >= US_PER_DAY)
		return buf_printf(out, "day %-6u", (unsigned)(at_us / US_PER_DAY) + 1);
	return buf_printf(out,
		"%2u:%02u     ",
		(unsigned)(at_us / US_PER_HOUR),
		(unsigned)(at_us / US_PER_MIN % 60));
}

static int put_steps(const struct plan *p, const struct plan_style *style, struct buf *out)
{
	size_t width = bar_width(style, STEP_HEAD + STEP_TAIL);
	uint64_t most = 1;
	int rc = buf_printf(
		out, "\n%-10s%12s\n", "from", p->step_us >= US_PER_DAY ? "leave" : "can leave");

	for (size_t i = 0; i < p->step_count; i++)
		most = p->steps[i].left > most ? p->steps[i].left : most;
	for (size_t i = 0; i < p->step_count && rc == 0; i++) {
		const struct plan_step *s = &p->steps[i];

		rc = put_when(s->from_us, p->step_us, out);
		rc = rc == 0 ? put_count(out, 12, s->left) : rc;
		rc = rc == 0 ? buf_append(out, SV("  ")) : rc;
		rc = rc == 0 ? put_bar(out, style, s->left, most, width) : rc;
		if (rc == 0 && s->binds[0])
			rc = buf_printf(out, "%s%s", s->left ? "  " : "", s->binds);
		rc = rc == 0 ? buf_append(out, SV("\n")) : rc;
	}
	return rc;
}

/* ---- what to make of it ---- */

static bool is_outreach(const struct plan_ask *ask)
{
	return ask->group_count == 1 && ask->groups[0].each_per_day &&
	       ask->groups[0].each_per_day <= PLAN_EACH_USUAL;
}

/* The service would let one mailbox do it. */
static bool one_could(const struct plan_ask *ask, const struct plan *p)
{
	const struct plan_group *g = &ask->groups[0];

	return g->recipients_per_day >= p->a_day && p->a_day > g->each_per_day;
}

static int put_advice(const struct plan_ask *ask, const struct plan *p, struct buf *out)
{
	char text[TEXT_COUNT_MAX];
	int rc = 0;

	if (is_outreach(ask) && one_could(ask, p))
		rc = buf_printf(out,
			"\nThe service would let one mailbox send all of it (%s a day). Do not do "
			"that:\n"
			"receivers judge each mailbox by itself, and one that suddenly writes to "
			"hundreds\n"
			"of strangers is taken for a stolen one: junk folders first, then "
			"Microsoft\n"
			"blocks the mailbox (5.1.8) and, in the end, the tenant. The limits are "
			"ceilings.\n"
			"Count warmed mailboxes only: those that have sent about as much for "
			"weeks.\n",
			text_count((long long)ask->groups[0].recipients_per_day, text));
	if (rc == 0 && p->licences)
		rc = buf_printf(out,
			"\nThe tenant's limit of external recipients binds. It grows with the "
			"licences:\n"
			"this volume needs %u. More mailboxes alone do not help.\n",
			p->licences);
	return rc;
}

int plan_write(const struct plan_ask *ask, const struct plan *p, const struct plan_style *style,
	struct buf *out)
{
	int rc = put_question(ask, p, out);

	rc = rc == 0 ? put_answer(ask, p, out) : rc;
	rc = rc == 0 ? put_lines(ask, p, style, out) : rc;
	rc = rc == 0 ? put_steps(p, style, out) : rc;
	return rc == 0 ? put_advice(ask, p, out) : rc;
}
