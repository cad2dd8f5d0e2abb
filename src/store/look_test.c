/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store.h"

#include "store/store_priv.h"
#include "store/test_bench.h"

/* Looking and editing, flows, ledger, parks, and the end of the history. */

/* One message that stays in the queue. Returns its id. */
static uint64_t put_one(struct bench *b, size_t recipients, const char *lane)
{
	struct mail mail;
	uint64_t id;

	mail_make(b, &mail, recipients, lane);
	assert_int_equal(bench_put(b, &mail, SV("body")), 0);
	id = mail.m.id;
	mail_free(&mail);
	return id;
}

/* Many at once. Ids rise; *out_ids[count], or NULL. */
static void put_many(
	struct bench *b, size_t count, size_t recipients, const char *lane, uint64_t *out_ids)
{
	struct mail *mails = xcalloc(count, sizeof(*mails));
	struct store_put *puts = xcalloc(count, sizeof(*puts));

	for (size_t i = 0; i < count; i++) {
		mail_make(b, &mails[i], recipients, lane);
		mails[i].m.size = 4;
		puts[i] = (struct store_put){
			.op.kind = STORE_OP_PUT, .message = &mails[i].m, .body = SV("body")
		};
		bench_hand(b, &puts[i].op);
	}
	bench_wait(b);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(puts[i].op.rc, 0);
		if (out_ids)
			out_ids[i] = mails[i].m.id;
		mail_free(&mails[i]);
	}
	free(mails);
	free(puts);
}

static void expect_known(struct bench *b, uint64_t id, bool known)
{
	struct store_show show;
	struct arena a = { 0 };

	assert_int_equal(bench_show(b, id, &a, &show), known ? 0 : RC_NOT_FOUND);
	arena_reset(&a);
}

/* ---- list ---- */

static const struct store_filter everything = { .state = -1 };

/* Pages through the list. Rows must rise. Returns how many there were. */
static size_t list_all(struct bench *b, const struct store_filter *f, uint32_t limit)
{
	struct store_list list = {
		.op.kind = STORE_OP_LIST, .filter = *f, .after_index = UINT32_MAX, .limit = limit
	};
	struct arena a = { 0 };
	size_t rows = 0;
	uint64_t id = 0;
	int64_t index = -1;

	list.out_arena = &a;
	do {
		assert_int_equal(bench_run(b, &list.op), 0);
		assert_true(list.out_count <= limit);
		for (size_t i = 0; i < list.out_count; i++) {
			const struct store_list_row *r = &list.out_rows[i];

			assert_true(r->message.id > id ||
				    (r->message.id == id && r->recipient.index > index));
			id = r->message.id;
			index = r->recipient.index;
		}
		rows += list.out_count;
		arena_reset(&a);
	} while (list.out_more);
	return rows;
}

static void list_pages_past_a_thousand_rows(void **state)
{
	struct bench *b = *state;

	bench_open(b);
	assert_int_equal(list_all(b, &everything, LIMIT_PAGE), 0);
	put_many(b, 700, 3, "submission/a", NULL);
	assert_int_equal(list_all(b, &everything, LIMIT_PAGE), 2100);
	assert_int_equal(list_all(b, &everything, 999), 2100);
	assert_int_equal(list_all(b, &everything, 7), 2100);
	shut_and_audit(b);
}

struct list_world {
	uint64_t waits, open, held, done, two;
};

static void make_world(struct bench *b, struct list_world *w)
{
	struct store_edit hold = {
		.op.kind = STORE_OP_EDIT, .kind = STORE_EDIT_HOLD, .filter.state = -1
	};
	struct mail mail;
	uint32_t number = 0, zero = 0;

	w->open = put_one(b, 2, "submission/a");
	w->waits = put_one(b, 2, "submission/a");
	w->done = put_one(b, 1, "submission/b");
	w->held = put_one(b, 1, "submission/b");
	mail_make(b, &mail, 1, "");
	mail.m.sender = SV("shop@fabrikam.com");
	mail.recipients[0].last_cause = SV("no-route");
	assert_int_equal(bench_put(b, &mail, SV("body")), 0);
	w->two = mail.m.id;
	mail_free(&mail);
	assert_int_equal(bench_claim(b, w->open, &zero, 1, "submission/a", &number), 0);
	assert_int_equal(bench_claim(b, w->done, &zero, 1, "submission/b", &number), 0);
	assert_int_equal(bench_end(b, w->done, number, 1, STORE_RCPT_DELIVERED), 0);
	hold.filter.id = w->held;
	assert_int_equal(bench_run(b, &hold.op), 0);
	assert_int_equal(hold.out_changed, 1);
	assert_false(hold.out_more);
}

/* What waits for one member, or for another after it, is the first one's: nobody who drops for the other takes it. */
static void mail_is_of_the_first_of_its_queue(void **state)
{
	struct bench *b = *state;
	const struct {
		struct store_filter filter;
		size_t rows;
	} cases[] = {
		{ { .member = SV("m:a"), .state = -1 }, 1 },
		{ { .member = SV("m:b"), .state = -1 }, 1 },
		{ { .member = SV("m:a\nm:b"), .state = -1 }, 0 },
		{ { .member = SV("m:b"), .any_member = true, .state = -1 }, 2 },
		{ { .member = SV("m:c"), .any_member = true, .state = -1 }, 0 },
	};

	bench_open(b);
	(void)put_one(b, 1, "m:a\nm:b");
	(void)put_one(b, 1, "m:b");
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_int_equal(list_all(b, &cases[i].filter, LIMIT_PAGE), cases[i].rows);
	shut_and_audit(b);
}

static void list_filters(void **state)
{
	struct bench *b = *state;
	struct list_world w;

	const struct mail_flow flow = bench_flow("submission/a");

	bench_open(b);
	make_world(b, &w);
	const struct {
		const char *name;
		struct store_filter filter;
		size_t rows;
	} cases[] = {
		{ "everything", { .state = -1 }, 7 },
		{ "one id", { .id = w.open, .state = -1 }, 2 },
		{ "no such id", { .id = w.two + 1, .state = -1 }, 0 },
		{ "waiting, the open ones too", { .waiting_only = true, .state = -1 }, 6 },
		{ "one id, waiting", { .waiting_only = true, .id = w.done, .state = -1 }, 0 },
		{ "one id, open", { .id = w.open, .state = STORE_RCPT_OPEN }, 1 },
		{ "queued", { .state = STORE_RCPT_QUEUED }, 4 },
		{ "open", { .state = STORE_RCPT_OPEN }, 1 },
		{ "held", { .state = STORE_RCPT_HELD }, 1 },
		{ "delivered", { .state = STORE_RCPT_DELIVERED }, 1 },
		{ "bounced", { .state = STORE_RCPT_BOUNCED }, 0 },
		{ "sender", { .sender = SV("shop@fabrikam.com"), .state = -1 }, 1 },
		{ "recipient", { .recipient = SV("r1@example.com"), .state = -1 }, 2 },
		{ "lane, the history too", { .lane = SV("submission/b"), .state = -1 }, 1 },
		{ "all doors of a name", { .lane = SV("b"), .state = -1 }, 1 },
		{ "another door of it", { .lane = SV("graph/b"), .state = -1 }, 0 },
		{ "member, what waits", { .member = SV("submission/b"), .state = -1 }, 1 },
		{ "both",
			{ .lane = SV("submission/b"), .member = SV("submission/b"), .state = -1 },
			2 },
		{ "flow", { .flow = &flow, .state = -1 }, 3 },
		{ "cause", { .cause = SV("no-route"), .state = -1 }, 1 },
		{ "cause held", { .cause = SV("held"), .state = -1 }, 1 },
		{ "from tomorrow",
			{ .accepted_from.us = io_clock_wall().us + (int64_t)US_PER_DAY,
				.state = -1 },
			0 },
		{ "from yesterday",
			{ .accepted_from.us = io_clock_wall().us - (int64_t)US_PER_DAY,
				.state = -1 },
			7 },
		{ "until yesterday",
			{ .accepted_until.us = io_clock_wall().us - (int64_t)US_PER_DAY,
				.state = -1 },
			0 },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		size_t rows = list_all(b, &cases[i].filter, LIMIT_PAGE);

		if (rows != cases[i].rows)
			fail_msg("%s: %zu rows, not %zu", cases[i].name, rows, cases[i].rows);
		assert_int_equal(list_all(b, &cases[i].filter, 1), cases[i].rows);
	}
	shut_and_audit(b);
}

/* A filter that matches nothing looks at a bounded number of rows a call, and says that there is more. */
static void list_scan_is_bounded(void **state)
{
	struct bench *b = *state;
	struct store_list list = { .op.kind = STORE_OP_LIST,
		.filter = { .recipient = SV("nobody@example.com"), .state = -1 },
		.after_index = UINT32_MAX,
		.limit = 10 };
	struct arena a = { 0 };
	unsigned calls = 0;

	bench_open(b);
	put_many(b, 6, LIMIT_RCPT, "submission/a", NULL);
	list.out_arena = &a;
	do {
		assert_int_equal(bench_run(b, &list.op), 0);
		assert_int_equal(list.out_count, 0);
		calls++;
	} while (list.out_more);
	assert_in_range(calls, LIMIT_RCPT * 6 / STORE_LIST_SCAN_MAX, 6);
	shut_and_audit(b);
	arena_reset(&a);
}

/* ---- edit ---- */

static uint64_t edit_all(struct bench *b, struct store_edit *e)
{
	uint64_t changed = 0;

	e->op.kind = STORE_OP_EDIT;
	e->after_id = 0;
	e->at = io_clock_wall();
	do {
		assert_int_equal(bench_run(b, &e->op), 0);
		changed += e->out_changed;
	} while (e->out_more);
	return changed;
}

static void edits_reach_every_waiting_recipient(void **state)
{
	struct bench *b = *state;
	struct store_edit hold = { .kind = STORE_EDIT_HOLD, .filter.state = -1 };
	struct store_edit release = { .kind = STORE_EDIT_RELEASE, .filter.state = -1 };
	struct store_edit reroute = {
		.kind = STORE_EDIT_REROUTE, .filter.state = -1, .queue = SV("submission/new")
	};
	struct store_edit drop = { .kind = STORE_EDIT_DROP, .filter.state = -1 };
	const struct store_filter new_member = { .member = SV("submission/new"), .state = -1 };
	uint32_t number = 0, zero = 0;
	uint64_t open;

	bench_open(b);
	open = put_one(b, 1, "submission/a");
	put_many(b, 500, 3, "submission/a", NULL);
	put_one(b, LIMIT_RCPT, "submission/a");
	put_many(b, 500, 3, "submission/b", NULL);
	assert_int_equal(bench_claim(b, open, &zero, 1, "submission/a", &number), 0);
	assert_int_equal(edit_all(b, &hold), 3000 + LIMIT_RCPT);
	assert_int_equal(edit_all(b, &hold), 0);
	hold.filter.state = STORE_RCPT_HELD;
	assert_int_equal(list_all(b, &hold.filter, LIMIT_PAGE), 3000 + LIMIT_RCPT);
	assert_int_equal(edit_all(b, &release), 3000 + LIMIT_RCPT);
	reroute.filter.member = SV("submission/b");
	assert_int_equal(edit_all(b, &reroute), 1500);
	assert_int_equal(list_all(b, &new_member, LIMIT_PAGE), 1500);
	bench_reopen(b);
	bench_resolve(b, STORE_UNCERTAIN_HOLD);
	assert_int_equal(edit_all(b, &drop), 3000 + LIMIT_RCPT + 1);
	shut_and_audit(b);
	assert_int_equal(bench_count(b, BENCH_WAITING), 0);
	assert_int_equal(bench_count(b, BENCH_HISTORY), 1002);
}

static void retry_makes_due_now(void **state)
{
	struct bench *b = *state;
	struct store_edit retry = { .kind = STORE_EDIT_RETRY, .filter.state = -1 };
	struct arena a = { 0 };
	struct due due;
	struct mail mail;

	bench_open(b);
	mail_make(b, &mail, 1, "submission/a");
	mail.recipients[0].next_at.us += (int64_t)US_PER_DAY;
	mail.recipients[0].last_cause = SV("greylisted");
	assert_int_equal(bench_put(b, &mail, SV("body")), 0);
	bench_due(b, "submission/a", &a, &due);
	assert_int_equal(due.out_count, 0);
	assert_int_equal(edit_all(b, &retry), 1);
	bench_due(b, "submission/a", &a, &due);
	assert_int_equal(due.out_count, 1);
	/* It still says why it waited. */
	assert_true(sv_eq(due.out_messages[0].recipients[0].last_cause, SV("greylisted")));
	shut_and_audit(b);
	arena_reset(&a);
	mail_free(&mail);
}

/* ---- summary ---- */

static uint64_t summary_count(const struct store_summary *s, const char *queue, const char *cause,
	enum store_recipient_state state)
{
	for (size_t i = 0; i < s->out_count; i++)
		if (s->out_rows[i].state == state &&
			sv_eq(s->out_rows[i].flow.queue, sv_from(queue)) &&
			sv_eq(s->out_rows[i].cause, sv_from(cause)))
			return s->out_rows[i].count;
	return 0;
}

static void summary_counts_over_several_turns(void **state)
{
	struct bench *b = *state;
	struct store_summary s = { .op.kind = STORE_OP_SUMMARY };
	struct store_park park = { .op.kind = STORE_OP_PARK, .row.key = SV("tenant:x") };
	struct arena a = { 0 };
	struct list_world w;

	bench_open(b);
	make_world(b, &w);
	put_many(b, 11, LIMIT_RCPT, "submission/c", NULL);
	s.out_arena = &a;
	/* What is handed over behind it does not wait for all of its turns. */
	bench_hand(b, &s.op);
	bench_hand(b, &park.op);
	bench_wait(b);
	assert_int_equal(s.op.rc, 0);
	assert_int_equal(park.op.rc, 0);
	assert_int_equal(summary_count(&s, "submission/c", "", STORE_RCPT_QUEUED), 11 * LIMIT_RCPT);
	assert_int_equal(summary_count(&s, "submission/a", "", STORE_RCPT_QUEUED), 3);
	assert_int_equal(summary_count(&s, "submission/a", "", STORE_RCPT_OPEN), 1);
	assert_int_equal(summary_count(&s, "submission/b", "held", STORE_RCPT_HELD), 1);
	assert_int_equal(summary_count(&s, "", "no-route", STORE_RCPT_QUEUED), 1);
	assert_int_equal(s.out_messages_waiting, 15);
	assert_int_equal(s.out_bytes_waiting, 15 * 4);
	assert_int_equal(s.out_history_messages, 1);
	assert_int_equal(s.out_delivered_day, 1);
	assert_int_equal(s.out_bounced_day, 0);
	shut_and_audit(b);
	arena_reset(&a);
}

/* ---- flows, ledger, parks ---- */

static void flows_with_waiting_mail(void **state)
{
	struct bench *b = *state;
	struct store_flows flows = { .op.kind = STORE_OP_FLOWS };
	struct arena a = { 0 };
	struct list_world w;

	bench_open(b);
	make_world(b, &w);
	bench_reopen(b);
	flows.out_arena = &a;
	assert_int_equal(bench_run(b, &flows.op), 0);
	/* All of submission/b is held: nobody has to look there. */
	assert_int_equal(flows.out_count, 2);
	assert_true(sv_eq(flows.out_flows[0].key.queue, SV("submission/a")));
	assert_true(sv_eq(flows.out_flows[0].key.principal, SV("erp")));
	assert_int_equal(flows.out_flows[0].key.class, MAIL_CLASS_NORMAL);
	assert_int_equal(flows.out_flows[0].waiting, 3);
	assert_int_equal(flows.out_flows[0].bytes, 12);
	assert_true(flows.out_flows[0].next_at.us <= io_clock_wall().us);
	assert_int_equal(flows.out_flows[1].key.queue.len, 0);
	assert_int_equal(flows.out_flows[1].waiting, 1);
	shut_and_audit(b);
	arena_reset(&a);
}

/* All of the ledger, in pages of two. */
static size_t read_ledger(struct bench *b, struct arena *a, int64_t since, const char *kinds,
	struct limit_entry *out, size_t max)
{
	struct store_ledger_read read = { .op.kind = STORE_OP_LEDGER_READ,
		.since = since,
		.kinds = kinds,
		.limit = 2,
		.out_arena = a };
	size_t n = 0;

	do {
		assert_int_equal(bench_run(b, &read.op), 0);
		for (size_t i = 0; i < read.out_count; i++) {
			assert_true(n < max);
			out[n++] = read.out_entries[i];
		}
	} while (read.out_more);
	return n;
}

static void ledger_adds_up(void **state)
{
	struct bench *b = *state;
	/* Steady time is the wall clock's here; what is older than a day and an hour is dropped. */
	const int64_t now = io_clock_wall().us / (int64_t)US_PER_MIN, day = 24 * 60;
	const struct limit_entry taken[] = {
		{ SV("m:erp@contoso.com"), now - 5, 1, 5, 100 },
		{ SV("m:erp@contoso.com"), now, 1, 7, 0 },
		{ SV("c:lab"), now, 1, 1, 0 },
		{ SV("d:scanner-3"), now - 5, 1, 1, 0 },
		{ SV("m:erp@contoso.com"), now - 3 * day, 1, 9, 0 },
	};
	const struct limit_entry back[] = { { SV("m:erp@contoso.com"), now - 5, -1, -5, -100 } };
	struct store_put put = { .op.kind = STORE_OP_PUT,
		.body = SV("body"),
		.ledger = taken,
		.ledger_count = COUNT_OF(taken) };
	struct store_outcome outcome = {
		.op.kind = STORE_OP_OUTCOME, .ledger = back, .ledger_count = COUNT_OF(back)
	};
	struct limit_entry list[8] = { { .bucket = 0 } };
	struct arena a = { 0 };
	struct mail mail;

	bench_open(b);
	for (int i = 0; i < 2; i++) {
		mail_make(b, &mail, 1, "submission/a");
		mail.m.size = 4;
		put.message = &mail.m;
		assert_int_equal(bench_run(b, &put.op), 0);
		outcome.message_id = mail.m.id;
		assert_int_equal(bench_run(b, &outcome.op), 0);
		mail_free(&mail);
	}
	/* A refused operation counts nothing, and makes no scope. */
	outcome.message_id++;
	assert_int_equal(bench_run(b, &outcome.op), RC_NOT_FOUND);
	bench_reopen(b);
	/* The reaper drops the old ones some time after the start. */
	for (int i = 0;
		i < BENCH_GUARD_S * 100 && read_ledger(b, &a, 0, "mcd", list, COUNT_OF(list)) > 4;
		i++)
		bench_sleep(10);
	assert_int_equal(read_ledger(b, &a, 0, "mcd", list, COUNT_OF(list)), 4);
	assert_int_equal(read_ledger(b, &a, 0, "mc", list, COUNT_OF(list)), 3);
	/* By bucket, then by scope. What was given back is no entry more, but stays as one of nothing. */
	assert_true(sv_eq(list[0].scope, SV("m:erp@contoso.com")));
	assert_int_equal(list[0].bucket, now - 5);
	assert_int_equal(list[0].messages, 0);
	assert_int_equal(list[0].recipients, 0);
	assert_int_equal(list[0].bytes, 0);
	assert_int_equal(list[1].messages, 2);
	assert_int_equal(list[1].recipients, 14);
	assert_true(sv_eq(list[2].scope, SV("c:lab")));
	assert_int_equal(read_ledger(b, &a, now - 5, "mc", list, COUNT_OF(list)), 2);
	assert_int_equal(read_ledger(b, &a, now, "mc", list, COUNT_OF(list)), 0);
	shut_and_audit(b);
	arena_reset(&a);
}

static void what_is_counted_by_months_stays(void **state)
{
	struct bench *b = *state;
	struct store_outcome outcome = { .op.kind = STORE_OP_OUTCOME,
		.count = { SV("hve m:bulk@contoso.com"), 202611, 3 } };
	struct store_counts_read read = { .op.kind = STORE_OP_COUNTS_READ, .period = 202611 };
	struct arena a = { 0 };
	struct mail mail;

	read.out_arena = &a;
	bench_open(b);
	mail_make(b, &mail, 1, "submission/a");
	assert_int_equal(bench_put(b, &mail, SV("body")), 0);
	outcome.message_id = mail.m.id;
	for (unsigned i = 0; i < 3; i++) {
		outcome.count.period = i < 2 ? 202611 : 202612;
		assert_int_equal(bench_run(b, &outcome.op), 0);
	}
	bench_reopen(b);
	assert_int_equal(bench_run(b, &read.op), 0);
	assert_int_equal(read.out_count, 1);
	assert_true(sv_eq(read.out_counts[0].name, SV("hve m:bulk@contoso.com")));
	assert_int_equal(read.out_counts[0].amount, 6);
	read.period = 202701;
	assert_int_equal(bench_run(b, &read.op), 0);
	assert_int_equal(read.out_count, 0);
	shut_and_audit(b);
	mail_free(&mail);
	arena_reset(&a);
}

static void parks_survive(void **state)
{
	struct bench *b = *state;
	struct store_park op = { .op.kind = STORE_OP_PARK,
		.row = { .key = SV("mailbox:a"),
			.cause = SV("smtp-auth-off"),
			.summary = SV("SMTP AUTH is switched off"),
			.reply = SV("535 5.7.139 no"),
			.since.us = 5,
			.probe_at.us = 6,
			.nature = VERDICT_NATURE_QUOTA } };
	struct store_parks_read parks = { .op.kind = STORE_OP_PARKS_READ };
	struct arena a = { 0 };

	bench_open(b);
	assert_int_equal(bench_run(b, &op.op), 0);
	op.row.probe_at.us = 7;
	assert_int_equal(bench_run(b, &op.op), 0);
	op.row.key = SV("tenant:x");
	assert_int_equal(bench_run(b, &op.op), 0);
	op.clear = true;
	assert_int_equal(bench_run(b, &op.op), 0);
	bench_reopen(b);
	parks.out_arena = &a;
	assert_int_equal(bench_run(b, &parks.op), 0);
	assert_int_equal(parks.out_count, 1);
	assert_true(sv_eq(parks.out_rows[0].key, SV("mailbox:a")));
	assert_true(sv_eq(parks.out_rows[0].cause, SV("smtp-auth-off")));
	assert_true(sv_eq(parks.out_rows[0].summary, SV("SMTP AUTH is switched off")));
	assert_true(sv_eq(parks.out_rows[0].reply, SV("535 5.7.139 no")));
	assert_int_equal(parks.out_rows[0].since.us, 5);
	assert_int_equal(parks.out_rows[0].probe_at.us, 7);
	assert_int_equal(parks.out_rows[0].nature, VERDICT_NATURE_QUOTA);
	bench_shut(b);
	arena_reset(&a);
}

/* ---- history ---- */

static uint64_t put_old(struct bench *b, uint64_t age_us, uint64_t finished_age_us)
{
	int64_t now = io_clock_wall().us;
	struct mail mail;
	uint64_t id;

	mail_make_as(&mail, (uint64_t)(now - STORE_EPOCH_US) - age_us, 1, "submission/a");
	assert_int_equal(bench_put_claimed(b, &mail, SV("body")), 0);
	id = mail.m.id;
	if (finished_age_us != UINT64_MAX)
		assert_int_equal(bench_end_at(b,
					 id,
					 1,
					 0,
					 1,
					 STORE_RCPT_DELIVERED,
					 (struct wall_time){ now - (int64_t)finished_age_us },
					 NULL),
			0);
	else
		assert_int_equal(bench_end(b, id, 1, 1, STORE_RCPT_QUEUED), 0);
	mail_free(&mail);
	return id;
}

static void wait_for_history(struct bench *b, uint64_t expected)
{
	struct store_summary s;
	struct arena a = { 0 };

	for (int i = 0; i < BENCH_GUARD_S * 100; i++) {
		bench_summary(b, &a, &s);
		arena_reset(&a);
		if (s.out_history_messages == expected)
			return;
		bench_sleep(10);
	}
	fail_msg("%llu messages in the history, not %llu",
		(unsigned long long)s.out_history_messages,
		(unsigned long long)expected);
}

static void history_ends_with_its_time(void **state)
{
	struct bench *b = *state;
	uint64_t old, waits, late, young;

	bench_open(b);
	old = put_old(b, 20 * US_PER_DAY, 15 * US_PER_DAY);
	waits = put_old(b, 19 * US_PER_DAY, UINT64_MAX);
	late = put_old(b, 18 * US_PER_DAY, US_PER_DAY);
	young = put_old(b, US_PER_DAY, 0);
	bench_reopen(b);
	wait_for_history(b, 2);
	expect_known(b, old, false);
	expect_known(b, waits, true);
	expect_known(b, late, true);
	expect_known(b, young, true);
	shut_and_audit(b);
}

/* Who is forgotten is so in all of it: a transcript has his addresses, too. */
static void a_transcript_ends_with_the_history(void **state)
{
	struct bench *b = *state;
	uint64_t ago = 20 * US_PER_DAY;
	uint32_t zero = 0, number = 0;
	uint64_t id;

	bench_open(b);
	id = put_old(b, ago, UINT64_MAX);
	bench_shut(b);
	assert_int_equal(bench_count(b, BENCH_TRANSCRIPTS), 1);
	bench_open(b);
	assert_int_equal(bench_claim(b, id, &zero, 1, "submission/a", &number), 0);
	assert_int_equal(bench_end_at(b,
				 id,
				 number,
				 0,
				 1,
				 STORE_RCPT_DELIVERED,
				 wall_add(io_clock_wall(), -(int64_t)ago),
				 NULL),
		0);
	bench_reopen(b);
	wait_for_history(b, 0);
	expect_known(b, id, false);
	shut_and_audit(b);
	assert_int_equal(bench_count(b, BENCH_TRANSCRIPTS), 0);
}

static void history_ends_with_its_bytes(void **state)
{
	enum {
		COUNT = 3 * STORE_REAP_MESSAGES
	};
	struct bench *b = *state;
	uint64_t *ids = xcalloc(COUNT, sizeof(*ids));
	struct store_edit drop = { .kind = STORE_EDIT_DROP, .filter.state = -1 };
	uint64_t waits;

	bench_open(b);
	waits = put_one(b, 1, "submission/b");
	put_many(b, COUNT, 2, "submission/a", ids);
	drop.filter.member = SV("submission/a");
	assert_int_equal(edit_all(b, &drop), 2 * COUNT);
	/* Half of it is too much. */
	bench_shut(b);
	b->options.history_bytes_max = (uint64_t)bench_count(b, BENCH_HISTORY_BYTES) / 2;
	bench_open(b);
	/* Two steps of the reaper; the one that waits was looked at too. */
	wait_for_history(b, COUNT - (2 * STORE_REAP_MESSAGES - 1));
	expect_known(b, ids[0], false);
	expect_known(b, ids[COUNT - 1], true);
	expect_known(b, waits, true);
	shut_and_audit(b);
	free(ids);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH_TEST(list_pages_past_a_thousand_rows),
		BENCH_TEST(mail_is_of_the_first_of_its_queue),
		BENCH_TEST(list_filters),
		BENCH_TEST(list_scan_is_bounded),
		BENCH_TEST(edits_reach_every_waiting_recipient),
		BENCH_TEST(retry_makes_due_now),
		BENCH_TEST(summary_counts_over_several_turns),
		BENCH_TEST(flows_with_waiting_mail),
		BENCH_TEST(ledger_adds_up),
		BENCH_TEST(what_is_counted_by_months_stays),
		BENCH_TEST(parks_survive),
		BENCH_TEST(history_ends_with_its_time),
		BENCH_TEST(history_ends_with_its_bytes),
		BENCH_TEST(a_transcript_ends_with_the_history),
	};

	return cmocka_run_group_tests_name("look", tests, NULL, NULL);
}
