/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "store/sqlite_priv.h"

#include <stdlib.h>

/* Numbers start at 1 and are given in order; a number is never given twice. */

void store_names_load(struct store_names *names, int64_t number, struct sv text)
{
	must(number == (int64_t)names->count + 1);
	if (names->count == names->cap) {
		names->cap = names->cap ? names->cap * 2 : 16;
		names->texts = xrealloc(names->texts, names->cap * sizeof(names->texts[0]));
	}
	names->texts[names->count] = sv_dup(text);
	names->count++;
	htable_put(&names->numbers, text, (void *)(uintptr_t)number);
}

void store_names_free(struct store_names *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->texts[i]);
	free(names->texts);
	htable_deinit(&names->numbers);
	*names = (struct store_names){ 0 };
}

static struct sv text_of(const struct store_names *names, int64_t number)
{
	return number > 0 && (size_t)number <= names->count ? sv_from(names->texts[number - 1])
							    : SV("");
}

static int number_of(struct store_sqlite *s, struct store_names *names, enum store_sql add,
	struct sv text, int64_t *out, struct err *err)
{
	sqlite3_stmt *q;
	int rc;

	*out = 0;
	if (text.len == 0)
		return 0;
	*out = (int64_t)(uintptr_t)htable_get(&names->numbers, text);
	if (*out != 0)
		return 0;
	q = store_sql(s, add);
	(void)sqlite3_bind_int64(q, 1, (int64_t)names->count + 1);
	store_bind_sv(q, 2, text);
	rc = store_run(s, q, err);
	if (rc != 0)
		return rc;
	*out = (int64_t)names->count + 1;
	store_names_load(names, *out, text);
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

int store_flow_text_number(struct store_sqlite *s, struct sv text, int64_t *out, struct err *err)
{
	return number_of(s, &s->flows, SQL_FLOW_ADD, text, out, err);
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

void store_names_cut(struct store_names *names, size_t count)
{
	while (names->count > count) {
		char *text = names->texts[--names->count];

		(void)htable_take(&names->numbers, sv_from(text));
		free(text);
	}
}
