/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "io/net.h"
#include "io/stream.h"

/*
 * A TCP connection to whichever of several addresses answers first (happy eyeballs, RFC 8305): the
 * families take turns, each address begins IO_DIAL_DELAY_US after the one before it, or as soon as that
 * has failed, and those that lose are closed. So an address that leads nowhere costs a quarter of a second.
 */
#define IO_DIAL_DELAY_US (250 * US_PER_MS)
enum {
	IO_DIAL_MAX = 32, /* addresses; further ones are left out */
};

struct io_dial_options {
	const struct io_address *source; /* NULL or empty: the kernel chooses */
	int first;           /* family to begin with; AF_UNSPEC: that of the first address */
	uint64_t timeout_us; /* for each address */
	uint64_t delay_us;   /* for tests; 0: IO_DIAL_DELAY_US */
};

/*
 * Comes exactly once, unless cancelled, on a later round. `stream` is connected and the callee's, which sets
 * its owner; NULL: no address could be reached, and `err` says why the last one could not.
 */
struct io_dial;
typedef void io_dial_fn(void *arg, struct io_stream *stream, const struct err *err);
NODISCARD struct io_dial *io_dial_start(struct io_loop *l, const struct io_address *addresses,
	size_t count, const struct io_dial_options *options, io_dial_fn *fn, void *arg);
void io_dial_cancel(struct io_dial *d); /* NULL is allowed */
