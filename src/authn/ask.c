/* SPDX-License-Identifier: Apache-2.0 */
#include "authn/ask.h"

#include "base/arena.h"
#include "base/htable.h"
#include "base/must.h"

#include <stdlib.h>
#include <string.h>

struct memo_entry {
	struct authn_question question;
	struct authn_answer answer;
	bool answered;
};

struct authn_memo {
	struct memo_entry **entries;
	size_t count, max, handed; /* `handed`: of `entries`, how many were given out */
	bool full;
	struct htable by_name;
	struct arena arena;
	size_t bytes;
};

static const struct authn_answer no_such_name = { .status = AUTHN_NXDOMAIN, .rcode = 3 };
static const struct authn_answer too_much = { .status = AUTHN_FAILURE, .cut = true };

bool authn_name_is_valid(struct sv name)
{
	struct sv label;
	bool more = true;

	if (name.len && name.ptr[name.len - 1] == '.')
		name.len--;
	if (name.len == 0 || name.len > LIMIT_DNS_NAME || memchr(name.ptr, '\0', name.len))
		return false;
	while (more) {
		more = sv_cut_char(&name, '.', &label);
		if (label.len == 0 || label.len > 63)
			return false;
	}
	return true;
}

bool authn_name_is_below(struct sv lower, struct sv upper)
{
	return lower.len > upper.len && sv_ends_nocase(lower, upper) &&
	       lower.ptr[lower.len - upper.len - 1] == '.';
}

struct authn_memo *authn_memo_new(size_t questions_max)
{
	struct authn_memo *m = xcalloc(1, sizeof(*m));

	m->max = questions_max;
	m->entries = xcalloc(questions_max, sizeof(struct memo_entry *));
	return m;
}

void authn_memo_free(struct authn_memo *m)
{
	if (!m)
		return;
	htable_deinit(&m->by_name);
	arena_reset(&m->arena);
	free(m->entries);
	free(m);
}

void authn_memo_freep(struct authn_memo **m)
{
	authn_memo_free(*m);
}

enum {
	KEY_MAX = LIMIT_DNS_NAME + 2
};

/* Small letters, and behind them the type. */
static struct sv memo_key(struct sv name, unsigned type, char out[KEY_MAX])
{
	if (name.len && name.ptr[name.len - 1] == '.')
		name.len--;
	for (size_t i = 0; i < name.len; i++)
		out[i] = ascii_lower(name.ptr[i]);
	out[name.len] = (char)(type >> 8);
	out[name.len + 1] = (char)type;
	return sv_make(out, name.len + 2);
}

const struct authn_answer *authn_memo_look(struct authn_memo *m, struct sv name, enum authn_rr type)
{
	char text[KEY_MAX];
	struct memo_entry *e;
	struct sv key;

	if (!authn_name_is_valid(name))
		return &no_such_name;
	key = memo_key(name, type, text);
	e = htable_get(&m->by_name, key);
	if (e)
		return e->answered ? &e->answer : NULL;
	if (m->count == m->max) {
		m->full = true;
		return &too_much;
	}
	e = arena_alloc(&m->arena, sizeof(*e));
	memcpy(e->question.name, key.ptr, key.len - 2);
	e->question.type = (uint16_t)type;
	m->entries[m->count++] = e;
	htable_put(&m->by_name, key, e);
	return NULL;
}

bool authn_memo_next(struct authn_memo *m, struct authn_question *out_question)
{
	while (m->handed < m->count && m->entries[m->handed]->answered)
		m->handed++;
	if (m->handed == m->count)
		return false;
	*out_question = m->entries[m->handed++]->question;
	return true;
}

static size_t answer_bytes(const struct authn_answer *a)
{
	size_t bytes = a->alias.len + a->count * sizeof(*a->records);

	for (size_t i = 0; i < a->count; i++)
		bytes += a->records[i].data.len;
	return bytes;
}

void authn_memo_answer(
	struct authn_memo *m, const struct authn_question *question, const struct authn_answer *a)
{
	char text[KEY_MAX];
	struct memo_entry *e;
	struct authn_record *records;
	size_t bytes = answer_bytes(a);

	e = htable_get(&m->by_name, memo_key(sv_from(question->name), question->type, text));
	if (!e || e->answered)
		return;
	e->answered = true;
	e->answer = *a;
	e->answer.records = NULL;
	e->answer.alias = arena_sv(&m->arena, a->alias);
	if (bytes > LIMIT_DNS_MEMO - m->bytes || a->count > LIMIT_DNS_RECORDS) {
		e->answer = too_much;
		return;
	}
	m->bytes += bytes;
	if (a->count == 0)
		return;
	records = arena_alloc(&m->arena, a->count * sizeof(*records));
	for (size_t i = 0; i < a->count; i++) {
		records[i].preference = a->records[i].preference;
		records[i].data = arena_sv(&m->arena, a->records[i].data);
	}
	e->answer.records = records;
}

size_t authn_memo_count(const struct authn_memo *m)
{
	return m->count;
}

bool authn_memo_is_full(const struct authn_memo *m)
{
	return m->full;
}
