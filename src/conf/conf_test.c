/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/conf.h"

#include "base/buf.h"
#include "base/must.h"
#include "conf/route.h"
#include "io/file.h"

#include "cmocka_all.h"

#include <sys/stat.h>
#include <unistd.h>

/* A configuration without a fault, to which each row adds one. */
#define GOOD                                                                            \
	"connectors:\n"                                                                 \
	"  - { name: lab, host: mail.example.com }\n"                                   \
	"routes:\n"                                                                     \
	"  - { through: lab }\n"

/* With users, a tenant and a mailbox. Eleven lines. */
#define MORE                                                                            \
	"users:\n"                                                                      \
	"  - { name: erp, password: file:/s, senders: [erp@contoso.com] }\n"            \
	"tenants:\n"                                                                    \
	"  - { name: contoso, domains: [contoso.com] }\n"                               \
	"mailboxes:\n"                                                                  \
	"  - { address: erp@contoso.com, tenant: contoso, password: file:/p }\n"        \
	GOOD

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
	{ "unknown key, nearly right", "hostnmae: a.example.com\n" GOOD, 1, 1,
		"did you mean 'hostname'?" },
	{ "unknown key inside", "retry: { frist: 1m }\n" GOOD, 1, 10, "did you mean 'first'?" },
	{ "twice", "hostname: a.example\nhostname: b.example\n" GOOD, 2, 1, "given twice, first in line 1" },
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
		"control_socket: /0123456789012345678901234567890123456789012345678901234567890123456789"
		"0123456789012345678901234567890123456789\n" GOOD,
		1, 17, "choose a shorter one" },
	{ "dot at the end", "hostname: relay.example.com.\n" GOOD, 1, 11, "must not end in a dot" },
	{ "address as hostname", "hostname: 192.0.2.1\n" GOOD, 1, 11, "refuse an address in EHLO" },
	{ "ceiling below first", "retry: { first: 2h, ceiling: 1h }\n" GOOD, 1, 8, "first is longer" },
	{ "expire below ceiling", "retry: { expire: 30m }\n" GOOD, 1, 8, "ceiling is longer" },
	{ "huge number", "limits: { inbound_connections: 99999999999 }\n" GOOD, 1, 32,
		"whole number from 1 to 1000000" },
	{ "include", "include: /x\n" GOOD, 1, 10, "include: is not possible here" },
	{ "mailboxes_from", "mailboxes_from: /x\n" GOOD, 1, 17, "mailboxes_from: is not possible" },

	{ "alias with a domain", "aliases: { root@a.b: c@d.e }\n" GOOD, 1, 12, "before the @ alone" },
	{ "alias to nothing", "aliases: { root: \"a b\" }\n" GOOD, 1, 18, "one mail address" },
	{ "alias to a list", "aliases: { root: [a@b.c] }\n" GOOD, 1, 18, "one value must stand" },
	{ "alias without domain", "aliases: { root: admin }\n" GOOD, 1, 18, "without a domain" },
	{ "alias twice", "aliases:\n  root: a@b.c\n  Root: d@e.f\n" GOOD, 3, 3, "given twice" },
	{ "alias to itself", "aliases: { root: root }\n" GOOD, 1, 18, "in a circle" },
	{ "alias loop", "aliases:\n  a: b\n  b: a\n" GOOD, 2, 6, "in a circle" },
	{ "aliases as a list", "aliases: [a]\n" GOOD, 1, 10, "must be names with addresses" },

	{ "bounces through nobody", "bounces: { through: lap }\n" GOOD, 1, 21, "did you mean 'lab'?" },
	{ "bounces to nobody", "bounces: { to: nobody }\n" GOOD, 1, 16, "must be a mail address" },

	{ "listener's port", "listeners:\n  - address: 127.0.0.1:99999\n" GOOD, 2, 14, "port from 1 to 65535" },
	{ "listener by name", "listeners:\n  - address: localhost:25\n" GOOD, 2, 14, "numeric address" },
	{ "listener's key", "listeners:\n  - address: 127.0.0.1:25\n    adress: x\n" GOOD, 3, 5,
		"did you mean 'address'?" },
	{ "listener without address", "listeners:\n  - tls: none\n" GOOD, 2, 5, "address: is missing" },
	{ "listener twice", "listeners:\n  - address: 127.0.0.1:25\n  - address: 127.0.0.1:25\n" GOOD, 3, 14,
		"another listener has it" },
	{ "systemd without name", "listeners:\n  - address: \"systemd:\"\n" GOOD, 2, 14, "systemd:NAME" },
	{ "open to the network", "listeners:\n  - address: \"*:25\"\n" GOOD, 2, 5, "asks for no password" },
	{ "nobody may send", "listeners:\n  - address: 127.0.0.1:25\n    no_password_from: []\n" GOOD, 3, 23,
		"nobody could send" },
	{ "network", "listeners:\n  - address: 127.0.0.1:25\n    no_password_from: [lan]\n" GOOD, 3, 24,
		"must be networks" },
	{ "TLS without certificate",
		"listeners:\n  - { address: \"*:25\", no_password_from: [10.0.0.0/8],\n      tls: starttls, key: file:/k }\n" GOOD,
		3, 12, "needs a certificate" },
	{ "TLS without key",
		"listeners:\n  - { address: \"*:25\", no_password_from: [10.0.0.0/8],\n      tls: implicit, certificate: /c }\n" GOOD,
		3, 12, "needs a private key" },
	{ "key not in a file",
		"listeners:\n  - { address: \"127.0.0.1:25\", tls: implicit, certificate: /c, key: env:K }\n" GOOD, 2, 69,
		"must be a file" },
	{ "certificate without TLS", "listeners:\n  - { address: \"127.0.0.1:25\", certificate: /c }\n" GOOD, 2, 45,
		"of no use without TLS" },
	{ "auth in the clear", "listeners:\n  - { address: \"*:25\", auth: required }\n" MORE, 2, 30,
		"in the clear" },
	{ "auth without users", "listeners:\n  - { address: \"127.0.0.1:25\", auth: required }\n" GOOD, 2, 38,
		"no users" },
	{ "auth for nobody",
		"listeners:\n  - { address: \"127.0.0.1:25\", auth: required, no_password_from: [10.0.0.0/8] }\n" MORE, 2,
		66, "contradicts" },
	{ "plaintext without auth", "listeners:\n  - { address: \"127.0.0.1:25\", plaintext_auth: true }\n" GOOD, 2,
		48, "no meaning without auth" },
	{ "mode of a TCP socket", "listeners:\n  - { address: \"127.0.0.1:25\", mode: \"0660\" }\n" GOOD, 2, 38,
		"unix: sockets only" },
	{ "mode", "listeners:\n  - { address: unix:/s, mode: rw }\n" GOOD, 2, 31, "octal" },
	{ "more per peer than at all",
		"listeners:\n  - { address: \"127.0.0.1:25\", connections: 5, connections_per_peer: 6 }\n" GOOD, 2, 70,
		"lower it" },

	{ "user without senders", "users:\n  - { name: a, password: file:/s }\n" GOOD, 2, 5, "senders: is missing" },
	{ "user with no senders", "users:\n  - { name: a, password: file:/s, senders: [] }\n" GOOD, 2, 5,
		"could send nothing" },
	{ "user's pattern", "users:\n  - { name: a, password: file:/s, senders: [b] }\n" GOOD, 2, 45,
		"address or a pattern" },
	{ "user twice",
		"users:\n  - { name: a, password: file:/s, senders: [\"*\"] }\n  - { name: a, password: file:/s, senders: [\"*\"] }\n" GOOD,
		3, 13, "there is a user of this name in text line 2" },
	{ "user's name", "users:\n  - { name: \"local:a\", password: file:/s, senders: [\"*\"] }\n" GOOD, 2, 13,
		"letters, digits" },

	{ "tenant's id", "tenants:\n  - { name: a, id: 1 }\n" GOOD, 2, 20, "as Entra shows it" },
	{ "tenant twice", "tenants:\n  - { name: a }\n  - { name: a }\n" GOOD, 3, 13, "tenant of this name" },

	{ "mailbox without address", "mailboxes:\n  - { password: file:/p }\n" GOOD, 2, 5, "address: is missing" },
	{ "mailbox without password", "mailboxes:\n  - { address: a@b.c }\n" GOOD, 2, 5, "password: is missing" },
	{ "mailbox that is none", "mailboxes:\n  - { address: a, password: file:/p }\n" GOOD, 2, 16,
		"must be a mail address" },
	{ "mailbox twice",
		"mailboxes:\n  - { address: a@b.c, password: file:/p }\n  - { address: A@B.C, password: file:/p }\n" GOOD,
		3, 16, "listed twice, first in text line 2" },
	{ "tenant of a mailbox", "mailboxes:\n  - { address: a@b.c, password: file:/p, tenant: x }\n" GOOD, 2, 50,
		"there is no tenant 'x'" },
	{ "provider", "mailboxes:\n  - { address: a@b.c, password: file:/p, provider: x }\n" GOOD, 2, 52,
		"submission" },
	{ "way to sign in", "mailboxes:\n  - { address: a@b.c, password: file:/p, auth: app }\n" GOOD, 2, 48,
		"must be password" },
	{ "smarthost mailbox without host",
		"mailboxes:\n  - { address: a@b.c, password: file:/p, provider: smtp }\n" GOOD, 2, 5, "host: is missing" },
	{ "no TLS to Microsoft",
		"mailboxes:\n  - { address: a@b.c, password: file:/p, endpoint: { tls: none } }\n" GOOD, 2, 5,
		"not possible with provider: submission" },
	{ "share without sign", "mailboxes:\n  - { address: a@b.c, password: file:/p, limits: { share: 80 } }\n" GOOD,
		2, 59, "percentage with its sign" },
	{ "port", "connectors:\n  - { name: a, host: h, port: 0 }\nroutes: [ { through: a } ]\n", 2, 31,
		"from 1 to 65535" },
	{ "host with a port", "connectors:\n  - { name: a, host: \"h:25\" }\nroutes: [ { through: a } ]\n", 2, 22,
		"without port" },
	{ "connector without host", "connectors:\n  - { name: a }\nroutes: [ { through: a } ]\n", 2, 5,
		"host: is missing" },
	{ "connector twice",
		"connectors:\n  - { name: a, host: h }\n  - { name: a, host: h }\nroutes: [ { through: a } ]\n", 3, 13,
		"listed twice" },
	{ "connector named sender", "connectors:\n  - { name: sender, host: h }\n" "routes: [ { through: b } ]\n", 2,
		13, "choose another" },
	{ "connector's login alone", "connectors:\n  - { name: a, host: h, login: b }\nroutes: [ { through: a } ]\n",
		2, 32, "needs a password" },
	{ "connector's password alone",
		"connectors:\n  - { name: a, host: h, password: file:/p }\nroutes: [ { through: a } ]\n", 2, 35,
		"needs the sign-in name" },
	{ "mailbox provider as connector",
		"connectors:\n  - { name: a, provider: submission }\nroutes: [ { through: a } ]\n", 2, 26,
		"list it under mailboxes" },

	{ "no route", "connectors:\n  - { name: lab, host: h }\n", 1, 1, "routes: there is none" },
	{ "no route in the list", "connectors:\n  - { name: lab, host: h }\nroutes: []\n", 3, 9,
		"routes: there is none" },
	{ "route to nowhere", "connectors:\n  - { name: lab, host: h }\nroutes:\n  - { sender: a@b.c }\n", 4, 5,
		"through: is missing" },
	{ "route to an unknown", MORE "  - { through: laab }\n", 11, 16, "did you mean 'lab'?" },
	{ "route of an unknown user", MORE "  - { user: epr, through: lab }\n", 11, 13, "did you mean 'erp'?" },
	{ "route of an unknown listener", MORE "  - { listener: x, through: lab }\n", 11, 17,
		"there is no listener 'x'" },
	{ "through sender without mailboxes", GOOD "  - { through: sender }\n", 5, 16, "there are none" },
	{ "through sender that has none", MORE "  - { sender: x@contoso.com, through: sender }\n", 11, 39,
		"can never match" },
	{ "second of two", GOOD "  - { through: lab }\n", 5, 5, "line 4 takes everything first" },
	{ "below a catch-all", MORE "  - { sender: \"*@a.b\", through: erp@contoso.com }\n", 11, 5, "can never match" },
	{ "pattern below a wider one",
		"connectors:\n  - { name: lab, host: h }\nroutes:\n  - { sender: \"*@*.b\", through: lab }\n"
		"  - { sender: \"*x@a.b\", recipient: c@d.e, through: lab }\n",
		5, 5, "can never match" },
	{ "mailbox below through sender",
		"mailboxes:\n  - { address: a@b.c, password: file:/p }\nroutes:\n  - { through: sender }\n"
		"  - { sender: A@b.c, through: a@b.c }\n",
		5, 5, "can never match" },
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

/* Each fault gives just one error: what follows from it is not told. */
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
			print_message("%s: wanted %u:%u %s\n", broken[i].name, broken[i].line, broken[i].column, broken[i].says);
			wrong++;
		}
		conf_findings_free(&f);
	}
	assert_int_equal(wrong, 0);
}

static const struct row warned[] = {
	{ "open network", "listeners:\n  - { address: \"*:25\", no_password_from: [10.0.0.0/8, 127.0.0.1, \"fd00::/8\"] }\n" GOOD,
		2, 5, "everybody in 10.0.0.0/8, fd00::/8 may send" },
	{ "passwords in the clear", "listeners:\n  - { address: \"*:25\", auth: required, plaintext_auth: true }\n" MORE, 2,
		56, "in the clear" },
	{ "port 465", "connectors:\n  - { name: lab, host: h, port: 465 }\nroutes: [ { through: lab } ]\n", 2, 5,
		"tls: implicit" },
	{ "password without TLS",
		"connectors:\n  - { name: lab, host: h, tls: none, login: a, password: env:P }\nroutes: [ { through: lab } ]\n",
		2, 5, "in the clear" },
	{ "more than Microsoft allows",
		"mailboxes:\n  - { address: a@b.c, password: file:/p, limits: { messages_per_minute: 31 } }\n" GOOD, 2, 5,
		"above the 30" },
	{ "domain of another tenant",
		"tenants: [ { name: t, domains: [x.y] } ]\nmailboxes:\n  - { address: a@b.c, password: file:/p, tenant: t }\n" GOOD,
		3, 16, "not among the domains" },
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

static const char *const fine[] = {
	GOOD,
	MORE,
	"listeners:\n  - { address: \"127.0.0.1:25\" }\n  - { address: \"[::1]:25\" }\n  - { address: unix:/run/s, mode: \"0660\" }\n"
	"  - { address: systemd:smtp }\n" GOOD,
	"listeners:\n" GOOD,
	"connectors:\n  - { name: lab, provider: smtp, host: 127.0.0.1, port: 2526, tls: none, connections: 20 }\nroutes: [ { through: lab } ]\n",
	"listeners:\n  - { address: \"127.0.0.1:25\", auth: required }\n" MORE,
	"listeners:\n  - { address: \"*:25\", no_password_from: [10.0.0.0/8] }\nconnectors: [ { name: l, host: h } ]\n"
	"routes: [ { sender: \"*@b.c\", through: l } ]\n",
	"mailboxes:\n  - { address: a@b.c, password: file:/p }\nconnectors: [ { name: l, host: h } ]\n"
	"routes:\n  - { through: sender }\n  - { sender: \"*@b.c\", through: a@b.c }\n  - { through: l }\n",
};

static void nothing_is_said_of_what_is_right(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(fine); i++) {
		struct conf_findings f;
		struct conf *c = load(fine[i], &f);

		if (!c || f.count) {
			print_findings(&f);
			fail_msg("row %zu", i);
		}
		conf_findings_free(&f);
		conf_unref(c);
	}
}

/* Wherever a password was written by mistake, no finding repeats it. */
static void secrets_are_not_repeated(void **state)
{
	static const char *const texts[] = {
		"users: [ { name: a, password: Hunter2-x, senders: [\"*\"] } ]\n" GOOD,
		"users: [ { name: a, password: \"file:Hunter2-x\", senders: [\"*\"] } ]\n" GOOD,
		"users: [ { name: a, password: \"env:Hunter2-x!\", senders: [\"*\"] } ]\n" GOOD,
		"users: [ { name: a, password: { Hunter2-x: b }, senders: [\"*\"] } ]\n" GOOD,
		"users: [ { name: a, password: [Hunter2-x], senders: [\"*\"] } ]\n" GOOD,
		"users: [ { name: a, password: \"Hunter2-x\\n\", senders: [\"*\"] } ]\n" GOOD,
		"mailboxes: [ { address: a@b.c, passwrd: Hunter2-x } ]\n" GOOD,
		"mailboxes: [ { address: a@b.c, auth: Hunter2-x } ]\n" GOOD,
		"mailboxes: [ { address: \"a@b.c:Hunter2-x\", password: file:/p } ]\n" GOOD,
		"connectors: [ { name: a, host: \"smtp://u:Hunter2-x@h\" } ]\nroutes: [ { through: a } ]\n",
		"connectors: [ { name: a, host: h, port: Hunter2-x } ]\nroutes: [ { through: a } ]\n",
		"bounces: { through: \"u:Hunter2-x@h\" }\n" GOOD,
		"\"smtp://u:Hunter2-x@h\": b\n" GOOD,
		"password:Hunter2-x\n",
		"password: \"Hunter2-x\n",
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

static void all_faults_come_at_once_in_order(void **state)
{
	struct conf_findings f;

	(void)state;
	assert_null(load("hostname: relay.example.com.\nlisteners:\n  - address: 127.0.0.1:99999\n    adress: x\n"
			 "routes:\n  - { through: nobody }\n",
		&f));
	assert_int_equal(f.count, 4);
	assert_int_equal(f.error_count, 4);
	assert_int_equal(f.items[0].line, 1);
	assert_int_equal(f.items[1].line, 3);
	assert_int_equal(f.items[2].line, 4);
	assert_int_equal(f.items[3].line, 6);
	assert_string_equal(f.items[0].file, "text");
	conf_findings_free(&f);
}

static void findings_are_bounded(void **state)
{
	struct buf text = BUF_INIT(1 << 20);
	struct conf_findings f;

	(void)state;
	for (int i = 0; i < 5000; i++)
		assert_int_equal(buf_printf(&text, "x%d: y\n", i), 0);
	assert_null(conf_load_text(buf_sv(&text), &f));
	assert_int_equal(f.count, 1001);
	assert_non_null(strstr(f.items[1000].text, "and 4001 more"));
	assert_int_equal(f.error_count, 5001);
	conf_findings_free(&f);
	buf_deinit(&text);
}

static const char full[] =
	"data_dir: /q\nmaildrop: /m\nsubmit_socket: /r/s\ncontrol_socket: /r/c\nhostname: relay.contoso.com\n"
	"qualify: contoso.com\naliases: { root: Admin, admin: it, mailer-daemon: post@contoso.com }\n"
	"retry: { first: 30s, ceiling: 2h, expire: 4d }\ndelay_notice: off\nparked_expire: 20d\n"
	"history: { keep: 7d, max: 100MB, subject: false }\nbounces: { through: Relay@contoso.com, to: it@contoso.com }\n"
	"min_free: 64MB\nuncertain: assume-sent\nlog: { level: debug, format: json }\n"
	"limits: { inbound_memory: 10MB, inbound_connections: 50, upstream_connections: 60, local_bytes_per_uid: 5MB }\n"
	"listeners:\n  - address: 0.0.0.0:587\n    tls: starttls\n    certificate: /c.pem\n    key: file:/k.pem\n"
	"    auth: optional\n    no_password_from: [127.0.0.0/8]\n    message_size: 1MB\n    recipients: 7\n"
	"    connections: 40\n    connections_per_peer: 3\n    idle: 90s\n"
	"  - address: 127.0.0.1:25\n  - { address: unix:/run/x, mode: \"0660\" }\n  - address: systemd:smtp\n"
	"users:\n  - { name: erp, password: credential:erp, senders: [erp@contoso.com, \"*@x.example\"] }\n"
	"tenants:\n  - { name: contoso, id: 00000000-0000-0000-0000-00000000000f, domains: [contoso.com, b.example], licences: 25 }\n"
	"mailboxes:\n  - { address: ERP@contoso.com, tenant: contoso, provider: submission, auth: password, password: file:/p }\n"
	"  - address: relay@contoso.com\n    password: env:P\n    login: svc@contoso.com\n"
	"    endpoint: { host: localhost, port: 2525, ca_file: \"\" }\n"
	"    limits: { share: 50%, messages_per_minute: 10, recipients_per_day: 20, recipients_per_message: 30, connections: 4, message_size: 2MB }\n"
	"connectors:\n  - { name: lab, provider: smtp, host: 127.0.0.1, tls: none, connections: 20 }\n"
	"  - { name: far, host: h.example, tls: implicit, port: 465, login: u, password: env:F }\n"
	"routes:\n  - { user: erp, listener: 127.0.0.1:25, recipient: \"*@contoso.com\", sender: \"*@x.example\", through: lab, rewrite_from: erp@contoso.com }\n"
	"  - { listener: systemd:smtp, sender: \"\", through: far }\n  - { user: local:root, through: relay@contoso.com }\n  - { through: sender }\n";

static void general_of_a_full_file(const struct conf *c)
{
	const struct conf_general *g = conf_general(c);

	assert_true(sv_eq(g->data_dir, SV("/q")) && sv_eq(g->maildrop, SV("/m")));
	assert_true(sv_eq(g->submit_socket, SV("/r/s")) && sv_eq(g->control_socket, SV("/r/c")));
	assert_true(sv_eq(g->hostname, SV("relay.contoso.com")) && sv_eq(g->qualify, SV("contoso.com")));
	assert_int_equal(g->retry_first_us, 30 * US_PER_S);
	assert_int_equal(g->retry_ceiling_us, 2 * US_PER_HOUR);
	assert_int_equal(g->retry_expire_us, 4 * US_PER_DAY);
	assert_int_equal(g->delay_notice_us, 0);
	assert_int_equal(g->parked_expire_us, 20 * US_PER_DAY);
	assert_int_equal(g->history_keep_us, 7 * US_PER_DAY);
	assert_int_equal(g->history_bytes_max, 100 << 20);
	assert_false(g->keep_subject);
	assert_true(sv_eq(g->bounces_to, SV("it@contoso.com")));
	assert_non_null(conf_lane_named(c, g->bounces_through));
	assert_int_equal(g->min_free_bytes, 64 << 20);
	assert_int_equal(g->uncertain, CONF_UNCERTAIN_ASSUME_SENT);
	assert_true(sv_eq(g->log_level, SV("debug")) && sv_eq(g->log_format, SV("json")));
	assert_int_equal(g->inbound_memory_bytes, 10 << 20);
	assert_int_equal(g->inbound_connections_max, 50);
	assert_int_equal(g->upstream_connections_max, 60);
	assert_int_equal(g->local_bytes_per_uid_max, 5 << 20);
	assert_true(sv_eq(conf_alias(c, SV("ROOT")), SV("it@contoso.com")));
	assert_true(sv_eq(conf_alias(c, SV("mailer-daemon")), SV("post@contoso.com")));
	assert_int_equal(conf_alias(c, SV("nobody")).len, 0);
}

static void listeners_of_a_full_file(const struct conf *c)
{
	size_t n;
	const struct conf_listener *l = conf_listeners(c, &n);

	assert_int_equal(n, 4);
	assert_true(sv_eq(l[0].name, SV("0.0.0.0:587")));
	assert_int_equal(l[0].tls, CONF_TLS_STARTTLS);
	assert_int_equal(l[0].auth, CONF_AUTH_OPTIONAL);
	assert_true(sv_eq(l[0].certificate, SV("/c.pem")) && sv_eq(l[0].key.name, SV("/k.pem")));
	assert_int_equal(l[0].no_password_count, 1);
	assert_int_equal(l[0].message_bytes_max, 1 << 20);
	assert_int_equal(l[0].rcpt_max, 7);
	assert_int_equal(l[0].connections_max, 40);
	assert_int_equal(l[0].connections_per_peer_max, 3);
	assert_int_equal(l[0].idle_us_max, 90 * US_PER_S);
	assert_int_equal(l[0].place.line, 18);
	assert_int_equal(l[1].auth, CONF_AUTH_OFF);
	assert_int_equal(l[1].no_password_count, 2);
	assert_true(io_network_is_loopback(&l[1].no_password_from[0]));
	assert_true(io_network_is_loopback(&l[1].no_password_from[1]));
	assert_int_equal(l[1].connections_max, 50);
	assert_int_equal(l[1].connections_per_peer_max, 50);
	assert_int_equal(l[2].unix_mode, 0660);
	assert_true(l[3].systemd && sv_eq(l[3].name, SV("smtp")));
	assert_int_equal(l[3].no_password_count, 2);
}

static void lanes_of_a_full_file(const struct conf *c)
{
	size_t n;
	const struct conf_lane *l = conf_lanes(c, &n);

	assert_int_equal(n, 4);
	assert_ptr_equal(conf_lane(c, SV("submission/erp@contoso.com")), &l[0]);
	assert_ptr_equal(conf_lane(c, SV("submission/relay@contoso.com")), &l[1]);
	assert_ptr_equal(conf_lane(c, SV("smtp/lab")), &l[2]);
	assert_ptr_equal(conf_lane_named(c, SV("far")), &l[3]);
	assert_ptr_equal(conf_lane_named(c, SV("Erp@Contoso.COM")), &l[0]);
	assert_null(conf_lane(c, SV("smtp/erp@contoso.com")));
	assert_int_equal(l[0].tls, SMTP_CLIENT_TLS_REQUIRED);
	assert_true(sv_eq(l[0].host, SV("smtp.office365.com")) && l[0].port == 587);
	assert_true(sv_eq(l[0].login, SV("erp@contoso.com")));
	assert_true(sv_eq(l[0].tenant->name, SV("contoso")) && l[0].tenant->domain_count == 2);
	assert_int_equal(l[0].tenant->licences, 25);
	assert_int_equal(l[0].limits.share_percent, 80);
	assert_int_equal(l[0].limits.messages_per_minute, 30);
	assert_int_equal(l[0].limits.recipients_per_day, 10000);
	assert_true(sv_eq(l[1].login, SV("svc@contoso.com")));
	assert_int_equal(l[1].password.kind, CONF_SECRET_ENV);
	assert_true(sv_eq(l[1].host, SV("localhost")) && l[1].port == 2525 && !l[1].ca_file.len);
	assert_int_equal(l[1].limits.share_percent, 50);
	assert_int_equal(l[1].limits.messages_per_minute, 10);
	assert_int_equal(l[1].limits.recipients_per_day, 20);
	assert_int_equal(l[1].limits.recipients_per_message, 30);
	assert_int_equal(l[1].limits.connections, 4);
	assert_int_equal(l[1].limits.message_bytes_max, 2 << 20);
	assert_int_equal(l[2].kind, CONF_LANE_CONNECTOR);
	assert_int_equal(l[2].tls, SMTP_CLIENT_TLS_NONE);
	assert_int_equal(l[2].limits.connections, 20);
	assert_int_equal(l[2].limits.share_percent, 100);
	assert_int_equal(l[3].limits.connections, 10);
	assert_int_equal(l[3].tls, SMTP_CLIENT_TLS_IMPLICIT);
}

static void a_full_file_is_read(void **state)
{
	struct conf_findings f;
	struct conf *c = load(full, &f);
	const struct conf_user *u;
	size_t n;

	(void)state;
	print_findings(&f);
	assert_non_null(c);
	assert_int_equal(f.count, 0);
	conf_findings_free(&f);
	general_of_a_full_file(c);
	listeners_of_a_full_file(c);
	lanes_of_a_full_file(c);
	u = conf_user(c, SV("erp"));
	assert_non_null(u);
	assert_int_equal(u->sender_count, 2);
	assert_int_equal(u->password.kind, CONF_SECRET_CREDENTIAL);
	assert_null(conf_user(c, SV("ERP")));
	(void)conf_users(c, &n);
	assert_int_equal(n, 1);
	(void)conf_routes(c, &n);
	assert_int_equal(n, 4);
	conf_unref(conf_ref(c));
	conf_unref(c);
}

/* files */

static char folder[64];

static const char *path_of(const char *name)
{
	static char paths[8][128];
	static unsigned turn;
	char *path = paths[turn++ % 8];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

static const char *put(const char *name, const char *text)
{
	const char *path = path_of(name);

	assert_int_equal(io_file_write_durably(path, sv_from(text), 0600, NULL), 0);
	return path;
}

static struct conf *load_file(const char *name, struct conf_findings *f)
{
	return conf_load(path_of(name), f);
}

static void says(const struct conf_findings *f, const char *file, unsigned line, unsigned column, const char *text)
{
	size_t len = strlen(file);

	for (size_t i = 0; i < f->count; i++) {
		const struct conf_finding *x = &f->items[i];
		size_t have = strlen(x->file);

		if (have >= len && strcmp(x->file + have - len, file) == 0 && x->line == line &&
			x->column == column && strstr(x->text, text))
			return;
	}
	print_findings(f);
	fail_msg("wanted %s:%u:%u %s", file, line, column, text);
}

static void includes_are_joined(void **state)
{
	struct conf_findings f;
	struct conf *c;
	size_t n;

	(void)state;
	(void)put("main.yaml", "hostname: a.example\ninclude: [one.yaml, two.yaml]\nconnectors: [ { name: a, host: h } ]\n");
	(void)put("one.yaml", "connectors: [ { name: b, host: h } ]\n");
	(void)put("two.yaml", "routes: [ { sender: a@b.c, through: b }, { through: a } ]\n");
	c = load_file("main.yaml", &f);
	print_findings(&f);
	assert_non_null(c);
	(void)conf_lanes(c, &n);
	assert_int_equal(n, 2);
	conf_findings_free(&f);
	conf_unref(c);

	(void)put("one.yaml", "hostname: b.example\nconnectors: [ { name: a, host: h } ]\nbad: x\n");
	(void)put("two.yaml", "routes: [ { through: b } ]\ninclude: main.yaml\n");
	assert_null(load_file("main.yaml", &f));
	says(&f, "two.yaml", 2, 10, "included already");
	says(&f, "one.yaml", 1, 1, "given twice, first in");
	says(&f, "one.yaml", 2, 23, "listed twice, first in");
	says(&f, "one.yaml", 3, 1, "unknown key 'bad'");
	conf_findings_free(&f);

	(void)put("main.yaml", "include: [none.yaml]\nroutes: [ { through: b } ]\nbad: x\n");
	assert_null(load_file("main.yaml", &f));
	says(&f, "main.yaml", 1, 11, "cannot open");
	says(&f, "main.yaml", 3, 1, "unknown key");
	assert_int_equal(f.count, 2); /* what the missing file may hold is not missed */
	conf_findings_free(&f);

	(void)put("main.yaml", "include: i1.yaml\n");
	(void)put("i1.yaml", "include: i2.yaml\n");
	(void)put("i2.yaml", "include: i3.yaml\n");
	(void)put("i3.yaml", "include: i4.yaml\n");
	(void)put("i4.yaml", "include: i5.yaml\n");
	(void)put("i5.yaml", GOOD);
	assert_null(load_file("main.yaml", &f));
	says(&f, "i4.yaml", 1, 10, "more than 4 deep");
	conf_findings_free(&f);
}

static void files_that_cannot_be_read(void **state)
{
	struct conf_findings f;

	(void)state;
	assert_null(load_file("none", &f));
	says(&f, "/none", 1, 1, "cannot open");
	assert_int_equal(f.count, 1);
	conf_findings_free(&f);
	assert_null(conf_load("/", &f));
	says(&f, "/", 1, 1, "not a file");
	conf_findings_free(&f);
	(void)put("main.yaml", "");
	assert_null(load_file("main.yaml", &f));
	says(&f, "main.yaml", 1, 1, "routes: there is none");
	conf_findings_free(&f);
}

static void missing_files_are_named(void **state)
{
	char text[1000];
	struct conf_findings f;
	struct conf *c;

	(void)state;
	(void)snprintf(text,
		sizeof(text),
		"listeners:\n  - { address: \"127.0.0.1:465\", tls: implicit, certificate: %s/no.pem, key: \"file:%s/no.key\" }\n"
		"connectors: [ { name: a, host: h, ca_file: %s/no.ca } ]\nroutes: [ { through: a } ]\n",
		folder, folder, folder);
	(void)put("main.yaml", text);
	assert_null(load_file("main.yaml", &f));
	says(&f, "main.yaml", 2, 61, "there is no file");
	assert_int_equal(f.error_count, 3);
	conf_findings_free(&f);

	/* One mailbox's password is no reason to stop the mail of all others. */
	(void)snprintf(text,
		sizeof(text),
		"mailboxes: [ { address: a@b.c, password: \"file:%s/no.secret\" } ]\nroutes: [ { through: sender } ]\n",
		folder);
	(void)put("main.yaml", text);
	c = load_file("main.yaml", &f);
	assert_non_null(c);
	says(&f, "main.yaml", 1, 42, "there is no file");
	assert_true(f.items[0].warning);
	conf_findings_free(&f);
	conf_unref(c);
}

static void mailboxes_come_from_csv(void **state)
{
	struct conf_findings f;
	struct conf *c;
	const struct conf_lane *l;
	size_t n;

	(void)state;
	(void)put("p", "x");
	(void)put("main.yaml", "mailboxes_from: out.csv\nroutes: [ { through: sender } ]\n");
	(void)put("out.csv",
		"\xef\xbb\xbf" "address,password,share,host,port,login\r\n"
		"a@b.c,env:P,50%,mail.example.com,2525,\"svc, \"\"one\"\"\"\r\n"
		"\r\n"
		"B@b.c,env:P,,,,\r\n"
		",,,,,\r\n");
	c = load_file("main.yaml", &f);
	print_findings(&f);
	assert_non_null(c);
	l = conf_lanes(c, &n);
	assert_int_equal(n, 2);
	assert_int_equal(l[0].limits.share_percent, 50);
	assert_true(sv_eq(l[0].host, SV("mail.example.com")) && l[0].port == 2525);
	assert_true(sv_eq(l[0].login, SV("svc, \"one\"")));
	assert_true(sv_eq(l[1].key, SV("submission/b@b.c")));
	assert_int_equal(l[1].place.line, 4);
	conf_findings_free(&f);
	conf_unref(c);

	(void)put("out.csv", "address;password\na@b.c;env:P\n");
	c = load_file("main.yaml", &f);
	assert_non_null(c);
	conf_findings_free(&f);
	conf_unref(c);
}

static void faults_in_csv_have_their_place(void **state)
{
	static const struct {
		const char *text;
		unsigned line, column;
		const char *says;
	} rows[] = {
		{ "", 1, 1, "the file is empty" },
		{ "password\nenv:P\n", 1, 1, "no column 'address'" },
		{ "adress,password\n", 1, 1, "did you mean 'address'?" },
		{ "address,address\n", 1, 9, "named twice" },
		{ "address,password\na@b.c,env:P\nnobody,env:P\n", 3, 1, "must be a mail address" },
		{ "address,password\na@b.c,env:P\nb@b.c,env:P,x\n", 3, 1, "3 fields" },
		{ "address,password\na@b.c,Hunter2\n", 2, 7, "a secret never stands" },
		{ "address,password,share\na@b.c,env:P,80\n", 2, 13, "percentage" },
		{ "address,password\na@b.c,env:P\nA@b.c,env:P\n", 3, 1, "listed twice" },
		{ "address,password\n\"a@b.c,env:P\n", 2, 1, "not CSV" },
		{ "address,password\na@b.c,e\"nv:P\n", 2, 1, "not CSV" },
		{ "address,password\n\"a@b.c\nd\",env:P\n", 2, 1, "control character" },
		{ "address\na@b.c\n", 2, 1, "password: is missing" },
	};

	(void)state;
	(void)put("main.yaml", "mailboxes_from: out.csv\nroutes: [ { through: sender } ]\n");
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct conf_findings f;

		(void)put("out.csv", rows[i].text);
		assert_null(load_file("main.yaml", &f));
		says(&f, "out.csv", rows[i].line, rows[i].column, rows[i].says);
		for (size_t k = 0; k < f.count; k++)
			assert_null(strstr(f.items[k].text, "Hunter2"));
		conf_findings_free(&f);
	}
}

/* As installed: no more than files that are not there yet. */
static void the_shipped_file_is_right(void **state)
{
	static const char own[] = "src/conf/conf_test.c";
	char path[500];
	struct conf_findings f;
	struct conf *c;

	(void)state;
	/* __FILE__ is as the build named it: from the source or from the build folder. */
	(void)snprintf(path,
		sizeof(path),
		"%.*spackaging/postern.yaml",
		(int)(sizeof(__FILE__) - sizeof(own)),
		__FILE__);
	if (access(path, R_OK) != 0)
		skip();
	c = conf_load(path, &f);
	print_findings(&f);
	assert_non_null(c);
	assert_int_equal(f.count, 0);
	assert_true(sv_eq(conf_alias(c, SV("root")), SV("it@example.com")));
	conf_findings_free(&f);
	conf_unref(c);
}

static int make_folder(void **state)
{
	(void)state;
	(void)snprintf(folder, sizeof(folder), "/tmp/conf_test.XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	static const char *const names[] = { "main.yaml", "one.yaml", "two.yaml", "i1.yaml", "i2.yaml",
		"i3.yaml", "i4.yaml", "i5.yaml", "out.csv", "p" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(names); i++)
		(void)unlink(path_of(names[i]));
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(faults_are_found_with_their_place),
		cmocka_unit_test(warnings_do_not_refuse),
		cmocka_unit_test(nothing_is_said_of_what_is_right),
		cmocka_unit_test(secrets_are_not_repeated),
		cmocka_unit_test(all_faults_come_at_once_in_order),
		cmocka_unit_test(findings_are_bounded),
		cmocka_unit_test(a_full_file_is_read),
		cmocka_unit_test(includes_are_joined),
		cmocka_unit_test(files_that_cannot_be_read),
		cmocka_unit_test(missing_files_are_named),
		cmocka_unit_test(mailboxes_come_from_csv),
		cmocka_unit_test(faults_in_csv_have_their_place),
		cmocka_unit_test(the_shipped_file_is_right),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
