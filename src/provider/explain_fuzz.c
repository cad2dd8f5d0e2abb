/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/explain.h"

#include "base/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool lies_in(struct sv v, struct sv text)
{
	return v.len == 0 || (v.ptr >= text.ptr && v.ptr + v.len <= text.ptr + text.len);
}

/* Any text: every meaning has a remedy, every view lies in the text, no place can bring a command. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv text = sv_make((const char *)data, size);
	CLEANUP(buf_deinitp) struct buf decoded = BUF_INIT(2 * size + 64);
	struct provider_explained ex;

	for (unsigned pass = 0; pass < 2; pass++) {
		provider_explain(text, &ex);
		must(ex.count <= PROVIDER_EXPLAIN_MAX);
		for (size_t i = 0; i < ex.count; i++) {
			const struct provider_explanation *x = &ex.items[i];
			CLEANUP(buf_deinitp) struct buf line = BUF_INIT(8192);

			must(lies_in(x->reply, text));
			must(x->verdict.kind < VERDICT_KIND_COUNT);
			must(x->remedy != NULL && x->remedy->steps[0] != NULL);
			for (size_t s = 0; s < PROVIDER_STEPS_MAX && x->remedy->powershell[s];
				s++) {
				must(provider_remedy_fill(
					     x->remedy->powershell[s], &ex.facts, &line) == 0);
				must(sv_find_char(buf_sv(&line), ';') < 0);
				must(sv_find_char(buf_sv(&line), '\'') < 0);
				must(sv_find_char(buf_sv(&line), '\n') < 0);
			}
		}
		must(lies_in(ex.facts.mailbox, text) && lies_in(ex.facts.app, text));
		must(lies_in(ex.facts.sender, text) && lies_in(ex.facts.recipient, text));
		if (pass == 1 || provider_explain_decode(text, &decoded) != 0)
			return 0;
		text = buf_sv(&decoded);
	}
	return 0;
}
