/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/check_ways.h"

#include "base/buf.h"
#include "base/limits.h"
#include "conf/made.h"
#include "conf/route.h"

enum {
	ORIGINS_MAX = 64,
	SMALL_BYTES = 10 * 1024,
	LARGE_BYTES = 60 * 1024 * 1024,
};

#define SOMEBODY "anybody"
#define OUTSIDE SOMEBODY "@example.com"

/* ---- recipients of every kind ---- */

static void add_recipient(struct check_ways *w, struct sv recipient)
{
	for (size_t i = 0; i < w->recipient_count; i++)
		if (sv_eq_nocase(w->recipients[i], recipient))
			return;
	if (w->recipient_count < CHECK_RECIPIENTS_MAX)
		w->recipients[w->recipient_count++] = recipient;
}

/* "*@contoso.com" -> "anybody@contoso.com" */
static void add_pattern(struct check_ways *w, struct sv pattern)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(LIMIT_ADDRESS);
	struct sv part;
	bool star;

	do {
		star = sv_cut_char(&pattern, '*', &part);
		if (buf_append(&text, part) != 0 || (star && buf_append(&text, SV(SOMEBODY)) != 0))
			return;
	} while (star);
	add_recipient(w, arena_sv(&w->arena, buf_sv(&text)));
}

static void find_recipients(const struct conf *c, struct check_ways *w)
{
	size_t count;
	const struct conf_tenant *const *tenants = conf_tenants(c, &count);
	const struct conf_route *routes;

	for (size_t i = 0; i < count; i++) {
		CLEANUP(buf_deinitp) struct buf text = BUF_INIT(LIMIT_ADDRESS);

		if (tenants[i]->domain_count &&
			buf_printf(&text, SOMEBODY "@%.*s", SV_ARG(tenants[i]->domains[0])) == 0)
			add_recipient(w, arena_sv(&w->arena, buf_sv(&text)));
	}
	add_recipient(w, SV(OUTSIDE));
	routes = conf_routes(c, &count);
	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < routes[i].recipient_count; k++)
			add_pattern(w, routes[i].recipients[k]);
}

/* ---- ways ---- */

static void add_way(struct check_ways *w, const struct conf_route_answer *a, size_t recipient)
{
	struct check_way *way = NULL;

	for (size_t i = 0; i < w->count && !way; i++)
		way = w->ways[i].route == a->route ? &w->ways[i] : NULL;
	if (!way && w->count == CHECK_WAYS_MAX)
		return;
	if (!way) {
		way = &w->ways[w->count++];
		way->route = a->route;
		way->member_count = a->member_count;
		memcpy(way->members, a->members, sizeof(way->members));
	}
	way->recipients |= UINT32_C(1) << recipient;
}

/* As it comes, small and large; a route that wants a header is met before its body is known. */
static bool ask(
	const struct conf *c, struct check_ways *w, struct conf_route_query *q, size_t recipient)
{
	const uint64_t sizes[] = { 0, SMALL_BYTES, LARGE_BYTES };
	bool leads = false;

	for (size_t i = 0; i < COUNT_OF(sizes); i++) {
		struct conf_route_answer a;

		q->has_body = sizes[i] > 0;
		q->size = sizes[i];
		a = conf_route_find(c, q);
		if (!a.member_count)
			continue;
		leads = true;
		add_way(w, &a, recipient);
	}
	return leads;
}

/* Who hands it in: nobody in particular, and whoever a route names. */
static bool ask_all_origins(
	const struct conf *c, struct check_ways *w, struct sv sender, size_t recipient)
{
	size_t count;
	const struct conf_route *routes = conf_routes(c, &count);
	struct conf_route_query q = { .sender = sender, .recipient = w->recipients[recipient] };
	bool leads = ask(c, w, &q, recipient);

	for (size_t i = 0; i < count && i < ORIGINS_MAX; i++) {
		const struct conf_route *r = &routes[i];

		if (r->any_user && r->any_listener && r->any_device)
			continue;
		q.user = r->any_user ? SV("") : r->user;
		q.listener = r->any_listener ? SV("") : r->listener;
		q.device = r->any_device ? SV("") : r->device;
		leads = ask(c, w, &q, recipient) || leads;
	}
	return leads;
}

/* A wildcard's mailbox is had only by accounts and devices that may use it (conf/made.h): as these hand it in. */
static bool ask_who_may(
	const struct conf *c, struct check_ways *w, struct sv sender, size_t recipient)
{
	struct conf_route_query q = { .sender = sender, .recipient = w->recipients[recipient] };
	size_t users, devices;
	const struct conf_user *user = conf_users(c, &users);
	const struct conf_device *device = conf_devices(c, &devices);
	bool leads = false;

	if (!conf_wildcard_of(c, sender))
		return false;
	for (size_t i = 0; i < users && i < ORIGINS_MAX; i++) {
		q.user = user[i].name;
		leads = ask(c, w, &q, recipient) || leads;
	}
	q.user = SV("");
	for (size_t i = 0; i < devices && i < ORIGINS_MAX; i++) {
		q.device = device[i].name;
		leads = ask(c, w, &q, recipient) || leads;
	}
	return leads;
}

void check_ways_find(const struct conf *c, struct sv sender, struct check_ways *out)
{
	*out = (struct check_ways){ 0 };
	find_recipients(c, out);
	for (size_t i = 0; i < out->recipient_count; i++) {
		bool leads = ask_all_origins(c, out, sender, i);

		if (!ask_who_may(c, out, sender, i) && !leads)
			out->refused |= UINT32_C(1) << i;
	}
}

void check_ways_deinit(struct check_ways *w)
{
	arena_reset(&w->arena);
}

struct sv check_way_sender(
	const struct check_way *w, const struct conf_lane *lane, struct sv sender)
{
	if (lane->kind == CONF_LANE_MAILBOX && lane->sender != CONF_SENDER_KEEP)
		return lane->name;
	return w->route->rewrite_from.len ? w->route->rewrite_from : sender;
}

bool check_way_leads_to(const struct check_way *w, const struct conf_member *m)
{
	bool leads = false;

	for (size_t i = 0; i < w->member_count && !leads; i++)
		leads = w->members[i] == m;
	return leads;
}
