/* SPDX-License-Identifier: Apache-2.0 */
#include "base/limits.h"
#include "base/must.h"
#include "smtp/client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/*
 * An input: a byte of options, then what happens, each step begun by a byte. 'a' to 'z': a line of the
 * server follows, up to and with its LF; it is fed when all output has left. Above: see step().
 */
enum {
	OPTION_TLS = 3,
	OPTION_LOGIN = 4,
	OPTION_ONE_BY_ONE = 8,
	OPTION_MANY = 16,
	OPTION_LAZY = 32, /* the owner takes events only when told */
	OPTION_TOKEN = 128,
};

#define PASSWORD "s3cret"
#define TOKEN "tok3n-of-m0re-than-12"

/* One that is decided here gives the next at once: without an end to them there is none. */
enum {
	MESSAGES_MAX = 5
};

struct run {
	struct smtp_client *c;
	struct mono_time now;
	struct smtp_client_message m;
	struct sv secret; /* the one that is used; empty: none */
	bool released, ended, in_body;
	size_t rcpt_next, results, sent;
};

static const struct smtp_client_recipient recipients[120] = {
	[0 ... 119] = { .address = SV_INIT("a@b"),
		.dsn_notify = 6,
		.orcpt = SV_INIT("rfc822;a@b") },
};

static void react(struct run *r, const struct smtp_client_event *e)
{
	/* One ending, the last event of all. */
	must(!r->ended);
	must(e->kind < SMTP_CLIENT_EV_COUNT);
	must(e->stage < SMTP_CLIENT_STAGE_COUNT);
	must(!e->uncertain || r->released);
	/* No reply brings back what was sent in confidence. */
	must(e->reply.code < 400 || r->secret.len == 0 || sv_find(e->reply.text, r->secret) < 0);
	if (e->kind == SMTP_CLIENT_EV_STARTTLS) {
		smtp_client_tls_started(r->c, r->now);
	} else if (e->kind == SMTP_CLIENT_EV_READY) {
		must(r->results == r->sent);
		if (r->sent == MESSAGES_MAX) {
			smtp_client_quit(r->c, r->now);
			return;
		}
		r->rcpt_next = 0;
		r->sent++;
		smtp_client_send(r->c, r->now, &r->m);
	} else if (e->kind == SMTP_CLIENT_EV_RCPT) {
		must(e->index == r->rcpt_next++);
		must(e->index < r->m.recipient_count);
	} else if (e->kind == SMTP_CLIENT_EV_BODY) {
		must(r->rcpt_next == r->m.recipient_count);
		r->in_body = true;
	} else if (e->kind == SMTP_CLIENT_EV_RESULT) {
		must(e->local || e->reply.code >= 400 || r->released);
		must(e->reply.code < 300 || e->reply.code >= 400);
		r->results++;
		must(r->results == r->sent);
		r->released = r->in_body = false;
	} else {
		must(e->kind != SMTP_CLIENT_EV_FAILED || e->uncertain == r->released);
		r->ended = true;
		must(smtp_client_output(r->c).len == 0);
		must(smtp_client_deadline(r->c).us == MONO_NEVER.us);
	}
}

static void take_events(struct run *r)
{
	struct smtp_client_event e;

	while (smtp_client_next(r->c, &e))
		react(r, &e);
}

static void end_body(struct run *r)
{
	size_t before = smtp_client_output(r->c).len;

	if (!r->in_body || r->released)
		return;
	smtp_client_body_end(r->c, r->now);
	r->released = smtp_client_output(r->c).len > before;
}

static void leave(struct run *r, size_t n)
{
	size_t len = smtp_client_output(r->c).len;

	smtp_client_sent(r->c, r->now, n < len ? n : len);
}

/* What a capital letter or a sign does. */
static void step(struct run *r, uint8_t what)
{
	if (what == 'B' && r->in_body && !r->released)
		smtp_client_body(r->c, r->now, SV(".a\r\n.b"));
	else if (what == 'E')
		end_body(r);
	else if (what == 'N')
		take_events(r);
	else if (what == 'S')
		leave(r, 3);
	else if (what == 'L')
		leave(r, SIZE_MAX);
	else if (what == 'Q')
		smtp_client_quit(r->c, r->now);
	else if (what == 'X')
		smtp_client_eof(r->c);
	else if (what == 'A' && !r->released)
		smtp_client_abandon(r->c);
	else if (what == 'T')
		smtp_client_tick(r->c,
			r->now = mono_min(
				smtp_client_deadline(r->c), mono_add(r->now, US_PER_HOUR)));
}

static struct sv server_line(struct sv input)
{
	ptrdiff_t lf = sv_find_char(input, '\n');

	return lf < 0 ? input : sv_head(input, (size_t)lf + 1);
}

static void play(struct run *r, struct sv input, bool lazy)
{
	while (input.len) {
		uint8_t what = (uint8_t)input.ptr[0];

		input = sv_skip(input, 1);
		if (what >= 'a' && what <= 'z') {
			struct sv line = server_line(input);

			if (what != 'a')
				leave(r, SIZE_MAX);
			smtp_client_feed(r->c, r->now, line);
			input = sv_skip(input, line.len);
		} else {
			step(r, what);
		}
		if (!lazy)
			take_events(r);
	}
	smtp_client_eof(r->c);
	take_events(r);
	must(r->ended);
}

static void look_at_transcript(const struct run *r)
{
	struct buf text = BUF_INIT(SMTP_MASK_GROWTH * LIMIT_TRANSCRIPT);

	must(smtp_client_transcript(r->c, &text) == 0);
	must(sv_find(buf_sv(&text), r->secret) < 0);
	buf_deinit(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct secret *password = secret_new(SV(PASSWORD)), *token = secret_new(SV(TOKEN));
	struct smtp_client_options options = { .hostname = SV("relay.example") };
	struct smtp_transcript transcript = { 0 };
	struct run r = { .now = { US_PER_HOUR } };
	uint8_t bits = size ? data[0] : 0;

	options.transcript = &transcript;
	options.tls = (enum smtp_client_tls)((bits & OPTION_TLS) % 3);
	options.pipelining_off = bits & OPTION_ONE_BY_ONE;
	if (bits & OPTION_LOGIN) {
		options.login = SV("erp");
		options.password = password;
	}
	if (bits & OPTION_TOKEN)
		options.token = token;
	if (bits & OPTION_TOKEN)
		r.secret = SV(TOKEN);
	else if (bits & OPTION_LOGIN)
		r.secret = SV(PASSWORD);
	r.m = (struct smtp_client_message){ .sender = SV("x@y"),
		.recipients = recipients,
		.recipient_count = bits & OPTION_MANY ? 120 : 2,
		.size = 1000,
		.needs_8bit = true,
		.dsn_ret = 1,
		.envid = SV("a+b") };
	r.c = smtp_client_new(&options);
	smtp_client_connected(r.c, r.now);
	play(&r,
		sv_make((const char *)data + (size ? 1 : 0), size ? size - 1 : 0),
		bits & OPTION_LAZY);
	if (r.secret.len)
		look_at_transcript(&r);
	smtp_client_free(r.c);
	smtp_transcript_reset(&transcript);
	secret_free(password);
	secret_free(token);
	return 0;
}
