/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "tests/sim/acts.h"

/*
 * Runs the seed again with fewer and fewer of its acts, as long as the same check fails (Zeller's delta debugging: halves,
 * then quarters, until no single act can be left out, or the patience is over). `report`: of the run that failed; becomes that of the
 * smallest one. Returns how many runs it took.
 */
unsigned shrink(uint64_t seed, struct run_report *report);
