/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "mail/address.h"
#include "setup/import_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	INPUT_MAX = 4000
};

/* An expression becomes patterns that routes can hold, or nothing. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv text = sv_make((const char *)data, size);
	struct import_patterns p;

	if (size > INPUT_MAX)
		return 0;
	if (import_address_patterns(text, &p) == 0)
		for (size_t i = 0; i < p.count; i++)
			must(!p.text[i][0] || address_pattern_check(sv_from(p.text[i])) == 0);
	if (import_patterns(text, &p) == 0)
		must(p.count > 0 && p.count <= IMPORT_PATTERNS_MAX);
	return 0;
}
