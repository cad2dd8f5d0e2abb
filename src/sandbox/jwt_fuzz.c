/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/jwt.h"

#include "base/must.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever is shown, nobody without the key has signed it; and base64url is its own way back. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static EVP_PKEY *key;
	struct sv text = sv_make((const char *)data, size);
	struct buf encoded = BUF_INIT(2 * size + 8), decoded = BUF_INIT(size + 8);
	struct sandbox_jwt j;

	if (!key)
		key = EVP_RSA_gen(2048);
	if (sandbox_jwt_parse(text, &j) == 0) {
		must(json_is_object(j.header) && json_is_object(j.claims));
		must(j.signed_part.len < size && j.signature_len <= sizeof(j.signature));
		must(!sandbox_jwt_verify(&j, key));
		(void)sandbox_jwt_number(j.claims, "exp");
		sandbox_jwt_deinit(&j);
	}
	must(sandbox_base64url(&encoded, text) == 0);
	must(sandbox_base64url_decode(&decoded, buf_sv(&encoded)) == 0);
	must(sv_eq(buf_sv(&decoded), text));
	buf_deinit(&encoded);
	buf_deinit(&decoded);
	return 0;
}
