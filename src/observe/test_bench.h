/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "observe/query.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/must.h"
#include "base/text.h"
#include "conf/conf.h"
#include "observe/json.h"

#include <ftw.h>
#include <sysexits.h>
#include <unistd.h>

#include "cmocka_all.h"

/* Requests of an operator against a real queue, without a daemon: what the CLI does as well. */
enum {
	GUARD_S = 60, /* a test that hangs fails instead */
	LINES_MAX = 3000,
	LANES = 2,
};

struct bench {
	char folder[64];
	struct io_loop *loop;
	struct io_timer guard;
	struct store *store;
	struct conf *conf;
	struct observe_sources sources;
	bool answered;
	/* the answer */
	json_t *lines[LINES_MAX];
	size_t count;
	unsigned ends;
	bool full; /* the reader takes no more for now */
	unsigned asked_for_room;
};

static struct bench *bench_now;

static const char conf_text[] = "hostname: relay.example.com\n"
				"mailboxes: [ { address: erp@contoso.com, password: env:P } ]\n"
				"connectors: [ { name: lab, host: h } ]\n"
				"routes: [ { through: lab } ]\n";

#define MAILBOX "submission/erp@contoso.com"
#define CONNECTOR "smtp/lab"

static void on_guard(void *arg)
{
	(void)arg;
	must_fail("the query does not end", __FILE__, __LINE__);
}

static void open_bench(struct bench *b)
{
	struct store_options options;
	struct store_recovery found;
	struct conf_findings f;
	struct err err = { 0 };

	*b = (struct bench){ .folder = "/tmp/postern-query-XXXXXX" };
	bench_now = b;
	must(mkdtemp(b->folder) != NULL);
	options = (struct store_options){ .data_dir = sv_from(b->folder),
		.history_keep_us = US_PER_DAY,
		.history_bytes_max = UINT64_C(1) << 30 };
	b->loop = io_loop_new();
	io_timer_init(&b->guard, b->loop, on_guard, b);
	b->conf = conf_load_text(sv_from(conf_text), &f);
	conf_findings_free(&f);
	must(b->conf != NULL);
	b->store = store_open(b->loop, &options, &found, &err);
	must(b->store != NULL);
	b->sources = (struct observe_sources){
		.loop = b->loop, .store = b->store, .conf = &b->conf, .started_at = io_now(b->loop)
	};
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *walk)
{
	(void)st;
	(void)flag;
	(void)walk;
	return remove(path);
}

static void forget_answer(struct bench *b)
{
	for (size_t i = 0; i < b->count; i++)
		json_decref(b->lines[i]);
	b->count = 0;
	b->ends = 0;
	b->asked_for_room = 0;
}

static void close_bench(struct bench *b)
{
	forget_answer(b);
	io_timer_stop(&b->guard);
	store_close(b->store);
	conf_unref(b->conf);
	io_loop_free(b->loop);
	assert_int_equal(nftw(b->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static void run(struct bench *b, const bool *until)
{
	io_timer_start(&b->guard, mono_add(io_clock_mono(), GUARD_S * US_PER_S));
	while (!*until)
		io_loop_run(b->loop);
	io_timer_stop(&b->guard);
}

/* ---- mail ---- */

static void on_op(struct store_op *op)
{
	(void)op;
	bench_now->answered = true;
	io_loop_stop(bench_now->loop);
}

static void submit(struct bench *b, struct store_op *op)
{
	b->answered = false;
	op->done = on_op;
	store_submit(b->store, op);
	run(b, &b->answered);
	assert_int_equal(op->rc, 0);
}

struct mail {
	const char *sender, *first, *second; /* recipients; NULL: only one */
	const char *lane, *cause;
	int64_t age_us;
};

/* Of "submission/erp@contoso.com": mail that waits for it alone. */
static struct mail_flow flow_of(const char *lane)
{
	static char queue[200];
	const char *name = strchr(lane, '/');

	(void)snprintf(queue,
		sizeof(queue),
		"%s%s",
		!name               ? ""
		: strchr(lane, '@') ? "m:"
				    : "c:",
		name ? name + 1 : "");
	return (struct mail_flow){
		.queue = sv_from(queue), .class = MAIL_CLASS_NORMAL, .principal = SV("erp")
	};
}

static uint64_t put(struct bench *b, const struct mail *mail)
{
	struct wall_time at = wall_add(io_clock_wall(), -mail->age_us);
	struct store_recipient r[2];
	struct store_message m = { .id = store_new_id(b->store),
		.accepted_at = at,
		.expires_at = wall_add(at, 5 * (int64_t)US_PER_DAY),
		.sender = sv_from(mail->sender),
		.size = 4,
		.message_id = SV("<1@contoso.com>"),
		.subject = SV("Rechnung \xff\x01"),
		.user = SV("erp"),
		.client = SV("[10.0.5.30]:4711"),
		.recipients = r,
		.recipient_count = mail->second ? 2 : 1 };
	struct store_put op = { .op.kind = STORE_OP_PUT, .message = &m, .body = SV("\r\n\r\n") };

	for (uint32_t i = 0; i < 2; i++)
		r[i] = (struct store_recipient){ .index = i,
			.address = sv_from(i ? mail->second : mail->first),
			.flow = flow_of(mail->lane),
			.next_at = at,
			.last_cause = sv_from(mail->cause) };
	submit(b, &op.op);
	return m.id;
}

/* The first recipient, which waits for `of`, was tried by a lane, and this became of it. */
static void try(struct bench *b, uint64_t id, const char *of, const char *lane,
	enum store_recipient_state state, const char *cause)
{
	struct mail_flow flow = flow_of(of);
	struct arena arena = { 0 };
	struct buf body = BUF_INIT(LIMIT_CHUNK);
	struct store_take take = { .op.kind = STORE_OP_TAKE,
		.flow = &flow,
		.lane = sv_from(lane),
		.now = io_clock_wall(),
		.at = io_clock_wall(),
		.wanted = 1,
		.body = &body,
		.out_arena = &arena };
	/* Due before all others, so that it is the first once more. */
	struct store_recipient_outcome r = { .state = state,
		.next_at = { 1 },
		.verdict = { .kind = VERDICT_RETRY,
			.scope = VERDICT_SCOPE_MESSAGE,
			.cause = cause_parse(sv_from(cause)) },
		.reply = SV("451 4.7.1 later") };
	struct store_outcome outcome = { .op.kind = STORE_OP_OUTCOME,
		.message_id = id,
		.at = io_clock_wall(),
		.relay = SV("h[192.0.2.1]:25"),
		.stage = SV("end of data"),
		.recipients = &r,
		.recipient_count = 1 };

	submit(b, &take.op);
	must(take.out_message->id == id);
	r.index = take.out_message->recipients[0].index;
	outcome.attempt = take.out_attempt;
	submit(b, &outcome.op);
	buf_deinit(&body);
	arena_reset(&arena);
}

/* ---- asking ---- */

static void on_line(void *arg, struct sv line)
{
	struct bench *b = arg;
	json_error_t why;

	must(b->count < LINES_MAX);
	assert_true(sv_find_char(line, '\n') < 0);
	b->lines[b->count] = json_loadb(line.ptr, line.len, 0, &why);
	if (!json_is_object(b->lines[b->count]))
		fail_msg("%.*s: %s", SV_ARG(line), why.text);
	b->count++;
}

static void on_done(void *arg)
{
	struct bench *b = arg;

	b->ends++;
	io_loop_stop(b->loop);
}

static bool has_room(void *arg)
{
	struct bench *b = arg;

	b->asked_for_room++;
	return !b->full;
}

static struct observe_query *begin(struct bench *b, const char *request)
{
	const struct observe_query_sink sink = { on_line, on_done, has_room, b };

	forget_answer(b);
	return observe_query_new(&b->sources, sv_from(request), &sink);
}

static void ask(struct bench *b, const char *request)
{
	struct observe_query *q = begin(b, request);

	io_timer_start(&b->guard, mono_add(io_clock_mono(), GUARD_S * US_PER_S));
	while (b->ends == 0)
		io_loop_run(b->loop);
	io_timer_stop(&b->guard);
	observe_query_free(q);
	assert_int_equal(b->ends, 1);
	assert_true(b->count > 0);
}

static const char *text_at(const struct bench *b, size_t line, const char *key)
{
	const char *value = json_string_value(json_object_get(b->lines[line], key));

	return value ? value : "";
}

static json_int_t number_at(const struct bench *b, size_t line, const char *key)
{
	return json_integer_value(json_object_get(b->lines[line], key));
}

static void assert_ended(const struct bench *b, size_t rows)
{
	const json_t *last = b->lines[b->count - 1];

	if (!json_is_true(json_object_get(last, "end")))
		fail_msg("%s", text_at(b, b->count - 1, "error"));
	assert_int_equal(number_at(b, b->count - 1, "rows"), rows);
}

static void assert_failed(const struct bench *b, int code)
{
	assert_int_equal(b->count, 1);
	assert_true(strlen(text_at(b, 0, "error")) > 10);
	assert_int_equal(number_at(b, 0, "code"), code);
}
