/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/must.h"
#include "conf/route.h"
#include "conf/test_rows.h"

#include <stdlib.h>

/* `pools:` which mailboxes, what each kind needs, and how routes and queues see them. */

#define SMTP(address)                                                                           \
	"  - { address: " address ", provider: smtp, password: file:/p, endpoint: { host: h.i " \
	"} }\n"
/* Four lines. */
#define BOXES "mailboxes:\n" SMTP("a@go.b.c") SMTP("b@go.b.c") SMTP("c@x.go.d.e")
#define END "routes: [ { through: p } ]\n"
#define SAYS "    organisation: O\n    postal_address: P\n    unsubscribe: mailto:a@b.c\n"

static const struct row broken[] = {
	{ "no name", BOXES "pools:\n  - mailboxes: [a@go.b.c]\n" END, 6, 5, "name" },
	{ "no mailboxes", BOXES "pools:\n  - name: p\n" END, 6, 5, "mailboxes" },
	{ "empty", BOXES "pools:\n  - name: p\n    mailboxes: []\n" END, 7, 16, "is empty" },
	{ "no match",
		BOXES "pools:\n  - name: p\n    mailboxes: [\"*@gone.b.c\"]\n" END,
		7,
		17,
		"no mailbox matches '*@gone.b.c'" },
	{ "no match with a star in the domain",
		BOXES "pools:\n  - name: p\n    mailboxes: [\"*@no*.b.c\"]\n" END,
		7,
		17,
		"no mailbox matches" },
	{ "a wildcard is no mailbox",
		"tenants: [ { name: t, id: " ID ", domains: [b.c], app: { client_id: " ID
		", secret: file:/a } } ]\nusers: [ { name: u, password: file:/s, senders: "
		"[\"*@b.c\"] } ]\nmailboxes:\n  - { address: \"*@b.c\", tenant: t, auth: app }\n"
		"pools:\n  - { name: p, mailboxes: [\"*@b.c\"] }\n" END,
		6,
		28,
		"no mailbox matches" },
	{ "misspelt",
		BOXES "pools:\n  - name: p\n    mailboxes: [aa@go.b.c]\n" END,
		7,
		17,
		"did you mean 'a@go.b.c'?" },
	{ "no pattern",
		BOXES "pools:\n  - name: p\n    mailboxes: [\"a b\"]\n" END,
		7,
		17,
		"must be an address or a pattern" },
	{ "weight 0",
		BOXES
		"pools:\n  - name: p\n    mailboxes: [ { mailbox: a@go.b.c, weight: 0 } ]\n" END,
		7,
		47,
		"weight" },
	{ "twice",
		BOXES "pools:\n  - { name: p, mailboxes: [a@go.b.c] }\n"
		      "  - { name: p, mailboxes: [b@go.b.c] }\n" END,
		7,
		13,
		"listed twice, first in text line 6" },
	{ "overlap",
		BOXES "pools:\n  - { name: p, mailboxes: [a@go.b.c] }\n"
		      "  - { name: q, mailboxes: [\"*@go.b.c\"] }\n" END,
		7,
		28,
		"a@go.b.c is in pool 'p' already (text line 6)" },
	{ "overlap of wide ones",
		BOXES "pools:\n  - { name: p, mailboxes: [\"*@*.d.e\"] }\n"
		      "  - { name: q, mailboxes: [\"*\"] }\n" END,
		7,
		28,
		"c@x.go.d.e is in pool 'p' already" },
	{ "name of a connector",
		BOXES "connectors: [ { name: p, host: h.i } ]\n"
		      "pools:\n  - { name: p, mailboxes: [a@go.b.c] }\n" END,
		7,
		13,
		"listed twice" },
	{ "called sender",
		BOXES "pools:\n  - { name: sender, mailboxes: [a@go.b.c] }\n"
		      "routes: [ { through: sender } ]\n",
		6,
		13,
		"choose another name" },
	{ "outreach without who",
		BOXES "pools:\n  - name: p\n    mailboxes: [a@go.b.c]\n    per_day: 9\n"
		      "    kind: outreach\n    postal_address: P\n    unsubscribe: "
		      "mailto:a@b.c\n" END,
		9,
		11,
		"outreach needs organisation" },
	{ "newsletter without where",
		BOXES "pools:\n  - name: p\n    mailboxes: [a@go.b.c]\n    kind: newsletter\n"
		      "    organisation: O\n    unsubscribe: https://b.c/u\n" END,
		8,
		11,
		"newsletter needs postal_address" },
	{ "newsletter without a way out",
		BOXES "pools:\n  - name: p\n    mailboxes: [a@go.b.c]\n    kind: newsletter\n"
		      "    organisation: O\n    postal_address: P\n" END,
		8,
		11,
		"needs unsubscribe" },
	{ "unsubscribe by http",
		BOXES "pools:\n  - name: p\n    mailboxes: [a@go.b.c]\n    kind: newsletter\n"
		      "    organisation: O\n    postal_address: P\n    unsubscribe: "
		      "http://b.c/u\n" END,
		11,
		18,
		"must be mailto:ADDRESS or https://HOST/PATH" },
	{ "unsubscribe with a bracket",
		BOXES "pools:\n  - name: p\n    mailboxes: [a@go.b.c]\n"
		      "    unsubscribe: \"https://b.c/>u\"\n" END,
		8,
		18,
		"must be mailto:ADDRESS" },
	{ "sender",
		BOXES "pools:\n  - { name: p, mailboxes: [a@go.b.c], sender: force }\n" END,
		6,
		47,
		"sender: must be mailbox" },
	{ "inside only",
		"tenants: [ { name: t, id: " ID ", domains: [go.b.c], app: { client_id: " ID
		", secret: file:/a } } ]\nmailboxes:\n  - { address: a@go.b.c, tenant: t, "
		"provider: hve }\npools:\n  - { name: p, mailboxes: [a@go.b.c] }\n" END,
		5,
		27,
		"leaves by hve, which reaches recipients of its own organisation only" },
	{ "route to nobody",
		BOXES "pools:\n  - { name: outreach, mailboxes: [a@go.b.c] }\n"
		      "routes: [ { through: outraech } ]\n",
		7,
		22,
		"did you mean 'outreach'?" },
};

static void faults_are_told(void **state)
{
	(void)state;
	rows_are_refused(broken, COUNT_OF(broken));
}

static const struct row warned[] = {
	{ "much for outreach",
		BOXES "pools:\n  - name: p\n    mailboxes: [a@go.b.c]\n    kind: outreach\n"
		      "    per_day: 51\n" SAYS END,
		9,
		14,
		"51 a day and mailbox is much for outreach" },
	{ "outreach without a day",
		BOXES
		"pools:\n  - name: p\n    mailboxes: [a@go.b.c]\n    kind: outreach\n" SAYS END,
		6,
		5,
		"write per_day: 50 or less" },
};

static void warnings_are_told(void **state)
{
	(void)state;
	rows_are_warned_of(warned, COUNT_OF(warned));
}

static struct conf *good(const char *text)
{
	struct conf_findings f;
	struct conf *c = load(text, &f);

	print_findings(&f);
	assert_non_null(c);
	assert_int_equal(f.count, 0);
	conf_findings_free(&f);
	return c;
}

/* The first entry that matches says the weight; a star in the domain matches, too. */
static void pool_has_its_mailboxes(void **state)
{
	struct conf *c = good(BOXES "pools:\n  - name: p\n    mailboxes: [ { mailbox: B@go.b.c, "
				    "weight: 3 }, \"*@*go*\" ]\n"
				    "    kind: outreach\n    per_day: 50\n" SAYS END);
	const struct conf_pool *p = conf_pool(c, SV("p"));
	size_t count;

	(void)state;
	(void)conf_pools(c, &count);
	assert_int_equal(count, 1);
	assert_int_equal(p->seat_count, 3);
	assert_true(sv_eq(p->seats[0].member->name, SV("b@go.b.c")));
	assert_int_equal(p->seats[0].weight, 3);
	assert_true(sv_eq(p->seats[1].member->name, SV("a@go.b.c")));
	assert_int_equal(p->seats[1].weight, 1);
	assert_true(sv_eq(p->seats[2].member->name, SV("c@x.go.d.e")));
	assert_int_equal(p->per_day, 50);
	assert_int_equal(p->kind, CONF_POOL_OUTREACH);
	assert_false(p->keeps_sender);
	assert_true(sv_eq(p->unsubscribe, SV("mailto:a@b.c")));
	for (size_t i = 0; i < p->seat_count; i++)
		assert_ptr_equal(p->seats[i].member->pool, p);
	conf_unref(c);
}

static void routes_lead_to_it(void **state)
{
	struct conf *c =
		good(BOXES "connectors: [ { name: l, host: h.i } ]\n"
			   "pools: [ { name: p, mailboxes: [a@go.b.c, b@go.b.c], kind: newsletter, "
			   "organisation: O, postal_address: P, unsubscribe: https://b.c/u } ]\n"
			   "routes: [ { through: [p, l] } ]\n");
	const struct conf_route_query q = { .sender = SV("x@y.z"), .recipient = SV("r@s.t") };
	const struct conf_route_answer a = conf_route_find(c, &q);
	const struct conf_member *members[CONF_THROUGH_MAX],
		*own = conf_member(c, SV("m:a@go.b.c"));
	struct arena arena = { 0 };
	bool external = false;
	struct sv key =
		conf_queue_key(c, a.members, a.member_count, q.recipient, 0, &arena, &external);

	(void)state;
	assert_true(sv_eq(key, SV("p:p\nc:l")));
	assert_true(external);
	assert_int_equal(conf_queue_members(c, key, members), 2);
	assert_ptr_equal(members[0], conf_pool(c, SV("p"))->way);
	assert_ptr_equal(conf_queue_pool(own, key), own->pool);
	assert_ptr_equal(conf_queue_pool(own, SV("m:a@go.b.c")), NULL);
	assert_int_equal(conf_class_of(a.route, NULL, NULL, NULL), MAIL_CLASS_BULK);
	arena_reset(&arena);
	conf_unref(c);
}

/* Mail that has to stay with a mailbox finds it while it is in the pool, and nothing else. */
static void bond_is_a_queue(void **state)
{
	struct conf *c = good(BOXES "pools: [ { name: p, mailboxes: [a@go.b.c] } ]\n" END);
	const struct conf_member *members[CONF_THROUGH_MAX],
		*own = conf_member(c, SV("m:a@go.b.c"));
	struct arena arena = { 0 };
	struct sv key = conf_bond_key(own, &arena);

	(void)state;
	assert_true(sv_eq(key, SV("b:p:a@go.b.c")));
	assert_int_equal(conf_queue_members(c, key, members), 1);
	assert_ptr_equal(members[0], own);
	assert_ptr_equal(conf_queue_pool(own, key), own->pool);
	assert_int_equal(conf_queue_members(c, SV("b:p:b@go.b.c"), members), 0);
	assert_true(conf_queue_is_bond(c, SV("b:p:b@go.b.c")));
	assert_false(conf_queue_is_bond(c, SV("b:q:a@go.b.c")));
	assert_false(conf_queue_is_bond(c, SV("p:p")));
	assert_int_equal(conf_queue_members(c, SV("b:q:a@go.b.c"), members), 0);
	assert_int_equal(conf_queue_members(c, SV("b:"), members), 0);
	arena_reset(&arena);
	conf_unref(c);
}

/* 10,000 mailboxes in 20 pools, each pattern on those of its domain only: a square would take minutes here. */
static void many_are_found_soon(void **state)
{
	enum {
		POOLS = 20,
		EACH = 500,
	};
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(4 << 20);
	struct conf_findings f;
	struct conf *c;
	size_t seats = 0, count;

	(void)state;
	must(buf_append(&text, SV("mailboxes:\n")) == 0);
	for (int p = 0; p < POOLS; p++)
		for (int i = 0; i < EACH; i++)
			must(buf_printf(&text,
				     "  - { address: m%d@go%d-%d.example, provider: smtp, "
				     "password: "
				     "file:/p, endpoint: { host: h.i } }\n",
				     i,
				     p,
				     i) == 0);
	must(buf_append(&text, SV("pools:\n")) == 0);
	for (int p = 0; p < POOLS; p++) {
		must(buf_printf(&text, "  - name: p%d\n    mailboxes:\n", p) == 0);
		for (int i = 0; i < EACH; i++)
			must(buf_printf(&text, "      - \"*@go%d-%d.example\"\n", p, i) == 0);
	}
	must(buf_append(&text, SV("routes: [ { through: p0 } ]\n")) == 0);
	c = conf_load_text(buf_sv(&text), &f);
	print_findings(&f);
	assert_non_null(c);
	(void)conf_pools(c, &count);
	for (size_t i = 0; i < count; i++)
		seats += conf_pools(c, &count)[i]->seat_count;
	assert_int_equal(seats, POOLS * EACH);
	conf_findings_free(&f);
	conf_unref(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(faults_are_told),
		cmocka_unit_test(warnings_are_told),
		cmocka_unit_test(pool_has_its_mailboxes),
		cmocka_unit_test(routes_lead_to_it),
		cmocka_unit_test(bond_is_a_queue),
		cmocka_unit_test(many_are_found_soon),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
