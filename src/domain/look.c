/* SPDX-License-Identifier: Apache-2.0 */
#include "domain/look.h"

#include "base/must.h"
#include "base/time.h"

#include <stdlib.h>
#include <string.h>

struct slot;
struct asked {
	struct slot *slot;
	struct authn_question question;
	struct io_dns_look *look; /* NULL: answered */
};

/* One domain at work. */
struct slot {
	struct domain_look *l;
	size_t index;
	struct authn_memo *memo; /* NULL: free */
	struct asked *asked;
	size_t asked_count, open;
	bool late; /* its time is over: what is not known fails at once */
	struct io_timer timer;
	struct io_task task;
};

struct domain_look {
	struct io_loop *loop;
	struct io_dnssec *dns;
	size_t count, next, done_count;
	domain_run_fn *run;
	void (*finished)(void *arg);
	void *arg;
	struct slot slots[DOMAIN_AT_ONCE];
	struct authn_wire wire;
};

static const struct authn_answer no_answer = { .status = AUTHN_FAILURE, .rcode = 2 };

/* Runs what is known so far, as soon as nothing else is to be done in this round. */
static void slot_wake(struct slot *s)
{
	if (!io_task_is_queued(&s->task))
		io_task_post(s->l->loop, &s->task);
}

void domain_answer_read(struct authn_wire *w, uint16_t type, const struct io_dns_answer *answer)
{
	static const enum authn_status statuses[] = {
		AUTHN_FOUND, AUTHN_NO_DATA, AUTHN_NXDOMAIN, AUTHN_FAILURE
	};

	authn_wire_read(w, type, answer->records, answer->count);
	w->answer.status = statuses[answer->status];
	if (w->answer.status == AUTHN_FOUND && w->answer.count == 0)
		w->answer.status = AUTHN_FAILURE; /* records, and none that can be read */
	w->answer.rcode = answer->rcode;
	w->answer.secure = answer->secure;
	w->answer.cut = w->answer.cut || answer->cut;
	w->answer.ttl_s = answer->ttl_s;
	w->answer.alias = answer->alias;
}

static void on_dns(void *arg, const struct io_dns_answer *answer)
{
	struct asked *a = arg;
	struct slot *s = a->slot;
	struct authn_wire *w = &s->l->wire;

	a->look = NULL;
	s->open--;
	domain_answer_read(w, a->question.type, answer);
	authn_memo_answer(s->memo, &a->question, &w->answer);
	if (s->open == 0)
		slot_wake(s);
}

static void slot_give_up(struct slot *s)
{
	for (size_t i = 0; i < s->asked_count; i++) {
		struct asked *a = &s->asked[i];

		if (!a->look)
			continue;
		io_dns_cancel(TAKE(a->look));
		authn_memo_answer(s->memo, &a->question, &no_answer);
	}
	s->open = 0;
}

static void on_slot_late(void *arg)
{
	struct slot *s = arg;

	s->late = true;
	slot_give_up(s);
	slot_wake(s);
}

static void slot_ask(struct slot *s)
{
	struct authn_question q;

	while (authn_memo_next(s->memo, &q)) {
		struct asked *a;

		if (s->late) {
			authn_memo_answer(s->memo, &q, &no_answer);
			continue;
		}
		must(s->asked_count < DOMAIN_QUESTIONS_MAX);
		a = &s->asked[s->asked_count++];
		*a = (struct asked){ .slot = s, .question = q };
		s->open++;
		a->look = io_dns_ask(
			s->l->dns, sv_from(q.name), q.type, DOMAIN_ASK_S * US_PER_S, on_dns, a);
	}
}

static void slot_close(struct slot *s)
{
	io_timer_stop(&s->timer);
	io_task_cancel(s->l->loop, &s->task);
	slot_give_up(s);
	authn_memo_free(TAKE(s->memo));
	free(TAKE(s->asked));
	s->asked_count = 0;
	s->late = false;
}

static bool slot_take(struct slot *s)
{
	struct domain_look *l = s->l;

	if (l->next == l->count)
		return false;
	s->index = l->next++;
	s->memo = authn_memo_new(DOMAIN_QUESTIONS_MAX);
	s->asked = xcalloc(DOMAIN_QUESTIONS_MAX, sizeof(*s->asked));
	io_timer_start(&s->timer, mono_add(io_now(l->loop), DOMAIN_PATIENCE_S * US_PER_S));
	slot_wake(s);
	return true;
}

static void slot_run(void *arg)
{
	struct slot *s = arg;
	struct domain_look *l = s->l;

	while (!l->run(l->arg, s->index, s->memo)) {
		slot_ask(s);
		if (s->open)
			return;
	}
	slot_close(s);
	l->done_count++;
	if (!slot_take(s) && l->done_count == l->count && l->finished)
		l->finished(l->arg);
}

struct domain_look *domain_look_new(struct io_loop *loop, struct io_dnssec *dns, size_t count,
	domain_run_fn *run, void (*finished)(void *arg), void *arg)
{
	struct domain_look *l = xcalloc(1, sizeof(*l));

	*l = (struct domain_look){ .loop = loop,
		.dns = dns,
		.count = count,
		.run = run,
		.finished = finished,
		.arg = arg };
	authn_wire_init(&l->wire);
	for (size_t i = 0; i < DOMAIN_AT_ONCE; i++) {
		struct slot *s = &l->slots[i];

		s->l = l;
		s->task = (struct io_task){ .run = slot_run, .arg = s };
		io_timer_init(&s->timer, loop, on_slot_late, s);
		(void)slot_take(s);
	}
	return l;
}

void domain_look_free(struct domain_look *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < DOMAIN_AT_ONCE; i++) {
		if (l->slots[i].memo)
			slot_close(&l->slots[i]);
	}
	authn_wire_deinit(&l->wire);
	free(l);
}
