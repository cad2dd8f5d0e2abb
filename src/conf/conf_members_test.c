/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "conf/route.h"
#include "conf/test_rows.h"

/* Mailboxes with several doors, the queues that are made of them, and classes. */

#define TENANT                                                                    \
	"tenants: [ { name: t, id: " ID ", domains: [b.c], app: { client_id: " ID \
	", secret: file:/a } } ]\n"
#define MAILBOX TENANT "mailboxes:\n  - address: a@b.c\n    tenant: t\n"
#define END "routes: [ { through: sender } ]\n"

static const struct row broken[] = {
	{ "misspelt", MAILBOX "    doors: [submission, grahp]\n" END, 5, 25, "mean 'graph'?" },
	{ "unknown", MAILBOX "    doors: [imap]\n" END, 5, 13, "must be one of submission, hve" },
	{ "empty", MAILBOX "    doors: []\n" END, 5, 12, "is empty" },
	{ "a map", MAILBOX "    doors: { graph: 1 }\n" END, 5, 12, "expected a list" },
	{ "twice", MAILBOX "    doors: [graph, graph]\n" END, 5, 20, "names graph twice" },
	{ "with provider",
		MAILBOX "    doors: [graph]\n    provider: graph\n" END,
		6,
		15,
		"is the short form of doors" },
	{ "hve beside",
		MAILBOX "    doors: [submission, hve]\n" END,
		5,
		25,
		"list hve as a separate mailbox" },
	{ "hve first", MAILBOX "    doors: [hve, graph]\n" END, 5, 13, "as a separate mailbox" },
	{ "smtp beside", MAILBOX "    doors: [graph, smtp]\n" END, 5, 20, "as a separate mailbox" },
	{ "connector beside",
		MAILBOX "    doors: [graph, connector]\n" END,
		5,
		20,
		"under connectors" },
	{ "connector alone",
		MAILBOX "    doors: [connector]\n" END,
		5,
		13,
		"doors: connector needs no mailbox" },
	{ "graph without tenant",
		"mailboxes:\n  - address: a@b.c\n    password: file:/p\n    doors: [submission, "
		"graph]\n" END,
		4,
		25,
		"doors: graph signs in through the app of a tenant: add tenant: NAME" },
	{ "graph without app",
		"tenants: [ { name: t } ]\nmailboxes:\n  - address: a@b.c\n    tenant: t\n    "
		"password: file:/p\n    doors: [submission, graph]\n" END,
		6,
		25,
		"but it has none" },
	{ "graph with an app that signs for nobody",
		"tenants: [ { name: t, id: b.c, app: { client_id: " ID " } } ]\nmailboxes:\n  - "
		"address: a@b.c\n    tenant: t\n    password: file:/p\n    doors: [submission, "
		"graph]\n" END,
		6,
		25,
		"has neither" },
	{ "a person without a vault",
		MAILBOX
		"    password: file:/p\n    auth: user\n    doors: [submission, graph]\n" END,
		6,
		11,
		"there is none: add vault" },
	{ "submission without anything",
		"mailboxes:\n  - address: a@b.c\n    doors: submission\n" END,
		2,
		5,
		"password: is missing here" },
	{ "graph alone and a password",
		MAILBOX "    password: file:/p\n    doors: [graph]\n" END,
		3,
		5,
		"not possible with doors: graph" },
	{ "graph alone and an endpoint",
		MAILBOX "    doors: [graph]\n    endpoint: { port: 25 }\n" END,
		6,
		15,
		"no meaning with doors: graph" },
	{ "class", "class: bulk\n" GOOD, 1, 1, "unknown key" },
	{ "class misspelt",
		"connectors: [ { name: l, host: h } ]\nroutes: [ { through: l, class: transational "
		"} ]\n",
		2,
		32,
		"must be transactional, normal or bulk: did you mean 'transactional'?" },
	{ "class unknown",
		"connectors: [ { name: l, host: h } ]\nroutes: [ { through: l, class: 1 } ]\n",
		2,
		32,
		"class: must be transactional, normal or bulk" },
	{ "class absent",
		"connectors: [ { name: l, host: h } ]\nroutes: [ { through: l, class: } ]\n",
		2,
		32,
		"needs a value" },
	{ "classes unknown", "classes: { blk: { expire: 1h } }\n" GOOD, 1, 12, "mean 'bulk'?" },
	{ "classes without a map", "classes: { bulk: 1h }\n" GOOD, 1, 18, "expected keys" },
	{ "classes without a time", "classes: { bulk: { expire: 0s } }\n" GOOD, 1, 28, "expire" },
	{ "classes too long",
		"retry: { expire: 1d }\nclasses:\n  bulk: { expire: 2d }\n" GOOD,
		3,
		19,
		"longer than retry: expire" },
	{ "classes longer than the default",
		"classes: { normal: { expire: 6d } }\n" GOOD,
		1,
		30,
		"longer than retry: expire" },
};

static void faults_are_found_with_their_place(void **state)
{
	(void)state;
	rows_are_refused(broken, COUNT_OF(broken));
}

/* What there is to say of a mailbox is said once, whatever its doors. */
static const struct row warned[] = {
	{ "limits above the provider's",
		MAILBOX
		"    doors: [submission, graph]\n    limits: { messages_per_minute: 100 }\n" END,
		6,
		36,
		"above the 30" },
	{ "more connections than Microsoft serves",
		MAILBOX "    doors: [submission]\n    limits: { connections: 4 }\n" END,
		6,
		28,
		"connections is above the 3" },
	{ "more recipients than a mailbox can be set to",
		MAILBOX "    doors: [graph]\n    limits: { recipients_per_message: 1001 }\n" END,
		6,
		39,
		"recipients_per_message is above the 1000" },
	{ "a domain of nobody",
		TENANT "mailboxes:\n  - address: a@x.y\n    tenant: t\n    doors: [graph, "
		       "submission]\n" END,
		3,
		14,
		"not among the domains" },
	{ "an account of two mailboxes",
		TENANT
		"mailboxes:\n"
		"  - { address: a@b.c, tenant: t, auth: app, login: it@b.c, sender: force }\n"
		"  - { address: d@b.c, tenant: t, auth: app, login: it@b.c, sender: force }\n" END,
		3,
		5,
		"2 mailboxes sign in as it@b.c" },
	{ "a password that ends",
		MAILBOX "    password: file:/p\n    doors: [submission]\n" END,
		3,
		5,
		"1 mailbox signs in" },
};

static void warnings_come_once(void **state)
{
	(void)state;
	rows_are_warned_of(warned, COUNT_OF(warned));
}

static struct conf *load_good(const char *text, size_t warnings)
{
	struct conf_findings f;
	struct conf *c = load(text, &f);

	if (!c || f.count != warnings)
		print_findings(&f);
	assert_non_null(c);
	assert_int_equal(f.count, warnings);
	conf_findings_free(&f);
	return c;
}

static void doors_are_lanes_of_one_member(void **state)
{
	struct conf *c = load_good(MAILBOX
		"    doors: [graph, submission]\n"
		"    password: file:/p\n"
		"    sender: force\n"
		"    endpoint: { host: 127.0.0.1, port: 2525, ca_file: /ca }\n"
		"    limits: { share: 50%, connections: 1, messages_per_minute: 20 }\n"
		"connectors: [ { name: lab, host: h } ]\n" END,
		0);
	const struct conf_member *m = conf_member(c, SV("m:a@b.c"));
	const struct conf_lane *graph = conf_lane(c, SV("graph/a@b.c"));
	const struct conf_lane *smtp = conf_lane(c, SV("submission/a@b.c"));
	size_t count;

	(void)state;
	(void)conf_members(c, &count);
	assert_int_equal(count, 2);
	(void)conf_lanes(c, &count);
	assert_int_equal(count, 3);
	assert_int_equal(m->lane_count, 2);
	assert_ptr_equal(conf_member_named(c, SV("A@B.c")), m);
	assert_ptr_equal(conf_lane_named(c, SV("a@b.c")), graph);
	assert_true(m->lanes == graph && &m->lanes[1] == smtp);
	assert_true(graph->member == m && smtp->member == m);
	assert_true(graph->door == 0 && smtp->door == 1);
	/* The endpoint is that of SMTP; Graph's is the tenant's. */
	assert_true(sv_eq(smtp->host, SV("127.0.0.1")) && smtp->port == 2525);
	assert_true(sv_eq(smtp->ca_file, SV("/ca")));
	assert_true(sv_eq(graph->host, SV("graph.microsoft.com")) && graph->port == 443);
	assert_true(!graph->ca_file.len);
	/* The password is for SMTP, the app for Graph. */
	assert_int_equal(smtp->sign_in, CONF_SIGN_IN_PASSWORD);
	assert_int_equal(graph->sign_in, CONF_SIGN_IN_APP);
	assert_int_equal(graph->password.kind, CONF_SECRET_NONE);
	assert_true(graph->sender == CONF_SENDER_FORCE && smtp->sender == CONF_SENDER_FORCE);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(m->lanes[i].limits.share_percent, 50);
		assert_int_equal(m->lanes[i].limits.connections, 1);
		assert_int_equal(m->lanes[i].limits.messages_per_minute, 20);
		assert_int_equal(m->lanes[i].limits.recipients_per_day, 10000);
		assert_int_equal(m->lanes[i].limits.message_bytes_max, 157286400);
	}
	m = conf_member(c, SV("c:lab"));
	assert_true(m->lane_count == 1 && sv_eq(m->lanes->key, SV("smtp/lab")));
	assert_null(conf_member(c, SV("m:lab")));
	conf_unref(c);
}

/* What is not given comes with each door. */
static void doors_keep_their_own_numbers(void **state)
{
	struct conf *c = load_good(MAILBOX "    doors: [submission, graph]\n" END, 0);
	const struct conf_member *m = conf_member(c, SV("m:a@b.c"));

	(void)state;
	assert_int_equal(m->lanes[0].limits.connections, 2);
	assert_int_equal(m->lanes[1].limits.connections, 4);
	assert_int_equal(m->lanes[0].limits.share_percent, 80);
	assert_int_equal(m->lanes[1].limits.share_percent, 80);
	assert_int_equal(m->lanes[0].sign_in, CONF_SIGN_IN_APP);
	assert_int_equal(m->lanes[1].sign_in, CONF_SIGN_IN_APP);
	assert_true(m->lanes[0].port == 587 && m->lanes[1].port == 443);
	conf_unref(c);
}

static void one_door_is_what_provider_is(void **state)
{
	static const char *const texts[] = { "doors: [graph]", "doors: graph", "provider: graph" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		CLEANUP(buf_deinitp) struct buf t = BUF_INIT(4096);
		struct conf *c;

		assert_int_equal(buf_printf(&t, MAILBOX "    %s\n" END "%c", texts[i], 0), 0);
		c = load_good(buf_sv(&t).ptr, 0);
		assert_int_equal(conf_member(c, SV("m:a@b.c"))->lane_count, 1);
		assert_non_null(conf_lane(c, SV("graph/a@b.c")));
		conf_unref(c);
	}
}

/* `auth:` is for the doors that take no password. */
static void a_person_signs_in_where_no_password_does(void **state)
{
	struct conf *c = load_good(
		"vault: { key: file:/v }\n" MAILBOX
		"    doors: [submission, graph]\n    password: file:/p\n    auth: user\n    login: "
		"boss@b.c\n" END,
		0);
	const struct conf_member *m = conf_member(c, SV("m:a@b.c"));

	(void)state;
	assert_int_equal(m->lanes[0].sign_in, CONF_SIGN_IN_PASSWORD);
	assert_int_equal(m->lanes[1].sign_in, CONF_SIGN_IN_USER);
	assert_true(sv_eq(m->lanes[1].login, SV("boss@b.c")));
	conf_unref(c);
	c = load_good(MAILBOX "    doors: [submission, graph]\n    password: file:/p\n    auth: "
			      "password\n" END,
		0);
	m = conf_member(c, SV("m:a@b.c"));
	assert_int_equal(m->lanes[0].sign_in, CONF_SIGN_IN_PASSWORD);
	assert_int_equal(m->lanes[1].sign_in, CONF_SIGN_IN_APP);
	conf_unref(c);
}

/* ---- queues ---- */

#define QUEUES                                                                   \
	TENANT "mailboxes:\n"                                                    \
	       "  - { address: a@b.c, tenant: t, doors: [submission, graph] }\n" \
	       "  - { address: hve@b.c, tenant: t, provider: hve }\n"            \
	       "connectors:\n"                                                   \
	       "  - { name: small, host: h, limits: { message_size: 1MB } }\n"   \
	       "  - { name: large, host: h, limits: { message_size: 4MB } }\n"   \
	       "routes:\n"                                                       \
	       "  - { sender: hve@b.c, through: [hve@b.c, a@b.c, large] }\n"     \
	       "  - { sender: size@b.c, through: [small, large] }\n"             \
	       "  - { through: sender }\n"

static const struct {
	const char *sender, *recipient;
	uint64_t size;
	const char *key;
	bool external;
} queues[] = {
	{ "a@b.c", "x@b.c", 0, "m:a@b.c", false },
	{ "A@b.c", "x@y.z", 0, "m:a@b.c", true },
	{ "hve@b.c", "x@b.c", 0, "m:hve@b.c\nm:a@b.c\nc:large", false },
	/* No internal door for what goes outside. */
	{ "hve@b.c", "x@y.z", 0, "m:a@b.c\nc:large", true },
	/* HVE takes 10 MB, `large` 4. */
	{ "hve@b.c", "x@b.c", 12 << 20, "m:a@b.c", false },
	{ "hve@b.c", "x@b.c", 5 << 20, "m:hve@b.c\nm:a@b.c", false },
	{ "size@b.c", "x@b.c", 1, "c:small\nc:large", false },
	{ "size@b.c", "x@b.c", 2 << 20, "c:large", false },
	/* None takes it: whoever takes it first can say why. */
	{ "size@b.c", "x@y.z", 9 << 20, "c:small\nc:large", true },
	{ "nobody@b.c", "x@b.c", 0, "", false },
};

static void a_queue_has_who_could_carry_it(void **state)
{
	struct conf *c = load_good(QUEUES, 1);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(queues); i++) {
		const struct conf_route_query q = { .sender = sv_from(queues[i].sender),
			.recipient = sv_from(queues[i].recipient) };
		const struct conf_route_answer a = conf_route_find(c, &q);
		struct arena arena = { 0 };
		bool external = !queues[i].external;
		struct sv key = conf_queue_key(c,
			a.members,
			a.member_count,
			q.recipient,
			queues[i].size,
			&arena,
			&external);

		if (!sv_eq(key, sv_from(queues[i].key)) || external != queues[i].external)
			fail_msg("row %zu: '%.*s', external %d", i, SV_ARG(key), external);
		arena_reset(&arena);
	}
	conf_unref(c);
}

static void members_of_a_key_are_found_again(void **state)
{
	struct conf *c = load_good(QUEUES, 1);
	const struct conf_member *m[CONF_THROUGH_MAX];

	(void)state;
	assert_int_equal(conf_queue_members(c, SV("m:gone@b.c\nm:a@b.c\nc:large"), m), 2);
	assert_true(sv_eq(m[0]->key, SV("m:a@b.c")) && sv_eq(m[1]->key, SV("c:large")));
	assert_int_equal(conf_queue_members(c, SV(""), m), 0);
	assert_int_equal(conf_queue_members(c, SV("\n\n"), m), 0);
	conf_unref(c);
}

/* Staging: nobody is outside when all mail goes to one who is inside. */
static void redirected_mail_goes_where_it_goes(void **state)
{
	struct conf *c = load_good("redirect_all: it@b.c\n" QUEUES, 2);
	const struct conf_member *hve = conf_member(c, SV("m:hve@b.c"));
	struct arena arena = { 0 };
	bool external = true;
	struct sv key = conf_queue_key(c, &hve, 1, SV("x@y.z"), 1, &arena, &external);

	(void)state;
	assert_true(sv_eq(key, SV("m:hve@b.c")) && !external);
	assert_int_equal(conf_lane_obstacle(c, hve->lanes, SV("x@y.z"), 1), CONF_OBSTACLE_NONE);
	arena_reset(&arena);
	conf_unref(c);
}

/* ---- classes ---- */

static void a_route_says_more_than_who_gave_it(void **state)
{
	struct conf *c = load_good(
		"classes:\n  transactional: { expire: 15m }\n  bulk: { expire: 5d }\n"
		"users:\n"
		"  - { name: shop, password: file:/p, senders: [a@b.c], class: transactional }\n"
		"  - { name: erp, password: file:/p, senders: [a@b.c] }\n" TENANT
		"devices: [ { name: scan, from: 10.0.0.5, sender: a@b.c, class: bulk } ]\n"
		"listeners:\n  - { address: \"127.0.0.1:2525\", class: bulk }\n  - { address: "
		"\"127.0.0.1:2526\" }\n"
		"connectors: [ { name: l, host: h } ]\n"
		"routes:\n  - { sender: n@b.c, through: l, class: normal }\n  - { through: l }\n",
		0);
	const struct conf_user *shop = conf_user(c, SV("shop")), *erp = conf_user(c, SV("erp"));
	const struct conf_device *scan = conf_device(c, SV("scan"));
	const struct wall_time at = { 1000 };
	const struct conf_listener *l;
	const struct conf_route *r;
	size_t n;

	(void)state;
	l = conf_listeners(c, &n);
	r = conf_routes(c, &n);
	assert_int_equal(conf_class_of(NULL, NULL, NULL, NULL), MAIL_CLASS_NORMAL);
	assert_int_equal(conf_class_of(&r[1], NULL, NULL, &l[1]), MAIL_CLASS_NORMAL);
	assert_int_equal(conf_class_of(&r[1], NULL, NULL, &l[0]), MAIL_CLASS_BULK);
	assert_int_equal(conf_class_of(&r[1], erp, NULL, &l[0]), MAIL_CLASS_BULK);
	assert_int_equal(conf_class_of(&r[1], shop, NULL, &l[0]), MAIL_CLASS_TRANSACTIONAL);
	assert_int_equal(conf_class_of(&r[1], NULL, scan, &l[1]), MAIL_CLASS_BULK);
	assert_int_equal(conf_class_of(&r[0], shop, NULL, &l[0]), MAIL_CLASS_NORMAL);
	assert_int_equal(
		conf_class_end(c, MAIL_CLASS_TRANSACTIONAL, at).us, 1000 + 15 * US_PER_MIN);
	assert_int_equal(conf_class_end(c, MAIL_CLASS_NORMAL, at).us, INT64_MAX);
	assert_int_equal(conf_class_end(c, MAIL_CLASS_BULK, at).us, 1000 + 5 * US_PER_DAY);
	conf_unref(c);
}

/* Who signs in as one has one minute and a part of the connections each; a mailbox of that name is one of them. */
static void mailboxes_share_an_account(void **state)
{
	struct conf *c = load_good(TENANT
		"mailboxes:\n"
		"  - { address: a@b.c, tenant: t, provider: submission, password: file:/p, login: "
		"IT@b.c,"
		" sender: force, limits: { messages_per_minute: 20, connections: 3 } }\n"
		"  - { address: d@b.c, tenant: t, provider: submission, password: file:/p, login: "
		"it@b.c,"
		" sender: force, limits: { share: 50%, connections: 1 } }\n"
		"  - { address: it@b.c, tenant: t, provider: submission, password: file:/p }\n"
		"  - { address: e@b.c, tenant: t, provider: submission, password: file:/p }\n" END,
		2);
	const struct conf_account *it = conf_lane_named(c, SV("a@b.c"))->account;

	(void)state;
	assert_true(sv_eq(it->key, SV("m:it@b.c")));
	assert_ptr_equal(conf_lane_named(c, SV("d@b.c"))->account, it);
	assert_ptr_equal(conf_lane_named(c, SV("it@b.c"))->account, it);
	assert_null(conf_lane_named(c, SV("e@b.c"))->account);
	assert_int_equal(it->member_count, 3);
	/* 30 by 50 % is less than 20 by 80 %. */
	assert_int_equal(it->limits->messages_per_minute, 30);
	assert_int_equal(it->limits->share_percent, 50);
	assert_int_equal(conf_lane_named(c, SV("a@b.c"))->limits.connections, 1);
	conf_unref(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(faults_are_found_with_their_place),
		cmocka_unit_test(mailboxes_share_an_account),
		cmocka_unit_test(warnings_come_once),
		cmocka_unit_test(doors_are_lanes_of_one_member),
		cmocka_unit_test(doors_keep_their_own_numbers),
		cmocka_unit_test(one_door_is_what_provider_is),
		cmocka_unit_test(a_person_signs_in_where_no_password_does),
		cmocka_unit_test(a_queue_has_who_could_carry_it),
		cmocka_unit_test(members_of_a_key_are_found_again),
		cmocka_unit_test(redirected_mail_goes_where_it_goes),
		cmocka_unit_test(a_route_says_more_than_who_gave_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
