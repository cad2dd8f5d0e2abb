/* SPDX-License-Identifier: Apache-2.0 */
#include "drop/submit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	NAME_MAX_BYTES = 96
};

struct drop_file {
	int folder; /* O_PATH: the folder lets its group write but not list */
	int fd;
	char tmp[NAME_MAX_BYTES + sizeof(DROP_TMP_PREFIX)];
	char name[NAME_MAX_BYTES];
};

static int make_names(struct drop_file *f)
{
	struct timespec now = { 0 };
	uint64_t random = 0;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return -EIO;
	(void)snprintf(f->name,
		sizeof(f->name),
		"%lld%06ld.%ld.%016llx" DROP_SUFFIX,
		(long long)now.tv_sec,
		now.tv_nsec / 1000,
		(long)getpid(),
		(unsigned long long)random);
	(void)snprintf(f->tmp, sizeof(f->tmp), DROP_TMP_PREFIX "%s", f->name);
	return 0;
}

static int write_all(void *arg, struct sv bytes)
{
	struct drop_file *f = arg;

	while (bytes.len) {
		ssize_t n = write(f->fd, bytes.ptr, bytes.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		bytes = sv_skip(bytes, (size_t)n);
	}
	return 0;
}

static int write_content(struct drop_file *f, const struct drop_envelope *envelope,
	const struct drop_message *message)
{
	struct buf head = BUF_INIT(DROP_ENVELOPE_MAX);
	size_t size_at;
	int rc = drop_envelope_render(envelope, &head, &size_at);

	if (rc == 0)
		rc = write_all(f, buf_sv(&head));
	buf_deinit(&head);
	if (rc == 0)
		rc = drop_message_each(message, write_all, f);
	return rc == 0 ? write_all(f, DROP_END) : rc;
}

/*
 * The name must be on disk too. Who may list the folder syncs it; the setgid program may not, and
 * syncs the file once more: the rename has touched its inode, and ext4, xfs and btrfs then write the
 * name with it.
 */
static int sync_name(const struct drop_file *f)
{
	int folder = openat(f->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = fsync(folder >= 0 ? folder : f->fd) == 0 ? 0 : -errno;

	if (folder >= 0)
		(void)close(folder);
	return rc;
}

static int write_and_name(struct drop_file *f, const struct drop_envelope *envelope,
	const struct drop_message *message)
{
	int rc;

	/* The umask keeps all but the owner out; the daemon reads as the group. */
	if (fchmod(f->fd, 0640) != 0)
		return -errno;
	rc = write_content(f, envelope, message);
	if (rc == 0 && fsync(f->fd) != 0)
		rc = -errno;
	if (rc != 0)
		return rc;
	if (renameat(f->folder, f->tmp, f->folder, f->name) != 0)
		return -errno;
	rc = sync_name(f);
	/* The daemon may have taken it already; then it is in the queue, and this is no failure. */
	if (rc != 0 && unlinkat(f->folder, f->name, 0) != 0 && errno == ENOENT)
		rc = 0;
	return rc;
}

static int drop_into(struct drop_file *f, const struct drop_envelope *envelope,
	const struct drop_message *message)
{
	int rc = make_names(f);

	if (rc != 0)
		return rc;
	f->fd = openat(
		f->folder, f->tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
	if (f->fd < 0)
		return -errno;
	rc = write_and_name(f, envelope, message);
	if (rc != 0)
		(void)unlinkat(f->folder, f->tmp, 0);
	(void)close(f->fd);
	return rc;
}

int drop_submit_maildrop(const char *folder, const struct drop_envelope *envelope,
	const struct drop_message *message, struct err *err)
{
	struct drop_file f = { .fd = -1 };
	sigset_t all, before;
	int rc;

	f.folder = open(folder, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (f.folder < 0)
		return err_set(err, -errno, "maildrop %s: %s", folder, rc_text(-errno));
	/* A ^C between two writes would leave a piece of mail for the daemon to clean away. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_BLOCK, &all, &before);
	rc = drop_into(&f, envelope, message);
	(void)close(f.folder);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc == 0 ? 0 : err_set(err, rc, "maildrop %s: %s", folder, rc_text(rc));
}
