/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "conf/test_rows.h"

#include <arpa/inet.h>

/* Tenants, mailboxes and connectors of every provider. */

#define VAULT "vault: { key: file:/v }\n"
/* Two lines each; the keys of one tenant, mailbox or connector follow in lines of four spaces. */
#define TENANT "tenants:\n  - name: t\n"
#define MAILBOX "mailboxes:\n  - address: a@b.c\n"
/* Two more lines of TENANT. */
#define APP "    id: " ID "\n    app: { client_id: " ID ", secret: file:/a }\n"
#define END "routes: [ { through: sender } ]\n"
#define DOOR "connectors:\n  - name: d\n"
#define DOOR_END "routes: [ { sender: \"*@b.c\", recipient: internal, through: d } ]\n"

static const struct row broken[] = {
	{ "cloud", TENANT "    cloud: mars\n" GOOD, 3, 12, "must be global, gcc-high" },
	{ "id is a name", TENANT "    id: contoso\n" GOOD, 3, 9, "or one of its domains" },
	{ "id is an address", TENANT "    id: 192.0.2.1\n" GOOD, 3, 9, "or one of its domains" },
	{ "id with a path", TENANT "    id: https://b.c/d\n" GOOD, 3, 9, "or one of its domains" },
	{ "app without id",
		TENANT "    app: { client_id: " ID ", secret: file:/a }\n" GOOD,
		2,
		5,
		"id: is missing" },
	{ "app without client_id",
		TENANT "    id: b.c\n    app: { secret: file:/a }\n" GOOD,
		4,
		10,
		"client_id: is missing" },
	{ "two credentials",
		TENANT "    id: b.c\n    app: { client_id: " ID
		       ", secret: file:/a, certificate: /c, key: file:/k }\n" GOOD,
		4,
		10,
		"more than one credential" },
	{ "two credentials, pkcs12",
		TENANT "    id: b.c\n    app: { client_id: " ID
		       ", secret: file:/a, pkcs12: /p }\n" GOOD,
		4,
		10,
		"more than one credential" },
	{ "certificate alone",
		TENANT "    id: b.c\n    app:\n      client_id: " ID
		       "\n      certificate: /c\n" GOOD,
		6,
		20,
		"needs its private key" },
	{ "key alone",
		TENANT "    id: b.c\n    app:\n      client_id: " ID "\n      key: file:/k\n" GOOD,
		6,
		12,
		"needs its certificate" },
	{ "passphrase of nothing",
		TENANT "    id: b.c\n    app:\n      client_id: " ID
		       "\n      secret: file:/s\n      passphrase: file:/k\n" GOOD,
		7,
		19,
		"there is none" },
	{ "jwt of a secret",
		TENANT "    id: b.c\n    app:\n      client_id: " ID
		       "\n      secret: file:/s\n      jwt: rs256\n" GOOD,
		7,
		12,
		"how a certificate signs" },
	{ "jwt",
		TENANT "    id: b.c\n    app:\n      client_id: " ID
		       "\n      pkcs12: /p\n      jwt: hs256\n" GOOD,
		7,
		12,
		"must be ps256 or rs256" },
	{ "secret pasted",
		TENANT "    id: b.c\n    app:\n      client_id: " ID
		       "\n      secret: abc~Def\n" GOOD,
		6,
		15,
		"never stands in the configuration" },
	{ "login without scheme",
		TENANT "    endpoints: { login: login.example }\n" GOOD,
		3,
		25,
		"begins with https://" },
	{ "login in the clear",
		TENANT "    endpoints: { login: \"http://login.example\" }\n" GOOD,
		3,
		25,
		"begins with https://" },
	{ "slash at the end",
		TENANT "    endpoints: { graph: \"https://g.example/\" }\n" GOOD,
		3,
		25,
		"not end in a slash" },
	{ "query",
		TENANT "    endpoints: { graph: \"https://g.example/?a\" }\n" GOOD,
		3,
		25,
		"without ? and #" },
	{ "port 0",
		TENANT "    endpoints: { graph: \"https://g.example:0\" }\n" GOOD,
		3,
		25,
		"must be a URL like" },
	{ "no host",
		TENANT "    endpoints: { scope: \"https://\" }\n" GOOD,
		3,
		25,
		"not end in a slash" },
	{ "no host, port",
		TENANT "    endpoints: { scope: \"https://:443\" }\n" GOOD,
		3,
		25,
		"must be a URL like" },
	{ "password in a URL",
		TENANT "    endpoints: { login: \"https://u:p@login.example\" }\n" GOOD,
		3,
		25,
		"no user and no password" },
	{ "Graph at Google",
		TENANT "    cloud: google\n    endpoints: { graph: \"https://g.example\" }\n" GOOD,
		4,
		25,
		"has no Graph" },

	{ "app without tenant", MAILBOX "    auth: app\n" END, 3, 11, "add tenant: NAME" },
	{ "user without tenant", MAILBOX "    auth: user\n" END, 3, 11, "add tenant: NAME" },
	{ "tenant without app",
		TENANT MAILBOX "    tenant: t\n    auth: app\n" END,
		6,
		11,
		"tenant 't', but it has none" },
	{ "app without credential",
		TENANT "    id: b.c\n    app: { client_id: " ID " }\n" MAILBOX
		       "    tenant: t\n    auth: app\n" END,
		8,
		11,
		"has neither" },
	{ "app at Google",
		TENANT "    cloud: google\n    app: { client_id: x, secret: file:/s }\n" MAILBOX
		       "    tenant: t\n    provider: gmail\n    auth: app\n" END,
		9,
		11,
		"needs a service account of Google" },
	{ "service account with a certificate",
		TENANT
		"    cloud: google\n    app:\n      client_id: x\n      certificate: /c\n      "
		"key: file:/k\n" GOOD,
		6,
		20,
		"of Google has none" },
	{ "user without vault",
		TENANT APP MAILBOX "    tenant: t\n    auth: user\n" END,
		8,
		11,
		"but there is none: add vault" },
	{ "app and password",
		TENANT APP MAILBOX "    tenant: t\n    auth: app\n    password: file:/p\n" END,
		9,
		15,
		"of no use with auth: app" },
	{ "password missing",
		TENANT APP MAILBOX "    tenant: t\n    auth: password\n" END,
		6,
		5,
		"password: is missing" },
	{ "Graph with a password",
		TENANT APP MAILBOX "    tenant: t\n    provider: graph\n    auth: password\n    "
				   "password: file:/p\n" END,
		9,
		11,
		"not possible with provider: graph" },
	{ "Graph without tenant", MAILBOX "    provider: graph\n" END, 2, 5, "add tenant: NAME" },
	{ "Graph at Google",
		TENANT "    cloud: google\n    app: { client_id: x }\n" MAILBOX
		       "    tenant: t\n    provider: graph\n    auth: user\n" END,
		8,
		15,
		"has cloud: google" },
	{ "Graph with an endpoint",
		TENANT APP MAILBOX
		"    tenant: t\n    provider: graph\n    endpoint: { host: h }\n" END,
		9,
		15,
		"at the tenant" },
	{ "submission at Google",
		TENANT "    cloud: google\n" MAILBOX "    tenant: t\n    password: file:/p\n" END,
		5,
		5,
		"has cloud: google" },
	{ "Gmail at Microsoft",
		TENANT APP MAILBOX "    tenant: t\n    provider: gmail\n" END,
		8,
		15,
		"needs a tenant of Google" },
	{ "token for any server",
		TENANT APP MAILBOX
		"    tenant: t\n    provider: smtp\n    auth: app\n    endpoint: "
		"{ host: h }\n" END,
		9,
		11,
		"not possible with provider: smtp" },
	{ "connector as mailbox",
		MAILBOX "    provider: connector\n" END,
		3,
		15,
		"list it under connectors" },
	{ "sender",
		MAILBOX "    sender: none\n    password: file:/p\n" END,
		3,
		13,
		"keep, rewrite" },
	{ "HVE keeps no sender",
		TENANT APP MAILBOX "    tenant: t\n    provider: hve\n    sender: keep\n" END,
		9,
		13,
		"not possible with provider: hve" },
	{ "HVE without TLS",
		TENANT APP MAILBOX
		"    tenant: t\n    provider: hve\n    endpoint: { tls: none }\n" END,
		6,
		5,
		"not possible with provider: hve" },

	{ "mailbox provider as connector",
		DOOR "    provider: graph\n" DOOR_END,
		3,
		15,
		"list it under mailboxes" },
	{ "nobody's connector",
		DOOR "    provider: connector\n" DOOR_END,
		2,
		5,
		"host: is missing" },
	{ "connector of a tenant without domains",
		TENANT DOOR "    provider: connector\n    tenant: t\n" DOOR_END,
		4,
		5,
		"host: is missing" },
	{ "nobody's direct send",
		DOOR "    provider: direct\n    host: h\n" DOOR_END,
		2,
		5,
		"tenant: is missing" },
	{ "direct send to nobody",
		TENANT DOOR "    provider: direct\n    host: h\n    tenant: t\n" DOOR_END,
		7,
		13,
		"has no domains" },
	{ "host and domain",
		DOOR "    provider: connector\n    host: h\n    domain: b.c\n" DOOR_END,
		5,
		13,
		"remove one of them" },
	{ "smarthost by domain",
		DOOR "    domain: b.c\n" DOOR_END,
		3,
		13,
		"is for provider: connector" },
	{ "connector with a login",
		DOOR "    provider: connector\n    host: h\n    login: a\n    password: "
		     "env:P\n" DOOR_END,
		5,
		12,
		"has no sign-in" },
	{ "connector without TLS",
		DOOR "    provider: connector\n    host: h\n    tls: none\n" DOOR_END,
		2,
		5,
		"not possible with provider: connector" },
	{ "certificate without key",
		DOOR "    provider: connector\n    host: h\n    certificate: /c\n" DOOR_END,
		5,
		18,
		"needs its private key" },
	{ "key without certificate",
		DOOR "    provider: connector\n    host: h\n    key: file:/k\n" DOOR_END,
		5,
		10,
		"needs its certificate" },
	{ "passphrase without key",
		DOOR "    provider: connector\n    host: h\n    passphrase: file:/k\n" DOOR_END,
		5,
		17,
		"there is none" },
	{ "certificate of the unknown",
		TENANT "    domains: [b.c]\n" DOOR
		       "    provider: direct\n    tenant: t\n    certificate: "
		       "/c\n    key: file:/k\n" DOOR_END,
		8,
		18,
		"write provider: connector" },
	{ "certificate without TLS",
		DOOR "    host: h\n    tls: none\n    certificate: /c\n    key: file:/k\n" DOOR_END,
		5,
		18,
		"remove tls: none" },
	{ "source is a network",
		DOOR "    host: h\n    source: 10.0.0.0/8\n" DOOR_END,
		4,
		13,
		"one address of this machine" },
	{ "source is a name",
		DOOR "    host: h\n    source: eth0\n" DOOR_END,
		4,
		13,
		"one address of this machine" },
};

static void faults_are_found_with_their_place(void **state)
{
	(void)state;
	rows_are_refused(broken, COUNT_OF(broken));
}

static const struct row warned[] = {
	{ "client_id",
		TENANT
		"    id: b.c\n    app:\n      client_id: postern\n      secret: file:/s\n" GOOD,
		5,
		18,
		"Application (client) ID" },
	{ "passwords end",
		MAILBOX "    password: file:/p\n  - { address: d@b.c, password: file:/p }\n" END,
		2,
		5,
		"2 mailboxes sign in with a password, which Microsoft switches off by default at "
		"the "
		"end of December 2026" },
	{ "HVE to outside",
		TENANT "    domains: [b.c]\n" APP MAILBOX "    tenant: t\n    provider: hve\n" END,
		10,
		11,
		"'a@b.c' (hve, line 7) reaches recipients in the domains of its own tenant only" },
	{ "HVE before another way to outside",
		TENANT "    domains: [b.c]\n" APP MAILBOX
		       "    tenant: t\n    provider: hve\nconnectors: [ { name: o, host: h } "
		       "]\nroutes:\n  - { sender: x@b.c, recipient: external, through: o }\n  - { "
		       "through: [sender, o] }\n",
		13,
		5,
		"'a@b.c' (hve, line 7) reaches" },
	{ "direct send to outside",
		TENANT "    domains: [b.c]\n" DOOR
		       "    provider: direct\n    tenant: t\nroutes: [ { through: d } ]\n",
		8,
		11,
		"add recipient: internal" },
	{ "direct send to another tenant",
		TENANT "    domains: [b.c]\n  - { name: u, domains: [x.y] }\n" DOOR
		       "    provider: direct\n    tenant: t\nroutes: [ { recipient: internal, "
		       "through: d } ]\n",
		9,
		11,
		"add recipient: internal" },
	{ "too many recipients for HVE",
		TENANT "    domains: [b.c]\n" APP MAILBOX
		       "    tenant: t\n    provider: hve\n    limits: { "
		       "recipients_per_message: 51 }\nroutes: [ { recipient: internal, through: "
		       "sender } ]\n",
		10,
		39,
		"recipients_per_message is above the 50" },
	{ "too large for HVE",
		TENANT
		"    domains: [b.c]\n" APP MAILBOX
		"    tenant: t\n    provider: hve\n    limits: { message_size: off }\nroutes: [ { "
		"recipient: internal, through: sender } ]\n",
		10,
		29,
		"message_size is above the 10 MB" },
	{ "too many at the connector",
		TENANT
		"    domains: [b.c]\n" DOOR
		"    provider: connector\n    tenant: t\n    limits: { recipients_per_day: 0 "
		"}\n" DOOR_END,
		8,
		35,
		"recipients_per_day is above the 10000" },
	{ "too many of a domain",
		TENANT
		"    domains: [b.c]\n" DOOR
		"    provider: connector\n    tenant: t\n    limits: { recipients_per_domain: "
		"201 }\n" DOOR_END,
		8,
		38,
		"recipients_per_domain is above the 200" },
};

static void warnings_do_not_refuse(void **state)
{
	(void)state;
	rows_are_warned_of(warned, COUNT_OF(warned));
}

static const char full[] = VAULT
	"tenants:\n"
	"  - { name: one, id: " ID ", domains: [b.c, D.e], licences: 3,\n"
	"      app: { client_id: " ID ", certificate: /c, key: vault:k/1, passphrase: "
	"\"command:/bin/pass -n x\" } }\n"
	"  - name: two\n    id: two.onmicrosoft.us\n    cloud: gcc-high\n"
	"    app: { client_id: " ID ", pkcs12: /p12, jwt: rs256 }\n"
	"    endpoints: { login: \"https://[::1]:8443/x\", graph: \"https://127.0.0.1:9/v\", "
	"scope: \"https://o.example\", ca_file: /ca }\n"
	"  - { name: robot, cloud: google, app: { client_id: r@p.iam.example, key: file:/k } }\n"
	"  - { name: work, cloud: google, app: { client_id: x.apps.example, secret: env:S } }\n"
	"mailboxes:\n"
	"  - { address: app@b.c, tenant: one }\n"
	"  - { address: user@b.c, tenant: one, auth: user, login: Boss@b.c, sender: force }\n"
	"  - { address: hve@b.c, tenant: one, provider: hve }\n"
	"  - { address: hvf@b.c, tenant: one, provider: hve, sender: force, auth: password, "
	"password: env:P }\n"
	"  - { address: graph@x.us, tenant: two, provider: graph, sender: mailbox }\n"
	"  - { address: sub@x.us, tenant: two, limits: { recipients_per_domain: 7 } }\n"
	"  - { address: g@x.y, provider: gmail, tenant: work, auth: user }\n"
	"  - { address: r@x.y, provider: gmail, tenant: robot }\n"
	"  - { address: h@x.y, provider: gmail, password: env:P }\n"
	"connectors:\n"
	"  - { name: mx, provider: connector, tenant: one, certificate: /c, key: file:/k, "
	"passphrase: env:K }\n"
	"  - { name: mx2, provider: connector, tenant: one, domain: d.e, source: \"fd00::5\" "
	"}\n"
	"  - { name: host, provider: connector, host: h.example, source: 10.0.0.7 }\n"
	"  - { name: direct, provider: direct, tenant: one, tls: none }\n"
	"routes:\n"
	"  - { recipient: [b.c, \"*@d.e\"], through: [sender, mx, direct] }\n"
	"  - { through: [host, mx2] }\n";

static void tenants_of_a_full_file(const struct conf *c)
{
	size_t n;
	const struct conf_tenant *const *t = conf_tenants(c, &n);

	assert_int_equal(n, 4);
	assert_int_equal(t[0]->cloud, PROVIDER_CLOUD_GLOBAL);
	assert_true(sv_eq(t[0]->app.certificate, SV("/c")) && !t[0]->app.pkcs12.len);
	assert_int_equal(t[0]->app.key.kind, CONF_SECRET_VAULT);
	assert_true(sv_eq(t[0]->app.key.name, SV("k/1")));
	assert_int_equal(t[0]->app.passphrase.kind, CONF_SECRET_COMMAND);
	assert_true(sv_eq(t[0]->app.passphrase.name, SV("/bin/pass -n x")));
	assert_int_equal(t[0]->app.jwt, CONF_JWT_PS256);
	assert_int_equal(t[0]->app.place.line, 4);
	assert_true(sv_eq(t[0]->login_url, SV("https://login.microsoftonline.com")));
	assert_true(sv_eq(t[0]->graph_url, SV("https://graph.microsoft.com")));
	assert_true(sv_eq(t[0]->scope_host, SV("https://outlook.office365.com")));
	assert_int_equal(t[1]->cloud, PROVIDER_CLOUD_GCC_HIGH);
	assert_true(sv_eq(t[1]->id, SV("two.onmicrosoft.us")));
	assert_true(sv_eq(t[1]->app.pkcs12, SV("/p12")) && t[1]->app.jwt == CONF_JWT_RS256);
	assert_true(sv_eq(t[1]->login_url, SV("https://[::1]:8443/x")));
	assert_true(sv_eq(t[1]->scope_host, SV("https://o.example")));
	assert_true(sv_eq(t[1]->ca_file, SV("/ca")));
	assert_true(sv_eq(t[2]->login_url, SV("https://oauth2.googleapis.com")));
	assert_int_equal(t[2]->app.key.kind, CONF_SECRET_FILE);
	assert_int_equal(t[3]->app.secret.kind, CONF_SECRET_ENV);
	assert_true(conf_is_internal(c, NULL, SV("X@d.E")));
	assert_true(conf_is_internal(c, t[0], SV("x@B.C")));
	assert_false(conf_is_internal(c, t[1], SV("x@b.c")));
	assert_false(conf_is_internal(c, NULL, SV("x@sub.b.c")));
	assert_false(conf_is_internal(c, NULL, SV("")));
}

static void mailboxes_of_a_full_file(const struct conf *c)
{
	const struct conf_lane *l = conf_lane(c, SV("submission/app@b.c"));

	assert_int_equal(l->sign_in, CONF_SIGN_IN_APP);
	assert_true(sv_eq(l->login, SV("app@b.c")) && sv_eq(l->host, SV("smtp.office365.com")));
	assert_int_equal(l->sender, CONF_SENDER_KEEP);
	l = conf_lane(c, SV("submission/user@b.c"));
	assert_int_equal(l->sign_in, CONF_SIGN_IN_USER);
	assert_true(sv_eq(l->login, SV("Boss@b.c")));
	assert_int_equal(l->sender, CONF_SENDER_FORCE);
	l = conf_lane(c, SV("hve/hve@b.c"));
	assert_int_equal(l->sign_in, CONF_SIGN_IN_APP);
	assert_int_equal(l->sender, CONF_SENDER_REWRITE);
	assert_true(sv_eq(l->host, SV("smtp.hve.mx.microsoft")) && l->port == 587);
	assert_int_equal(l->limits.recipients_per_message, 50);
	assert_int_equal(l->limits.message_bytes_max, 10 << 20);
	l = conf_lane(c, SV("hve/hvf@b.c"));
	assert_int_equal(l->sign_in, CONF_SIGN_IN_PASSWORD);
	assert_int_equal(l->sender, CONF_SENDER_FORCE);
	l = conf_lane(c, SV("graph/graph@x.us"));
	assert_int_equal(l->sign_in, CONF_SIGN_IN_APP);
	assert_int_equal(l->sender, CONF_SENDER_REWRITE);
	assert_true(sv_eq(l->host, SV("127.0.0.1")) && l->port == 9);
	assert_int_equal(l->limits.connections, 4);
	l = conf_lane(c, SV("submission/sub@x.us"));
	assert_true(sv_eq(l->host, SV("smtp.office365.us")));
	assert_int_equal(l->limits.recipients_per_domain, 7);
	l = conf_lane(c, SV("gmail/g@x.y"));
	assert_int_equal(l->sign_in, CONF_SIGN_IN_USER);
	assert_true(sv_eq(l->host, SV("smtp.gmail.com")));
	l = conf_lane(c, SV("gmail/h@x.y"));
	assert_int_equal(l->sign_in, CONF_SIGN_IN_PASSWORD);
	assert_int_equal(conf_lane(c, SV("gmail/r@x.y"))->sign_in, CONF_SIGN_IN_APP);
}

static void connectors_of_a_full_file(const struct conf *c)
{
	const struct conf_lane *l = conf_lane(c, SV("connector/mx"));
	struct in_addr source = { 0 };

	assert_int_equal(l->kind, CONF_LANE_CONNECTOR);
	assert_int_equal(l->sign_in, CONF_SIGN_IN_NONE);
	assert_true(sv_eq(l->mx_of, SV("b.c")) && !l->host.len && l->port == 25);
	assert_true(sv_eq(l->certificate, SV("/c")));
	assert_true(sv_eq(l->certificate_key.name, SV("/k")));
	assert_int_equal(l->passphrase.kind, CONF_SECRET_ENV);
	assert_int_equal(l->source.len, 0);
	assert_int_equal(l->tls, SMTP_CLIENT_TLS_REQUIRED);
	assert_int_equal(l->limits.recipients_per_day, 10000);
	assert_int_equal(l->limits.recipients_per_domain, 200);
	l = conf_lane(c, SV("connector/mx2"));
	assert_true(sv_eq(l->mx_of, SV("d.e")));
	assert_int_equal(l->source.v6.sin6_family, AF_INET6);
	assert_int_equal(l->source.v6.sin6_addr.s6_addr[15], 5);
	l = conf_lane(c, SV("connector/host"));
	assert_true(sv_eq(l->host, SV("h.example")) && !l->mx_of.len);
	assert_int_equal(l->source.any.sa_family, AF_INET);
	assert_int_equal(inet_pton(AF_INET, "10.0.0.7", &source), 1);
	assert_memory_equal(&l->source.v4.sin_addr, &source, sizeof(source));
	l = conf_lane(c, SV("direct/direct"));
	assert_true(sv_eq(l->mx_of, SV("b.c")) && l->tls == SMTP_CLIENT_TLS_NONE);
}

/* What goes outside above an internal door is no reason to warn of it. */
static void doors_of_the_house_below_those_outside(void **state)
{
	static const char *const texts[] = {
		"  - { recipient: external, through: out }\n  - { through: d }\n",
		"  - { recipient: external, through: out }\n  - { through: [sender, out] }\n",
		"  - { sender: a@b.c, recipient: external, through: out }\n  - { through: sender "
		"}\n",
		"  - { recipient: internal, through: d }\n  - { through: out }\n",
		"  - { recipient: [b.c, d.e], through: a@b.c }\n  - { through: out }\n",
		"  - { recipient: external, through: out }\n  - { device: p, through: [a@b.c, d] "
		"}\n",
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		CLEANUP(buf_deinitp) struct buf t = BUF_INIT(4096);
		struct conf_findings f;
		struct conf *c;

		assert_int_equal(
			buf_printf(&t,
				TENANT APP "    domains: [b.c, d.e]\n" MAILBOX
					   "    tenant: t\n    provider: hve\n"
					   "devices: [ { name: p, from: 10.0.0.5, sender: a@b.c } "
					   "]\n" DOOR "    provider: direct\n    tenant: t\n"
					   "  - { name: out, host: h }\nroutes:\n%s",
				texts[i]),
			0);
		c = conf_load_text(buf_sv(&t), &f);
		print_findings(&f);
		if (!c || f.count)
			fail_msg("row %zu", i);
		conf_findings_free(&f);
		conf_unref(c);
	}
}

static void every_door_is_read(void **state)
{
	struct conf_findings f;
	struct conf *c = load(full, &f);

	(void)state;
	print_findings(&f);
	assert_non_null(c);
	assert_int_equal(f.count, 0);
	conf_findings_free(&f);
	tenants_of_a_full_file(c);
	mailboxes_of_a_full_file(c);
	connectors_of_a_full_file(c);
	conf_unref(c);
}

/* A URL or a value that may be a password is not repeated. */
static void secrets_are_not_repeated(void **state)
{
	static const char *const texts[] = {
		TENANT "    endpoints: { login: \"https://u:Hunter2-x@login.example\" }\n" GOOD,
		TENANT "    endpoints: { graph: \"https://login.example/?t=Hunter2-x\" }\n" GOOD,
		"proxy: \"http://u:Hunter2-x@proxy:3128\"\n" GOOD,
		"proxy: \"Hunter2-x\"\n" GOOD,
		"vault: { key: Hunter2-x }\n" GOOD,
		"redirect_all: Hunter2-x\n" GOOD,
		TENANT "    id: Hunter2-x\n" GOOD,
		TENANT "    cloud: Hunter2-x\n" GOOD,
		TENANT "    app: { client_id: a, secret: \"command:Hunter2-x\" }\n" GOOD,
		TENANT "    app: { client_id: a, key: \"vault:Hunter2-x!\" }\n" GOOD,
		DOOR "    source: Hunter2-x\n    host: h\n" DOOR_END,
		MAILBOX "    sender: Hunter2-x\n" GOOD,
		("connectors: [ { name: d, host: h } ]\nroutes: [ { header: Hunter2-x, through: d "
		 "} ]\n"),
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		struct conf_findings f;

		assert_null(load(texts[i], &f));
		assert_true(f.error_count > 0);
		for (size_t k = 0; k < f.count; k++)
			if (strstr(f.items[k].text, "Hunter2"))
				fail_msg("row %zu: %s", i, f.items[k].text);
		conf_findings_free(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(faults_are_found_with_their_place),
		cmocka_unit_test(warnings_do_not_refuse),
		cmocka_unit_test(doors_of_the_house_below_those_outside),
		cmocka_unit_test(every_door_is_read),
		cmocka_unit_test(secrets_are_not_repeated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
