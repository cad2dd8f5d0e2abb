/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "inbound/inbound_priv.h"
#include "io/log.h"

#include <stdlib.h>

/*
 * Signing in. Passwords are checked in the worker pool; a wrong one is answered late, later each time,
 * and after the third the connection is closed. The log line is one that fail2ban can read.
 */
enum {
	FAILURES_MAX = 3
};
#define FAILURE_DELAY_US US_PER_S

static void say(struct session *s, const struct answer *a)
{
	s->asked = SMTP_SERVER_EV_COUNT;
	smtp_server_answer_auth(s->smtp, session_now(s), a->code, a->enhanced, sv_from(a->text));
	session_pump(s);
}

static void delay_over(void *arg)
{
	struct session *s = arg;

	say(s, &s->held);
}

void session_auth_init(struct session *s)
{
	io_timer_init(&s->auth_delay, s->in->loop, delay_over, s);
}

static void fail(struct session *s, struct sv user)
{
	s->auth_failures++;
	log_event(LOG_WARN,
		"inbound",
		SV(""),
		"authentication failed",
		(const struct log_field[]){ LOG_F("client", io_stream_peer(s->stream)),
			LOG_F("ip", sv_from(s->peer_key)),
			LOG_F("user", user),
			LOG_F("listener", s->listener->name),
			LOG_F("auth", SV("failed")) },
		5);
	if (s->auth_failures >= FAILURES_MAX)
		answer_set(&s->held, 421, "4.7.0", "Too many failed sign-ins, goodbye");
	else
		answer_set(&s->held, 535, "5.7.8", "Authentication failed");
	io_timer_start(
		&s->auth_delay, mono_add(session_now(s), s->auth_failures * FAILURE_DELAY_US));
}

static void succeed(struct session *s, struct sv user)
{
	struct answer a;

	s->account = conf_user(s->conf, user);
	if (!s->account) {
		/* Its verifier was loaded with a newer configuration than this session's. */
		fail(s, user);
		return;
	}
	free(s->user);
	s->user = sv_dup(user);
	/* Who has a password is that user, wherever it comes from. */
	s->device = NULL;
	answer_set(&a, 235, "2.7.0", "Authentication successful");
	say(s, &a);
}

static void checked(void *arg, bool ok)
{
	struct session *s = arg;
	char *user = TAKE(s->check_user);

	s->check = NULL;
	if (ok)
		succeed(s, sv_from(user));
	else
		fail(s, sv_from(user));
	free(user);
}

static void check_password(struct session *s, const struct smtp_server_event *e)
{
	struct answer busy;

	/* Nobody may act for somebody else. */
	if (e->authzid.len && !sv_eq(e->authzid, e->user)) {
		fail(s, e->user);
		return;
	}
	free(s->check_user);
	s->check_user = sv_dup(e->user);
	if (identity_users_check(s->in->users, e->user, e->password, checked, s, &s->check) == 0)
		return;
	answer_set(&busy, 454, "4.7.0", "Too many sign-ins at once, try again");
	say(s, &busy);
}

void session_auth_event(struct session *s, const struct smtp_server_event *e)
{
	struct smtp_scram_verifier v;

	if (e->kind == SMTP_SERVER_EV_AUTH_PASSWORD) {
		check_password(s, e);
	} else if (e->kind == SMTP_SERVER_EV_AUTH_SCRAM) {
		(void)identity_users_verifier(s->in->users, e->user, &v);
		smtp_server_answer_scram(s->smtp, session_now(s), &v);
		secret_wipe(&v, sizeof(v));
	} else if (e->kind == SMTP_SERVER_EV_AUTH_DONE && e->auth_ok) {
		succeed(s, e->user);
	} else {
		fail(s, e->user);
	}
}
