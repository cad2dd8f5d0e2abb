/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/remedy.h"

#include "provider/remedy_priv.h"

#include "base/must.h"

static const char *const owner_names[][2] = {
	{ "you", "you, or whoever runs the sending program" },
	{ "administrator", "your administrator" },
	{ "network", "whoever runs the network or firewall" },
	{ "recipient", "the recipient's side" },
	{ "microsoft", "the provider (Microsoft): wait" },
};
static_assert(COUNT_OF(owner_names) == PROVIDER_OWNER_COUNT, "one name an owner");

const char *provider_owner_name(enum provider_owner owner)
{
	must(owner < PROVIDER_OWNER_COUNT);
	return owner_names[owner][0];
}

const char *provider_owner_words(enum provider_owner owner)
{
	must(owner < PROVIDER_OWNER_COUNT);
	return owner_names[owner][1];
}

const struct provider_remedy *provider_remedy(enum cause cause, const struct provider_facts *facts)
{
	const struct provider_cause *c = &provider_causes[cause];
	unsigned door = facts ? 1U << facts->provider : 0;

	must(cause < CAUSE_COUNT);
	for (size_t i = c->first; i < c->first + c->count; i++) {
		const struct provider_remedy_row *row = &provider_remedies[i];

		if (row->doors && !(row->doors & door))
			continue;
		if (row->who == PROVIDER_WHO_ANY || (facts && facts->who == row->who))
			return &row->remedy;
	}
	return NULL;
}

/* ---- places ---- */

/* Bytes that mean nothing to PowerShell or a shell. */
static bool is_plain(struct sv value)
{
	if (value.len == 0 || value.len > 320 || value.ptr[0] == '-')
		return false;
	for (size_t i = 0; i < value.len; i++) {
		char c = value.ptr[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			    c == '.' || c == '_' || c == '-' || c == '+' || c == '@' || c == ':'))
			return false;
	}
	return true;
}

static bool find_place(struct sv name, const struct provider_facts *facts, struct sv *out_value,
	const char **out_else)
{
	const struct {
		const char *name, *otherwise;
		struct sv value;
	} places[] = {
		{ "mailbox", "MAILBOX", facts->mailbox },
		{ "login", "MAILBOX", facts->login.len ? facts->login : facts->mailbox },
		{ "sender", "SENDER", facts->sender },
		{ "recipient", "RECIPIENT", facts->recipient },
		{ "tenant", "TENANT", facts->tenant },
		{ "app", "APP", facts->app },
		{ "object", "ENTERPRISE_APP_OBJECT_ID", facts->object },
		{ "user", "USER", facts->user },
		{ "host", "HOST", facts->host },
		{ "port", "PORT", facts->port },
		{ "needed", "SMTP.SendAsApp", facts->needed },
		{ "api", "Office 365 Exchange Online", facts->api },
		{ "number", "NUMBER", facts->number },
	};

	for (size_t i = 0; i < COUNT_OF(places); i++) {
		if (sv_eq(sv_from(places[i].name), name)) {
			*out_value = places[i].value;
			*out_else = places[i].otherwise;
			return true;
		}
	}
	return false;
}

int provider_remedy_fill(const char *step, const struct provider_facts *facts, struct buf *out)
{
	struct sv rest = sv_from(step);

	while (rest.len) {
		ptrdiff_t open = sv_find_char(rest, '{'), close;
		struct sv name, value;
		const char *otherwise;
		bool ours;
		size_t n = open < 0 ? rest.len : (size_t)open;
		int rc = buf_append(out, sv_head(rest, n));

		if (rc != 0 || open < 0)
			return rc;
		rest = sv_skip(rest, n + 1);
		close = sv_find_char(rest, '}');
		name = sv_head(rest, close < 0 ? 0 : (size_t)close);
		/* "endpoint: { ca_file }" is no place to fill in. */
		if (!find_place(name, facts, &value, &otherwise)) {
			rc = buf_append_char(out, '{');
		} else {
			rest = sv_skip(rest, name.len + 1);
			/* What is needed, and of which API, are words of our own. */
			ours = sv_eq(name, SV("api")) || sv_eq(name, SV("needed"));
			rc = buf_append(out,
				value.len && (ours || is_plain(value)) ? value
								       : sv_from(otherwise));
		}
		if (rc != 0)
			return rc;
	}
	return 0;
}
