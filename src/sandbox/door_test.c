/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/door.h"

#include "base/must.h"
#include "io/net.h"

#include "cmocka_all.h"

static void set(struct sandbox_tenant *t, const char *json)
{
	json_t *settings = json_loads(json, 0, NULL);

	assert_non_null(settings);
	assert_int_equal(sandbox_tenant_apply(t, settings, NULL), 0);
	json_decref(settings);
}

static const struct {
	const char *name;
	enum sandbox_attribution who;
	const char *sender, *recipient;
	size_t before;
	bool reject_direct;
	uint16_t code;
	const char *enhanced, *text;
} relaying[] = {
	{ "certificate",
		SANDBOX_BY_CERTIFICATE,
		"a@contoso.com",
		"b@example.org",
		0,
		false,
		250,
		"2.1.5",
		"" },
	{ "certificate, null sender",
		SANDBOX_BY_CERTIFICATE,
		"",
		"b@example.org",
		0,
		false,
		250,
		"2.1.5",
		"" },
	{ "certificate, forward",
		SANDBOX_BY_CERTIFICATE,
		"x@other.example",
		"b@example.org",
		0,
		false,
		250,
		"2.1.5",
		"" },
	{ "source",
		SANDBOX_BY_SOURCE,
		"a@contoso.com",
		"b@example.org",
		0,
		false,
		250,
		"2.1.5",
		"" },
	{ "source, null sender",
		SANDBOX_BY_SOURCE,
		"",
		"b@example.org",
		0,
		false,
		550,
		"5.7.64",
		"ATTR36" },
	{ "source, forward",
		SANDBOX_BY_SOURCE,
		"x@other.example",
		"b@example.org",
		0,
		false,
		550,
		"5.7.64",
		"ATTR36" },
	{ "source, forward inside",
		SANDBOX_BY_SOURCE,
		"x@other.example",
		"b@contoso.com",
		0,
		true,
		250,
		"2.1.5",
		"" },
	{ "anonymous outside",
		SANDBOX_ANONYMOUS,
		"a@contoso.com",
		"b@example.org",
		0,
		false,
		550,
		"5.7.64",
		"TenantAttribution" },
	{ "direct send",
		SANDBOX_ANONYMOUS,
		"a@contoso.com",
		"b@CONTOSO.com",
		0,
		false,
		250,
		"2.1.5",
		"" },
	{ "direct send off",
		SANDBOX_ANONYMOUS,
		"a@contoso.com",
		"b@contoso.com",
		0,
		true,
		550,
		"5.7.68",
		"Direct Send not allowed" },
	{ "from the internet",
		SANDBOX_ANONYMOUS,
		"x@other.example",
		"b@contoso.com",
		0,
		true,
		250,
		"2.1.5",
		"" },
	{ "a subdomain is another domain",
		SANDBOX_ANONYMOUS,
		"a@contoso.com",
		"b@x.contoso.com",
		0,
		false,
		550,
		"5.7.64",
		"" },
	{ "the 200th",
		SANDBOX_BY_CERTIFICATE,
		"a@contoso.com",
		"b@example.org",
		199,
		false,
		250,
		"2.1.5",
		"" },
	{ "the 201st",
		SANDBOX_BY_CERTIFICATE,
		"a@contoso.com",
		"b@example.org",
		200,
		false,
		452,
		"4.5.3",
		"" },
};

static void who_may_relay(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(relaying); i++) {
		struct sandbox_tenant t;
		struct sandbox_reply r = { 0 };

		sandbox_tenant_init(&t);
		t.reject_direct_send = relaying[i].reject_direct;
		sandbox_connector_rcpt(&t,
			relaying[i].who,
			sv_from(relaying[i].sender),
			sv_from(relaying[i].recipient),
			relaying[i].before,
			&r);
		if (r.code != relaying[i].code || strcmp(r.enhanced, relaying[i].enhanced) != 0 ||
			!strstr(r.text, relaying[i].text))
			fail_msg("%s: %u %s %s", relaying[i].name, r.code, r.enhanced, r.text);
		sandbox_tenant_deinit(&t);
	}
}

static void certificates_and_sources(void **state)
{
	struct sandbox_tenant t;
	struct io_address at;
	json_t *bad = json_loads("{\"connector\":{\"sources\":[\"x\"]}}", 0, NULL);

	(void)state;
	sandbox_tenant_init(&t);
	assert_true(sandbox_tenant_knows_certificate(&t, SV("contoso.com")));
	assert_true(sandbox_tenant_knows_certificate(&t, SV("*.Contoso.com")));
	assert_true(sandbox_tenant_knows_certificate(&t, SV("mail.contoso.com")));
	assert_false(sandbox_tenant_knows_certificate(&t, SV("host.sub.contoso.com")));
	assert_false(sandbox_tenant_knows_certificate(&t, SV("contoso.com.example")));
	set(&t, "{\"accepted_domains\":[\"sub.contoso.com\"]}");
	assert_true(sandbox_tenant_knows_certificate(&t, SV("host.sub.contoso.com")));
	assert_false(sandbox_tenant_knows_certificate(&t, SV("mail.contoso.com")));
	assert_int_equal(io_address_parse(SV("127.0.0.2:25"), &at), 0);
	assert_false(sandbox_tenant_knows_source(&t, &at.any));
	set(&t, "{\"connector\":{\"sources\":[\"127.0.0.2/32\"],\"certificate\":false}}");
	assert_true(sandbox_tenant_knows_source(&t, &at.any));
	assert_false(sandbox_tenant_knows_certificate(&t, SV("host.sub.contoso.com")));
	assert_int_not_equal(sandbox_tenant_apply(&t, bad, NULL), 0);
	assert_true(sandbox_tenant_knows_source(&t, &at.any));
	json_decref(bad);
	sandbox_tenant_deinit(&t);
}

static void high_volume_email(void **state)
{
	struct sandbox_tenant t;
	struct sandbox_reply r;
	struct sv account = SV("bulk@contoso.com");

	(void)state;
	sandbox_tenant_init(&t);
	sandbox_hve_rcpt(&t, SV("b@contoso.com"), 49, &r);
	assert_int_equal(r.code, 250);
	sandbox_hve_rcpt(&t, SV("b@contoso.com"), 50, &r);
	assert_int_equal(r.code, 452);
	sandbox_hve_rcpt(&t, SV("b@example.org"), 0, &r);
	assert_string_equal(r.enhanced, "5.5.105");
	sandbox_hve_mail(account, SV("Bulk@contoso.com"), &r);
	assert_int_equal(r.code, 250);
	sandbox_hve_mail(account, SV("other@contoso.com"), &r);
	assert_string_equal(r.enhanced, "5.7.62");
	sandbox_hve_mail(account, SV(""), &r);
	assert_string_equal(r.enhanced, "5.7.62");
	sandbox_hve_end(account, account, &r);
	assert_int_equal(r.code, 250);
	sandbox_hve_end(account, SV("other@contoso.com"), &r);
	assert_string_equal(r.enhanced, "5.6.241");
	set(&t, "{\"hve_accounts\":[\"bulk@*\"]}");
	sandbox_hve_account(&t, account, &r);
	assert_int_equal(r.code, 235);
	sandbox_hve_account(&t, SV("a@contoso.com"), &r);
	assert_string_equal(r.enhanced, "5.2.240");
	sandbox_tenant_deinit(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_may_relay),
		cmocka_unit_test(certificates_and_sources),
		cmocka_unit_test(high_volume_email),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
