/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "conf/conf_priv.h"
#include "io/file.h"

#include <csv.h>
#include <stdio.h>
#include <sys/stat.h>

/*
 * mailboxes_from: one mailbox a row, the columns named by the first row. A row becomes the same nodes
 * that YAML would have given, so the same tables judge it, and a finding names its line and column.
 * The nodes of a row go when it is read: 100,000 rows cost no more than their mailboxes.
 */
enum {
	COLUMNS_MAX = 32,
	FIELD_MAX = 4096
};

/* Columns of the maps inside of a mailbox; all others are its own keys. */
static const struct {
	struct sv column, map;
} inner[] = {
	{ SV_INIT("host"), SV_INIT("endpoint") },
	{ SV_INIT("port"), SV_INIT("endpoint") },
	{ SV_INIT("ca_file"), SV_INIT("endpoint") },
	{ SV_INIT("tls"), SV_INIT("endpoint") },
	{ SV_INIT("share"), SV_INIT("limits") },
	{ SV_INIT("connections"), SV_INIT("limits") },
	{ SV_INIT("messages_per_minute"), SV_INIT("limits") },
	{ SV_INIT("recipients_per_day"), SV_INIT("limits") },
	{ SV_INIT("external_recipients_per_hour"), SV_INIT("limits") },
	{ SV_INIT("internal_recipients_per_hour"), SV_INIT("limits") },
	{ SV_INIT("recipients_per_hour"), SV_INIT("limits") },
	{ SV_INIT("external_recipients_per_day"), SV_INIT("limits") },
	{ SV_INIT("messages_per_day"), SV_INIT("limits") },
	{ SV_INIT("budget"), SV_INIT("limits") },
	{ SV_INIT("recipients_per_message"), SV_INIT("limits") },
	{ SV_INIT("recipients_per_domain"), SV_INIT("limits") },
	{ SV_INIT("message_size"), SV_INIT("limits") },
};

static const struct sv own[] = {
	SV_INIT("address"),
	SV_INIT("tenant"),
	SV_INIT("provider"),
	SV_INIT("doors"),
	SV_INIT("auth"),
	SV_INIT("password"),
	SV_INIT("login"),
	SV_INIT("sender"),
};

struct cell {
	struct sv text; /* in the row's arena */
	unsigned line, column;
};

struct reader {
	struct conf_load *ld;
	const char *file;
	struct sv columns[COLUMNS_MAX];
	size_t column_count;
	bool has_header, failed;
	struct arena row; /* cells and nodes */
	struct cell cells[COLUMNS_MAX];
	size_t cell_count;
	unsigned line;     /* that is being read */
	unsigned row_line; /* where the row began */
	unsigned row_count;
	struct {
		unsigned line, column;
	} starts[COLUMNS_MAX]; /* of the fields that end in this line */
	size_t start_count, start_at;
	bool quoted; /* the line before ended inside of quotes */
};

static struct conf_node cell_node(const struct reader *r, const struct cell *c)
{
	return (struct conf_node){ .file = r->file, .line = c->line, .column = c->column };
}

/* libcsv does not tell where a field began. */
static void find_starts(struct reader *r, struct sv line, char separator)
{
	r->start_at = 0;
	if (r->quoted) {
		r->starts[0] = r->starts[r->start_count - 1];
	} else {
		r->starts[0].line = r->line;
		r->starts[0].column = 1;
		r->row_line = r->line;
	}
	r->start_count = 1;
	for (size_t i = 0; i < line.len; i++) {
		if (line.ptr[i] == '"')
			r->quoted = !r->quoted;
		if (line.ptr[i] != separator || r->quoted || r->start_count >= COLUMNS_MAX)
			continue;
		r->starts[r->start_count].line = r->line;
		r->starts[r->start_count++].column = (unsigned)i + 2;
	}
}

static void take_cell(void *text, size_t len, void *arg)
{
	struct reader *r = arg;
	struct cell *c;

	if (r->cell_count >= COLUMNS_MAX) {
		r->cell_count++;
		return;
	}
	c = &r->cells[r->cell_count++];
	c->text = arena_sv(&r->row, sv_trim(sv_make(text, len)));
	c->line = r->starts[r->start_at].line;
	c->column = r->starts[r->start_at].column;
	if (r->start_at + 1 < r->start_count)
		r->start_at++;
}

static bool column_known(struct sv name)
{
	for (size_t i = 0; i < COUNT_OF(own); i++)
		if (sv_eq(own[i], name))
			return true;
	for (size_t i = 0; i < COUNT_OF(inner); i++)
		if (sv_eq(inner[i].column, name))
			return true;
	return false;
}

static void say_column(struct reader *r, const struct cell *c)
{
	struct conf_node at = cell_node(r, c);
	struct guess guess = { .name = c->text };
	char shown[CONF_SHOWN_MAX];

	for (size_t i = 0; i < COUNT_OF(own); i++)
		guess_try(&guess, own[i]);
	for (size_t i = 0; i < COUNT_OF(inner); i++)
		guess_try(&guess, inner[i].column);
	if (guess.best.len)
		conf_error(r->ld,
			&at,
			"unknown column %s: did you mean '%.*s'?",
			conf_shown(c->text, shown),
			SV_ARG(guess.best));
	else
		conf_error(r->ld,
			&at,
			"unknown column %s: the first row must name the columns: address,password "
			"and others of postern.yaml(5)",
			conf_shown(c->text, shown));
}

static void take_header(struct reader *r)
{
	bool has_address = false;

	r->has_header = true;
	for (size_t i = 0; i < r->cell_count; i++) {
		const struct cell *c = &r->cells[i];
		struct conf_node at = cell_node(r, c);

		if (!column_known(c->text)) {
			say_column(r, c);
			r->failed = true;
		}
		for (size_t k = 0; k < i; k++) {
			if (!sv_eq(r->columns[k], c->text))
				continue;
			conf_error(r->ld, &at, "this column is named twice: remove one of them");
			r->failed = true;
		}
		has_address = has_address || sv_eq(c->text, SV("address"));
		r->columns[i] = arena_sv(&r->ld->nodes, c->text);
	}
	r->column_count = r->cell_count;
	if (!has_address && !r->failed) {
		struct conf_node at = { .file = r->file, .line = r->row_line, .column = 1 };

		conf_error(r->ld,
			&at,
			"there is no column 'address': the first row must name the columns");
		r->failed = true;
	}
}

static struct conf_node *add_key(
	struct reader *r, struct conf_node *map, struct sv name, const struct cell *c)
{
	struct conf_node **last = &map->first;
	struct conf_node *key = arena_alloc(&r->row, sizeof(*key));

	while (*last)
		last = &(*last)->next;
	*key = cell_node(r, c);
	key->text = name;
	key->value = arena_alloc(&r->row, sizeof(*key->value));
	*key->value = cell_node(r, c);
	*last = key;
	return key;
}

static struct conf_node *inner_map(
	struct reader *r, struct conf_node *map, struct sv name, const struct cell *c)
{
	struct conf_node *key = map->first;

	while (key && !sv_eq(key->text, name))
		key = key->next;
	if (!key)
		key = add_key(r, map, name, c);
	key->value->kind = CONF_NODE_MAP;
	return key->value;
}

/* "submission graph", as words: a comma would end the field. */
static void split_words(struct reader *r, struct conf_node *list, const struct cell *c)
{
	struct conf_node **last = &list->first;
	struct sv rest = c->text, word;

	list->kind = CONF_NODE_LIST;
	while (rest.len) {
		size_t n = strcspn(arena_str(&r->row, rest), " ,;+");

		word = sv_head(rest, n);
		rest = sv_skip(rest, n < rest.len ? n + 1 : n);
		if (!word.len)
			continue;
		*last = arena_alloc(&r->row, sizeof(**last));
		**last = cell_node(r, c);
		(*last)->text = word;
		last = &(*last)->next;
	}
}

static void add_cell(
	struct reader *r, struct conf_node *map, struct sv column, const struct cell *c)
{
	struct conf_node *at = map, *value;

	for (size_t i = 0; i < COUNT_OF(inner); i++)
		if (sv_eq(inner[i].column, column))
			at = inner_map(r, map, inner[i].map, c);
	value = add_key(r, at, column, c)->value;
	value->text = c->text;
	if (sv_eq(column, SV("doors")))
		split_words(r, value, c);
}

static void take_row(struct reader *r)
{
	struct conf_node map = {
		.kind = CONF_NODE_MAP, .file = r->file, .line = r->row_line, .column = 1
	};

	if (r->cell_count > r->column_count) {
		conf_error(r->ld,
			&map,
			"this row has %zu fields, but the first row names only %zu columns: put "
			"quotes around a field with a comma",
			r->cell_count,
			r->column_count);
		return;
	}
	if (++r->row_count > CONF_CSV_ROWS_MAX) {
		if (!r->failed)
			conf_error(r->ld,
				&map,
				"there are more than %d rows: split the work over several relays",
				CONF_CSV_ROWS_MAX);
		r->failed = true;
		return;
	}
	for (size_t i = 0; i < r->cell_count; i++)
		if (r->cells[i].text.len)
			add_cell(r, &map, r->columns[i], &r->cells[i]);
	conf_read_mailbox(r->ld, &map);
}

static bool row_is_empty(const struct reader *r)
{
	for (size_t i = 0; i < r->cell_count && i < COLUMNS_MAX; i++)
		if (r->cells[i].text.len)
			return false;
	return r->cell_count <= COLUMNS_MAX;
}

static void end_row(int end, void *arg)
{
	struct reader *r = arg;

	(void)end;
	if (r->failed || row_is_empty(r))
		; /* Spreadsheets leave rows of commas behind. */
	else if (r->has_header)
		take_row(r);
	else if (r->cell_count <= COLUMNS_MAX)
		take_header(r);
	else
		r->failed = true;
	arena_reset(&r->row);
	r->cell_count = 0;
}

static void say_broken(struct reader *r)
{
	struct conf_node at = { .file = r->file, .line = r->row_line, .column = 1 };

	conf_error(r->ld,
		&at,
		"this row is not CSV: a quote is open or stands inside of a field; write \"\" for "
		"a quote in a quoted field");
	r->failed = true;
}

/* Excel writes semicolons where the comma is the decimal point. */
static char separator_of(struct sv text)
{
	struct sv first;

	(void)sv_cut_char(&text, '\n', &first);
	return sv_find_char(first, ',') < 0 && sv_find_char(first, ';') >= 0 ? ';' : ',';
}

static void read_lines(struct reader *r, struct csv_parser *p, struct sv text)
{
	char separator = separator_of(text);

	csv_set_delim(p, (unsigned char)separator);
	while (text.len && !r->failed) {
		struct sv rest = text, line;

		(void)sv_cut_char(&rest, '\n', &line);
		line.len = text.len - rest.len; /* with its end */
		text = rest;
		r->line++;
		find_starts(r, line, separator);
		if (csv_parse(p, line.ptr, line.len, take_cell, end_row, r) != line.len) {
			say_broken(r);
			return;
		}
	}
	if (!r->failed && csv_fini(p, take_cell, end_row, r) != 0)
		say_broken(r);
}

void conf_read_csv(struct conf_load *ld, const char *file, struct sv text)
{
	struct reader *r = xcalloc(1, sizeof(*r));
	struct csv_parser p;

	*r = (struct reader){ .ld = ld, .file = file, .row_line = 1 };
	if (sv_starts(text, SV("\xef\xbb\xbf")))
		text = sv_skip(text, 3);
	must(csv_init(&p, CSV_STRICT | CSV_STRICT_FINI | CSV_APPEND_NULL) == 0);
	read_lines(r, &p, text);
	csv_free(&p);
	if (!r->failed && !r->has_header) {
		struct conf_node at = { .file = file, .line = 1, .column = 1 };

		conf_error(ld,
			&at,
			"the file is empty: its first row must name the columns: address,password");
	}
	arena_reset(&r->row);
	free(r);
}
