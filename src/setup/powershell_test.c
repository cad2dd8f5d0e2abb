/* SPDX-License-Identifier: Apache-2.0 */
#include "setup/powershell.h"

#include "setup/quote.h"
#include "setup/test_ps.h"

#include "cmocka_all.h"

#define ID "00000000-0000-0000-0000-00000000000f"

static void test_quote(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{ "erp@contoso.com", "'erp@contoso.com'" },
		{ "", "''" },
		{ "o'neil", "'o''neil'" },
		{ "$(Stop-Computer) `n \"", "'$(Stop-Computer) `n \"'" },
		{ "a\nb", "('a' + [char]0x000A + 'b')" },
		{ "a\xe2\x80\x98'", "('a' + [char]0x2018 + '''')" },
		{ "\xe2\x80\x99\xe2\x80\x9a\xe2\x80\x9b",
			"('' + [char]0x2019 + '' + [char]0x201A + '' + [char]0x201B + '')" },
		/* In code page 1252 the second byte is U+2018. */
		{ "\xd1\x91", "('' + [char]0x0451 + '')" },
		{ "\xf0\x9f\x98\x80", "('' + [char]0xD83D + [char]0xDE00 + '')" },
		{ "a\xff", "('a' + [char]0xFFFD + '')" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct buf out = BUF_INIT(1000);

		assert_int_equal(setup_ps_quote(&out, sv_from(rows[i].text)), 0);
		assert_true(sv_eq(buf_sv(&out), sv_from(rows[i].want)));
		buf_deinit(&out);
	}
}

static void test_comment(void **state)
{
	struct buf out = BUF_INIT(100);

	(void)state;
	assert_int_equal(setup_ps_comment(&out,
				 SV("a\nStop-Computer\r\xe2\x80\xa8"
				    "b")),
		0);
	assert_true(sv_eq(buf_sv(&out), SV("a?Stop-Computer??b")));
	buf_deinit(&out);
}

static void make(const char *text, const char *address, struct buf *out)
{
	struct conf_findings f;
	struct conf *c = conf_load_text(sv_from(text), &f);
	struct setup_plan plan;
	struct buf bones = BUF_INIT(SETUP_SCRIPT_MAX);

	for (size_t i = 0; i < f.count; i++)
		if (!f.items[i].warning)
			print_message("%u: %s\n", f.items[i].line, f.items[i].text);
	assert_non_null(c);
	setup_plan_make(&plan, c, sv_from(address));
	assert_int_equal(setup_powershell(&plan, out), 0);
	assert_true(ps_skeleton(buf_sv(out), &bones));
	buf_deinit(&bones);
	setup_plan_deinit(&plan);
	conf_findings_free(&f);
	conf_unref(c);
}

static size_t count_of(const struct buf *script, const char *text)
{
	struct sv rest = buf_sv(script);
	size_t count = 0;
	ptrdiff_t at;

	while ((at = sv_find(rest, sv_from(text))) >= 0) {
		count++;
		rest = sv_skip(rest, (size_t)at + 1);
	}
	return count;
}

#define TENANT                                                                     \
	"vault: { key: file:/v }\n"                                                \
	"tenants:\n  - { name: contoso, id: contoso.com, domains: [contoso.com], " \
	"app: { client_id: " ID ", secret: file:/a } }\n"

static void test_app(void **state)
{
	struct buf out = BUF_INIT(SETUP_SCRIPT_MAX);

	(void)state;
	make(TENANT
		"users:\n"
		"  - { name: web, password: file:/s, senders: [web@contoso.com, erp@contoso.com] "
		"}\n"
		"  - { name: odd, password: file:/s, senders: [\"*@contoso.com\"] }\n"
		"devices:\n  - { name: p, from: 10.0.5.30, sender: scan@contoso.com }\n"
		"mailboxes:\n"
		"  - { address: erp@contoso.com, tenant: contoso, auth: app }\n"
		"  - { address: crm@contoso.com, tenant: contoso, auth: app, sender: rewrite }\n"
		"routes:\n"
		"  - { sender: crm@contoso.com, through: crm@contoso.com }\n"
		"  - { through: erp@contoso.com }\n",
		NULL,
		&out);
	assert_int_equal(count_of(&out, "$clientId = '" ID "'"), 1);
	assert_int_equal(count_of(&out,
				 "Add-PosternRole $app $sp "
				 "'00000002-0000-0ff1-ce00-000000000000' 'SMTP.SendAsApp'"),
		1);
	assert_int_equal(count_of(&out, "-ObjectId $sp.Id"), 1);
	assert_int_equal(count_of(&out, "Add-MailboxPermission"), 2);
	assert_int_equal(count_of(&out,
				 "Set-CASMailbox -Identity 'erp@contoso.com' "
				 "-SmtpClientAuthenticationDisabled $false"),
		1);
	assert_int_equal(count_of(&out, "SubmissionEnabled $false"), 2);
	/* web@ and the printer's; erp@ is the mailbox, crm@ goes another way. */
	assert_int_equal(count_of(&out, "Add-RecipientPermission"), 2);
	assert_int_equal(count_of(&out, "$sender = 'web@contoso.com'"), 1);
	assert_int_equal(count_of(&out, "$sender = 'scan@contoso.com'"), 1);
	assert_int_equal(count_of(&out, "#  - Mail of *@contoso.com may leave by"), 1);
	assert_int_equal(count_of(&out, "-KeySize 2048"), 1);
	assert_int_equal(count_of(&out, "Set-TransportConfig"), 0);
	assert_int_equal(count_of(&out, "IsFallbackPublicClient"), 0);
	buf_deinit(&out);
}

static void test_doors(void **state)
{
	struct buf out = BUF_INIT(SETUP_SCRIPT_MAX);

	(void)state;
	make(TENANT "mailboxes:\n"
		    "  - { address: pay@contoso.com, tenant: contoso, provider: hve }\n"
		    "  - { address: old@contoso.com, tenant: contoso, provider: hve, password: "
		    "file:/p }\n"
		    "  - { address: big@contoso.com, tenant: contoso, provider: graph }\n"
		    "  - { address: all@contoso.com, tenant: contoso, auth: user, login: "
		    "it@contoso.com }\n"
		    "connectors:\n"
		    "  - { name: mx, provider: connector, tenant: contoso }\n"
		    "routes:\n  - { through: sender }\n",
		"192.0.2.7",
		&out);
	assert_int_equal(count_of(&out, "New-MailUser -HVEAccount"), 2);
	assert_int_equal(count_of(&out, "Add-HVEAppAccess -Identity 'pay@contoso.com'"), 1);
	assert_int_equal(count_of(&out, "Add-HVEAppAccess -Identity 'old@contoso.com'"), 0);
	assert_int_equal(count_of(&out, "Read-Host -AsSecureString"), 1);
	assert_int_equal(
		count_of(&out, "'00000003-0000-0000-c000-000000000000' 'Mail.ReadWrite'"), 1);
	assert_int_equal(count_of(&out,
				 "Add-PosternScope $app $sp "
				 "'00000002-0000-0ff1-ce00-000000000000' 'SMTP.Send'"),
		1);
	assert_int_equal(count_of(&out, "$trustee = 'it@contoso.com'"), 2);
	assert_int_equal(count_of(&out, "Set-CASMailbox"), 2);
	assert_int_equal(count_of(&out, "$address = '192.0.2.7'"), 1);
	assert_int_equal(count_of(&out, "$name = 'postern ' + 'mx'"), 1);
	assert_int_equal(count_of(&out, "IsFallbackPublicClient"), 1);
	/* Nobody signs in as the app at client submission. */
	assert_int_equal(count_of(&out, "New-ServicePrincipal -AppId"), 0);
	buf_deinit(&out);
}

static void test_new_app(void **state)
{
	struct buf out = BUF_INIT(SETUP_SCRIPT_MAX);

	(void)state;
	make("tenants:\n  - { name: c, id: contoso.com, cloud: gcc-high, app: { client_id: "
	     "" SETUP_NO_CLIENT_ID ", secret: file:/a } }\n"
	     "mailboxes:\n  - { address: erp@contoso.com, tenant: c, auth: app }\n"
	     "  - { address: lost@contoso.com, password: file:/p }\n"
	     "connectors:\n  - { name: mx, provider: connector, tenant: c, domain: contoso.com }\n"
	     "routes:\n  - { through: sender }\n",
		NULL,
		&out);
	assert_int_equal(count_of(&out, "New-MgApplication -DisplayName 'postern'"), 1);
	assert_int_equal(count_of(&out, "-Environment USGov "), 1);
	assert_int_equal(count_of(&out, "O365USGovGCCHigh"), 1);
	assert_int_equal(count_of(&out, "Read-Host 'Public IPv4"), 1);
	assert_int_equal(count_of(&out, "lost@contoso.com has no tenant"), 1);
	assert_int_equal(count_of(&out, "Set-CASMailbox"), 1);
	assert_int_equal(count_of(&out, "$domain = 'contoso.com'"), 1);
	buf_deinit(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quote),
		cmocka_unit_test(test_comment),
		cmocka_unit_test(test_app),
		cmocka_unit_test(test_doors),
		cmocka_unit_test(test_new_app),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
