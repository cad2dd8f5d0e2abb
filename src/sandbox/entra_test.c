/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/entra.h"

#include "base/buf.h"
#include "base/must.h"
#include "sandbox/jwt.h"

#include "cmocka_all.h"
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	NOW = 1800000000
};

struct bench {
	char folder[64];
	struct sandbox_entra *entra;
};

static int set_up(void **state)
{
	struct bench *b = xcalloc(1, sizeof(*b));

	(void)snprintf(b->folder, sizeof(b->folder), "/tmp/postern-entra-XXXXXX");
	must(mkdtemp(b->folder) != NULL);
	b->entra = sandbox_entra_new(sv_from(b->folder));
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *b = *state;
	char path[128];

	sandbox_entra_free(b->entra);
	(void)snprintf(path, sizeof(path), "%s/token.key", b->folder);
	(void)unlink(path);
	must(rmdir(b->folder) == 0);
	free(b);
	return 0;
}

static json_t *mint(struct bench *b, const char *spec)
{
	json_t *wanted = json_loads(spec, 0, NULL), *answer = NULL;
	struct sandbox_instant at = { NOW, NOW };

	assert_non_null(wanted);
	assert_int_equal(sandbox_entra_mint(b->entra, wanted, at, &answer, NULL), 0);
	json_decref(wanted);
	return answer;
}

static void set(struct bench *b, const char *text)
{
	json_t *settings = json_loads(text, 0, NULL);

	assert_non_null(settings);
	assert_int_equal(sandbox_entra_apply(b->entra, settings, NULL), 0);
	json_decref(settings);
}

static void tokens_as_exchange_sees_them(void **state)
{
	static const struct {
		const char *name, *spec, *mailbox;
		uint64_t later_s;
		const char *why; /* NULL: it is good */
	} rows[] = {
		{ "app", "{}", "a@contoso.com", 0, NULL },
		{ "app, last second", "{}", "a@contoso.com", 3598, NULL },
		{ "app, ended", "{}", "a@contoso.com", 3599, "expired" },
		{ "user", "{\"user\":\"a@contoso.com\"}", "A@contoso.com", 0, NULL },
		{ "another user",
			"{\"user\":\"a@contoso.com\"}",
			"b@contoso.com",
			0,
			"not the mailbox" },
		{ "delegate", "{\"user\":\"a@contoso.com\"}", "shared@contoso.com", 0, NULL },
		{ "graph",
			"{\"scope\":\"https://graph.microsoft.com/.default\"}",
			"a@contoso.com",
			0,
			"Graph" },
		{ "no SendAsApp", "{\"client_id\":\"weak\"}", "a@contoso.com", 0, "permission" },
		{ "not registered",
			"{\"client_id\":\"new\"}",
			"a@contoso.com",
			0,
			"service principal" },
		{ "other mailboxes",
			"{\"client_id\":\"narrow\"}",
			"a@contoso.com",
			0,
			"after DATA" },
		{ "its mailbox", "{\"client_id\":\"narrow\"}", "scan@contoso.com", 0, NULL },
	};
	struct bench *b = *state;

	set(b,
		"{\"apps\":[{\"client_id\":\"weak\",\"roles\":[\"Mail.Send\"]},"
		"{\"client_id\":\"new\",\"registered\":false},"
		"{\"client_id\":\"narrow\",\"mailboxes\":[\"scan@contoso.com\"]}],"
		"\"delegates\":{\"shared@contoso.com\":[\"a@contoso.com\"]}}");
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		json_t *answer = mint(b, rows[i].spec);
		struct sandbox_bearer bearer = { 0 };
		const char *why = sandbox_entra_check(b->entra,
			sandbox_jwt_text(answer, "access_token"),
			NOW + rows[i].later_s,
			&bearer);

		if (!why)
			why = sandbox_bearer_smtp(b->entra,
				&bearer,
				sv_from(rows[i].mailbox),
				"SMTP.Send",
				"SMTP.SendAsApp");
		if (!why && !sandbox_bearer_owns(b->entra, &bearer, sv_from(rows[i].mailbox)))
			why = "no full access, said after DATA";
		if (!why != !rows[i].why || (why && !strstr(why, rows[i].why)))
			fail_msg("%s: %s", rows[i].name, why ? why : "good");
		sandbox_bearer_deinit(&bearer);
		json_decref(answer);
	}
}

/* Each bit of a token counts. */
static void a_changed_token_is_none(void **state)
{
	struct bench *b = *state;
	json_t *answer = mint(b, "{}");
	struct sv good = sandbox_jwt_text(answer, "access_token");
	char *text = sv_dup(good);
	struct sandbox_bearer bearer;

	for (size_t i = good.len; i-- > 0; i = i > 6 ? i - 6 : 0) {
		text[i] = text[i] == 'A' ? 'B' : 'A';
		assert_non_null(sandbox_entra_check(b->entra, sv_from(text), NOW, &bearer));
		text[i] = good.ptr[i];
	}
	assert_null(sandbox_entra_check(b->entra, sv_from(text), NOW, &bearer));
	sandbox_bearer_deinit(&bearer);
	free(text);
	json_decref(answer);
}

static void only_two_algorithms(void **state)
{
	static const char *const headers[] = { "{\"alg\":\"none\",\"typ\":\"JWT\"}",
		"{\"alg\":\"HS256\",\"typ\":\"JWT\"}",
		"{\"typ\":\"JWT\"}",
		"{\"alg\":\"PS256\",\"typ\":\"JWT\"}" };
	EVP_PKEY *key = EVP_RSA_gen(2048), *curve = EVP_EC_gen("P-256");
	json_t *claims = json_pack("{s:i}", "exp", NOW);

	(void)state;
	for (size_t i = 0; i <= COUNT_OF(headers); i++) {
		CLEANUP(buf_deinitp) struct buf text = BUF_INIT(SANDBOX_JWT_MAX);
		/* sandbox_jwt_sign() signs RS256 whatever the header says. */
		json_t *header = json_loads(
			i < COUNT_OF(headers) ? headers[i] : "{\"alg\":\"RS256\"}", 0, NULL);
		struct sandbox_jwt j;

		assert_int_equal(sandbox_jwt_sign(&text, header, claims, key), 0);
		assert_int_equal(sandbox_jwt_parse(buf_sv(&text), &j), 0);
		assert_int_equal(sandbox_jwt_verify(&j, key), i == COUNT_OF(headers));
		assert_false(sandbox_jwt_verify(&j, curve));
		sandbox_jwt_deinit(&j);
		json_decref(header);
	}
	json_decref(claims);
	EVP_PKEY_free(key);
	EVP_PKEY_free(curve);
}

static void what_is_no_jwt(void **state)
{
	static const char *const texts[] = { "",
		"a",
		"a.b",
		"e30.e30",
		"e30.e30.AA.AA",
		"W10.e30.AA",
		"e30.W10.AA",
		"e30=.e30.AA",
		"e30.e30.A+",
		"!.e30.AA",
		"e30.e30.AB",
		"eyJhIjoxLCJhIjoyfQ.e30.AA" };
	struct sandbox_jwt j;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		if (sandbox_jwt_parse(sv_from(texts[i]), &j) == 0)
			fail_msg("'%s' was read", texts[i]);
	}
	assert_int_equal(sandbox_jwt_parse(SV("e30.e30.AA"), &j), 0);
	sandbox_jwt_deinit(&j);
}

static void forms(void **state)
{
	struct sandbox_form f;

	(void)state;
	assert_int_equal(sandbox_form_parse(SV("a=1+2%26&&b&c=%C3%a4=&a=second"), &f), 0);
	assert_true(sv_eq(sandbox_form_get(&f, "a"), SV("1 2&")));
	assert_true(sv_eq(sandbox_form_get(&f, "b"), SV("")));
	assert_true(sv_eq(sandbox_form_get(&f, "c"), SV("\xc3\xa4=")));
	assert_int_equal(sandbox_form_get(&f, "d").len, 0);
	sandbox_form_deinit(&f);
	assert_int_equal(sandbox_form_parse(SV("a=%z1"), &f), RC_PARSE);
	assert_int_equal(sandbox_form_parse(SV("a=%1"), &f), RC_PARSE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(tokens_as_exchange_sees_them, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_changed_token_is_none, set_up, tear_down),
		cmocka_unit_test(only_two_algorithms),
		cmocka_unit_test(what_is_no_jwt),
		cmocka_unit_test(forms),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
