/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/arena.h"
#include "base/limits.h"
#include "base/must.h"
#include "io/loop.h"
#include "store/store_health.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmocka_all.h"

/*
 * A real loop and real files under /tmp. One bench at a time. Children that are to die use it as
 * well, so nothing here longjmps out: what must hold here is a `must`.
 */
enum {
	BENCH_GUARD_S = 60, /* a test that hangs fails instead */
	BENCH_PATH_MAX = 128,
	BENCH_POLL_MS = 2,
};

struct bench {
	char folder[BENCH_PATH_MAX];
	struct io_loop *loop;
	struct io_timer guard, poll;
	struct store *s;
	struct store_options options;
	struct store_disk disk;
	struct store_recovery found;
	size_t pending;
	/* Asked now and then while an operation runs; then the store is closed under it. NULL: never. */
	bool (*give_up)(void);
	bool gave_up;
};

/* Things that a test of the operations counts. */
enum bench_kept {
	BENCH_MESSAGES,
	BENCH_CHUNKS,
	BENCH_DEAD, /* bodies that are to go */
	BENCH_LANES,
	BENCH_FLOWS,
	BENCH_WAITING,       /* the counter of messages that wait */
	BENCH_HISTORY,       /* the counter of those that are finished */
	BENCH_HISTORY_BYTES, /* of their attempts */
	BENCH_TRANSCRIPTS,
};

/* What a backend gives to the tests: the operations' tests run over any that has this. */
struct bench_backend {
	void (*audit)(struct bench *b);
	int64_t (*count)(struct bench *b, enum bench_kept what);
};

/* `done` has no argument but the operation. */
static struct bench *bench_now;

static inline void bench_done(struct store_op *op)
{
	(void)op;
	bench_now->pending--;
	if (bench_now->pending == 0)
		io_loop_stop(bench_now->loop);
}

static inline void bench_guard(void *arg)
{
	(void)arg;
	must_fail("the store does not answer", __FILE__, __LINE__);
}

static inline void bench_poll(void *arg)
{
	struct bench *b = arg;

	b->gave_up = b->give_up();
	if (b->gave_up)
		io_loop_stop(b->loop);
	else
		io_timer_start(&b->poll, mono_add(io_now(b->loop), BENCH_POLL_MS * US_PER_MS));
}

static inline void bench_make(struct bench *b)
{
	*b = (struct bench){ .folder = "/tmp/postern-store-XXXXXX" };
	must(mkdtemp(b->folder) != NULL);
	b->options = (struct store_options){
		.data_dir = sv_from(b->folder),
		.history_keep_us = 14 * US_PER_DAY,
		.history_bytes_max = UINT64_C(1) << 30,
		.disk = &b->disk,
	};
}

static inline int bench_try_open(struct bench *b, struct err *err)
{
	bench_now = b;
	b->pending = 0;
	b->gave_up = false;
	b->loop = io_loop_new();
	b->s = store_open(b->loop, &b->options, &b->found, err);
	if (b->s)
		return 0;
	io_loop_free(b->loop);
	b->loop = NULL;
	return err->code;
}

static inline void bench_open(struct bench *b)
{
	struct err err = { 0 };
	int rc = bench_try_open(b, &err);

	if (rc != 0)
		(void)fprintf(stderr, "%s\n", err.text);
	must(rc == 0);
}

static inline void bench_shut(struct bench *b)
{
	must(store_close(b->s));
	io_timer_stop(&b->guard);
	io_timer_stop(&b->poll);
	io_loop_free(b->loop);
	b->s = NULL;
	b->loop = NULL;
}

static inline void bench_reopen(struct bench *b)
{
	bench_shut(b);
	bench_open(b);
}

static inline void bench_remove(struct bench *b)
{
	static const char *const names[] = {
		"queue.db", "queue.db-wal", "queue.db-journal", "queue.db-shm", "lock", "ballast"
	};
	char path[2 * BENCH_PATH_MAX];

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", b->folder, names[i]);
		(void)unlink(path);
	}
	must(rmdir(b->folder) == 0);
}

static inline void bench_hand(struct bench *b, struct store_op *op)
{
	op->done = bench_done;
	b->pending++;
	store_submit(b->s, op);
}

static inline void bench_wait(struct bench *b)
{
	if (b->pending == 0)
		return;
	io_timer_init(&b->guard, b->loop, bench_guard, b);
	io_timer_start(&b->guard, mono_add(io_clock_mono(), BENCH_GUARD_S * US_PER_S));
	io_timer_init(&b->poll, b->loop, bench_poll, b);
	if (b->give_up)
		io_timer_start(&b->poll, mono_add(io_clock_mono(), BENCH_POLL_MS * US_PER_MS));
	io_loop_run(b->loop);
	io_timer_stop(&b->poll);
	io_timer_stop(&b->guard);
	if (b->gave_up) {
		must(store_close(b->s));
		b->s = NULL;
		must(b->pending == 0);
	}
}

static inline int bench_run(struct bench *b, struct store_op *op)
{
	bench_hand(b, op);
	bench_wait(b);
	return op->rc;
}

static inline void bench_sleep(uint64_t ms)
{
	(void)usleep((useconds_t)(ms * 1000));
}

/* ---- messages ---- */

struct mail {
	struct store_message m;
	struct store_recipient *recipients;
	uint32_t *indexes; /* 0, 1, 2... */
	struct arena arena;
};

/* The flow of a queue, as mail_make() uses it. */
static inline struct mail_flow bench_flow(const char *queue)
{
	return (struct mail_flow){
		.queue = sv_from(queue), .class = MAIL_CLASS_NORMAL, .principal = SV("erp")
	};
}

static inline void mail_make_as(struct mail *mail, uint64_t id, size_t count, const char *queue)
{
	int64_t now = io_clock_wall().us;

	*mail = (struct mail){ 0 };
	mail->recipients = arena_alloc(&mail->arena, count * sizeof(*mail->recipients));
	mail->indexes = arena_alloc(&mail->arena, count * sizeof(*mail->indexes));
	for (size_t i = 0; i < count; i++) {
		char address[64];

		(void)snprintf(address, sizeof(address), "r%zu@example.com", i);
		mail->indexes[i] = (uint32_t)i;
		mail->recipients[i] = (struct store_recipient){
			.index = (uint32_t)i,
			.address = arena_sv(&mail->arena, sv_from(address)),
			.orcpt = SV("rfc822;someone@example.com"),
			.dsn_notify = 5,
			.flow = bench_flow(queue),
			/* Most have none. */
			.rewrite_from = count > 1 ? SV("shared@contoso.com") : SV(""),
			.state = STORE_RCPT_QUEUED,
			.next_at.us = now,
		};
	}
	mail->m = (struct store_message){
		.id = id,
		.accepted_at.us = now,
		.expires_at.us = now + 5 * (int64_t)US_PER_DAY,
		.sender = SV("erp@contoso.com"),
		.envid = SV("QQ314159"),
		.dsn_ret = 2,
		.flags = STORE_MSG_8BIT | STORE_MSG_FORCE,
		.header_size = 10,
		.message_id = SV("<1@contoso.com>"),
		.subject = SV("Invoice 4711"),
		.user = SV("erp"),
		.client = SV("[10.0.5.30]:4711"),
		.listener = SV("smtp"),
		.device = SV("scanner-3"),
		.recipients = mail->recipients,
		.recipient_count = count,
	};
}

static inline void mail_make(struct bench *b, struct mail *mail, size_t count, const char *queue)
{
	mail_make_as(mail, store_new_id(b->s), count, queue);
}

static inline void mail_free(struct mail *mail)
{
	arena_reset(&mail->arena);
}

/* Bytes that differ from place to place and from message to message. */
static inline void fill_body(struct buf *out, size_t len, uint64_t seed)
{
	uint64_t x = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;

	buf_init(out, len);
	must(buf_reserve(out, len) == 0);
	for (size_t i = 0; i < len; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		buf_tail(out)[i] = (char)(x >> 32);
	}
	buf_grew(out, len);
}

/* ---- operations, one at a time ---- */

static inline int bench_chunk(struct bench *b, uint64_t id, uint32_t index, struct sv bytes)
{
	struct store_chunk op = {
		.op.kind = STORE_OP_CHUNK, .message_id = id, .index = index, .bytes = bytes
	};

	return bench_run(b, &op.op);
}

static inline int bench_abort(struct bench *b, uint64_t id)
{
	struct store_abort op = { .op.kind = STORE_OP_ABORT, .message_id = id };

	return bench_run(b, &op.op);
}

static inline int bench_put_with(struct bench *b, struct mail *mail, struct sv body,
	const struct store_attempt *attempts, size_t attempt_count)
{
	struct store_put op = { .op.kind = STORE_OP_PUT,
		.message = &mail->m,
		.body = body,
		.attempts = attempts,
		.attempt_count = attempt_count };

	mail->m.size = body.len;
	return bench_run(b, &op.op);
}

static inline int bench_put(struct bench *b, struct mail *mail, struct sv body)
{
	return bench_put_with(b, mail, body, NULL, 0);
}

static inline int bench_put_claimed(struct bench *b, struct mail *mail, struct sv body)
{
	struct store_attempt a = { .message_id = mail->m.id,
		.lane = mail->recipients[0].flow.queue,
		.at = io_clock_wall(),
		.recipients = mail->indexes,
		.recipient_count = mail->m.recipient_count };

	for (size_t i = 0; i < mail->m.recipient_count; i++)
		mail->recipients[i].lane = a.lane;
	return bench_put_with(b, mail, body, &a, 1);
}

/* A large body, cut as the server cuts it. */
static inline int bench_put_large(struct bench *b, struct mail *mail, struct sv body)
{
	struct store_put op = { .op.kind = STORE_OP_PUT, .message = &mail->m };
	int rc = 0;

	mail->m.size = body.len;
	while (body.len > LIMIT_CHUNK && rc == 0) {
		rc = bench_chunk(b, mail->m.id, op.chunk_count++, sv_head(body, LIMIT_CHUNK));
		body = sv_skip(body, LIMIT_CHUNK);
	}
	op.body = body;
	return rc ? rc : bench_run(b, &op.op);
}

struct taken {
	uint64_t id;
	uint32_t attempt, first; /* the number of the first recipient */
	size_t count;
	struct wall_time next_due;
};

/* What is due within the hour. By a lane of the same name. */
static inline int bench_take(
	struct bench *b, const struct mail_flow *flow, uint32_t wanted, struct taken *out)
{
	CLEANUP(buf_deinitp) struct buf body = BUF_INIT(LIMIT_CHUNK);
	struct arena a = { 0 };
	struct store_take op = { .op.kind = STORE_OP_TAKE,
		.flow = flow,
		.lane = flow->queue,
		.now = wall_add(io_clock_wall(), (int64_t)US_PER_HOUR),
		.at = io_clock_wall(),
		.wanted = wanted,
		.body = &body,
		.out_arena = &a };
	int rc = bench_run(b, &op.op);

	*out = (struct taken){ .next_due = op.out_next_due };
	if (rc == 0)
		*out = (struct taken){ .id = op.out_message->id,
			.attempt = op.out_attempt,
			.first = op.out_message->recipients[0].index,
			.count = op.out_message->recipient_count,
			.next_due = op.out_next_due };
	arena_reset(&a);
	return rc;
}

/* These recipients, which are the first that are due there. */
static inline int bench_claim(struct bench *b, uint64_t id, const uint32_t *recipients,
	size_t count, const char *queue, uint32_t *out_number)
{
	const struct mail_flow flow = bench_flow(queue);
	struct taken taken;
	int rc = bench_take(b, &flow, (uint32_t)count, &taken);

	if (rc != 0)
		return rc;
	assert_true(taken.id == id);
	assert_int_equal(taken.first, recipients[0]);
	assert_int_equal(taken.count, count);
	*out_number = taken.attempt;
	return 0;
}

/* The same end for `count` recipients from `first` on. */
static inline int bench_end_at(struct bench *b, uint64_t id, uint32_t attempt, uint32_t first,
	size_t count, enum store_recipient_state state, struct wall_time at, bool *out_finished)
{
	struct arena a = { 0 };
	struct store_recipient_outcome *list = arena_alloc(&a, (count + 1) * sizeof(*list));
	struct store_outcome op = { .op.kind = STORE_OP_OUTCOME,
		.message_id = id,
		.attempt = attempt,
		.at = at,
		.relay = SV("smtp.office365.com[52.97.1.2]:587"),
		.stage = SV("end of data"),
		.recipients = list,
		.recipient_count = count };
	bool good = state == STORE_RCPT_DELIVERED;
	char text[64];

	(void)snprintf(text, sizeof(text), "0 < 451 later, attempt %u\n", attempt);
	op.transcript = good ? SV("") : sv_from(text);
	for (size_t i = 0; i < count; i++)
		list[i] = (struct store_recipient_outcome){
			.index = first + (uint32_t)i,
			.state = state,
			.next_at = wall_add(at, 60 * (int64_t)US_PER_S),
			.verdict = { .kind = good ? VERDICT_DELIVERED : VERDICT_RETRY,
				.scope = VERDICT_SCOPE_RECIPIENT,
				.cause = good ? CAUSE_ACCEPTED : CAUSE_GREYLISTED },
			.reply = good ? SV("250 2.0.0 OK") : SV("451 4.7.1 later\nplease"),
			.remote_message_id = good ? SV("<x@outlook.com>") : SV(""),
		};
	(void)bench_run(b, &op.op);
	if (op.op.rc == 0 && out_finished)
		*out_finished = op.out_finished;
	arena_reset(&a);
	return op.op.rc;
}

static inline int bench_end(struct bench *b, uint64_t id, uint32_t attempt, size_t count,
	enum store_recipient_state state)
{
	return bench_end_at(b, id, attempt, 0, count, state, io_clock_wall(), NULL);
}

static inline int bench_show(struct bench *b, uint64_t id, struct arena *a, struct store_show *out)
{
	*out = (struct store_show){ .op.kind = STORE_OP_SHOW, .message_id = id, .out_arena = a };
	return bench_run(b, &out->op);
}

static inline int bench_body(struct bench *b, uint64_t id, uint64_t offset, struct buf *out)
{
	struct store_body op = {
		.op.kind = STORE_OP_BODY, .message_id = id, .offset = offset, .out = out
	};

	return bench_run(b, &op.op);
}

static inline void bench_summary(struct bench *b, struct arena *a, struct store_summary *out)
{
	*out = (struct store_summary){ .op.kind = STORE_OP_SUMMARY, .out_arena = a };
	must(bench_run(b, &out->op) == 0);
}

/* Those that are due in this queue, with the recipients that are. */
struct due {
	struct store_message *out_messages;
	size_t out_count;
};

static inline void add_due(struct due *out, const struct store_list_row *row)
{
	struct store_message *m = out->out_count ? &out->out_messages[out->out_count - 1] : NULL;

	if (!m || m->id != row->message.id) {
		m = &out->out_messages[out->out_count++];
		*m = row->message;
		m->recipients = &row->recipient;
		m->recipient_count = 0;
	}
	m->recipient_count++;
}

static inline void bench_due(struct bench *b, const char *queue, struct arena *a, struct due *out)
{
	const struct mail_flow flow = bench_flow(queue);
	struct wall_time now = wall_add(io_clock_wall(), (int64_t)US_PER_S);
	struct store_list list = { .op.kind = STORE_OP_LIST,
		.filter = { .flow = &flow, .state = STORE_RCPT_QUEUED },
		.after_index = UINT32_MAX,
		.limit = LIMIT_PAGE,
		.out_arena = a };

	must(bench_run(b, &list.op) == 0 && !list.out_more);
	*out = (struct due){ .out_messages = arena_alloc(
				     a, (list.out_count + 1) * sizeof(struct store_message)) };
	for (size_t i = 0; i < list.out_count; i++)
		if (list.out_rows[i].recipient.next_at.us <= now.us)
			add_due(out, &list.out_rows[i]);
}

static inline void bench_resolve(struct bench *b, enum store_uncertain_policy policy)
{
	struct wall_time now = io_clock_wall();
	struct err err = { 0 };

	must(store_resolve_uncertain(b->s,
		     &(struct store_uncertain){ .policy = policy,
			     .now = now,
			     .retry_at = wall_add(now, 600 * (int64_t)US_PER_S) },
		     &err) == 0);
}

/* ---- children ---- */

/* Runs `fn` in a child that has to end with status 0, as it likes. */
static inline void bench_in_child(struct bench *b, void (*fn)(struct bench *b))
{
	pid_t child = fork();
	int status = 0;

	must(child >= 0);
	if (child == 0) {
		fn(b);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

#include "store/test_sqlite.h"

/* ---- what is kept, while no store has it open ---- */

/* What must hold of it at every moment (docs/design-queue.md, "What the audit checks"). */
static inline void bench_audit(struct bench *b)
{
	bench_backend.audit(b);
}

static inline int64_t bench_count(struct bench *b, enum bench_kept what)
{
	return bench_backend.count(b, what);
}

/* ---- tests ---- */

static inline int bench_setup(void **state)
{
	struct bench *b = xcalloc(1, sizeof(*b));

	bench_make(b);
	*state = b;
	return 0;
}

static inline int bench_teardown(void **state)
{
	struct bench *b = *state;

	if (b->s)
		bench_shut(b);
	bench_remove(b);
	free(b);
	return 0;
}

static inline void shut_and_audit(struct bench *b)
{
	bench_shut(b);
	bench_audit(b);
}

static inline void expect_body(struct bench *b, uint64_t id, struct sv expected)
{
	struct buf got = BUF_INIT(expected.len + 1);

	assert_int_equal(bench_body(b, id, 0, &got), 0);
	assert_int_equal(got.len, expected.len);
	assert_memory_equal(buf_sv(&got).ptr, expected.ptr, expected.len);
	buf_deinit(&got);
}

static inline void expect_state(
	struct bench *b, uint64_t id, size_t at, enum store_recipient_state state)
{
	struct arena a = { 0 };
	struct store_show show;

	assert_int_equal(bench_show(b, id, &a, &show), 0);
	assert_true(at < show.out_message->recipient_count);
	assert_int_equal(show.out_message->recipients[at].state, state);
	arena_reset(&a);
}

static inline bool same_plan(
	const struct store_recipient *r, const struct store_recipient *expected)
{
	return mail_flow_eq(&r->flow, &expected->flow) &&
	       sv_eq(r->rewrite_from, expected->rewrite_from);
}

/* The plan made at acceptance, device and all, is what is read back. */
static inline void expect_plan(struct bench *b, const struct mail *mail)
{
	struct arena a = { 0 };
	struct store_show show;

	assert_int_equal(bench_show(b, mail->m.id, &a, &show), 0);
	assert_true(sv_eq(show.out_message->device, mail->m.device));
	assert_int_equal(
		show.out_message->flags & STORE_MSG_FORCE, mail->m.flags & STORE_MSG_FORCE);
	assert_int_equal(show.out_message->recipient_count, mail->m.recipient_count);
	for (size_t i = 0; i < mail->m.recipient_count; i++)
		assert_true(same_plan(&show.out_message->recipients[i], &mail->recipients[i]));
	arena_reset(&a);
}

/* Recipients 0 and 1 leave by one lane, 2 by another, a fourth waits. */
static inline int bench_put_two_attempts(struct bench *b, struct mail *mail)
{
	const struct store_attempt attempts[] = {
		{ .message_id = mail->m.id,
			.lane = SV("submission/a"),
			.at.us = 5,
			.recipients = mail->indexes,
			.recipient_count = 2 },
		{ .message_id = mail->m.id,
			.lane = SV("submission/b"),
			.at.us = 6,
			.recipients = mail->indexes + 2,
			.recipient_count = 1 },
	};

	for (size_t i = 0; i < 3; i++)
		mail->recipients[i].lane = attempts[i / 2].lane;
	return bench_put_with(b, mail, SV("body"), attempts, COUNT_OF(attempts));
}

#define BENCH_TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)
