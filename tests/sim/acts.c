/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/acts.h"
#include "base/must.h"
#include "simio/simio.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	NUMBERS_MAX = 2048, /* of a kind */
};

static const char *const names[] = {
	[ACT_MAIL] = "mail",
	[ACT_FLOOD] = "flood",
	[ACT_URGENT] = "urgent",
	[ACT_STEADY] = "steady",
	[ACT_DEATH] = "death",
	[ACT_CLOCK] = "clock",
	[ACT_DISK] = "disk",
	[ACT_SHUT] = "shut",
	[ACT_DENY] = "deny",
	[ACT_CLOSE] = "close",
	[ACT_REFUSE] = "refuse",
	[ACT_PAUSE] = "pause",
	[ACT_LATE] = "late",
};
static_assert(COUNT_OF(names) == ACT_COUNT, "each act has a name");

static struct run_report *report;
static unsigned numbers[ACT_COUNT];
static bool some_only, kept[ACT_COUNT][NUMBERS_MAX];

void acts_begin(struct run_report *r)
{
	report = r;
	memset(report, 0, sizeof(*report));
	memset(numbers, 0, sizeof(numbers));
}

struct run_report *acts_report(void)
{
	return report;
}

bool act_happens(enum act kind, const char *fmt, ...)
{
	unsigned number = numbers[kind]++;
	struct act_done *done;
	va_list args;

	must(number < NUMBERS_MAX);
	if (some_only && !kept[kind][number])
		return false;
	must(report->count < ACTS_MAX);
	done = &report->acts[report->count++];
	*done = (struct act_done){ .kind = kind, .number = number, .at_us = simio_now() };
	va_start(args, fmt);
	(void)vsnprintf(done->text, sizeof(done->text), fmt, args);
	va_end(args);
	return true;
}

void acts_keep_all(void)
{
	some_only = false;
}

void acts_keep(const struct act_done *acts, size_t count)
{
	some_only = true;
	memset(kept, 0, sizeof(kept));
	for (size_t i = 0; i < count; i++)
		kept[acts[i].kind][acts[i].number] = true;
}

void acts_print(const struct act_done *acts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		(void)printf("%s%s.%u", i ? "," : "", names[acts[i].kind], acts[i].number);
}

static bool keep_one(struct sv one)
{
	struct sv name;
	char number[16];
	unsigned long n;
	char *end;

	if (!sv_cut_char(&one, '.', &name) || one.len == 0 || one.len >= sizeof(number))
		return false;
	(void)snprintf(number, sizeof(number), "%.*s", SV_ARG(one));
	n = strtoul(number, &end, 10);
	if (*end || n >= NUMBERS_MAX)
		return false;
	for (size_t k = 0; k < ACT_COUNT; k++) {
		if (!sv_eq(name, sv_from(names[k])))
			continue;
		kept[k][n] = true;
		return true;
	}
	return false;
}

bool acts_parse(const char *list)
{
	struct sv rest = sv_from(list), one;

	acts_keep(NULL, 0);
	while (rest.len) {
		(void)sv_cut_char(&rest, ',', &one);
		if (!keep_one(one))
			return false;
	}
	return true;
}
