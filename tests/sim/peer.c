/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "smtp/server.h"
#include "tests/sim/acts.h"
#include "tests/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The hosts: an SMTP server each, whose every answer is thrown. */
enum {
	TEXT_MAX = 256
};
#define LATE_US_MAX (9 * US_PER_MIN) /* of counting a message whose sender has got no answer */

struct session {
	struct io_loop *loop;
	unsigned host;
	struct io_stream *stream;
	struct smtp_server *smtp;
	struct io_timer answer; /* what is said in a while */
	enum smtp_server_event_kind asked;
	uint64_t asked_at, begun_at;
	uint16_t code;
	const char *enhanced, *text;
	char recipients[TEXT_MAX];
	bool taken; /* a whole message that no answer was given for yet */
	bool in_transaction, denied, wants_tls;
	bool pumping, ended;
};

static const char *const addresses[HOST_COUNT] = {
	"127.0.0.1:2501",
	"127.0.0.1:2502",
	"127.0.0.1:2503",
	"127.0.0.1:2504",
	"127.0.0.1:2505",
	"127.0.0.1:2506",
	"127.0.0.1:2507",
};

static bool auth_is_shut, denies;

void peer_shut_smtp_auth(bool shut)
{
	auth_is_shut = shut;
}

bool peer_smtp_auth_is_shut(void)
{
	return auth_is_shut;
}

void peer_deny_sender(bool deny)
{
	denies = deny;
}

bool peer_denies(struct sv sender)
{
	return denies && sv_eq(sender, sv_from(relay_denied_sender));
}

static void count(struct session *s, uint64_t after_us);

static void set_transaction(struct session *s, bool open)
{
	if (s->in_transaction != open)
		order_transaction(s->host, open);
	s->in_transaction = open;
}

static void session_free(struct session *s)
{
	set_transaction(s, false);
	/* It goes on with what it has, and nobody can be told. */
	if (s->taken) {
		uint64_t after_us = simio_below(LATE_US_MAX);

		count(s,
			act_happens(ACT_LATE, "%u s", (unsigned)(after_us / US_PER_S)) ? after_us
										       : 0);
	}
	io_timer_stop(&s->answer);
	smtp_server_free(s->smtp);
	io_stream_free(s->stream);
	free(s);
}

static void pump(struct session *s);

static void say(void *arg)
{
	struct session *s = arg;
	struct mono_time now = io_now(s->loop);

	if (s->taken)
		count(s, 0);
	if (s->asked == SMTP_SERVER_EV_END) {
		order_answered(s->host, simio_now() - s->asked_at);
		set_transaction(s, false);
	}
	if (s->asked == SMTP_SERVER_EV_AUTH_PASSWORD)
		smtp_server_answer_auth(s->smtp, now, s->code, s->enhanced, sv_from(s->text));
	else
		smtp_server_answer(s->smtp, now, s->code, s->enhanced, sv_from(s->text));
	pump(s);
}

/* A good answer, as far as the dice want one. */
static void choose(struct session *s, enum smtp_server_event_kind kind, bool refuses)
{
	s->asked = kind;
	s->asked_at = simio_now();
	s->text = "as the dice say";
	s->code = kind == SMTP_SERVER_EV_GREET           ? 220
		  : kind == SMTP_SERVER_EV_DATA          ? 354
		  : kind == SMTP_SERVER_EV_AUTH_PASSWORD ? 235
							 : 250;
	if (refuses && kind == SMTP_SERVER_EV_RCPT && simio_chance(40))
		s->code = 550;
	else if (refuses)
		s->code = kind == SMTP_SERVER_EV_GREET ? 421 : 451;
	if (kind == SMTP_SERVER_EV_AUTH_PASSWORD && auth_is_shut) {
		s->code = 535;
		s->enhanced = "5.7.139";
		s->text = "Authentication unsuccessful, SmtpClientAuthentication is disabled for "
			  "the Mailbox.";
		return;
	}
	if (kind == SMTP_SERVER_EV_END && s->denied && denies) {
		s->code = 554;
		s->enhanced = "5.2.252";
		s->text = "SendAsDenied; erp@contoso.com not allowed to send as another";
		return;
	}
	s->enhanced = s->code == 354 || s->code == 220 ? NULL
		      : s->code < 300                  ? "2.0.0"
		      : s->code < 500                  ? "4.3.0"
						       : "5.1.1";
}

/* A message that is whole is ours; when it counts for the limit is ours to say, too. */
static void count(struct session *s, uint64_t after_us)
{
	uint64_t at = simio_now() + after_us;

	s->taken = false;
	simio_note("host %u takes %s, counts it at %llu s",
		s->host,
		s->recipients,
		(unsigned long long)(at / US_PER_S));
	check_received(s->host, s->recipients, at);
}

static uint64_t pause_of(unsigned host, enum smtp_server_event_kind asked)
{
	if (asked == SMTP_SERVER_EV_END && host != HOST_SLOW && host != HOST_MOODY)
		return simio_below(host == HOST_LIMIT ? 40 * US_PER_S
				   : host == HOST_ERP ? 5 * US_PER_S
						      : US_PER_S / 3);
	if (host == HOST_SLOW)
		return US_PER_S + simio_below(20 * US_PER_S);
	if (host == HOST_MOODY && simio_chance(20)) {
		uint64_t us = simio_below(90 * US_PER_S);

		if (act_happens(ACT_PAUSE, "%u s", (unsigned)(us / US_PER_S)))
			return us;
	}
	return simio_below(30 * US_PER_MS);
}

static bool closes_now(const struct session *s, enum smtp_server_event_kind kind)
{
	bool due = (s->host == HOST_MOODY && simio_chance(6)) ||
		   ((s->host == HOST_LIMIT || s->host == HOST_ERP) && kind == SMTP_SERVER_EV_END &&
			   simio_chance(8));

	return due && act_happens(ACT_CLOSE, "host %u, %s", s->host, s->recipients);
}

static void answer(struct session *s, const struct smtp_server_event *e)
{
	bool closes = closes_now(s, e->kind);

	choose(s,
		e->kind,
		s->host == HOST_MOODY && simio_chance(15) &&
			act_happens(ACT_REFUSE, "host %u, %s", s->host, s->recipients));
	s->taken = e->kind == SMTP_SERVER_EV_END && s->code == 250;
	if (closes) {
		simio_note("host %u closes", s->host);
		s->ended = true;
		return;
	}
	if (e->kind == SMTP_SERVER_EV_RCPT && s->code == 250) {
		size_t len = strlen(s->recipients);

		(void)snprintf(s->recipients + len, TEXT_MAX - len, "%.*s ", SV_ARG(e->address));
	}
	if (e->kind == SMTP_SERVER_EV_DATA)
		check_begun(s->host, s->recipients, s->begun_at);
	io_timer_start(&s->answer, mono_add(io_now(s->loop), pause_of(s->host, e->kind)));
}

static void handle(struct session *s, const struct smtp_server_event *e)
{
	switch (e->kind) {
	case SMTP_SERVER_EV_MAIL:
		s->recipients[0] = '\0';
		s->begun_at = simio_now();
		s->denied = sv_eq(e->address, sv_from(relay_denied_sender));
		set_transaction(s, true);
		answer(s, e);
		break;
	case SMTP_SERVER_EV_GREET:
	case SMTP_SERVER_EV_RCPT:
	case SMTP_SERVER_EV_DATA:
	case SMTP_SERVER_EV_END:
	case SMTP_SERVER_EV_AUTH_PASSWORD:
		answer(s, e);
		break;
	case SMTP_SERVER_EV_CLOSE:
		s->ended = true;
		break;
	case SMTP_SERVER_EV_RESET:
		set_transaction(s, false);
		break;
	case SMTP_SERVER_EV_STARTTLS:
		s->wants_tls = true;
		break;
	case SMTP_SERVER_EV_BODY:
	case SMTP_SERVER_EV_AUTH_TOKEN:
	case SMTP_SERVER_EV_AUTH_SCRAM:
	case SMTP_SERVER_EV_AUTH_DONE:
	case SMTP_SERVER_EV_COUNT:
		break;
	}
}

static void events(struct session *s)
{
	struct smtp_server_event e;

	while (!s->ended && smtp_server_next(s->smtp, &e))
		handle(s, &e);
}

static void pump(struct session *s)
{
	bool again = true;
	struct sv out;

	if (s->pumping)
		return;
	s->pumping = true;
	events(s);
	while (again && !s->ended) {
		struct sv input = io_stream_input(s->stream);
		size_t used = input.len ? smtp_server_feed(s->smtp, io_now(s->loop), input) : 0;

		events(s);
		io_stream_consume(s->stream, used);
		again = used > 0;
	}
	out = smtp_server_output(s->smtp);
	must(io_stream_write(s->stream, out) == 0);
	smtp_server_sent(s->smtp, out.len);
	s->pumping = false;
	if (s->wants_tls && !s->ended) {
		s->wants_tls = false;
		io_stream_tls_server(s->stream, NULL);
	}
	if (s->ended)
		session_free(s);
}

static void on_stream(void *arg, enum io_stream_event event)
{
	struct session *s = arg;

	if (event == IO_STREAM_FAILED || event == IO_STREAM_EOF) {
		/* Whoever has gone gets no answer; what is whole was taken. */
		session_free(s);
		return;
	}
	if (event == IO_STREAM_SECURED)
		smtp_server_tls_started(s->smtp, io_now(s->loop));
	if (s->host != HOST_SILENT)
		pump(s);
}

static unsigned host_numbers[HOST_COUNT];
static struct io_loop *loop;

static void on_accept(void *arg, struct io_stream *stream)
{
	unsigned host = *(unsigned *)arg;
	const struct smtp_server_options options = { .hostname = SV("host.example"),
		.message_bytes_max = 1 << 20,
		.rcpt_max = 100,
		.bad_command_max = 10,
		.idle_us_max = US_PER_HOUR,
		.data_us_max = US_PER_HOUR,
		.slow_us_max = US_PER_HOUR,
		.session_us_max = 24 * US_PER_HOUR,
		.auth = host == HOST_ERP ? SMTP_SERVER_AUTH_PLAIN : 0,
		.auth_needs_tls = true,
		.auth_required = host == HOST_ERP,
		.starttls = host == HOST_ERP,
		.pipelining = simio_chance(70),
		.eightbitmime = true };
	struct session *s = xcalloc(1, sizeof(*s));

	s->loop = loop;
	s->host = host;
	s->stream = stream;
	s->smtp = smtp_server_new(&options, io_now(loop));
	io_timer_init(&s->answer, loop, say, s);
	io_stream_set_owner(stream, on_stream, s);
	if (s->host != HOST_SILENT)
		pump(s);
}

void peers_open(struct io_loop *l)
{
	loop = l;
	for (unsigned i = 0; i < HOST_COUNT; i++) {
		host_numbers[i] = i;
		simio_listen(l, addresses[i], on_accept, &host_numbers[i]);
	}
}
