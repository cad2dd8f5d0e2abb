/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/reply.h"

#include "base/must.h"
#include "provider/defaults.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An input: the stage as a letter from 'a', 'u' or '-' (an uncertain attempt before), the code in three
 * digits, the enhanced code filled up with spaces to twelve, then the text: "j-5505.1.1       Gone" */
enum {
	STAGE_AT = 0,
	UNCERTAIN_AT = 1,
	CODE_AT = 2,
	ENHANCED_AT = 5,
	TEXT_AT = 17
};

static void check(const struct verdict *v, const struct provider_answer *a)
{
	bool session = a->stage < SMTP_CLIENT_STAGE_MAIL || a->stage >= SMTP_CLIENT_STAGE_IDLE;

	must(v->kind < VERDICT_KIND_COUNT);
	must(v->scope < VERDICT_SCOPE_COUNT);
	must(v->nature < VERDICT_NATURE_COUNT);
	must(v->nature != VERDICT_NATURE_REPUTATION || v->kind != VERDICT_RETRY);
	must(memchr(v->enhanced, '\0', sizeof(v->enhanced)) != NULL);
	must(strlen(v->enhanced) >= 5);
	must(v->cause != CAUSE_NONE);
	must(v->summary != NULL);
	if (v->kind == VERDICT_BOUNCE) {
		must(!session);
		must(a->reply->code / 100 == 5);
		must(v->enhanced[0] == '5');
	}
	if (v->kind == VERDICT_DELIVERED) {
		must(a->stage == SMTP_CLIENT_STAGE_DOT || a->after_uncertain);
		must(a->reply->code / 100 == 2 || a->after_uncertain);
		must(v->enhanced[0] == '2');
	}
	if (v->kind == VERDICT_PARK)
		must(v->retry_after_us > 0);
}

/* Any reply at any stage: always a verdict, and never a bounce for a step of the session. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_reply reply = { 0 };
	struct provider_answer answer = { .reply = &reply };
	unsigned code = 0;
	char password[17];

	(void)!provider_app_password_unspace(sv_make((const char *)data, size), password);
	if (size < TEXT_AT)
		return 0;
	answer.stage = (enum smtp_client_stage)(
		(unsigned)(data[STAGE_AT] - 'a') % SMTP_CLIENT_STAGE_COUNT);
	answer.after_uncertain = data[UNCERTAIN_AT] == 'u';
	for (size_t i = CODE_AT; i < ENHANCED_AT; i++)
		code = code * 10 + (unsigned)(data[i] - '0') % 10;
	reply.code = (uint16_t)(200 + (code + 200) % 400); /* one from 200 to 599 is itself */
	memcpy(reply.enhanced, data + ENHANCED_AT, sizeof(reply.enhanced));
	reply.enhanced[sizeof(reply.enhanced) - 1] = '\0';
	for (size_t i = 0; i < sizeof(reply.enhanced); i++)
		if (reply.enhanced[i] == ' ')
			reply.enhanced[i] = '\0';
	reply.text = sv_make((const char *)data + TEXT_AT, size - TEXT_AT);
	for (unsigned p = 0; p < PROVIDER_COUNT; p++) {
		struct verdict v;

		answer.provider = (enum provider_kind)p;
		answer.token = false;
		v = provider_judge(&answer);
		check(&v, &answer);
		answer.token = true;
		v = provider_judge(&answer);
		check(&v, &answer);
	}
	return 0;
}
