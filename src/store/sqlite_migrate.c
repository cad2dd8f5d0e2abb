/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"
#include "io/fs.h"
#include "io/log.h"
#include "io/notify.h"
#include "store/sqlite_priv.h"

#include <errno.h>

/*
 * From older formats. All steps are one transaction: whatever cuts it off, the old format is there still, and the next start begins
 * anew. Nobody waits for an answer meanwhile but the manager of services and the administrator.
 */
enum {
	LEDGER_VERSION = 5,           /* the first that has it by scopes */
	FLOWS_VERSION = 7,            /* the first that has them */
	STEPS_BETWEEN_LOOKS = 100000, /* of SQLite's machine: some milliseconds */
	ROOM_LEAST = 16 << 20,
	ROOM_A_ROW = 256, /* of what waits: indexes, in the log and in the file */
};
#define EXTEND_EVERY_US (10 * US_PER_S)
#define EXTEND_BY_US (10 * US_PER_MIN) /* the commit at the end is one long write */
#define TELL_EVERY_US (15 * US_PER_S)

/*
 * The ledger of format 4, from the table ledger_4, where a key names the door, too: "graph/erp@contoso.com/messages-minute".
 * What a minute has used becomes an instant, and never a bucket of many minutes (limit/book.h).
 */
static const char ledger_from_4[] =
	"CREATE TEMP VIEW ended AS SELECT key, bucket, amount,"
	" CASE WHEN key LIKE '%/recipients-day' THEN 15 WHEN key LIKE '%/messages-day' THEN 13"
	" WHEN key LIKE '%/kbytes-day' THEN 11 WHEN key LIKE '%/messages-minute' THEN 16"
	" WHEN key LIKE '%/delivered-______' THEN 17 END AS cut FROM ledger_4;"
	"CREATE TEMP VIEW named AS SELECT substr(key, -cut) AS what, bucket, amount,"
	" CASE WHEN key LIKE 'device/%' THEN 'd:' WHEN key LIKE 'user/%' THEN 'u:'"
	" WHEN key LIKE '%@%' THEN 'm:' ELSE 'c:' END ||"
	" substr(key, instr(key, '/') + 1, length(key) - cut - instr(key, '/')) AS scope"
	" FROM ended WHERE cut NOT NULL AND length(key) - cut > instr(key, '/');"
	"CREATE TEMP VIEW entry AS SELECT scope,"
	" CASE WHEN what<>'/messages-minute' THEN bucket/60000000"
	" WHEN (bucket/60000000+1)%15 THEN bucket/60000000+1 ELSE bucket/60000000+2 END AS bucket,"
	" CASE WHEN what LIKE '/messages-%' THEN amount ELSE 0 END AS messages,"
	" CASE WHEN what='/recipients-day' THEN amount ELSE 0 END AS recipients,"
	" CASE WHEN what='/kbytes-day' THEN 1024*amount ELSE 0 END AS bytes"
	" FROM named WHERE what NOT LIKE '/delivered-%';"
	"INSERT OR IGNORE INTO scope(key) SELECT DISTINCT scope FROM entry ORDER BY scope;"
	"INSERT OR IGNORE INTO ledger SELECT bucket, s.id, sum(messages), sum(recipients), "
	"sum(bytes)"
	" FROM entry e JOIN scope s ON s.key=e.scope GROUP BY bucket, s.id;"
	"INSERT OR IGNORE INTO count SELECT CAST(substr(what, 12) AS INTEGER), 'hve ' || scope,"
	" sum(amount) FROM named WHERE what LIKE '/delivered-%' GROUP BY 1, 2;"
	"DROP VIEW entry; DROP VIEW named; DROP VIEW ended; DROP TABLE ledger_4;";

const char *store_ledger_from_4(void)
{
	return ledger_from_4;
}

/* From format 1 to 2, from 2 to 3...; the last step is store_flows_from_6(). */
static const char *const migrations[STORE_FORMAT - 2] = {
	"ALTER TABLE message ADD COLUMN device;"
	"ALTER TABLE recipient ADD COLUMN alternatives;"
	"ALTER TABLE recipient ADD COLUMN rewrite_from;"
	"ALTER TABLE park ADD COLUMN nature;"
	"PRAGMA user_version=2;",
	"ALTER TABLE park ADD COLUMN proof;"
	"PRAGMA user_version=3;",
	"ALTER TABLE chunk ADD COLUMN sum;"
	"ALTER TABLE message ADD COLUMN sum;"
	"ALTER TABLE recipient ADD COLUMN sum;"
	"PRAGMA user_version=4;",
	"ALTER TABLE park ADD COLUMN transcript;"
	"CREATE TABLE transcript(id INTEGER PRIMARY KEY, message_id INTEGER UNIQUE, attempt, text);"
	"ALTER TABLE ledger RENAME TO ledger_4;" STORE_LEDGER "PRAGMA user_version=5;",
	/* What waits is looked at once, and has its time from then on: no row is written here. */
	"ALTER TABLE recipient ADD COLUMN look DEFAULT 0;" STORE_LOOK_INDEX
	"PRAGMA user_version=6;",
};

/* ---- room ---- */

static int64_t figure(struct store_sqlite *s, const char *sql)
{
	sqlite3_stmt *q = NULL;
	int64_t n = 0;

	/* What is damaged is met, and told, by the steps. */
	if (sqlite3_prepare_v2(s->db, sql, -1, &q, NULL) == SQLITE_OK &&
		sqlite3_step(q) == SQLITE_ROW)
		n = sqlite3_column_int64(q, 0);
	(void)sqlite3_finalize(q);
	return n;
}

/*
 * What the steps write at most: each page that has a row of what waits, into the log and at the next checkpoint into the file, which
 * grows by what is new. Bodies and history are not touched.
 */
static uint64_t room_wanted(struct store_sqlite *s, int64_t waiting)
{
	int64_t file = (figure(s, "PRAGMA page_count") - figure(s, "PRAGMA freelist_count")) *
		       STORE_PAGE_BYTES;
	int64_t others = file - figure(s, "SELECT bytes FROM state");
	int64_t pages = waiting * STORE_PAGE_BYTES;

	if (others > 0 && others < pages)
		pages = others;
	return (uint64_t)(pages + waiting * ROOM_A_ROW + ROOM_LEAST);
}

static int has_room(struct store_sqlite *s, int64_t version, int64_t waiting, struct err *err)
{
	char wanted_text[TEXT_DURATION_MAX], room_text[TEXT_DURATION_MAX];
	uint64_t wanted = room_wanted(s, waiting), room = 0;

	if (io_disk_free(s->front.folder, &room) != 0 || room >= wanted)
		return 0;
	return err_set(err,
		RC_DISK_FULL,
		"queue %s is of format %lld, and bringing it to format %d takes %s on this disk, "
		"of which %s are free (%lld recipients wait): make room and start postern again. "
		"Nothing was changed",
		s->path,
		(long long)version,
		(int)STORE_FORMAT,
		text_size(wanted, wanted_text),
		text_size(room, room_text),
		(long long)waiting);
}

/* ---- how it goes on ---- */

struct progress {
	struct mono_time begun, extended, told;
	const char *step;
};

static int go_on(void *arg)
{
	struct progress *p = arg;
	struct mono_time now = io_clock_mono();

	if (mono_span(p->extended, now) > EXTEND_EVERY_US) {
		p->extended = now;
		io_notify_extend(EXTEND_BY_US);
	}
	if (mono_span(p->told, now) > TELL_EVERY_US) {
		p->told = now;
		log_line(LOG_INFO,
			"serve",
			"the queue: %s, since %llu s",
			p->step,
			(unsigned long long)(mono_span(p->begun, now) / US_PER_S));
	}
	return 0;
}

static int run_steps(struct store_sqlite *s, int64_t version, struct progress *p, struct err *err)
{
	int rc = store_exec(s, "BEGIN", err);

	p->step = "columns and indexes are made";
	for (size_t i = (size_t)version - 1; i < COUNT_OF(migrations) && rc == 0; i++)
		rc = store_exec(s, migrations[i], err);
	if (rc == 0 && version < LEDGER_VERSION)
		rc = store_exec(s, ledger_from_4, err);
	p->step = "what waits gets its flow";
	if (rc == 0 && version < FLOWS_VERSION)
		rc = store_exec(s, store_flows_from_6(s->db), err);
	io_notify_extend(EXTEND_BY_US);
	return rc ? rc : store_exec(s, "COMMIT", err);
}

int store_format_known(struct store_sqlite *s, int64_t version, struct err *err)
{
	if (version >= 0 && version <= STORE_FORMAT)
		return 0;
	return err_set(err,
		-ENOTSUP,
		"queue %s is of format %lld, of a newer postern; this one knows %d. Nothing was "
		"changed: install the newer version again, or see \"Going back\" in upgrade.md",
		s->path,
		(long long)version,
		(int)STORE_FORMAT);
}

int store_migrate(struct store_sqlite *s, int64_t version, struct err *err)
{
	struct progress p = { .begun = io_clock_mono() };
	int64_t waiting;
	int rc;

	waiting = figure(s,
		"SELECT count(*) FROM recipient INDEXED BY recipient_wait WHERE due IS NOT NULL");
	rc = has_room(s, version, waiting, err);
	if (rc != 0)
		return rc;
	log_line(LOG_INFO,
		"serve",
		"the queue is brought from format %lld to %d, %lld recipients wait in it; a start "
		"that is cut off begins anew and loses nothing",
		(long long)version,
		(int)STORE_FORMAT,
		(long long)waiting);
	p.told = p.begun;
	sqlite3_progress_handler(s->db, STEPS_BETWEEN_LOOKS, go_on, &p);
	io_notify_extend(EXTEND_BY_US);
	rc = run_steps(s, version, &p, err);
	sqlite3_progress_handler(s->db, 0, NULL, NULL);
	if (rc == 0)
		log_line(LOG_INFO,
			"serve",
			"the queue is of format %d now, after %.1f s",
			(int)STORE_FORMAT,
			(double)mono_span(p.begun, io_clock_mono()) / (double)US_PER_S);
	return rc;
}
