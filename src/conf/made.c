/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/made.h"

#include "base/list.h"
#include "base/must.h"
#include "conf/conf_priv.h"
#include "mail/address.h"

#include <stdlib.h>

enum {
	/* Between two sweeps. Whoever invents more addresses than that in a few seconds is told that they have no mailbox. */
	UNKEPT_MAX = 50000,
	PROVIDER_NAME_MAX = 16,
};

/* Its member, lanes and keys are one piece of memory. */
struct made {
	struct conf_member member;
	struct conf_made *made;
	unsigned keeps;
	struct list node;         /* in `unkept`, where it has none */
	struct conf_lane lanes[]; /* and behind them the keys */
};

struct conf_made {
	struct htable by_name;
	struct list unkept;
	size_t unkept_count;
};

/* ---- life ---- */

void conf_made_begin(struct conf *c)
{
	bool any = false;

	for (size_t i = 0; i < c->member_count && !any; i++)
		any = c->members[i].lanes[0].is_wildcard;
	if (!any)
		return;
	c->made = xcalloc(1, sizeof(*c->made));
	list_init(&c->made->unkept);
}

void conf_made_free(struct conf *c)
{
	if (!c->made)
		return;
	htable_each (&c->made->by_name, slot)
		free(slot->value);
	htable_deinit(&c->made->by_name);
	free(c->made);
}

size_t conf_made_count(const struct conf *c)
{
	return c->made ? c->made->by_name.count : 0;
}

static struct made *made_of(const struct conf_lane *l)
{
	/* How it is kept is no part of the snapshot that others see. */
	return l && l->made_of
		       ? (struct made *)((uintptr_t)l->member - offsetof(struct made, member))
		       : NULL;
}

void conf_made_keep(const struct conf_lane *l)
{
	struct made *m = made_of(l);

	if (!m || m->keeps++ > 0)
		return;
	list_remove(&m->node);
	m->made->unkept_count--;
}

void conf_made_release(const struct conf_lane *l)
{
	struct made *m = made_of(l);

	if (!m)
		return;
	must(m->keeps > 0);
	if (--m->keeps > 0)
		return;
	list_append(&m->made->unkept, &m->node);
	m->made->unkept_count++;
}

void conf_made_sweep(const struct conf *c)
{
	while (c->made && !list_empty(&c->made->unkept)) {
		struct made *m = list_entry(c->made->unkept.next, struct made, node);

		(void)htable_take(&c->made->by_name, m->member.name);
		list_remove(&m->node);
		c->made->unkept_count--;
		free(m);
	}
}

bool conf_has_wildcards(const struct conf *c)
{
	return c->made != NULL;
}

/* ---- names ---- */

/*
 * Of a user's name at Microsoft. https://learn.microsoft.com/azure/active-directory/hybrid/reference-connect-sync-attributes-synchronized
 * (userPrincipalName) and .../entra/identity/authentication/howto-password-policies: A-Z a-z 0-9 ' . - _ ! # ^ ~, no dot
 * before the @; read on 2026-11-30. With a plus it would be another name of the mailbox without.
 */
static bool is_of_name(char c)
{
	static const char others[] = "'.-_!#^~";

	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c && strchr(others, c) != NULL);
}

static bool name_ok(struct sv local)
{
	bool ok = local.len > 0 && local.ptr[0] != '.' && local.ptr[local.len - 1] != '.';

	for (size_t i = 0; i < local.len && ok; i++)
		ok = is_of_name(local.ptr[i]);
	return ok;
}

static struct sv domain_of(struct sv address)
{
	return sv_skip(address, (size_t)(sv_rfind_char(address, '@') + 1));
}

const struct conf_member *conf_wildcard_of(const struct conf *c, struct sv address)
{
	CLEANUP(buf_deinitp) struct buf name = BUF_INIT(LIMIT_ADDRESS + 2);
	const size_t *place;

	if (sv_rfind_char(address, '@') < 0 ||
		buf_printf(&name, "*@%.*s", SV_ARG(domain_of(address))) != 0)
		return NULL;
	place = conf_get_lower(&c->lane_by_name, buf_sv(&name));
	return place ? c->lanes[*place - 1].member : NULL;
}

/* ---- making ---- */

static struct sv write_key(char **at, const char *head, char between, struct sv name)
{
	size_t n = strlen(head);
	char *key = *at;

	must(n < PROVIDER_NAME_MAX);
	memcpy(key, head, n);
	key[n] = between;
	memcpy(key + n + 1, name.ptr, name.len);
	*at = key + n + 1 + name.len;
	return sv_make(key, n + 1 + name.len);
}

static const struct conf_member *make(
	const struct conf *c, const struct conf_member *wildcard, struct sv name)
{
	const size_t lanes = wildcard->lane_count;
	struct made *m;
	char *text;

	if (c->made->unkept_count >= UNKEPT_MAX)
		return NULL;
	m = xcalloc(1,
		sizeof(*m) + lanes * sizeof(m->lanes[0]) +
			(lanes + 1) * (PROVIDER_NAME_MAX + name.len));
	text = (char *)&m->lanes[lanes];
	m->made = c->made;
	m->member = *wildcard;
	m->member.key = write_key(&text, "m", ':', name);
	m->member.name = sv_skip(m->member.key, 2);
	m->member.lanes = m->lanes;
	for (size_t i = 0; i < lanes; i++) {
		struct conf_lane *l = &m->lanes[i];

		*l = wildcard->lanes[i];
		l->member = &m->member;
		l->is_wildcard = false;
		l->made_of = &wildcard->lanes[i];
		l->name = l->login = m->member.name;
		l->key = write_key(&text, provider_name(l->provider), '/', name);
	}
	htable_put(&c->made->by_name, m->member.name, m);
	list_append(&c->made->unkept, &m->node);
	c->made->unkept_count++;
	return &m->member;
}

/* In lower case and without its tag. False: no mailbox has such a name. */
static bool mailbox_name(struct sv address, char out[LIMIT_ADDRESS], struct sv *out_name)
{
	ptrdiff_t at = sv_rfind_char(address, '@'), plus = sv_find_char(address, '+');
	struct sv local, domain;
	size_t n = 0;

	if (at <= 0 || address.len > LIMIT_ADDRESS)
		return false;
	local = sv_head(address, (size_t)(plus > 0 && plus < at ? plus : at));
	domain = sv_skip(address, (size_t)at);
	for (size_t i = 0; i < local.len; i++)
		out[n++] = ascii_lower(local.ptr[i]);
	for (size_t i = 0; i < domain.len; i++)
		out[n++] = ascii_lower(domain.ptr[i]);
	*out_name = sv_make(out, n);
	return name_ok(sv_head(*out_name, local.len));
}

const struct conf_member *conf_made_named(const struct conf *c, struct sv name)
{
	const struct conf_member *wildcard = c->made ? conf_wildcard_of(c, name) : NULL;
	char low[LIMIT_ADDRESS];
	struct made *m;
	struct sv own;

	/* What an address is called in the queue is its mailbox's name already. */
	if (!wildcard || !mailbox_name(name, low, &own) || !sv_eq(own, name) ||
		conf_mailbox_of(c, name))
		return NULL;
	m = htable_get(&c->made->by_name, name);
	return m ? &m->member : make(c, wildcard, name);
}

/* ---- who may ---- */

/* "*@contoso.com" and "erp@contoso.com" name the domain; "*" and "*@*.com" do not. */
static bool names_domain(struct sv pattern)
{
	ptrdiff_t at = sv_rfind_char(pattern, '@');

	return at >= 0 && sv_find_char(sv_skip(pattern, (size_t)at), '*') < 0;
}

static bool may_use(const struct conf *c, struct sv sender, struct sv user, struct sv device)
{
	const struct conf_device *d = device.len ? conf_device(c, device) : NULL;
	const struct conf_user *u = user.len ? conf_local_user(c, user) : NULL;

	if (device.len)
		return d && address_eq(d->sender, sender);
	if (!u && user.len)
		u = conf_user(c, user);
	if (!u)
		return false;
	if (u->as.len && address_eq(u->as, sender))
		return true;
	for (size_t i = 0; i < u->sender_count; i++)
		if (names_domain(u->senders[i]) && address_matches(u->senders[i], sender))
			return true;
	return false;
}

const struct conf_member *conf_made_for(
	const struct conf *c, struct sv sender, struct sv user, struct sv device)
{
	char low[LIMIT_ADDRESS];
	const struct conf_member *m;
	struct sv name;

	if (!c->made || !conf_wildcard_of(c, sender) || !may_use(c, sender, user, device) ||
		!mailbox_name(sender, low, &name))
		return NULL;
	m = conf_mailbox_of(c, name);
	return m ? m : conf_made_named(c, name);
}
