/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "base/text.h"
#include "diagnose/diagnose_priv.h"
#include "provider/remedy.h"

#include <stdio.h>
#include <sysexits.h>

enum {
	QUOTED_MAX = 600
};

/* What to do first, by the catalogue of causes, with what is known of this lane filled in. */

static const enum diagnose_owner owners[] = {
	[PROVIDER_OWNER_YOU] = DIAGNOSE_OWNER_YOU,
	[PROVIDER_OWNER_ADMINISTRATOR] = DIAGNOSE_OWNER_ADMIN,
	[PROVIDER_OWNER_NETWORK] = DIAGNOSE_OWNER_NETWORK,
	[PROVIDER_OWNER_RECIPIENT] = DIAGNOSE_OWNER_RECIPIENT,
	[PROVIDER_OWNER_MICROSOFT] = DIAGNOSE_OWNER_PROVIDER,
};
static_assert(COUNT_OF(owners) == PROVIDER_OWNER_COUNT, "an owner for each");

static enum provider_who who_of(const struct conf_lane *l)
{
	switch (l->sign_in) {
	case CONF_SIGN_IN_APP:
		return PROVIDER_WHO_APP;
	case CONF_SIGN_IN_USER:
		return PROVIDER_WHO_PERSON;
	case CONF_SIGN_IN_PASSWORD:
		return PROVIDER_WHO_PASSWORD;
	case CONF_SIGN_IN_NONE:
		break;
	}
	return PROVIDER_WHO_ANY;
}

/* `port` is room for its digits. */
static struct provider_facts facts_of(const struct diagnose *d, char port[16])
{
	const struct conf_lane *l = d->lane;
	const struct conf_tenant *t = l->tenant;

	(void)snprintf(port, 16, "%u", (unsigned)l->port);
	return (struct provider_facts){ .provider = l->provider,
		.who = who_of(l),
		.mailbox = l->name,
		.login = l->login,
		.sender = d->sender,
		.recipient = d->o.to,
		.tenant = t ? t->id : SV(""),
		.app = t ? t->app.client_id : SV(""),
		.object = sv_from(d->has_claims ? d->claims.object : ""),
		.user = d->has_claims && d->claims.user[0] ? sv_from(d->claims.user) : l->login,
		.host = d->host.len ? d->host : l->host,
		.port = sv_from(port),
		.needed = sv_from(identity_claims_needed(l)),
		.api = provider_defaults(l->provider)->is_http ? SV("Microsoft Graph")
							       : SV("Office 365 Exchange Online") };
}

static int exit_of(const struct verdict *v, enum diagnose_owner owner)
{
	if (v->nature == VERDICT_NATURE_AUTHENTICATION || v->nature == VERDICT_NATURE_REPUTATION)
		return EX_NOPERM;
	if (v->nature == VERDICT_NATURE_QUOTA || v->kind == VERDICT_RETRY)
		return EX_TEMPFAIL;
	if (v->nature == VERDICT_NATURE_OUTAGE)
		return EX_UNAVAILABLE;
	return owner == DIAGNOSE_OWNER_YOU && v->kind == VERDICT_PARK ? EX_CONFIG : EX_NOPERM;
}

const char *diagnose_title(const struct diagnose *d, const struct verdict *v)
{
	char port[16];
	const struct provider_facts facts = facts_of(d, port);
	const struct provider_remedy *r = provider_remedy(v->cause, &facts);

	/* What check finds by itself, it says itself. */
	return r && r->exit_code == PROVIDER_EXIT_BY_VERDICT ? r->title : v->summary;
}

static struct sv fill_steps(
	struct diagnose *d, const struct provider_remedy *r, const struct provider_facts *facts)
{
	CLEANUP(buf_deinitp) struct buf out = BUF_INIT(16384);

	for (size_t i = 1; i < PROVIDER_STEPS_MAX && r->steps[0] && r->steps[i]; i++) {
		must(provider_remedy_fill(r->steps[i], facts, &out) == 0);
		must(buf_append_char(&out, '\n') == 0);
	}
	for (size_t i = 0; i < PROVIDER_STEPS_MAX && r->powershell[i]; i++) {
		must(buf_append(&out, SV("PowerShell: ")) == 0);
		must(provider_remedy_fill(r->powershell[i], facts, &out) == 0);
		must(buf_append_char(&out, '\n') == 0);
	}
	return arena_sv(&d->arena, buf_sv(&out));
}

void diagnose_words(struct diagnose *d, enum cause cause, const struct verdict *v)
{
	struct diagnose_verdict *out = &d->verdict;
	CLEANUP(buf_deinitp) struct buf first = BUF_INIT(8192);
	char port[16];
	const struct provider_facts facts = facts_of(d, port);
	const struct provider_remedy *r = provider_remedy(cause, &facts);
	struct verdict by_cause;

	if (!r) {
		out->owner = DIAGNOSE_OWNER_YOU;
		out->first = out->text;
		out->exit_code = out->status == DIAGNOSE_FAIL ? EX_UNAVAILABLE : EX_OK;
		return;
	}
	out->owner = owners[r->owner];
	must(provider_remedy_fill(r->steps[0], &facts, &first) == 0);
	out->first = arena_sv(&d->arena, buf_sv(&first));
	out->then = fill_steps(d, r, &facts);
	by_cause = v ? *v : cause_verdict(cause);
	out->exit_code = r->exit_code != PROVIDER_EXIT_BY_VERDICT ? r->exit_code
								  : exit_of(&by_cause, out->owner);
	/* A warning does not keep mail from leaving. */
	if (out->status != DIAGNOSE_FAIL)
		out->exit_code = EX_OK;
	else if (out->exit_code == EX_OK)
		out->exit_code = EX_UNAVAILABLE;
}

struct smtp_mask diagnose_mask(const struct diagnose *d)
{
	const struct secret *secret = d->token ? d->token : d->password;

	return (struct smtp_mask){ .secret = secret ? secret_reveal(secret) : SV(""),
		.is_token = d->token != NULL };
}

struct sv diagnose_quote(struct diagnose *d, struct sv reply)
{
	CLEANUP(buf_deinitp) struct buf out = BUF_INIT(4 * QUOTED_MAX);
	CLEANUP(buf_deinitp) struct buf masked = BUF_INIT(SMTP_MASK_GROWTH * QUOTED_MAX);
	const struct smtp_mask mask = diagnose_mask(d);

	reply = sv_head(reply, QUOTED_MAX);
	must(smtp_mask_text(&mask, reply, &masked) == 0);
	/* A server that sends it back. */
	if (!sv_eq(reply, buf_sv(&masked)))
		return SV("(not shown: it holds what was sent in confidence)");
	while (reply.len) {
		struct sv line;
		bool more = sv_cut_char(&reply, '\n', &line);

		must(text_show(&out, line) == 0);
		if (more)
			must(buf_append_char(&out, ' ') == 0);
	}
	return arena_sv(&d->arena, buf_sv(&out));
}
