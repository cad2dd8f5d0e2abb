/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/challenge.h"

#include "base/limits.h"
#include "base/must.h"
#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct sv base64)
{
	struct buf out = BUF_INIT(1000);
	int rc;

	must(buf_append(&out, SV("before")) == 0);
	rc = smtp_challenge_describe(base64, &out);
	must(sv_starts(buf_sv(&out), SV("before")));
	must(rc == 0 ? out.len > 6 + 6 : out.len == 6);
	must(out.len <= 6 + SMTP_CHALLENGE_TEXT_MAX);
	for (size_t i = 0; i < out.len; i++)
		must(buf_sv(&out).ptr[i] >= ' ' && buf_sv(&out).ptr[i] <= '~');
	buf_deinit(&out);
}

/* Whatever the reason is, what people read of it is short and printable. An input: the JSON, which is
 * coded here, or behind '=' what stands in the line. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv input = sv_make((const char *)data, size);
	struct buf coded = BUF_INIT(2 * LIMIT_CHALLENGE);

	if (sv_starts(input, SV("="))) {
		check(sv_skip(input, 1));
	} else {
		must(text_base64_encode(&coded, sv_head(input, LIMIT_CHALLENGE)) == 0);
		check(buf_sv(&coded));
	}
	buf_deinit(&coded);
	return 0;
}
