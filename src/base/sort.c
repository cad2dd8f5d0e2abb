/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sort.h"

#include "base/must.h"

static size_t end_of_run(const struct sort *s, size_t begin)
{
	return s->count - begin > s->width ? begin + s->width : s->count;
}

void sort_begin(struct sort *s, void **items, void **spare, size_t count, sort_compare_fn *compare,
	void *arg)
{
	*s = (struct sort){ .compare = compare,
		.arg = arg,
		.from = items,
		.to = spare,
		.count = count,
		.width = 1 };
	s->right = end_of_run(s, 0);
}

static void next_width(struct sort *s)
{
	void **sorted = s->to;

	s->to = s->from;
	s->from = sorted;
	s->width *= 2;
	s->left = s->at = 0;
	s->right = end_of_run(s, 0);
}

bool sort_step(struct sort *s)
{
	size_t pair, middle, end;

	if (s->width >= s->count)
		return false;
	pair = s->at / (2 * s->width) * (2 * s->width);
	middle = end_of_run(s, pair);
	end = end_of_run(s, middle);
	if (s->right == end ||
		(s->left < middle && s->compare(s->from[s->left], s->from[s->right], s->arg) <= 0))
		s->to[s->at++] = s->from[s->left++];
	else
		s->to[s->at++] = s->from[s->right++];
	if (s->at == s->count) {
		next_width(s);
	} else if (s->at == end) {
		s->left = end;
		s->right = end_of_run(s, end);
	}
	return s->width < s->count;
}

void **sort_sorted(const struct sort *s)
{
	must(s->width >= s->count);
	return s->from;
}
