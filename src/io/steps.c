/* SPDX-License-Identifier: Apache-2.0 */
#include "io/loop_priv.h"
#include "io/stream_priv.h"

/*
 * A step of a TLS handshake signs or verifies: a millisecond and more. Hundreds at once, after an outage or from
 * clients, must not keep the loop from everything else: a round has one, and costs much less besides.
 *
 * Whose it is goes by the site of the peer and not by the connection: whoever begins a hundred handshakes and whoever
 * begins one have every other step. Sites share classes by chance, which nobody outside can know: a table of fixed size
 * that no flood of addresses fills.
 */

void io_steps_init(struct io_steps *steps, uint64_t seed)
{
	steps->seed = seed;
}

void io_steps_deinit(struct io_steps *steps)
{
	heap_deinit(&steps->waiting);
}

void io_steps_add(struct io_steps *steps, struct io_stream *s)
{
	char site[IO_ADDRESS_TEXT_MAX];
	uint64_t hash, *turn;

	if (heap_holds(&s->step))
		return;
	hash = sv_hash(sv_from(io_address_site(&s->peer.any, site)), steps->seed);
	turn = &steps->turns[hash % IO_STEP_CLASSES];
	*turn = *turn < steps->now ? steps->now : *turn + 1;
	heap_insert(&steps->waiting, &s->step, *turn);
}

void io_steps_remove(struct io_steps *steps, struct io_stream *s)
{
	heap_remove(&steps->waiting, &s->step);
}

struct io_stream *io_steps_take(struct io_steps *steps)
{
	struct heap_node *first = heap_first(&steps->waiting);

	if (!first)
		return NULL;
	steps->now = first->key;
	heap_remove(&steps->waiting, first);
	return CONTAINER_OF(first, struct io_stream, step);
}
