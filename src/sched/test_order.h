/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "sched/order.h"

/* Doors and flows for the tests of the order. */

#define AT(s) ((struct wall_time){ (int64_t)(s) * (int64_t)US_PER_S })
#define SOON AT(100)

static const struct sched_room all = { 500, 500 };
static const struct sched_taker_state ready = { .is_configured = true };

static inline struct sched_taker *door(struct sched_order *o, const char *member, uint32_t rank)
{
	struct sched_taker *t = sched_taker_new(sched_member_get(o, sv_from(member)), rank, NULL);

	sched_taker_set(t, &ready);
	return t;
}

static inline struct sched_flow *flow_of(
	struct sched_order *o, const char *queue, enum mail_class class, const char *principal)
{
	return sched_flow_get(o,
		&(struct mail_flow){
			.queue = sv_from(queue), .class = class, .principal = sv_from(principal) });
}

static inline struct sched_flow *normal(struct sched_order *o, const char *queue)
{
	return flow_of(o, queue, MAIL_CLASS_NORMAL, "erp");
}
