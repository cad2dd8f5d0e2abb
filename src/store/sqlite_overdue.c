/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "store/sqlite_priv.h"

/* Pages of what waits and is to be looked at for its age. */

struct row {
	int64_t id, at;
};

struct page {
	int64_t until;
	uint32_t limit; /* messages */
	struct arena *arena;
	struct store_message *messages;
	size_t count;
	struct wall_time next_at;
	struct err *err;
};

static sqlite3_stmt *bind_after(struct store_sqlite *s, enum store_sql which, struct row after)
{
	sqlite3_stmt *q = store_sql(s, which);

	(void)sqlite3_bind_int64(q, 1, after.at);
	(void)sqlite3_bind_int64(q, 2, after.id);
	return q;
}

static int read_rows(struct store_sqlite *s, const struct page *page, struct row after,
	struct row rows[LIMIT_PAGE], size_t *out_count)
{
	sqlite3_stmt *q = bind_after(s, SQL_LOOK, after);
	uint32_t messages = 0;
	size_t count = 0;
	int rc;

	(void)sqlite3_bind_int64(q, 3, page->until);
	(void)sqlite3_bind_int64(q, 4, LIMIT_PAGE);
	while ((rc = store_step(s, q, page->err)) == 1) {
		struct row row = { sqlite3_column_int64(q, 0), sqlite3_column_int64(q, 1) };

		if (count == 0 || row_message(row.id) != row_message(rows[count - 1].id))
			messages++;
		if (messages > page->limit)
			break;
		rows[count++] = row;
	}
	(void)sqlite3_reset(q);
	/* The rest of the last message may lie behind the page's end: all of it comes with the next page.
	 * A message larger than a page comes in pieces. */
	if (count == LIMIT_PAGE && row_message(rows[0].id) != row_message(rows[count - 1].id))
		while (row_message(rows[count - 1].id) == row_message(rows[LIMIT_PAGE - 1].id))
			count--;
	*out_count = count;
	return rc < 0 ? rc : 0;
}

static int read_next(struct store_sqlite *s, struct page *page, struct row after)
{
	sqlite3_stmt *q = bind_after(s, SQL_LOOK_NEXT, after);
	int rc = store_step(s, q, page->err);

	page->next_at.us = rc == 1 ? sqlite3_column_int64(q, 1) : INT64_MAX;
	(void)sqlite3_reset(q);
	return rc < 0 ? rc : 0;
}

/* True: it is damaged and passed over, so that the others leave. Only outside of a transaction, see is_lost(). */
static bool pass_over(struct store_sqlite *s, uint64_t id, uint32_t index, int *rc, struct err *err)
{
	if (*rc != RC_CORRUPT || !sqlite3_get_autocommit(s->db))
		return false;
	store_damage_note(&s->front, id, index, err->text);
	err->text[0] = '\0';
	*rc = 0;
	return true;
}

static int read_recipients(struct store_sqlite *s, const struct page *page, const struct row *rows,
	size_t count, struct store_message *m)
{
	struct store_recipient *list = arena_alloc(page->arena, count * sizeof(*list));
	int rc = 0;

	m->recipients = list;
	m->recipient_count = 0;
	for (size_t i = 0; i < count && rc == 0; i++) {
		uint32_t index = row_number(rows[i].id);

		if (store_damage_knows(&s->front, m->id, index))
			continue;
		rc = store_read_whole_recipient(
			s, rows[i].id, page->arena, &list[m->recipient_count], page->err);
		if (!pass_over(s, m->id, index, &rc, page->err))
			m->recipient_count += rc == 0;
	}
	return rc;
}

/* The recipients of one message, rows[0..count). */
static int read_message(
	struct store_sqlite *s, struct page *page, const struct row *rows, size_t count)
{
	struct store_message *m = &page->messages[page->count];
	uint64_t id = row_message(rows[0].id);
	int rc;

	if (store_damage_knows(&s->front, id, STORE_WHOLE_MESSAGE))
		return 0;
	rc = store_read_whole_message(s, id, page->arena, m, page->err);
	if (rc != 0) {
		(void)pass_over(s, id, STORE_WHOLE_MESSAGE, &rc, page->err);
		return rc;
	}
	rc = read_recipients(s, page, rows, count, m);
	page->count += rc == 0 && m->recipient_count;
	return rc;
}

static int read_messages(
	struct store_sqlite *s, struct page *page, const struct row *rows, size_t count)
{
	size_t first = 0;
	int rc = 0;

	page->messages = arena_alloc(page->arena, count * sizeof(*page->messages));
	for (size_t i = 1; i <= count && rc == 0; i++) {
		if (i < count && row_message(rows[i].id) == row_message(rows[first].id))
			continue;
		rc = read_message(s, page, &rows[first], i - first);
		first = i;
	}
	return rc;
}

static int read_page(struct store_sqlite *s, struct page *page, struct row after)
{
	struct row rows[LIMIT_PAGE];
	size_t count = 0, scanned = 0;
	int rc;

	/* Usually once: a page of which all is damaged must not hide what stands behind it. */
	do {
		rc = read_rows(s, page, after, rows, &count);
		if (rc == 0 && count)
			after = rows[count - 1];
		if (rc == 0)
			rc = read_next(s, page, after);
		if (rc == 0 && count)
			rc = read_messages(s, page, rows, count);
		scanned += count;
	} while (rc == 0 && count && page->count == 0 && scanned < STORE_SCAN_MAX);
	if (rc == 0 && count && page->count == 0)
		rc = err_set(page->err,
			RC_CORRUPT,
			"the first %zu recipients to be looked at are damaged",
			scanned);
	return rc;
}

int store_do_look(struct store *front, struct store_look *op)
{
	struct store_sqlite *s = store_sqlite_of(front);
	struct page page = { .until = op->until.us,
		.limit = op->limit,
		.arena = op->out_arena,
		.err = &op->op.err };
	/* What has been given none stands at 0. */
	int rc = read_page(s, &page, (struct row){ .at = -1 });

	op->out_messages = page.messages;
	op->out_count = page.count;
	op->out_next_at = page.next_at;
	return rc;
}

int store_do_look_later(struct store *front, struct store_look_later *op)
{
	struct store_sqlite *s = store_sqlite_of(front);
	int rc = 0;

	for (size_t i = 0; i < op->count && rc == 0; i++) {
		const struct store_look_at *to = &op->looks[i];
		sqlite3_stmt *q = store_sql(s, SQL_RECIPIENT_LOOK);

		(void)sqlite3_bind_int64(q, 1, row_id(to->message_id, to->index));
		(void)sqlite3_bind_int64(q, 2, to->at.us);
		rc = store_run(s, q, &op->op.err);
	}
	return rc;
}
