/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "identity/vault.h"
#include "identity/vault_priv.h"

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Records and headers parse within their bounds; what was sealed opens as it was, and nothing else opens. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(buf_deinitp)
	struct buf sealed = BUF_INIT(2 * (VAULT_HEAD_LEN + (size_t)VAULT_CIPHER_MAX));
	const struct sv bytes = sv_make((const char *)data, size);
	struct vault_seal seal = { .id = { 1, 2, 3 } };
	struct secret *inner, *plain = NULL;
	struct vault_record r, again;
	struct vault_header h;
	uint64_t number = 0;
	size_t used = 0;
	char *at;

	must(sodium_init() >= 0);
	inner = secret_alloc(VAULT_INNER_LEN, &at);
	seal.inner = inner;
	must(vault_record_open(bytes, &seal, 7, &plain, &r, &used, &number) != 0);
	must(vault_old_open(bytes, seal.id, 7, inner, &plain, &r, &used) != 0);
	must(!vault_old_next(sv_head(bytes, 300), seal.id, 7, inner, &used, &number));
	if (vault_header_parse(bytes, &h) == 0)
		must(h.keys >= 1 && h.keys <= VAULT_KEYS_MAX);
	if (vault_record_parse(bytes, &r) == 0) {
		must(r.name.len <= VAULT_NAME_MAX && r.value.len <= VAULT_VALUE_MAX);
		must(vault_record_seal(&r, &seal, 7, &sealed) == 0);
		must(vault_record_open(buf_sv(&sealed), &seal, 8, &plain, &again, &used, &number) !=
			0);
		must(vault_record_open(buf_sv(&sealed), &seal, 7, &plain, &again, &used, &number) ==
			0);
		must(used == sealed.len && number == 7 && again.kind == r.kind &&
			again.at.us == r.at.us);
		must(sv_eq(again.name, r.name) && sv_eq(again.value, r.value));
		secret_free(plain);
	}
	secret_free(inner);
	return 0;
}
