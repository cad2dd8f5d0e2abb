/* SPDX-License-Identifier: Apache-2.0 */
#include "drop/options.h"

#include "cmocka_all.h"

enum {
	WORDS_MAX = 16
};

/* Splits at '|' so that rows stay one line; "~" stands for an empty word. */
static int parse(
	const char *line, char *storage, char **argv, struct drop_options *o, struct err *e)
{
	int argc = 0;
	struct sv rest = sv_from(line);
	bool more = true;

	while (more) {
		struct sv word;

		more = sv_cut_char(&rest, '|', &word);
		assert_true(argc < WORDS_MAX);
		argv[argc++] = storage;
		if (!sv_eq(word, SV("~"))) {
			memcpy(storage, word.ptr, word.len);
			storage += word.len;
		}
		*storage++ = '\0';
	}
	argv[argc] = NULL;
	return drop_options_parse(argc, argv, o, e);
}

struct good_row {
	const char *line;
	enum drop_mode mode;
	bool from_header, ignore_dots;
	const char *sender;
	const char *name;
	int operands_at;
};

static const struct good_row good_rows[] = {
	{ "sendmail|a@b", DROP_MODE_SUBMIT, false, false, NULL, NULL, 1 },
	{ "/usr/sbin/sendmail|-i|-FCronDaemon|-oi|-t",
		DROP_MODE_SUBMIT,
		true,
		true,
		NULL,
		"CronDaemon",
		5 },
	{ "sendmail|-ti", DROP_MODE_SUBMIT, true, true, NULL, NULL, 2 },
	{ "sendmail|-tif|root|x", DROP_MODE_SUBMIT, true, true, "root", NULL, 3 },
	{ "sendmail|-i|-froot@x.y|--|-x", DROP_MODE_SUBMIT, false, true, "root@x.y", NULL, 4 },
	{ "sendmail|-f|~|a", DROP_MODE_SUBMIT, false, false, "", NULL, 3 },
	{ "sendmail|-r|<>|a", DROP_MODE_SUBMIT, false, false, "<>", NULL, 3 },
	{ "sendmail|-oem|-o7|-odb|-oAx|-o|i|a", DROP_MODE_SUBMIT, false, true, NULL, NULL, 7 },
	{ "sendmail|-em|-Am|-Ac|-G|-U|-m|-v|-n|-bm|-h|3|a",
		DROP_MODE_SUBMIT,
		false,
		false,
		NULL,
		NULL,
		12 },
	{ "sendmail|-X|/etc/x|-C/etc/y|-L|tag|-O|IgnoreDots=0|a",
		DROP_MODE_SUBMIT,
		false,
		false,
		NULL,
		NULL,
		8 },
	{ "sendmail|-bp", DROP_MODE_MAILQ, false, false, NULL, NULL, 2 },
	{ "sendmail|-bi", DROP_MODE_NEWALIASES, false, false, NULL, NULL, 2 },
	{ "sendmail|-bs|-i", DROP_MODE_SMTP, false, true, NULL, NULL, 3 },
	{ "sendmail|-b|p", DROP_MODE_MAILQ, false, false, NULL, NULL, 3 },
	{ "sendmail|-I", DROP_MODE_NEWALIASES, false, false, NULL, NULL, 2 },
	{ "sendmail|-q", DROP_MODE_NOTHING, false, false, NULL, NULL, 2 },
	{ "sendmail|-q15m", DROP_MODE_NOTHING, false, false, NULL, NULL, 2 },
	{ "sendmail|-bH", DROP_MODE_NOTHING, false, false, NULL, NULL, 2 },
	{ "/usr/bin/mailq|-Ac|-v", DROP_MODE_MAILQ, false, false, NULL, NULL, 3 },
	{ "newaliases", DROP_MODE_NEWALIASES, false, false, NULL, NULL, 1 },
};

static bool same(struct sv got, const char *want)
{
	return sv_eq(got, sv_from(want));
}

static void what_programs_pass_is_understood(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(good_rows); i++) {
		const struct good_row *row = &good_rows[i];
		char storage[200];
		char *argv[WORDS_MAX + 1];
		struct drop_options o;
		struct err err = { 0 };

		if (parse(row->line, storage, argv, &o, &err) != 0)
			fail_msg("%s: %s", row->line, err.text);
		if (o.mode != row->mode || o.recipients_from_header != row->from_header ||
			o.ignore_dots != row->ignore_dots || o.operands_at != row->operands_at ||
			o.sender_given != (row->sender != NULL) || !same(o.sender, row->sender) ||
			!same(o.name, row->name))
			fail_msg("%s: misread", row->line);
	}
}

struct bad_row {
	const char *line;
	const char *why;
};

static const struct bad_row bad_rows[] = {
	{ "sendmail|-Z", "-Z" },
	{ "sendmail|-tZ", "-Z" },
	{ "sendmail|--frobnicate", "--frobnicate" },
	{ "sendmail|-f", "-f needs a value" },
	{ "sendmail|-N|sometimes", "-N wants" },
	{ "sendmail|-Nnever,delay", "-N wants" },
	{ "sendmail|-R|all", "-R wants" },
	{ "sendmail|-B|BINARYMIME", "-B wants" },
	{ "sendmail|-V|~", "-V needs" },
	{ "sendmail|-V|a\nb", "-V wants" },
	{ "sendmail|-V|+++++++++++++++++++++++++++++++++++", "-V wants" },
	{ "sendmail|-o|~", "-o needs" },
	{ "sendmail|-b|~", "-b needs" },
	{ "sendmail|-bd", "postern serve" },
	{ "sendmail|-bt", "-bt" },
	{ "sendmail|a@b|-f|c@d", "'-f' stands behind" },
	{ "mailq|-Z", "-Z" },
};

static void what_is_wrong_is_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad_rows); i++) {
		const struct bad_row *row = &bad_rows[i];
		char storage[200];
		char *argv[WORDS_MAX + 1];
		struct drop_options o;
		struct err err = { 0 };
		int rc = parse(row->line, storage, argv, &o, &err);

		if (rc != RC_PARSE || !strstr(err.text, row->why))
			fail_msg("%s: %d, %s", row->line, rc, err.text);
	}
}

static void delivery_notices_are_taken_as_wished(void **state)
{
	char storage[200];
	char *argv[WORDS_MAX + 1];
	struct drop_options o;

	(void)state;
	assert_int_equal(parse("sendmail|-N|success,delay|-Rhdrs|-V|x y|-B8bitmime|-v|a@b",
				 storage,
				 argv,
				 &o,
				 NULL),
		0);
	assert_int_equal(o.notify, DSN_NOTIFY_SUCCESS | DSN_NOTIFY_DELAY);
	assert_int_equal(o.ret, DSN_RET_HDRS);
	assert_true(same(o.envid, "x y"));
	assert_true(o.body_8bit);
	assert_true(o.verbose);
}

static void no_arguments_at_all_do_no_harm(void **state)
{
	char *argv[] = { NULL };
	struct drop_options o;

	(void)state;
	assert_int_equal(drop_options_parse(0, argv, &o, NULL), 0);
	assert_int_equal(o.operands_at, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_programs_pass_is_understood),
		cmocka_unit_test(what_is_wrong_is_named),
		cmocka_unit_test(delivery_notices_are_taken_as_wished),
		cmocka_unit_test(no_arguments_at_all_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
