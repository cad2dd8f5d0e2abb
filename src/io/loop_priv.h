/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "io/loop.h"

#include <sys/epoll.h>
#include <uv.h>

enum {
	IO_SCRATCH_LEN = 65536
};

/* Apart from the loop, so that io_now() can refresh it through a const loop. */
struct io_clock {
	struct mono_time mono;
	struct wall_time wall;
	bool fresh;
};

/* One turn begins when the poll returns and ends before the next sleep. */
struct io_turns {
	struct io_loop_turns seen;
	uint64_t began_ms; /* of uv_now(); 0: none has begun */
	uint64_t minute, minute_us, minute_before_us;
};

/* Streams with a step of their TLS handshake to do. See steps.c. */
enum {
	IO_STEP_CLASSES = 256
};
struct io_steps {
	struct heap waiting;
	uint64_t now; /* the turn that is served */
	uint64_t turns[IO_STEP_CLASSES], seed;
};

enum {
	IO_POLL_BATCH = 256 /* of events, then the rest of the loop has its turn */
};

/* A descriptor that a stream waits for. See poll.c. */
struct io_poll {
	int fd;
	unsigned armed; /* of IO_READABLE, IO_WRITABLE */
	/* Of an error state both: the next call on the descriptor gives the reason, or first the input that came before. */
	void (*ready)(struct io_poll *p, unsigned events);
};

struct io_polls {
	int fd;
	uv_poll_t uv;
	size_t count, batch_len;
	struct epoll_event batch
		[IO_POLL_BATCH]; /* told one after the other; of one that ends meanwhile nothing more */
};

struct io_loop {
	uv_loop_t uv;
	struct io_polls polls;
	struct io_turns turns;
	struct io_loop_options options;
	uv_timer_t sleep; /* bounds the sleep; our own timers fire after the poll */
	uv_prepare_t prepare;
	uv_check_t check;
	uv_idle_t idle; /* active while work is left over: then the poll does not sleep */
	struct heap timers;
	uint64_t sleep_key; /* the timer that `sleep` was set for; 0 when it is not set */
	bool firing;
	struct list tasks, tasks_end; /* those before the end are of this round */
	struct list last;             /* behind all of them */
	struct list dirty;            /* streams with something to do at the end of the round */
	struct io_steps steps;
	struct list gone;    /* streams that are free; their memory stays until the round is over */
	struct list closing; /* streams that close gently, and so have no owner */
	struct list signals;
	struct prng prng;
	struct io_clock *clock;
	char scratch[IO_SCRATCH_LEN]; /* what any stream reads into first */
};

/* Serves the streams that are dirty now; what they make dirty waits for the next call. */
void io_streams_serve(struct io_loop *l);
/* A step of a TLS handshake, if any waits. */
void io_streams_step(struct io_loop *l);
/* Gives the memory of freed streams back: nobody further up the stack looks at them. */
void io_streams_reap(struct io_loop *l);
/* Frees the streams that were closing gently. */
void io_streams_drop(struct io_loop *l);

void io_polls_init(struct io_loop *l);
void io_polls_deinit(struct io_loop *l);
void io_poll_begin(struct io_loop *l, struct io_poll *p, int fd);
void io_poll_set(struct io_loop *l, struct io_poll *p, unsigned events); /* 0: waits for nothing */
void io_poll_end(struct io_loop *l, struct io_poll *p); /* before the descriptor is closed */

struct io_stream;
void io_steps_init(struct io_steps *steps, uint64_t seed);
void io_steps_deinit(struct io_steps *steps);
void io_steps_add(struct io_steps *steps, struct io_stream *s); /* nothing when it waits already */
void io_steps_remove(struct io_steps *steps, struct io_stream *s);
struct io_stream *io_steps_take(struct io_steps *steps); /* whose turn it is; NULL: nobody waits */

/* Closes the signal watch whose node this is; it is out of the list already. */
void io_signal_drop(struct list *node);

/* uv_close() callback for handles whose `data` is the heap block that holds them. */
void io_handle_closed(uv_handle_t *handle);
