/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/conf_priv.h"
#include "conf/route.h"

/* Classes: what a user, device, listener or route says of its mail, and how long mail of each may live. */

static const char *const words[] = { "transactional", "normal", "bulk", NULL };
static_assert(CONF_CLASS_TRANSACTIONAL == MAIL_CLASS_TRANSACTIONAL + 1 &&
		      CONF_CLASS_NORMAL == MAIL_CLASS_NORMAL + 1 &&
		      CONF_CLASS_BULK == MAIL_CLASS_BULK + 1 &&
		      COUNT_OF(words) == MAIL_CLASS_COUNT + 1,
	"order of the words");

void conf_read_class(struct conf_load *ld, const struct conf_node *value, void *out)
{
	static const struct conf_field field = {
		.name = SV_INIT("class"), .type = CONF_TYPE_CHOICE, .words = words
	};
	enum conf_class *class = out;
	unsigned word = MAIL_CLASS_COUNT;

	conf_read_value(ld, value, &field, &word);
	if (word < MAIL_CLASS_COUNT)
		*class = (enum conf_class)(word + 1);
}

#define EXPIRE(fields_of, class)                                                         \
	static const struct conf_field fields_of[] = {                                   \
		{ .name = SV_INIT("expire"),                                             \
			.type = CONF_TYPE_DURATION,                                      \
			.offset = offsetof(struct conf_general, class_expire_us[class]), \
			.min = US_PER_S,                                                 \
			.max = 30 * US_PER_DAY },                                        \
		CONF_FIELDS_END,                                                         \
	}
EXPIRE(transactional_fields, MAIL_CLASS_TRANSACTIONAL);
EXPIRE(normal_fields, MAIL_CLASS_NORMAL);
EXPIRE(bulk_fields, MAIL_CLASS_BULK);

const struct conf_field conf_classes_fields[] = {
	{ .name = SV_INIT("transactional"), .type = CONF_TYPE_MAP, .fields = transactional_fields },
	{ .name = SV_INIT("normal"), .type = CONF_TYPE_MAP, .fields = normal_fields },
	{ .name = SV_INIT("bulk"), .type = CONF_TYPE_MAP, .fields = bulk_fields },
	CONF_FIELDS_END,
};

void conf_classes_check(struct conf_load *ld, const struct conf_node *map)
{
	const struct conf_general *g = &ld->conf->general;

	for (unsigned i = 0; i < MAIL_CLASS_COUNT; i++) {
		const struct conf_node *class = map ? conf_find(map, sv_from(words[i])) : NULL;
		const struct conf_node *at = class ? conf_find(class, SV("expire")) : NULL;

		if (at && g->class_expire_us[i] > g->retry_expire_us)
			conf_error(ld,
				at,
				"classes: %s: expire is longer than retry: expire, which ends all "
				"mail: make it shorter, or retry: expire longer",
				words[i]);
	}
}

/* A pool is there for mail of one kind, whoever gives it. */
static enum conf_class said_of_pool(const struct conf_route *r)
{
	static const enum conf_class of_kind[] = { [CONF_POOL_TRANSACTIONAL] = CONF_CLASS_UNSAID,
		[CONF_POOL_NEWSLETTER] = CONF_CLASS_BULK,
		[CONF_POOL_OUTREACH] = CONF_CLASS_BULK };
	const struct conf_member *m = r->through_count ? r->through[0].member : NULL;

	if (!m || m->kind != CONF_LANE_POOL)
		return CONF_CLASS_UNSAID;
	return m->pool->class != CONF_CLASS_UNSAID ? m->pool->class : of_kind[m->pool->kind];
}

/* What whoever gave it says, and what the listener. */
static enum conf_class said_of_origin(const struct conf_user *user,
	const struct conf_device *device, const struct conf_listener *listener)
{
	enum conf_class class = user ? user->class : device ? device->class : CONF_CLASS_UNSAID;

	return class == CONF_CLASS_UNSAID && listener ? listener->class : class;
}

enum mail_class conf_class_of(const struct conf_route *route, const struct conf_user *user,
	const struct conf_device *device, const struct conf_listener *listener)
{
	enum conf_class class = route ? route->class : CONF_CLASS_UNSAID;

	if (class == CONF_CLASS_UNSAID && route)
		class = said_of_pool(route);
	if (class == CONF_CLASS_UNSAID)
		class = said_of_origin(user, device, listener);
	return class == CONF_CLASS_UNSAID ? MAIL_CLASS_NORMAL
					  : (enum mail_class)((unsigned)class - 1);
}

struct wall_time conf_class_end(
	const struct conf *c, enum mail_class class, struct wall_time accepted_at)
{
	uint64_t us = conf_general(c)->class_expire_us[class];

	return us ? wall_add(accepted_at, (int64_t)us) : (struct wall_time){ INT64_MAX };
}

struct wall_time conf_mail_end(
	const struct conf *c, enum mail_class class, struct wall_time accepted_at)
{
	struct wall_time all = wall_add(accepted_at, (int64_t)conf_general(c)->retry_expire_us);
	struct wall_time own = conf_class_end(c, class, accepted_at);

	return own.us < all.us ? own : all;
}
