/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/must.h"
#include "base/text.h"
#include "inbound/inbound_priv.h"
#include "io/file.h"
#include "io/log.h"
#include "smtp/scram.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmocka_all.h"
#include "store/store_health.h"

/* Inbound on a real loop with a real queue; the side behind the queue is made up. One bench at a time. */
enum {
	BENCH_GUARD_S = 60, /* a test that hangs fails instead */
	BENCH_TEXT_MAX = 8192,
	BENCH_BODY_MAX = 16 << 20,
	CLIENTS_MAX = 80,
};

struct client {
	struct io_stream *stream;
	struct buf got;
	bool connected, over;
};

struct bench {
	char folder[64];
	struct io_loop *loop;
	struct io_timer guard, poll;
	struct store *store;
	struct io_workers *workers;
	struct conf *conf;
	struct inbound *in;
	struct client clients[CLIENTS_MAX];
	size_t client_count;
	bool answered; /* a store operation of the test */
	bool drained;
	/* the made-up side */
	bool claims;
	uint32_t leaves; /* bits of those recipients that it leaves to wait */
	struct store_attempt attempt;
	uint32_t indexes[32];
	unsigned claimed, committed, withdrawn;
	char queued[BENCH_TEXT_MAX]; /* queues: "c:lab=1 c:x=2 " */
	uint64_t commits_at_claim;
	size_t body_taken; /* bytes that committed() was given */
};

static struct bench *bench_now;

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

/* ---- the side behind the queue ---- */

static inline void *fake_claim(void *arg, struct arena *arena, struct store_put *put,
	struct store_message *message, struct store_recipient *recipients)
{
	struct bench *b = arg;

	(void)arena;
	(void)recipients;
	b->claimed++;
	b->commits_at_claim = store_health(b->store).commits;
	if (!b->claims)
		return NULL;
	must(message->recipient_count <= COUNT_OF(b->indexes));
	b->attempt = (struct store_attempt){
		.lane = SV("smtp/lab"), .at = io_clock_wall(), .recipients = b->indexes
	};
	for (uint32_t i = 0; i < message->recipient_count; i++)
		if (!(b->leaves & UINT32_C(1) << i))
			b->indexes[b->attempt.recipient_count++] = i;
	put->attempts = &b->attempt;
	put->attempt_count = 1;
	return b;
}

static inline void fake_committed(void *arg, void *claim, struct arena *arena, struct buf *body)
{
	struct bench *b = arg;

	must(claim == b);
	b->committed++;
	b->body_taken = body->len;
	buf_deinit(body);
	arena_reset(arena);
}

static inline void fake_withdrawn(void *arg, void *claim)
{
	struct bench *b = arg;

	must(claim == b);
	b->withdrawn++;
}

static inline void fake_queued(
	void *arg, uint64_t message_id, const struct mail_flow *flow, uint32_t recipients)
{
	struct bench *b = arg;
	size_t len = strlen(b->queued);

	must(message_id != 0);

	(void)snprintf(b->queued + len,
		sizeof(b->queued) - len,
		"%.*s=%u ",
		SV_ARG(flow->queue),
		(unsigned)recipients);
}

/* ---- life; @F in a configuration is the folder ---- */

static inline struct conf *bench_conf(struct bench *b, const char *text)
{
	struct buf out = BUF_INIT(BENCH_TEXT_MAX);
	struct conf_findings f;
	struct conf *c;

	must(buf_printf(&out,
		     "hostname: relay.example.com\nmaildrop: %s/maildrop\n"
		     "submit_socket: %s/submit\ncontrol_socket: %s/control\n",
		     b->folder,
		     b->folder,
		     b->folder) == 0);
	for (; *text; text++) {
		if (text[0] == '@' && text[1] == 'F') {
			must(buf_append(&out, sv_from(b->folder)) == 0);
			text++;
		} else {
			must(buf_append_char(&out, *text) == 0);
		}
	}
	c = conf_load_text(buf_sv(&out), &f);
	for (size_t i = 0; i < f.count; i++)
		if (!f.items[i].warning)
			print_message(
				"%u:%u: %s\n", f.items[i].line, f.items[i].column, f.items[i].text);
	conf_findings_free(&f);
	buf_deinit(&out);
	must(c != NULL);
	return c;
}

static inline struct store_recovery bench_open_store(struct bench *b)
{
	const struct store_options options = { .data_dir = sv_from(b->folder),
		.history_keep_us = US_PER_DAY,
		.history_bytes_max = UINT64_C(1) << 30 };
	struct store_recovery found;
	struct err err = { 0 };

	b->store = store_open(b->loop, &options, &found, &err);
	must(b->store != NULL);
	return found;
}

/* The folder, the loop and the queue: what a test may want to fill before inbound is there. */
static inline void bench_make(struct bench *b)
{
	char path[128];

	*b = (struct bench){ .folder = "/tmp/postern-inbound-XXXXXX" };
	bench_now = b;
	log_setup(LOG_ERROR, false);
	must(mkdtemp(b->folder) != NULL);
	(void)snprintf(path, sizeof(path), "%s/maildrop", b->folder);
	must(mkdir(path, 0700) == 0);
	b->loop = io_loop_new();
	io_timer_init(&b->guard, b->loop, bench_guard, b);
	io_timer_init(&b->poll, b->loop, bench_stop, b);
	b->workers = io_workers_new(b->loop, 2, 16);
	(void)bench_open_store(b);
}

static inline void bench_begin(struct bench *b, const char *conf_text)
{
	struct inbound_options options;
	struct err err = { 0 };

	b->conf = bench_conf(b, conf_text);
	options = (struct inbound_options){ b->loop,
		b->store,
		b->workers,
		b->conf,
		{ b, fake_claim, fake_committed, fake_withdrawn, fake_queued } };
	b->in = inbound_new(&options, &err);
	if (!b->in)
		fail_msg("%s", err.text);
}

static inline void bench_open(struct bench *b, const char *conf_text)
{
	bench_make(b);
	bench_begin(b, conf_text);
}

static inline int bench_take(struct bench *b, struct conf *c, struct err *err)
{
	struct inbound_fresh *fresh = inbound_fresh_read(c, b->workers, NULL, err);
	int rc = fresh ? inbound_reload(b->in, c, fresh, err) : RC_CONFIG;

	inbound_fresh_free(fresh);
	return rc;
}

static inline void bench_reload(struct bench *b, const char *text)
{
	struct conf *c = bench_conf(b, text);
	struct err err = { 0 };

	must(bench_take(b, c, &err) == 0);
	conf_unref(b->conf);
	b->conf = c;
}

/* The last of the devices, or of the users, that there is something to tell of. */
static inline struct inbound_quota_status bench_quota(struct bench *b, bool device)
{
	struct inbound_quota_status found = { .of[0].used = device ? UINT32_MAX : 0 }, one;
	struct arena arena = { 0 };
	size_t count;
	const struct sv *keys = inbound_quota_keys(b->in, &arena, &count);

	for (size_t i = 0; i < count; i++)
		if (inbound_quota_look(b->in, keys[i], &one) && one.is_device == device)
			found = one;
	arena_reset(&arena);
	return found;
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

static inline int bench_remove(const char *path, const struct stat *st, int flag, struct FTW *walk)
{
	(void)st;
	(void)flag;
	(void)walk;
	return remove(path);
}

static inline void client_close(struct client *c)
{
	if (c->stream)
		io_stream_free(TAKE(c->stream));
	c->over = true;
}

/* What bench_begin() needs before it comes again: bench_open_store(). */
static inline void bench_shut(struct bench *b)
{
	for (size_t i = 0; i < b->client_count; i++)
		client_close(&b->clients[i]);
	if (!b->drained)
		inbound_drain(b->in, bench_on_drained, b);
	bench_until(b, bench_drained);
	must(store_close(b->store));
	inbound_free(b->in);
	conf_unref(b->conf);
	b->drained = false;
}

static inline void bench_close(struct bench *b)
{
	bench_shut(b);
	for (size_t i = 0; i < b->client_count; i++)
		buf_deinit(&b->clients[i].got);
	io_workers_free(b->workers);
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

static inline uint64_t bench_waiting(struct bench *b)
{
	struct arena arena = { 0 };
	struct store_summary sum = { .op.kind = STORE_OP_SUMMARY, .out_arena = &arena };

	must(bench_run(b, &sum.op) == 0);
	arena_reset(&arena);
	return sum.out_messages_waiting;
}

static inline void bench_wait_for_messages(struct bench *b, uint64_t count)
{
	for (unsigned i = 0; i < BENCH_GUARD_S * 400; i++) {
		if (bench_waiting(b) == count)
			return;
		bench_turn(b);
	}
	fail_msg("%u messages wait", (unsigned)bench_waiting(b));
}

/* The messages in the queue, oldest first, a row a recipient. The rows live in the arena. */
static inline struct store_list bench_list(struct bench *b, struct arena *arena)
{
	struct store_list list = { .op.kind = STORE_OP_LIST,
		.filter.state = -1,
		.after_index = UINT32_MAX,
		.limit = LIMIT_PAGE,
		.out_arena = arena };

	must(bench_run(b, &list.op) == 0);
	return list;
}

static inline void bench_body(struct bench *b, uint64_t id, struct buf *out)
{
	size_t before;

	buf_deinit(out);
	buf_init(out, BENCH_BODY_MAX);
	do {
		struct buf piece = BUF_INIT(1 << 20);
		struct store_body op = { .op.kind = STORE_OP_BODY,
			.message_id = id,
			.offset = out->len,
			.out = &piece };

		before = out->len;
		must(bench_run(b, &op.op) == 0);
		must(buf_append(out, buf_sv(&piece)) == 0);
		buf_deinit(&piece);
	} while (out->len > before);
}

/* ---- clients ---- */

static inline void client_event(void *arg, enum io_stream_event event)
{
	struct client *c = arg;

	if (event == IO_STREAM_CONNECTED)
		c->connected = true;
	if (event == IO_STREAM_INPUT) {
		struct sv in = io_stream_input(c->stream);

		must(buf_append(&c->got, in) == 0);
		io_stream_consume(c->stream, in.len);
	}
	if (event == IO_STREAM_FAILED || event == IO_STREAM_EOF)
		c->over = true;
	if (event == IO_STREAM_FAILED)
		io_stream_free(TAKE(c->stream));
}

/* To a unix socket of this name in the folder. */
static inline struct client *client_open(struct bench *b, const char *name)
{
	struct client *c = &b->clients[b->client_count++];
	struct io_address at;
	char text[128];

	must(b->client_count <= CLIENTS_MAX);
	(void)snprintf(text, sizeof(text), "unix:%s/%s", b->folder, name);
	must(io_address_parse(sv_from(text), &at) == 0);
	buf_init(&c->got, 1 << 20);
	c->stream = io_stream_connect(b->loop, &at.any, at.len, client_event, c);
	return c;
}

static inline void client_send(struct bench *b, struct client *c, struct sv bytes)
{
	while (bytes.len && c->stream) {
		struct sv piece = sv_head(bytes, 65536);

		while (c->stream && io_stream_output_len(c->stream) > IO_STREAM_OUTPUT_LOW)
			bench_turn(b);
		if (c->stream)
			must(io_stream_write(c->stream, piece) == 0);
		bytes = sv_skip(bytes, piece.len);
	}
}

static inline void client_say(struct bench *b, struct client *c, const char *text)
{
	client_send(b, c, sv_from(text));
}

/* A whole reply at the front: its length; 0: not yet. */
static inline size_t client_reply_len(const struct client *c)
{
	struct sv rest = buf_sv(&c->got), line;

	while (sv_cut_line(&rest, &line))
		if (line.len < 4 || line.ptr[3] != '-')
			return c->got.len - rest.len;
	return 0;
}

/* The next reply must begin with `prefix`. */
static inline void client_expect(struct bench *b, struct client *c, const char *prefix)
{
	size_t len;

	io_timer_start(&b->guard, mono_add(io_clock_mono(), BENCH_GUARD_S * US_PER_S));
	while (client_reply_len(c) == 0 && !c->over)
		bench_turn(b);
	io_timer_stop(&b->guard);
	len = client_reply_len(c);
	if (!sv_starts(buf_sv(&c->got), sv_from(prefix)))
		fail_msg("'%.*s' instead of '%s'", SV_ARG(sv_head(buf_sv(&c->got), len)), prefix);
	buf_consume(&c->got, len);
}

static inline void client_ask(
	struct bench *b, struct client *c, const char *command, const char *prefix)
{
	client_say(b, c, command);
	client_say(b, c, "\r\n");
	client_expect(b, c, prefix);
}

static inline struct client *client_hello(struct bench *b, const char *name)
{
	struct client *c = client_open(b, name);

	client_expect(b, c, "220 relay.example.com");
	client_ask(b, c, "EHLO erp.contoso.com", "250");
	return c;
}

static inline void client_end(struct bench *b, struct client *c)
{
	while (!c->over)
		bench_turn(b);
}

static inline void send_message(struct bench *b, struct client *c, const char *from, const char *to,
	const char *message, const char *prefix)
{
	char text[400];

	(void)snprintf(text, sizeof(text), "MAIL FROM:<%s>", from);
	client_ask(b, c, text, "250 2.1.0");
	(void)snprintf(text, sizeof(text), "RCPT TO:<%s>", to);
	client_ask(b, c, text, "250 2.1.5");
	client_ask(b, c, "DATA", "354");
	client_say(b, c, message);
	client_ask(b, c, "\r\n.", prefix);
}

/* ---- by TCP, from an address of 127.0.0.0/8 ---- */

static inline unsigned free_port(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	must(bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0);
	must(getsockname(fd, (struct sockaddr *)&at, &len) == 0);
	(void)close(fd);
	return ntohs(at.sin_port);
}

/* A listener on TCP: with a port in the place of the one @P. */
static inline unsigned bench_begin_tcp(struct bench *b, const char *conf)
{
	unsigned port = free_port();
	char text[BENCH_TEXT_MAX / 2];
	const char *place = strstr(conf, "@P");

	must(place != NULL);
	must(snprintf(text, sizeof(text), "%.*s%u%s", (int)(place - conf), conf, port, place + 2) <
		(int)sizeof(text));
	bench_begin(b, text);
	return port;
}

static inline struct client *client_from(struct bench *b, const char *source, unsigned port)
{
	struct sockaddr_in from = { .sin_family = AF_INET }, to = { .sin_family = AF_INET };
	struct client *c = &b->clients[b->client_count++];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	must(b->client_count <= CLIENTS_MAX);
	must(inet_pton(AF_INET, source, &from.sin_addr) == 1);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	to.sin_port = htons((uint16_t)port);
	must(bind(fd, (struct sockaddr *)&from, sizeof(from)) == 0);
	must(connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
	must(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
	buf_init(&c->got, 1 << 20);
	c->stream = io_stream_accepted(b->loop, fd, client_event, c);
	return c;
}

/* ---- a user "erp" whose password is sesame ---- */

static inline void write_verifier(struct bench *b)
{
	const unsigned char salt[16] = { 1, 2, 3 };
	struct smtp_scram_verifier v;
	struct buf text = BUF_INIT(1000);
	char path[128];

	smtp_scram_derive(SV("sesame"), 4096, salt, &v);
	must(smtp_scram_render(&v, &text) == 0);
	(void)snprintf(path, sizeof(path), "%s/erp", b->folder);
	must(io_file_write_durably(path, buf_sv(&text), 0640, NULL) == 0);
	buf_deinit(&text);
}

static inline void sign_in(
	struct bench *b, struct client *c, const char *password, const char *prefix)
{
	struct buf plain = BUF_INIT(100), line = BUF_INIT(300);

	must(buf_printf(&plain, "%cerp%c%s", 0, 0, password) == 0);
	must(buf_append(&line, SV("AUTH PLAIN ")) == 0);
	must(text_base64_encode(&line, buf_sv(&plain)) == 0);
	must(buf_append_char(&line, '\0') == 0);
	client_ask(b, c, buf_sv(&line).ptr, prefix);
	buf_deinit(&plain);
	buf_deinit(&line);
}
