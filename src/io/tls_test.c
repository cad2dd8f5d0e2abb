/* SPDX-License-Identifier: Apache-2.0 */
#include "io/stream.h"

#include "io/net.h"
#include "io/stream_priv.h"
#include "io/test_ca.h"
#include "io/test_net.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>

#include "cmocka_all.h"

static struct test_ca ca;

static struct io_tls *server_tls(void)
{
	struct err err = { 0 };
	struct io_tls *t = io_tls_server_new(ca.chain, ca.key, &err);

	assert_string_equal(err.text, "");
	assert_non_null(t);
	return t;
}

static struct io_tls *client_tls(void)
{
	struct err err = { 0 };
	struct io_tls *t = io_tls_client_new(ca.ca, &err);

	assert_string_equal(err.text, "");
	assert_non_null(t);
	return t;
}

static void at_most(struct io_tls *t, int version)
{
	if (version)
		assert_int_equal(SSL_CTX_set_max_proto_version(t->ctx, version), 1);
}

static bool both_secured(struct net *n)
{
	return n->a.counts[IO_STREAM_SECURED] && n->b.counts[IO_STREAM_SECURED];
}

/* `a` is the client; both begin at once. */
static void begin_tls_as(struct net *n, const char *host)
{
	if (!n->a.tls)
		n->a.tls = client_tls();
	if (!n->b.tls)
		n->b.tls = server_tls();
	n->a.host = host;
	io_stream_tls_server(n->b.s, n->b.tls);
	io_stream_tls_client(n->a.s, n->a.tls, sv_from(host));
}

/* ---- STARTTLS ---- */

static const char evil[] = "MAIL FROM:<evil@evil.test>\n";

static void server_side(struct end *e, enum io_stream_event event)
{
	struct sv in = io_stream_input(e->s);

	if (event == IO_STREAM_SECURED)
		e->keep_input = false;
	if (event != IO_STREAM_INPUT || e->tls || sv_find_char(in, '\n') < 0)
		return;
	e->tls = server_tls();
	send_text(e, "220 go\n");
	io_stream_tls_server(e->s, e->tls);
	/* After io_stream_tls_server(), as owners do that consume what their machine took. */
	io_stream_consume(e->s, strlen("STARTTLS\n"));
	io_stream_pause(e->s);
	io_stream_resume(e->s);
}

static void client_side(struct end *e, enum io_stream_event event)
{
	struct sv in = io_stream_input(e->s);

	if (event == IO_STREAM_SECURED) {
		e->keep_input = false;
		send_text(e, "EHLO a\n");
	}
	if (event != IO_STREAM_INPUT || e->tls || sv_find_char(in, '\n') < 0)
		return;
	e->tls = client_tls();
	io_stream_tls_client(e->s, e->tls, SV("relay.test"));
}

static void injected_commands_are_thrown_away(void **state)
{
	struct net n;

	(void)state;
	for (unsigned injected = 0; injected < 2; injected++) {
		open_pair(&n, true);
		n.a.hook = client_side;
		n.b.hook = server_side;
		n.a.keep_input = n.b.keep_input = true;
		send_text(&n.a, "STARTTLS\n");
		if (injected)
			send_text(&n.a, evil);
		run_until(&n, b_has_line);
		assert_string_equal(n.b.got, "EHLO a\n");
		assert_true(io_stream_is_tls(n.a.s) && io_stream_is_tls(n.b.s));
		assert_true(sv_starts(io_stream_tls_text(n.a.s), SV("TLSv1.3 TLS_")));
		assert_true(sv_eq(io_stream_tls_text(n.a.s), io_stream_tls_text(n.b.s)));
		send_text(&n.b, "250 b\n");
		run_until(&n, both_have_lines);
		assert_string_equal(n.a.got, "250 b\n");
		assert_string_equal(n.b.order, "ISI");
		close_net(&n);
	}
}

static void injected_replies_are_thrown_away(void **state)
{
	struct net n;

	(void)state;
	open_pair(&n, true);
	n.a.hook = client_side;
	n.a.keep_input = true;
	/* One write, so that they arrive together. */
	send_text(&n.b, "220 go\n");
	send_text(&n.b, "250 evil\n");
	n.b.tls = server_tls();
	io_stream_tls_server(n.b.s, n.b.tls);
	run_until(&n, b_has_line);
	send_text(&n.b, "250 real\n");
	run_until(&n, a_has_line);
	assert_string_equal(n.a.got, "250 real\n");
	close_net(&n);
}

static void nothing_is_heard_in_the_clear_once_tls_is_planned(void **state)
{
	static char block[IO_STREAM_OUTPUT_MAX];
	struct net n;

	(void)state;
	open_raw(&n);
	/* The reply to STARTTLS is stuck behind what the other side does not read. */
	stuff_output(&n, &n.a);
	n.a.tls = server_tls();
	io_stream_tls_server(n.a.s, n.a.tls);
	raw_text(&n, evil);
	run_a_moment(&n);
	io_stream_pause(n.a.s);
	io_stream_resume(n.a.s);
	run_a_moment(&n);
	assert_int_equal(n.a.counts[IO_STREAM_INPUT], 0);
	assert_int_equal(fcntl(n.raw, F_SETFL, O_NONBLOCK), 0);
	for (unsigned i = 0; i < 1000 && n.a.s; i++) {
		while (recv(n.raw, block, sizeof(block), 0) > 0)
			continue;
		run_a_moment(&n);
	}
	assert_int_equal(n.a.counts[IO_STREAM_INPUT], 0);
	assert_int_equal(n.a.counts[IO_STREAM_FAILED], 1);
	assert_int_equal(n.a.err.code, RC_TLS);
	close_net(&n);
}

static void a_writes_and_pauses(struct end *e, enum io_stream_event event)
{
	/* The server is secured after the client, so this is within its handshake. */
	if (event == IO_STREAM_SECURED && e->net->b.s) {
		send_text(&e->net->b, "220 hello\n");
		io_stream_pause(e->net->b.s);
	}
}

static void output_written_during_the_handshake_follows_it(void **state)
{
	struct net n;

	(void)state;
	open_pair(&n, true);
	n.a.hook = a_writes_and_pauses;
	begin_tls_as(&n, "relay.test");
	run_until(&n, a_has_line);
	assert_string_equal(n.a.got, "220 hello\n");
	assert_string_equal(n.b.order, "S");
	close_net(&n);
}

/* ---- certificates ---- */

struct name_row {
	const char *host;
	const char *ca_file;
	const char *words; /* NULL: it is good */
};

static const struct name_row name_rows[] = {
	{ "relay.test", ca.ca, NULL },
	{ "RELAY.test", ca.ca, NULL },
	{ "a.pool.test", ca.ca, NULL },
	{ "127.0.0.1", ca.ca, NULL },
	{ "wrong.test", ca.ca, "the certificate of wrong.test is not valid: hostname mismatch" },
	{ "a.b.pool.test", ca.ca, "hostname mismatch" },
	{ "pool.test", ca.ca, "hostname mismatch" },
	{ "127.0.0.2", ca.ca, "the certificate of 127.0.0.2 is not valid: IP address mismatch" },
	{ "::1", ca.ca, "IP address mismatch" },
	{ "relay.test", ca.other_ca, "unable to get local issuer certificate" },
	{ "", ca.ca, "'' is no name that a certificate can be for" },
};

static void only_the_right_name_and_authority_will_do(void **state)
{
	struct net n;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(name_rows); i++) {
		const struct name_row *row = &name_rows[i];

		open_pair(&n, true);
		n.a.tls = io_tls_client_new(row->ca_file, NULL);
		assert_non_null(n.a.tls);
		begin_tls_as(&n, row->host);
		run_until(&n, row->words ? a_gone : both_secured);
		if (row->words) {
			assert_string_equal(n.a.order, "F");
			assert_int_equal(n.a.err.code, RC_TLS);
			if (!strstr(n.a.err.text, row->words))
				fail_msg("%s: %s", row->host, n.a.err.text);
			/* The server hears of it. */
			run_until(&n, both_gone);
			assert_string_equal(n.b.order, "F");
			assert_true(n.b.err.text[0] != '\0');
		}
		close_net(&n);
	}
}

static void bad_files_are_named(void **state)
{
	struct err err = { 0 };
	struct io_tls *t;

	(void)state;
	assert_null(io_tls_server_new("/nonexistent/c.pem", ca.key, &err));
	assert_int_equal(err.code, RC_TLS);
	assert_non_null(strstr(err.text, "certificate /nonexistent/c.pem: "));
	assert_null(io_tls_server_new(ca.chain, "/nonexistent/k.pem", &err));
	assert_non_null(strstr(err.text, "key /nonexistent/k.pem: "));
	/* A key file without a key, and the key of another certificate. */
	assert_null(io_tls_server_new(ca.chain, ca.chain, &err));
	assert_non_null(strstr(err.text, ca.chain));
	assert_null(io_tls_server_new(ca.chain, ca.other_ca, &err));
	assert_non_null(strstr(err.text, ca.other_ca));
	assert_null(io_tls_client_new("/nonexistent/ca.pem", &err));
	assert_non_null(strstr(err.text, "CA file /nonexistent/ca.pem: "));
	assert_null(io_tls_client_new(ca.key, &err));
	assert_null(io_tls_client_new("/nonexistent/ca.pem", NULL));
	t = server_tls();
	assert_true(io_tls_not_after(t).us > io_clock_wall().us);
	assert_true(io_tls_not_after(t).us < io_clock_wall().us + (int64_t)(2 * US_PER_DAY));
	assert_ptr_equal(io_tls_ref(t), t);
	io_tls_unref(t);
	io_tls_unref(t);
	io_tls_unref(NULL);
	t = io_tls_client_new(NULL, NULL);
	assert_non_null(t);
	io_tls_unref(t);
}

/* ---- handshakes that fail ---- */

enum {
	CROWD = 12, /* pairs that shake hands at once */
};

struct crowd {
	struct io_loop *loop;
	struct io_task round;
	struct io_tls *client, *server;
	struct crowd_end {
		struct crowd *crowd;
		struct io_stream *s;
	} ends[2 * CROWD];
	unsigned secured, this_round, most; /* most: in one round */
};

static void crowd_event(void *arg, enum io_stream_event event)
{
	struct crowd_end *e = arg;
	struct crowd *c = e->crowd;

	assert_int_equal(event, IO_STREAM_SECURED);
	if (++c->this_round > c->most)
		c->most = c->this_round;
	if (++c->secured == 2 * CROWD)
		io_loop_stop(c->loop);
}

static void crowd_round(void *arg)
{
	struct crowd *c = arg;

	c->this_round = 0;
	io_task_post(c->loop, &c->round);
}

/* A handshake costs a millisecond and more: what else the loop does has its turn in between. */
static void many_handshakes_share_the_loop(void **state)
{
	struct crowd c = { .loop = io_loop_new(), .client = client_tls(), .server = server_tls() };

	(void)state;
	c.round = (struct io_task){ .run = crowd_round, .arg = &c };
	for (unsigned i = 0; i < 2 * CROWD; i += 2) {
		int fds[2];

		assert_int_equal(
			socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
		for (unsigned k = 0; k < 2; k++) {
			c.ends[i + k].crowd = &c;
			c.ends[i + k].s =
				io_stream_accepted(c.loop, fds[k], crowd_event, &c.ends[i + k]);
		}
		io_stream_tls_server(c.ends[i].s, c.server);
		io_stream_tls_client(c.ends[i + 1].s, c.client, SV("relay.test"));
	}
	io_task_post(c.loop, &c.round);
	io_loop_run(c.loop);
	assert_int_equal(c.secured, 2 * CROWD);
	assert_in_range(c.most, 1, 4);
	for (unsigned i = 0; i < 2 * CROWD; i++)
		io_stream_free(c.ends[i].s);
	io_task_cancel(c.loop, &c.round);
	io_tls_unref(c.client);
	io_tls_unref(c.server);
	io_loop_free(c.loop);
}

static void what_is_no_tls_fails_with_words(void **state)
{
	struct net n;

	(void)state;
	open_raw(&n);
	n.a.tls = server_tls();
	io_stream_tls_server(n.a.s, n.a.tls);
	raw_text(&n, "EHLO plain.test\r\n");
	run_until(&n, a_gone);
	assert_string_equal(n.a.order, "F");
	assert_int_equal(n.a.err.code, RC_TLS);
	assert_non_null(strstr(n.a.err.text, "TLS: "));
	close_net(&n);
}

static void an_end_within_the_handshake_fails_with_words(void **state)
{
	struct net n;

	(void)state;
	for (unsigned server = 0; server < 2; server++) {
		open_raw(&n);
		n.a.tls = server ? server_tls() : client_tls();
		if (server)
			io_stream_tls_server(n.a.s, n.a.tls);
		else
			io_stream_tls_client(n.a.s, n.a.tls, SV("relay.test"));
		assert_int_equal(shutdown(n.raw, SHUT_WR), 0);
		run_until(&n, a_gone);
		assert_string_equal(n.a.order, "F");
		assert_int_equal(n.a.err.code, RC_CLOSED);
		assert_non_null(strstr(n.a.err.text, "closed during the handshake"));
		close_net(&n);
	}
}

static void old_versions_are_refused(void **state)
{
	struct net n;

	(void)state;
	open_pair(&n, true);
	n.a.tls = client_tls();
	SSL_CTX_set_security_level(n.a.tls->ctx, 0);
	assert_int_equal(SSL_CTX_set_min_proto_version(n.a.tls->ctx, TLS1_VERSION), 1);
	at_most(n.a.tls, TLS1_1_VERSION);
	begin_tls_as(&n, "relay.test");
	run_until(&n, both_gone);
	assert_string_equal(n.b.order, "F");
	assert_non_null(strstr(n.b.err.text, "unsupported protocol"));
	close_net(&n);
}

/* ---- sessions ---- */

static void one_visit(struct io_tls *client, struct io_tls *server, const char *host, bool gently)
{
	struct net n;

	open_pair(&n, true);
	n.a.tls = io_tls_ref(client);
	n.b.tls = io_tls_ref(server);
	begin_tls_as(&n, host);
	run_until(&n, both_secured);
	/* In TLS 1.3 the ticket comes with the first bytes. */
	send_text(&n.a, "QUIT\n");
	send_text(&n.b, "221\n");
	run_until(&n, both_have_lines);
	if (gently) {
		io_stream_close_gently(TAKE(n.a.s), US_PER_MIN);
		n.b.free_on = IO_STREAM_EOF;
		run_until(&n, b_gone);
	}
	close_net(&n);
}

static void sessions_are_resumed(void **state)
{
	static const int versions[] = { TLS1_2_VERSION, 0 };

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(versions); i++) {
		struct io_tls *client = client_tls(), *server = server_tls();

		at_most(server, versions[i]);
		one_visit(client, server, "relay.test", true);
		assert_int_equal(SSL_CTX_sess_hits(server->ctx), 0);
		one_visit(client, server, "relay.test", true);
		assert_int_equal(SSL_CTX_sess_hits(server->ctx), 1);
		/* Freed at once, as after a 221. */
		one_visit(client, server, "relay.test", false);
		assert_int_equal(SSL_CTX_sess_hits(server->ctx), 2);
		one_visit(client, server, "relay.test", false);
		assert_int_equal(SSL_CTX_sess_hits(server->ctx), 3);
		/* Another name has a session of its own. */
		one_visit(client, server, "a.pool.test", false);
		assert_int_equal(SSL_CTX_sess_hits(server->ctx), 3);
		assert_int_equal(client->session_count, 2);
		io_tls_unref(client);
		io_tls_unref(server);
	}
}

static void a_server_that_forgot_the_session_is_no_trouble(void **state)
{
	struct io_tls *client = client_tls(), *server = server_tls();

	(void)state;
	one_visit(client, server, "relay.test", false);
	io_tls_unref(server);
	server = server_tls();
	one_visit(client, server, "relay.test", false);
	assert_int_equal(SSL_CTX_sess_hits(server->ctx), 0);
	one_visit(client, server, "relay.test", false);
	assert_int_equal(SSL_CTX_sess_hits(server->ctx), 1);
	io_tls_unref(client);
	io_tls_unref(server);
}

/* ---- bytes ---- */

static void much_goes_both_ways(void **state)
{
	static const int versions[] = { TLS1_2_VERSION, 0 };
	struct net n;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		open_pair(&n, i % 2);
		n.b.tls = server_tls();
		at_most(n.b.tls, versions[i / 2]);
		n.a.to_send = 3 << 20;
		n.b.to_send = 4 << 20;
		n.a.pauses = n.b.pauses = true;
		/* Both are pumped when they are secured. */
		begin_tls_as(&n, "relay.test");
		run_until(&n, all_arrived);
		assert_false(n.a.corrupt || n.b.corrupt);
		assert_true(n.a.counts[IO_STREAM_DRAINED] > 1);
		assert_int_equal(n.a.counts[IO_STREAM_SECURED], 1);
		close_net(&n);
	}
}

static void input_is_bounded(void **state)
{
	struct net n;

	(void)state;
	open_pair(&n, true);
	n.a.to_send = 6 * IO_STREAM_INPUT_MAX + 100;
	n.b.keep_input = true;
	begin_tls_as(&n, "relay.test");
	run_until(&n, b_is_full);
	run_a_moment(&n);
	assert_int_equal(io_stream_input(n.b.s).len, IO_STREAM_INPUT_MAX);
	/* A byte of room, so that OpenSSL is left with the rest of a record. */
	n.b.keep_input = true;
	n.b.corrupt |= io_stream_input(n.b.s).ptr[0] != pattern(0);
	n.b.received = 1;
	io_stream_consume(n.b.s, 1);
	run_a_moment(&n);
	assert_int_equal(io_stream_input(n.b.s).len, IO_STREAM_INPUT_MAX);
	n.b.keep_input = false;
	take_input(&n.b);
	run_until(&n, all_arrived);
	assert_false(n.b.corrupt);
	close_net(&n);
}

static void the_end_of_tls_is_told_once(void **state)
{
	struct net n;

	(void)state;
	for (unsigned gently = 0; gently < 2; gently++) {
		open_pair(&n, true);
		begin_tls_as(&n, "relay.test");
		run_until(&n, both_secured);
		send_text(&n.b, "221\n");
		run_until(&n, a_has_line);
		if (gently)
			io_stream_close_gently(TAKE(n.b.s), US_PER_MIN);
		else
			io_stream_free(TAKE(n.b.s));
		run_until(&n, a_ended);
		run_a_moment(&n);
		assert_string_equal(n.a.order, "SIE");
		assert_int_equal(n.a.counts[IO_STREAM_EOF], 1);
		close_net(&n);
	}
}

static void closing_gently_lets_everything_out(void **state)
{
	struct net n;

	(void)state;
	for (unsigned unread = 0; unread < 2; unread++) {
		open_pair(&n, true);
		begin_tls_as(&n, "relay.test");
		run_until(&n, both_secured);
		io_stream_pause(n.a.s);
		io_stream_pause(n.b.s);
		if (unread)
			send_text(&n.b, "pipelined\n");
		run_a_moment(&n);
		n.a.to_send = 4 * IO_STREAM_OUTPUT_LOW;
		pump(&n.a);
		io_stream_close_gently(TAKE(n.a.s), US_PER_MIN);
		run_a_moment(&n);
		io_stream_resume(n.b.s);
		n.b.free_on = IO_STREAM_EOF;
		run_until(&n, b_gone);
		assert_int_equal(n.b.received, n.a.to_send);
		assert_false(n.b.corrupt);
		assert_int_equal(n.b.counts[IO_STREAM_FAILED], 0);
		close_net(&n);
	}
}

static void a_stream_may_be_freed_in_any_callback(void **state)
{
	static char block[IO_STREAM_OUTPUT_LOW + 1];
	struct net n;

	(void)state;
	for (int event = IO_STREAM_SECURED; event < EVENT_COUNT; event++) {
		for (unsigned gently = 0; gently < 2; gently++) {
			open_pair(&n, true);
			n.b.free_on = event;
			n.b.gently = gently;
			begin_tls_as(&n, event == IO_STREAM_FAILED ? "wrong.test" : "relay.test");
			if (event != IO_STREAM_SECURED && event != IO_STREAM_FAILED) {
				run_until(&n, both_secured);
				assert_int_equal(
					io_stream_write(n.b.s, sv_make(block, sizeof(block))), 0);
				send_text(&n.a, "to be heard\n");
			}
			if (event == IO_STREAM_EOF)
				io_stream_close_gently(TAKE(n.a.s), US_PER_MIN);
			run_until(&n, b_gone);
			assert_int_equal(n.b.counts[event], 1);
			run_a_moment(&n);
			close_net(&n);
		}
	}
}

/* ---- renegotiation ---- */

struct pushy {
	struct net net;
	struct io_watch *watch;
	SSL *ssl;
	bool asked, over;
	unsigned long reason;
};

/* A client of TLS 1.2 that wants a second handshake within the first. */
static void push(void *arg, unsigned events)
{
	struct pushy *p = arg;
	int n, error;

	(void)events;
	ERR_clear_error();
	n = SSL_do_handshake(p->ssl);
	if (n == 1 && !p->asked) {
		p->asked = true;
		must(SSL_renegotiate(p->ssl) == 1);
		n = SSL_do_handshake(p->ssl);
	}
	error = SSL_get_error(p->ssl, n);
	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
		return;
	p->reason = (unsigned long)ERR_GET_REASON(ERR_peek_error());
	p->over = true;
	io_loop_stop(p->net.loop);
}

static void renegotiation_is_refused(void **state)
{
	struct pushy p = { .over = false };
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	(void)state;
	assert_non_null(ctx);
	assert_int_equal(SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION), 1);
	open_raw(&p.net);
	p.net.a.tls = server_tls();
	io_stream_tls_server(p.net.a.s, p.net.a.tls);
	p.ssl = SSL_new(ctx);
	assert_non_null(p.ssl);
	assert_int_equal(SSL_set_fd(p.ssl, p.net.raw), 1);
	SSL_set_connect_state(p.ssl);
	p.watch = io_watch_new(p.net.loop, p.net.raw, IO_READABLE, push, &p);
	assert_non_null(p.watch);
	push(&p, 0);
	io_loop_run(p.net.loop);
	assert_false(p.net.hung);
	assert_true(p.asked && p.over);
	assert_int_equal(p.reason, SSL_R_NO_RENEGOTIATION);
	assert_int_equal(p.net.a.counts[IO_STREAM_SECURED], 1);
	io_watch_free(p.watch);
	SSL_free(p.ssl);
	SSL_CTX_free(ctx);
	close_net(&p.net);
}

static void what_is_made_from_the_same_files_is_the_same(void **state)
{
	struct err err = { 0 };
	struct io_tls *all[] = {
		io_tls_server_new(ca.chain, ca.key, &err),
		io_tls_server_new_profile(ca.chain, ca.key, IO_TLS_LEGACY, &err),
		io_tls_client_new(ca.ca, &err),
		io_tls_client_new(ca.other_ca, &err),
		io_tls_client_new(NULL, &err),
	};
	struct io_tls *again = io_tls_server_new(ca.chain, ca.key, &err);

	(void)state;
	assert_true(io_tls_same(all[0], again));
	for (size_t i = 0; i < COUNT_OF(all); i++)
		for (size_t j = 0; j < COUNT_OF(all); j++)
			assert_int_equal(io_tls_same(all[i], all[j]), i == j);
	for (size_t i = 0; i < COUNT_OF(all); i++)
		io_tls_unref(all[i]);
	io_tls_unref(again);
}

static int open_ca(void **state)
{
	(void)state;
	test_ca_open(&ca);
	return 0;
}

static int close_ca(void **state)
{
	(void)state;
	test_ca_close(&ca);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(injected_commands_are_thrown_away),
		cmocka_unit_test(injected_replies_are_thrown_away),
		cmocka_unit_test(nothing_is_heard_in_the_clear_once_tls_is_planned),
		cmocka_unit_test(output_written_during_the_handshake_follows_it),
		cmocka_unit_test(only_the_right_name_and_authority_will_do),
		cmocka_unit_test(bad_files_are_named),
		cmocka_unit_test(many_handshakes_share_the_loop),
		cmocka_unit_test(what_is_no_tls_fails_with_words),
		cmocka_unit_test(an_end_within_the_handshake_fails_with_words),
		cmocka_unit_test(old_versions_are_refused),
		cmocka_unit_test(sessions_are_resumed),
		cmocka_unit_test(a_server_that_forgot_the_session_is_no_trouble),
		cmocka_unit_test(much_goes_both_ways),
		cmocka_unit_test(input_is_bounded),
		cmocka_unit_test(the_end_of_tls_is_told_once),
		cmocka_unit_test(closing_gently_lets_everything_out),
		cmocka_unit_test(a_stream_may_be_freed_in_any_callback),
		cmocka_unit_test(what_is_made_from_the_same_files_is_the_same),
		cmocka_unit_test(renegotiation_is_refused),
	};

	return cmocka_run_group_tests(tests, open_ca, close_ca);
}
