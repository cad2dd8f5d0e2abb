/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/own_words.h"

#include "provider/reply_priv.h"

#include <stdio.h>
#include <string.h>

#include "cmocka_all.h"

/* What a server says, and what it only repeats of the message. */

static const struct provider_own nothing;

static bool says(const char *text, const char *pattern)
{
	return provider_says(sv_from(text), sv_from(pattern), false, &nothing);
}

static void what_a_server_marks_as_repeated_is_not_its_own(void **state)
{
	(void)state;
	assert_true(says("SC-001 (BAY) Unfortunately, messages", "SC-001"));
	assert_true(says("Refused: SC-001", "sc-001"));
	assert_false(says("<SC-001@example.org>: User unknown", "SC-001"));
	assert_false(says("\"SC-001\"@example.org: User unknown", "SC-001"));
	assert_false(says("\"a\"@SC-001.example: User unknown", "SC-001"));
	assert_false(says("User SC-001@example.org unknown", "SC-001"));
	assert_false(says("[SC-001@example.org] unknown", "SC-001"));
	assert_false(says("\"a\\\" SC-001\" unknown", "SC-001"));
	assert_false(says("Spam: subject SC-001", "SC-001"));
	assert_false(says("Spam: Subject: now SC-001", "SC-001"));
	assert_false(says("Invalid header field SC-001", "SC-001"));
	/* It says so itself elsewhere. */
	assert_true(says("<SC-001@example.org>: SC-001 applies", "SC-001"));
	assert_true(says("mail is subject to SC-001", "SC-001"));
	/* A mark that nothing closes marks nothing. */
	assert_true(says("5\" and SC-001", "SC-001"));
	assert_true(says("1 < 2 and SC-001", "SC-001"));
	assert_true(says("any", ""));
}

static bool says_to(const char *text, const char *pattern, const char *word, bool first)
{
	const struct sv words[] = { SV("mail.contoso.com"), sv_from(word) };
	const struct provider_own own = { words, COUNT_OF(words) };

	return provider_says(sv_from(text), sv_from(pattern), first, &own);
}

static void words_of_the_message_are_known_without_a_mark(void **state)
{
	(void)state;
	assert_false(says_to("User SC-001 unknown", "SC-001", "sc-001", false));
	assert_false(says_to("Refused DMARC news for May", "DMARC", "DMARC news for May", false));
	assert_false(
		says_to("relay access denied", "relay access denied", "Relay access denied", true));
	/* A server that cuts what it repeats. */
	assert_false(says_to("We dislike: all about DMA", "DMA", "all about DMA and more", false));
	/* The same word in the subject is no reason to be deaf. */
	assert_true(says_to("refused by the DMARC policy", "DMARC", "Report: DMARC weekly", false));
	assert_true(says_to("relay access denied", "relay access denied", "relay", false));
	assert_true(says_to("Unable to relay", "Unable to relay", "x", true));
	assert_false(says_to("x: Unable to relay", "Unable to relay", "y", true));
	/* Its own words, beside those of the message. */
	assert_true(says_to("SC-001@a: SC-001 applies", "SC-001", "SC-001@a", false));
}

/* However much stands there, it ends soon; what is too much counts as repeated. */
static void the_work_is_bounded(void **state)
{
	static char text[70000], word[70000];
	struct sv words[100];
	struct provider_own own = { words, COUNT_OF(words) };

	(void)state;
	memset(text, 'a', sizeof(text));
	memset(word, 'a', sizeof(word));
	for (size_t i = 0; i < COUNT_OF(words); i++)
		words[i] = sv_make(word, sizeof(word));
	for (unsigned i = 0; i < 1000; i++)
		assert_false(provider_says(sv_make(text, sizeof(text)), SV("aaaa"), false, &own));
	memset(text, '"', sizeof(text));
	(void)snprintf(text + 5000, 8, "SC-001");
	assert_false(provider_says(sv_make(text, sizeof(text)), SV("SC-001"), false, &own));
}

/* ---- over the whole catalogue ---- */

struct frame {
	uint16_t code;
	const char *enhanced, *text;
	bool bare; /* nothing marks the words: they must be known */
};

static const struct frame frames[] = {
	{ 550,
		"5.1.10",
		"RESOLVER.ADR.RecipientNotFound; Recipient \"%s\"@contoso.com not found",
		false },
	{ 550, "5.4.1", "Recipient address rejected: Access denied. [\"%s\"@contoso.com]", false },
	{ 550, "5.1.1", "<\"%s\"@example.org>: Recipient address rejected: User unknown", false },
	{ 554,
		"5.2.252",
		"SendAsDenied; erp@contoso.com not allowed to send as \"%s\"@contoso.com",
		false },
	{ 501, "5.1.3", "Invalid address \"%s\"", false },
	{ 550, "5.7.1", "Message contains spam: subject %s", false },
	{ 554, "5.6.0", "Invalid header field %s", false },
	{ 451, "4.7.0", "Temporary server error. <\"%s\"@x.org>", false },
	{ 550, "", "<\"%s\"@example.org> unknown user", false },
	{ 451, "", "<\"%s\"@example.org> try later", false },
	{ 550, "5.1.1", "User %s does not exist here", true },
	{ 550, "", "%s is nobody here", true },
	{ 550, "5.7.1", "We do not like %s", true },
	{ 554, "5.7.1", "%s: refused", true },
	{ 451, "4.3.0", "Later, please, %s", true },
	{ 421, "", "Cannot talk to %s now", true },
	{ 432, "4.3.2", "Not now, %s", true },
};

static struct verdict judge(const struct frame *f, enum provider_kind provider,
	enum smtp_client_stage stage, const char *word)
{
	char text[600];
	const struct sv words[] = { sv_from(word) };
	struct smtp_reply reply = { .code = f->code };
	const struct provider_answer answer = {
		.provider = provider, .stage = stage, .reply = &reply, .own = { words, f->bare }
	};
	const char *at = strstr(f->text, "%s");

	(void)snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - f->text), f->text, word, at + 2);
	(void)snprintf(reply.enhanced, sizeof(reply.enhanced), "%s", f->enhanced);
	reply.text = sv_from(text);
	return provider_judge(&answer);
}

static unsigned changes(const struct frame *f, enum provider_kind provider,
	enum smtp_client_stage stage, unsigned *tries)
{
	const struct verdict base = judge(f, provider, stage, "john");
	unsigned changed = 0;

	for (size_t i = 0; i < provider_rows_count; i++) {
		const char *words = provider_rows[i].on.text;
		struct verdict v;

		if (!words || strlen(words) > 200)
			continue;
		v = judge(f, provider, stage, words + (words[0] == '^'));
		++*tries;
		if (v.kind != base.kind || v.scope != base.scope || v.nature != base.nature) {
			changed++;
			print_message("%s %u %s, stage %d: \"%s\"\n",
				provider_name(provider),
				f->code,
				f->enhanced,
				(int)stage,
				words);
		}
	}
	return changed;
}

/* No word of a sender, however a server repeats it, changes what becomes of his message. */
static void no_word_of_a_message_chooses_its_verdict(void **state)
{
	static const enum smtp_client_stage stages[] = { SMTP_CLIENT_STAGE_MAIL,
		SMTP_CLIENT_STAGE_RCPT,
		SMTP_CLIENT_STAGE_DATA,
		SMTP_CLIENT_STAGE_DOT };
	unsigned changed = 0, tries = 0;

	(void)state;
	for (size_t f = 0; f < COUNT_OF(frames); f++)
		for (unsigned p = 0; p < PROVIDER_COUNT; p++)
			for (size_t s = 0; p != PROVIDER_GRAPH && s < COUNT_OF(stages); s++)
				changed += changes(&frames[f], p, stages[s], &tries);
	assert_true(tries > 40000);
	assert_int_equal(changed, 0);
}

/* ---- how far a verdict reaches ---- */

static struct verdict heard(enum provider_kind provider, enum smtp_client_stage stage,
	uint16_t code, const char *enhanced, const char *text)
{
	struct smtp_reply reply = { .code = code, .text = sv_from(text) };
	const struct provider_answer answer = {
		.provider = provider, .stage = stage, .reply = &reply
	};

	(void)snprintf(reply.enhanced, sizeof(reply.enhanced), "%s", enhanced);
	return provider_judge(&answer);
}

static void free_text_speaks_of_the_message_alone(void **state)
{
	const enum smtp_client_stage rcpt = SMTP_CLIENT_STAGE_RCPT, dot = SMTP_CLIENT_STAGE_DOT;
	struct verdict v;

	(void)state;
	v = heard(PROVIDER_SMTP, rcpt, 550, "5.1.1", "No such user; host blocked using a list");
	assert_int_equal(v.kind, VERDICT_PARK);
	assert_int_equal(v.scope, VERDICT_SCOPE_RECIPIENT);
	assert_int_equal(v.nature, VERDICT_NATURE_OTHER);
	v = heard(PROVIDER_SMTP, dot, 554, "", "Not taken: blocked using a list");
	assert_int_equal(v.scope, VERDICT_SCOPE_MESSAGE);
	/* A status about who may do what, words that begin the reply, a number of its own. */
	v = heard(
		PROVIDER_SMTP, rcpt, 554, "5.7.1", "Client host [192.0.2.1] blocked using a list");
	assert_int_equal(v.scope, VERDICT_SCOPE_ROUTE);
	assert_int_equal(v.nature, VERDICT_NATURE_REPUTATION);
	v = heard(PROVIDER_SMTP, rcpt, 550, "", "SC-001 (BAY) Unfortunately, messages from here");
	assert_int_equal(v.scope, VERDICT_SCOPE_ROUTE);
	v = heard(PROVIDER_SUBMISSION, dot, 550, "5.7.705", "Access denied");
	assert_int_equal(v.scope, VERDICT_SCOPE_TENANT);
	assert_false(v.proved);
}

static void a_limit_of_the_service_proves_itself(void **state)
{
	static const struct {
		enum provider_kind provider;
		uint16_t code;
		const char *enhanced, *text;
		bool proved;
	} rows[] = {
		{ PROVIDER_SUBMISSION,
			432,
			"4.3.2",
			"STOREDRV.ClientSubmit; sender thread limit exceeded",
			true },
		{ PROVIDER_SUBMISSION,
			432,
			"4.3.2",
			"Concurrent connections limit exceeded",
			true },
		{ PROVIDER_SUBMISSION,
			554,
			"5.2.0",
			"STOREDRV.Submission.Exception:SubmissionQuotaExceededException",
			true },
		{ PROVIDER_SUBMISSION,
			550,
			"5.1.90",
			"Your message can't be sent because you've reached your daily limit for "
			"message recipients",
			true },
		{ PROVIDER_SUBMISSION, 550, "5.7.233", "tenant threshold", true },
		{ PROVIDER_GMAIL, 550, "5.4.5", "Daily user sending limit exceeded", true },
		/* Anybody's server may say it for any reason. */
		{ PROVIDER_SMTP, 550, "5.1.90", "daily limit for message recipients", false },
		{ PROVIDER_SUBMISSION, 554, "5.2.2", "mailbox full", false },
		{ PROVIDER_SUBMISSION, 550, "5.7.501", "Access denied", false },
		{ PROVIDER_SUBMISSION, 451, "4.7.500", "Server busy", false },
		{ PROVIDER_SUBMISSION, 550, "5.7.60", "SendAsDenied", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct verdict v = heard(rows[i].provider,
			SMTP_CLIENT_STAGE_DOT,
			rows[i].code,
			rows[i].enhanced,
			rows[i].text);

		if (v.proved != rows[i].proved)
			fail_msg("%u %s: %s", rows[i].code, rows[i].enhanced, rows[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_server_marks_as_repeated_is_not_its_own),
		cmocka_unit_test(words_of_the_message_are_known_without_a_mark),
		cmocka_unit_test(the_work_is_bounded),
		cmocka_unit_test(no_word_of_a_message_chooses_its_verdict),
		cmocka_unit_test(free_text_speaks_of_the_message_alone),
		cmocka_unit_test(a_limit_of_the_service_proves_itself),
	};

	return cmocka_run_group_tests_name("own_words", tests, NULL, NULL);
}
