/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "identity/vault.h"
#include "identity/vault_priv.h"

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Records parse within their bounds; sealed ones open as they were, and nothing else opens. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned char id[VAULT_ID_LEN] = { 1, 2, 3 };
	CLEANUP(buf_deinitp) struct buf sealed = BUF_INIT(2 * VAULT_RECORD_MAX);
	const struct sv bytes = sv_make((const char *)data, size);
	struct vault_record r, again;
	struct secret *key, *plain = NULL;
	size_t used = 0;
	char *at;

	must(sodium_init() >= 0);
	key = secret_alloc(VAULT_KEY_LEN, &at);
	must(vault_record_open(bytes, id, 7, key, &plain, &r, &used) != 0);
	if (vault_record_parse(bytes, &r) == 0) {
		must(r.name.len <= VAULT_NAME_MAX && r.value.len <= VAULT_VALUE_MAX);
		must(vault_record_seal(&r, id, 7, key, &sealed) == 0);
		must(vault_record_open(buf_sv(&sealed), id, 8, key, &plain, &again, &used) != 0);
		must(vault_record_open(buf_sv(&sealed), id, 7, key, &plain, &again, &used) == 0);
		must(used == sealed.len && again.kind == r.kind && again.at.us == r.at.us);
		must(sv_eq(again.name, r.name) && sv_eq(again.value, r.value));
		secret_free(plain);
	}
	secret_free(key);
	return 0;
}
