/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "provider/http_priv.h"

#include <stdio.h>

/* What the token service and Graph answer, made into verdicts: as reply.c does for SMTP. */

static const struct provider_http_row unreachable_row = {
	.kind = VERDICT_RETRY,
	.scope = VERDICT_SCOPE_ROUTE,
	.nature = VERDICT_NATURE_OUTAGE,
	.cause = "https-failure",
	.summary = "The service could not be reached by HTTPS; the log has the error. It is tried "
		   "again.",
};
static const struct provider_http_row strange_token_row = {
	.kind = VERDICT_RETRY,
	.scope = VERDICT_SCOPE_TENANT,
	.nature = VERDICT_NATURE_OUTAGE,
	.retry_after_us = US_PER_MIN,
	.cause = "unexpected-answer",
	.summary = "What answers in the place of the token service is none. Check `login` under "
		   "`endpoints`, and `proxy`. It is tried again.",
};
static const struct provider_http_row unknown_token_row = {
	.kind = VERDICT_PARK,
	.scope = VERDICT_SCOPE_MAILBOX,
	.nature = VERDICT_NATURE_AUTHENTICATION,
	.retry_after_us = 15 * US_PER_MIN,
	.cause = "no-token",
	.summary = "The token service gives no token, for the reason in its reply. An Entra "
		   "administrator finds more in the sign-in logs (Entra admin center, Monitoring, "
		   "Sign-in logs).",
};
static const struct provider_http_row accepted_row = {
	.kind = VERDICT_DELIVERED,
	.scope = VERDICT_SCOPE_MESSAGE,
	.cause = "accepted",
	.summary = "The provider accepted the message.",
};
static const struct provider_http_row strange_graph_row = {
	.kind = VERDICT_RETRY,
	.scope = VERDICT_SCOPE_ROUTE,
	.nature = VERDICT_NATURE_OUTAGE,
	.retry_after_us = US_PER_MIN,
	.cause = "unexpected-answer",
	.summary = "What answers in the place of Microsoft Graph is not it. Check `graph` under "
		   "`endpoints`, and `proxy`. It is tried again.",
};
static const struct provider_http_row unknown_graph_row = {
	.kind = VERDICT_PARK,
	.scope = VERDICT_SCOPE_MESSAGE,
	.retry_after_us = US_PER_HOUR,
	.cause = "graph-refused",
	.summary = "Microsoft Graph refuses the message for the reason in its reply. It waits, and "
		   "is tried rarely; remove it with postern queue, or send it through another "
		   "door.",
};

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

static void find_row(const struct provider_http_table *table, const struct seen *seen,
	const struct provider_http_row **best, int *best_points)
{
	for (size_t i = 0; i < table->count; i++) {
		int points = match(&table->rows[i], seen);

		if (points > *best_points) {
			*best = &table->rows[i];
			*best_points = points;
		}
	}
}

static const char *detail_of(const struct provider_http_row *row)
{
	if (row->detail)
		return row->detail;
	switch (row->nature) {
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

static struct verdict verdict_of(
	const struct provider_http_row *row, const struct provider_http_answer *answer)
{
	static const char class[VERDICT_KIND_COUNT] = { [VERDICT_DELIVERED] = '2',
		[VERDICT_RETRY] = '4',
		[VERDICT_PARK] = '4',
		[VERDICT_BOUNCE] = '5' };
	struct verdict v = { .kind = row->kind,
		.scope = row->scope,
		.nature = row->nature,
		.retry_after_us = row->retry_after_us,
		.cause = row->cause,
		.summary = row->summary };

	/* The service knows best when; but a park is no retry, and is not ended by it. */
	if (v.kind == VERDICT_RETRY && answer->retry_after_us)
		v.retry_after_us = answer->retry_after_us;
	(void)snprintf(v.enhanced, sizeof(v.enhanced), "%c.%s", class[row->kind], detail_of(row));
	return v;
}

const struct provider_http_row *provider_find_token_row(const struct provider_http_answer *answer)
{
	struct seen seen = { .a = answer, .aadsts = read_aadsts(answer->description) };
	const struct provider_http_row *row = NULL;
	int points = -1;

	find_row(&provider_token_app_errors, &seen, &row, &points);
	find_row(&provider_token_user_errors, &seen, &row, &points);
	return row;
}

struct verdict provider_http_row_verdict(
	const struct provider_http_row *row, const struct provider_http_answer *answer)
{
	return verdict_of(row, answer);
}

struct verdict provider_judge_token(const struct provider_http_answer *answer)
{
	const struct provider_http_row *row;

	if (answer->status == 0)
		return verdict_of(&unreachable_row, answer);
	if (answer->status < 400)
		return verdict_of(&strange_token_row, answer);
	row = provider_find_token_row(answer);
	return verdict_of(row ? row : &unknown_token_row, answer);
}

struct verdict provider_judge_graph(const struct provider_http_answer *answer)
{
	struct seen seen = { .a = answer };
	const struct provider_http_row *row = NULL;
	int points = -1;

	if (answer->status == 0)
		return verdict_of(&unreachable_row, answer);
	/* 200 and 201 answer other steps than the one that sends. */
	if (answer->status == 202)
		return verdict_of(&accepted_row, answer);
	if (answer->status < 400)
		return verdict_of(&strange_graph_row, answer);
	find_row(&provider_graph_errors, &seen, &row, &points);
	return verdict_of(row ? row : &unknown_graph_row, answer);
}
