/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/route.h"

#include "base/buf.h"

#include "cmocka_all.h"

static const char text[] =
	"listeners:\n"
	"  - address: 127.0.0.1:25\n"
	"  - address: systemd:smtp\n"
	"users:\n"
	"  - { name: erp, password: env:E, senders: [\"*\"] }\n"
	"mailboxes:\n"
	"  - { address: erp@contoso.com, password: env:P }\n"
	"  - { address: crm@contoso.com, password: env:P }\n"
	"connectors:\n"
	"  - { name: inside, host: a }\n"
	"  - { name: printers, host: b }\n"
	"  - { name: bounces, host: c }\n"
	"  - { name: cron, host: d }\n"
	"routes:\n"
	"  - { recipient: \"*@*.lan\", through: inside }\n"
	"  - { sender: \"\", through: bounces }\n"
	"  - { user: erp, through: erp@contoso.com, rewrite_from: erp@contoso.com }\n"
	"  - { user: \"local:root\", through: cron }\n"
	"  - { through: sender }\n"
	"  - { sender: \"*@print.contoso.com\", listener: systemd:smtp, through: printers }\n";

struct row {
	const char *sender, *recipient, *user, *listener;
	const char *lane; /* "": none */
	size_t route;     /* from 1; 0: none */
	bool possible;    /* at MAIL, whoever the recipient is */
};

static const struct row rows[] = {
	{ "x@y.z", "a@srv.lan", "", "127.0.0.1:25", "smtp/inside", 1, true },
	{ "x@y.z", "a@lan", "", "127.0.0.1:25", "", 5, true },
	{ "", "a@b.c", "", "127.0.0.1:25", "smtp/bounces", 2, true },
	{ "x@y.z", "a@b.c", "erp", "127.0.0.1:25", "submission/erp@contoso.com", 3, true },
	{ "x@y.z", "a@b.c", "ERP", "127.0.0.1:25", "", 5, true },
	{ "x@y.z", "a@b.c", "local:root", "", "smtp/cron", 4, true },
	{ "crm@contoso.com", "a@b.c", "", "127.0.0.1:25", "submission/crm@contoso.com", 5, true },
	{ "CRM@Contoso.com", "a@b.c", "", "127.0.0.1:25", "submission/crm@contoso.com", 5, true },
	{ "inside", "a@b.c", "", "127.0.0.1:25", "", 5, true },
	{ "p1@print.contoso.com", "a@b.c", "", "smtp", "smtp/printers", 6, true },
	{ "p1@print.contoso.com", "a@b.c", "", "127.0.0.1:25", "", 5, true },
};

static struct conf *load(struct sv t)
{
	struct conf_findings f;
	struct conf *c = conf_load_text(t, &f);

	for (size_t i = 0; i < f.count; i++)
		print_message("%u:%u: %s\n", f.items[i].line, f.items[i].column, f.items[i].text);
	conf_findings_free(&f);
	return c;
}

static void the_first_match_with_a_lane_wins(void **state)
{
	struct conf *c = load(sv_from(text));
	size_t count;
	const struct conf_route *routes;

	(void)state;
	assert_non_null(c);
	routes = conf_routes(c, &count);
	assert_int_equal(count, 6);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct row *r = &rows[i];
		const struct conf_route_query q = { .sender = sv_from(r->sender),
			.recipient = sv_from(r->recipient),
			.user = sv_from(r->user),
			.listener = sv_from(r->listener) };
		struct conf_route_answer a = conf_route_find(c, &q);

		if (a.route != (r->route ? &routes[r->route - 1] : NULL) ||
			!sv_eq(a.member ? a.member->lanes[0].key : SV(""), sv_from(r->lane)))
			fail_msg("row %zu: route %td", i, a.route ? a.route - routes + 1 : 0);
		if (conf_route_possible(c, q.sender, q.user, q.listener, q.device) != r->possible)
			fail_msg("row %zu: possible", i);
	}
	assert_true(sv_eq(routes[2].rewrite_from, SV("erp@contoso.com")));
	conf_unref(c);
}

/* A sender without mailbox is refused at MAIL, where only `through: sender` stands. */
static void a_stranger_is_known_before_any_recipient(void **state)
{
	struct conf *c = load(SV("mailboxes: [ { address: a@b.c, password: env:P } ]\nroutes: [ { "
				 "through: sender } ]\n"));
	const struct conf_route_query q = { SV("x@y.z"), SV("d@e.f"), SV(""), SV("") };
	struct conf_route_answer a;

	(void)state;
	assert_non_null(c);
	assert_true(conf_route_possible(c, SV("a@b.c"), SV(""), SV(""), SV("")));
	assert_true(conf_route_possible(c, SV("A@B.C"), SV(""), SV(""), SV("")));
	assert_false(conf_route_possible(c, SV("x@y.z"), SV(""), SV(""), SV("")));
	assert_false(conf_route_possible(c, SV(""), SV(""), SV(""), SV("")));
	a = conf_route_find(c, &q);
	assert_non_null(a.route); /* so that the answer can say: there is no such mailbox */
	assert_null(a.member);
	conf_unref(c);
}

static void nothing_matches(void **state)
{
	struct conf *c = load(SV("connectors: [ { name: l, host: h } ]\nroutes: [ { sender: "
				 "\"*@b.c\", through: l } ]\n"));
	const struct conf_route_query q = { SV("x@y.z"), SV("d@e.f"), SV(""), SV("") };
	struct conf_route_answer a;
	char longest[1000];

	(void)state;
	assert_non_null(c);
	a = conf_route_find(c, &q);
	assert_null(a.route);
	assert_null(a.member);
	memset(longest, 'a', sizeof(longest));
	assert_false(
		conf_route_possible(c, sv_make(longest, sizeof(longest)), SV(""), SV(""), SV("")));
	assert_null(conf_lane_named(c, sv_make(longest, sizeof(longest))));
	conf_unref(c);
}

static void many_mailboxes_are_found(void **state)
{
	enum {
		MANY = 3000
	};
	struct buf t = BUF_INIT(1 << 20);
	struct conf *c;

	(void)state;
	assert_int_equal(buf_append(&t, SV("routes: [ { through: sender } ]\nmailboxes:\n")), 0);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(
			buf_printf(&t, "  - { address: M%d@b.c, password: env:P }\n", i), 0);
	c = load(buf_sv(&t));
	assert_non_null(c);
	for (int i = 0; i < MANY; i++) {
		char sender[40], key[60];
		struct conf_route_query q = { .recipient = SV("d@e.f") };
		struct conf_route_answer a;

		(void)snprintf(sender, sizeof(sender), "m%d@B.c", i);
		(void)snprintf(key, sizeof(key), "submission/m%d@b.c", i);
		q.sender = sv_from(sender);
		a = conf_route_find(c, &q);
		assert_non_null(a.member);
		assert_true(sv_eq(a.member->lanes[0].key, sv_from(key)));
		assert_ptr_equal(conf_lane(c, sv_from(key)), a.member->lanes);
	}
	conf_unref(c);
	buf_deinit(&t);
}

static const char doors[] =
	"listeners:\n"
	"  - address: 127.0.0.1:25\n"
	"tenants: [ { name: t, domains: [contoso.com, b.example] } ]\n"
	"devices:\n"
	"  - { name: scan, from: 10.0.0.5, sender: scan@contoso.com, recipients: any }\n"
	"  - { name: old, from: 10.0.0.6, sender: old@contoso.com, recipients: any }\n"
	"mailboxes:\n"
	"  - { address: erp@contoso.com, provider: gmail, password: env:P }\n"
	"  - { address: crm@contoso.com, provider: gmail, password: env:P }\n"
	"connectors:\n"
	"  - { name: big, host: a }\n"
	"  - { name: inside, host: b }\n"
	"  - { name: bulk, host: c }\n"
	"  - { name: spare, host: d }\n"
	"  - { name: paper, host: e }\n"
	"  - { name: partner, host: f }\n"
	"routes:\n"
	"  - { device: scan, through: paper }\n"
	"  - { header: \"X-Class: bulk*\", through: bulk }\n"
	"  - { size: { over: 1MB }, recipient: external, through: [big, spare] }\n"
	"  - { recipient: [partner.example, \"boss@*.example\"], through: partner }\n"
	"  - { recipient: internal, sender: \"*@contoso.com\", through: [sender, inside] }\n"
	"  - { sender: crm@contoso.com, through: [spare, sender, crm@contoso.com, big] }\n"
	"  - { recipient: external, through: sender }\n"
	"  - { size: { over: 10KB, under: 20KB }, through: spare }\n";

struct door_row {
	const char *sender, *recipient, *device;
	uint64_t size;     /* 0: before DATA */
	const char *class; /* of X-Class; NULL: no such header */
	size_t route;      /* from 1; 0: none */
	const char *lanes; /* their names, with a space behind each */
	bool undecided;
};

static const struct door_row door_rows[] = {
	/* A device's route stands first and asks for nothing else: it is decided at once. */
	{ "scan@contoso.com", "x@y.z", "scan", 0, NULL, 1, "paper ", false },
	{ "scan@contoso.com", "x@y.z", "scan", 5 << 20, "bulk", 1, "paper ", false },
	{ "old@contoso.com", "a@contoso.com", "old", 100, NULL, 5, "inside ", false },
	/* Internal and external, before and after DATA. */
	{ "erp@contoso.com", "a@B.Example", "", 0, NULL, 5, "erp@contoso.com inside ", true },
	{ "erp@contoso.com", "a@B.Example", "", 100, NULL, 5, "erp@contoso.com inside ", false },
	{ "erp@contoso.com", "a@sub.b.example", "", 100, NULL, 7, "erp@contoso.com ", false },
	{ "x@contoso.com", "a@contoso.com", "", 100, NULL, 5, "inside ", false },
	/* The header, in any case, with spaces around. */
	{ "erp@contoso.com", "a@contoso.com", "", 100, " BULK mail ", 2, "bulk ", false },
	{ "erp@contoso.com",
		"a@contoso.com",
		"",
		100,
		"no bulk",
		5,
		"erp@contoso.com inside ",
		false },
	/* Over means more: at the very size it is not over. */
	{ "erp@contoso.com", "x@y.z", "", 1 << 20, NULL, 7, "erp@contoso.com ", false },
	{ "erp@contoso.com", "x@y.z", "", (1 << 20) + 1, NULL, 3, "big spare ", false },
	{ "erp@contoso.com",
		"a@contoso.com",
		"",
		(1 << 20) + 1,
		NULL,
		5,
		"erp@contoso.com inside ",
		false },
	/* A list: domain, or pattern. */
	{ "erp@contoso.com", "a@partner.example", "", 100, NULL, 4, "partner ", false },
	{ "erp@contoso.com", "Boss@x.example", "", 100, NULL, 4, "partner ", false },
	{ "erp@contoso.com", "a@sub.partner.example", "", 100, NULL, 7, "erp@contoso.com ", false },
	/* Several ways, each once. */
	{ "crm@contoso.com", "x@y.z", "", 100, NULL, 6, "spare crm@contoso.com big ", false },
	/* A stranger: only a size may save it, and between two sizes it is inclusive above. */
	{ "x@y.z", "x@y.z", "", 0, NULL, 2, "bulk ", true },
	{ "x@y.z", "x@y.z", "", 10 << 10, NULL, 7, "", false },
	{ "x@y.z", "x@y.z", "", (10 << 10) + 1, NULL, 8, "spare ", false },
	{ "x@y.z", "x@y.z", "", 20 << 10, NULL, 8, "spare ", false },
	{ "x@y.z", "x@y.z", "", (20 << 10) + 1, NULL, 7, "", false },
	{ "x@y.z", "a@contoso.com", "", 100, NULL, 0, "", false },
	{ "", "x@y.z", "", 100, NULL, 7, "", false },
};

static bool get_class(void *arg, struct sv name, struct sv *out_value)
{
	const struct door_row *r = arg;

	assert_true(sv_eq(name, SV("X-Class")));
	if (r->class)
		*out_value = sv_from(r->class);
	return r->class != NULL;
}

static void the_door_follows_device_recipient_size_and_header(void **state)
{
	struct conf *c = load(sv_from(doors));
	const struct conf_route *routes;
	size_t count;

	(void)state;
	assert_non_null(c);
	routes = conf_routes(c, &count);
	assert_int_equal(count, 8);
	for (size_t i = 0; i < COUNT_OF(door_rows); i++) {
		struct door_row r = door_rows[i];
		const struct conf_route_query q = { .sender = sv_from(r.sender),
			.recipient = sv_from(r.recipient),
			.device = sv_from(r.device),
			.listener = SV("127.0.0.1:25"),
			.has_body = r.size > 0,
			.size = r.size,
			.header = get_class,
			.header_arg = &r };
		struct conf_route_answer a = conf_route_find(c, &q);
		CLEANUP(buf_deinitp) struct buf lanes = BUF_INIT(1000);

		for (size_t k = 0; k < a.member_count; k++)
			assert_int_equal(
				buf_printf(&lanes, "%.*s ", SV_ARG(a.members[k]->name)), 0);
		if (a.route != (r.route ? &routes[r.route - 1] : NULL) ||
			!sv_eq(buf_sv(&lanes), sv_from(r.lanes)) || a.undecided != r.undecided)
			fail_msg("row %zu: route %td, lanes %.*s%s",
				i,
				a.route ? a.route - routes + 1 : 0,
				SV_ARG(buf_sv(&lanes)),
				a.undecided ? ", undecided" : "");
		assert_ptr_equal(a.member, a.member_count ? a.members[0] : NULL);
	}
	conf_unref(c);
}

static void at_mail_a_device_is_known(void **state)
{
	struct conf *c = load(SV("tenants: [ { name: t, domains: [b.c] } ]\n"
				 "devices: [ { name: d, from: 10.0.0.5, sender: d@b.c } ]\n"
				 "connectors: [ { name: l, host: h } ]\n"
				 "routes: [ { device: d, size: { over: 1KB }, through: l } ]\n"));

	(void)state;
	assert_non_null(c);
	assert_true(conf_route_possible(c, SV("d@b.c"), SV(""), SV(""), SV("d")));
	assert_false(conf_route_possible(c, SV("d@b.c"), SV(""), SV(""), SV("")));
	assert_false(conf_route_possible(c, SV("d@b.c"), SV(""), SV(""), SV("D")));
	conf_unref(c);
}

#define ROUTES                                                                               \
	"tenants: [ { name: t, domains: [b.c, d.e] }, { name: u } ]\n"                       \
	"devices: [ { name: d, from: 10.0.0.5, sender: d@b.c }, { name: e, from: 10.0.0.6, " \
	"sender: e@b.c } ]\n"                                                                \
	"mailboxes: [ { address: a@b.c, provider: gmail, password: env:P } ]\n"              \
	"connectors: [ { name: l, host: h }, { name: m, host: i } ]\n"                       \
	"routes:\n"

/* Two routes each: is the second below the first in vain? */
static const struct {
	const char *first, *second;
	bool never;
} orders[] = {
	{ "device: d", "device: d, sender: d@b.c", true },
	{ "device: d", "device: e", false },
	{ "device: d", "sender: d@b.c", false },
	{ "recipient: internal", "recipient: internal", true },
	{ "recipient: internal", "recipient: external", false },
	{ "recipient: internal", "recipient: x@b.c", true },
	{ "recipient: internal", "recipient: [B.C, \"x@d.e\"]", true },
	{ "recipient: internal", "recipient: [b.c, x.y]", false },
	{ "recipient: internal", "recipient: \"*@*.c\"", false },
	{ "recipient: internal", "user: local:root", false },
	{ "recipient: external", "recipient: external, sender: x@y.z", true },
	{ "recipient: external", "recipient: x@y.z", false },
	{ "recipient: [b.c, d.e]", "recipient: x@d.e", true },
	{ "recipient: [b.c, d.e]", "recipient: [d.e, b.c]", true },
	{ "recipient: [b.c, d.e]", "recipient: [b.c, x.y]", false },
	{ "recipient: [b.c, d.e]", "recipient: internal", false },
	{ "recipient: \"*@*\"", "recipient: internal", false },
	{ "recipient: \"*\"", "recipient: internal", true },
	{ "size: { over: 1MB }", "size: { over: 2MB }", true },
	{ "size: { over: 2MB }", "size: { over: 1MB }", false },
	{ "size: { over: 1MB }", "size: { under: 2MB }", false },
	{ "size: { under: 2MB }", "size: { under: 1MB }", true },
	{ "size: { under: 1MB }", "size: { under: 2MB }", false },
	{ "size: { over: 1MB, under: 9MB }", "size: { over: 2MB, under: 3MB }", true },
	{ "size: { over: 1MB, under: 9MB }", "size: { over: 2MB }", false },
	{ "size: { over: 1MB }", "recipient: internal", false },
	{ "header: \"X-A: *\"", "header: \"x-a: b\"", true },
	{ "header: \"X-A: B*\"", "header: \"x-a: b*c\"", true },
	{ "header: \"X-A: b\"", "header: \"X-A: b*\"", false },
	{ "header: \"X-A: *\"", "header: \"X-B: *\"", false },
	{ "header: \"X-A: *\"", "recipient: internal", false },
};

static void below_a_wider_route_is_in_vain(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(orders); i++) {
		CLEANUP(buf_deinitp) struct buf t = BUF_INIT(4096);
		struct conf_findings f;
		struct conf *c;

		assert_int_equal(buf_printf(&t,
					 ROUTES "  - { %s, through: [l, sender] }\n  - { %s, "
						"through: m }\n  - { through: l }\n",
					 orders[i].first,
					 orders[i].second),
			0);
		c = conf_load_text(buf_sv(&t), &f);
		if ((c == NULL) != orders[i].never ||
			(f.count &&
				(f.items[0].line != 7 ||
					!strstr(f.items[0].text, "line 6 takes everything first"))))
			fail_msg("row %zu: %s", i, f.count ? f.items[0].text : "nothing is said");
		conf_findings_free(&f);
		conf_unref(c);
	}
}

static const struct {
	const char *route;
	unsigned column;
	const char *says;
} faults[] = {
	{ "through: []", 16, "through: is empty" },
	{ "through: [l, l]", 20, "the same way twice" },
	{ "through: [sender, sender]", 25, "the same way twice" },
	{ "through: [l, mm]", 20, "there is no mailbox or connector 'mm'" },
	{ "through: { l: m }", 16, "expected one value" },
	{ "through: [sender, l], sender: x@b.c", 16, "way is never taken" },
	{ "through: l, device: f", 27, "there is no device 'f'" },
	{ "through: l, device: d, sender: x@b.c", 38, "always sends as d@b.c" },
	{ "through: l, device: d, sender: \"\"", 38, "always sends as d@b.c" },
	{ "through: l, recipient: []", 30, "can never match" },
	{ "through: l, recipient: intern", 30, "must be internal, external, a domain" },
	{ "through: l, recipient: [internal]", 31, "must be internal, external, a domain" },
	{ "through: l, recipient: 192.0.2.1", 30, "must be internal, external, a domain" },
	{ "through: l, recipient: \"\"", 30, "must be internal, external, a domain" },
	{ "through: l, recipient: { a: b }", 30, "expected a list" },
	{ "through: l, size: { over: 2MB, under: 2MB }", 25, "make over the smaller one" },
	{ "through: l, size: { over: 2000 }", 33, "size with its unit" },
	{ "through: l, size: 2MB", 25, "expected keys and values" },
	{ "through: l, header: \"X-A\"", 27, "must be a name and a pattern" },
	{ "through: l, header: \"X-A:\"", 27, "must be a name and a pattern" },
	{ "through: l, header: \": b\"", 27, "must be a name and a pattern" },
	{ "through: l, header: \"X A: b\"", 27, "must be a name and a pattern" },
	{ "through: l, header: \"X-A: 0123456789012345678901234567890123456789012345678901234567890"
	  "123456789012345678901234567890123456789012345678901234567890123456789012345678901234567"
	  "89012345678901234567890123456789012345678901234567890\"",
		27,
		"must be a name and a pattern" },
	{ "through: l, rewrite_from: \"*@b.c\"", 33, "without stars" },
};

static void faults_of_a_route_have_their_place(void **state)
{
	int wrong = 0;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(faults); i++) {
		CLEANUP(buf_deinitp) struct buf t = BUF_INIT(4096);
		struct conf_findings f;

		assert_int_equal(buf_printf(&t, ROUTES "  - { %s }\n", faults[i].route), 0);
		assert_null(conf_load_text(buf_sv(&t), &f));
		if (f.count != 1 || f.items[0].line != 6 || f.items[0].column != faults[i].column ||
			!strstr(f.items[0].text, faults[i].says)) {
			print_message("%s: %u:%u %s\n",
				faults[i].route,
				f.items[0].line,
				f.items[0].column,
				f.items[0].text);
			wrong++;
		}
		conf_findings_free(&f);
	}
	assert_int_equal(wrong, 0);
}

static void internal_needs_domains_and_ways_have_an_end(void **state)
{
	struct conf_findings f;

	(void)state;
	assert_null(conf_load_text(SV("connectors: [ { name: l, host: h } ]\n"
				      "routes: [ { recipient: internal, through: l } ]\n"),
		&f));
	assert_int_equal(f.count, 1);
	assert_non_null(strstr(f.items[0].text, "there are none, so this route can never match"));
	conf_findings_free(&f);
	assert_null(conf_load_text(
		SV("connectors:\n  - { name: a, host: h }\n  - { name: b, host: h }\n  - { name: "
		   "c, "
		   "host: h }\n  - { name: d, host: h }\n  - { name: e, host: h }\n  - { name: f, "
		   "host: h }\n  - { name: g, host: h }\n  - { name: h, host: h }\n  - { name: i, "
		   "host: h }\nroutes:\n  - through: [a, b, c, d, e, f, g, h, i]\n"),
		&f));
	assert_int_equal(f.count, 1);
	assert_int_equal(f.items[0].column, 39);
	assert_non_null(strstr(f.items[0].text, "more than 8 ways"));
	conf_findings_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_match_with_a_lane_wins),
		cmocka_unit_test(a_stranger_is_known_before_any_recipient),
		cmocka_unit_test(nothing_matches),
		cmocka_unit_test(many_mailboxes_are_found),
		cmocka_unit_test(the_door_follows_device_recipient_size_and_header),
		cmocka_unit_test(at_mail_a_device_is_known),
		cmocka_unit_test(below_a_wider_route_is_in_vain),
		cmocka_unit_test(faults_of_a_route_have_their_place),
		cmocka_unit_test(internal_needs_domains_and_ways_have_an_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
