/* SPDX-License-Identifier: Apache-2.0 */
#include "io/folder_watch.h"

#include "base/must.h"
#include "io/fs.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

struct io_folder_watch {
	int fd;
	struct io_watch *watch;
	void (*fn)(void *arg);
	void *arg;
};

static void on_event(void *arg, unsigned events)
{
	struct io_folder_watch *w = arg;
	char ignored[4096];

	(void)events;
	while (io_fs_read(w->fd, ignored, sizeof(ignored)) > 0)
		;
	w->fn(w->arg);
}

struct io_folder_watch *io_folder_watch_new(
	struct io_loop *l, const char *path, void (*fn)(void *arg), void *arg, int *out_rc)
{
	struct io_folder_watch *w = xcalloc(1, sizeof(*w));

	w->fn = fn;
	w->arg = arg;
	w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (w->fd < 0 || inotify_add_watch(w->fd, path, IN_MOVED_TO | IN_ONLYDIR) < 0) {
		*out_rc = -errno;
		io_folder_watch_free(w);
		return NULL;
	}
	w->watch = io_watch_new(l, w->fd, IO_READABLE, on_event, w);
	must(w->watch != NULL);
	return w;
}

void io_folder_watch_free(struct io_folder_watch *w)
{
	if (!w)
		return;
	io_watch_free(w->watch);
	io_closep(&w->fd);
	free(w);
}
