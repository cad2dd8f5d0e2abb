/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "tests/sim/acts.h"

#include <stdio.h>
#include <sys/types.h>

/* One run is one process, and what it left. */
struct run {
	pid_t pid; /* 0: none */
	uint64_t seed;
	FILE *out; /* what it said */
	struct run_report *report;
	char folder[128];
};

/* `print`: its log comes out also if it holds. */
void run_start(struct run *r, uint64_t seed, bool print);
/* Waits. True: all checks held. The report then is whole, and `out` at its beginning. */
bool run_end(struct run *r);
void run_free(struct run *r);
