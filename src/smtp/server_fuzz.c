/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "base/text.h"
#include "smtp/server.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/*
 * Drives a whole session. The first two bytes choose the options; then every 0xff is followed by an
 * operation and its argument (below), and what stands between goes to the session as the client's
 * bytes. 0xff cannot stand in UTF-8, so little is lost.
 */
enum {
	OP_NEXT_NO, /* the next answer is 5xx, not yes */
	OP_NEXT_421,
	OP_HOLD, /* the next answer is given by OP_ANSWER */
	OP_ANSWER,
	OP_CUT,         /* the client's bytes come in pieces of this size from now on; 0: whole */
	OP_WAIT,        /* time passes: argument squared, in seconds */
	OP_TICK,        /* the deadline is there */
	OP_KEEP_OUTPUT, /* the client reads nothing; odd: it does again */
	OP_SHUT,
	OP_EOF,
	OP_DRAIN_LATE, /* events are not taken after the next feed */
	OP_COUNT,
};

struct driver {
	struct smtp_server *s;
	struct mono_time now;
	unsigned next_code; /* 0: yes */
	bool hold, held, keep_output, late;
	struct smtp_server_event held_event;
	size_t cut;
	/* What the owner knows, from events alone. */
	bool mail, data, in_body, tls_due, closed, strict;
	unsigned rcpts;
	uint64_t body_bytes, message_bytes_max;
};

static void answer(struct driver *d, enum smtp_server_event_kind kind, bool auth_ok)
{
	static const struct smtp_scram_verifier verifier = { .iterations = 4096,
		.salt = "0123456789" };
	uint16_t yes = kind == SMTP_SERVER_EV_GREET ? 220 : kind == SMTP_SERVER_EV_DATA ? 354 : 250;
	uint16_t code = d->next_code ? (uint16_t)d->next_code : yes;

	d->next_code = 0;
	must(smtp_server_waits_for_answer(d->s));
	switch (kind) {
	case SMTP_SERVER_EV_AUTH_SCRAM:
		if (code < 400)
			smtp_server_answer_scram(d->s, d->now, &verifier);
		else
			smtp_server_answer_auth(d->s, d->now, code, "5.7.8", SV("No"));
		return;
	case SMTP_SERVER_EV_AUTH_PASSWORD:
	case SMTP_SERVER_EV_AUTH_TOKEN:
	case SMTP_SERVER_EV_AUTH_DONE:
		if (code < 400)
			code = kind != SMTP_SERVER_EV_AUTH_DONE || auth_ok ? 235 : 535;
		smtp_server_answer_auth(d->s, d->now, code, "2.7.0", SV("So be it"));
		return;
	case SMTP_SERVER_EV_MAIL:
		d->mail = code < 400;
		break;
	case SMTP_SERVER_EV_RCPT:
		d->rcpts += code < 400;
		break;
	case SMTP_SERVER_EV_DATA:
		d->in_body = d->data = code == 354;
		d->body_bytes = 0;
		break;
	case SMTP_SERVER_EV_END:
		d->mail = false;
		break;
	case SMTP_SERVER_EV_GREET:
	case SMTP_SERVER_EV_STARTTLS:
	case SMTP_SERVER_EV_BODY:
	case SMTP_SERVER_EV_RESET:
	case SMTP_SERVER_EV_CLOSE:
	case SMTP_SERVER_EV_COUNT:
		break;
	}
	smtp_server_answer(
		d->s, d->now, code, code == 354 || code == 220 ? NULL : "5.0.0", SV("a\nb"));
}

/* No CR, LF or NUL may come through to where it could become a line of a header or of SMTP. */
static void check_word(struct sv v)
{
	for (size_t i = 0; i < v.len; i++)
		must((unsigned char)v.ptr[i] >= 0x20 && v.ptr[i] != 0x7f);
}

static void check_body(struct driver *d, struct sv bytes)
{
	must(d->in_body && bytes.len > 0);
	must(!d->strict || !memchr(bytes.ptr, '\0', bytes.len));
	for (size_t i = 0; d->strict && i + 1 < bytes.len; i++)
		must((bytes.ptr[i] == '\r') == (bytes.ptr[i + 1] == '\n'));
	d->body_bytes += bytes.len;
	must(d->body_bytes <= d->message_bytes_max);
}

static void check_event(struct driver *d, const struct smtp_server_event *e)
{
	must(!d->closed);
	switch (e->kind) {
	case SMTP_SERVER_EV_MAIL:
		must(!d->mail);
		d->rcpts = 0;
		check_word(e->address);
		check_word(e->envid);
		break;
	case SMTP_SERVER_EV_RCPT:
		must(d->mail && !d->in_body && e->address.len > 0);
		check_word(e->address);
		check_word(e->orcpt);
		break;
	case SMTP_SERVER_EV_DATA:
		must(d->mail && d->rcpts > 0 && !d->in_body);
		break;
	case SMTP_SERVER_EV_BODY:
		check_body(d, e->bytes);
		break;
	case SMTP_SERVER_EV_END:
		must(d->mail && d->in_body && d->rcpts > 0);
		d->in_body = false;
		break;
	case SMTP_SERVER_EV_RESET:
		must(d->mail);
		d->mail = d->in_body = false;
		break;
	case SMTP_SERVER_EV_STARTTLS:
		must(!d->mail);
		d->tls_due = true;
		break;
	case SMTP_SERVER_EV_CLOSE:
		must(!d->mail && e->reason.len > 0);
		d->closed = true;
		break;
	case SMTP_SERVER_EV_AUTH_PASSWORD:
	case SMTP_SERVER_EV_AUTH_TOKEN:
	case SMTP_SERVER_EV_AUTH_SCRAM:
	case SMTP_SERVER_EV_AUTH_DONE:
		must(!d->mail && e->user.len > 0 && !memchr(e->user.ptr, '\0', e->user.len));
		break;
	case SMTP_SERVER_EV_GREET:
		break;
	case SMTP_SERVER_EV_COUNT:
		must(false);
	}
}

static bool wants_answer(enum smtp_server_event_kind kind)
{
	return kind != SMTP_SERVER_EV_STARTTLS && kind != SMTP_SERVER_EV_BODY &&
	       kind != SMTP_SERVER_EV_RESET && kind != SMTP_SERVER_EV_CLOSE;
}

static void take_events(struct driver *d)
{
	struct smtp_server_event e;

	while (smtp_server_next(d->s, &e)) {
		check_event(d, &e);
		if (!wants_answer(e.kind))
			continue;
		d->held = d->hold;
		d->held_event = e;
		d->hold = false;
		if (!d->held)
			answer(d, e.kind, e.auth_ok);
	}
	if (!d->closed)
		must(smtp_server_waits_for_answer(d->s) == d->held);
	if (d->closed)
		d->held = false;
}

/* Every line of the output is a reply with a code that SMTP knows. */
static void take_output(struct driver *d)
{
	struct sv out = smtp_server_output(d->s), line;
	size_t all = out.len;

	must(all <= 2 * 16384 + 4096);
	while (sv_cut_line(&out, &line)) {
		must(line.len >= 4 && line.ptr[0] >= '2' && line.ptr[0] <= '5' &&
			(line.ptr[3] == ' ' || line.ptr[3] == '-'));
		must(!memchr(line.ptr, '\r', line.len) && !memchr(line.ptr, '\n', line.len));
	}
	must(out.len == 0);
	if (!d->keep_output)
		smtp_server_sent(d->s, all);
}

static void settle(struct driver *d)
{
	struct mono_time end;

	take_events(d);
	take_output(d);
	if (d->tls_due && !d->closed) {
		d->tls_due = false;
		must(smtp_server_output(d->s).len == 0 || d->keep_output);
		smtp_server_tls_started(d->s, d->now);
	}
	end = smtp_server_deadline(d->s);
	must((end.us == UINT64_MAX) == (d->closed || d->held));
}

static void feed(struct driver *d, const uint8_t *bytes, size_t size)
{
	size_t used = 0;

	while (used < size && !d->closed) {
		size_t n = d->cut && d->cut < size - used ? d->cut : size - used;
		char *copy = xmalloc(n);
		size_t taken;
		bool tls = false;

		memcpy(copy, bytes + used, n);
		taken = smtp_server_feed(d->s, d->now, sv_make(copy, n));
		must(taken <= n);
		used += taken;
		if (d->late) {
			d->late = false;
			free(copy);
			smtp_server_eof(d->s);
			settle(d);
			must(d->closed);
			return;
		}
		take_events(d);
		tls = d->tls_due;
		free(copy);
		settle(d);
		/* Either it goes on, or there is a reason that it does not; else it would hang. */
		if (taken == 0 && !tls) {
			must(d->held || d->closed || smtp_server_output(d->s).len > 16384);
			return;
		}
	}
}

static void operate(struct driver *d, unsigned op, uint8_t argument)
{
	switch (op) {
	case OP_NEXT_NO:
		d->next_code = argument & 1 ? 451 : 550;
		break;
	case OP_NEXT_421:
		d->next_code = 421;
		break;
	case OP_HOLD:
		d->hold = true;
		break;
	case OP_ANSWER:
		if (d->held) {
			d->held = false;
			answer(d, d->held_event.kind, d->held_event.auth_ok);
		}
		break;
	case OP_CUT:
		d->cut = argument;
		break;
	case OP_WAIT:
		d->now = mono_add(d->now, (uint64_t)argument * argument * US_PER_S);
		smtp_server_tick(d->s, d->now);
		break;
	case OP_TICK:
		if (smtp_server_deadline(d->s).us != UINT64_MAX) {
			must(!mono_before(smtp_server_deadline(d->s), (struct mono_time){ 1 }));
			d->now = mono_before(d->now, smtp_server_deadline(d->s))
					 ? smtp_server_deadline(d->s)
					 : d->now;
			smtp_server_tick(d->s, d->now);
			settle(d);
			must(d->closed);
		}
		break;
	case OP_KEEP_OUTPUT:
		d->keep_output = !(argument & 1);
		break;
	case OP_SHUT:
		smtp_server_shut(d->s, "4.3.2", SV("Going down"));
		break;
	case OP_EOF:
		smtp_server_eof(d->s);
		break;
	case OP_DRAIN_LATE:
		d->late = true;
		break;
	default:
		break;
	}
	settle(d);
}

static struct smtp_server_options options_of(uint8_t a, uint8_t b)
{
	return (struct smtp_server_options){ .hostname = SV("mx.test"),
		.message_bytes_max = a & 1 ? 40 : 100000,
		.rcpt_max = 1 + (a & 2),
		.bad_command_max = a & 4 ? 3 : 1000,
		.idle_us_max = 300 * US_PER_S,
		.data_us_max = 180 * US_PER_S,
		.slow_us_max = 60 * US_PER_S,
		.session_us_max = a & 8 ? US_PER_HOUR : 0,
		.auth = b & 15,
		.auth_needs_tls = a & 16,
		.auth_required = a & 32,
		.starttls = a & 64,
		.tls_required = a & 128,
		.tls_on = b & 16,
		/* Together they make no sense otherwise: TLS is on, and asked for. */
		.lenient = (a & 128) && (b & 16),
		.strict = (a & 8) && !((a & 128) && (b & 16)),
		.pipelining = true,
		.eightbitmime = b & 32,
		.chunking = !(b & 64),
		.smtputf8 = b & 32,
		.dsn = !(b & 128),
		.nonce_key = { 7 } };
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_server_options options;
	struct driver d = { .now = { 1000 * US_PER_S } };
	size_t at = 2;

	if (size < 2)
		return 0;
	options = options_of(data[0], data[1]);
	d.message_bytes_max = options.message_bytes_max;
	d.strict = options.strict;
	d.s = smtp_server_new(&options, d.now);
	settle(&d);
	while (at < size && !d.closed) {
		const uint8_t *mark = memchr(data + at, 0xff, size - at);
		size_t n = mark ? (size_t)(mark - data) - at : size - at;

		feed(&d, data + at, n);
		at += n;
		if (at + 2 < size && !d.closed)
			operate(&d, data[at + 1] % OP_COUNT, data[at + 2]);
		at += 3;
	}
	smtp_server_eof(d.s);
	take_events(&d);
	must(d.closed);
	must(!smtp_server_in_transaction(d.s));
	must(smtp_server_feed(d.s, d.now, SV("NOOP\r\n")) == 6);
	smtp_server_shut(d.s, "4.3.2", SV("Again"));
	must(!smtp_server_next(d.s, &d.held_event));
	smtp_server_free(d.s);
	return 0;
}
