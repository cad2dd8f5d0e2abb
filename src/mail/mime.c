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
	IN_BETWEEN, /* before the first delimiter of a multipart, or behind its last */
	IN_HEADER,
	IN_BODY,
};

struct mime_scan {
	bool single;
	const struct mime_converter *converter;
	struct mime_container *containers;
	size_t container_count;
	size_t open[MIME_DEPTH_MAX]; /* containers that are not closed, the outermost first */
	size_t depth;
	bool any_part;
	enum where where;
	uint64_t at;      /* offset of the next byte to be judged */
	struct buf line;  /* a cut line */
	bool line_begun;  /* its beginning was judged already: the rest is content */
	bool owes_crlf;   /* a line end that belongs to the body only if no delimiter follows */
	struct buf head;  /* header of the part */
	bool head_broken; /* of this part: too long */
	bool first_child; /* of its container */
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

static enum mime_container_kind container_kind(struct sv type)
{
	if (sv_eq(type, SV("multipart/related")))
		return MIME_RELATED;
	return sv_eq(type, SV("multipart/alternative")) ? MIME_ALTERNATIVE : MIME_MIXED;
}

/* False: a multipart whose parts nobody can tell apart. */
static bool read_boundary(struct sv value, char out[MIME_BOUNDARY_MAX], size_t *out_len)
{
	CLEANUP(buf_deinitp) struct buf boundary = BUF_INIT(MIME_BOUNDARY_MAX + 1);

	if (!mime_parameter(value, SV("boundary"), &boundary) || boundary.len == 0 ||
		boundary.len > MIME_BOUNDARY_MAX)
		return false;
	memcpy(out, buf_sv(&boundary).ptr, boundary.len);
	*out_len = boundary.len;
	return true;
}

void mime_top(struct header_block *h, struct mime_top *out_top)
{
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
	else if (sv_starts(type, SV("multipart/")))
		top.kind = read_boundary(value, top.boundary, &top.boundary_len)
				   ? MIME_TOP_MULTIPART
				   : MIME_TOP_UNREADABLE;
	top.container = container_kind(type);
	*out_top = top;
}

int mime_without_content(struct buf *out, struct sv header)
{
	bool kept = true;
	struct sv line;
	int rc = 0;

	while (rc == 0 && sv_cut_line(&header, &line) && line.len) {
		if (line.ptr[0] != ' ' && line.ptr[0] != '\t')
			kept = !sv_starts_nocase(line, SV("Content-"));
		if (kept)
			rc = buf_append(out, line);
		if (kept && rc == 0)
			rc = buf_append(out, SV("\r\n"));
	}
	return rc;
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
	bool plain;

	if (sv_eq(type, SV("message/rfc822")))
		end = SV("eml");
	plain = end.len > 0 && end.len <= 5;

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

/* The type as the reader of an attachment needs it. */
static struct sv full_type(struct mime_scan *s, struct sv type, struct sv value)
{
	static const struct sv names[] = {
		SV_INIT("charset"), SV_INIT("method"), SV_INIT("format"), SV_INIT("delsp")
	};
	CLEANUP(buf_deinitp) struct buf out = BUF_INIT(1024), one = BUF_INIT(100);
	int rc = buf_append(&out, type);

	for (size_t i = 0; rc == 0 && i < COUNT_OF(names); i++) {
		struct sv text;
		bool plain;

		buf_reset(&one);
		if (!mime_parameter(value, names[i], &one))
			continue;
		text = buf_sv(&one);
		plain = text.len > 0;
		for (size_t j = 0; j < text.len; j++)
			plain = plain && text.ptr[j] > ' ' && text.ptr[j] < 0x7f &&
				!strchr("()<>@,;:\\\"/[]?=", text.ptr[j]);
		if (plain)
			rc = buf_printf(&out, "; %.*s=%.*s", SV_ARG(names[i]), SV_ARG(text));
	}
	return arena_sv(&s->arena, rc == 0 ? buf_sv(&out) : type);
}

struct looks {
	bool attached; /* by its disposition */
	bool named, located;
};

/* In a multipart/related the text shows what its Content-ID or its Content-Location names. */
static bool related_movable(struct mime_part *p, bool first, const struct looks *looks)
{
	if (first)
		return false;
	p->is_inline = p->content_id.len > 0;
	return !sv_starts(p->type, SV("text/")) && (p->is_inline || !looks->located);
}

static bool is_movable(const struct mime_scan *s, struct mime_part *p, const struct looks *looks)
{
	bool text = sv_starts(p->type, SV("text/"));

	if (p->type.len == 0 || p->encoding == MIME_UNKNOWN ||
		sv_starts(p->type, SV("multipart/")) ||
		(sv_starts(p->type, SV("message/")) && !sv_eq(p->type, SV("message/rfc822"))))
		return false;
	if (s->single)
		return looks->attached || looks->named || !text;
	if (s->containers[p->container].kind == MIME_ALTERNATIVE)
		return false;
	if (s->containers[p->container].kind == MIME_RELATED)
		return related_movable(p, s->first_child, looks);
	/* A text with a name at the very front is the text of the message. */
	if (text)
		return looks->attached || (looks->named && !s->first_child);
	return true;
}

static void judge_header(struct mime_scan *s, struct mime_part *p, struct header_block *h)
{
	CLEANUP(buf_deinitp) struct buf name = BUF_INIT(NAME_BYTES_MAX);
	bool broken = s->head_broken, has_name;
	struct sv type = field(h, "Content-Type", &broken);
	struct sv disposition = field(h, "Content-Disposition", &broken);
	struct looks looks = { .attached = sv_starts_nocase(disposition, SV("attachment")),
		.located = header_block_count(h, SV("Content-Location")) > 0 };
	char text[128];

	p->encoding = read_encoding(field(h, "Content-Transfer-Encoding", &broken));
	p->content_id = read_content_id(s, field(h, "Content-ID", &broken));
	p->type = type.len ? read_type(type, text, sizeof(text)) : SV("text/plain");
	p->type = arena_sv(&s->arena, p->type);
	p->content_type = full_type(s, p->type, type);
	has_name = mime_parameter_as(disposition, SV("filename"), s->converter, &name) ||
		   mime_parameter_as(type, SV("name"), s->converter, &name);
	looks.named = has_name && name.len;
	p->movable = is_movable(s, p, &looks) && !broken;
	p->is_inline |= p->content_id.len > 0 && sv_starts_nocase(disposition, SV("inline"));
	if (p->movable)
		p->name = name.len ? arena_sv(&s->arena, buf_sv(&name)) : made_name(s, p->type);
	s->decoder = (struct mime_decoder){ .encoding = p->encoding };
}

/* ---- containers ---- */

static void add_container(
	struct mime_scan *s, enum mime_container_kind kind, const char *boundary, size_t len)
{
	struct mime_container *c;

	s->containers = xrealloc(s->containers, (s->container_count + 1) * sizeof(*s->containers));
	c = &s->containers[s->container_count];
	*c = (struct mime_container){ .kind = kind, .boundary_len = len };
	memcpy(c->boundary, boundary, len);
	s->open[s->depth++] = s->container_count++;
}

/* The part that was begun is a multipart that can be looked into: it is none of the leaves. */
static bool enter_multipart(struct mime_scan *s, struct mime_part *p, struct header_block *h)
{
	char boundary[MIME_BOUNDARY_MAX];
	struct sv value;
	size_t len;

	if (!sv_starts(p->type, SV("multipart/")) || is_sealed(p->type) || s->head_broken ||
		p->encoding != MIME_IDENTITY || s->depth == MIME_DEPTH_MAX ||
		!header_block_get(h, SV("Content-Type"), &value) ||
		!read_boundary(value, boundary, &len))
		return false;
	add_container(s, container_kind(p->type), boundary, len);
	s->count--;
	s->where = IN_BETWEEN;
	return true;
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
	p->body_at = s->at;
	s->where = IN_BODY;
	s->owes_crlf = false;
	if (rc < 0)
		s->decoder = (struct mime_decoder){ .encoding = MIME_UNKNOWN };
	else
		judge_header(s, p, h);
	if (rc >= 0)
		(void)enter_multipart(s, p, h);
}

/* ---- parts ---- */

static void end_part(struct mime_scan *s, uint64_t delimiter_at)
{
	struct mime_part *p;

	if (s->where == IN_BETWEEN)
		return;
	p = &s->parts[s->count - 1];
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
	s->where = IN_BETWEEN;
}

static struct mime_part *add_part(struct mime_scan *s, uint64_t at)
{
	if (s->count == s->cap) {
		s->cap = s->cap ? s->cap * 2 : 8;
		s->parts = xrealloc(s->parts, s->cap * sizeof(*s->parts));
	}
	s->parts[s->count] = (struct mime_part){ .from = at };
	return &s->parts[s->count++];
}

static void begin_part(struct mime_scan *s, uint64_t at)
{
	size_t container = s->open[s->depth - 1];

	if (s->count >= MIME_PARTS_MAX || s->container_count >= MIME_PARTS_MAX) {
		s->too_many = true;
		s->depth = 0;
		return;
	}
	add_part(s, at)->container = container;
	s->first_child = s->containers[container].children++ == 0;
	s->any_part = true;
	s->where = IN_HEADER;
	s->head_broken = false;
	buf_reset(&s->head);
}

/* ---- lines ---- */

/* 0: no delimiter; 1: between parts; 2: the last one. `line` is whole and without its CRLF. */
static int delimiter_of(const struct mime_container *c, struct sv line)
{
	struct sv boundary = sv_make(c->boundary, c->boundary_len), rest;
	int kind = 1;

	if (!sv_starts(sv_skip(line, 2), boundary))
		return 0;
	rest = sv_skip(line, 2 + boundary.len);
	if (sv_starts(rest, SV("--"))) {
		kind = 2;
		rest = sv_skip(rest, 2);
	}
	/* RFC 2046 5.1.1: blanks may follow. Anything else is another boundary that begins like ours. */
	return sv_trim(rest).len == 0 ? kind : 0;
}

/* The innermost one first: a delimiter of an outer multipart ends those within it, too. */
static int delimiter(struct mime_scan *s, struct sv line, size_t *out_depth)
{
	if (!sv_starts(line, SV("--")))
		return 0;
	for (size_t depth = s->depth; depth > 0; depth--) {
		int kind = delimiter_of(&s->containers[s->open[depth - 1]], line);

		*out_depth = depth;
		if (kind)
			return kind;
	}
	return 0;
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
	size_t depth = 0;
	int kind = begins_line && ends_line ? delimiter(s, bytes, &depth) : 0;

	if (kind) {
		end_part(s, at);
		s->depth = kind == 2 ? depth - 1 : depth;
		if (kind == 1)
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

struct mime_scan *mime_scan_new(const struct mime_top *top, struct header_block *h,
	uint64_t body_at, const struct mime_converter *converter)
{
	struct mime_scan *s = xcalloc(1, sizeof(*s));

	s->at = body_at;
	s->converter = converter;
	buf_init(&s->line, 2 * LINE_KEPT);
	buf_init(&s->head, MIME_PART_HEADER);
	if (top->kind == MIME_TOP_SINGLE) {
		s->single = true;
		s->any_part = true;
		s->where = IN_BODY;
		judge_header(s, add_part(s, body_at), h);
		s->parts[0].body_at = body_at;
		return s;
	}
	must(top->kind == MIME_TOP_MULTIPART);
	must(top->boundary_len > 0 && top->boundary_len <= MIME_BOUNDARY_MAX);
	add_container(s, top->container, top->boundary, top->boundary_len);
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
	free(s->containers);
	free(s);
}

int mime_scan_end(struct mime_scan *s, bool *out_open)
{
	if (s->line.len) {
		uint64_t at = s->at;

		/* The last line may lack its end. */
		s->at += s->line.len;
		take_line(s, buf_sv(&s->line), !s->line_begun, true, at);
		buf_reset(&s->line);
		if (s->where == IN_BODY)
			s->owes_crlf = false;
	}
	*out_open = s->depth > 0;
	/* A line end at the very end is content where no delimiter could follow. */
	if (s->single && s->owes_crlf)
		take_body(s, SV(""), false);
	end_part(s, s->at);
	if (s->too_many)
		return RC_LIMIT;
	return s->any_part ? 0 : RC_PARSE;
}

const struct mime_part *mime_scan_parts(const struct mime_scan *s, size_t *out_count)
{
	*out_count = s->count;
	return s->parts;
}

const struct mime_container *mime_scan_containers(const struct mime_scan *s, size_t *out_count)
{
	*out_count = s->container_count;
	return s->containers;
}
