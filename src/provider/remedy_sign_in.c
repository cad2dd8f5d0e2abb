/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/remedy_priv.h"

/* How a sign-in at Exchange Online or another server fails. */

#define BASIC                                                \
	"https://techcommunity.microsoft.com/blog/exchange/" \
	"updated-exchange-online-smtp-auth-basic-authentication-deprecation-timeline/4489835"
#define DEVICES                                                          \
	"https://learn.microsoft.com/exchange/mail-flow-best-practices/" \
	"fix-issues-with-printers-scanners-and-lob-applications-that-send-email-using-off"
#define HVE                                                              \
	"https://learn.microsoft.com/exchange/mail-flow-best-practices/" \
	"troubleshoot-high-volume-email-m365"
#define OAUTH                                                                     \
	"https://learn.microsoft.com/exchange/client-developer/legacy-protocols/" \
	"how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth"
#define REFERENCE "https://learn.microsoft.com/entra/identity-platform/reference-error-codes"

static const struct provider_remedy rows[] = {
	{ .cause = "smtp-auth-off",
		.title = "SMTP AUTH is switched off for this mailbox or tenant",
		.owner = PROVIDER_OWNER_ADMINISTRATOR,
		.steps = { "Admin center: Users, Active users, {mailbox}, Mail, Manage email apps: "
			   "tick Authenticated SMTP.",
			"Wait up to an hour. The tenant's own switch may stay off." },
		.powershell = { "Set-CASMailbox -Identity {mailbox} "
				"-SmtpClientAuthenticationDisabled $false" },
		.literal = "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is "
			   "disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled for "
			   "more information.",
		.link = "https://aka.ms/smtp_auth_disabled" },
	{ .cause = "wrong-credentials",
		.title = "Login or password is wrong",
		.owner = PROVIDER_OWNER_YOU,
		.steps = { "Put the right login and password of {mailbox} into the configuration; "
			   "with multi-factor sign-in it must be an app password.",
			"If that is right, an administrator looks at {mailbox} in the Entra "
			"sign-in logs." },
		.literal = "535 5.7.139 Authentication unsuccessful, the user credentials were "
			   "incorrect.",
		.link = DEVICES },
	{ .cause = "basic-auth-blocked",
		.title = "Sign-in with a password is blocked for this mailbox",
		.owner = PROVIDER_OWNER_ADMINISTRATOR,
		.steps = { "Sign in with a token instead (`auth: app`).",
			"Or allow passwords for SMTP in the authentication policy of {mailbox}, "
			"where Microsoft still offers it." },
		.powershell = { "Set-AuthenticationPolicy POLICY -AllowBasicAuthSmtp" },
		.literal = "535 5.7.139 Authentication unsuccessful, basic authentication is "
			   "disabled.",
		.link = BASIC },
	{ .cause = "basic-auth-retired",
		.title = "Microsoft has retired sign-in with a password here",
		.owner = PROVIDER_OWNER_ADMINISTRATOR,
		.steps = { "Sign in with a token instead: register an app and use `auth: app`." },
		.literal =
			"550 5.7.30 Basic authentication is not supported for Client Submission.",
		.link = BASIC },
	{ .cause = "security-defaults",
		.title = "Security defaults block sign-in with a password",
		.owner = PROVIDER_OWNER_ADMINISTRATOR,
		.steps = { "Sign in with a token (`auth: app`), which security defaults allow.",
			"Or Entra admin center: Overview, Properties, Manage security defaults: "
			"replace them by conditional access rules that spare {mailbox}." },
		.literal = "535 5.7.139 Authentication unsuccessful, user is locked by your "
			   "organization's security defaults policy. Contact your administrator.",
		.link = "https://learn.microsoft.com/entra/fundamentals/security-defaults" },
	{ .cause = "conditional-access",
		.title = "A conditional access rule or multi-factor sign-in refuses it",
		.owner = PROVIDER_OWNER_ADMINISTRATOR,
		.steps = { "Entra admin center: Monitoring, Sign-in logs, {mailbox}: the failed "
			   "sign-in names the rule. Exempt the account or the app, or allow this "
			   "machine's address.",
			"Or use `auth: app`, which needs no person." },
		.literal = "535 5.7.139 Authentication unsuccessful, the request did not meet the "
			   "criteria to be authenticated successfully. Contact your administrator.",
		.link = "https://learn.microsoft.com/entra/identity/conditional-access/"
			"troubleshoot-conditional-access" },
	{ .cause = "organization-blocks-sign-in",
		.title = "The organization does not allow this kind of sign-in",
		.owner = PROVIDER_OWNER_ADMINISTRATOR,
		.steps = { "Sign in with a token (`auth: app`).",
			"Or turn off security defaults (Entra admin center: Overview, Properties) "
			"and allow SMTP in the authentication policy of {mailbox}." },
		.powershell = { "Set-AuthenticationPolicy POLICY -AllowBasicAuthSmtp" },
		.literal = "535 5.7.139 Authentication unsuccessful, the organization "
			   "configuration doesn't allow this authentication request.",
		.link = DEVICES },
	{ .cause = "federation-down",
		.title = "Microsoft cannot reach your federation server (ADFS)",
		.owner = PROVIDER_OWNER_ADMINISTRATOR,
		.steps = { "Bring the federation server (ADFS) back, or make the domain a managed "
			   "one. postern tries again by itself." },
		.literal = "535 5.7.139 Authentication unsuccessful, federated STS service was "
			   "unreachable.",
		.link = DEVICES },
	{ .cause = "federation-without-tls",
		.title = "Your federation server (ADFS) does not speak TLS 1.2",
		.owner = PROVIDER_OWNER_ADMINISTRATOR,
		.steps = { "Enable TLS 1.2 on the federation server (ADFS)." },
		.literal = "535 5.7.139 Authentication unsuccessful, the federated STS URL does "
			   "not support HTTPS.",
		.link = DEVICES },
	{ .cause = "sign-in-refused",
		.title = "Microsoft refuses the sign-in of this mailbox",
		.owner = PROVIDER_OWNER_ADMINISTRATOR,
		.steps = { "Entra admin center: Monitoring, Sign-in logs, {mailbox}: the failed "
			   "sign-in names the reason." },
		.literal = "535 5.7.139 Authentication unsuccessful",
		.link = DEVICES },
	{ .cause = "not-signed-in",
		.title = "The mail was sent without a sign-in that the server accepted",
		.owner = PROVIDER_OWNER_YOU,
		.steps = { "Use smtp.office365.com, port 587, with STARTTLS, and the login and "
			   "password (or `auth: app`) of {mailbox}.",
			"Check that SMTP AUTH is on for {mailbox}; it can take an hour." },
		.powershell = { "Set-CASMailbox -Identity {mailbox} "
				"-SmtpClientAuthenticationDisabled $false" },
		.literal = "530 5.7.57 Client not authenticated to send mail",
		.link = DEVICES },
	{ .cause = "sign-in-method-unknown",
		.title = "The server does not know this way to sign in",
		.owner = PROVIDER_OWNER_YOU,
		.steps = { "At Microsoft use smtp.office365.com, port 587, with LOGIN (a password) "
			   "or XOAUTH2 (a token).",
			"Elsewhere ask the server's administrator which methods it takes." },
		.literal = "504 5.7.4 Unrecognized authentication type",
		.link = DEVICES },
	{ .cause = "sign-in-unavailable",
		.title = "The server cannot check sign-ins at the moment",
		.owner = PROVIDER_OWNER_MICROSOFT,
		.steps = { "Wait: it is tried again. The password is not at fault." },
		.literal = "454 4.7.0 Temporary authentication failure",
		.link = DEVICES },
	{ .cause = "sign-in-too-weak",
		.title = "The server wants another sign-in than a plain password",
		.owner = PROVIDER_OWNER_YOU,
		.steps = { "Use an app password or a token for this login." },
		.link = "https://support.google.com/mail/answer/185833" },
	{ .cause = "sign-in-missing",
		.title = "The server offers no sign-in that fits",
		.owner = PROVIDER_OWNER_YOU,
		.steps = { "Check host and port (smtp.office365.com, 587) and that TLS is on; "
			   "nothing on the way may hide AUTH.",
			"If a password is used, sign in with a token instead (`auth: app`)." },
		.link = DEVICES },
	{ .cause = "token-refused",
		.title = "Microsoft refuses the sign-in and does not say why",
		.owner = PROVIDER_OWNER_ADMINISTRATOR,
		.steps = { "Check in this order: SMTP AUTH is on for {mailbox}; the app has "
			   "SMTP.SendAsApp (a person: SMTP.Send) of Office 365 Exchange Online, "
			   "not of Graph, with admin consent; the service principal has the object "
			   "id of the Enterprise application; it may use the mailbox. With a "
			   "password: it is wrong.",
			"Wait up to an hour after a change." },
		.powershell = { "New-ServicePrincipal -AppId {app} -ObjectId "
				"ENTERPRISE_APP_OBJECT_ID",
			"Add-MailboxPermission -Identity {mailbox} -User {app} -AccessRights "
			"FullAccess",
			"Set-CASMailbox -Identity {mailbox} -SmtpClientAuthenticationDisabled "
			"$false" },
		.literal = "535 5.7.3 Authentication unsuccessful",
		.link = OAUTH },
	{ .cause = "token-not-understood",
		.title = "The server cannot read the token that was sent",
		.owner = PROVIDER_OWNER_YOU,
		.steps = { "Check that `login` is the full address of the account, and the "
			   "tenant's `id` and `cloud`." },
		.literal = "501 5.5.121 Invalid XOAUTH2",
		.link = HVE },
	{ .cause = "token-stale",
		.title = "The token has ended or has too little life left",
		.owner = PROVIDER_OWNER_YOU,
		.steps = { "Wait: a new token is fetched. If it stays, set this machine's clock "
			   "right (timedatectl)." },
		.literal = "501 5.5.127 Invalid XOAUTH2 auth data - Token will expire soon",
		.link = OAUTH },
	{ .cause = "token-permission-missing",
		.title = "The app lacks the permission to send",
		.owner = PROVIDER_OWNER_ADMINISTRATOR,
		.steps = { "Entra admin center: App registrations, {app}, API permissions: add "
			   "Mail.Send of Office 365 Exchange Online and grant admin consent." },
		.literal = "535 5.7.144 XOAUTH2 authentication failed. Invalid API permissions",
		.link = HVE },
	{ .cause = "app-not-allowed",
		.title = "The app may not be used for this",
		.owner = PROVIDER_OWNER_ADMINISTRATOR,
		.steps = { "HVE: put the app on the account's list; it takes five minutes.",
			"Else check the app's registration: the way it asks for tokens must be "
			"allowed there." },
		.powershell = { "Add-HVEAppAccess -Identity {mailbox} -AppIds {app}" },
		.literal = "550 5.7.240 The application is not allowed for use with this High "
			   "Volume Email account",
		.link = HVE },
	{ .cause = "not-an-hve-account",
		.title = "The login is not a High Volume Email account",
		.owner = PROVIDER_OWNER_YOU,
		.steps = { "Set `login` to an HVE account, or use `provider: submission` for "
			   "{mailbox}." },
		.powershell = { "New-MailUser -HVEAccount -Name NAME -PrimarySmtpAddress "
				"{mailbox}" },
		.link = HVE },
	{ .cause = "app-password-needed",
		.title = "Google wants an app password",
		.owner = PROVIDER_OWNER_YOU,
		.steps = { "Make one at https://myaccount.google.com/apppasswords and put it into "
			   "the configuration." },
		.literal = "534 5.7.9 Application-specific password required",
		.link = "https://support.google.com/mail/answer/185833" },
	{ .cause = "browser-sign-in-needed",
		.title = "Google doubts this sign-in",
		.owner = PROVIDER_OWNER_YOU,
		.steps = { "Sign in to the account once with a browser, best from this network, "
			   "and confirm the notice." },
		.link = "https://support.google.com/mail/answer/7126229" },
	{ .cause = "too-many-sign-ins",
		.title = "The account was signed in to too often",
		.owner = PROVIDER_OWNER_YOU,
		.steps = { "Wait. Find other programs that use the same account." },
		.literal = "454 4.7.0 Too many login attempts, please try again later.",
		.link = "https://support.google.com/mail/answer/7126229" },
	{ .cause = "tls-required",
		.title = "The server wants TLS first",
		.owner = PROVIDER_OWNER_YOU,
		.steps = { "Let the device or route use STARTTLS: port 587, TLS 1.2 or newer." },
		.literal = "530 5.7.0 Must issue a STARTTLS command first",
		.link = DEVICES },
	{ .cause = "starttls-missing",
		.title = "The server offers no TLS",
		.owner = PROVIDER_OWNER_YOU,
		.steps = { "Check host and port; a firewall that hides STARTTLS must let it "
			   "pass." },
		.link = "RFC 3207" },
	{ .cause = "tls-too-old",
		.title = "The client speaks a TLS version that Microsoft has given up",
		.owner = PROVIDER_OWNER_YOU,
		.steps = { "Update the device or program so that it speaks TLS 1.2, or let it send "
			   "to postern, which does." },
		.literal = "421 4.7.66 TLS 1.0 and 1.1 are not supported. Please upgrade/update "
			   "your client to support TLS 1.2.",
		.link = DEVICES },
	{ .cause = "password-expired",
		.title = "The password of the account has expired",
		.owner = PROVIDER_OWNER_YOU,
		.steps = { "Set a new password for {mailbox} and put it into the configuration, or "
			   "run `postern login {mailbox}`." },
		.link = REFERENCE },
	{ .cause = "account-locked",
		.title = "The account is locked after too many wrong sign-ins",
		.owner = PROVIDER_OWNER_ADMINISTRATOR,
		.steps = { "Wait: it unlocks by itself. Find out who still uses an old password: "
			   "Entra admin center, Monitoring, Sign-in logs, {mailbox}." },
		.link = REFERENCE },
	{ .cause = "user-disabled",
		.title = "The account is switched off",
		.owner = PROVIDER_OWNER_ADMINISTRATOR,
		.steps = { "Entra admin center: Users, {mailbox}, Properties: Account enabled." },
		.powershell = { "Update-MgUser -UserId {mailbox} -AccountEnabled:$true" },
		.link = REFERENCE },
};

const struct provider_remedy_table provider_remedy_sign_in = { rows, COUNT_OF(rows) };
