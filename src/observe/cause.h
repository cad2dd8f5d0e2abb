/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "conf/conf.h"
#include "provider/verdict.h"

#include <jansson.h>

/*
 * What is known of a cause, for people: the one place of observe/ that asks provider/ for it. Here, too,
 * are the causes that only postern gives.
 */
struct observe_cause_facts {
	const struct conf_lane *lane; /* NULL: no one lane */
	const struct conf_tenant *tenant;
	struct sv sender;
};

/* False: nobody gives it; a filter by it finds nothing, ever. */
NODISCARD bool observe_cause_is_known(struct sv cause);
/* The nearest one that is known; empty: none is near. */
struct sv observe_cause_guess(struct sv cause);
/* Whether a recipient that waits for this alone is parked: else it only waits for its next try. */
NODISCARD bool observe_cause_parks(struct sv cause);
/* Whether what is parked for it goes on only when somebody does something. */
NODISCARD bool observe_cause_needs_person(struct sv cause, enum verdict_nature nature);
/* "title", "owner" and "who" (in words), "step", "command", "page"; what is not known is left out. */
void observe_cause_put(json_t *o, struct sv name, const struct observe_cause_facts *facts);
