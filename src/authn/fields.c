/* SPDX-License-Identifier: Apache-2.0 */
#include "authn/fields.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/must.h"

#include <stdlib.h>

enum {
	STEP = 4096, /* looked through at a time: a piece may hold far more body than there is room for header */
	FIELDS_FIRST = 32,
};

struct authn_fields {
	struct buf bytes;
	struct authn_field *list;
	size_t count, cap;
	int rc;
};

struct authn_fields *authn_fields_new(void)
{
	struct authn_fields *f = xcalloc(1, sizeof(*f));

	buf_init(&f->bytes, LIMIT_HEADER);
	return f;
}

void authn_fields_free(struct authn_fields *f)
{
	if (!f)
		return;
	buf_deinit(&f->bytes);
	free(f->list);
	free(f);
}

static void read_name(struct authn_field *field)
{
	struct sv rest = field->whole, name;

	if (!sv_cut_char(&rest, ':', &name))
		return;
	while (name.len && (name.ptr[name.len - 1] == ' ' || name.ptr[name.len - 1] == '\t'))
		name.len--;
	for (size_t i = 0; i < name.len; i++)
		if (name.ptr[i] <= ' ' || name.ptr[i] == 0x7f)
			return;
	if (rest.len >= 2)
		rest.len -= 2;
	field->name = name;
	field->value = rest;
}

static int add_field(struct authn_fields *f, struct sv whole)
{
	struct authn_field *field;

	if (f->count == LIMIT_HEADER_FIELDS)
		return RC_LIMIT;
	if (f->count == f->cap) {
		f->cap = f->cap ? 2 * f->cap : FIELDS_FIRST;
		f->list = xrealloc(f->list, f->cap * sizeof(*f->list));
	}
	field = &f->list[f->count++];
	*field = (struct authn_field){ .whole = whole };
	read_name(field);
	return 0;
}

/* `header` ends in a line end. */
static int split(struct authn_fields *f, struct sv header)
{
	while (header.len) {
		struct sv rest = header, line;
		struct sv whole;

		do
			if (!sv_cut_line(&rest, &line))
				rest = sv_skip(rest, rest.len);
		while (rest.len && (rest.ptr[0] == ' ' || rest.ptr[0] == '\t'));
		whole = sv_head(header, header.len - rest.len);
		if (add_field(f, whole) != 0)
			return RC_LIMIT;
		header = rest;
	}
	return 0;
}

/* Where the header ends in what was read, without the empty line; negative: not yet. */
static ptrdiff_t find_end(struct sv bytes, size_t looked)
{
	ptrdiff_t at;

	if (sv_starts(bytes, SV("\r\n")))
		return 0;
	looked = looked > 3 ? looked - 3 : 0;
	at = sv_find(sv_skip(bytes, looked), SV("\r\n\r\n"));
	return at < 0 ? -1 : at + (ptrdiff_t)looked + 2;
}

int authn_fields_feed(struct authn_fields *f, struct sv bytes, size_t *out_used)
{
	size_t used = 0;

	while (f->rc == 0 && used < bytes.len) {
		size_t before = f->bytes.len, room = buf_room(&f->bytes);
		struct sv piece = sv_head(sv_skip(bytes, used), room < STEP ? room : STEP);
		ptrdiff_t end;

		if (piece.len == 0 || buf_append(&f->bytes, piece) != 0) {
			f->rc = RC_LIMIT;
			break;
		}
		used += piece.len;
		end = find_end(buf_sv(&f->bytes), before);
		if (end < 0)
			continue;
		*out_used = used - (f->bytes.len - (size_t)end - 2);
		f->bytes.len = (size_t)end;
		f->rc = split(f, buf_sv(&f->bytes)) == 0 ? 1 : RC_LIMIT;
		return f->rc;
	}
	*out_used = used;
	return f->rc;
}

int authn_fields_end(struct authn_fields *f)
{
	struct sv bytes = buf_sv(&f->bytes);

	if (f->rc != 0)
		return f->rc < 0 ? f->rc : 0;
	if (bytes.len && !sv_ends_nocase(bytes, SV("\r\n")) &&
		buf_append(&f->bytes, SV("\r\n")) != 0)
		f->rc = RC_LIMIT;
	else
		f->rc = split(f, buf_sv(&f->bytes)) == 0 ? 1 : RC_LIMIT;
	return f->rc < 0 ? f->rc : 0;
}

const struct authn_field *authn_fields_list(const struct authn_fields *f, size_t *out_count)
{
	*out_count = f->count;
	return f->list;
}
