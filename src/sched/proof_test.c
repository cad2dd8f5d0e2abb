/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/proof.h"

#include "base/rng.h"

#include "cmocka_all.h"

/* Who may stop what. */

static const struct verdict sender_park = {
	.kind = VERDICT_PARK, .scope = VERDICT_SCOPE_SENDER, .nature = VERDICT_NATURE_OTHER
};
static const struct verdict mailbox_park = { .kind = VERDICT_PARK,
	.scope = VERDICT_SCOPE_MAILBOX,
	.nature = VERDICT_NATURE_AUTHENTICATION };
static const struct verdict route_retry = {
	.kind = VERDICT_RETRY, .scope = VERDICT_SCOPE_ROUTE, .nature = VERDICT_NATURE_OUTAGE
};
static const struct verdict banned = {
	.kind = VERDICT_PARK, .scope = VERDICT_SCOPE_TENANT, .nature = VERDICT_NATURE_REPUTATION
};

/* A message of its own in all that can differ. */
static struct sched_witness message(uint64_t n)
{
	return (struct sched_witness){ .message = n,
		.sender = 1000 + n,
		.author = 7,
		.content = 2000 + n,
		.recipient = 3000 + n,
		.domain = 4000 + n,
		.cause = 5 };
}

static bool second_widens(const struct verdict *v, enum sched_said said, struct sched_witness first,
	struct sched_witness second)
{
	struct sched_proof proof = { 0 };
	struct sched_refusal r = { .verdict = v, .said = said, .who = first, .own_author = true };

	assert_false(sched_proof_widens(&r, &proof));
	sched_proof_note(&proof, &r);
	r.who = second;
	return sched_proof_widens(&r, &proof);
}

static void one_message_holds_no_other_and_two_do(void **state)
{
	static const struct verdict *const verdicts[] = {
		&sender_park, &mailbox_park, &route_retry, &banned
	};
	static const enum sched_said stages[] = {
		SCHED_SAID_SENDER, SCHED_SAID_RECIPIENT, SCHED_SAID_CONTENT
	};

	(void)state;
	for (size_t v = 0; v < COUNT_OF(verdicts); v++)
		for (size_t s = 0; s < COUNT_OF(stages); s++) {
			struct sched_witness other = message(2);

			assert_true(second_widens(verdicts[v], stages[s], message(1), message(2)));
			/* Its second recipient, its second attempt. */
			other.message = 1;
			assert_false(second_widens(verdicts[v], stages[s], message(1), other));
			/* For another reason. */
			other = message(2);
			other.cause = 6;
			assert_false(second_widens(verdicts[v], stages[s], message(1), other));
			/* Long ago. */
			other = message(2);
			other.at.us = (int64_t)US_PER_DAY + 1;
			assert_false(second_widens(verdicts[v], stages[s], message(1), other));
		}
}

static void what_the_server_had_heard_must_differ(void **state)
{
	struct sched_witness other = message(2);

	(void)state;
	/* The same mail again. */
	other.content = message(1).content;
	assert_false(second_widens(&mailbox_park, SCHED_SAID_CONTENT, message(1), other));
	assert_false(second_widens(&sender_park, SCHED_SAID_CONTENT, message(1), other));
	assert_true(second_widens(&mailbox_park, SCHED_SAID_RECIPIENT, message(1), other));
	/* The same recipient, the same domain. */
	other = message(2);
	other.domain = message(1).domain;
	assert_false(second_widens(&mailbox_park, SCHED_SAID_RECIPIENT, message(1), other));
	assert_true(second_widens(&route_retry, SCHED_SAID_RECIPIENT, message(1), other));
	other.recipient = message(1).recipient;
	assert_false(second_widens(&route_retry, SCHED_SAID_RECIPIENT, message(1), other));
	/* Another author proves nothing about this one. */
	other = message(2);
	other.author = 8;
	assert_false(second_widens(&sender_park, SCHED_SAID_CONTENT, message(1), other));
	assert_true(second_widens(&sender_park, SCHED_SAID_SENDER, message(1), other));
	/* What is not known does not make two alike. */
	other = message(2);
	other.content = 0;
	assert_true(second_widens(&mailbox_park, SCHED_SAID_CONTENT, message(1), other));
}

static void a_forged_author_holds_nobody(void **state)
{
	struct sched_proof proof = { 0 };

	(void)state;
	for (uint64_t n = 1; n < 100; n++) {
		struct sched_refusal r = {
			.verdict = &sender_park, .said = SCHED_SAID_CONTENT, .who = message(n)
		};

		r.who.author = n % 3;
		assert_false(sched_proof_widens(&r, &proof));
		sched_proof_note(&proof, &r);
	}
	assert_int_equal(proof.count, SCHED_WITNESSES);
}

static void a_banned_sender_bans_nobody_else(void **state)
{
	struct sched_witness other = message(2);
	struct sched_proof proof = { 0 };
	struct sched_refusal r = {
		.verdict = &banned, .said = SCHED_SAID_CONTENT, .who = message(1)
	};

	(void)state;
	other.sender = message(1).sender;
	sched_proof_note(&proof, &r);
	r.who = other;
	assert_false(sched_proof_widens(&r, &proof));
	/* Of a mailbox there is one sender. */
	r.own_sender = true;
	assert_true(sched_proof_widens(&r, &proof));
}

static void what_no_message_can_cause_widens_at_once(void **state)
{
	static const struct verdict limit = { .kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_MAILBOX_WINDOW,
		.nature = VERDICT_NATURE_QUOTA,
		.proved = true };
	const struct sched_proof none = { 0 };
	struct sched_refusal r = {
		.verdict = &mailbox_park, .said = SCHED_SAID_SESSION, .who = message(1)
	};
	struct sched_proof proof = { 0 };

	(void)state;
	assert_true(sched_proof_widens(&r, &none));
	sched_proof_note(&proof, &r);
	assert_int_equal(proof.count, 0);
	r = (struct sched_refusal){
		.verdict = &limit, .said = SCHED_SAID_CONTENT, .who = message(1)
	};
	assert_true(sched_proof_widens(&r, &none));
	/* Its probe is another one all the same. */
	sched_proof_note(&proof, &r);
	assert_true(sched_proof_has(&proof, 1));
}

static void narrow_verdicts_hold_nothing(void **state)
{
	(void)state;
	for (int kind = 0; kind < VERDICT_KIND_COUNT; kind++)
		for (int scope = 0; scope < VERDICT_SCOPE_COUNT; scope++) {
			const struct verdict v = { .kind = (enum verdict_kind)kind,
				.scope = (enum verdict_scope)scope };
			const struct sched_refusal r = {
				.verdict = &v, .said = SCHED_SAID_SESSION, .who = message(1)
			};
			const struct sched_proof none = { 0 };
			bool wide = scope > VERDICT_SCOPE_MESSAGE;
			bool waits = kind == VERDICT_RETRY || kind == VERDICT_PARK;

			assert_int_equal(sched_is_wide(&v), wide && waits);
			assert_int_equal(sched_proof_widens(&r, &none), wide && waits);
		}
}

static void the_culprit_probes_only_when_it_is_alone(void **state)
{
	struct sched_proof proof = { 0 };
	const struct sched_refusal r = {
		.verdict = &mailbox_park, .said = SCHED_SAID_CONTENT, .who = message(1)
	};

	(void)state;
	sched_proof_note(&proof, &r);
	assert_true(sched_proof_has(&proof, 1));
	assert_false(sched_proof_has(&proof, 2));
}

static void a_proof_comes_back_from_its_text(void **state)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(SCHED_PROOF_TEXT_MAX);
	struct sched_proof proof = { 0 }, back;
	struct prng rng;

	(void)state;
	prng_seed(&rng, 1);
	for (uint64_t n = 1; n <= SCHED_WITNESSES; n++) {
		struct sched_refusal r = { .verdict = &mailbox_park, .said = SCHED_SAID_CONTENT };
		uint64_t *fields = (uint64_t *)&r.who;

		for (size_t i = 0; i < 7; i++)
			fields[i] = UINT64_MAX - prng_below(&rng, 1000);
		r.who.message = UINT64_MAX - n;
		r.who.at.us = INT64_MAX;
		sched_proof_note(&proof, &r);
	}
	sched_proof_write(&proof, &text);
	assert_true(text.len <= SCHED_PROOF_TEXT_MAX);
	sched_proof_read(buf_sv(&text), &back);
	assert_memory_equal(&back, &proof, sizeof(proof));
	sched_proof_read(SV(""), &back);
	assert_int_equal(back.count, 0);
	/* Damaged, or of another version: that one is left out. */
	sched_proof_read(
		SV("1,2,3,4,5,6,7,8;1,2;x,2,3,4,5,6,7,8;9,2,3,4,5,6,7,8,9;2,0,0,0,0,0,0,0"), &back);
	assert_int_equal(back.count, 2);
	assert_int_equal(back.who[0].at.us, 8);
	assert_int_equal(back.who[1].message, 2);
}

/* ---- the property ---- */

/*
 * A door, a queue, and one culprit: whatever the server says to that one, wherever it says it, nobody
 * else waits for more than one attempt. Limits that the reply proves, and what is said to a session,
 * are nobody's fault and stand apart.
 */
enum {
	MAILS = 6,
	STEPS = 400,
};

struct world {
	struct prng rng;
	struct sched_proof proof;
	bool held;
	uint32_t next_try[MAILS]; /* step */
	uint32_t attempts[MAILS];
	bool done[MAILS];
	uint32_t waited[MAILS]; /* attempts of culprits, in this hold, while it could have gone */
};

static struct verdict any_verdict(struct world *w)
{
	return (struct verdict){ .kind = prng_below(&w->rng, 2) ? VERDICT_RETRY : VERDICT_PARK,
		.scope = (enum verdict_scope)prng_below(&w->rng, VERDICT_SCOPE_COUNT),
		.nature = (enum verdict_nature)prng_below(&w->rng, VERDICT_NATURE_COUNT) };
}

static bool waits(const struct world *w, uint32_t m, uint32_t step)
{
	return !w->done[m] && w->next_try[m] <= step;
}

static uint32_t pick(struct world *w, uint32_t step)
{
	uint32_t first = (uint32_t)prng_below(&w->rng, MAILS);

	for (uint32_t i = 0; i < MAILS; i++) {
		uint32_t m = (first + i) % MAILS;
		bool others = false;

		if (!waits(w, m, step))
			continue;
		for (uint32_t k = 0; k < MAILS; k++)
			others |= k != m && waits(w, k, step) && !sched_proof_has(&w->proof, k + 1);
		if (!w->held || !others || !sched_proof_has(&w->proof, m + 1))
			return m;
	}
	return MAILS;
}

static void attempt(struct world *w, uint32_t m, uint32_t culprits, uint32_t step)
{
	struct verdict v = any_verdict(w);
	struct sched_refusal r = { .verdict = &v,
		.said = (enum sched_said)(1 + prng_below(&w->rng, 3)),
		.who = message(m + 1),
		.own_author = prng_below(&w->rng, 2),
		.own_sender = prng_below(&w->rng, 2) };

	w->attempts[m]++;
	if (m >= culprits) {
		w->done[m] = true;
		w->held = false;
		w->proof = (struct sched_proof){ 0 };
		memset(w->waited, 0, sizeof(w->waited));
		return;
	}
	r.who.cause = 1 + prng_below(&w->rng, 2);
	r.who.at.us = step;
	w->held |= sched_proof_widens(&r, &w->proof);
	sched_proof_note(&w->proof, &r);
	if (w->held)
		sched_proof_tried(&w->proof, r.who.message);
	w->next_try[m] = step + 1 + (uint32_t)prng_below(&w->rng, 1U << w->attempts[m] % 8);
}

static uint32_t longest_wait(uint64_t seed, uint32_t culprits)
{
	struct world w = { 0 };
	uint32_t longest = 0;

	prng_seed(&w.rng, seed);
	for (uint32_t m = culprits; m < MAILS; m++)
		w.next_try[m] = (uint32_t)prng_below(&w.rng, STEPS / 2);
	for (uint32_t step = 0; step < STEPS; step++) {
		uint32_t m = pick(&w, step);

		if (m == MAILS)
			continue;
		for (uint32_t k = culprits; k < MAILS; k++)
			/* Behind a culprit's attempt only; behind good ones it waits its turn. */
			if (k != m && m < culprits && waits(&w, k, step) && w.held)
				longest = ++w.waited[k] > longest ? w.waited[k] : longest;
		attempt(&w, m, culprits, step);
	}
	for (uint32_t m = culprits; m < MAILS; m++)
		assert_true(w.done[m]);
	return longest;
}

static void no_message_holds_another_for_longer_than_one_attempt(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 3000; seed++) {
		/* One never holds anybody. Of three, two may; then none of these is the probe. */
		if (longest_wait(seed, 1) > 0)
			fail_msg("seed %u: one message held another", (unsigned)seed);
		if (longest_wait(seed, 3) > 1)
			fail_msg("seed %u: a culprit was the probe", (unsigned)seed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_message_holds_no_other_and_two_do),
		cmocka_unit_test(what_the_server_had_heard_must_differ),
		cmocka_unit_test(a_forged_author_holds_nobody),
		cmocka_unit_test(a_banned_sender_bans_nobody_else),
		cmocka_unit_test(what_no_message_can_cause_widens_at_once),
		cmocka_unit_test(narrow_verdicts_hold_nothing),
		cmocka_unit_test(the_culprit_probes_only_when_it_is_alone),
		cmocka_unit_test(a_proof_comes_back_from_its_text),
		cmocka_unit_test(no_message_holds_another_for_longer_than_one_attempt),
	};

	return cmocka_run_group_tests_name("hold", tests, NULL, NULL);
}
