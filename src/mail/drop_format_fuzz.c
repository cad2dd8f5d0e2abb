/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/drop_format.h"

#include "base/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is read and written again reads the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena = { 0 };
	struct drop_envelope first, second;
	struct err err;
	size_t used, used_again, size_at;

	if (drop_envelope_parse(&arena, sv_make((const char *)data, size), &first, &used, &err) ==
		1) {
		struct buf out = BUF_INIT(DROP_ENVELOPE_MAX);

		must(used <= size);
		must(first.recipient_count > 0);
		must(drop_envelope_render(&first, &out, &size_at) == 0);
		must(drop_envelope_parse(&arena, buf_sv(&out), &second, &used_again, NULL) == 1);
		must(used_again == out.len);
		must(sv_eq(first.sender, second.sender));
		must(sv_eq(first.envid, second.envid));
		must(first.size == second.size);
		must(first.notify == second.notify);
		must(first.recipient_count == second.recipient_count);
		for (size_t i = 0; i < first.recipient_count; i++)
			must(sv_eq(first.recipients[i], second.recipients[i]));
		buf_deinit(&out);
	}
	arena_reset(&arena);
	return 0;
}
