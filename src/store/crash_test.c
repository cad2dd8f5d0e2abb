/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store.h"

#include "store/test_bench.h"

/* Dying at any moment, and what becomes of the attempts that were open then. */

/* ---- dying ---- */

static const uint64_t fixed_id = UINT64_C(1) << 47;

static void die_after_put(struct bench *b)
{
	struct mail mail;

	bench_open(b);
	mail_make_as(&mail, fixed_id, 1, "submission/a");
	must(bench_put(b, &mail, SV("body")) == 0);
	_exit(0);
}

static void die_after_claim(struct bench *b)
{
	uint32_t number = 0, zero = 0;

	bench_open(b);
	must(bench_claim(b, fixed_id, &zero, 1, "submission/a", &number) == 0);
	_exit(0);
}

static void die_after_outcome(struct bench *b)
{
	bench_open(b);
	must(bench_end(b, fixed_id, 1, 1, STORE_RCPT_DELIVERED) == 0);
	_exit(0);
}

/* I1: what was completed with 0 is there, whenever we die. */
static void what_completed_is_there_after_exit(void **state)
{
	struct bench *b = *state;

	bench_in_child(b, die_after_put);
	bench_open(b);
	assert_int_equal(b->found.queued_count, 1);
	assert_int_equal(b->found.uncertain_count, 0);
	expect_body(b, fixed_id, SV("body"));
	shut_and_audit(b);
	bench_in_child(b, die_after_claim);
	bench_open(b);
	assert_int_equal(b->found.queued_count, 0);
	assert_int_equal(b->found.uncertain_count, 1);
	expect_state(b, fixed_id, 0, STORE_RCPT_OPEN);
	shut_and_audit(b);
	bench_in_child(b, die_after_outcome);
	bench_open(b);
	assert_int_equal(b->found.uncertain_count, 0);
	expect_state(b, fixed_id, 0, STORE_RCPT_DELIVERED);
	shut_and_audit(b);
}

/*
 * A child works until it is killed and says through a pipe what was completed. Steps of a message:
 * put, claimed, queued again, claimed again, delivered.
 */
struct fact {
	uint64_t id;
	uint32_t step;
	uint32_t chunks;
};

enum {
	STEPS = 5
};

static char queue[32];

static int do_step(struct bench *b, struct mail *mail, struct sv body, uint32_t step)
{
	uint32_t number = 0;

	switch (step) {
	case 0:
		return bench_put_large(b, mail, body);
	case 1:
	case 3:
		return bench_claim(b, mail->m.id, mail->indexes, 2, queue, &number);
	case 2:
		return bench_end(b, mail->m.id, 1, 2, STORE_RCPT_QUEUED);
	default:
		return bench_end(b, mail->m.id, 2, 2, STORE_RCPT_DELIVERED);
	}
}

static void NORETURN work_till_death(struct bench *b, int out)
{
	bench_open(b);
	bench_resolve(b, STORE_UNCERTAIN_HOLD);
	for (uint32_t n = 0;; n++) {
		struct fact fact = { .chunks = n % 3 };
		struct mail mail;
		struct buf body;

		/* Each in a queue of its own: this one is taken, and no other. */
		(void)snprintf(queue, sizeof(queue), "q/%d/%u", (int)getpid(), n);
		mail_make(b, &mail, 2, queue);
		fill_body(&body, fact.chunks * LIMIT_CHUNK + 100, mail.m.id);
		fact.id = mail.m.id;
		/* Some stay under way. */
		for (fact.step = 0; fact.step < STEPS - n % 4; fact.step++) {
			must(do_step(b, &mail, buf_sv(&body), fact.step) == 0);
			must(write(out, &fact, sizeof(fact)) == (ssize_t)sizeof(fact));
		}
		buf_deinit(&body);
		mail_free(&mail);
	}
}

static void expect_fact(struct bench *b, const struct fact *f)
{
	struct arena a = { 0 };
	struct store_show show;
	size_t rows[STEPS] = { 0, 2, 2, 4, 4 };
	const struct store_recipient *r;
	struct buf body;

	assert_int_equal(bench_show(b, f->id, &a, &show), 0);
	r = show.out_message->recipients;
	assert_true(sv_eq(show.out_message->device, SV("scanner-3")));
	assert_true(sv_starts(r[0].flow.queue, SV("q/")));
	assert_true(sv_eq(r[0].rewrite_from, SV("shared@contoso.com")));
	/* What came after the last fact may be there as well: one step. */
	assert_true(show.out_attempt_count == rows[f->step] ||
		    (f->step + 1 < STEPS && show.out_attempt_count == rows[f->step + 1]));
	assert_int_equal(r[0].state, r[1].state);
	if (f->step == STEPS - 1)
		assert_int_equal(r[0].state, STORE_RCPT_DELIVERED);
	if (r[0].state != STORE_RCPT_DELIVERED) {
		fill_body(&body, f->chunks * LIMIT_CHUNK + 100, f->id);
		expect_body(b, f->id, buf_sv(&body));
		buf_deinit(&body);
	}
	arena_reset(&a);
}

static size_t kill_once(struct bench *b, struct fact *facts, size_t max, uint64_t after_us)
{
	int ends[2], status;
	size_t count = 0;
	pid_t child;

	must(pipe(ends) == 0);
	child = fork();
	must(child >= 0);
	if (child == 0) {
		(void)close(ends[0]);
		work_till_death(b, ends[1]);
	}
	(void)close(ends[1]);
	/* The first fact says that the queue is open. */
	must(read(ends[0], &facts[count++], sizeof(*facts)) == (ssize_t)sizeof(*facts));
	(void)usleep((useconds_t)after_us);
	must(kill(child, SIGKILL) == 0);
	while (count < max &&
		read(ends[0], &facts[count], sizeof(*facts)) == (ssize_t)sizeof(*facts))
		count++;
	must(waitpid(child, &status, 0) == child);
	assert_true(WIFSIGNALED(status));
	(void)close(ends[0]);
	return count;
}

static void what_completed_is_there_after_sigkill(void **state)
{
	enum {
		ROUNDS = 20,
		FACTS_MAX = 20000
	};
	struct bench *b = *state;
	struct fact *facts = xcalloc(FACTS_MAX, sizeof(*facts));

	for (int round = 0; round < ROUNDS; round++) {
		uint64_t after_us;
		size_t count;

		io_random(&after_us, sizeof(after_us));
		count = kill_once(b, facts, FACTS_MAX, after_us % 60000);
		bench_open(b);
		for (size_t i = 0; i < count; i++)
			/* Only the last word on a message counts. */
			if (i + 1 == count || facts[i + 1].id != facts[i].id)
				expect_fact(b, &facts[i]);
		bench_reopen(b);
		bench_resolve(b, (enum store_uncertain_policy)(round % 3));
		shut_and_audit(b);
	}
	free(facts);
}

/* ---- attempts that were open ---- */

static void die_with_open_attempts(struct bench *b)
{
	struct mail mail;

	bench_open(b);
	mail_make_as(&mail, fixed_id, 4, "submission/a");
	must(bench_put_two_attempts(b, &mail) == 0);
	mail_make_as(&mail, fixed_id + 1, 1, "submission/a");
	must(bench_put_claimed(b, &mail, SV("other")) == 0);
	_exit(0);
}

struct uncertain_sum {
	uint32_t messages_a, recipients_a, messages_b, recipients_b;
};

static void add_uncertain(void *arg, struct sv lane, uint32_t messages, uint32_t recipients)
{
	struct uncertain_sum *sum = arg;
	bool is_a = sv_eq(lane, SV("submission/a"));

	*(is_a ? &sum->messages_a : &sum->messages_b) += messages;
	*(is_a ? &sum->recipients_a : &sum->recipients_b) += recipients;
}

static void open_with_uncertain(struct bench *b)
{
	struct uncertain_sum sum = { 0 };
	struct err err;

	bench_in_child(b, die_with_open_attempts);
	bench_open(b);
	assert_int_equal(b->found.uncertain_count, 3);
	assert_int_equal(b->found.queued_count, 1);
	assert_int_equal(store_each_uncertain(b->s, add_uncertain, &sum, &err), 0);
	assert_int_equal(sum.messages_a, 2);
	assert_int_equal(sum.recipients_a, 3);
	assert_int_equal(sum.messages_b, 1);
	assert_int_equal(sum.recipients_b, 1);
}

static void expect_uncertain(struct bench *b, enum store_recipient_state state, bool finished)
{
	struct arena a = { 0 };
	struct store_show show;

	assert_int_equal(bench_show(b, fixed_id, &a, &show), 0);
	for (size_t i = 0; i < 3; i++) {
		const struct store_recipient *r = &show.out_message->recipients[i];

		assert_int_equal(r->state, state);
		assert_int_equal(r->uncertain, 1);
		assert_int_equal(r->attempts, 1);
		assert_true(sv_eq(r->lane, i < 2 ? SV("submission/a") : SV("submission/b")));
		assert_true(sv_eq(r->last_cause, SV("uncertain")));
	}
	assert_int_equal(show.out_message->recipients[3].state, STORE_RCPT_QUEUED);
	assert_int_equal(show.out_attempt_count, 3);
	for (size_t i = 0; i < 3; i++)
		assert_true(show.out_attempts[i].uncertain);
	assert_int_equal(bench_show(b, fixed_id + 1, &a, &show), 0);
	assert_int_equal(show.out_finished_at.us != 0, finished);
	arena_reset(&a);
	shut_and_audit(b);
	bench_open(b);
	assert_int_equal(b->found.uncertain_count, 0);
	bench_shut(b);
}

static void uncertain_attempts_are_tried_again(void **state)
{
	struct bench *b = *state;
	struct arena a = { 0 };
	struct store_show show;
	int64_t wait;

	open_with_uncertain(b);
	bench_resolve(b, STORE_UNCERTAIN_RETRY);
	assert_int_equal(bench_show(b, fixed_id, &a, &show), 0);
	wait = show.out_message->recipients[0].next_at.us - io_clock_wall().us;
	/* Ten minutes from now, as the bench asks. */
	assert_in_range(wait, 500 * US_PER_S, 700 * US_PER_S);
	arena_reset(&a);
	expect_uncertain(b, STORE_RCPT_QUEUED, false);
}

static void uncertain_attempts_are_held(void **state)
{
	struct bench *b = *state;

	open_with_uncertain(b);
	bench_resolve(b, STORE_UNCERTAIN_HOLD);
	expect_uncertain(b, STORE_RCPT_HELD, false);
}

static void uncertain_attempts_count_as_sent(void **state)
{
	struct bench *b = *state;

	open_with_uncertain(b);
	bench_resolve(b, STORE_UNCERTAIN_ASSUME_SENT);
	expect_uncertain(b, STORE_RCPT_DELIVERED, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH_TEST(what_completed_is_there_after_exit),
		BENCH_TEST(what_completed_is_there_after_sigkill),
		BENCH_TEST(uncertain_attempts_are_tried_again),
		BENCH_TEST(uncertain_attempts_are_held),
		BENCH_TEST(uncertain_attempts_count_as_sent),
	};

	return cmocka_run_group_tests_name("crash", tests, NULL, NULL);
}
