/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/server.h"

#include "base/limits.h"
#include "smtp/server_testing.h"

/* DATA and BDAT: what ends a message, what is refused, and that nothing inside of one is a command. */

#define QUEUED "250 2.0.0 Queued\r\n"
#define BARE "550 5.6.0 Message has a bare CR or LF (smuggling is not possible here)\r\n"
#define NUL "550 5.6.0 Message has a NUL byte\r\n"
#define TOO_LARGE "552 5.3.4 Message is larger than this listener takes\r\n"
#define SMUGGLED "MAIL FROM:<evil@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nboo\r\n.\r\n"

struct piece {
	const char *bytes;
	size_t len;
};
#define PIECE(literal)                          \
	{                                       \
		"" literal, sizeof(literal) - 1 \
	}

/* What somebody on the way may take for a line end, before and behind the dot. */
static const struct piece line_ends[] = {
	PIECE("\n"),
	PIECE("\r"),
	PIECE("\r\n"),
	PIECE("\r\r\n"),
	PIECE("\n\r"),
	PIECE("\n\n"),
	PIECE("\r\r"),
	PIECE("\n\r\n"),
	PIECE("\r\n\r"),
	PIECE("\r\n\n"),
	PIECE("\0"),
	PIECE("\0\n"),
	PIECE("\n\0"),
	PIECE("\r\0\n"),
	PIECE("\r\n\0"),
	PIECE("\0\r\n"),
	PIECE("\r\0"),
	PIECE(""),
	PIECE("\x0b"),
	PIECE("\x0c"),
	PIECE("\xc2\x85"),
	PIECE("\xe2\x80\xa8"),
};

static void put(struct buf *b, struct piece p)
{
	must(buf_append(b, sv_make(p.bytes, p.len)) == 0);
}

/* One message: taken whole, or refused whole; and no second MAIL. */
static void check_one_message(struct owner *o, struct sv talk, bool refused, size_t step)
{
	for (size_t used = 0; used < talk.len && o->closes == 0;) {
		size_t taken = owner_give(o, sv_head(sv_skip(talk, used), step));

		assert_true(taken > 0);
		used += taken;
	}
	if (o->mails != 1 || o->open ||
		refused != (sv_find(buf_sv(&o->said), SV("550 5.6.0 ")) >= 0))
		fail_msg("%.*s\n-- said\n%.*s-- events\n%.*s",
			SV_ARG(talk),
			SV_ARG(buf_sv(&o->said)),
			SV_ARG(buf_sv(&o->log)));
	assert_true(refused == (sv_find(buf_sv(&o->said), SV(QUEUED)) < 0));
	assert_true(sv_ends_nocase(
		buf_sv(&o->log), refused ? SV("RESET\nCLOSE bad-message\n") : SV("\r\n\n")));
}

static bool is_text(struct piece p)
{
	for (size_t i = 0; i < p.len; i++)
		if (p.bytes[i] == '\r' || p.bytes[i] == '\n' || p.bytes[i] == '\0')
			return false;
	return true;
}

static void no_end_of_data_variant_smuggles(void **state)
{
	static const size_t steps[] = { SIZE_MAX, 1, 7 };
	struct smtp_server_options options = plain_options();

	(void)state;
	for (size_t i = 0; i < COUNT_OF(line_ends) * COUNT_OF(line_ends) * COUNT_OF(steps); i++) {
		struct piece before = line_ends[i % COUNT_OF(line_ends)];
		struct piece after = line_ends[i / COUNT_OF(line_ends) % COUNT_OF(line_ends)];
		bool begins = sv_eq(sv_make(before.bytes, before.len), SV("\r\n"));
		bool ends = sv_eq(sv_make(after.bytes, after.len), SV("\r\n"));
		bool text = (begins || is_text(before)) && (ends || is_text(after));
		CLEANUP(buf_deinitp) struct buf talk = BUF_INIT(1024);
		struct owner o;

		/* That is the end. */
		if (begins && sv_starts(sv_make(after.bytes, after.len), SV("\r\n")))
			continue;
		owner_envelope(&o, &options);
		put(&talk, (struct piece)PIECE("DATA\r\nSubject: x\r\n\r\nbody"));
		put(&talk, before);
		put(&talk, (struct piece)PIECE("."));
		put(&talk, after);
		put(&talk, (struct piece)PIECE(SMUGGLED));
		check_one_message(&o,
			buf_sv(&talk),
			!text,
			steps[i / COUNT_OF(line_ends) / COUNT_OF(line_ends)]);
		owner_end(&o);
	}
}

/* The same variants where odd line ends are content: a client that ends DATA in CR LF has one end. */
static void no_end_of_data_variant_smuggles_where_it_is_content(void **state)
{
	static const size_t steps[] = { SIZE_MAX, 1, 7 };
	struct smtp_server_options options = plain_options();

	(void)state;
	options.strict = false;
	for (size_t i = 0; i < COUNT_OF(line_ends) * COUNT_OF(line_ends) * COUNT_OF(steps); i++) {
		struct piece before = line_ends[i % COUNT_OF(line_ends)];
		struct piece after = line_ends[i / COUNT_OF(line_ends) % COUNT_OF(line_ends)];
		size_t step = steps[i / COUNT_OF(line_ends) / COUNT_OF(line_ends)];
		CLEANUP(buf_deinitp) struct buf talk = BUF_INIT(1024);
		bool begins = sv_ends_nocase(sv_make(before.bytes, before.len), SV("\r\n"));
		bool doubtful = sv_ends_nocase(sv_make(before.bytes, before.len), SV("\r\r\n"));
		bool end = begins && sv_starts(sv_make(after.bytes, after.len), SV("\r\n"));
		struct owner o;

		if (end && !doubtful)
			continue;
		owner_envelope(&o, &options);
		put(&talk, (struct piece)PIECE("DATA\r\nSubject: x\r\n\r\nbody"));
		put(&talk, before);
		put(&talk, (struct piece)PIECE("."));
		put(&talk, after);
		put(&talk, (struct piece)PIECE(SMUGGLED));
		for (size_t used = 0; used < talk.len && o.closes == 0;)
			used += owner_give(&o, sv_head(sv_skip(buf_sv(&talk), used), step));
		if (o.mails != 1 || (o.closes == 1) != end)
			fail_msg("%.*s\n-- said\n%.*s-- events\n%.*s",
				SV_ARG(buf_sv(&talk)),
				SV_ARG(buf_sv(&o.said)),
				SV_ARG(buf_sv(&o.log)));
		assert_true(end == (sv_find(buf_sv(&o.said), SV("550 5.6.0 ")) >= 0));
		owner_end(&o);
	}
}

/* BDAT counts: whatever stands in a chunk is no command, and the session knows where the next one is. */
static void no_chunk_smuggles(void **state)
{
	static const size_t steps[] = { SIZE_MAX, 1, 7 };
	struct smtp_server_options options = plain_options();

	(void)state;
	for (size_t i = 0; i < COUNT_OF(line_ends) * COUNT_OF(line_ends) * COUNT_OF(steps); i++) {
		struct piece before = line_ends[i % COUNT_OF(line_ends)];
		struct piece after = line_ends[i / COUNT_OF(line_ends) % COUNT_OF(line_ends)];
		size_t step = steps[i / COUNT_OF(line_ends) / COUNT_OF(line_ends)];
		bool fine =
			(is_text(before) || sv_eq(sv_make(before.bytes, before.len), SV("\r\n"))) &&
			(is_text(after) || sv_eq(sv_make(after.bytes, after.len), SV("\r\n")));
		CLEANUP(buf_deinitp) struct buf body = BUF_INIT(1024);
		CLEANUP(buf_deinitp) struct buf talk = BUF_INIT(1024);
		struct owner o;

		owner_envelope(&o, &options);
		put(&body, (struct piece)PIECE("Subject: x\r\n\r\nbody"));
		put(&body, before);
		put(&body, (struct piece)PIECE("."));
		put(&body, after);
		put(&body, (struct piece)PIECE(SMUGGLED));
		must(buf_printf(&talk, "BDAT %zu LAST\r\n", body.len) == 0);
		must(buf_append(&talk, buf_sv(&body)) == 0);
		for (size_t used = 0; used < talk.len;)
			used += owner_give(&o, sv_head(sv_skip(buf_sv(&talk), used), step));
		assert_int_equal(o.mails, 1);
		if (fine) {
			assert_true(sv_find(buf_sv(&o.log), buf_sv(&body)) > 0);
			expect_reply(&o, "fine", QUEUED, NULL);
		} else {
			expect_reply(&o, "bad", "550 5.6.0 ", "DATA\nRESET\n");
		}
		owner_say(&o, "NOOP\r\n");
		expect(&o, "goes on", "250 2.0.0 Ok\r\n", "");
		owner_end(&o);
	}
}

struct talk {
	const char *name, *client, *said, *events;
};

static void run_talks(const struct talk *talks, size_t count,
	const struct smtp_server_options *options, bool envelope)
{
	for (size_t i = 0; i < count; i++)
		for (size_t step = 0; step < 4; step++) {
			struct sv talk = sv_from(talks[i].client);
			struct owner o;

			if (envelope)
				owner_envelope(&o, options);
			else
				owner_hello(&o, options);
			for (size_t used = 0; used < talk.len;) {
				size_t taken = owner_give(
					&o, sv_head(sv_skip(talk, used), step ? step : talk.len));

				used += taken ? taken : talk.len;
			}
			expect(&o, talks[i].name, talks[i].said, talks[i].events);
			owner_end(&o);
		}
}

static void data_is_taken_as_it_is_meant(void **state)
{
	static const struct talk talks[] = {
		{ "empty",
			"DATA\r\n.\r\nNOOP\r\n",
			"354 Go\r\n" QUEUED "250 2.0.0 Ok\r\n",
			"DATA\nEND \n" },
		{ "dots",
			"DATA\r\n..\r\n...\r\n.a\r\na.\r\n.\r\n",
			"354 Go\r\n" QUEUED,
			"DATA\nEND .\r\n..\r\na\r\na.\r\n\n" },
		{ "many dots",
			"DATA\r\n.1\r\n.2\r\n.3\r\n.4\r\n.5\r\n.6\r\n.7\r\n.\r\nNOOP\r\n",
			"354 Go\r\n" QUEUED "250 2.0.0 Ok\r\n",
			"DATA\nEND 1\r\n2\r\n3\r\n4\r\n5\r\n6\r\n7\r\n\n" },
		{ "dot and spaces",
			"DATA\r\n. \r\n .\r\n.\r\n",
			"354 Go\r\n" QUEUED,
			"DATA\nEND  \r\n .\r\n\n" },
		{ "empty lines",
			"DATA\r\n\r\n\r\n.\r\n",
			"354 Go\r\n" QUEUED,
			"DATA\nEND \r\n\r\n\n" },
		{ "two",
			"DATA\r\na\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<x@y>\r\nDATA\r\nb\r\n.\r\n",
			"354 Go\r\n" QUEUED "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 Go\r\n" QUEUED,
			"DATA\nEND a\r\n\nMAIL <>\nRCPT <x@y>\nDATA\nEND b\r\n\n" },
		{ "CR only",
			"DATA\r\na\r.\r\n.\r\nNOOP\r\n",
			"354 Go\r\n" BARE,
			"DATA\nRESET\nCLOSE bad-message\n" },
		{ "ends in CR CR LF",
			"DATA\r\na\r\r\n.\r\nMAIL FROM:<x@y>\r\n",
			"354 Go\r\n" BARE,
			"DATA\nRESET\nCLOSE bad-message\n" },
		{ "LF at once",
			"DATA\r\n\n.\r\n\r\n.\r\n",
			"354 Go\r\n" BARE,
			"DATA\nRESET\nCLOSE bad-message\n" },
		{ "CR before and behind",
			"DATA\r\na\r\r\n\r.\r\n.\r\n",
			"354 Go\r\n" BARE,
			"DATA\nRESET\nCLOSE bad-message\n" },
	};
	struct smtp_server_options options = plain_options();

	(void)state;
	run_talks(talks, COUNT_OF(talks), &options, true);
}

/* What comes first is named, however the bytes are cut. */
static void the_first_fault_is_the_reply(void **state)
{
	static const struct {
		struct piece body;
		const char *reply;
	} rows[] = {
		{ PIECE("a\0b\r\n"), NUL },
		{ PIECE("\0\r\n"), NUL },
		{ PIECE("a\0b\rc\r\n"), NUL },
		{ PIECE("a\0b\n\r\n"), NUL },
		{ PIECE("x\r\na\0\n\r\n"), NUL },
		{ PIECE("a\rb\0c\r\n"), BARE },
		{ PIECE("a\r\0c\r\n"), BARE },
		{ PIECE("a\nb\0c\r\n"), BARE },
		{ PIECE("x\r\n\n\0\r\n"), BARE },
	};
	struct smtp_server_options options = plain_options();

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows) * 2 * 4; i++) {
		struct piece body = rows[i / 8].body;
		bool chunk = i & 1;
		size_t step = i / 2 % 4;
		CLEANUP(buf_deinitp) struct buf talk = BUF_INIT(256);
		struct owner o;

		owner_envelope(&o, &options);
		if (chunk)
			must(buf_printf(&talk, "BDAT %zu LAST\r\n", body.len) == 0);
		else
			put(&talk, (struct piece)PIECE("DATA\r\n"));
		put(&talk, body);
		if (!chunk)
			put(&talk, (struct piece)PIECE(".\r\n"));
		for (size_t used = 0; used < talk.len;)
			used += owner_give(
				&o, sv_head(sv_skip(buf_sv(&talk), used), step ? step : talk.len));
		assert_true(sv_ends_nocase(buf_sv(&o.said), sv_from(rows[i / 8].reply)));
		owner_end(&o);
	}
}

static void too_large_a_message_is_read_and_refused(void **state)
{
	static const struct talk talks[] = {
		{ "just fits",
			"DATA\r\n12345678\r\n.\r\n",
			"354 Go\r\n" QUEUED,
			"DATA\nEND 12345678\r\n\n" },
		{ "a byte more, and again",
			"DATA\r\n123456789\r\n.\r\nMAIL FROM:<>\r\nRCPT "
			"TO:<x@y>\r\nDATA\r\nb\r\n.\r\n",
			"354 Go\r\n" TOO_LARGE "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 Go\r\n" QUEUED,
			"DATA\nRESET\nMAIL <>\nRCPT <x@y>\nDATA\nEND b\r\n\n" },
		{ "much more",
			"DATA\r\n1\r\n2\r\n3\r\n4\r\n5\r\n..\r\n7\r\n.\r\nNOOP\r\n",
			"354 Go\r\n" TOO_LARGE "250 2.0.0 Ok\r\n",
			"DATA\nRESET\n" },
		{ "and malformed behind",
			"DATA\r\n1234567890123\r\n\n.\r\n\r\n.\r\nNOOP\r\n",
			"354 Go\r\n" BARE,
			"DATA\nRESET\nCLOSE bad-message\n" },
		{ "one chunk",
			"BDAT 11 LAST\r\n123456789\r\nNOOP\r\n",
			TOO_LARGE "250 2.0.0 Ok\r\n",
			"DATA\nRESET\n" },
		{ "three chunks",
			"BDAT 8\r\n12345678BDAT 3\r\n123BDAT 2 LAST\r\n\r\nNOOP\r\n",
			"250 2.0.0 8 octets received\r\n" TOO_LARGE TOO_LARGE "250 2.0.0 Ok\r\n",
			"DATA\nRESET\n" },
		{ "two that fit",
			"BDAT 8\r\n12345678BDAT 2 LAST\r\n\r\n",
			"250 2.0.0 8 octets received\r\n" QUEUED,
			"DATA\nEND 12345678\r\n\n" },
	};
	struct smtp_server_options options = plain_options();

	(void)state;
	options.message_bytes_max = 10;
	run_talks(talks, COUNT_OF(talks), &options, true);
}

/* The owner hears of it at once, not at the end of a body that may be endless. */
static void the_reset_comes_while_the_body_streams(void **state)
{
	static const char *const starts[] = { "DATA\r\n", "BDAT 100000 LAST\r\n" };
	struct smtp_server_options options = plain_options();
	static char flood[5000];

	(void)state;
	memset(flood, 'x', sizeof(flood));
	for (size_t i = 0; i < COUNT_OF(starts); i++) {
		struct owner o;

		owner_envelope(&o, &options);
		owner_say(&o, starts[i]);
		assert_int_equal(owner_give(&o, sv_make(flood, 900)), 900);
		expect_reply(&o, "fits", "", "DATA\n");
		assert_int_equal(owner_give(&o, sv_make(flood, sizeof(flood))), sizeof(flood));
		expect(&o, "past it", "", "RESET\n");
		assert_int_equal(owner_give(&o, sv_make(flood, sizeof(flood))), sizeof(flood));
		expect(&o, "far past it", "", "");
		assert_true(smtp_server_in_transaction(o.s));
		owner_end(&o);
	}
}

#define NO_MAIL "503 5.5.1 Say MAIL first\r\n"
#define NO_RCPT "554 5.5.1 No valid recipients\r\n"
#define NOOP "250 2.0.0 Ok\r\n"
#define OCTETS(n) "250 2.0.0 " n " octets received\r\n"

static void chunks_in_order(void **state)
{
	static const struct talk talks[] = {
		{ "one", "BDAT 3 LAST\r\nabcNOOP\r\n", QUEUED NOOP, "DATA\nEND abc\n" },
		{ "lower case", "bdat 3 last\r\nabc", QUEUED, "DATA\nEND abc\n" },
		{ "spaces", "BDAT  3  LAST \r\nabc", QUEUED, "DATA\nEND abc\n" },
		{ "only LAST", "BDAT 0 LAST\r\nNOOP\r\n", QUEUED NOOP, "DATA\nEND \n" },
		{ "empty ones",
			"BDAT 0\r\nBDAT 2\r\nab"
			"BDAT 0\r\nBDAT 1\r\ncBDAT 0 LAST\r\n",
			OCTETS("0") OCTETS("2") OCTETS("0") OCTETS("1") QUEUED,
			"DATA\nEND abc\n" },
		{ "CRLF in two chunks",
			"BDAT 2\r\na\rBDAT 2\r\n\nbBDAT 2 LAST\r\n\r\n",
			OCTETS("2") OCTETS("2") QUEUED,
			"DATA\nEND a\r\nb\r\n\n" },
		{ "CRLF around an empty chunk",
			"BDAT 2\r\na\rBDAT 0\r\nBDAT 2 LAST\r\n\nb",
			OCTETS("2") OCTETS("0") QUEUED,
			"DATA\nEND a\r\nb\n" },
		{ "dots stay",
			"BDAT 9 LAST\r\n\r\n.\r\n..\r\n",
			QUEUED,
			"DATA\nEND \r\n.\r\n..\r\n\n" },
		{ "CR at the end",
			"BDAT 2\r\na\rBDAT 0 LAST\r\nNOOP\r\n",
			OCTETS("2") BARE NOOP,
			"DATA\nRESET\n" },
		{ "CR at the end of the last",
			"BDAT 2 LAST\r\na\rNOOP\r\n",
			BARE NOOP,
			"DATA\nRESET\n" },
		{ "CR, then no LF",
			"BDAT 2\r\na\rBDAT 1 LAST\r\nbNOOP\r\n",
			OCTETS("2") BARE NOOP,
			"DATA\nRESET\n" },
		{ "LF at once",
			"BDAT 1\r\n\nBDAT 3 LAST\r\nabcNOOP\r\n",
			BARE BARE NOOP,
			"DATA\nRESET\n" },
		{ "two",
			"BDAT 3 LAST\r\nabcMAIL FROM:<>\r\nRCPT TO:<x@y>\r\nBDAT 2 LAST\r\n\r\n",
			QUEUED "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n" QUEUED,
			"DATA\nEND abc\nMAIL <>\nRCPT <x@y>\nDATA\nEND \r\n\n" },
		{ "a bad one, and again",
			"BDAT 3 LAST\r\na\ncMAIL FROM:<>\r\nRCPT TO:<x@y>\r\nBDAT 2 LAST\r\n\r\n",
			BARE "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n" QUEUED,
			"DATA\nRESET\nMAIL <>\nRCPT <x@y>\nDATA\nEND \r\n\n" },
		{ "CR of the one before does not count",
			"BDAT 2 LAST\r\na\rMAIL FROM:<>\r\nRCPT TO:<x@y>\r\nBDAT 1 LAST\r\na",
			BARE "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n" QUEUED,
			"DATA\nRESET\nMAIL <>\nRCPT <x@y>\nDATA\nEND a\n" },
		{ "other commands between",
			"BDAT 1\r\naDATA\r\nRCPT TO:<x@y>\r\nMAIL FROM:<>\r\nNOOP\r\nBDAT 1 "
			"LAST\r\nb",
			OCTETS("1") "503 5.5.1 BDAT was begun\r\n503 5.5.1 Say MAIL first\r\n"
				    "503 5.5.1 A message is under way: end it or say RSET\r\n" NOOP
					    QUEUED,
			"DATA\nEND ab\n" },
		{ "RSET between",
			"BDAT 1\r\naRSET\r\nBDAT 1 LAST\r\nbNOOP\r\n",
			OCTETS("1") NOOP NO_MAIL NOOP,
			"DATA\nRESET\n" },
		{ "RSET after a bad one",
			"BDAT 1\r\n\nRSET\r\nMAIL FROM:<>\r\n",
			BARE NOOP "250 2.1.0 Ok\r\n",
			"DATA\nRESET\nMAIL <>\n" },
		{ "QUIT between",
			"BDAT 1\r\naQUIT\r\n",
			OCTETS("1") "221 2.0.0 Bye\r\n",
			"DATA\nRESET\nCLOSE quit\n" },
	};
	struct smtp_server_options options = plain_options();

	(void)state;
	run_talks(talks, COUNT_OF(talks), &options, true);
}

static void chunks_out_of_order(void **state)
{
	static const struct talk talks[] = {
		{ "no MAIL",
			"BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n",
			NO_MAIL NO_MAIL NOOP,
			"" },
		{ "no MAIL, nothing in it",
			"BDAT 0\r\nBDAT 0 LAST\r\nMAIL FROM:<>\r\n",
			NO_MAIL NO_MAIL "250 2.1.0 Ok\r\n",
			"MAIL <>\n" },
		{ "MAIL was refused",
			"MAIL FROM:<no@b>\r\nRCPT TO:<x@y>\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n",
			"550 5.7.1 No\r\n" NO_MAIL NO_MAIL NOOP,
			"MAIL <no@b>\n" },
		{ "RCPT was refused",
			"MAIL FROM:<>\r\nRCPT TO:<no@y>\r\nBDAT 6\r\nQUIT\r\nBDAT 6 "
			"LAST\r\nQUIT\r\nNOOP\r\n",
			"250 2.1.0 Ok\r\n550 5.1.1 No\r\n" NO_RCPT NO_RCPT NOOP,
			"MAIL <>\nRCPT <no@y>\nRESET\n" },
		{ "no RCPT, RSET",
			"MAIL FROM:<>\r\nBDAT 1\r\nxRCPT TO:<x@y>\r\nMAIL FROM:<>\r\nRSET\r\nMAIL "
			"FROM:<>\r\n",
			"250 2.1.0 Ok\r\n" NO_RCPT "503 5.5.1 Say MAIL first\r\n"
			"503 5.5.1 A message is under way: end it or say RSET\r\n" NOOP
			"250 2.1.0 Ok\r\n",
			"MAIL <>\nRESET\nMAIL <>\n" },
		{ "no size",
			"BDAT\r\nNOOP\r\n",
			"501 5.5.4 Syntax: BDAT size [LAST]; where the chunk ends is unknown, "
			"goodbye\r\n",
			"CLOSE bad-chunk\n" },
		{ "no LAST",
			"BDAT 1 FIRST\r\nNOOP\r\n",
			"501 5.5.4 Syntax: BDAT size [LAST]; where the chunk ends is unknown, "
			"goodbye\r\n",
			"CLOSE bad-chunk\n" },
		{ "negative",
			"BDAT -1\r\nNOOP\r\n",
			"501 5.5.4 Syntax: BDAT size [LAST]; where the chunk ends is unknown, "
			"goodbye\r\n",
			"CLOSE bad-chunk\n" },
		{ "past 64 bits",
			"BDAT 18446744073709551617\r\nNOOP\r\n",
			"501 5.5.4 Syntax: BDAT size [LAST]; where the chunk ends is unknown, "
			"goodbye\r\n",
			"CLOSE bad-chunk\n" },
		{ "too many",
			"BDAT 0\r\nBDAT 0\r\nBDAT 0\r\nBDAT 0\r\nBDAT 0\r\nBDAT 0\r\nBDAT 0\r\n",
			NO_MAIL NO_MAIL NO_MAIL NO_MAIL NO_MAIL
			"421 4.7.0 Too many errors, goodbye\r\n",
			"CLOSE too-many-errors\n" },
	};
	struct smtp_server_options options = plain_options();

	(void)state;
	run_talks(talks, COUNT_OF(talks), &options, false);
}

/* The refusal of the owner is said for every chunk that is under way, and they are no errors. */
static void the_owner_refuses_the_body(void **state)
{
	struct smtp_server_options options = plain_options();
	struct owner o;

	(void)state;
	owner_envelope(&o, &options);
	o.codes[SMTP_SERVER_EV_DATA] = 452;
	owner_say(&o, "DATA\r\nNOOP\r\n");
	expect(&o, "DATA", "452 4.3.0 As told\r\n" NOOP, "DATA\n");
	assert_true(smtp_server_in_transaction(o.s));
	owner_say(&o, "BDAT 3\r\nabc");
	expect(&o, "BDAT", "452 4.3.0 As told\r\n", "DATA\nRESET\n");
	for (int i = 0; i < 20; i++) {
		owner_say(&o, "BDAT 3\r\nabc");
		expect(&o, "BDAT again", "452 4.3.0 As told\r\n", "");
	}
	owner_say(&o, "BDAT 0 LAST\r\nNOOP\r\n");
	expect(&o, "last", "452 4.3.0 As told\r\n" NOOP, "");
	owner_say(&o, "MAIL FROM:<>\r\nRCPT TO:<x@y>\r\nBDAT 3 LAST\r\nabc");
	expect(&o,
		"whole",
		"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n452 4.3.0 As told\r\n",
		"MAIL <>\nRCPT <x@y>\nDATA\nRESET\n");
	owner_end(&o);
}

/* Whatever it is that never ends: the session does, a little behind the limit. */
static void what_never_ends_ends_the_session(void **state)
{
	static const struct {
		const char *begin, *more, *said;
	} rows[] = {
		{ "DATA\r\n", "0123456789\r\n", "552 5.3.4" },
		{ "DATA\r\n", "no line end", "552 5.3.4" },
		{ "DATA\r\na\nb\r\n", "0123456789\r\n", "552 5.3.4" },
		{ "BDAT 9223372036854775807\r\n", "0123456789\r\n", "552 5.3.4" },
		{ "BDAT 9000000000000000000 LAST\r\n", "x", "552 5.3.4" },
		{ "BDAT 16000000\r\n", "0123456789\r\n", "BDAT again" },
		{ "RSET\r\nBDAT 20000000\r\n", "0123456789\r\n", "552 5.3.4" },
		{ "VRFY ", "no line end", "500 5.5.2" },
	};

	(void)state;
	for (size_t i = 0; i < 2 * COUNT_OF(rows); i++) {
		struct smtp_server_options options = plain_options();
		struct buf piece = BUF_INIT(1 << 17);
		bool again = strcmp(rows[i / 2].said, "BDAT again") == 0;
		size_t given = 0;
		struct owner o;

		options.strict = i % 2;
		while (piece.len < 60000)
			must(buf_append(&piece, sv_from(rows[i / 2].more)) == 0);
		owner_envelope(&o, &options);
		owner_say(&o, rows[i / 2].begin);
		while (o.closes == 0 && given < 2 * LIMIT_OVERRUN && !again) {
			buf_reset(&o.said);
			given += owner_give(&o, buf_sv(&piece));
		}
		/* Chunk behind chunk, each of them small enough. */
		while (o.closes == 0 && given < 2 * LIMIT_OVERRUN && again) {
			buf_reset(&o.said);
			given += owner_give(&o, buf_sv(&piece));
			if (given > 16000000 - piece.len)
				owner_say(&o, "BDAT 9000000\r\n");
		}
		if (o.closes != 1 || given > LIMIT_OVERRUN + 2 * piece.len)
			fail_msg("'%s': %u closes, %zu bytes", rows[i / 2].begin, o.closes, given);
		owner_end(&o);
		buf_deinit(&piece);
	}
}

static void the_owner_refuses_the_message(void **state)
{
	struct smtp_server_options options = plain_options();
	struct owner o;

	(void)state;
	owner_envelope(&o, &options);
	o.codes[SMTP_SERVER_EV_END] = 554;
	owner_say(&o, "DATA\r\nx\r\n.\r\nRCPT TO:<c@d>\r\n");
	expect(&o, "554", "354 Go\r\n554 5.3.0 As told\r\n" NO_MAIL, "DATA\nEND x\r\n\n");
	owner_end(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_end_of_data_variant_smuggles),
		cmocka_unit_test(no_end_of_data_variant_smuggles_where_it_is_content),
		cmocka_unit_test(no_chunk_smuggles),
		cmocka_unit_test(data_is_taken_as_it_is_meant),
		cmocka_unit_test(the_first_fault_is_the_reply),
		cmocka_unit_test(too_large_a_message_is_read_and_refused),
		cmocka_unit_test(what_never_ends_ends_the_session),
		cmocka_unit_test(the_reset_comes_while_the_body_streams),
		cmocka_unit_test(chunks_in_order),
		cmocka_unit_test(chunks_out_of_order),
		cmocka_unit_test(the_owner_refuses_the_body),
		cmocka_unit_test(the_owner_refuses_the_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
