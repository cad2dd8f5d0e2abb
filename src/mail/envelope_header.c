/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/envelope_header.h"

#include "base/err.h"
#include "base/must.h"
#include "mail/address.h"
#include "mail/header_priv.h"

#include <stdlib.h>

enum {
	/* With an address behind it, a name stays within a line (RFC 5322 2.1.1); longer ones go. */
	NAME_BYTES_MAX = 600,
};

/* A recipient of this copy. The table is sorted by address (without case), then by place. */
struct party {
	struct sv address;
	size_t index;
	bool named; /* stands in To or Cc of the copy, or is a second mention in the envelope */
};

/* What becomes of To or Cc. */
struct list_field {
	struct sv name;
	struct buf items; /* "Anna <anna@example.org>,\r\n <...>" */
	size_t fields;    /* of that name in the original */
	bool whole;       /* nothing left and nothing in it is doubtful */
	bool written;
};

struct copy {
	struct header_block *h;
	struct buf *out;
	struct party *parties;
	size_t count;
	struct list_field lists[2];
	bool readable;
};

/* ---- the table of recipients ---- */

static int compare_nocase(struct sv a, struct sv b)
{
	for (size_t i = 0; i < a.len && i < b.len; i++) {
		unsigned char x = (unsigned char)ascii_lower(a.ptr[i]);
		unsigned char y = (unsigned char)ascii_lower(b.ptr[i]);

		if (x != y)
			return x < y ? -1 : 1;
	}
	return a.len == b.len ? 0 : a.len < b.len ? -1 : 1;
}

static int compare_exact(struct sv a, struct sv b)
{
	int rc = a.len == b.len ? 0 : a.len < b.len ? -1 : 1;

	return rc || a.len == 0 ? rc : memcmp(a.ptr, b.ptr, a.len);
}

static int compare_parties(const void *a, const void *b)
{
	const struct party *x = a, *y = b;
	int rc = compare_nocase(x->address, y->address);

	if (rc == 0)
		rc = compare_exact(x->address, y->address);
	if (rc == 0)
		rc = x->index < y->index ? -1 : 1;
	return rc;
}

static int compare_index(const void *a, const void *b)
{
	const struct party *x = a, *y = b;

	return x->index < y->index ? -1 : 1;
}

static int take_parties(struct copy *c, const struct sv *recipients)
{
	struct address unused;

	for (size_t i = 0; i < c->count; i++) {
		c->parties[i] = (struct party){ .address = recipients[i], .index = i };
		if (address_parse(recipients[i], ADDRESS_UTF8 | ADDRESS_NO_DOMAIN, &unused) != 0)
			return RC_PARSE;
	}
	qsort(c->parties, c->count, sizeof(*c->parties), compare_parties);
	for (size_t i = 1; i < c->count; i++)
		c->parties[i].named = sv_eq(c->parties[i].address, c->parties[i - 1].address);
	return 0;
}

/* The first recipient of that address who is not named yet; NULL: there is none. */
static struct party *find_party(struct copy *c, struct sv address)
{
	size_t low = 0, high = c->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare_nocase(c->parties[middle].address, address) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < c->count && address_eq(c->parties[low].address, address); low++)
		if (!c->parties[low].named)
			return &c->parties[low];
	return NULL;
}

/* ---- names ---- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The length of the comment at the front of `v`, nested ones included. */
static size_t comment_len(struct sv v)
{
	size_t depth = 0, i = 0;

	for (; i < v.len; i++) {
		if (v.ptr[i] == '(')
			depth++;
		else if (v.ptr[i] == ')' && --depth == 0)
			return i + 1;
		else if (v.ptr[i] == '\\')
			i++;
	}
	return v.len;
}

static size_t quoted_len(struct sv v)
{
	for (size_t i = 1; i < v.len; i++) {
		if (v.ptr[i] == '\\')
			i++;
		else if (v.ptr[i] == '"')
			return i + 1;
	}
	return v.len;
}

/* Copies without line ends. */
static int append_unfolded(struct buf *out, struct sv v)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < v.len; i++)
		if (v.ptr[i] != '\r' && v.ptr[i] != '\n')
			rc = buf_append_char(out, v.ptr[i]);
	return rc;
}

/*
 * Appends a display name without its comments and folding. RC_PARSE: it has a sign outside of quotes
 * that a careless reader could take for an address or the end of one.
 */
static int append_name(struct buf *out, struct sv name)
{
	size_t begin = out->len;
	bool blank = false;
	int rc = 0;

	while (rc == 0 && name.len) {
		size_t len = 1;

		if (is_blank(name.ptr[0])) {
			blank = true;
		} else if (name.ptr[0] == '(') {
			blank = true;
			len = comment_len(name);
		} else {
			if (memchr("@[]<>,;:\\)", name.ptr[0], 10))
				return RC_PARSE;
			if (name.ptr[0] == '"')
				len = quoted_len(name);
			if (blank && out->len > begin)
				rc = buf_append_char(out, ' ');
			blank = false;
			if (rc == 0)
				rc = append_unfolded(out, sv_head(name, len));
		}
		name = sv_skip(name, len);
	}
	return rc;
}

/* ---- To and Cc ---- */

/*
 * Whether every reader finds in this list what we find: no comments, groups, routes, literals, escapes
 * outside of quotes.
 */
static bool is_plain(struct sv value)
{
	for (size_t i = 0; i < value.len; i++) {
		if (value.ptr[i] == '"')
			i += quoted_len(sv_skip(value, i)) - 1;
		else if (memchr("():;[]\\", value.ptr[i], 7))
			return false;
	}
	return true;
}

static int append_item(struct list_field *l, struct sv name, struct sv address)
{
	struct buf *out = &l->items;
	size_t before;
	int rc = out->len ? buf_append(out, SV(",\r\n ")) : 0;

	before = out->len;
	if (rc == 0 && name.len) {
		int name_rc = append_name(out, name);

		if (name_rc == RC_LIMIT)
			return RC_LIMIT;
		if (name_rc != 0)
			l->whole = false;
		if (name_rc != 0 || out->len - before > NAME_BYTES_MAX)
			out->len = before;
		else if (out->len > before)
			rc = buf_append_char(out, ' ');
	}
	if (rc == 0)
		rc = buf_append_char(out, '<');
	if (rc == 0)
		rc = buf_append(out, address);
	return rc == 0 ? buf_append_char(out, '>') : rc;
}

/* A line of blanks only, which goes on with a field (RFC 5322 4.2). */
static bool has_blank_line(struct sv raw)
{
	struct sv line;

	while (sv_cut_line(&raw, &line))
		if (sv_trim(line).len == 0)
			return true;
	return false;
}

static int read_list(struct copy *c, struct list_field *l, const struct header_field *f)
{
	size_t value_at = header_field_value_at(c->h, f);
	struct sv value = sv_skip(header_field_raw(c->h, f), value_at);
	struct address_list list;
	struct address_list_item item;
	int rc;

	l->fields++;
	if (l->fields > 1 || value_at != f->name_len + 1 || !is_plain(value) ||
		has_blank_line(header_field_raw(c->h, f)))
		l->whole = false;
	address_list_init(&list, value);
	for (rc = address_list_next(&list, &item); rc == 1; rc = address_list_next(&list, &item)) {
		struct party *p = find_party(c, item.address);

		if (!p) {
			l->whole = false;
			continue;
		}
		p->named = true;
		if (!sv_eq(p->address, item.address) || item.len != item.address.len)
			l->whole = false;
		if (append_item(l,
			    sv_head(sv_skip(value, item.name_at), item.name_len),
			    p->address) != 0)
			return RC_LIMIT;
	}
	return rc;
}

static struct list_field *list_of(struct copy *c, struct sv name)
{
	for (size_t i = 0; i < COUNT_OF(c->lists); i++)
		if (sv_eq_nocase(name, c->lists[i].name))
			return &c->lists[i];
	return NULL;
}

/* Sorts every address of To and Cc into those that stay and the others. */
static int read_lists(struct copy *c)
{
	c->readable = true;
	for (size_t i = 0; i < c->h->field_count; i++) {
		const struct header_field *f = &c->h->fields[i];
		struct list_field *l = list_of(c, header_field_name(c->h, f));
		int rc = l ? read_list(c, l, f) : 0;

		if (rc == RC_LIMIT)
			return rc;
		if (rc < 0)
			c->readable = false;
	}
	return c->readable || c->count == 1 ? 0 : RC_STATE;
}

/* ---- writing ---- */

static bool is_left_out(struct sv name)
{
	return sv_eq_nocase(name, SV("Bcc")) || sv_starts_nocase(name, SV("Resent-")) ||
	       sv_eq_nocase(name, SV("Apparently-To"));
}

static int write_list(struct copy *c, struct list_field *l, struct sv raw)
{
	int rc;

	if (l->written || l->items.len == 0)
		return 0;
	l->written = true;
	if (l->whole)
		return buf_append(c->out, raw);
	rc = buf_append(c->out, l->name);
	if (rc == 0)
		rc = buf_append(c->out, SV(": "));
	if (rc == 0)
		rc = buf_append(c->out, buf_sv(&l->items));
	return rc == 0 ? buf_append(c->out, SV("\r\n")) : rc;
}

/* Who is named nowhere: in Bcc; or in To, when no list can be trusted and he is the only one. */
static int write_unnamed(struct copy *c)
{
	const char *before = c->readable ? "Bcc: <" : "To: <";
	int rc = 0;

	qsort(c->parties, c->count, sizeof(*c->parties), compare_index);
	for (size_t i = 0; rc == 0 && i < c->count; i++) {
		if (c->parties[i].named && c->readable)
			continue;
		rc = buf_append(c->out, sv_from(before));
		if (rc == 0)
			rc = buf_append(c->out, c->parties[i].address);
		if (rc == 0)
			rc = buf_append_char(c->out, '>');
		before = ",\r\n <";
	}
	if (rc == 0 && *before == ',')
		rc = buf_append(c->out, SV("\r\n"));
	return rc;
}

/* The fields in their order: the lists only, or all the others, or everything. */
static int write_fields(struct copy *c, bool lists, bool others)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < c->h->field_count; i++) {
		const struct header_field *f = &c->h->fields[i];
		struct sv name = header_field_name(c->h, f), raw = header_field_raw(c->h, f);
		struct list_field *l = list_of(c, name);

		if (l && lists)
			rc = c->readable ? write_list(c, l, raw) : 0;
		else if (!l && others && !is_left_out(name))
			rc = buf_append(c->out, raw);
	}
	return rc;
}

static bool any_blank_line(const struct copy *c)
{
	for (size_t i = 0; i < c->h->field_count; i++)
		if (has_blank_line(header_field_raw(c->h, &c->h->fields[i])))
			return true;
	return false;
}

static int write_copy(struct copy *c)
{
	bool lists_first = any_blank_line(c);
	int rc = write_unnamed(c);

	if (rc == 0 && lists_first)
		rc = write_fields(c, true, false);
	if (rc == 0)
		rc = write_fields(c, !lists_first, true);
	if (rc == 0)
		rc = buf_append(c->out, SV("\r\n"));
	return rc == 0 ? buf_append(c->out, sv_skip(buf_sv(&c->h->raw), c->h->line_at)) : rc;
}

/* Every CR stands before an LF, every LF behind a CR, and there is no NUL. */
static bool has_one_reading(struct sv raw)
{
	for (size_t i = 0; i < raw.len; i++) {
		if (raw.ptr[i] == '\0' || raw.ptr[i] == '\n')
			return false;
		if (raw.ptr[i] == '\r' && (++i >= raw.len || raw.ptr[i] != '\n'))
			return false;
	}
	return true;
}

int envelope_header_render(
	struct header_block *h, const struct sv *recipients, size_t count, struct buf *out)
{
	size_t before = out->len;
	struct copy c = { .h = h,
		.out = out,
		.count = count,
		.lists = { { .name = SV_INIT("To"), .whole = true },
			{ .name = SV_INIT("Cc"), .whole = true } } };
	int rc;

	must(h->complete);
	must(count > 0);
	if (!has_one_reading(sv_head(buf_sv(&h->raw), h->line_at)))
		return RC_CORRUPT;
	c.parties = xcalloc(count, sizeof(*c.parties));
	for (size_t i = 0; i < COUNT_OF(c.lists); i++)
		buf_init(&c.lists[i].items, out->max);
	rc = take_parties(&c, recipients);
	if (rc == 0)
		rc = read_lists(&c);
	if (rc == 0)
		rc = write_copy(&c);
	if (rc != 0)
		out->len = before;
	for (size_t i = 0; i < COUNT_OF(c.lists); i++)
		buf_deinit(&c.lists[i].items);
	free(c.parties);
	return rc;
}
