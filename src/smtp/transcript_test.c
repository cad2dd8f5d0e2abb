/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/transcript.h"

#include "base/limits.h"
#include "base/must.h"
#include "base/text.h"
#include "smtp/client.h"

#include "cmocka_all.h"

#define PASSWORD "hunter2-of-the-relay"
#define TOKEN "EwBAAl3BAAUFFpUAo7J3Ve0bjLBWZWCclRC3EoAA"

/* ---- the text ---- */

static void the_last_lines_are_kept(void **state)
{
	CLEANUP(buf_deinitp) struct buf out = BUF_INIT(LIMIT_TRANSCRIPT);
	const struct smtp_mask none = { .secret = SV("") };
	struct smtp_transcript t = { 0 };
	struct smtp_transcript_line line;
	char long_line[2000];
	struct sv text;
	unsigned i = 0;

	(void)state;
	memset(long_line, 'x', sizeof(long_line));
	for (; i < 1000; i++) {
		const struct mono_time now = { US_PER_HOUR + i * US_PER_S };

		smtp_transcript_add(&t,
			now,
			(enum smtp_transcript_side)(i % SMTP_TRANSCRIPT_SIDE_COUNT),
			i % 7 ? SV("a\tb\nc\r\x7f") : sv_make(long_line, sizeof(long_line)));
	}
	assert_int_equal(smtp_transcript_text(&t, &none, &out), 0);
	text = buf_sv(&out);
	for (i -= SMTP_TRANSCRIPT_LINES; smtp_transcript_next(&text, &line); i++) {
		assert_int_equal(line.ms, i * 1000);
		assert_int_equal(line.side, i % SMTP_TRANSCRIPT_SIDE_COUNT);
		if (i % 7)
			assert_true(sv_eq(line.text, SV("a b c  ")));
		else
			assert_int_equal(line.text.len, LIMIT_TRANSCRIPT_LINE);
	}
	assert_int_equal(i, 1000);
	smtp_transcript_reset(&t);
	assert_null(t.text.ptr);
}

static void what_is_no_line_is_skipped(void **state)
{
	struct sv text = SV("\nx\n1 ? y\n1 >\n-1 > z\n99 < fine\n7 > \nhalf");
	struct smtp_transcript_line line;

	(void)state;
	assert_true(smtp_transcript_next(&text, &line));
	assert_int_equal(line.ms, 99);
	assert_int_equal(line.side, SMTP_TRANSCRIPT_THEIRS);
	assert_true(sv_eq(line.text, SV("fine")));
	assert_true(smtp_transcript_next(&text, &line));
	assert_int_equal(line.text.len, 0);
	assert_false(smtp_transcript_next(&text, &line));
}

/* ---- of a session ---- */

/* What the server says, one behind the other; each is fed when everything of ours has left. */
struct dialogue {
	const char *name;
	bool is_token;
	const char *replies;  /* "" between two: the line is lost */
	const char *expected; /* the sides and texts */
};

static const struct dialogue dialogues[] = {
	{ .name = "LOGIN",
		.replies =
			"220 hello\r\n|250-host\r\n250 AUTH LOGIN PLAIN\r\n|334 VXNlcm5hbWU6\r\n|"
			"334 UGFzc3dvcmQ6\r\n|535 5.7.3 no '" PASSWORD "'\r\n",
		.expected =
			"< 220 hello\n> EHLO relay.example\n< 250-host\n< 250 AUTH LOGIN PLAIN\n"
			"> AUTH LOGIN\n< 334 [challenge]\n> [login]\n< 334 [challenge]\n"
			"> [secret]\n< 535 5.7.3 no '[secret]'\n" },
	/* \0erp\0PASSWORD */
	{ .name = "PLAIN, and the line comes back in two pieces",
		.replies = "220 hello\r\n|250-host\r\n250 AUTH PLAIN\r\n|"
			   "500-5.5.2 what is AUTH PLAIN AGVycABodW50ZX\r\n"
			   "500 5.5.2 IyLW9mLXRoZS1yZWxheQ==?\r\n",
		.expected = "< 220 hello\n> EHLO relay.example\n< 250-host\n< 250 AUTH PLAIN\n"
			    "> AUTH PLAIN [secret]\n"
			    "< 500-5.5.2 what is AUTH PLAIN [secret]\n< 500 5.5.2 [secret]?\n" },
	{ .name = "a token, and a challenge that has it",
		.is_token = true,
		.replies =
			"220 hello\r\n|250-host\r\n250 AUTH XOAUTH2\r\n|334 eyJhIjoi" TOKEN "\r\n|"
			"535 5.7.8 no " TOKEN "\r\n",
		.expected = "< 220 hello\n> EHLO relay.example\n< 250-host\n< 250 AUTH XOAUTH2\n"
			    "> AUTH XOAUTH2 [secret]\n< 334 [challenge]\n> [empty line]\n"
			    "< 535 5.7.8 no [secret]\n" },
	{ .name = "a message, and a server that says it all in the end",
		.replies =
			"220 hello\r\n|250-host\r\n250 AUTH PLAIN\r\n|235 you are " PASSWORD "\r\n|"
			"250 fine\r\n|250 fine\r\n|354 go\r\n|"
			"554 5.2.0 refused, and " PASSWORD " is known\r\n",
		.expected = "< 220 hello\n> EHLO relay.example\n< 250-host\n< 250 AUTH PLAIN\n"
			    "> AUTH PLAIN [secret]\n< 235 you are [secret]\n"
			    "> MAIL FROM:<a@x.example>\n< 250 fine\n> RCPT TO:<b@x.example>\n< 250 "
			    "fine\n"
			    "> DATA\n< 354 go\n> DATA: 1,213 bytes\n> .\n"
			    "< 554 5.2.0 refused, and [secret] is known\n" },
	{ .name = "no SMTP",
		.replies = "HTTP/1.1 400 " PASSWORD "\r\n",
		.expected = "< HTTP/1.1 400 [secret]\n"
			    "* this is not SMTP, or nobody had asked for it\n" },
	{ .name = "a line that is lost",
		.replies = "220 hello\r\n|",
		.expected = "< 220 hello\n> EHLO relay.example\n* the connection is gone\n" },
};

static void take_events(struct smtp_client *c, struct mono_time now)
{
	static const struct smtp_client_recipient to = { .address = SV_INIT("b@x.example") };
	static const struct smtp_client_message m = {
		.sender = SV_INIT("a@x.example"), .recipients = &to, .recipient_count = 1
	};
	char body[1213];
	struct smtp_client_event e;

	memset(body, 'x', sizeof(body));
	while (smtp_client_next(c, &e)) {
		if (e.kind == SMTP_CLIENT_EV_READY) {
			smtp_client_send(c, now, &m);
		} else if (e.kind == SMTP_CLIENT_EV_BODY) {
			smtp_client_body(c, now, sv_make(body, sizeof(body)));
			smtp_client_body_end(c, now);
		}
	}
}

static void assert_dialogue(const struct dialogue *d)
{
	CLEANUP(buf_deinitp) struct buf out = BUF_INIT(LIMIT_TRANSCRIPT), got = BUF_INIT(10000);
	CLEANUP(secret_freep)
	struct secret *secret = secret_new(sv_from(d->is_token ? TOKEN : PASSWORD));
	struct smtp_transcript t = { 0 };
	const struct smtp_client_options options = { .hostname = SV("relay.example"),
		.login = SV("erp"),
		.password = d->is_token ? NULL : secret,
		.token = d->is_token ? secret : NULL,
		.transcript = &t };
	struct smtp_client *c = smtp_client_new(&options);
	struct sv rest = sv_from(d->replies), reply, text;
	struct smtp_transcript_line line;
	struct mono_time now = { US_PER_HOUR };

	smtp_client_connected(c, now);
	while (rest.len) {
		(void)sv_cut_char(&rest, '|', &reply);
		now = mono_add(now, US_PER_S);
		smtp_client_feed(c, now, reply);
		take_events(c, now);
		smtp_client_sent(c, now, smtp_client_output(c).len);
	}
	smtp_client_eof(c);
	assert_int_equal(smtp_client_transcript(c, &out), 0);
	text = buf_sv(&out);
	while (smtp_transcript_next(&text, &line))
		must(buf_printf(&got, "%c %.*s\n", "><*"[line.side], SV_ARG(line.text)) == 0);
	if (!sv_starts(buf_sv(&got), sv_from(d->expected)))
		fail_msg("%s: %.*s", d->name, SV_ARG(buf_sv(&got)));
	smtp_client_free(c);
	smtp_transcript_reset(&t);
}

static void sessions_are_told_without_secrets(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(dialogues); i++)
		assert_dialogue(&dialogues[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_last_lines_are_kept),
		cmocka_unit_test(what_is_no_line_is_skipped),
		cmocka_unit_test(sessions_are_told_without_secrets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
