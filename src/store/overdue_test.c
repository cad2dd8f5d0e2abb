/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store.h"

#include "store/store_priv.h"
#include "store/test_bench.h"

/* The time at which waiting mail is looked at for its age, from its acceptance to its end. */

static uint64_t put_with(struct bench *b, size_t recipients, int64_t look_at, bool claimed)
{
	struct mail mail;

	mail_make(b, &mail, recipients, "submission/a");
	for (size_t i = 0; i < recipients; i++)
		mail.recipients[i].look_at.us = look_at;
	assert_int_equal(
		claimed ? bench_put_claimed(b, &mail, SV("body")) : bench_put(b, &mail, SV("body")),
		0);
	mail_free(&mail);
	return mail.m.id;
}

struct looked {
	size_t messages, recipients;
	uint64_t first, last;
	int64_t next;
	struct store_recipient one; /* without its texts */
};

static struct looked look(struct bench *b, int64_t until, uint32_t limit)
{
	struct arena a = { 0 };
	struct store_look op = {
		.op.kind = STORE_OP_LOOK, .until.us = until, .limit = limit, .out_arena = &a
	};
	struct looked l;

	assert_int_equal(bench_run(b, &op.op), 0);
	l = (struct looked){ .messages = op.out_count, .next = op.out_next_at.us };
	for (size_t i = 0; i < op.out_count; i++) {
		const struct store_message *m = &op.out_messages[i];

		l.recipients += m->recipient_count;
		l.first = i ? l.first : m->id;
		l.last = m->id;
		l.one = m->recipients[0];
	}
	arena_reset(&a);
	return l;
}

static void look_later(struct bench *b, uint64_t id, uint32_t index, int64_t at)
{
	const struct store_look_at to = { id, index, { at } };
	struct store_look_later op = { .op.kind = STORE_OP_LOOK_LATER, .looks = &to, .count = 1 };

	assert_int_equal(bench_run(b, &op.op), 0);
}

static int change(struct bench *b, uint64_t id, uint32_t attempt, enum store_recipient_state state,
	int64_t look_at)
{
	const struct store_recipient_outcome to = { .state = state,
		.next_at.us = 5,
		.look_at.us = look_at,
		.verdict.cause = CAUSE_GREYLISTED };
	struct store_outcome op = { .op.kind = STORE_OP_OUTCOME,
		.message_id = id,
		.attempt = attempt,
		.at = io_clock_wall(),
		.recipients = &to,
		.recipient_count = 1 };

	return bench_run(b, &op.op);
}

static void edit(struct bench *b, enum store_edit_kind kind)
{
	struct store_edit op = {
		.op.kind = STORE_OP_EDIT, .kind = kind, .filter.state = -1, .at = io_clock_wall()
	};

	assert_int_equal(bench_run(b, &op.op), 0);
}

/* Due or not, in the order of their times; a page is bounded. */
static void looks_come_in_their_order(void **state)
{
	struct bench *b = *state;
	uint64_t late, early, soon;
	struct looked l;

	bench_open(b);
	late = put_with(b, 2, 300, false);
	early = put_with(b, 1, 100, false);
	soon = put_with(b, 1, 0, false);
	l = look(b, 99, 10);
	assert_int_equal(l.messages, 1);
	assert_true(l.first == soon && l.next == 100);
	l = look(b, 100, 10);
	assert_int_equal(l.messages, 2);
	assert_true(l.first == soon && l.last == early && l.next == 300);
	l = look(b, 1000, 1);
	assert_true(l.messages == 1 && l.first == soon && l.next == 100);
	l = look(b, 1000, 10);
	assert_true(l.messages == 3 && l.recipients == 4 && l.last == late);
	assert_true(l.next == INT64_MAX);
	look_later(b, soon, 0, 200);
	look_later(b, late, 1, 50);
	/* Its recipients have different times now. */
	l = look(b, 100, 10);
	assert_true(l.messages == 2 && l.first == late && l.recipients == 2 && l.next == 200);
	assert_int_equal(l.one.look_at.us, 100);
	bench_reopen(b);
	assert_int_equal(look(b, 100, 10).messages, 2);
	shut_and_audit(b);
}

static void the_time_stays_through_attempts_and_holds(void **state)
{
	struct bench *b = *state;
	uint32_t zero = 0, number = 0;
	uint64_t id;

	bench_open(b);
	id = put_with(b, 1, 100, true);
	assert_int_equal(look(b, 1000, 10).messages, 0);
	assert_int_equal(change(b, id, 1, STORE_RCPT_QUEUED, 0), 0);
	assert_int_equal(look(b, 1000, 10).one.look_at.us, 100);
	assert_int_equal(bench_claim(b, id, &zero, 1, "submission/a", &number), 0);
	/* What is in an attempt is left alone. */
	look_later(b, id, 0, 7);
	assert_true(look(b, 1000, 10).next == INT64_MAX);
	assert_int_equal(change(b, id, number, STORE_RCPT_QUEUED, 0), 0);
	assert_int_equal(look(b, 1000, 10).one.look_at.us, 100);
	assert_int_equal(change(b, id, 0, STORE_RCPT_QUEUED, 300), 0);
	assert_int_equal(look(b, 1000, 10).one.look_at.us, 300);
	edit(b, STORE_EDIT_HOLD);
	assert_int_equal(look(b, INT64_MAX, 10).messages, 0);
	edit(b, STORE_EDIT_RELEASE);
	assert_int_equal(look(b, 1000, 10).one.look_at.us, 300);
	assert_int_equal(change(b, id, 0, STORE_RCPT_EXPIRED, 400), 0);
	assert_int_equal(look(b, INT64_MAX, 10).messages, 0);
	/* A crash in between is no end of it. */
	(void)put_with(b, 1, 100, true);
	bench_reopen(b);
	bench_resolve(b, STORE_UNCERTAIN_RETRY);
	assert_int_equal(look(b, 1000, 10).one.look_at.us, 100);
	edit(b, STORE_EDIT_DROP);
	assert_int_equal(look(b, INT64_MAX, 10).messages, 0);
	shut_and_audit(b);
}

static void large_messages_are_looked_at_in_pieces(void **state)
{
	struct bench *b = *state;
	struct store_look_at *to = xcalloc(LIMIT_PAGE, sizeof(*to));
	size_t seen = 0;

	bench_open(b);
	(void)put_with(b, 2 * LIMIT_PAGE + 10, 100, false);
	(void)put_with(b, 1, 100, false);
	for (struct looked l = look(b, 100, 10); l.messages; l = look(b, 100, 10)) {
		struct store_look_later op = {
			.op.kind = STORE_OP_LOOK_LATER, .looks = to, .count = l.recipients
		};

		assert_true(l.recipients <= LIMIT_PAGE);
		for (size_t i = 0; i < l.recipients; i++)
			to[i] = (struct store_look_at){
				l.first, l.messages == 1 ? (uint32_t)(seen + i) : 0, { 200 }
			};
		if (l.messages > 1) {
			/* The rest of the large one, and the small one. */
			for (size_t i = 0; i + 1 < l.recipients; i++)
				to[i].index = (uint32_t)(seen + i);
			to[l.recipients - 1].message_id = l.last;
		}
		assert_int_equal(bench_run(b, &op.op), 0);
		seen += l.recipients;
	}
	assert_int_equal(seen, 2 * LIMIT_PAGE + 11);
	shut_and_audit(b);
	free(to);
}

/* What a clock that was ahead has planned is found at the start, without a look at all. */
static void the_last_due_of_a_flow_is_known(void **state)
{
	struct bench *b = *state;
	struct arena a = { 0 };
	struct store_flows flows = { .op.kind = STORE_OP_FLOWS, .out_arena = &a };
	struct mail mail;

	bench_open(b);
	mail_make(b, &mail, 3, "submission/a");
	mail.recipients[1].next_at.us = INT64_C(1) << 60;
	mail.recipients[2].state = STORE_RCPT_HELD;
	assert_int_equal(bench_put(b, &mail, SV("body")), 0);
	mail_free(&mail);
	mail_make(b, &mail, 1, "submission/b");
	mail.recipients[0].state = STORE_RCPT_HELD;
	assert_int_equal(bench_put(b, &mail, SV("body")), 0);
	mail_free(&mail);
	assert_int_equal(bench_run(b, &flows.op), 0);
	assert_int_equal(flows.out_count, 1);
	assert_int_equal(flows.out_flows[0].last_at.us, INT64_C(1) << 60);
	assert_int_equal(flows.out_flows[0].waiting, 2);
	assert_int_equal(flows.out_flows[0].bytes, 8);
	arena_reset(&a);
	shut_and_audit(b);
}

/* And becomes due, and nothing else does: not what is due soon, nor what a person holds. */
static void what_is_due_in_years_can_be_made_due(void **state)
{
	struct bench *b = *state;
	struct arena a = { 0 };
	struct store_flows flows = { .op.kind = STORE_OP_FLOWS, .out_arena = &a };
	struct store_edit edit = { .op.kind = STORE_OP_EDIT,
		.kind = STORE_EDIT_RETRY,
		.filter = { .state = -1, .waiting_only = true, .due_after.us = 1000 },
		.at.us = 500 };
	struct mail mail;

	bench_open(b);
	mail_make(b, &mail, 4, "submission/a");
	mail.recipients[0].next_at.us = 1000;
	mail.recipients[1].next_at.us = 1001;
	mail.recipients[2].next_at.us = INT64_C(1) << 60;
	mail.recipients[3].state = STORE_RCPT_HELD;
	assert_int_equal(bench_put(b, &mail, SV("body")), 0);
	mail_free(&mail);
	assert_int_equal(bench_run(b, &edit.op), 0);
	assert_int_equal(edit.out_changed, 2);
	assert_false(edit.out_more);
	assert_int_equal(bench_run(b, &flows.op), 0);
	assert_int_equal(flows.out_flows[0].next_at.us, 500);
	assert_int_equal(flows.out_flows[0].last_at.us, 1000);
	assert_int_equal(flows.out_flows[0].waiting, 3);
	arena_reset(&a);
	shut_and_audit(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH_TEST(looks_come_in_their_order),
		BENCH_TEST(the_time_stays_through_attempts_and_holds),
		BENCH_TEST(large_messages_are_looked_at_in_pieces),
		BENCH_TEST(the_last_due_of_a_flow_is_known),
		BENCH_TEST(what_is_due_in_years_can_be_made_due),
	};

	return cmocka_run_group_tests_name("overdue", tests, NULL, NULL);
}
