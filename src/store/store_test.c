/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store.h"

#include "store/test_bench.h"

/* The life of messages. What is said here as I1... stands in docs/design-queue.md. */

/* ---- one message, from the first byte to the history ---- */

static void expect_message(const struct store_message *m, const struct store_message *expected)
{
	assert_int_equal(m->id, expected->id);
	assert_int_equal(m->accepted_at.us, expected->accepted_at.us);
	assert_int_equal(m->expires_at.us, expected->expires_at.us);
	assert_true(sv_eq(m->sender, expected->sender));
	assert_true(sv_eq(m->envid, expected->envid));
	assert_int_equal(m->dsn_ret, expected->dsn_ret);
	assert_int_equal(m->flags, expected->flags);
	assert_int_equal(m->size, expected->size);
	assert_int_equal(m->header_size, expected->header_size);
	assert_true(sv_eq(m->message_id, expected->message_id));
	assert_true(sv_eq(m->subject, expected->subject));
	assert_true(sv_eq(m->user, expected->user));
	assert_true(sv_eq(m->client, expected->client));
	assert_true(sv_eq(m->listener, expected->listener));
	assert_true(sv_eq(m->device, expected->device));
	assert_int_equal(m->bounce_of, expected->bounce_of);
}

static void expect_recipient(
	const struct store_recipient *r, const struct store_recipient *expected)
{
	assert_int_equal(r->index, expected->index);
	assert_true(sv_eq(r->address, expected->address));
	assert_true(sv_eq(r->orcpt, expected->orcpt));
	assert_int_equal(r->dsn_notify, expected->dsn_notify);
	assert_true(sv_eq(r->lane, SV("")));
	assert_true(same_plan(r, expected));
	assert_int_equal(r->next_at.us, expected->next_at.us);
}

static void message_waits_and_is_found(void **state)
{
	struct bench *b = *state;
	struct arena a = { 0 };
	struct due due;
	struct mail mail;

	bench_open(b);
	mail_make(b, &mail, 2, "submission/a");
	mail.recipients[1].next_at.us += (int64_t)US_PER_HOUR;
	assert_int_equal(bench_put(b, &mail, SV("Subject: x\r\n\r\nhello\r\n")), 0);
	bench_due(b, "submission/a", &a, &due);
	assert_int_equal(due.out_count, 1);
	assert_int_equal(due.out_messages[0].recipient_count, 1);
	expect_message(&due.out_messages[0], &mail.m);
	expect_recipient(&due.out_messages[0].recipients[0], &mail.recipients[0]);
	expect_body(b, mail.m.id, SV("Subject: x\r\n\r\nhello\r\n"));
	bench_due(b, "submission/other", &a, &due);
	assert_int_equal(due.out_count, 0);
	shut_and_audit(b);
	/* Looking for a flow leaves no trace of it. */
	assert_int_equal(bench_count(b, BENCH_FLOWS), 1);
	arena_reset(&a);
	mail_free(&mail);
}

/* A recipient moves to another flow; a route found anew brings its own sender; an operator's queue stands alone. */
static void plan_goes_with_the_recipient(void **state)
{
	struct bench *b = *state;
	struct arena a = { 0 };
	struct mail mail;
	const struct mail_flow apart = { .queue = SV("submission/a\nsmtp/lab"),
		.class = MAIL_CLASS_BULK,
		.principal = SV("erp"),
		.external = true,
		.sender = SV("crm@contoso.com") };
	struct store_recipient_outcome move = { .index = 0,
		.state = STORE_RCPT_QUEUED,
		.flow = &apart,
		.verdict = { .cause = CAUSE_SMTP_AUTH_OFF } };
	struct store_outcome op = { .op.kind = STORE_OP_OUTCOME,
		.at = io_clock_wall(),
		.recipients = &move,
		.recipient_count = 1 };
	struct store_edit reroute = { .op.kind = STORE_OP_EDIT,
		.kind = STORE_EDIT_REROUTE,
		.queue = SV("submission/z"),
		.filter = { .state = -1 } };
	struct due due;

	bench_open(b);
	mail_make(b, &mail, 2, "submission/a");
	assert_int_equal(bench_put(b, &mail, SV("body")), 0);
	op.message_id = reroute.filter.id = mail.m.id;
	assert_int_equal(bench_run(b, &op.op), 0);
	bench_due(b, "submission/a", &a, &due);
	assert_int_equal(due.out_count, 1);
	assert_int_equal(due.out_messages[0].recipients[0].index, 1);
	mail.recipients[0].flow = apart;
	expect_plan(b, &mail);
	move.flow = NULL;
	move.rewrite_from = SV("");
	assert_int_equal(bench_run(b, &op.op), 0);
	mail.recipients[0].rewrite_from = SV("");
	expect_plan(b, &mail);
	assert_int_equal(bench_run(b, &reroute.op), 0);
	assert_int_equal(reroute.out_changed, 2);
	for (size_t i = 0; i < 2; i++) {
		mail.recipients[i].flow.queue = SV("submission/z");
		mail.recipients[i].flow.sender = SV("");
		mail.recipients[i].flow.external = false;
	}
	expect_plan(b, &mail);
	shut_and_audit(b);
	arena_reset(&a);
	mail_free(&mail);
}

static void expect_story(const struct store_attempt_story *s, uint32_t number, const char *reply)
{
	assert_int_equal(s->number, number);
	assert_true(sv_eq(s->reply, sv_from(reply)));
	assert_true(sv_eq(s->lane, SV("submission/a")));
	assert_true(s->ended_at.us > 0);
	assert_false(s->uncertain);
}

static void message_is_delivered_at_the_second_attempt(void **state)
{
	struct bench *b = *state;
	struct arena a = { 0 };
	struct store_show show;
	struct mail mail;
	uint32_t number = 0;
	bool finished = true;

	bench_open(b);
	mail_make(b, &mail, 1, "submission/a");
	assert_int_equal(bench_put(b, &mail, SV("body")), 0);
	assert_int_equal(bench_claim(b, mail.m.id, mail.indexes, 1, "submission/a", &number), 0);
	assert_int_equal(number, 1);
	expect_state(b, mail.m.id, 0, STORE_RCPT_OPEN);
	/* In an attempt it can be taken by nobody else (I11). */
	assert_int_equal(
		bench_claim(b, mail.m.id, mail.indexes, 1, "submission/a", &number), RC_NOT_FOUND);
	assert_int_equal(
		bench_end_at(b, mail.m.id, 1, 0, 1, STORE_RCPT_QUEUED, io_clock_wall(), &finished),
		0);
	assert_false(finished);
	/* An attempt is closed once. */
	assert_int_equal(bench_end(b, mail.m.id, 1, 1, STORE_RCPT_DELIVERED), RC_NOT_FOUND);
	expect_body(b, mail.m.id, SV("body"));
	assert_int_equal(bench_claim(b, mail.m.id, mail.indexes, 1, "submission/a", &number), 0);
	assert_int_equal(number, 2);
	assert_int_equal(
		bench_end_at(
			b, mail.m.id, 2, 0, 1, STORE_RCPT_DELIVERED, io_clock_wall(), &finished),
		0);
	assert_true(finished);
	assert_int_equal(bench_show(b, mail.m.id, &a, &show), 0);
	assert_true(show.out_finished_at.us > 0);
	assert_int_equal(show.out_message->recipients[0].state, STORE_RCPT_DELIVERED);
	assert_int_equal(show.out_message->recipients[0].attempts, 2);
	/* The history still knows the lane it left by. */
	assert_true(sv_eq(show.out_message->recipients[0].lane, SV("submission/a")));
	assert_true(sv_eq(show.out_message->recipients[0].last_reply, SV("250 2.0.0 OK")));
	assert_int_equal(show.out_attempt_count, 2);
	expect_story(&show.out_attempts[0], 1, "451 4.7.1 later\nplease");
	expect_story(&show.out_attempts[1], 2, "250 2.0.0 OK");
	assert_true(sv_eq(show.out_attempts[1].remote_message_id, SV("<x@outlook.com>")));
	assert_int_equal(show.out_attempts[1].kind, VERDICT_DELIVERED);
	shut_and_audit(b);
	assert_int_equal(bench_count(b, BENCH_CHUNKS), 0);
	arena_reset(&a);
	mail_free(&mail);
}

static void expect_transcript(struct bench *b, uint64_t id, uint32_t attempt)
{
	struct arena a = { 0 };
	struct store_show show;
	char text[64] = "";

	if (attempt)
		(void)snprintf(text, sizeof(text), "0 < 451 later, attempt %u\n", attempt);
	assert_int_equal(bench_show(b, id, &a, &show), 0);
	assert_int_equal(show.out_transcript_attempt, attempt);
	assert_true(sv_eq(show.out_transcript, sv_from(text)));
	arena_reset(&a);
}

static void the_last_failure_keeps_its_transcript(void **state)
{
	struct bench *b = *state;
	struct mail mail;
	uint32_t number = 0;

	bench_open(b);
	mail_make(b, &mail, 1, "submission/a");
	assert_int_equal(bench_put(b, &mail, SV("body")), 0);
	expect_transcript(b, mail.m.id, 0);
	for (uint32_t i = 1; i <= 3; i++) {
		assert_int_equal(
			bench_claim(b, mail.m.id, mail.indexes, 1, "submission/a", &number), 0);
		assert_int_equal(bench_end(b,
					 mail.m.id,
					 i,
					 1,
					 i < 3 ? STORE_RCPT_QUEUED : STORE_RCPT_DELIVERED),
			0);
		expect_transcript(b, mail.m.id, i < 3 ? i : 2);
		bench_shut(b);
		assert_int_equal(bench_count(b, BENCH_TRANSCRIPTS), 1);
		bench_open(b);
	}
	shut_and_audit(b);
	mail_free(&mail);
}

static void only_so_many_transcripts_are_kept(void **state)
{
	enum {
		MORE = 20
	};
	struct bench *b = *state;
	uint64_t first = 0, last = 0;
	uint32_t number = 0;
	struct mail mail;

	bench_open(b);
	for (int i = 0; i < STORE_TRANSCRIPTS_KEPT + MORE; i++) {
		mail_make(b, &mail, 1, i ? "submission/b" : "submission/a");
		assert_int_equal(bench_put_claimed(b, &mail, SV("body")), 0);
		assert_int_equal(bench_end(b, mail.m.id, 1, 1, STORE_RCPT_QUEUED), 0);
		last = mail.m.id;
		first = first ? first : last;
		/* The first fails again and again, and is the newest for it. */
		if (i % 100 == 99) {
			assert_int_equal(
				bench_claim(b, first, mail.indexes, 1, "submission/a", &number), 0);
			assert_int_equal(bench_end(b, first, number, 1, STORE_RCPT_QUEUED), 0);
		}
		mail_free(&mail);
	}
	expect_transcript(b, last, 1);
	expect_transcript(b, first, number);
	shut_and_audit(b);
	assert_in_range(bench_count(b, BENCH_TRANSCRIPTS),
		STORE_TRANSCRIPTS_KEPT - MORE,
		STORE_TRANSCRIPTS_KEPT);
}

static void changes_without_an_attempt_leave_others_alone(void **state)
{
	struct bench *b = *state;
	struct store_edit drop = {
		.op.kind = STORE_OP_EDIT, .kind = STORE_EDIT_DROP, .filter.state = -1
	};
	struct mail mail;
	uint32_t number = 0;
	bool finished = true;

	bench_open(b);
	mail_make(b, &mail, 3, "submission/a");
	assert_int_equal(bench_put(b, &mail, SV("body")), 0);
	assert_int_equal(bench_claim(b, mail.m.id, mail.indexes, 1, "submission/a", &number), 0);
	drop.filter.id = mail.m.id;
	drop.filter.recipient = SV("r1@example.com");
	assert_int_equal(bench_run(b, &drop.op), 0);
	assert_int_equal(drop.out_changed, 1);
	/* Recipient 0 is in an attempt, 1 was dropped by an operator: only 2 can expire. */
	assert_int_equal(
		bench_end_at(b, mail.m.id, 0, 0, 3, STORE_RCPT_EXPIRED, io_clock_wall(), &finished),
		0);
	assert_false(finished);
	expect_state(b, mail.m.id, 0, STORE_RCPT_OPEN);
	expect_state(b, mail.m.id, 1, STORE_RCPT_DROPPED);
	expect_state(b, mail.m.id, 2, STORE_RCPT_EXPIRED);
	assert_int_equal(bench_end_at(b,
				 mail.m.id,
				 number,
				 0,
				 1,
				 STORE_RCPT_DELIVERED,
				 io_clock_wall(),
				 &finished),
		0);
	assert_true(finished);
	/* Too late for all of them: nothing is counted twice. */
	assert_int_equal(bench_end(b, mail.m.id, 0, 3, STORE_RCPT_EXPIRED), 0);
	assert_int_equal(bench_end(b, mail.m.id + 1, 0, 1, STORE_RCPT_EXPIRED), RC_NOT_FOUND);
	shut_and_audit(b);
	mail_free(&mail);
}

static void recipients_that_do_not_exist_fail_alone(void **state)
{
	struct bench *b = *state;
	struct mail mail;
	uint32_t number = 0;
	const struct mail_flow never = bench_flow("submission/never");
	const struct store_recipient_outcome to[] = {
		{ .index = 0, .state = STORE_RCPT_QUEUED, .flow = &never },
		{ .index = 7, .state = STORE_RCPT_QUEUED, .flow = &never },
	};
	struct store_outcome bad = {
		.op.kind = STORE_OP_OUTCOME, .attempt = 1, .recipients = to, .recipient_count = 2
	};
	struct store_park good = { .op.kind = STORE_OP_PARK, .row.key = SV("tenant:x") };
	struct store_parks_read parks = { .op.kind = STORE_OP_PARKS_READ };
	struct arena arena = { 0 };

	bench_open(b);
	mail_make(b, &mail, 1, "submission/a");
	assert_int_equal(bench_put_claimed(b, &mail, SV("body")), 0);
	bad.message_id = mail.m.id;
	/* Both in one group: the bad one takes nothing with it, not even the name of its flow. */
	bench_hand(b, &bad.op);
	bench_hand(b, &good.op);
	bench_wait(b);
	assert_int_equal(bad.op.rc, RC_NOT_FOUND);
	assert_int_equal(good.op.rc, 0);
	expect_state(b, mail.m.id, 0, STORE_RCPT_OPEN);
	assert_int_equal(bench_end(b, mail.m.id, 1, 1, STORE_RCPT_QUEUED), 0);
	assert_int_equal(bench_claim(b, mail.m.id, mail.indexes, 1, "submission/a", &number), 0);
	parks.out_arena = &arena;
	assert_int_equal(bench_run(b, &parks.op), 0);
	assert_int_equal(parks.out_count, 1);
	shut_and_audit(b);
	assert_int_equal(bench_count(b, BENCH_FLOWS), 1);
	arena_reset(&arena);
	mail_free(&mail);
}

/* One group if the store's thread is slow enough, so it is done often. */
static void read_beside_a_bad_one(struct bench *b, const struct mail *mail, size_t *out_read)
{
	const struct store_recipient_outcome to[] = {
		{ .index = 0, .state = STORE_RCPT_QUEUED },
		{ .index = 7, .state = STORE_RCPT_QUEUED },
	};
	struct store_outcome bad = { .op.kind = STORE_OP_OUTCOME,
		.message_id = mail->m.id,
		.attempt = 1,
		.recipients = to,
		.recipient_count = 2 };
	struct store_park good = { .op.kind = STORE_OP_PARK, .row.key = SV("tenant:x") };
	struct arena arena = { 0 };
	struct store_ledger_read read = {
		.op.kind = STORE_OP_LEDGER_READ, .kinds = "m", .limit = 2, .out_arena = &arena
	};

	*out_read = 0;
	do {
		good.clear = !good.clear;
		bench_hand(b, &good.op);
		bench_hand(b, &read.op);
		bench_hand(b, &bad.op);
		bench_wait(b);
		assert_int_equal(bad.op.rc, RC_NOT_FOUND);
		assert_int_equal(good.op.rc, 0);
		assert_int_equal(read.op.rc, 0);
		*out_read += read.out_count;
	} while (read.out_more);
	arena_reset(&arena);
}

/* The group of one that fails behind a change runs twice; whoever reads on in pages loses none by it. */
static void what_runs_twice_reads_once(void **state)
{
	enum {
		ROUNDS = 50
	};
	struct bench *b = *state;
	const struct limit_entry taken[] = {
		{ SV("m:a"), INT64_C(1) << 40, 1, 1, 1 },
		{ SV("m:b"), INT64_C(1) << 40, 1, 1, 1 },
		{ SV("m:c"), INT64_C(1) << 40, 1, 1, 1 },
	};
	struct store_attempt attempt = {
		.number = 1, .lane = SV("submission/a"), .recipient_count = 1
	};
	struct store_put put = { .op.kind = STORE_OP_PUT,
		.body = SV("body"),
		.attempts = &attempt,
		.attempt_count = 1,
		.ledger = taken,
		.ledger_count = COUNT_OF(taken) };
	struct mail mail;
	size_t count;

	bench_open(b);
	mail_make(b, &mail, 1, "submission/a");
	mail.m.size = 4;
	put.message = &mail.m;
	attempt.message_id = mail.m.id;
	attempt.recipients = mail.indexes;
	mail.recipients[0].lane = attempt.lane;
	assert_int_equal(bench_run(b, &put.op), 0);
	for (int i = 0; i < ROUNDS; i++) {
		read_beside_a_bad_one(b, &mail, &count);
		assert_int_equal(count, COUNT_OF(taken));
		expect_state(b, mail.m.id, 0, STORE_RCPT_OPEN);
	}
	shut_and_audit(b);
	mail_free(&mail);
}

/* ---- attempts ---- */

static void withdrawn_attempt_leaves_no_trace(void **state)
{
	struct bench *b = *state;
	struct store_recipient_outcome r = { .state = STORE_RCPT_QUEUED };
	struct store_outcome op = { .op.kind = STORE_OP_OUTCOME,
		.attempt = 2,
		.withdrawn = true,
		.recipients = &r,
		.recipient_count = 1 };
	struct arena a = { 0 };
	struct store_show show;
	struct mail mail;
	uint32_t number = 0;

	bench_open(b);
	mail_make(b, &mail, 1, "submission/a");
	assert_int_equal(bench_put_claimed(b, &mail, SV("body")), 0);
	assert_int_equal(bench_end(b, mail.m.id, 1, 1, STORE_RCPT_QUEUED), 0);
	assert_int_equal(bench_claim(b, mail.m.id, mail.indexes, 1, "submission/a", &number), 0);
	assert_int_equal(number, 2);
	op.message_id = mail.m.id;
	r.next_at.us = 77;
	assert_int_equal(bench_run(b, &op.op), 0);
	assert_int_equal(bench_show(b, mail.m.id, &a, &show), 0);
	assert_int_equal(show.out_attempt_count, 1);
	assert_int_equal(show.out_message->recipients[0].attempts, 1);
	assert_int_equal(show.out_message->recipients[0].next_at.us, 77);
	assert_true(sv_eq(show.out_message->recipients[0].last_cause, SV("greylisted")));
	assert_true(
		sv_eq(show.out_message->recipients[0].last_reply, SV("451 4.7.1 later\nplease")));
	assert_int_equal(bench_claim(b, mail.m.id, mail.indexes, 1, "submission/a", &number), 0);
	assert_int_equal(number, 2);
	shut_and_audit(b);
	arena_reset(&a);
	mail_free(&mail);
}

static void several_attempts_of_one_message_are_open(void **state)
{
	struct bench *b = *state;
	struct mail mail;
	uint32_t number = 0;
	bool finished = true;

	bench_open(b);
	mail_make(b, &mail, 4, "submission/a");
	assert_int_equal(bench_put_two_attempts(b, &mail), 0);
	expect_state(b, mail.m.id, 0, STORE_RCPT_OPEN);
	expect_state(b, mail.m.id, 2, STORE_RCPT_OPEN);
	expect_state(b, mail.m.id, 3, STORE_RCPT_QUEUED);
	assert_int_equal(
		bench_claim(b, mail.m.id, mail.indexes + 3, 1, "submission/a", &number), 0);
	assert_int_equal(number, 3);
	assert_int_equal(
		bench_end_at(b, mail.m.id, 2, 2, 1, STORE_RCPT_BOUNCED, io_clock_wall(), &finished),
		0);
	assert_false(finished);
	assert_int_equal(
		bench_end_at(
			b, mail.m.id, 1, 0, 2, STORE_RCPT_DELIVERED, io_clock_wall(), &finished),
		0);
	assert_false(finished);
	assert_int_equal(
		bench_end_at(
			b, mail.m.id, 3, 3, 1, STORE_RCPT_DELIVERED, io_clock_wall(), &finished),
		0);
	assert_true(finished);
	shut_and_audit(b);
	mail_free(&mail);
}

/* ---- bodies ---- */

enum {
	LARGE_BODY = 9 * LIMIT_CHUNK - 1000
};

/* Until the reaper has nothing left, or the guard strikes. */
static void wait_for_reaper(struct bench *b)
{
	for (int i = 0; i < BENCH_GUARD_S * 50; i++) {
		bench_sleep(20);
		bench_shut(b);
		if (bench_count(b, BENCH_DEAD) == 0)
			return;
		bench_open(b);
		bench_resolve(b, STORE_UNCERTAIN_HOLD);
	}
	fail_msg("dead bodies stay");
}

static void large_body_comes_back_in_pieces_and_goes(void **state)
{
	struct bench *b = *state;
	struct buf body, piece = BUF_INIT(10000);
	struct mail mail;

	bench_open(b);
	fill_body(&body, LARGE_BODY, 1);
	mail_make(b, &mail, 1, "submission/a");
	assert_int_equal(bench_put_large(b, &mail, buf_sv(&body)), 0);
	expect_body(b, mail.m.id, buf_sv(&body));
	/* Pieces that end where no chunk ends. */
	for (size_t at = 0; at < body.len; at += 10000) {
		struct sv rest = sv_head(sv_skip(buf_sv(&body), at), 10000);

		buf_reset(&piece);
		assert_int_equal(bench_body(b, mail.m.id, at, &piece), 0);
		assert_true(sv_eq(buf_sv(&piece), rest));
	}
	buf_reset(&piece);
	assert_int_equal(bench_body(b, mail.m.id, body.len, &piece), 0);
	assert_int_equal(piece.len, 0);
	bench_reopen(b);
	assert_int_equal(b->found.orphan_chunks, 0);
	expect_body(b, mail.m.id, buf_sv(&body));
	assert_int_equal(bench_end(b, mail.m.id, 0, 1, STORE_RCPT_EXPIRED), 0);
	wait_for_reaper(b);
	bench_audit(b);
	assert_int_equal(bench_count(b, BENCH_CHUNKS), 0);
	buf_deinit(&body);
	buf_deinit(&piece);
	mail_free(&mail);
}

static void bodies_of_whole_chunks_come_back(void **state)
{
	static const size_t sizes[] = { 1, LIMIT_CHUNK, LIMIT_CHUNK + 1, 2 * LIMIT_CHUNK };
	struct bench *b = *state;

	bench_open(b);
	for (size_t i = 0; i < COUNT_OF(sizes); i++) {
		struct mail mail;
		struct buf body;

		fill_body(&body, sizes[i], i);
		mail_make(b, &mail, 1, "submission/a");
		assert_int_equal(bench_put_large(b, &mail, buf_sv(&body)), 0);
		expect_body(b, mail.m.id, buf_sv(&body));
		buf_deinit(&body);
		mail_free(&mail);
	}
	shut_and_audit(b);
}

static void aborted_body_goes(void **state)
{
	struct bench *b = *state;
	struct buf chunk;

	bench_open(b);
	fill_body(&chunk, LIMIT_CHUNK, 3);
	for (uint32_t i = 0; i < 20; i++)
		assert_int_equal(bench_chunk(b, 4711, i, buf_sv(&chunk)), 0);
	assert_int_equal(bench_abort(b, 4711), 0);
	wait_for_reaper(b);
	bench_audit(b);
	assert_int_equal(bench_count(b, BENCH_CHUNKS), 0);
	buf_deinit(&chunk);
}

static void die_with_half_a_body(struct bench *b)
{
	struct buf chunk;

	bench_open(b);
	fill_body(&chunk, LIMIT_CHUNK, 3);
	for (uint32_t i = 0; i < 3; i++)
		must(bench_chunk(b, UINT64_C(1) << 45, i, buf_sv(&chunk)) == 0);
	_exit(0);
}

static void half_a_body_is_found_at_start(void **state)
{
	struct bench *b = *state;

	bench_in_child(b, die_with_half_a_body);
	bench_open(b);
	assert_int_equal(b->found.orphan_chunks, 3);
	assert_int_equal(b->found.queued_count, 0);
	/* Its id is not given again. */
	assert_true(store_new_id(b->s) > UINT64_C(1) << 45);
	bench_resolve(b, STORE_UNCERTAIN_RETRY);
	wait_for_reaper(b);
	bench_audit(b);
	assert_int_equal(bench_count(b, BENCH_CHUNKS), 0);
	bench_open(b);
	assert_int_equal(b->found.orphan_chunks, 0);
	bench_shut(b);
}

/* ---- the store itself ---- */

static void ids_rise_over_reopening(void **state)
{
	struct bench *b = *state;
	struct mail mail;
	uint64_t first, id;

	bench_open(b);
	first = store_new_id(b->s);
	id = store_new_id(b->s);
	assert_true(id > first);
	/* As if the clock had stood a year ahead. */
	id += 365 * US_PER_DAY;
	mail_make_as(&mail, id, 1, "submission/a");
	assert_int_equal(bench_put(b, &mail, SV("body")), 0);
	bench_reopen(b);
	assert_int_equal(store_new_id(b->s), id + 1);
	assert_int_equal(store_new_id(b->s), id + 2);
	bench_shut(b);
	mail_free(&mail);
}

static void second_store_is_refused(void **state)
{
	struct bench *b = *state;
	struct store_recovery found;
	struct err err = { 0 };

	bench_open(b);
	assert_null(store_open(b->loop, &b->options, &found, &err));
	assert_int_equal(err.code, -EBUSY);
	assert_non_null(strstr(err.text, b->folder));
	bench_reopen(b);
	bench_shut(b);
}

static struct mail handed_on;

static void put_from_done(struct store_op *op)
{
	static struct store_put put;

	assert_int_equal(op->rc, 0);
	put = (struct store_put){ .op.kind = STORE_OP_PUT,
		.op.done = bench_done,
		.message = &handed_on.m,
		.body = SV("y") };
	store_submit(bench_now->s, &put.op);
}

/* What a completion hands over while the store closes is done as well. */
static void closing_finishes_what_was_handed_over(void **state)
{
	struct bench *b = *state;
	struct store_put put = {
		.op.kind = STORE_OP_PUT, .op.done = put_from_done, .body = SV("x")
	};
	struct mail mail;

	bench_open(b);
	mail_make(b, &mail, 1, "submission/a");
	mail_make(b, &handed_on, 1, "submission/a");
	mail.m.size = handed_on.m.size = 1;
	put.message = &mail.m;
	b->pending = 1;
	store_submit(b->s, &put.op);
	bench_shut(b);
	assert_int_equal(b->pending, 0);
	bench_audit(b);
	assert_int_equal(bench_count(b, BENCH_MESSAGES), 2);
	mail_free(&mail);
	mail_free(&handed_on);
}

static void many_operations_share_commits(void **state)
{
	enum {
		COUNT = 500
	};
	struct bench *b = *state;
	struct mail *mails = xcalloc(COUNT, sizeof(*mails));
	struct store_put *puts = xcalloc(COUNT, sizeof(*puts));
	struct store_health stats;

	bench_open(b);
	for (size_t i = 0; i < COUNT; i++) {
		mail_make(b, &mails[i], 1, "submission/a");
		mails[i].m.size = 4;
		puts[i] = (struct store_put){
			.op.kind = STORE_OP_PUT, .message = &mails[i].m, .body = SV("body")
		};
		bench_hand(b, &puts[i].op);
	}
	bench_wait(b);
	for (size_t i = 0; i < COUNT; i++) {
		assert_int_equal(puts[i].op.rc, 0);
		mail_free(&mails[i]);
	}
	stats = store_health(b->s);
	assert_int_equal(stats.operations, COUNT);
	assert_true(stats.commits < COUNT / 2);
	assert_int_equal(stats.failed_commits, 0);
	shut_and_audit(b);
	free(mails);
	free(puts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH_TEST(message_waits_and_is_found),
		BENCH_TEST(plan_goes_with_the_recipient),
		BENCH_TEST(message_is_delivered_at_the_second_attempt),
		BENCH_TEST(the_last_failure_keeps_its_transcript),
		BENCH_TEST(only_so_many_transcripts_are_kept),
		BENCH_TEST(changes_without_an_attempt_leave_others_alone),
		BENCH_TEST(recipients_that_do_not_exist_fail_alone),
		BENCH_TEST(what_runs_twice_reads_once),
		BENCH_TEST(withdrawn_attempt_leaves_no_trace),
		BENCH_TEST(several_attempts_of_one_message_are_open),
		BENCH_TEST(large_body_comes_back_in_pieces_and_goes),
		BENCH_TEST(bodies_of_whole_chunks_come_back),
		BENCH_TEST(aborted_body_goes),
		BENCH_TEST(half_a_body_is_found_at_start),
		BENCH_TEST(ids_rise_over_reopening),
		BENCH_TEST(second_store_is_refused),
		BENCH_TEST(closing_finishes_what_was_handed_over),
		BENCH_TEST(many_operations_share_commits),
	};

	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
