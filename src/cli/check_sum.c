/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/check_live_priv.h"

#include "base/must.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What many mailboxes come to: how many are well, and how many have which trouble. */

void check_count(struct check_run *l, const struct conf_lane *lane, enum diagnose_status status,
	const char *cause)
{
	struct trouble *t = NULL;

	l->by_status[status]++;
	if (status == DIAGNOSE_OK)
		return;
	for (size_t i = 0; i < l->trouble_count && !t; i++)
		if (strcmp(l->troubles[i].cause, cause) == 0 &&
			l->troubles[i].is_broken == (status == DIAGNOSE_FAIL))
			t = &l->troubles[i];
	if (!t && l->trouble_count == TROUBLES_MAX)
		return;
	if (!t) {
		t = &l->troubles[l->trouble_count++];
		t->cause = cause;
		t->first = lane;
		t->is_broken = status == DIAGNOSE_FAIL;
		buf_init(&t->names, SCREEN_MAX);
	}
	if (t->count++ < TROUBLE_NAMES)
		(void)!buf_printf(
			&t->names, "%s%.*s", t->names.len ? ", " : "", SV_ARG(lane->name));
}

static int compare_troubles(const void *a, const void *b)
{
	const struct trouble *x = a, *y = b;

	if (x->is_broken != y->is_broken)
		return x->is_broken ? -1 : 1;
	return x->count > y->count ? -1 : x->count < y->count;
}

static void print_sum_json(struct check_run *l)
{
	json_t *causes = json_array();

	for (size_t i = 0; i < l->trouble_count; i++)
		must(json_array_append_new(causes,
			     json_pack("{s:s, s:s, s:I, s:o}",
				     "cause",
				     l->troubles[i].cause,
				     "status",
				     l->troubles[i].is_broken ? "fail" : "warn",
				     "count",
				     (json_int_t)l->troubles[i].count,
				     "first",
				     check_json_sv(l->troubles[i].first->name))) == 0);
	cli_put_json(json_pack("{s:s, s:I, s:I, s:I, s:I, s:o}",
		"type",
		"sum",
		"checked",
		(json_int_t)l->done,
		"ok",
		(json_int_t)l->by_status[DIAGNOSE_OK],
		"warnings",
		(json_int_t)l->by_status[DIAGNOSE_WARN],
		"broken",
		(json_int_t)l->by_status[DIAGNOSE_FAIL],
		"causes",
		causes));
}

static void print_sum_to(struct check_run *l, FILE *to)
{
	(void)fprintf(to,
		"\n%zu checked: %zu ok, %zu with a warning, %zu broken\n",
		l->done,
		l->by_status[DIAGNOSE_OK],
		l->by_status[DIAGNOSE_WARN],
		l->by_status[DIAGNOSE_FAIL]);
	for (size_t i = 0; i < l->trouble_count; i++) {
		const struct trouble *t = &l->troubles[i];

		(void)fprintf(to,
			"  %6zu %-8s %s: %.*s",
			t->count,
			t->is_broken ? "broken" : "warning",
			t->cause,
			SV_ARG(buf_sv(&t->names)));
		if (t->count > TROUBLE_NAMES)
			(void)fprintf(to, " and %zu more", t->count - TROUBLE_NAMES);
		(void)fprintf(to, "\n");
	}
}

void check_print_sum(struct check_run *l)
{
	if (l->count < 2)
		return;
	qsort(l->troubles, l->trouble_count, sizeof(l->troubles[0]), compare_troubles);
	if (l->report)
		print_sum_to(l, l->report);
	if (l->o->ctx->json)
		print_sum_json(l);
	else
		print_sum_to(l, stdout);
}

bool check_was_counted(const struct check_run *l, const char *cause)
{
	for (size_t i = 0; i < l->trouble_count; i++)
		if (strcmp(l->troubles[i].cause, cause) == 0)
			return true;
	return false;
}
