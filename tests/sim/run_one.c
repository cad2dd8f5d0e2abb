/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/run_one.h"
#include "base/must.h"
#include "tests/sim/sim.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *walk)
{
	(void)st;
	(void)flag;
	(void)walk;
	return remove(path);
}

static struct run_report *report_new(void)
{
	void *p = mmap(NULL,
		sizeof(struct run_report),
		PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS,
		-1,
		0);

	must(p != MAP_FAILED);
	return p;
}

void run_start(struct run *r, uint64_t seed, bool print)
{
	*r = (struct run){ .seed = seed, .out = tmpfile(), .report = report_new() };
	must(r->out != NULL);
	(void)snprintf(r->folder,
		sizeof(r->folder),
		"%s/postern-sim-XXXXXX",
		access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	must(mkdtemp(r->folder) != NULL);
	r->pid = fork();
	must(r->pid >= 0);
	if (r->pid > 0)
		return;
	must(dup2(fileno(r->out), STDOUT_FILENO) >= 0);
	must(dup2(fileno(r->out), STDERR_FILENO) >= 0);
	acts_begin(r->report);
	/* Its name is thrown by nobody's seed, and would stand in the log. */
	must(chdir(r->folder) == 0);
	script_run(seed, ".");
	if (print) {
		(void)fwrite(simio_log().ptr, 1, simio_log().len, stdout);
		(void)fflush(stdout);
	}
	_exit(0);
}

/* The last that it said, of one that no check ended. */
static void keep_last_words(struct run *r, int status)
{
	char line[WHY_MAX], last[WHY_MAX] = "it said nothing";

	rewind(r->out);
	while (fgets(line, sizeof(line), r->out))
		memcpy(last, line, sizeof(line));
	last[strcspn(last, "\n")] = '\0';
	(void)snprintf(r->report->why, WHY_MAX, "died of %d: %.500s", WTERMSIG(status), last);
}

bool run_end(struct run *r)
{
	int status = 0;

	must(waitpid(r->pid, &status, 0) == r->pid);
	(void)nftw(r->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	if (status != 0 && r->report->why[0] == '\0')
		keep_last_words(r, status);
	rewind(r->out);
	return status == 0;
}

void run_free(struct run *r)
{
	(void)fclose(r->out);
	(void)munmap(r->report, sizeof(*r->report));
}
