/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/explain.h"

#include "base/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool lies_in(struct sv v, struct sv text)
{
	return v.len == 0 || (v.ptr >= text.ptr && v.ptr + v.len <= text.ptr + text.len);
}

static size_t count(struct sv text, char c)
{
	size_t n = 0;

	for (size_t i = 0; i < text.len; i++)
		n += text.ptr[i] == c;
	return n;
}

/* What is filled in brings no end of a quoted text, of a command or of a line that the step has not of itself. */
static void judge_command(const char *step, const struct provider_facts *facts)
{
	static const char ends[] = "';\n\"`$|&";
	const struct provider_facts none = { .provider = facts->provider, .who = facts->who };
	CLEANUP(buf_deinitp) struct buf filled = BUF_INIT(8192), bare = BUF_INIT(8192);

	must(provider_remedy_fill(step, facts, &filled) == 0);
	must(provider_remedy_fill(step, &none, &bare) == 0);
	for (size_t i = 0; ends[i]; i++)
		must(count(buf_sv(&filled), ends[i]) <= count(buf_sv(&bare), ends[i]));
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

			must(lies_in(x->reply, text));
			must(x->verdict.kind < VERDICT_KIND_COUNT);
			must(x->remedy != NULL && x->remedy->steps[0] != NULL);
			for (size_t k = 0; k < PROVIDER_STEPS_MAX && x->remedy->powershell[k]; k++)
				judge_command(x->remedy->powershell[k], &ex.facts);
		}
		must(lies_in(ex.facts.mailbox, text) && lies_in(ex.facts.app, text));
		must(lies_in(ex.facts.sender, text) && lies_in(ex.facts.recipient, text));
		if (pass == 1 || provider_explain_decode(text, &decoded) != 0)
			return 0;
		text = buf_sv(&decoded);
	}
	return 0;
}
