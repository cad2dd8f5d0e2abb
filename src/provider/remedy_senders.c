/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/remedy_priv.h"

/* Senders, connectors and reputation. */

#define DEVICES                                                          \
	"https://learn.microsoft.com/exchange/mail-flow-best-practices/" \
	"fix-issues-with-printers-scanners-and-lob-applications-that-send-email-using-off"
#define DIRECT                                               \
	"https://techcommunity.microsoft.com/blog/exchange/" \
	"introducing-more-control-over-direct-send-in-exchange-online/4408790"
#define DKIM "https://learn.microsoft.com/defender-office-365/email-authentication-dkim-configure"
#define HVE                                                              \
	"https://learn.microsoft.com/exchange/mail-flow-best-practices/" \
	"troubleshoot-high-volume-email-m365"
#define LIMITS                                             \
	"https://learn.microsoft.com/defender-office-365/" \
	"outbound-spam-sending-limits-troubleshoot"
#define NDR                                                                     \
	"https://learn.microsoft.com/troubleshoot/exchange/email-delivery/ndr/" \
	"non-delivery-reports-in-exchange-online"
#define NDR700                                                           \
	"https://learn.microsoft.com/exchange/mail-flow-best-practices/" \
	"non-delivery-reports-in-exchange-online/fix-error-code-5-7-700-through-5-7-750"
#define SPF "https://learn.microsoft.com/defender-office-365/email-authentication-spf-configure"

static const struct provider_remedy rows[] = {
	{ .cause = "send-as-denied",
		.title = "The mailbox may not send as this sender",
		.owner = PROVIDER_OWNER_ADMINISTRATOR,
		.steps = { "Exchange admin center: Recipients, Mailboxes, {sender}, Delegation, "
			   "Send as: add {mailbox}. It can take an hour.",
			"Or let the application send from {mailbox} itself." },
		.powershell = { "Add-RecipientPermission -Identity {sender} -Trustee {mailbox} "
				"-AccessRights SendAs" },
		.literal =
			"550 5.7.60 SMTP; Client does not have permissions to send as this sender",
		.link = DEVICES },
	{ .cause = "mailbox-restricted",
		.title = "Microsoft has stopped this mailbox for spam or volume",
		.owner = PROVIDER_OWNER_ADMINISTRATOR,
		.steps = { "Find the cause (a stolen password, a bulk mailing) and end it.",
			"Then unblock {mailbox}: https://security.microsoft.com/restrictedusers. "
			"Do not move its mail to another mailbox: that can cost the tenant." },
		.powershell = { "Remove-BlockedSenderAddress -SenderAddress {mailbox}" },
		.literal = "550 5.1.8 Access denied, bad outbound sender",
		.link = "https://learn.microsoft.com/defender-office-365/"
			"outbound-spam-restore-restricted-users" },
	{ .cause = "mailbox-banned",
		.title = "Microsoft has banned this sending account for abuse",
		.owner = PROVIDER_OWNER_ADMINISTRATOR,
		.steps = { "Reset the password of {mailbox}, find the cause, and ask Microsoft "
			   "Support to release it." },
		.literal = "550 5.7.501 Access denied, spam abuse detected",
		.link = NDR },
	{ .cause = "tenant-blocked",
		.title = "Microsoft has stopped mail from the whole tenant",
		.owner = PROVIDER_OWNER_ADMINISTRATOR,
		.steps = { "Find the cause (spam, bulk mail, a stolen account; after a late "
			   "renewal wait a day).",
			"Then ask Microsoft Support to release the tenant. Send nothing around "
			"it." },
		.literal = "550 5.7.705 Access denied, tenant has exceeded threshold",
		.link = NDR700 },
	{ .cause = "tenant-untrusted",
		.title = "Microsoft does not take mail from this tenant's addresses",
		.owner = PROVIDER_OWNER_ADMINISTRATOR,
		.steps = { "Ask Microsoft Support; a trial tenant buys licences first." },
		.literal = "550 5.7.708 Access denied, traffic not accepted from this IP",
		.link = NDR700 },
	{ .cause = "unregistered-domains",
		.title = "Too much mail came from domains that the tenant does not own",
		.owner = PROVIDER_OWNER_ADMINISTRATOR,
		.steps = { "Admin center: Settings, Domains: add every sending domain. Then ask "
			   "Microsoft Support to release the tenant." },
		.powershell = { "Get-AcceptedDomain" },
		.literal = "550 5.7.750 Service unavailable. Client blocked from sending from "
			   "unregistered domains",
		.link = NDR700 },
	{ .cause = "domain-banned",
		.title = "Microsoft has banned the sending domain",
		.owner = PROVIDER_OWNER_ADMINISTRATOR,
		.steps = { "Ask Microsoft Support to release it." },
		.literal = "550 5.7.800 Access denied, banned sender",
		.link = NDR },
	{ .cause = "address-banned",
		.title = "Microsoft has banned this machine's IP address",
		.owner = PROVIDER_OWNER_YOU,
		.steps = { "Find out why (spam, a shared address), then ask for its removal: "
			   "https://sender.office.com, for code 5.7.511 by forwarding the reply to "
			   "delist@microsoft.com." },
		.literal = "550 5.7.606 Access denied, banned sending IP",
		.link = "https://sender.office.com" },
	{ .cause = "address-restricted",
		.title = "This machine's IP address is distrusted by the receiver",
		.owner = PROVIDER_OWNER_YOU,
		.steps = { "Find the sender of unwanted mail and stop it; then follow what the "
			   "reply says." },
		.link = NDR },
	{ .cause = "bad-helo",
		.title = "The server refuses the name that this machine gives itself",
		.owner = PROVIDER_OWNER_YOU,
		.steps = { "Set `hostname` to this machine's own full name." },
		.literal = "550 5.7.506 Access Denied, Bad HELO",
		.link = NDR },
	{ .cause = "no-reverse-name",
		.title = "This machine's IP address has no reverse DNS name",
		.owner = PROVIDER_OWNER_YOU,
		.steps = { "Ask the network's provider for a PTR record, or send by IPv4." },
		.literal = "550 5.7.25 Service unavailable, sending IPv6 address must have reverse "
			   "DNS record",
		.link = NDR },
	{ .cause = "address-range-limit",
		.title = "The limit of this range of IPv6 addresses is reached",
		.owner = PROVIDER_OWNER_YOU,
		.steps = { "Send by IPv4." },
		.link = NDR },
	{ .cause = "connector-missing",
		.title = "No inbound connector of the tenant fits this machine",
		.owner = PROVIDER_OWNER_ADMINISTRATOR,
		.steps = { "Exchange admin center: Mail flow, Connectors: the connector from your "
			   "organization's server must have this machine's public IPv4 address, or "
			   "its certificate's name.",
			"The sending domain must be an accepted domain." },
		.powershell = { "Set-InboundConnector -Identity CONNECTOR -SenderIPAddresses "
				"IP_ADDRESS" },
		.literal = "550 5.7.64 TenantAttribution; Relay Access Denied",
		.link = "https://learn.microsoft.com/troubleshoot/exchange/email-delivery/ndr/"
			"relay-access-denied-smtp" },
	{ .cause = "connector-domain-missing",
		.title = "Neither the sender's nor the certificate's domain is accepted",
		.owner = PROVIDER_OWNER_ADMINISTRATOR,
		.steps = { "Admin center: Settings, Domains: add the domain of {sender}, or the "
			   "domain of the connector's certificate." },
		.powershell = { "Get-AcceptedDomain" },
		.literal = "550 5.7.64 Relay Access Denied ATTR36. For more details please refer "
			   "to KB 3169958",
		.link = "https://learn.microsoft.com/exchange/mail-flow-best-practices/"
			"non-delivery-reports-in-exchange-online/"
			"fix-error-code-5-7-64-in-exchange-online" },
	{ .cause = "direct-send-off",
		.title = "The organization refuses direct send",
		.owner = PROVIDER_OWNER_ADMINISTRATOR,
		.steps = { "Add an inbound connector for this machine (Exchange admin center: Mail "
			   "flow, Connectors), or sign in instead.",
			"Or allow direct send again; it takes about 30 minutes." },
		.powershell = { "Set-OrganizationConfig -RejectDirectSend $false" },
		.literal = "550 5.7.68 TenantInboundAttribution; Direct Send not allowed for this "
			   "organization from unauthorized sources",
		.link = DIRECT },
	{ .cause = "connector-blocked",
		.title = "Microsoft has blocked the inbound connector as compromised",
		.owner = PROVIDER_OWNER_ADMINISTRATOR,
		.steps = { "Find what was sent through it and end it, then release the "
			   "connector." },
		.powershell = { "Get-BlockedConnector",
			"Remove-BlockedConnector -ConnectorId CONNECTOR_ID" },
		.literal = "550 5.7.711 Access denied, bad inbound connector. AS(2204)",
		.link = "https://learn.microsoft.com/defender-office-365/"
			"connectors-remove-blocked" },
	{ .cause = "wrong-region",
		.title = "The mail went to the wrong Microsoft 365 region",
		.owner = PROVIDER_OWNER_ADMINISTRATOR,
		.steps = { "Set `host` to the MX host of your own domain (admin center: Settings, "
			   "Domains), and check the inbound connector." },
		.literal = "451 4.4.62 Mail sent to the wrong Office 365 region",
		.link = DEVICES },
	{ .cause = "not-the-exchanger",
		.title = "This server is not your domain's mail exchanger",
		.owner = PROVIDER_OWNER_YOU,
		.steps = { "Set `host` to the MX host of your own domain: admin center, Settings, "
			   "Domains, the domain, DNS records." },
		.link = DEVICES },
	{ .cause = "partner-connector",
		.title = "The recipient's organization takes your domain's mail only from set "
			 "addresses",
		.owner = PROVIDER_OWNER_RECIPIENT,
		.steps = { "Ask the recipient's administrator: a partner connector there wants "
			   "another address or certificate." },
		.link = NDR },
	{ .cause = "dmarc-failed",
		.title = "The sending domain fails DMARC at the receiver",
		.owner = PROVIDER_OWNER_ADMINISTRATOR,
		.steps = { "In the DNS of the sending domain, correct SPF and turn DKIM on so that "
			   "they fit the From address." },
		.powershell = { "Set-DkimSigningConfig -Identity DOMAIN -Enabled $true" },
		.literal = "550 5.7.509 Access denied, sending domain does not pass DMARC "
			   "verification and has a DMARC policy of reject.",
		.link = DKIM },
	{ .cause = "domain-not-authenticated",
		.title = "The sending domain lacks SPF, DKIM or DMARC",
		.owner = PROVIDER_OWNER_ADMINISTRATOR,
		.steps = { "In the DNS of the sending domain, add what is missing: SPF with "
			   "include:spf.protection.outlook.com, DKIM, and DMARC with at least "
			   "p=none." },
		.powershell = { "Set-DkimSigningConfig -Identity DOMAIN -Enabled $true" },
		.literal = "550 5.7.515 Access denied, sending domain does not meet the required "
			   "authentication level",
		.link = DKIM },
	{ .cause = "spf-failed",
		.title = "SPF of the sending domain does not allow this server",
		.owner = PROVIDER_OWNER_ADMINISTRATOR,
		.steps = { "In the DNS of the sending domain, add the servers that send for it to "
			   "its SPF record; for Microsoft 365 "
			   "include:spf.protection.outlook.com." },
		.literal = "550 5.7.23 The message was rejected because of Sender Policy Framework "
			   "violation",
		.link = SPF },
	{ .cause = "sender-not-account",
		.title = "An HVE account sends only as itself",
		.owner = PROVIDER_OWNER_YOU,
		.steps = { "Let the application send from {mailbox}, or use another door for this "
			   "sender." },
		.link = HVE },
	{ .cause = "sender-not-allowed-here",
		.title = "The login may not send as this sender",
		.owner = PROVIDER_OWNER_YOU,
		.steps = { "Let the application send from the login's own address, or ask the "
			   "server's administrator to allow {sender}." },
		.link = "RFC 5321, section 3.6.2" },
	{ .cause = "relay-denied",
		.title = "The server does not relay for this machine",
		.owner = PROVIDER_OWNER_YOU,
		.steps = { "Use the right server and sign in: at Microsoft smtp.office365.com, "
			   "port 587; for relay without a sign-in the tenant's MX host and an "
			   "inbound connector." },
		.literal = "550 5.7.1 Unable to relay",
		.link = DEVICES },
	{ .cause = "bad-sender-address",
		.title = "The sender's address is not well formed",
		.owner = PROVIDER_OWNER_YOU,
		.steps = { "The application that sends must correct {sender}." },
		.link = "RFC 3463, section 3.2" },
	{ .cause = "bad-sender-domain",
		.title = "The domain of the sender's address does not exist for the receiver",
		.owner = PROVIDER_OWNER_YOU,
		.steps = { "Correct the sender {sender}, or give its domain an MX or A record in "
			   "DNS." },
		.link = "RFC 3463, section 3.2" },
	{ .cause = "blocked-by-own-list",
		.title = "Your own Tenant Allow/Block List blocks a recipient",
		.owner = PROVIDER_OWNER_ADMINISTRATOR,
		.steps = { "Microsoft Defender portal: Policies & rules, Threat policies, Tenant "
			   "Allow/Block Lists: remove {recipient}." },
		.powershell = { "Remove-TenantAllowBlockListItems -ListType Sender -Entries "
				"{recipient}" },
		.literal = "550 5.7.703 Your message can't be delivered because messages are "
			   "blocked by your organization using Tenant Allow Block List.",
		.link = NDR700 },
	{ .cause = "forwarding-not-allowed",
		.title = "The organization does not allow automatic forwarding",
		.owner = PROVIDER_OWNER_ADMINISTRATOR,
		.steps = { "Microsoft Defender portal: Anti-spam policies, outbound policy: allow "
			   "automatic forwarding for {mailbox}." },
		.powershell = { "Set-HostedOutboundSpamFilterPolicy -Identity POLICY "
				"-AutoForwardingMode On" },
		.literal = "550 5.7.520 Access denied, Your organization does not allow external "
			   "forwarding",
		.link = LIMITS },
	{ .cause = "refused-by-rule",
		.title = "A mail flow rule of the organization refuses the message",
		.owner = PROVIDER_OWNER_ADMINISTRATOR,
		.steps = { "Exchange admin center: Mail flow, Rules: find the rule that rejects "
			   "it; if it is the recipient's organization, ask its administrator." },
		.powershell = { "Get-TransportRule" },
		.literal = "550 5.7.1 TRANSPORT.RULES.RejectMessage; the message was rejected by "
			   "organization policy",
		.link = NDR },
};

const struct provider_remedy_table provider_remedy_senders = { rows, COUNT_OF(rows) };
