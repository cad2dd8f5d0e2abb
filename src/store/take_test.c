/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store.h"

#include "store/store_priv.h"
#include "store/test_bench.h"

/* TAKE: which message of a flow, which of its recipients, and what stands in the queue then. */

struct asked {
	struct store_take op;
	struct arena arena;
	struct buf body;
};

static void ask_make(struct asked *a, const struct mail_flow *flow, uint32_t wanted)
{
	*a = (struct asked){ .op = { .op.kind = STORE_OP_TAKE,
				     .flow = flow,
				     .lane = SV("smtp/lab"),
				     .now = io_clock_wall(),
				     .at = io_clock_wall(),
				     .wanted = wanted } };
	buf_init(&a->body, LIMIT_CHUNK);
	a->op.now.us += (int64_t)US_PER_S;
	a->op.body = &a->body;
	a->op.out_arena = &a->arena;
}

static void ask_free(struct asked *a)
{
	buf_deinit(&a->body);
	arena_reset(&a->arena);
}

static uint64_t put_due(struct bench *b, size_t recipients, int64_t due)
{
	struct mail mail;

	mail_make(b, &mail, recipients, "q");
	for (size_t i = 0; i < recipients; i++)
		mail.recipients[i].next_at.us = due;
	assert_int_equal(bench_put(b, &mail, SV("body")), 0);
	mail_free(&mail);
	return mail.m.id;
}

/* Of equal times the older; what is due later, not before. */
static void the_first_that_is_due_leaves_first(void **state)
{
	struct bench *b = *state;
	const struct mail_flow flow = bench_flow("q"), other = bench_flow("q2");
	int64_t later = io_clock_wall().us + (int64_t)US_PER_HOUR;
	uint64_t third = 0, first = 0, second = 0, late = 0;
	const uint64_t *const order[] = { &first, &second, &third };
	struct asked a;
	struct taken taken;

	bench_open(b);
	third = put_due(b, 2, 300);
	late = put_due(b, 1, later);
	first = put_due(b, 1, 200);
	second = put_due(b, 1, 200);
	assert_int_equal(bench_take(b, &other, 1, &taken), RC_NOT_FOUND);
	for (size_t i = 0; i < COUNT_OF(order); i++) {
		ask_make(&a, &flow, 500);
		assert_int_equal(bench_run(b, &a.op.op), 0);
		assert_true(a.op.out_message->id == *order[i]);
		assert_true(sv_eq(a.op.out_message->sender, SV("erp@contoso.com")));
		assert_true(sv_eq(a.op.out_message->recipients[0].lane, SV("smtp/lab")));
		assert_int_equal(a.op.out_message->recipients[0].attempts, 1);
		assert_int_equal(a.op.out_message->recipients[0].state, STORE_RCPT_OPEN);
		assert_int_equal(a.op.out_attempt, 1);
		assert_true(sv_eq(buf_sv(&a.body), SV("body")));
		assert_int_equal(a.op.out_next_due.us, i < 1 ? 200 : i < 2 ? 300 : later);
		ask_free(&a);
	}
	ask_make(&a, &flow, 500);
	assert_int_equal(bench_run(b, &a.op.op), RC_NOT_FOUND);
	assert_int_equal(a.op.out_next_due.us, later);
	ask_free(&a);
	expect_state(b, late, 0, STORE_RCPT_QUEUED);
	expect_state(b, third, 1, STORE_RCPT_OPEN);
	shut_and_audit(b);
}

static void a_message_with_4000_recipients_leaves_in_pieces(void **state)
{
	enum {
		PIECE = 1000
	};
	struct bench *b = *state;
	const struct mail_flow flow = bench_flow("q");
	struct store_show show;
	struct arena a = { 0 };
	bool finished = false;
	uint64_t id;

	bench_open(b);
	id = put_due(b, LIMIT_RCPT, 5);
	for (uint32_t piece = 0; piece < LIMIT_RCPT / PIECE; piece++) {
		struct taken taken;

		assert_false(finished);
		assert_int_equal(bench_take(b, &flow, PIECE, &taken), 0);
		assert_int_equal(taken.count, PIECE);
		assert_int_equal(taken.first, piece * PIECE);
		assert_int_equal(taken.attempt, piece + 1);
		assert_int_equal(taken.next_due.us == 5, piece < 3);
		assert_int_equal(bench_end_at(b,
					 id,
					 taken.attempt,
					 taken.first,
					 PIECE,
					 STORE_RCPT_DELIVERED,
					 io_clock_wall(),
					 &finished),
			0);
	}
	assert_true(finished);
	assert_int_equal(bench_show(b, id, &a, &show), 0);
	assert_int_equal(show.out_attempt_count, LIMIT_RCPT);
	arena_reset(&a);
	shut_and_audit(b);
}

/* One plan a message, and not more of a domain than the door takes. */
static void who_does_not_fit_waits(void **state)
{
	struct bench *b = *state;
	const struct mail_flow flow = bench_flow("q");
	struct mail mail;
	struct taken taken;
	struct asked a;

	bench_open(b);
	mail_make(b, &mail, 6, "q");
	mail.recipients[2].rewrite_from = SV("");
	mail.recipients[3].rewrite_from = SV("");
	for (size_t i = 4; i < 6; i++)
		mail.recipients[i].address = SV("x@example.org");
	assert_int_equal(bench_put(b, &mail, SV("body")), 0);
	assert_int_equal(bench_take(b, &flow, 9, &taken), 0);
	assert_true(taken.first == 0 && taken.count == 2);
	ask_make(&a, &flow, 9);
	a.op.per_domain = 1;
	assert_int_equal(bench_run(b, &a.op.op), 0);
	assert_int_equal(a.op.out_message->recipient_count, 1);
	assert_int_equal(a.op.out_message->recipients[0].index, 2);
	assert_int_equal(a.op.out_next_due.us, mail.recipients[3].next_at.us);
	ask_free(&a);
	assert_int_equal(bench_take(b, &flow, 9, &taken), 0);
	assert_true(taken.first == 3 && taken.count == 1);
	assert_int_equal(bench_take(b, &flow, 1, &taken), 0);
	assert_true(taken.first == 4 && taken.count == 1);
	expect_state(b, mail.m.id, 5, STORE_RCPT_QUEUED);
	mail_free(&mail);
	shut_and_audit(b);
}

/* It says so itself, once that is known; a door that can carry it whole does not mind. */
static void one_at_a_time_where_each_gets_his_own(void **state)
{
	struct bench *b = *state;
	const struct mail_flow flow = bench_flow("q");
	struct store_recipient_outcome to[3] = { 0 };
	struct store_outcome op = { .op.kind = STORE_OP_OUTCOME,
		.withdrawn = true,
		.recipients = to,
		.recipient_count = 3,
		.set_flags = STORE_MSG_APART };
	struct taken taken;
	struct asked a;

	bench_open(b);
	op.message_id = put_due(b, 3, 7);
	(void)put_due(b, 2, 8);
	assert_int_equal(bench_take(b, &flow, 5, &taken), 0);
	assert_int_equal(taken.count, 3);
	op.attempt = taken.attempt;
	for (uint32_t i = 0; i < 3; i++)
		to[i] = (struct store_recipient_outcome){
			.index = i, .state = STORE_RCPT_QUEUED, .next_at.us = 7
		};
	assert_int_equal(bench_run(b, &op.op), 0);
	for (uint32_t i = 0; i < 2; i++) {
		ask_make(&a, &flow, 5);
		a.op.apart = i == 0;
		assert_int_equal(bench_run(b, &a.op.op), 0);
		assert_true(a.op.out_message->id == op.message_id);
		assert_int_equal(a.op.out_message->recipient_count, i + 1);
		assert_int_equal(a.op.out_message->recipients[0].index, i);
		ask_free(&a);
	}
	ask_make(&a, &flow, 5);
	a.op.apart = true;
	assert_int_equal(bench_run(b, &a.op.op), 0);
	assert_int_equal(a.op.out_message->recipient_count, 2);
	ask_free(&a);
	shut_and_audit(b);
}

/* What caused a hold is its probe only where nothing else is due. */
static void the_culprit_comes_last(void **state)
{
	struct bench *b = *state;
	const struct mail_flow flow = bench_flow("q");
	uint64_t culprits[2], other;

	bench_open(b);
	culprits[0] = put_due(b, 1, 1);
	culprits[1] = put_due(b, 1, 2);
	other = put_due(b, 1, 3);
	for (size_t i = 0; i < 3; i++) {
		uint64_t expected = i == 0 ? other : culprits[i - 1];
		struct asked a;

		ask_make(&a, &flow, 5);
		a.op.last = culprits;
		a.op.last_count = 2;
		assert_int_equal(bench_run(b, &a.op.op), 0);
		assert_true(a.op.out_message->id == expected);
		ask_free(&a);
	}
	shut_and_audit(b);
}

/* As many as were taken, in the same commit. */
static void the_ledger_counts_who_was_taken(void **state)
{
	struct bench *b = *state;
	const struct mail_flow flow = bench_flow("q");
	struct limit_entry rows[] = { { SV("m:erp@contoso.com"), INT64_C(1) << 40, 1, 500, 0 },
		{ SV("c:lab"), INT64_C(1) << 40, -1, -500, 0 } };
	struct arena arena = { 0 };
	struct store_ledger_read read = {
		.op.kind = STORE_OP_LEDGER_READ, .kinds = "mc", .limit = 9, .out_arena = &arena
	};
	struct asked a;

	bench_open(b);
	put_due(b, 3, 1);
	ask_make(&a, &flow, 500);
	a.op.ledger = rows;
	a.op.ledger_count = 2;
	assert_int_equal(bench_run(b, &a.op.op), 0);
	ask_free(&a);
	assert_int_equal(bench_run(b, &read.op), 0);
	assert_int_equal(read.out_count, 2);
	assert_int_equal(read.out_entries[0].recipients, 3);
	assert_int_equal(read.out_entries[1].recipients, -3);
	/* Nothing is due, and nothing is charged. */
	ask_make(&a, &flow, 500);
	a.op.ledger = rows;
	a.op.ledger_count = 2;
	assert_int_equal(bench_run(b, &a.op.op), RC_NOT_FOUND);
	ask_free(&a);
	arena_reset(&arena);
	assert_int_equal(bench_run(b, &read.op), 0);
	arena_reset(&arena);
	shut_and_audit(b);
}

/* A withdrawal needs no plan: it waits where it waited. */
static void what_is_taken_comes_back_to_its_flow(void **state)
{
	struct bench *b = *state;
	const struct mail_flow flow = bench_flow("q"), apart = { .queue = SV("q"),
		.class = MAIL_CLASS_NORMAL,
		.principal = SV("erp"),
		.sender = SV("erp@contoso.com") };
	struct store_recipient_outcome to = { .state = STORE_RCPT_QUEUED };
	struct store_outcome op = { .op.kind = STORE_OP_OUTCOME,
		.withdrawn = true,
		.recipients = &to,
		.recipient_count = 1 };
	struct taken taken;
	uint64_t id;

	bench_open(b);
	id = put_due(b, 1, 7);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(bench_take(b, &flow, 5, &taken), 0);
		assert_true(taken.id == id && taken.next_due.us == INT64_MAX);
		op.message_id = id;
		op.attempt = taken.attempt;
		to.next_at.us = 7;
		/* The second time, its sender is held: it waits apart. */
		to.flow = i == 0 ? NULL : &apart;
		assert_int_equal(bench_run(b, &op.op), 0);
	}
	assert_int_equal(bench_take(b, &flow, 5, &taken), RC_NOT_FOUND);
	assert_true(taken.next_due.us == INT64_MAX);
	assert_int_equal(bench_take(b, &apart, 5, &taken), 0);
	assert_true(taken.id == id);
	shut_and_audit(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH_TEST(the_first_that_is_due_leaves_first),
		BENCH_TEST(a_message_with_4000_recipients_leaves_in_pieces),
		BENCH_TEST(who_does_not_fit_waits),
		BENCH_TEST(one_at_a_time_where_each_gets_his_own),
		BENCH_TEST(the_culprit_comes_last),
		BENCH_TEST(the_ledger_counts_who_was_taken),
		BENCH_TEST(what_is_taken_comes_back_to_its_flow),
	};

	return cmocka_run_group_tests_name("take", tests, NULL, NULL);
}
