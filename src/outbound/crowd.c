/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "conf/made.h"
#include "outbound/outbound_priv.h"

#include <stdlib.h>

/*
 * Mailboxes of a wildcard that are at work (conf/made.h): so many at once, and each counts to the user or device whose mail was the first
 * for it. One of these has another only while it has fewer than are free: alone it comes to half of all, two of them
 * to a third each, and whoever comes next finds room. So nobody who invents senders takes the last place, and nobody's
 * mailbox gives way to another's: what has mail stays.
 */
struct crowd_share {
	struct crowd *crowd;
	uint32_t count;
	char *principal;
};

struct crowd {
	uint32_t count;
	bool denied; /* mail waits for a place */
	struct htable shares;
	char *name;
};

static struct crowd *crowd_of(struct outbound *o, struct sv wildcard)
{
	struct crowd *w = htable_get(&o->crowds.by_name, wildcard);

	if (w)
		return w;
	w = xcalloc(1, sizeof(*w));
	w->name = sv_dup(wildcard);
	htable_put(&o->crowds.by_name, wildcard, w);
	return w;
}

static struct crowd_share *share_of(struct crowd *w, struct sv principal)
{
	struct crowd_share *s = htable_get(&w->shares, principal);

	if (s)
		return s;
	s = xcalloc(1, sizeof(*s));
	s->crowd = w;
	s->principal = sv_dup(principal);
	htable_put(&w->shares, principal, s);
	return s;
}

bool crowd_has_room(struct outbound *o, const struct conf_lane *c, struct sv principal)
{
	struct crowd *w = crowd_of(o, c->made_of->name);
	const struct crowd_share *own = htable_get(&w->shares, principal);
	uint32_t left = w->count < c->at_once ? c->at_once - w->count : 0;

	if ((own ? own->count : 0) < left)
		return true;
	w->denied = true;
	return false;
}

void crowd_join(struct member *m, struct outbound *o, const struct conf_lane *c)
{
	m->share = share_of(crowd_of(o, c->made_of->name), o->crowds.principal);
	m->share->count++;
	m->share->crowd->count++;
	o->crowds.count++;
	list_append(&o->crowds.members, &m->of_crowd);
}

void crowd_leave(struct outbound *o, struct member *m)
{
	struct crowd_share *s = m->share;

	if (!s)
		return;
	m->share = NULL;
	list_remove(&m->of_crowd);
	must(s->count > 0 && s->crowd->count > 0);
	s->crowd->count--;
	o->crowds.count--;
	if (--s->count > 0)
		return;
	(void)htable_take(&s->crowd->shares, sv_from(s->principal));
	free(s->principal);
	free(s);
}

bool crowd_is_denied(const struct outbound *o)
{
	htable_each (&o->crowds.by_name, slot)
		if (((const struct crowd *)slot->value)->denied)
			return true;
	return false;
}

void crowd_forgive(struct outbound *o)
{
	htable_each (&o->crowds.by_name, slot)
		((struct crowd *)slot->value)->denied = false;
}

uint32_t crowd_count(const struct outbound *o, struct sv wildcard, bool *out_denied)
{
	const struct crowd *w = htable_get(&o->crowds.by_name, wildcard);

	*out_denied = w && w->denied;
	return w ? w->count : 0;
}

void crowds_free(struct outbound *o)
{
	htable_each (&o->crowds.by_name, slot) {
		struct crowd *w = slot->value;

		htable_each (&w->shares, of) {
			struct crowd_share *s = of->value;

			free(s->principal);
			free(s);
		}
		htable_deinit(&w->shares);
		free(w->name);
		free(w);
	}
	htable_deinit(&o->crowds.by_name);
}
