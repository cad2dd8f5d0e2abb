/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "provider/defaults.h"
#include "provider/explain.h"
#include "provider/reply.h"
#include "simulate/simulate_priv.h"

#include <stdio.h>
#include <string.h>

void answer_judge(struct answer *a, uint16_t code, const char *enhanced, const char *text)
{
	struct smtp_reply reply = { .code = code };
	struct provider_answer answer = {
		.provider = provider_usual(), .stage = SMTP_CLIENT_STAGE_DOT, .reply = &reply
	};

	(void)snprintf(a->text, sizeof(a->text), "%s", text);
	(void)snprintf(reply.enhanced, sizeof(reply.enhanced), "%s", enhanced);
	reply.text = sv_from(a->text);
	a->verdict = provider_judge(&answer);
}

/* "451 4.7.0 Temporary server error" */
static bool judge_example(struct answer *a, struct sv example)
{
	CLEANUP(buf_deinitp) struct buf line = BUF_INIT(512);
	struct smtp_reply_parser p;
	struct smtp_reply reply;
	struct sv input;
	bool good;

	smtp_reply_parser_init(&p);
	good = buf_append(&line, example) == 0 && buf_append(&line, SV("\r\n")) == 0;
	input = buf_sv(&line);
	good = good && smtp_reply_parse(&p, &input, &reply) == 1;
	if (good) {
		char text[400];

		(void)snprintf(
			text, sizeof(text), "%.*s", SV_ARG(sv_head(reply.text, sizeof(text) - 1)));
		answer_judge(a, reply.code, reply.enhanced, text);
	}
	smtp_reply_parser_deinit(&p);
	return good;
}

static void add(void *arg, const struct provider_catalogue_row *row)
{
	struct answers *all = arg;
	struct answer *a = &all->list[all->count];

	if (all->count == ANSWERS_MAX || row->kind != VERDICT_RETRY ||
		sv_find(sv_from(row->at), SV("dot")) < 0 ||
		sv_find(sv_from(row->doors), SV("submission")) < 0 || row->after_uncertain)
		return;
	/* By itself: no person, and no limit, since those are Exchange's own to say. */
	if (judge_example(a, sv_from(row->example)) && a->verdict.kind == VERDICT_RETRY &&
		a->verdict.nature != VERDICT_NATURE_QUOTA)
		all->count++;
}

void answers_load(struct answers *a)
{
	*a = (struct answers){ 0 };
	answer_judge(&a->taken, 250, "2.0.0", "OK");
	answer_judge(
		&a->later, 451, "4.7.500", "Server busy. Please try again later from [192.0.2.1].");
	must(a->taken.verdict.kind == VERDICT_DELIVERED);
	must(a->later.verdict.kind == VERDICT_RETRY);
	(void)snprintf(a->broken.text, sizeof(a->broken.text), "the connection broke");
	a->broken.verdict = provider_judge_failure(
		provider_usual(), SMTP_CLIENT_STAGE_DOT, SMTP_CLIENT_FAIL_CLOSED);
	provider_catalogue_each(add, a);
}
