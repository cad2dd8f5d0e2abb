/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/endpoint.h"

#include "sched/burst.h"

#include "cmocka_all.h"

/* Handshakes: how many an endpoint may have at once, and how many connections a lane opens. */

enum {
	MANY = 600
};

struct host {
	struct sched_endpoint e;
	struct sched_handshake h[MANY];
	struct mono_time now;
	size_t first, next; /* first: the oldest that runs */
};

static struct host *host_new(void)
{
	static struct host h;

	h = (struct host){ .now = { US_PER_HOUR } };
	sched_endpoint_init(&h.e);
	return &h;
}

/* Begins as many as may. How many. */
static uint32_t fill(struct host *h)
{
	uint32_t begun = sched_endpoint_room(&h->e, h->now);

	for (uint32_t i = 0; i < begun; i++) {
		assert_in_range(h->next, 0, MANY - 1);
		sched_endpoint_begin(&h->e, &h->h[h->next]);
		sched_endpoint_accepted(&h->e, &h->h[h->next++], h->now);
	}
	return begun;
}

static void end(struct host *h, uint32_t count, enum sched_handshake_end how)
{
	while (count-- > 0) {
		struct sched_handshake *one = &h->h[h->first++];

		if (how == SCHED_HANDSHAKE_DONE)
			sched_endpoint_heard(&h->e, one, h->now);
		sched_endpoint_end(&h->e, one, h->now, how);
	}
}

static void later(struct host *h, uint64_t us)
{
	h->now = mono_add(h->now, us);
}

/* ---- slow start ---- */

static void every_full_round_multiplies(void **state)
{
	struct host *h = host_new();
	uint32_t sessions = 0, rounds = 0, begun = fill(h);

	(void)state;
	assert_int_equal(begun, SCHED_ENDPOINT_FIRST);
	for (; sessions < 400; rounds++) {
		later(h, 800 * US_PER_MS);
		end(h, begun, SCHED_HANDSHAKE_DONE);
		sessions += begun;
		if (sessions < 400)
			begun = fill(h);
	}
	assert_int_equal(rounds, 3);
	assert_int_equal(h->e.budget, SCHED_ENDPOINT_MOST);
	assert_int_equal(h->e.running, 0);
}

static void what_was_never_tried_at_once_proves_nothing(void **state)
{
	struct host *h = host_new();

	(void)state;
	for (unsigned i = 0; i < 500; i++) {
		sched_endpoint_begin(&h->e, &h->h[i]);
		sched_endpoint_accepted(&h->e, &h->h[i], h->now);
		sched_endpoint_heard(&h->e, &h->h[i], h->now);
		sched_endpoint_end(&h->e, &h->h[i], h->now, SCHED_HANDSHAKE_DONE);
	}
	assert_int_equal(sched_endpoint_room(&h->e, h->now), SCHED_ENDPOINT_FIRST);
}

static void a_failure_halves_once_a_round(void **state)
{
	struct host *h = host_new();

	(void)state;
	assert_int_equal(fill(h), 16);
	end(h, 10, SCHED_HANDSHAKE_FAILED);
	/* All of them were begun with the old budget. */
	assert_int_equal(h->e.budget, 8);
	assert_int_equal(sched_endpoint_room(&h->e, h->now), 2);
	end(h, 6, SCHED_HANDSHAKE_DONE);
	assert_int_equal(h->e.budget, 8);
	for (uint32_t budget = 8; budget > 0; budget /= 2) {
		assert_int_equal(fill(h), budget);
		end(h, budget, SCHED_HANDSHAKE_FAILED);
	}
	/* One is always left, or nobody would ever find out. */
	assert_int_equal(fill(h), 1);
	end(h, 1, SCHED_HANDSHAKE_DONE);
	assert_int_equal(fill(h), SCHED_ENDPOINT_GROWTH);
}

static void what_we_leave_counts_for_nothing(void **state)
{
	struct host *h = host_new();

	(void)state;
	(void)fill(h);
	end(h, 16, SCHED_HANDSHAKE_LEFT);
	assert_int_equal(h->e.budget, 16);
	assert_int_equal(h->e.running, 0);
	sched_endpoint_end(&h->e, &h->h[0], h->now, SCHED_HANDSHAKE_FAILED);
	assert_int_equal(h->e.budget, 16);
}

/* ---- silence ---- */

static void a_silent_endpoint_gets_one_until_it_speaks(void **state)
{
	struct host *h = host_new();

	(void)state;
	assert_int_equal(fill(h), 16);
	later(h, SCHED_ENDPOINT_SILENT_US - 1);
	assert_false(sched_endpoint_is_silent(&h->e, h->now));
	later(h, 1);
	assert_true(sched_endpoint_is_silent(&h->e, h->now));
	end(h, 15, SCHED_HANDSHAKE_LEFT);
	assert_int_equal(sched_endpoint_room(&h->e, h->now), 0);
	/* The last of them gives up: that is no word of the endpoint. */
	end(h, 1, SCHED_HANDSHAKE_FAILED);
	assert_int_equal(fill(h), 1);
	later(h, 1);
	sched_endpoint_heard(&h->e, &h->h[h->first], h->now);
	assert_int_equal(sched_endpoint_room(&h->e, h->now), 8 - 1);
}

static void silence_is_found_when_the_first_gives_up(void **state)
{
	struct host *h = host_new();

	(void)state;
	assert_int_equal(fill(h), 16);
	later(h, US_PER_MIN);
	end(h, 16, SCHED_HANDSHAKE_FAILED);
	assert_int_equal(fill(h), 1);
}

static void one_stuck_connection_is_no_silent_endpoint(void **state)
{
	struct host *h = host_new();

	(void)state;
	assert_int_equal(fill(h), 16);
	later(h, 4 * US_PER_S);
	/* The first of them stays without an answer: one of many machines behind one name. */
	h->first = 1;
	end(h, 15, SCHED_HANDSHAKE_DONE);
	later(h, 10 * US_PER_S);
	assert_false(sched_endpoint_is_silent(&h->e, h->now));
	assert_int_equal(fill(h), 15);
	/* And these are no better: now it is. */
	later(h, SCHED_ENDPOINT_SILENT_US);
	assert_true(sched_endpoint_is_silent(&h->e, h->now));
}

/* ---- connections of a lane ---- */

static void connections_are_opened_for_messages(void **state)
{
	static const struct {
		const char *name;
		struct sched_burst b;
		uint32_t wanted;
		bool rests;
	} rows[] = {
		{ "nothing to do", { .room = UINT32_MAX, .max = 2 }, 0, true },
		{ "one for one message", { .waiting = 1, .room = UINT32_MAX, .max = 2 }, 1, false },
		{ "one for what is not read yet", { .more = true, .room = 9, .max = 2 }, 1, false },
		{ "no more than the limit lets go",
			{ .waiting = 9, .more = true, .room = 1, .max = 5 },
			1,
			false },
		{ "the limit is used up",
			{ .waiting = 9, .open = 2, .idle = 2, .max = 2 },
			0,
			true },
		{ "one is on its way",
			{ .waiting = 1, .room = 9, .open = 1, .handshakes = 1, .max = 2 },
			0,
			false },
		{ "an idle one takes it",
			{ .waiting = 1, .room = 9, .open = 1, .idle = 1, .max = 2 },
			0,
			false },
		{ "a busy one does not",
			{ .waiting = 1, .room = 9, .open = 1, .max = 2 },
			1,
			false },
		{ "all that may be", { .waiting = 50, .room = 90, .open = 1, .max = 4 }, 3, false },
		{ "one that closes counts",
			{ .waiting = 5, .room = 9, .open = 2, .max = 2 },
			0,
			false },
		{ "one at a time",
			{ .waiting = 5, .room = 9, .max = 4, .one_at_a_time = true },
			1,
			false },
		{ "others wait", { .waiting = 5, .room = 9, .max = 4, .scarce = true }, 1, false },
		{ "others wait, and it has one",
			{ .waiting = 5, .room = 9, .open = 1, .max = 4, .scarce = true },
			0,
			false },
		{ "it is there",
			{ .waiting = 5, .room = 9, .open = 1, .max = 4, .one_at_a_time = true },
			0,
			false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (sched_burst_wanted(&rows[i].b) != rows[i].wanted ||
			sched_burst_rests(&rows[i].b) != rows[i].rests)
			fail_msg("%s: %u", rows[i].name, sched_burst_wanted(&rows[i].b));
	}
}

static void shares_are_rounded(void **state)
{
	(void)state;
	assert_int_equal(sched_share(30, 80), 24);
	assert_int_equal(sched_share(24, 80), 19);
	assert_int_equal(sched_share(1, 80), 1);
	assert_int_equal(sched_share(0, 80), 0);
	assert_int_equal(sched_share_of_connections(2, 80), 2);
	assert_int_equal(sched_share_of_connections(3, 80), 3);
	assert_int_equal(sched_share_of_connections(20, 80), 16);
	assert_int_equal(sched_share_of_connections(1, 1), 1);
	assert_int_equal(sched_share_of_connections(0, 80), 0);
	assert_int_equal(sched_share_of_connections(UINT32_MAX, 100), UINT32_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_full_round_multiplies),
		cmocka_unit_test(what_was_never_tried_at_once_proves_nothing),
		cmocka_unit_test(a_failure_halves_once_a_round),
		cmocka_unit_test(what_we_leave_counts_for_nothing),
		cmocka_unit_test(a_silent_endpoint_gets_one_until_it_speaks),
		cmocka_unit_test(silence_is_found_when_the_first_gives_up),
		cmocka_unit_test(one_stuck_connection_is_no_silent_endpoint),
		cmocka_unit_test(connections_are_opened_for_messages),
		cmocka_unit_test(shares_are_rounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
