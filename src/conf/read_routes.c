/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "conf/conf_priv.h"
#include "mail/address.h"

/* Routes, and whatever else refers to a mailbox or connector by its name. */

struct route_draft {
	struct conf_route route;
	const struct conf_node *through;
};

#define AT(member) .offset = offsetof(struct route_draft, route.member)
#define SIZE_RANGE .min = 1, .max = UINT64_C(1) << 40

static const struct conf_field size_fields[] = {
	{ .name = SV_INIT("over"), .type = CONF_TYPE_SIZE, AT(size_over), SIZE_RANGE },
	{ .name = SV_INIT("under"), .type = CONF_TYPE_SIZE, AT(size_under), SIZE_RANGE },
	CONF_FIELDS_END,
};

/* Resolved when the other fields are known. */
static void keep_through(struct conf_load *ld, const struct conf_node *value, void *out)
{
	(void)ld;
	*(const struct conf_node **)out = value;
}

/* `out` is the whole draft. */
static void read_recipient(struct conf_load *ld, const struct conf_node *value, void *out);
static void read_header(struct conf_load *ld, const struct conf_node *value, void *out);

static const struct conf_field route_fields[] = {
	{ .name = SV_INIT("through"),
		.type = CONF_TYPE_READ,
		.flags = CONF_REQUIRED,
		.offset = offsetof(struct route_draft, through),
		.read = keep_through },
	{ .name = SV_INIT("sender"), .type = CONF_TYPE_PATTERN, .flags = CONF_EMPTY, AT(sender) },
	{ .name = SV_INIT("recipient"), .type = CONF_TYPE_READ, .read = read_recipient },
	{ .name = SV_INIT("user"), .type = CONF_TYPE_TEXT, AT(user) },
	{ .name = SV_INIT("listener"), .type = CONF_TYPE_TEXT, AT(listener) },
	{ .name = SV_INIT("device"), .type = CONF_TYPE_TEXT, AT(device) },
	{ .name = SV_INIT("size"), .type = CONF_TYPE_MAP, .fields = size_fields },
	{ .name = SV_INIT("header"), .type = CONF_TYPE_READ, .read = read_header },
	{ .name = SV_INIT("rewrite_from"), .type = CONF_TYPE_ADDRESS, AT(rewrite_from) },
	CONF_CLASS_FIELD(struct route_draft, route.class),
	CONF_FIELDS_END,
};

/* A pattern, or a domain, which means all of its addresses. */
static bool read_recipient_pattern(
	struct conf_load *ld, const struct conf_node *value, struct sv *out_pattern)
{
	struct sv text = value->text;
	struct io_network numeric;
	char *all;

	if (!conf_is_text(ld, value))
		return false;
	if (address_pattern_check(text) == 0 && text.len) {
		*out_pattern = conf_keep(ld, text);
		return true;
	}
	if (sv_find_char(text, '@') < 0 && sv_find_char(text, '.') > 0 && conf_host_ok(text) &&
		io_network_parse(text, &numeric) != 0) {
		all = arena_alloc(&ld->conf->arena, text.len + 3);
		memcpy(all, "*@", 2);
		memcpy(all + 2, text.ptr, text.len);
		*out_pattern = sv_make(all, text.len + 2);
		return true;
	}
	conf_error(ld,
		value,
		"recipient: must be internal, external, a domain like contoso.com, or a pattern "
		"like \"*@contoso.com\"; or a list of domains and patterns");
	return false;
}

static void read_recipient(struct conf_load *ld, const struct conf_node *value, void *out)
{
	struct conf_route *r = &((struct route_draft *)out)->route;
	const struct conf_node *first = value;
	struct sv *patterns;
	size_t count = 0;

	if (value->kind == CONF_NODE_SCALAR) {
		if (sv_eq(value->text, SV("internal")))
			r->recipient_class = CONF_RECIPIENT_INTERNAL;
		else if (sv_eq(value->text, SV("external")))
			r->recipient_class = CONF_RECIPIENT_EXTERNAL;
		if (r->recipient_class != CONF_RECIPIENT_ANY || sv_eq(value->text, SV("*")))
			return;
		count = 1;
	} else {
		if (!conf_is_list(ld, value))
			return;
		first = value->first;
		for (const struct conf_node *n = first; n; n = n->next)
			count++;
		if (!count)
			conf_error(ld,
				value,
				"recipient: is empty, so this route can never match: list domains "
				"or patterns, or remove the key");
	}
	patterns = arena_alloc(&ld->conf->arena, (count + 1) * sizeof(*patterns));
	r->recipients = patterns;
	for (const struct conf_node *n = first; n && r->recipient_count < count; n = n->next)
		if (read_recipient_pattern(ld, n, &patterns[r->recipient_count]))
			r->recipient_count++;
		else
			count--;
}

/* "Name: pattern", with RFC 5322 3.6.8's characters in the name. */
static void read_header(struct conf_load *ld, const struct conf_node *value, void *out)
{
	struct conf_route *r = &((struct route_draft *)out)->route;
	struct sv pattern = value->text, name;
	bool colon, ok;

	if (!conf_is_text(ld, value))
		return;
	colon = sv_cut_char(&pattern, ':', &name);
	pattern = sv_trim(pattern);
	ok = colon && name.len && name.len <= CONF_NAME_MAX && pattern.len &&
	     pattern.len <= CONF_HEADER_PATTERN_MAX;
	for (size_t i = 0; i < name.len && ok; i++)
		ok = name.ptr[i] > ' ' && name.ptr[i] <= '~';
	if (!ok) {
		conf_error(ld,
			value,
			"header: must be a name and a pattern, in quotes: \"X-Priority: 1*\"; "
			"\"X-Priority: *\" for any value");
		return;
	}
	r->header_name = conf_keep(ld, name);
	r->header_pattern = conf_keep(ld, pattern);
}

static const struct conf_member *find_member(
	struct conf_load *ld, const struct conf_node *at, struct sv name, bool pools)
{
	const struct conf *c = ld->conf;
	const struct conf_member *member = conf_member_named(c, name);
	struct guess guess = { .name = name };
	char shown[CONF_SHOWN_MAX];

	if (member && member->lanes[0].is_wildcard) {
		conf_error(ld,
			at,
			"through: %s stands for many mailboxes, and mail needs one: write through: "
			"sender, or list the mailbox by its address and name that",
			conf_shown(name, shown));
		return NULL;
	}
	if (member || ld->incomplete)
		return member;
	for (size_t i = 0; i < c->member_count && ld->error_count < CONF_GUESSES_MAX; i++)
		guess_try(&guess, c->members[i].name);
	for (size_t i = 0; i < c->pool_count && pools; i++)
		guess_try(&guess, c->pools[i]->name);
	if (guess.best.len)
		conf_error(ld,
			at,
			"through: there is no mailbox or connector %s: did you mean '%.*s'?",
			conf_shown(name, shown),
			SV_ARG(guess.best));
	else
		conf_error(ld,
			at,
			"through: there is no mailbox or connector %s: add it under mailboxes or "
			"connectors, or correct the name",
			conf_shown(name, shown));
	return NULL;
}

/* Nothing of that name: the nearest one is told. */
static void say_unknown(struct conf_load *ld, const struct conf_node *at, const char *key,
	const struct guess *guess, const char *otherwise)
{
	char shown[CONF_SHOWN_MAX];

	if (guess->best.len)
		conf_error(ld,
			at,
			"%s: there is no %s %s: did you mean '%.*s'?",
			key,
			key,
			conf_shown(guess->name, shown),
			SV_ARG(guess->best));
	else
		conf_error(ld,
			at,
			"%s: there is no %s %s: %s",
			key,
			key,
			conf_shown(guess->name, shown),
			otherwise);
}

static void check_user(struct conf_load *ld, const struct conf_node *at, const struct conf_route *r)
{
	const struct conf *c = ld->conf;
	struct guess guess = { .name = r->user };

	if (r->any_user || ld->incomplete || sv_starts(r->user, SV("local:")) ||
		conf_user(c, r->user))
		return;
	for (size_t i = 0; i < c->user_count; i++)
		guess_try(&guess, c->users[i].name);
	say_unknown(ld,
		at,
		"user",
		&guess,
		"add it under users, or write local:NAME for an account of this machine");
}

static void check_listener(struct conf_load *ld, const struct conf_node *at, struct conf_route *r)
{
	const struct conf *c = ld->conf;
	struct guess guess = { .name = r->listener };

	if (r->any_listener || ld->incomplete)
		return;
	if (sv_starts(r->listener, SV("systemd:")))
		r->listener = sv_skip(r->listener, SV("systemd:").len);
	for (size_t i = 0; i < c->listener_count; i++) {
		if (sv_eq(c->listeners[i].name, r->listener))
			return;
		guess_try(&guess, c->listeners[i].name);
	}
	guess.name = r->listener;
	say_unknown(ld,
		at,
		"listener",
		&guess,
		"write the address of one as it stands under listeners");
}

static void check_device(struct conf_load *ld, const struct conf_seen *seen, struct conf_route *r)
{
	const struct conf *c = ld->conf;
	const struct conf_node *at = conf_given(route_fields, seen, "device");
	const struct conf_device *d = conf_device(c, r->device);
	struct guess guess = { .name = r->device };

	if (r->any_device || ld->incomplete)
		return;
	if (!d) {
		for (size_t i = 0; i < c->device_count; i++)
			guess_try(&guess, c->devices[i].name);
		say_unknown(ld, at, "device", &guess, "add it under devices, or correct the name");
		return;
	}
	if (!r->any_sender && !address_matches(r->sender, d->sender))
		conf_error(ld,
			conf_given(route_fields, seen, "sender"),
			"sender: device '%.*s' always sends as %.*s, so this route can never "
			"match: correct the pattern, or remove it",
			SV_ARG(d->name),
			SV_ARG(d->sender));
}

static void check_conditions(
	struct conf_load *ld, const struct conf_seen *seen, struct conf_route *r)
{
	check_user(ld, conf_given(route_fields, seen, "user"), r);
	check_listener(ld, conf_given(route_fields, seen, "listener"), r);
	check_device(ld, seen, r);
	if (r->size_over && r->size_under && r->size_over >= r->size_under)
		conf_error(ld,
			conf_given(route_fields, seen, "size"),
			"size: no message is over the one and under the other, so this route can "
			"never match: make over the smaller one");
	if (r->recipient_class == CONF_RECIPIENT_INTERNAL && !ld->conf->tenant_by_domain.count &&
		!ld->incomplete)
		conf_error(ld,
			conf_given(route_fields, seen, "recipient"),
			"recipient: internal means the domains of the tenants, but there are none, "
			"so this route can never match: add domains: [...] to a tenant");
}

/* A pool, a mailbox or a connector. NULL: told. */
static const struct conf_member *find_way(
	struct conf_load *ld, const struct conf_node *at, struct sv name)
{
	const struct conf_pool *p = conf_pool(ld->conf, name);

	/* One without a mailbox has had its error. */
	if (p)
		return p->way;
	return find_member(ld, at, name, true);
}

/* One way; false when its name is unknown. */
static bool read_way(struct conf_load *ld, const struct conf_node *at, struct conf_route *r,
	struct conf_through *t)
{
	struct conf_through way = { 0 };

	if (!conf_is_text(ld, at))
		return false;
	way.sender = sv_eq(at->text, SV("sender"));
	if (!way.sender)
		way.member = find_way(ld, at, at->text);
	for (size_t i = 0; i < r->through_count; i++) {
		if (t[i].sender != way.sender || t[i].member != way.member ||
			(!way.sender && !way.member))
			continue;
		conf_error(ld, at, "through: names the same way twice: remove one of them");
		return false;
	}
	t[r->through_count++] = way;
	return way.sender || way.member;
}

static void read_through(struct conf_load *ld, const struct conf_node *value, struct conf_route *r)
{
	struct conf_through *t = arena_alloc(&ld->conf->arena, CONF_THROUGH_MAX * sizeof(*t));

	r->through = t;
	if (value->kind != CONF_NODE_LIST) {
		(void)read_way(ld, value, r, t);
		return;
	}
	if (!value->first)
		conf_error(ld,
			value,
			"through: is empty: name a mailbox or connector, or write sender");
	for (const struct conf_node *n = value->first; n; n = n->next) {
		if (r->through_count >= CONF_THROUGH_MAX) {
			conf_error(ld,
				n,
				"through: has more than %d ways: remove some",
				CONF_THROUGH_MAX);
			return;
		}
		(void)read_way(ld, n, r, t);
	}
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
	r->any_recipient = !r->recipient_count;
	r->any_user = !r->user.len;
	r->any_listener = !r->listener.len;
	r->any_device = !r->device.len;
	check_conditions(ld, &seen, r);
	read_through(ld, d.through, r);
	conf_check_route_sender(ld, d.through, r);
	c->routes = conf_grow(c->routes, c->route_count, sizeof(*c->routes));
	c->routes[c->route_count++] = *r;
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
	conf_route_index_build(ld->conf);
	if (any && ld->error_count == errors)
		conf_check_routes(ld);
}

void conf_check_bounces(struct conf_load *ld)
{
	const struct conf_node *at = ld->bounces_through, *alerts = ld->alerts_through;

	if (at)
		(void)find_member(ld, at, at->text, false);
	if (alerts && alerts->kind == CONF_NODE_LIST)
		for (at = alerts->first; at; at = at->next)
			(void)find_member(ld, at, at->text, false);
	else if (alerts)
		(void)find_member(ld, alerts, alerts->text, false);
}
