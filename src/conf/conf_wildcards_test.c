/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/made.h"
#include "conf/route.h"
#include "conf/test_rows.h"

/* `address: "*@contoso.com"`: what it may be with, who may use it, and what is made of it. */

#define TENANT                                                                         \
	"tenants: [ { name: t, id: " ID ", domains: [b.c, d.e], app: { client_id: " ID \
	", secret: file:/a } } ]\n"
#define USER "users: [ { name: crm, password: file:/p, senders: [\"*@b.c\"] } ]\n"
#define END "routes: [ { through: sender } ]\n"
/* Three lines; the keys of the mailbox follow. */
#define WILD TENANT USER "mailboxes:\n  - address: \"*@b.c\"\n"
#define WILD_T WILD "    tenant: t\n"

static const struct row broken[] = {
	{ "a password", WILD_T "    password: file:/p\n" END, 6, 15, "write auth: app" },
	{ "a password beside Graph",
		WILD_T "    password: file:/p\n    doors: [submission, graph]\n" END,
		6,
		15,
		"is no sign-in for every mailbox" },
	{ "a person", WILD_T "    auth: user\n" END, 6, 11, "a person's sign-in is of one" },
	{ "nothing to sign in with", WILD END, 4, 5, "needs auth: app" },
	{ "a login", WILD_T "    login: it@b.c\n" END, 6, 12, "signs in as itself" },
	{ "hve", WILD_T "    provider: hve\n" END, 6, 15, "by submission or graph, not by hve" },
	{ "a strange domain",
		TENANT USER "mailboxes:\n  - { tenant: t, address: \"*@x.y\" }\n" END,
		4,
		27,
		"is not among the domains of tenant 't'" },
	{ "more stars",
		TENANT USER "mailboxes:\n  - { tenant: t, address: \"*@*.c\" }\n" END,
		4,
		27,
		"without further stars" },
	{ "a part of a name",
		TENANT USER "mailboxes:\n  - { tenant: t, address: \"app-*@b.c\" }\n" END,
		4,
		27,
		"must be a mail address" },
	{ "twice", WILD_T "  - { tenant: t, address: \"*@B.C\" }\n" END, 6, 27, "is listed twice" },
	{ "named by a route",
		WILD_T "routes: [ { through: \"*@b.c\" } ]\n",
		6,
		22,
		"stands for many mailboxes" },
	{ "named for bounces",
		WILD_T "bounces: { through: \"*@b.c\" }\n" END,
		6,
		21,
		"stands for many mailboxes" },
	{ "at_once elsewhere",
		TENANT USER "mailboxes:\n  - { tenant: t, address: a@b.c, at_once: 5 }\n" END,
		4,
		43,
		"is of a wildcard" },
	{ "counters without an app",
		"tenants: [ { name: t, counters: 15m } ]\nconnectors: [ { name: l, host: h } ]\n"
		"routes: [ { through: l } ]\n",
		1,
		33,
		"with the permission Exchange.ManageAsApp" },
	{ "counters of Google",
		"tenants: [ { name: t, counters: 15m, cloud: google } ]\nconnectors: [ { name: l, "
		"host: "
		"h } ]\nroutes: [ { through: l } ]\n",
		1,
		33,
		"are those of Exchange" },
	{ "counters too often",
		"tenants: [ { name: t, counters: 1m } ]\nconnectors: [ { name: l, host: h } ]\n"
		"routes: [ { through: l } ]\n",
		1,
		33,
		"must lie between 5m and 1d" },
	{ "at_once of nothing", WILD_T "    at_once: 0\n" END, 6, 14, "at_once" },
};

static const struct row warned[] = {
	{ "nobody may",
		TENANT "mailboxes:\n  - address: \"*@b.c\"\n    tenant: t\n" END,
		3,
		5,
		"nobody may send as the mailboxes" },
	{ "a star that does not open it",
		TENANT "users:\n  - { name: x, password: file:/p, senders: [\"*\"] }\n"
		       "  - { name: y, password: file:/p, senders: [\"z@b.c\"] }\n"
		       "mailboxes:\n  - address: \"*@b.c\"\n    tenant: t\n" END,
		3,
		5,
		"as none that \"*@b.c\" (line 6) stands for" },
};

static void faults_are_found_with_their_place(void **state)
{
	(void)state;
	rows_are_refused(broken, COUNT_OF(broken));
	rows_are_warned_of(warned, COUNT_OF(warned));
}

static struct conf *load_clean(const char *text)
{
	struct conf_findings f;
	struct conf *c = load(text, &f);

	print_findings(&f);
	assert_non_null(c);
	conf_findings_free(&f);
	return c;
}

static struct conf *wild(void)
{
	return load_clean(TENANT
		"users:\n"
		"  - { name: crm, password: file:/p, senders: [\"*@b.c\"] }\n"
		"  - { name: any, password: file:/p, senders: [\"*\", \"one@b.c\"] }\n"
		"  - { name: far, password: file:/p, senders: [\"*@*.c\"] }\n"
		"  - { name: as, password: file:/p, senders: [\"x@y.z\"], sender: force, as: "
		"as@b.c }\n"
		"  - { name: \"local:web\", senders: [\"*@b.c\"] }\n"
		"devices: [ { name: scan, from: 10.0.0.5, sender: scan@b.c } ]\n"
		"mailboxes:\n"
		"  - { address: \"*@b.c\", tenant: t, doors: [submission, graph], at_once: 7 }\n"
		"  - { address: listed@b.c, tenant: t, limits: { recipients_per_day: 5 } }\n" END);
}

static const struct conf_member *asks(
	const struct conf *c, const char *sender, const char *user, const char *device)
{
	const struct conf_route_query q = { .sender = sv_from(sender),
		.recipient = SV("x@y.z"),
		.user = sv_from(user),
		.device = sv_from(device),
		.listener = SV("127.0.0.1:25") };
	const struct conf_member *m = conf_route_find(c, &q).member;

	assert_int_equal(conf_route_possible(c, q.sender, q.user, q.listener, q.device), m != NULL);
	return m;
}

static void only_who_names_the_domain_has_its_mailboxes(void **state)
{
	struct conf *c = wild();
	static const struct {
		const char *sender, *user, *device;
		bool may;
	} rows[] = {
		{ "bob@b.c", "crm", "", true },
		{ "bob@b.c", "local:web", "", true },
		{ "bob@b.c", "local:root", "", false },
		{ "bob@b.c", "", "", false },
		{ "bob@b.c", "any", "", false },
		{ "bob@b.c", "far", "", false },
		{ "one@b.c", "any", "", true },
		{ "as@b.c", "as", "", true },
		{ "bob@b.c", "as", "", false },
		{ "scan@b.c", "", "scan", true },
		{ "bob@b.c", "", "scan", false },
		{ "bob@b.c", "stranger", "", false },
		{ "bob@b.c", "", "stranger", false },
		{ "listed@b.c", "", "", true },
		{ "bob@d.e", "crm", "", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if ((asks(c, rows[i].sender, rows[i].user, rows[i].device) != NULL) != rows[i].may)
			fail_msg("%s, %s, %s", rows[i].sender, rows[i].user, rows[i].device);
	conf_unref(c);
}

static void a_made_mailbox_is_like_any_other(void **state)
{
	struct conf *c = wild();
	const struct conf_member *m = asks(c, "Bob.B@B.C", "crm", "");

	(void)state;
	assert_non_null(m);
	assert_true(sv_eq(m->key, SV("m:bob.b@b.c")));
	assert_int_equal(m->lane_count, 2);
	assert_true(sv_eq(m->lanes[0].key, SV("submission/bob.b@b.c")));
	assert_true(sv_eq(m->lanes[1].key, SV("graph/bob.b@b.c")));
	assert_true(sv_eq(m->lanes[1].login, SV("bob.b@b.c")));
	assert_int_equal(m->lanes[0].sign_in, CONF_SIGN_IN_APP);
	assert_int_equal(m->lanes[0].at_once, 7);
	assert_false(m->lanes[0].is_wildcard);
	assert_true(m->lanes[0].made_of->is_wildcard);
	assert_ptr_equal(m->lanes[0].member, m);
	assert_ptr_equal(asks(c, "bob.b@b.c", "crm", ""), m);
	assert_ptr_equal(conf_member(c, m->key), m);
	assert_ptr_equal(conf_lane(c, SV("graph/bob.b@b.c")), &m->lanes[1]);
	assert_null(conf_lane(c, SV("hve/bob.b@b.c")));
	assert_int_equal(conf_made_count(c), 1);
	conf_unref(c);
}

static void tags_and_strange_names_make_no_mailbox(void **state)
{
	static const char *const none[] = { "*@b.c",
		"\"a b\"@b.c",
		"a/b@b.c",
		"a|b@b.c",
		".a@b.c",
		"+tag@b.c",
		"\xc3\xa4@b.c",
		"@b.c" };
	struct conf *c = wild();
	const struct conf_member *m = asks(c, "bob+june@b.c", "crm", "");

	(void)state;
	assert_non_null(m);
	assert_true(sv_eq(m->name, SV("bob@b.c")));
	assert_ptr_equal(asks(c, "BOB+july@b.c", "crm", ""), m);
	assert_ptr_equal(asks(c, "listed+x@b.c", "crm", ""), conf_member(c, SV("m:listed@b.c")));
	assert_null(conf_member(c, SV("m:bob+june@b.c")));
	assert_null(conf_member(c, SV("m:BOB@b.c")));
	for (size_t i = 0; i < COUNT_OF(none); i++)
		if (asks(c, none[i], "crm", ""))
			fail_msg("%s", none[i]);
	assert_int_equal(conf_made_count(c), 1);
	conf_unref(c);
}

static void what_nobody_keeps_goes(void **state)
{
	struct conf *c = wild();
	const struct conf_lane *kept = conf_lane(c, SV("submission/kept@b.c"));

	(void)state;
	conf_made_keep(kept);
	for (int i = 0; i < 1000; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "m:a%d@b.c", i);
		assert_non_null(conf_member(c, sv_from(name)));
	}
	assert_int_equal(conf_made_count(c), 1001);
	conf_made_sweep(c);
	assert_int_equal(conf_made_count(c), 1);
	assert_ptr_equal(conf_lane(c, SV("submission/kept@b.c")), kept);
	conf_made_release(kept);
	conf_made_sweep(c);
	assert_int_equal(conf_made_count(c), 0);
	conf_unref(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(faults_are_found_with_their_place),
		cmocka_unit_test(only_who_names_the_domain_has_its_mailboxes),
		cmocka_unit_test(a_made_mailbox_is_like_any_other),
		cmocka_unit_test(tags_and_strange_names_make_no_mailbox),
		cmocka_unit_test(what_nobody_keeps_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
