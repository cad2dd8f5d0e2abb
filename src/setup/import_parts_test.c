/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "setup/import_priv.h"
#include "setup/postfix_queue.h"

#include "cmocka_all.h"

#include <stdio.h>

/* The parts of `import` that stand alone. */

static void test_patterns(void **state)
{
	static const struct {
		const char *expression, *patterns; /* with blanks between; "-": none; "ANY" */
		bool wider;
	} rows[] = {
		{ "^root@.*$", "root@*", false },
		{ ".*", "ANY", false },
		{ "^.+$", "ANY", false },
		{ "^.*@.*$", "ANY", false },
		{ "@contoso\\.com$", "*@contoso.com", false },
		{ "^(root|www-data)@relay[.]local$",
			"root@relay.local www-data@relay.local",
			false },
		{ "^root@example.com$", "root@example.com", false },
		{ "^(.*)@(.*)\\.local$", "*@*.local", false },
		{ "root", "*root*@* *@*root*", false },
		{ "^scan[0-9]+@contoso\\.com$", "scan*@contoso.com", true },
		{ "^colou?r@x\\.com$", "colour@x.com color@x.com", false },
		{ "^a\\1@x$", "a*@x", true },
		{ "^(?!root).*$", "-", false },
		{ "(((((((((a)))))))))", "-", false },
		{ "^[ab][ab][ab][ab][ab]@x$", "-", false },
		{ "*", "-", false },
		{ "[a", "-", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct import_patterns p;
		char got[IMPORT_PATTERNS_MAX * (IMPORT_PATTERN_BYTES + 1)] = "";
		int rc = import_address_patterns(sv_from(rows[i].expression), &p);
		size_t n = 0;

		for (size_t k = 0; k < p.count && rc == 0; k++)
			n += (size_t)snprintf(got + n,
				sizeof(got) - n,
				"%s%s",
				k ? " " : "",
				p.text[k][0] ? p.text[k] : "ANY");
		if (strcmp(rc == 0 ? got : "-", rows[i].patterns) != 0)
			fail_msg("%s gave %s", rows[i].expression, rc == 0 ? got : "-");
		if (rc == 0 && p.wider != rows[i].wider)
			fail_msg("%s: wider", rows[i].expression);
	}
}

static void test_networks(void **state)
{
	static const struct {
		const char *list, *open;
	} rows[] = {
		{ "10.0.0.0/8", "10.0.0.0/8" },
		{ "10.0.0.0/30 !10.0.0.1", "10.0.0.0 10.0.0.2/31" },
		/* An exclusion behind the network, too, and one that takes all. */
		{ "!10.0.0.0/8 10.1.0.0/16", "" },
		{ "10.1.0.0/16 !10.0.0.0/8", "" },
		{ "10.0.0.5/24", "10.0.0.0/24" },
		{ "[::1]/128 [::ffff:127.0.0.0]/104 127.0.0.0/8", "::1 127.0.0.0/8" },
		{ "[fd00::]/126 ![fd00::3]", "fd00::/127 fd00::2" },
		/* The whole internet stays closed. */
		{ "0.0.0.0/0 ::/0 10.0.0.1", "10.0.0.1" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct setup_import *im = xcalloc(1, sizeof(*im));
		struct import_networks *n = xcalloc(1, sizeof(*n));
		struct sv text = sv_from(rows[i].list), word;
		const struct sv *open;
		char got[500] = "";
		size_t count, at = 0;

		while ((word = import_word(&text)).len) {
			bool closed = sv_starts(word, SV("!"));

			assert_true(import_network(im, n, sv_skip(word, closed ? 1 : 0), closed));
		}
		open = import_networks_open(im, n, (struct import_place){ 0 }, &count);
		for (size_t k = 0; k < count; k++)
			at += (size_t)snprintf(got + at,
				sizeof(got) - at,
				"%s%.*s",
				k ? " " : "",
				SV_ARG(open[k]));
		assert_string_equal(got, rows[i].open);
		setup_import_deinit(im);
		free(im);
		free(n);
	}
}

static void test_tokens(void **state)
{
	static const char *const texts[] = {
		"{\"access_token\": \"a\", \"expiry\": \"1\", \"refresh_token\": "
		"\"0.Axx_refresh\"}",
		"{\"RefreshToken\": {\"x-y\": {\"secret\": \"0.Axx_refresh\", \"environment\": "
		"\"e\"}}}",
		"[{\"tokens\": {\"refreshToken\": \"0.Axx_refresh\"}}]",
		"# mine\nREFRESH_TOKEN='0.Axx_refresh'\n",
		"refresh_token: 0.Axx_refresh\nclient_id: x\n",
	};
	struct setup_import *im = xcalloc(1, sizeof(*im));
	struct import_token t = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		import_token_read(im, sv_from(texts[i]), &t);
		assert_non_null(t.refresh_token);
		assert_true(sv_eq(secret_reveal(t.refresh_token), SV("0.Axx_refresh")));
		import_token_deinit(&t);
	}
	/* A bare token; a sentence is none. */
	import_token_read(im, SV("0.AXkAxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n"), &t);
	assert_non_null(t.refresh_token);
	import_token_deinit(&t);
	import_token_read(
		im, SV("this is a text of more than forty characters, not a token\n"), &t);
	assert_null(t.refresh_token);
	import_token_deinit(&t);
	setup_import_deinit(im);
	free(im);
}

static void test_queue(void **state)
{
	static const char text[] =
		"*** ENVELOPE RECORDS q/deferred/0/0C979A72573 ***\n"
		"message_arrival_time: Mon Nov 30 03:03:12 2026\n"
		"named_attribute: envelope_id=abc\nnamed_attribute: ret_flags=2\n"
		"sender_fullname: root\nsender: erp@contoso.com\n"
		"done_recipient: done@example.org\n"
		"named_attribute: notify_flags=10\nrecipient: anna@example.org\n"
		"recipient: bob@example.org\nrecipient: not an address\n";
	struct arena arena = { 0 };
	struct setup_queued q;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(setup_queue_parse(&arena, sv_from(text), &q, &err), 0);
	assert_true(sv_eq(q.sender, SV("erp@contoso.com")) && sv_eq(q.envid, SV("abc")));
	assert_int_equal(q.ret, DSN_RET_HDRS);
	assert_int_equal(q.recipient_count, 2);
	assert_int_equal(q.recipients[0].notify, DSN_NOTIFY_SUCCESS | DSN_NOTIFY_DELAY);
	assert_int_equal(q.recipients[1].notify, 0);
	assert_int_equal(q.skipped, 1);
	assert_int_equal(setup_queue_parse(&arena, SV("recipient: a@b.c\n"), &q, &err), RC_PARSE);
	assert_int_equal(
		setup_queue_parse(&arena, SV("sender: \nrecipient: a@b.c\n"), &q, &err), 0);
	assert_int_equal(q.sender.len, 0);
	arena_reset(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_patterns),
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_queue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
