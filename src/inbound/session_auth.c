/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "base/text.h"
#include "inbound/inbound_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Signing in. Passwords are checked in the worker pool; a wrong one is answered late, later each time,
 * and after the third the connection is closed.
 */
enum {
	FAILURES_MAX = 3
};
#define FAILURE_DELAY_US US_PER_S
/* RFC 4422 3.4.1: an authzid is honoured or refused; here nobody acts for another. */
static const char for_another_text[] = "it wants to act for another user";

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

static const struct conf_user *user_in_other_case(const struct session *s, struct sv name)
{
	size_t count = 0;
	const struct conf_user *users = conf_users(s->conf, &count);

	for (size_t i = 0; i < count; i++) {
		if (sv_eq_nocase(users[i].name, name))
			return &users[i];
	}
	return NULL;
}

/* For the administrator only: the client is told nothing that helps to guess. */
static void reason_of(const struct session *s, struct sv user, char out[256])
{
	const struct conf_user *other = user_in_other_case(s, user);

	if (!text_is_utf8(user))
		(void)snprintf(out,
			256,
			"the user name is not UTF-8: the client sends Latin-1 or the like");
	else if (conf_user(s->conf, user) && s->password_not_utf8)
		(void)snprintf(out,
			256,
			"the password is not UTF-8: the client sends Latin-1 or the like; a "
			"password of ASCII letters works everywhere");
	else if (conf_user(s->conf, user))
		(void)snprintf(out, 256, "wrong password");
	else if (other)
		(void)snprintf(out,
			256,
			"there is no such user, but '%.*s': upper and lower case differ",
			SV_ARG(sv_head(other->name, 100)));
	else
		(void)snprintf(out, 256, "there is no such user");
}

/* A wrong one is answered late, later each time. */
static void answer_late(struct session *s)
{
	s->auth_failures++;
	if (s->auth_failures >= FAILURES_MAX)
		answer_set(&s->held, 421, "4.7.0", "Too many failed sign-ins, goodbye");
	io_timer_start(
		&s->auth_delay, mono_add(session_now(s), s->auth_failures * FAILURE_DELAY_US));
}

/* Nothing is checked, so right and wrong passwords hear the same. */
static bool is_blocked(struct session *s, struct sv user)
{
	unsigned minutes;

	if (!failures_block(s, user, &minutes))
		return false;
	s->in->sign_ins_blocked++;
	log_auth_failed(s, user, "not checked, too many sign-ins from this address have failed");
	answer_set(&s->held,
		454,
		"4.7.0",
		"Too many failed sign-ins from your address, try again in %u minute%s",
		minutes,
		minutes == 1 ? "" : "s");
	answer_late(s);
	return true;
}

static void fail(struct session *s, struct sv user, const char *why)
{
	char reason[256];

	failures_note(s, user, false);
	s->in->sign_ins_failed++;
	if (!why)
		reason_of(s, user, reason);
	log_auth_failed(s, user, why ? why : reason);
	if (s->password_not_utf8 || !text_is_utf8(user))
		answer_set(&s->held,
			535,
			"5.7.8",
			"Authentication failed: the name or the password is not UTF-8");
	else
		answer_set(&s->held, 535, "5.7.8", "Authentication failed");
	answer_late(s);
}

static void succeed(struct session *s, struct sv user)
{
	struct answer a;

	s->account = conf_user(s->conf, user);
	/* A reload since the session began knows another set: it must be in both. */
	if (!s->account || !conf_user(s->in->conf, user)) {
		s->account = NULL;
		fail(s, user, "the users have changed since this session began");
		return;
	}
	failures_note(s, user, true);
	if (!s->signed_in)
		principal_add_user(&s->payer, user);
	s->signed_in = true;
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
	limit_payer_give(&s->payer, LIMIT_RESOURCE_CHECKS, 1);
	if (ok)
		succeed(s, sv_from(user));
	else
		fail(s, sv_from(user), NULL);
	free(user);
}

static void check_password(struct session *s, const struct smtp_server_event *e)
{
	struct identity_ask ask;
	struct answer busy;

	/* Nobody may act for somebody else. */
	if (e->authzid.len && !sv_eq(e->authzid, e->user)) {
		fail(s, e->user, for_another_text);
		return;
	}
	s->password_not_utf8 = !text_is_utf8(e->password);
	free(s->check_user);
	s->check_user = sv_dup(e->user);
	ask = (struct identity_ask){ .name = e->user,
		.password = e->password,
		.peer = limit_account_key(s->payer.accounts[0]),
		.late = failures_late(s, e->user) };
	if (limit_payer_take(&s->payer, LIMIT_RESOURCE_CHECKS, 1) == LIMIT_ANSWER_YES) {
		if (identity_users_check(s->in->users, &ask, checked, s, &s->check) == 0)
			return;
		limit_payer_give(&s->payer, LIMIT_RESOURCE_CHECKS, 1);
	}
	answer_set(&busy, 454, "4.7.0", "Too many sign-ins at once, try again");
	say(s, &busy);
}

void session_auth_event(struct session *s, const struct smtp_server_event *e)
{
	struct smtp_scram_verifier v;

	s->mechanism = e->mechanism.ptr;
	s->password_not_utf8 = false;
	if ((e->kind == SMTP_SERVER_EV_AUTH_PASSWORD || e->kind == SMTP_SERVER_EV_AUTH_SCRAM) &&
		is_blocked(s, e->user))
		return;
	if (e->kind == SMTP_SERVER_EV_AUTH_PASSWORD) {
		check_password(s, e);
	} else if (e->kind == SMTP_SERVER_EV_AUTH_SCRAM) {
		s->for_another = e->authzid.len && !sv_eq(e->authzid, e->user);
		(void)identity_users_verifier(s->in->users, e->user, &v);
		smtp_server_answer_scram(s->smtp, session_now(s), &v);
		secret_wipe(&v, sizeof(v));
	} else if (e->kind == SMTP_SERVER_EV_AUTH_DONE && e->auth_ok && s->for_another) {
		fail(s, e->user, for_another_text);
	} else if (e->kind == SMTP_SERVER_EV_AUTH_DONE && e->auth_ok) {
		succeed(s, e->user);
	} else {
		fail(s, e->user, NULL);
	}
}
