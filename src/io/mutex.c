/* SPDX-License-Identifier: Apache-2.0 */
#include "io/mutex.h"

#include "base/must.h"

/* Of the kind that knows its owner: who locks twice, or unlocks what another has, is told so instead of hanging. */
void io_mutex_init(struct io_mutex *m)
{
	pthread_mutexattr_t kind;

	must(pthread_mutexattr_init(&kind) == 0);
	must(pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_ERRORCHECK) == 0);
	must(pthread_mutex_init(&m->private, &kind) == 0);
	must(pthread_mutexattr_destroy(&kind) == 0);
}

void io_mutex_deinit(struct io_mutex *m)
{
	must(pthread_mutex_destroy(&m->private) == 0);
}

void io_mutex_lock(struct io_mutex *m)
{
	must(pthread_mutex_lock(&m->private) == 0);
}

void io_mutex_unlock(struct io_mutex *m)
{
	must(pthread_mutex_unlock(&m->private) == 0);
}
