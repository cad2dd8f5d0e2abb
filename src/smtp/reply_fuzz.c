/* SPDX-License-Identifier: Apache-2.0 */
#include "base/limits.h"
#include "base/must.h"
#include "smtp/reply.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is written reads the same. */
static void check_round_trip(const struct smtp_reply *r)
{
	struct buf out = BUF_INIT(1 << 20);
	struct smtp_reply_parser p;
	struct smtp_reply again;
	struct sv input;

	/* Text that begins with a code of its own would be read as one. */
	if (!r->enhanced[0])
		return;
	must(smtp_reply_render(r, &out) == 0);
	input = buf_sv(&out);
	smtp_reply_parser_init(&p);
	must(smtp_reply_parse(&p, &input, &again) == 1);
	must(input.len == 0);
	must(again.code == r->code);
	must(strcmp(again.enhanced, r->enhanced) == 0);
	smtp_reply_parser_deinit(&p);
	buf_deinit(&out);
}

static void check(const struct smtp_reply *r)
{
	struct buf line = BUF_INIT(LIMIT_REPLY + 64);

	must(r->code >= 200);
	must(r->code <= 599);
	must(memchr(r->enhanced, '\0', sizeof(r->enhanced)) != NULL);
	must(!r->enhanced[0] || r->enhanced[0] == (char)('0' + smtp_reply_class(r)));
	must(r->text.len <= LIMIT_REPLY);
	must(sv_find_char(r->text, '\r') < 0);
	must(smtp_reply_line(r, &line) == 0);
	must(sv_find_char(buf_sv(&line), '\n') < 0);
	must(smtp_reply_message_id(r).len <= r->text.len);
	buf_deinit(&line);
	check_round_trip(r);
}

/* Reads all there is and returns a sum of it; `piece` bytes at a time. */
static uint64_t read_all(struct sv input, size_t piece)
{
	struct smtp_reply_parser p;
	uint64_t sum = 1;
	int rc = 0;

	smtp_reply_parser_init(&p);
	while (input.len && rc >= 0) {
		struct sv part = sv_head(input, piece);
		size_t before = part.len;
		struct smtp_reply r;

		rc = smtp_reply_parse(&p, &part, &r);
		input = sv_skip(input, before - part.len);
		if (rc == 1) {
			check(&r);
			sum = sv_hash(r.text, sum + r.code);
			sum = sv_hash(sv_from(r.enhanced), sum);
		}
	}
	smtp_reply_parser_deinit(&p);
	return rc < 0 ? sum + 1 : sum;
}

/* Any bytes: no reply out of bounds, and any cut into pieces reads the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv input = sv_make((const char *)data, size);
	uint64_t whole = read_all(input, size);

	must(read_all(input, 1) == whole);
	must(read_all(input, 7) == whole);
	return 0;
}
