/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "smtp/transcript.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool has_space(struct sv text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] == '\n' || text.ptr[i] == '\r' || text.ptr[i] == ' ' ||
			text.ptr[i] == '\t')
			return true;
	return false;
}

/* An input: a byte of kind, a byte of length, a secret of that length, and what a server says. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv text = sv_make((const char *)data, size), secret;
	struct buf out = BUF_INIT(SMTP_MASK_GROWTH * size + 16);
	struct smtp_transcript_line line;
	struct smtp_mask m = { .is_token = size && data[0] & 1 };

	if (size < 2)
		return 0;
	secret = sv_head(sv_skip(text, 2), data[1]);
	text = sv_skip(text, 2 + secret.len);
	m.secret = secret;
	must(smtp_mask_text(&m, text, &out) == 0);
	/* What stands for it may look like a short one; spaces are nobody's secret. */
	must(secret.len <= 8 || has_space(secret) || sv_find(buf_sv(&out), secret) < 0);
	if (secret.len < 4)
		must(sv_eq(buf_sv(&out), text));
	text = buf_sv(&out);
	while (smtp_transcript_next(&text, &line))
		must(line.side < SMTP_TRANSCRIPT_SIDE_COUNT);
	buf_deinit(&out);
	return 0;
}
