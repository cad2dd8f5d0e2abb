/* SPDX-License-Identifier: Apache-2.0 */
#include "outbound/outbound_priv.h"

/* What is under way, and must end before we do. */

void work_begin(struct work *w, struct outbound *o)
{
	w->o = o;
	list_append(&o->work, &w->node);
	o->deliveries++;
}

void work_end(struct work *w)
{
	list_remove(&w->node);
	w->o->deliveries--;
	outbound_check_drained(w->o);
}

void outbound_check_drained(struct outbound *o)
{
	if (o->draining)
		io_task_post(o->loop, &o->drain_check);
}
