/* SPDX-License-Identifier: Apache-2.0 */
#include "domain/watch.h"

#include "base/buf.h"
#include "base/htable.h"
#include "base/must.h"
#include "domain/look.h"
#include "domain/set.h"

#include <stdlib.h>
#include <string.h>

enum {
	LOOK_AGAIN_S = 3600,
	LOOK_SOON_S = 600, /* when something was not told */
	SHOWN_MAX = 4096,  /* of what a topic publishes */
	CHANGE_MAX = 2048,
	LINES_MAX = 32,
};

/* One domain: what is told of it, and what it published when it was looked at last. */
struct watched {
	struct domain_state state;
	char *why, *step, *change;           /* what the state's views look at */
	char *published[DOMAIN_TOPIC_COUNT]; /* NULL: not known yet */
};

struct domain_watch {
	struct io_loop *loop;
	struct io_dnssec *dns;
	struct domain_set set;
	struct htable by_name; /* struct watched */
	struct domain_look *look;
	bool unknown; /* in this round */
	struct io_timer timer;
	struct io_task task;
	domain_event_fn *event;
	void *arg;
};

static int line_order(const void *a, const void *b)
{
	return sv_cmp(*(const struct sv *)a, *(const struct sv *)b);
}

/* What a topic comes to, in an order that does not depend on the name server's. False: it is not known now. */
static bool topic_text(const struct domain_report *r, enum domain_topic topic, struct buf *out)
{
	struct sv lines[LINES_MAX];
	size_t count = 0;

	for (size_t i = 0; i < r->finding_count && count + 1 < LINES_MAX; i++) {
		const struct domain_finding *f = &r->findings[i];

		if (f->topic != topic)
			continue;
		if (f->level == DOMAIN_UNKNOWN)
			return false;
		if (f->record.len)
			lines[count++] = f->record;
		if (f->level == DOMAIN_FAIL)
			lines[count++] = f->text;
	}
	if (count)
		qsort(lines, count, sizeof(lines[0]), line_order);
	for (size_t i = 0; i < count; i++)
		(void)!buf_printf(out, "%s%.*s", i ? " | " : "", SV_ARG(lines[i]));
	return true;
}

static void replace(char **text, struct sv with)
{
	free(*text);
	*text = sv_dup(with);
}

/* Appends what is different, and keeps what is. */
static void compare(struct watched *w, const struct domain_report *r, struct buf *change)
{
	for (unsigned t = 0; t < DOMAIN_TOPIC_COUNT; t++) {
		CLEANUP(buf_deinitp) struct buf now = BUF_INIT(SHOWN_MAX);
		struct sv before = sv_from(w->published[t]);

		if (!topic_text(r, (enum domain_topic)t, &now))
			continue;
		if (w->published[t] && !sv_eq(before, buf_sv(&now)))
			(void)!buf_printf(change,
				"%s%s was \"%.*s\" and is \"%.*s\"",
				change->len ? "; " : "",
				domain_topic_name((enum domain_topic)t),
				SV_ARG(sv_head(before, 300)),
				SV_ARG(sv_head(buf_sv(&now), 300)));
		replace(&w->published[t], buf_sv(&now));
	}
}

static void tell(struct domain_watch *d, struct sv domain, enum domain_news news, struct sv text)
{
	d->event(d->arg, &(struct domain_event){ domain, news, text });
}

static const struct domain_rule *first_fail(const struct domain_report *r)
{
	for (size_t i = 0; i < r->rule_count; i++) {
		if (r->rules[i].meets == DOMAIN_FAILS)
			return &r->rules[i];
	}
	return NULL;
}

static void take_verdict(struct watched *w, const struct domain_report *r)
{
	const struct domain_rule *rule = first_fail(r);

	w->state.meets = domain_report_meets(r);
	replace(&w->why, rule ? rule->why : SV(""));
	replace(&w->step, rule ? rule->step : SV(""));
	w->state.why = sv_from(w->why);
	w->state.step = sv_from(w->step);
}

static void on_looked(
	struct domain_watch *d, const struct domain_question *q, const struct domain_report *r)
{
	struct watched *w = htable_get(&d->by_name, q->domain);
	CLEANUP(buf_deinitp) struct buf change = BUF_INIT(CHANGE_MAX);
	enum domain_meets before = w->state.meets, now = domain_report_meets(r);

	w->state.looked_at = io_wall(d->loop);
	compare(w, r, &change);
	if (change.len) {
		replace(&w->change, buf_sv(&change));
		w->state.change = sv_from(w->change);
		w->state.changed_at = w->state.looked_at;
		tell(d, q->domain, DOMAIN_NEWS_CHANGED, w->state.change);
	}
	/* What was known stays so while a name server does not answer. */
	if (now == DOMAIN_MEETS_UNKNOWN) {
		d->unknown = true;
		return;
	}
	take_verdict(w, r);
	if (now != before)
		tell(d,
			q->domain,
			now == DOMAIN_FAILS ? DOMAIN_NEWS_FAILS : DOMAIN_NEWS_MEETS,
			w->state.why);
}

static bool run_check(void *arg, size_t index, struct authn_memo *memo)
{
	struct domain_watch *d = arg;
	struct domain_report r = { 0 };
	bool done = domain_check(&d->set.questions[index], memo, &r);

	if (done)
		on_looked(d, &d->set.questions[index], &r);
	domain_report_deinit(&r);
	return done;
}

/* Not from within the last answer: the look ends here. */
static void end_round(void *arg)
{
	struct domain_watch *d = arg;

	domain_look_free(TAKE(d->look));
	io_timer_start(&d->timer,
		mono_add(io_now(d->loop), (d->unknown ? LOOK_SOON_S : LOOK_AGAIN_S) * US_PER_S));
}

static void on_round_over(void *arg)
{
	struct domain_watch *d = arg;

	io_task_post(d->loop, &d->task);
}

static void begin_round(void *arg)
{
	struct domain_watch *d = arg;

	d->unknown = false;
	d->look = domain_look_new(d->loop, d->dns, d->set.name_count, run_check, on_round_over, d);
}

struct domain_watch *domain_watch_new(struct io_loop *loop, const struct conf *conf,
	struct domain_watch *old, domain_event_fn *event, void *arg, struct err *err)
{
	const struct conf_general *g = conf_general(conf);
	char server[DOMAIN_SERVER_MAX] = "";
	struct domain_watch *d;
	struct io_dnssec *dns;

	if (!g->domains.watch ||
		(g->domains.dns.len && !domain_server_text(g->domains.dns, server)))
		return NULL;
	dns = io_dnssec_new(loop, g->dnssec_anchor, sv_from(server), err);
	if (!dns)
		return NULL;
	d = xcalloc(1, sizeof(*d));
	*d = (struct domain_watch){ .loop = loop,
		.dns = dns,
		.event = event,
		.arg = arg,
		.task = { .run = end_round, .arg = d } };
	domain_set_read(&d->set, conf);
	domain_set_add_all(&d->set, conf);
	domain_set_ask(&d->set, conf);
	for (size_t i = 0; i < d->set.name_count; i++) {
		struct watched *w = old ? htable_take(&old->by_name, d->set.names[i]) : NULL;

		if (!w) {
			w = xcalloc(1, sizeof(*w));
			w->state.meets = DOMAIN_MEETS_UNKNOWN;
		}
		htable_put(&d->by_name, d->set.names[i], w);
	}
	io_timer_init(&d->timer, loop, begin_round, d);
	if (d->set.name_count)
		begin_round(d);
	return d;
}

void domain_watch_free(struct domain_watch *d)
{
	if (!d)
		return;
	io_timer_stop(&d->timer);
	io_task_cancel(d->loop, &d->task);
	domain_look_free(d->look);
	io_dnssec_free(d->dns);
	htable_each (&d->by_name, slot) {
		struct watched *w = slot->value;

		free(w->why);
		free(w->step);
		free(w->change);
		for (size_t t = 0; t < DOMAIN_TOPIC_COUNT; t++)
			free(w->published[t]);
		free(w);
	}
	htable_deinit(&d->by_name);
	domain_set_deinit(&d->set);
	free(d);
}

const struct domain_state *domain_watch_get(const struct domain_watch *d, struct sv domain)
{
	const struct watched *w = d ? htable_get(&d->by_name, domain) : NULL;

	return w && w->state.looked_at.us ? &w->state : NULL;
}

void domain_watch_each(const struct domain_watch *d,
	void (*each)(void *arg, struct sv domain, const struct domain_state *state), void *arg)
{
	for (size_t i = 0; d && i < d->set.name_count; i++) {
		const struct domain_state *s = domain_watch_get(d, d->set.names[i]);

		if (s)
			each(arg, d->set.names[i], s);
	}
}
