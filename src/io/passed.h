/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/sv.h"

/*
 * The sockets that systemd passes to a service (sd_listen_fds(3)): those of its .socket units, and those
 * that this service had stored before it was started again (docs/decisions/0040-sockets-stay-open.md).
 */
enum {
	IO_PASSED_MAX =
		512, /* FileDescriptorStoreMax= of our unit; what comes after is left alone */
	IO_PASSED_NAME_MAX = 255, /* FDNAMES_MAX of systemd */
	IO_PASSED_FIRST = 3,      /* SD_LISTEN_FDS_START */
};

struct io_passed {
	size_t count;
	struct io_passed_socket {
		struct sv name; /* borrowed from the environment; empty: it has none */
		bool taken;
	} sockets[IO_PASSED_MAX]; /* the n-th is descriptor IO_PASSED_FIRST + n */
};

/*
 * LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES. None when they are meant for another process or make no
 * sense.
 */
void io_passed_parse(
	struct io_passed *out, struct sv pid, struct sv count, struct sv names, uint32_t own_pid);
void io_passed_from_environment(struct io_passed *out);
/* The descriptor of that name, the caller's from now on; -1: there is none, or it was taken. */
NODISCARD int io_passed_take(struct io_passed *p, struct sv name);

/*
 * Under which name the socket of an address is stored: ":" separates names, so it is escaped. RC_LIMIT when
 * the name would be longer than systemd takes; such a socket cannot be stored.
 */
NODISCARD int io_passed_store_name(struct sv address, struct buf *out);
bool io_passed_is_stored(struct sv name); /* we gave it this name, not a .socket unit */
