/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/test_rows.h"

#include "base/buf.h"

/* Devices, the listeners for old ones, users who send as somebody else, and the general keys beside. */

#define DOMAINS "tenants: [ { name: t, domains: [b.c] } ]\n"
/* Line 3 begins the keys of the device. */
#define DEVICE DOMAINS "devices:\n  - name: d\n"
#define WHERE "    from: 10.0.0.5\n"
#define AS "    sender: d@b.c\n"
/* On line 7 with DEVICE and three keys. */
#define LEGACY                        \
	"listeners:\n"                \
	"  - address: 10.0.0.1:465\n" \
	"    tls: implicit\n"         \
	"    certificate: /c\n"       \
	"    key: file:/k\n"          \
	"    legacy_tls: true\n"

static const struct row broken[] = {
	{ "device without address", DEVICE AS GOOD, 3, 5, "from: is missing" },
	{ "device without sender", DEVICE WHERE GOOD, 3, 5, "sender: is missing" },
	{ "device without name",
		DOMAINS "devices:\n  - from: 10.0.0.5\n" AS GOOD,
		3,
		5,
		"name: is missing" },
	{ "device of nobody", DEVICE "    from: []\n" AS GOOD, 4, 11, "nobody is this device" },
	{ "device by name", DEVICE "    from: scanner\n" AS GOOD, 4, 11, "from: must be networks" },
	{ "device by a list of names",
		DEVICE "    from: [10.0.0.1, scanner]\n" AS GOOD,
		4,
		22,
		"from: must be networks" },
	{ "device's sender", DEVICE WHERE "    sender: \"*@b.c\"\n" GOOD, 5, 13, "mail address" },
	{ "device's recipients",
		DEVICE WHERE AS "    recipients: all\n" GOOD,
		6,
		17,
		"internal, any, or a list" },
	{ "device's empty recipients",
		DEVICE WHERE AS "    recipients: []\n" GOOD,
		6,
		17,
		"could send to nobody" },
	{ "device's pattern",
		DEVICE WHERE AS "    recipients: [b]\n" GOOD,
		6,
		18,
		"address or a pattern" },
	{ "internal of no tenant",
		"devices:\n  - name: d\n" WHERE AS GOOD,
		2,
		5,
		"could send to nobody" },
	{ "device's quota", DEVICE WHERE AS "    per_day: -1\n" GOOD, 6, 14, "whole number" },
	{ "device's TLS", DEVICE WHERE AS "    tls: old\n" GOOD, 6, 10, "modern or legacy" },
	{ "device's errors", DEVICE WHERE AS "    errors_to: it\n" GOOD, 6, 16, "mail address" },
	{ "device twice",
		DEVICE WHERE AS "  - { name: d, from: 10.0.0.6, sender: d@b.c }\n" GOOD,
		6,
		13,
		"device of this name in text line 3" },
	{ "two devices at one address",
		DEVICE WHERE AS
		"  - { name: e, from: [10.0.1.0/24, 10.0.0.5/32], sender: d@b.c }\n" GOOD,
		6,
		22,
		"device 'd' in text line 3 has the same address" },

	{ "legacy device without listener",
		DEVICE WHERE AS "    tls: legacy\n" GOOD,
		3,
		5,
		"needs a listener of its own" },
	{ "legacy listener without device",
		DEVICE WHERE AS LEGACY GOOD,
		7,
		5,
		"is for devices with tls: legacy" },
	{ "legacy listener for the world",
		DEVICE WHERE AS "    tls: legacy\nlisteners:\n  - address: \"*:465\"\n    tls: "
				"implicit\n    certificate: /c\n    key: file:/k\n    legacy_tls: "
				"true\n" GOOD,
		8,
		14,
		"is possible on an address of a private network only" },
	{ "legacy listener on a public address",
		DEVICE WHERE AS
		"    tls: legacy\nlisteners:\n  - address: \"[2001:db8::1]:465\"\n    "
		"tls: implicit\n    certificate: /c\n    key: file:/k\n    "
		"legacy_tls: true\n" GOOD,
		8,
		14,
		"is possible on an address of a private network only" },
	{ "legacy listener of systemd",
		DEVICE WHERE AS "    tls: legacy\nlisteners:\n  - address: systemd:old\n    tls: "
				"implicit\n    certificate: /c\n    key: file:/k\n    legacy_tls: "
				"true\n" GOOD,
		12,
		17,
		"needs a listener with an address" },
	{ "legacy listener without TLS",
		DEVICE WHERE AS "    tls: legacy\nlisteners:\n  - address: 10.0.0.1:25\n    "
				"legacy_tls: true\n" GOOD,
		9,
		17,
		"needs TLS" },
	{ "legacy listener with passwords",
		"users: [ { name: u, password: env:U, senders: [\"*\"] } ]\n" DEVICE WHERE AS
		"    tls: legacy\n" LEGACY "    auth: optional\n" GOOD,
		13,
		17,
		"passwords are not safe" },
	{ "legacy listener for a network",
		DEVICE WHERE AS "    tls: legacy\n" LEGACY
				"    no_password_from: [10.0.0.0/8]\n" GOOD,
		13,
		23,
		"for devices with tls: legacy only" },

	{ "as without sender",
		"users:\n  - name: u\n    password: env:U\n    senders: [\"*\"]\n    as: "
		"a@b.c\n" GOOD,
		5,
		9,
		"as: needs sender: rewrite" },
	{ "as with keep",
		"users:\n  - name: u\n    password: env:U\n    senders: [\"*\"]\n    as: a@b.c\n   "
		" "
		"sender: keep\n" GOOD,
		5,
		9,
		"as: needs sender: rewrite" },
	{ "sender without as",
		"users:\n  - name: u\n    password: env:U\n    senders: [\"*\"]\n    sender: "
		"force\n" GOOD,
		5,
		13,
		"add as:" },

	{ "store", "store: { postgresql: x }\n" GOOD, 1, 8, "expected one value" },
	{ "another store", "store: mysql\n" GOOD, 1, 8, "must be sqlite" },
	{ "redirect to nobody", "redirect_all: test\n" GOOD, 1, 15, "must be a mail address" },
	{ "proxy with TLS", "proxy: \"https://p:3128\"\n" GOOD, 1, 8, "begins with http://" },
	{ "proxy with a path", "proxy: \"http://p:3128/x\"\n" GOOD, 1, 8, "http://proxy.example" },
	{ "proxy with a password", "proxy: \"http://u:p@p:3128\"\n" GOOD, 1, 8, "no user and no" },
	{ "vault without key", "vault: {}\n" GOOD, 1, 8, "key: is missing" },
	{ "vault's key from nowhere", "vault: { key: env:V }\n" GOOD, 1, 8, "systemd credential" },
	{ "vault's key in the vault",
		"vault: { key: vault:V }\n" GOOD,
		1,
		15,
		"there is no vault" },
	{ "anchor", "dnssec: on\n" GOOD, 1, 9, "dnssec: must be off, or" },
	{ "anchor's path", "dnssec: { anchor: root.key }\n" GOOD, 1, 19, "full path" },
	{ "price", "prices: { hve: free }\n" GOOD, 1, 16, "the dollars for a million" },
	{ "price with a comma", "prices: { hve: \"42,00\" }\n" GOOD, 1, 16, "write 42 or 42.00" },
	{ "price in tenths", "prices: { hve: 42.5 }\n" GOOD, 1, 16, "write 42 or 42.00" },
	{ "secret in no vault",
		"users: [ { name: u, password: vault:U, senders: [\"*\"] } ]\n" GOOD,
		1,
		31,
		"there is no vault" },
	{ "secret's name in the vault",
		"vault: { key: file:/v }\nusers: [ { name: u, password: \"vault:a b\", senders: "
		"[\"*\"] "
		"} ]\n" GOOD,
		2,
		31,
		"must be vault:NAME" },
	{ "secret of a relative command",
		"users: [ { name: u, password: \"command:pass x\", senders: [\"*\"] } ]\n" GOOD,
		1,
		31,
		"must be command:/FULL/PATH" },
	{ "secret of no command",
		"users: [ { name: u, password: \"command:/ x\", senders: [\"*\"] } ]\n" GOOD,
		1,
		31,
		"must be command:/FULL/PATH" },
};

static void faults_are_found_with_their_place(void **state)
{
	(void)state;
	rows_are_refused(broken, COUNT_OF(broken));
}

static const struct row warned[] = {
	{ "device at a public address",
		DEVICE "    from: [10.0.0.5, 192.0.2.5]\n" AS GOOD,
		4,
		11,
		"not in a private network" },
	{ "devices of more than a private network",
		DEVICE "    from: 10.0.0.0/7\n" AS GOOD,
		4,
		11,
		"not in a private network" },
	{ "devices that may send to anybody",
		DEVICE "    from: 10.0.0.0/24\n" AS "    recipients: any\n" GOOD,
		3,
		5,
		"everybody in 10.0.0.0/24 may send as d@b.c to anybody" },
	{ "device without route",
		DEVICE WHERE AS "connectors: [ { name: l, host: h } ]\nroutes:\n  - { sender: "
				"\"*@x.y\", through: l }\n",
		3,
		5,
		"no route takes mail from device 'd'" },
	{ "catch-all beside devices",
		"listeners:\n  - { address: \"*:25\", no_password_from: [10.0.0.0/8] }\n" DEVICE
			WHERE AS GOOD,
		2,
		5,
		"everybody in 10.0.0.0/8 may send as anybody" },
	{ "catch-all in two sizes",
		"listeners:\n  - { address: \"*:25\", no_password_from: [10.0.0.0/8] "
		"}\nconnectors: [ { "
		"name: l, host: h } ]\n"
		"routes:\n  - { size: { under: 1GB }, through: l }\n",
		2,
		5,
		"everybody in 10.0.0.0/8 may send as anybody" },
	{ "redirect", "redirect_all: test@b.c\n" GOOD, 1, 15, "EVERY recipient" },
};

static void warnings_do_not_refuse(void **state)
{
	(void)state;
	rows_are_warned_of(warned, COUNT_OF(warned));
}

static const char full[] =
	"store: sqlite\nproxy: \"http://[::1]:3128\"\nvault: { key: credential:v }\n"
	"dnssec: { anchor: /root.key }\nprices: { hve: 41.05 }\n" DOMAINS "listeners:\n"
	"  - { address: \"0.0.0.0:25\" }\n"
	"  - { address: \"10.0.0.1:465\", tls: implicit, certificate: /c, key: file:/k, "
	"legacy_tls: "
	"true }\n"
	"  - { address: \"127.0.0.1:465\", tls: starttls, certificate: /c, key: file:/k, "
	"legacy_tls: true }\n"
	"users:\n"
	"  - { name: u, password: vault:u, senders: [\"*\"], sender: rewrite, as: u@b.c }\n"
	"  - { name: k, password: vault:u, senders: [\"*\"], sender: keep }\n"
	"devices:\n"
	"  - { name: old, from: [10.0.0.5, \"fd00::5\"], sender: old@b.c, tls: legacy, per_day: "
	"300, "
	"errors_to: it@b.c }\n"
	"  - { name: hall, from: 10.0.0.0/24, sender: hall@b.c, recipients: [x@y.z, \"*@b.c\"], "
	"tls: "
	"modern }\n"
	"  - { name: one, from: 10.0.0.7, sender: one@b.c, recipients: any }\n" GOOD;

static const char *device_at(const struct conf *c, const char *address)
{
	static char name[64];
	struct io_address a;
	const struct conf_device *d;

	assert_int_equal(io_address_parse(sv_from(address), &a), 0);
	d = conf_device_at(c, &a.any);
	(void)snprintf(name, sizeof(name), "%.*s", SV_ARG(d ? d->name : SV("")));
	return name;
}

static void devices_of_a_full_file(const struct conf *c)
{
	size_t n;
	const struct conf_device *d = conf_devices(c, &n);

	assert_int_equal(n, 3);
	assert_true(d[0].legacy_tls && d[0].from_count == 2 && d[0].quota.recipients == 300);
	assert_true(sv_eq(d[0].sender, SV("old@b.c")) && sv_eq(d[0].errors_to, SV("it@b.c")));
	assert_int_equal(d[0].recipients, CONF_DEVICE_INTERNAL);
	assert_int_equal(d[0].place.line, 15);
	assert_true(!d[1].legacy_tls && !d[1].quota.recipients && !d[1].errors_to.len);
	assert_int_equal(d[1].recipients, CONF_DEVICE_LISTED);
	assert_int_equal(d[1].recipient_pattern_count, 2);
	assert_true(sv_eq(d[1].recipient_patterns[1], SV("*@b.c")));
	assert_int_equal(d[2].recipients, CONF_DEVICE_ANY);
	assert_ptr_equal(conf_device(c, SV("hall")), &d[1]);
	assert_null(conf_device(c, SV("Hall")));
	assert_string_equal(device_at(c, "10.0.0.5:1"), "old");
	assert_string_equal(device_at(c, "[::ffff:10.0.0.5]:1"), "old");
	assert_string_equal(device_at(c, "[fd00::5]:1"), "old");
	assert_string_equal(device_at(c, "10.0.0.7:1"), "one");
	assert_string_equal(device_at(c, "10.0.0.8:1"), "hall");
	assert_string_equal(device_at(c, "10.0.1.8:1"), "");
	assert_string_equal(device_at(c, "[fd00::6]:1"), "");
}

static void every_key_is_read(void **state)
{
	struct conf_findings f;
	struct conf *c = load(full, &f);
	const struct conf_general *g;
	const struct conf_listener *l;
	size_t n;

	(void)state;
	print_findings(&f);
	assert_non_null(c);
	assert_int_equal(f.count, 0);
	conf_findings_free(&f);
	g = conf_general(c);
	assert_true(sv_eq(g->proxy, SV("http://[::1]:3128")));
	assert_int_equal(g->vault_key.kind, CONF_SECRET_CREDENTIAL);
	assert_true(sv_eq(g->dnssec_anchor, SV("/root.key")));
	assert_int_equal(g->hve_price_cents, 4105);
	assert_int_equal(g->redirect_all.len, 0);
	l = conf_listeners(c, &n);
	assert_int_equal(n, 3);
	assert_true(!l[0].legacy_tls && l[0].no_password_count == 2); /* loopback, and devices */
	assert_true(l[1].legacy_tls && l[1].no_password_count == 0);
	assert_true(l[2].legacy_tls && l[2].no_password_count == 0);
	assert_int_equal(conf_user(c, SV("u"))->sender, CONF_SENDER_REWRITE);
	assert_true(sv_eq(conf_user(c, SV("u"))->as, SV("u@b.c")));
	assert_int_equal(conf_user(c, SV("k"))->sender, CONF_SENDER_KEEP);
	devices_of_a_full_file(c);
	conf_unref(c);
}

static void the_least_that_is_said(void **state)
{
	struct conf_findings f;
	struct conf *c = load("dnssec: off\nprices: { hve: 40 }\nredirect_all: t@b.c\n" GOOD, &f);

	(void)state;
	assert_non_null(c);
	assert_int_equal(conf_general(c)->hve_price_cents, 4000);
	assert_int_equal(conf_general(c)->dnssec_anchor.len, 0);
	assert_true(sv_eq(conf_general(c)->redirect_all, SV("t@b.c")));
	conf_findings_free(&f);
	conf_unref(c);
	c = load(GOOD, &f);
	assert_non_null(c);
	assert_int_equal(conf_general(c)->hve_price_cents, 4200);
	assert_int_equal(conf_general(c)->vault_key.kind, CONF_SECRET_NONE);
	conf_findings_free(&f);
	conf_unref(c);
}

/* A generator may write a device for each address. */
static void many_devices_are_told_apart(void **state)
{
	enum {
		MANY = 4000
	};
	struct buf t = BUF_INIT(1 << 20);
	struct conf_findings f;
	struct conf *c;

	(void)state;
	assert_int_equal(buf_append(&t, SV(DOMAINS "devices:\n")), 0);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(buf_printf(&t,
					 "  - { name: d%d, from: 10.1.%d.%d, sender: d@b.c }\n",
					 i,
					 i / 250,
					 i % 250),
			0);
	assert_int_equal(buf_append(&t, SV(GOOD)), 0);
	c = conf_load_text(buf_sv(&t), &f);
	print_findings(&f);
	assert_non_null(c);
	assert_string_equal(device_at(c, "10.1.15.249:9"), "d3999");
	conf_findings_free(&f);
	conf_unref(c);
	buf_deinit(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(faults_are_found_with_their_place),
		cmocka_unit_test(warnings_do_not_refuse),
		cmocka_unit_test(every_key_is_read),
		cmocka_unit_test(the_least_that_is_said),
		cmocka_unit_test(many_devices_are_told_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
