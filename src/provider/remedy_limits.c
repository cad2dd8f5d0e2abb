/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/remedy_priv.h"

/* Limits: nearly all of them clear with time. */

#define CONTINUOUS                                                       \
	"https://learn.microsoft.com/exchange/mail-flow-best-practices/" \
	"continuous-error-throttling-smtp-auth-submissions"
#define HVE                                                              \
	"https://learn.microsoft.com/exchange/mail-flow-best-practices/" \
	"troubleshoot-high-volume-email-m365"
#define LIMITS                                             \
	"https://learn.microsoft.com/defender-office-365/" \
	"outbound-spam-sending-limits-troubleshoot"
#define NDR                                                                     \
	"https://learn.microsoft.com/troubleshoot/exchange/email-delivery/ndr/" \
	"non-delivery-reports-in-exchange-online"
#define TENANT                                               \
	"https://techcommunity.microsoft.com/blog/exchange/" \
	"introducing-exchange-online-tenant-outbound-email-limits/4372797"

static const struct provider_remedy rows[] = {
	{ .cause = "too-many-connections",
		.title = "Too many connections from this mailbox at once",
		.owner = PROVIDER_OWNER_YOU,
		.steps = { "Wait: it is tried again. Lower `connections` to 2 or fewer, and stop "
			   "other devices that use {mailbox}." },
		.literal = "432 4.3.2 Concurrent connections limit exceeded.",
		.link = LIMITS },
	{ .cause = "recipient-busy",
		.title = "The recipient's mailbox receives too much at once",
		.owner = PROVIDER_OWNER_RECIPIENT,
		.steps = { "Wait: it is tried again. Send less to {recipient} at once." },
		.literal = "432 4.3.2 STOREDRV.Deliver; recipient thread limit exceeded",
		.link = NDR },
	{ .cause = "rate-exceeded",
		.title = "Too many messages in too short a time",
		.owner = PROVIDER_OWNER_YOU,
		.steps = { "Wait: it is tried again. Lower `messages_per_minute` of {mailbox}; "
			   "other devices count, too." },
		.link = LIMITS },
	{ .cause = "too-many-recipients",
		.title = "Too many recipients in one message",
		.owner = PROVIDER_OWNER_YOU,
		.steps = { "Lower `recipients_per_message`; the rest goes in the next message." },
		.powershell = { "Set-Mailbox -Identity {mailbox} -RecipientLimits 1000" },
		.literal = "452 4.5.3 Too many recipients",
		.link = LIMITS },
	{ .cause = "too-many-of-domain",
		.title = "More than 200 recipients of one domain in a message",
		.owner = PROVIDER_OWNER_YOU,
		.steps = { "Lower `recipients_per_domain`; the rest goes in the next message." },
		.link = NDR },
	{ .cause = "server-busy",
		.title = "The server slows this address down for a while",
		.owner = PROVIDER_OWNER_MICROSOFT,
		.steps = { "Wait: it is tried again. At Microsoft an inbound connector for this "
			   "machine's address ends it." },
		.literal = "451 4.7.500 Server busy. Please try again later",
		.link = "https://learn.microsoft.com/exchange/mail-flow-best-practices/"
			"non-delivery-reports-in-exchange-online/"
			"fix-error-code-451-4-7-500-699-asxxx-in-exchange-online" },
	{ .cause = "address-under-evaluation",
		.title = "Microsoft is still judging this IP address",
		.owner = PROVIDER_OWNER_MICROSOFT,
		.steps = { "Wait: it is tried again. Keep the volume even." },
		.literal = "451 4.7.850 Access denied, please try again later",
		.link = NDR },
	{ .cause = "daily-limit",
		.title = "The mailbox has reached its limit of recipients in 24 hours",
		.owner = PROVIDER_OWNER_YOU,
		.steps = { "Wait: it clears with time and cannot be raised.",
			"Send less from {mailbox}, or let bulk mail go through High Volume Email "
			"or another service." },
		.literal =
			"554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException",
		.link = LIMITS },
	{ .cause = "tenant-daily-limit",
		.title = "The tenant has reached its limit of external recipients in 24 hours",
		.owner = PROVIDER_OWNER_ADMINISTRATOR,
		.steps = { "Wait: it clears with time. Exchange admin center: Reports, Mail flow "
			   "shows the use; more licences raise it." },
		.powershell = { "Get-LimitsEnforcementStatus" },
		.literal = "550 5.7.233 Your message can't be sent because your tenant exceeded "
			   "its daily limit for sending email to external recipients",
		.link = TENANT },
	{ .cause = "trial-tenant-daily-limit",
		.title = "The trial tenant has reached its limit of external recipients",
		.owner = PROVIDER_OWNER_ADMINISTRATOR,
		.steps = { "Wait: it clears with time; a paid subscription raises it." },
		.literal = "550 5.7.232 Your message can't be sent because your trial tenant has "
			   "exceeded its daily limit for sending email to external recipients",
		.link = NDR },
	{ .cause = "onmicrosoft-daily-limit",
		.title = "Only 100 external recipients a day from an onmicrosoft.com address",
		.owner = PROVIDER_OWNER_ADMINISTRATOR,
		.steps = { "Send from your own domain: admin center, Settings, Domains: add it, "
			   "and make it the primary address of {mailbox}." },
		.powershell = { "Set-Mailbox -Identity {mailbox} -WindowsEmailAddress "
				"NEW_ADDRESS" },
		.link = "https://techcommunity.microsoft.com/blog/exchange/"
			"limiting-onmicrosoft-domain-usage-for-sending-emails/4446167" },
	{ .cause = "throttled-mailbox-full",
		.title = "Blocked for a time for sending while the mailbox was full",
		.owner = PROVIDER_OWNER_YOU,
		.steps = { "Empty {mailbox} (Sent Items first) and stop the copies, then wait." },
		.powershell = { "Set-Mailbox -Identity {mailbox} "
				"-MessageCopyForSMTPClientSubmissionEnabled $false" },
		.literal = "550 5.2.251 Sender throttled due to continuous mailbox full errors",
		.link = CONTINUOUS },
	{ .cause = "throttled-send-as",
		.title = "Blocked for a time for using senders that are not allowed",
		.owner = PROVIDER_OWNER_YOU,
		.steps = { "Find the application that uses a wrong sender, mend it, then wait." },
		.powershell = { "Add-RecipientPermission -Identity {sender} -Trustee {mailbox} "
				"-AccessRights SendAs" },
		.literal = "550 5.2.252 Sender throttled due to continuous send as denied errors",
		.link = CONTINUOUS },
	{ .cause = "throttled-licence",
		.title = "Blocked for a time because the licence is not valid",
		.owner = PROVIDER_OWNER_ADMINISTRATOR,
		.steps = { "Admin center: Users, Active users, {mailbox}, Licenses: assign one "
			   "with Exchange Online, then wait." },
		.literal = "550 5.2.253 Sender throttled due to continuous invalid license errors",
		.link = CONTINUOUS },
	{ .cause = "throttled-too-many-recipients",
		.title = "Blocked for a time for messages with too many recipients",
		.owner = PROVIDER_OWNER_YOU,
		.steps = { "Lower `recipients_per_message`, then wait." },
		.powershell = { "Set-Mailbox -Identity {mailbox} -RecipientLimits 1000" },
		.literal =
			"550 5.2.254 Sender throttled due to continuous too many recipients errors",
		.link = CONTINUOUS },
	{ .cause = "throttled-invalid-recipients",
		.title = "Blocked for a time for too many invalid recipients",
		.owner = PROVIDER_OWNER_YOU,
		.steps = { "Find the application that writes to bad addresses and clean its list, "
			   "then wait." },
		.literal =
			"550 5.2.255 Sender throttled due to continuous invalid recipients errors",
		.link = CONTINUOUS },
	{ .cause = "mailbox-full",
		.title = "The sending mailbox is full",
		.owner = PROVIDER_OWNER_YOU,
		.steps = { "Empty {mailbox}, Sent Items first, and stop the copies of sent mail." },
		.powershell = { "Set-Mailbox -Identity {mailbox} "
				"-MessageCopyForSMTPClientSubmissionEnabled $false" },
		.literal = "554 5.2.2 mailbox full; "
			   "STOREDRV.Submission.Exception:QuotaExceededException",
		.link = "https://learn.microsoft.com/troubleshoot/exchange/send-emails/"
			"smtp-submission-improvements" },
	{ .cause = "external-recipient",
		.title = "This door takes mail for your own organization only",
		.owner = PROVIDER_OWNER_YOU,
		.steps = { "Let a route send mail for {recipient} through another door (a mailbox, "
			   "or a connector)." },
		.literal = "550 5.5.105 External sending is not supported for High Volume Email "
			   "accounts",
		.link = HVE },
	{ .cause = "message-too-large",
		.title = "The message is too large",
		.owner = PROVIDER_OWNER_YOU,
		.steps = { "Send a smaller one, or a link; attachments grow by a third on the way.",
			"If it is the mailbox's own limit, an administrator raises it, to 150 MB "
			"at most." },
		.powershell = { "Set-Mailbox -Identity {mailbox} -MaxSendSize 150MB" },
		.literal = "552 5.3.4 Message size exceeds fixed maximum message size",
		.link = NDR },
	{ .cause = "header-too-large",
		.title = "The header of the message is too large",
		.owner = PROVIDER_OWNER_YOU,
		.steps = { "The application that made the message must write less into its "
			   "header." },
		.link = NDR },
	{ .cause = "server-full",
		.title = "The server has no room for mail at the moment",
		.owner = PROVIDER_OWNER_RECIPIENT,
		.steps = { "Wait: it is tried again. Its administrator looks at its disk." },
		.link = "RFC 3463, section 3.4" },
};

const struct provider_remedy_table provider_remedy_limits = { rows, COUNT_OF(rows) };
