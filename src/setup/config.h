/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "provider/cloud.h"
#include "setup/report.h"

/* The text of a postern.yaml with comments, for `postern init`, and the sheets of its devices. */
enum setup_door {
	SETUP_DOOR_SUBMISSION,
	SETUP_DOOR_HVE,
	SETUP_DOOR_CONNECTOR,
	SETUP_DOOR_GRAPH,
	SETUP_DOOR_COUNT,
};

/* One line each. */
const char *setup_door_name(enum setup_door door);
const char *setup_door_words(enum setup_door door);
NODISCARD int setup_door_parse(
	struct sv text, enum setup_door *out_door); /* a name or "1" to "4" */

/* In lower case; false: it is no domain. */
NODISCARD bool setup_domain(struct sv text, char out[LIMIT_DOMAIN + 1], struct sv *out_domain);

/* All values are sound: setup_domain(), setup_address(), and paths and URLs without control characters. */
struct setup_choice {
	struct sv domain;
	const struct sv *more_domains; /* besides: those of a report */
	size_t more_domain_count;
	struct sv hostname;  /* empty: the machine's own name does */
	struct sv root;      /* who reads root's mail; empty: nobody was named */
	struct sv tenant_id; /* empty: the domain stands for it */
	enum provider_cloud cloud;
	struct sv login_url, ca_file; /* empty: the cloud's */
	enum setup_door door;
	const struct sv *senders;
	size_t sender_count;
	const struct setup_report *report; /* users to make; NULL: none */
	struct sv folder;                  /* where secrets lie: /etc/postern */
};

enum {
	SETUP_CONFIG_MAX = 8 * 1024 * 1024,
	SETUP_NAME_MAX = LIMIT_ADDRESS + 16,
};
NODISCARD int setup_config(const struct setup_choice *c, struct buf *out);

/* The user of a client: its address, as far as a user can be called so. */
const char *setup_user_name(const struct setup_report *r, size_t i, char out[SETUP_NAME_MAX]);

/* What is to be set at the device of client `i`, in Markdown. `host`: how it reaches the
 * relay. A sheet holds a password. */
NODISCARD int setup_sheet(const struct setup_report *r, size_t i, struct sv host,
	struct sv password, struct buf *out);
