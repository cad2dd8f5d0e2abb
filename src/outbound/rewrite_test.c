/* SPDX-License-Identifier: Apache-2.0 */
#include "outbound/rewrite.h"

#include "base/limits.h"
#include "base/must.h"

#include "cmocka_all.h"

#include <string.h>

/* Whose address leaves, and where to: the plan, and the header that comes of it. */

#define HEAD                          \
	"From: \"An\xf6"              \
	"na\" <anna@old.example>\r\n" \
	"To: bea@example.org\r\n"     \
	"Subject: gr\xfc\xdf"         \
	" dich\r\n"                   \
	"\tund mich\r\n\r\n"

static char text[65536];

static const char *rendered(
	const struct rewrite *r, const char *header, const struct sv *to, size_t n)
{
	struct buf out = BUF_INIT(sizeof(text) - 1);

	must(rewrite_header(r, sv_from(header), to, n, &out) == 0);
	memcpy(text, buf_sv(&out).ptr, out.len);
	text[out.len] = '\0';
	buf_deinit(&out);
	return text;
}

static void the_address_changes_and_nothing_else(void **state)
{
	const struct rewrite r = { .from = SV("erp@contoso.com"), .reply_to = true };

	(void)state;
	assert_string_equal(rendered(&r, HEAD, NULL, 0),
		"From: \"An\xf6"
		"na\" <erp@contoso.com>\r\n"
		"To: bea@example.org\r\n"
		"Subject: gr\xfc\xdf"
		" dich\r\n"
		"\tund mich\r\n"
		"Reply-To: anna@old.example\r\n\r\n");
}

static void the_original_is_not_remembered_twice_or_against_the_will(void **state)
{
	struct rewrite r = { .from = SV("erp@contoso.com"), .reply_to = true };

	(void)state;
	assert_null(strstr(rendered(&r, "From: ERP@contoso.com\r\n\r\n", NULL, 0), "Reply-To"));
	assert_null(
		strstr(rendered(&r, "From: a@b.example\r\nReply-To: c@d.example\r\n\r\n", NULL, 0),
			"a@b.example"));
	assert_string_equal(rendered(&r, "Subject: x\r\n\r\n", NULL, 0),
		"Subject: x\r\nFrom: erp@contoso.com\r\n\r\n");
	r.reply_to = false;
	assert_null(strstr(rendered(&r, HEAD, NULL, 0), "anna"));
}

static void redirected_recipients_are_written_down(void **state)
{
	const struct rewrite r = { .redirect = SV("test@contoso.com") };
	const struct sv to[] = { SV("anna@example.org"),
		SV("bea@example.org"),
		SV("carla@example.org"),
		SV("dora@example.org") };

	(void)state;
	assert_string_equal(rendered(&r, "Subject: x\r\n\r\n", to, 1),
		"Subject: x\r\nX-Postern-Redirected-To: anna@example.org\r\n\r\n");
	assert_string_equal(rendered(&r, "Subject: x\r\n\r\n", to, 4),
		"Subject: x\r\nX-Postern-Redirected-To: anna@example.org, bea@example.org,\r\n"
		"\tcarla@example.org, dora@example.org\r\n\r\n");
}

static void thousands_of_them_are_counted(void **state)
{
	const struct rewrite r = { .redirect = SV("test@contoso.com") };
	static struct sv to[LIMIT_RCPT];
	const char *got;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(to); i++)
		to[i] = SV("somebody.with.a.name@department.example.org");
	got = rendered(&r, "Subject: x\r\n\r\n", to, COUNT_OF(to));
	assert_true(strlen(got) < REWRITE_REDIRECTED_MAX + 32);
	assert_non_null(strstr(got, "\r\n\tand 3"));
	assert_non_null(strstr(got, " more\r\n\r\n"));
	for (const char *line = got; line; line = strstr(line + 2, "\r\n"))
		if (strstr(line + 2, "\r\n"))
			assert_true(strstr(line + 2, "\r\n") - line < 200);
}

static void a_header_that_does_not_fit_is_refused(void **state)
{
	const struct rewrite r = { .from = SV("erp@contoso.com") };
	struct buf out = BUF_INIT(20);

	(void)state;
	assert_int_equal(rewrite_header(&r, SV(HEAD), NULL, 0, &out), RC_LIMIT);
	assert_int_equal(out.len, 0);
	buf_deinit(&out);
}

/* ---- the plan ---- */

struct plan_case {
	const char *name;
	bool mailbox;
	enum conf_sender sender;
	const char *envelope, *rewrite_from;
	uint32_t flags;
	const char *want_sender, *want_from;
	bool want_reply_to;
	const char *queue; /* NULL: its own */
	bool pool_keeps;
};

static const struct plan_case plans[] = {
	{ "kept", true, CONF_SENDER_KEEP, "a@x.org", "", 0, "a@x.org", "", false },
	{ "the lane's",
		true,
		CONF_SENDER_REWRITE,
		"a@x.org",
		"",
		0,
		"erp@contoso.com",
		"erp@contoso.com",
		true },
	{ "forced",
		true,
		CONF_SENDER_FORCE,
		"a@x.org",
		"",
		0,
		"erp@contoso.com",
		"erp@contoso.com",
		false },
	{ "the route's",
		true,
		CONF_SENDER_KEEP,
		"a@x.org",
		"r@contoso.com",
		0,
		"r@contoso.com",
		"r@contoso.com",
		true },
	{ "of a device",
		true,
		CONF_SENDER_KEEP,
		"a@x.org",
		"r@contoso.com",
		STORE_MSG_FORCE,
		"r@contoso.com",
		"r@contoso.com",
		false },
	{ "the lane goes before the route",
		true,
		CONF_SENDER_REWRITE,
		"a@x.org",
		"r@contoso.com",
		0,
		"erp@contoso.com",
		"erp@contoso.com",
		true },
	{ "a notice, where it is taken",
		false,
		CONF_SENDER_KEEP,
		"",
		"r@contoso.com",
		0,
		"",
		"r@contoso.com",
		true },
	{ "a notice, where it is not",
		true,
		CONF_SENDER_REWRITE,
		"",
		"",
		0,
		"erp@contoso.com",
		"erp@contoso.com",
		true },
	{ "a connector has no address",
		false,
		CONF_SENDER_REWRITE,
		"a@x.org",
		"",
		0,
		"a@x.org",
		"",
		false },
	{ "a pool's",
		true,
		CONF_SENDER_KEEP,
		"a@x.org",
		"r@contoso.com",
		0,
		"erp@contoso.com",
		"erp@contoso.com",
		true,
		"p:news\nc:lab" },
	{ "a pool's, of mail that stays with the mailbox",
		true,
		CONF_SENDER_KEEP,
		"a@x.org",
		"",
		0,
		"erp@contoso.com",
		"erp@contoso.com",
		true,
		"b:news:erp@contoso.com" },
	{ "another pool's, as before a reload",
		true,
		CONF_SENDER_KEEP,
		"a@x.org",
		"",
		0,
		"a@x.org",
		"",
		false,
		"p:other" },
	{ "a pool that keeps it",
		true,
		CONF_SENDER_REWRITE,
		"a@x.org",
		"",
		0,
		"a@x.org",
		"",
		false,
		"p:news",
		true },
	{ "a mailbox that leaves nothing of it",
		true,
		CONF_SENDER_FORCE,
		"a@x.org",
		"",
		0,
		"erp@contoso.com",
		"erp@contoso.com",
		false,
		"p:news" },
};

static void whose_address_it_carries(void **state)
{
	struct conf_findings f;
	struct conf *conf =
		conf_load_text(SV("connectors: [ { name: lab, host: 127.0.0.1, port: 1, "
				  "tls: none } ]\nroutes: [ { through: lab } ]\n"),
			&f);

	(void)state;
	conf_findings_free(&f);
	assert_non_null(conf);
	for (size_t i = 0; i < COUNT_OF(plans); i++) {
		const struct plan_case *p = &plans[i];
		const struct conf_pool pool = {
			.name = SV("news"), .key = SV("p:news"), .keeps_sender = p->pool_keeps
		};
		const struct conf_member member = { .kind = CONF_LANE_MAILBOX, .pool = &pool };
		const struct store_recipient plan = { .rewrite_from = sv_from(p->rewrite_from),
			.flow.queue = sv_from(p->queue ? p->queue : "m:erp@contoso.com") };
		const struct conf_lane lane = { .member = &member,
			.kind = p->mailbox ? CONF_LANE_MAILBOX : CONF_LANE_CONNECTOR,
			.name = p->mailbox ? SV("erp@contoso.com") : SV("lab"),
			.provider = p->mailbox ? PROVIDER_SUBMISSION : PROVIDER_CONNECTOR,
			.sender = p->sender };
		const struct store_message m = { .sender = sv_from(p->envelope),
			.flags = p->flags };
		struct rewrite r;
		bool edits = rewrite_plan(&r, conf, &lane, &m, &plan);

		if (!sv_eq(r.sender, sv_from(p->want_sender)) ||
			!sv_eq(r.from, sv_from(p->want_from)) || r.reply_to != p->want_reply_to ||
			edits != (p->want_from[0] != '\0'))
			fail_msg("%s: <%.*s> <%.*s>", p->name, SV_ARG(r.sender), SV_ARG(r.from));
	}
	conf_unref(conf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_address_changes_and_nothing_else),
		cmocka_unit_test(the_original_is_not_remembered_twice_or_against_the_will),
		cmocka_unit_test(redirected_recipients_are_written_down),
		cmocka_unit_test(thousands_of_them_are_counted),
		cmocka_unit_test(a_header_that_does_not_fit_is_refused),
		cmocka_unit_test(whose_address_it_carries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
