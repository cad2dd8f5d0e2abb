/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/claims.h"

#include "base/err.h"
#include "cmocka_all.h"
#include "identity/encode.h"

#include <stdio.h>

#define TENANT "22222222-2222-2222-2222-222222222222"
#define APP "11111111-1111-1111-1111-111111111111"
#define NOW_S 1790000000

static const struct wall_time now = { NOW_S * INT64_C(1000000) };

static struct conf_tenant tenant = {
	.name = SV_INIT("contoso"),
	.id = SV_INIT(TENANT),
	.app = { .client_id = SV_INIT(APP) },
	.graph_url = SV_INIT("https://graph.microsoft.com"),
	.scope_host = SV_INIT("https://outlook.office365.com"),
};

static struct conf_lane lane_of(enum provider_kind provider, enum conf_sign_in sign_in)
{
	return (struct conf_lane){ .name = SV("erp@contoso.com"),
		.provider = provider,
		.sign_in = sign_in,
		.tenant = &tenant };
}

/* header.claims.signature */
static int read(const char *json, struct identity_claims *out)
{
	CLEANUP(buf_deinitp) struct buf token = BUF_INIT(65536);

	assert_int_equal(buf_append(&token, SV("e30.")), 0);
	assert_int_equal(identity_base64url_encode(&token, sv_from(json)), 0);
	assert_int_equal(buf_append(&token, SV(".c2ln")), 0);
	return identity_claims_read(buf_sv(&token), out);
}

static void claims_are_read(void **state)
{
	struct identity_claims c;

	(void)state;
	assert_int_equal(read("{\"aud\":\"https://outlook.office365.com\",\"appid\":\"" APP
			      "\",\"tid\":\"" TENANT "\",\"oid\":\"o-1\",\"idtyp\":\"app\","
			      "\"roles\":[\"SMTP.SendAsApp\",7,\"Mail.Send\"],"
			      "\"iat\":1789999700,\"nbf\":1789999700,\"exp\":1790003600}",
				 &c),
		0);
	assert_string_equal(c.audience, "https://outlook.office365.com");
	assert_string_equal(c.permissions, "SMTP.SendAsApp Mail.Send");
	assert_string_equal(c.app, APP);
	assert_string_equal(c.tenant, TENANT);
	assert_string_equal(c.object, "o-1");
	assert_true(c.is_app);
	assert_int_equal(c.expires_s, 1790003600);
	assert_int_equal(read("{\"scp\":\"SMTP.Send Mail.Send\",\"upn\":\"anna@contoso.com\","
			      "\"azp\":\"other\"}",
				 &c),
		0);
	assert_string_equal(c.permissions, "SMTP.Send Mail.Send");
	assert_string_equal(c.user, "anna@contoso.com");
	assert_string_equal(c.app, "other");
	assert_false(c.is_app);
}

static void what_is_no_token_is_refused(void **state)
{
	static const char *const none[] = { "",
		"x",
		"a.b",
		"e30.e30",
		"e30.W10.x",
		"e30.!!.x",
		"ya29.a0AfH6SMBx",
		"..",
		"e30..x" };
	struct identity_claims c = { .app = "kept" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(none); i++)
		assert_int_equal(identity_claims_read(sv_from(none[i]), &c), RC_PARSE);
	assert_string_equal(c.app, "kept");
	/* Strange values are as good as none. */
	assert_int_equal(read("{\"aud\":5,\"upn\":\"a\\nb@c\",\"exp\":-1,\"nbf\":1e9,"
			      "\"iat\":99999999999999,\"roles\":\"x\",\"scp\":\"a\\u0001 b\"}",
				 &c),
		0);
	assert_string_equal(c.audience, "");
	assert_string_equal(c.user, "");
	assert_string_equal(c.permissions, "b");
	assert_int_equal(c.expires_s, 0);
	assert_int_equal(c.not_before_s, 0);
	assert_int_equal(c.issued_s, 0);
}

struct row {
	enum provider_kind provider;
	enum conf_sign_in sign_in;
	const char *json;
	enum identity_claims_fault fault;
	const char *says;
};

#define GOOD "\"appid\":\"" APP "\",\"tid\":\"" TENANT "\",\"exp\":1790003600,\"iat\":1790000000"
#define OUTLOOK "\"aud\":\"https://outlook.office365.com\","
#define GRAPH "\"aud\":\"https://graph.microsoft.com\","

static const struct row rows[] = {
	{ PROVIDER_SUBMISSION,
		CONF_SIGN_IN_APP,
		"{" OUTLOOK GOOD ",\"roles\":[\"SMTP.SendAsApp\"]}",
		IDENTITY_CLAIMS_FINE,
		"" },
	{ PROVIDER_SUBMISSION,
		CONF_SIGN_IN_APP,
		"{\"aud\":\"00000002-0000-0ff1-ce00-000000000000\"," GOOD
		",\"roles\":[\"SMTP.SendAsApp\"]}",
		IDENTITY_CLAIMS_FINE,
		"" },
	{ PROVIDER_SUBMISSION,
		CONF_SIGN_IN_APP,
		"{" GRAPH GOOD ",\"roles\":[\"SMTP.SendAsApp\"]}",
		IDENTITY_CLAIMS_GRAPH_AUDIENCE,
		"this is a Graph token" },
	{ PROVIDER_SUBMISSION,
		CONF_SIGN_IN_APP,
		"{\"aud\":\"00000003-0000-0000-c000-000000000000\"," GOOD "}",
		IDENTITY_CLAIMS_GRAPH_AUDIENCE,
		"this is a Graph token" },
	{ PROVIDER_SUBMISSION,
		CONF_SIGN_IN_APP,
		"{\"aud\":\"https://vault.azure.net\"," GOOD "}",
		IDENTITY_CLAIMS_AUDIENCE,
		"not for Office 365 Exchange Online" },
	{ PROVIDER_GRAPH,
		CONF_SIGN_IN_APP,
		"{" OUTLOOK GOOD ",\"roles\":[\"Mail.Send\"]}",
		IDENTITY_CLAIMS_AUDIENCE,
		"not for Microsoft Graph" },
	{ PROVIDER_GRAPH,
		CONF_SIGN_IN_APP,
		"{" GRAPH GOOD ",\"roles\":[\"Mail.Send\"]}",
		IDENTITY_CLAIMS_FINE,
		"" },
	{ PROVIDER_SUBMISSION,
		CONF_SIGN_IN_APP,
		"{" OUTLOOK GOOD ",\"roles\":[\"Mail.Send\"]}",
		IDENTITY_CLAIMS_NO_ROLE,
		"SMTP.SendAsApp is missing from the roles of the token (it has Mail.Send)" },
	{ PROVIDER_HVE,
		CONF_SIGN_IN_APP,
		"{" OUTLOOK GOOD "}",
		IDENTITY_CLAIMS_NO_ROLE,
		"Mail.Send is missing from the roles of the token (it has nothing)" },
	{ PROVIDER_SUBMISSION,
		CONF_SIGN_IN_USER,
		"{" OUTLOOK GOOD ",\"scp\":\"IMAP.AccessAsUser.All\"}",
		IDENTITY_CLAIMS_NO_SCOPE,
		"SMTP.Send is missing from the scopes" },
	{ PROVIDER_SUBMISSION,
		CONF_SIGN_IN_APP,
		"{" OUTLOOK "\"appid\":\"" APP
		"\",\"tid\":\"33333333-3333-3333-3333-333333333333\","
		"\"roles\":[\"SMTP.SendAsApp\"]}",
		IDENTITY_CLAIMS_OTHER_TENANT,
		"the token is of another tenant: 33333333-" },
	{ PROVIDER_SUBMISSION,
		CONF_SIGN_IN_APP,
		"{" OUTLOOK "\"appid\":\"33333333-3333-3333-3333-333333333333\","
		"\"roles\":[\"SMTP.SendAsApp\"]}",
		IDENTITY_CLAIMS_OTHER_APP,
		"the token is of another app" },
	{ PROVIDER_SUBMISSION,
		CONF_SIGN_IN_USER,
		"{" OUTLOOK GOOD ",\"scp\":\"SMTP.Send\",\"upn\":\"anna@contoso.com\"}",
		IDENTITY_CLAIMS_OTHER_USER,
		"anna@contoso.com has signed in, not erp@contoso.com" },
	{ PROVIDER_SUBMISSION,
		CONF_SIGN_IN_USER,
		"{" OUTLOOK GOOD ",\"scp\":\"SMTP.Send\",\"upn\":\"ERP@Contoso.com\"}",
		IDENTITY_CLAIMS_FINE,
		"" },
	{ PROVIDER_SUBMISSION,
		CONF_SIGN_IN_APP,
		"{" OUTLOOK "\"exp\":1790000150,\"roles\":[\"SMTP.SendAsApp\"]}",
		IDENTITY_CLAIMS_ENDS_SOON,
		"ends in 2 minutes" },
	{ PROVIDER_SUBMISSION,
		CONF_SIGN_IN_APP,
		"{" OUTLOOK "\"exp\":1789999999,\"roles\":[\"SMTP.SendAsApp\"]}",
		IDENTITY_CLAIMS_EXPIRED,
		"has expired" },
	{ PROVIDER_GMAIL, CONF_SIGN_IN_APP, "{\"aud\":\"x\"}", IDENTITY_CLAIMS_FINE, "" },
};

static void claims_are_judged(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(buf_deinitp) struct buf text = BUF_INIT(4096);
		struct conf_lane lane = lane_of(rows[i].provider, rows[i].sign_in);
		struct identity_claims c;
		enum identity_claims_fault fault;

		assert_int_equal(read(rows[i].json, &c), 0);
		fault = identity_claims_judge(&c, &lane, now);
		if (fault != rows[i].fault)
			fail_msg("row %zu: %s", i, cause_name(identity_claims_fault_cause(fault)));
		assert_int_equal(identity_claims_explain(fault, &c, &lane, now, &text), 0);
		if (sv_find(buf_sv(&text), sv_from(rows[i].says)) < 0)
			fail_msg("row %zu: %.*s", i, SV_ARG(buf_sv(&text)));
	}
	assert_true(identity_claims_is_fatal(IDENTITY_CLAIMS_GRAPH_AUDIENCE));
	assert_true(identity_claims_is_fatal(IDENTITY_CLAIMS_NO_ROLE));
	assert_false(identity_claims_is_fatal(IDENTITY_CLAIMS_OTHER_USER));
	assert_false(identity_claims_is_fatal(IDENTITY_CLAIMS_FINE));
}

static void clocks_are_compared(void **state)
{
	static const struct {
		int64_t issued_s, skew_s;
	} clocks[] = {
		{ NOW_S, 0 },
		{ NOW_S - 300, 0 }, /* as Entra dates it */
		{ NOW_S - 360, 0 },
		{ NOW_S - 361, 361 },
		{ NOW_S - 600, 600 },
		{ NOW_S + 60, 0 },
		{ NOW_S + 600, -600 },
		{ 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(clocks); i++) {
		const struct identity_claims c = { .issued_s = clocks[i].issued_s };

		assert_int_equal(identity_claims_skew_s(&c, now), clocks[i].skew_s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(claims_are_read),
		cmocka_unit_test(what_is_no_token_is_refused),
		cmocka_unit_test(claims_are_judged),
		cmocka_unit_test(clocks_are_compared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
