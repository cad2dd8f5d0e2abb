/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/route.h"

#include "base/must.h"
#include "conf/conf_priv.h"
#include "mail/address.h"

/*
 * First match wins. `through: sender` matches only senders that have a mailbox, by one hash look-up, so
 * that routes for all others can stand below it; when nothing below matches either, it is the answer
 * all the same, without a lane: that says what is missing.
 */

void *conf_get_lower(const struct htable *t, struct sv name)
{
	char low[LIMIT_ADDRESS];

	if (name.len > sizeof(low))
		return NULL;
	for (size_t i = 0; i < name.len; i++)
		low[i] = ascii_lower(name.ptr[i]);
	return htable_get(t, sv_make(low, name.len));
}

const struct conf_lane *conf_mailbox_lane(const struct conf *c, struct sv sender)
{
	const size_t *place = sender.len ? conf_get_lower(&c->lane_by_name, sender) : NULL;
	const struct conf_lane *lane = place ? &c->lanes[*place - 1] : NULL;

	return lane && lane->kind == CONF_LANE_MAILBOX && !lane->is_wildcard ? lane : NULL;
}

const struct conf_member *conf_mailbox_of(const struct conf *c, struct sv sender)
{
	const struct conf_lane *lane = conf_mailbox_lane(c, sender);

	return lane ? lane->member : NULL;
}

bool conf_route_asks_body(const struct conf_route *r)
{
	return r->size_over || r->size_under || r->header_name.len;
}

/* What is known at MAIL. */
static bool takes_origin(const struct conf_route *r, const struct conf_route_query *q)
{
	return (r->any_user || sv_eq(r->user, q->user)) &&
	       (r->any_listener || sv_eq(r->listener, q->listener)) &&
	       (r->any_device || sv_eq(r->device, q->device)) &&
	       (r->any_sender || address_matches(r->sender, q->sender));
}

static bool takes_recipient(const struct conf *c, const struct conf_route *r, struct sv recipient)
{
	bool hit = r->any_recipient;

	for (size_t i = 0; i < r->recipient_count && !hit; i++)
		hit = address_matches(r->recipients[i], recipient);
	if (!hit || r->recipient_class == CONF_RECIPIENT_ANY)
		return hit;
	return conf_is_internal(c, NULL, recipient) ==
	       (r->recipient_class == CONF_RECIPIENT_INTERNAL);
}

static bool takes_body(const struct conf_route *r, const struct conf_route_query *q)
{
	struct sv value;

	if (r->size_over && q->size <= r->size_over)
		return false;
	if (r->size_under && q->size > r->size_under)
		return false;
	return !r->header_name.len ||
	       (q->header && q->header(q->header_arg, r->header_name, &value) &&
		       sv_matches_nocase(r->header_pattern, sv_trim(value)));
}

/* The sender's own mailbox, or the one that a wildcard makes of it for those who may have it. */
static const struct conf_member *sender_mailbox(
	const struct conf *c, const struct conf_route_query *q)
{
	const struct conf_member *m = conf_mailbox_of(c, q->sender);

	return m ? m : conf_made_for(c, q->sender, q->user, q->device);
}

/* The ways of a route for this sender; none: it goes past. */
static size_t find_members(const struct conf *c, const struct conf_route *r,
	const struct conf_route_query *q, const struct conf_member *members[CONF_THROUGH_MAX])
{
	size_t count = 0;

	for (size_t i = 0; i < r->through_count; i++) {
		const struct conf_through *t = &r->through[i];
		const struct conf_member *m = t->sender ? sender_mailbox(c, q) : t->member;
		bool again = false;

		/* The sender's mailbox may be named beside `sender`. */
		for (size_t k = 0; k < count; k++)
			again = again || members[k] == m;
		if (m && !again)
			members[count++] = m;
	}
	return count;
}

struct conf_route_answer conf_route_find(const struct conf *c, const struct conf_route_query *q)
{
	const struct conf_route_scope scope = { .sender = &q->sender,
		.recipient = &q->recipient,
		.user = q->user,
		.device = q->device };
	struct conf_route_scan scan = conf_route_scan_begin(c, &scope);
	struct conf_route_answer a = { 0 };

	for (const struct conf_route *r; (r = conf_route_scan_next(&scan));) {
		bool maybe = !q->has_body && conf_route_asks_body(r);
		const struct conf_member *members[CONF_THROUGH_MAX];
		size_t count;

		if (!takes_origin(r, q) || !takes_recipient(c, r, q->recipient) ||
			(q->has_body && !takes_body(r, q)))
			continue;
		count = find_members(c, r, q, members);
		if (!a.route)
			a.route = r;
		if (!count ||
			(maybe && a.member_count)) /* the first that may match stands for all */
			continue;
		a.route = r;
		memcpy(a.members, members, count * sizeof(members[0]));
		a.member_count = count;
		a.member = a.members[0];
		if (!maybe)
			break;
		a.undecided = true;
	}
	return a;
}

bool conf_route_possible(const struct conf *c, struct sv sender, struct sv user, struct sv listener,
	struct sv device)
{
	const struct conf_route_query q = {
		.sender = sender, .user = user, .listener = listener, .device = device
	};
	const struct conf_route_scope scope = {
		.sender = &q.sender, .any_recipient = true, .user = user, .device = device
	};
	struct conf_route_scan scan = conf_route_scan_begin(c, &scope);
	const struct conf_member *members[CONF_THROUGH_MAX];

	for (const struct conf_route *r; (r = conf_route_scan_next(&scan));)
		if (takes_origin(r, &q) && find_members(c, r, &q, members))
			return true;
	return false;
}

/* ---- the queue ---- */

static struct sv who_gets_it(const struct conf *c, struct sv recipient)
{
	const struct sv redirect = conf_general(c)->redirect_all;

	return redirect.len ? redirect : recipient;
}

enum conf_obstacle conf_lane_obstacle(
	const struct conf *c, const struct conf_lane *lane, struct sv recipient, uint64_t size)
{
	if (lane->limits.message_bytes_max && size > lane->limits.message_bytes_max)
		return CONF_OBSTACLE_SIZE;
	if (provider_defaults(lane->provider)->internal_only &&
		!conf_is_internal(c, lane->tenant, who_gets_it(c, recipient)))
		return CONF_OBSTACLE_INTERNAL;
	return CONF_OBSTACLE_NONE;
}

bool conf_member_takes(
	const struct conf *c, const struct conf_member *m, struct sv recipient, uint64_t size)
{
	bool takes = false;

	for (size_t i = 0; i < m->lane_count && !takes; i++)
		takes = conf_lane_obstacle(c, &m->lanes[i], recipient, size) == CONF_OBSTACLE_NONE;
	return takes;
}

struct sv conf_queue_key(const struct conf *c, const struct conf_member *const *members,
	size_t count, struct sv recipient, uint64_t size, struct arena *arena, bool *out_external)
{
	CLEANUP(buf_deinitp)
	struct buf key = BUF_INIT(CONF_THROUGH_MAX * (LIMIT_ADDRESS + 8));
	const struct conf_member *first = NULL;
	bool any = false;

	for (size_t i = 0; i < count && !any; i++)
		any = conf_member_takes(c, members[i], recipient, size);
	for (size_t i = 0; i < count; i++) {
		if (any && !conf_member_takes(c, members[i], recipient, size))
			continue;
		/* Names and addresses of the configuration: they fit. */
		must(buf_printf(&key, "%s%.*s", first ? "\n" : "", SV_ARG(members[i]->key)) == 0);
		first = first ? first : members[i];
	}
	*out_external = first && !conf_is_internal(c, first->tenant, who_gets_it(c, recipient));
	return arena_sv(arena, buf_sv(&key));
}

/* "b:outreach:a@go.contoso.com" -> the pool and the address. False: it is no bond. */
static bool cut_bond(struct sv part, struct sv *out_pool, struct sv *out_address)
{
	if (!sv_starts(part, SV("b:")))
		return false;
	*out_address = sv_skip(part, 2);
	return sv_cut_char(out_address, ':', out_pool);
}

static const struct conf_member *member_of_part(const struct conf *c, struct sv part)
{
	const struct conf_member *m;
	struct sv pool, address;

	if (!cut_bond(part, &pool, &address))
		return conf_member(c, part);
	m = conf_mailbox_of(c, address);
	return m && m->pool && sv_eq(m->pool->name, pool) ? m : NULL;
}

struct sv conf_bond_key(const struct conf_member *m, struct arena *arena)
{
	CLEANUP(buf_deinitp) struct buf key = BUF_INIT(CONF_NAME_MAX + LIMIT_ADDRESS + 8);

	must(m->pool && m->kind == CONF_LANE_MAILBOX);
	must(buf_printf(&key, "b:%.*s:%.*s", SV_ARG(m->pool->name), SV_ARG(m->name)) == 0);
	return arena_sv(arena, buf_sv(&key));
}

struct sv conf_queue_pool_name(struct sv key)
{
	struct sv part, name, address;

	(void)sv_cut_char(&key, '\n', &part);
	if (sv_starts(part, SV("p:")))
		return sv_skip(part, 2);
	return cut_bond(part, &name, &address) ? name : SV("");
}

const struct conf_pool *conf_queue_pool(const struct conf_member *m, struct sv key)
{
	const struct conf_pool *pool = m->kind == CONF_LANE_MAILBOX ? m->pool : NULL;
	bool more = pool && key.len > 0;
	struct sv part, name, address;

	while (more) {
		more = sv_cut_char(&key, '\n', &part);
		if (sv_eq(part, pool->key) ||
			(cut_bond(part, &name, &address) && sv_eq(name, pool->name)))
			return pool;
	}
	return NULL;
}

bool conf_queue_is_bond(const struct conf *c, struct sv key)
{
	struct sv pool, address;

	return cut_bond(key, &pool, &address) && conf_pool(c, pool) != NULL;
}

size_t conf_queue_members(
	const struct conf *c, struct sv key, const struct conf_member *out[CONF_THROUGH_MAX])
{
	size_t count = 0;
	struct sv part;
	bool more = key.len > 0;

	while (more && count < CONF_THROUGH_MAX) {
		more = sv_cut_char(&key, '\n', &part);
		out[count] = member_of_part(c, part);
		count += out[count] != NULL;
	}
	return count;
}
