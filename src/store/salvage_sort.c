/* SPDX-License-Identifier: Apache-2.0 */
#include "base/limits.h"
#include "base/must.h"
#include "store/salvage_priv.h"
#include "store/sqlite_priv.h"
#include "store/store_salvage.h"

/*
 * What belongs together. Nothing is sent of which a part is missing; recipients that are left get a message whose
 * other recipients are lost; what may have been sent before is held.
 *
 * The numbers of `why` are the order of the explanations below.
 */
#define OF(message, row) row " BETWEEN " message "<<12 AND (" message "<<12)|4095"

static const char sort[] =
	/* Every number has a name, if only one that no configuration knows: its mail is routed anew. */
	"INSERT OR IGNORE INTO lane SELECT DISTINCT lane, 'lost/'||lane FROM recipient"
	" WHERE lane>0 AND lane<1000000 AND lane NOT IN (SELECT id FROM lane);"
	"INSERT OR IGNORE INTO lane SELECT DISTINCT lane, 'lost/'||lane FROM attempt"
	" WHERE lane>0 AND lane<1000000 AND lane NOT IN (SELECT id FROM lane);"
	"UPDATE recipient SET cause=0 WHERE cause NOT IN (SELECT id FROM cause);"
	"CREATE TEMP TABLE verdict(id INTEGER PRIMARY KEY, why INTEGER);"
	/* The envelope is gone: known by recipients, by the index, by a row that does not fit its sum. */
	"INSERT OR IGNORE INTO verdict SELECT DISTINCT id>>12, 1 FROM recipient"
	" WHERE state<3 AND (id>>12) NOT IN (SELECT id FROM message);"
	"INSERT OR IGNORE INTO verdict SELECT DISTINCT id>>12, 1 FROM note"
	" WHERE what='waits' AND (id>>12) NOT IN (SELECT id FROM message);"
	"INSERT OR IGNORE INTO verdict SELECT DISTINCT id>>12, 1 FROM attempt"
	" WHERE ended_at IS NULL AND (id>>12) NOT IN (SELECT id FROM message);"
	"INSERT OR IGNORE INTO verdict SELECT id, 1 FROM note"
	" WHERE what='bad' AND id NOT IN (SELECT id FROM message);"
	/* The body. */
	"INSERT OR IGNORE INTO verdict SELECT id, 2 FROM message m WHERE finished_at=0 AND ("
	" size<>(SELECT coalesce(sum(length(bytes)),0) FROM chunk WHERE " OF(
		"m.id", "chunk.id") ") OR chunks<>(SELECT count(*) FROM chunk WHERE " OF("m.id",
		"chunk.id") ") OR chunks>0 AND chunks<>(SELECT max(id&4095)+1 FROM chunk WHERE " OF("m.id",
		"chunk.id") "));"
			    /* The recipients: all of them, or some. */
			    "INSERT OR IGNORE INTO verdict SELECT id, 3 FROM message m WHERE "
			    "finished_at=0 AND"
			    " NOT EXISTS (SELECT 1 FROM recipient WHERE state<3 AND " OF("m.id",
				    "recipient.id") ");"
						    "INSERT OR IGNORE INTO verdict SELECT id, 4 "
						    "FROM message m WHERE finished_at=0 AND"
						    " pending>(SELECT count(*) FROM recipient "
						    "WHERE state<3 AND " OF(
							    "m.id", "recipient.id") ");";

/* After the report. */
static const char settle[] =
	"DELETE FROM message WHERE id IN (SELECT id FROM verdict WHERE why<4);"
	"DELETE FROM recipient WHERE (id>>12) NOT IN (SELECT id FROM message);"
	"DELETE FROM attempt WHERE (id>>12) NOT IN (SELECT id FROM message);"
	"DELETE FROM chunk WHERE (id>>12) NOT IN (SELECT id FROM message WHERE finished_at=0);"
	/* Who is known by an old page only may have got it. First: no attempt stays open for him. */
	"UPDATE recipient SET state=2, due=9223372036854775807,"
	" last_reply='recovered from a damaged queue: it may have been sent before' WHERE"
	" state<3 AND (id>>12) IN (SELECT id FROM note WHERE what='doubt');"
	/* An attempt without an end in a finished message, or whose recipients are not in it. */
	"UPDATE attempt SET ended_at=at, uncertain=1, stage='', story='' WHERE ended_at IS NULL AND"
	" NOT EXISTS (SELECT 1 FROM recipient r WHERE r.state=1 AND " OF("(attempt.id>>12)",
		"r.id") " AND"
			" ' '||attempt.story||' ' LIKE '% '||(r.id&4095)||' %');"
			/* Of a message that is there in part only who is there. */
			"UPDATE attempt SET story=(SELECT group_concat(r.id&4095, ' ') FROM "
			"recipient r"
			" WHERE r.state=1 AND " OF("(attempt.id>>12)",
				"r.id") " AND"
					" ' '||attempt.story||' ' LIKE '% '||(r.id&4095)||' %') "
					"WHERE ended_at IS NULL;"
					/* So may who was in an attempt that is lost. */
					"UPDATE recipient SET state=2, due=9223372036854775807,"
					" last_reply='recovered from a damaged queue: it may have "
					"been sent "
					"before' WHERE"
					" state=1 AND NOT EXISTS (SELECT 1 FROM attempt a WHERE "
					"a.ended_at IS "
					"NULL AND"
					" a.id>>12=recipient.id>>12 AND"
					" ' '||a.story||' ' LIKE '% '||(recipient.id&4095)||' %');"
					"UPDATE recipient SET due=9223372036854775807 WHERE "
					"state=2;"
					"UPDATE recipient SET due=NULL WHERE state NOT IN (0,2);"
					"UPDATE recipient SET due=0 WHERE state=0 AND due IS NULL;"
					"UPDATE recipient SET look=0 WHERE look IS NULL;"
					"UPDATE message SET pending=(SELECT count(*) FROM "
					"recipient WHERE state<3 "
					"AND " OF("message.id",
						"recipient.id") ");"
								"UPDATE message SET "
								"finished_at=accepted_at WHERE "
								"pending=0 AND "
								"finished_at=0;"
								"UPDATE message SET pending=0 "
								"WHERE finished_at<>0;"
								"UPDATE recipient SET state=6, "
								"due=NULL WHERE "
								"state<3 AND"
								" (id>>12) IN (SELECT id FROM "
								"message WHERE "
								"finished_at<>0);"
								"INSERT OR IGNORE INTO state "
								"VALUES(1,0,0,0,0,0,0,0,'');"
								"UPDATE state SET "
								"commits=commits+1,"
								" messages=(SELECT count(*) FROM "
								"message WHERE "
								"finished_at=0),"
								" bytes=(SELECT "
								"coalesce(sum(size),0) FROM "
								"message "
								"WHERE "
								"finished_at=0),"
								" history=(SELECT count(*) FROM "
								"message WHERE "
								"finished_at<>0),"
								" history_bytes=(SELECT "
								"coalesce(sum(story_bytes),0) FROM "
								"message "
								"WHERE finished_at<>0);";

static const char *const reasons[] = {
	NULL,
	"its envelope cannot be read",
	"its body cannot be read",
	"its recipients cannot be read",
	"some of its recipients cannot be read",
};

static const char tell[] =
	"SELECT n.id, coalesce(v.why,0), coalesce(m.sender,''), coalesce(m.subject,''),"
	" coalesce(m.size,0), coalesce((SELECT group_concat(address, ', ') FROM (SELECT address"
	" FROM recipient r WHERE state<3 AND " OF(
		"n.id", "r.id") " LIMIT 20)),''),"
				" n.id IN (SELECT id FROM note WHERE what='doubt') OR EXISTS "
				"(SELECT 1 FROM recipient r"
				" WHERE state=1 AND " OF("n.id",
					"r.id") " AND NOT EXISTS (SELECT 1 FROM attempt a"
						" WHERE a.ended_at IS NULL AND a.id>>12=n.id AND"
						" ' '||a.story||' ' LIKE '% '||(r.id&4095)||' %'))"
						" FROM (SELECT id FROM message WHERE finished_at=0 "
						"UNION SELECT id FROM verdict) n"
						" LEFT JOIN message m ON m.id=n.id LEFT JOIN "
						"verdict v ON v.id=n.id ORDER BY n.id";

static void tell_one(struct salvage *s, sqlite3_stmt *q)
{
	int why = sqlite3_column_int(q, 1);
	struct store_salvaged m = { .id = (uint64_t)sqlite3_column_int64(q, 0),
		.fate = why == 0   ? STORE_SALVAGE_WHOLE
			: why == 4 ? STORE_SALVAGE_PARTLY
				   : STORE_SALVAGE_LOST,
		.sender = store_column_sv(q, 2),
		.subject = store_column_sv(q, 3),
		.size = (uint64_t)sqlite3_column_int64(q, 4),
		.recipients = store_column_sv(q, 5),
		.why = reasons[why] };

	m.held = m.fate != STORE_SALVAGE_LOST && sqlite3_column_int(q, 6) != 0;
	s->report->whole += m.fate == STORE_SALVAGE_WHOLE;
	s->report->partly += m.fate == STORE_SALVAGE_PARTLY;
	s->report->lost += m.fate == STORE_SALVAGE_LOST;
	s->report->held += m.held;
	if (s->o->each)
		s->o->each(s->o->arg, &m);
}

static uint64_t count(struct salvage *s, const char *sql)
{
	sqlite3_stmt *q = salvage_prepare(s, sql);
	uint64_t n = q && sqlite3_step(q) == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(q, 0) : 0;

	(void)sqlite3_finalize(q);
	return n;
}

void salvage_sort(struct salvage *s)
{
	sqlite3_stmt *q;
	int rc = SQLITE_DONE;

	salvage_exec(s, sort);
	/* What a start would stumble over, or never find again. */
	s->report->bad_rows += count(s,
		"SELECT count(*) FROM recipient WHERE state=1 AND (id>>12) IN (SELECT id FROM "
		"message) AND"
		" NOT EXISTS (SELECT 1 FROM attempt a WHERE a.ended_at IS NULL AND"
		" a.id>>12=recipient.id>>12)");
	q = salvage_prepare(s, tell);
	while (s->rc == 0 && (rc = sqlite3_step(q)) == SQLITE_ROW)
		tell_one(s, q);
	if (s->rc == 0 && rc != SQLITE_DONE)
		salvage_fail(s);
	(void)sqlite3_finalize(q);
	s->report->history = count(s, "SELECT count(*) FROM message WHERE finished_at<>0");
	salvage_exec(s, settle);
	salvage_exec(s, store_flows_saved(s->db));
	salvage_exec(s, "COMMIT");
}
