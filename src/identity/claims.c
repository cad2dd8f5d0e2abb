/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/claims.h"

#include "base/err.h"
#include "base/must.h"
#include "identity/encode.h"
#include "identity/jwt_priv.h"
#include "mail/address.h"
#include "provider/defaults.h"

#include <jansson.h>

enum {
	/* Entra sets iat and nbf up to five minutes into the past, for clocks that are late. */
	BACKDATED_S = 300,
	TOLERATED_S = 60,
	SOON_S = 5 * 60,
};

/* ---- reading ---- */

static bool is_plain(struct sv v)
{
	for (size_t i = 0; i < v.len; i++)
		if (v.ptr[i] <= ' ' || v.ptr[i] >= 0x7f)
			return false;
	return v.len > 0;
}

static struct sv text_of(const json_t *claims, const char *name)
{
	const json_t *value = json_object_get(claims, name);

	return json_is_string(value) ? sv_make(json_string_value(value), json_string_length(value))
				     : SV("");
}

/* What is too long or strange is as good as not there. */
static void copy(const json_t *claims, const char *name, char *out, size_t size)
{
	struct sv v = text_of(claims, name);

	if (out[0] || v.len >= size || !is_plain(v))
		return;
	memcpy(out, v.ptr, v.len);
	out[v.len] = '\0';
}

static void add_permission(struct identity_claims *c, struct sv word)
{
	size_t at = strlen(c->permissions);

	if (!is_plain(word) || at + word.len + 2 > sizeof(c->permissions))
		return;
	if (at)
		c->permissions[at++] = ' ';
	memcpy(c->permissions + at, word.ptr, word.len);
	c->permissions[at + word.len] = '\0';
}

static void read_permissions(const json_t *claims, struct identity_claims *c)
{
	const json_t *roles = json_object_get(claims, "roles");
	struct sv rest = text_of(claims, "scp"), word;

	c->is_app = rest.len == 0;
	while (rest.len) {
		(void)sv_cut_char(&rest, ' ', &word);
		add_permission(c, word);
	}
	for (size_t i = 0; c->is_app && i < json_array_size(roles); i++) {
		const json_t *role = json_array_get(roles, i);

		if (json_is_string(role))
			add_permission(
				c, sv_make(json_string_value(role), json_string_length(role)));
	}
}

static int64_t seconds_of(const json_t *claims, const char *name)
{
	const json_t *value = json_object_get(claims, name);
	json_int_t n = json_is_integer(value) ? json_integer_value(value) : 0;

	/* Later years than 9999 are no dates. */
	return n > 0 && n < INT64_C(253402300800) ? (int64_t)n : 0;
}

int identity_claims_read(struct sv token, struct identity_claims *out_claims)
{
	struct identity_claims c = { 0 };
	json_t *root = identity_jwt_body(token);

	if (!root)
		return RC_PARSE;
	copy(root, "aud", c.audience, sizeof(c.audience));
	copy(root, "appid", c.app, sizeof(c.app));
	copy(root, "azp", c.app, sizeof(c.app));
	copy(root, "tid", c.tenant, sizeof(c.tenant));
	copy(root, "oid", c.object, sizeof(c.object));
	copy(root, "upn", c.user, sizeof(c.user));
	copy(root, "preferred_username", c.user, sizeof(c.user));
	copy(root, "unique_name", c.user, sizeof(c.user));
	read_permissions(root, &c);
	if (sv_eq(text_of(root, "idtyp"), SV("user")))
		c.is_app = false;
	c.issued_s = seconds_of(root, "iat");
	c.not_before_s = seconds_of(root, "nbf");
	c.expires_s = seconds_of(root, "exp");
	json_decref(root);
	*out_claims = c;
	return 0;
}

/* ---- judging ---- */

#define GRAPH_APP "00000003-0000-0000-c000-000000000000"
#define EXCHANGE_APP "00000002-0000-0ff1-ce00-000000000000"

static struct sv host_of(struct sv url)
{
	ptrdiff_t at = sv_find(url, SV("://"));
	struct sv host;

	if (at >= 0)
		url = sv_skip(url, (size_t)at + 3);
	(void)sv_cut_char(&url, '/', &host);
	return host;
}

static bool is_graph(struct sv audience, const struct conf_tenant *t)
{
	struct sv host = host_of(audience);

	return sv_eq(audience, SV(GRAPH_APP)) || sv_eq_nocase(host, host_of(t->graph_url)) ||
	       sv_eq_nocase(host, host_of(provider_cloud(t->cloud)->graph));
}

/* outlook.office.com and outlook.office365.com are one. */
static bool is_exchange(struct sv audience, const struct conf_tenant *t)
{
	struct sv host = host_of(audience);

	return sv_eq(audience, SV(EXCHANGE_APP)) || sv_eq_nocase(host, host_of(t->scope_host)) ||
	       sv_eq_nocase(host, SV("outlook.office.com")) ||
	       sv_starts_nocase(host, SV("outlook.office365."));
}

const char *identity_claims_needed(const struct conf_lane *lane)
{
	const struct provider_defaults *d = provider_defaults(lane->provider);

	return lane->sign_in == CONF_SIGN_IN_APP ? d->app_permission : d->user_permission;
}

static bool has_permission(const struct identity_claims *c, const char *needed)
{
	struct sv rest = sv_from(c->permissions), word;

	while (rest.len) {
		(void)sv_cut_char(&rest, ' ', &word);
		if (sv_eq_nocase(word, sv_from(needed)))
			return true;
	}
	return false;
}

static bool is_other_guid(const char *said, struct sv configured)
{
	return said[0] && identity_is_guid(configured) && !sv_eq_nocase(sv_from(said), configured);
}

static struct sv person_of(const struct conf_lane *lane)
{
	return lane->login.len ? lane->login : lane->name;
}

enum identity_claims_fault identity_claims_judge(
	const struct identity_claims *c, const struct conf_lane *lane, struct wall_time now)
{
	const struct conf_tenant *t = lane->tenant;
	const char *needed = identity_claims_needed(lane);
	struct sv audience = sv_from(c->audience);
	bool graph = provider_defaults(lane->provider)->is_http;
	int64_t now_s = now.us / (int64_t)US_PER_S;

	if (!t || !needed)
		return IDENTITY_CLAIMS_FINE;
	if (!graph && audience.len && is_graph(audience, t))
		return IDENTITY_CLAIMS_GRAPH_AUDIENCE;
	if (audience.len && !(graph ? is_graph(audience, t) : is_exchange(audience, t)))
		return IDENTITY_CLAIMS_AUDIENCE;
	if (!has_permission(c, needed))
		return lane->sign_in == CONF_SIGN_IN_APP ? IDENTITY_CLAIMS_NO_ROLE
							 : IDENTITY_CLAIMS_NO_SCOPE;
	/* A clock that is off is told by itself. */
	if (c->expires_s && c->expires_s <= now_s && identity_claims_skew_s(c, now) == 0)
		return IDENTITY_CLAIMS_EXPIRED;
	if (is_other_guid(c->app, t->app.client_id))
		return IDENTITY_CLAIMS_OTHER_APP;
	if (is_other_guid(c->tenant, t->id))
		return IDENTITY_CLAIMS_OTHER_TENANT;
	if (!c->is_app && c->user[0] && !address_eq(sv_from(c->user), person_of(lane)))
		return IDENTITY_CLAIMS_OTHER_USER;
	if (c->expires_s && c->expires_s - now_s < SOON_S && c->expires_s > now_s)
		return IDENTITY_CLAIMS_ENDS_SOON;
	return IDENTITY_CLAIMS_FINE;
}

enum cause identity_claims_fault_cause(enum identity_claims_fault fault)
{
	static const enum cause causes[] = { CAUSE_NONE,
		CAUSE_GRAPH_TOKEN,
		CAUSE_TOKEN_AUDIENCE,
		CAUSE_ROLE_MISSING,
		CAUSE_SCOPE_MISSING,
		CAUSE_TOKEN_EXPIRED,
		CAUSE_TOKEN_OTHER_APP,
		CAUSE_TOKEN_OTHER_TENANT,
		CAUSE_TOKEN_OTHER_USER,
		CAUSE_TOKEN_ENDS_SOON };

	static_assert(COUNT_OF(causes) == IDENTITY_CLAIMS_FAULT_COUNT, "a cause for each fault");
	must(fault < IDENTITY_CLAIMS_FAULT_COUNT);
	return causes[fault];
}

bool identity_claims_is_fatal(enum identity_claims_fault fault)
{
	return fault > IDENTITY_CLAIMS_FINE && fault <= IDENTITY_CLAIMS_EXPIRED;
}

int identity_claims_explain(enum identity_claims_fault fault, const struct identity_claims *c,
	const struct conf_lane *lane, struct wall_time now, struct buf *out)
{
	const char *needed = identity_claims_needed(lane);
	const char *has = c->permissions[0] ? c->permissions : "nothing";
	int64_t left_s = c->expires_s - now.us / (int64_t)US_PER_S;

	switch (fault) {
	case IDENTITY_CLAIMS_GRAPH_AUDIENCE:
		return buf_printf(out,
			"this is a Graph token (audience %s): SMTP never takes one. It must be for "
			"Office 365 Exchange Online",
			c->audience);
	case IDENTITY_CLAIMS_AUDIENCE:
		return buf_printf(out,
			"the token is for %s, not for %s",
			c->audience,
			provider_defaults(lane->provider)->is_http ? "Microsoft Graph"
								   : "Office 365 Exchange Online");
	case IDENTITY_CLAIMS_NO_ROLE:
		return buf_printf(out,
			"%s is missing from the roles of the token (it has %s): the permission was "
			"not given to the app, or nobody consented to it",
			needed,
			has);
	case IDENTITY_CLAIMS_NO_SCOPE:
		return buf_printf(
			out, "%s is missing from the scopes of the token (it has %s)", needed, has);
	case IDENTITY_CLAIMS_EXPIRED:
		return buf_append(out, SV("the token has expired"));
	case IDENTITY_CLAIMS_OTHER_APP:
		return buf_printf(out, "the token is of another app, %s", c->app);
	case IDENTITY_CLAIMS_OTHER_TENANT:
		return buf_printf(out,
			"the token is of another tenant: %s, not %.*s",
			c->tenant,
			SV_ARG(lane->tenant->id));
	case IDENTITY_CLAIMS_OTHER_USER:
		return buf_printf(out,
			"%s has signed in, not %.*s: right only if that person has full access to "
			"the mailbox",
			c->user,
			SV_ARG(person_of(lane)));
	case IDENTITY_CLAIMS_ENDS_SOON:
		return buf_printf(out, "the token ends in %lld minutes", (long long)(left_s / 60));
	case IDENTITY_CLAIMS_FINE:
	case IDENTITY_CLAIMS_FAULT_COUNT:
		break;
	}
	return 0;
}

int64_t identity_claims_skew_s(const struct identity_claims *c, struct wall_time now)
{
	int64_t at = c->issued_s ? c->issued_s : c->not_before_s;
	int64_t ahead = now.us / (int64_t)US_PER_S - at;

	if (at == 0)
		return 0;
	if (ahead > BACKDATED_S + TOLERATED_S)
		return ahead;
	return ahead < -TOLERATED_S ? ahead : 0;
}
