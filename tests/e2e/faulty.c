/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/timex.h>
#include <sys/types.h>
#include <unistd.h>

/*
 * Preloaded into a relay under test (faulty.py): calls fail as a bad machine lets them fail. The page that
 * FAULTY names is mapped, so that a test can change its mind while the relay runs, and so that no jail of
 * the relay is in the way. `after` calls that match still work; then `count` of them fail, or, where `error` is 0, do
 * not return until the page is off.
 */
struct page {
	volatile int on, error, after, count, hits;
	char calls[64]; /* of "open read write sync", by their letters: o r w s */
	char path[256]; /* part of the path; with a '$' behind it, its end */
};

static struct page *page;

/* No time server has set the clock of this machine. */
int adjtimex(struct timex *t)
{
	t->status = STA_UNSYNC;
	return TIME_ERROR;
}

__attribute__((constructor)) static void set_up(void)
{
	const char *name = getenv("FAULTY");
	int fd = name ? open(name, O_RDWR | O_CLOEXEC) : -1;
	void *at =
		fd < 0 ? MAP_FAILED
		       : mmap(NULL, sizeof(struct page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (at != MAP_FAILED)
		page = at;
	if (fd >= 0)
		close(fd);
}

static int matches(const char *path)
{
	size_t len = strlen(path), n = strlen(page->path);

	if (n == 0 || page->path[n - 1] != '$')
		return strstr(path, page->path) != NULL;
	n--;
	return len >= n && memcmp(path + len - n, page->path, n) == 0;
}

static int fails(char call, const char *path)
{
	int n;

	if (!page || !page->on || !strchr(page->calls, call) || !matches(path))
		return 0;
	n = __sync_add_and_fetch(&page->hits, 1);
	if (n <= page->after || n > page->after + page->count)
		return 0;
	while (page->on && page->error == 0)
		usleep(10000);
	errno = page->error;
	return errno != 0;
}

static int fails_fd(char call, int fd)
{
	char link[64], path[512];
	ssize_t n;

	if (!page || !page->on || !strchr(page->calls, call))
		return 0;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return 0;
	path[n] = '\0';
	return fails(call, path);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static mode_t mode_of(int flags, va_list args)
{
	return flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
}

#define OPEN(name)                                                            \
	int name(const char *path, int flags, ...)                            \
	{                                                                     \
		va_list args;                                                 \
		mode_t mode;                                                  \
		va_start(args, flags);                                        \
		mode = mode_of(flags, args);                                  \
		va_end(args);                                                 \
		return fails('o', path) ? -1 : REAL(name)(path, flags, mode); \
	}
OPEN(open)
OPEN(open64)

ssize_t read(int fd, void *to, size_t n)
{
	return fails_fd('r', fd) ? -1 : REAL(read)(fd, to, n);
}
#define PREAD(name, off)                                                   \
	ssize_t name(int fd, void *to, size_t n, off at)                   \
	{                                                                  \
		return fails_fd('r', fd) ? -1 : REAL(name)(fd, to, n, at); \
	}
PREAD(pread, off_t)
PREAD(pread64, off64_t)
#define PWRITE(name, off)                                                    \
	ssize_t name(int fd, const void *from, size_t n, off at)             \
	{                                                                    \
		return fails_fd('w', fd) ? -1 : REAL(name)(fd, from, n, at); \
	}
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)
ssize_t write(int fd, const void *from, size_t n)
{
	return fails_fd('w', fd) ? -1 : REAL(write)(fd, from, n);
}
int fsync(int fd)
{
	return fails_fd('s', fd) ? -1 : REAL(fsync)(fd);
}
int fdatasync(int fd)
{
	return fails_fd('s', fd) ? -1 : REAL(fdatasync)(fd);
}
int ftruncate(int fd, off_t n)
{
	return fails_fd('w', fd) ? -1 : REAL(ftruncate)(fd, n);
}
int ftruncate64(int fd, off64_t n)
{
	return fails_fd('w', fd) ? -1 : REAL(ftruncate64)(fd, n);
}
