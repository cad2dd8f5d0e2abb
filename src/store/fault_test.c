/* SPDX-License-Identifier: Apache-2.0 */
#include "store/fault_vfs.h"

#include "store/sqlite_priv.h"
#include "store/test_bench.h"

#include <pthread.h>

/*
 * A fixed piece of work while the disk fails at every call there is. Whatever completed with 0 must be
 * there when the queue is opened again; whatever completed with anything else must not (I1, I4). The
 * model says what that is; the audit (test_bench.h) says that the rows agree with one another.
 */
enum {
	MAILS = 8,
	RCPT_MAX = 3,
	LARGE_CHUNKS = 5, /* past STORE_INLINE_CHUNKS: the reaper takes it */
	CLEAR_AFTER_MS = 15,
};

struct model {
	struct {
		bool there;
		uint32_t chunks; /* of a large body */
		size_t count;
		enum store_recipient_state state[RCPT_MAX];
		uint32_t attempts[RCPT_MAX];
		bool moved[RCPT_MAX]; /* by another route, which has another plan */
	} mails[MAILS];
	int64_t ledger;
	bool parked;
};

struct world {
	struct bench b;
	struct model is,
		maybe; /* `maybe` when nobody can know: the store was closed while the disk failed */
	bool unsure;
	bool cut_at_strike; /* the power goes as soon as the step that was struck is over */
	uint64_t first_id;
	struct buf large;
};

static uint64_t id_of(const struct world *w, size_t n)
{
	return w->first_id + n;
}

/* ---- steps ---- */

static bool over(const struct world *w)
{
	return w->b.gave_up || (w->cut_at_strike && fault_vfs_struck());
}

static void settle(struct world *w, int rc, const struct model *next)
{
	if (rc == 0)
		w->is = *next;
	else if (rc == RC_UNKNOWN_OUTCOME) {
		/* Only closing may say so. */
		assert_true(w->b.gave_up);
		w->maybe = *next;
		w->unsure = true;
	}
	/* One step a time, and none behind a power cut. */
	assert_true(rc <= 0);
}

static void model_put(struct model *m, size_t n, size_t count, enum store_recipient_state state)
{
	m->mails[n].there = true;
	m->mails[n].count = count;
	for (size_t i = 0; i < count; i++) {
		m->mails[n].state[i] = state;
		m->mails[n].attempts[i] = state == STORE_RCPT_OPEN;
	}
}

/* Each in one of its own: that one is taken, and no other. */
static const char *const queues[] = { "q/0", "q/1", "q/2", "q/3", "q/4", "q/5", "q/6", "q/7" };

static void step_put(struct world *w, size_t n, size_t count, bool claimed)
{
	struct model next = w->is;
	struct mail mail;

	if (over(w))
		return;
	model_put(&next, n, count, claimed ? STORE_RCPT_OPEN : STORE_RCPT_QUEUED);
	mail_make_as(&mail, id_of(w, n), count, queues[n]);
	settle(w,
		claimed ? bench_put_claimed(&w->b, &mail, SV("body"))
			: bench_put(&w->b, &mail, SV("body")),
		&next);
	mail_free(&mail);
}

static struct sv large_body(const struct world *w, uint32_t chunks)
{
	return sv_head(buf_sv(&w->large), (chunks - 1) * LIMIT_CHUNK + 10);
}

static void step_put_large(struct world *w, size_t n, uint32_t chunks)
{
	struct model next = w->is;
	struct sv body = large_body(w, chunks);
	struct store_put op = { .op.kind = STORE_OP_PUT };
	struct mail mail;
	int rc = 0;

	for (op.chunk_count = 0; op.chunk_count < chunks - 1 && rc == 0; op.chunk_count++) {
		if (over(w))
			return;
		rc = bench_chunk(&w->b, id_of(w, n), op.chunk_count, sv_head(body, LIMIT_CHUNK));
		body = sv_skip(body, LIMIT_CHUNK);
	}
	if (over(w))
		return;
	if (rc != 0) {
		(void)bench_abort(&w->b, id_of(w, n));
		return;
	}
	mail_make_as(&mail, id_of(w, n), 1, queues[n]);
	mail.m.size = large_body(w, chunks).len;
	op.message = &mail.m;
	op.body = body;
	model_put(&next, n, 1, STORE_RCPT_QUEUED);
	next.mails[n].chunks = chunks;
	settle(w, bench_run(&w->b, &op.op), &next);
	mail_free(&mail);
}

static void step_claim(struct world *w, size_t n, size_t count)
{
	static const uint32_t indexes[RCPT_MAX] = { 0, 1, 2 };
	struct model next = w->is;
	uint32_t number = 0;
	bool possible = next.mails[n].there;
	int rc;

	if (over(w))
		return;
	for (size_t i = 0; i < count; i++) {
		possible = possible && next.mails[n].state[i] == STORE_RCPT_QUEUED;
		next.mails[n].state[i] = STORE_RCPT_OPEN;
		next.mails[n].attempts[i]++;
	}
	rc = bench_claim(&w->b, id_of(w, n), indexes, count, queues[n], &number);
	assert_true(possible || rc != 0);
	settle(w, rc, &next);
}

static void step_end(
	struct world *w, size_t n, uint32_t attempt, size_t count, enum store_recipient_state state)
{
	struct model next = w->is;
	bool possible = next.mails[n].there;
	int rc;

	if (over(w))
		return;
	for (size_t i = 0; i < count; i++) {
		enum store_recipient_state *s = &next.mails[n].state[i];

		if (attempt)
			possible = possible && *s == STORE_RCPT_OPEN;
		if (attempt || *s == STORE_RCPT_QUEUED || *s == STORE_RCPT_HELD)
			*s = state;
	}
	rc = bench_end(&w->b, id_of(w, n), attempt, count, state);
	assert_true(possible || rc != 0);
	settle(w, rc, &next);
}

/* Opened and given back before the dot. */
static void step_withdraw(struct world *w, size_t n, uint32_t attempt)
{
	const struct limit_entry row = { SV("m:a"), INT64_C(1) << 40, -1, -1, 0 };
	const struct store_recipient_outcome r = { .state = STORE_RCPT_QUEUED };
	struct store_outcome op = { .op.kind = STORE_OP_OUTCOME,
		.message_id = id_of(w, n),
		.attempt = attempt,
		.withdrawn = true,
		.recipients = &r,
		.recipient_count = 1,
		.ledger = &row,
		.ledger_count = 1 };
	struct model next = w->is;

	if (over(w))
		return;
	next.mails[n].state[0] = STORE_RCPT_QUEUED;
	next.mails[n].attempts[0]--;
	next.ledger--;
	settle(w, bench_run(&w->b, &op.op), &next);
}

/* A route is found anew: another flow, another sender. */
static void step_replan(struct world *w, size_t n)
{
	const struct mail_flow moved = bench_flow("q/moved");
	const struct store_recipient_outcome r = {
		.index = 2, .state = STORE_RCPT_QUEUED, .flow = &moved, .rewrite_from = SV("")
	};
	struct store_outcome op = { .op.kind = STORE_OP_OUTCOME,
		.message_id = id_of(w, n),
		.recipients = &r,
		.recipient_count = 1 };
	struct model next = w->is;

	if (over(w))
		return;
	next.mails[n].moved[2] |= next.mails[n].state[2] == STORE_RCPT_QUEUED;
	settle(w, bench_run(&w->b, &op.op), &next);
}

static void step_hold(struct world *w, size_t n)
{
	struct store_edit op = { .op.kind = STORE_OP_EDIT,
		.kind = STORE_EDIT_HOLD,
		.filter = { .id = id_of(w, n), .state = -1 } };
	struct model next = w->is;

	if (over(w))
		return;
	for (size_t i = 0; i < RCPT_MAX; i++)
		if (next.mails[n].there && next.mails[n].state[i] == STORE_RCPT_QUEUED)
			next.mails[n].state[i] = STORE_RCPT_HELD;
	settle(w, bench_run(&w->b, &op.op), &next);
}

/* Several at once: each for itself. */
static void step_group(struct world *w, size_t n)
{
	const struct limit_entry row = { SV("m:a"), INT64_C(1) << 40, 1, 1, 0 };
	struct store_put put = {
		.op.kind = STORE_OP_PUT, .body = SV("body"), .ledger = &row, .ledger_count = 1
	};
	struct store_put again = { .op.kind = STORE_OP_PUT, .body = SV("body") };
	struct store_park park = { .op.kind = STORE_OP_PARK,
		.row = { .key = SV("tenant:x"), .proof = SV("1,2,3,4,5,6,7,8") } };
	struct buf got = BUF_INIT(100);
	struct store_body read = {
		.op.kind = STORE_OP_BODY, .message_id = id_of(w, 3), .out = &got
	};
	struct store_list list = { .op.kind = STORE_OP_LIST,
		.filter = { .id = id_of(w, 3), .state = -1 },
		.after_index = UINT32_MAX,
		.limit = 2 };
	struct arena a = { 0 };
	struct model next = w->is;
	struct mail mail;

	if (over(w))
		return;
	mail_make_as(&mail, id_of(w, n), 2, queues[n]);
	mail.m.size = 4;
	put.message = again.message = &mail.m;
	list.out_arena = &a;
	bench_hand(&w->b, &read.op);
	bench_hand(&w->b, &put.op);
	bench_hand(&w->b, &again.op);
	bench_hand(&w->b, &list.op);
	bench_hand(&w->b, &park.op);
	bench_wait(&w->b);
	/* However often the group ran, each has read once. */
	if (w->is.mails[3].there && w->is.mails[3].state[2] == STORE_RCPT_HELD) {
		assert_true(read.op.rc != 0 || sv_eq(buf_sv(&got), SV("body")));
		assert_true(list.op.rc != 0 || list.out_count == 2);
	}
	buf_deinit(&got);
	arena_reset(&a);
	mail_free(&mail);
	/* The same message twice is a mistake of ours: the second finds the first. */
	assert_true(put.op.rc != 0 || again.op.rc != 0);
	/* They may have come in several commits: those that are known, then those that are not. */
	if (put.op.rc == 0 || again.op.rc == 0)
		model_put(&next, n, 2, STORE_RCPT_QUEUED);
	next.ledger += put.op.rc == 0;
	next.parked |= park.op.rc == 0;
	settle(w, 0, &next);
	if (put.op.rc == RC_UNKNOWN_OUTCOME) {
		model_put(&next, n, 2, STORE_RCPT_QUEUED);
		next.ledger++;
	}
	next.parked |= park.op.rc == RC_UNKNOWN_OUTCOME;
	if (put.op.rc == RC_UNKNOWN_OUTCOME || park.op.rc == RC_UNKNOWN_OUTCOME)
		settle(w, RC_UNKNOWN_OUTCOME, &next);
}

static void work(struct world *w)
{
	step_put(w, 0, 1, false);
	step_claim(w, 0, 1);
	step_end(w, 0, 1, 1, STORE_RCPT_DELIVERED);
	step_put(w, 1, 1, true);
	step_end(w, 1, 1, 1, STORE_RCPT_QUEUED);
	step_claim(w, 1, 1);
	step_withdraw(w, 1, 2);
	step_put_large(w, 2, LARGE_CHUNKS);
	step_put(w, 3, 3, false);
	step_replan(w, 3);
	step_claim(w, 3, 2);
	step_hold(w, 3);
	step_end(w, 3, 1, 2, STORE_RCPT_BOUNCED);
	step_group(w, 4);
	step_end(w, 2, 0, 1, STORE_RCPT_EXPIRED);
	step_put(w, 5, 2, true);
	step_put_large(w, 6, 2);
	step_put(w, 7, 1, true);
	step_end(w, 7, 1, 1, STORE_RCPT_DELIVERED);
}

/* ---- what is there afterwards ---- */

static bool plan_agrees(const struct store_recipient *r, size_t n, bool moved, bool alone)
{
	return sv_eq(r->flow.queue, moved ? SV("q/moved") : sv_from(queues[n])) &&
	       sv_eq(r->rewrite_from, moved || alone ? SV("") : SV("shared@contoso.com"));
}

static bool mail_agrees(struct world *w, const struct model *m, size_t n)
{
	struct arena a = { 0 };
	struct store_show show;
	int rc = bench_show(&w->b, id_of(w, n), &a, &show);
	bool same = (rc == 0) == m->mails[n].there;

	assert_true(rc == 0 || rc == RC_NOT_FOUND);
	if (same && rc == 0) {
		same = show.out_message->recipient_count == m->mails[n].count;
		for (size_t i = 0; same && i < m->mails[n].count; i++)
			same = show.out_message->recipients[i].state == m->mails[n].state[i] &&
			       show.out_message->recipients[i].attempts ==
				       m->mails[n].attempts[i] &&
			       plan_agrees(&show.out_message->recipients[i],
				       n,
				       m->mails[n].moved[i],
				       m->mails[n].count == 1);
		same = same && sv_eq(show.out_message->device, SV("scanner-3"));
	}
	arena_reset(&a);
	return same;
}

static bool ledger_agrees(struct world *w, const struct model *m)
{
	struct store_ledger_read read = {
		.op.kind = STORE_OP_LEDGER_READ, .kinds = "m", .limit = 100
	};
	struct arena a = { 0 };
	int64_t sum = 0;

	read.out_arena = &a;
	assert_int_equal(bench_run(&w->b, &read.op), 0);
	for (size_t i = 0; i < read.out_count; i++)
		sum += read.out_entries[i].recipients;
	arena_reset(&a);
	return sum == m->ledger;
}

static bool parks_agree(struct world *w, const struct model *m)
{
	struct store_parks_read read = { .op.kind = STORE_OP_PARKS_READ };
	struct arena a = { 0 };

	read.out_arena = &a;
	assert_int_equal(bench_run(&w->b, &read.op), 0);
	if (read.out_count && !sv_eq(read.out_rows[0].proof, SV("1,2,3,4,5,6,7,8")))
		fail_msg("a proof was lost");
	arena_reset(&a);
	return read.out_count == m->parked;
}

static bool agrees(struct world *w, const struct model *m)
{
	bool same = ledger_agrees(w, m) && parks_agree(w, m);

	for (size_t n = 0; n < MAILS && same; n++)
		same = mail_agrees(w, m, n);
	return same;
}

static void expect_large_body(struct world *w, size_t n, uint32_t chunks)
{
	struct buf got = BUF_INIT(w->large.len + 1);

	assert_int_equal(bench_body(&w->b, id_of(w, n), 0, &got), 0);
	assert_true(sv_eq(buf_sv(&got), large_body(w, chunks)));
	buf_deinit(&got);
}

static void verify(struct world *w, const char *what, uint64_t nth)
{
	w->b.give_up = NULL;
	fault_vfs_clear();
	bench_open(&w->b);
	if (!agrees(w, &w->is) && !(w->unsure && agrees(w, &w->maybe)))
		fail_msg("%s at call %llu: what completed and what is there differ",
			what,
			(unsigned long long)nth);
	for (size_t n = 0; n < MAILS; n++)
		if (w->is.mails[n].chunks && w->is.mails[n].state[0] < STORE_RCPT_DELIVERED)
			expect_large_body(w, n, w->is.mails[n].chunks);
	bench_shut(&w->b);
	bench_audit(&w->b);
	/* And life goes on. */
	bench_open(&w->b);
	bench_resolve(&w->b, STORE_UNCERTAIN_RETRY);
	bench_shut(&w->b);
	bench_audit(&w->b);
}

/* ---- one run ---- */

static void make_world(struct world *w)
{
	*w = (struct world){ .first_id = UINT64_C(1) << 46 };
	bench_make(&w->b);
	w->b.disk.vfs = FAULT_VFS_NAME;
	fault_vfs_reset();
	fill_body(&w->large, (LARGE_CHUNKS - 1) * LIMIT_CHUNK + 10, 5);
}

static void remove_world(struct world *w)
{
	buf_deinit(&w->large);
	bench_remove(&w->b);
}

/* Clears a fault that stays, a moment after it has struck. */
static void *clear_later(void *arg)
{
	_Atomic bool *stop = arg;

	while (!fault_vfs_struck() && !atomic_load(stop))
		bench_sleep(1);
	if (!atomic_load(stop))
		bench_sleep(CLEAR_AFTER_MS);
	fault_vfs_clear();
	return NULL;
}

/* Opens, works, closes. False: the queue could not be opened. */
static bool open_and_work(struct world *w)
{
	struct err err = { 0 };

	if (bench_try_open(&w->b, &err) != 0) {
		assert_true(fault_vfs_struck());
		return false;
	}
	work(w);
	return true;
}

static uint64_t run_fault(const struct fault_plan *plan, const char *what)
{
	struct world w;
	_Atomic bool stop = false;
	pthread_t clearer;
	uint64_t calls;

	make_world(&w);
	fault_vfs_plan(plan);
	if (plan->mode == FAULT_ALWAYS)
		must(pthread_create(&clearer, NULL, clear_later, &stop) == 0);
	if (open_and_work(&w))
		bench_shut(&w.b);
	calls = fault_vfs_calls();
	atomic_store(&stop, true);
	if (plan->mode == FAULT_ALWAYS)
		must(pthread_join(clearer, NULL) == 0);
	verify(&w, what, plan->nth);
	remove_world(&w);
	return calls;
}

static uint64_t run_power_cut(const struct fault_plan *plan, const char *what, uint64_t seed)
{
	struct world w;
	uint64_t calls;

	make_world(&w);
	w.cut_at_strike = true;
	if (plan->mode == FAULT_ALWAYS)
		w.b.give_up = fault_vfs_struck;
	fault_vfs_plan(plan);
	if (open_and_work(&w)) {
		calls = fault_vfs_calls();
		/* From here on nothing reaches the disk. */
		fault_vfs_plan(&(struct fault_plan){
			.nth = 1, .mode = FAULT_ALWAYS, .write_code = SQLITE_IOERR_WRITE });
		bench_shut(&w.b);
	} else {
		calls = fault_vfs_calls();
	}
	fault_vfs_power_loss(seed);
	verify(&w, what, plan->nth);
	remove_world(&w);
	return calls;
}

static uint64_t count_calls(enum fault_calls calls)
{
	const struct fault_plan none = {
		.nth = UINT64_MAX, .write_code = SQLITE_IOERR_WRITE, .calls = calls
	};

	return run_fault(&none, "no fault");
}

/* ---- tests ---- */

static void every_call_fails_once(void **state)
{
	static const int codes[] = { SQLITE_IOERR_WRITE, SQLITE_FULL };
	uint64_t calls = count_calls(FAULT_CHANGES);

	(void)state;
	assert_true(calls > 100);
	for (uint64_t n = 1; n <= calls; n++)
		for (size_t c = 0; c < COUNT_OF(codes); c++)
			(void)run_fault(
				&(struct fault_plan){
					.nth = n, .write_code = codes[c], .half = (n + c) & 1 },
				c ? "full once" : "write error once");
}

static void every_read_fails_once(void **state)
{
	uint64_t calls = count_calls(FAULT_READS);

	(void)state;
	assert_true(calls > 10);
	for (uint64_t n = 1; n <= calls; n++)
		(void)run_fault(
			&(struct fault_plan){ .nth = n, .calls = FAULT_READS }, "read error once");
}

static void faults_stay_a_while(void **state)
{
	static const int codes[] = { SQLITE_IOERR_WRITE, SQLITE_FULL };
	uint64_t calls = count_calls(FAULT_CHANGES);

	(void)state;
	for (uint64_t n = 1; n <= calls; n += 5)
		(void)run_fault(&(struct fault_plan){ .nth = n,
					.mode = FAULT_ALWAYS,
					.write_code = codes[n / 5 % 2],
					.half = n & 1 },
			"fault for a while");
}

/* A read that fails takes the transaction with it, and nobody notices: the group runs again. */
static void failed_read_harms_no_neighbour(void **state)
{
	enum {
		READS = 60
	};

	(void)state;
	for (uint64_t n = 1; n <= READS; n++) {
		struct world w;
		struct buf got = BUF_INIT(LARGE_CHUNKS * LIMIT_CHUNK);
		struct store_body read = { .op.kind = STORE_OP_BODY, .out = &got };
		struct store_put put = { .op.kind = STORE_OP_PUT, .body = SV("body") };
		struct mail mail;

		make_world(&w);
		bench_open(&w.b);
		step_put_large(&w, 2, LARGE_CHUNKS);
		bench_reopen(&w.b);
		fault_vfs_plan(&(struct fault_plan){ .nth = n, .calls = FAULT_READS });
		mail_make_as(&mail, id_of(&w, 0), 1, queues[0]);
		mail.m.size = 4;
		put.message = &mail.m;
		read.message_id = id_of(&w, 2);
		bench_hand(&w.b, &put.op);
		bench_hand(&w.b, &read.op);
		bench_wait(&w.b);
		assert_int_equal(put.op.rc, 0);
		assert_int_equal(read.op.rc, 0);
		assert_true(sv_eq(buf_sv(&got), large_body(&w, LARGE_CHUNKS)));
		model_put(&w.is, 0, 1, STORE_RCPT_QUEUED);
		bench_shut(&w.b);
		verify(&w, "read error beside a put", n);
		buf_deinit(&got);
		mail_free(&mail);
		remove_world(&w);
	}
}

/* Whether one comes with writes or alone, its page is read once more. */
static void failed_read_alone_reads_again(void **state)
{
	enum {
		READS = 60
	};

	(void)state;
	for (uint64_t n = 1; n <= READS; n++) {
		struct world w;
		struct buf got = BUF_INIT(LARGE_CHUNKS * LIMIT_CHUNK);
		struct store_body read = { .op.kind = STORE_OP_BODY, .out = &got };

		make_world(&w);
		bench_open(&w.b);
		step_put_large(&w, 2, LARGE_CHUNKS);
		bench_reopen(&w.b);
		fault_vfs_plan(&(struct fault_plan){ .nth = n, .calls = FAULT_READS });
		read.message_id = id_of(&w, 2);
		assert_int_equal(bench_run(&w.b, &read.op), 0);
		assert_true(sv_eq(buf_sv(&got), large_body(&w, LARGE_CHUNKS)));
		bench_shut(&w.b);
		verify(&w, "read error", n);
		buf_deinit(&got);
		remove_world(&w);
	}
}

/* I1: what completed with 0 survives the loss of everything that was not synced. */
static void power_goes_at_every_call(void **state)
{
	uint64_t calls = count_calls(FAULT_CHANGES);

	(void)state;
	for (uint64_t n = 1; n <= calls; n++)
		(void)run_power_cut(&(struct fault_plan){ .nth = n,
					    .mode = FAULT_ALWAYS,
					    .write_code = SQLITE_IOERR_WRITE,
					    .half = n & 1 },
			"power cut",
			n);
}

/*
 * As Linux does it: a sync fails, its pages count as clean, and the next sync says that all is well. What
 * the store answered after it reopened must survive the power cut all the same.
 */
static void failed_sync_loses_and_then_the_power_goes(void **state)
{
	uint64_t calls = count_calls(FAULT_SYNCS);

	(void)state;
	for (uint64_t n = 1; n <= calls; n++)
		(void)run_power_cut(&(struct fault_plan){ .nth = n,
					    .write_code = n % 3 ? SQLITE_IOERR_WRITE : SQLITE_FULL,
					    .calls = FAULT_SYNCS,
					    .sync_loses = true },
			"lost sync",
			n);
}

/* ---- the disk is full: full_test.c has more ---- */

static uint64_t file_bytes(const struct world *w)
{
	char path[2 * BENCH_PATH_MAX];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/queue.db", w->b.folder);
	assert_int_equal(stat(path, &st), 0);
	return (uint64_t)st.st_size;
}

/* Where there is no room for the ballast nothing is accepted, and the file gives back what is free in it. */
static void file_shrinks_while_there_is_no_room(void **state)
{
	struct world w;
	struct mail mail;
	uint64_t before;

	(void)state;
	make_world(&w);
	bench_open(&w.b);
	for (size_t n = 0; n < MAILS; n++)
		step_put_large(&w, n, LARGE_CHUNKS);
	for (size_t n = 0; n < MAILS - 1; n++)
		step_end(&w, n, 0, 1, STORE_RCPT_EXPIRED);
	bench_shut(&w.b);
	before = file_bytes(&w);
	assert_true(before > (uint64_t)MAILS * (LARGE_CHUNKS - 1) * LIMIT_CHUNK);
	w.b.disk.ballast_bytes = UINT64_C(1) << 60;
	bench_open(&w.b);
	bench_resolve(&w.b, STORE_UNCERTAIN_HOLD);
	assert_int_equal(store_room(w.b.s, 0, 0), RC_DISK_FULL);
	for (int i = 0; i < BENCH_GUARD_S * 10 && file_bytes(&w) > before / 4; i++)
		bench_sleep(100);
	assert_true(file_bytes(&w) <= before / 4);
	mail_make(&w.b, &mail, 1, "submission/a");
	assert_int_equal(bench_put(&w.b, &mail, SV("body")), RC_DISK_FULL);
	mail_free(&mail);
	expect_large_body(&w, MAILS - 1, LARGE_CHUNKS);
	bench_shut(&w.b);
	w.b.disk.ballast_bytes = 0;
	verify(&w, "shrinking", 0);
	remove_world(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_call_fails_once),
		cmocka_unit_test(every_read_fails_once),
		cmocka_unit_test(failed_read_harms_no_neighbour),
		cmocka_unit_test(failed_read_alone_reads_again),
		cmocka_unit_test(faults_stay_a_while),
		cmocka_unit_test(power_goes_at_every_call),
		cmocka_unit_test(failed_sync_loses_and_then_the_power_goes),
		cmocka_unit_test(file_shrinks_while_there_is_no_room),
	};

	return cmocka_run_group_tests_name("fault", tests, NULL, NULL);
}
