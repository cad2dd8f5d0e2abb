/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/model.h"

#include "base/must.h"
#include "base/time.h"
#include "sandbox/fault.h"
#include "sandbox/messages.h"

#include "cmocka_all.h"

static struct sandbox_model *new_model(void)
{
	struct sandbox_model *m = sandbox_model_new();

	sandbox_model_set_open_password(m, SV("secret"));
	return m;
}

static uint16_t submit(
	struct sandbox_model *m, struct sandbox_mailbox *b, uint64_t now_us, uint32_t rcpts)
{
	struct sandbox_reply reply;
	struct sandbox_submission s = {
		.mailbox = b,
		.sender = sv_from(b->address),
		.recipients = rcpts,
		.bytes = 1000,
		.now_us = now_us,
	};

	sandbox_model_submit(m, &s, &reply);
	return reply.code;
}

static void signs_in_by_the_switches(void **state)
{
	static const struct {
		const char *name;
		bool tenant, basic, defaults, token;
		enum sandbox_switch mailbox;
		uint16_t code;
		const char *text;
	} rows[] = {
		{ "all on", true, true, false, false, SANDBOX_INHERIT, 235, "successful" },
		{ "tenant off",
			false,
			true,
			false,
			false,
			SANDBOX_INHERIT,
			535,
			"disabled for the Tenant" },
		{ "tenant off, mailbox on",
			false,
			true,
			false,
			false,
			SANDBOX_ON,
			235,
			"successful" },
		{ "mailbox off",
			true,
			true,
			false,
			false,
			SANDBOX_OFF,
			535,
			"disabled for the Mailbox" },
		{ "the switch gates tokens too",
			false,
			true,
			false,
			true,
			SANDBOX_INHERIT,
			535,
			"Tenant" },
		{ "basic off",
			true,
			false,
			false,
			false,
			SANDBOX_INHERIT,
			535,
			"basic authentication" },
		{ "basic off, token",
			true,
			false,
			false,
			true,
			SANDBOX_INHERIT,
			235,
			"successful" },
		{ "defaults", true, true, true, false, SANDBOX_INHERIT, 535, "security defaults" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct sandbox_model *m = new_model();
		struct sandbox_reply reply;

		sandbox_model_switches(m)->tenant_auth = rows[i].tenant;
		sandbox_model_switches(m)->basic_auth = rows[i].basic;
		sandbox_model_switches(m)->security_defaults = rows[i].defaults;
		sandbox_model_mailbox(m, SV("A@contoso.com"), true)->smtp_auth = rows[i].mailbox;
		if (rows[i].token)
			(void)sandbox_model_sign_in_token(m, SV("a@contoso.com"), true, &reply);
		else
			(void)sandbox_model_sign_in(m, SV("a@contoso.com"), SV("secret"), &reply);
		if (reply.code != rows[i].code || !strstr(reply.text, rows[i].text))
			fail_msg("%s: %u %s", rows[i].name, reply.code, reply.text);
		sandbox_model_free(m);
	}
}

static void wrong_password_is_refused(void **state)
{
	struct sandbox_model *m = new_model();
	struct sandbox_reply reply;

	(void)state;
	assert_null(sandbox_model_sign_in(m, SV("a@contoso.com"), SV("wrong"), &reply));
	assert_int_equal(reply.code, 535);
	assert_non_null(strstr(reply.text, "credentials were incorrect"));
	/* Nothing tells why a token was refused. */
	assert_null(sandbox_model_sign_in_token(m, SV("a@contoso.com"), false, &reply));
	assert_int_equal(reply.code, 535);
	assert_string_equal(reply.enhanced, "5.7.3");
	assert_string_equal(reply.text, "Authentication unsuccessful");
	assert_null(sandbox_model_mailbox(m, SV("a@contoso.com"), false));
	sandbox_model_free(m);
}

static void thirty_a_minute_slide(void **state)
{
	struct sandbox_model *m = new_model();
	struct sandbox_mailbox *b = sandbox_model_mailbox(m, SV("a@contoso.com"), true);

	(void)state;
	for (uint64_t i = 0; i < 30; i++)
		assert_int_equal(submit(m, b, i * US_PER_S, 1), 250);
	assert_int_equal(submit(m, b, 30 * US_PER_S, 1), 451);
	assert_int_equal(sandbox_model_violation_count(m), 1);
	assert_string_equal(sandbox_model_violation(m, 0)->limit, "messages-per-minute");
	assert_string_equal(sandbox_model_violation(m, 0)->mailbox, "a@contoso.com");
	/* The first slot is free again exactly a minute later, and only one. */
	assert_int_equal(submit(m, b, 60 * US_PER_S, 1), 250);
	assert_int_equal(submit(m, b, 60 * US_PER_S, 1), 451);
	sandbox_model_free(m);
}

static void recipients_of_a_day_slide(void **state)
{
	struct sandbox_model *m = new_model();
	struct sandbox_mailbox *b = sandbox_model_mailbox(m, SV("a@contoso.com"), true);

	(void)state;
	for (uint64_t i = 0; i < 20; i++)
		assert_int_equal(submit(m, b, i * US_PER_MIN, 500), 250);
	assert_int_equal(submit(m, b, 30 * US_PER_MIN, 1), 554);
	assert_string_equal(sandbox_model_violation(m, 0)->limit, "recipients-per-day");
	assert_int_equal(submit(m, b, US_PER_DAY, 500), 250);
	assert_int_equal(submit(m, b, US_PER_DAY, 1), 554);
	sandbox_model_free(m);
}

static void connections_and_sizes_count(void **state)
{
	struct sandbox_model *m = new_model();
	struct sandbox_mailbox *b = sandbox_model_mailbox(m, SV("a@contoso.com"), true);

	(void)state;
	b->sending = 4;
	assert_int_equal(submit(m, b, 1, 1), 432);
	b->sending = 3;
	assert_int_equal(submit(m, b, 1, 1), 250);
	assert_int_equal(submit(m, b, 1, 501), 550);
	sandbox_model_limits(m)->message_bytes_max = 999;
	assert_int_equal(submit(m, b, 1, 1), 552);
	sandbox_model_free(m);
}

static void repeated_send_as_refusals_block_the_mailbox(void **state)
{
	struct sandbox_model *m = new_model();
	struct sandbox_mailbox *b = sandbox_model_mailbox(m, SV("a@contoso.com"), true);
	struct sandbox_reply reply;
	struct sandbox_submission s = {
		.mailbox = b,
		.sender = SV_INIT("other@contoso.com"),
		.from = SV_INIT("other@contoso.com"),
		.recipients = 1,
		.now_us = 1,
	};

	(void)state;
	for (int i = 0; i < 10; i++) {
		sandbox_model_submit(m, &s, &reply);
		assert_int_equal(reply.code, 554);
		assert_non_null(strstr(reply.text, "SendAsDenied"));
	}
	assert_int_equal(sandbox_model_violation_count(m), 0);
	assert_int_equal(submit(m, b, 2, 1), 550);
	assert_string_equal(sandbox_model_violation(m, 0)->limit, "send-as-refusals");
	sandbox_model_forget(m);
	sandbox_mailbox_allow_send_as(b, SV("*@contoso.com"));
	sandbox_model_submit(m, &s, &reply);
	assert_int_equal(reply.code, 250);
	sandbox_model_free(m);
}

static void faults_strike_as_often_as_told(void **state)
{
	struct sandbox_faults f = { 0 };
	struct err err = { 0 };
	json_t *spec = json_loads(
		"[{\"at\":\"dot\",\"do\":\"reply\",\"reply\":\"451 4.7.0 later\",\"times\":2},"
		"{\"at\":\"rcpt\",\"do\":\"cut\",\"match\":\"*@bad.example\"}]",
		0,
		NULL);
	json_t *wrong = json_loads("{\"at\":\"dot\",\"do\":\"reply\",\"reply\":\"99 x\"}", 0, NULL);
	const struct sandbox_fault *hit;

	(void)state;
	assert_int_equal(sandbox_faults_add(&f, spec, &err), 0);
	hit = sandbox_faults_strike(&f, SANDBOX_AT_DOT, SV("a@b.example"), 0);
	assert_non_null(hit);
	assert_int_equal(hit->code, 451);
	assert_string_equal(hit->enhanced, "4.7.0");
	assert_string_equal(hit->text, "later");
	assert_non_null(sandbox_faults_strike(&f, SANDBOX_AT_DOT, SV(""), 0));
	assert_null(sandbox_faults_strike(&f, SANDBOX_AT_DOT, SV(""), 0));
	assert_null(sandbox_faults_strike(&f, SANDBOX_AT_RCPT, SV("a@good.example"), 0));
	assert_non_null(sandbox_faults_strike(&f, SANDBOX_AT_RCPT, SV("a@bad.example"), 0));
	assert_int_equal(sandbox_faults_add(&f, wrong, &err), RC_PARSE);
	assert_int_equal(f.count, 2);
	json_decref(spec);
	json_decref(wrong);
	sandbox_faults_deinit(&f);
}

static struct sandbox_message *new_message(const char *id, const char *to, size_t len)
{
	struct sandbox_message *m = xcalloc(1, sizeof(*m));

	m->mailbox = sv_dup(SV(""));
	m->sender = sv_dup(SV("a@contoso.com"));
	m->message_id = sv_dup(sv_from(id));
	m->new_id = sv_dup(SV(""));
	m->subject = sv_dup(SV("Hello"));
	m->recipients = xcalloc(1, sizeof(char *));
	m->recipients[0] = sv_dup(sv_from(to));
	m->recipient_count = 1;
	m->raw = xcalloc(1, len);
	m->raw_len = len;
	return m;
}

static void messages_are_kept_within_bounds_and_copies_counted(void **state)
{
	struct sandbox_messages *m = sandbox_messages_new(2500);
	struct sandbox_message_filter to_c = { .to = SV_INIT("C@example.org") };

	(void)state;
	assert_int_equal(sandbox_messages_add(m, new_message("<1@x>", "b@example.org", 1000)), 1);
	assert_int_equal(sandbox_messages_add(m, new_message("<1@x>", "c@example.org", 1000)), 1);
	assert_int_equal(sandbox_messages_add(m, new_message("<1@x>", "c@example.org", 1000)), 2);
	assert_null(sandbox_messages_get(m, 1));
	assert_non_null(sandbox_messages_get(m, 2));
	assert_int_equal(sandbox_messages_duplicates(m), 1);
	assert_int_equal(sandbox_messages_next(m, 0, &to_c)->number, 2);
	assert_int_equal(sandbox_messages_next(m, 2, &to_c)->number, 3);
	assert_null(sandbox_messages_next(m, 3, &to_c));
	sandbox_messages_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signs_in_by_the_switches),
		cmocka_unit_test(wrong_password_is_refused),
		cmocka_unit_test(thirty_a_minute_slide),
		cmocka_unit_test(recipients_of_a_day_slide),
		cmocka_unit_test(connections_and_sizes_count),
		cmocka_unit_test(repeated_send_as_refusals_block_the_mailbox),
		cmocka_unit_test(faults_strike_as_often_as_told),
		cmocka_unit_test(messages_are_kept_within_bounds_and_copies_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
