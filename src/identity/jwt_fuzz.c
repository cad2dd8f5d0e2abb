/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/jwt.h"

#include "base/buf.h"
#include "base/must.h"
#include "identity/encode.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An input: 'k' a PEM key, 'b' key and certificate (the same bytes), 'p' PKCS#12, 'c' a token's claims, else
 * base64url; then the bytes. Passphrases are not tried on PEM: their rounds are the administrator's. */
static void key(int rc, struct identity_jwt_key *k, const struct err *err)
{
	struct err day = { 0 };

	must((rc == 0) == (k != NULL));
	must(rc == 0 || err->text[0]);
	if (k && identity_jwt_key_check(k, (struct wall_time){ 1700000000000000 }, &day) != 0)
		must(day.text[0]);
	identity_jwt_key_free(k);
}

static void claims(struct sv token)
{
	struct identity_jwt_claims c = { 0 };

	if (identity_jwt_claims_read(token, &c) != 0)
		return;
	must(memchr(c.user, '\0', sizeof(c.user)) != NULL);
	must(memchr(c.tenant, '\0', sizeof(c.tenant)) != NULL);
	for (const char *at = c.user; *at; at++)
		must((unsigned char)*at > ' ' && *at != 0x7f);
}

/* Both ways, and nothing else decodes to the same. */
static void base64url(struct sv text)
{
	CLEANUP(buf_deinitp) struct buf coded = BUF_INIT(1 << 20), plain = BUF_INIT(1 << 20);

	must(identity_base64url_encode(&coded, text) == 0);
	must(identity_base64url_decode(&plain, buf_sv(&coded)) == 0);
	must(sv_eq(buf_sv(&plain), text));
	buf_reset(&coded);
	buf_reset(&plain);
	if (identity_base64url_decode(&plain, text) != 0) {
		must(plain.len == 0);
		return;
	}
	must(identity_base64url_encode(&coded, buf_sv(&plain)) == 0);
	must(sv_eq(buf_sv(&coded), text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct identity_jwt_key *k = NULL;
	struct err err = { 0 };
	struct sv rest;
	int rc;

	if (size < 1 || size > 200000)
		return 0;
	rest = sv_make((const char *)data + 1, size - 1);
	switch (data[0]) {
	case 'k':
		rc = identity_jwt_key_pem(rest, NULL, sv_make(NULL, 0), &k, &err);
		key(rc, k, &err);
		break;
	case 'b':
		rc = identity_jwt_key_pem(rest, NULL, rest, &k, &err);
		key(rc, k, &err);
		break;
	case 'p':
		rc = identity_jwt_key_pkcs12(rest, NULL, &k, &err);
		key(rc, k, &err);
		break;
	case 'c':
		claims(rest);
		break;
	default:
		base64url(rest);
		break;
	}
	return 0;
}
