/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/conf.h"

#include "cmocka_all.h"

/* A configuration without a fault, to which each row adds one. */
#define GOOD                                          \
	"connectors:\n"                               \
	"  - { name: lab, host: mail.example.com }\n" \
	"routes:\n"                                   \
	"  - { through: lab }\n"

#define ID "00000000-0000-0000-0000-00000000000f"

/* With users, a tenant and a mailbox. Ten lines. */
#define MORE                                                                             \
	"users:\n"                                                                       \
	"  - { name: erp, password: file:/s, senders: [erp@contoso.com] }\n"             \
	"tenants:\n"                                                                     \
	"  - { name: contoso, id: " ID ", domains: [contoso.com], app: { client_id: " ID \
	", secret: file:/a } }\n"                                                        \
	"mailboxes:\n"                                                                   \
	"  - { address: erp@contoso.com, tenant: contoso, auth: app }\n" GOOD

struct row {
	const char *name;
	const char *text;
	unsigned line, column;
	const char *says; /* a part of the finding */
};

static const struct row broken[] = {
	{ "not YAML", "hostname: [\n", 2, 1, "this is not YAML" },
	{ "tab", "a:\n\tb: c\n", 2, 1, "this is not YAML" },
	{ "not a map", "- a\n", 1, 1, "the file must be made of keys and values" },
	{ "two documents", GOOD "---\na: b\n", 5, 1, "a second YAML document" },
	{ "anchor", "hostname: &h relay.example.com\n" GOOD, 1, 11, "YAML anchors" },
	{ "alias", "hostname: *h\n" GOOD, 1, 11, "YAML aliases" },
	{ "tag", "hostname: !!str h.example.com\n" GOOD, 1, 11, "YAML tags" },
	{ "key that is a list", "[a]: b\n" GOOD, 1, 1, "a key must be a word" },
	{ "too deep", "a: [[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]\n", 1, 20, "nested too deeply" },
	{ "unknown key", "nonsense: true\n" GOOD, 1, 1, "unknown key 'nonsense'" },
	{ "unknown key, nearly right",
		"hostnmae: a.example.com\n" GOOD,
		1,
		1,
		"did you mean 'hostname'?" },
	{ "unknown key inside", "retry: { frist: 1m }\n" GOOD, 1, 10, "did you mean 'first'?" },
	{ "twice",
		"hostname: a.example\nhostname: b.example\n" GOOD,
		2,
		1,
		"given twice, first in line 1" },
	{ "twice a section", GOOD "connectors: []\n", 5, 1, "given twice" },
	{ "no value", "hostname:\n" GOOD, 1, 10, "the value is missing" },
	{ "empty value", "hostname: \"\"\n" GOOD, 1, 11, "must not be empty" },
	{ "list for a value", "hostname: [a]\n" GOOD, 1, 11, "one value must stand here" },
	{ "value for a list", "connectors: lab\n", 1, 13, "a list must stand here" },
	{ "value for a map", "retry: 1m\n" GOOD, 1, 8, "keys and values must stand here" },
	{ "list for a map", "retry: [1m]\n" GOOD, 1, 8, "keys and values must stand here" },
	{ "NUL", "hostname: \"a\\0b\"\n" GOOD, 1, 11, "control character" },
	{ "line break", "qualify: \"a\\nb\"\n" GOOD, 1, 10, "control character" },
	{ "C1 control", "qualify: \"a\\x85b\"\n" GOOD, 1, 10, "control character" },
	{ "bare number for a time", "delay_notice: 30\n" GOOD, 1, 15, "time with its unit" },
	{ "time too long", "parked_expire: 9999d\n" GOOD, 1, 16, "must lie between 1s and" },
	{ "bare number for a size", "min_free: 5000000\n" GOOD, 1, 11, "size with its unit" },
	{ "word for a bool", "history: { subject: yes }\n" GOOD, 1, 21, "must be true or false" },
	{ "unknown choice", "uncertain: drop\n" GOOD, 1, 12, "must be retry, hold or assume-sent" },
	{ "unknown level", "log: { level: chatty }\n" GOOD, 1, 15, "debug, info, warn or error" },
	{ "relative path", "data_dir: queue\n" GOOD, 1, 11, "must be a full path" },
	{ "long socket",
		"control_socket: "
		"/0123456789012345678901234567890123456789012345678901234567890123456789"
		"0123456789012345678901234567890123456789\n" GOOD,
		1,
		17,
		"choose a shorter one" },
	{ "dot at the end", "hostname: relay.example.com.\n" GOOD, 1, 11, "must not end in a dot" },
	{ "address as hostname", "hostname: 192.0.2.1\n" GOOD, 1, 11, "refuse an address in EHLO" },
	{ "ceiling below first",
		"retry: { first: 2h, ceiling: 1h }\n" GOOD,
		1,
		8,
		"first is longer" },
	{ "expire below ceiling", "retry: { expire: 30m }\n" GOOD, 1, 8, "ceiling is longer" },
	{ "huge number",
		"limits: { inbound_connections: 99999999999 }\n" GOOD,
		1,
		32,
		"whole number from 1 to 1000000" },
	{ "include", "include: /x\n" GOOD, 1, 10, "include: is not possible here" },
	{ "mailboxes_from", "mailboxes_from: /x\n" GOOD, 1, 17, "mailboxes_from: is not possible" },

	{ "alias with a domain",
		"aliases: { root@a.b: c@d.e }\n" GOOD,
		1,
		12,
		"before the @ alone" },
	{ "alias to nothing", "aliases: { root: \"a b\" }\n" GOOD, 1, 18, "one mail address" },
	{ "alias to a list", "aliases: { root: [a@b.c] }\n" GOOD, 1, 18, "one value must stand" },
	{ "alias without domain", "aliases: { root: admin }\n" GOOD, 1, 18, "without a domain" },
	{ "alias twice", "aliases:\n  root: a@b.c\n  Root: d@e.f\n" GOOD, 3, 3, "given twice" },
	{ "alias to itself", "aliases: { root: root }\n" GOOD, 1, 18, "in a circle" },
	{ "alias loop", "aliases:\n  a: b\n  b: a\n" GOOD, 2, 6, "in a circle" },
	{ "aliases as a list", "aliases: [a]\n" GOOD, 1, 10, "must be names with addresses" },

	{ "bounces through nobody",
		"bounces: { through: lap }\n" GOOD,
		1,
		21,
		"did you mean 'lab'?" },
	{ "bounces to nobody", "bounces: { to: nobody }\n" GOOD, 1, 16, "must be a mail address" },

	{ "listener's port",
		"listeners:\n  - address: 127.0.0.1:99999\n" GOOD,
		2,
		14,
		"port from 1 to 65535" },
	{ "listener by name",
		"listeners:\n  - address: localhost:25\n" GOOD,
		2,
		14,
		"numeric address" },
	{ "listener's key",
		"listeners:\n  - address: 127.0.0.1:25\n    adress: x\n" GOOD,
		3,
		5,
		"did you mean 'address'?" },
	{ "listener without address",
		"listeners:\n  - tls: none\n" GOOD,
		2,
		5,
		"address: is missing" },
	{ "listener twice",
		"listeners:\n  - address: 127.0.0.1:25\n  - address: 127.0.0.1:25\n" GOOD,
		3,
		14,
		"another listener has it" },
	{ "systemd without name",
		"listeners:\n  - address: \"systemd:\"\n" GOOD,
		2,
		14,
		"systemd:NAME" },
	{ "open to the network",
		"listeners:\n  - address: \"*:25\"\n" GOOD,
		2,
		5,
		"asks for no password" },
	{ "nobody may send",
		"listeners:\n  - address: 127.0.0.1:25\n    no_password_from: []\n" GOOD,
		3,
		23,
		"nobody could send" },
	{ "network",
		"listeners:\n  - address: 127.0.0.1:25\n    no_password_from: [lan]\n" GOOD,
		3,
		24,
		"must be networks" },
	{ "TLS without certificate",
		"listeners:\n  - { address: \"*:25\", no_password_from: [10.0.0.0/8],\n      tls: "
		"starttls, key: file:/k }\n" GOOD,
		3,
		12,
		"needs a certificate" },
	{ "TLS without key",
		"listeners:\n  - { address: \"*:25\", no_password_from: [10.0.0.0/8],\n      tls: "
		"implicit, certificate: /c }\n" GOOD,
		3,
		12,
		"needs a private key" },
	{ "key not in a file",
		"listeners:\n  - { address: \"127.0.0.1:25\", tls: implicit, certificate: /c, key: "
		"env:K }\n" GOOD,
		2,
		69,
		"must be a file" },
	{ "certificate without TLS",
		"listeners:\n  - { address: \"127.0.0.1:25\", certificate: /c }\n" GOOD,
		2,
		45,
		"of no use without TLS" },
	{ "auth in the clear",
		"listeners:\n  - { address: \"*:25\", auth: required }\n" MORE,
		2,
		30,
		"in the clear" },
	{ "auth without users",
		"listeners:\n  - { address: \"127.0.0.1:25\", auth: required }\n" GOOD,
		2,
		38,
		"no users" },
	{ "auth for nobody",
		"listeners:\n  - { address: \"127.0.0.1:25\", auth: required, no_password_from: "
		"[10.0.0.0/8] }\n" MORE,
		2,
		66,
		"contradicts" },
	{ "plaintext without auth",
		"listeners:\n  - { address: \"127.0.0.1:25\", plaintext_auth: true }\n" GOOD,
		2,
		48,
		"no meaning without auth" },
	{ "mode of a TCP socket",
		"listeners:\n  - { address: \"127.0.0.1:25\", mode: \"0660\" }\n" GOOD,
		2,
		38,
		"unix: sockets only" },
	{ "mode", "listeners:\n  - { address: unix:/s, mode: rw }\n" GOOD, 2, 31, "octal" },
	{ "more per peer than at all",
		"listeners:\n  - { address: \"127.0.0.1:25\", connections: 5, "
		"connections_per_peer: 6 }\n" GOOD,
		2,
		70,
		"lower it" },

	{ "user without senders",
		"users:\n  - { name: a, password: file:/s }\n" GOOD,
		2,
		5,
		"senders: is missing" },
	{ "user with no senders",
		"users:\n  - { name: a, password: file:/s, senders: [] }\n" GOOD,
		2,
		5,
		"could send nothing" },
	{ "user's pattern",
		"users:\n  - { name: a, password: file:/s, senders: [b] }\n" GOOD,
		2,
		45,
		"address or a pattern" },
	{ "user twice",
		"users:\n  - { name: a, password: file:/s, senders: [\"*\"] }\n  - { name: a, "
		"password: file:/s, senders: [\"*\"] }\n" GOOD,
		3,
		13,
		"there is a user of this name in text line 2" },
	{ "user's name",
		"users:\n  - { name: \"local:a\", password: file:/s, senders: [\"*\"] }\n" GOOD,
		2,
		13,
		"letters, digits" },

	{ "tenant's id", "tenants:\n  - { name: a, id: 1 }\n" GOOD, 2, 20, "as Entra shows it" },
	{ "tenant twice",
		"tenants:\n  - { name: a }\n  - { name: a }\n" GOOD,
		3,
		13,
		"tenant of this name" },

	{ "mailbox without address",
		"mailboxes:\n  - { password: file:/p }\n" GOOD,
		2,
		5,
		"address: is missing" },
	{ "mailbox without password",
		"mailboxes:\n  - { address: a@b.c }\n" GOOD,
		2,
		5,
		"password: is missing" },
	{ "mailbox that is none",
		"mailboxes:\n  - { address: a, password: file:/p }\n" GOOD,
		2,
		16,
		"must be a mail address" },
	{ "mailbox twice",
		"mailboxes:\n  - { address: a@b.c, password: file:/p }\n  - { address: A@B.C, "
		"password: file:/p }\n" GOOD,
		3,
		16,
		"listed twice, first in text line 2" },
	{ "tenant of a mailbox",
		"mailboxes:\n  - { address: a@b.c, password: file:/p, tenant: x }\n" GOOD,
		2,
		50,
		"there is no tenant 'x'" },
	{ "provider",
		"mailboxes:\n  - { address: a@b.c, password: file:/p, provider: x }\n" GOOD,
		2,
		52,
		"submission" },
	{ "way to sign in",
		"mailboxes:\n  - { address: a@b.c, auth: app }\n" GOOD,
		2,
		29,
		"add tenant: NAME" },
	{ "smarthost mailbox without host",
		"mailboxes:\n  - { address: a@b.c, password: file:/p, provider: smtp }\n" GOOD,
		2,
		5,
		"host: is missing" },
	{ "no TLS to Microsoft",
		"mailboxes:\n  - { address: a@b.c, password: file:/p, endpoint: { tls: none } "
		"}\n" GOOD,
		2,
		5,
		"not possible with provider: submission" },
	{ "share without sign",
		"mailboxes:\n  - { address: a@b.c, password: file:/p, limits: { share: 80 } "
		"}\n" GOOD,
		2,
		59,
		"percentage with its sign" },
	{ "port",
		"connectors:\n  - { name: a, host: h, port: 0 }\nroutes: [ { through: a } ]\n",
		2,
		31,
		"from 1 to 65535" },
	{ "host with a port",
		"connectors:\n  - { name: a, host: \"h:25\" }\nroutes: [ { through: a } ]\n",
		2,
		22,
		"without port" },
	{ "connector without host",
		"connectors:\n  - { name: a }\nroutes: [ { through: a } ]\n",
		2,
		5,
		"host: is missing" },
	{ "connector twice",
		"connectors:\n  - { name: a, host: h }\n  - { name: a, host: h }\nroutes: [ { "
		"through: a } ]\n",
		3,
		13,
		"listed twice" },
	{ "connector named sender",
		"connectors:\n  - { name: sender, host: h }\n"
		"routes: [ { through: b } ]\n",
		2,
		13,
		"choose another" },
	{ "connector's login alone",
		"connectors:\n  - { name: a, host: h, login: b }\nroutes: [ { through: a } ]\n",
		2,
		32,
		"needs a password" },
	{ "connector's password alone",
		"connectors:\n  - { name: a, host: h, password: file:/p }\nroutes: [ { through: a "
		"} ]\n",
		2,
		35,
		"needs the sign-in name" },
	{ "mailbox provider as connector",
		"connectors:\n  - { name: a, provider: submission }\nroutes: [ { through: a } ]\n",
		2,
		26,
		"list it under mailboxes" },

	{ "no route", "connectors:\n  - { name: lab, host: h }\n", 1, 1, "routes: there is none" },
	{ "no route in the list",
		"connectors:\n  - { name: lab, host: h }\nroutes: []\n",
		3,
		9,
		"routes: there is none" },
	{ "route to nowhere",
		"connectors:\n  - { name: lab, host: h }\nroutes:\n  - { sender: a@b.c }\n",
		4,
		5,
		"through: is missing" },
	{ "route to an unknown", MORE "  - { through: laab }\n", 11, 16, "did you mean 'lab'?" },
	{ "route of an unknown user",
		MORE "  - { user: epr, through: lab }\n",
		11,
		13,
		"did you mean 'erp'?" },
	{ "route of an unknown listener",
		MORE "  - { listener: x, through: lab }\n",
		11,
		17,
		"there is no listener 'x'" },
	{ "through sender without mailboxes",
		GOOD "  - { through: sender }\n",
		5,
		16,
		"there are none" },
	{ "through sender that has none",
		MORE "  - { sender: x@contoso.com, through: sender }\n",
		11,
		39,
		"can never match" },
	{ "second of two", GOOD "  - { through: lab }\n", 5, 5, "line 4 takes everything first" },
	{ "below a catch-all",
		MORE "  - { sender: \"*@a.b\", through: erp@contoso.com }\n",
		11,
		5,
		"can never match" },
	{ "pattern below a wider one",
		"connectors:\n  - { name: lab, host: h }\nroutes:\n  - { sender: \"*@*.b\", "
		"through: lab }\n"
		"  - { sender: \"*x@a.b\", recipient: c@d.e, through: lab }\n",
		5,
		5,
		"can never match" },
	{ "mailbox below through sender",
		"mailboxes:\n  - { address: a@b.c, password: file:/p }\nroutes:\n  - { through: "
		"sender }\n"
		"  - { sender: A@b.c, through: a@b.c }\n",
		5,
		5,
		"can never match" },
};

static struct conf *load(const char *text, struct conf_findings *f)
{
	return conf_load_text(sv_from(text), f);
}

static const struct conf_finding *find(const struct conf_findings *f, const struct row *r)
{
	for (size_t i = 0; i < f->count; i++)
		if (f->items[i].line == r->line && f->items[i].column == r->column &&
			strstr(f->items[i].text, r->says))
			return &f->items[i];
	return NULL;
}

static void print_findings(const struct conf_findings *f)
{
	for (size_t i = 0; i < f->count; i++)
		print_message("  %s:%u:%u: %s%s\n",
			f->items[i].file,
			f->items[i].line,
			f->items[i].column,
			f->items[i].warning ? "warning: " : "",
			f->items[i].text);
}

/* A fault gives one error (a circle one for each of its names): what follows from it is not told. */
static void faults_are_found_with_their_place(void **state)
{
	int wrong = 0;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(broken); i++) {
		struct conf_findings f;
		struct conf *c = load(broken[i].text, &f);
		const struct conf_finding *hit = find(&f, &broken[i]);

		if (c || !hit || hit->warning || f.error_count > 2) {
			print_findings(&f);
			print_message("%s: wanted %u:%u %s\n",
				broken[i].name,
				broken[i].line,
				broken[i].column,
				broken[i].says);
			wrong++;
		}
		conf_findings_free(&f);
	}
	assert_int_equal(wrong, 0);
}

static const struct row warned[] = {
	{ "open network",
		"listeners:\n  - { address: \"*:25\", no_password_from: [10.0.0.0/8, 127.0.0.1, "
		"\"fd00::/8\"] }\n" GOOD,
		2,
		5,
		"everybody in 10.0.0.0/8, fd00::/8 may send" },
	{ "passwords in the clear",
		"listeners:\n  - { address: \"*:25\", auth: required, plaintext_auth: true "
		"}\n" MORE,
		2,
		56,
		"in the clear" },
	{ "port 465",
		"connectors:\n  - { name: lab, host: h, port: 465 }\nroutes: [ { through: lab } "
		"]\n",
		2,
		5,
		"tls: implicit" },
	{ "password without TLS",
		"connectors:\n  - { name: lab, host: h, tls: none, login: a, password: env:P "
		"}\nroutes: [ { through: lab } ]\n",
		2,
		5,
		"in the clear" },
	{ "more than Microsoft allows",
		"mailboxes:\n  - { address: a@b.c, password: file:/p, provider: gmail, limits: { "
		"recipients_per_day: 2001 } }\n" GOOD,
		2,
		5,
		"above the 2000" },
	{ "domain of another tenant",
		"tenants: [ { name: t, domains: [x.y] } ]\nmailboxes:\n  - { address: a@b.c, "
		"password: file:/p, provider: smtp, endpoint: { host: h }, tenant: t }\n" GOOD,
		3,
		16,
		"not among the domains" },
	{ "port 0", "listeners:\n  - { address: \"127.0.0.1:0\" }\n" GOOD, 2, 16, "port 0" },
};

static void warnings_do_not_refuse(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(warned); i++) {
		struct conf_findings f;
		struct conf *c = load(warned[i].text, &f);
		const struct conf_finding *hit = find(&f, &warned[i]);

		if (!c || !hit || !hit->warning || f.count != 1) {
			print_findings(&f);
			fail_msg("%s", warned[i].name);
		}
		conf_findings_free(&f);
		conf_unref(c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(faults_are_found_with_their_place),
		cmocka_unit_test(warnings_do_not_refuse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
