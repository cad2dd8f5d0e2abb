/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "conf/conf.h"
#include "diagnose/diagnose.h"

#include <jansson.h>

/* What the daemon that runs says of mailboxes and of one sender: the other half of `check`. */
struct check_relay {
	json_t *lanes;   /* by key: what `mailboxes` tells; NULL: no daemon runs */
	json_t *senders; /* by key of the lane: waiting mail of the sender with a cause */
	char text[1200]; /* of the last answer */
};

/* `sender` may be empty. */
void check_relay_ask(struct conf *c, struct sv sender, struct check_relay *out);
void check_relay_deinit(struct check_relay *r);
/* The text is valid until the next call. */
enum diagnose_hold check_relay_of(
	struct check_relay *r, const struct conf_lane *lane, struct diagnose_heard *out);
