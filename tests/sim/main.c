/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "tests/sim/sim.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* usage: sim [--fault NAME] [--from N] COUNT | sim [--fault NAME] --log SEED */
enum {
	FOLDER_MAX = 128,
	AT_ONCE = 3, /* processes */
	LOG_MAX = 8 << 20,
	LOG_LEAST = 1000, /* bytes; a run that says less did nothing */
	LINE_MAX_BYTES = 1200,
};

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *walk)
{
	(void)st;
	(void)flag;
	(void)walk;
	return remove(path);
}

struct child {
	pid_t pid;
	uint64_t seed;
	FILE *out; /* what the run says */
	char folder[FOLDER_MAX];
};

static void child_start(struct child *c, uint64_t seed, bool print)
{
	*c = (struct child){ .seed = seed, .out = tmpfile() };
	must(c->out != NULL);
	(void)snprintf(c->folder,
		sizeof(c->folder),
		"%s/postern-sim-XXXXXX",
		access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	must(mkdtemp(c->folder) != NULL);
	c->pid = fork();
	must(c->pid >= 0);
	if (c->pid > 0)
		return;
	must(dup2(fileno(c->out), STDOUT_FILENO) >= 0);
	must(dup2(fileno(c->out), STDERR_FILENO) >= 0);
	script_run(seed, c->folder);
	if (print) {
		(void)fwrite(simio_log().ptr, 1, simio_log().len, stdout);
		(void)fflush(stdout);
	}
	_exit(0);
}

/* True: all checks held. */
static bool child_end(struct child *c)
{
	int status = 0;

	must(waitpid(c->pid, &status, 0) == c->pid);
	(void)nftw(c->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	rewind(c->out);
	return status == 0;
}

static size_t run_once(uint64_t seed, char *text, size_t size, bool *out_held)
{
	struct child c;
	size_t len;

	child_start(&c, seed, true);
	*out_held = child_end(&c);
	len = fread(text, 1, size, c.out);
	(void)fclose(c.out);
	return len;
}

static char text[2][LOG_MAX];

static bool same_log_twice(uint64_t seed)
{
	bool held;
	size_t a = run_once(seed, text[0], LOG_MAX, &held);
	size_t b = run_once(seed, text[1], LOG_MAX, &held);

	return a > LOG_LEAST && a == b && memcmp(text[0], text[1], a) == 0;
}

/* Why it failed is the last that it said. */
static void show_end(FILE *out)
{
	char line[LINE_MAX_BYTES], last[LINE_MAX_BYTES] = "it ended without a word\n";

	while (fgets(line, sizeof(line), out))
		memcpy(last, line, sizeof(line));
	(void)fputs(last, stdout);
}

static bool finish(struct child *c, const char *fault)
{
	bool held = child_end(c);

	if (!held) {
		show_end(c->out);
		(void)printf("seed %llu failed: make sim SEED=%llu%s%s\n",
			(unsigned long long)c->seed,
			(unsigned long long)c->seed,
			fault[0] ? " FAULT=" : "",
			fault);
		(void)fflush(stdout);
	}
	(void)fclose(c->out);
	return held;
}

static int run_many(uint64_t from, uint64_t count, const char *fault)
{
	struct child running[AT_ONCE];
	unsigned failed = 0;

	for (uint64_t seed = from; seed < from + count + AT_ONCE; seed++) {
		struct child *c = &running[seed % AT_ONCE];

		if (seed >= from + AT_ONCE && c->pid != 0)
			failed += !finish(c, fault);
		c->pid = 0;
		/* With a fault put back one seed is enough. */
		if (seed < from + count && !(fault[0] && failed))
			child_start(c, seed, false);
	}
	if (!same_log_twice(from)) {
		(void)printf("seed %llu: two runs, two logs\n", (unsigned long long)from);
		return 1;
	}
	(void)printf("sim: %llu passed, %u failed\n", (unsigned long long)(count - failed), failed);
	return failed != 0;
}

static int show_one(uint64_t seed)
{
	bool held;
	size_t len = run_once(seed, text[0], LOG_MAX, &held);

	(void)fwrite(text[0], 1, len, stdout);
	return held ? 0 : 1;
}

int main(int argc, char **argv)
{
	const char *fault = "";
	uint64_t from = 1;
	bool log = false;
	int i = 1;

	for (; i + 1 < argc; i++) {
		if (strcmp(argv[i], "--fault") == 0)
			fault = argv[++i];
		else if (strcmp(argv[i], "--from") == 0)
			from = strtoull(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--log") == 0)
			log = true;
	}
	if (i >= argc || !faults_put_back(fault)) {
		(void)fprintf(stderr,
			"usage: sim [--fault NAME] [--from SEED] COUNT\n"
			"       sim [--fault ...] --log SEED\n");
		return 2;
	}
	if (log)
		return show_one(strtoull(argv[i], NULL, 10));
	return run_many(from, strtoull(argv[i], NULL, 10), fault);
}
