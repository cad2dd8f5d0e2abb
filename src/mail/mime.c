/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/mime.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/must.h"

#include <stdlib.h>

/*
 * Lines decide everything: only a line that begins with "--" and the boundary ends a part. Lines are
 * taken from the input where they lie; one that is cut by the end of the input is kept, as far as it
 * could still be such a line.
 */
enum {
	LINE_KEPT =
		MIME_BOUNDARY_MAX + 256, /* a delimiter and its blanks; longer is no delimiter */
	NAME_BYTES_MAX = 1000,
	PART_FIELDS_MAX = 200,
};

enum where {
	IN_PREAMBLE,
	IN_HEADER,
	IN_BODY,
	IN_EPILOGUE,
};

struct mime_scan {
	char boundary[MIME_BOUNDARY_MAX];
	size_t boundary_len;
	bool related;
	enum where where;
	uint64_t at;      /* offset of the next byte to be judged */
	struct buf line;  /* a cut line */
	bool line_begun;  /* its beginning was judged already: the rest is content */
	bool owes_crlf;   /* a line end that belongs to the body only if no delimiter follows */
	struct buf head;  /* header of the part */
	bool head_broken; /* of this part: too long */
	struct mime_decoder decoder;
	struct mime_part *parts;
	size_t count, cap;
	bool too_many;
	struct arena arena;
};

/* ---- the top ---- */

/* "Multipart/Mixed ; x=y" -> "multipart/mixed" in `out`; empty when it is not a type (RFC 2045 5.1). */
static struct sv read_type(struct sv value, char *out, size_t size)
{
	size_t n = 0;
	bool slash = false;

	for (; n < value.len && n < size && !memchr("; \t(", value.ptr[n], 4); n++) {
		if (value.ptr[n] <= 0x20 || value.ptr[n] >= 0x7f)
			return sv_make(out, 0);
		slash |= value.ptr[n] == '/';
		out[n] = ascii_lower(value.ptr[n]);
	}
	return sv_make(out, slash && n < size ? n : 0);
}

static bool is_sealed(struct sv type)
{
	static const struct sv prefixes[] = { SV_INIT("multipart/signed"),
		SV_INIT("multipart/encrypted"),
		SV_INIT("application/pkcs7-"),
		SV_INIT("application/x-pkcs7-"),
		SV_INIT("application/pgp") };

	for (size_t i = 0; i < COUNT_OF(prefixes); i++)
		if (sv_starts(type, prefixes[i]))
			return true;
	return false;
}

void mime_top(struct header_block *h, struct mime_top *out_top)
{
	CLEANUP(buf_deinitp) struct buf boundary = BUF_INIT(MIME_BOUNDARY_MAX + 1);
	char text[128];
	struct sv value, type;
	struct mime_top top = { .kind = MIME_TOP_SINGLE };

	*out_top = top;
	if (!header_block_get(h, SV("Content-Type"), &value))
		return;
	type = read_type(value, text, sizeof(text));
	if (header_block_count(h, SV("Content-Type")) > 1 || type.len == 0)
		top.kind = MIME_TOP_UNREADABLE;
	else if (is_sealed(type))
		top.kind = MIME_TOP_SEALED;
	else if (sv_eq(type, SV("multipart/mixed")))
		top.kind = MIME_TOP_MIXED;
	else if (sv_eq(type, SV("multipart/related")))
		top.kind = MIME_TOP_RELATED;
	else if (sv_starts(type, SV("multipart/")) || sv_starts(type, SV("message/")))
		top.kind = MIME_TOP_OTHER;
	if (top.kind == MIME_TOP_MIXED || top.kind == MIME_TOP_RELATED) {
		if (!mime_parameter(value, SV("boundary"), &boundary) || boundary.len == 0 ||
			boundary.len > MIME_BOUNDARY_MAX)
			top.kind = MIME_TOP_UNREADABLE;
		else
			memcpy(top.boundary, buf_sv(&boundary).ptr, boundary.len);
		top.boundary_len = boundary.len;
	}
	*out_top = top;
}

/* ---- a part's header ---- */

static struct sv field(struct header_block *h, const char *name, bool *broken)
{
	struct sv value;

	if (!header_block_get(h, sv_from(name), &value))
		return SV("");
	*broken |= header_block_count(h, sv_from(name)) > 1;
	return value;
}

static enum mime_encoding read_encoding(struct sv value)
{
	char text[32];
	size_t n = 0;

	for (; n < value.len && n < sizeof(text) && !memchr("; \t(", value.ptr[n], 4); n++)
		text[n] = value.ptr[n];
	value = sv_make(text, n);
	if (n == 0 || sv_eq_nocase(value, SV("7bit")) || sv_eq_nocase(value, SV("8bit")) ||
		sv_eq_nocase(value, SV("binary")))
		return MIME_IDENTITY;
	if (sv_eq_nocase(value, SV("base64")))
		return MIME_BASE64;
	return sv_eq_nocase(value, SV("quoted-printable")) ? MIME_QUOTED_PRINTABLE : MIME_UNKNOWN;
}

/* "image/png" -> "attachment.png", so that it can be opened. */
static struct sv made_name(struct mime_scan *s, struct sv type)
{
	CLEANUP(buf_deinitp) struct buf name = BUF_INIT(32);
	ptrdiff_t slash = sv_find_char(type, '/');
	struct sv end = sv_skip(type, (size_t)(slash + 1));
	bool plain = end.len > 0 && end.len <= 5;

	for (size_t i = 0; i < end.len && plain; i++)
		plain = (end.ptr[i] >= 'a' && end.ptr[i] <= 'z') ||
			(end.ptr[i] >= '0' && end.ptr[i] <= '9');
	must(buf_printf(&name,
		     "attachment%s%.*s",
		     plain ? "." : "",
		     plain ? (int)end.len : 0,
		     plain ? end.ptr : "") == 0);
	return arena_sv(&s->arena, buf_sv(&name));
}

static struct sv read_content_id(struct mime_scan *s, struct sv value)
{
	if (value.len > 2 && value.ptr[0] == '<' && value.ptr[value.len - 1] == '>')
		value = sv_make(value.ptr + 1, value.len - 2);
	return value.len <= LIMIT_ADDRESS ? arena_sv(&s->arena, value) : SV("");
}

static bool is_movable(
	const struct mime_scan *s, const struct mime_part *p, struct sv disposition, bool has_name)
{
	bool attached = sv_starts_nocase(disposition, SV("attachment")) || has_name;

	if (p->type.len == 0 || p->encoding == MIME_UNKNOWN || is_sealed(p->type) ||
		sv_starts(p->type, SV("multipart/")) || sv_starts(p->type, SV("message/")) ||
		/* Exchange reads it and makes a message of what is inside. */
		sv_eq(p->type, SV("application/ms-tnef")))
		return false;
	if (s->related)
		return s->count > 1 && p->content_id.len > 0 && !sv_starts(p->type, SV("text/"));
	return attached || !sv_starts(p->type, SV("text/"));
}

static void judge_header(struct mime_scan *s, struct mime_part *p, struct header_block *h)
{
	CLEANUP(buf_deinitp) struct buf name = BUF_INIT(NAME_BYTES_MAX);
	bool broken = s->head_broken, has_name;
	struct sv type = field(h, "Content-Type", &broken);
	struct sv disposition = field(h, "Content-Disposition", &broken);
	char text[128];

	p->encoding = read_encoding(field(h, "Content-Transfer-Encoding", &broken));
	p->content_id = read_content_id(s, field(h, "Content-ID", &broken));
	p->type = type.len ? read_type(type, text, sizeof(text)) : SV("text/plain");
	p->type = arena_sv(&s->arena, p->type);
	has_name = mime_parameter(disposition, SV("filename"), &name) ||
		   mime_parameter(type, SV("name"), &name);
	p->movable = !broken && is_movable(s, p, disposition, has_name && name.len);
	p->is_inline = p->content_id.len > 0 &&
		       (s->related || sv_starts_nocase(disposition, SV("inline")));
	if (p->movable)
		p->name = name.len ? arena_sv(&s->arena, buf_sv(&name)) : made_name(s, p->type);
	s->decoder = (struct mime_decoder){ .encoding = p->encoding };
}

static void end_header(struct mime_scan *s)
{
	CLEANUP(header_block_freep)
	struct header_block *h = header_block_new(MIME_PART_HEADER, PART_FIELDS_MAX);
	struct mime_part *p = &s->parts[s->count - 1];
	struct sv head = buf_sv(&s->head);
	size_t used = 0;
	int rc = head.len ? header_block_feed(h, head, &used) : 0;

	if (rc == 0)
		rc = header_block_end(h);
	/* A line that is no field: whoever reads on finds something else than we do. */
	if (rc < 0 || used < head.len || header_block_body_bytes(h) > 0)
		s->head_broken = true;
	if (rc < 0)
		s->decoder = (struct mime_decoder){ .encoding = MIME_UNKNOWN };
	else
		judge_header(s, p, h);
	p->body_at = s->at;
	s->where = IN_BODY;
	s->owes_crlf = false;
}

/* ---- parts ---- */

static void end_part(struct mime_scan *s, uint64_t delimiter_at)
{
	struct mime_part *p = &s->parts[s->count - 1];

	if (s->where == IN_HEADER) {
		p->body_at = p->end = delimiter_at;
		p->movable = false;
	} else {
		p->end = delimiter_at - (s->owes_crlf ? 2 : 0);
		(void)!mime_decode_end(&s->decoder, NULL, &p->decoded_size);
		if (s->decoder.broken)
			p->movable = false;
	}
	p->next = delimiter_at;
}

static void begin_part(struct mime_scan *s, uint64_t at)
{
	if (s->count >= MIME_PARTS_MAX) {
		s->too_many = true;
		s->where = IN_EPILOGUE;
		return;
	}
	if (s->count == s->cap) {
		s->cap = s->cap ? s->cap * 2 : 8;
		s->parts = xrealloc(s->parts, s->cap * sizeof(*s->parts));
	}
	s->parts[s->count++] = (struct mime_part){ .from = at };
	s->where = IN_HEADER;
	s->head_broken = false;
	buf_reset(&s->head);
}

/* ---- lines ---- */

/* 0: no delimiter; 1: between parts; 2: the last one. `line` is whole and without its CRLF. */
static int delimiter(const struct mime_scan *s, struct sv line)
{
	struct sv boundary = sv_make(s->boundary, s->boundary_len), rest;
	int kind = 1;

	if (!sv_starts(line, SV("--")) || !sv_starts(sv_skip(line, 2), boundary))
		return 0;
	rest = sv_skip(line, 2 + boundary.len);
	if (sv_starts(rest, SV("--"))) {
		kind = 2;
		rest = sv_skip(rest, 2);
	}
	/* RFC 2046 5.1.1: blanks may follow. Anything else is another boundary that begins like ours. */
	return sv_trim(rest).len == 0 ? kind : 0;
}

static void take_body(struct mime_scan *s, struct sv bytes, bool ends_line)
{
	struct mime_part *p = &s->parts[s->count - 1];

	if (s->owes_crlf)
		(void)!mime_decode(&s->decoder, SV("\r\n"), NULL, &p->decoded_size);
	s->owes_crlf = ends_line;
	(void)!mime_decode(&s->decoder, bytes, NULL, &p->decoded_size);
}

/* A line or a piece of one, without its CRLF. `at`: where it begins; s->at is behind it already. */
static void take_line(
	struct mime_scan *s, struct sv bytes, bool begins_line, bool ends_line, uint64_t at)
{
	int kind = begins_line && ends_line && s->where != IN_EPILOGUE ? delimiter(s, bytes) : 0;

	if (kind) {
		if (s->where != IN_PREAMBLE)
			end_part(s, at);
		if (kind == 2)
			s->where = IN_EPILOGUE;
		else
			begin_part(s, at);
		return;
	}
	if (s->where == IN_BODY) {
		take_body(s, bytes, ends_line);
	} else if (s->where == IN_HEADER) {
		if (begins_line && ends_line && bytes.len == 0) {
			end_header(s);
			return;
		}
		if (buf_append(&s->head, bytes) != 0 ||
			(ends_line && buf_append(&s->head, SV("\r\n")) != 0))
			s->head_broken = true;
	}
}

/* Where the line that begins in s->line and goes on in `bytes` ends: behind its LF; 0: not in here. */
static size_t line_end(const struct mime_scan *s, struct sv bytes)
{
	struct sv kept = buf_sv(&s->line);
	size_t from = 0;

	for (;;) {
		ptrdiff_t at = sv_find_char(sv_skip(bytes, from), '\n');
		size_t lf = from + (size_t)at;

		if (at < 0)
			return 0;
		if (lf > 0 ? bytes.ptr[lf - 1] == '\r'
			   : kept.len > 0 && kept.ptr[kept.len - 1] == '\r')
			return lf + 1;
		from = lf + 1;
	}
}

/* Judges a line, or a piece of one that is too long to be a delimiter. */
static void take(struct mime_scan *s, struct sv text, bool ends_line)
{
	uint64_t at = s->at;

	s->at += text.len;
	take_line(s, ends_line ? sv_head(text, text.len - 2) : text, !s->line_begun, ends_line, at);
	s->line_begun = !ends_line;
}

/* A piece without its end; a CR there may be half of a line end and is kept. */
static void take_piece(struct mime_scan *s, struct sv text)
{
	bool cr = text.ptr[text.len - 1] == '\r';

	take(s, sv_head(text, text.len - cr), false);
	buf_reset(&s->line);
	if (cr)
		must(buf_append_char(&s->line, '\r') == 0);
}

void mime_scan_feed(struct mime_scan *s, struct sv bytes)
{
	while (bytes.len) {
		size_t end = line_end(s, bytes);
		size_t n = end ? end : bytes.len;

		if (s->line.len == 0 && end) {
			take(s, sv_head(bytes, n), true);
		} else if (s->line.len == 0 && n > LINE_KEPT) {
			take_piece(s, sv_head(bytes, n));
		} else {
			if (n > LINE_KEPT)
				n = LINE_KEPT;
			must(buf_append(&s->line, sv_head(bytes, n)) == 0);
			if (n == end) {
				take(s, buf_sv(&s->line), true);
				buf_reset(&s->line);
			} else if (s->line.len > LINE_KEPT) {
				take_piece(s, buf_sv(&s->line));
			}
		}
		bytes = sv_skip(bytes, n);
	}
}

struct mime_scan *mime_scan_new(const struct mime_top *top, uint64_t body_at)
{
	struct mime_scan *s = xcalloc(1, sizeof(*s));

	must(top->kind == MIME_TOP_MIXED || top->kind == MIME_TOP_RELATED);
	must(top->boundary_len > 0 && top->boundary_len <= MIME_BOUNDARY_MAX);
	memcpy(s->boundary, top->boundary, top->boundary_len);
	s->boundary_len = top->boundary_len;
	s->related = top->kind == MIME_TOP_RELATED;
	s->at = body_at;
	buf_init(&s->line, 2 * LINE_KEPT);
	buf_init(&s->head, MIME_PART_HEADER);
	return s;
}

void mime_scan_free(struct mime_scan *s)
{
	if (!s)
		return;
	buf_deinit(&s->line);
	buf_deinit(&s->head);
	arena_reset(&s->arena);
	free(s->parts);
	free(s);
}

int mime_scan_end(struct mime_scan *s)
{
	if (s->line.len) {
		uint64_t at = s->at;

		/* The last line may lack its end. */
		s->at += s->line.len;
		take_line(s, buf_sv(&s->line), !s->line_begun, true, at);
		buf_reset(&s->line);
	}
	if (s->too_many)
		return RC_LIMIT;
	return s->where == IN_EPILOGUE && s->count > 0 ? 0 : RC_PARSE;
}

const struct mime_part *mime_scan_parts(const struct mime_scan *s, size_t *out_count)
{
	*out_count = s->count;
	return s->parts;
}
