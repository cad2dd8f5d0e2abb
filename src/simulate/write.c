/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"
#include "simulate/simulate.h"

int simulate_write_head(struct buf *out)
{
	return buf_printf(out,
		"%-10s %3s %11s %11s %9s %9s %7s %7s %7s %6s\n",
		"day",
		"h",
		"came",
		"sent",
		"deferred",
		"waiting",
		"minute",
		"day",
		"tenant",
		"broken");
}

static uint32_t percent(const struct simulate_day *d, enum simulate_limit limit)
{
	return d->allowed[limit] ? (uint32_t)((uint64_t)d->used[limit] * 100 / d->allowed[limit])
				 : 0;
}

int simulate_write_day(const struct simulate_day *d, struct buf *out)
{
	char came[TEXT_COUNT_MAX], sent[TEXT_COUNT_MAX], deferred[TEXT_COUNT_MAX];
	char waiting[TEXT_COUNT_MAX];
	const uint64_t later = d->deferred + d->uncertain;

	return buf_printf(out,
		"%-10s %3u %11s %11s %9s %9s %5u %% %5u %% %5u %% %6llu\n",
		d->date,
		d->hours,
		text_count((long long)d->came, came),
		text_count((long long)d->sent, sent),
		text_count((long long)later, deferred),
		text_count((long long)d->waiting, waiting),
		percent(d, SIMULATE_MINUTE),
		percent(d, SIMULATE_DAY),
		percent(d, SIMULATE_TENANT),
		(unsigned long long)d->violations);
}

int simulate_write_total(
	const struct simulate_options *o, const struct simulate_total *t, struct buf *out)
{
	const struct simulate_day *s = &t->sum;
	char came[TEXT_COUNT_MAX], sent[TEXT_COUNT_MAX], deferred[TEXT_COUNT_MAX];
	char waiting[TEXT_COUNT_MAX];
	int rc = buf_printf(out,
		"\n%u day%s, %u mailbox%s, seed %llu: %s came, %s sent, %s deferred, %s wait\n",
		o->days,
		o->days == 1 ? "" : "s",
		o->mailboxes,
		o->mailboxes == 1 ? "" : "es",
		(unsigned long long)o->seed,
		text_count((long long)s->came, came),
		text_count((long long)s->sent, sent),
		text_count((long long)s->deferred, deferred),
		text_count((long long)s->waiting, waiting));

	if (rc == 0 && s->uncertain)
		rc = buf_printf(out,
			"attempts that ended without an answer: %llu; messages that were sent "
			"twice for it: %llu\n",
			(unsigned long long)s->uncertain,
			(unsigned long long)t->duplicates);
	if (rc == 0 && s->violations)
		rc = buf_printf(out,
			"limits broken: %llu; the first: %s\n",
			(unsigned long long)s->violations,
			t->first_violation);
	return rc == 0 && !s->violations ? buf_append(out, SV("limits broken: 0\n")) : rc;
}
