/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/reply_priv.h"

/*
 * Limits of Exchange Online. Its store says 5xx to limits that clear with time: those park, they never
 * bounce. Codes are overloaded (5.2.0, 5.2.2, 5.2.252), hence the texts.
 */

#define CHECKED "2026-11-23"
#define DEVICES                                                          \
	"https://learn.microsoft.com/exchange/mail-flow-best-practices/" \
	"fix-issues-with-printers-scanners-and-lob-applications-that-send-email-using-off"
#define STORE                                                            \
	"https://learn.microsoft.com/exchange/troubleshoot/send-emails/" \
	"smtp-submission-improvements"
#define CONTINUOUS                                                       \
	"https://learn.microsoft.com/exchange/mail-flow-best-practices/" \
	"continuous-error-throttling-smtp-auth-submissions"
#define NDR                                                                     \
	"https://learn.microsoft.com/troubleshoot/exchange/email-delivery/ndr/" \
	"non-delivery-reports-in-exchange-online"
#define TENANT_LIMIT                                         \
	"https://techcommunity.microsoft.com/blog/exchange/" \
	"introducing-exchange-online-tenant-outbound-email-limits/4372797"
#define CONCURRENT "https://aka.ms/concurrent_sending"
#define MOERA                                                \
	"https://techcommunity.microsoft.com/blog/exchange/" \
	"limiting-onmicrosoft-domain-usage-for-sending-emails/4446167"
#define SEEN_LONG "https://github.com/haraka/Haraka/issues/2321"

static const struct provider_row rows[] = {
	{ .on = { .code = 432,
		  .enhanced = "4.3.2",
		  .text = "Concurrent connections limit exceeded",
		  .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_RETRY,
		.scope = VERDICT_SCOPE_MAILBOX_WINDOW,
		.nature = VERDICT_NATURE_QUOTA,
		.retry_after_us = 10 * US_PER_S,
		.cause = "too-many-connections",
		.summary = "More than three connections send from this mailbox at once, ours and "
			   "other devices together. It is tried again; if this stays, lower "
			   "`connections` of the mailbox.",
		.source = CONCURRENT,
		.checked = CHECKED },
	{ .on = { .code = 432,
		  .enhanced = "4.3.2",
		  .text = "sender thread limit exceeded",
		  .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_RETRY,
		.scope = VERDICT_SCOPE_MAILBOX_WINDOW,
		.nature = VERDICT_NATURE_QUOTA,
		.retry_after_us = 10 * US_PER_S,
		.cause = "too-many-connections",
		.summary = "More than three connections send from this mailbox at once, ours and "
			   "other devices together. It is tried again; if this stays, lower "
			   "`connections` of the mailbox.",
		.source = STORE,
		.checked = CHECKED },
	{ .on = { .code = 432,
		  .enhanced = "4.3.2",
		  .text = "recipient thread limit exceeded",
		  .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_RETRY,
		.scope = PROVIDER_SCOPE_BY_STAGE,
		.retry_after_us = 5 * US_PER_MIN,
		.cause = "recipient-busy",
		.summary = "The recipient's mailbox receives too much at once. It is tried again.",
		.source = NDR,
		.checked = CHECKED },
	{ .on = { .code = 4,
		  .enhanced = "4.4.2",
		  .text = "submission rate",
		  .stages = PROVIDER_AT_ANY },
		.kind = VERDICT_RETRY,
		.scope = VERDICT_SCOPE_MAILBOX_WINDOW,
		.nature = VERDICT_NATURE_QUOTA,
		.retry_after_us = US_PER_MIN,
		.cause = "rate-exceeded",
		.summary = "The mailbox has sent more messages in a minute than Microsoft allows,"
			   " ours and other devices together. It is tried again; if this stays, "
			   "lower `messages_per_minute` of the mailbox.",
		.source = STORE,
		.checked = CHECKED },
	{ .on = { .code = 4, .enhanced = "4.5.3", .stages = PROVIDER_AT_RCPT },
		.kind = VERDICT_RETRY,
		.scope = VERDICT_SCOPE_RECIPIENT,
		.retry_after_us = 10 * US_PER_S,
		.cause = "too-many-recipients",
		.summary = "The server takes no more recipients in this transaction; the rest go "
			   "in the next.",
		.source = NDR,
		.checked = CHECKED },
	{ .on = { .code = 4, .enhanced = "4.5.3", .stages = PROVIDER_AT(MAIL) | PROVIDER_AT_DATA },
		.kind = VERDICT_RETRY,
		.scope = VERDICT_SCOPE_MESSAGE,
		.cause = "too-many-recipients",
		.summary = "The server takes fewer recipients at once. If this stays, lower "
			   "`recipients_per_message`.",
		.source = NDR,
		.checked = CHECKED },
	{ .on = { .code = 4, .enhanced = "4.7.500", .detail_max = 699, .stages = PROVIDER_AT_ANY },
		.kind = VERDICT_RETRY,
		.scope = VERDICT_SCOPE_ROUTE,
		.retry_after_us = 10 * US_PER_MIN,
		.cause = "server-busy",
		.summary = "Microsoft slows down this IP address after a change of volume. It is "
			   "tried again; an inbound connector for this address ends it.",
		.source = NDR,
		.checked = CHECKED },
	{ .on = { .code = 4, .enhanced = "4.7.850", .detail_max = 899, .stages = PROVIDER_AT_ANY },
		.kind = VERDICT_RETRY,
		.scope = VERDICT_SCOPE_ROUTE,
		.retry_after_us = 30 * US_PER_MIN,
		.cause = "address-under-evaluation",
		.summary = "Microsoft is still judging this IP address. It is tried again.",
		.source = NDR,
		.checked = CHECKED },
	{ .on = { .code = 421,
		  .enhanced = "4.3.2",
		  .providers = PROVIDER_OF_EXCHANGE,
		  .stages = PROVIDER_AT_ANY },
		.kind = VERDICT_RETRY,
		.scope = VERDICT_SCOPE_ROUTE,
		.nature = VERDICT_NATURE_OUTAGE,
		.cause = "service-not-active",
		.summary = "Microsoft's server is not in service at the moment. It is tried "
			   "again.",
		.source = DEVICES,
		.checked = CHECKED },
	{ .on = { .code = 4,
		  .enhanced = "4.7.0",
		  .text = "Temporary server error",
		  .providers = PROVIDER_OF_EXCHANGE,
		  .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_RETRY,
		.scope = VERDICT_SCOPE_MESSAGE,
		.nature = VERDICT_NATURE_OUTAGE,
		.cause = "server-error",
		.summary = "Microsoft's server has a temporary error. It is tried again; if this "
			   "stays, check that the login is a user's mailbox with a licence.",
		.source = DEVICES,
		.checked = CHECKED },
	{ .on = { .code = 421, .enhanced = "4.4.1", .stages = PROVIDER_AT_ANY },
		.kind = VERDICT_RETRY,
		.scope = PROVIDER_SCOPE_BY_STAGE,
		.nature = VERDICT_NATURE_OUTAGE,
		.cause = "session-too-old",
		.summary = "The server ended a session that had lasted too long. It is tried "
			   "again in a new one.",
		.source = SEEN_LONG,
		.checked = CHECKED },
	{ .on = { .code = 4, .enhanced = "4.4.62", .stages = PROVIDER_AT_ANY },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_ROUTE,
		.nature = VERDICT_NATURE_AUTHENTICATION,
		.retry_after_us = 15 * US_PER_MIN,
		.cause = "wrong-region",
		.summary = "The mail went to a Microsoft 365 region that does not know this "
			   "tenant. Set `host` to the MX host of the tenant's own domain, and "
			   "check its inbound connector.",
		.source = DEVICES,
		.checked = CHECKED },
	{ .on = { .code = 5,
		  .enhanced = "5.2.0",
		  .text = "SubmissionQuotaExceeded",
		  .stages = PROVIDER_AT_DATA },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_MAILBOX_WINDOW,
		.nature = VERDICT_NATURE_QUOTA,
		.retry_after_us = US_PER_HOUR,
		.cause = "daily-limit",
		.summary = "The mailbox has reached Microsoft's limit of 10,000 recipients in 24 "
			   "hours, ours and others' together. It clears with time and cannot be "
			   "raised; send less from this mailbox or use more of them.",
		.source = STORE,
		.checked = CHECKED },
	{ .on = { .code = 5,
		  .enhanced = "5.2.2",
		  .text = "submission quota exceeded",
		  .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_MAILBOX_WINDOW,
		.nature = VERDICT_NATURE_QUOTA,
		.retry_after_us = US_PER_HOUR,
		.cause = "daily-limit",
		.summary = "The mailbox has reached Microsoft's limit of 10,000 recipients in 24 "
			   "hours, ours and others' together. It clears with time and cannot be "
			   "raised; send less from this mailbox or use more of them.",
		.source = NDR,
		.checked = CHECKED },
	{ .on = { .code = 5, .enhanced = "5.1.90", .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_MAILBOX_WINDOW,
		.nature = VERDICT_NATURE_QUOTA,
		.retry_after_us = US_PER_HOUR,
		.cause = "daily-limit",
		.summary = "The mailbox has reached its limit of recipients a day, ours and "
			   "others' together. It clears with time; send less from this mailbox or"
			   " use more of them.",
		.source = NDR,
		.checked = CHECKED },
	{ .on = { .code = 5, .enhanced = "5.7.233", .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_TENANT_EXTERNAL,
		.nature = VERDICT_NATURE_QUOTA,
		.retry_after_us = US_PER_HOUR,
		.cause = "tenant-daily-limit",
		.summary = "The tenant has reached its limit of external recipients in 24 hours, "
			   "all its mailboxes together. It clears with time; more licences raise "
			   "it. Usage: Exchange admin center, Reports, Mail flow.",
		.source = TENANT_LIMIT,
		.checked = CHECKED },
	{ .on = { .code = 5, .enhanced = "5.7.232", .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_TENANT_EXTERNAL,
		.nature = VERDICT_NATURE_QUOTA,
		.retry_after_us = US_PER_HOUR,
		.cause = "trial-tenant-daily-limit",
		.summary = "The trial tenant has reached its limit of external recipients in 24 "
			   "hours. It clears with time; a paid subscription raises it.",
		.source = NDR,
		.checked = CHECKED },
	{ .on = { .code = 5, .enhanced = "5.7.236", .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_TENANT_EXTERNAL,
		.nature = VERDICT_NATURE_QUOTA,
		.retry_after_us = US_PER_HOUR,
		.cause = "onmicrosoft-daily-limit",
		.summary = "A tenant may write to 100 external recipients in 24 hours from an "
			   "onmicrosoft.com address. Send from a custom domain: an administrator "
			   "adds it and makes it the mailbox's primary address.",
		.source = MOERA,
		.checked = CHECKED },
	{ .on = { .code = 5,
		  .enhanced = "5.2.251",
		  .text = "^Sender throttled",
		  .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_MAILBOX_WINDOW,
		.nature = VERDICT_NATURE_QUOTA,
		.retry_after_us = 2 * US_PER_HOUR,
		.cause = "throttled-mailbox-full",
		.summary = "Microsoft blocks sending from this mailbox for a time because it went"
			   " on sending while full. Empty it, or stop the copies: Set-Mailbox "
			   "MAILBOX -MessageCopyForSMTPClientSubmissionEnabled $false. Then wait.",
		.source = CONTINUOUS,
		.checked = CHECKED },
	{ .on = { .code = 5,
		  .enhanced = "5.2.252",
		  .text = "^Sender throttled",
		  .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_MAILBOX_WINDOW,
		.retry_after_us = 2 * US_PER_HOUR,
		.cause = "throttled-send-as",
		.summary = "Microsoft blocks sending from this mailbox for a time because it went"
			   " on using senders it may not send as. Find out which application does"
			   " that, grant Send As or change its sender, then wait.",
		.source = CONTINUOUS,
		.checked = CHECKED },
	{ .on = { .code = 5, .enhanced = "5.2.253", .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_MAILBOX_WINDOW,
		.nature = VERDICT_NATURE_QUOTA,
		.retry_after_us = 2 * US_PER_HOUR,
		.cause = "throttled-licence",
		.summary = "Microsoft blocks sending from this mailbox for a time because its "
			   "licence is not valid. An administrator assigns a licence with "
			   "Exchange Online, then wait.",
		.source = CONTINUOUS,
		.checked = CHECKED },
	{ .on = { .code = 5, .enhanced = "5.2.254", .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_MAILBOX_WINDOW,
		.retry_after_us = 2 * US_PER_HOUR,
		.cause = "throttled-too-many-recipients",
		.summary = "Microsoft blocks sending from this mailbox for a time because "
			   "messages had too many recipients. Lower `recipients_per_message`, or "
			   "raise it there: Set-Mailbox MAILBOX -RecipientLimits 1000. Then wait.",
		.source = CONTINUOUS,
		.checked = CHECKED },
	{ .on = { .code = 5, .enhanced = "5.2.255", .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_MAILBOX_WINDOW,
		.retry_after_us = 2 * US_PER_HOUR,
		.cause = "throttled-invalid-recipients",
		.summary = "Microsoft blocks sending from this mailbox for a time because too "
			   "many recipients were not valid. Find out which application sends to "
			   "them, then wait.",
		.source = CONTINUOUS,
		.checked = CHECKED },
	{ .on = { .code = 5,
		  .enhanced = "5.2.2",
		  .text = "STOREDRV.Submission",
		  .stages = PROVIDER_AT_DATA },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_MAILBOX,
		.nature = VERDICT_NATURE_QUOTA,
		.retry_after_us = US_PER_HOUR,
		.cause = "mailbox-full",
		.summary = "The sending mailbox is full, so Microsoft takes no mail from it. "
			   "Empty it (Sent Items first), or stop the copies: Set-Mailbox MAILBOX "
			   "-MessageCopyForSMTPClientSubmissionEnabled $false.",
		.source = STORE,
		.checked = CHECKED },
	{ .on = { .code = 5,
		  .enhanced = "5.2.2",
		  .providers = PROVIDER_OF_EXCHANGE,
		  .stages = PROVIDER_AT_DATA },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_MAILBOX,
		.nature = VERDICT_NATURE_QUOTA,
		.retry_after_us = US_PER_HOUR,
		.cause = "mailbox-full",
		.summary = "A mailbox is full, as it seems the sending one. Empty it (Sent Items "
			   "first), or stop the copies: Set-Mailbox MAILBOX "
			   "-MessageCopyForSMTPClientSubmissionEnabled $false.",
		.source = STORE,
		.checked = CHECKED },
};

const struct provider_table provider_exchange_limits = { rows, COUNT_OF(rows) };
