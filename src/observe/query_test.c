/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/test_bench.h"

/* ---- list ---- */

static const struct mail mails[] = {
	{ "erp@contoso.com",
		"anna@example.org",
		"bea@example.com",
		MAILBOX,
		"greylisted",
		3 * (int64_t)US_PER_DAY },
	{ "", "erp@contoso.com", NULL, CONNECTOR, NULL, 2 * (int64_t)US_PER_HOUR },
	{ "crm@contoso.com", "anna@example.org", NULL, CONNECTOR, "no-route", 0 },
};

static void fill(struct bench *b, uint64_t ids[COUNT_OF(mails)])
{
	for (size_t i = 0; i < COUNT_OF(mails); i++)
		ids[i] = put(b, &mails[i]);
}

static void each_filter_finds_its_rows(void **state)
{
	static const struct {
		const char *filter;
		size_t rows;
	} rows[] = {
		{ "", 4 },
		{ ",\"sender\":\"erp@contoso.com\"", 2 },
		{ ",\"sender\":\"*@contoso.com\"", 3 },
		{ ",\"recipient\":\"anna@example.org\"", 2 },
		{ ",\"recipient\":\"*@example.com\"", 1 },
		{ ",\"mailbox\":\"erp@contoso.com\"", 2 },
		{ ",\"mailbox\":\"" MAILBOX "\"", 2 },
		{ ",\"mailbox\":\"lab\"", 2 },
		{ ",\"mailbox\":\"nobody\"", 0 },
		{ ",\"state\":\"queued\"", 4 },
		{ ",\"state\":\"HELD\"", 0 },
		{ ",\"reason\":\"no-route\"", 1 },
		{ ",\"older\":\"1d\"", 2 },
		{ ",\"older\":\"1h\"", 3 },
		{ ",\"newer\":\"1h\"", 1 },
		{ ",\"newer\":\"1d\",\"older\":\"1h\"", 1 },
		{ ",\"since\":\"1h\"", 1 },
		{ ",\"since\":\"2020-01-01\"", 4 },
		{ ",\"until\":\"2020-01-01T12:00:00Z\"", 0 },
		{ ",\"since\":\"2020-02-29T23:59:59Z\",\"until\":\"9999-12-31\"", 4 },
		{ ",\"since\":\"9999-12-31\"", 0 },
		{ ",\"limit\":3", 3 },
		{ ",\"history\":true", 4 },
	};
	uint64_t ids[COUNT_OF(mails)];
	struct bench b;

	(void)state;
	open_bench(&b);
	fill(&b, ids);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char request[200];

		(void)snprintf(request, sizeof(request), "{\"do\":\"list\"%s}", rows[i].filter);
		ask(&b, request);
		if (b.count != rows[i].rows + 1)
			fail_msg("%s: %zu lines", request, b.count);
		assert_ended(&b, rows[i].rows);
	}
	close_bench(&b);
}

static void a_row_says_what_there_is_to_know(void **state)
{
	uint64_t ids[COUNT_OF(mails)];
	char request[100], id[TEXT_ID_MAX];
	struct bench b;

	(void)state;
	open_bench(&b);
	fill(&b, ids);
	(void)snprintf(
		request, sizeof(request), "{\"do\":\"list\",\"id\":\"%s\"}", text_id(ids[0], id));
	ask(&b, request);
	assert_ended(&b, 2);
	assert_string_equal(text_at(&b, 0, "id"), id);
	assert_string_equal(text_at(&b, 0, "sender"), "erp@contoso.com");
	assert_string_equal(text_at(&b, 1, "recipient"), "bea@example.com");
	assert_string_equal(text_at(&b, 1, "state"), "queued");
	assert_string_equal(text_at(&b, 1, "lane"), MAILBOX);
	assert_string_equal(text_at(&b, 1, "reason"), "greylisted");
	assert_string_equal(text_at(&b, 1, "user"), "erp");
	/* Bytes that are no UTF-8 are shown, not lost. */
	assert_string_equal(text_at(&b, 1, "subject"), "Rechnung \\xff\\x01");
	/* The null sender is a value. */
	(void)snprintf(
		request, sizeof(request), "{\"do\":\"list\",\"id\":\"%s\"}", text_id(ids[1], id));
	ask(&b, request);
	assert_true(json_is_string(json_object_get(b.lines[0], "sender")));
	assert_string_equal(text_at(&b, 0, "sender"), "");
	close_bench(&b);
}

/* ---- pausing ---- */

static void until_asked(struct bench *b, unsigned times)
{
	io_timer_start(&b->guard, mono_add(io_clock_mono(), GUARD_S * US_PER_S));
	while (b->asked_for_room < times) {
		struct store_flows op = { .op.kind = STORE_OP_FLOWS };
		struct arena arena = { 0 };

		op.out_arena = &arena;
		submit(b, &op.op);
		arena_reset(&arena);
	}
}

static void a_slow_reader_gets_a_page_at_a_time(void **state)
{
	enum {
		COUNT = 1300
	};
	struct observe_query *q;
	struct bench b;

	(void)state;
	open_bench(&b);
	for (unsigned i = 0; i < COUNT; i++)
		(void)put(&b, &mails[2]);
	b.full = true;
	q = begin(&b, "{\"do\":\"list\"}");
	until_asked(&b, 1); /* what holds mail is read before */
	assert_int_equal(b.count, 0);
	observe_query_resume(q); /* still full: nothing is read */
	assert_int_equal(b.count, 0);
	assert_int_equal(b.asked_for_room, 2);
	b.full = false;
	observe_query_resume(q);
	b.full = true;
	until_asked(&b, 4);
	assert_true(b.count > 0 && b.count < COUNT);
	assert_int_equal(b.ends, 0);
	b.full = false;
	observe_query_resume(q);
	while (b.ends == 0)
		io_loop_run(b.loop);
	io_timer_stop(&b.guard);
	assert_ended(&b, COUNT);
	observe_query_resume(q); /* nothing more comes */
	assert_int_equal(b.ends, 1);
	observe_query_free(q);
	close_bench(&b);
}

static void a_query_may_be_freed_at_any_time(void **state)
{
	static const char *const requests[] = { "{\"do\":\"list\"}",
		"{\"do\":\"summary\"}",
		"{\"do\":\"report\"}",
		"{\"do\":\"status\"}",
		"{\"do\":\"edit\",\"kind\":\"retry\"}",
		"{\"do\":\"nothing\"}" };
	struct bench b;

	(void)state;
	open_bench(&b);
	(void)put(&b, &mails[0]);
	for (size_t i = 0; i < COUNT_OF(requests); i++) {
		/* The store still works on it, and nobody hears of it. */
		observe_query_free(begin(&b, requests[i]));
		(void)put(&b, &mails[1]);
		assert_int_equal(b.ends, i == COUNT_OF(requests) - 1);
	}
	b.full = true;
	observe_query_free(begin(&b, "{\"do\":\"list\"}"));
	observe_query_free(NULL);
	close_bench(&b);
}

/* ---- show ---- */

static void show_tells_the_whole_story(void **state)
{
	char request[100], id[TEXT_ID_MAX];
	struct bench b;
	uint64_t of;

	(void)state;
	open_bench(&b);
	of = put(&b, &mails[0]);
	try(&b, of, MAILBOX, MAILBOX, STORE_RCPT_QUEUED, "greylisted");
	try(&b, of, MAILBOX, CONNECTOR, STORE_RCPT_BOUNCED, "no-such-recipient");
	(void)snprintf(
		request, sizeof(request), "{\"do\":\"show\",\"id\":\"%s\"}", text_id(of, id));
	ask(&b, request);
	assert_ended(&b, 1);
	assert_int_equal(b.count, 6);
	assert_string_equal(text_at(&b, 0, "type"), "message");
	assert_string_equal(text_at(&b, 0, "id"), id);
	assert_string_equal(text_at(&b, 1, "type"), "recipient");
	assert_string_equal(text_at(&b, 1, "state"), "bounced");
	assert_string_equal(text_at(&b, 2, "state"), "queued");
	assert_string_equal(text_at(&b, 3, "type"), "attempt");
	assert_string_equal(text_at(&b, 3, "lane"), MAILBOX);
	assert_string_equal(text_at(&b, 3, "recipient"), "anna@example.org");
	assert_string_equal(text_at(&b, 3, "reply"), "451 4.7.1 later");
	assert_string_equal(text_at(&b, 3, "reason"), "greylisted");
	assert_string_equal(text_at(&b, 4, "relay"), "h[192.0.2.1]:25");
	assert_string_equal(text_at(&b, 4, "stage"), "end of data");
	assert_string_equal(text_at(&b, 4, "reason"), "no-such-recipient");
	/* In either case of letters, and not for what is not there. */
	ask(&b, "{\"do\":\"show\",\"id\":\"00000000001\"}");
	assert_failed(&b, EX_NOINPUT);
	close_bench(&b);
}

/* ---- edit ---- */

static void edits_change_what_the_filter_finds(void **state)
{
	/* In this order, on three messages with four recipients. */
	static const struct {
		const char *request;
		json_int_t changed;
		const char *state; /* of anna's first */
		const char *lane;
	} rows[] = {
		{ "\"kind\":\"retry\"", 4, "queued", MAILBOX },
		{ "\"kind\":\"hold\",\"sender\":\"erp@contoso.com\"", 2, "held", MAILBOX },
		{ "\"kind\":\"hold\",\"sender\":\"erp@contoso.com\"", 0, "held", MAILBOX },
		{ "\"kind\":\"retry\"", 2, "held", MAILBOX },
		{ "\"kind\":\"reroute\",\"mailbox\":\"erp@contoso.com\",\"to\":\"lab\"",
			2,
			"held",
			CONNECTOR },
		{ "\"kind\":\"release\",\"state\":\"held\"", 2, "queued", CONNECTOR },
		{ "\"kind\":\"release\"", 0, "queued", CONNECTOR },
		{ "\"kind\":\"drop\",\"recipient\":\"anna@example.org\"", 2, "dropped", CONNECTOR },
		{ "\"kind\":\"drop\",\"recipient\":\"anna@example.org\"", 0, "dropped", CONNECTOR },
		{ "\"kind\":\"drop\"", 2, "dropped", CONNECTOR },
	};
	uint64_t ids[COUNT_OF(mails)];
	char request[200], id[TEXT_ID_MAX];
	struct bench b;

	(void)state;
	open_bench(&b);
	fill(&b, ids);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		(void)snprintf(request, sizeof(request), "{\"do\":\"edit\",%s}", rows[i].request);
		ask(&b, request);
		if (number_at(&b, 0, "changed") != rows[i].changed)
			fail_msg("%s: %d", request, (int)number_at(&b, 0, "changed"));
		assert_ended(&b, (size_t)rows[i].changed);
		(void)snprintf(request,
			sizeof(request),
			"{\"do\":\"show\",\"id\":\"%s\"}",
			text_id(ids[0], id));
		ask(&b, request);
		assert_string_equal(text_at(&b, 1, "state"), rows[i].state);
		assert_string_equal(text_at(&b, 1, "lane"), rows[i].lane);
	}
	ask(&b, "{\"do\":\"list\"}");
	assert_ended(&b, 0);
	ask(&b, "{\"do\":\"list\",\"history\":true,\"state\":\"dropped\"}");
	assert_ended(&b, 4);
	close_bench(&b);
}

/* ---- summary and status ---- */

static void summary_and_status_count_what_waits(void **state)
{
	uint64_t ids[COUNT_OF(mails)];
	struct bench b;

	(void)state;
	open_bench(&b);
	fill(&b, ids);
	try(&b, ids[1], CONNECTOR, CONNECTOR, STORE_RCPT_DELIVERED, "accepted");
	ask(&b, "{\"do\":\"summary\"}");
	assert_int_equal(b.count, 4);
	assert_string_equal(text_at(&b, 2, "type"), "totals");
	assert_int_equal(number_at(&b, 2, "messages_waiting"), 2);
	assert_int_equal(number_at(&b, 2, "bytes_waiting"), 8);
	assert_int_equal(number_at(&b, 2, "history_messages"), 1);
	for (size_t i = 0; i < LANES; i++) {
		bool mailbox = strcmp(text_at(&b, i, "lane"), MAILBOX) == 0;

		assert_string_equal(text_at(&b, i, "type"), "waiting");
		assert_string_equal(text_at(&b, i, "state"), "queued");
		assert_int_equal(number_at(&b, i, "count"), mailbox ? 2 : 1);
		assert_string_equal(text_at(&b, i, "reason"), mailbox ? "greylisted" : "no-route");
	}
	/* Without a daemon: the queue alone, and that passwords end. */
	ask(&b, "{\"do\":\"status\"}");
	assert_int_equal(b.count, 3 + LANES);
	assert_string_equal(text_at(&b, 0, "type"), "relay");
	assert_true(json_is_false(json_object_get(b.lines[0], "running")));
	assert_string_equal(text_at(&b, 0, "hostname"), "relay.example.com");
	assert_int_equal(number_at(&b, 0, "messages_waiting"), 2);
	assert_string_equal(text_at(&b, 1, "type"), "notice");
	/* Neither is held: one waits for its next try, the other for a route, which a person must give. */
	assert_string_equal(text_at(&b, 2, "type"), "group");
	assert_string_equal(text_at(&b, 2, "needs"), "person");
	assert_string_equal(text_at(&b, 2, "reason"), "no-route");
	assert_string_equal(text_at(&b, 2, "state"), "parked");
	assert_int_equal(number_at(&b, 2, "waiting"), 1);
	assert_true(strlen(text_at(&b, 2, "step")) > 20);
	assert_string_equal(text_at(&b, 3, "needs"), "time");
	assert_string_equal(text_at(&b, 3, "reason"), "greylisted");
	assert_string_equal(text_at(&b, 3, "state"), "waiting");
	assert_int_equal(number_at(&b, 3, "waiting"), 2);
	ask(&b, "{\"do\":\"status\",\"lanes\":true}");
	assert_int_equal(b.count, 5 + LANES);
	assert_string_equal(text_at(&b, 4, "type"), "waiting");
	close_bench(&b);
}

/* What the queue remembers of a park, where no daemon runs. */
static void park(struct bench *b, const char *key, const char *cause)
{
	struct store_park op = { .op.kind = STORE_OP_PARK,
		.row = { .key = sv_from(key),
			.cause = sv_from(cause),
			.summary = SV("It is shut."),
			.reply = SV("550 no"),
			.since = io_clock_wall(),
			.probe_at = wall_add(io_clock_wall(), (int64_t)US_PER_HOUR) } };

	submit(b, &op.op);
}

static void a_hold_of_a_sender_is_shown_everywhere(void **state)
{
	uint64_t ids[COUNT_OF(mails)];
	char request[128], id[TEXT_ID_MAX];
	const json_t *hold;
	struct bench b;

	(void)state;
	open_bench(&b);
	fill(&b, ids);
	park(&b, "sender:" MAILBOX ":erp@contoso.com", "send-as-denied");
	park(&b, "alert:disk", "full");
	ask(&b, "{\"do\":\"list\",\"state\":\"parked\"}");
	/* The one without a route is parked as well. */
	assert_ended(&b, 3);
	assert_int_equal(json_integer_value(
				 json_object_get(json_object_get(b.lines[3], "totals"), "parked")),
		3);
	assert_true(json_is_true(json_object_get(b.lines[0], "parked")));
	hold = json_object_get(b.lines[0], "hold");
	assert_string_equal(json_string_value(json_object_get(hold, "scope")), "sender");
	assert_string_equal(json_string_value(json_object_get(hold, "reason")), "send-as-denied");
	/* What postern can do comes first. */
	assert_string_equal(json_string_value(json_object_get(hold, "owner")), "you");
	assert_non_null(
		strstr(json_string_value(json_object_get(hold, "step")), "sender: rewrite"));
	ask(&b, "{\"do\":\"list\",\"state\":\"waiting\"}");
	assert_ended(&b, 1);
	/* Parked mail lives longer: 14 days, not 5. */
	(void)snprintf(
		request, sizeof(request), "{\"do\":\"show\",\"id\":\"%s\"}", text_id(ids[0], id));
	ask(&b, request);
	assert_string_equal(text_at(&b, 1, "type"), "recipient");
	assert_true(json_is_true(json_object_get(b.lines[1], "parked")));
	{
		struct wall_time accepted, expires;

		assert_int_equal(wall_parse(sv_from(text_at(&b, 0, "accepted_at")), &accepted), 0);
		assert_int_equal(wall_parse(sv_from(text_at(&b, 0, "expires_at")), &expires), 0);
		assert_int_equal(expires.us - accepted.us, 14 * (int64_t)US_PER_DAY);
	}
	ask(&b, "{\"do\":\"status\"}");
	assert_string_equal(text_at(&b, 3, "scope"), "sender");
	assert_string_equal(text_at(&b, 3, "reason"), "send-as-denied");
	assert_string_equal(text_at(&b, 3, "mailbox"), "erp@contoso.com");
	close_bench(&b);
}

static void lists_come_in_the_order_asked_for(void **state)
{
	uint64_t ids[COUNT_OF(mails)];
	char id[TEXT_ID_MAX];
	struct bench b;

	(void)state;
	open_bench(&b);
	fill(&b, ids);
	ask(&b, "{\"do\":\"list\",\"sort\":\"newest\"}");
	assert_ended(&b, 4);
	assert_string_equal(text_at(&b, 0, "id"), text_id(ids[2], id));
	ask(&b, "{\"do\":\"list\",\"sort\":\"recipient\",\"limit\":2}");
	assert_ended(&b, 2);
	assert_string_equal(text_at(&b, 0, "recipient"), "anna@example.org");
	assert_string_equal(text_at(&b, 1, "recipient"), "anna@example.org");
	assert_int_equal(json_integer_value(json_object_get(
				 json_object_get(b.lines[2], "totals"), "recipients")),
		4);
	ask(&b, "{\"do\":\"mailboxes\",\"sort\":\"waiting\",\"limit\":1}");
	assert_ended(&b, 1);
	assert_int_equal(number_at(&b, 0, "waiting"), 2);
	ask(&b, "{\"do\":\"mailboxes\",\"reason\":\"greylisted\"}");
	assert_ended(&b, 1);
	assert_string_equal(text_at(&b, 0, "name"), "erp@contoso.com");
	ask(&b, "{\"do\":\"mailboxes\",\"mailbox\":\"LAB\"}");
	assert_ended(&b, 1);
	close_bench(&b);
}

static void a_report_counts_what_became_of_it(void **state)
{
	uint64_t ids[COUNT_OF(mails)];
	struct bench b;
	size_t senders = 0, mailboxes = 0, causes = 0, recipients = 0;

	(void)state;
	open_bench(&b);
	fill(&b, ids);
	try(&b, ids[1], CONNECTOR, CONNECTOR, STORE_RCPT_DELIVERED, "accepted");
	ask(&b, "{\"do\":\"report\"}");
	assert_string_equal(text_at(&b, 0, "type"), "total");
	assert_int_equal(number_at(&b, 0, "messages"), COUNT_OF(mails));
	assert_int_equal(number_at(&b, 0, "delivered"), 1);
	for (size_t i = 1; i + 1 < b.count; i++) {
		const char *type = text_at(&b, i, "type");

		senders += strcmp(type, "sender") == 0;
		mailboxes += strcmp(type, "mailbox") == 0;
		causes += strcmp(type, "cause") == 0;
		if (strcmp(type, "mailbox") == 0)
			recipients += (size_t)number_at(&b, i, "recipients");
	}
	assert_int_equal(recipients, number_at(&b, 0, "recipients"));
	assert_true(senders > 0 && mailboxes > 0 && causes == 2);
	ask(&b, "{\"do\":\"report\",\"since\":\"2999-01-01\"}");
	assert_int_equal(number_at(&b, 0, "messages"), 0);
	assert_int_equal(b.count, 2);
	close_bench(&b);
}

static void mailboxes_shows_those_without_mail(void **state)
{
	struct bench b;
	json_t *six;

	(void)state;
	open_bench(&b);
	(void)put(&b, &mails[0]);
	ask(&b, "{\"do\":\"mailboxes\"}");
	assert_ended(&b, LANES);
	assert_string_equal(text_at(&b, 0, "name"), "erp@contoso.com");
	assert_string_equal(text_at(&b, 0, "state"), "stopped");
	assert_int_equal(number_at(&b, 0, "day_used"), 0);
	assert_true(number_at(&b, 0, "day_capacity") > 0);
	assert_string_equal(text_at(&b, 1, "name"), "lab");
	assert_int_equal(number_at(&b, 0, "waiting") + number_at(&b, 1, "waiting"), 2);
	six = json_object_get(b.lines[0], "checks");
	assert_int_equal(json_object_size(six), 6);
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(six, "domain"), "state")),
		"unknown");
	ask(&b, "{\"do\":\"probe\",\"mailbox\":\"lab\"}");
	assert_failed(&b, EX_UNAVAILABLE);
	close_bench(&b);
}

/* ---- what cannot be asked ---- */

static void bad_requests_get_one_line_with_a_code(void **state)
{
	static const struct {
		const char *request;
		int code;
	} rows[] = {
		{ "", EX_USAGE },
		{ "{", EX_USAGE },
		{ "[]", EX_USAGE },
		{ "\"status\"", EX_USAGE },
		{ "{}", EX_USAGE },
		{ "{\"do\":7}", EX_USAGE },
		{ "{\"do\":\"explode\"}", EX_USAGE },
		{ "{\"do\":\"list\",\"do\":\"list\"}", EX_USAGE },
		{ "{\"do\":\"list\",\"id\":\"17\"}", EX_USAGE },
		{ "{\"do\":\"list\",\"state\":\"lost\"}", EX_USAGE },
		{ "{\"do\":\"list\",\"sender\":\"a b\"}", EX_USAGE },
		{ "{\"do\":\"list\",\"recipient\":\"**\"}", EX_USAGE },
		{ "{\"do\":\"list\",\"older\":\"5\"}", EX_USAGE },
		{ "{\"do\":\"list\",\"newer\":\"soon\"}", EX_USAGE },
		{ "{\"do\":\"list\",\"since\":\"2026-13-01\"}", EX_USAGE },
		{ "{\"do\":\"list\",\"since\":\"2026-00-01\"}", EX_USAGE },
		{ "{\"do\":\"list\",\"until\":\"2026-1-1\"}", EX_USAGE },
		{ "{\"do\":\"list\",\"until\":\"2026-01-01T25:00:00Z\"}", EX_USAGE },
		{ "{\"do\":\"list\",\"until\":\"yesterday\"}", EX_USAGE },
		{ "{\"do\":\"list\",\"reason\":\"send-as-denid\"}", EX_USAGE },
		{ "{\"do\":\"list\",\"tenant\":\"nobody\"}", EX_USAGE },
		{ "{\"do\":\"list\",\"sort\":\"colour\"}", EX_USAGE },
		{ "{\"do\":\"edit\",\"kind\":\"drop\",\"tenant\":\"contoso\"}", EX_USAGE },
		{ "{\"do\":\"edit\",\"kind\":\"drop\",\"limit\":1}", EX_USAGE },
		{ "{\"do\":\"edit\",\"kind\":\"drop\",\"state\":\"parked\"}", EX_USAGE },
		{ "{\"do\":\"mailboxes\",\"state\":\"lost\"}", EX_USAGE },
		{ "{\"do\":\"mailboxes\",\"sort\":\"colour\"}", EX_USAGE },
		{ "{\"do\":\"mailboxes\",\"mailbox\":\"nobody@contoso.com\"}", EX_NOUSER },
		{ "{\"do\":\"show\"}", EX_USAGE },
		{ "{\"do\":\"show\",\"id\":\"UUUUUUUUUUU\"}", EX_USAGE },
		{ "{\"do\":\"edit\"}", EX_USAGE },
		{ "{\"do\":\"edit\",\"kind\":\"shred\"}", EX_USAGE },
		{ "{\"do\":\"edit\",\"kind\":\"drop\",\"id\":\"x\"}", EX_USAGE },
		{ "{\"do\":\"edit\",\"kind\":\"reroute\"}", EX_USAGE },
		{ "{\"do\":\"edit\",\"kind\":\"reroute\",\"to\":\"nowhere\"}", EX_USAGE },
		{ "{\"do\":\"reload\"}", EX_UNAVAILABLE },
	};
	struct bench b;

	(void)state;
	open_bench(&b);
	(void)put(&b, &mails[0]);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		ask(&b, rows[i].request);
		if (b.count != 1 || number_at(&b, 0, "code") != rows[i].code)
			fail_msg("%s: %zu lines, code %d",
				rows[i].request,
				b.count,
				(int)number_at(&b, 0, "code"));
		assert_failed(&b, rows[i].code);
	}
	/* Nothing of it was done. */
	ask(&b, "{\"do\":\"list\"}");
	assert_ended(&b, 2);
	close_bench(&b);
}

static void reload(void *arg, struct observe_reload *waiter)
{
	const int *rc = arg;

	waiter->done(waiter, *rc, SV("postern.yaml:1:1: warning: one\npostern.yaml:2:1: two\n"));
}

static void a_reload_tells_its_findings(void **state)
{
	struct bench b;
	int rc = 0;

	(void)state;
	open_bench(&b);
	b.sources.reload = reload;
	b.sources.reload_arg = &rc;
	ask(&b, "{\"do\":\"reload\"}");
	assert_int_equal(b.count, 3);
	assert_string_equal(text_at(&b, 1, "finding"), "postern.yaml:2:1: two");
	assert_ended(&b, 0);
	rc = RC_CONFIG;
	ask(&b, "{\"do\":\"reload\"}");
	assert_int_equal(b.count, 3);
	assert_int_equal(number_at(&b, 2, "code"), EX_CONFIG);
	close_bench(&b);
}

/* ---- many ---- */

static struct conf *many_mailboxes(size_t count)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(1 << 20);
	struct conf_findings f;
	struct conf *c;

	must(buf_append(&text, SV("hostname: relay.example.com\nconnectors:\n")) == 0);
	for (size_t i = 0; i < count; i++)
		must(buf_printf(&text, "  - { name: c%05zu, host: h }\n", count - i) == 0);
	must(buf_append(&text, SV("routes: [ { through: c00001 } ]\n")) == 0);
	c = conf_load_text(buf_sv(&text), &f);
	conf_findings_free(&f);
	must(c != NULL);
	return c;
}

struct others {
	struct io_loop *loop;
	struct io_task task;
	unsigned turns;
};

static void on_other(void *arg)
{
	struct others *o = arg;

	o->turns++;
	io_task_post(o->loop, &o->task);
}

/* Whatever the clock says, no slice has more than 2,000 steps: adding, taking, sorting and showing take turns. */
static void thousands_of_rows_leave_room_for_others(void **state)
{
	enum {
		COUNT = 2900
	};
	struct others o;
	struct bench b;

	(void)state;
	open_bench(&b);
	conf_unref(b.conf);
	b.conf = many_mailboxes(COUNT);
	o = (struct others){ .loop = b.loop, .task = { .run = on_other, .arg = &o } };
	io_task_post(b.loop, &o.task);
	ask(&b, "{\"do\":\"mailboxes\",\"sort\":\"name\"}");
	assert_ended(&b, COUNT);
	for (size_t i = 0; i < COUNT; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "c%05zu", i + 1);
		assert_string_equal(text_at(&b, i, "name"), name);
	}
	assert_true(o.turns > 10);
	o.turns = 0;
	ask(&b, "{\"do\":\"status\",\"lanes\":true}");
	assert_true(o.turns > 3);
	io_task_cancel(b.loop, &o.task);
	close_bench(&b);
}

struct stopper {
	struct io_loop *loop;
	struct io_task task;
	unsigned turns; /* left */
};

static void on_stopper(void *arg)
{
	struct stopper *s = arg;

	if (s->turns-- == 0)
		io_loop_stop(s->loop);
	else
		io_task_post(s->loop, &s->task);
}

/* Who goes in the middle of it takes everything along (the sanitizers would tell). */
static void a_query_may_be_freed_at_any_turn(void **state)
{
	static const char *const requests[] = { "{\"do\":\"status\",\"lanes\":true}",
		"{\"do\":\"mailboxes\"}",
		"{\"do\":\"list\",\"sort\":\"sender\"}",
		"{\"do\":\"summary\"}" };
	struct bench b;

	(void)state;
	open_bench(&b);
	conf_unref(b.conf);
	b.conf = many_mailboxes(1000);
	for (size_t i = 0; i < 20; i++)
		(void)put(&b, &mails[i % COUNT_OF(mails)]);
	for (size_t i = 0; i < COUNT_OF(requests) * 12; i++) {
		struct stopper stop = { .loop = b.loop,
			.turns = (unsigned)i / COUNT_OF(requests),
			.task = { .run = on_stopper, .arg = &stop } };
		struct observe_query *q = begin(&b, requests[i % COUNT_OF(requests)]);

		io_task_post(b.loop, &stop.task);
		io_loop_run(b.loop);
		io_task_cancel(b.loop, &stop.task);
		observe_query_free(q);
	}
	close_bench(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(thousands_of_rows_leave_room_for_others),
		cmocka_unit_test(a_query_may_be_freed_at_any_turn),
		cmocka_unit_test(each_filter_finds_its_rows),
		cmocka_unit_test(a_row_says_what_there_is_to_know),
		cmocka_unit_test(a_slow_reader_gets_a_page_at_a_time),
		cmocka_unit_test(a_query_may_be_freed_at_any_time),
		cmocka_unit_test(show_tells_the_whole_story),
		cmocka_unit_test(edits_change_what_the_filter_finds),
		cmocka_unit_test(summary_and_status_count_what_waits),
		cmocka_unit_test(a_report_counts_what_became_of_it),
		cmocka_unit_test(a_hold_of_a_sender_is_shown_everywhere),
		cmocka_unit_test(lists_come_in_the_order_asked_for),
		cmocka_unit_test(mailboxes_shows_those_without_mail),
		cmocka_unit_test(bad_requests_get_one_line_with_a_code),
		cmocka_unit_test(a_reload_tells_its_findings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
