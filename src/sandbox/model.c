/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/model.h"

#include "base/htable.h"
#include "base/limits.h"
#include "base/must.h"
#include "mail/address.h"
#include "sandbox/model_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	REFUSALS_UNTIL_THROTTLED = 10
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
		.tenant = { .licences = 1, .age_days = PROVIDER_AGE_UNKNOWN },
		.onmicrosoft_per_day = (uint32_t)provider_limit(PROVIDER_LIMIT_ONMICROSOFT)->amount,
		.direct_per_hour = (uint32_t)provider_limit(PROVIDER_LIMIT_DIRECT_HOUR)->amount,
		.hve_cents_per_million = 4200,
	};
	m->switches.tenant_auth = true;
	m->switches.basic_auth = true;
	return m;
}

static void mailbox_free(struct sandbox_mailbox *b)
{
	for (size_t i = 0; i < b->send_as_count; i++)
		free(b->send_as[i]);
	free(b->send_as);
	free(b->address);
	free(b->password);
	sandbox_window_deinit(&b->messages);
	sandbox_window_deinit(&b->recipients);
	free(b);
}

void sandbox_model_free(struct sandbox_model *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->mailbox_count; i++)
		mailbox_free(m->mailboxes[i]);
	free(m->mailboxes);
	htable_deinit(&m->by_address);
	sandbox_count_deinit(&m->count);
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
	char key[LIMIT_ADDRESS + 1];
	struct sandbox_mailbox *b;

	address = sv_head(address, sizeof(key) - 1);
	for (size_t i = 0; i < address.len; i++)
		key[i] = ascii_lower(address.ptr[i]);
	b = htable_get(&m->by_address, sv_make(key, address.len));
	if (b || !make)
		return b;
	b = xcalloc(1, sizeof(*b));
	b->address = sv_dup(sv_make(key, address.len));
	if (m->mailbox_count == m->mailbox_cap) {
		m->mailbox_cap = m->mailbox_cap ? m->mailbox_cap * 2 : 16;
		m->mailboxes = xrealloc(m->mailboxes, m->mailbox_cap * sizeof(*m->mailboxes));
	}
	m->mailboxes[m->mailbox_count++] = b;
	htable_put(&m->by_address, sv_from(b->address), b);
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

void sandbox_say(struct sandbox_reply *r, uint16_t code, const char *enhanced, const char *fmt, ...)
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
		sandbox_say(r,
			535,
			"5.7.139",
			"Authentication unsuccessful, SmtpClientAuthentication is disabled for the "
			"Mailbox. Visit https://aka.ms/smtp_auth_disabled for more information.");
		return false;
	}
	if (!m->switches.tenant_auth && !(b && b->smtp_auth == SANDBOX_ON)) {
		sandbox_say(r,
			535,
			"5.7.139",
			"Authentication unsuccessful, SmtpClientAuthentication is disabled for the "
			"Tenant. Visit https://aka.ms/smtp_auth_disabled for more information.");
		return false;
	}
	if (m->switches.security_defaults && !token) {
		sandbox_say(r,
			535,
			"5.7.139",
			"Authentication unsuccessful, user is locked by your organization's "
			"security defaults policy. Contact your administrator.");
		return false;
	}
	if (!m->switches.basic_auth && !token) {
		sandbox_say(r,
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
	if ((b && b->missing) || !right_password(m, b, password) ||
		address_parse(user, 0, &parsed) != 0) {
		sandbox_say(out_reply,
			535,
			"5.7.139",
			"Authentication unsuccessful, the user credentials were incorrect.");
		return NULL;
	}
	sandbox_say(out_reply, 235, "2.7.0", "Authentication successful");
	return sandbox_model_mailbox(m, user, true);
}

struct sandbox_mailbox *sandbox_model_sign_in_token(struct sandbox_model *m, struct sv user,
	bool token_is_good, struct sandbox_reply *out_reply)
{
	struct sandbox_mailbox *b = sandbox_model_mailbox(m, user, false);
	struct address parsed;

	if (!token_is_good || (b && b->missing) || address_parse(user, 0, &parsed) != 0) {
		sandbox_say(out_reply, 535, "5.7.3", "Authentication unsuccessful");
		return NULL;
	}
	if (!may_sign_in(m, b, true, out_reply))
		return NULL;
	sandbox_say(out_reply, 235, "2.7.0", "Authentication successful");
	return sandbox_model_mailbox(m, user, true);
}

struct sandbox_mailbox *sandbox_model_sign_in_hve(struct sandbox_model *m, struct sv user,
	struct sv password, struct sandbox_reply *out_reply)
{
	const struct sandbox_mailbox *b = sandbox_model_mailbox(m, user, false);
	struct address parsed;

	if (m->switches.security_defaults || !m->switches.basic_auth) {
		sandbox_say(out_reply,
			535,
			"5.7.139",
			"Authentication unsuccessful, the organization configuration doesn't allow "
			"this authentication request.");
		return NULL;
	}
	if (!right_password(m, b, password) || address_parse(user, 0, &parsed) != 0) {
		sandbox_say(out_reply,
			535,
			"5.7.139",
			"Authentication unsuccessful, the user credentials were incorrect.");
		return NULL;
	}
	sandbox_say(out_reply, 235, "2.7.0", "Authentication successful");
	return sandbox_model_mailbox(m, user, true);
}

/* ---- end of DATA ---- */

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
		sandbox_say(r, 550, "5.1.8", "Access denied, bad outbound sender AS(42004)");
		return true;
	}
	if (b->refusals >= REFUSALS_UNTIL_THROTTLED) {
		sandbox_model_broken(m,
			SANDBOX_LIMIT_SEND_AS,
			sv_from(b->address),
			s->now_us,
			b->refusals,
			REFUSALS_UNTIL_THROTTLED);
		sandbox_say(r,
			550,
			"5.2.252",
			"Sender throttled due to continuous send as denied errors");
		return true;
	}
	if (!may_send_as(b, from) || !may_send_as(b, s->sender)) {
		b->refusals++;
		sandbox_say(r,
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
		sandbox_say(r,
			554,
			"5.2.2",
			"mailbox full; "
			"STOREDRV.Submission.Exception:QuotaExceededException."
			"MapiExceptionShutoffQuotaExceeded");
		return true;
	}
	if (s->bytes > m->limits.message_bytes_max) {
		sandbox_say(r, 552, "5.3.4", "Message size exceeds fixed maximum message size");
		return true;
	}
	return false;
}

void sandbox_model_submit(struct sandbox_model *m, const struct sandbox_submission *s,
	struct sandbox_reply *out_reply)
{
	struct sandbox_mailbox *b = s->mailbox;

	if (!b) {
		sandbox_say(out_reply, 530, "5.7.57", "Client not authenticated to send mail.");
		return;
	}
	if ((!s->relay && store_refuses(m, s, out_reply)) || sandbox_count_refuses(m, s, out_reply))
		return;
	sandbox_count(m, s);
	b->accepted++;
	b->refusals = 0;
	/* The usual answer, without the work of a format: the simulator asks ten million times. */
	out_reply->code = 250;
	memcpy(out_reply->enhanced, "2.0.0", sizeof("2.0.0"));
	out_reply->text[0] = '\0';
}
