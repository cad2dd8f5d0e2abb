/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <pthread.h>

/*
 * For the few words that two threads share; jobs and their results go by io/serial.h and io/worker.h. Not for a
 * thread that has it already. Free of failures: what goes wrong is a bug of ours, and aborts.
 */
struct io_mutex {
	pthread_mutex_t private;
};

void io_mutex_init(struct io_mutex *m);
void io_mutex_deinit(struct io_mutex *m); /* nobody has it */
void io_mutex_lock(struct io_mutex *m);
void io_mutex_unlock(struct io_mutex *m);
