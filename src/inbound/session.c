/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "inbound/inbound_priv.h"
#include "io/fs.h"
#include "io/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * One SMTP session: bytes of the stream into the machine, its events to the message, answers back. All
 * that a round of input gives leaves in one write. session_pump() frees the session when it has ended:
 * nobody touches a session after calling it.
 */
enum {
	BAD_COMMANDS_MAX = LIMIT_BAD_COMMANDS
};
#define SLOW_US (5 * US_PER_MIN)
#define SESSION_US_MAX (12 * US_PER_HOUR)

static void on_stream(void *arg, enum io_stream_event event);

struct mono_time session_now(const struct session *s)
{
	return io_now(s->in->loop);
}

/* ---- end ---- */

static void session_free(struct session *s)
{
	struct inbound *in = s->in;

	io_timer_stop(&s->timer);
	io_timer_stop(&s->auth_delay);
	heap_remove(&in->turns, &s->turn);
	if (s->check)
		identity_check_cancel(s->check);
	if (s->name_query)
		io_names_cancel(s->name_query);
	/* A message whose end was taken goes on by itself. */
	if (s->accept && s->asked == SMTP_SERVER_EV_END)
		accept_forget(s->accept);
	else
		accept_abort(s->accept);
	admit_end(in, &s->payer, s->stream);
	io_stream_close_gently(s->stream, CLOSE_S * US_PER_S);
	smtp_server_free(s->smtp);
	list_remove(&s->node);
	free(s->peer_key);
	free(s->user);
	free(s->check_user);
	in->session_count--;
	listener_release(s->listener);
	io_tls_unref(s->tls);
	conf_unref(s->conf);
	free(s);
	inbound_check_drained(in);
}

/* ---- answers ---- */

static void say(struct session *s, const struct answer *a)
{
	s->asked = SMTP_SERVER_EV_COUNT;
	smtp_server_answer(s->smtp, session_now(s), a->code, a->enhanced, sv_from(a->text));
}

/* Whose figures this session changes; NULL: nobody's. */
static struct quota_use *use_of(const struct session *s)
{
	if (s->device)
		return quota_of_device(s->in, s->device->name);
	return s->user ? quota_of_user(s->in, sv_from(s->user)) : NULL;
}

static void refused(struct session *s, const struct answer *a, const char *stage, struct sv address)
{
	bool at_mail = strcmp(stage, "MAIL") == 0;
	struct quota_use *use = use_of(s);

	s->listener->refused++;
	s->in->refused++;
	if (use)
		use->refused++;
	log_refused(s,
		a,
		stage,
		address,
		at_mail     ? address
		: s->accept ? accept_sender(s->accept)
			    : SV(""));
}

static void count_accepted(struct session *s)
{
	struct quota_use *use = use_of(s);

	s->listener->accepted++;
	s->listener->legacy_messages += s->legacy_tls;
	if (use)
		use->accepted++;
}

static void message_done(void *arg, const struct answer *a)
{
	struct session *s = arg;

	s->accept = NULL;
	/* Pieces that were still under way at the end have called nobody. */
	s->waits_for_room = false;
	if (a->code < 300)
		count_accepted(s);
	else
		refused(s, a, "END-OF-MESSAGE", SV(""));
	say(s, a);
	session_pump(s);
}

static void on_room(void *arg)
{
	struct session *s = arg;

	if (s->accept && accept_is_full(s->accept))
		return;
	s->waits_for_room = false;
	session_pump(s);
}

/* ---- events ---- */

static void do_greet(struct session *s)
{
	struct answer a = { .code = 220 };

	if (s->name_query)
		return; /* see name_found() */
	if (s->nameless)
		answer_set(&a,
			421,
			"4.3.0",
			"Your user name cannot be looked up now, try again later");
	else if (listener_peer_allowed(s->rules, io_stream_peer_addr(s->stream), s->device, &a) &&
		 s->in->draining)
		answer_set(&a, 421, "4.3.2", "postern is going down, try again");
	if (a.code != 220)
		refused(s, &a, "CONNECT", SV(""));
	say(s, &a);
}

static void do_mail(struct session *s, const struct smtp_server_event *e)
{
	struct accept_origin origin = { .user = sv_from(s->user),
		.account = s->account ? s->account : conf_local_user(s->conf, sv_from(s->user)),
		.device = s->device,
		.client = io_stream_peer(s->stream),
		.payer = &s->payer,
		.listener = s->listener->name,
		.rules = s->rules,
		.bytes_max = s->rules ? s->rules->message_bytes_max : LIMIT_MESSAGE };
	struct answer a;

	s->accept = accept_new(s->in, s->conf, &origin);
	accept_mail(s->accept, e, &a);
	if (a.code >= 400) {
		refused(s, &a, "MAIL", e->address);
		accept_abort(s->accept);
		s->accept = NULL;
	}
	say(s, &a);
}

static void do_rcpt(struct session *s, const struct smtp_server_event *e)
{
	struct answer a;

	accept_rcpt(s->accept, e, &a);
	if (a.code >= 400)
		refused(s, &a, "RCPT", e->address);
	say(s, &a);
}

static void do_data(struct session *s)
{
	struct answer a = { .code = 354, .text = "End data with <CR><LF>.<CR><LF>" };

	accept_begin_body(s->accept,
		0,
		smtp_server_helo(s->smtp),
		smtp_server_protocol(s->smtp),
		io_stream_tls_text(s->stream));
	accept_on_room(s->accept, on_room, s);
	say(s, &a);
}

static void log_end(struct session *s, struct sv reason)
{
	enum log_level level = sv_eq(reason, SV("quit")) || sv_eq(reason, SV("closed-by-client"))
				       ? LOG_DEBUG
				       : LOG_INFO;

	log_event(level,
		"smtpd",
		SV(""),
		"session ended",
		(const struct log_field[]){
			LOG_F("client", io_stream_peer(s->stream)), LOG_F("reason", reason) },
		2);
}

static void handle(struct session *s, const struct smtp_server_event *e)
{
	bool ended = s->asked == SMTP_SERVER_EV_END;

	s->asked = e->kind;
	switch (e->kind) {
	case SMTP_SERVER_EV_GREET:
		do_greet(s);
		return;
	case SMTP_SERVER_EV_STARTTLS:
		break; /* the 220 leaves first, see session_pump() */
	case SMTP_SERVER_EV_AUTH_PASSWORD:
	case SMTP_SERVER_EV_AUTH_TOKEN:
	case SMTP_SERVER_EV_AUTH_SCRAM:
	case SMTP_SERVER_EV_AUTH_DONE:
		session_auth_event(s, e);
		return;
	case SMTP_SERVER_EV_MAIL:
		do_mail(s, e);
		return;
	case SMTP_SERVER_EV_RCPT:
		do_rcpt(s, e);
		return;
	case SMTP_SERVER_EV_DATA:
		do_data(s);
		return;
	case SMTP_SERVER_EV_BODY:
		accept_body(s->accept, e->bytes);
		s->waits_for_room = accept_is_full(s->accept);
		return;
	case SMTP_SERVER_EV_END:
		accept_end(s->accept, message_done, s);
		return;
	case SMTP_SERVER_EV_RESET:
		/* A client that goes before its answer: the message is the queue's already. */
		if (s->accept && ended)
			accept_forget(s->accept);
		else
			accept_abort(s->accept);
		s->accept = NULL;
		s->waits_for_room = false;
		return;
	case SMTP_SERVER_EV_CLOSE:
		log_end(s, e->reason);
		s->ended = true;
		return;
	case SMTP_SERVER_EV_COUNT:
		return;
	}
}

static void send_output(struct session *s)
{
	struct sv out = smtp_server_output(s->smtp);

	if (out.len == 0)
		return;
	/* A client that reads nothing is cut: the machine holds little, and the stream a megabyte. */
	if (io_stream_write(s->stream, out) != 0)
		s->ended = true;
	smtp_server_sent(s->smtp, out.len);
}

static void start_tls(struct session *s)
{
	s->in_handshake = true;
	io_stream_tls_server(s->stream, s->tls);
	io_timer_start(&s->timer, mono_add(session_now(s), HANDSHAKE_S * US_PER_S));
}

static void run_events(struct session *s, bool *out_tls)
{
	struct smtp_server_event e;

	while (!s->ended && smtp_server_next(s->smtp, &e)) {
		handle(s, &e);
		if (e.kind == SMTP_SERVER_EV_STARTTLS)
			*out_tls = true;
	}
}

static bool nothing_is_left(const struct session *s)
{
	return io_stream_input(s->stream).len == 0 && !s->waits_for_room &&
	       !smtp_server_waits_for_answer(s->smtp);
}

/* What it holds beyond an idle session is charged as it grows, and comes back as it shrinks. */
static bool charge(struct session *s)
{
	uint64_t held = s->payer.held[LIMIT_RESOURCE_BYTES];
	uint64_t is = io_stream_memory(s->stream) + smtp_server_memory(s->smtp);

	if (is < SESSION_COST)
		is = SESSION_COST;
	if (is <= held) {
		limit_payer_give(&s->payer, LIMIT_RESOURCE_BYTES, held - is);
		return true;
	}
	return limit_payer_take(&s->payer, LIMIT_RESOURCE_BYTES, is - held) == LIMIT_ANSWER_YES;
}

static void charge_or_shut(struct session *s, bool *out_tls)
{
	if (s->ended || charge(s))
		return;
	smtp_server_shut(s->smtp, "4.3.1", SV(NO_MEMORY));
	run_events(s, out_tls);
}

/* Its input goes on when it is its turn; until then the kernel holds what does not fit. */
static void wait_for_turn(struct session *s)
{
	struct inbound *in = s->in;

	if (heap_holds(&s->turn))
		return;
	heap_insert(&in->turns, &s->turn, limit_account_turn(s->payer.accounts[0], in->turn_now));
	io_task_post(in->loop, &in->turn);
}

/*
 * What clients send takes turns: thousands of commands in one piece are done a few at a time, and whoever sends
 * no more than others at once waits for one such piece at most. Whose turn it is goes by the address (or uid),
 * not by the connection.
 */
void session_turn(void *arg)
{
	struct inbound *in = arg;
	struct heap_node *first = heap_first(&in->turns);
	struct session *s;

	if (!first)
		return;
	s = CONTAINER_OF(first, struct session, turn);
	in->turn_now = first->key;
	heap_remove(&in->turns, first);
	if (in->turns.count)
		io_task_post(in->loop, &in->turn);
	session_pump(s);
}

/* Feeds one turn of input. True: there is more. */
static bool feed_turn(struct session *s, bool *out_tls)
{
	size_t left = heap_holds(&s->turn) ? 0 : TURN_BYTES;

	while (!*out_tls && !s->ended && !s->waits_for_room) {
		struct sv input = io_stream_input(s->stream);
		size_t factor = smtp_server_in_body(s->smtp) ? TURN_BODY_FACTOR : 1;
		size_t used;

		if (input.len == 0)
			return false;
		if (left == 0)
			return !smtp_server_waits_for_answer(s->smtp);
		used = smtp_server_feed(s->smtp, session_now(s), sv_head(input, left * factor));
		/* Events point into the input: it goes only after them. */
		run_events(s, out_tls);
		io_stream_consume(s->stream, used);
		/* Replies that pile up stop the machine until they have left. */
		send_output(s);
		if (used == 0)
			return false;
		left -= (used + factor - 1) / factor;
	}
	return false;
}

void session_pump(struct session *s)
{
	bool tls = false;

	/* Answers that come at once come from inside. */
	if (s->pumping || !s->smtp)
		return;
	s->pumping = true;
	run_events(s, &tls);
	if (feed_turn(s, &tls))
		wait_for_turn(s);
	if (s->input_ended && !tls && !s->ended && nothing_is_left(s)) {
		smtp_server_eof(s->smtp);
		run_events(s, &tls);
	}
	charge_or_shut(s, &tls);
	send_output(s);
	s->pumping = false;
	if (s->ended)
		session_free(s);
	else if (tls)
		start_tls(s);
	else
		io_timer_start(&s->timer, smtp_server_deadline(s->smtp));
}

void session_shut(struct session *s, const char *enhanced, struct sv text)
{
	if (!s->smtp) {
		session_free(s);
		return;
	}
	smtp_server_shut(s->smtp, enhanced, text);
	session_pump(s);
}

/* Rules change for those who come; but nobody stays who may not come any more. */
static bool may_stay(const struct session *s, const struct identity_users *before)
{
	const struct conf *conf = s->in->conf;

	if (s->account)
		return conf_user(conf, s->account->name) &&
		       identity_users_same(before, s->in->users, s->account->name);
	return !s->device || conf_device(conf, s->device->name);
}

void sessions_review(struct inbound *in, const struct identity_users *before)
{
	list_each_safe (at, after, &in->sessions) {
		struct session *s = list_entry(at, struct session, node);

		if (!may_stay(s, before))
			session_shut(s,
				"4.7.0",
				s->account ? SV("This user was removed, or has a new password")
					   : SV("This device was removed from the configuration"));
	}
}

/* ---- beginning ---- */

static void begin_smtp(struct session *s, bool tls_on)
{
	const struct conf_listener *c = s->rules;
	struct smtp_server_options o = { .hostname = conf_general(s->conf)->hostname,
		.message_bytes_max = LIMIT_MESSAGE,
		.rcpt_max = LIMIT_RCPT,
		.bad_command_max = BAD_COMMANDS_MAX,
		.idle_us_max = 5 * US_PER_MIN,
		.data_us_max = 5 * US_PER_MIN,
		.slow_us_max = SLOW_US,
		.session_us_max = SESSION_US_MAX,
		.tls_on = tls_on,
		.pipelining = true,
		.eightbitmime = true,
		.chunking = true,
		.smtputf8 = true,
		.dsn = true };

	memcpy(o.nonce_key, s->in->nonce_key, sizeof(o.nonce_key));
	o.nonce_session = ++s->in->sessions_begun;
	if (c) {
		o.message_bytes_max = c->message_bytes_max;
		o.rcpt_max = c->rcpt_max;
		o.idle_us_max = o.data_us_max = c->idle_us_max;
		if (c->auth != CONF_AUTH_OFF)
			o.auth = SMTP_SERVER_AUTH_PLAIN | SMTP_SERVER_AUTH_LOGIN |
				 SMTP_SERVER_AUTH_SCRAM_SHA_256;
		o.auth_needs_tls = !c->plaintext_auth;
		o.auth_required =
			listener_needs_password(c, io_stream_peer_addr(s->stream), s->device);
		o.lenient = s->device && !o.auth_required;
		o.starttls = c->tls == CONF_TLS_STARTTLS || c->tls == CONF_TLS_REQUIRED;
		o.tls_required = c->tls == CONF_TLS_REQUIRED;
	}
	s->smtp = smtp_server_new(&o, session_now(s));
	secret_wipe(o.nonce_key, sizeof(o.nonce_key));
	session_pump(s);
}

static void on_timer(void *arg)
{
	struct session *s = arg;

	/* In a handshake the machine has no deadline of its own that counts. */
	if (!s->smtp || s->in_handshake) {
		session_free(s);
		return;
	}
	smtp_server_tick(s->smtp, session_now(s));
	session_pump(s);
}

/* "TLSv1 AES128-SHA" and "TLSv1.1 ..." are what only old devices speak. */
static void note_tls(struct session *s)
{
	struct sv text = io_stream_tls_text(s->stream);

	s->in_handshake = false;
	if (!sv_starts(text, SV("TLSv1 ")) && !sv_starts(text, SV("TLSv1.1 ")) &&
		!sv_starts(text, SV("TLSv1.0 ")))
		return;
	s->legacy_tls = true;
	s->listener->legacy_sessions++;
	if (s->device)
		quota_of_device(s->in, s->device->name)->legacy_sessions++;
	log_event(LOG_INFO,
		"smtpd",
		SV(""),
		"legacy TLS",
		(const struct log_field[]){ LOG_F("client", io_stream_peer(s->stream)),
			LOG_F("device", s->device ? s->device->name : SV("")),
			LOG_F("listener", s->listener->name),
			LOG_F("tls", text) },
		4);
}

static void on_stream(void *arg, enum io_stream_event event)
{
	struct session *s = arg;
	const struct err *err;

	switch (event) {
	case IO_STREAM_SECURED:
		note_tls(s);
		if (!s->smtp) {
			begin_smtp(s, true);
			return;
		}
		smtp_server_tls_started(s->smtp, session_now(s));
		session_pump(s);
		return;
	case IO_STREAM_INPUT:
	case IO_STREAM_DRAINED:
		session_pump(s);
		return;
	case IO_STREAM_EOF:
		if (!s->smtp) {
			session_free(s);
			return;
		}
		/* Exim sends its message and QUIT, shuts its side, and then reads the answers. */
		s->input_ended = true;
		session_pump(s);
		return;
	case IO_STREAM_FAILED:
		err = io_stream_error(s->stream);
		if (err->code == RC_TLS)
			log_event(LOG_INFO,
				"smtpd",
				SV(""),
				"TLS failed",
				(const struct log_field[]){
					LOG_F("client", io_stream_peer(s->stream)),
					LOG_F("why", sv_from(err->text)) },
				2);
		session_free(s);
		return;
	case IO_STREAM_CONNECTED:
		return;
	}
}

/* Who is on the other end of a unix socket: "local:www-data". It is greeted when that is known. */
static void name_found(void *arg, int rc, struct sv name)
{
	struct session *s = arg;
	char text[IO_NAME_MAX + 16];

	s->name_query = NULL;
	if (rc != 0 && rc != RC_NO_NAME) {
		log_line(LOG_WARN,
			"smtpd",
			"the name of local user %u cannot be looked up: %s",
			s->uid,
			rc_text(rc));
		s->nameless = true;
	} else if (rc == 0) {
		(void)snprintf(text, sizeof(text), "local:%.*s", SV_ARG(name));
		s->user = sv_dup(sv_from(text));
	} else {
		(void)snprintf(text, sizeof(text), "local:%u", s->uid);
		s->user = sv_dup(sv_from(text));
	}
	if (s->smtp && s->asked == SMTP_SERVER_EV_GREET) {
		do_greet(s);
		session_pump(s);
	}
}

/* The address without the port; local peers are one by one. */
static char *peer_key(const struct io_stream *stream)
{
	struct sv peer = io_stream_peer(stream);
	ptrdiff_t colon = sv_rfind_char(peer, ':');

	return sv_dup(colon > 0 ? sv_head(peer, (size_t)colon) : peer);
}

void session_begin(struct listener *n, int fd)
{
	struct inbound *in = n->in;
	const struct conf_device *device;
	struct limit_payer payer;
	struct io_address peer;
	struct session *s;
	unsigned uid;

	/* It has gone already. */
	if (io_peer_of(fd, &peer, &uid) != 0) {
		io_closep(&fd);
		return;
	}
	device = conf_device_at(n->conf, &peer.any);
	if (!admit(n, fd, &peer, uid, device, &payer)) {
		io_closep(&fd);
		return;
	}
	s = xcalloc(1, sizeof(*s));
	s->in = in;
	s->listener = n;
	s->conf = conf_ref(n->conf);
	s->rules = n->c;
	s->tls = n->tls ? io_tls_ref(n->tls) : NULL;
	s->asked = SMTP_SERVER_EV_COUNT;
	s->device = device;
	s->payer = payer;
	s->uid = uid;
	n->sessions++;
	in->session_count++;
	list_append(&in->sessions, &s->node);
	io_timer_init(&s->timer, in->loop, on_timer, s);
	s->stream = io_stream_accepted_from(in->loop, fd, &peer, on_stream, s);
	s->peer_key = peer_key(s->stream);
	if (peer.any.sa_family == AF_UNIX)
		s->name_query = io_names_ask(in->names, uid, name_found, s);
	session_auth_init(s);
	if (s->rules && s->rules->tls == CONF_TLS_IMPLICIT) {
		io_stream_tls_server(s->stream, s->tls);
		io_timer_start(&s->timer, mono_add(session_now(s), HANDSHAKE_S * US_PER_S));
	} else {
		begin_smtp(s, false);
	}
}
