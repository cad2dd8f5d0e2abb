/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/envelope_header.h"

#include "base/err.h"
#include "base/rng.h"
#include "mail/address_list.h"

#include "cmocka_all.h"

static int render(const char *header, const struct sv *to, size_t count, struct buf *out)
{
	CLEANUP(header_block_freep) struct header_block *h = header_block_new(1 << 20, 2000);
	size_t used = 0;
	int rc = header_block_feed(h, sv_from(header), &used);

	if (rc == 0)
		rc = header_block_end(h);
	assert_true(rc >= 0);
	return envelope_header_render(h, to, count, out);
}

struct row {
	const char *name;
	const char *in;
	struct sv to[4];
	int rc;
	const char *out;
};

static const struct row rows[] = {
	{ "all named: byte for byte",
		"To: Anna <a@x.y>,\r\n\t\"B, C\" <b@x.y>\r\nSubject:  s \r\n\r\n",
		{ SV_INIT("b@x.y"), SV_INIT("a@x.y") },
		0,
		"To: Anna <a@x.y>,\r\n\t\"B, C\" <b@x.y>\r\nSubject:  s \r\n\r\n" },
	{ "who is named nowhere is Bcc",
		"To: a@x.y\r\nBcc: old@x.y\r\n\r\n",
		{ SV_INIT("a@x.y"), SV_INIT("secret@x.y") },
		0,
		"Bcc: <secret@x.y>\r\nTo: a@x.y\r\n\r\n" },
	{ "a list is not an envelope",
		"To: list@lists.x.y\r\nCc: boss@x.y\r\nList-Unsubscribe: <https://u>\r\n\r\n",
		{ SV_INIT("one@a.b"), SV_INIT("two@a.b") },
		0,
		"Bcc: <one@a.b>,\r\n <two@a.b>\r\nList-Unsubscribe: <https://u>\r\n\r\n" },
	{ "who is not in the envelope leaves, names stay",
		"To: \"Anna A.\" <a@x.y>, Bert <b@x.y>\r\nCc: =?utf-8?q?C=C3=A4?= <c@x.y>\r\n\r\n",
		{ SV_INIT("a@x.y"), SV_INIT("c@x.y") },
		0,
		"To: \"Anna A.\" <a@x.y>\r\nCc: =?utf-8?q?C=C3=A4?= <c@x.y>\r\n\r\n" },
	{ "groups and comments",
		"To: Friends: Anna (the boss) A <a@x.y>, b@x.y;, (c@x.y) d@x.y\r\n\r\n",
		{ SV_INIT("a@x.y"), SV_INIT("b@x.y"), SV_INIT("d@x.y") },
		0,
		"To: Anna A <a@x.y>,\r\n <b@x.y>,\r\n <d@x.y>\r\n\r\n" },
	{ "once only, also over both lists",
		"To: a@x.y, A <a@x.y>\r\nCc: a@x.y, b@x.y\r\n\r\n",
		{ SV_INIT("a@x.y"), SV_INIT("b@x.y") },
		0,
		"To: <a@x.y>\r\nCc: <b@x.y>\r\n\r\n" },
	{ "twice in the envelope",
		"To: a@x.y\r\n\r\n",
		{ SV_INIT("a@x.y"), SV_INIT("a@x.y") },
		0,
		"To: a@x.y\r\n\r\n" },
	{ "spelt as in the envelope",
		"To: Anna <Anna@X.Y>\r\n\r\n",
		{ SV_INIT("anna@x.y") },
		0,
		"To: Anna <anna@x.y>\r\n\r\n" },
	{ "two mailboxes that differ by case",
		"To: A@x.y\r\n\r\n",
		{ SV_INIT("A@x.y"), SV_INIT("a@x.y") },
		0,
		"Bcc: <a@x.y>\r\nTo: A@x.y\r\n\r\n" },
	{ "two To fields become one",
		"To: a@x.y\r\nX-Y: z\r\nTO: b@x.y\r\n\r\n",
		{ SV_INIT("a@x.y"), SV_INIT("b@x.y") },
		0,
		"To: <a@x.y>,\r\n <b@x.y>\r\nX-Y: z\r\n\r\n" },
	{ "Resent fields go",
		"Resent-To: r@x.y\r\nResent-Bcc: s@x.y\r\nApparently-To: t@x.y\r\nTo: "
		"a@x.y\r\n\r\n",
		{ SV_INIT("a@x.y") },
		0,
		"To: a@x.y\r\n\r\n" },
	{ "a name with an address outside of quotes goes, inside it stays",
		"To: evil@z.z <a@x.y>, \"b@z.z, c\" <b@x.y>\r\n\r\n",
		{ SV_INIT("a@x.y"), SV_INIT("b@x.y") },
		0,
		"To: <a@x.y>,\r\n \"b@z.z, c\" <b@x.y>\r\n\r\n" },
	{ "source routes go",
		"To: <@r.x,@s.x:a@x.y>\r\n\r\n",
		{ SV_INIT("a@x.y") },
		0,
		"To: <a@x.y>\r\n\r\n" },
	{ "UTF-8 stands as it is",
		"To: J\xc3\xb6rg <j\xc3\xb6rg@m\xc3\xbcller.de>\r\n\r\n",
		{ SV_INIT("j\xc3\xb6rg@m\xc3\xbcller.de"), SV_INIT("\xe7\x94\xa8@x.y") },
		0,
		"Bcc: <\xe7\x94\xa8@x.y>\r\nTo: J\xc3\xb6rg "
		"<j\xc3\xb6rg@m\xc3\xbcller.de>\r\n\r\n" },
	{ "lines of blanks stay, behind the recipients",
		"Subject: a\r\n \r\n b\r\nTo: a@x.y\r\nX: y\r\n\r\n",
		{ SV_INIT("a@x.y"), SV_INIT("b@x.y") },
		0,
		"Bcc: <b@x.y>\r\nTo: a@x.y\r\nSubject: a\r\n \r\n b\r\nX: y\r\n\r\n" },
	{ "lines of blanks go from a list",
		"To: a@x.y,\r\n \r\n b@x.y\r\n\r\n",
		{ SV_INIT("a@x.y"), SV_INIT("b@x.y") },
		0,
		"To: <a@x.y>,\r\n <b@x.y>\r\n\r\n" },
	{ "semicolons become commas",
		"To: Anna <a@x.y>; b@x.y\r\n\r\n",
		{ SV_INIT("a@x.y"), SV_INIT("b@x.y") },
		0,
		"To: Anna <a@x.y>,\r\n <b@x.y>\r\n\r\n" },
	{ "dots are quoted",
		"To: a..b@x.y\r\n\r\n",
		{ SV_INIT("\"a..b\"@x.y") },
		0,
		"To: <\"a..b\"@x.y>\r\n\r\n" },
	{ "undisclosed recipients",
		"To: undisclosed-recipients:;\r\n\r\n",
		{ SV_INIT("a@x.y") },
		0,
		"Bcc: <a@x.y>\r\n\r\n" },
	{ "a list that cannot be read: together it cannot go",
		"To: a@x.y b@x.y\r\n\r\n",
		{ SV_INIT("a@x.y"), SV_INIT("b@x.y") },
		RC_STATE,
		"" },
	{ "a list that cannot be read: alone it can",
		"To: a@x.y, b@x.y c@x.y\r\nCc: d@x.y\r\nX: y\r\n\r\n",
		{ SV_INIT("a@x.y") },
		0,
		"To: <a@x.y>\r\nX: y\r\n\r\n" },
	{ "a bare LF could be a Bcc",
		"X: y\nBcc: evil@x.y\r\nTo: a@x.y\r\n\r\n",
		{ SV_INIT("a@x.y") },
		RC_CORRUPT,
		"" },
	{ "a bare CR too",
		"X: y\rBcc: evil@x.y\r\nTo: a@x.y\r\n\r\n",
		{ SV_INIT("a@x.y") },
		RC_CORRUPT,
		"" },
	{ "no address", "To: a@x.y\r\n\r\n", { SV_INIT("a b") }, RC_PARSE, "" },
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(buf_deinitp) struct buf out = BUF_INIT(10000);
		size_t count = 0;
		int rc;

		while (count < COUNT_OF(rows[i].to) && rows[i].to[count].len)
			count++;
		rc = render(rows[i].in, rows[i].to, count, &out);
		if (rc != rows[i].rc || !sv_eq(buf_sv(&out), sv_from(rows[i].out)))
			fail_msg("%s: rc %d\n%.*s", rows[i].name, rc, SV_ARG(buf_sv(&out)));
	}
}

static void test_full(void **state)
{
	const struct sv to = SV("a@x.y");

	(void)state;
	for (size_t max = 0; max < 20; max++) {
		CLEANUP(buf_deinitp) struct buf out = BUF_INIT(max);

		assert_int_equal(
			render("To: b@x.y\r\n\r\n", &to, 1, &out), max < 16 ? RC_LIMIT : 0);
		assert_true(max >= 16 || out.len == 0);
	}
}

/* ---- any header, any envelope ---- */

enum {
	PEOPLE = 12,
	ROUNDS = 3000,
	RECIPIENTS_BIG = 4000
};

struct counts {
	size_t of[PEOPLE], strangers;
};

static void count(void *arg, struct sv address)
{
	struct counts *c = arg;

	if (address.len == 5 && address.ptr[0] >= 'a' && address.ptr[0] < 'a' + PEOPLE)
		c->of[address.ptr[0] - 'a']++;
	else
		c->strangers++;
}

static struct counts counts_of(struct sv header, const char *const *names, size_t name_count)
{
	CLEANUP(header_block_freep) struct header_block *h = header_block_new(1 << 20, 2000);
	struct counts c = { .strangers = 0 };
	size_t used = 0;

	assert_int_equal(header_block_feed(h, header, &used), 1);
	for (size_t i = 0; i < name_count; i++)
		assert_int_equal(header_block_addresses(h, sv_from(names[i]), count, NULL, &c), 0);
	return c;
}

static void made_header(struct prng *rng, struct buf *out)
{
	static const char *const fields[] = { "To", "Cc", "Bcc", "Resent-To", "to", "CC" };
	static const char *const forms[] = { "%c@x.y",
		"N <%c@x.y>",
		"\"q, r\" <%c@x.y>",
		"G: %c@x.y;",
		"(c) %c@x.y",
		"%c@x.y (z@z.z)",
		"a.b@q <%c@x.y>",
		"<@r:%c@x.y>" };

	for (size_t i = 0, n = prng_below(rng, 5); i < n; i++) {
		assert_int_equal(
			buf_printf(out, "%s: ", fields[prng_below(rng, COUNT_OF(fields))]), 0);
		for (size_t j = 0, m = prng_below(rng, 6); j < m; j++) {
			const char *form = forms[prng_below(rng, COUNT_OF(forms))];
			const char *at = strstr(form, "%c");

			assert_int_equal(buf_printf(out,
						 "%s%.*s%c%s",
						 j ? ",\r\n " : "",
						 (int)(at - form),
						 form,
						 (int)('a' + prng_below(rng, PEOPLE)),
						 at + 2),
				0);
		}
		assert_int_equal(buf_append(out, SV("\r\n")), 0);
	}
	assert_int_equal(buf_append(out, SV("\r\n")), 0);
}

static void test_property(void **state)
{
	static const char *const all[] = { "To", "Cc", "Bcc" };
	struct prng rng;

	(void)state;
	prng_seed(&rng, 7);
	for (int round = 0; round < ROUNDS; round++) {
		CLEANUP(buf_deinitp) struct buf in = BUF_INIT(100000), out = BUF_INIT(100000);
		struct counts was, is, shown;
		struct sv to[PEOPLE];
		char text[PEOPLE][6];
		bool wanted[PEOPLE] = { false };
		size_t n = 0;

		made_header(&rng, &in);
		for (size_t i = 0; i < PEOPLE; i++) {
			if (prng_below(&rng, 2))
				continue;
			(void)snprintf(text[i], sizeof(text[i]), "%c@x.y", (int)('a' + i));
			wanted[i] = true;
			to[n++] = sv_from(text[i]);
		}
		if (n == 0)
			continue;
		assert_int_equal(buf_append_char(&in, '\0'), 0);
		in.len--;
		assert_int_equal(render(in.ptr, to, n, &out), 0);
		was = counts_of(buf_sv(&in), all, 2);
		is = counts_of(buf_sv(&out), all, 3);
		shown = counts_of(buf_sv(&out), all, 2);
		assert_int_equal(is.strangers, 0);
		for (size_t i = 0; i < PEOPLE; i++) {
			assert_int_equal(is.of[i], wanted[i]);
			assert_true(shown.of[i] <= was.of[i]);
		}
	}
}

static void test_many(void **state)
{
	static char text[RECIPIENTS_BIG][24];
	static struct sv to[RECIPIENTS_BIG];
	CLEANUP(buf_deinitp) struct buf in = BUF_INIT(1 << 18), out = BUF_INIT(1 << 20);
	size_t lines = 0;

	(void)state;
	assert_int_equal(buf_append(&in, SV("To: r0@x.y")), 0);
	for (size_t i = 0; i < RECIPIENTS_BIG; i++) {
		(void)snprintf(text[i], sizeof(text[i]), "r%zu@x.y", i);
		to[i] = sv_from(text[i]);
		if (i % 2)
			assert_int_equal(buf_printf(&in, ",\r\n %s", text[i]), 0);
	}
	assert_int_equal(buf_append(&in, sv_make("\r\n\r\n", 5)), 0);
	assert_int_equal(render(in.ptr, to, RECIPIENTS_BIG, &out), 0);
	for (size_t i = 0; i < out.len; i++)
		lines += out.ptr[i] == '@';
	assert_int_equal(lines, RECIPIENTS_BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_property),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
