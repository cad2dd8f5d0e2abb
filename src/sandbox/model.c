/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/model.h"

#include "base/must.h"
#include "mail/address.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* A violation is a line in a report: past this many, more add nothing. */
enum {
	VIOLATIONS_MAX = 10000,
	REFUSALS_UNTIL_THROTTLED = 10
};

struct sandbox_model {
	struct sandbox_limits limits;
	struct sandbox_switches switches;
	char *open_password;
	struct sandbox_mailbox **mailboxes;
	size_t mailbox_count;
	struct sandbox_violation *violations;
	size_t violation_count;
};

struct sandbox_model *sandbox_model_new(void)
{
	struct sandbox_model *m = xcalloc(1, sizeof(*m));

	m->limits = (struct sandbox_limits){
		.messages_per_minute = 30,
		.connections = 3,
		.recipients_per_day = 10000,
		.recipients_per_message = 500,
		.graph_connections = 4,
		.graph_requests = 10000,
		.graph_bytes = 150U << 20,
		.message_bytes_max = UINT64_C(35) << 20,
	};
	m->switches.tenant_auth = true;
	m->switches.basic_auth = true;
	return m;
}

static void forget_mailbox(struct sandbox_mailbox *b)
{
	b->message_count = 0;
	b->recipient_count = 0;
	b->accepted = 0;
	b->refusals = 0;
}

static void mailbox_free(struct sandbox_mailbox *b)
{
	for (size_t i = 0; i < b->send_as_count; i++)
		free(b->send_as[i]);
	free(b->send_as);
	free(b->address);
	free(b->password);
	free(b->message_at);
	free(b->recipient_at);
	free(b);
}

void sandbox_model_free(struct sandbox_model *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->mailbox_count; i++)
		mailbox_free(m->mailboxes[i]);
	free(m->mailboxes);
	free(m->violations);
	free(m->open_password);
	free(m);
}

struct sandbox_limits *sandbox_model_limits(struct sandbox_model *m)
{
	return &m->limits;
}

struct sandbox_switches *sandbox_model_switches(struct sandbox_model *m)
{
	return &m->switches;
}

void sandbox_model_set_open_password(struct sandbox_model *m, struct sv password)
{
	free(m->open_password);
	m->open_password = password.len ? sv_dup(password) : NULL;
}

struct sandbox_mailbox *sandbox_model_mailbox(struct sandbox_model *m, struct sv address, bool make)
{
	struct sandbox_mailbox *b;

	for (size_t i = 0; i < m->mailbox_count; i++) {
		if (address_eq(sv_from(m->mailboxes[i]->address), address))
			return m->mailboxes[i];
	}
	if (!make)
		return NULL;
	b = xcalloc(1, sizeof(*b));
	b->address = sv_dup(address);
	for (char *c = b->address; *c; c++)
		*c = ascii_lower(*c);
	m->mailboxes = xrealloc(m->mailboxes, (m->mailbox_count + 1) * sizeof(*m->mailboxes));
	m->mailboxes[m->mailbox_count++] = b;
	return b;
}

size_t sandbox_model_mailbox_count(const struct sandbox_model *m)
{
	return m->mailbox_count;
}

struct sandbox_mailbox *sandbox_model_mailbox_at(struct sandbox_model *m, size_t index)
{
	must(index < m->mailbox_count);
	return m->mailboxes[index];
}

void sandbox_mailbox_set_password(struct sandbox_mailbox *b, struct sv password)
{
	free(b->password);
	b->password = sv_dup(password);
}

void sandbox_mailbox_allow_send_as(struct sandbox_mailbox *b, struct sv pattern)
{
	b->send_as = xrealloc(b->send_as, (b->send_as_count + 1) * sizeof(*b->send_as));
	b->send_as[b->send_as_count++] = sv_dup(pattern);
}

static void say(struct sandbox_reply *r, uint16_t code, const char *enhanced, const char *fmt, ...)
	PRINTF_LIKE(4, 5);

static void say(struct sandbox_reply *r, uint16_t code, const char *enhanced, const char *fmt, ...)
{
	va_list args;

	r->code = code;
	(void)snprintf(r->enhanced, sizeof(r->enhanced), "%s", enhanced);
	va_start(args, fmt);
	(void)vsnprintf(r->text, sizeof(r->text), fmt, args);
	va_end(args);
}

/* ---- AUTH ---- */

static bool may_sign_in(const struct sandbox_model *m, const struct sandbox_mailbox *b, bool token,
	struct sandbox_reply *r)
{
	if (b && b->smtp_auth == SANDBOX_OFF) {
		say(r,
			535,
			"5.7.139",
			"Authentication unsuccessful, SmtpClientAuthentication is disabled for the "
			"Mailbox. Visit https://aka.ms/smtp_auth_disabled for more information.");
		return false;
	}
	if (!m->switches.tenant_auth && !(b && b->smtp_auth == SANDBOX_ON)) {
		say(r,
			535,
			"5.7.139",
			"Authentication unsuccessful, SmtpClientAuthentication is disabled for the "
			"Tenant. Visit https://aka.ms/smtp_auth_disabled for more information.");
		return false;
	}
	if (m->switches.security_defaults && !token) {
		say(r,
			535,
			"5.7.139",
			"Authentication unsuccessful, user is locked by your organization's "
			"security defaults policy. Contact your administrator.");
		return false;
	}
	if (!m->switches.basic_auth && !token) {
		say(r,
			535,
			"5.7.139",
			"Authentication unsuccessful, basic authentication is disabled.");
		return false;
	}
	return true;
}

static bool right_password(
	const struct sandbox_model *m, const struct sandbox_mailbox *b, struct sv password)
{
	const char *wanted = b && b->password ? b->password : m->open_password;

	return wanted && sv_eq(password, sv_from(wanted));
}

struct sandbox_mailbox *sandbox_model_sign_in(struct sandbox_model *m, struct sv user,
	struct sv password, struct sandbox_reply *out_reply)
{
	struct sandbox_mailbox *b = sandbox_model_mailbox(m, user, false);
	struct address parsed;

	if (!may_sign_in(m, b, false, out_reply))
		return NULL;
	if (!right_password(m, b, password) || address_parse(user, 0, &parsed) != 0) {
		say(out_reply,
			535,
			"5.7.139",
			"Authentication unsuccessful, the user credentials were incorrect.");
		return NULL;
	}
	say(out_reply, 235, "2.7.0", "Authentication successful");
	return sandbox_model_mailbox(m, user, true);
}

struct sandbox_mailbox *sandbox_model_sign_in_token(struct sandbox_model *m, struct sv user,
	bool token_is_good, struct sandbox_reply *out_reply)
{
	struct sandbox_mailbox *b = sandbox_model_mailbox(m, user, false);
	struct address parsed;

	if (!token_is_good || address_parse(user, 0, &parsed) != 0) {
		say(out_reply, 535, "5.7.3", "Authentication unsuccessful");
		return NULL;
	}
	if (!may_sign_in(m, b, true, out_reply))
		return NULL;
	say(out_reply, 235, "2.7.0", "Authentication successful");
	return sandbox_model_mailbox(m, user, true);
}

struct sandbox_mailbox *sandbox_model_sign_in_hve(struct sandbox_model *m, struct sv user,
	struct sv password, struct sandbox_reply *out_reply)
{
	const struct sandbox_mailbox *b = sandbox_model_mailbox(m, user, false);
	struct address parsed;

	if (m->switches.security_defaults || !m->switches.basic_auth) {
		say(out_reply,
			535,
			"5.7.139",
			"Authentication unsuccessful, the organization configuration doesn't allow "
			"this authentication request.");
		return NULL;
	}
	if (!right_password(m, b, password) || address_parse(user, 0, &parsed) != 0) {
		say(out_reply,
			535,
			"5.7.139",
			"Authentication unsuccessful, the user credentials were incorrect.");
		return NULL;
	}
	say(out_reply, 235, "2.7.0", "Authentication successful");
	return sandbox_model_mailbox(m, user, true);
}

/* ---- end of DATA ---- */

static void expire(uint64_t *at, size_t *count, uint64_t now_us, uint64_t window_us)
{
	size_t old = 0;

	while (old < *count && at[old] + window_us <= now_us)
		old++;
	if (old) {
		memmove(at, at + old, (*count - old) * sizeof(*at));
		*count -= old;
	}
}

static void count_at(uint64_t **at, size_t *count, size_t *cap, uint64_t now_us)
{
	if (*count == *cap) {
		*cap = *cap ? *cap * 2 : 64;
		*at = xrealloc(*at, *cap * sizeof(**at));
	}
	(*at)[(*count)++] = now_us;
}

void sandbox_model_broken(struct sandbox_model *m, const char *limit, struct sv mailbox,
	uint64_t at_us, uint64_t used, uint32_t allowed)
{
	struct sandbox_violation *v;

	if (m->violation_count == VIOLATIONS_MAX)
		return;
	m->violations = xrealloc(m->violations, (m->violation_count + 1) * sizeof(*m->violations));
	v = &m->violations[m->violation_count++];
	*v = (struct sandbox_violation){
		.limit = limit,
		.at_us = at_us,
		.used = used > UINT32_MAX ? UINT32_MAX : (uint32_t)used,
		.allowed = allowed,
	};
	(void)snprintf(v->mailbox,
		sizeof(v->mailbox),
		"%.*s",
		SV_ARG(sv_head(mailbox, sizeof(v->mailbox) - 1)));
}

static void broken(struct sandbox_model *m, const struct sandbox_submission *s, const char *limit,
	uint64_t used, uint32_t allowed)
{
	sandbox_model_broken(m, limit, sv_from(s->mailbox->address), s->now_us, used, allowed);
}

static bool may_send_as(const struct sandbox_mailbox *b, struct sv from)
{
	if (from.len == 0 || address_eq(sv_from(b->address), from))
		return true;
	for (size_t i = 0; i < b->send_as_count; i++) {
		if (address_matches(sv_from(b->send_as[i]), from))
			return true;
	}
	return false;
}

/* What the store refuses for the message's or the mailbox's own sake. */
static bool store_refuses(
	struct sandbox_model *m, const struct sandbox_submission *s, struct sandbox_reply *r)
{
	struct sandbox_mailbox *b = s->mailbox;
	struct sv from = s->from.len ? s->from : s->sender;

	if (b->blocked) {
		say(r, 550, "5.1.8", "Access denied, bad outbound sender AS(42004)");
		return true;
	}
	if (b->refusals >= REFUSALS_UNTIL_THROTTLED) {
		broken(m, s, "send-as-refusals", b->refusals, REFUSALS_UNTIL_THROTTLED);
		say(r, 550, "5.2.252", "Sender throttled due to continuous send as denied errors");
		return true;
	}
	if (!may_send_as(b, from) || !may_send_as(b, s->sender)) {
		b->refusals++;
		say(r,
			554,
			"5.2.252",
			"SendAsDenied; %s not allowed to send as %.*s; "
			"STOREDRV.Submission.Exception:SendAsDeniedException."
			"MapiExceptionSendAsDenied; Failed to process message due to a permanent "
			"exception with message [BeginDiagnosticData]Cannot submit message.",
			b->address,
			(int)(from.len < 100 ? from.len : 100),
			from.ptr);
		return true;
	}
	if (b->full || m->switches.all_full) {
		say(r,
			554,
			"5.2.2",
			"mailbox full; "
			"STOREDRV.Submission.Exception:QuotaExceededException."
			"MapiExceptionShutoffQuotaExceeded");
		return true;
	}
	if (s->bytes > m->limits.message_bytes_max) {
		say(r, 552, "5.3.4", "Message size exceeds fixed maximum message size");
		return true;
	}
	return false;
}

static bool limit_refuses(
	struct sandbox_model *m, const struct sandbox_submission *s, struct sandbox_reply *r)
{
	struct sandbox_mailbox *b = s->mailbox;
	const struct sandbox_limits *l = &m->limits;

	if (s->counting == SANDBOX_COUNT_NONE)
		return false;
	expire(b->message_at, &b->message_count, s->now_us, US_PER_MIN);
	expire(b->recipient_at, &b->recipient_count, s->now_us, US_PER_DAY);
	if (l->recipients_per_message && s->recipients > l->recipients_per_message) {
		broken(m, s, "recipients-per-message", s->recipients, l->recipients_per_message);
		say(r, 550, "5.5.3", "Too many recipients");
		return true;
	}
	if (s->counting == SANDBOX_COUNT_ALL && l->connections && b->sending > l->connections) {
		broken(m, s, "connections", b->sending, l->connections);
		say(r,
			432,
			"4.3.2",
			"Concurrent connections limit exceeded. Visit "
			"https://aka.ms/concurrent_sending for more information.");
		return true;
	}
	if (s->counting == SANDBOX_COUNT_ALL && l->messages_per_minute &&
		b->message_count + 1 > l->messages_per_minute) {
		broken(m, s, "messages-per-minute", b->message_count + 1, l->messages_per_minute);
		say(r,
			451,
			"4.4.2",
			"Message submission rate for this client has exceeded the configured "
			"limit");
		return true;
	}
	if (l->recipients_per_day && b->recipient_count + s->recipients > l->recipients_per_day) {
		broken(m,
			s,
			"recipients-per-day",
			b->recipient_count + s->recipients,
			l->recipients_per_day);
		say(r,
			554,
			"5.2.0",
			"STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed to "
			"process message due to a permanent exception with message The message "
			"can't be submitted because the sender's submission quota was exceeded.");
		return true;
	}
	return false;
}

void sandbox_model_submit(struct sandbox_model *m, const struct sandbox_submission *s,
	struct sandbox_reply *out_reply)
{
	struct sandbox_mailbox *b = s->mailbox;

	if (!b) {
		say(out_reply, 530, "5.7.57", "Client not authenticated to send mail.");
		return;
	}
	if ((!s->relay && store_refuses(m, s, out_reply)) || limit_refuses(m, s, out_reply))
		return;
	if (s->counting == SANDBOX_COUNT_ALL)
		count_at(&b->message_at, &b->message_count, &b->message_cap, s->now_us);
	for (uint32_t i = 0; s->counting != SANDBOX_COUNT_NONE && i < s->recipients; i++)
		count_at(&b->recipient_at, &b->recipient_count, &b->recipient_cap, s->now_us);
	b->accepted++;
	b->refusals = 0;
	say(out_reply, 250, "2.0.0", "%s", "");
}

size_t sandbox_model_violation_count(const struct sandbox_model *m)
{
	return m->violation_count;
}

const struct sandbox_violation *sandbox_model_violation(const struct sandbox_model *m, size_t index)
{
	must(index < m->violation_count);
	return &m->violations[index];
}

void sandbox_model_forget(struct sandbox_model *m)
{
	for (size_t i = 0; i < m->mailbox_count; i++)
		forget_mailbox(m->mailboxes[i]);
	m->violation_count = 0;
}
