/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/header.h"

#include "base/limits.h"
#include "base/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct header_edits all_edits = {
	.received = SV_INIT("by h\r\n\tid 1; date"),
	.message_id = SV_INIT("<1@h>"),
	.date = { 1 },
	.drop_bcc = true,
	.drop_return_path = true,
	.from = SV_INIT("new@w.x"),
	.qualify = SV_INIT("q.example"),
	.added = SV_INIT("X-Added: 1\r\n"),
};

static const struct header_edits new_recipients = {
	.reply_to_missing = SV_INIT("old@w.x"),
	.drop_recipients = true,
	.added = SV_INIT("To: only@w.x\r\n"),
};

static void note(void *arg, struct sv address)
{
	must(address.len > 0);
	*(size_t *)arg += address.len;
}

/* Feeds in pieces of `step`, renders, and puts the body behind. False: over a limit. */
static bool run(struct sv text, size_t step, const struct header_edits *edits, struct buf *out)
{
	struct header_block *h = header_block_new(4000, 50);
	int rc = 0;

	while (text.len && rc == 0) {
		size_t used = 0;

		rc = header_block_feed(h, sv_head(text, step), &used);
		must(rc != 0 || used == sv_head(text, step).len);
		text = sv_skip(text, used);
	}
	if (rc == 0)
		rc = header_block_end(h);
	if (rc >= 0) {
		struct header_facts facts;
		size_t seen = 0;

		header_block_facts(h, &facts);
		must(facts.from.len <= LIMIT_ADDRESS);
		(void)!header_block_addresses(h, SV("To"), note, NULL, &seen);
		must(header_block_render(h, edits, out) == 0);
		must(buf_append(out, text) == 0);
	}
	header_block_free(h);
	return rc >= 0;
}

static void must_be_only(void *arg, struct sv address)
{
	must(sv_eq(address, SV("only@w.x")));
	*(size_t *)arg += 1;
}

/* After drop_recipients a reader of the header finds the added address and no other, and one Reply-To
 * at least. */
static void check_recipients(struct sv text, size_t step)
{
	static const struct sv names[] = { SV_INIT("To"),
		SV_INIT("Cc"),
		SV_INIT("Bcc"),
		SV_INIT("Resent-To"),
		SV_INIT("Resent-Cc"),
		SV_INIT("Resent-Bcc") };
	struct buf out = BUF_INIT(text.len + 200);
	struct header_block *h = header_block_new(text.len + 200, 60);
	size_t used, count = 0;

	if (run(text, step, &new_recipients, &out)) {
		must(header_block_feed(h, buf_sv(&out), &used) == 1);
		for (size_t i = 0; i < COUNT_OF(names); i++)
			must(header_block_addresses(h, names[i], must_be_only, NULL, &count) == 0);
		must(count == 1);
		must(header_block_count(h, SV("Reply-To")) >= 1);
	}
	header_block_free(h);
	buf_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct header_edits none = { .received = { 0 } };
	size_t max = size + 200000;
	struct buf whole = BUF_INIT(max), cut = BUF_INIT(max), again = BUF_INIT(max);
	struct sv text;
	size_t step;

	if (size < 1 || size > 20000)
		return 0;
	step = (size_t)(data[0] % 7) + 1;
	text = sv_make((const char *)data + 1, size - 1);
	must(run(text, text.len + 1, &all_edits, &whole) == run(text, step, &all_edits, &cut));
	must(sv_eq(buf_sv(&whole), buf_sv(&cut)));
	check_recipients(text, step);
	/* What came out has a header that reads back as it is: nothing broke out of its field. */
	buf_reset(&whole);
	buf_reset(&cut);
	if (run(text, text.len + 1, &none, &whole)) {
		bool kept = run(buf_sv(&whole), step, &none, &again);

		must(!kept || sv_eq(buf_sv(&whole), buf_sv(&again)));
	}
	buf_deinit(&whole);
	buf_deinit(&cut);
	buf_deinit(&again);
	return 0;
}
