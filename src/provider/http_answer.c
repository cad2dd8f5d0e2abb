/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "provider/http_priv.h"

#include <stdio.h>

/* What the token service and Graph answer, made into verdicts: as reply.c does for SMTP. */

/* The first number behind "AADSTS"; 0: none. */
static uint32_t read_aadsts(struct sv text)
{
	ptrdiff_t at = sv_find(text, SV("AADSTS"));
	uint32_t number = 0;
	size_t n = 0;

	if (at < 0)
		return 0;
	text = sv_skip(text, (size_t)at + 6);
	while (n < text.len && text.ptr[n] >= '0' && text.ptr[n] <= '9')
		n++;
	return sv_parse_u32(sv_head(text, n), UINT32_MAX, &number) == 0 ? number : 0;
}

struct seen {
	const struct provider_http_answer *a;
	uint32_t aadsts;
};

static bool fits_status(uint16_t wanted, unsigned status)
{
	return wanted == 0 || (wanted < 10 ? status / 100 == wanted : status == wanted);
}

/* -1: it does not fit. */
static int match(const struct provider_http_row *row, const struct seen *seen)
{
	if (row->aadsts && row->aadsts != seen->aadsts)
		return -1;
	if (row->text && sv_find_nocase(seen->a->description, sv_from(row->text)) < 0)
		return -1;
	if (row->error && !sv_eq_nocase(seen->a->error, sv_from(row->error)))
		return -1;
	if (!fits_status(row->status, seen->a->status))
		return -1;
	return (row->aadsts ? 16 : 0) + (row->text ? 8 : 0) + (row->error ? 4 : 0) +
	       (row->status >= 10    ? 2
		       : row->status ? 1
				     : 0);
}

static const struct provider_http_row *find_row(
	const struct provider_http_row *rows, size_t count, const struct seen *seen)
{
	const struct provider_http_row *best = NULL;
	int best_points = -1;

	for (size_t i = 0; i < count; i++) {
		int points = match(&rows[i], seen);

		if (points > best_points) {
			best = &rows[i];
			best_points = points;
		}
	}
	return best;
}

static const char *detail_of(enum verdict_nature nature)
{
	switch (nature) {
	case VERDICT_NATURE_AUTHENTICATION:
		return "7.8"; /* RFC 4954 6: credentials */
	case VERDICT_NATURE_QUOTA:
		return "4.5"; /* RFC 3463: congestion */
	case VERDICT_NATURE_OUTAGE:
		return "4.0";
	case VERDICT_NATURE_REPUTATION:
		return "7.1";
	case VERDICT_NATURE_OTHER:
	case VERDICT_NATURE_COUNT:
		break;
	}
	return "0.0";
}

/* `detail` NULL: by its nature. */
static struct verdict complete(
	struct verdict v, const char *detail, const struct provider_http_answer *answer)
{
	static const char class[VERDICT_KIND_COUNT] = { [VERDICT_DELIVERED] = '2',
		[VERDICT_RETRY] = '4',
		[VERDICT_PARK] = '4',
		[VERDICT_BOUNCE] = '5' };

	/* Told by a word of the service's own, not by a text. */
	v.proved = v.nature == VERDICT_NATURE_QUOTA && v.scope == VERDICT_SCOPE_MAILBOX_WINDOW;
	/* The service knows best when; but a park is no retry, and is not ended by it. */
	if (v.kind == VERDICT_RETRY && answer->retry_after_us)
		v.retry_after_us = answer->retry_after_us;
	(void)snprintf(v.enhanced,
		sizeof(v.enhanced),
		"%c.%s",
		class[v.kind],
		detail ? detail : detail_of(v.nature));
	return v;
}

const struct provider_http_row *provider_find_token_row(const struct provider_http_answer *answer)
{
	struct seen seen = { .a = answer, .aadsts = read_aadsts(answer->description) };

	return find_row(provider_token_rows, provider_token_rows_count, &seen);
}

struct verdict provider_http_row_verdict(
	const struct provider_http_row *row, const struct provider_http_answer *answer)
{
	const struct verdict v = { .kind = row->kind,
		.scope = row->scope,
		.nature = row->nature,
		.retry_after_us = row->retry_after_us,
		.cause = row->cause,
		.summary = row->summary };

	return complete(v, row->detail, answer);
}

static struct verdict by_cause(enum cause cause, const struct provider_http_answer *answer)
{
	return complete(cause_verdict(cause), NULL, answer);
}

/* A number says more than the OAuth word around it: an unknown one is told, not guessed from the word. */
static bool is_number_unknown(
	const struct provider_http_answer *answer, const struct provider_http_row *row)
{
	return read_aadsts(answer->description) && row->kind == VERDICT_PARK &&
	       row->nature == VERDICT_NATURE_AUTHENTICATION && !row->text;
}

static struct verdict unknown_number(
	const struct provider_http_answer *answer, const struct provider_http_row *row)
{
	struct verdict v = by_cause(CAUSE_ENTRA_REFUSED, answer);

	v.scope = row->scope;
	return v;
}

struct verdict provider_judge_token(const struct provider_http_answer *answer)
{
	const struct provider_http_row *row;

	if (answer->status == 0)
		return by_cause(CAUSE_HTTPS_FAILURE, answer);
	if (answer->status < 400)
		return by_cause(CAUSE_UNEXPECTED_ANSWER, answer);
	row = provider_find_token_row(answer);
	if (row && !row->aadsts && is_number_unknown(answer, row))
		return unknown_number(answer, row);
	return row ? provider_http_row_verdict(row, answer)
		   : by_cause(read_aadsts(answer->description) ? CAUSE_ENTRA_REFUSED
							       : CAUSE_NO_TOKEN,
			     answer);
}

const struct provider_http_row *provider_find_graph_row(const struct provider_http_answer *answer)
{
	struct seen seen = { .a = answer };

	return find_row(provider_graph_rows, provider_graph_rows_count, &seen);
}

struct verdict provider_judge_graph(const struct provider_http_answer *answer)
{
	const struct provider_http_row *row;

	if (answer->status == 0)
		return by_cause(CAUSE_HTTPS_FAILURE, answer);
	/* 200 and 201 answer other steps than the one that sends. */
	if (answer->status == 202)
		return by_cause(CAUSE_ACCEPTED, answer);
	if (answer->status < 400) {
		struct verdict v = by_cause(CAUSE_UNEXPECTED_ANSWER, answer);

		v.scope = VERDICT_SCOPE_ROUTE;
		return v;
	}
	row = provider_find_graph_row(answer);
	return row ? provider_http_row_verdict(row, answer) : by_cause(CAUSE_GRAPH_REFUSED, answer);
}
