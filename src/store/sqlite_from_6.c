/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "store/sqlite_priv.h"

#include <stdio.h>

/*
 * From format 6 to 7: what waits, or is in an attempt, gets its flow. Format 6 had a lane and "alternatives", keys of lanes with a
 * line each; a lane is now a door of a member ("submission/erp@contoso.com" of "m:erp@contoso.com", "smtp/lab" of "c:lab"). Rows of
 * history keep what they have: nobody reads it there.
 */
enum {
	QUEUE_MAX =
		4608, /* a queue that was longer than any configuration can have made loses its end */
	PRINCIPAL_MAX = 1024,
};

static struct sv column_text(sqlite3_value *v)
{
	const char *text = (const char *)sqlite3_value_text(v);

	return sv_make(text ? text : "", (size_t)sqlite3_value_bytes(v));
}

static bool has(struct sv list, struct sv key)
{
	struct sv one;

	while (list.len) {
		(void)sv_cut_char(&list, '\n', &one);
		if (sv_eq(one, key))
			return true;
	}
	return false;
}

static void add_member(struct buf *queue, struct sv lane)
{
	char text[LIMIT_ADDRESS + 128];
	struct sv name = sv_skip(lane, (size_t)(sv_find_char(lane, '/') + 1));
	int n;

	if (name.len == 0 || name.len > sizeof(text) - 3)
		return;
	/* No connector has an @ in its name (limit/book.h). */
	n = snprintf(text,
		sizeof(text),
		"%c:%.*s",
		sv_find_char(name, '@') >= 0 ? 'm' : 'c',
		SV_ARG(name));
	if (!has(buf_sv(queue), sv_make(text, (size_t)n)) && buf_room(queue) > (size_t)n + 1)
		must(buf_printf(queue, "%s%s", queue->len ? "\n" : "", text) == 0);
}

/* flow_text(lane, alternatives, user, device, listener) */
static void flow_text(sqlite3_context *context, int count, sqlite3_value **values)
{
	CLEANUP(buf_deinitp) struct buf queue = BUF_INIT(QUEUE_MAX);
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(QUEUE_MAX + PRINCIPAL_MAX + 64);
	struct sv alternatives = column_text(values[1]), lane, principal = SV("");

	add_member(&queue, column_text(values[0]));
	while (alternatives.len) {
		(void)sv_cut_char(&alternatives, '\n', &lane);
		add_member(&queue, lane);
	}
	for (int i = 2; i < count && principal.len == 0; i++)
		principal = sv_head(column_text(values[i]), PRINCIPAL_MAX);
	/* A tab ends it in the name of the flow. */
	if (sv_find_char(principal, '\t') >= 0)
		principal = sv_head(principal, (size_t)sv_find_char(principal, '\t'));
	store_flow_render(&(struct mail_flow){ .queue = buf_sv(&queue),
				  .class = MAIL_CLASS_NORMAL,
				  .principal = principal },
		&text);
	sqlite3_result_text(context, text.ptr, (int)text.len, SQLITE_TRANSIENT);
}

/* What waits, and what is in an attempt, with the name of its flow. */
#define WAITING                                                                      \
	" FROM (SELECT id FROM recipient INDEXED BY recipient_wait WHERE due IS NOT" \
	" NULL UNION SELECT r.id FROM attempt a INDEXED BY attempt_open"             \
	" CROSS JOIN recipient r NOT INDEXED"                                        \
	" ON r.id BETWEEN (a.id & ~4095) AND (a.id | 4095) AND r.state=1"            \
	" WHERE a.ended_at IS NULL) w JOIN recipient r ON r.id=w.id"                 \
	" LEFT JOIN lane l ON l.id=r.lane LEFT JOIN message m ON m.id=r.id>>12 "
#define NAME "flow_text(l.key, r.alternatives, m.user, m.device, m.listener)"

static void give_function(sqlite3 *db)
{
	(void)sqlite3_create_function_v2(
		db, "flow_text", 5, SQLITE_UTF8, NULL, flow_text, NULL, NULL, NULL);
}

const char *store_flows_from_6(sqlite3 *db)
{
	give_function(db);
	/* In memory stand numbers, not names: of a million recipients, too. */
	return "DROP INDEX recipient_due;"
	       "CREATE TABLE flow(id INTEGER PRIMARY KEY, key TEXT UNIQUE, waiting, bytes);"
	       "INSERT INTO flow(key, waiting, bytes) SELECT DISTINCT " NAME ", 0, 0" WAITING
	       "ORDER BY 1;"
	       "CREATE TEMP TABLE moving(id INTEGER PRIMARY KEY, flow);"
	       "INSERT INTO moving SELECT r.id, (SELECT id FROM flow WHERE key=" NAME ")" WAITING
	       ";"
	       "ALTER TABLE recipient RENAME COLUMN alternatives TO flow;"
	       "UPDATE recipient SET flow=(SELECT flow FROM moving WHERE id=recipient.id)"
	       " WHERE id IN (SELECT id FROM moving);"
	       "UPDATE flow SET waiting=t.n, bytes=t.b FROM (SELECT v.flow AS f, count(*) AS n,"
	       " coalesce(sum(m.size),0) AS b FROM moving v JOIN recipient r ON r.id=v.id"
	       " LEFT JOIN message m ON m.id=v.id>>12 WHERE r.state=0 GROUP BY v.flow) t"
	       " WHERE flow.id=t.f;"
	       "DROP TABLE moving;"
	       "CREATE INDEX recipient_due ON recipient(flow, due, id, cause) WHERE due IS NOT "
	       "NULL;"
	       "PRAGMA user_version=7;";
}

/*
 * The same of rows that were saved, of which each may be of another format. Of an older one the flow is a text or nothing;
 * -1 is a flow that was lost: such mail is routed anew.
 */
#define SAVED_NAME                                              \
	"flow_text(CASE WHEN r.flow=-1 THEN '' ELSE l.key END," \
	" CASE WHEN r.flow=-1 THEN '' ELSE r.flow END, m.user, m.device, m.listener)"
#define SAVED                                                                      \
	" FROM recipient r LEFT JOIN lane l ON l.id=r.lane LEFT JOIN message m ON" \
	" m.id=r.id>>12 WHERE r.state<3 AND (typeof(r.flow)<>'integer' OR r.flow=-1)"

const char *store_flows_saved(sqlite3 *db)
{
	give_function(db);
	return "UPDATE recipient SET flow=-1 WHERE state<3 AND typeof(flow)='integer' AND flow NOT "
	       "IN"
	       " (SELECT id FROM flow);"
	       "INSERT OR IGNORE INTO flow(key, waiting, bytes) SELECT DISTINCT " SAVED_NAME
	       ", 0, 0" SAVED " ORDER BY 1;"
	       "CREATE TEMP TABLE moving(id INTEGER PRIMARY KEY, flow);"
	       "INSERT INTO moving SELECT r.id, (SELECT id FROM flow WHERE key=" SAVED_NAME
	       ")" SAVED ";"
	       "UPDATE recipient SET flow=(SELECT flow FROM moving WHERE id=recipient.id)"
	       " WHERE id IN (SELECT id FROM moving);"
	       "DROP TABLE moving;"
	       "UPDATE flow SET waiting=0, bytes=0;"
	       "UPDATE flow SET waiting=t.n, bytes=t.b FROM (SELECT r.flow AS f, count(*) AS n,"
	       " coalesce(sum(m.size),0) AS b FROM recipient r LEFT JOIN message m"
	       " ON m.id=r.id>>12 WHERE r.state=0 GROUP BY r.flow) t WHERE flow.id=t.f;";
}
