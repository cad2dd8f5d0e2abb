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
			!sv_eq(a.lane ? a.lane->key : SV(""), sv_from(r->lane)))
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
	assert_null(a.lane);
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
	assert_null(a.lane);
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
		assert_non_null(a.lane);
		assert_true(sv_eq(a.lane->key, sv_from(key)));
		assert_ptr_equal(conf_lane(c, sv_from(key)), a.lane);
	}
	conf_unref(c);
	buf_deinit(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_match_with_a_lane_wins),
		cmocka_unit_test(a_stranger_is_known_before_any_recipient),
		cmocka_unit_test(nothing_matches),
		cmocka_unit_test(many_mailboxes_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
