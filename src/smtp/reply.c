/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/reply.h"

#include "base/err.h"
#include "base/limits.h"

static_assert(sizeof(((struct smtp_reply *)0)->enhanced) ==
		      sizeof(((struct smtp_reply_parser *)0)->enhanced),
	"copied whole");

void smtp_reply_parser_init(struct smtp_reply_parser *p)
{
	*p = (struct smtp_reply_parser){ 0 };
	buf_init_wiping(&p->line, LIMIT_REPLY_LINE);
	buf_init_wiping(&p->text, LIMIT_REPLY);
}

void smtp_reply_parser_deinit(struct smtp_reply_parser *p)
{
	buf_deinit(&p->line);
	buf_deinit(&p->text);
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Length of "5.7.139" at the front of `text` when its class fits the code (RFC 2034 4), else 0. */
static size_t enhanced_length(struct sv text, unsigned class)
{
	size_t at = 0;

	for (unsigned part = 0; part < 3; part++) {
		size_t digits = 0;

		if (part > 0 && (at >= text.len || text.ptr[at++] != '.'))
			return 0;
		while (at < text.len && is_digit(text.ptr[at]) && digits < 3) {
			at++;
			digits++;
		}
		if (digits == 0 ||
			(part == 0 && (digits != 1 || text.ptr[0] != (char)('0' + class))))
			return 0;
	}
	return at < text.len && text.ptr[at] != ' ' ? 0 : at;
}

static void add_text(struct smtp_reply_parser *p, struct sv text, bool first)
{
	size_t n = enhanced_length(text, p->code / 100U);

	if (n && first) {
		memcpy(p->enhanced, text.ptr, n);
		p->enhanced[n] = '\0';
	}
	/* The same code on each line is form, not text. */
	if (n && sv_eq(sv_head(text, n), sv_from(p->enhanced)))
		text = sv_trim(sv_skip(text, n));
	/* Past the maximum the text is cut, the parse goes on. */
	if (!first && buf_append_char(&p->text, '\n') != 0)
		return;
	(void)!buf_append(&p->text, sv_head(text, buf_room(&p->text)));
}

/* One whole line. 1: it was the last, 0: more to come. */
static int take_line(struct smtp_reply_parser *p, struct sv line)
{
	uint32_t code;
	bool last;

	if (line.len && line.ptr[line.len - 1] == '\r')
		line.len--;
	if (line.len < 3 || memchr(line.ptr, '\r', line.len) || memchr(line.ptr, '\0', line.len) ||
		sv_parse_u32(sv_head(line, 3), 599, &code) != 0 || code < 200)
		return RC_PARSE;
	if (line.len > 3 && line.ptr[3] != ' ' && line.ptr[3] != '-')
		return RC_PARSE;
	if (p->started && code != p->code)
		return RC_PARSE;
	last = line.len == 3 || line.ptr[3] == ' ';
	p->code = (uint16_t)code;
	add_text(p, sv_skip(line, 4), !p->started);
	p->started = true;
	return last;
}

/* The next line without its LF. False when it is not whole yet: what came of it is kept. */
static bool next_line(struct smtp_reply_parser *p, struct sv *input, struct sv *out_line)
{
	const char *lf = memchr(input->ptr, '\n', input->len);
	size_t n = lf ? (size_t)(lf - input->ptr) : input->len;
	struct sv part = sv_head(*input, n);

	*input = sv_skip(*input, lf ? n + 1 : n);
	/* Nearly always a line comes in one piece, and needs no copy. */
	if (lf && p->line.len == 0) {
		*out_line = sv_head(part, LIMIT_REPLY_LINE);
		return true;
	}
	/* A line longer than any honest one is cut; its code stands at the front. */
	(void)!buf_append(&p->line, sv_head(part, buf_room(&p->line)));
	*out_line = buf_sv(&p->line);
	return lf;
}

int smtp_reply_parse(struct smtp_reply_parser *p, struct sv *input, struct smtp_reply *out_reply)
{
	if (!p->started) {
		buf_reset(&p->text);
		p->enhanced[0] = '\0';
	}
	while (input->len) {
		size_t before = input->len;
		struct sv line;
		bool whole;
		int rc;

		if (!p->started && p->line.len == 0)
			p->read = 0;
		whole = next_line(p, input, &line);
		p->read += before - input->len;
		if (p->read > LIMIT_REPLY_READ)
			return RC_LIMIT;
		if (!whole)
			return 0;
		rc = take_line(p, line);
		buf_reset(&p->line);
		if (rc < 0)
			return rc;
		if (rc == 0)
			continue;
		*out_reply = (struct smtp_reply){ .code = p->code, .text = buf_sv(&p->text) };
		memcpy(out_reply->enhanced, p->enhanced, sizeof(out_reply->enhanced));
		p->started = false;
		return 1;
	}
	return 0;
}

int smtp_reply_render(const struct smtp_reply *r, struct buf *out)
{
	struct sv rest = r->text, line;
	size_t before = out->len;
	bool more = true;

	while (more) {
		int rc;

		more = sv_cut_char(&rest, '\n', &line);
		rc = buf_printf(out,
			"%u%c%s%s%.*s\r\n",
			(unsigned)r->code,
			more ? '-' : ' ',
			r->enhanced,
			r->enhanced[0] ? " " : "",
			SV_ARG(line));
		if (rc != 0) {
			out->len = before;
			return rc;
		}
	}
	return 0;
}

int smtp_reply_line(const struct smtp_reply *r, struct buf *out)
{
	struct sv rest = r->text, line;
	size_t before = out->len;
	bool more = true;
	int rc = buf_printf(
		out, "%u%s%s", (unsigned)r->code, r->enhanced[0] ? " " : "", r->enhanced);

	while (more && rc == 0) {
		more = sv_cut_char(&rest, '\n', &line);
		if (line.len)
			rc = buf_append_char(out, ' ');
		if (rc == 0)
			rc = buf_append(out, line);
	}
	if (rc != 0)
		out->len = before;
	return rc;
}

struct sv smtp_reply_message_id(const struct smtp_reply *r)
{
	struct sv rest = r->text;
	ptrdiff_t end;

	if (r->code != 250 || !sv_starts_nocase(rest, SV("OK ")))
		return SV("");
	rest = sv_trim(sv_skip(rest, 3));
	end = sv_find_char(rest, '>');
	if (rest.len == 0 || rest.ptr[0] != '<' || end < 2)
		return SV("");
	rest = sv_head(rest, (size_t)end + 1);
	return sv_find_char(rest, ' ') >= 0 ? SV("") : rest;
}
