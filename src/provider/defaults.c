/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/defaults.h"

#include "base/must.h"
#include "base/time.h"

/* Every number with its source; all read on 2026-11-23. */
static const struct provider_defaults defaults[] = {
	[PROVIDER_SUBMISSION] = {
		/* https://learn.microsoft.com/exchange/mail-flow-best-practices/how-to-set-up-a-multifunction-device-or-application-to-send-email-using-microsoft-365-or-office-365
		 * 587 is recommended, STARTTLS must be used, and 465 is not offered. */
		.host = SV_INIT("smtp.office365.com"),
		.port = 587,
		/* https://learn.microsoft.com/exchange/troubleshoot/send-emails/smtp-submission-improvements
		 * Three connections may send at once for a mailbox. People and devices send from the same
		 * mailboxes, so one is left to them. */
		.connections = 2,
		/* The same page: 30 messages a minute, 10,000 recipients a day (24 hours, sliding). */
		.messages_per_minute = 30,
		.recipients_per_day = 10000,
		/* https://learn.microsoft.com/powershell/module/exchange/set-mailbox -RecipientLimits: 500
		 * unless an administrator set 1 to 1000. */
		.recipients_per_message = 500,
		/* EHLO of smtp.office365.com: SIZE 157286400, whatever the mailbox's own limit is. */
		.message_bytes_max = 157286400,
		/* https://github.com/haraka/Haraka/issues/2321: Exchange closed a session at 20:55. */
		.connection_us_max = 15 * US_PER_MIN,
		.idle_us_max = 30 * US_PER_S, /* ours: a slot of three is not held for nothing */
		.null_sender = false,         /* the sender must be the mailbox or one it may send as */
		.needs_login = true,
		.shares_mailbox = true,
		/* https://learn.microsoft.com/exchange/client-developer/legacy-protocols/how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth */
		.app_scope = "/.default",
		.user_scope = "/SMTP.Send",
		/* https://techcommunity.microsoft.com/blog/exchange/4489835 (2026-01-27) */
		.password_ends =
			"Microsoft switches basic authentication (a password at SMTP AUTH) off by "
			"default at the end of December 2026; administrators can switch it on again "
			"until a final date, to be announced in the second half of 2027. Move to "
			"`auth: app` or `auth: user`.",
		.password_end_s = 1798675200, /* 2026-12-31 */
		.is_smtp_auth = true,
		.is_microsoft = true,
		.app_permission = "SMTP.SendAsApp",
		.user_permission = "SMTP.Send",
	},
	[PROVIDER_SMTP] = {
		.port = 587, /* RFC 6409 3.1 */
		.connections = 10,
		.connection_us_max = 15 * US_PER_MIN,
		.idle_us_max = US_PER_MIN, /* RFC 5321 4.5.3.2.7 asks servers for five minutes */
		.null_sender = true,       /* RFC 5321 6.1 */
		.is_any_server = true,
	},
	[PROVIDER_HVE] = {
		/* https://learn.microsoft.com/exchange/mail-flow-best-practices/troubleshoot-high-volume-email-m365
		 * The host, and 50 recipients a message; 10 MB by secondary sources. */
		.host = SV_INIT("smtp.hve.mx.microsoft"),
		.port = 587,
		.connections = 10, /* no limit is known */
		.recipients_per_message = 50,
		.message_bytes_max = 10485760,
		/* Sessions must be shorter than the life that a token has left. */
		.connection_us_max = 10 * US_PER_MIN,
		.idle_us_max = 30 * US_PER_S,
		.null_sender = false,
		.needs_login = true,
		.internal_only = true,
		.own_sender = true, /* 5.7.62, 5.6.241 */
		.app_scope = "/.default",
		.user_scope = "/Mail.Send",
		/* petri.com, High Volume Email (2026): until September 2028. */
		.password_ends = "High Volume Email takes passwords until September 2028. Move to "
				 "`auth: app`.",
		.password_end_s = 1853884800, /* 2028-09-30 */
		/* https://github.com/tarickb/sasl-xoauth2/issues/98: refused at 8.5 minutes left. */
		.token_left_us_min = 20 * US_PER_MIN,
		.needs_account = true,
		/* https://mc.merill.net/message/MC1243552: by the delivered recipient; read on 2026-11-23 */
		.has_cost = true,
		.is_microsoft = true,
		.app_permission = "Mail.Send",
		.user_permission = "Mail.Send",
	},
	[PROVIDER_CONNECTOR] = {
		/* https://learn.microsoft.com/exchange/mail-flow-best-practices/how-to-set-up-a-multifunction-device-or-application-to-send-email-using-microsoft-365-or-office-365
		 * Port 25 only. The limits page of 2026 says 10,000 recipients a day. */
		.port = 25,
		.connections = 10,
		.recipients_per_day = 10000,
		.message_bytes_max = 157286400,
		.connection_us_max = 15 * US_PER_MIN,
		.idle_us_max = US_PER_MIN,
		.null_sender = true,
		.is_connector = true,
		/* NDR table, 4.5.3: 200 recipients of a domain. */
		.recipients_per_domain = 200,
		.knows_relay = true,
		.is_microsoft = true,
	},
	[PROVIDER_DIRECT] = {
		/* The same page: 3,600 messages an hour for a recipient. Kept for all of the door together. */
		.port = 25,
		.recipients_per_hour = 3600,
		.connections = 5,
		.message_bytes_max = 157286400,
		.connection_us_max = 15 * US_PER_MIN,
		.idle_us_max = US_PER_MIN,
		.null_sender = false,
		.internal_only = true,
		.is_connector = true,
		.recipients_per_domain = 200,
		.is_microsoft = true,
	},
	[PROVIDER_GRAPH] = {
		/* https://learn.microsoft.com/graph/throttling-limits: 4 requests at once for a mailbox.
		 * The recipient limits of Exchange Online apply here too; whether 30 messages a minute do
		 * is disputed, so they are kept. */
		.port = 443,
		.connections = 4,
		.messages_per_minute = 30,
		.recipients_per_day = 10000,
		.recipients_per_message = 500,
		.message_bytes_max = 157286400,
		.idle_us_max = US_PER_MIN,
		.null_sender = false,
		.needs_login = true,
		.is_http = true,
		.shares_mailbox = true,
		.app_scope = "/.default",
		.user_scope = "/Mail.Send",
		.is_microsoft = true,
		.app_permission = "Mail.Send",
		.user_permission = "Mail.Send",
	},
	[PROVIDER_GMAIL] = {
		/* https://support.google.com/a/answer/166852: in 24 hours 2,000 messages; 10,000 recipients, of which
		 * 3,000 outside; 3,000 different ones, of which 2,000 outside; 100 in a message by SMTP. Each recipient
		 * is counted as a different one, which is the worst case. */
		.host = SV_INIT("smtp.gmail.com"),
		.port = 587,
		.connections = 2,
		.recipients_per_day = 3000,
		.external_per_day = 2000,
		.messages_per_day = 2000,
		.recipients_per_message = 100,
		.message_bytes_max = 26214400,
		.connection_us_max = 10 * US_PER_MIN,
		.idle_us_max = 30 * US_PER_S,
		.null_sender = false,
		.needs_login = true,
		.app_scope = "/",
		.user_scope = "/",
	},
};
static_assert(COUNT_OF(defaults) == PROVIDER_COUNT, "defaults for every provider");

/*
 * https://learn.microsoft.com/microsoft-365/enterprise/external-domain-name-system-records (MX; GCC High
 * and DoD: office365.us; 21Vianet: partner.outlook.cn), read 2026-11-25.
 */
static const struct sv exchangers[] = { SV_INIT(".protection.outlook.com"),
	SV_INIT(".mx.microsoft"),
	SV_INIT(".office365.us"),
	SV_INIT(".partner.outlook.cn") };

bool provider_is_exchanger(struct sv host)
{
	bool hit = false;

	for (size_t i = 0; i < COUNT_OF(exchangers); i++)
		hit = hit || sv_ends_nocase(host, exchangers[i]);
	return hit;
}

const struct provider_defaults *provider_defaults(enum provider_kind kind)
{
	must(kind < PROVIDER_COUNT);
	return &defaults[kind];
}

enum provider_kind provider_usual(void)
{
	return PROVIDER_SUBMISSION;
}

enum provider_kind provider_unknown(void)
{
	return PROVIDER_SMTP;
}

enum {
	GROUPS = 4,
	GROUP_LEN = 4
};

bool provider_app_password_unspace(struct sv password, char out[17])
{
	struct sv v = sv_trim(password);
	size_t at = 0;

	/* Looked at first and copied then: a refused password leaves nothing in *out. */
	if (v.len != GROUPS * GROUP_LEN + GROUPS - 1)
		return false;
	for (size_t i = 0; i < v.len; i++) {
		bool gap = i % (GROUP_LEN + 1) == GROUP_LEN;

		if (gap ? v.ptr[i] != ' ' : v.ptr[i] < 'a' || v.ptr[i] > 'z')
			return false;
	}
	for (size_t i = 0; i < v.len; i++)
		if (v.ptr[i] != ' ')
			out[at++] = v.ptr[i];
	out[at] = '\0';
	return true;
}
