/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "conf/conf_priv.h"
#include "conf/made.h"
#include "mail/address.h"

/* `address: "*@contoso.com"`: what it may be with, and who may use what is made of it. */

void conf_read_mailbox_address(struct conf_load *ld, const struct conf_node *value, void *out)
{
	static const struct conf_field plain = { .name = SV_INIT("address"),
		.type = CONF_TYPE_ADDRESS };
	struct conf_lane *l = &((struct conf_lane_draft *)out)->lane;
	bool is_text = value->kind == CONF_NODE_SCALAR;
	char example[] = "x@";
	CLEANUP(buf_deinitp) struct buf one = BUF_INIT(LIMIT_ADDRESS);
	struct address a;

	if (!is_text || !sv_starts(value->text, SV("*@"))) {
		conf_read_value(ld, value, &plain, &l->name);
		return;
	}
	if (buf_printf(&one, "%s%.*s", example, SV_ARG(sv_skip(value->text, 2))) != 0 ||
		address_parse(buf_sv(&one), 0, &a) != 0 || sv_find_char(buf_sv(&one), '*') >= 0) {
		conf_error(ld,
			value,
			"address: \"*@contoso.com\" stands for every mailbox of one domain: write "
			"that domain after *@, without further stars");
		return;
	}
	l->is_wildcard = true;
	l->name = conf_keep(ld, value->text);
}

/* The first thing that is wrong with a wildcard's door. False: nothing was. */
bool conf_check_wildcard(struct conf_load *ld, const struct conf_wildcard_check *w)
{
	const struct conf_lane *l = w->lane;

	if (l->provider != PROVIDER_SUBMISSION && l->provider != PROVIDER_GRAPH)
		conf_error(ld,
			w->door,
			"address: %.*s stands for mailboxes of Microsoft 365, which leave by "
			"submission or graph, not by %s: write provider: submission or provider: "
			"graph, or list the address itself",
			SV_ARG(l->name),
			provider_name(l->provider));
	else if (w->password)
		conf_error(ld,
			w->password,
			"password: one password is no sign-in for every mailbox of %.*s: remove "
			"it and write auth: app (the tenant's app signs in as each of them), or "
			"list the mailbox of this password by its address",
			SV_ARG(l->name));
	else if (w->login)
		conf_error(ld,
			w->login,
			"login: each mailbox of %.*s signs in as itself: remove it, or list the "
			"mailboxes of this login by their addresses",
			SV_ARG(l->name));
	else if (l->sign_in != CONF_SIGN_IN_APP)
		conf_error(ld,
			w->auth,
			"auth: %.*s needs auth: app, by which the app of a tenant signs in as each "
			"mailbox; a %s is of one: write auth: app and tenant: NAME, or list the "
			"mailbox by its address",
			SV_ARG(l->name),
			l->sign_in == CONF_SIGN_IN_USER ? "person's sign-in" : "password");
	else if (l->tenant && l->tenant->domain_count &&
		 !conf_is_internal(ld->conf, l->tenant, l->name))
		conf_error(ld,
			w->address,
			"address: the domain of %.*s is not among the domains of tenant '%.*s', "
			"whose app can sign in as mailboxes of its own domains only: add it there, "
			"or correct one of them",
			SV_ARG(l->name),
			SV_ARG(l->tenant->name));
	else
		return false;
	return true;
}

/* ---- who may use it ---- */

static struct sv domain_of(struct sv address)
{
	return sv_skip(address, (size_t)(sv_rfind_char(address, '@') + 1));
}

enum opens {
	OPENS_NOT,
	OPENS_LOOSELY, /* its stars reach the domain, but do not name it */
	OPENS,
};

static enum opens pattern_opens(struct sv pattern, struct sv domain)
{
	CLEANUP(buf_deinitp) struct buf one = BUF_INIT(LIMIT_ADDRESS);

	if (sv_rfind_char(pattern, '@') >= 0 && sv_eq_nocase(domain_of(pattern), domain))
		return OPENS;
	return buf_printf(&one, "x@%.*s", SV_ARG(domain)) == 0 &&
			       address_matches(pattern, buf_sv(&one))
		       ? OPENS_LOOSELY
		       : OPENS_NOT;
}

static enum opens user_opens(const struct conf_user *u, struct sv domain)
{
	enum opens most = u->as.len && sv_eq_nocase(domain_of(u->as), domain) ? OPENS : OPENS_NOT;

	for (size_t i = 0; i < u->sender_count; i++) {
		enum opens one = pattern_opens(u->senders[i], domain);

		most = one > most ? one : most;
	}
	return most;
}

static void check_users(struct conf_load *ld, const struct conf_member *wildcard)
{
	const struct conf *c = ld->conf;
	struct sv domain = domain_of(wildcard->name);
	struct conf_node at = conf_node_at(wildcard->place);
	bool any = false;

	for (size_t i = 0; i < c->user_count; i++) {
		struct conf_node user = conf_node_at(c->users[i].place);
		enum opens opens = user_opens(&c->users[i], domain);

		any |= opens == OPENS;
		if (opens == OPENS_LOOSELY)
			conf_warn(ld,
				&user,
				"senders: what this user may send as does not name %.*s, so it may "
				"send as the mailboxes that are listed there by their addresses, "
				"and as none that \"%.*s\" (line %u) stands for: add \"*@%.*s\" to "
				"senders if it should, or the addresses that it needs",
				SV_ARG(domain),
				SV_ARG(wildcard->name),
				wildcard->place.line,
				SV_ARG(domain));
	}
	for (size_t i = 0; i < c->device_count && !any; i++)
		any = sv_eq_nocase(domain_of(c->devices[i].sender), domain);
	if (!any)
		conf_warn(ld,
			&at,
			"address: nobody may send as the mailboxes of %.*s: name the domain in the "
			"senders: of each user that may (senders: [\"%.*s\"], or single "
			"addresses)",
			SV_ARG(wildcard->name),
			SV_ARG(wildcard->name));
}

void conf_check_wildcard_users(struct conf_load *ld)
{
	const struct conf *c = ld->conf;

	for (size_t i = 0; i < c->member_count && !ld->incomplete; i++)
		if (c->members[i].lanes[0].is_wildcard)
			check_users(ld, &c->members[i]);
}
