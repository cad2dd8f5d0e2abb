/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "conf/conf.h"
#include "outbound/outbound.h"
#include "store/store.h"

#include <jansson.h>

/* Where mail waits, for a reader. `outbound` NULL: no daemon runs. */

/* The lane by which mail of this flow would leave now; if none can, its first; of one that is gone, its name. */
struct sv observe_flow_lane(
	struct outbound *outbound, const struct conf *conf, const struct mail_flow *flow);
/* Why those of a row of the summary wait: what holds their lane, else what the last attempt was told. */
struct sv observe_flow_cause(struct outbound *outbound, const struct store_summary_row *row);
/* A recipient that waits, or ended before it was tried, gets that lane, and so is shown like one that has left. */
void observe_set_lane(
	struct outbound *outbound, const struct conf *conf, struct store_recipient *r);
/* Likewise all of a message; their list is made anew. */
void observe_set_lanes(struct outbound *outbound, const struct conf *conf, struct arena *arena,
	struct store_message *m);
/*
 * Why one that is queued waits, and about when it leaves, as "wait": "why" (sched/why.h), "ahead", "about_at" and what observe_pace_put()
 * puts. `before`: messages of its flow before it; STORE_AHEAD_UNKNOWN. Nothing where no daemon runs.
 */
void observe_wait_put(json_t *o, struct outbound *outbound, const struct conf *conf,
	const struct store_recipient *r, uint64_t before, struct wall_time now);
/* The limit that sets the pace: "limit" (minute, hour, day), "rate" (messages a minute, recipients an hour or a day), of what is
 * "configured" the "share"; where it is not the mailbox's own, "limit_of" and "limit_name" instead. */
/* Of a scope that is not the mailbox's own, by its key: "account", "tenant" ... */
const char *observe_scope_kind(struct sv key);
void observe_pace_put(json_t *o, const struct sched_reason *why, const struct conf_lane *lane);
/* The names of a queue's members, in the order in which they are asked. */
json_t *observe_queue_json(struct sv queue);
