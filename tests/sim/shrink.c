/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/shrink.h"
#include "base/sv.h"
#include "tests/sim/run_one.h"

#include <string.h>

enum {
	PATIENCE = 400, /* runs */
};

static bool same_check(const char *a, const char *b)
{
	struct sv left = sv_from(a), right = sv_from(b), x, y;

	(void)sv_cut_char(&left, ':', &x);
	(void)sv_cut_char(&right, ':', &y);
	return sv_eq(x, y);
}

/* Does it fail alike without those of [from, to)? Then these are gone. */
static bool fails_without(uint64_t seed, struct run_report *report, size_t from, size_t to)
{
	static struct act_done left[ACTS_MAX];
	size_t count = report->count - (to - from);
	struct run r;
	bool fails;

	memcpy(left, report->acts, from * sizeof(left[0]));
	memcpy(left + from, report->acts + to, (report->count - to) * sizeof(left[0]));
	acts_keep(left, count);
	run_start(&r, seed, false);
	/* Acts that no run has seen have no place in the list, so it only becomes shorter. */
	fails = !run_end(&r) && same_check(r.report->why, report->why);
	if (fails)
		memcpy(report, r.report, sizeof(*report));
	run_free(&r);
	return fails;
}

unsigned shrink(uint64_t seed, struct run_report *report)
{
	unsigned runs = 0;

	for (size_t piece = (report->count + 1) / 2; piece > 0; piece /= 2) {
		bool again = true;

		while (again) {
			again = false;
			/* From the end: what came after the failure's cause goes in large pieces. */
			for (size_t to = report->count; to > 0 && runs < PATIENCE; runs++) {
				size_t from = to > piece ? to - piece : 0;

				if (fails_without(seed, report, from, to))
					again = piece == 1;
				to = from < report->count ? from : report->count;
			}
		}
	}
	acts_keep(report->acts, report->count);
	return runs;
}
