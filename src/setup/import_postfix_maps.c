/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "mail/address.h"
#include "setup/import_postfix.h"

/*
 * Lookup tables (DATABASE_README): those whose source is text are read from it, whatever program made the
 * indexed file beside it. Rows are never looked up by running an expression: they become patterns.
 */
enum {
	NESTING_MAX = 4,
	CONDITIONS_MAX = 16,
	NAME_SHOWN_MAX = 100,
};

enum form {
	FORM_KEYS,
	FORM_EXPRESSIONS,
	FORM_CIDR,
	FORM_NONE,
};

static const struct {
	struct sv type;
	enum form form;
} types[] = {
	{ SV_INIT("hash"), FORM_KEYS },
	{ SV_INIT("lmdb"), FORM_KEYS },
	{ SV_INIT("btree"), FORM_KEYS },
	{ SV_INIT("cdb"), FORM_KEYS },
	{ SV_INIT("dbm"), FORM_KEYS },
	{ SV_INIT("sdbm"), FORM_KEYS },
	{ SV_INIT("texthash"), FORM_KEYS },
	{ SV_INIT("regexp"), FORM_EXPRESSIONS },
	{ SV_INIT("pcre"), FORM_EXPRESSIONS },
	{ SV_INIT("pcre2"), FORM_EXPRESSIONS },
	{ SV_INIT("cidr"), FORM_CIDR },
};

struct reading {
	struct postfix *p;
	const char *name; /* of the parameter */
	struct import_place at;
	struct postfix_rows *out;
	unsigned depth;
};

static void add_row(struct reading *r, struct postfix_row row)
{
	struct postfix_rows *to = r->out;

	if (to->count == POSTFIX_ROWS_MAX) {
		import_full(r->p->im, "rows of maps");
		return;
	}
	if (to->count == to->room) {
		struct postfix_row *more;

		to->room = to->room ? to->room * 2 : 16;
		more = arena_alloc(&r->p->arena, to->room * sizeof(*more));
		if (to->count)
			memcpy(more, to->items, to->count * sizeof(*more));
		to->items = more;
	}
	row.key = arena_sv(&r->p->arena, row.key);
	row.value = arena_sv(&r->p->arena, row.value);
	to->items[to->count++] = row;
}

/* ---- one row ---- */

/* "!/x/i", "!10.0.0.0/8": 0, or RC_PARSE. `rest` is what stands behind. */
static int cut_expression(struct sv *rest, struct postfix_row *row)
{
	struct sv text = *rest;
	size_t n = 1;
	char end;

	row->negated = sv_starts(text, SV("!"));
	text = import_trim(sv_skip(text, row->negated ? 1 : 0));
	if (text.len < 2)
		return RC_PARSE;
	end = text.ptr[0];
	while (n < text.len && text.ptr[n] != end)
		n += text.ptr[n] == '\\' ? 2 : 1;
	if (n >= text.len)
		return RC_PARSE;
	row->key = sv_make(text.ptr + 1, n - 1);
	text = sv_skip(text, n + 1);
	/* Flags: upper and lower case are the same here anyway. */
	while (text.len && (unsigned char)text.ptr[0] > ' ')
		text = sv_skip(text, 1);
	*rest = import_trim(text);
	return 0;
}

/* `if` and `endif` of regular expressions and networks. True: the line is one of them. */
static bool is_condition(struct sv line, unsigned *depth)
{
	struct sv rest = line, word = import_word(&rest);

	if (sv_eq_nocase(word, SV("endif")) && !rest.len) {
		*depth -= *depth ? 1 : 0;
		return true;
	}
	if (!sv_eq_nocase(word, SV("if")) || !rest.len)
		return false;
	*depth += *depth < CONDITIONS_MAX ? 1 : 0;
	return true;
}

static void take_line(
	struct reading *r, enum form form, struct sv line, struct import_place at, unsigned *depth)
{
	struct postfix_row row = { .at = at };
	int rc = 0;

	if (form != FORM_KEYS && is_condition(line, depth))
		return;
	row.conditional = *depth > 0;
	if (form == FORM_EXPRESSIONS) {
		row.kind = POSTFIX_ROW_EXPRESSION;
		rc = cut_expression(&line, &row);
	} else {
		row.negated = form == FORM_CIDR && sv_starts(line, SV("!"));
		row.kind = form == FORM_CIDR ? POSTFIX_ROW_CIDR : POSTFIX_ROW_EXACT;
		line = sv_skip(line, row.negated ? 1 : 0);
		row.key = import_word(&line);
	}
	row.value = line;
	if (rc != 0 || !row.key.len)
		import_note(r->p->im, SETUP_NOTE_LOST, at, "it is no row of a map");
	else
		add_row(r, row);
}

static void take_text(struct reading *r, enum form form, struct sv text, struct sv file)
{
	struct buf whole = BUF_INIT(POSTFIX_VALUE_MAX);
	unsigned at = 0, line = 0, depth = 0;

	while (postfix_logical(&text, &at, &whole, &line))
		take_line(r, form, buf_sv(&whole), (struct import_place){ file, line }, &depth);
	if (whole.cap)
		secret_wipe(whole.ptr, whole.cap);
	buf_deinit(&whole);
}

/* ---- one map ---- */

static void read_map(struct reading *r, struct sv map);

static void take_file(struct reading *r, enum form form, struct sv path)
{
	struct buf text = BUF_INIT(SETUP_IMPORT_FILE_MAX);
	struct sv file =
		import_keep(r->p->im, sv_skip(path, (size_t)(sv_rfind_char(path, '/') + 1)));

	if (path.len && r->p->from->read(r->p->from->arg, path, &text) == 0)
		take_text(r, form, buf_sv(&text), file);
	else
		import_note(r->p->im,
			SETUP_NOTE_LOST,
			r->at,
			"%s: the file %.*s cannot be read (it is needed as text, not only as .db)",
			r->name,
			SV_ARG(sv_head(path, 200)));
	if (text.cap)
		secret_wipe(text.ptr, text.cap);
	buf_deinit(&text);
}

/* inline:{ key=value, { key = text with blanks } } */
static void take_inline(struct reading *r, struct sv list)
{
	struct sv item, key;

	list = postfix_unbrace(import_trim(list));
	while (postfix_item(&list, &item)) {
		struct sv value = postfix_unbrace(item);

		if (!sv_cut_char(&value, '=', &key))
			continue;
		add_row(r,
			(struct postfix_row){ .key = import_trim(key),
				.value = import_trim(value),
				.at = r->at });
	}
}

/* regexp:{ {/x/ y}, ... } */
static void take_inline_lines(struct reading *r, enum form form, struct sv list)
{
	struct sv item;
	unsigned depth = 0;

	list = postfix_unbrace(import_trim(list));
	while (postfix_item(&list, &item))
		take_line(r, form, postfix_unbrace(item), r->at, &depth);
}

static void say_type(struct reading *r, struct sv type)
{
	import_note(r->p->im,
		SETUP_NOTE_LOST,
		r->at,
		"%s is a map of type %.*s, which cannot be read here",
		r->name,
		SV_ARG(sv_head(type, 40)));
}

static void read_typed(struct reading *r, struct sv type, struct sv path)
{
	struct sv item;

	for (size_t i = 0; i < COUNT_OF(types); i++) {
		if (!sv_eq(type, types[i].type))
			continue;
		if (sv_starts(path, SV("{")))
			take_inline_lines(r, types[i].form, path);
		else
			take_file(r, types[i].form, path);
		return;
	}
	if (sv_eq(type, SV("proxy"))) {
		read_map(r, path);
	} else if (sv_eq(type, SV("static"))) {
		add_row(r,
			(struct postfix_row){ .kind = POSTFIX_ROW_ANY,
				.value = postfix_unbrace(path),
				.at = r->at });
	} else if (sv_eq(type, SV("inline"))) {
		take_inline(r, path);
	} else if (sv_eq(type, SV("unionmap"))) {
		path = postfix_unbrace(path);
		while (postfix_item(&path, &item))
			read_map(r, item);
	} else {
		say_type(r, type);
	}
}

static void read_map(struct reading *r, struct sv map)
{
	struct sv path = map, type;

	if (r->depth >= NESTING_MAX)
		return;
	r->depth++;
	if (sv_cut_char(&path, ':', &type))
		read_typed(r, type, import_trim(path));
	else
		import_note(r->p->im,
			SETUP_NOTE_LOST,
			r->at,
			"%s: %.*s is no map",
			r->name,
			SV_ARG(sv_head(map, NAME_SHOWN_MAX)));
	r->depth--;
}

void postfix_rows_of(struct postfix *p, const char *name, struct import_place at, struct sv maps,
	struct postfix_rows *out)
{
	struct reading r = { .p = p, .name = name, .at = at, .out = out };
	struct sv item;

	while (postfix_item(&maps, &item)) {
		/* "{ hash:/x }" is another way to write it; "type: { ... }" is one map. */
		if (item.len && item.ptr[item.len - 1] == ':') {
			struct sv type = sv_head(item, item.len - 1);

			if (postfix_item(&maps, &item))
				read_typed(&r, type, item);
			continue;
		}
		read_map(&r, postfix_unbrace(item));
	}
}

void postfix_rows_read(struct postfix *p, const struct postfix_service *s, const char *name,
	struct postfix_rows *out)
{
	postfix_rows_of(p, name, postfix_at(p, s, name), postfix_get(p, s, name), out);
}

/* ---- looking up ---- */

const struct postfix_row *postfix_rows_key(const struct postfix_rows *rows, struct sv key)
{
	for (size_t i = 0; i < rows->count; i++) {
		const struct postfix_row *row = &rows->items[i];
		struct import_patterns patterns;

		if (row->kind == POSTFIX_ROW_ANY)
			return row;
		if (row->kind == POSTFIX_ROW_EXACT && sv_eq_nocase(row->key, key))
			return row;
		if (row->kind != POSTFIX_ROW_EXPRESSION || row->negated || row->conditional ||
			import_patterns(row->key, &patterns) != 0)
			continue;
		for (size_t k = 0; k < patterns.count; k++)
			if (sv_matches_nocase(sv_from(patterns.text[k]), key))
				return row;
	}
	return NULL;
}

const struct postfix_row *postfix_rows_find(const struct postfix_rows *rows, struct sv address)
{
	ptrdiff_t at = sv_rfind_char(address, '@');
	const struct postfix_row *row = postfix_rows_key(rows, address);
	struct sv domain = at >= 0 ? sv_skip(address, (size_t)at) : SV("");

	for (size_t i = 0; i < rows->count && !row && domain.len; i++)
		if (rows->items[i].kind == POSTFIX_ROW_EXACT &&
			sv_eq_nocase(rows->items[i].key, domain))
			row = &rows->items[i];
	return row;
}

static int exact_pattern(struct postfix *p, struct sv key, struct import_patterns *out)
{
	struct buf text = BUF_INIT(IMPORT_PATTERN_BYTES - 1);
	struct sv at_domain;
	int rc;

	if (sv_starts(key, SV("@")))
		rc = buf_printf(&text, "*%.*s", SV_ARG(key));
	else if (sv_find_char(key, '@') >= 0)
		rc = buf_append(&text, key);
	else if (p->origin.len)
		rc = buf_printf(&text, "%.*s@%.*s", SV_ARG(key), SV_ARG(p->origin));
	else
		rc = buf_printf(&text, "%.*s@*", SV_ARG(key));
	at_domain = buf_sv(&text);
	if (rc == 0)
		rc = address_pattern_check(at_domain);
	/* A star in a key is one; a pattern would take more. */
	if (rc == 0 && sv_find_char(key, '*') >= 0)
		rc = RC_PARSE;
	*out = (struct import_patterns){ 0 };
	if (rc == 0) {
		memcpy(out->text[0], at_domain.ptr, at_domain.len);
		out->count = 1;
	}
	buf_deinit(&text);
	return rc;
}

int postfix_row_patterns(
	struct postfix *p, const struct postfix_row *row, struct import_patterns *out)
{
	*out = (struct import_patterns){ 0 };
	if (row->negated || row->conditional || row->kind == POSTFIX_ROW_CIDR)
		return RC_PARSE;
	if (row->kind == POSTFIX_ROW_EXPRESSION)
		return import_address_patterns(row->key, out);
	if (row->kind == POSTFIX_ROW_EXACT)
		return exact_pattern(p, row->key, out);
	out->count = 1; /* "" is any */
	return 0;
}
