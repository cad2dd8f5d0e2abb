/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "io/loop.h"

/* Files that get their names in a folder: who writes one gives it another name until it is whole. */
struct io_folder_watch;

/* `fn` comes on the loop, once for all that came since the last time. Who needs certainty looks now and then: the
 * folder may be moved away, and the kernel has few of these. NULL with the reason in *out_rc: it cannot be watched. */
NODISCARD struct io_folder_watch *io_folder_watch_new(
	struct io_loop *l, const char *path, void (*fn)(void *arg), void *arg, int *out_rc);
void io_folder_watch_free(struct io_folder_watch *w); /* NULL is allowed; also from within `fn` */
