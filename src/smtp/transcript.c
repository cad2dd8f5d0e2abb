/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/transcript.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/must.h"
#include "base/text.h"

#include <stdio.h>

enum {
	LINE_REST = 32 /* time, side, end */
};

static const struct {
	char sign;
	const char *name;
} sides[] = {
	[SMTP_TRANSCRIPT_OURS] = { '>', "us" },
	[SMTP_TRANSCRIPT_THEIRS] = { '<', "server" },
	[SMTP_TRANSCRIPT_NOTE] = { '*', "note" },
};
static_assert(COUNT_OF(sides) == SMTP_TRANSCRIPT_SIDE_COUNT, "a row for each side");

const char *smtp_transcript_side_name(enum smtp_transcript_side side)
{
	must(side < SMTP_TRANSCRIPT_SIDE_COUNT);
	return sides[side].name;
}

void smtp_transcript_reset(struct smtp_transcript *t)
{
	buf_deinit(&t->text);
	t->lines = 0;
	t->began.us = 0;
}

static void drop_first(struct smtp_transcript *t)
{
	ptrdiff_t end = sv_find_char(buf_sv(&t->text), '\n');

	must(end >= 0);
	buf_consume(&t->text, (size_t)end + 1);
	t->lines--;
}

void smtp_transcript_add(struct smtp_transcript *t, struct mono_time now,
	enum smtp_transcript_side side, struct sv line)
{
	size_t max = t->lines_max ? t->lines_max : SMTP_TRANSCRIPT_LINES;
	bool cut = line.len > LIMIT_TRANSCRIPT_LINE;
	char *to;

	if (t->began.us == 0)
		t->began = now;
	t->text.wipes = true; /* what a server repeats is taken out only when it is shown */
	t->text.max = max * (LIMIT_TRANSCRIPT_LINE + LINE_REST);
	if (t->lines == max)
		drop_first(t);
	line = sv_head(line, cut ? LIMIT_TRANSCRIPT_LINE - 3 : line.len);
	/* Every line of every session comes through here: no printf. */
	must(buf_reserve(&t->text, LIMIT_TRANSCRIPT_LINE + LINE_REST) == 0);
	to = text_digits(mono_span(t->began, now) / 1000, buf_tail(&t->text));
	*to++ = ' ';
	*to++ = sides[side].sign;
	*to++ = ' ';
	for (size_t i = 0; i < line.len; i++)
		*to++ = (unsigned char)line.ptr[i] < ' ' || line.ptr[i] == 0x7f ? ' ' : line.ptr[i];
	for (int i = 0; cut && i < 3; i++)
		*to++ = '.';
	*to++ = '\n';
	buf_grew(&t->text, (size_t)(to - buf_tail(&t->text)));
	t->lines++;
}

static void put_reply_line(struct buf *line, const struct smtp_reply *r, struct sv part, bool more)
{
	char code[24], *end = text_digits(r->code, code);

	*end++ = more ? '-' : ' ';
	must(buf_append(line, sv_make(code, (size_t)(end - code))) == 0);
	must(buf_append(line, sv_from(r->enhanced)) == 0);
	if (r->enhanced[0])
		must(buf_append_char(line, ' ') == 0);
	must(buf_append(line, sv_head(part, 2 * (size_t)LIMIT_TRANSCRIPT_LINE)) == 0);
}

void smtp_transcript_add_reply(
	struct smtp_transcript *t, struct mono_time now, const struct smtp_reply *r)
{
	CLEANUP(buf_deinitp)
	struct buf line = { .max = 4 * (size_t)LIMIT_TRANSCRIPT_LINE, .wipes = true };
	struct sv rest = r->text, part;
	bool more = true;

	while (more) {
		more = sv_cut_char(&rest, '\n', &part);
		buf_reset(&line);
		put_reply_line(&line, r, part, more);
		smtp_transcript_add(t, now, SMTP_TRANSCRIPT_THEIRS, sv_trim(buf_sv(&line)));
	}
}

void smtp_transcript_add_body(struct smtp_transcript *t, struct mono_time now, uint64_t bytes)
{
	char count[TEXT_COUNT_MAX], line[TEXT_COUNT_MAX + 16];

	(void)snprintf(line, sizeof(line), "DATA: %s bytes", text_count((long long)bytes, count));
	smtp_transcript_add(t, now, SMTP_TRANSCRIPT_OURS, sv_from(line));
}

int smtp_transcript_text(
	const struct smtp_transcript *t, const struct smtp_mask *m, struct buf *out)
{
	return smtp_mask_text(m, buf_sv(&t->text), out);
}

int smtp_transcript_take(struct smtp_transcript *t, const struct smtp_mask *m, struct buf *out)
{
	int rc = smtp_transcript_text(t, m, out);

	buf_reset(&t->text);
	t->lines = 0;
	return rc;
}

bool smtp_transcript_next(struct sv *text, struct smtp_transcript_line *out)
{
	while (text->len) {
		struct sv line, ms, side;

		(void)sv_cut_char(text, '\n', &line);
		if (!sv_cut_char(&line, ' ', &ms) || !sv_cut_char(&line, ' ', &side) ||
			side.len != 1 || sv_parse_u64(ms, UINT64_MAX, &out->ms) != 0)
			continue;
		for (size_t i = 0; i < COUNT_OF(sides); i++) {
			if (side.ptr[0] != sides[i].sign)
				continue;
			out->side = (enum smtp_transcript_side)i;
			out->text = line;
			return true;
		}
	}
	return false;
}
