/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/reply_priv.h"

/*
 * How Exchange Online refuses a sign-in. Every one of these parks the mailbox at the first hit: trying
 * again with the same password only brings the account nearer to being locked. The scope is never the
 * tenant, even where the text says so: an administrator can allow single mailboxes.
 */

#define CHECKED "2026-11-23"
#define DEVICES                                                          \
	"https://learn.microsoft.com/exchange/mail-flow-best-practices/" \
	"fix-issues-with-printers-scanners-and-lob-applications-that-send-email-using-off"
#define BASIC                                                \
	"https://techcommunity.microsoft.com/blog/exchange/" \
	"updated-exchange-online-smtp-auth-basic-authentication-deprecation-timeline/4489835"
#define SWITCH "https://aka.ms/smtp_auth_disabled"
#define OAUTH                                                                     \
	"https://learn.microsoft.com/exchange/client-developer/legacy-protocols/" \
	"how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth"
#define SEEN_PLAIN "https://github.com/u-ichi/fluent-plugin-mail/issues/44"
#define RFC_4954 "RFC 4954, section 6"

static const struct provider_row rows[] = {
	{ .on = { .code = 535,
		  .enhanced = "5.7.139",
		  .text = "SmtpClientAuthentication is disabled for the Tenant",
		  .stages = PROVIDER_AT_SIGN_IN },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_MAILBOX,
		.nature = VERDICT_NATURE_AUTHENTICATION,
		.retry_after_us = 15 * US_PER_MIN,
		.cause = "smtp-auth-off",
		.summary = "SMTP AUTH is switched off in this Microsoft 365 tenant. An Exchange "
			   "administrator switches it on for this mailbox: Set-CASMailbox "
			   "-Identity MAILBOX -SmtpClientAuthenticationDisabled $false (or admin "
			   "center: Users, Active users, Mail, Manage email apps, Authenticated "
			   "SMTP). It can take an hour.",
		.source = SWITCH,
		.checked = CHECKED },
	{ .on = { .code = 535,
		  .enhanced = "5.7.139",
		  .text = "SmtpClientAuthentication is disabled for the Mailbox",
		  .stages = PROVIDER_AT_SIGN_IN },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_MAILBOX,
		.nature = VERDICT_NATURE_AUTHENTICATION,
		.retry_after_us = 15 * US_PER_MIN,
		.cause = "smtp-auth-off",
		.summary = "SMTP AUTH is switched off for this mailbox. An Exchange administrator"
			   " switches it on: Set-CASMailbox -Identity MAILBOX "
			   "-SmtpClientAuthenticationDisabled $false (or admin center: Users, "
			   "Active users, Mail, Manage email apps, Authenticated SMTP). It can "
			   "take an hour.",
		.source = SWITCH,
		.checked = CHECKED },
	{ .on = { .code = 535,
		  .enhanced = "5.7.139",
		  .text = "user credentials were incorrect",
		  .stages = PROVIDER_AT_SIGN_IN },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_MAILBOX,
		.nature = VERDICT_NATURE_AUTHENTICATION,
		.retry_after_us = US_PER_HOUR,
		.cause = "wrong-credentials",
		.summary = "Microsoft 365 refuses the login or the password of this mailbox. Put "
			   "the right password into the configuration; with multi-factor sign-in "
			   "it must be an app password. Tried rarely until then, since repeated "
			   "failures lock the account.",
		.source = DEVICES,
		.checked = CHECKED },
	{ .on = { .code = 535,
		  .enhanced = "5.7.139",
		  .text = "basic authentication is disabled",
		  .stages = PROVIDER_AT_SIGN_IN },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_MAILBOX,
		.nature = VERDICT_NATURE_AUTHENTICATION,
		.retry_after_us = US_PER_HOUR,
		.cause = "basic-auth-blocked",
		.summary = "Sign-in with a password is blocked for this mailbox, by an "
			   "authentication policy or by Microsoft's retirement of it. Where it is"
			   " still allowed, an Exchange administrator sets: "
			   "Set-AuthenticationPolicy POLICY -AllowBasicAuthSmtp.",
		.source = BASIC,
		.checked = CHECKED },
	{ .on = { .code = 550, .enhanced = "5.7.30", .stages = PROVIDER_AT_SIGN_IN },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_MAILBOX,
		.nature = VERDICT_NATURE_AUTHENTICATION,
		.retry_after_us = US_PER_HOUR,
		.cause = "basic-auth-retired",
		.summary = "Microsoft has retired sign-in with a password for client submission "
			   "in this tenant. An administrator must allow it again where that is "
			   "still offered, or this mail needs another way out.",
		.source = BASIC,
		.checked = CHECKED },
	{ .on = { .code = 535,
		  .enhanced = "5.7.139",
		  .text = "security defaults policy",
		  .stages = PROVIDER_AT_SIGN_IN },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_MAILBOX,
		.nature = VERDICT_NATURE_AUTHENTICATION,
		.retry_after_us = US_PER_HOUR,
		.cause = "security-defaults",
		.summary = "The security defaults of Microsoft Entra block sign-in with a "
			   "password. An Entra administrator decides: Entra admin center, "
			   "Overview, Properties, Manage security defaults; conditional access "
			   "can take their place.",
		.source = DEVICES,
		.checked = CHECKED },
	{ .on = { .code = 535,
		  .enhanced = "5.7.139",
		  .text = "did not meet the criteria",
		  .stages = PROVIDER_AT_SIGN_IN },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_MAILBOX,
		.nature = VERDICT_NATURE_AUTHENTICATION,
		.retry_after_us = US_PER_HOUR,
		.cause = "conditional-access",
		.summary = "A conditional access rule, multi-factor sign-in or a block of legacy "
			   "authentication refuses this sign-in. An Entra administrator finds the"
			   " rule in the sign-in log of this account and exempts the account from"
			   " it.",
		.source = DEVICES,
		.checked = CHECKED },
	{ .on = { .code = 535,
		  .enhanced = "5.7.139",
		  .text = "organization configuration doesn't allow",
		  .stages = PROVIDER_AT_SIGN_IN },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_MAILBOX,
		.nature = VERDICT_NATURE_AUTHENTICATION,
		.retry_after_us = US_PER_HOUR,
		.cause = "organization-blocks-sign-in",
		.summary = "The organization's security defaults or an authentication policy "
			   "refuse sign-in with a password. An administrator turns the defaults "
			   "off, or allows it in the policy: Set-AuthenticationPolicy POLICY "
			   "-AllowBasicAuthSmtp.",
		.source = DEVICES,
		.checked = CHECKED },
	{ .on = { .code = 535,
		  .enhanced = "5.7.139",
		  .text = "federated STS service was unreachable",
		  .stages = PROVIDER_AT_SIGN_IN },
		.kind = VERDICT_RETRY,
		.scope = VERDICT_SCOPE_MAILBOX,
		.nature = VERDICT_NATURE_OUTAGE,
		.retry_after_us = 10 * US_PER_MIN,
		.cause = "federation-down",
		.summary = "Microsoft cannot reach the federation server (ADFS) of the "
			   "organization to check the password; its administrator should look at "
			   "it. It is tried again.",
		.source = DEVICES,
		.checked = CHECKED },
	{ .on = { .code = 535,
		  .enhanced = "5.7.139",
		  .text = "federated STS URL does not support HTTPS",
		  .stages = PROVIDER_AT_SIGN_IN },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_MAILBOX,
		.nature = VERDICT_NATURE_AUTHENTICATION,
		.retry_after_us = US_PER_HOUR,
		.cause = "federation-without-tls",
		.summary = "The federation server (ADFS) of the organization does not speak TLS "
			   "1.2, so Microsoft cannot check the password. Its administrator "
			   "enables TLS 1.2.",
		.source = DEVICES,
		.checked = CHECKED },
	{ .on = { .code = 535, .enhanced = "5.7.139", .stages = PROVIDER_AT_SIGN_IN },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_MAILBOX,
		.nature = VERDICT_NATURE_AUTHENTICATION,
		.retry_after_us = US_PER_HOUR,
		.cause = "sign-in-refused",
		.summary = "Microsoft 365 refuses to sign this mailbox in; the reply names the "
			   "reason. An administrator finds it in the sign-in log of this account "
			   "in the Entra admin center.",
		.source = DEVICES,
		.checked = CHECKED },
	{ .on = { .code = 535,
		  .enhanced = "5.7.3",
		  .providers = PROVIDER_OF_MAILBOX,
		  .stages = PROVIDER_AT_SIGN_IN },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_MAILBOX,
		.nature = VERDICT_NATURE_AUTHENTICATION,
		.retry_after_us = US_PER_HOUR,
		.cause = "wrong-credentials",
		.summary = "Microsoft 365 refuses the sign-in of this mailbox. Check login and "
			   "password; after an administrator's change it can take an hour to "
			   "work.",
		.source = OAUTH,
		.checked = CHECKED },
	{ .on = { .code = 5,
		  .enhanced = "5.7.57",
		  .providers = PROVIDER_OF_MAILBOX,
		  .stages = PROVIDER_AT_ANY },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_MAILBOX,
		.nature = VERDICT_NATURE_AUTHENTICATION,
		.retry_after_us = 15 * US_PER_MIN,
		.cause = "not-signed-in",
		.summary = "Microsoft 365 takes mail here only after a sign-in, and there was "
			   "none that it accepted. Set login and password of this mailbox, with "
			   "TLS, and check that SMTP AUTH is on for it.",
		.source = DEVICES,
		.checked = CHECKED },
	{ .on = { .code = 504,
		  .enhanced = "5.7.4",
		  .providers = PROVIDER_OF_MAILBOX,
		  .stages = PROVIDER_AT_AUTH },
		.kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_MAILBOX,
		.nature = VERDICT_NATURE_AUTHENTICATION,
		.retry_after_us = US_PER_HOUR,
		.cause = "sign-in-method-unknown",
		.summary = "The server does not know the sign-in method that was used. Check that"
			   " the host is smtp.office365.com, port 587; if it is, sign-in with a "
			   "password is gone here.",
		.source = SEEN_PLAIN,
		.checked = CHECKED },
	{ .on = { .code = 454, .enhanced = "4.7.0", .stages = PROVIDER_AT_AUTH },
		.kind = VERDICT_RETRY,
		.scope = VERDICT_SCOPE_MAILBOX,
		.nature = VERDICT_NATURE_OUTAGE,
		.cause = "sign-in-unavailable",
		.summary = "The server cannot check passwords at the moment; the password is not "
			   "at fault. It is tried again.",
		.source = RFC_4954,
		.checked = CHECKED },
	{ .on = { .code = 430, .providers = PROVIDER_OF_MAILBOX, .stages = PROVIDER_AT_AUTH },
		.kind = VERDICT_RETRY,
		.scope = VERDICT_SCOPE_MAILBOX,
		.nature = VERDICT_NATURE_OUTAGE,
		.cause = "sign-in-unavailable",
		.summary = "The server cannot sign the mailbox in at the moment. It is tried "
			   "again.",
		.source = DEVICES,
		.checked = CHECKED },
};

const struct provider_table provider_exchange_sign_in = { rows, COUNT_OF(rows) };
