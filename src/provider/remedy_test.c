/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "cmocka_all.h"
#include "provider/explain.h"
#include "provider/remedy_priv.h"
#include "provider/reply.h"

#include <ctype.h>
#include <errno.h>

enum {
	CAUSES_MAX = 400
};

struct causes {
	const char *of[CAUSES_MAX];
	size_t count;
};

static void note(struct causes *c, const char *cause)
{
	for (size_t i = 0; i < c->count; i++)
		if (strcmp(c->of[i], cause) == 0)
			return;
	assert_in_range(c->count, 0, CAUSES_MAX - 1);
	c->of[c->count++] = cause;
}

static void note_row(void *arg, const struct provider_catalogue_row *row)
{
	if (!provider_remedy(row->cause))
		fail_msg("%s %s: the cause %s has no remedy", row->reply, row->text, row->cause);
	assert_non_null(row->source);
	assert_int_equal(strlen(row->checked), strlen("2026-11-23"));
	note(arg, row->cause);
}

/* Verdicts that no row of the catalogue gives: failures without a reply, unknown replies. */
static void note_the_rest(struct causes *c)
{
	static const int errors[] = { RC_DNS,
		RC_NO_NAME,
		RC_TLS,
		RC_TIMEOUT,
		-ECONNREFUSED,
		-EHOSTUNREACH,
		-ECONNRESET,
		-EACCES,
		-EIO };
	static const struct {
		uint16_t code;
		enum smtp_client_stage stage;
	} replies[] = {
		{ 250, SMTP_CLIENT_STAGE_DOT },
		{ 250, SMTP_CLIENT_STAGE_DATA },
		{ 499, SMTP_CLIENT_STAGE_DOT },
		{ 599, SMTP_CLIENT_STAGE_DOT },
		{ 599, SMTP_CLIENT_STAGE_EHLO },
	};
	static const unsigned statuses[] = { 0, 200, 202, 444 };

	for (size_t i = 0; i < COUNT_OF(errors); i++)
		note(c, provider_judge_network(PROVIDER_SUBMISSION, errors[i]).cause);
	for (int f = 0; f < SMTP_CLIENT_FAIL_COUNT; f++)
		if (f != SMTP_CLIENT_FAIL_REPLY)
			note(c,
				provider_judge_failure(PROVIDER_SUBMISSION,
					SMTP_CLIENT_STAGE_AUTH,
					(enum smtp_client_failure)f)
					.cause);
	for (size_t i = 0; i < COUNT_OF(replies); i++) {
		struct smtp_reply reply = { .code = replies[i].code };
		struct provider_answer answer = { .stage = replies[i].stage, .reply = &reply };

		note(c, provider_judge(&answer).cause);
	}
	for (size_t i = 0; i < COUNT_OF(statuses); i++) {
		struct provider_http_answer answer = { .status = statuses[i] };

		note(c, provider_judge_token(&answer).cause);
		note(c, provider_judge_graph(&answer).cause);
	}
}

static bool is_noted(const struct causes *c, const char *cause)
{
	for (size_t i = 0; i < c->count; i++)
		if (strcmp(c->of[i], cause) == 0)
			return true;
	return false;
}

static void check_remedy(const struct provider_remedy *r)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(8192);
	static const struct provider_facts none;

	assert_true(r->owner < PROVIDER_OWNER_COUNT);
	assert_in_range(strlen(r->title), 10, 80);
	assert_true(isupper((unsigned char)r->title[0]));
	assert_true(r->title[strlen(r->title) - 1] != '.');
	assert_non_null(r->steps[0]);
	assert_true(strncmp(r->link, "https://", 8) == 0 || strncmp(r->link, "RFC ", 4) == 0);
	for (size_t i = 0; i < PROVIDER_STEPS_MAX; i++) {
		if (r->steps[i])
			assert_int_equal(provider_remedy_fill(r->steps[i], &none, &text), 0);
		if (r->powershell[i])
			assert_int_equal(provider_remedy_fill(r->powershell[i], &none, &text), 0);
	}
	assert_int_equal(sv_find_char(buf_sv(&text), '{'), -1);
}

static void test_every_cause_has_a_remedy_and_every_remedy_a_cause(void **state)
{
	struct causes causes = { 0 };

	(void)state;
	provider_catalogue_each(note_row, &causes);
	note_the_rest(&causes);
	for (size_t i = 0; i < causes.count; i++)
		if (!provider_remedy(causes.of[i]))
			fail_msg("the cause %s has no remedy", causes.of[i]);
	for (size_t t = 0; t < PROVIDER_REMEDY_TABLES; t++) {
		for (size_t i = 0; i < provider_remedy_tables[t]->count; i++) {
			const struct provider_remedy *r = &provider_remedy_tables[t]->rows[i];

			if (!is_noted(&causes, r->cause))
				fail_msg("no reply has the cause %s", r->cause);
			if (provider_remedy(r->cause) != r)
				fail_msg("%s has two remedies", r->cause);
			check_remedy(r);
		}
	}
	assert_null(provider_remedy("no-such-cause"));
	assert_null(provider_remedy(NULL));
}

static void test_places_take_plain_values_only(void **state)
{
	static const struct {
		struct sv mailbox;
		const char *out;
	} rows[] = {
		{ SV_INIT("erp@contoso.com"), "Get-Mailbox erp@contoso.com!" },
		{ SV_INIT(""), "Get-Mailbox MAILBOX!" },
		{ SV_INIT("a;Remove-Mailbox b"), "Get-Mailbox MAILBOX!" },
		{ SV_INIT("a'b@c.d"), "Get-Mailbox MAILBOX!" },
		{ SV_INIT("-Force"), "Get-Mailbox MAILBOX!" },
		{ SV_INIT("$(x)@c.d"), "Get-Mailbox MAILBOX!" },
		{ SV_INIT("a\n@c.d"), "Get-Mailbox MAILBOX!" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(buf_deinitp) struct buf text = BUF_INIT(100);
		struct provider_facts facts = { .mailbox = rows[i].mailbox };

		assert_int_equal(provider_remedy_fill("Get-Mailbox {mailbox}!", &facts, &text), 0);
		assert_true(sv_eq(buf_sv(&text), sv_from(rows[i].out)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_cause_has_a_remedy_and_every_remedy_a_cause),
		cmocka_unit_test(test_places_take_plain_values_only),
	};

	return cmocka_run_group_tests_name("provider/remedy", tests, NULL, NULL);
}
