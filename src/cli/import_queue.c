/* SPDX-License-Identifier: Apache-2.0 */
#include "base/limits.h"
#include "base/must.h"
#include "base/text.h"
#include "cli/ask.h"
#include "cli/import_priv.h"
#include "conf/conf.h"
#include "io/file.h"
#include "io/loop.h"
#include "io/spawn.h"
#include "mail/drop_format.h"
#include "setup/postfix_queue.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * Mail that waits in Postfix's queue goes into the maildrop, which the daemon empties whether it runs now or is
 * started later. One message, in steps that each survive a crash:
 *
 *	1. its files are written into the maildrop as import.NAME, which the daemon does not read, and synced
 *	2. Postfix's file moves from its queue to postern-imported/handing: from now on it is ours
 *	3. import.NAME becomes NAME: the daemon takes it
 *	4. Postfix's file moves to postern-imported
 *
 * After a kill, files of step 1 whose message is still in the queue are written anew, and a message in `handing` gets
 * step 3 for those of its files that are left, and step 4. So each is handed over once.
 */
enum {
	DEPTH_MAX = 5, /* hash_queue_depth and more */
	NAME_MAX_LEN = 64,
	PATHS_MAX = PATH_MAX + 256,
	PIECE = 65536,
	POSTCAT_S = 60, /* to end, once all of its output is read */
};

static const char *const queues[] = { "maildrop", "incoming", "active", "deferred", "hold" };
#define KEPT "postern-imported"
#define HANDING KEPT "/handing"
#define PREFIX "import."

struct waiting {
	char *path, *name;
	struct timespec at; /* of the last change */
};

struct queue_import {
	const char *folder; /* of Postfix */
	char maildrop[PATH_MAX];
	int maildrop_fd;
	gid_t maildrop_gid;
	struct waiting *items;
	size_t count, room;
	size_t handed, recipients, failed;
};

/* ---- what waits ---- */

static void add(struct queue_import *q, const char *path, const char *name, const struct stat *st)
{
	if (q->count == q->room) {
		q->room = q->room ? q->room * 2 : 64;
		q->items = xrealloc(q->items, q->room * sizeof(*q->items));
	}
	q->items[q->count++] =
		(struct waiting){ sv_dup(sv_from(path)), sv_dup(sv_from(name)), st->st_mtim };
}

static bool is_queue_id(const char *name)
{
	size_t n = strspn(name, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");

	return n >= 5 && n < NAME_MAX_LEN && name[n] == '\0';
}

static void find_in(struct queue_import *q, const char *folder, unsigned depth)
{
	DIR *dir = depth < DEPTH_MAX ? opendir(folder) : NULL;
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		char path[PATHS_MAX];
		struct stat st;

		if (e->d_name[0] == '.' ||
			snprintf(path, sizeof(path), "%s/%s", folder, e->d_name) >= PATHS_MAX ||
			lstat(path, &st) != 0)
			continue;
		if (S_ISDIR(st.st_mode))
			find_in(q, path, depth + 1);
		/* A file that Postfix has not finished has no x. */
		else if (S_ISREG(st.st_mode) && (st.st_mode & S_IXUSR) && is_queue_id(e->d_name))
			add(q, path, e->d_name, &st);
	}
	if (dir)
		(void)closedir(dir);
}

static int by_time(const void *a, const void *b)
{
	const struct waiting *x = a, *y = b;

	if (x->at.tv_sec != y->at.tv_sec)
		return x->at.tv_sec < y->at.tv_sec ? -1 : 1;
	return strcmp(x->name, y->name);
}

static void find_all(struct queue_import *q)
{
	for (size_t i = 0; i < COUNT_OF(queues); i++) {
		char path[PATHS_MAX];

		(void)snprintf(path, sizeof(path), "%s/%s", q->folder, queues[i]);
		find_in(q, path, 0);
	}
	if (q->count)
		qsort(q->items, q->count, sizeof(*q->items), by_time);
}

static void forget(struct queue_import *q)
{
	for (size_t i = 0; i < q->count; i++) {
		free(q->items[i].path);
		free(q->items[i].name);
	}
	free(q->items);
}

size_t import_queue_count(const char *folder)
{
	struct queue_import q = { .folder = folder };
	size_t n;

	find_all(&q);
	n = q.count;
	forget(&q);
	return n;
}

/* ---- Postfix and postcat ---- */

/* The master of this queue, if it runs; 0: it does not. */
static long master_of(const char *folder)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(64);
	char path[PATHS_MAX], name[32] = "";
	uint32_t pid = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/pid/master.pid", folder);
	if (io_file_read(path, 64, &text, NULL) != 0 ||
		sv_parse_u32(sv_trim(sv_head(buf_sv(&text), text.len - (text.len > 0))),
			INT32_MAX,
			&pid) != 0 ||
		kill((pid_t)pid, 0) != 0)
		return 0;
	(void)snprintf(path, sizeof(path), "/proc/%u/comm", (unsigned)pid);
	f = fopen(path, "re");
	if (f) {
		if (!fgets(name, sizeof(name), f))
			name[0] = '\0';
		(void)fclose(f);
	}
	return strcmp(name, "master\n") == 0 ? (long)pid : 0;
}

static const char *postcat(void)
{
	static const char *const places[] = {
		"/usr/sbin/postcat", "/usr/local/sbin/postcat", "/sbin/postcat", "/usr/bin/postcat"
	};

	for (size_t i = 0; i < COUNT_OF(places); i++)
		if (access(places[i], X_OK) == 0)
			return places[i];
	return NULL;
}

struct postcat {
	pid_t child;
	int out;
};

static int postcat_start(struct postcat *p, const char *options, const char *path)
{
	char *argv[] = { (char *)(uintptr_t)postcat(),
		(char *)(uintptr_t)options,
		(char *)(uintptr_t)path,
		NULL };
	struct io_spawn what = {
		.words = argv, .foreground = true, .in = IO_SPAWN_NULL, .err = IO_SPAWN_SAME
	};
	int ends[2], rc;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return -errno;
	what.out = ends[1];
	rc = io_spawn_start(&what, &p->child);
	(void)close(ends[1]);
	p->out = ends[0];
	if (rc != 0)
		(void)close(ends[0]);
	return rc;
}

/* 0 when it ended well. */
static int postcat_end(struct postcat *p)
{
	int status = 0;

	int rc;

	(void)close(p->out);
	rc = io_spawn_wait(
		p->child, true, mono_add(io_clock_mono(), POSTCAT_S * US_PER_S), &status);
	return rc == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : RC_CORRUPT;
}

static int read_envelope(
	const char *path, struct arena *arena, struct setup_queued *out, struct err *err)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(SETUP_QUEUE_ENVELOPE_MAX);
	struct postcat p = { .out = -1 };
	ssize_t n = 1;
	int rc = postcat_start(&p, "-e", path), end;

	if (rc != 0)
		return err_set(err, rc, "postcat: %s", rc_text(rc));
	while (rc == 0 && n > 0) {
		rc = buf_reserve(&text, PIECE);
		n = rc == 0 ? read(p.out, buf_tail(&text), PIECE) : 0;
		if (n > 0)
			buf_grew(&text, (size_t)n);
	}
	end = postcat_end(&p);
	if (rc != 0 || end != 0)
		return err_set(err, rc ? rc : end, "postcat cannot read it");
	return setup_queue_parse(arena, buf_sv(&text), out, err);
}

/* ---- one message into the maildrop ---- */

struct body {
	int fd;
	uint64_t size;
	char last; /* byte before */
};

/* Lines end in LF there, and in CRLF here. */
static int put_body(struct body *b, const char *bytes, size_t len)
{
	char out[PIECE * 2];
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (bytes[i] == '\n' && b->last != '\r')
			out[n++] = '\r';
		out[n++] = bytes[i];
		b->last = bytes[i];
	}
	b->size += n;
	return b->size > LIMIT_MESSAGE ? RC_LIMIT : io_write_all(b->fd, sv_make(out, n));
}

static int copy_body(int fd, const char *path, uint64_t *out_size, struct err *err)
{
	struct body b = { .fd = fd, .last = '\n' };
	char piece[PIECE];
	struct postcat p = { .out = -1 };
	int rc = postcat_start(&p, "-bh", path), end;

	if (rc != 0)
		return err_set(err, rc, "postcat: %s", rc_text(rc));
	for (;;) {
		ssize_t n = read(p.out, piece, sizeof(piece));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		rc = put_body(&b, piece, (size_t)n);
		if (rc != 0)
			break;
	}
	if (rc == 0 && b.last != '\n')
		rc = put_body(&b, "\n", 1);
	end = postcat_end(&p);
	*out_size = b.size;
	if (rc == RC_LIMIT)
		return err_set(err, rc, "it is larger than 150 MB");
	if (rc != 0 || end != 0)
		return err_set(
			err, rc ? rc : end, "%s", rc ? rc_text(rc) : "postcat cannot read it");
	return 0;
}

static int write_file(struct queue_import *q, const char *name, const struct waiting *w,
	struct drop_envelope *e, struct err *err)
{
	CLEANUP(buf_deinitp) struct buf head = BUF_INIT(DROP_ENVELOPE_MAX);
	CLEANUP(io_closep) int fd = -1;
	char digits[DROP_SIZE_DIGITS + 1];
	size_t size_at = 0;
	uint64_t size = 0;
	int rc = drop_envelope_render(e, &head, &size_at);

	if (rc != 0)
		return err_set(err, rc, "its envelope is too long");
	(void)unlinkat(q->maildrop_fd, name, 0);
	fd = openat(
		q->maildrop_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
	if (fd < 0 || fchmod(fd, 0640) != 0 ||
		(geteuid() == 0 && fchown(fd, (uid_t)-1, q->maildrop_gid) != 0))
		return err_set(err, -errno, "%s: %s", q->maildrop, rc_text(-errno));
	rc = io_write_all(fd, buf_sv(&head));
	if (rc == 0)
		rc = copy_body(fd, w->path, &size, err);
	if (rc != 0)
		return rc;
	drop_size_render(size, digits);
	rc = io_write_all(fd, DROP_END);
	if (rc == 0 && (pwrite(fd, digits, DROP_SIZE_DIGITS, (off_t)size_at) != DROP_SIZE_DIGITS ||
			       fsync(fd) != 0))
		rc = errno ? -errno : -EIO;
	return rc ? err_set(err, rc, "%s: %s", q->maildrop, rc_text(rc)) : 0;
}

/* import.TIME.postfix.ID-PART.msg; the daemon takes files in the order of their names. */
static void name_of(const struct waiting *w, size_t part, char out[NAME_MAX + 1])
{
	(void)snprintf(out,
		NAME_MAX + 1,
		PREFIX "%010lld%06ld.postfix.%s-%zu.msg",
		(long long)w->at.tv_sec,
		w->at.tv_nsec / 1000,
		w->name,
		part);
}

static bool is_of(const char *name, const char *id)
{
	char mark[NAME_MAX_LEN + 16];

	(void)snprintf(mark, sizeof(mark), ".postfix.%s-", id);
	return strncmp(name, PREFIX, strlen(PREFIX)) == 0 && strstr(name, mark);
}

/* A file for each kind of notification, and for each LIMIT_RCPT recipients. */
static int write_files(struct queue_import *q, const struct waiting *w,
	const struct setup_queued *m, struct err *err)
{
	struct sv *to = xcalloc(LIMIT_RCPT, sizeof(*to));
	size_t part = 0;
	int rc = 0;

	for (unsigned notify = 0; notify < 16 && rc == 0; notify++) {
		struct drop_envelope e = { .sender = m->sender,
			.envid = m->envid,
			.ret = m->ret,
			.notify = (uint8_t)notify,
			.body_8bit = true,
			.smtputf8 = m->utf8,
			.recipients = to };

		for (size_t i = 0; i <= m->recipient_count && rc == 0; i++) {
			bool last = i == m->recipient_count;
			char name[NAME_MAX + 1];

			if (!last && m->recipients[i].notify == notify)
				to[e.recipient_count++] = m->recipients[i].address;
			if (!e.recipient_count || (!last && e.recipient_count < LIMIT_RCPT))
				continue;
			name_of(w, part++, name);
			rc = write_file(q, name, w, &e, err);
			e.recipient_count = 0;
		}
	}
	free(to);
	return rc;
}

/* ---- handing over ---- */

/* Step 3 and 4 for a message in `handing`. */
static int finish(struct queue_import *q, const char *id, struct err *err)
{
	char from[PATHS_MAX], to[PATHS_MAX], folder[PATHS_MAX];
	DIR *dir = opendir(q->maildrop);
	struct dirent *e;
	struct stat st;
	int rc = dir ? 0 : -errno;

	while (dir && (e = readdir(dir)))
		if (is_of(e->d_name, id) && renameat(q->maildrop_fd,
						    e->d_name,
						    q->maildrop_fd,
						    e->d_name + strlen(PREFIX)) != 0)
			rc = -errno;
	if (dir)
		(void)closedir(dir);
	if (rc == 0)
		rc = io_folder_sync(q->maildrop, err);
	if (rc != 0)
		return err_set(err, rc, "%s: %s", q->maildrop, rc_text(rc));
	(void)snprintf(from, sizeof(from), "%s/" HANDING "/%s", q->folder, id);
	/* Postfix uses short ids again: one that is kept stays. */
	if (stat(from, &st) != 0)
		return err_set(err, -errno, "%s: %s", from, rc_text(-errno));
	(void)snprintf(
		to, sizeof(to), "%s/" KEPT "/%s.%lld", q->folder, id, (long long)st.st_mtime);
	if (rename(from, to) != 0)
		return err_set(err, -errno, "%s: %s", from, rc_text(-errno));
	(void)snprintf(folder, sizeof(folder), "%s/" KEPT, q->folder);
	return io_folder_sync(folder, err);
}

/* Step 2: whoever starts Postfix again from here on does not send it. */
static int take_over(const struct queue_import *q, const struct waiting *w, struct err *err)
{
	char to[PATHS_MAX], folder[PATHS_MAX];
	int rc = io_folder_sync(q->maildrop, err);

	(void)snprintf(to, sizeof(to), "%s/" HANDING "/%s", q->folder, w->name);
	(void)snprintf(folder, sizeof(folder), "%s/" HANDING, q->folder);
	if (rc == 0 && rename(w->path, to) != 0)
		rc = err_set(err, -errno, "%s: %s", w->path, rc_text(-errno));
	return rc == 0 ? io_folder_sync(folder, err) : rc;
}

static void hand_over(struct queue_import *q, const struct waiting *w)
{
	struct arena arena = { 0 };
	struct setup_queued m = { 0 };
	struct err err = { 0 };
	int rc = read_envelope(w->path, &arena, &m, &err);

	if (rc == 0 && !m.recipient_count)
		rc = err_set(&err, RC_PARSE, "it has no recipients left");
	if (rc == 0)
		rc = write_files(q, w, &m, &err);
	if (rc == 0)
		rc = take_over(q, w, &err);
	if (rc == 0)
		rc = finish(q, w->name, &err);
	if (rc == 0) {
		q->handed++;
		q->recipients += m.recipient_count;
		if (m.skipped)
			(void)cli_fail(0,
				"%s: %zu recipient%s cannot be taken: not an address",
				w->name,
				m.skipped,
				m.skipped == 1 ? "" : "s");
	} else {
		q->failed++;
		(void)cli_fail(0, "%s stays in Postfix's queue: %s", w->path, err.text);
	}
	arena_reset(&arena);
}

/* What a run before this one was killed in. */
static int resume(struct queue_import *q)
{
	char folder[PATHS_MAX];
	DIR *dir;
	struct dirent *e;
	struct err err = { 0 };
	int rc = 0;

	(void)snprintf(folder, sizeof(folder), "%s/" HANDING, q->folder);
	if (io_folder_make(folder, 0700, &err) != 0)
		return cli_fail(EX_CANTCREAT, "%s: as root, please", err.text);
	dir = opendir(folder);
	while (dir && rc == 0 && (e = readdir(dir)))
		if (is_queue_id(e->d_name)) {
			rc = finish(q, e->d_name, &err);
			q->handed += rc == 0;
		}
	if (dir)
		(void)closedir(dir);
	return rc == 0 ? EX_OK : cli_fail(EX_CANTCREAT, "%s", err.text);
}

static int open_maildrop(struct cli_context *ctx, struct queue_import *q)
{
	CLEANUP(conf_unrefp) struct conf *c = cli_load_conf(ctx);
	struct stat st;

	if (!c)
		return cli_fail(EX_CONFIG, "%s has errors: see above", ctx->config_path);
	(void)snprintf(q->maildrop, sizeof(q->maildrop), "%.*s", SV_ARG(conf_general(c)->maildrop));
	q->maildrop_fd = open(q->maildrop, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (q->maildrop_fd < 0 || fstat(q->maildrop_fd, &st) != 0)
		return cli_fail(EX_CANTCREAT,
			"maildrop %s: %s: run this as root, where postern is installed",
			q->maildrop,
			strerror(errno)); /* NOLINT(concurrency-mt-unsafe) */
	q->maildrop_gid = st.st_gid;
	return EX_OK;
}

static int check_postfix(const char *folder)
{
	long pid = master_of(folder);
	struct stat st;

	if (stat(folder, &st) != 0 || !S_ISDIR(st.st_mode))
		return cli_fail(EX_NOINPUT, "%s: there is no such folder", folder);
	if (!postcat())
		return cli_fail(EX_UNAVAILABLE,
			"there is no postcat: do this on the machine where Postfix is installed, "
			"or: "
			"apt-get install postfix");
	if (pid)
		return cli_fail(EX_UNAVAILABLE,
			"Postfix runs (master, pid %ld) and would send the same mail: systemctl "
			"disable "
			"--now postfix, then run this again",
			pid);
	return EX_OK;
}

static void say_end(const struct queue_import *q)
{
	(void)printf("%zu message%s for %zu recipient%s handed to postern (%s)\n",
		q->handed,
		q->handed == 1 ? "" : "s",
		q->recipients,
		q->recipients == 1 ? "" : "s",
		q->maildrop);
	if (q->handed)
		(void)printf("Postfix's copies are kept in %s/" KEPT
			     ": delete them when all is well. See: postern queue list\n",
			q->folder);
	if (q->failed)
		(void)printf("%zu stayed in Postfix's queue, with the reasons above\n", q->failed);
}

int import_queue(struct cli_context *ctx, const char *folder)
{
	struct queue_import q = { .folder = folder, .maildrop_fd = -1 };
	int code = check_postfix(folder);

	if (code == EX_OK)
		code = open_maildrop(ctx, &q);
	if (code == EX_OK)
		code = resume(&q);
	if (code == EX_OK) {
		find_all(&q);
		(void)printf("%zu message%s in %s\n", q.count, q.count == 1 ? "" : "s", folder);
	}
	for (size_t i = 0; i < q.count; i++) {
		hand_over(&q, &q.items[i]);
		if (ctx->color || (i + 1) % 100 == 0) {
			(void)printf("%s%zu of %zu%s",
				ctx->color ? cli_mark(CLI_MARK_AGAIN) : "",
				i + 1,
				q.count,
				ctx->color ? " " : "\n");
			(void)fflush(stdout);
		}
	}
	if (q.count && ctx->color)
		(void)printf("%s", cli_mark(CLI_MARK_AGAIN));
	if (code == EX_OK)
		say_end(&q);
	forget(&q);
	io_closep(&q.maildrop_fd);
	return code == EX_OK && q.failed ? EX_TEMPFAIL : code;
}
