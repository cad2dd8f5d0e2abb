/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/header.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/must.h"
#include "mail/header_priv.h"

#include <stdlib.h>

/*
 * Reading. Bytes are judged once each, at the front of their line: a line is a field when a name and
 * a colon stand there, a continuation when a blank does, the end when it is empty, and body when it
 * is anything else. What the bytes behind that judgement are does not matter, so the rest of a line
 * is copied in one piece. A line that cannot be judged yet is held (at most NAME_MAX_BYTES).
 *
 *   START -> CR -> EMPTY | BODY        START -> FOLD         START -> BODY
 *   START -> NAME -> FIELD | BODY      NAME -> NAME_BLANK -> FIELD | BODY | MBOX -> START
 */

/* RFC 5322 2.1.1: longer than a line may be, so it is no field. Bounds what is held. */
enum {
	NAME_MAX_BYTES = 998
};

struct header_block *header_block_new(size_t bytes_max, size_t fields_max)
{
	struct header_block *h = xcalloc(1, sizeof(*h));

	h->bytes_max = bytes_max;
	h->fields_max = fields_max;
	/* On top come a line that may turn out to be body, and the CRLF of header_block_end(). */
	buf_init(&h->raw, bytes_max + NAME_MAX_BYTES + 2);
	return h;
}

size_t header_block_memory(const struct header_block *h)
{
	if (!h)
		return 0;
	return sizeof(*h) + h->raw.cap + h->field_cap * sizeof(*h->fields) + h->arena.used_bytes;
}

void header_block_free(struct header_block *h)
{
	if (!h)
		return;
	buf_deinit(&h->raw);
	arena_reset(&h->arena);
	free(h->fields);
	free(h);
}

/* RFC 5322 2.2: printable ASCII but the colon. */
static bool is_name_char(char c)
{
	return c > 0x20 && c < 0x7f && c != ':';
}

#define BOM SV("\xef\xbb\xbf")

/* The next byte of the mark in front of the first line; `at`: where it stands. */
static bool is_bom(const struct header_block *h, size_t at, char c)
{
	return h->field_count == 0 && h->line_at == 0 && at == h->bom && at < BOM.len &&
	       c == BOM.ptr[at];
}

static enum header_line judge_start(const struct header_block *h, char c)
{
	if (c == '\r')
		return HEADER_LINE_CR;
	if (c == ' ' || c == '\t')
		return h->field_count ? HEADER_LINE_FOLD : HEADER_LINE_BODY;
	return is_name_char(c) ? HEADER_LINE_NAME : HEADER_LINE_BODY;
}

static enum header_line judge_byte(const struct header_block *h, char c)
{
	switch (h->line) {
	case HEADER_LINE_START:
		return judge_start(h, c);
	case HEADER_LINE_CR:
		return c == '\n' ? HEADER_LINE_EMPTY : HEADER_LINE_BODY;
	case HEADER_LINE_NAME:
	case HEADER_LINE_NAME_BLANK:
		if (c == ':')
			return HEADER_LINE_FIELD;
		if (c == ' ' || c == '\t')
			return HEADER_LINE_NAME_BLANK;
		if (h->line == HEADER_LINE_NAME && is_name_char(c))
			return HEADER_LINE_NAME;
		return HEADER_LINE_BODY;
	case HEADER_LINE_FIELD:
	case HEADER_LINE_FOLD:
	case HEADER_LINE_EMPTY:
	case HEADER_LINE_BODY:
	case HEADER_LINE_MBOX:
		break;
	}
	return h->line;
}

static bool is_judged(enum header_line line)
{
	return line == HEADER_LINE_FIELD || line == HEADER_LINE_FOLD || line == HEADER_LINE_EMPTY ||
	       line == HEADER_LINE_BODY;
}

/* Judges with the bytes of `piece`; returns how many it looked at. */
static size_t judge(struct header_block *h, struct sv piece)
{
	size_t n = 0;

	while (n < piece.len && !is_judged(h->line)) {
		size_t line_bytes = h->raw.len - h->line_at + n;

		if (h->line == HEADER_LINE_NAME)
			h->name_len = line_bytes;
		if (line_bytes >= NAME_MAX_BYTES) {
			h->line = HEADER_LINE_BODY;
		} else if (is_bom(h, line_bytes, piece.ptr[n])) {
			h->bom++;
			h->line = HEADER_LINE_NAME;
		} else {
			/* Behind the mark a name begins, or nothing that is a field. */
			if (h->bom && h->field_count == 0 && line_bytes == h->bom)
				h->line = h->bom == BOM.len ? HEADER_LINE_START : HEADER_LINE_BODY;
			h->line = judge_byte(h, piece.ptr[n]);
		}
		n++;
	}
	return n;
}

static int begin_field(struct header_block *h)
{
	if (h->field_count >= h->fields_max)
		return RC_LIMIT;
	if (h->field_count == h->field_cap) {
		h->field_cap = h->field_cap ? h->field_cap * 2 : 32;
		h->fields = xrealloc(h->fields, h->field_cap * sizeof(*h->fields));
	}
	h->fields[h->field_count++] = (struct header_field){
		.at = h->line_at,
		.name_len = h->name_len,
	};
	return 0;
}

static void end_line(struct header_block *h)
{
	struct header_field *f = &h->fields[h->field_count - 1];

	f->len = h->raw.len - f->at;
	h->line_at = h->raw.len;
	h->line = HEADER_LINE_START;
	h->name_len = 0;
}

/* Where the line ends in `piece`: behind the LF of a CRLF, or 0 when it does not yet. */
static size_t line_end(const struct header_block *h, struct sv piece)
{
	struct sv raw = buf_sv(&h->raw);
	size_t from = 0;

	for (;;) {
		ptrdiff_t at = sv_find_char(sv_skip(piece, from), '\n');
		size_t lf = from + (size_t)at;
		char before = '\0';

		if (at < 0)
			return 0;
		if (lf > 0)
			before = piece.ptr[lf - 1];
		else if (raw.len > h->line_at)
			before = raw.ptr[raw.len - 1];
		if (before == '\r')
			return lf + 1;
		from = lf + 1;
	}
}

/*
 * The first line turned out to be no field, with its first `judged` bytes in `bytes`. Is it the line that
 * parts the messages of an mbox file?
 */
static bool is_mbox_line(struct header_block *h, struct sv bytes, size_t judged)
{
	size_t before = h->raw.len;
	struct sv line;
	bool found;

	if (h->mbox_gone || h->field_count > 0 || h->line_at > 0 ||
		buf_append(&h->raw, sv_head(bytes, judged)) != 0)
		return false;
	line = sv_skip(buf_sv(&h->raw), h->bom == BOM.len ? BOM.len : 0);
	found = sv_starts(line, SV("From ")) || sv_starts(line, SV(">From "));
	h->raw.len = found ? 0 : before;
	return found;
}

/* Drops it as far as it is there. */
static void feed_mbox_line(struct header_block *h, struct sv bytes, size_t *used)
{
	ptrdiff_t lf = sv_find_char(bytes, '\n');

	*used += lf < 0 ? bytes.len : (size_t)lf + 1;
	if (lf < 0)
		return;
	h->line = HEADER_LINE_START;
	h->name_len = 0;
	h->bom = 0;
}

/* What stands behind the mark is the first field. */
static void drop_bom(struct header_block *h)
{
	buf_consume(&h->raw, h->bom);
	h->fields[0].name_len -= h->bom;
	h->bom = 0;
}

/* Takes from the front of `bytes` what belongs to the line that is being read. */
static int feed_line(struct header_block *h, struct sv bytes, size_t *used)
{
	bool was_judged = is_judged(h->line);
	size_t judged;
	size_t end;

	if (h->line == HEADER_LINE_MBOX) {
		feed_mbox_line(h, bytes, used);
		return 0;
	}
	judged = judge(h, bytes);
	if (h->line == HEADER_LINE_BODY && is_mbox_line(h, bytes, judged)) {
		h->mbox_gone = true;
		h->line = HEADER_LINE_MBOX;
		/* Its last byte may be the line end already. */
		*used += judged - 1;
		return 0;
	}
	if (h->line == HEADER_LINE_BODY) {
		h->complete = true;
		return 1;
	}
	if (h->line == HEADER_LINE_EMPTY) {
		/* The empty line itself is written by render, whether there was one or not. */
		h->raw.len = h->line_at;
		h->complete = true;
		*used += judged;
		return 1;
	}
	if (!was_judged && h->line == HEADER_LINE_FIELD && begin_field(h) != 0)
		return RC_LIMIT;
	end = is_judged(h->line) ? line_end(h, bytes) : 0;
	bytes = sv_head(bytes, end ? end : bytes.len);
	/* Only bytes of fields count: what comes of a limit must not hang on how the input was cut. */
	if (is_judged(h->line) && h->raw.len + bytes.len > h->bytes_max)
		return RC_LIMIT;
	if (buf_append(&h->raw, bytes) != 0)
		return RC_LIMIT;
	*used += bytes.len;
	if (h->line == HEADER_LINE_FIELD && h->bom)
		drop_bom(h);
	if (end)
		end_line(h);
	return 0;
}

int header_block_feed(struct header_block *h, struct sv bytes, size_t *out_used)
{
	size_t used = 0;
	int rc = 0;

	must(!h->complete);
	if (h->failed)
		return RC_LIMIT;
	while (rc == 0 && used < bytes.len)
		rc = feed_line(h, sv_skip(bytes, used), &used);
	if (rc < 0)
		h->failed = true;
	else
		*out_used = used;
	return rc;
}

int header_block_end(struct header_block *h)
{
	struct sv raw = buf_sv(&h->raw);

	if (h->failed)
		return RC_LIMIT;
	if (h->complete)
		return 0;
	h->complete = true;
	if (h->line != HEADER_LINE_FIELD && h->line != HEADER_LINE_FOLD)
		return 0;
	/* A last line without its end (BDAT can do that) gets one, or the next field would join it. */
	must(buf_append(&h->raw, raw.ptr[raw.len - 1] == '\r' ? SV("\n") : SV("\r\n")) == 0);
	end_line(h);
	return 0;
}

size_t header_block_body_bytes(const struct header_block *h)
{
	return h->raw.len - h->line_at;
}

/* ---- looking ---- */

struct sv header_field_name(const struct header_block *h, const struct header_field *f)
{
	return sv_make(buf_sv(&h->raw).ptr + f->at, f->name_len);
}

struct sv header_field_raw(const struct header_block *h, const struct header_field *f)
{
	return sv_make(buf_sv(&h->raw).ptr + f->at, f->len);
}

size_t header_field_value_at(const struct header_block *h, const struct header_field *f)
{
	ptrdiff_t colon = sv_find_char(header_field_raw(h, f), ':');

	must(colon >= 0);
	return (size_t)colon + 1;
}

struct sv header_field_value(struct header_block *h, struct header_field *f)
{
	struct sv raw = header_field_raw(h, f);
	struct sv line, text;
	char *to;

	if (f->unfolded.ptr)
		return f->unfolded;
	raw = sv_skip(raw, header_field_value_at(h, f));
	text.ptr = to = arena_alloc(&h->arena, raw.len + 1);
	while (sv_cut_line(&raw, &line)) {
		if (line.len)
			memcpy(to, line.ptr, line.len);
		to += line.len;
	}
	text.len = (size_t)(to - text.ptr);
	f->unfolded = sv_trim(text);
	return f->unfolded;
}

static struct header_field *find_field(struct header_block *h, struct sv name)
{
	for (size_t i = 0; i < h->field_count; i++) {
		if (sv_eq_nocase(header_field_name(h, &h->fields[i]), name))
			return &h->fields[i];
	}
	return NULL;
}

bool header_block_get(struct header_block *h, struct sv name, struct sv *out_value)
{
	struct header_field *f = find_field(h, name);

	*out_value = f ? header_field_value(h, f) : sv_make(NULL, 0);
	return f != NULL;
}

size_t header_block_count(const struct header_block *h, struct sv name)
{
	size_t count = 0;

	for (size_t i = 0; i < h->field_count; i++)
		count += sv_eq_nocase(header_field_name(h, &h->fields[i]), name);
	return count;
}

static int each_address(struct sv value, header_address_fn *each, header_address_fn *bad, void *arg)
{
	struct address_list list;
	struct address_list_item item;
	struct sv element;
	int rc;

	address_list_init(&list, value);
	for (;;) {
		rc = address_list_next(&list, &item);
		if (rc == 1 && item.address.len)
			each(arg, item.address);
		if (rc == 1)
			continue;
		if (rc == 0 || !bad || !address_list_skip(&list, &element))
			return bad ? 0 : rc;
		bad(arg, element);
	}
}

int header_block_addresses(struct header_block *h, struct sv name, header_address_fn *each,
	header_address_fn *bad, void *arg)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < h->field_count; i++) {
		struct header_field *f = &h->fields[i];

		if (sv_eq_nocase(header_field_name(h, f), name))
			rc = each_address(
				sv_skip(header_field_raw(h, f), header_field_value_at(h, f)),
				each,
				bad,
				arg);
	}
	return rc;
}

/* "<...>" without blanks and controls, as it may be shown and put into References; or nothing. */
static struct sv clean_message_id(struct sv value)
{
	ptrdiff_t open = sv_find_char(value, '<');
	ptrdiff_t close = sv_find_char(value, '>');

	if (open < 0 || close <= open + 1 || close - open > NAME_MAX_BYTES)
		return sv_make(NULL, 0);
	value = sv_head(sv_skip(value, (size_t)open), (size_t)(close - open + 1));
	for (size_t i = 0; i < value.len; i++) {
		if ((unsigned char)value.ptr[i] <= 0x20 || value.ptr[i] == 0x7f)
			return sv_make(NULL, 0);
	}
	return value;
}

/* RFC 3834 5: any value but "no", which may be followed by parameters and comments. */
static bool is_auto_submitted(struct sv value)
{
	size_t len = 0;

	while (len < value.len && !memchr("; \t(", value.ptr[len], 4))
		len++;
	return len > 0 && !sv_eq_nocase(sv_head(value, len), SV("no"));
}

static struct sv first_from(struct header_block *h)
{
	struct header_field *f = find_field(h, SV("From"));
	struct address_list list;
	struct address_list_item item;

	if (!f)
		return sv_make(NULL, 0);
	address_list_init(&list, sv_skip(header_field_raw(h, f), header_field_value_at(h, f)));
	if (address_list_next(&list, &item) != 1 || item.address.len == 0)
		return sv_make(NULL, 0);
	return arena_sv(&h->arena, item.address);
}

void header_block_facts(struct header_block *h, struct header_facts *out_facts)
{
	struct header_facts facts = { .from = first_from(h) };
	struct sv raw = sv_head(buf_sv(&h->raw), h->line_at);
	struct sv value;

	if (header_block_get(h, SV("Message-ID"), &value))
		facts.message_id = clean_message_id(value);
	if (header_block_get(h, SV("Subject"), &value))
		facts.subject = value;
	facts.received_hops = (uint32_t)header_block_count(h, SV("Received"));
	if (header_block_get(h, SV("Auto-Submitted"), &value))
		facts.auto_submitted = is_auto_submitted(value);
	for (size_t i = 0; i < raw.len && !facts.has_8bit; i++)
		facts.has_8bit = (unsigned char)raw.ptr[i] > 0x7f;
	*out_facts = facts;
}
