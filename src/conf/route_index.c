/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "conf/conf_priv.h"
#include "mail/address.h"

/*
 * Which routes may take a recipient, without a look at the others. A route whose sender, user, device or recipients
 * are certain stands in a list by that, all others in one that is always read; the lists are merged in the order of
 * the configuration. A list may hold too many: what a route really takes is said by route.c, as if all were read.
 */
struct route_entry {
	size_t route;
	struct route_entry *next;
};

struct route_list {
	struct route_entry *first, *last;
};

struct conf_route_index {
	struct htable by_key; /* struct route_list */
	struct route_list others;
	struct route_list by_recipient; /* again, for a question without a recipient */
};

/* The first byte of a key. */
enum {
	KEY_SENDER = 's',
	KEY_SENDER_DOMAIN = 'S',
	KEY_RECIPIENT = 'r',
	KEY_RECIPIENT_DOMAIN = 'R',
	KEY_USER = 'u',
	KEY_DEVICE = 'd',
	KEY_MAX = LIMIT_ADDRESS + 1,
};

static struct sv make_key(char kind, struct sv text, char out[KEY_MAX])
{
	if (text.len >= KEY_MAX)
		return SV("");
	out[0] = kind;
	if (text.len)
		memcpy(out + 1, text.ptr, text.len);
	return sv_make(out, text.len + 1);
}

/* Of an address or pattern without a star; empty: no address matches it. */
static struct sv whole_key(char kind, struct sv text, char out[KEY_MAX])
{
	char folded[LIMIT_ADDRESS];
	struct sv whole;

	return address_fold(text, folded, &whole) ? make_key(kind, whole, out) : SV("");
}

static struct sv domain_key(char kind, struct sv text, char out[KEY_MAX])
{
	struct sv key;
	ptrdiff_t at = sv_rfind_char(text, '@');

	key = at < 0 ? SV("") : make_key(kind, sv_skip(text, (size_t)at + 1), out);
	for (size_t i = 1; i < key.len; i++)
		out[i] = ascii_lower(out[i]);
	return key;
}

static bool has_star(struct sv pattern)
{
	return sv_find_char(pattern, '*') >= 0;
}

/* That of its domain, where that is certain; else empty. */
static struct sv pattern_domain_key(char kind, struct sv pattern, char out[KEY_MAX])
{
	ptrdiff_t at = sv_rfind_char(pattern, '@');

	return at < 0 || has_star(sv_skip(pattern, (size_t)at)) ? SV("")
								: domain_key(kind, pattern, out);
}

/* ---- building ---- */

static void append(struct conf *c, struct route_list *list, size_t route)
{
	struct route_entry *e;

	if (list->last && list->last->route == route)
		return;
	e = arena_alloc(&c->arena, sizeof(*e));
	e->route = route;
	if (list->last)
		list->last->next = e;
	else
		list->first = e;
	list->last = e;
}

static void put(struct conf *c, struct sv key, size_t route)
{
	struct route_list *list = htable_get(&c->route_index->by_key, key);

	if (!list) {
		list = arena_alloc(&c->arena, sizeof(*list));
		htable_put(&c->route_index->by_key, key, list);
	}
	append(c, list, route);
}

static struct sv recipient_key(struct sv pattern, char out[KEY_MAX])
{
	return has_star(pattern) ? pattern_domain_key(KEY_RECIPIENT_DOMAIN, pattern, out)
				 : whole_key(KEY_RECIPIENT, pattern, out);
}

/* False: some have no key. `exact`: only those of whole addresses are good enough. */
static bool put_by_recipients(struct conf *c, size_t route, bool exact)
{
	const struct conf_route *r = &c->routes[route];
	char bytes[KEY_MAX];

	for (size_t i = 0; i < r->recipient_count; i++)
		if ((exact && has_star(r->recipients[i])) ||
			!recipient_key(r->recipients[i], bytes).len)
			return false;
	for (size_t i = 0; i < r->recipient_count; i++)
		put(c, recipient_key(r->recipients[i], bytes), route);
	if (r->recipient_count)
		append(c, &c->route_index->by_recipient, route);
	return r->recipient_count > 0;
}

/* By what leaves the fewest beside it. */
static void put_route(struct conf *c, size_t route)
{
	const struct conf_route *r = &c->routes[route];
	char bytes[KEY_MAX];
	struct sv key = SV("");

	if (!r->any_sender && !has_star(r->sender))
		key = whole_key(KEY_SENDER, r->sender, bytes);
	if (!key.len && !r->any_user)
		key = make_key(KEY_USER, r->user, bytes);
	if (!key.len && !r->any_device)
		key = make_key(KEY_DEVICE, r->device, bytes);
	if (!key.len && put_by_recipients(c, route, true))
		return;
	if (!key.len && !r->any_sender)
		key = pattern_domain_key(KEY_SENDER_DOMAIN, r->sender, bytes);
	if (key.len)
		put(c, key, route);
	else if (!put_by_recipients(c, route, false))
		append(c, &c->route_index->others, route);
}

void conf_route_index_build(struct conf *c)
{
	must(!c->route_index);
	c->route_index = arena_alloc(&c->arena, sizeof(*c->route_index));
	for (size_t i = 0; i < c->route_count; i++)
		put_route(c, i);
}

void conf_route_index_free(struct conf *c)
{
	if (c->route_index)
		htable_deinit(&c->route_index->by_key);
}

/* ---- reading ---- */

static void add(struct conf_route_scan *s, const struct route_list *list)
{
	must(s->count < COUNT_OF(s->at));
	if (list && list->first)
		s->at[s->count++] = list->first;
}

static void add_key(struct conf_route_scan *s, struct sv key)
{
	if (key.len)
		add(s, htable_get(&s->conf->route_index->by_key, key));
}

struct conf_route_scan conf_route_scan_begin(const struct conf *c, const struct conf_route_scope *w)
{
	struct conf_route_scan s = { .conf = c };
	char bytes[KEY_MAX];

	if (!c->route_index)
		return s;
	add(&s, &c->route_index->others);
	if (w->any_recipient)
		add(&s, &c->route_index->by_recipient);
	if (w->sender) {
		add_key(&s, whole_key(KEY_SENDER, *w->sender, bytes));
		add_key(&s, domain_key(KEY_SENDER_DOMAIN, *w->sender, bytes));
	}
	if (w->recipient) {
		add_key(&s, whole_key(KEY_RECIPIENT, *w->recipient, bytes));
		add_key(&s, domain_key(KEY_RECIPIENT_DOMAIN, *w->recipient, bytes));
	}
	if (w->user.len)
		add_key(&s, make_key(KEY_USER, w->user, bytes));
	if (w->device.len)
		add_key(&s, make_key(KEY_DEVICE, w->device, bytes));
	return s;
}

const struct conf_route *conf_route_scan_next(struct conf_route_scan *s)
{
	size_t first = SIZE_MAX;

	for (size_t i = 0; i < s->count; i++)
		if (s->at[i] && s->at[i]->route < first)
			first = s->at[i]->route;
	/* One that stands in two of them comes once. */
	for (size_t i = 0; i < s->count; i++)
		if (s->at[i] && s->at[i]->route == first)
			s->at[i] = s->at[i]->next;
	return first == SIZE_MAX ? NULL : &s->conf->routes[first];
}
