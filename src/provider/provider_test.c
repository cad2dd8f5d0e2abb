/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/cloud.h"
#include "provider/defaults.h"
#include "provider/reply.h"

#include "base/err.h"
#include "provider/reply_priv.h"

#include "provider/public_ca.h"

#include "cmocka_all.h"
#include <errno.h>

#define SUB PROVIDER_SUBMISSION
#define ANY PROVIDER_SMTP
#define AT(s) SMTP_CLIENT_STAGE_##s

static bool is_day(const char *s)
{
	static const char shape[] = "0000-00-00";

	if (strlen(s) != sizeof(shape) - 1)
		return false;
	for (size_t i = 0; i < sizeof(shape) - 1; i++)
		if (shape[i] == '-' ? s[i] != '-' : s[i] < '0' || s[i] > '9')
			return false;
	return true;
}

/* A stop for reputation holds until a person ends it; a wider stop for anything else has a nature. */
static void check_nature(const struct provider_row *row)
{
	assert_true(row->nature < VERDICT_NATURE_COUNT);
	if (row->nature == VERDICT_NATURE_REPUTATION)
		assert_true(row->kind == VERDICT_BOUNCE || row->retry_after_us >= US_PER_DAY);
	if (strstr(cause_name(row->cause), "limit") && row->kind == VERDICT_PARK)
		assert_true(
			row->nature == VERDICT_NATURE_QUOTA || row->scope == VERDICT_SCOPE_ROUTE);
	if (row->kind == VERDICT_PARK && row->scope == VERDICT_SCOPE_TENANT)
		assert_true(row->nature != VERDICT_NATURE_OTHER);
	if (row->on.stages == PROVIDER_AT_AUTH || row->on.stages == PROVIDER_AT_SIGN_IN)
		assert_true(row->nature != VERDICT_NATURE_OTHER);
}

/* What every row must keep, whoever adds one. */
static void check_row(const struct provider_row *row)
{
	const struct provider_pattern *on = &row->on;

	assert_true(row->kind < VERDICT_KIND_COUNT);
	assert_true(row->scope <= PROVIDER_SCOPE_BY_STAGE);
	assert_int_equal(row->summary[strlen(row->summary) - 1], '.');
	assert_true(strlen(row->source) > 5);
	assert_true(is_day(row->checked));
	assert_true(on->stages != 0);
	assert_int_equal(on->stages & ~(unsigned)PROVIDER_AT_ANY, 0);
	assert_true(on->code == 4 || on->code == 5 || (on->code >= 400 && on->code < 600));
	/* With a whole code the classes may differ: "550 4.4.7", "451 5.7.3". */
	if (on->enhanced && on->enhanced[0] && on->code < 10)
		assert_int_equal(on->enhanced[0], on->code + '0');
	if (row->kind == VERDICT_PARK)
		assert_true(row->retry_after_us >= 5 * US_PER_MIN);
	if (row->kind == VERDICT_BOUNCE) {
		/* Never for a step of the session, never for what clears, never wider than a message. */
		assert_int_equal(on->stages & ~(unsigned)PROVIDER_AT_MESSAGE, 0);
		assert_int_equal(on->code < 10 ? on->code : on->code / 100, 5);
		assert_true(row->scope == PROVIDER_SCOPE_BY_STAGE ||
			    row->scope == VERDICT_SCOPE_MESSAGE ||
			    row->scope == VERDICT_SCOPE_RECIPIENT);
	}
	if (row->kind == VERDICT_DELIVERED)
		assert_true(on->after_uncertain);
	check_nature(row);
}

static bool finds(const struct provider_row *row, const struct smtp_reply *reply)
{
	const struct provider_pattern *on = &row->on;
	struct provider_question q = { .after_uncertain = on->after_uncertain,
		.sign_in = on->sign_in };
	unsigned providers = on->providers ? on->providers : (1U << PROVIDER_COUNT) - 1;

	for (unsigned p = 0; p < PROVIDER_COUNT; p++) {
		for (unsigned s = 0; s < SMTP_CLIENT_STAGE_COUNT; s++) {
			q.providers = 1U << p;
			q.stages = 1U << s;
			if (!(providers & q.providers) || !(on->stages & q.stages))
				continue;
			if (provider_find_row(&q, reply) == row)
				return true;
		}
	}
	return false;
}

/* A row that the judge can never choose is a row nobody should believe in. */
static void check_reachable(const struct provider_row *row)
{
	const struct provider_pattern *on = &row->on;
	struct smtp_reply reply = {
		.code = on->code < 10 ? (uint16_t)(on->code * 100 + 50) : on->code,
		.text = sv_from(on->text ? on->text + (on->text[0] == '^') : ""),
	};

	(void)snprintf(
		reply.enhanced, sizeof(reply.enhanced), "%s", on->enhanced ? on->enhanced : "");
	if (finds(row, &reply))
		return;
	/* One for any enhanced code may be left what another, for replies without any, does not take. */
	if (!on->enhanced)
		(void)snprintf(
			reply.enhanced, sizeof(reply.enhanced), "%u.9.999", reply.code / 100U);
	if (!finds(row, &reply))
		fail_msg("no reply finds the row \"%s\" of %s",
			on->text ? on->text : "*",
			cause_name(row->cause));
}

static void test_every_row_is_sound_and_reachable(void **state)
{
	(void)state;
	for (size_t i = 0; i < provider_rows_count; i++) {
		check_row(&provider_rows[i]);
		check_reachable(&provider_rows[i]);
	}
}

static void test_session_steps_never_bounce(void **state)
{
	static const enum smtp_client_stage stages[] = {
		AT(CONNECT), AT(GREETING), AT(EHLO), AT(STARTTLS), AT(AUTH), AT(IDLE), AT(QUIT)
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(stages); i++) {
		for (uint16_t code = 400; code < 600; code++) {
			struct smtp_reply reply = { .code = code, .text = SV("no such user") };
			struct provider_answer a = {
				.stage = stages[i], .reply = &reply, .after_uncertain = true
			};

			for (unsigned p = 0; p < PROVIDER_COUNT; p++) {
				struct verdict v;

				a.provider = (enum provider_kind)p;
				(void)snprintf(reply.enhanced, sizeof(reply.enhanced), "%s", "");
				v = provider_judge(&a);
				assert_true(v.kind == VERDICT_RETRY || v.kind == VERDICT_PARK);
				(void)snprintf(reply.enhanced,
					sizeof(reply.enhanced),
					"%u.1.1",
					code / 100U);
				v = provider_judge(&a);
				assert_true(v.kind == VERDICT_RETRY || v.kind == VERDICT_PARK);
			}
		}
	}
}

static void test_failures_without_a_reply(void **state)
{
	struct verdict v;

	(void)state;
	v = provider_judge_failure(SUB, AT(EHLO), SMTP_CLIENT_FAIL_NO_STARTTLS);
	assert_int_equal(v.kind, VERDICT_PARK);
	assert_int_equal(v.scope, VERDICT_SCOPE_ROUTE);
	assert_string_equal(cause_name(v.cause), "starttls-missing");
	v = provider_judge_failure(SUB, AT(AUTH), SMTP_CLIENT_FAIL_NO_AUTH);
	assert_int_equal(v.kind, VERDICT_PARK);
	assert_int_equal(v.scope, VERDICT_SCOPE_MAILBOX);
	assert_int_equal(v.nature, VERDICT_NATURE_AUTHENTICATION);
	assert_non_null(strstr(v.summary, "smtp.office365.com"));
	v = provider_judge_failure(ANY, AT(AUTH), SMTP_CLIENT_FAIL_NO_AUTH);
	assert_null(strstr(v.summary, "smtp.office365.com"));
	v = provider_judge_failure(ANY, AT(GREETING), SMTP_CLIENT_FAIL_TIMEOUT);
	assert_int_equal(v.kind, VERDICT_RETRY);
	assert_int_equal(v.scope, VERDICT_SCOPE_ROUTE);
	assert_string_equal(v.enhanced, "4.4.2");
	v = provider_judge_failure(ANY, AT(DOT), SMTP_CLIENT_FAIL_CLOSED);
	assert_int_equal(v.kind, VERDICT_RETRY);
	assert_int_equal(v.scope, VERDICT_SCOPE_MESSAGE);
	v = provider_judge_failure(ANY, AT(RCPT), SMTP_CLIENT_FAIL_PROTOCOL);
	assert_int_equal(v.kind, VERDICT_RETRY);
}

static void test_network_failures_hold_the_route(void **state)
{
	static const struct {
		int rc;
		enum verdict_kind kind;
		const char *cause;
	} rows[] = {
		{ RC_DNS, VERDICT_RETRY, "dns-failure" },
		{ RC_NO_NAME, VERDICT_PARK, "no-such-host" },
		{ RC_TLS, VERDICT_PARK, "tls-failure" },
		{ RC_TIMEOUT, VERDICT_RETRY, "connect-timeout" },
		{ -ECONNREFUSED, VERDICT_RETRY, "connection-refused" },
		{ -EHOSTUNREACH, VERDICT_RETRY, "unreachable" },
		{ -EACCES, VERDICT_RETRY, "forbidden-here" },
		{ -EMFILE, VERDICT_RETRY, "network-error" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct verdict v = provider_judge_network(SUB, rows[i].rc);

		assert_int_equal(v.kind, rows[i].kind);
		assert_int_equal(v.scope, VERDICT_SCOPE_ROUTE);
		assert_int_equal(v.nature, VERDICT_NATURE_OUTAGE);
		assert_true(v.of_line);
		assert_true(verdict_may_go_elsewhere(&v));
		assert_string_equal(cause_name(v.cause), rows[i].cause);
		assert_int_equal(v.enhanced[0], '4');
	}
}

static void names_of_verdicts_go_both_ways(void **state)
{
	(void)state;
	for (int i = 0; i < VERDICT_KIND_COUNT; i++) {
		enum verdict_kind kind;

		assert_int_equal(
			verdict_kind_parse(sv_from(verdict_kind_name((enum verdict_kind)i)), &kind),
			0);
		assert_int_equal(kind, i);
	}
	for (int i = 0; i < VERDICT_SCOPE_COUNT; i++) {
		enum verdict_scope scope;

		assert_int_equal(
			verdict_scope_parse(
				sv_from(verdict_scope_name((enum verdict_scope)i)), &scope),
			0);
		assert_int_equal(scope, i);
	}
	assert_string_equal(verdict_scope_name(VERDICT_SCOPE_TENANT_EXTERNAL), "tenant-external");
	assert_int_equal(verdict_kind_parse(SV("nope"), &(enum verdict_kind){ 0 }), RC_PARSE);
	assert_int_equal(verdict_scope_parse(SV(""), &(enum verdict_scope){ 0 }), RC_PARSE);
}

static void names_of_causes_go_both_ways(void **state)
{
	(void)state;
	for (int i = 0; i < CAUSE_COUNT; i++)
		assert_int_equal(cause_parse(sv_from(cause_name((enum cause)i))), i);
	assert_string_equal(cause_name(CAUSE_NONE), "");
	assert_int_equal(cause_parse(SV("of-a-newer-version")), CAUSE_UNKNOWN_CAUSE);
}

static void test_names(void **state)
{
	static const char *const names[PROVIDER_COUNT] = {
		"submission", "smtp", "hve", "connector", "direct", "graph", "gmail"
	};
	enum provider_kind kind = PROVIDER_COUNT;

	(void)state;
	for (unsigned i = 0; i < PROVIDER_COUNT; i++) {
		assert_string_equal(provider_name((enum provider_kind)i), names[i]);
		assert_int_equal(provider_parse(sv_from(names[i]), &kind), 0);
		assert_int_equal(kind, i);
	}
	assert_int_equal(provider_parse(SV("Submission"), &kind), 0);
	assert_int_equal(kind, PROVIDER_SUBMISSION);
	assert_int_equal(provider_parse(SV("graphs"), &kind), RC_PARSE);
	assert_int_equal(provider_parse(SV("office365"), &kind), RC_PARSE);
	assert_int_equal(provider_parse(SV(""), &kind), RC_PARSE);
	assert_int_equal(kind, PROVIDER_SUBMISSION);
}

static void test_clouds(void **state)
{
	static const struct {
		enum provider_cloud cloud;
		const char *name, *login, *smtp, *scope, *graph;
	} clouds[] = {
		{ PROVIDER_CLOUD_GLOBAL,
			"global",
			"https://login.microsoftonline.com",
			"smtp.office365.com",
			"https://outlook.office365.com",
			"https://graph.microsoft.com" },
		{ PROVIDER_CLOUD_GCC_HIGH,
			"gcc-high",
			"https://login.microsoftonline.us",
			"smtp.office365.us",
			"https://outlook.office365.us",
			"https://graph.microsoft.us" },
		{ PROVIDER_CLOUD_DOD,
			"dod",
			"https://login.microsoftonline.us",
			"outlook-dod.office365.us",
			"https://outlook-dod.office365.us",
			"https://dod-graph.microsoft.us" },
		{ PROVIDER_CLOUD_21VIANET,
			"21vianet",
			"https://login.partner.microsoftonline.cn",
			"smtp.partner.outlook.cn",
			"https://partner.outlook.cn",
			"https://microsoftgraph.chinacloudapi.cn" },
		{ PROVIDER_CLOUD_GOOGLE,
			"google",
			"https://oauth2.googleapis.com",
			"smtp.gmail.com",
			"https://mail.google.com",
			"" },
	};
	enum provider_cloud found;

	(void)state;
	assert_int_equal(COUNT_OF(clouds), PROVIDER_CLOUD_COUNT);
	for (size_t i = 0; i < COUNT_OF(clouds); i++) {
		const struct provider_cloud_row *row = provider_cloud(clouds[i].cloud);

		assert_string_equal(row->name, clouds[i].name);
		assert_true(sv_eq(row->login, sv_from(clouds[i].login)));
		assert_true(sv_eq(row->smtp, sv_from(clouds[i].smtp)));
		assert_true(sv_eq(row->scope_host, sv_from(clouds[i].scope)));
		assert_true(sv_eq(row->graph, sv_from(clouds[i].graph)));
		/* No slash at the end: a path is put behind it. */
		assert_false(sv_ends_nocase(row->login, SV("/")));
		assert_int_equal(row->token_path[0], '/');
		assert_int_equal(row->device_path[0], '/');
		if (clouds[i].cloud != PROVIDER_CLOUD_GOOGLE)
			assert_non_null(strstr(row->token_path, "/{tenant}/oauth2/v2.0/"));
		assert_true(strlen(row->source) > 5);
		assert_true(is_day(row->checked));
		assert_int_equal(provider_cloud_parse(sv_from(clouds[i].name), &found), 0);
		assert_int_equal(found, clouds[i].cloud);
	}
	assert_int_equal(provider_cloud_parse(SV("GCC-High"), &found), 0);
	assert_int_equal(found, PROVIDER_CLOUD_GCC_HIGH);
	assert_int_equal(provider_cloud_parse(SV("gcc"), &found), RC_PARSE);
	assert_int_equal(provider_cloud_parse(SV(""), &found), RC_PARSE);
}

/* What a lane relies on, whatever the numbers are. */
static void test_defaults_of_every_provider(void **state)
{
	(void)state;
	for (unsigned i = 0; i < PROVIDER_COUNT; i++) {
		const struct provider_defaults *d = provider_defaults((enum provider_kind)i);

		assert_true(d->port != 0);
		assert_true(d->connections > 0);
		assert_true(d->is_http || d->connection_us_max > 0);
		assert_true(d->is_http || d->connection_us_max < 20 * US_PER_MIN);
		/* Who has a login is known by a mailbox, who has none by a connector. */
		assert_false(d->needs_login && d->is_connector);
		/* A mailbox sends as itself: a bounce's empty sender is refused. */
		assert_false(d->needs_login && d->null_sender);
		assert_true(!d->needs_login || (d->app_scope && d->user_scope));
		assert_true(d->needs_login || !d->app_scope);
		/* A session must not outlive what a token must have left. */
		assert_true(!d->token_left_us_min || d->connection_us_max < d->token_left_us_min);
	}
}

static void test_defaults_of_the_doors(void **state)
{
	const struct provider_defaults *d = provider_defaults(PROVIDER_HVE);

	(void)state;
	assert_true(sv_eq(d->host, SV("smtp.hve.mx.microsoft")));
	assert_int_equal(d->port, 587);
	assert_int_equal(d->recipients_per_message, 50);
	assert_int_equal(d->message_bytes_max, 10 << 20);
	assert_int_equal(d->messages_per_minute, 0);
	assert_true(d->internal_only && d->own_sender);
	assert_true(d->token_left_us_min >= 10 * US_PER_MIN);
	d = provider_defaults(PROVIDER_CONNECTOR);
	assert_int_equal(d->port, 25);
	assert_int_equal(d->host.len, 0);
	assert_int_equal(d->recipients_per_day, 10000);
	assert_int_equal(d->recipients_per_domain, 200);
	assert_true(d->null_sender && d->is_connector && !d->internal_only);
	d = provider_defaults(PROVIDER_DIRECT);
	assert_int_equal(d->port, 25);
	assert_true(d->internal_only && d->is_connector && !d->null_sender);
	d = provider_defaults(PROVIDER_GRAPH);
	assert_true(d->is_http);
	assert_int_equal(d->connections, 4);
	assert_int_equal(d->recipients_per_day, 10000);
	assert_string_equal(d->user_scope, "/Mail.Send");
	d = provider_defaults(PROVIDER_GMAIL);
	assert_true(sv_eq(d->host, SV("smtp.gmail.com")));
	assert_int_equal(d->recipients_per_message, 100);
	assert_int_equal(d->messages_per_day, 2000);
	assert_int_equal(d->recipients_per_day, 3000);
	assert_int_equal(d->external_per_day, 2000);
	assert_string_equal(d->app_scope, "/");
}

static void test_defaults(void **state)
{
	const struct provider_defaults *d = provider_defaults(PROVIDER_SUBMISSION);

	(void)state;
	assert_true(sv_eq(d->host, SV("smtp.office365.com")));
	assert_int_equal(d->port, 587);
	assert_int_equal(d->connections, 2);
	assert_int_equal(d->messages_per_minute, 30);
	assert_int_equal(d->recipients_per_day, 10000);
	assert_int_equal(d->recipients_per_message, 500);
	assert_true(d->connection_us_max < 20 * US_PER_MIN);
	assert_false(d->null_sender);
	assert_true(d->needs_login);
	d = provider_defaults(PROVIDER_SMTP);
	assert_int_equal(d->host.len, 0);
	assert_int_equal(d->messages_per_minute, 0);
	assert_int_equal(d->connections, 10);
	assert_true(d->null_sender);
}

static void test_app_password(void **state)
{
	static const char *const others[] = { "",
		"abcdefghijklmnop",
		"abcd efgh ijkl mno",
		"abcd efgh ijkl mnoP",
		"abcde fgh ijkl mnop",
		"abcd efgh ijkl mno1",
		"abcd  efgh ijkl mnop",
		"abcd efgh ijkl mnop qrst",
		"abcd\tefgh ijkl mnop" };
	char out[17] = "untouched";

	(void)state;
	for (size_t i = 0; i < COUNT_OF(others); i++) {
		assert_false(provider_app_password_unspace(sv_from(others[i]), out));
		assert_string_equal(out, "untouched");
	}
	assert_true(provider_app_password_unspace(SV("abcd efgh ijkl mnop"), out));
	assert_string_equal(out, "abcdefghijklmnop");
	assert_true(provider_app_password_unspace(SV(" zzzz efgh ijkl mnop "), out));
	assert_string_equal(out, "zzzzefghijklmnop");
}

static void public_cas_are_told_from_others(void **state)
{
	static const char *const public[] = { "DigiCert Cloud Services CA-1",
		"Microsoft Azure RSA TLS Issuing CA 07",
		"DigiCert Global G2 TLS RSA SHA256 2020 CA1",
		"GTS CA 1C3",
		"R11",
		"E5",
		"WR2",
		"Sectigo RSA Domain Validation Secure Server CA" };
	static const char *const others[] = { "",
		"Contoso Proxy CA",
		"FortiGate CA",
		"postern sandbox CA",
		"R",
		"R2D2",
		"Not DigiCert",
		"Kaspersky Anti-Virus Personal Root" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(public); i++)
		assert_true(provider_is_public_ca(sv_from(public[i])));
	for (size_t i = 0; i < COUNT_OF(others); i++)
		assert_false(provider_is_public_ca(sv_from(others[i])));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(public_cas_are_told_from_others),
		cmocka_unit_test(test_every_row_is_sound_and_reachable),
		cmocka_unit_test(test_session_steps_never_bounce),
		cmocka_unit_test(test_failures_without_a_reply),
		cmocka_unit_test(test_network_failures_hold_the_route),
		cmocka_unit_test(test_names),
		cmocka_unit_test(names_of_verdicts_go_both_ways),
		cmocka_unit_test(names_of_causes_go_both_ways),
		cmocka_unit_test(test_clouds),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_defaults_of_every_provider),
		cmocka_unit_test(test_defaults_of_the_doors),
		cmocka_unit_test(test_app_password),
	};

	return cmocka_run_group_tests_name("provider", tests, NULL, NULL);
}
