/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/scram.h"

#include "base/err.h"
#include "base/must.h"
#include "base/secret.h"
#include "base/text.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <string.h>

enum {
	ITERATIONS_MIN = 4096, /* RFC 7677 4 */
	ITERATIONS_MAX = 10000000,
	KEY_LEN = 32,
};

static void hmac_key(
	const unsigned char salted[KEY_LEN], const char *name, unsigned char out[KEY_LEN])
{
	unsigned len = 0;

	must(HMAC(EVP_sha256(),
		     salted,
		     KEY_LEN,
		     (const unsigned char *)name,
		     strlen(name),
		     out,
		     &len) != NULL);
}

void smtp_scram_derive(struct sv password, uint32_t iterations, const unsigned char salt[16],
	struct smtp_scram_verifier *out_verifier)
{
	unsigned char salted[KEY_LEN], client_key[KEY_LEN];

	must(PKCS5_PBKDF2_HMAC(password.ptr ? password.ptr : "",
		     (int)password.len,
		     salt,
		     16,
		     (int)iterations,
		     EVP_sha256(),
		     KEY_LEN,
		     salted) == 1);
	hmac_key(salted, "Client Key", client_key);
	out_verifier->iterations = iterations;
	memcpy(out_verifier->salt, salt, sizeof(out_verifier->salt));
	must(SHA256(client_key, KEY_LEN, out_verifier->stored_key) != NULL);
	hmac_key(salted, "Server Key", out_verifier->server_key);
	secret_wipe(salted, sizeof(salted));
	secret_wipe(client_key, sizeof(client_key));
}

bool smtp_scram_check(const struct smtp_scram_verifier *v, struct sv password)
{
	struct smtp_scram_verifier made;
	bool ok;

	smtp_scram_derive(password, v->iterations, v->salt, &made);
	ok = CRYPTO_memcmp(made.stored_key, v->stored_key, KEY_LEN) == 0;
	secret_wipe(&made, sizeof(made));
	return ok;
}

static int put_base64(struct buf *out, const unsigned char *bytes, size_t len)
{
	return text_base64_encode(out, sv_make((const char *)bytes, len));
}

int smtp_scram_render(const struct smtp_scram_verifier *v, struct buf *out)
{
	int rc = buf_printf(out, "SCRAM-SHA-256$%u:", v->iterations);

	if (rc == 0)
		rc = put_base64(out, v->salt, sizeof(v->salt));
	if (rc == 0)
		rc = buf_append_char(out, '$');
	if (rc == 0)
		rc = put_base64(out, v->stored_key, KEY_LEN);
	if (rc == 0)
		rc = buf_append_char(out, ':');
	return rc == 0 ? put_base64(out, v->server_key, KEY_LEN) : rc;
}

static int take_base64(struct sv text, unsigned char *out, size_t len)
{
	CLEANUP(buf_deinitp) struct buf bytes = BUF_INIT(64);

	struct sv decoded;

	if (text_base64_decode(&bytes, text) != 0)
		return RC_PARSE;
	decoded = buf_sv(&bytes);
	if (decoded.len != len || !decoded.ptr)
		return RC_PARSE;
	memcpy(out, decoded.ptr, len);
	return 0;
}

int smtp_scram_parse(struct sv text, struct smtp_scram_verifier *out_verifier)
{
	struct smtp_scram_verifier v;
	struct sv kind, iterations, salt, stored;

	if (!sv_cut_char(&text, '$', &kind) || !sv_eq(kind, SV("SCRAM-SHA-256")) ||
		!sv_cut_char(&text, ':', &iterations) || !sv_cut_char(&text, '$', &salt) ||
		!sv_cut_char(&text, ':', &stored) ||
		sv_parse_u32(iterations, ITERATIONS_MAX, &v.iterations) != 0 ||
		v.iterations < ITERATIONS_MIN || take_base64(salt, v.salt, sizeof(v.salt)) != 0 ||
		take_base64(stored, v.stored_key, KEY_LEN) != 0 ||
		take_base64(text, v.server_key, KEY_LEN) != 0)
		return RC_PARSE;
	*out_verifier = v;
	return 0;
}
