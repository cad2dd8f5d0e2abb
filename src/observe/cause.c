/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/cause.h"

#include "base/guess.h"
#include "observe/json.h"
#include "provider/remedy.h"

#include <stdio.h>

enum {
	STEP_MAX = 4096,
};

bool observe_cause_is_known(struct sv cause)
{
	return cause_parse(cause) != CAUSE_UNKNOWN_CAUSE || sv_eq(cause, SV("unknown-cause"));
}

struct sv observe_cause_guess(struct sv cause)
{
	struct guess g = { .name = cause };

	for (int i = 0; i < CAUSE_COUNT; i++)
		guess_try(&g, sv_from(cause_name((enum cause)i)));
	return g.best;
}

bool observe_cause_parks(struct sv cause)
{
	return cause.len && cause_verdict(cause_parse(cause)).kind == VERDICT_PARK;
}

bool observe_cause_needs_person(struct sv cause, enum verdict_nature nature)
{
	const struct provider_remedy *r = provider_remedy(cause_parse(cause), NULL);

	if (nature == VERDICT_NATURE_REPUTATION)
		return true;
	if (nature == VERDICT_NATURE_QUOTA)
		return false;
	return !r || (r->owner != PROVIDER_OWNER_RECIPIENT && r->owner != PROVIDER_OWNER_MICROSOFT);
}

/* ---- for people ---- */

/* What postern can do about it by itself comes first. False: nothing. */
static bool own_step(enum cause cause, const struct observe_cause_facts *f, struct buf *out)
{
	struct verdict v = cause_verdict(cause);

	if (!f->lane || f->lane->sender != CONF_SENDER_KEEP || v.scope != VERDICT_SCOPE_SENDER ||
		v.nature == VERDICT_NATURE_REPUTATION)
		return false;
	return buf_printf(out,
		       "In postern.yaml: `sender: rewrite` for %.*s (or `rewrite_from:` in the "
		       "route), then postern reload: its mail leaves as that mailbox, and answers "
		       "reach the sender by Reply-To.",
		       SV_ARG(f->lane->name)) == 0;
}

static void put_filled(
	json_t *o, const char *key, const char *step, const struct provider_facts *facts)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(STEP_MAX);

	if (step && provider_remedy_fill(step, facts, &text) == 0)
		observe_json_sv(o, key, buf_sv(&text));
}

static struct provider_facts facts_of(const struct observe_cause_facts *f)
{
	static const enum provider_who who[] = {
		[CONF_SIGN_IN_NONE] = PROVIDER_WHO_ANY,
		[CONF_SIGN_IN_PASSWORD] = PROVIDER_WHO_PASSWORD,
		[CONF_SIGN_IN_APP] = PROVIDER_WHO_APP,
		[CONF_SIGN_IN_USER] = PROVIDER_WHO_PERSON,
	};
	const struct conf_lane *lane = f->lane;
	const struct conf_tenant *tenant = f->tenant ? f->tenant : lane ? lane->tenant : NULL;

	/* Without a lane nobody asks for the provider's words. */
	return (struct provider_facts){ .provider = lane ? lane->provider : 0,
		.who = lane ? who[lane->sign_in] : PROVIDER_WHO_ANY,
		.mailbox = lane ? lane->name : SV(""),
		.login = lane ? lane->login : SV(""),
		.sender = f->sender,
		.tenant = tenant ? tenant->id : SV(""),
		.app = tenant ? tenant->app.client_id : SV("") };
}

void observe_cause_put(json_t *o, struct sv name, const struct observe_cause_facts *facts)
{
	CLEANUP(buf_deinitp) struct buf step = BUF_INIT(STEP_MAX);
	const enum cause cause = cause_parse(name);
	const struct provider_facts filled = facts_of(facts);
	const struct provider_remedy *r = provider_remedy(cause, facts->lane ? &filled : NULL);
	enum provider_owner owner;
	char page[160];

	if (!r)
		return;
	owner = r->owner;
	observe_json_sv(o, "title", sv_from(r->title));
	if (own_step(cause, facts, &step)) {
		owner = PROVIDER_OWNER_YOU;
		observe_json_sv(o, "step", buf_sv(&step));
		put_filled(o, "or", r->steps[0], &filled);
	} else {
		put_filled(o, "step", r->steps[0], &filled);
	}
	observe_json_sv(o, "owner", sv_from(provider_owner_name(owner)));
	observe_json_sv(o, "who", sv_from(provider_owner_words(owner)));
	put_filled(o, "command", r->powershell[0], &filled);
	(void)snprintf(page, sizeof(page), "docs/errors/%s.md", cause_name(cause));
	observe_json_sv(o, "page", sv_from(page));
}
