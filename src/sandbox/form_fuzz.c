/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/form.h"

#include "base/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Decoding never makes more than there was, and every field that was read is found under its name. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sandbox_form f;
	size_t total = 0;

	if (sandbox_form_parse(sv_make((const char *)data, size), &f) != 0)
		return 0;
	must(f.count <= SANDBOX_FORM_FIELDS_MAX);
	for (size_t i = 0; i < f.count; i++) {
		total += strlen(f.fields[i].name) + strlen(f.fields[i].value);
		must(sandbox_form_get(&f, f.fields[i].name).ptr != NULL);
	}
	must(total <= size);
	sandbox_form_deinit(&f);
	return 0;
}
