/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/conf_priv.h"
#include "mail/address.h"

/* Routes, and whatever else refers to a mailbox or connector by its name. */

/* Patterns of `through: sender` are tried on all mailboxes only while that is quick. */
enum {
	SENDER_TRIES_MAX = 10000000
};

struct route_draft {
	struct conf_route route;
	struct sv through;
};

#define AT(member) .offset = offsetof(struct route_draft, route.member)

static const struct conf_field route_fields[] = {
	{ .name = SV_INIT("through"),
		.type = CONF_TYPE_TEXT,
		.flags = CONF_REQUIRED,
		.offset = offsetof(struct route_draft, through) },
	{ .name = SV_INIT("sender"), .type = CONF_TYPE_PATTERN, .flags = CONF_EMPTY, AT(sender) },
	{ .name = SV_INIT("recipient"), .type = CONF_TYPE_PATTERN, AT(recipient) },
	{ .name = SV_INIT("user"), .type = CONF_TYPE_TEXT, AT(user) },
	{ .name = SV_INIT("listener"), .type = CONF_TYPE_TEXT, AT(listener) },
	{ .name = SV_INIT("rewrite_from"), .type = CONF_TYPE_ADDRESS, AT(rewrite_from) },
	CONF_FIELDS_END,
};

static const struct conf_lane *find_lane(
	struct conf_load *ld, const struct conf_node *at, const char *key, struct sv name)
{
	const struct conf *c = ld->conf;
	const struct conf_lane *lane = conf_lane_named(c, name);
	struct conf_guess guess = { .name = name };
	char shown[CONF_SHOWN_MAX];

	if (lane || ld->incomplete)
		return lane;
	for (size_t i = 0; i < c->lane_count && ld->error_count < CONF_GUESSES_MAX; i++)
		conf_guess_try(&guess, c->lanes[i].name);
	if (guess.best.len)
		conf_error(ld,
			at,
			"%s: there is no mailbox or connector %s: did you mean '%.*s'?",
			key,
			conf_shown(name, shown),
			SV_ARG(guess.best));
	else
		conf_error(ld,
			at,
			"%s: there is no mailbox or connector %s: add it under mailboxes or "
			"connectors, or correct the name",
			key,
			conf_shown(name, shown));
	return NULL;
}

static void check_user(struct conf_load *ld, const struct conf_node *at, const struct conf_route *r)
{
	const struct conf *c = ld->conf;
	struct conf_guess guess = { .name = r->user };
	char shown[CONF_SHOWN_MAX];

	if (r->any_user || ld->incomplete || sv_starts(r->user, SV("local:")) ||
		conf_user(c, r->user))
		return;
	for (size_t i = 0; i < c->user_count; i++)
		conf_guess_try(&guess, c->users[i].name);
	if (guess.best.len)
		conf_error(ld,
			at,
			"user: there is no user %s: did you mean '%.*s'?",
			conf_shown(r->user, shown),
			SV_ARG(guess.best));
	else
		conf_error(ld,
			at,
			"user: there is no user %s: add it under users, or write local:NAME for an "
			"account of this machine",
			conf_shown(r->user, shown));
}

static void check_listener(struct conf_load *ld, const struct conf_node *at, struct conf_route *r)
{
	const struct conf *c = ld->conf;
	struct conf_guess guess = { .name = r->listener };
	char shown[CONF_SHOWN_MAX];

	if (r->any_listener || ld->incomplete)
		return;
	if (sv_starts(r->listener, SV("systemd:")))
		r->listener = sv_skip(r->listener, SV("systemd:").len);
	for (size_t i = 0; i < c->listener_count; i++) {
		if (sv_eq(c->listeners[i].name, r->listener))
			return;
		conf_guess_try(&guess, c->listeners[i].name);
	}
	if (guess.best.len)
		conf_error(ld,
			at,
			"listener: there is no listener %s: did you mean '%.*s'?",
			conf_shown(r->listener, shown),
			SV_ARG(guess.best));
	else
		conf_error(ld,
			at,
			"listener: there is no listener %s: write the address of one as it stands "
			"under listeners",
			conf_shown(r->listener, shown));
}

/* `through: sender` with a condition on the sender that no mailbox meets. */
static bool sender_has_mailbox(const struct conf *c, const struct conf_route *r)
{
	if (!r->any_sender && sv_find_char(r->sender, '*') < 0)
		return conf_mailbox_of(c, r->sender) != NULL;
	if (c->lane_count * c->route_count > SENDER_TRIES_MAX)
		return true;
	for (size_t i = 0; i < c->lane_count; i++)
		if (c->lanes[i].kind == CONF_LANE_MAILBOX &&
			(r->any_sender || address_matches(r->sender, c->lanes[i].name)))
			return true;
	return false;
}

static void check_through(struct conf_load *ld, const struct conf_seen *seen, struct route_draft *d)
{
	const struct conf_node *at = conf_given(route_fields, seen, "through");
	struct conf_route *r = &d->route;
	struct conf_through *t = arena_alloc(&ld->conf->arena, sizeof(*t));

	r->through = t;
	r->through_count = 1;
	t->sender = sv_eq(d->through, SV("sender"));
	if (!t->sender) {
		t->lane = find_lane(ld, at, "through", d->through);
		return;
	}
	if (ld->incomplete || sender_has_mailbox(ld->conf, r))
		return;
	if (r->any_sender)
		conf_error(ld,
			at,
			"through: sender means the sender's own mailbox, but there are none: add "
			"mailboxes, or name a connector");
	else
		conf_error(ld,
			at,
			"through: sender, but no mailbox has such an address, so this route can "
			"never match: correct the "
			"sender, or name a mailbox");
}

static void read_route(struct conf_load *ld, const struct conf_node *map)
{
	struct conf *c = ld->conf;
	struct route_draft d = { .route = { .place = conf_place_of(ld, map) } };
	struct conf_route *r = &d.route;
	struct conf_seen seen = { 0 };

	if (c->route_count >= CONF_ROUTES_MAX) {
		if (c->route_count++ == CONF_ROUTES_MAX)
			conf_error(ld,
				map,
				"routes: there are more than %d: use patterns and through: sender",
				CONF_ROUTES_MAX);
		c->route_count = CONF_ROUTES_MAX;
		return;
	}
	if (!conf_read_map(ld, map, route_fields, &d, &seen))
		return;
	r->any_sender = !conf_given(route_fields, &seen, "sender") || sv_eq(r->sender, SV("*"));
	r->any_recipient = !r->recipient.len || sv_eq(r->recipient, SV("*"));
	r->any_user = !r->user.len;
	r->any_listener = !r->listener.len;
	check_user(ld, conf_given(route_fields, &seen, "user"), r);
	check_listener(ld, conf_given(route_fields, &seen, "listener"), r);
	check_through(ld, &seen, &d);
	c->routes = conf_grow(c->routes, c->route_count, sizeof(*c->routes));
	c->routes[c->route_count++] = *r;
}

/*
 * Does `a` take all that `b` takes? A star of `b` is compared as a character, which only a star of `a`
 * takes; what that star took, it also takes in the place of whatever b's star stands for.
 */
static bool covers(const struct conf *c, const struct conf_route *a, const struct conf_route *b)
{
	if (!a->any_user && (b->any_user || !sv_eq(a->user, b->user)))
		return false;
	if (!a->any_listener && (b->any_listener || !sv_eq(a->listener, b->listener)))
		return false;
	if (!a->any_sender && (b->any_sender || !address_matches(a->sender, b->sender)))
		return false;
	if (!a->any_recipient && (b->any_recipient || !address_matches(a->recipient, b->recipient)))
		return false;
	/* Senders without a mailbox go past `through: sender`. */
	return !a->through[0].sender || b->through[0].sender ||
	       (!b->any_sender && sv_find_char(b->sender, '*') < 0 &&
		       conf_mailbox_of(c, b->sender));
}

static void check_order(struct conf_load *ld)
{
	const struct conf *c = ld->conf;

	for (size_t i = 1; i < c->route_count; i++) {
		for (size_t k = 0; k < i; k++) {
			struct conf_node at = conf_node_at(c->routes[i].place);

			if (!covers(c, &c->routes[k], &c->routes[i]))
				continue;
			conf_error(ld,
				&at,
				"this route can never match: the one in %s line %u takes "
				"everything first; move this one above it, or remove it",
				c->routes[k].place.file,
				c->routes[k].place.line);
			break;
		}
	}
}

static void say_no_route(struct conf_load *ld)
{
	struct conf_node at = { .file = ld->files[0].path, .line = 1, .column = 1 };
	size_t given = ld->section_count[CONF_SECTION_ROUTES];

	conf_error(ld,
		given ? ld->sections[CONF_SECTION_ROUTES][0] : &at,
		"routes: there is none, so nothing could leave: add routes: [ { through: sender } "
		"] for mailboxes, or "
		"{ through: NAME } for a connector");
}

void conf_read_routes(struct conf_load *ld)
{
	size_t errors = ld->error_count;
	bool any = false;

	for (size_t i = 0; i < ld->section_count[CONF_SECTION_ROUTES]; i++) {
		const struct conf_node *list = ld->sections[CONF_SECTION_ROUTES][i];

		if (!conf_is_list(ld, list))
			any = true;
		else
			for (const struct conf_node *n = list->first; n; n = n->next) {
				read_route(ld, n);
				any = true;
			}
	}
	if (!any && !ld->incomplete)
		say_no_route(ld);
	else if (ld->error_count == errors)
		check_order(ld);
}

void conf_check_bounces(struct conf_load *ld)
{
	const struct conf_node *at = ld->bounces_through;

	if (at)
		(void)find_lane(ld, at, "through", at->text);
}
