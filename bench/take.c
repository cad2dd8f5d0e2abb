/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"
#include "base/must.h"
#include "base/rng.h"
#include "io/loop.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/*
 * What one TAKE costs the store's thread, its share of the commit included: over a queue that a relay made (bench/waiting.py), one
 * message each of flows by chance, `AT_ONCE` before each commit. Nothing is sent; the queue is a copy.
 * usage: bench_take DATA_DIR [TAKES]
 */
enum {
	AT_ONCE = 32,
	TAKES = 20000,
	BODY_MAX = 1 << 20,
};

struct taking {
	struct store_take op;
	struct arena arena;
	struct buf body;
};

static struct io_loop *loop;
static size_t pending;

static void op_done(struct store_op *op)
{
	(void)op;
	if (--pending == 0)
		io_loop_stop(loop);
}

static void run(struct store *s, struct store_op *op)
{
	op->done = op_done;
	pending = 1;
	store_submit(s, op);
	io_loop_run(loop);
}

/* Of all threads but this. */
static uint64_t others_cpu_ns(void)
{
	struct timespec all, mine;

	must(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &all) == 0);
	must(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &mine) == 0);
	return (uint64_t)((all.tv_sec - mine.tv_sec) * 1000000000L + all.tv_nsec - mine.tv_nsec);
}

static size_t take_some(
	struct store *s, struct taking *all, const struct store_flows *flows, struct prng *dice)
{
	size_t found = 0;

	for (size_t i = 0; i < AT_ONCE; i++) {
		struct taking *t = &all[i];

		arena_reset(&t->arena);
		buf_reset(&t->body);
		t->op = (struct store_take){ .op = { .kind = STORE_OP_TAKE, .done = op_done },
			.flow = &flows->out_flows[prng_below(dice, (uint32_t)flows->out_count)].key,
			.lane = SV("submission/bench@contoso.com"),
			.now = io_clock_wall(),
			.at = io_clock_wall(),
			.wanted = 500,
			.body = &t->body,
			.out_arena = &t->arena };
		pending++;
		store_submit(s, &t->op.op);
	}
	io_loop_run(loop);
	for (size_t i = 0; i < AT_ONCE; i++)
		found += all[i].op.op.rc == 0;
	return found;
}

int main(int argc, char **argv)
{
	struct store_options options = { .data_dir = sv_from(argc > 1 ? argv[1] : NULL),
		.history_keep_us = 14 * US_PER_DAY,
		.history_bytes_max = UINT64_C(1) << 30 };
	struct store_recovery found;
	struct err err = { 0 };
	struct taking *all = xcalloc(AT_ONCE, sizeof(*all));
	struct arena flows_arena = { 0 };
	struct store_flows flows = { .op.kind = STORE_OP_FLOWS, .out_arena = &flows_arena };
	size_t wanted = argc > 2 ? strtoul(argv[2], NULL, 10) : TAKES, taken = 0, asked = 0;
	struct prng dice;
	struct store *s;
	uint64_t begin, used;

	if (argc < 2) {
		(void)fprintf(stderr, "usage: bench_take DATA_DIR [TAKES]\n");
		return 64;
	}
	loop = io_loop_new();
	s = store_open(loop, &options, &found, &err);
	if (!s) {
		(void)fprintf(stderr, "%s\n", err.text);
		return 69;
	}
	for (size_t i = 0; i < AT_ONCE; i++)
		buf_init(&all[i].body, BODY_MAX);
	prng_seed(&dice, 1);
	run(s, &flows.op);
	must(flows.op.rc == 0 && flows.out_count > 0);
	for (begin = others_cpu_ns(); asked < wanted; asked += AT_ONCE)
		taken += take_some(s, all, &flows, &dice);
	used = others_cpu_ns() - begin;
	(void)printf("{\"flows\": %zu, \"waiting\": %llu, \"taken\": %zu, \"us_a_take\": %.1f}\n",
		flows.out_count,
		(unsigned long long)found.queued_count,
		taken,
		(double)used / 1000 / (double)asked);
	must(store_close(s));
	io_loop_free(loop);
	for (size_t i = 0; i < AT_ONCE; i++) {
		arena_reset(&all[i].arena);
		buf_deinit(&all[i].body);
	}
	arena_reset(&flows_arena);
	free(all);
	return 0;
}
