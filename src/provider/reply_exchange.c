/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/reply_priv.h"

/*
 * What Exchange Online refuses else: senders, reputation, connectors, messages and recipients. After a
 * stop for reputation mail must not move to a sibling mailbox: such a stop is tried once a day, and a
 * person ends it.
 */

#define CHECKED "2026-11-23"
#define DEVICES                                                          \
	"https://learn.microsoft.com/exchange/mail-flow-best-practices/" \
	"fix-issues-with-printers-scanners-and-lob-applications-that-send-email-using-off"
#define NDR                                                                     \
	"https://learn.microsoft.com/troubleshoot/exchange/email-delivery/ndr/" \
	"non-delivery-reports-in-exchange-online"
#define NDR_700                                                          \
	"https://learn.microsoft.com/exchange/mail-flow-best-practices/" \
	"non-delivery-reports-in-exchange-online/fix-error-code-5-7-700-through-5-7-750"
#define LIMITS                                             \
	"https://learn.microsoft.com/defender-office-365/" \
	"outbound-spam-sending-limits-troubleshoot"
#define DIRECT                                               \
	"https://techcommunity.microsoft.com/blog/exchange/" \
	"introducing-more-control-over-direct-send-in-exchange-online/4408790"
#define SEEN_DUPLICATE "https://github.com/eventum/eventum/issues/415"
#define SEEN_HEADER "https://github.com/jstedfast/MailKit/issues/904"
#define RFC_7372 "RFC 7372, section 3"

static const struct provider_row rows[] = {
	{ .on = { .code = 5, .enhanced = "5.2.252", .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_SENDER,
		.retry_after_us = US_PER_HOUR,
		.cause = "send-as-denied",
		.summary = "The mailbox may not send as this sender. An Exchange administrator "
			   "grants it: Add-RecipientPermission SENDER -Trustee MAILBOX "
			   "-AccessRights SendAs; or the application sends from the mailbox's own"
			   " address. It can take an hour.",
		.source = DEVICES,
		.checked = CHECKED },
	{ .on = { .code = 5,
		  .enhanced = "5.2.0",
		  .text = "SendAsDenied",
		  .stages = PROVIDER_AT_DATA },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_SENDER,
		.retry_after_us = US_PER_HOUR,
		.cause = "send-as-denied",
		.summary = "The mailbox may not send as this sender. An Exchange administrator "
			   "grants it: Add-RecipientPermission SENDER -Trustee MAILBOX "
			   "-AccessRights SendAs; or the application sends from the mailbox's own"
			   " address. It can take an hour.",
		.source = DEVICES,
		.checked = CHECKED },
	{ .on = { .code = 5, .enhanced = "5.7.60", .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_SENDER,
		.retry_after_us = US_PER_HOUR,
		.cause = "send-as-denied",
		.summary = "The mailbox may not send as this sender. An Exchange administrator "
			   "grants it: Add-RecipientPermission SENDER -Trustee MAILBOX "
			   "-AccessRights SendAs; or the application sends from the mailbox's own"
			   " address. It can take an hour.",
		.source = DEVICES,
		.checked = CHECKED },
	{ .on = { .code = 5,
		  .enhanced = "5.1.8",
		  .text = "bad outbound sender",
		  .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_MAILBOX,
		.nature = VERDICT_NATURE_REPUTATION,
		.retry_after_us = US_PER_DAY,
		.cause = "mailbox-restricted",
		.summary = "Microsoft has restricted this mailbox for spam or volume. Find the "
			   "cause (a stolen password?), then an administrator unblocks it: "
			   "security.microsoft.com/restrictedusers. Moving its mail to another "
			   "mailbox would put the tenant at risk.",
		.source = NDR,
		.checked = CHECKED },
	{ .on = { .code = 5,
		  .enhanced = "5.1.8",
		  .providers = PROVIDER_OF_EXCHANGE,
		  .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_MAILBOX,
		.nature = VERDICT_NATURE_REPUTATION,
		.retry_after_us = US_PER_DAY,
		.cause = "mailbox-restricted",
		.summary = "Microsoft has restricted this mailbox for spam or volume. Find the "
			   "cause (a stolen password?), then an administrator unblocks it: "
			   "security.microsoft.com/restrictedusers. Moving its mail to another "
			   "mailbox would put the tenant at risk.",
		.source = NDR,
		.checked = CHECKED },
	{ .on = { .code = 5,
		  .enhanced = "5.7.501",
		  .detail_max = 503,
		  .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_MAILBOX,
		.nature = VERDICT_NATURE_REPUTATION,
		.retry_after_us = US_PER_DAY,
		.cause = "mailbox-banned",
		.summary = "Microsoft has banned this sending account for abuse. An administrator"
			   " resets its password, finds the cause and asks Microsoft Support to "
			   "release it.",
		.source = NDR,
		.checked = CHECKED },
	{ .on = { .code = 5, .enhanced = "5.7.705", .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_TENANT,
		.nature = VERDICT_NATURE_REPUTATION,
		.retry_after_us = US_PER_DAY,
		.cause = "tenant-blocked",
		.summary = "Microsoft has stopped mail from the whole tenant for spam or bulk "
			   "mail; after a late renewal of the subscription it lasts a day. An "
			   "administrator finds the cause and asks Microsoft Support to release "
			   "it.",
		.source = NDR_700,
		.checked = CHECKED },
	{ .on = { .code = 5, .enhanced = "5.7.708", .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_TENANT,
		.nature = VERDICT_NATURE_REPUTATION,
		.retry_after_us = US_PER_DAY,
		.cause = "tenant-untrusted",
		.summary = "Microsoft does not take mail from this tenant's addresses: new and "
			   "trial tenants meet this. An administrator asks Microsoft Support, or "
			   "buys licences for a trial.",
		.source = NDR_700,
		.checked = CHECKED },
	{ .on = { .code = 5, .enhanced = "5.7.750", .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_TENANT,
		.nature = VERDICT_NATURE_REPUTATION,
		.retry_after_us = US_PER_DAY,
		.cause = "unregistered-domains",
		.summary = "Microsoft has stopped the tenant because too much mail came from "
			   "domains it does not know. An administrator adds the sending domains "
			   "as accepted domains, then asks Microsoft Support.",
		.source = NDR_700,
		.checked = CHECKED },
	{ .on = { .code = 5, .enhanced = "5.7.800", .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_ROUTE,
		.nature = VERDICT_NATURE_REPUTATION,
		.retry_after_us = US_PER_DAY,
		.cause = "domain-banned",
		.summary = "Microsoft has banned the domain in EHLO or in the sender. An "
			   "administrator asks Microsoft Support to release it.",
		.source = NDR,
		.checked = CHECKED },
	{ .on = { .code = 5, .enhanced = "5.7.606", .detail_max = 649, .stages = PROVIDER_AT_ANY },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_ROUTE,
		.nature = VERDICT_NATURE_REPUTATION,
		.retry_after_us = US_PER_DAY,
		.cause = "address-banned",
		.summary = "Microsoft has banned this machine's IP address. Ask for its removal "
			   "at https://sender.office.com.",
		.source = NDR,
		.checked = CHECKED },
	{ .on = { .code = 5, .enhanced = "5.7.511", .stages = PROVIDER_AT_ANY },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_ROUTE,
		.nature = VERDICT_NATURE_REPUTATION,
		.retry_after_us = US_PER_DAY,
		.cause = "address-banned",
		.summary = "Microsoft has banned this machine's IP address. Forward the reply to "
			   "delist@microsoft.com to have it removed.",
		.source = NDR,
		.checked = CHECKED },
	{ .on = { .code = 5, .enhanced = "5.7.506", .stages = PROVIDER_AT_ANY },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_ROUTE,
		.retry_after_us = 15 * US_PER_MIN,
		.cause = "bad-helo",
		.summary = "Microsoft refuses the name this machine gives itself. Set `hostname` "
			   "to its own full name.",
		.source = NDR,
		.checked = CHECKED },
	{ .on = { .code = 5, .enhanced = "5.7.25", .stages = PROVIDER_AT_ANY },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_ROUTE,
		.retry_after_us = US_PER_HOUR,
		.cause = "no-reverse-name",
		.summary = "The IP address this machine sends from has no reverse DNS name, which"
			   " IPv6 needs. Its network administrator adds one, or the mail goes by "
			   "IPv4.",
		.source = NDR,
		.checked = CHECKED },
	{ .on = { .code = 5, .enhanced = "5.7.508", .stages = PROVIDER_AT_ANY },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_ROUTE,
		.retry_after_us = US_PER_HOUR,
		.cause = "address-range-limit",
		.summary = "The limit for this machine's range of IPv6 addresses is reached. Send"
			   " by IPv4.",
		.source = NDR,
		.checked = CHECKED },
	{ .on = { .code = 5, .enhanced = "5.7.64", .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_ROUTE,
		.nature = VERDICT_NATURE_AUTHENTICATION,
		.retry_after_us = 15 * US_PER_MIN,
		.cause = "connector-missing",
		.summary = "No inbound connector of the tenant fits this machine. An Exchange "
			   "administrator corrects the connector's IP address or certificate, and"
			   " makes the sending domain an accepted domain.",
		.source = NDR,
		.checked = CHECKED },
	{ .on = { .code = 5, .enhanced = "5.7.68", .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_ROUTE,
		.nature = VERDICT_NATURE_AUTHENTICATION,
		.retry_after_us = 15 * US_PER_MIN,
		.cause = "direct-send-off",
		.summary = "The organization refuses direct send. An Exchange administrator adds "
			   "an inbound connector for this machine, or sets: "
			   "Set-OrganizationConfig -RejectDirectSend $false. It takes about 30 "
			   "minutes.",
		.source = DIRECT,
		.checked = CHECKED },
	{ .on = { .code = 5, .enhanced = "5.7.711", .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_ROUTE,
		.nature = VERDICT_NATURE_REPUTATION,
		.retry_after_us = US_PER_DAY,
		.cause = "connector-blocked",
		.summary = "Microsoft has blocked the inbound connector as compromised. An "
			   "administrator finds the cause, then: Remove-BlockedConnector.",
		.source = NDR,
		.checked = CHECKED },
	{ .on = { .code = 5, .enhanced = "5.7.509", .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_SENDER,
		.retry_after_us = US_PER_HOUR,
		.cause = "dmarc-failed",
		.summary = "The sending domain fails DMARC at the receiver. Who runs its DNS "
			   "corrects SPF and DKIM so that they fit the sending domain.",
		.source = NDR,
		.checked = CHECKED },
	{ .on = { .code = 5, .enhanced = "5.7.515", .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_SENDER,
		.retry_after_us = US_PER_HOUR,
		.cause = "domain-not-authenticated",
		.summary = "Outlook.com asks for SPF, DKIM and DMARC of this sending domain. Who "
			   "runs its DNS adds what is missing.",
		.source = NDR,
		.checked = CHECKED },
	{ .on = { .code = 5, .enhanced = "5.7.23", .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_SENDER,
		.retry_after_us = US_PER_HOUR,
		.cause = "spf-failed",
		.summary = "The receiver's check of SPF fails for the sending domain. Who runs "
			   "its DNS adds the servers that send for it; for Microsoft 365: "
			   "include:spf.protection.outlook.com.",
		.source = NDR,
		.checked = CHECKED },
	{ .on = { .code = 5, .enhanced = "5.7.26", .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_SENDER,
		.retry_after_us = US_PER_HOUR,
		.cause = "domain-not-authenticated",
		.summary = "The receiver finds neither SPF nor DKIM that fits the sending domain."
			   " Who runs its DNS adds what is missing.",
		.source = RFC_7372,
		.checked = CHECKED },
	{ .on = { .code = 552,
		  .enhanced = "5.3.4",
		  .text = "Header size",
		  .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_BOUNCE,
		.scope = VERDICT_SCOPE_MESSAGE,
		.cause = "header-too-large",
		.summary = "The header of the message is larger than the server takes. The "
			   "application that made it must write less there.",
		.source = SEEN_HEADER,
		.checked = CHECKED },
	{ .on = { .code = 552,
		  .enhanced = "5.3.4",
		  .providers = PROVIDER_OF_EXCHANGE,
		  .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_BOUNCE,
		.scope = VERDICT_SCOPE_MESSAGE,
		.cause = "message-too-large",
		.summary = "The message is larger than the server takes; attachments grow by a "
			   "third on the way. Send a smaller one, or an administrator raises it: "
			   "Set-Mailbox MAILBOX -MaxSendSize 150MB.",
		.source = DEVICES,
		.checked = CHECKED },
	{ .on = { .code = 5, .enhanced = "5.6.11", .stages = PROVIDER_AT_DATA },
		.kind = VERDICT_BOUNCE,
		.scope = VERDICT_SCOPE_MESSAGE,
		.cause = "invalid-characters",
		.summary = "The receiver does not take characters that the message holds. The "
			   "application that made it must encode it.",
		.source = NDR,
		.checked = CHECKED },
	{ .on = { .code = 5, .enhanced = "5.1.20", .stages = PROVIDER_AT_DATA },
		.kind = VERDICT_BOUNCE,
		.scope = VERDICT_SCOPE_MESSAGE,
		.cause = "several-from-addresses",
		.summary = "The message has several From addresses and no Sender. The application"
			   " that made it must add a Sender field.",
		.source = NDR,
		.checked = CHECKED },
	{ .on = { .code = 5, .enhanced = "5.7.512", .stages = PROVIDER_AT_DATA },
		.kind = VERDICT_BOUNCE,
		.scope = VERDICT_SCOPE_MESSAGE,
		.cause = "from-missing",
		.summary = "The message has no valid From field. The application that made it "
			   "must add one.",
		.source = NDR,
		.checked = CHECKED },
	{ .on = { .code = 5, .enhanced = "5.7.703", .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_BOUNCE,
		.scope = PROVIDER_SCOPE_BY_STAGE,
		.cause = "blocked-by-own-list",
		.summary = "The organization's own Tenant Allow/Block List blocks a recipient of "
			   "the message. An administrator can edit the list in the Microsoft "
			   "Defender portal.",
		.source = NDR_700,
		.checked = CHECKED },
	{ .on = { .code = 5, .enhanced = "5.7.520", .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_BOUNCE,
		.scope = VERDICT_SCOPE_MESSAGE,
		.cause = "forwarding-not-allowed",
		.summary = "The organization does not allow automatic forwarding to the outside. "
			   "An administrator can allow it in the outbound spam policy.",
		.source = LIMITS,
		.checked = CHECKED },
	{ .on = { .code = 5,
		  .enhanced = "5.4.1",
		  .text = "Access denied",
		  .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_BOUNCE,
		.scope = PROVIDER_SCOPE_BY_STAGE,
		.cause = "no-such-recipient",
		.summary = "The recipient's address does not exist at its organization. Check the"
			   " address.",
		.source = NDR,
		.checked = CHECKED },
	{ .on = { .code = 5, .enhanced = "5.1.10", .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_BOUNCE,
		.scope = PROVIDER_SCOPE_BY_STAGE,
		.cause = "no-such-recipient",
		.summary = "The recipient's address does not exist. Check the address.",
		.source = NDR,
		.checked = CHECKED },
	{ .on = { .code = 5,
		  .enhanced = "5.7.504",
		  .detail_max = 505,
		  .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_BOUNCE,
		.scope = PROVIDER_SCOPE_BY_STAGE,
		.cause = "recipient-blocked",
		.summary = "The receiver refuses this recipient. Ask the recipient by another "
			   "way.",
		.source = NDR,
		.checked = CHECKED },
	{ .on = { .code = 5, .enhanced = "5.7.507", .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_BOUNCE,
		.scope = PROVIDER_SCOPE_BY_STAGE,
		.cause = "refused-by-recipient",
		.summary = "The recipient's organization refuses mail from this machine's "
			   "address. Ask its administrator.",
		.source = NDR,
		.checked = CHECKED },
	{ .on = { .code = 5, .enhanced = "5.7.513", .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_BOUNCE,
		.scope = PROVIDER_SCOPE_BY_STAGE,
		.cause = "refused-by-recipient",
		.summary = "The recipient's organization has this sender on its block list. Ask "
			   "its administrator.",
		.source = NDR,
		.checked = CHECKED },
	{ .on = { .code = 5, .enhanced = "5.7.12", .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_BOUNCE,
		.scope = PROVIDER_SCOPE_BY_STAGE,
		.cause = "sender-not-allowed",
		.summary = "The recipient or its group takes mail only from senders on its list. "
			   "Its owner or administrator can add the sender.",
		.source = NDR,
		.checked = CHECKED },
	{ .on = { .code = 5, .enhanced = "5.7.13", .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_BOUNCE,
		.scope = PROVIDER_SCOPE_BY_STAGE,
		.cause = "sender-not-allowed",
		.summary = "The recipient or its group takes mail only from senders on its list. "
			   "Its owner or administrator can add the sender.",
		.source = NDR,
		.checked = CHECKED },
	{ .on = { .code = 5, .enhanced = "5.7.124", .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_BOUNCE,
		.scope = PROVIDER_SCOPE_BY_STAGE,
		.cause = "sender-not-allowed",
		.summary = "The recipient or its group takes mail only from senders on its list. "
			   "Its owner or administrator can add the sender.",
		.source = NDR,
		.checked = CHECKED },
	{ .on = { .code = 5,
		  .enhanced = "5.7.133",
		  .detail_max = 136,
		  .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_BOUNCE,
		.scope = PROVIDER_SCOPE_BY_STAGE,
		.cause = "sender-not-allowed",
		.summary = "The recipient or its group takes mail only from senders on its list. "
			   "Its owner or administrator can add the sender.",
		.source = NDR,
		.checked = CHECKED },
	{ .on = { .code = 5,
		  .enhanced = "5.2.121",
		  .detail_max = 122,
		  .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_RETRY,
		.scope = PROVIDER_SCOPE_BY_STAGE,
		.retry_after_us = US_PER_HOUR,
		.cause = "recipient-busy",
		.summary = "The recipient's mailbox has received more in an hour than it may. It "
			   "is tried again.",
		.source = NDR,
		.checked = CHECKED },
	{ .on = { .code = 5,
		  .text = "MapiExceptionDuplicateDelivery",
		  .providers = PROVIDER_OF_EXCHANGE,
		  .after_uncertain = true,
		  .stages = PROVIDER_AT_DATA },
		.kind = VERDICT_DELIVERED,
		.scope = VERDICT_SCOPE_MESSAGE,
		.cause = "duplicate-of-uncertain",
		.summary = "An earlier attempt ended without an answer, and the server now says "
			   "it has the message already: it was delivered then.",
		.source = SEEN_DUPLICATE,
		.checked = CHECKED },
	{ .on = { .code = 5,
		  .text = "MapiExceptionDuplicateDelivery",
		  .providers = PROVIDER_OF_EXCHANGE,
		  .stages = PROVIDER_AT_DATA },
		.kind = VERDICT_RETRY,
		.scope = VERDICT_SCOPE_MESSAGE,
		.retry_after_us = US_PER_HOUR,
		.cause = "duplicate-message-id",
		.summary = "The mailbox has already sent a message with this Message-ID. The "
			   "application should give each message its own; it is tried again "
			   "later.",
		.source = SEEN_DUPLICATE,
		.checked = CHECKED },
};

const struct provider_table provider_exchange = { rows, COUNT_OF(rows) };
