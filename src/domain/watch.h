/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "conf/conf.h"
#include "domain/check.h"
#include "io/dnssec.h"

/*
 * The domains of the mailboxes, looked at when the daemon starts and every hour from then on (`domains: { watch: yes }`).
 * What it finds is kept in memory; what changes is an event. A look-up that fails changes nothing.
 */
struct domain_watch;

enum domain_news {
	DOMAIN_NEWS_FAILS,   /* it does not meet receivers' rules (any more) */
	DOMAIN_NEWS_MEETS,   /* it does: at the first look, or again */
	DOMAIN_NEWS_CHANGED, /* a record, a key, a listing: `text` is the difference */
};
struct domain_event {
	struct sv domain;
	enum domain_news news;
	struct sv text;
};
typedef void domain_event_fn(void *arg, const struct domain_event *e);

/* Views live until the next look. */
struct domain_state {
	enum domain_meets meets;
	struct sv why, step; /* of a fail */
	struct sv change;    /* the last; empty: none since the start */
	struct wall_time looked_at, changed_at;
};

/* NULL, and *err, when DNS cannot be asked; also (without an error) when the configuration does not want it. What `old`
 * (NULL: none) knows of the same domains is taken from it, so that a change is seen; it is to be freed all the same. */
NODISCARD struct domain_watch *domain_watch_new(struct io_loop *loop, const struct conf *conf,
	struct domain_watch *old, domain_event_fn *event, void *arg, struct err *err);
void domain_watch_free(struct domain_watch *d);
/* NULL: not looked at yet, or not one of them. */
const struct domain_state *domain_watch_get(const struct domain_watch *d, struct sv domain);
void domain_watch_each(const struct domain_watch *d,
	void (*each)(void *arg, struct sv domain, const struct domain_state *state), void *arg);
