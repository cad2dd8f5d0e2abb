/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/sv.h"

/*
 * "Did you mean": the nearest candidate of a misspelt name. Set `name`, try each candidate; `best` is
 * empty when none is near. Views only: they must live as long as the guess.
 */
struct guess {
	struct sv name;
	struct sv best;
	unsigned distance;
};
void guess_try(struct guess *g, struct sv candidate);
