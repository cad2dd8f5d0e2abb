/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/reply.h"

#include "base/must.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An input: the status in three digits, a letter ('r': with Retry-After), a line with the error, and
 * the description: "400-invalid_grant", a line end, "AADSTS50173: ..." */
enum {
	STATUS_LEN = 3,
	TEXT_AT = 4
};

static void check(const struct verdict *v)
{
	must(v->kind < VERDICT_KIND_COUNT);
	must(v->scope < VERDICT_SCOPE_COUNT);
	must(v->nature < VERDICT_NATURE_COUNT);
	must(memchr(v->enhanced, '\0', sizeof(v->enhanced)) != NULL);
	must(strlen(v->enhanced) >= 5);
	must(v->cause != CAUSE_NONE);
	must(v->summary != NULL);
	must(v->kind != VERDICT_PARK || v->retry_after_us >= 5 * US_PER_MIN);
	must(v->kind != VERDICT_BOUNCE || v->enhanced[0] == '5');
}

/* Whatever comes: mail is delivered by 202 alone, and given back only for what a message is. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv rest = sv_make((const char *)data, size);
	struct provider_http_answer a = { 0 };
	struct verdict v;

	if (size < TEXT_AT)
		return 0;
	for (size_t i = 0; i < STATUS_LEN; i++)
		a.status = a.status * 10 + (unsigned)(data[i] - '0') % 10;
	a.retry_after_us = data[STATUS_LEN] == 'r' ? US_PER_S : 0;
	rest = sv_skip(rest, TEXT_AT);
	(void)sv_cut_char(&rest, '\n', &a.error);
	a.description = rest;
	v = provider_judge_token(&a);
	check(&v);
	must(v.kind == VERDICT_RETRY || v.kind == VERDICT_PARK);
	must(v.scope != VERDICT_SCOPE_MESSAGE);
	v = provider_judge_graph(&a);
	check(&v);
	must((v.kind == VERDICT_DELIVERED) == (a.status == 202));
	must(v.kind != VERDICT_BOUNCE || a.status >= 400);
	return 0;
}
