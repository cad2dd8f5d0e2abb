/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/sv.h"
#include "provider/cause.h"
#include "provider/kind.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Every limit that the services are known to have: whom it counts, what, over how long, how much, and who says so.
 * One table for those who keep the limits, plan with them, or explain them. Pure: data and arithmetic. What a lane
 * does with them by default stands in provider/defaults.c, which may stay below, never above.
 */
enum provider_scope {
	PROVIDER_SCOPE_MESSAGE,     /* one message */
	PROVIDER_SCOPE_MAILBOX,     /* with all of its doors */
	PROVIDER_SCOPE_APP_MAILBOX, /* an app on a mailbox: requests to Graph */
	PROVIDER_SCOPE_CONNECTOR,
	PROVIDER_SCOPE_RECIPIENT_DOMAIN, /* one door and one domain of recipients */
	PROVIDER_SCOPE_ONMICROSOFT,      /* of a tenant, its senders below onmicrosoft.com */
	PROVIDER_SCOPE_TENANT,
	PROVIDER_SCOPE_COUNT,
};
const char *provider_scope_name(enum provider_scope scope); /* "mailbox" */

enum provider_unit {
	PROVIDER_UNIT_MESSAGES,
	PROVIDER_UNIT_RECIPIENTS,  /* a message to three counts three, whoever they are */
	PROVIDER_UNIT_EXTERNAL,    /* likewise, those outside of the tenant */
	PROVIDER_UNIT_UNIQUE,      /* different addresses */
	PROVIDER_UNIT_SAME_DOMAIN, /* recipients of one domain */
	PROVIDER_UNIT_CONNECTIONS, /* sending at once */
	PROVIDER_UNIT_REQUESTS,
	PROVIDER_UNIT_BYTES,
	PROVIDER_UNIT_ACCOUNTS,
	PROVIDER_UNIT_COUNT,
};
const char *provider_unit_name(enum provider_unit unit); /* "external recipients" */

enum provider_limit_id {
	PROVIDER_LIMIT_MAILBOX_MINUTE,
	PROVIDER_LIMIT_MAILBOX_CONNECTIONS,
	PROVIDER_LIMIT_MAILBOX_DAY,
	PROVIDER_LIMIT_MESSAGE_RECIPIENTS,
	PROVIDER_LIMIT_MESSAGE_BYTES,
	PROVIDER_LIMIT_TENANT_EXTERNAL, /* amount: provider_tenant_external() */
	PROVIDER_LIMIT_ONMICROSOFT,
	PROVIDER_LIMIT_GRAPH_REQUESTS,
	PROVIDER_LIMIT_GRAPH_CONNECTIONS,
	PROVIDER_LIMIT_GRAPH_BYTES,
	PROVIDER_LIMIT_HVE_RECIPIENTS,
	PROVIDER_LIMIT_HVE_BYTES,
	PROVIDER_LIMIT_HVE_ACCOUNTS,
	PROVIDER_LIMIT_CONNECTOR_DAY,
	PROVIDER_LIMIT_CONNECTOR_DOMAIN,
	PROVIDER_LIMIT_DIRECT_HOUR,
	PROVIDER_LIMIT_DIRECT_DOMAIN,
	PROVIDER_LIMIT_GMAIL_MESSAGES,
	PROVIDER_LIMIT_GMAIL_DAY,
	PROVIDER_LIMIT_GMAIL_EXTERNAL,
	PROVIDER_LIMIT_GMAIL_UNIQUE,
	PROVIDER_LIMIT_GMAIL_MESSAGE,
	PROVIDER_LIMIT_COUNT,
};

/* How sure it is: a page of the service; two others that agree; one other, or a conclusion. */
enum provider_trust {
	PROVIDER_TRUST_STATED,
	PROVIDER_TRUST_AGREED,
	PROVIDER_TRUST_REPORTED,
};

struct provider_limit {
	const char *name; /* "mailbox-minute": in reports, JSON and verdicts */
	uint32_t doors;   /* PROVIDER_DOOR(kind) of each that counts for it */
	enum provider_scope scope;
	enum provider_unit unit;
	uint64_t window_us; /* sliding; 0: at any one time, or in one message */
	uint64_t amount;    /* 0: provider_tenant_external() says */
	enum provider_trust trust;
	const char *source, *checked; /* where, and when it was read: "2026-11-23" */
};
#define PROVIDER_DOOR(kind) (UINT32_C(1) << (kind))

const struct provider_limit *provider_limit(enum provider_limit_id id);
NODISCARD bool provider_limit_counts(const struct provider_limit *limit, enum provider_kind door);
/* What one mailbox or connector may have in a day by this door; where the service has no such limit, a mailbox's. */
const struct provider_limit *provider_limit_of_day(enum provider_kind door);
/* By its name; NULL: there is no such. */
const struct provider_limit *provider_limit_named(struct sv name);

/* Which of them a reply with this cause says is used up, where that one is counted. False: none. */
NODISCARD bool provider_limit_of_reply(
	enum provider_kind door, enum cause cause, enum provider_limit_id *out);

/* Recipients of a message are 500 until an administrator sets them (Set-Mailbox -RecipientLimits), to this at most. */
enum {
	PROVIDER_RECIPIENTS_MOST = 1000
};

/*
 * External recipients of a tenant in 24 hours: 500 x licences^0.7 + 9,500, rounded as Microsoft's own examples are
 * (10 licences: 12,006). A young tenant gets a part of it and a trial a fixed amount; both may differ from what is
 * reported, so all of it can be overridden.
 */
enum {
	PROVIDER_YOUNG_DAYS = 31, /* younger than this: YOUNG_PERCENT */
	PROVIDER_YOUNG_PERCENT = 10,
	PROVIDER_GROWING_DAYS = 61, /* then younger than this: GROWING_PERCENT */
	PROVIDER_GROWING_PERCENT = 25,
	PROVIDER_TRIAL_EXTERNAL =
		500, /* 5,000 on Microsoft's page of May 2026: the lower of the two */
};
#define PROVIDER_AGE_UNKNOWN UINT32_MAX

struct provider_tenant {
	uint32_t licences; /* with mail, no trials */
	uint32_t age_days; /* PROVIDER_AGE_UNKNOWN: an old one */
	bool trial;
	uint32_t external_per_day; /* what its administrator has read; 0: by the rule above */
};
uint32_t provider_tenant_external(const struct provider_tenant *t);
