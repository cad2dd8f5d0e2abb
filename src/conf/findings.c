/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "conf/conf_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	TEXT_MAX = 800,
};

void *conf_grow(void *array, size_t count, size_t size)
{
	char *bytes = array;

	/* Doubles at powers of two, so that 100,000 rows stay linear. */
	if ((count & (count - 1)) == 0)
		bytes = xrealloc(array, (count ? count * 2 : 1) * size);
	memset(bytes + count * size, 0, size);
	return bytes;
}

/* The findings outlive a snapshot that was refused, so they keep their own copy of the name. */
static const char *keep_file(struct conf_load *ld, const char *file)
{
	if (ld->found_count && strcmp(ld->found[ld->found_count - 1].finding.file, file) == 0)
		return ld->found[ld->found_count - 1].finding.file;
	return arena_str(ld->found_arena, sv_from(file));
}

static size_t order_of(const struct conf_load *ld, const char *file)
{
	for (size_t i = 0; i < ld->file_count; i++)
		if (strcmp(ld->files[i].path, file) == 0)
			return i;
	return ld->file_count;
}

static void PRINTF_LIKE(4, 0) add(
	struct conf_load *ld, const struct conf_node *at, bool warning, const char *fmt, va_list ap)
{
	char text[TEXT_MAX];
	struct conf_found *f;

	if (!warning)
		ld->error_count++;
	if (ld->found_count >= CONF_FINDINGS_MAX) {
		ld->hidden_count++;
		return;
	}
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	ld->found = conf_grow(ld->found, ld->found_count, sizeof(*ld->found));
	f = &ld->found[ld->found_count];
	f->finding = (struct conf_finding){ .warning = warning,
		.file = keep_file(ld, at->file),
		.line = at->line ? at->line : 1,
		.column = at->column ? at->column : 1,
		.text = arena_str(ld->found_arena, sv_from(text)) };
	f->order = order_of(ld, at->file);
	f->turn = ld->found_count++;
}

void conf_error(struct conf_load *ld, const struct conf_node *at, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(ld, at, false, fmt, ap);
	va_end(ap);
}

void conf_warn(struct conf_load *ld, const struct conf_node *at, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(ld, at, true, fmt, ap);
	va_end(ap);
}

struct conf_place conf_place_of(struct conf_load *ld, const struct conf_node *at)
{
	/* The paths of the files lie in the snapshot's arena (load.c). */
	for (size_t i = 0; i < ld->file_count; i++)
		if (ld->files[i].path == at->file)
			return (struct conf_place){ at->file, at->line, at->column };
	return (struct conf_place){
		arena_str(&ld->conf->arena, sv_from(at->file)), at->line, at->column
	};
}

struct conf_node conf_node_at(struct conf_place place)
{
	return (struct conf_node){ .file = place.file, .line = place.line, .column = place.column };
}

static int compare(const void *a, const void *b)
{
	const struct conf_found *x = a, *y = b;

	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	if (x->finding.line != y->finding.line)
		return x->finding.line < y->finding.line ? -1 : 1;
	if (x->finding.column != y->finding.column)
		return x->finding.column < y->finding.column ? -1 : 1;
	return x->turn < y->turn ? -1 : 1;
}

void conf_findings_take(struct conf_load *ld, struct conf_findings *out)
{
	size_t count = ld->found_count;

	if (count > 1)
		qsort(ld->found, count, sizeof(*ld->found), compare);
	*out = (struct conf_findings){ .arena = ld->found_arena,
		.count = count + (ld->hidden_count ? 1 : 0),
		.error_count = ld->error_count };
	out->items = arena_alloc(out->arena, (out->count + 1) * sizeof(*out->items));
	for (size_t i = 0; i < count; i++)
		out->items[i] = ld->found[i].finding;
	if (ld->hidden_count) {
		char text[80];

		(void)snprintf(
			text, sizeof(text), "and %zu more: fix these first", ld->hidden_count);
		out->items[count] = out->items[count - 1];
		out->items[count].warning = false;
		out->items[count].text = arena_str(out->arena, sv_from(text));
		/* Hidden warnings alone must not look like an error. */
		out->items[count].warning = ld->error_count == 0;
	}
	free(ld->found);
	ld->found = NULL;
	ld->found_arena = NULL;
}

void conf_findings_free(struct conf_findings *f)
{
	if (f->arena) {
		arena_reset(f->arena);
		free(f->arena);
	}
	*f = (struct conf_findings){ 0 };
}

const char *conf_shown(struct sv text, char out[CONF_SHOWN_MAX])
{
	bool colon = sv_find_char(text, ':') >= 0;
	bool address = sv_find_char(text, '@') >= 0;

	if (text.len == 0 || text.len > CONF_SHOWN_MAX - 8 || (colon && address) ||
		sv_find(text, SV("//")) >= 0 || !conf_name_ok(text, "@*:/[]+"))
		(void)snprintf(out, CONF_SHOWN_MAX, "what stands here");
	else
		(void)snprintf(out, CONF_SHOWN_MAX, "'%.*s'", SV_ARG(text));
	return out;
}
