/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "io/fs.h"
#include "mail/address.h"
#include "store/sqlite_priv.h"

#include <errno.h>
#include <stdio.h>

enum {
	CACHE_KIB = 2000, /* as SQLite itself; the kernel has the rest of the file */
	NAMES_GAP_MAX = 100000,
	FLOWS_GAP_MAX = 1 << 22,
	WAL_KEPT_BYTES = 16 << 20, /* of the WAL file after a checkpoint */
};

#define FLOWS                                                                         \
	"CREATE TABLE flow(id INTEGER PRIMARY KEY, key TEXT UNIQUE, waiting, bytes);" \
	"CREATE INDEX recipient_due ON recipient(flow, due, id, cause) WHERE due IS NOT NULL;"

static const char schema[] =
	"CREATE TABLE state(one INTEGER PRIMARY KEY CHECK(one=1), commits, messages, bytes, "
	"history,"
	" history_bytes, steady_us, mono_us, boot_id);"
	"INSERT INTO state VALUES(1,0,0,0,0,0,0,0,'');"
	"CREATE TABLE day(hour INTEGER PRIMARY KEY, delivered INTEGER, bounced INTEGER);"
	"CREATE TABLE lane(id INTEGER PRIMARY KEY, key TEXT UNIQUE);"
	"CREATE TABLE cause(id INTEGER PRIMARY KEY, key TEXT UNIQUE);"
	"CREATE TABLE partial(message_id INTEGER PRIMARY KEY, chunks INTEGER);"
	"CREATE TABLE dead(message_id INTEGER PRIMARY KEY, chunks INTEGER);"
	"CREATE TABLE chunk(id INTEGER PRIMARY KEY, bytes BLOB, sum);"
	"CREATE TABLE message(id INTEGER PRIMARY KEY, accepted_at, expires_at, finished_at, "
	"pending, flags,"
	" chunks, size, header_size, story_bytes, bounce_of, dsn_ret, sender, envid, message_id, "
	"subject,"
	" user, client, listener, device, sum);"
	"CREATE TABLE recipient(id INTEGER PRIMARY KEY, lane, state, due, cause, attempts, "
	"uncertain,"
	" dsn_notify, address, orcpt, last_reply, flow, rewrite_from, sum, look DEFAULT 0);" FLOWS
	"CREATE INDEX recipient_wait ON recipient(id) WHERE due IS NOT NULL;" STORE_LOOK_INDEX
	"CREATE TABLE attempt(id INTEGER PRIMARY KEY, lane, at, ended_at, uncertain, relay, stage, "
	"story);"
	"CREATE INDEX attempt_open ON attempt(id) WHERE ended_at IS NULL;" STORE_LEDGER
	"CREATE TABLE park(key TEXT PRIMARY KEY, cause, summary, reply, since, probe_at, nature, "
	"proof, transcript) WITHOUT ROWID;"
	"CREATE TABLE transcript(id INTEGER PRIMARY KEY, message_id INTEGER UNIQUE, attempt, text);"
	"PRAGMA user_version=7;";

const char *store_schema(void)
{
	return schema;
}

#define RECIPIENT_COLUMNS                                                                \
	"id, lane, state, due, cause, attempts, uncertain, dsn_notify, address, orcpt, " \
	"last_reply, "                                                                   \
	"flow, rewrite_from, sum, look"

#define RECIPIENT_OUTCOME                                                                      \
	"UPDATE recipient SET flow=coalesce(?2, flow), state=?3, due=?4, cause=coalesce(?5, "  \
	"cause),"                                                                              \
	" last_reply=coalesce(?6, last_reply), uncertain=uncertain+?7, attempts=attempts-?8, " \
	"rewrite_from=coalesce(?9, rewrite_from), "                                            \
	"look=CASE WHEN ?3<3 THEN coalesce(?10, look) ELSE 0 END WHERE id=?1 AND state"

static const char *const texts[SQL_COUNT] = {
	[SQL_BEGIN] = "BEGIN",
	[SQL_COMMIT] = "COMMIT",
	[SQL_ROLLBACK] = "ROLLBACK",
	[SQL_SAVEPOINT] = "SAVEPOINT op",
	[SQL_RELEASE] = "RELEASE op",
	[SQL_ROLLBACK_TO] = "ROLLBACK TO op",
	[SQL_STATE_WRITE] =
		"UPDATE state SET commits=?, messages=?, bytes=?, history=?, history_bytes=?,"
		" steady_us=?, mono_us=?, boot_id=? WHERE one=1",
	[SQL_DAY_ADD] = "INSERT INTO day VALUES(?1,?2,?3) ON CONFLICT DO UPDATE SET"
			" delivered=delivered+?2, bounced=bounced+?3",
	[SQL_DAY_SUM] =
		"SELECT coalesce(sum(delivered),0), coalesce(sum(bounced),0) FROM day WHERE hour>?",
	[SQL_LANE_ADD] = "INSERT INTO lane VALUES(?,?)",
	[SQL_CAUSE_ADD] = "INSERT INTO cause VALUES(?,?)",
	[SQL_PARTIAL_ADD] = "INSERT INTO partial VALUES(?1,?2) ON CONFLICT DO UPDATE SET chunks=?2",
	[SQL_PARTIAL_DROP] = "DELETE FROM partial WHERE message_id=?1 OR ?1=0",
	[SQL_DEAD_ADD] = "INSERT OR REPLACE INTO dead VALUES(?,?)",
	[SQL_DEAD_FROM_PARTIAL] =
		"INSERT OR REPLACE INTO dead SELECT message_id, chunks FROM partial"
		" WHERE message_id=?1 OR ?1=0",
	[SQL_DEAD_FIRST] = "SELECT message_id, chunks FROM dead LIMIT 1",
	[SQL_DEAD_DROP] = "DELETE FROM dead WHERE message_id=?",
	[SQL_CHUNK_ADD] = "INSERT INTO chunk VALUES(?,?,?)",
	[SQL_CHUNK_DROP] = "DELETE FROM chunk WHERE id=?",
	[SQL_CHUNK_READ] = "SELECT bytes, sum FROM chunk WHERE id=?",
	[SQL_MESSAGE_ADD] = "INSERT INTO message VALUES(?,?,?,0,?,?,?,?,?,0,?,?,?,?,?,?,?,?,?,?,?)",
	[SQL_MESSAGE_READ] =
		"SELECT id, accepted_at, expires_at, finished_at, flags, size, header_size,"
		" bounce_of, dsn_ret, sender, envid, message_id, subject, user, client, listener,"
		" device FROM message WHERE id=?",
	[SQL_MESSAGE_SUM] = "SELECT sum FROM message WHERE id=?",
	[SQL_MESSAGE_PENDING] = "SELECT pending, flags, chunks, size, story_bytes, finished_at "
				"FROM message WHERE id=?",
	[SQL_MESSAGE_UPDATE] = "UPDATE message SET pending=?2, flags=?3, finished_at=?4, "
			       "story_bytes=?5 WHERE id=?1",
	[SQL_RECIPIENT_ADD] = "INSERT INTO recipient VALUES(?,?,?,?,?,?,0,?,?,?,?,?,?,?,?)",
	[SQL_RECIPIENT_READ] = "SELECT " RECIPIENT_COLUMNS " FROM recipient WHERE id=?",
	[SQL_RECIPIENTS_OF] =
		"SELECT " RECIPIENT_COLUMNS " FROM recipient WHERE id BETWEEN ? AND ? ORDER BY id",
	[SQL_RECIPIENT_CLAIM] =
		"UPDATE recipient SET state=1, due=NULL, lane=?2, attempts=attempts+1"
		" WHERE id=?1 AND state=0",
	/* Who is in an attempt, and who waits: nothing else may change (docs/design-queue.md). */
	[SQL_RECIPIENT_UPDATE] = RECIPIENT_OUTCOME "=1",
	[SQL_RECIPIENT_CHANGE] = RECIPIENT_OUTCOME " IN (0, 2)",
	[SQL_RECIPIENT_EDIT] = "UPDATE recipient SET flow=?2, state=?3, due=?4, cause=?5,"
			       " look=CASE WHEN ?3<3 THEN look ELSE 0 END WHERE id=?1",
	[SQL_RECIPIENT_FLOW] = "SELECT flow, state FROM recipient WHERE id=?",
	[SQL_RECIPIENT_LOOK] = "UPDATE recipient SET look=?2 WHERE id=?1 AND state=0",
	[SQL_ATTEMPT_LAST] = "SELECT max(id) FROM attempt WHERE id BETWEEN ? AND ?",
	[SQL_ATTEMPT_ADD] = "INSERT OR REPLACE INTO attempt VALUES(?,?,?,NULL,0,NULL,NULL,?)",
	[SQL_ATTEMPT_END] =
		"UPDATE attempt SET ended_at=?2, uncertain=?3, relay=?4, stage=?5, story=?6"
		" WHERE id=?1 AND ended_at IS NULL",
	[SQL_ATTEMPT_DROP] = "DELETE FROM attempt WHERE id=? AND ended_at IS NULL",
	[SQL_ATTEMPTS_OF] =
		"SELECT id, lane, at, ended_at, uncertain, relay, stage, story FROM attempt"
		" WHERE id BETWEEN ? AND ? ORDER BY id",
	[SQL_ATTEMPT_OPEN_IDS] =
		"SELECT id FROM attempt INDEXED BY attempt_open WHERE ended_at IS NULL ORDER BY id",
	[SQL_ATTEMPT_READ] = "SELECT lane, story FROM attempt WHERE id=?",
	[SQL_ATTEMPTS_OPEN] =
		"SELECT id, lane, story FROM attempt WHERE ended_at IS NULL ORDER BY id",
	[SQL_DUE_FIRST] = "SELECT id, due FROM recipient INDEXED BY recipient_due"
			  " WHERE flow=?1 AND due<=?2 ORDER BY due, id LIMIT ?3",
	/* Continuing inside a run of equal times: (due, id)>(?,?) would read the run from its start, as
	 * SQLite takes only the first column for the index. A million of them are equal after a bulk retry. */
	[SQL_DUE] = "SELECT id, due FROM recipient INDEXED BY recipient_due"
		    " WHERE flow=?1 AND due=?2 AND id>?3 AND ?2<=?4"
		    " UNION ALL SELECT id, due FROM recipient INDEXED BY recipient_due"
		    " WHERE flow=?1 AND due>?2 AND due<=?4 ORDER BY due, id LIMIT ?5",
	[SQL_LOOK] = "SELECT id, look FROM recipient INDEXED BY recipient_look"
		     " WHERE state=0 AND look=?1 AND id>?2 AND ?1<=?3"
		     " UNION ALL SELECT id, look FROM recipient INDEXED BY recipient_look"
		     " WHERE state=0 AND look>?1 AND look<=?3 ORDER BY look, id LIMIT ?4",
	[SQL_LOOK_NEXT] = "SELECT id, look FROM recipient INDEXED BY recipient_look"
			  " WHERE state=0 AND look=?1 AND id>?2"
			  " UNION ALL SELECT id, look FROM recipient INDEXED BY recipient_look"
			  " WHERE state=0 AND look>?1 ORDER BY look, id LIMIT 1",
	[SQL_FLOW_FIRST] = "SELECT due FROM recipient INDEXED BY recipient_due WHERE flow=? AND"
			   " due IS NOT NULL ORDER BY due LIMIT 1",
	[SQL_FLOW_LAST] = "SELECT due FROM recipient INDEXED BY recipient_due WHERE flow=? AND"
			  " due<9223372036854775807 ORDER BY due DESC LIMIT 1",
	[SQL_FLOW_ADD] = "INSERT INTO flow VALUES(?,?,0,0)",
	[SQL_FLOW_COUNT] = "UPDATE flow SET waiting=waiting+?2, bytes=bytes+?3 WHERE id=?1",
	/* The first flow behind this one in which mail waits, and when the first of it is due. */
	[SQL_FLOW_NEXT] = "SELECT flow, due FROM recipient INDEXED BY recipient_due WHERE due IS"
			  " NOT NULL AND flow>? ORDER BY flow, due LIMIT 1",
	[SQL_FLOW_DROP] = "DELETE FROM flow WHERE id=?",
	[SQL_FLOWS_NAMED] = "SELECT id, flow FROM recipient WHERE id>? ORDER BY id LIMIT ?",
	[SQL_FLOW_READ] = "SELECT waiting, bytes FROM flow WHERE id=?",
	[SQL_AHEAD] = "SELECT id FROM recipient INDEXED BY recipient_due WHERE flow=?1 AND due<?2"
		      " UNION ALL SELECT id FROM recipient INDEXED BY recipient_due"
		      " WHERE flow=?1 AND due=?2 AND id<?3 LIMIT ?4",
	[SQL_SCOPE_ADD] = "INSERT INTO scope VALUES(?,?)",
	[SQL_LEDGER_ADD] = "INSERT INTO ledger VALUES(?1,?2,?3,?4,?5) ON CONFLICT DO UPDATE SET"
			   " messages=messages+?3, recipients=recipients+?4, bytes=bytes+?5",
	[SQL_LEDGER_READ] = "SELECT bucket, scope, messages, recipients, bytes FROM ledger"
			    " WHERE (bucket, scope)>(?1, ?2) LIMIT ?3",
	[SQL_LEDGER_DROP] = "DELETE FROM ledger WHERE bucket<?",
	[SQL_COUNT_ADD] = "INSERT INTO count VALUES(?1,?2,?3) ON CONFLICT DO UPDATE SET"
			  " amount=amount+?3",
	[SQL_COUNTS] = "SELECT name, amount FROM count WHERE period=?",
	[SQL_PARK_SET] = "INSERT OR REPLACE INTO park VALUES(?,?,?,?,?,?,?,?,?)",
	[SQL_PARK_CLEAR] = "DELETE FROM park WHERE key=?",
	[SQL_PARKS] = "SELECT key, cause, summary, reply, since, probe_at, nature, proof, "
		      "transcript FROM park",
	/* Both halves come sorted from their index, so the union is a merge. */
	[SQL_WAITING_FROM] =
		"SELECT id FROM recipient INDEXED BY recipient_wait WHERE due IS NOT NULL AND id>?1"
		" AND id<?2 UNION SELECT r.id FROM attempt a INDEXED BY attempt_open"
		" CROSS JOIN recipient r NOT INDEXED"
		" ON r.id BETWEEN (a.id & ~4095) AND (a.id | 4095) AND r.state=1"
		" WHERE a.ended_at IS NULL AND a.id>=(?1 & ~4095) AND r.id>?1 AND r.id<?2"
		" ORDER BY 1 LIMIT ?3",
	[SQL_ALL_FROM] = "SELECT id FROM recipient WHERE id>?1 AND id<?2 ORDER BY id LIMIT ?3",
	[SQL_SUMMARY] =
		"SELECT flow, due, id, cause FROM recipient INDEXED BY recipient_due"
		" WHERE flow=?1 AND due=?2 AND id>?3"
		" UNION ALL SELECT flow, due, id, cause FROM recipient INDEXED BY recipient_due"
		" WHERE flow=?1 AND due>?2"
		" UNION ALL SELECT flow, due, id, cause FROM recipient INDEXED BY recipient_due"
		" WHERE flow>?1 AND due IS NOT NULL ORDER BY flow, due, id LIMIT ?4",
	[SQL_HISTORY_FROM] =
		"SELECT id, finished_at, story_bytes FROM message WHERE id>? ORDER BY id LIMIT ?",
	[SQL_HISTORY_RESTAMP] = "UPDATE message SET finished_at=?2 WHERE id=?1",
	[SQL_HISTORY_DROP_MESSAGE] = "DELETE FROM message WHERE id=?",
	[SQL_HISTORY_DROP_RECIPIENTS] = "DELETE FROM recipient WHERE id BETWEEN ? AND ?",
	[SQL_HISTORY_DROP_ATTEMPTS] = "DELETE FROM attempt WHERE id BETWEEN ? AND ?",
	[SQL_TRANSCRIPT_SET] =
		"INSERT OR REPLACE INTO transcript(message_id, attempt, text) VALUES(?,?,?)",
	/* The newest have the highest numbers; one that is replaced gets a new one. */
	[SQL_TRANSCRIPT_TRIM] = "DELETE FROM transcript WHERE id<=last_insert_rowid()-?",
	[SQL_TRANSCRIPT_READ] = "SELECT attempt, text FROM transcript WHERE message_id=?",
	[SQL_TRANSCRIPT_DROP] = "DELETE FROM transcript WHERE message_id=?",
};

/* What the disk does not write concerns everybody; what it does not read, only what stands there. */
static void note_trouble(struct store_sqlite *s, int sqlite_rc)
{
	int extended = s->db ? sqlite3_extended_errcode(s->db) : sqlite_rc;
	int error = s->db ? sqlite3_system_errno(s->db) : 0;
	char words[STORE_PATH_MAX + 200];

	if ((sqlite_rc & 0xff) == SQLITE_READONLY || io_disk_is_read_only(s->front.folder))
		error = EROFS;
	else if (((sqlite_rc & 0xff) != SQLITE_IOERR && (sqlite_rc & 0xff) != SQLITE_CANTOPEN) ||
		 extended == SQLITE_IOERR_READ || extended == SQLITE_IOERR_SHORT_READ)
		return;
	/* The first word counts: what fails behind it often has another number. */
	if (atomic_load(&s->front.trouble) != STORE_TROUBLE_NONE)
		return;
	(void)snprintf(words,
		sizeof(words),
		"%s cannot be written: %s",
		s->path,
		error ? rc_text(-error) : sqlite3_errstr(sqlite_rc));
	store_trouble_set(
		&s->front, error == EROFS ? STORE_TROUBLE_READ_ONLY : STORE_TROUBLE_FAILS, words);
}

int store_fail(struct store_sqlite *s, int sqlite_rc, struct err *err)
{
	int code = sqlite_rc & 0xff;
	int rc = -EIO;
	struct err own;

	if (!err)
		err = &own;

	if (code == SQLITE_FULL)
		rc = RC_DISK_FULL;
	else if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB)
		rc = RC_CORRUPT;
	else if (code == SQLITE_CONSTRAINT)
		rc = RC_STATE;
	/* A write that meets the end of the disk half way is reported as an I/O error. */
	else if (code == SQLITE_IOERR && s->db &&
		 (sqlite3_system_errno(s->db) == ENOSPC || sqlite3_system_errno(s->db) == EDQUOT))
		rc = RC_DISK_FULL;
	if (rc == -EIO)
		note_trouble(s, sqlite_rc);
	rc = err_set(err,
		rc,
		"queue %s: %s%s",
		s->path,
		s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(sqlite_rc),
		rc == RC_CORRUPT ? ": `postern doctor` says what is damaged" : "");
	if (rc == RC_CORRUPT) {
		s->corrupt++;
		store_damage_words(&s->front, err->text);
	}
	return rc;
}

int store_exec(struct store_sqlite *s, const char *sql, struct err *err)
{
	int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : store_fail(s, rc, err);
}

static int read_version(struct store_sqlite *s, int64_t *out, struct err *err)
{
	sqlite3_stmt *q = NULL;
	int rc = sqlite3_prepare_v2(s->db, "PRAGMA user_version", -1, &q, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(q);
	if (rc == SQLITE_ROW)
		*out = sqlite3_column_int64(q, 0);
	(void)sqlite3_finalize(q);
	return rc == SQLITE_ROW ? 0 : store_fail(s, rc, err);
}

static int set_up(struct store_sqlite *s, struct err *err)
{
	char sql[512];
	int64_t version = 0;
	/* EXCLUSIVE before WAL: then the WAL's index is in our memory, and nobody else can come in. */
	int rc = store_exec(s, "PRAGMA locking_mode=EXCLUSIVE", err);

	if (rc == 0)
		rc = read_version(s, &version, err);
	/* What is not ours to read is not written either. */
	if (rc == 0)
		rc = store_format_known(s, version, err);
	if (rc != 0)
		return rc;
	/* Debian builds SQLite with secure_delete, which would write every freed page once more.
	 * Checkpoints are ours (store_reap), never in the middle of a commit. auto_vacuum so that a full
	 * disk can have pages back. It is written into a file of our format, too: whether the disk takes
	 * anything is what an opening must find out, at the start (full?) and after trouble (over?).
	 * An older file stays as it is until there is room to bring it forward. */
	(void)snprintf(sql,
		sizeof(sql),
		"%sPRAGMA journal_mode=WAL;"
		"PRAGMA synchronous=FULL; PRAGMA secure_delete=OFF; PRAGMA wal_autocheckpoint=0;"
		"PRAGMA journal_size_limit=%d; PRAGMA cache_size=-%d; PRAGMA temp_store=MEMORY;"
		"PRAGMA foreign_keys=OFF; PRAGMA trusted_schema=OFF; PRAGMA automatic_index=OFF;",
		version == 0 || version == STORE_FORMAT
			? "PRAGMA page_size=4096; PRAGMA auto_vacuum=INCREMENTAL; "
			: "",
		(int)WAL_KEPT_BYTES,
		(int)CACHE_KIB);
	rc = store_exec(s, sql, err);
	if (rc != 0 || version == STORE_FORMAT)
		return rc;
	if (version != 0)
		return store_migrate(s, version, err);
	rc = store_exec(s, "BEGIN", err);
	if (rc == 0)
		rc = store_exec(s, schema, err);
	return rc ? rc : store_exec(s, "COMMIT", err);
}

static int prepare_all(struct store_sqlite *s, struct err *err)
{
	for (size_t i = 0; i < SQL_COUNT; i++) {
		int rc;

		must(texts[i] != NULL);
		rc = sqlite3_prepare_v3(
			s->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &s->sql[i], NULL);
		if (rc != SQLITE_OK)
			return store_fail(s, rc, err);
	}
	return 0;
}

/* A name that is missing costs its own mail a new route, not everybody the start. */
static int fill_gap(const struct store_sqlite *s, struct store_names *names, int64_t next)
{
	int64_t most = names == &s->flows ? FLOWS_GAP_MAX : NAMES_GAP_MAX;
	char text[32];

	if (next <= (int64_t)names->count || next > (int64_t)names->count + most)
		return SQLITE_CORRUPT;
	/* Flows go when nobody names them (sqlite_sweep.c). */
	if (names == &s->flows)
		return SQLITE_OK;
	while (next > (int64_t)names->count + 1) {
		(void)snprintf(text, sizeof(text), "lost/%zu", names->count + 1);
		store_names_load(names, (int64_t)names->count + 1, sv_from(text));
	}
	return SQLITE_OK;
}

static int load_names(
	struct store_sqlite *s, const char *sql, struct store_names *names, struct err *err)
{
	sqlite3_stmt *q = NULL;
	int rc = sqlite3_prepare_v2(s->db, sql, -1, &q, NULL);

	if (rc != SQLITE_OK)
		return store_fail(s, rc, err);
	store_names_free(names);
	while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
		rc = fill_gap(s, names, sqlite3_column_int64(q, 0));
		if (rc != SQLITE_OK)
			break;
		store_names_load(names, sqlite3_column_int64(q, 0), store_column_sv(q, 1));
	}
	(void)sqlite3_finalize(q);
	return rc == SQLITE_DONE ? 0 : store_fail(s, rc, err);
}

static int load_state(struct store_sqlite *s, struct err *err)
{
	sqlite3_stmt *q = NULL;
	int rc = sqlite3_prepare_v2(s->db,
		"SELECT commits, messages, bytes, history, history_bytes, steady_us, mono_us, "
		"boot_id FROM state",
		-1,
		&q,
		NULL);

	if (rc != SQLITE_OK)
		return store_fail(s, rc, err);
	rc = sqlite3_step(q);
	if (rc == SQLITE_ROW) {
		s->state = (struct store_state){ sqlite3_column_int64(q, 0),
			sqlite3_column_int64(q, 1),
			sqlite3_column_int64(q, 2),
			sqlite3_column_int64(q, 3),
			sqlite3_column_int64(q, 4),
			sqlite3_column_int64(q, 5),
			sqlite3_column_int64(q, 6) };
		s->committed = s->state;
		s->front.kept_steady_us = s->state.steady_us;
		s->front.kept_mono_us = s->state.mono_us;
		/* At a reopening this boot is known already. */
		if (s->front.boot_id[0] == '\0')
			(void)snprintf(s->front.boot_id,
				sizeof(s->front.boot_id),
				"%.*s",
				SV_ARG(store_column_sv(q, 7)));
	}
	(void)sqlite3_finalize(q);
	return rc == SQLITE_ROW ? 0 : store_fail(s, rc == SQLITE_DONE ? SQLITE_CORRUPT : rc, err);
}

static int on_wal(void *arg, sqlite3 *db, const char *name, int pages)
{
	struct store_sqlite *s = arg;

	(void)db;
	(void)name;
	s->wal_pages = pages;
	return SQLITE_OK;
}

/* SQLite wants its name only to find it: afterwards nobody else can. */
static int open_file(struct store_sqlite *s)
{
	int rc;

	store_wal_gather(s, s->front.vfs);
	rc = sqlite3_vfs_register(&s->gathering, 0);
	if (rc != SQLITE_OK)
		return rc;
	rc = sqlite3_open_v2(s->path,
		&s->db,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
			SQLITE_OPEN_PRIVATECACHE,
		s->gathering.zName);
	(void)sqlite3_vfs_unregister(&s->gathering);
	return rc;
}

int store_db_open(struct store_sqlite *s, struct err *err)
{
	int rc = open_file(s);

	if (rc == SQLITE_OK) {
		(void)sqlite3_extended_result_codes(s->db, 1);
		rc = set_up(s, err);
		(void)sqlite3_wal_hook(s->db, on_wal, s);
		if (rc == 0)
			rc = prepare_all(s, err);
		if (rc == 0)
			rc = load_names(s, "SELECT id, key FROM lane ORDER BY id", &s->lanes, err);
		if (rc == 0)
			rc = load_names(
				s, "SELECT id, key FROM cause ORDER BY id", &s->causes, err);
		if (rc == 0)
			rc = load_names(
				s, "SELECT id, key FROM scope ORDER BY id", &s->scopes, err);
		if (rc == 0)
			rc = load_names(s, "SELECT id, key FROM flow ORDER BY id", &s->flows, err);
		if (rc == 0)
			rc = load_state(s, err);
	} else {
		rc = store_fail(s, rc, err);
	}
	if (rc != 0)
		store_db_close(s);
	return rc;
}

void store_db_close(struct store_sqlite *s)
{
	for (size_t i = 0; i < SQL_COUNT; i++) {
		(void)sqlite3_finalize(s->sql[i]);
		s->sql[i] = NULL;
	}
	(void)sqlite3_close(s->db);
	s->db = NULL;
}

sqlite3_stmt *store_sql(struct store_sqlite *s, enum store_sql which)
{
	sqlite3_stmt *q = s->sql[which];

	(void)sqlite3_reset(q);
	return q;
}

int store_step(struct store_sqlite *s, sqlite3_stmt *q, struct err *err)
{
	int rc = sqlite3_step(q);

	if (rc == SQLITE_ROW)
		return 1;
	if (rc == SQLITE_DONE) {
		(void)sqlite3_reset(q);
		return 0;
	}
	rc = store_fail(s, rc, err);
	(void)sqlite3_reset(q);
	return rc;
}

int store_run(struct store_sqlite *s, sqlite3_stmt *q, struct err *err)
{
	int rc = store_step(s, q, err);

	s->writing = true;
	must(rc <= 0);
	return rc;
}

void store_bind_optional(sqlite3_stmt *q, int at, struct sv text)
{
	if (text.len)
		store_bind_sv(q, at, text);
	else
		(void)sqlite3_bind_null(q, at);
}

void store_bind_sv(sqlite3_stmt *q, int at, struct sv text)
{
	/* An empty text stays a text: NULL would not compare. */
	(void)sqlite3_bind_text(q, at, text.len ? text.ptr : "", (int)text.len, SQLITE_STATIC);
}

struct sv store_column_sv(sqlite3_stmt *q, int at)
{
	const void *bytes = sqlite3_column_blob(q, at);

	return sv_make(bytes, bytes ? (size_t)sqlite3_column_bytes(q, at) : 0);
}

struct sv store_column_copy(sqlite3_stmt *q, int at, struct arena *a)
{
	return arena_sv(a, store_column_sv(q, at));
}
