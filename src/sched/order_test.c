/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/test_order.h"

#include "base/must.h"

#include "cmocka_all.h"

#include <malloc.h>
#include <stdio.h>

/* What leaves next, and by which door. sched/order_model_test.c compares with a model under random schedules. */

static const struct sched_taker_state held = { .is_configured = true, .held = true };
static const struct sched_taker_state held_elsewhere = {
	.is_configured = true, .held = true, .may_elsewhere = true
};

static struct sched_flow *outside(struct sched_order *o, const char *queue)
{
	return sched_flow_get(o,
		&(struct mail_flow){ .queue = sv_from(queue),
			.class = MAIL_CLASS_NORMAL,
			.principal = SV("erp"),
			.external = true });
}

/* Whose mail it would take now; nothing is taken. */
static struct sched_flow *offered(struct sched_taker *t)
{
	struct sched_pick p;

	if (!sched_pick(t, SOON, &all, &p))
		return NULL;
	sched_pick_withdraw(&p);
	return p.flow;
}

/* ---- by which door ---- */

static void mail_leaves_by_the_first_door_that_takes_it(void **state)
{
	struct sched_order *o = sched_order_new(1);
	struct sched_taker *second = door(o, "m:a", 1), *first = door(o, "m:a", 0);
	struct sched_flow *f = normal(o, "m:a");

	(void)state;
	sched_flow_add(f, 3, AT(0));
	assert_ptr_equal(sched_flow_taker(f), first);
	assert_null(offered(second));
	assert_ptr_equal(offered(first), f);
	/* A hold that mail sits out. */
	sched_taker_set(first, &held);
	assert_null(sched_flow_taker(f));
	assert_null(offered(first));
	assert_null(offered(second));
	sched_taker_set(first, &held_elsewhere);
	assert_ptr_equal(sched_flow_taker(f), second);
	assert_ptr_equal(offered(second), f);
	sched_taker_set(first, &ready);
	assert_null(offered(second));
	assert_ptr_equal(offered(first), f);
	/* A reload turns the doors round, then takes one away. */
	sched_taker_rank(second, 0);
	sched_taker_rank(first, 1);
	assert_ptr_equal(offered(second), f);
	sched_taker_set(second, &(struct sched_taker_state){ 0 });
	assert_ptr_equal(offered(first), f);
	sched_order_free(o);
}

static void the_next_member_has_it_while_the_first_lets_it_go(void **state)
{
	struct sched_order *o = sched_order_new(1);
	struct sched_taker *a = door(o, "m:a", 0), *b = door(o, "m:b", 0), *c = door(o, "c:lab", 0);
	struct sched_flow *f = normal(o, "m:a\nm:b\nc:lab"), *own = normal(o, "m:b");

	(void)state;
	sched_flow_add(f, 1, AT(0));
	sched_taker_set(a, &held_elsewhere);
	assert_ptr_equal(offered(b), f);
	sched_taker_set(b, &held);
	/* It waits there; the third is not asked. */
	assert_null(sched_flow_taker(f));
	assert_null(offered(c));
	sched_taker_set(b, &held_elsewhere);
	assert_ptr_equal(offered(c), f);
	sched_flow_add(own, 1, AT(0));
	assert_null(sched_flow_taker(own));
	sched_taker_set(c, &held_elsewhere);
	assert_null(sched_flow_taker(f));
	sched_taker_set(a, &ready);
	assert_ptr_equal(offered(a), f);
	sched_taker_set(b, &ready);
	assert_ptr_equal(offered(b), own);
	sched_order_free(o);
}

static void a_member_that_is_gone_is_passed_over(void **state)
{
	struct sched_order *o = sched_order_new(1);
	struct sched_taker *b;
	struct sched_flow *f = normal(o, "m:gone\nm:b"), *none = normal(o, "");

	(void)state;
	sched_flow_add(f, 1, AT(0));
	sched_flow_add(none, 1, AT(0));
	assert_null(sched_flow_taker(f));
	b = door(o, "m:b", 0);
	assert_ptr_equal(sched_flow_taker(f), b);
	assert_ptr_equal(sched_wake(o, SOON), b);
	assert_ptr_equal(offered(b), f);
	sched_taker_free(b);
	assert_null(sched_flow_taker(f));
	assert_null(sched_flow_taker(none));
	sched_order_free(o);
}

static void only_mail_to_the_outside_is_held_or_goes_elsewhere(void **state)
{
	struct sched_taker_state s = { .is_configured = true, .external_held = true };
	struct sched_order *o = sched_order_new(1);
	struct sched_taker *hve = door(o, "m:a", 0), *smtp = door(o, "m:a", 1);
	struct sched_flow *in = normal(o, "m:a"), *out = outside(o, "m:a");

	(void)state;
	sched_flow_add(out, 1, AT(0));
	assert_ptr_equal(offered(hve), out);
	sched_taker_set(hve, &s);
	assert_null(offered(hve));
	assert_null(offered(smtp));
	sched_flow_add(in, 1, AT(1));
	assert_ptr_equal(offered(hve), in);
	s.external_elsewhere = true;
	sched_taker_set(hve, &s);
	assert_ptr_equal(sched_flow_taker(out), smtp);
	assert_ptr_equal(offered(smtp), out);
	assert_ptr_equal(offered(hve), in);
	sched_taker_set(hve, &ready);
	/* It is due earlier. */
	assert_ptr_equal(offered(hve), out);
	assert_null(offered(smtp));
	sched_order_free(o);
}

static void a_held_sender_waits_apart(void **state)
{
	struct sched_order *o = sched_order_new(1);
	struct sched_taker *a = door(o, "m:a", 0), *b = door(o, "m:b", 0);
	const struct mail_flow key = { .queue = SV("m:a\nm:b"),
		.class = MAIL_CLASS_NORMAL,
		.principal = SV("erp"),
		.sender = SV("boss@example.com") };
	struct sched_flow *apart, *other = normal(o, "m:a\nm:b");

	(void)state;
	sched_sender_set(a, SV("boss@example.com"), true);
	apart = sched_flow_get(o, &key);
	sched_flow_add(apart, 1, AT(0));
	assert_null(offered(a));
	assert_null(sched_flow_taker(apart));
	sched_flow_add(other, 1, AT(1));
	assert_ptr_equal(offered(a), other);
	/* It is held there, not everywhere. */
	sched_taker_set(a, &held_elsewhere);
	assert_ptr_equal(offered(b), apart);
	sched_sender_set(b, SV("boss@example.com"), true);
	assert_ptr_equal(offered(b), other);
	sched_taker_set(a, &ready);
	sched_sender_set(a, SV("boss@example.com"), false);
	assert_ptr_equal(offered(a), apart);
	sched_order_free(o);
}

/* A probe of all mail goes to the inside while the outside is held: what may not leave is no probe. */
static void a_probe_stays_inside_while_the_outside_is_held(void **state)
{
	struct sched_order *o = sched_order_new(1);
	struct sched_taker *a = door(o, "m:a", 0);
	struct sched_flow *out = outside(o, "m:a"), *in = normal(o, "m:a");
	struct sched_taker_state s = ready;

	(void)state;
	s.held = s.probing = s.external_held = true;
	sched_taker_set(a, &s);
	sched_flow_add(out, 1, AT(0));
	assert_null(offered(a));
	assert_int_equal(sched_due_count(a, SOON), 0);
	sched_flow_add(in, 1, AT(1));
	assert_int_equal(sched_due_count(a, SOON), 1);
	assert_ptr_equal(offered(a), in);
	s.external_held = false;
	sched_taker_set(a, &s);
	assert_ptr_equal(offered(a), out);
	sched_order_free(o);
}

/* Of two doors of a mailbox each has its own: one that is shut for a sender says nothing of the other. */
static void a_sender_is_held_at_one_door(void **state)
{
	struct sched_order *o = sched_order_new(1);
	struct sched_taker *a = door(o, "m:a", 0), *b = door(o, "m:a", 1);
	const struct mail_flow key = { .queue = SV("m:a"),
		.class = MAIL_CLASS_NORMAL,
		.principal = SV("erp"),
		.sender = SV("boss@example.com") };
	struct sched_flow *f = sched_flow_get(o, &key);

	(void)state;
	sched_flow_add(f, 1, AT(0));
	sched_sender_set(b, SV("boss@example.com"), true);
	assert_ptr_equal(offered(a), f);
	sched_sender_set(a, SV("boss@example.com"), true);
	sched_sender_set(b, SV("boss@example.com"), false);
	assert_null(offered(a));
	sched_taker_set(a, &held_elsewhere);
	assert_ptr_equal(offered(b), f);
	sched_order_free(o);
}

static void a_probe_tries_what_goes_elsewhere_meanwhile(void **state)
{
	const struct sched_taker_state probe = {
		.is_configured = true, .held = true, .may_elsewhere = true, .probing = true
	};
	struct sched_order *o = sched_order_new(1);
	struct sched_taker *a = door(o, "m:a", 0), *b = door(o, "m:b", 0);
	struct sched_flow *f = normal(o, "m:a\nm:b"), *own = normal(o, "m:b");
	struct sched_pick p;

	(void)state;
	sched_taker_set(a, &probe);
	sched_flow_add(own, 1, AT(0));
	assert_null(offered(a));
	assert_int_equal(sched_due_count(a, SOON), 0);
	sched_flow_add(f, 5, AT(1));
	assert_int_equal(sched_due_count(a, SOON), 1);
	assert_true(sched_pick(a, SOON, &all, &p));
	assert_ptr_equal(p.flow, f);
	/* The others do not wait for it. */
	assert_ptr_equal(sched_flow_taker(f), b);
	sched_took(&p, 1, AT(1));
	sched_taker_set(b, &held_elsewhere);
	assert_ptr_equal(offered(a), f);
	assert_false(sched_may_pass(f, a, SOON));
	sched_taker_set(a, &held_elsewhere);
	assert_null(offered(a));
	sched_order_free(o);
}

/* ---- when, and who is told ---- */

static void mail_is_taken_when_it_is_due(void **state)
{
	struct sched_order *o = sched_order_new(1);
	struct sched_taker *a = door(o, "m:a", 0);
	struct sched_flow *f = normal(o, "m:a");
	struct sched_pick p;

	(void)state;
	assert_true(sched_order_next(o).us == SCHED_NEVER.us);
	assert_null(sched_wake(o, AT(1)));
	sched_flow_add(f, 1, AT(20));
	sched_flow_add(f, 1, AT(10));
	sched_flow_add(f, 1, AT(20));
	assert_true(sched_order_next(o).us == AT(10).us);
	assert_null(sched_wake(o, AT(9)));
	assert_false(sched_pick(a, AT(9), &all, &p));
	assert_ptr_equal(sched_wake(o, AT(10)), a);
	assert_null(sched_wake(o, AT(10)));
	assert_true(sched_pick(a, AT(10), &all, &p));
	assert_int_equal(p.wanted, 3);
	sched_took(&p, 1, AT(20));
	assert_int_equal(sched_flow_waiting(f), 2);
	assert_false(sched_pick(a, AT(19), &all, &p));
	/* An operator wants it now; later it all expires. */
	sched_flow_add(f, 0, AT(19));
	assert_ptr_equal(sched_wake(o, AT(19)), a);
	assert_ptr_equal(offered(a), f);
	sched_flow_left(f, 2);
	assert_null(offered(a));
	assert_true(sched_order_next(o).us == SCHED_NEVER.us);
	sched_order_free(o);
}

static void no_more_picks_than_recipients(void **state)
{
	struct sched_order *o = sched_order_new(1);
	struct sched_taker *a = door(o, "m:a", 0);
	struct sched_flow *f = normal(o, "m:a");
	struct sched_pick p[4];

	(void)state;
	(void)sched_wake(o, SOON);
	sched_flow_add(f, 3, AT(0));
	for (size_t i = 0; i < 3; i++)
		assert_true(sched_pick(a, SOON, &all, &p[i]));
	assert_int_equal(p[2].wanted, 1);
	assert_false(sched_pick(a, SOON, &all, &p[3]));
	sched_took(&p[0], 1, AT(0));
	/* The others may have them. */
	assert_null(sched_wake(o, SOON));
	sched_took(&p[1], 1, AT(0));
	sched_pick_withdraw(&p[2]);
	assert_ptr_equal(sched_wake(o, SOON), a);
	assert_true(sched_pick(a, SOON, &all, &p[3]));
	sched_took(&p[3], 1, SCHED_NEVER);
	assert_false(sched_pick(a, SOON, &all, &p[3]));
	assert_int_equal(sched_flow_waiting(f), 0);
	sched_order_free(o);
}

static void what_comes_during_a_take_is_not_forgotten(void **state)
{
	struct sched_order *o = sched_order_new(1);
	struct sched_taker *a = door(o, "m:a", 0);
	struct sched_flow *f = normal(o, "m:a");
	struct sched_pick p;

	(void)state;
	(void)sched_wake(o, SOON);
	sched_flow_add(f, 1, AT(0));
	assert_true(sched_pick(a, SOON, &all, &p));
	sched_flow_add(f, 2, AT(5));
	sched_flow_add(f, 2, AT(200));
	/* It looked before they came: nothing is left, as far as it knows. */
	sched_took(&p, 1, SCHED_NEVER);
	assert_int_equal(sched_flow_waiting(f), 4);
	assert_true(sched_pick(a, SOON, &all, &p));
	sched_took(&p, 2, AT(200));
	assert_int_equal(sched_flow_waiting(f), 2);
	assert_null(offered(a));
	assert_true(sched_order_next(o).us == AT(200).us);
	assert_ptr_equal(sched_wake(o, AT(200)), a);
	/* Two ends in the wrong order: the older one knows less. */
	sched_flow_add(f, 4, AT(150));
	{
		struct sched_pick first, second;

		assert_true(sched_pick(a, AT(200), &all, &first));
		assert_true(sched_pick(a, AT(200), &all, &second));
		sched_flow_add(f, 3, AT(300));
		sched_took(&second, 5, SCHED_NEVER);
		sched_took(&first, 1, AT(150));
	}
	assert_true(sched_order_next(o).us <= AT(300).us);
	assert_true(sched_flow_waiting(f) > 0);
	assert_true(sched_pick(a, AT(300), &all, &p));
	sched_order_free(o);
}

/* The end that comes last knows less, and takes off again what is gone: that must not hide what came since. */
static void ends_in_the_wrong_order_hide_nothing(void **state)
{
	struct sched_order *o = sched_order_new(1);
	struct sched_taker *a = door(o, "m:a", 0);
	struct sched_flow *f = normal(o, "m:a");
	struct sched_pick first, second;

	(void)state;
	(void)sched_wake(o, SOON);
	sched_flow_add(f, 6, AT(0));
	assert_true(sched_pick(a, SOON, &all, &first));
	assert_true(sched_pick(a, SOON, &all, &second));
	/* The first takes three, the second as many; then four come, of which three expire. */
	sched_flow_add(f, 4, AT(0));
	sched_took(&second, 3, SCHED_NEVER);
	sched_took(&first, 3, AT(0));
	sched_flow_left(f, 3);
	assert_ptr_equal(offered(a), f);
	assert_true(sched_pick(a, SOON, &all, &first));
	sched_took(&first, 1, SCHED_NEVER);
	assert_int_equal(sched_flow_waiting(f), 0);
	assert_null(offered(a));
	sched_order_free(o);
}

/* A take that has found nothing although something is due, as none of it fits: not again at once. */
static void a_take_in_vain_is_not_repeated_at_once(void **state)
{
	struct sched_order *o = sched_order_new(1);
	struct sched_taker *a = door(o, "m:a", 0);
	struct sched_flow *f = normal(o, "m:a");
	struct sched_pick p;

	(void)state;
	sched_flow_add(f, 2, AT(0));
	assert_true(sched_pick(a, SOON, &all, &p));
	sched_took(&p, 0, AT(0));
	assert_false(sched_pick(a, SOON, &all, &p));
	assert_true(sched_order_next(o).us > SOON.us && sched_order_next(o).us <= AT(101).us);
	assert_ptr_equal(sched_wake(o, AT(101)), a);
	sched_order_free(o);
}

static void who_has_been_named_asks_by_itself(void **state)
{
	struct sched_order *o = sched_order_new(1);
	struct sched_taker *a = door(o, "m:a", 0), *b = door(o, "m:b", 0);
	struct sched_flow *f = normal(o, "m:a"), *g = normal(o, "m:b");
	struct sched_pick p;

	(void)state;
	(void)sched_wake(o, SOON);
	sched_flow_add(f, 1, AT(0));
	sched_flow_add(g, 1, AT(0));
	assert_ptr_equal(sched_wake(o, SOON), a);
	assert_ptr_equal(sched_wake(o, SOON), b);
	assert_null(sched_wake(o, SOON));
	sched_flow_add(f, 1, AT(0));
	assert_null(sched_wake(o, SOON));
	/* No room: its owner knows when there is. */
	assert_false(sched_pick(a, SOON, &(struct sched_room){ 0, 0 }, &p));
	assert_null(sched_wake(o, SOON));
	/* Held meanwhile: named when that is over. */
	sched_taker_set(b, &held);
	sched_taker_set(b, &ready);
	assert_ptr_equal(sched_wake(o, SOON), b);
	/* What another took in between. */
	sched_flow_left(g, 1);
	assert_false(sched_pick(b, SOON, &all, &p));
	sched_flow_add(g, 1, AT(0));
	sched_flow_left(g, 1);
	assert_null(sched_wake(o, SOON));
	sched_flow_add(g, 1, AT(0));
	assert_ptr_equal(sched_wake(o, SOON), b);
	sched_order_free(o);
}

static void who_watches_is_named_for_what_comes(void **state)
{
	struct sched_order *o = sched_order_new(1);
	struct sched_taker *a = door(o, "m:a", 0);
	struct sched_flow *f = normal(o, "m:a");
	struct sched_pick p;

	(void)state;
	sched_flow_add(f, 1, AT(0));
	assert_ptr_equal(sched_wake(o, SOON), a);
	assert_true(sched_pick(a, SOON, &all, &p));
	sched_took(&p, 1, SCHED_NEVER);
	/* Its one connection is busy; for more it would open another. */
	sched_taker_watch(a);
	assert_null(sched_wake(o, SOON));
	sched_flow_add(f, 1, AT(0));
	assert_ptr_equal(sched_wake(o, SOON), a);
	/* What there is is not told again; what becomes due is. */
	sched_taker_watch(a);
	assert_null(sched_wake(o, SOON));
	assert_true(sched_pick(a, SOON, &all, &p));
	sched_took(&p, 1, SCHED_NEVER);
	sched_taker_watch(a);
	sched_flow_add(f, 1, AT(200));
	assert_null(sched_wake(o, SOON));
	assert_ptr_equal(sched_wake(o, AT(200)), a);
	sched_order_free(o);
}

static void new_mail_passes_unless_as_good_mail_waits(void **state)
{
	struct sched_order *o = sched_order_new(1);
	struct sched_taker *a = door(o, "m:a", 0), *b = door(o, "m:b", 0);
	struct sched_flow *f = normal(o, "m:a"), *bulk, *urgent;

	(void)state;
	bulk = flow_of(o, "m:a", MAIL_CLASS_BULK, "news");
	urgent = flow_of(o, "m:a", MAIL_CLASS_TRANSACTIONAL, "shop");
	assert_true(sched_may_pass(f, a, SOON));
	assert_false(sched_may_pass(f, b, SOON));
	sched_flow_add(bulk, 9, AT(0));
	assert_true(sched_may_pass(f, a, SOON));
	assert_false(sched_may_pass(bulk, a, SOON));
	sched_flow_add(normal(o, "m:a"), 1, AT(150));
	assert_true(sched_may_pass(f, a, AT(149)));
	assert_false(sched_may_pass(f, a, AT(150)));
	assert_true(sched_may_pass(urgent, a, AT(150)));
	sched_taker_set(a, &held);
	assert_false(sched_may_pass(urgent, a, AT(150)));
	sched_order_free(o);
}

static void a_taker_goes_while_its_takes_are_under_way(void **state)
{
	struct sched_order *o = sched_order_new(1);
	struct sched_taker *a = door(o, "m:a", 0), *b = door(o, "m:b", 0);
	struct sched_flow *f = normal(o, "m:a\nm:b");
	struct sched_pick p, lost;

	(void)state;
	sched_flow_add(f, 3, AT(0));
	assert_true(sched_pick(a, SOON, &all, &p));
	assert_true(sched_pick(a, SOON, &all, &lost));
	sched_taker_free(a);
	assert_ptr_equal(offered(b), f);
	sched_took(&p, 1, AT(0));
	assert_int_equal(sched_flow_waiting(f), 2);
	/* `lost` never ends. */
	sched_order_free(o);
}

static void the_flows_of_a_principal_go_by_due_time(void **state)
{
	struct sched_order *o = sched_order_new(1);
	struct sched_taker *t = door(o, "m:a", 0);
	struct sched_flow *in = normal(o, "m:a"), *out = outside(o, "m:a");
	struct sched_flow *other = normal(o, "m:a\nc:lab");
	struct sched_pick p;

	(void)state;
	door(o, "c:lab", 0);
	(void)sched_wake(o, SOON);
	sched_flow_add(in, 10, AT(30));
	sched_flow_add(other, 10, AT(20));
	sched_flow_add(out, 10, AT(10));
	assert_true(sched_pick(t, SOON, &all, &p));
	assert_ptr_equal(p.flow, out);
	sched_took(&p, 1, AT(25));
	assert_true(sched_pick(t, SOON, &all, &p));
	assert_ptr_equal(p.flow, other);
	sched_took(&p, 1, AT(40));
	assert_true(sched_pick(t, SOON, &all, &p));
	assert_ptr_equal(p.flow, out);
	sched_took(&p, 10, SCHED_NEVER);
	assert_ptr_equal(offered(t), in);
	sched_order_free(o);
}

/* ---- many ---- */

static void a_change_is_felt_by_ten_thousand(void **state)
{
	struct sched_order *o = sched_order_new(1);
	struct sched_taker *last = door(o, "c:last", 0), *own[100];
	unsigned named = 0;

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		char member[] = "m:00", queue[] = "m:00\nc:last";

		member[2] = queue[2] = (char)('0' + i / 10);
		member[3] = queue[3] = (char)('0' + i % 10);
		own[i] = door(o, member, 0);
		for (unsigned k = 0; k < 100; k++) {
			char who[] = "p00";

			who[1] = (char)('0' + k / 10);
			who[2] = (char)('0' + k % 10);
			sched_flow_add(flow_of(o, queue, MAIL_CLASS_NORMAL, who), 2, AT(0));
		}
	}
	while (sched_wake(o, SOON))
		named++;
	assert_int_equal(named, 100);
	assert_int_equal(sched_due_count(last, SOON), 0);
	for (unsigned i = 0; i < 100; i++)
		sched_taker_set(own[i], &held_elsewhere);
	assert_int_equal(sched_due_count(last, SOON), 20000);
	assert_ptr_equal(sched_wake(o, SOON), last);
	for (unsigned i = 0; i < 100; i++)
		sched_taker_set(own[i], &ready);
	assert_int_equal(sched_due_count(last, SOON), 0);
	assert_int_equal(sched_due_count(own[7], SOON), 200);
	sched_order_free(o);
}

/* A flow of its own for a message of a sender that nobody has seen before. */
static void one_of_a_kind(struct sched_order *o, struct sched_taker *t, unsigned i)
{
	char who[16], sender[32];
	struct sched_flow *f;
	struct sched_pick p;

	must(snprintf(who, sizeof(who), "p%07u", i) > 0);
	must(snprintf(sender, sizeof(sender), "s%07u@example.com", i) > 0);
	f = sched_flow_get(o,
		&(struct mail_flow){
			.queue = SV("m:a"), .principal = sv_from(who), .sender = sv_from(sender) });
	sched_flow_add(f, 1, AT(0));
	assert_true(sched_pick(t, SOON, &all, &p));
	assert_ptr_equal(p.flow, f);
	sched_took(&p, 1, SCHED_NEVER);
}

static void empty_flows_are_forgotten(void **state)
{
	struct sched_order *o = sched_order_new(1);
	struct sched_taker *t = door(o, "m:a", 0);
	struct sched_flow *stays = flow_of(o, "m:a", MAIL_CLASS_NORMAL, "stays");
	size_t before = 0, after;

	(void)state;
	sched_flow_add(stays, 1, AT(500));
	for (unsigned i = 0; i < 8 * SCHED_FLOWS_EMPTY; i++) {
		if (i == 2 * SCHED_FLOWS_EMPTY)
			before = mallinfo2().uordblks;
		one_of_a_kind(o, t, i);
	}
	/* Under a sanitizer both are 0, and only the pointers are looked at. */
	after = mallinfo2().uordblks;
	assert_in_range(after, before - before / 20, before + before / 20);
	assert_ptr_equal(flow_of(o, "m:a", MAIL_CLASS_NORMAL, "stays"), stays);
	assert_int_equal(sched_flow_waiting(stays), 1);
	assert_true(sv_eq(sched_flow_key(stays)->principal, SV("stays")));
	sched_order_free(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mail_leaves_by_the_first_door_that_takes_it),
		cmocka_unit_test(the_next_member_has_it_while_the_first_lets_it_go),
		cmocka_unit_test(a_member_that_is_gone_is_passed_over),
		cmocka_unit_test(only_mail_to_the_outside_is_held_or_goes_elsewhere),
		cmocka_unit_test(a_held_sender_waits_apart),
		cmocka_unit_test(a_probe_stays_inside_while_the_outside_is_held),
		cmocka_unit_test(a_sender_is_held_at_one_door),
		cmocka_unit_test(a_probe_tries_what_goes_elsewhere_meanwhile),
		cmocka_unit_test(mail_is_taken_when_it_is_due),
		cmocka_unit_test(no_more_picks_than_recipients),
		cmocka_unit_test(what_comes_during_a_take_is_not_forgotten),
		cmocka_unit_test(ends_in_the_wrong_order_hide_nothing),
		cmocka_unit_test(a_take_in_vain_is_not_repeated_at_once),
		cmocka_unit_test(who_has_been_named_asks_by_itself),
		cmocka_unit_test(who_watches_is_named_for_what_comes),
		cmocka_unit_test(new_mail_passes_unless_as_good_mail_waits),
		cmocka_unit_test(a_taker_goes_while_its_takes_are_under_way),
		cmocka_unit_test(the_flows_of_a_principal_go_by_due_time),
		cmocka_unit_test(a_change_is_felt_by_ten_thousand),
		cmocka_unit_test(empty_flows_are_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
