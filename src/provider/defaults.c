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
	},
	[PROVIDER_SMTP] = {
		.port = 587, /* RFC 6409 3.1 */
		.connections = 10,
		.connection_us_max = 15 * US_PER_MIN,
		.idle_us_max = US_PER_MIN, /* RFC 5321 4.5.3.2.7 asks servers for five minutes */
		.null_sender = true,       /* RFC 5321 6.1 */
	},
};
static_assert(COUNT_OF(defaults) == PROVIDER_COUNT, "defaults for every provider");

const struct provider_defaults *provider_defaults(enum provider_kind kind)
{
	must(kind < PROVIDER_COUNT);
	return &defaults[kind];
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
