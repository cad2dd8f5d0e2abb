/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/address_list.h"

#include "base/err.h"
#include "base/text.h"
#include "mail/address.h"

/*
 * An item is read as a run of tokens that ends at ',', ';', '<', ':' or the end of the text. Only
 * then is it known whether the run was an address, a display name or the name of a group.
 */
struct run {
	size_t first;   /* where its first token begins */
	size_t end;     /* behind its last token */
	size_t kept;    /* bytes in the list's scratch */
	size_t tokens;  /* words and dots and ats */
	bool too_long;  /* for an address; a display name may be */
	bool has_blank; /* two words with nothing but a blank between: a name, not an address */
	bool word_last;
};

void address_list_init(struct address_list *l, struct sv text)
{
	*l = (struct address_list){ .text = text };
}

static bool at_end(const struct address_list *l)
{
	return l->pos >= l->text.len;
}

static char peek(const struct address_list *l)
{
	return l->text.ptr[l->pos];
}

/* Blanks and comments, which nest and have backslash pairs. */
static int skip_cfws(struct address_list *l)
{
	size_t depth = 0;

	for (; !at_end(l); l->pos++) {
		char c = peek(l);

		if (c == '(')
			depth++;
		else if (depth && c == ')')
			depth--;
		else if (depth && c == '\\')
			l->pos++;
		else if (!depth && c != ' ' && c != '\t' && c != '\r' && c != '\n')
			return 0;
	}
	if (l->pos > l->text.len)
		l->pos = l->text.len;
	return depth ? RC_PARSE : 0;
}

/* The length of what is enclosed from `open` to `close`, both included; 0 when it does not end. */
static size_t enclosed_len(struct sv v, char close)
{
	for (size_t i = 1; i < v.len; i++) {
		if (v.ptr[i] == '\\')
			i++;
		else if (v.ptr[i] == close)
			return i + 1;
	}
	return 0;
}

static bool is_atom_char(char c)
{
	return (unsigned char)c > 0x20 && c != 0x7f && !strchr("()<>@,;:\\\".[]", c);
}

/* The length of the token at the front; 0: none can begin here. */
static size_t token_len(struct sv v)
{
	size_t len = 0;

	if (v.ptr[0] == '"')
		return enclosed_len(v, '"');
	if (v.ptr[0] == '[')
		return enclosed_len(v, ']');
	if (v.ptr[0] == '.' || v.ptr[0] == '@')
		return 1;
	while (len < v.len && is_atom_char(v.ptr[len]))
		len++;
	return len;
}

static void run_add(struct address_list *l, struct run *r, size_t len)
{
	bool word = peek(l) != '.' && peek(l) != '@';

	if (r->tokens == 0)
		r->first = l->pos;
	if (word && r->word_last)
		r->has_blank = true;
	if (len > sizeof(l->scratch) - r->kept) {
		r->too_long = true;
	} else {
		memcpy(l->scratch + r->kept, l->text.ptr + l->pos, len);
		r->kept += len;
	}
	r->word_last = word;
	r->tokens++;
	l->pos += len;
	r->end = l->pos;
}

/* Reads tokens until one of the separators, or the end. */
static int read_run(struct address_list *l, struct run *out_run)
{
	struct run r = { .first = l->pos, .end = l->pos };

	for (;;) {
		size_t len;
		int rc = skip_cfws(l);

		if (rc != 0)
			return rc;
		if (at_end(l) || memchr(",;:<>", peek(l), 5))
			break;
		len = token_len(sv_skip(l->text, l->pos));
		if (len == 0)
			return RC_PARSE;
		run_add(l, &r, len);
	}
	*out_run = r;
	return 0;
}

/* The address in scratch becomes what address_clean() makes of it. */
static int clean_scratch(struct address_list *l, size_t *len)
{
	CLEANUP(buf_deinitp) struct buf clean = BUF_INIT(LIMIT_ADDRESS);

	if (address_clean(&clean, sv_make(l->scratch, *len), ADDRESS_UTF8 | ADDRESS_NO_DOMAIN) != 0)
		return RC_PARSE;
	memcpy(l->scratch, buf_sv(&clean).ptr, clean.len);
	*len = clean.len;
	return 0;
}

static int run_address(struct address_list *l, const struct run *r, struct address_list_item *out)
{
	size_t len = r->kept;
	struct sv text;

	if (r->has_blank || r->too_long)
		return RC_PARSE;
	if (len && clean_scratch(l, &len) != 0)
		return RC_PARSE;
	text = sv_make(l->scratch, len);
	*out = (struct address_list_item){
		.address = text,
		.at = r->first,
		.len = r->end - r->first,
	};
	return 1;
}

/* What may follow an address: nothing, a comma, a semicolon or the end of its group. */
static int expect_separator(struct address_list *l)
{
	if (skip_cfws(l) != 0)
		return RC_PARSE;
	return at_end(l) || peek(l) == ',' || peek(l) == ';' ? 0 : RC_PARSE;
}

/* Behind '<': an optional source route (RFC 5322 4.4 obs-route), the address, '>'. */
static int read_angle(struct address_list *l, struct address_list_item *out_item)
{
	struct address_list_item item;
	struct run r;
	int rc;

	l->pos++;
	rc = skip_cfws(l);
	if (rc == 0 && !at_end(l) && (peek(l) == '@' || peek(l) == ',')) {
		do {
			rc = read_run(l, &r);
		} while (rc == 0 && !at_end(l) && peek(l) == ',' && ++l->pos);
		if (rc != 0 || at_end(l) || peek(l) != ':')
			return RC_PARSE;
		l->pos++;
	}
	if (rc == 0)
		rc = read_run(l, &r);
	if (rc != 0 || at_end(l) || peek(l) != '>')
		return RC_PARSE;
	l->pos++;
	rc = run_address(l, &r, &item);
	if (rc < 0 || expect_separator(l) != 0)
		return RC_PARSE;
	*out_item = item;
	return 1;
}

/* Empty elements are legal (RFC 5322 4.4), and so are blanks between them. */
static int skip_separators(struct address_list *l)
{
	for (;;) {
		if (skip_cfws(l) != 0)
			return RC_PARSE;
		if (at_end(l))
			return 0;
		if (peek(l) == ';')
			l->in_group = false;
		else if (peek(l) != ',')
			return 0;
		l->pos++;
	}
}

/* Where the element ends that begins at the front: quotes, comments and angles hold their separators. */
static size_t element_len(struct sv v)
{
	size_t i = 0;

	while (i < v.len && v.ptr[i] != ',' && v.ptr[i] != ';') {
		size_t n = 0;

		if (v.ptr[i] == '"')
			n = enclosed_len(sv_skip(v, i), '"');
		else if (v.ptr[i] == '(')
			n = enclosed_len(sv_skip(v, i), ')');
		i += n ? n : 1;
	}
	return i;
}

bool address_list_skip(struct address_list *l, struct sv *out_bad)
{
	struct sv rest = sv_skip(l->text, l->element_at);
	size_t len;

	while (rest.len && memchr(",; \t\r\n", rest.ptr[0], 6))
		rest = sv_skip(rest, 1);
	len = element_len(rest);
	l->in_group = false;
	l->pos = l->text.len - rest.len + len;
	while (len && memchr(" \t\r\n", rest.ptr[len - 1], 4))
		len--;
	*out_bad = sv_head(rest, len);
	return rest.len > 0;
}

int address_list_next(struct address_list *l, struct address_list_item *out_item)
{
	for (;;) {
		struct run r;
		int rc;

		l->element_at = l->pos;
		rc = skip_separators(l);
		if (rc != 0)
			return rc;
		if (at_end(l))
			return 0;
		rc = read_run(l, &r);
		if (rc != 0)
			return rc;
		if (!at_end(l) && peek(l) == '<') {
			rc = read_angle(l, out_item);
			if (rc == 1) {
				out_item->name_at = r.first;
				out_item->name_len = r.end - r.first;
			}
			return rc;
		}
		if (!at_end(l) && peek(l) == ':') {
			if (l->in_group || r.tokens == 0)
				return RC_PARSE;
			l->in_group = true;
			l->pos++;
			continue;
		}
		if (r.tokens == 0 || expect_separator(l) != 0)
			return RC_PARSE;
		return run_address(l, &r, out_item);
	}
}

/* ---- names ---- */

enum {
	ENCODED_BYTES_MAX = 42
}; /* RFC 2047 2: a word is 75 characters, 12 of them its frame */

/* How many bytes of `v` go into one encoded word: whole characters only (RFC 2047 5). */
static size_t word_bytes(struct sv v)
{
	size_t n = v.len < ENCODED_BYTES_MAX ? v.len : ENCODED_BYTES_MAX;

	while (n < v.len && n > 0 && ((unsigned char)v.ptr[n] & 0xc0) == 0x80)
		n--;
	return n;
}

static int render_encoded(struct buf *out, struct sv name)
{
	while (name.len) {
		size_t n = word_bytes(name);
		int rc = buf_append(out, SV("=?utf-8?B?"));

		if (rc == 0)
			rc = text_base64_encode(out, sv_head(name, n));
		if (rc == 0)
			rc = buf_append(out, SV("?="));
		name = sv_skip(name, n);
		if (rc == 0 && name.len)
			rc = buf_append_char(out, ' ');
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int render_quoted(struct buf *out, struct sv name)
{
	int rc = buf_append_char(out, '"');

	for (size_t i = 0; rc == 0 && i < name.len; i++) {
		char c = name.ptr[i];

		if (c == '"' || c == '\\')
			rc = buf_append_char(out, '\\');
		if (rc == 0)
			rc = buf_append_char(
				out, (unsigned char)c < 0x20 || (unsigned char)c >= 0x7f ? '?' : c);
	}
	return rc == 0 ? buf_append_char(out, '"') : rc;
}

int address_name_render(struct buf *out, struct sv name)
{
	bool atoms = true, control = false, high = false;

	for (size_t i = 0; i < name.len; i++) {
		char c = name.ptr[i];

		atoms = atoms && (c == ' ' || is_atom_char(c));
		control = control || (unsigned char)c < 0x20 || c == 0x7f;
		high = high || (unsigned char)c > 0x7f;
	}
	if (name.len == 0)
		return 0;
	if (high && !control && text_is_utf8(name))
		return render_encoded(out, name);
	/* "=?" would be read as an encoded word even inside of atoms. */
	if (atoms && !high && sv_find(name, SV("=?")) < 0 && name.ptr[0] != ' ')
		return buf_append(out, name);
	return render_quoted(out, name);
}
