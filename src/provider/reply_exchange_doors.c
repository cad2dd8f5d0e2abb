/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/reply_priv.h"

/*
 * What the newer doors of Exchange Online refuse: sign-in with a token, High Volume Email, and the
 * tenant's mail exchanger with a connector or without.
 */

#define CHECKED "2026-11-23"
#define OAUTH                                                                     \
	"https://learn.microsoft.com/exchange/client-developer/legacy-protocols/" \
	"how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth"
#define HVE                                                              \
	"https://learn.microsoft.com/exchange/mail-flow-best-practices/" \
	"troubleshoot-high-volume-email-m365"
#define HVE_ACCESS "https://learn.microsoft.com/powershell/module/exchange/add-hveappaccess"
/* Replies that others have seen of the live service. */
#define HVE_STALE "https://github.com/tarickb/sasl-xoauth2/issues/98"
#define HVE_FORMAT "https://github.com/tarickb/sasl-xoauth2/issues/110"
#define HVE_SEEN "https://github.com/ercankskn/postfix-entra-relay"
#define NDR                                                                     \
	"https://learn.microsoft.com/troubleshoot/exchange/email-delivery/ndr/" \
	"non-delivery-reports-in-exchange-online"
#define RELAY                                                                   \
	"https://learn.microsoft.com/troubleshoot/exchange/email-delivery/ndr/" \
	"relay-access-denied-smtp"
#define ATTRIBUTION                                                         \
	"https://learn.microsoft.com/troubleshoot/exchange/email-delivery/" \
	"office-365-notice"
#define DEVICES                                                          \
	"https://learn.microsoft.com/exchange/mail-flow-best-practices/" \
	"fix-issues-with-printers-scanners-and-lob-applications-that-send-email-using-off"

static const struct provider_row rows[] = {
	/* ---- a token ---- */
	{ .on = { .code = 535,
		  .enhanced = "5.7.3",
		  .providers = PROVIDER_OF_SUBMISSION,
		  .sign_in = PROVIDER_WITH_TOKEN,
		  .stages = PROVIDER_AT_SIGN_IN },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_MAILBOX,
		.nature = VERDICT_NATURE_AUTHENTICATION,
		.retry_after_us = 15 * US_PER_MIN,
		.cause = "token-refused",
		.summary = "Microsoft 365 refuses the token; it does not say why. Check in this "
			   "order: the app has the permission SMTP.SendAsApp (with `auth: user`: "
			   "SMTP.Send) of Office 365 Exchange Online, not of Graph, with consent; "
			   "New-ServicePrincipal was run with the object id of the enterprise "
			   "application, not of the app registration; Add-MailboxPermission "
			   "MAILBOX -User APP -AccessRights FullAccess; `login` is this mailbox. "
			   "After a change it can take an hour.",
		.source = OAUTH,
		.checked = CHECKED },
	{ .on = { .code = 535,
		  .enhanced = "5.7.3",
		  .providers = PROVIDER_OF_HVE,
		  .sign_in = PROVIDER_WITH_TOKEN,
		  .stages = PROVIDER_AT_SIGN_IN },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_MAILBOX,
		.nature = VERDICT_NATURE_AUTHENTICATION,
		.retry_after_us = 15 * US_PER_MIN,
		.cause = "token-refused",
		.summary = "High Volume Email refuses the token. Check that the app has the "
			   "permission Mail.Send of Office 365 Exchange Online (not of Graph, and "
			   "not SMTP.SendAsApp) with consent, that `login` is the HVE account, and "
			   "that the app is on its list: Add-HVEAppAccess -Identity ACCOUNT "
			   "-AppIds APP.",
		.source = HVE_ACCESS,
		.checked = CHECKED },
	/* ---- High Volume Email ---- */
	{ .on = { .code = 501,
		  .enhanced = "5.5.121",
		  .detail_max = 126,
		  .stages = PROVIDER_AT_SIGN_IN },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_MAILBOX,
		.nature = VERDICT_NATURE_AUTHENTICATION,
		.retry_after_us = 15 * US_PER_MIN,
		.cause = "token-not-understood",
		.summary = "High Volume Email cannot read what was sent to sign in. Check that "
			   "`login` is the full address of the HVE account, and that the tenant's "
			   "`id` and `cloud` are right.",
		.source = HVE_FORMAT,
		.checked = CHECKED },
	{ .on = { .code = 501, .enhanced = "5.5.127", .stages = PROVIDER_AT_SIGN_IN },
		.kind = VERDICT_RETRY,
		.scope = VERDICT_SCOPE_MAILBOX,
		.nature = VERDICT_NATURE_AUTHENTICATION,
		.retry_after_us = US_PER_MIN,
		.cause = "token-stale",
		.summary = "High Volume Email wants a token with more life left. It is tried again"
			   " with a new one; if this stays, check this machine's clock.",
		.source = HVE_STALE,
		.checked = CHECKED },
	{ .on = { .code = 535,
		  .enhanced = "5.7.142",
		  .detail_max = 143,
		  .stages = PROVIDER_AT_SIGN_IN },
		.kind = VERDICT_RETRY,
		.scope = VERDICT_SCOPE_MAILBOX,
		.nature = VERDICT_NATURE_AUTHENTICATION,
		.retry_after_us = US_PER_MIN,
		.cause = "token-stale",
		.summary = "The token has ended, or has too little life left for the server. It is"
			   " tried again with a new one; if this stays, check this machine's "
			   "clock.",
		.source = HVE_SEEN,
		.checked = CHECKED },
	{ .on = { .code = 535, .enhanced = "5.7.144", .stages = PROVIDER_AT_SIGN_IN },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_MAILBOX,
		.nature = VERDICT_NATURE_AUTHENTICATION,
		.retry_after_us = 15 * US_PER_MIN,
		.cause = "token-permission-missing",
		.summary = "The app lacks the permission. An Entra administrator gives it Mail.Send"
			   " of Office 365 Exchange Online and grants consent: Entra admin center, "
			   "App registrations, API permissions.",
		.source = HVE_SEEN,
		.checked = CHECKED },
	{ .on = { .code = 5, .enhanced = "5.7.240", .stages = PROVIDER_AT_ANY },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_MAILBOX,
		.nature = VERDICT_NATURE_AUTHENTICATION,
		.retry_after_us = 15 * US_PER_MIN,
		.cause = "app-not-allowed",
		.summary = "The app is not on the list of this HVE account. An Exchange "
			   "administrator adds it: Add-HVEAppAccess -Identity ACCOUNT -AppIds APP."
			   " It takes five minutes.",
		.source = HVE_ACCESS,
		.checked = CHECKED },
	{ .on = { .code = 5,
		  .enhanced = "5.2.240",
		  .stages = PROVIDER_AT_AUTH | PROVIDER_AT_MESSAGE },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_MAILBOX,
		.nature = VERDICT_NATURE_AUTHENTICATION,
		.retry_after_us = 15 * US_PER_MIN,
		.cause = "not-an-hve-account",
		.summary = "The login is not an account for High Volume Email. Set `login` to one "
			   "(New-MailUser -HVEAccount makes it), or let the mailbox use `provider: "
			   "submission`.",
		.source = HVE_SEEN,
		.checked = CHECKED },
	{ .on = { .code = 5,
		  .enhanced = "5.5.105",
		  .providers = PROVIDER_OF_HVE,
		  .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_PARK,
		.scope = PROVIDER_SCOPE_BY_STAGE,
		.retry_after_us = US_PER_HOUR,
		.cause = "external-recipient",
		.summary = "High Volume Email carries mail to the tenant's own domains only. Let a "
			   "route send this recipient through another door, and check `domains` of "
			   "the tenant; then: postern queue reroute.",
		.source = HVE_SEEN,
		.checked = CHECKED },
	{ .on = { .code = 5,
		  .enhanced = "5.7.62",
		  .providers = PROVIDER_OF_HVE,
		  .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_SENDER,
		.retry_after_us = US_PER_HOUR,
		.cause = "sender-not-account",
		.summary = "An HVE account sends only as itself: the envelope's sender is another "
			   "address. Check that the mailbox's `address` is the account's own.",
		.source = HVE_SEEN,
		.checked = CHECKED },
	{ .on = { .code = 5,
		  .enhanced = "5.6.241",
		  .providers = PROVIDER_OF_HVE,
		  .stages = PROVIDER_AT_DATA },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_SENDER,
		.retry_after_us = US_PER_HOUR,
		.cause = "sender-not-account",
		.summary = "An HVE account sends only as itself: the From field names another "
			   "address. Check that the mailbox's `address` is the account's own.",
		.source = HVE_SEEN,
		.checked = CHECKED },
	/* ---- the tenant's mail exchanger ---- */
	{ .on = { .code = 5,
		  .enhanced = "5.7.64",
		  .text = "TenantAttribution",
		  .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_ROUTE,
		.nature = VERDICT_NATURE_AUTHENTICATION,
		.retry_after_us = 15 * US_PER_MIN,
		.cause = "connector-missing",
		.summary = "No inbound connector of the tenant fits this machine's address or "
			   "certificate. An Exchange administrator corrects it: Exchange admin "
			   "center, Mail flow, Connectors, or New-InboundConnector -Name NAME "
			   "-ConnectorType OnPremises -SenderDomains * with -SenderIPAddresses or "
			   "-TlsSenderCertificateName.",
		.source = RELAY,
		.checked = CHECKED },
	{ .on = { .code = 5,
		  .enhanced = "5.7.64",
		  .text = "ATTR36",
		  .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_ROUTE,
		.nature = VERDICT_NATURE_AUTHENTICATION,
		.retry_after_us = 15 * US_PER_MIN,
		.cause = "connector-domain-missing",
		.summary = "Neither the sender's domain nor the domain of the connector's "
			   "certificate is an accepted domain of the tenant. An Exchange "
			   "administrator adds it (admin center, Settings, Domains), or makes the "
			   "connector known by a certificate of an accepted domain.",
		.source = ATTRIBUTION,
		.checked = CHECKED },
	{ .on = { .code = 4,
		  .enhanced = "4.5.3",
		  .text = "too many recipients",
		  .providers = PROVIDER_OF_EXCHANGER,
		  .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_RETRY,
		.scope = PROVIDER_SCOPE_BY_STAGE,
		.retry_after_us = 10 * US_PER_S,
		.cause = "too-many-of-domain",
		.summary = "The server takes 200 recipients of one domain in a message. The rest "
			   "go in the next; if this stays, lower `recipients_per_domain`.",
		.source = NDR,
		.checked = CHECKED },
	{ .on = { .code = 4,
		  .enhanced = "4.5.3",
		  .providers = PROVIDER_OF_EXCHANGER,
		  .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_RETRY,
		.scope = PROVIDER_SCOPE_BY_STAGE,
		.retry_after_us = 10 * US_PER_S,
		.cause = "too-many-of-domain",
		.summary = "The server takes 200 recipients of one domain in a message. The rest "
			   "go in the next; if this stays, lower `recipients_per_domain`.",
		.source = NDR,
		.checked = CHECKED },
	{ .on = { .code = 5,
		  .enhanced = "5.7.57",
		  .providers = PROVIDER_OF_EXCHANGER,
		  .stages = PROVIDER_AT_ANY },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_ROUTE,
		.nature = VERDICT_NATURE_AUTHENTICATION,
		.retry_after_us = 15 * US_PER_MIN,
		.cause = "not-the-exchanger",
		.summary = "This server wants a sign-in: it is not the tenant's mail exchanger. "
			   "Set `host` to the MX host of the tenant's domain (the Microsoft 365 "
			   "admin center shows it under Settings, Domains), port 25.",
		.source = DEVICES,
		.checked = CHECKED },
	{ .on = { .code = 5,
		  .enhanced = "5.7.54",
		  .providers = PROVIDER_OF_EXCHANGER,
		  .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_PARK,
		.scope = PROVIDER_SCOPE_BY_STAGE,
		.retry_after_us = US_PER_HOUR,
		.cause = "external-recipient",
		.summary = "Without a connector the server takes mail for the tenant's own domains "
			   "only. Let a route send this recipient through another door, or an "
			   "Exchange administrator adds an inbound connector for this machine; "
			   "then: postern queue reroute.",
		.source = NDR,
		.checked = CHECKED },
	{ .on = { .code = 4, .enhanced = "4.7.26", .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_RETRY,
		.scope = PROVIDER_SCOPE_BY_STAGE,
		.retry_after_us = US_PER_HOUR,
		.cause = "domain-not-authenticated",
		.summary = "Over IPv6 the receiver takes only mail that passes SPF or DKIM. Who "
			   "runs the DNS of the sending domain adds what is missing, or the mail "
			   "goes by IPv4.",
		.source = NDR,
		.checked = CHECKED },
	{ .on = { .code = 5, .enhanced = "5.7.510", .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_ROUTE,
		.retry_after_us = US_PER_HOUR,
		.cause = "ipv6-refused",
		.summary = "The recipient's organization takes no mail by IPv6. Send by IPv4: set "
			   "`source` to an IPv4 address of this machine.",
		.source = NDR,
		.checked = CHECKED },
	/* ---- what a receiver's side tells later ---- */
	{ .on = { .code = 4,
		  .enhanced = "4.7.321",
		  .detail_max = 325,
		  .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_RETRY,
		.scope = PROVIDER_SCOPE_BY_STAGE,
		.retry_after_us = US_PER_HOUR,
		.cause = "receiver-tls-broken",
		.summary = "The recipient's domain asks for secured mail (DANE or MTA-STS), and its"
			   " server's TLS does not fit. Its administrator corrects that; it is "
			   "tried again.",
		.source = NDR,
		.checked = CHECKED },
	{ .on = { .code = 5,
		  .enhanced = "5.7.321",
		  .detail_max = 325,
		  .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_BOUNCE,
		.scope = PROVIDER_SCOPE_BY_STAGE,
		.cause = "receiver-tls-broken",
		.summary = "The recipient's domain asks for secured mail (DANE or MTA-STS), and its"
			   " server's TLS does not fit. Its administrator must correct that.",
		.source = NDR,
		.checked = CHECKED },
	{ .on = { .code = 5, .enhanced = "5.4.300", .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_BOUNCE,
		.scope = PROVIDER_SCOPE_BY_STAGE,
		.cause = "expired-there",
		.summary = "Microsoft could not hand the message on for a day. Ask the recipient's"
			   " administrator.",
		.source = NDR,
		.checked = CHECKED },
	{ .on = { .code = 550,
		  .enhanced = "5.5.0",
		  .text = "mailbox unavailable",
		  .stages = PROVIDER_AT_MESSAGE },
		.kind = VERDICT_BOUNCE,
		.scope = PROVIDER_SCOPE_BY_STAGE,
		.cause = "no-such-recipient",
		.summary = "Outlook.com has no such mailbox, or it is closed. Check the address.",
		.source = NDR,
		.checked = CHECKED },
	{ .on = { .code = 5,
		  .enhanced = "5.7.1",
		  .text = "^Message rejected as spam",
		  .stages = PROVIDER_AT_DATA },
		.kind = VERDICT_BOUNCE,
		.scope = VERDICT_SCOPE_MESSAGE,
		.nature = VERDICT_NATURE_REPUTATION,
		.cause = "looks-like-spam",
		.summary = "The receiver takes the message for spam. Its sender should look at its"
			   " words and links, and at who gets it.",
		.source = NDR,
		.checked = CHECKED },
};

const struct provider_table provider_exchange_doors = { rows, COUNT_OF(rows) };
