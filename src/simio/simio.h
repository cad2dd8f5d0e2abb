/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "io/net.h"
#include "io/stream.h"

/*
 * A second implementation of what io/ offers, linked instead of it: one world a process, without threads and
 * without waiting. Time goes from one event to the next; a seed throws every delay, split and order, so that the
 * same seed is the same run. What is pure in io/ (addresses, dialling, files) is linked from there.
 *
 * A loop here is a machine: what it has of timers, streams and threads dies with it.
 */
void simio_begin(uint64_t seed);
/* Runs the next event, if it is not later than `until`; false: time is `until` now. */
bool simio_step(uint64_t until_us);
/* True time: microseconds since simio_begin(). */
uint64_t simio_now(void);
/* Of all that has happened: the instant of each step, the bytes on every line, the log. The same seed has the same. */
uint64_t simio_hash(void);
uint64_t simio_steps(void);
/* Dice of the world, thrown by whatever happens in it. Scripts may, but then what they throw depends on the run. */
uint64_t simio_below(uint64_t bound);
bool simio_chance(unsigned percent);

/* The process of this loop dies, with no word to anybody; what it has sent arrives. Its memory stays (nobody
 * unwinds): a run is a process of its own. */
void simio_kill(struct io_loop *l);
/* A thread may be asleep when its process dies, on the stack of whoever lets the others run meanwhile: `fn` then leaves it there
 * (longjmp). Without one it wakes, and goes on in a process that is dead. */
void simio_on_abandon(void (*fn)(void));
/* Somebody sets the wall clock. */
void simio_set_clock(int64_t by_us);
/* CLOCK_BOOTTIME of new loops, and of code without a loop, begins anew. */
void simio_reboot(void);

/* How a host takes connections. */
enum simio_line {
	SIMIO_OPEN,
	SIMIO_REFUSES,
	SIMIO_BLACK_HOLE, /* no answer at all */
};
/* `address` as in io_address_parse(). The stream is the callee's, which sets its owner. */
typedef void simio_accept_fn(void *arg, struct io_stream *stream);
void simio_listen(struct io_loop *l, const char *address, simio_accept_fn *fn, void *arg);
void simio_set_line(const char *address, enum simio_line line);
/* For io_resolve_host(): one more address. */
void simio_name(const char *host, const char *ip);

/* A request over HTTPS, as its host has it: answered once, then it is gone. Views live until then. */
struct simio_request;
typedef void simio_web_fn(void *arg, struct simio_request *r);
/* `origin`: "https://graph.microsoft.com", without the path. Requests to nobody are not connected. */
void simio_serve(struct io_loop *l, const char *origin, simio_web_fn *fn, void *arg);
const char *simio_request_method(const struct simio_request *r);
struct sv simio_request_path(const struct simio_request *r); /* what stands behind the origin */
struct sv simio_request_body(const struct simio_request *r);
void simio_request_answer(struct simio_request *r, unsigned status, struct sv body);
void simio_request_cut(struct simio_request *r); /* the line is gone, and there is no answer */

/* One line of the run's log, with the time before it. Log lines of the product come here as well. */
void simio_note(const char *fmt, ...) PRINTF_LIKE(1, 2);
struct sv simio_log(void);
