/* SPDX-License-Identifier: Apache-2.0 */
#include "base/limits.h"
#include "base/must.h"
#include "smtp/client.h"

#include "cmocka_all.h"

/* Single steps where the moment matters; whole sessions are in client_test.c. */

static const struct mono_time start = { US_PER_HOUR };
static const struct smtp_client_recipient many[250] = { [0 ... 249] = {
								.address = SV_INIT("a@b") } };
static const struct smtp_client_message message = {
	.sender = SV_INIT("x@y"), .recipients = many, .recipient_count = 1, .size = 10
};

static struct mono_time after(uint64_t us)
{
	return mono_add(start, us);
}

static void feed(struct smtp_client *c, struct mono_time now, const char *text)
{
	smtp_client_feed(c, now, sv_from(text));
}

static struct smtp_client_event next(struct smtp_client *c)
{
	struct smtp_client_event e;

	assert_true(smtp_client_next(c, &e));
	return e;
}

static void assert_kind(struct smtp_client *c, enum smtp_client_event_kind kind)
{
	assert_int_equal(next(c).kind, kind);
}

static void assert_nothing(struct smtp_client *c)
{
	struct smtp_client_event e;

	assert_false(smtp_client_next(c, &e));
}

static void assert_failed(
	struct smtp_client *c, enum smtp_client_failure failure, enum smtp_client_stage stage)
{
	struct smtp_client_event e = next(c);

	assert_int_equal(e.kind, SMTP_CLIENT_EV_FAILED);
	assert_int_equal(e.failure, failure);
	assert_int_equal(e.stage, stage);
	assert_nothing(c);
}

static void drain(struct smtp_client *c, struct mono_time now)
{
	smtp_client_sent(c, now, smtp_client_output(c).len);
}

static void assert_output(struct smtp_client *c, const char *text)
{
	struct sv out = smtp_client_output(c);

	if (!sv_eq(out, sv_from(text)))
		fail_msg("got '%.*s', expected '%s'", SV_ARG(out), text);
	drain(c, start);
}

/* A session that is ready; `offers` are whole lines of the answer to EHLO. */
static struct smtp_client *ready(const char *offers)
{
	const struct smtp_client_options options = { .hostname = SV("relay.example") };
	struct smtp_client *c = smtp_client_new(&options);

	smtp_client_connected(c, start);
	feed(c, start, "220 hello\r\n");
	assert_output(c, "EHLO relay.example\r\n");
	feed(c, start, offers);
	assert_kind(c, SMTP_CLIENT_EV_READY);
	assert_nothing(c);
	return c;
}

#define PIPELINED "250-hello\r\n250 PIPELINING\r\n"

static struct smtp_client *at_body(void)
{
	struct smtp_client *c = ready(PIPELINED);

	smtp_client_send(c, start, &message);
	assert_output(c, "MAIL FROM:<x@y>\r\nRCPT TO:<a@b>\r\nDATA\r\n");
	feed(c, start, "250 ok\r\n250 ok\r\n354 go\r\n");
	assert_kind(c, SMTP_CLIENT_EV_RCPT);
	assert_kind(c, SMTP_CLIENT_EV_BODY);
	assert_nothing(c);
	return c;
}

/* ---- replies that are not due ---- */

static void a_reply_before_the_question_left_is_no_answer(void **state)
{
	const struct smtp_client_options options = { .hostname = SV("relay.example") };
	CLEANUP(smtp_client_freep) struct smtp_client *c = smtp_client_new(&options);

	(void)state;
	smtp_client_connected(c, start);
	feed(c, start, "220 hello\r\n250 PIPELINING\r\n");
	assert_failed(c, SMTP_CLIENT_FAIL_PROTOCOL, SMTP_CLIENT_STAGE_EHLO);
	assert_int_equal(smtp_client_output(c).len, 0);
}

static void bytes_behind_the_answer_to_starttls_end_the_session(void **state)
{
	static const char *const behind[][2] = {
		{ "220 go\r\n250 x\r\n", "" }, { "220 go\r\n2", "" }, { "220 go\r\n", "250 x\r\n" }
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(behind); i++) {
		const struct smtp_client_options options = { .hostname = SV("relay.example"),
			.tls = SMTP_CLIENT_TLS_REQUIRED };
		CLEANUP(smtp_client_freep) struct smtp_client *c = smtp_client_new(&options);
		struct smtp_client_event e;

		smtp_client_connected(c, start);
		feed(c, start, "220 hello\r\n");
		drain(c, start);
		feed(c, start, "250-hello\r\n250 STARTTLS\r\n");
		assert_output(c, "STARTTLS\r\n");
		feed(c, start, behind[i][0]);
		feed(c, start, behind[i][1]);
		e = next(c);
		if (e.kind == SMTP_CLIENT_EV_STARTTLS) {
			smtp_client_tls_started(c, start);
			e = next(c);
		}
		assert_int_equal(e.kind, SMTP_CLIENT_EV_FAILED);
		assert_int_equal(e.failure, SMTP_CLIENT_FAIL_PROTOCOL);
		assert_int_equal(smtp_client_output(c).len, 0);
	}
}

static void offers_made_in_the_clear_are_forgotten(void **state)
{
	const struct smtp_client_options options = { .hostname = SV("relay.example"),
		.tls = SMTP_CLIENT_TLS_REQUIRED };
	CLEANUP(smtp_client_freep) struct smtp_client *c = smtp_client_new(&options);

	(void)state;
	smtp_client_connected(c, start);
	feed(c, start, "220 hello\r\n");
	drain(c, start);
	feed(c, start, "250-hello\r\n250-PIPELINING\r\n250-SIZE 5\r\n250 STARTTLS\r\n");
	drain(c, start);
	feed(c, start, "220 go\r\n");
	assert_kind(c, SMTP_CLIENT_EV_STARTTLS);
	assert_int_equal(smtp_client_stage(c), SMTP_CLIENT_STAGE_STARTTLS);
	smtp_client_tls_started(c, start);
	assert_output(c, "EHLO relay.example\r\n");
	feed(c, start, "250-hello\r\n250 auth LOGIN  plain\r\n");
	assert_kind(c, SMTP_CLIENT_EV_READY);
	assert_false(smtp_client_offers(c)->pipelining);
	assert_false(smtp_client_offers(c)->size);
	assert_false(smtp_client_offers(c)->starttls);
	assert_true(smtp_client_offers(c)->auth_login);
	assert_true(smtp_client_offers(c)->auth_plain);
}

static void an_idle_server_may_leave_but_not_chat(void **state)
{
	static const struct {
		const char *reply;
		bool closed;
	} cases[] = { { "421 4.4.2 timeout\r\n", true },
		{ "451 4.7.0 Timeout waiting for client input\r\n", true },
		{ "250 ok\r\n", false },
		{ "550 no\r\n", false },
		{ "what\r\n", false } };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(smtp_client_freep) struct smtp_client *c = ready(PIPELINED);

		feed(c, start, cases[i].reply);
		if (cases[i].closed)
			assert_kind(c, SMTP_CLIENT_EV_CLOSED);
		else
			assert_failed(c, SMTP_CLIENT_FAIL_PROTOCOL, SMTP_CLIENT_STAGE_IDLE);
		assert_nothing(c);
	}
}

/* It came with the answer to the message before: it answers nothing of the next one. */
static void a_reply_too_many_is_not_taken_for_the_next_message(void **state)
{
	CLEANUP(smtp_client_freep) struct smtp_client *c = at_body();

	(void)state;
	smtp_client_body(c, start, SV("x\r\n"));
	smtp_client_body_end(c, start);
	drain(c, start);
	feed(c, start, "250 done\r\n250 ok\r\n");
	assert_kind(c, SMTP_CLIENT_EV_RESULT);
	assert_kind(c, SMTP_CLIENT_EV_READY);
	smtp_client_send(c, start, &message);
	assert_int_equal(smtp_client_output(c).len, 0);
	assert_failed(c, SMTP_CLIENT_FAIL_PROTOCOL, SMTP_CLIENT_STAGE_IDLE);
}

static void a_250_before_the_dot_has_left_is_no_delivery(void **state)
{
	CLEANUP(smtp_client_freep) struct smtp_client *c = at_body();
	struct smtp_client_event e;

	(void)state;
	smtp_client_body(c, start, SV("x\r\n"));
	smtp_client_body_end(c, start);
	smtp_client_sent(c, start, 2);
	feed(c, start, "250 done\r\n");
	e = next(c);
	assert_int_equal(e.kind, SMTP_CLIENT_EV_FAILED);
	assert_int_equal(e.failure, SMTP_CLIENT_FAIL_PROTOCOL);
	assert_true(e.uncertain);
}

static void an_early_refusal_ends_the_session_in_certainty(void **state)
{
	static const char *const refusals[] = {
		"421 4.3.2 bye\r\n", "451 4.3.0 x\r\n", "552 5.3.4 large\r\n"
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(refusals); i++) {
		CLEANUP(smtp_client_freep) struct smtp_client *c = at_body();
		struct smtp_client_event e;

		smtp_client_body(c, start, SV("x\r\n"));
		feed(c, start, refusals[i]);
		/* Too late: the owner has not seen it yet. */
		smtp_client_body(c, start, SV("y\r\n"));
		smtp_client_body_end(c, start);
		assert_int_equal(smtp_client_output(c).len, 0);
		e = next(c);
		assert_int_equal(e.kind, SMTP_CLIENT_EV_FAILED);
		assert_int_equal(e.failure, SMTP_CLIENT_FAIL_REPLY);
		assert_int_equal(e.stage, SMTP_CLIENT_STAGE_BODY);
		assert_int_equal(e.reply.code, i == 0 ? 421 : i == 1 ? 451 : 552);
		assert_false(e.uncertain);
		assert_nothing(c);
	}
}

static void a_250_while_the_body_leaves_is_an_error(void **state)
{
	CLEANUP(smtp_client_freep) struct smtp_client *c = at_body();

	(void)state;
	feed(c, start, "250 done\r\n");
	assert_failed(c, SMTP_CLIENT_FAIL_PROTOCOL, SMTP_CLIENT_STAGE_BODY);
}

/* ---- the end ---- */

static void replies_before_the_end_of_the_line_count(void **state)
{
	CLEANUP(smtp_client_freep) struct smtp_client *c = ready(PIPELINED);
	struct smtp_client_event e;

	(void)state;
	smtp_client_send(c, start, &message);
	drain(c, start);
	feed(c, start, "250 ok\r\n550 5.1.1 gone\r\n503 5.5.1 none\r\n421 bye\r\n");
	smtp_client_eof(c);
	assert_kind(c, SMTP_CLIENT_EV_RCPT);
	e = next(c);
	assert_int_equal(e.kind, SMTP_CLIENT_EV_RESULT);
	assert_int_equal(e.stage, SMTP_CLIENT_STAGE_RCPT);
	assert_int_equal(e.reply.code, 550);
	assert_true(sv_eq(e.reply.text, SV("gone")));
	assert_kind(c, SMTP_CLIENT_EV_READY);
	assert_kind(c, SMTP_CLIENT_EV_CLOSED);
	assert_nothing(c);
}

static void no_dot_is_released_on_a_line_known_to_be_dead(void **state)
{
	CLEANUP(smtp_client_freep) struct smtp_client *c = ready(PIPELINED);
	struct smtp_client_event e;

	(void)state;
	smtp_client_send(c, start, &message);
	drain(c, start);
	feed(c, start, "250 ok\r\n250 ok\r\n354 go\r\n");
	smtp_client_eof(c);
	assert_kind(c, SMTP_CLIENT_EV_RCPT);
	assert_kind(c, SMTP_CLIENT_EV_BODY);
	smtp_client_body(c, start, SV("x\r\n"));
	smtp_client_body_end(c, start);
	assert_int_equal(smtp_client_output(c).len, 0);
	e = next(c);
	assert_int_equal(e.kind, SMTP_CLIENT_EV_FAILED);
	assert_int_equal(e.stage, SMTP_CLIENT_STAGE_BODY);
	assert_false(e.uncertain);
}

static void an_abandoned_message_sends_nothing_more(void **state)
{
	CLEANUP(smtp_client_freep) struct smtp_client *c = at_body();

	(void)state;
	smtp_client_body(c, start, SV("half a mess"));
	smtp_client_abandon(c);
	assert_int_equal(smtp_client_output(c).len, 0);
	/* A write that was on its way comes back. */
	smtp_client_sent(c, start, 11);
	assert_kind(c, SMTP_CLIENT_EV_CLOSED);
	smtp_client_body_end(c, start);
	assert_int_equal(smtp_client_output(c).len, 0);
	assert_nothing(c);
}

/* ---- time ---- */

static void each_answer_gives_the_next_question_its_own_time(void **state)
{
	CLEANUP(smtp_client_freep) struct smtp_client *c = ready(PIPELINED);

	(void)state;
	assert_int_equal(smtp_client_deadline(c).us, MONO_NEVER.us);
	smtp_client_send(c, start, &message);
	drain(c, start);
	assert_int_equal(smtp_client_deadline(c).us, after(5 * US_PER_MIN).us);
	feed(c, after(4 * US_PER_MIN), "250 ok\r\n");
	assert_int_equal(smtp_client_deadline(c).us, after(9 * US_PER_MIN).us);
	/* Half a reply is no reply. */
	feed(c, after(8 * US_PER_MIN), "250-o");
	assert_int_equal(smtp_client_deadline(c).us, after(9 * US_PER_MIN).us);
	feed(c, after(8 * US_PER_MIN), "k\r\n250 k\r\n");
	assert_int_equal(smtp_client_deadline(c).us, after(10 * US_PER_MIN).us);
	assert_kind(c, SMTP_CLIENT_EV_RCPT);
	smtp_client_tick(c, after(10 * US_PER_MIN));
	assert_failed(c, SMTP_CLIENT_FAIL_TIMEOUT, SMTP_CLIENT_STAGE_DATA);
}

static void a_body_must_move_and_the_dot_has_ten_minutes(void **state)
{
	CLEANUP(smtp_client_freep) struct smtp_client *c = at_body();
	struct smtp_client_event e;

	(void)state;
	assert_int_equal(smtp_client_deadline(c).us, after(3 * US_PER_MIN).us);
	smtp_client_body(c, after(US_PER_MIN), SV("four"));
	assert_int_equal(smtp_client_deadline(c).us, after(4 * US_PER_MIN).us);
	/* Giving more is no progress while nothing leaves. */
	smtp_client_body(c, after(2 * US_PER_MIN), SV("more"));
	assert_int_equal(smtp_client_deadline(c).us, after(4 * US_PER_MIN).us);
	smtp_client_sent(c, after(2 * US_PER_MIN), 1);
	assert_int_equal(smtp_client_deadline(c).us, after(5 * US_PER_MIN).us);
	smtp_client_body_end(c, after(3 * US_PER_MIN));
	smtp_client_sent(c, after(4 * US_PER_MIN), 1);
	assert_int_equal(smtp_client_deadline(c).us, after(7 * US_PER_MIN).us);
	drain(c, after(6 * US_PER_MIN));
	assert_int_equal(smtp_client_deadline(c).us, after(16 * US_PER_MIN).us);
	smtp_client_tick(c, after(16 * US_PER_MIN));
	e = next(c);
	assert_int_equal(e.failure, SMTP_CLIENT_FAIL_TIMEOUT);
	assert_int_equal(e.stage, SMTP_CLIENT_STAGE_DOT);
	assert_true(e.uncertain);
}

/* ---- sizes ---- */

static void many_recipients_leave_in_windows(void **state)
{
	const struct smtp_client_message to_all = { .sender = SV("x@y"),
		.recipients = many,
		.recipient_count = COUNT_OF(many),
		.size = 10 };
	CLEANUP(smtp_client_freep) struct smtp_client *c = ready(PIPELINED);
	size_t outstanding = 0, answered = 0;

	(void)state;
	smtp_client_send(c, start, &to_all);
	while (answered < COUNT_OF(many) + 1) {
		struct sv out = smtp_client_output(c), line;
		struct smtp_client_event e;

		while (sv_cut_line(&out, &line))
			outstanding++;
		assert_true(outstanding <= 100);
		assert_true(outstanding > 0);
		drain(c, start);
		feed(c, start, "250 ok\r\n");
		outstanding--;
		answered++;
		while (smtp_client_next(c, &e))
			assert_int_equal(e.index, answered - 2);
	}
	feed(c, start, "354 go\r\n");
	assert_kind(c, SMTP_CLIENT_EV_BODY);
}

static void a_reply_larger_than_all_buffers_is_cut(void **state)
{
	CLEANUP(smtp_client_freep) struct smtp_client *c = at_body();
	struct buf flood = BUF_INIT(1 << 20);
	struct smtp_client_event e;

	(void)state;
	for (int i = 0; i < 20000; i++)
		assert_int_equal(
			buf_append(&flood, SV("554-STOREDRV.Submission.Exception\r\n")), 0);
	assert_int_equal(buf_append(&flood, SV("554 end\r\n")), 0);
	smtp_client_body_end(c, start);
	drain(c, start);
	smtp_client_feed(c, start, buf_sv(&flood));
	e = next(c);
	assert_int_equal(e.kind, SMTP_CLIENT_EV_RESULT);
	assert_int_equal(e.reply.code, 554);
	assert_int_equal(e.reply.text.len, LIMIT_REPLY);
	assert_kind(c, SMTP_CLIENT_EV_READY);
	buf_deinit(&flood);
}

static void a_flood_of_replies_ends_the_session(void **state)
{
	CLEANUP(smtp_client_freep) struct smtp_client *c = ready(PIPELINED);
	struct smtp_client_event e;
	size_t failed = 0;

	(void)state;
	smtp_client_send(c, start, &message);
	drain(c, start);
	for (int i = 0; i < 100000; i++)
		feed(c, start, "250 ok\r\n");
	while (smtp_client_next(c, &e))
		failed += e.kind == SMTP_CLIENT_EV_FAILED;
	assert_int_equal(failed, 1);
}

/* ---- secrets ---- */

static void passwords_do_not_stay_in_the_output(void **state)
{
	CLEANUP(secret_freep) struct secret *password = secret_new(SV("s3cret"));
	const struct smtp_client_options options = { .hostname = SV("relay.example"),
		.tls = SMTP_CLIENT_TLS_IMPLICIT,
		.login = SV("erp"),
		.password = password };
	CLEANUP(smtp_client_freep) struct smtp_client *c = smtp_client_new(&options);
	const char *at;

	(void)state;
	smtp_client_connected(c, start);
	feed(c, start, "220 hello\r\n");
	drain(c, start);
	feed(c, start, "250-hello\r\n250 AUTH PLAIN\r\n");
	at = smtp_client_output(c).ptr;
	assert_memory_equal(at, "AUTH PLAIN AGVycABzM2NyZXQ=\r\n", 29);
	smtp_client_sent(c, start, 12);
	smtp_client_sent(c, start, 17);
	/* The storage is kept for what follows: the same bytes are looked at. */
	for (int i = 0; i < 29; i++)
		assert_int_equal(at[i], 0);
}

/* ---- the body ---- */

static void assert_stuffed(struct sv body, size_t piece, struct sv expected)
{
	CLEANUP(smtp_client_freep) struct smtp_client *c = at_body();
	struct sv out;

	while (body.len) {
		smtp_client_body(c, start, sv_head(body, piece));
		body = sv_skip(body, piece);
	}
	smtp_client_body_end(c, start);
	out = smtp_client_output(c);
	if (!sv_eq(out, expected))
		fail_msg("pieces of %zu: got '%.*s', expected '%.*s'",
			piece,
			SV_ARG(out),
			SV_ARG(expected));
}

static void dots_are_doubled_however_the_body_is_cut(void **state)
{
	static const char *const bodies[][2] = {
		{ "", ".\r\n" },
		{ ".", "..\r\n.\r\n" },
		{ ".\r\n", "..\r\n.\r\n" },
		{ "a.b\r\n.c\r\n..\r\n\r\n.", "a.b\r\n..c\r\n...\r\n\r\n..\r\n.\r\n" },
		{ "\r\n.\r\n.\r\n", "\r\n..\r\n..\r\n.\r\n" },
		{ "a\n.b\r\n", "a\n..b\r\n.\r\n" },
		{ "end\r", "end\r\n.\r\n" },
		{ "end", "end\r\n.\r\n" },
		{ "x\r\n.\r\nMAIL FROM:<evil>\r\n", "x\r\n..\r\nMAIL FROM:<evil>\r\n.\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bodies); i++)
		for (size_t piece = 1; piece < 30; piece++)
			assert_stuffed(sv_from(bodies[i][0]), piece, sv_from(bodies[i][1]));
}

/* All that the owner may give at once when the output was empty. */
static void a_piece_of_dots_fits(void **state)
{
	CLEANUP(smtp_client_freep) struct smtp_client *c = at_body();
	static char dots[LIMIT_CHUNK];

	(void)state;
	for (size_t i = 0; i < sizeof(dots); i++)
		dots[i] = i % 2 ? '.' : '\n';
	smtp_client_body(c, start, sv_make(dots, sizeof(dots)));
	assert_int_equal(smtp_client_output(c).len, sizeof(dots) + sizeof(dots) / 2);
}

static void stages_have_words(void **state)
{
	(void)state;
	assert_string_equal(smtp_client_stage_text(SMTP_CLIENT_STAGE_CONNECT), "connecting");
	assert_string_equal(smtp_client_stage_text(SMTP_CLIENT_STAGE_RCPT), "sending RCPT TO");
	assert_string_equal(smtp_client_stage_text(SMTP_CLIENT_STAGE_QUIT), "sending QUIT");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_reply_before_the_question_left_is_no_answer),
		cmocka_unit_test(bytes_behind_the_answer_to_starttls_end_the_session),
		cmocka_unit_test(offers_made_in_the_clear_are_forgotten),
		cmocka_unit_test(an_idle_server_may_leave_but_not_chat),
		cmocka_unit_test(a_reply_too_many_is_not_taken_for_the_next_message),
		cmocka_unit_test(a_250_before_the_dot_has_left_is_no_delivery),
		cmocka_unit_test(an_early_refusal_ends_the_session_in_certainty),
		cmocka_unit_test(a_250_while_the_body_leaves_is_an_error),
		cmocka_unit_test(replies_before_the_end_of_the_line_count),
		cmocka_unit_test(no_dot_is_released_on_a_line_known_to_be_dead),
		cmocka_unit_test(an_abandoned_message_sends_nothing_more),
		cmocka_unit_test(each_answer_gives_the_next_question_its_own_time),
		cmocka_unit_test(a_body_must_move_and_the_dot_has_ten_minutes),
		cmocka_unit_test(many_recipients_leave_in_windows),
		cmocka_unit_test(a_reply_larger_than_all_buffers_is_cut),
		cmocka_unit_test(a_flood_of_replies_ends_the_session),
		cmocka_unit_test(passwords_do_not_stay_in_the_output),
		cmocka_unit_test(dots_are_doubled_however_the_body_is_cut),
		cmocka_unit_test(a_piece_of_dots_fits),
		cmocka_unit_test(stages_have_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
