/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "io/loop.h"

/*
 * Threads for what is slow (password hashes, RSA, loading keys). `run` executes elsewhere and may
 * touch only `arg`; `done` executes on the loop. The queue is bounded.
 */
struct io_workers;

NODISCARD struct io_workers *io_workers_new(
	struct io_loop *l, unsigned threads, unsigned queue_max);
/*
 * Finishes what runs and tells it `done`, before it returns; drops what waits without `done`.
 */
void io_workers_free(struct io_workers *w);
/* -EAGAIN when the queue is full: answer 4xx and go on. */
NODISCARD int io_workers_run(
	struct io_workers *w, void (*run)(void *arg), void (*done)(void *arg), void *arg);
