/* SPDX-License-Identifier: Apache-2.0 */
#include "base/guess.h"

/* Longer names are no slip of the fingers away from each other. */
enum {
	GUESS_LEN_MAX = 48
};

/* Edits (insert, delete, replace, swap of neighbours) between two short names, case ignored. */
static unsigned guess_distance(struct sv a, struct sv b)
{
	unsigned rows[3][GUESS_LEN_MAX + 1];

	for (size_t j = 0; j <= b.len; j++)
		rows[0][j] = (unsigned)j;
	for (size_t i = 1; i <= a.len; i++) {
		unsigned *now = rows[i % 3];
		const unsigned *up = rows[(i + 2) % 3], *up2 = rows[(i + 1) % 3];

		now[0] = (unsigned)i;
		for (size_t j = 1; j <= b.len; j++) {
			bool same = ascii_lower(a.ptr[i - 1]) == ascii_lower(b.ptr[j - 1]);
			unsigned best = up[j - 1] + (same ? 0 : 1);

			if (up[j] + 1 < best)
				best = up[j] + 1;
			if (now[j - 1] + 1 < best)
				best = now[j - 1] + 1;
			if (i > 1 && j > 1 && a.ptr[i - 1] == b.ptr[j - 2] &&
				a.ptr[i - 2] == b.ptr[j - 1] && up2[j - 2] + 1 < best)
				best = up2[j - 2] + 1;
			now[j] = best;
		}
	}
	return rows[a.len % 3][b.len];
}

void guess_try(struct guess *g, struct sv candidate)
{
	unsigned d;

	if (g->name.len == 0 || g->name.len > GUESS_LEN_MAX || candidate.len > GUESS_LEN_MAX ||
		candidate.len > g->name.len + 3 || g->name.len > candidate.len + 3)
		return;
	d = guess_distance(g->name, candidate);
	/* A third of the letters may be wrong; more is another word. */
	if (d * 3 > candidate.len + 1 || d > 3 || (g->best.len && d >= g->distance))
		return;
	g->best = candidate;
	g->distance = d;
}
