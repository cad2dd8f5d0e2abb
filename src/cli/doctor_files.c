/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"
#include "cli/doctor_priv.h"
#include "cli/start.h"
#include "io/file.h"
#include "io/loop.h"
#include "mail/drop_format.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	STALE_S = 86400,
	READ_PIECE = 65536,
	SAID_MAX = 50, /* lines about files of one folder */
};

static const char part[] = "files";

/* ---- data_dir ---- */

struct folder {
	struct doctor *d;
	char path[PATH_MAX];
	struct stat st;
	int fd;
	unsigned said;
};

static void say_wrong(struct folder *f, const char *name, bool repaired, const char *what)
{
	if (f->said++ >= SAID_MAX)
		return;
	doctor_say(f->d,
		repaired ? DOCTOR_REPAIRED : DOCTOR_FAULT,
		part,
		geteuid() == 0 ? NULL : "Run `postern doctor --repair` as root.",
		"%s/%s: %s",
		f->path,
		name,
		what);
}

/* What the daemon cannot open, and what others can: root made it, or a copy came back with other rights. */
static void look_at_file(struct folder *f, const char *name)
{
	struct stat st;
	bool foreign, open_to_others, repaired = false;

	if (fstatat(f->fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
		(!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)))
		return;
	foreign = st.st_uid != f->st.st_uid;
	open_to_others = (st.st_mode & 077) != 0;
	if (!foreign && !open_to_others)
		return;
	if (f->d->repair) {
		CLEANUP(io_closep)
		int fd = openat(f->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

		repaired = fd >= 0 && (!foreign || fchown(fd, f->st.st_uid, f->st.st_gid) == 0) &&
			   (!open_to_others || fchmod(fd, st.st_mode & 07700) == 0);
	}
	say_wrong(f,
		name,
		repaired,
		foreign ? "it does not belong to the owner of the folder"
			: "others than its owner have rights on it");
}

static void look_into(struct folder *f)
{
	DIR *dir = opendir(f->path);
	const struct dirent *entry;

	if (!dir)
		return; /* said by cli_start_folders(), or by the exit code */
	f->fd = dirfd(dir);
	while ((entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.')
			look_at_file(f, entry->d_name);
	(void)closedir(dir);
}

static void obstacle(void *arg, const struct conf_place *place, const char *text)
{
	(void)place;
	doctor_say(arg, DOCTOR_FAULT, part, NULL, "%s", text);
}

static void look_at_owner(struct folder *f)
{
	struct cli_account account;

	if (!cli_daemon_account(f->d->ctx->config_path, f->d->conf, &account) ||
		account.uid == f->st.st_uid)
		return;
	if (f->d->repair && chown(f->path, account.uid, account.gid) == 0 &&
		stat(f->path, &f->st) == 0)
		doctor_say(f->d,
			DOCTOR_REPAIRED,
			part,
			NULL,
			"%s belongs to %s now",
			f->path,
			account.name);
	else
		doctor_say(f->d,
			DOCTOR_FAULT,
			part,
			"postern doctor --repair",
			"%s does not belong to %s, who runs the daemon",
			f->path,
			account.name);
}

void doctor_files(struct doctor *d)
{
	struct folder f = { .d = d };
	unsigned faults = d->count[DOCTOR_FAULT] + d->count[DOCTOR_REPAIRED];

	(void)snprintf(f.path, sizeof(f.path), "%.*s", SV_ARG(conf_general(d->conf)->data_dir));
	if (stat(f.path, &f.st) == 0 && S_ISDIR(f.st.st_mode)) {
		look_at_owner(&f);
		if (f.st.st_mode & 077) {
			bool repaired = d->repair && chmod(f.path, 0700) == 0;

			say_wrong(&f, "", repaired, "others than its owner have rights on it");
		}
		look_into(&f);
	}
	if (geteuid() != 0)
		cli_start_folders(d->conf, obstacle, d);
	if (d->count[DOCTOR_FAULT] + d->count[DOCTOR_REPAIRED] == faults)
		doctor_say(d, DOCTOR_OK, part, NULL, "%s and its rights", f.path);
}

/* ---- the maildrop ---- */

struct maildrop {
	struct doctor *d;
	char path[PATH_MAX];
	int fd;
	uint64_t waiting, set_aside, unreadable, stale;
};

static bool is_whole(int fd, const struct stat *st)
{
	CLEANUP(buf_deinitp) struct buf head = BUF_INIT(DROP_ENVELOPE_MAX);
	struct arena arena = { 0 };
	struct drop_envelope envelope;
	size_t body_at = 0;
	int rc = 0;

	while (rc == 0) {
		ssize_t n = buf_reserve(&head, READ_PIECE) == 0
				    ? pread(fd, buf_tail(&head), READ_PIECE, (off_t)head.len)
				    : -1;

		if (n <= 0)
			break;
		buf_grew(&head, (size_t)n);
		rc = drop_envelope_parse(&arena, buf_sv(&head), &envelope, &body_at, NULL);
	}
	rc = rc == 1 && (uint64_t)st->st_size == drop_file_size(&envelope, body_at);
	arena_reset(&arena);
	return rc;
}

static void look_at_drop(struct maildrop *m, const char *name)
{
	CLEANUP(io_closep)
	int fd = openat(m->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (strncmp(name, "bad.", 4) == 0) {
		m->set_aside++;
		return;
	}
	if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		m->unreadable++;
		return;
	}
	if (name[0] < '0' || name[0] > '9') {
		if (st.st_mtime + STALE_S >= io_clock_wall().us / (int64_t)US_PER_S)
			return; /* it is being written */
		m->stale++;
		if (m->d->repair && unlinkat(m->fd, name, 0) == 0)
			doctor_say(m->d,
				DOCTOR_REPAIRED,
				"maildrop",
				NULL,
				"%s/%s is gone: its writer never finished it",
				m->path,
				name);
		return;
	}
	m->waiting++;
	if (!is_whole(fd, &st))
		doctor_say(m->d,
			DOCTOR_FAULT,
			"maildrop",
			"The daemon sets it aside (bad.*) at its next look; nothing of it is sent.",
			"%s/%s is not whole",
			m->path,
			name);
}

static void say_maildrop(struct maildrop *m)
{
	if (m->set_aside)
		doctor_say(m->d,
			DOCTOR_NOTE,
			"maildrop",
			"Look at them and delete them; the log of postern/pickup says why.",
			"%llu files were set aside (bad.*) in %s",
			(unsigned long long)m->set_aside,
			m->path);
	if (m->unreadable)
		doctor_say(m->d,
			DOCTOR_NOTE,
			"maildrop",
			NULL,
			"%llu entries of %s cannot be read or are no files",
			(unsigned long long)m->unreadable,
			m->path);
	if (m->stale && !m->d->repair)
		doctor_say(m->d,
			DOCTOR_NOTE,
			"maildrop",
			"postern doctor --repair deletes them.",
			"%llu files in %s were begun more than a day ago and never finished",
			(unsigned long long)m->stale,
			m->path);
	doctor_say(m->d,
		DOCTOR_OK,
		"maildrop",
		m->waiting && !m->d->running ? "The daemon takes them when it starts." : NULL,
		"%llu messages wait in %s",
		(unsigned long long)m->waiting,
		m->path);
}

void doctor_maildrop(struct doctor *d)
{
	struct maildrop m = { .d = d };
	const struct dirent *entry;
	struct stat st;
	DIR *dir;

	(void)snprintf(m.path, sizeof(m.path), "%.*s", SV_ARG(conf_general(d->conf)->maildrop));
	if (m.path[0] == '\0' || stat(m.path, &st) != 0)
		return;
	if (st.st_mode & S_IROTH)
		doctor_say(d,
			DOCTOR_NOTE,
			"maildrop",
			"Take the rights of others away: chmod o= it",
			"everybody can see what lies in %s",
			m.path);
	dir = opendir(m.path);
	if (!dir) {
		doctor_say(d,
			DOCTOR_FAULT,
			"maildrop",
			"Run `postern doctor` as root.",
			"%s cannot be read: %s",
			m.path,
			rc_text(-errno));
		return;
	}
	m.fd = dirfd(dir);
	while ((entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.')
			look_at_drop(&m, entry->d_name);
	say_maildrop(&m);
	(void)closedir(dir);
}
