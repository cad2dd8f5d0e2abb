/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"
#include "conf/conf_priv.h"
#include "conf/route.h"
#include "mail/address.h"

#include "cmocka_all.h"

/* The index against all routes read one after the other, with routes and questions that dice have made. */
static const char text[] =
	"listeners:\n"
	"  - address: 127.0.0.1:25\n"
	"tenants:\n"
	"  - { name: t, id: 00000000-0000-0000-0000-000000000000, domains: [in.example] }\n"
	"mailboxes:\n"
	"  - { address: a@in.example, tenant: t, provider: submission, password: env:P }\n"
	"  - { address: b@in.example, tenant: t, provider: submission, password: env:P }\n"
	"connectors:\n"
	"  - { name: c, host: c }\n"
	"routes:\n"
	"  - { through: sender }\n";

static const char *const patterns[] = { "a@in.example",
	"\"a\"@in.example",
	"A@IN.example",
	"b@in.example",
	"\"b b\"@out.example",
	"*@in.example",
	"a*@in.example",
	"*@*.example",
	"a@*",
	"\"*\"@out.example",
	"*@out.example",
	"r@out.example",
	"R@Out.Example",
	"root",
	"r*",
	"" };
static const char *const addresses[] = { "a@in.example",
	"\"a\"@In.Example",
	"ab@in.example",
	"b@in.example",
	"\"b b\"@out.example",
	"b b@out.example",
	"r@out.example",
	"\"r\"@OUT.example",
	"x@out.example",
	"x@else.example",
	"root",
	"\"root\"",
	"" };
static const char *const names[] = { "", "u", "v", "U" };

enum {
	ROUTES = 12,
	WORLDS = 400,
	QUESTIONS = 40,
	PATTERNS_EACH = 3
};

static struct sv any_of(struct prng *dice, const char *const *list, size_t count)
{
	return sv_from(list[prng_below(dice, count)]);
}

static bool now_and_then(struct prng *dice)
{
	return prng_below(dice, 3) == 0;
}

static struct conf_route throw_route(struct prng *dice, struct conf *c)
{
	struct conf_route r = { .any_sender = now_and_then(dice), .any_listener = true };
	struct sv *recipients = arena_alloc(&c->arena, PATTERNS_EACH * sizeof(*recipients));
	struct conf_through *ways = arena_alloc(&c->arena, 2 * sizeof(*ways));

	r.sender = any_of(dice, patterns, COUNT_OF(patterns));
	r.recipients = recipients;
	r.recipient_count = prng_below(dice, PATTERNS_EACH + 1);
	for (size_t i = 0; i < r.recipient_count; i++)
		recipients[i] = any_of(dice, patterns, COUNT_OF(patterns));
	r.any_recipient = r.recipient_count == 0;
	r.recipient_class =
		(enum conf_recipient_class)prng_below(dice, CONF_RECIPIENT_EXTERNAL + 1);
	if (r.recipient_class != CONF_RECIPIENT_ANY && now_and_then(dice))
		r.recipient_class = CONF_RECIPIENT_ANY;
	r.user = any_of(dice, names, COUNT_OF(names));
	r.any_user = r.user.len == 0;
	r.device = now_and_then(dice) ? any_of(dice, names, COUNT_OF(names)) : SV("");
	r.any_device = r.device.len == 0;
	if (now_and_then(dice))
		r.size_over = 100;
	r.through = ways;
	r.through_count = 1 + prng_below(dice, 2);
	for (size_t i = 0; i < r.through_count; i++) {
		ways[i].sender = now_and_then(dice);
		ways[i].member =
			ways[i].sender ? NULL : &c->members[prng_below(dice, c->member_count)];
	}
	return r;
}

static bool takes(
	const struct conf *c, const struct conf_route *r, const struct conf_route_query *q)
{
	bool hit = r->any_recipient;

	if (!(r->any_user || sv_eq(r->user, q->user)) ||
		!(r->any_device || sv_eq(r->device, q->device)) ||
		!(r->any_sender || address_matches(r->sender, q->sender)))
		return false;
	for (size_t i = 0; i < r->recipient_count; i++)
		hit = hit || address_matches(r->recipients[i], q->recipient);
	if (hit && r->recipient_class != CONF_RECIPIENT_ANY)
		hit = conf_is_internal(c, NULL, q->recipient) ==
		      (r->recipient_class == CONF_RECIPIENT_INTERNAL);
	return hit && !(q->has_body && r->size_over && q->size <= r->size_over);
}

static const struct conf_member *first_way(
	const struct conf *c, const struct conf_route *r, struct sv sender)
{
	const struct conf_member *m = NULL;

	for (size_t i = 0; i < r->through_count && !m; i++)
		m = r->through[i].sender ? conf_mailbox_of(c, sender) : r->through[i].member;
	return m;
}

/* One after the other, as route.h says it. */
static struct conf_route_answer find(const struct conf *c, const struct conf_route_query *q)
{
	struct conf_route_answer a = { 0 };

	for (size_t i = 0; i < c->route_count; i++) {
		const struct conf_route *r = &c->routes[i];
		const struct conf_member *m = first_way(c, r, q->sender);
		bool maybe = !q->has_body && r->size_over;

		if (!takes(c, r, q))
			continue;
		if (!a.route)
			a.route = r;
		if (!m || (maybe && a.member))
			continue;
		a.route = r;
		a.member = m;
		if (!maybe)
			break;
		a.undecided = true;
	}
	return a;
}

static bool possible(const struct conf *c, const struct conf_route_query *q)
{
	bool any = false;

	for (size_t i = 0; i < c->route_count && !any; i++) {
		const struct conf_route *r = &c->routes[i];

		any = (r->any_user || sv_eq(r->user, q->user)) &&
		      (r->any_device || sv_eq(r->device, q->device)) &&
		      (r->any_sender || address_matches(r->sender, q->sender)) &&
		      first_way(c, r, q->sender);
	}
	return any;
}

static void ask(struct prng *dice, const struct conf *c)
{
	const struct conf_route_query q = { .sender = any_of(dice, addresses, COUNT_OF(addresses)),
		.recipient = any_of(dice, addresses, COUNT_OF(addresses)),
		.user = any_of(dice, names, COUNT_OF(names)),
		.device = any_of(dice, names, COUNT_OF(names)),
		.has_body = prng_below(dice, 2) == 0,
		.size = prng_below(dice, 200) };
	struct conf_route_answer is = conf_route_find(c, &q), should = find(c, &q);

	assert_ptr_equal(is.route, should.route);
	assert_ptr_equal(is.member, should.member);
	assert_int_equal(is.undecided, should.undecided);
	assert_int_equal(
		conf_route_possible(c, q.sender, q.user, SV(""), q.device), possible(c, &q));
}

static void the_index_finds_what_reading_all_finds(void **state)
{
	struct conf_findings f;
	struct conf *c = conf_load_text(sv_from(text), &f);
	struct prng dice;

	(void)state;
	conf_findings_free(&f);
	assert_non_null(c);
	prng_seed(&dice, 1);
	for (size_t world = 0; world < WORLDS; world++) {
		c->route_count = 0;
		for (size_t i = prng_below(&dice, ROUTES + 1); i > 0; i--) {
			c->routes = conf_grow(c->routes, c->route_count, sizeof(*c->routes));
			c->routes[c->route_count++] = throw_route(&dice, c);
		}
		conf_route_index_free(c);
		c->route_index = NULL;
		conf_route_index_build(c);
		for (size_t i = 0; i < QUESTIONS; i++)
			ask(&dice, c);
	}
	conf_unref(c);
}

/* Many routes with one sender each: few are read for a question, and those that no mail reaches are found. */
static void a_certain_sender_reads_few_routes(void **state)
{
	struct buf t;
	struct conf_findings f;
	struct conf *c;
	enum {
		MANY = 5000
	};

	(void)state;
	buf_init(&t, 4 << 20);
	assert_int_equal(buf_printf(&t, "connectors:\n  - { name: c, host: c }\nroutes:\n"), 0);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(
			buf_printf(&t, "  - { sender: s%d@x.example, through: c }\n", i), 0);
	c = conf_load_text(buf_sv(&t), &f);
	assert_non_null(c);
	conf_findings_free(&f);
	for (int i = 0; i < MANY; i += 499) {
		char bytes[64];
		struct sv sender =
			sv_make(bytes, (size_t)snprintf(bytes, sizeof(bytes), "S%d@x.example", i));
		struct conf_route_scan scan =
			conf_route_scan_begin(c, &(struct conf_route_scope){ .sender = &sender });

		assert_ptr_equal(conf_route_scan_next(&scan), &c->routes[i]);
		assert_null(conf_route_scan_next(&scan));
	}
	conf_unref(c);
	/* One more of them, in other letters. */
	assert_int_equal(
		buf_printf(&t, "  - { sender: \"\\\"S7\\\"@X.example\", through: c }\n"), 0);
	assert_null(conf_load_text(buf_sv(&t), &f));
	assert_int_equal(f.error_count, 1);
	assert_non_null(strstr(f.items[0].text, "can never match"));
	assert_non_null(strstr(f.items[0].text, "line 11 takes"));
	conf_findings_free(&f);
	buf_deinit(&t);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_index_finds_what_reading_all_finds),
		cmocka_unit_test(a_certain_sender_reads_few_routes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
