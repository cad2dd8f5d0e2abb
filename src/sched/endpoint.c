/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/endpoint.h"

#include "base/must.h"

void sched_endpoint_init(struct sched_endpoint *e)
{
	*e = (struct sched_endpoint){ .budget = SCHED_ENDPOINT_FIRST };
	list_init(&e->quiet);
}

/* Has one been accepted and waited for that long, with no word from the endpoint on any other since? */
static bool has_gone_silent(const struct sched_endpoint *e, struct mono_time now)
{
	list_each (at, &e->quiet) {
		const struct sched_handshake *h = list_entry(at, struct sched_handshake, quiet);

		if (mono_span(h->accepted_at, now) < SCHED_ENDPOINT_SILENT_US)
			return false;
		if (mono_before(e->heard_at, h->accepted_at))
			return true;
	}
	return false;
}

bool sched_endpoint_is_silent(struct sched_endpoint *e, struct mono_time now)
{
	/* Kept: those that waited give up in the end, and that is no word of the endpoint. */
	e->silent = e->silent || has_gone_silent(e, now);
	return e->silent;
}

uint32_t sched_endpoint_room(struct sched_endpoint *e, struct mono_time now)
{
	uint32_t budget = sched_endpoint_is_silent(e, now) ? 1 : e->budget;

	return budget > e->running ? budget - e->running : 0;
}

void sched_endpoint_begin(struct sched_endpoint *e, struct sched_handshake *h)
{
	must(!h->running);
	*h = (struct sched_handshake){ .era = e->era, .running = true };
	list_init(&h->quiet);
	e->running++;
	e->full |= e->running >= e->budget;
}

void sched_endpoint_accepted(
	struct sched_endpoint *e, struct sched_handshake *h, struct mono_time now)
{
	must(h->running);
	h->accepted_at = now;
	list_remove(&h->quiet);
	list_append(&e->quiet, &h->quiet);
}

void sched_endpoint_heard(struct sched_endpoint *e, struct sched_handshake *h, struct mono_time now)
{
	e->silent = false;
	e->heard_at = now;
	if (h->running)
		list_remove(&h->quiet);
}

static void begin_round(struct sched_endpoint *e, uint32_t budget)
{
	e->budget = budget < 1 ? 1 : budget > SCHED_ENDPOINT_MOST ? SCHED_ENDPOINT_MOST : budget;
	e->succeeded = 0;
	e->full = e->running >= e->budget;
}

void sched_endpoint_end(struct sched_endpoint *e, struct sched_handshake *h, struct mono_time now,
	enum sched_handshake_end end)
{
	if (!h->running)
		return;
	/* Before it leaves the list: its failure may be the first that is heard of the silence. */
	(void)sched_endpoint_is_silent(e, now);
	list_remove(&h->quiet);
	h->running = false;
	e->running--;
	/* Handshakes from before the last halving say nothing of the budget since. */
	if (h->era != e->era || end == SCHED_HANDSHAKE_LEFT)
		return;
	if (end == SCHED_HANDSHAKE_FAILED) {
		e->era++;
		begin_round(e, e->budget / 2);
	} else if (++e->succeeded >= e->budget) {
		begin_round(e, e->full ? e->budget * SCHED_ENDPOINT_GROWTH : e->budget);
	}
}
