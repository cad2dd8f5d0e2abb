/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/made.h"
#include "io/file.h"
#include "outbound/test_bench.h"
#include <limits.h>

/*
 * Lanes that sign in with tokens. The broker here is the test's own: identity/tokens.c, which has tests
 * of its own, is not linked.
 */
enum {
	LANES = 200,
	REQUESTS_MAX = 512,
};

struct identity_token_request {
	identity_token_fn *done;
	void *arg;
	bool open;
};

static struct broker {
	struct identity_token_request requests[REQUESTS_MAX];
	size_t asked, open;
	bool later; /* answers when release() says so */
	uint64_t serial, life_us, refused_serial;
	unsigned refused;
	bool no_other;
	struct verdict failure; /* cause: no token */
} broker;
static struct bench bench;

static void answer(const struct identity_token_request *r)
{
	CLEANUP(secret_freep) struct secret *token = NULL;
	char text[32];
	struct identity_token t = { .serial = broker.serial,
		.expires_at = mono_add(io_clock_mono(), broker.life_us),
		.life_us = US_PER_HOUR,
		.verdict = broker.failure,
		.reply = SV("AADSTS90033: A transient error has occurred.") };

	(void)snprintf(text, sizeof(text), "token-%llu", (unsigned long long)broker.serial);
	if (!broker.failure.cause)
		token = secret_new(sv_from(text));
	t.token = token;
	r->done(r->arg, &t);
}

bool identity_token_get(struct identity_tokens *t, struct conf *conf, const struct conf_lane *lane,
	uint64_t left_us_min, identity_token_fn *done, void *arg,
	struct identity_token_request **out_request)
{
	struct identity_token_request *r = &broker.requests[broker.asked++ % REQUESTS_MAX];

	(void)t;
	(void)conf;
	(void)lane;
	(void)left_us_min;
	*r = (struct identity_token_request){ done, arg, broker.later };
	if (!broker.later) {
		answer(r);
		return false;
	}
	broker.open++;
	*out_request = r;
	return true;
}

void identity_token_cancel(struct identity_token_request *r)
{
	broker.open -= r->open;
	r->open = false;
}

bool identity_token_refused(
	struct identity_tokens *t, const struct conf_lane *lane, uint64_t serial)
{
	(void)t;
	(void)lane;
	if (serial == broker.refused_serial)
		return true;
	broker.refused_serial = serial;
	broker.refused++;
	broker.serial++;
	return !broker.no_other;
}

/* It keeps no failures that could be forgotten. */
void identity_tokens_retry(
	struct identity_tokens *t, struct conf *conf, const struct conf_lane *lane)
{
	(void)t;
	(void)conf;
	(void)lane;
}

static void release(void)
{
	for (size_t i = 0; i < REQUESTS_MAX; i++) {
		struct identity_token_request *r = &broker.requests[i];

		if (!r->open)
			continue;
		broker.open--;
		r->open = false;
		answer(r);
	}
}

#define HEAD                                                                                   \
	BENCH_CLEAR "hostname: relay.example.com\n"                                            \
		    "tenants: [ { name: c, id: contoso.com, domains: [contoso.com], app: { "   \
		    "client_id: "                                                              \
		    "11111111-2222-3333-4444-555555555555, secret: \"file:@F/secret\" } } ]\n" \
		    "mailboxes:\n"

static void open_bench(unsigned mailboxes)
{
	struct bench *b = &bench;
	struct buf conf = BUF_INIT(BENCH_TEXT_MAX);
	char path[128];

	broker = (struct broker){ .serial = 1, .life_us = US_PER_HOUR };
	bench_open(b,
		"connectors: [ { name: lab, host: 127.0.0.1, port: @A, tls: none } ]\nroutes: [ { "
		"through: lab } ]\n");
	(void)snprintf(path, sizeof(path), "%s/secret", b->folder);
	must(io_file_write_durably(path, SV("app-secret"), 0600, NULL) == 0);
	must(buf_append(&conf, SV(HEAD)) == 0);
	for (unsigned i = 0; i < mailboxes; i++)
		must(buf_printf(&conf,
			     "  - { address: m%u@contoso.com, tenant: c, provider: submission, "
			     "auth: app, endpoint: { host: 127.0.0.1, port: @A } }\n",
			     i) == 0);
	must(buf_append(&conf, sv_make("routes: [ { through: sender } ]\n", 33)) == 0);
	bench_reload(b, buf_sv(&conf).ptr);
	buf_deinit(&conf);
	/* Nobody looks into it here. */
	b->o->tokens = (struct identity_tokens *)&broker;
	bench_start(b);
}

static uint64_t queue(unsigned mailbox)
{
	char sender[64], member[96];

	(void)snprintf(sender, sizeof(sender), "m%u@contoso.com", mailbox);
	(void)snprintf(member, sizeof(member), "m:%s", sender);
	return bench_queue(&bench,
		&(struct letter){
			.sender = sender, .recipients = "anna@example.org", .queue = member });
}

static size_t wanted;

static bool mails_are_there(struct bench *b)
{
	return b->a.mail_count >= wanted && b->o->deliveries == 0;
}

static bool all_ask(struct bench *b)
{
	(void)b;
	return broker.open == LANES;
}

static void a_lane_signs_in_with_its_token(void **state)
{
	uint64_t id;

	(void)state;
	open_bench(1);
	id = queue(0);
	bench_wait_for(&bench, id, 0, STORE_RCPT_DELIVERED, NULL);
	assert_string_equal(bench.a.user, "m0@contoso.com");
	assert_string_equal(bench.a.password, "token-1");
	assert_int_equal(bench.a.asked[SMTP_SERVER_EV_AUTH_PASSWORD], 0);
	/* The session is open, and its token good: no second one. */
	id = queue(0);
	bench_wait_for(&bench, id, 0, STORE_RCPT_DELIVERED, NULL);
	assert_int_equal(broker.asked, 1);
	bench_close(&bench);
}

/* All ask at once, however few handshakes may run; none is lost, bounced, or tried twice. */
static void two_hundred_tokens_end_at_once(void **state)
{
	uint64_t ids[2 * LANES];

	(void)state;
	open_bench(LANES);
	/* A minute must be left. Where the rest is not enough for all of them, who comes later asks again. */
	broker.life_us = US_PER_MIN + 5 * US_PER_S;
	for (unsigned round = 0; round < 2; round++) {
		size_t before = broker.asked;

		broker.later = true;
		for (unsigned i = 0; i < LANES; i++)
			ids[round * LANES + i] = queue(i);
		bench_until(&bench, all_ask);
		assert_int_equal(broker.asked, before + LANES);
		assert_int_equal(bench.a.mail_count, round * LANES);
		broker.serial++;
		release();
		broker.later = false;
		wanted = (round + 1) * LANES;
		bench_until(&bench, mails_are_there);
		/* They close by themselves when their tokens end. */
		bench_until(&bench, bench_quiet);
	}
	for (unsigned i = 0; i < COUNT_OF(ids); i++) {
		struct look look;

		bench_look(&bench, ids[i], 0, &look);
		assert_int_equal(look.state, STORE_RCPT_DELIVERED);
		assert_int_equal(look.attempts, 1);
	}
	assert_int_equal(bench.a.mail_count, 2 * LANES);
	assert_int_equal(broker.refused, 0);
	bench_close(&bench);
}

static bool is_held(struct bench *b)
{
	return up_is_holding(&b->a);
}

/* It ends while a message is under way: that one is finished, the next gets a new session. */
static void a_token_that_ends_is_not_used_for_another_message(void **state)
{
	const uint64_t rest_us = 500 * US_PER_MS;
	struct mono_time end;
	uint64_t first, second;
	unsigned signed_in;

	(void)state;
	open_bench(1);
	/* Who needs longer than this to send asks again, until it has been quick enough. */
	broker.life_us = US_PER_MIN + rest_us;
	bench.a.rules[0] = (struct up_rule){ .at = SMTP_SERVER_EV_END, .times = 1, .hold = true };
	first = queue(0);
	bench_until(&bench, is_held);
	broker.serial = 2;
	broker.life_us = US_PER_HOUR;
	signed_in = bench.a.asked[SMTP_SERVER_EV_AUTH_TOKEN];
	end = mono_add(io_clock_mono(), rest_us);
	while (mono_before(io_clock_mono(), end))
		bench_turn(&bench);
	up_release(&bench.a, SMTP_SERVER_EV_END);
	second = queue(0);
	bench_wait_for(&bench, first, 0, STORE_RCPT_DELIVERED, NULL);
	bench_wait_for(&bench, second, 0, STORE_RCPT_DELIVERED, NULL);
	assert_string_equal(bench.a.password, "token-2");
	assert_int_equal(bench.a.asked[SMTP_SERVER_EV_AUTH_TOKEN], signed_in + 1);
	assert_int_equal(bench.a.mail_count, 2);
	bench_close(&bench);
}

/* A sign-in that is refused once, then taken with another token. */
static void assert_another_token_is_taken(struct up_rule refused)
{
	uint64_t id;

	refused.times = 1;
	open_bench(1);
	bench.a.rules[0] = refused;
	id = queue(0);
	bench_wait_for(&bench, id, 0, STORE_RCPT_DELIVERED, NULL);
	assert_int_equal(broker.refused, 1);
	assert_int_equal(bench.a.asked[SMTP_SERVER_EV_AUTH_TOKEN], 2);
	assert_string_equal(bench.a.password, "token-2");
	bench_close(&bench);
}

static void a_stale_token_is_replaced_at_once_and_once(void **state)
{
	const struct up_rule stale = { .at = SMTP_SERVER_EV_AUTH_TOKEN,
		.times = 1000,
		.code = 535,
		.enhanced = "5.7.142",
		.text = "Token will expire soon" };

	(void)state;
	assert_another_token_is_taken(stale);
	/* The new one is refused, too: the lane stops after that, and does not hammer. */
	open_bench(1);
	bench.a.rules[0] = stale;
	(void)queue(0);
	while (!bench_lane(&bench, "submission/m0@contoso.com").status.cause.len)
		bench_turn(&bench);
	for (unsigned i = 0; i < 20; i++)
		bench_turn(&bench);
	assert_int_equal(bench.a.asked[SMTP_SERVER_EV_AUTH_TOKEN], 2);
	assert_int_not_equal(
		bench_lane(&bench, "submission/m0@contoso.com").status.state, SCHED_LANE_READY);
	bench_close(&bench);
}

/* No reason is named: a token that has just come may be at fault, once. */
static void a_refused_sign_in_is_tried_with_another_token(void **state)
{
	const struct up_rule refused = { .at = SMTP_SERVER_EV_AUTH_TOKEN,
		.times = 1,
		.code = 535,
		.enhanced = "5.7.3",
		.text = "Authentication unsuccessful" };

	(void)state;
	assert_another_token_is_taken(refused);
	/* The broker has no other: what the server said parks at once. */
	open_bench(1);
	broker.no_other = true;
	bench.a.rules[0] = refused;
	(void)queue(0);
	while (bench_lane(&bench, "submission/m0@contoso.com").status.state != SCHED_LANE_PARKED)
		bench_turn(&bench);
	assert_int_equal(bench.a.asked[SMTP_SERVER_EV_AUTH_TOKEN], 1);
	bench_close(&bench);
}

static void refused_sign_ins_stop_the_lane(void **state)
{
	unsigned signed_in;
	uint64_t id = 0;

	(void)state;
	open_bench(1);
	bench.a.rules[0] = (struct up_rule){ .at = SMTP_SERVER_EV_AUTH_TOKEN,
		.times = 1000,
		.code = 535,
		.enhanced = "5.7.3",
		.text = "Authentication unsuccessful" };
	for (unsigned i = 0; i < 20; i++)
		id = queue(0);
	while (bench_lane(&bench, "submission/m0@contoso.com").status.state != SCHED_LANE_PARKED)
		bench_turn(&bench);
	for (unsigned i = 0; i < 20; i++)
		bench_turn(&bench);
	signed_in = bench.a.asked[SMTP_SERVER_EV_AUTH_TOKEN];
	assert_int_equal(signed_in, 2);
	/* One probe, one token. */
	bench_retry(&bench);
	while (bench.a.asked[SMTP_SERVER_EV_AUTH_TOKEN] == signed_in)
		bench_turn(&bench);
	for (unsigned i = 0; i < 20; i++)
		bench_turn(&bench);
	assert_int_equal(bench.a.asked[SMTP_SERVER_EV_AUTH_TOKEN], signed_in + 1);
	assert_int_equal(broker.asked, signed_in + 1);
	assert_int_equal(broker.refused, signed_in + 1);
	bench.a.rules[0].times = 0;
	bench_retry(&bench);
	bench_wait_for(&bench, id, 0, STORE_RCPT_DELIVERED, NULL);
	bench_close(&bench);
}

/* The secret of the app is wrong: one lane finds out, the tenant's others wait for it. */
static void a_tenant_that_cannot_sign_in_holds_its_lanes(void **state)
{
	uint64_t ids[5];

	(void)state;
	open_bench(5);
	broker.failure = (struct verdict){ .kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_TENANT,
		.nature = VERDICT_NATURE_AUTHENTICATION,
		.cause = CAUSE_APP_SECRET_WRONG,
		.summary = "The client secret is wrong." };
	ids[0] = queue(0);
	while (bench_parks(&bench) == 0)
		bench_turn(&bench);
	for (unsigned i = 1; i < 5; i++)
		ids[i] = queue(i);
	for (unsigned i = 0; i < 50; i++)
		bench_turn(&bench);
	assert_int_equal(broker.asked, 1);
	assert_int_equal(
		bench_lane(&bench, "submission/m3@contoso.com").status.state, SCHED_LANE_PARKED);
	assert_string_equal(
		bench_lane(&bench, "submission/m3@contoso.com").cause, "app-secret-wrong");
	/* It survives a restart, and is corrected by one who looks. */
	bench_restart(&bench);
	bench.o->tokens = (struct identity_tokens *)&broker;
	assert_int_equal(bench_parks(&bench), 1);
	broker.failure.cause = CAUSE_NONE;
	bench_retry(&bench);
	for (unsigned i = 0; i < 5; i++)
		bench_wait_for(&bench, ids[i], 0, STORE_RCPT_DELIVERED, NULL);
	assert_int_equal(bench_parks(&bench), 0);
	bench_close(&bench);
}

static void a_token_service_that_is_down_is_waited_for(void **state)
{
	uint64_t id;

	(void)state;
	open_bench(1);
	broker.failure = (struct verdict){ .kind = VERDICT_RETRY,
		.scope = VERDICT_SCOPE_ROUTE,
		.nature = VERDICT_NATURE_OUTAGE,
		.cause = CAUSE_TOKEN_SERVICE_DOWN,
		.summary = "The token service does not answer." };
	id = queue(0);
	while (bench_lane(&bench, "submission/m0@contoso.com").status.state != SCHED_LANE_WAITING)
		bench_turn(&bench);
	assert_string_equal(
		bench_lane(&bench, "submission/m0@contoso.com").cause, "token-service-down");
	/* Asked again within seconds, by itself. */
	broker.failure.cause = CAUSE_NONE;
	bench_wait_for(&bench, id, 0, STORE_RCPT_DELIVERED, NULL);
	assert_int_equal(broker.asked, 2);
	bench_close(&bench);
}

/* ---- mailboxes of a wildcard (conf/made.h) ---- */

#define WILD(at_once, more)                                                                   \
	HEAD "  - { address: \"*@contoso.com\", tenant: c, provider: submission, auth: app, " \
	     "endpoint: { host: 127.0.0.1, port: @A }, at_once: " at_once ", " more " }\n"    \
	     "routes: [ { through: sender } ]\n"

static uint64_t queue_of(const char *user, unsigned mailbox, const char *to)
{
	char sender[64], member[96];

	(void)snprintf(sender, sizeof(sender), "m%u@contoso.com", mailbox);
	(void)snprintf(member, sizeof(member), "m:%s", sender);
	return bench_queue(&bench,
		&(struct letter){
			.sender = sender, .recipients = to, .queue = member, .user = user });
}

static void open_wild(const char *conf)
{
	open_bench(1);
	bench_reload(&bench, conf);
}

static bool nothing_runs(struct bench *b)
{
	return b->o->deliveries == 0 && list_empty(&b->o->work) && !b->o->flows.running;
}

static bool all_left(struct bench *b)
{
	return b->a.mail_count >= wanted && nothing_runs(b);
}

/* As time would bring it: who is idle goes, and who waits for a place gets it. */
static size_t look_until_all_left(size_t mails)
{
	size_t most = 0;

	wanted = mails;
	while (!all_left(&bench)) {
		most = bench.o->crowds.count > most ? bench.o->crowds.count : most;
		idle_look(bench.o);
		bench_turn(&bench);
	}
	return most;
}

static bool two_ask(struct bench *b)
{
	(void)b;
	return broker.open == 2;
}

static bool three_ask(struct bench *b)
{
	(void)b;
	return broker.open == 3;
}

static void who_invents_senders_leaves_places_for_others(void **state)
{
	const struct mail_flow last = { .queue = SV("m:m11@contoso.com"),
		.class = MAIL_CLASS_NORMAL,
		.principal = SV("crm"),
		.external = true };
	struct sched_reason why;

	(void)state;
	open_wild(WILD("4", "limits: {}"));
	broker.later = true;
	for (unsigned i = 0; i < 12; i++)
		(void)queue_of("crm", i, "anna@example.org");
	bench_until(&bench, two_ask);
	idle_look(bench.o);
	/* Half of all: the next would be as many as are left. */
	assert_int_equal(bench.o->crowds.count, 2);
	assert_true(crowd_is_denied(bench.o));
	why = outbound_why(bench.o, &last, 0, outbound_due_now(bench.o));
	assert_string_equal(sched_why_name(why.why), "crowded");
	(void)queue_of("erp", 100, "anna@example.org");
	bench_until(&bench, three_ask);
	assert_int_equal(bench.o->crowds.count, 3);
	broker.later = false;
	release();
	assert_in_range(look_until_all_left(13), 1, 3);
	bench_close(&bench);
}

/* Nothing of one that is gone stays but what it has used, and that is there when it comes again, also after a restart. */
static void who_comes_back_finds_what_it_used(void **state)
{
	(void)state;
	open_wild(WILD("2", "limits: { share: 100%, recipients_per_day: 3 }"));
	(void)queue_of("crm", 0, "a@example.org b@example.org");
	(void)look_until_all_left(1);
	for (unsigned i = 1; i < 40; i++)
		(void)queue_of("crm", i, "a@example.org");
	assert_in_range(look_until_all_left(40), 1, 1);
	assert_false(bench_lane(&bench, "submission/m0@contoso.com").found);
	assert_true(bench.o->lane_count <= 3);
	assert_true(bench.o->members.count <= 3);
	assert_true(conf_made_count(bench.o->conf) <= 3);
	for (unsigned life = 0; life < 2; life++) {
		size_t before = bench.a.mail_count;
		uint64_t id = queue_of("crm", 0, "c@example.org d@example.org");

		while (!bench_lane(&bench, "submission/m0@contoso.com").found) {
			idle_look(bench.o);
			bench_turn(&bench);
		}
		/* One of the two: the day of m0 has three. */
		if (life == 0)
			bench_wait_for(&bench, id, 0, STORE_RCPT_DELIVERED, NULL);
		bench_until(&bench, nothing_runs);
		assert_int_equal(bench.a.mail_count, before + (life == 0));
		assert_string_equal(bench_lane(&bench, "submission/m0@contoso.com").cause, "limit");
		assert_int_equal(
			bench_lane(&bench, "submission/m0@contoso.com").status.use.day.used, 3);
		bench_close_queue(&bench);
		bench_open_queue(&bench);
		bench.o->tokens = (struct identity_tokens *)&broker;
		bench_start(&bench);
	}
	bench_close(&bench);
}

static bool m0_is_parked(struct bench *b)
{
	return bench_lane(b, "submission/m0@contoso.com").status.state == SCHED_LANE_PARKED;
}

/* A refused sign-in is of that mailbox; a refused token of all, once. */
static void an_address_that_is_none_holds_its_own_mail(void **state)
{
	uint64_t id, other;

	(void)state;
	open_wild(WILD("9", "limits: {}"));
	bench.a.rules[0] = (struct up_rule){ .at = SMTP_SERVER_EV_AUTH_TOKEN,
		.times = UINT_MAX,
		.code = 535,
		.enhanced = "5.7.3",
		.text = "Authentication unsuccessful" };
	id = queue_of("crm", 0, "a@example.org");
	bench_until(&bench, m0_is_parked);
	bench.a.rules[0].times = 0;
	other = queue_of("crm", 1, "a@example.org");
	bench_wait_for(&bench, other, 0, STORE_RCPT_DELIVERED, NULL);
	assert_int_equal(bench_parks(&bench), 0);
	assert_string_equal(bench_lane(&bench, "submission/m0@contoso.com").cause, "token-refused");
	/* It has mail, and so stays. */
	idle_look(bench.o);
	assert_true(m0_is_parked(&bench));
	(void)id;
	bench_close(&bench);
}

static void a_reload_keeps_and_takes_away(void **state)
{
	uint64_t id;

	(void)state;
	open_wild(WILD("2", "limits: {}"));
	id = queue_of("crm", 0, "a@example.org");
	bench_wait_for(&bench, id, 0, STORE_RCPT_DELIVERED, NULL);
	bench_reload(&bench, WILD("5", "limits: { messages_per_minute: 7, share: 100% }"));
	bench_until(&bench, nothing_runs);
	assert_int_equal(
		bench_lane(&bench, "submission/m0@contoso.com").status.use.minute.capacity, 7);
	assert_int_equal(bench.o->crowds.count, 1);
	/* Listed by its address it is none of the wildcard's. */
	bench_reload(&bench,
		HEAD
		"  - { address: m0@contoso.com, tenant: c, provider: submission, auth: app, "
		"endpoint: { host: 127.0.0.1, port: @A } }\nroutes: [ { through: sender } ]\n");
	bench_until(&bench, nothing_runs);
	assert_int_equal(bench.o->crowds.count, 0);
	id = queue_of("crm", 0, "a@example.org");
	bench_wait_for(&bench, id, 0, STORE_RCPT_DELIVERED, NULL);
	id = queue_of("crm", 1, "a@example.org");
	bench_until(&bench, nothing_runs);
	assert_int_equal(bench.a.mail_count, 2);
	bench_close(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lane_signs_in_with_its_token),
		cmocka_unit_test(two_hundred_tokens_end_at_once),
		cmocka_unit_test(a_token_that_ends_is_not_used_for_another_message),
		cmocka_unit_test(a_stale_token_is_replaced_at_once_and_once),
		cmocka_unit_test(a_refused_sign_in_is_tried_with_another_token),
		cmocka_unit_test(refused_sign_ins_stop_the_lane),
		cmocka_unit_test(a_tenant_that_cannot_sign_in_holds_its_lanes),
		cmocka_unit_test(a_token_service_that_is_down_is_waited_for),
		cmocka_unit_test(who_invents_senders_leaves_places_for_others),
		cmocka_unit_test(who_comes_back_finds_what_it_used),
		cmocka_unit_test(an_address_that_is_none_holds_its_own_mail),
		cmocka_unit_test(a_reload_keeps_and_takes_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
