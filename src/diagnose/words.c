/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "diagnose/diagnose_priv.h"
#include "provider/remedy.h"

#include <stdio.h>
#include <sysexits.h>

/*
 * The causes that check finds by itself, and what to do first. What a server said has its words in the
 * catalogue (provider/). {mailbox} {app} {object} {user} {host} {port} {needed} {api} are filled in.
 */
struct words {
	const char *cause;
	enum diagnose_owner owner;
	int exit_code;
	const char *first;
	const char *then;
	bool for_person; /* only where a person has signed in */
};

static const struct words table[] = {
	{ "name-unknown",
		DIAGNOSE_OWNER_YOU,
		EX_CONFIG,
		"Correct the name {host} in the configuration (endpoint: { host }), or the domain "
		"behind it.",
		NULL },
	{ "dns-broken",
		DIAGNOSE_OWNER_NETWORK,
		EX_UNAVAILABLE,
		"Mend name resolution on this machine: see /etc/resolv.conf, and try `getent hosts "
		"{host}`.",
		NULL },
	{ "exchanger-not-microsoft",
		DIAGNOSE_OWNER_YOU,
		EX_CONFIG,
		"Name Microsoft's own host in the connector (endpoint: { host: "
		"DOMAIN-COM.mail.protection.outlook.com }); the admin center shows it under "
		"Settings "
		"> Domains.",
		NULL },
	{ "port-blocked",
		DIAGNOSE_OWNER_NETWORK,
		EX_UNAVAILABLE,
		"Let whoever runs the firewall, or the hosting provider, open outgoing TCP port "
		"{port} "
		"to {host}.",
		"for a mailbox port 587 may be open where 25 is not\n"
		"clouds (Azure and others) never open 25: use submission or Graph from there\n" },
	{ "wrong-port",
		DIAGNOSE_OWNER_YOU,
		EX_CONFIG,
		"Correct the port in the configuration: Microsoft 365 takes mail on 587 "
		"(mailboxes, "
		"HVE) and 25 (connectors), with STARTTLS.",
		NULL },
	{ "no-way",
		DIAGNOSE_OWNER_NETWORK,
		EX_UNAVAILABLE,
		"Mend the network of this machine: no route leads to {host}.",
		NULL },
	{ "no-connection",
		DIAGNOSE_OWNER_NETWORK,
		EX_UNAVAILABLE,
		"Find out what stands between this machine and {host}, port {port}.",
		NULL },
	{ "some-addresses-dead",
		DIAGNOSE_OWNER_NETWORK,
		EX_OK,
		"Nothing must be done at once: the others are used. If IPv6 leads nowhere from "
		"here, "
		"take it off the interface.",
		NULL },
	{ "no-greeting",
		DIAGNOSE_OWNER_YOU,
		EX_CONFIG,
		"If port {port} begins with TLS, say `tls: implicit`; for Microsoft 365 use port "
		"587.",
		"a firewall that accepts every connection and passes none on looks the same\n" },
	{ "silence",
		DIAGNOSE_OWNER_PROVIDER,
		EX_TEMPFAIL,
		"Run the check again in some minutes; if it stays so, let a firewall between be "
		"looked at.",
		NULL },
	{ "middle-box",
		DIAGNOSE_OWNER_NETWORK,
		EX_UNAVAILABLE,
		"Let the firewall's SMTP inspection be switched off for this machine (Cisco: `no "
		"inspect esmtp`).",
		NULL },
	{ "not-microsoft",
		DIAGNOSE_OWNER_YOU,
		EX_OK,
		"See whether {host}, port {port}, is the server that you mean: it is not Exchange "
		"Online.",
		NULL },
	{ "starttls-stripped",
		DIAGNOSE_OWNER_NETWORK,
		EX_UNAVAILABLE,
		"Let the firewall or virus scanner between be told not to inspect SMTP from this "
		"machine. Never send without TLS instead.",
		NULL },
	{ "no-starttls",
		DIAGNOSE_OWNER_YOU,
		EX_CONFIG,
		"Use a port of this server that offers TLS (587 with STARTTLS, or 465 with `tls: "
		"implicit`).",
		NULL },
	{ "not-tls",
		DIAGNOSE_OWNER_YOU,
		EX_CONFIG,
		"Say `tls: required` (STARTTLS) for port {port}, or use the port that begins with "
		"TLS "
		"(465).",
		NULL },
	{ "tls-intercepted",
		DIAGNOSE_OWNER_NETWORK,
		EX_UNAVAILABLE,
		"Let the proxy or firewall be told not to decrypt TLS between this machine and "
		"{host}.",
		"if your organization decrypts on purpose, name its CA: endpoint: { ca_file }\n" },
	{ "tls-failed",
		DIAGNOSE_OWNER_NETWORK,
		EX_UNAVAILABLE,
		"Look at the TLS error above; `openssl s_client -starttls smtp -connect "
		"{host}:{port}` "
		"shows the rest.",
		NULL },
	{ "tls-too-old",
		DIAGNOSE_OWNER_PROVIDER,
		EX_UNAVAILABLE,
		"The server must speak TLS 1.2 or newer: let its software be renewed.",
		NULL },
	{ "certificate-untrusted",
		DIAGNOSE_OWNER_YOU,
		EX_CONFIG,
		"If this is the server that you mean, name the CA that signed its certificate: "
		"endpoint: { ca_file }.",
		NULL },
	{ "certificate-name",
		DIAGNOSE_OWNER_YOU,
		EX_CONFIG,
		"Write the server's own name into endpoint: { host }; an IP address or an alias "
		"does "
		"not stand in its certificate.",
		NULL },
	{ "certificate-expired",
		DIAGNOSE_OWNER_PROVIDER,
		EX_UNAVAILABLE,
		"See that the clock of this machine is right (`timedatectl`); then whoever runs "
		"{host} must renew the certificate.",
		NULL },
	{ "client-certificate",
		DIAGNOSE_OWNER_YOU,
		EX_CONFIG,
		"Mend the certificate and key of the connector in the configuration.",
		NULL },
	{ "client-certificate-refused",
		DIAGNOSE_OWNER_ADMIN,
		EX_NOPERM,
		"Show a certificate that the server accepts: from a public CA, in time, with its "
		"whole chain.",
		NULL },
	{ "ca-file",
		DIAGNOSE_OWNER_YOU,
		EX_CONFIG,
		"Correct endpoint: { ca_file } in the configuration.",
		NULL },
	{ "clock-off",
		DIAGNOSE_OWNER_YOU,
		EX_UNAVAILABLE,
		"Set the clock and keep it: `timedatectl set-ntp true`.",
		NULL },
	{ "https-blocked",
		DIAGNOSE_OWNER_NETWORK,
		EX_UNAVAILABLE,
		"Let outgoing HTTPS (port 443) to login.microsoftonline.com be opened, or name the "
		"proxy (`proxy:`).",
		NULL },
	{ "password-missing",
		DIAGNOSE_OWNER_YOU,
		EX_CONFIG,
		"Put the password where the configuration says, readable for postern (mode 0600).",
		NULL },
	{ "password-empty",
		DIAGNOSE_OWNER_YOU,
		EX_CONFIG,
		"Put the password where the configuration says: it is empty.",
		NULL },
	{ "vault-closed",
		DIAGNOSE_OWNER_YOU,
		EX_CONFIG,
		"Mend `vault: { key }`: `postern check` without an operand says what is wrong with "
		"it.",
		NULL },
	{ "login-needed",
		DIAGNOSE_OWNER_YOU,
		EX_NOPERM,
		"Let the person sign in: postern login {mailbox}",
		NULL },
	{ "app-credentials",
		DIAGNOSE_OWNER_YOU,
		EX_CONFIG,
		"Mend what the reply names: the secret, certificate or key of app {app} in the "
		"configuration.",
		NULL },
	{ "no-app",
		DIAGNOSE_OWNER_YOU,
		EX_CONFIG,
		"Give the mailbox a tenant with an app: `postern setup powershell` makes one.",
		NULL },
	{ "vault-unwritable",
		DIAGNOSE_OWNER_YOU,
		EX_TEMPFAIL,
		"Let this user write into the vault (data_dir/vault): run the check as the "
		"daemon's "
		"user.",
		NULL },
	{ "pasted-spaces",
		DIAGNOSE_OWNER_YOU,
		EX_NOPERM,
		"Store the password of {mailbox} again without the space or line end around it.",
		NULL },
	{ "graph-token",
		DIAGNOSE_OWNER_YOU,
		EX_CONFIG,
		"Take scope_host out of the tenant's endpoints, so that the token is asked for at "
		"https://outlook.office365.com.",
		NULL },
	{ "token-audience",
		DIAGNOSE_OWNER_YOU,
		EX_CONFIG,
		"Correct scope_host (or graph) in the tenant's endpoints; without it the right one "
		"is "
		"used.",
		NULL },
	{ "role-missing",
		DIAGNOSE_OWNER_ADMIN,
		EX_NOPERM,
		"Entra admin center > App registrations > app {app} > API permissions > Add > APIs "
		"my "
		"organization uses > {api} > Application permissions > {needed}; then Grant admin "
		"consent.",
		NULL },
	{ "scope-missing",
		DIAGNOSE_OWNER_ADMIN,
		EX_NOPERM,
		"Give app {app} the delegated permission {needed}, consent to it, and run `postern "
		"login {mailbox}` again.",
		NULL },
	{ "token-expired", DIAGNOSE_OWNER_YOU, EX_UNAVAILABLE, "Run the check again.", NULL },
	{ "token-other-app",
		DIAGNOSE_OWNER_YOU,
		EX_CONFIG,
		"Run `postern login {mailbox}` again for the app that stands in the configuration.",
		NULL },
	{ "token-other-tenant",
		DIAGNOSE_OWNER_YOU,
		EX_CONFIG,
		"Correct the id of the tenant in the configuration, or sign in with an account of "
		"this tenant.",
		NULL },
	{ "token-other-user",
		DIAGNOSE_OWNER_ADMIN,
		EX_OK,
		"Give that person full access: Add-MailboxPermission -Identity {mailbox} -User "
		"PERSON "
		"-AccessRights FullAccess; or run `postern login {mailbox}` with the mailbox's own "
		"account.",
		NULL },
	{ "token-refused",
		DIAGNOSE_OWNER_ADMIN,
		EX_NOPERM,
		"Add-MailboxPermission -Identity {mailbox} -User {user} -AccessRights FullAccess, "
		"if "
		"it is another account; else Set-CASMailbox -Identity {mailbox} "
		"-SmtpClientAuthenticationDisabled $false.",
		"sign in anew: postern login {mailbox}\n"
		"is {mailbox} the primary address of a mailbox?\n"
		"wait: a change at Microsoft can take an hour to work\n",
		true },
	{ "token-refused",
		DIAGNOSE_OWNER_ADMIN,
		EX_NOPERM,
		"New-ServicePrincipal -AppId {app} -ObjectId {object} (the object id of the "
		"enterprise application, as the token names it; not that of the app registration).",
		"Add-MailboxPermission -Identity {mailbox} -User {object} -AccessRights "
		"FullAccess\n"
		"Set-CASMailbox -Identity {mailbox} -SmtpClientAuthenticationDisabled $false\n"
		"is {mailbox} the primary address of a mailbox, with a licence or shared?\n"
		"wait: a change at Microsoft can take an hour to work\n" },
	{ "certificate-not-accepted",
		DIAGNOSE_OWNER_ADMIN,
		EX_NOPERM,
		"Set the inbound connector's TlsSenderCertificateName to the name in the "
		"certificate "
		"that is shown; its domain must be an accepted domain.",
		"the certificate must come from a public CA, with its whole chain\n"
		"or add the public address of this machine to the connector\n" },
	{ "app-scope-policy",
		DIAGNOSE_OWNER_ADMIN,
		EX_NOPERM,
		"Let the policy that limits app {app} to some mailboxes include {mailbox}: "
		"Test-ApplicationAccessPolicy -Identity {mailbox} -AppId {app}.",
		"with RBAC for Applications: Test-ServicePrincipalAuthorization -Identity {app} "
		"-Resource {mailbox}\nwait: it can take an hour to work\n" },
	{ "limit-above-provider",
		DIAGNOSE_OWNER_YOU,
		EX_OK,
		"Lower the limit in the configuration, unless Microsoft raised it for you.",
		NULL },
};

/* ---- filling in ---- */

/* Some of the words are commands to paste: no name may bring one of its own. */
static struct sv plain(struct sv value, struct sv instead)
{
	for (size_t i = 0; i < value.len; i++) {
		char c = ascii_lower(value.ptr[i]);

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') &&
			(c == '\0' || !strchr("@._:+-", c)))
			return instead;
	}
	return value.len ? value : instead;
}

static struct sv value_of(const struct diagnose *d, struct sv name, char port[16])
{
	const struct conf_lane *l = d->lane;
	const char *needed = identity_claims_needed(l);

	if (sv_eq(name, SV("mailbox")))
		return plain(l->name, SV("MAILBOX"));
	if (sv_eq(name, SV("host")))
		return plain(d->host.len ? d->host : l->host, SV("HOST"));
	if (sv_eq(name, SV("app")))
		return plain(l->tenant ? l->tenant->app.client_id : SV(""), SV("APP"));
	if (sv_eq(name, SV("object")))
		return plain(sv_from(d->has_claims ? d->claims.object : ""),
			SV("ENTERPRISE_APP_OBJECT_ID"));
	if (sv_eq(name, SV("user")))
		return plain(
			d->has_claims && d->claims.user[0] ? sv_from(d->claims.user) : l->login,
			SV("USER"));
	if (sv_eq(name, SV("needed")))
		return sv_from(needed);
	if (sv_eq(name, SV("api")))
		return l->provider == PROVIDER_GRAPH ? SV("Microsoft Graph")
						     : SV("Office 365 Exchange Online");
	must(sv_eq(name, SV("port")));
	(void)snprintf(port, 16, "%u", (unsigned)l->port);
	return sv_from(port);
}

static struct sv fill(struct diagnose *d, const char *text)
{
	CLEANUP(buf_deinitp) struct buf out = BUF_INIT(8192);
	struct sv rest = sv_from(text);
	char port[16];

	while (rest.len) {
		ptrdiff_t open = sv_find_char(rest, '{'), close;

		/* "endpoint: { host }" is no place to fill in. */
		if (open < 0 || (size_t)open + 1 >= rest.len || rest.ptr[open + 1] == ' ') {
			size_t n = open < 0 ? rest.len : (size_t)open + 1;

			must(buf_append(&out, sv_head(rest, n)) == 0);
			rest = sv_skip(rest, n);
			continue;
		}
		must(buf_append(&out, sv_head(rest, (size_t)open)) == 0);
		rest = sv_skip(rest, (size_t)open + 1);
		close = sv_find_char(rest, '}');
		must(close >= 0);
		must(buf_append(&out, value_of(d, sv_head(rest, (size_t)close), port)) == 0);
		rest = sv_skip(rest, (size_t)close + 1);
	}
	return arena_sv(&d->arena, buf_sv(&out));
}

/* ---- by cause, else by what the verdict says ---- */

static enum diagnose_owner owner_of(const struct verdict *v)
{
	if (v->nature == VERDICT_NATURE_OUTAGE || v->nature == VERDICT_NATURE_QUOTA)
		return DIAGNOSE_OWNER_PROVIDER;
	if (v->scope == VERDICT_SCOPE_RECIPIENT || v->scope == VERDICT_SCOPE_MESSAGE)
		return DIAGNOSE_OWNER_YOU;
	return DIAGNOSE_OWNER_ADMIN;
}

static int exit_of(const struct verdict *v, enum diagnose_owner owner)
{
	if (v->nature == VERDICT_NATURE_AUTHENTICATION || v->nature == VERDICT_NATURE_REPUTATION)
		return EX_NOPERM;
	if (v->nature == VERDICT_NATURE_QUOTA || v->kind == VERDICT_RETRY)
		return EX_TEMPFAIL;
	if (v->nature == VERDICT_NATURE_OUTAGE)
		return EX_UNAVAILABLE;
	return owner == DIAGNOSE_OWNER_YOU && v->kind == VERDICT_PARK ? EX_CONFIG : EX_NOPERM;
}

static const struct words *own_words(const struct diagnose *d, const char *cause)
{
	for (size_t i = 0; i < COUNT_OF(table); i++)
		if (strcmp(table[i].cause, cause) == 0 &&
			(!table[i].for_person || d->lane->sign_in == CONF_SIGN_IN_USER))
			return &table[i];
	return NULL;
}

const char *diagnose_title(const struct diagnose *d, const struct verdict *v)
{
	const struct provider_remedy *r = own_words(d, v->cause) ? NULL : provider_remedy(v->cause);

	return r ? r->title : v->summary;
}

static void take_own(struct diagnose *d, const struct words *w)
{
	struct diagnose_verdict *out = &d->verdict;

	out->owner = w->owner;
	out->first = fill(d, w->first);
	out->then = w->then ? fill(d, w->then) : sv_make(NULL, 0);
	/* A warning does not keep mail from leaving. */
	if (out->status != DIAGNOSE_FAIL)
		out->exit_code = EX_OK;
	else
		out->exit_code = w->exit_code != EX_OK ? w->exit_code : EX_UNAVAILABLE;
}

static void take_remedy(struct diagnose *d, const struct provider_remedy *r)
{
	static const enum diagnose_owner owners[] = { [PROVIDER_OWNER_YOU] = DIAGNOSE_OWNER_YOU,
		[PROVIDER_OWNER_ADMINISTRATOR] = DIAGNOSE_OWNER_ADMIN,
		[PROVIDER_OWNER_RECIPIENT] = DIAGNOSE_OWNER_RECIPIENT,
		[PROVIDER_OWNER_MICROSOFT] = DIAGNOSE_OWNER_PROVIDER };
	const struct conf_tenant *t = d->lane->tenant;
	const struct provider_facts facts = { .mailbox = d->lane->name,
		.sender = d->sender,
		.recipient = d->o.to,
		.tenant = t ? t->id : SV(""),
		.app = t ? t->app.client_id : SV("") };
	CLEANUP(buf_deinitp) struct buf first = BUF_INIT(8192), then = BUF_INIT(16384);

	d->verdict.owner = owners[r->owner];
	must(provider_remedy_fill(r->steps[0] ? r->steps[0] : r->title, &facts, &first) == 0);
	for (size_t i = 1; i < PROVIDER_STEPS_MAX && r->steps[0] && r->steps[i]; i++) {
		must(provider_remedy_fill(r->steps[i], &facts, &then) == 0);
		must(buf_append_char(&then, '\n') == 0);
	}
	for (size_t i = 0; i < PROVIDER_STEPS_MAX && r->powershell[i]; i++) {
		must(buf_append(&then, SV("PowerShell: ")) == 0);
		must(provider_remedy_fill(r->powershell[i], &facts, &then) == 0);
		must(buf_append_char(&then, '\n') == 0);
	}
	d->verdict.first = arena_sv(&d->arena, buf_sv(&first));
	d->verdict.then = arena_sv(&d->arena, buf_sv(&then));
}

void diagnose_words(struct diagnose *d, const struct verdict *v)
{
	struct diagnose_verdict *out = &d->verdict;
	const struct words *own = own_words(d, out->cause);
	const struct provider_remedy *r = provider_remedy(out->cause);

	if (own) {
		take_own(d, own);
		return;
	}
	out->owner = v ? owner_of(v) : DIAGNOSE_OWNER_YOU;
	out->first = v ? sv_from(v->summary) : out->text;
	if (r)
		take_remedy(d, r);
	out->exit_code = out->status != DIAGNOSE_FAIL ? EX_OK
			 : v                          ? exit_of(v, out->owner)
						      : EX_UNAVAILABLE;
}

struct sv diagnose_quote(struct diagnose *d, struct sv reply)
{
	CLEANUP(buf_deinitp) struct buf out = BUF_INIT(1024);
	const struct secret *const secrets[] = { d->password, d->token };

	reply = sv_head(reply, 600);
	for (size_t i = 0; i < reply.len; i++) {
		unsigned char c = (unsigned char)reply.ptr[i];

		must(buf_append_char(&out, c < ' ' || c == 0x7f ? ' ' : (char)c) == 0);
	}
	for (size_t i = 0; i < COUNT_OF(secrets); i++) {
		struct sv secret = secrets[i] ? secret_reveal(secrets[i]) : sv_make(NULL, 0);

		/* A server that sends it back. */
		if (secret.len > 3 && sv_find(buf_sv(&out), secret) >= 0)
			return SV("(not shown: it holds what was sent in confidence)");
	}
	return arena_sv(&d->arena, buf_sv(&out));
}
