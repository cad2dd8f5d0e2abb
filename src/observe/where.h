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
/* A recipient that waits, or ended before it was tried, gets that lane, and so is shown like one that has left. */
void observe_set_lane(
	struct outbound *outbound, const struct conf *conf, struct store_recipient *r);
/* Likewise all of a message; their list is made anew. */
void observe_set_lanes(struct outbound *outbound, const struct conf *conf, struct arena *arena,
	struct store_message *m);
/* The names of a queue's members, in the order in which they are asked. */
json_t *observe_queue_json(struct sv queue);
