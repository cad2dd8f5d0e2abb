/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "conf/route.h"
#include "io/log.h"
#include "outbound/outbound_priv.h"
#include "outbound/test_upstream.h"

#include <ftw.h>
#include <unistd.h>

/* Outbound on a real loop with a real queue, and two providers. One bench at a time. */
enum {
	BENCH_GUARD_S = 60, /* a test that hangs fails instead */
	BENCH_TEXT_MAX = 65536,
};

struct bench {
	char folder[64];
	struct io_loop *loop;
	struct io_timer guard, poll;
	struct upstream a, b;
	struct store *store;
	struct io_resolver *resolver;
	struct io_workers *workers;
	struct conf *conf;
	struct outbound *o;
	bool drained;
	bool answered; /* a store operation of the test */
};

static struct bench *bench_now; /* completions have no argument but the operation */

static inline void bench_stop(void *arg)
{
	struct bench *b = arg;

	io_loop_stop(b->loop);
}

static inline void bench_guard(void *arg)
{
	(void)arg;
	must_fail("what the test waits for does not come", __FILE__, __LINE__);
}

/* A few rounds of the loop. */
static inline void bench_turn(struct bench *b)
{
	io_timer_start(&b->poll, mono_add(io_clock_mono(), 2 * US_PER_MS));
	io_loop_run(b->loop);
}

static inline void bench_until(struct bench *b, bool (*done)(struct bench *b))
{
	io_timer_start(&b->guard, mono_add(io_clock_mono(), BENCH_GUARD_S * US_PER_S));
	while (!done(b))
		bench_turn(b);
	io_timer_stop(&b->guard);
}

static size_t bench_mails_a, bench_mails_b;

static inline bool bench_mails_are_there(struct bench *b)
{
	return b->a.mail_count >= bench_mails_a && b->b.mail_count >= bench_mails_b &&
	       b->o->deliveries == 0;
}

/* So many at each upstream, no more, and nothing is under way. */
static inline void bench_wait_for_mails(struct bench *b, size_t at_a, size_t at_b)
{
	bench_mails_a = at_a;
	bench_mails_b = at_b;
	bench_until(b, bench_mails_are_there);
	assert_int_equal(b->a.mail_count, at_a);
	assert_int_equal(b->b.mail_count, at_b);
}

/* ---- configuration: @A and @B are the ports, @F the folder ---- */

/* Mailboxes are never served in the clear; the upstreams of these tests speak nothing else. */
#define BENCH_CLEAR "# in the clear\n"

static inline void bench_take_tls_off(struct conf *c)
{
	size_t count;
	const struct conf_lane *lanes = conf_lanes(c, &count);

	for (size_t i = 0; i < count; i++)
		((struct conf_lane *)(uintptr_t)&lanes[i])->tls = SMTP_CLIENT_TLS_NONE;
}

static inline struct conf *bench_conf(struct bench *b, const char *text)
{
	bool clear = sv_starts(sv_from(text), SV(BENCH_CLEAR));
	struct buf out = BUF_INIT(BENCH_TEXT_MAX);
	struct conf_findings f;
	struct conf *c;

	must(text != NULL);
	for (; *text; text++) {
		if (*text != '@' || !strchr("ABF", text[1]))
			must(buf_append_char(&out, *text) == 0);
		else if (*++text == 'F')
			must(buf_append(&out, sv_from(b->folder)) == 0);
		else
			must(buf_printf(&out,
				     "%d",
				     io_listener_port(
					     *text == 'A' ? b->a.listener : b->b.listener)) == 0);
	}
	c = conf_load_text(buf_sv(&out), &f);
	for (size_t i = 0; i < f.count; i++)
		if (!f.items[i].warning)
			print_message(
				"%u:%u: %s\n", f.items[i].line, f.items[i].column, f.items[i].text);
	conf_findings_free(&f);
	buf_deinit(&out);
	must(c != NULL);
	if (clear)
		bench_take_tls_off(c);
	return c;
}

static inline void bench_reload(struct bench *b, const char *text)
{
	struct conf *c = bench_conf(b, text);

	outbound_reload(b->o, c, NULL, NULL, NULL);
	conf_unref(b->conf);
	b->conf = c;
}

/* ---- life ---- */

static inline void bench_open_queue(struct bench *b)
{
	const struct store_options options = { .data_dir = sv_from(b->folder),
		.history_keep_us = US_PER_DAY,
		.history_bytes_max = UINT64_C(1) << 30 };
	struct store_recovery found;
	struct err err = { 0 };

	b->store = store_open(b->loop, &options, &found, &err);
	must(b->store != NULL);
	b->resolver = io_resolver_new(b->loop, &err);
	must(b->resolver != NULL);
	b->workers = io_workers_new(b->loop, 1, 16);
	b->o = outbound_new(
		&(struct outbound_options){ b->loop, b->store, b->resolver, b->conf, b->workers });
	b->drained = false;
}

static inline void bench_open(struct bench *b, const char *conf_text)
{
	*b = (struct bench){ .folder = "/tmp/postern-outbound-XXXXXX" };
	bench_now = b;
	log_setup(getenv("V") ? LOG_DEBUG : LOG_ERROR, false);
	must(mkdtemp(b->folder) != NULL);
	b->loop = io_loop_new();
	io_timer_init(&b->guard, b->loop, bench_guard, b);
	io_timer_init(&b->poll, b->loop, bench_stop, b);
	up_open(&b->a, b->loop);
	up_open(&b->b, b->loop);
	b->conf = bench_conf(b, conf_text);
	bench_open_queue(b);
}

static inline bool bench_started(struct bench *b)
{
	return b->o->started;
}

static inline void bench_start(struct bench *b)
{
	outbound_start(b->o);
	bench_until(b, bench_started);
}

static inline void bench_on_drained(void *arg)
{
	struct bench *b = arg;

	b->drained = true;
}

static inline bool bench_drained(struct bench *b)
{
	return b->drained;
}

static inline void bench_drain(struct bench *b)
{
	if (!b->drained)
		outbound_drain(b->o, bench_on_drained, b);
	bench_until(b, bench_drained);
}

static inline void bench_close_queue(struct bench *b)
{
	bench_drain(b);
	store_close(b->store);
	outbound_free(b->o);
	io_workers_free(b->workers);
	io_resolver_free(b->resolver);
}

static inline void bench_restart(struct bench *b)
{
	bench_close_queue(b);
	bench_open_queue(b);
	bench_start(b);
}

static inline int bench_remove(const char *path, const struct stat *st, int flag, struct FTW *walk)
{
	(void)st;
	(void)flag;
	(void)walk;
	return remove(path);
}

static inline bool bench_quiet(struct bench *b)
{
	return list_empty(&b->a.sessions) && list_empty(&b->b.sessions);
}

static inline void bench_close(struct bench *b)
{
	bench_close_queue(b);
	bench_until(b, bench_quiet);
	up_forget_mails(&b->a);
	up_forget_mails(&b->b);
	up_close(&b->a);
	up_close(&b->b);
	conf_unref(b->conf);
	io_timer_stop(&b->poll);
	io_loop_free(b->loop);
	assert_int_equal(nftw(b->folder, bench_remove, 8, FTW_DEPTH | FTW_PHYS), 0);
}

/* ---- the queue ---- */

static inline void bench_op_done(struct store_op *op)
{
	(void)op;
	bench_now->answered = true;
}

static inline bool bench_answered(struct bench *b)
{
	return b->answered;
}

static inline int bench_run(struct bench *b, struct store_op *op)
{
	b->answered = false;
	op->done = bench_op_done;
	store_submit(b->store, op);
	bench_until(b, bench_answered);
	return op->rc;
}

/* What a reader sees of one recipient: of mail that waits, where it does, and what holds it there. */
struct look {
	enum store_recipient_state state;
	uint32_t attempts, uncertain;
	char lane[UP_TEXT_MAX], cause[UP_TEXT_MAX], reply[UP_TEXT_MAX];
	size_t stories; /* rows of the timeline */
};

static inline void bench_see(struct bench *b, const struct store_message *m,
	const struct store_recipient *r, struct look *out)
{
	struct sv lane = r->lane, cause = r->last_cause, reply = r->last_reply;
	struct outbound_hold hold;

	if (r->state == STORE_RCPT_QUEUED) {
		lane = outbound_lane_of(b->o, &r->flow);
		if (outbound_hold_of(b->o, lane, m->sender, r->address, &hold)) {
			cause = hold.cause;
			reply = hold.reply;
		}
	}
	(void)snprintf(out->lane, sizeof(out->lane), "%.*s", SV_ARG(lane));
	(void)snprintf(out->cause, sizeof(out->cause), "%.*s", SV_ARG(cause));
	(void)snprintf(out->reply, sizeof(out->reply), "%.*s", SV_ARG(reply));
}

static inline void bench_look(struct bench *b, uint64_t id, uint32_t index, struct look *out)
{
	struct arena arena = { 0 };
	struct store_show show = {
		.op.kind = STORE_OP_SHOW, .message_id = id, .out_arena = &arena
	};
	const struct store_recipient *r;

	must(bench_run(b, &show.op) == 0);
	must(index < show.out_message->recipient_count);
	r = &show.out_message->recipients[index];
	*out = (struct look){ .state = r->state,
		.attempts = r->attempts,
		.uncertain = r->uncertain,
		.stories = show.out_attempt_count };
	bench_see(b, show.out_message, r, out);
	arena_reset(&arena);
}

/* Waits until no attempt is under way and the recipient is in this state with this cause. */
static inline void bench_wait_for(struct bench *b, uint64_t id, uint32_t index,
	enum store_recipient_state state, const char *cause)
{
	struct look now;

	for (unsigned i = 0; i < BENCH_GUARD_S * 400; i++) {
		bench_look(b, id, index, &now);
		if (now.state == state && (!cause || strcmp(now.cause, cause) == 0) &&
			b->o->deliveries == 0)
			return;
		bench_turn(b);
	}
	fail_msg("recipient %u is %s (%s), %zu deliveries",
		index,
		store_recipient_state_name(now.state),
		now.cause,
		b->o->deliveries);
}

static inline struct store_summary bench_summary(struct bench *b)
{
	struct arena arena = { 0 };
	struct store_summary sum = { .op.kind = STORE_OP_SUMMARY, .out_arena = &arena };

	must(bench_run(b, &sum.op) == 0);
	arena_reset(&arena);
	return sum;
}

/* What an operator does who wants it to be tried now. */
static inline void bench_retry(struct bench *b)
{
	struct store_edit edit = { .op.kind = STORE_OP_EDIT,
		.kind = STORE_EDIT_RETRY,
		.filter.state = -1,
		.filter.waiting_only = true,
		.at = io_wall(b->loop) };

	must(bench_run(b, &edit.op) == 0);
	outbound_kick(b->o, true);
}

/* ---- mail ---- */

struct letter {
	const char *sender;
	const char *recipients; /* "a@b c@d" */
	const char *queue;      /* NULL: c:lab; "" is no route */
	struct sv body;         /* empty: a short text */
	uint8_t notify;
	enum mail_class class;
	const char *rewrite_from, *device, *user; /* the last is the principal, too */
	uint64_t age_us;                          /* it came so long ago; its time is a day */
	uint64_t due_us;                          /* it is due in so long */
};

struct post {
	struct store_put put;
	struct store_message m;
	struct store_recipient *recipients;
	struct arena arena;
	struct buf body;
};

#define BENCH_TEXT "Subject: hello\r\nMessage-ID: <1@contoso.com>\r\n\r\nGood day.\r\n"

/* As accept would have it, but that the queue may have members that never could carry it. */
static inline struct mail_flow bench_flow(
	struct bench *b, const struct letter *l, struct sv recipient, struct arena *a)
{
	const struct conf_member *members[CONF_THROUGH_MAX];
	struct mail_flow f = { .queue = arena_sv(a, sv_from(l->queue ? l->queue : "c:lab")),
		.class = l->class,
		.principal = arena_sv(a, sv_from(l->user)) };

	f.external = conf_queue_members(b->conf, f.queue, members) > 0 &&
		     !conf_is_internal(b->conf, members[0]->tenant, recipient);
	return f;
}

static inline void post_make(struct post *p, struct bench *b, const struct letter *l)
{
	struct wall_time now = io_clock_wall();
	struct sv rest = sv_from(l->recipients), one;
	bool more = true;

	*p = (struct post){ .put.op.kind = STORE_OP_PUT, .put.message = &p->m };
	p->recipients = arena_alloc(&p->arena, LIMIT_RCPT * sizeof(*p->recipients));
	while (more) {
		more = sv_cut_char(&rest, ' ', &one);
		p->recipients[p->m.recipient_count] = (struct store_recipient){
			.index = (uint32_t)p->m.recipient_count,
			.address = arena_sv(&p->arena, one),
			.dsn_notify = l->notify,
			.flow = bench_flow(b, l, one, &p->arena),
			.rewrite_from = arena_sv(&p->arena, sv_from(l->rewrite_from)),
			.state = STORE_RCPT_QUEUED,
			.next_at = wall_add(now, (int64_t)l->due_us),
			.look_at = now,
		};
		p->m.recipient_count++;
	}
	buf_init(&p->body, UP_BODY_MAX);
	must(buf_append(&p->body, l->body.len ? l->body : SV(BENCH_TEXT)) == 0);
	p->m.id = store_new_id(b->store);
	p->m.accepted_at = wall_add(now, -(int64_t)l->age_us);
	p->m.expires_at = wall_add(p->m.accepted_at, (int64_t)US_PER_DAY);
	p->m.sender = arena_sv(&p->arena, sv_from(l->sender));
	p->m.size = p->body.len;
	p->m.header_size = (uint32_t)sv_find(buf_sv(&p->body), SV("\r\n\r\n")) + 4;
	p->m.message_id = SV("<1@contoso.com>");
	p->m.device = arena_sv(&p->arena, sv_from(l->device));
	p->m.user = arena_sv(&p->arena, sv_from(l->user));
	p->m.recipients = p->recipients;
}

static inline void post_free(struct post *p)
{
	buf_deinit(&p->body);
	arena_reset(&p->arena);
}

/* What inbound says of a message that is in the queue: once for each flow. */
static inline void bench_say_queued(struct bench *b, const struct post *p)
{
	for (size_t i = 0; i < p->m.recipient_count; i++) {
		uint32_t before = 0, all = 0;

		for (size_t k = 0; k < p->m.recipient_count; k++) {
			bool same = mail_flow_eq(&p->recipients[k].flow, &p->recipients[i].flow);

			before += same && k < i;
			all += same;
		}
		if (before == 0)
			outbound_queued(b->o, p->m.id, &p->recipients[i].flow, all);
	}
}

/* The long way: it is in the queue, and somebody says so. */
static inline uint64_t bench_queue(struct bench *b, const struct letter *l)
{
	struct post p;
	struct sv rest;

	post_make(&p, b, l);
	for (rest = buf_sv(&p.body); rest.len > LIMIT_CHUNK; rest = sv_skip(rest, LIMIT_CHUNK)) {
		struct store_chunk chunk = { .op.kind = STORE_OP_CHUNK,
			.message_id = p.m.id,
			.index = p.put.chunk_count++,
			.bytes = sv_head(rest, LIMIT_CHUNK) };

		must(bench_run(b, &chunk.op) == 0);
	}
	p.put.body = rest;
	must(bench_run(b, &p.put.op) == 0);
	if (b->o->started)
		bench_say_queued(b, &p);
	post_free(&p);
	return p.m.id;
}

static const char *bench_lane_wanted;

static inline bool bench_has_connection(struct bench *b)
{
	return lane_ready_connections(lane_get(b->o, sv_from(bench_lane_wanted))) > 0;
}

/* The quick way is open only where a connection waits for mail. */
static inline void bench_connect(struct bench *b, const char *lane)
{
	bench_lane_wanted = lane;
	must(connection_open(lane_get(b->o, sv_from(lane))) != NULL);
	bench_until(b, bench_has_connection);
}

/* The quick way of inbound, where there is one: *out_claimed says. */
static inline uint64_t bench_fresh(struct bench *b, const struct letter *l, bool *out_claimed)
{
	struct post p;
	void *claim;

	post_make(&p, b, l);
	p.put.body = buf_sv(&p.body);
	claim = outbound_claim(b->o, &p.arena, &p.put, &p.m, p.recipients);
	must(bench_run(b, &p.put.op) == 0);
	if (claim)
		outbound_committed(b->o, claim, &p.arena, &p.body);
	else
		bench_say_queued(b, &p);
	post_free(&p);
	*out_claimed = claim != NULL;
	return p.m.id;
}

/* ---- lanes ---- */

/* What is held beyond lanes. */
static inline size_t bench_parks(const struct bench *b)
{
	size_t n = 0;

	for (const struct sched_hold *h = sched_holds_next(b->o->holds, NULL); h;
		h = sched_holds_next(b->o->holds, h))
		n += sched_hold_scope(h) != SCHED_HOLD_MAILBOX;
	return n;
}

struct lane_look {
	const char *lane;
	bool found;
	struct outbound_lane_status status;
	char cause[UP_TEXT_MAX];
};

static inline struct lane_look bench_lane(struct bench *b, const char *lane)
{
	struct lane_look look = { .lane = lane };

	look.found = outbound_lane_look(b->o, sv_from(lane), &look.status);
	if (look.found)
		(void)snprintf(look.cause, sizeof(look.cause), "%.*s", SV_ARG(look.status.cause));
	return look;
}
