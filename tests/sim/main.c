/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "tests/sim/run_one.h"
#include "tests/sim/shrink.h"
#include "tests/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char usage[] =
	"usage: sim [--fault NAME] [--from SEED] [--resume FILE] [--brief] COUNT\n"
	"       sim [--fault NAME] [--acts NAME.N,...] --log SEED\n"
	"--resume goes on behind the last seed that FILE names, and keeps it there; --brief "
	"shrinks nothing.\n";

enum {
	AT_ONCE = 3,      /* processes */
	TWICE_EVERY = 20, /* seeds: one of these is run again, and must be the same */
	KEEP_EVERY = 50,  /* seeds, between two writes of the file to resume from */
	ACTS_SHOWN = 40,
};

static struct {
	const char *fault, *resume, *acts;
	uint64_t from;
	bool log, brief;
} options = { .fault = "", .from = 1 };

/* ---- one that failed ---- */

static void show_acts(const struct run_report *r)
{
	for (size_t i = 0; i < r->count && i < ACTS_SHOWN; i++) {
		unsigned s = (unsigned)(r->acts[i].at_us / US_PER_S);

		(void)printf("  %02u:%02u:%02u ", s / 3600, s / 60 % 60, s % 60);
		acts_print(&r->acts[i], 1);
		(void)printf("  %s\n", r->acts[i].text);
	}
	if (r->count > ACTS_SHOWN)
		(void)printf("  ... and %zu more\n", r->count - ACTS_SHOWN);
}

static void show_failure(struct run *r, bool shrinks)
{
	static struct run_report least;
	unsigned runs;

	(void)printf("seed %llu failed at step %llu: %s\n",
		(unsigned long long)r->seed,
		(unsigned long long)r->report->steps,
		r->report->why);
	(void)fflush(stdout);
	if (options.brief || !shrinks)
		return;
	memcpy(&least, r->report, sizeof(least));
	runs = shrink(r->seed, &least);
	acts_keep_all();
	(void)printf("after %u runs %zu of its %zu acts are left; at step %llu: %s\n",
		runs,
		least.count,
		r->report->count,
		(unsigned long long)least.steps,
		least.why);
	show_acts(&least);
	(void)printf("  make sim SEED=%llu%s%s",
		(unsigned long long)r->seed,
		options.fault[0] ? " FAULT=" : "",
		options.fault);
	if (least.count) {
		(void)printf(" ACTS=");
		acts_print(least.acts, least.count);
	}
	(void)printf("\n");
	(void)fflush(stdout);
}

/* ---- many ---- */

static bool same_twice(const struct run *first)
{
	struct run second;
	bool same;

	run_start(&second, first->seed, false);
	(void)run_end(&second);
	same = first->report->hash != 0 && second.report->hash == first->report->hash &&
	       second.report->steps == first->report->steps;
	if (!same)
		(void)printf("seed %llu: two runs, two hashes: %016llx after %llu steps, %016llx "
			     "after %llu\n",
			(unsigned long long)first->seed,
			(unsigned long long)first->report->hash,
			(unsigned long long)first->report->steps,
			(unsigned long long)second.report->hash,
			(unsigned long long)second.report->steps);
	run_free(&second);
	return same;
}

/* How many of its promises were broken. `before`: by others; of a fault that was put back one is shrunk. */
static unsigned finish(struct run *r, unsigned before)
{
	unsigned broken = 0;

	if (!run_end(r)) {
		broken++;
		show_failure(r, before == 0 || !options.fault[0]);
	} else if (r->seed % TWICE_EVERY == options.from % TWICE_EVERY) {
		broken += !same_twice(r);
	}
	run_free(r);
	r->pid = 0;
	return broken;
}

static void keep_place(uint64_t next)
{
	FILE *f = options.resume ? fopen(options.resume, "we") : NULL;

	if (!options.resume)
		return;
	must(f != NULL);
	(void)fprintf(f, "%llu\n", (unsigned long long)next);
	must(fclose(f) == 0);
}

static void find_place(void)
{
	FILE *f = options.resume ? fopen(options.resume, "re") : NULL;
	char line[32] = "";

	if (!f)
		return;
	if (fgets(line, sizeof(line), f))
		options.from = strtoull(line, NULL, 10);
	(void)fclose(f);
}

static uint64_t seconds(void)
{
	struct timespec t;

	must(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
	return (uint64_t)t.tv_sec;
}

static int run_many(uint64_t count)
{
	struct run running[AT_ONCE] = { 0 };
	uint64_t began = seconds(), last = options.from + count, took;
	unsigned failed = 0;

	for (uint64_t seed = options.from; seed < last + AT_ONCE; seed++) {
		struct run *r = &running[seed % AT_ONCE];

		if (r->pid != 0)
			failed += finish(r, failed);
		/* With a fault put back one seed is enough. */
		if (seed < last && !(options.fault[0] && failed))
			run_start(r, seed, false);
		if (seed % KEEP_EVERY == 0 && seed >= options.from + AT_ONCE)
			keep_place(seed - AT_ONCE + 1);
	}
	keep_place(last);
	took = seconds() - began;
	(void)printf("sim: %llu passed, %u failed\n", (unsigned long long)(count - failed), failed);
	if (took > 0)
		(void)printf("sim: seeds %llu to %llu, %llu an hour\n",
			(unsigned long long)options.from,
			(unsigned long long)(last - 1),
			(unsigned long long)(count * 3600 / took));
	return failed != 0;
}

static int show_one(uint64_t seed)
{
	char bytes[4096];
	struct run r;
	bool held;
	size_t n;

	if (options.acts && !acts_parse(options.acts))
		return 2;
	run_start(&r, seed, true);
	held = run_end(&r);
	while ((n = fread(bytes, 1, sizeof(bytes), r.out)) > 0)
		(void)fwrite(bytes, 1, n, stdout);
	(void)printf("seed %llu: %llu steps, hash %016llx%s%s\n",
		(unsigned long long)seed,
		(unsigned long long)r.report->steps,
		(unsigned long long)r.report->hash,
		held ? "" : ": ",
		r.report->why);
	run_free(&r);
	return held ? 0 : 1;
}

int main(int argc, char **argv)
{
	int i = 1;

	for (; i + 1 < argc; i++) {
		if (strcmp(argv[i], "--fault") == 0)
			options.fault = argv[++i];
		else if (strcmp(argv[i], "--from") == 0)
			options.from = strtoull(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--resume") == 0)
			options.resume = argv[++i];
		else if (strcmp(argv[i], "--acts") == 0)
			options.acts = argv[++i];
		else if (strcmp(argv[i], "--log") == 0)
			options.log = true;
		else if (strcmp(argv[i], "--brief") == 0)
			options.brief = true;
	}
	if (i >= argc || !faults_put_back(options.fault)) {
		(void)fputs(usage, stderr);
		return 2;
	}
	if (options.log)
		return show_one(strtoull(argv[i], NULL, 10));
	find_place();
	return run_many(strtoull(argv[i], NULL, 10));
}
