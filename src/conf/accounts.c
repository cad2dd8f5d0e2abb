/* SPDX-License-Identifier: Apache-2.0 */
#include "base/limits.h"
#include "base/must.h"
#include "conf/conf_priv.h"
#include "mail/address.h"
#include "provider/defaults.h"

/*
 * Mailboxes that sign in as one account (`login:`). Microsoft counts messages a minute and connections of who signs in,
 * and recipients a day of who stands in From (facts of client submission: 30 a minute, 3 connections).
 */

/* "m:it@contoso.com", as its own member's key would be. False: it signs in as itself, or nobody counts by accounts. */
static bool account_key(const struct conf_lane *l, struct buf *out)
{
	if (l->kind != CONF_LANE_MAILBOX || !provider_defaults(l->provider)->shares_mailbox ||
		!l->login.len)
		return false;
	return buf_append(out, SV("m:")) == 0 && address_key(out, l->login) == 0 &&
	       !sv_eq(buf_sv(out), l->member->key);
}

/* What the more careful one says holds for all. 0 is no limit. */
static bool is_stricter(const struct conf_limits *a, const struct conf_limits *b)
{
	if (a->messages_per_minute == 0 || b->messages_per_minute == 0)
		return a->messages_per_minute > 0;
	return (uint64_t)a->messages_per_minute * a->share_percent <
	       (uint64_t)b->messages_per_minute * b->share_percent;
}

static void join(struct conf_account *a, struct conf_lane *l)
{
	if (!a->limits || is_stricter(&l->limits, a->limits))
		a->limits = &l->limits;
	a->member_count += l->door == 0 || l->member->lanes[0].account != a;
	l->account = a;
}

static struct conf_account *account_of(struct conf_load *ld, struct sv key, struct conf_lane *l)
{
	struct conf_account *a = htable_get(&ld->conf->account_by_key, key);

	if (a)
		return a;
	a = arena_alloc(&ld->conf->arena, sizeof(*a));
	*a = (struct conf_account){ .key = conf_keep(ld, key), .place = l->place };
	htable_put(&ld->conf->account_by_key, a->key, a);
	return a;
}

/* The account's own mailbox, if it has one here, is one of them. */
static void join_own(struct conf *c)
{
	for (size_t i = 0; i < c->lane_count; i++) {
		struct conf_lane *l = &c->lanes[i];
		struct conf_account *a =
			l->account ? NULL : htable_get(&c->account_by_key, l->member->key);

		if (a && provider_defaults(l->provider)->shares_mailbox)
			join(a, l);
	}
}

/* Each gets its part, and one at least: where they are more than connections, what the server says is left to decide. */
static void share_connections(struct conf *c)
{
	for (size_t i = 0; i < c->lane_count; i++) {
		struct conf_lane *l = &c->lanes[i];
		uint32_t each = l->account ? l->limits.connections / l->account->member_count : 0;

		if (l->account && l->account->member_count > 1)
			l->limits.connections = each ? each : 1;
	}
}

static void tell(struct conf_load *ld)
{
	htable_each (&ld->conf->account_by_key, slot) {
		struct conf_account *a = slot->value;
		struct conf_node at = conf_node_at(a->place);

		if (a->member_count > 1 && a->limits->messages_per_minute)
			conf_warn(ld,
				&at,
				"login: %u mailboxes sign in as %.*s and share what it may send: "
				"%u "
				"messages a minute together (Microsoft counts them of who signs "
				"in); "
				"give each its own sign-in, or auth: app, for as many each",
				a->member_count,
				SV_ARG(sv_skip(a->key, 2)),
				a->limits->messages_per_minute);
	}
}

void conf_accounts_make(struct conf_load *ld)
{
	struct conf *c = ld->conf;

	for (size_t i = 0; i < c->lane_count; i++) {
		CLEANUP(buf_deinitp) struct buf key = BUF_INIT(LIMIT_ADDRESS + 8);
		struct conf_lane *l = &c->lanes[i];

		if (account_key(l, &key))
			join(account_of(ld, buf_sv(&key), l), l);
	}
	join_own(c);
	share_connections(c);
	tell(ld);
}
