/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/sv.h"
#include "io/loop.h"

/*
 * The names of local users, looked up on a thread: NSS may ask LDAP or a script of the house, and one that does
 * not answer must stop nobody but the user whose name it is. What is known is kept for some minutes, and used
 * again while it is looked up anew.
 */
struct io_names;
struct io_name_query;

enum {
	IO_NAME_MAX = 128,   /* longer names are cut */
	IO_NAMES_KEPT = 256, /* users */
};
#define IO_NAME_WAIT_US (5 * US_PER_S)

/* rc 0; RC_NO_NAME: there is no such user; -ETIMEDOUT: it is not known yet; -EMFILE and the like: not now;
 * -ECANCELED: io_names_free(). */
typedef void io_name_fn(void *arg, int rc, struct sv name);

NODISCARD struct io_names *io_names_new(struct io_loop *l);
/* Does not wait for a look-up that hangs. */
void io_names_free(struct io_names *n);
/* `fn` comes once, on a later round, unless cancelled. */
NODISCARD struct io_name_query *io_names_ask(
	struct io_names *n, unsigned uid, io_name_fn *fn, void *arg);
void io_names_cancel(struct io_name_query *q);
