/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "authn/ask.h"
#include "base/arena.h"
#include "provider/cloud.h"

/*
 * Is this domain ready to send? What it publishes, judged as receivers judge it. A function over a memo of answers
 * (authn/ask.h), without the network; domain/look.h asks for the answers.
 */
enum {
	DOMAIN_SELECTORS_MAX = 8, /* beside Microsoft's two */
	DOMAIN_ADDRESSES_MAX = 8,
	DOMAIN_LISTS_MAX = 8,
	DOMAIN_FINDINGS_MAX = 80,
	DOMAIN_RECEIVERS_MAX = 4,
	/* An SPF tree, a DMARC walk, ten selectors, the addresses on their lists, and the rest. */
	DOMAIN_QUESTIONS_MAX = 240,
};

struct domain_address {
	struct sv text; /* as it was given */
	unsigned char bytes[16];
	bool is_ipv6;
	struct sv why; /* "connector lab", "--ip" */
	bool sends;    /* a connector leaves from it: its name and the block lists count */
};

/* Views must live as long as the memo is used. */
struct domain_question {
	struct sv domain; /* ASCII (A-labels) */
	enum provider_cloud cloud;
	const struct sv *selectors;
	size_t selector_count;
	const struct domain_address *addresses;
	size_t address_count;
	struct sv helo; /* what connectors say in EHLO; empty: not looked at */
	const struct sv *block_lists;
	size_t block_list_count;
};

enum domain_topic {
	DOMAIN_SPF,
	DOMAIN_DKIM,
	DOMAIN_DMARC,
	DOMAIN_MX,
	DOMAIN_AUTODISCOVER,
	DOMAIN_MTA_STS,
	DOMAIN_TLS_RPT,
	DOMAIN_DANE,
	DOMAIN_HOST, /* name of a connector's address, and what it says in EHLO */
	DOMAIN_LISTS,
	DOMAIN_TOPIC_COUNT
};
enum domain_level {
	DOMAIN_OK,
	DOMAIN_NOTE,    /* as it is, and that is fine */
	DOMAIN_WARN,    /* mail passes, but */
	DOMAIN_FAIL,    /* mail is refused, or filed as spam */
	DOMAIN_UNKNOWN, /* the DNS gave no answer */
	DOMAIN_LEVEL_COUNT
};
struct domain_finding {
	enum domain_topic topic;
	enum domain_level level;
	struct sv text;   /* a sentence without its full stop */
	struct sv step;   /* what to do; may be empty */
	struct sv record; /* as published; may be empty */
};

enum domain_meets {
	DOMAIN_MEETS,
	DOMAIN_FAILS,
	DOMAIN_MEETS_UNKNOWN,
	DOMAIN_MEETS_COUNT
};
struct domain_rule {
	const char *receiver;
	const char *who;
	enum domain_meets meets;
	struct sv why, step; /* of a fail */
};

struct domain_report {
	struct sv domain;
	struct domain_finding findings[DOMAIN_FINDINGS_MAX];
	size_t finding_count;
	struct domain_rule rules[DOMAIN_RECEIVERS_MAX];
	size_t rule_count;
	enum domain_level spf, dkim, dmarc; /* what the rules go by: OK, FAIL or UNKNOWN */
	unsigned lookups;
	struct arena arena;
};

/* False while it waits for answers: then *r is not to be read. Run again, it begins anew. */
NODISCARD bool domain_check(
	const struct domain_question *q, struct authn_memo *memo, struct domain_report *r);
void domain_report_deinit(struct domain_report *r);

/* The whole: FAILS if a receiver's rules are not met, UNKNOWN if that cannot be told. */
enum domain_meets domain_report_meets(const struct domain_report *r);
const char *domain_topic_name(enum domain_topic t); /* "SPF" */
const char *domain_level_name(enum domain_level l); /* "ok", "note", "warn", "fail", "unknown" */
const char *domain_meets_name(enum domain_meets m); /* "meets", "fails", "unknown" */
