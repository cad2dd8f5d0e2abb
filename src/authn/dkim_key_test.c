/* SPDX-License-Identifier: Apache-2.0 */
#include "authn/dkim_key.h"

#include "authn/tags.h"
#include "authn/test_zone.h"
#include "base/err.h"

#include "cmocka_all.h"

/* The keys of RFC 8463 A.2; the first is an RSA key of 1024 bits. */
#define RSA                                                                                      \
	"MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jL" \
	"QiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9Pz" \
	"oxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB"
#define ED "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
/* The RSA key without what wraps it (SubjectPublicKeyInfo), as RFC 6376 3.6.1 has it to the letter. */
#define BARE                                                                                      \
	"MIGJAoGBAOQeU5CgFPNZGIazlXo2k/eJ1jpaTTxrmqF1HrDLlt04pvaMtCJj8nXoliLRC/H9vJjMI1vdb3XLcW"  \
	"60AIN/PBD8EL97/y4GwJH7LPUvGP48vqUe+owqszesbiGy1PlCO8c70/OjFnJVgvMF87YR4Lcincb7aSvI5MgpP" \
	"6X8rjDdAgMBAAE="

struct key_row {
	const char *name;
	struct sv record;
	enum authn_key_fault fault;
	unsigned bits;
};

static const struct key_row key_rows[] = {
	{ "all", SV_INIT("v=DKIM1; k=rsa; h=sha256; s=email; t=y:s; n=hi; p=" RSA), 0, 1024 },
	{ "shortest", SV_INIT("p=" RSA), 0, 1024 },
	{ "a ; at the end", SV_INIT("v=DKIM1;k=rsa;p=" RSA ";"), 0, 1024 },
	{ "blanks everywhere", SV_INIT(" v = DKIM1 ;\tp =\r\n " RSA " ; "), 0, 1024 },
	{ "a blank in the key",
		SV_INIT("k=ed25519; p=11qYAYKxCrfVS/7TyWQ HOg7hcvPapiMlrwIaaPcHURo="),
		0,
		256 },
	{ "unknown tags", SV_INIT("v=DKIM1; g=*; x1=a; p=" RSA), 0, 1024 },
	{ "Ed25519", SV_INIT("v=DKIM1; k=ed25519; p=" ED), 0, 256 },
	{ "any service", SV_INIT("s=tlsrpt:*; p=" RSA), 0, 1024 },
	{ "empty", SV_INIT(""), AUTHN_KEY_SYNTAX, 0 },
	{ "other text", SV_INIT("google-site-verification"), AUTHN_KEY_SYNTAX, 0 },
	{ "a tag without value", SV_INIT("k=rsa; t; p=" RSA), AUTHN_KEY_SYNTAX, 0 },
	{ "a tag twice", SV_INIT("p=" RSA "; p=" RSA), AUTHN_KEY_SYNTAX, 0 },
	{ "two ;", SV_INIT("k=rsa;; p=" RSA), AUTHN_KEY_SYNTAX, 0 },
	{ "backslash of a zone file", SV_INIT("v=DKIM1\\; p=" RSA), AUTHN_KEY_VERSION, 0 },
	{ "SPF", SV_INIT("v=spf1"), AUTHN_KEY_VERSION, 0 },
	{ "version last", SV_INIT("p=" RSA "; v=DKIM1"), AUTHN_KEY_VERSION, 0 },
	{ "version in small letters", SV_INIT("v=dkim1; p=" RSA), AUTHN_KEY_VERSION, 0 },
	{ "type", SV_INIT("k=ed448; p=" RSA), AUTHN_KEY_TYPE, 0 },
	{ "no key", SV_INIT("v=DKIM1; k=rsa"), AUTHN_KEY_ABSENT, 0 },
	{ "revoked", SV_INIT("v=DKIM1; p="), AUTHN_KEY_REVOKED, 0 },
	{ "revoked, at the end", SV_INIT("v=DKIM1; p= ; t=y"), AUTHN_KEY_REVOKED, 0 },
	{ "cut off",
		SV_INIT("p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlO"),
		AUTHN_KEY_BASE64,
		0 },
	{ "quotes", SV_INIT("p=\"" RSA "\""), AUTHN_KEY_BASE64, 0 },
	{ "cut off at four letters",
		SV_INIT("p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQ"),
		AUTHN_KEY_DATA,
		0 },
	{ "Ed25519 that is RSA", SV_INIT("k=ed25519; p=" RSA), AUTHN_KEY_DATA, 0 },
	{ "RSA that is Ed25519", SV_INIT("p=" ED), AUTHN_KEY_DATA, 0 },
	/* Ed25519 in SubjectPublicKeyInfo: RFC 8463 4 wants the 32 bytes alone. */
	{ "wrapped Ed25519",
		SV_INIT("k=ed25519; "
			"p=MCowBQYDK2VwAyEA3SUqa9UbfciWkk7tlcJ9P1VD5pXAasg0JUn/OgjVbKE="),
		AUTHN_KEY_DATA,
		0 },
	{ "service", SV_INIT("s=tlsrpt; p=" RSA), AUTHN_KEY_SERVICE, 1024 },
	{ "hash", SV_INIT("h=sha512; p=" RSA), AUTHN_KEY_HASHES, 1024 },
};

static void records(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(key_rows); i++) {
		const struct key_row *row = &key_rows[i];
		struct authn_dkim_key key;

		authn_dkim_key_parse(row->record, &key);
		if (key.fault != row->fault || key.bits != row->bits)
			fail_msg("%s: %s, %u bits",
				row->name,
				authn_key_fault_text(key.fault),
				key.bits);
		assert_int_equal(key.public_key != NULL, row->bits != 0);
		authn_dkim_key_deinit(&key);
	}
}

static void uses(void **state)
{
	struct authn_dkim_key key;

	(void)state;
	authn_dkim_key_parse(SV("k=rsa; h= SHA256 :x; t= s : y; n=by hand; p=" RSA), &key);
	assert_int_equal(key.fault, AUTHN_KEY_GOOD);
	assert_true(key.sha256 && !key.sha1 && key.testing && key.strict && !key.bare);
	assert_true(sv_eq(key.note, SV("by hand")));
	authn_dkim_key_deinit(&key);
	authn_dkim_key_parse(SV("p="), &key);
	assert_true(key.sha256 && key.sha1 && !key.testing && !key.strict);
	authn_dkim_key_deinit(&key);
}

static void bare_key(void **state)
{
	struct authn_dkim_key key;

	(void)state;
	authn_dkim_key_parse(SV("p=" BARE), &key);
	assert_int_equal(key.fault, AUTHN_KEY_GOOD);
	assert_true(key.bare);
	assert_int_equal(key.bits, 1024);
	authn_dkim_key_deinit(&key);
}

/* Of several records the key is taken, wherever it stands; of several faults the first is told. */
static void several(void **state)
{
	struct authn_record r[] = { { .data = SV_INIT("v=spf1 -all") },
		{ .data = SV_INIT("p=") },
		{ .data = SV_INIT("p=" RSA) } };
	struct authn_answer a = { .status = AUTHN_FOUND, .records = r, .count = 3 };
	struct authn_dkim_key key;

	(void)state;
	assert_true(authn_dkim_key_find(&a, &key));
	assert_int_equal(key.fault, AUTHN_KEY_GOOD);
	authn_dkim_key_deinit(&key);
	a.count = 2;
	assert_true(authn_dkim_key_find(&a, &key));
	assert_int_equal(key.fault, AUTHN_KEY_VERSION);
	authn_dkim_key_deinit(&key);
	a.count = 0;
	assert_false(authn_dkim_key_find(&a, &key));
	authn_dkim_key_deinit(&key);
}

static void tag_limits(void **state)
{
	struct authn_tags tags;
	char text[AUTHN_TAGS_MAX * 5 + 10];
	size_t len = 0;
	struct sv value;

	(void)state;
	for (unsigned i = 0; i < AUTHN_TAGS_MAX; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "a%u=;", i);
	assert_int_equal(authn_tags_parse(sv_make(text, len), &tags), 0);
	assert_int_equal(tags.count, AUTHN_TAGS_MAX);
	assert_true(authn_tags_get(&tags, SV("a39"), &value));
	assert_false(authn_tags_get(&tags, SV("A39"), &value));
	memcpy(text + len, "b=1", 3);
	assert_int_equal(authn_tags_parse(sv_make(text, len + 3), &tags), RC_LIMIT);
	assert_int_equal(authn_tags_parse(SV("a=b\001"), &tags), RC_PARSE);
	assert_int_equal(authn_tags_parse(SV("1a=b"), &tags), RC_PARSE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records),
		cmocka_unit_test(uses),
		cmocka_unit_test(bare_key),
		cmocka_unit_test(several),
		cmocka_unit_test(tag_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
