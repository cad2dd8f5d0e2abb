/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "store/sqlite_priv.h"

#include <stdlib.h>

/*
 * Numbers start at 1 and are given in order. Those of lanes, causes and scopes are never given twice; one of a flow is, when no row
 * has it any more (sqlite_sweep.c).
 */

static void make_room(struct store_names *names, int64_t number)
{
	while ((size_t)number > names->cap) {
		names->cap = names->cap ? names->cap * 2 : 16;
		names->texts = xrealloc(names->texts, names->cap * sizeof(names->texts[0]));
	}
	while (names->count < (size_t)number)
		names->texts[names->count++] = NULL;
}

void store_names_load(struct store_names *names, int64_t number, struct sv text)
{
	make_room(names, number);
	must(names->texts[number - 1] == NULL);
	names->texts[number - 1] = sv_dup(text);
	htable_put(&names->numbers, text, (void *)(uintptr_t)number);
}

void store_names_free(struct store_names *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->texts[i]);
	free(names->texts);
	free(names->spare);
	htable_deinit(&names->numbers);
	*names = (struct store_names){ 0 };
}

static void forget(struct store_names *names, int64_t number)
{
	char *text = names->texts[number - 1];

	names->texts[number - 1] = NULL;
	if (text)
		(void)htable_take(&names->numbers, sv_from(text));
	free(text);
}

struct store_names_mark store_names_now(const struct store_names *names)
{
	return (struct store_names_mark){ names->count, names->spare_count };
}

void store_names_cut(struct store_names *names, struct store_names_mark mark)
{
	while (names->count > mark.count) {
		forget(names, (int64_t)names->count);
		names->count--;
	}
	/* They stand behind the end still; but after a reopening there are none. */
	while (names->spare_count < mark.spare && names->spare_count < names->spare_len)
		forget(names, names->spare[names->spare_count++]);
}

void store_names_spare(struct store_names *names, int64_t number)
{
	/* The queue was opened again meanwhile, and ends before it. */
	if ((size_t)number > names->count)
		return;
	if (names->spare_count == names->spare_cap) {
		names->spare_cap = names->spare_cap ? names->spare_cap * 2 : 64;
		names->spare = xrealloc(names->spare, names->spare_cap * sizeof(names->spare[0]));
	}
	forget(names, number);
	names->spare[names->spare_count++] = number;
	names->spare_len = names->spare_count;
}

static struct sv text_of(const struct store_names *names, int64_t number)
{
	return number > 0 && (size_t)number <= names->count && names->texts[number - 1]
		       ? sv_from(names->texts[number - 1])
		       : SV("");
}

static int number_of(struct store_sqlite *s, struct store_names *names, enum store_sql add,
	struct sv text, int64_t *out, struct err *err)
{
	sqlite3_stmt *q;
	int64_t number;
	int rc;

	*out = 0;
	if (text.len == 0)
		return 0;
	*out = (int64_t)(uintptr_t)htable_get(&names->numbers, text);
	if (*out != 0)
		return 0;
	number = names->spare_count ? names->spare[names->spare_count - 1]
				    : (int64_t)names->count + 1;
	q = store_sql(s, add);
	(void)sqlite3_bind_int64(q, 1, number);
	store_bind_sv(q, 2, text);
	rc = store_run(s, q, err);
	if (rc != 0)
		return rc;
	names->spare_count -= names->spare_count > 0;
	*out = number;
	store_names_load(names, number, text);
	return 0;
}

int store_lane_number(struct store_sqlite *s, struct sv key, int64_t *out, struct err *err)
{
	return number_of(s, &s->lanes, SQL_LANE_ADD, key, out, err);
}

int store_cause_number(struct store_sqlite *s, struct sv cause, int64_t *out, struct err *err)
{
	return number_of(s, &s->causes, SQL_CAUSE_ADD, cause, out, err);
}

int store_scope_number(struct store_sqlite *s, struct sv key, int64_t *out, struct err *err)
{
	return number_of(s, &s->scopes, SQL_SCOPE_ADD, key, out, err);
}

void store_sweep_named(struct store_sqlite *s, int64_t flow)
{
	struct store_sweep *w = &s->sweep;

	if (w->running && flow > 0 && (size_t)flow <= w->cap)
		w->named[flow - 1] = 1;
}

int store_flow_text_number(struct store_sqlite *s, struct sv text, int64_t *out, struct err *err)
{
	int rc = number_of(s, &s->flows, SQL_FLOW_ADD, text, out, err);

	store_sweep_named(s, *out);
	return rc;
}

int64_t store_flow_text_known(const struct store_sqlite *s, struct sv text)
{
	return (int64_t)(uintptr_t)htable_get(&s->flows.numbers, text);
}

struct sv store_flow_text(const struct store_sqlite *s, int64_t number)
{
	return text_of(&s->flows, number);
}

struct sv store_lane_text(const struct store_sqlite *s, int64_t number)
{
	return text_of(&s->lanes, number);
}

struct sv store_scope_text(const struct store_sqlite *s, int64_t number)
{
	return text_of(&s->scopes, number);
}

struct sv store_cause_text(const struct store_sqlite *s, int64_t number)
{
	return text_of(&s->causes, number);
}
