/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/conf.h"

#include "base/must.h"
#include "conf/conf_priv.h"

#include <stdlib.h>

const struct conf_general *conf_general(const struct conf *c)
{
	return &c->general;
}

const struct conf_outside *conf_outsides(const struct conf *c, size_t *out_count)
{
	*out_count = c->outside_count;
	return c->outsides;
}

const struct conf_listener *conf_listeners(const struct conf *c, size_t *out_count)
{
	*out_count = c->listener_count;
	return c->listeners;
}

const struct conf_user *conf_users(const struct conf *c, size_t *out_count)
{
	*out_count = c->user_count;
	return c->users;
}

const struct conf_user *conf_user(const struct conf *c, struct sv name)
{
	const size_t *place = htable_get(&c->user_by_name, name);

	return place ? &c->users[*place - 1] : NULL;
}

const struct conf_user *conf_local_user(const struct conf *c, struct sv name)
{
	const struct conf_user *u;

	if (!sv_starts(name, CONF_LOCAL_PREFIX))
		return NULL;
	u = conf_user(c, name);
	return u ? u : conf_user(c, SV("local:*"));
}

const struct conf_device *conf_devices(const struct conf *c, size_t *out_count)
{
	*out_count = c->device_count;
	return c->devices;
}

const struct conf_device *conf_device(const struct conf *c, struct sv name)
{
	const size_t *place = htable_get(&c->device_by_name, name);

	return place ? &c->devices[*place - 1] : NULL;
}

const struct conf_device *conf_device_at(const struct conf *c, const struct sockaddr *peer)
{
	const struct conf_device *best = NULL;
	unsigned best_bits = 0;

	for (size_t i = 0; i < c->device_count; i++) {
		const struct conf_device *d = &c->devices[i];

		for (size_t n = 0; n < d->from_count; n++) {
			if (!io_network_holds(&d->from[n], peer) ||
				(best && d->from[n].bits <= best_bits))
				continue;
			best = d;
			best_bits = d->from[n].bits;
		}
	}
	return best;
}

const struct conf_tenant *const *conf_tenants(const struct conf *c, size_t *out_count)
{
	*out_count = c->tenant_count;
	return (const struct conf_tenant *const *)c->tenants;
}

static bool tenant_holds(const struct conf_tenant *t, struct sv domain)
{
	for (size_t i = 0; i < t->domain_count; i++)
		if (sv_eq_nocase(t->domains[i], domain))
			return true;
	return false;
}

bool conf_is_internal(const struct conf *c, const struct conf_tenant *tenant, struct sv address)
{
	struct sv domain = sv_skip(address, (size_t)(sv_rfind_char(address, '@') + 1));

	if (tenant)
		return tenant_holds(tenant, domain);
	return conf_get_lower(&c->tenant_by_domain, domain) != NULL;
}

struct provider_tenant conf_tenant_is(const struct conf_tenant *t, struct wall_time now)
{
	struct provider_tenant is = { .licences = t->licences,
		.external_per_day = t->external_per_day,
		.trial = t->trial,
		.age_days = PROVIDER_AGE_UNKNOWN };
	int64_t age_us = now.us - t->created_s * (int64_t)US_PER_S;

	if (t->created_s > 0)
		is.age_days = age_us > 0 ? (uint32_t)(age_us / (int64_t)US_PER_DAY) : 0;
	return is;
}

const struct conf_lane *conf_lanes(const struct conf *c, size_t *out_count)
{
	*out_count = c->lane_count;
	return c->lanes;
}

const struct conf_lane *conf_lane(const struct conf *c, struct sv key)
{
	const size_t *place = htable_get(&c->lane_by_key, key);
	struct sv name = key, provider;
	const struct conf_member *m;

	if (place)
		return &c->lanes[*place - 1];
	m = sv_cut_char(&name, '/', &provider) ? conf_made_named(c, name) : NULL;
	for (size_t i = 0; m && i < m->lane_count; i++)
		if (sv_eq(provider, sv_from(provider_name(m->lanes[i].provider))))
			return &m->lanes[i];
	return NULL;
}

const struct conf_member *conf_members(const struct conf *c, size_t *out_count)
{
	*out_count = c->member_count;
	return c->members;
}

const struct conf_member *conf_member(const struct conf *c, struct sv key)
{
	const struct conf_member *m = htable_get(&c->member_by_key, key);

	return m || !sv_starts(key, SV("m:")) ? m : conf_made_named(c, sv_skip(key, 2));
}

const struct conf_member *conf_member_named(const struct conf *c, struct sv name)
{
	const struct conf_lane *lane = conf_lane_named(c, name);

	return lane ? lane->member : conf_made_named(c, name);
}

const struct conf_lane *conf_lane_named(const struct conf *c, struct sv name)
{
	const size_t *place = htable_get(&c->lane_by_name, name);

	return place ? &c->lanes[*place - 1] : conf_mailbox_lane(c, name);
}

const struct conf_lane *conf_person_door(const struct conf_member *m)
{
	for (size_t i = 0; i < m->lane_count; i++)
		if (m->lanes[i].sign_in == CONF_SIGN_IN_USER)
			return &m->lanes[i];
	return NULL;
}

const struct conf_pool *const *conf_pools(const struct conf *c, size_t *out_count)
{
	*out_count = c->pool_count;
	return (const struct conf_pool *const *)c->pools;
}

const struct conf_pool *conf_pool(const struct conf *c, struct sv name)
{
	return htable_get(&c->pool_by_name, name);
}

bool conf_has_account(const struct conf *c, struct sv key)
{
	return htable_get(&c->account_by_key, key) != NULL;
}

bool conf_has_password(const struct conf *c, enum provider_kind provider)
{
	return c->has_password[provider];
}

const struct conf_route *conf_routes(const struct conf *c, size_t *out_count)
{
	*out_count = c->route_count;
	return c->routes;
}

struct sv conf_alias(const struct conf *c, struct sv local_part)
{
	const struct sv *end = conf_get_lower(&c->alias, local_part);

	return end ? *end : SV("");
}

struct conf *conf_ref(struct conf *c)
{
	c->refs++;
	return c;
}

void conf_unref(struct conf *c)
{
	if (!c)
		return;
	must(c->refs > 0);
	if (--c->refs)
		return;
	conf_made_free(c);
	htable_deinit(&c->user_by_name);
	htable_deinit(&c->device_by_name);
	htable_deinit(&c->tenant_by_name);
	htable_deinit(&c->tenant_by_domain);
	htable_deinit(&c->lane_by_key);
	htable_deinit(&c->lane_by_name);
	htable_deinit(&c->account_by_key);
	htable_deinit(&c->pool_by_name);
	htable_deinit(&c->member_by_key);
	htable_deinit(&c->alias);
	conf_route_index_free(c);
	free(c->listeners);
	free(c->users);
	free(c->devices);
	free(c->tenants);
	free(c->lanes);
	free(c->pools);
	free(c->routes);
	free(c->outsides);
	arena_reset(&c->arena);
	free(c);
}
