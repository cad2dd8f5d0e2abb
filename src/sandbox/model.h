/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/sv.h"
#include "base/time.h"
#include "provider/limits.h"
#include "sandbox/window.h"

/*
 * The behaviour of Microsoft 365 as a sender meets it, without I/O: switches of the tenant and of its
 * mailboxes, and limits that are counted at the end of DATA. It answers in Exchange Online's words and
 * keeps a record of every limit that was broken: the sandbox is a judge, too.
 *
 * Sources of texts and figures: Exchange Online limits (learn.microsoft.com, outbound sending limits,
 * 2026-05-26), "SMTP submission improvements" (OfficeDocs-Support), NDR table, public session logs of
 * 2025. Times are the sandbox's own, which may run faster than the wall.
 */
struct sandbox_model;

enum sandbox_switch {
	SANDBOX_INHERIT,
	SANDBOX_ON,
	SANDBOX_OFF
};

struct sandbox_limits {
	uint32_t messages_per_minute;    /* 30 */
	uint32_t connections;            /* 3 sending at once */
	uint32_t recipients_per_day;     /* 10,000 in 24 h, sliding */
	uint32_t recipients_per_message; /* 500 */
	uint32_t graph_connections;      /* 4 requests at once, an app on a mailbox */
	uint32_t graph_requests;         /* 10,000 in ten minutes */
	uint32_t graph_bytes;            /* 150 MB in five minutes */
	uint64_t message_bytes_max; /* 35 MB: the mailbox default; SIZE says 150 MB all the same */
	/* Of the tenant. They refuse, and count as broken, only where `strict` is set: who tries a relay's speed
	 * has no thousand licences. */
	bool strict;
	struct provider_tenant tenant;  /* external recipients in 24 h, sliding; 1 licence */
	uint32_t onmicrosoft_per_day;   /* external recipients from onmicrosoft.com senders: 100 */
	uint32_t direct_per_hour;       /* direct send, to one domain: 3,600 */
	uint32_t hve_cents_per_million; /* 4,200 */
	uint32_t hve_budget_cents;      /* 0: none */
};

/* All that is counted: for the verdict. */
enum sandbox_limit {
	SANDBOX_LIMIT_MINUTE,
	SANDBOX_LIMIT_CONNECTIONS,
	SANDBOX_LIMIT_DAY,
	SANDBOX_LIMIT_MESSAGE,
	SANDBOX_LIMIT_EXTERNAL,
	SANDBOX_LIMIT_ONMICROSOFT,
	SANDBOX_LIMIT_DIRECT,
	SANDBOX_LIMIT_GRAPH_CONNECTIONS,
	SANDBOX_LIMIT_GRAPH_REQUESTS,
	SANDBOX_LIMIT_GRAPH_BYTES,
	SANDBOX_LIMIT_HVE_MONEY, /* cents */
	SANDBOX_LIMIT_SEND_AS,
	SANDBOX_LIMIT_COUNT,
};
const char *sandbox_limit_name(enum sandbox_limit limit);  /* "tenant-external" */
const char *sandbox_limit_scope(enum sandbox_limit limit); /* whom it counts: "tenant" */

/* How near it came to a limit. */
struct sandbox_peak {
	char who[320];
	uint64_t used, allowed; /* allowed 0: it was no limit */
	uint64_t at_us;
	uint64_t broken; /* how often */
};

struct sandbox_mailbox {
	char *address;  /* lower case */
	char *password; /* the sandbox's own, no secret */
	enum sandbox_switch smtp_auth;
	bool full;    /* Sent Items filled it: 554 5.2.2 */
	bool blocked; /* restricted entity: 550 5.1.8 */
	bool missing; /* there is no such mailbox in the tenant: its sign-ins fail as those with a bad token do */
	char **send_as; /* patterns it may send as besides itself */
	size_t send_as_count;
	uint32_t
		refusals; /* SendAs refusals in a row: at ten the whole mailbox is throttled, 5.2.252 */
	uint32_t sending;                                /* open transactions now */
	struct sandbox_window messages;                  /* of a minute */
	struct sandbox_window recipients;                /* of a day, over all doors */
	struct sandbox_people people_minute, people_day; /* who send from it beside us */
	uint64_t accepted;
};

struct sandbox_reply {
	uint16_t code;
	char enhanced[12];
	char text[400];
};

/* One limit broken: `limit` is a static name, "messages-per-minute". */
struct sandbox_violation {
	const char *limit;
	char mailbox[320];
	uint64_t at_us;
	uint32_t used, allowed;
};

NODISCARD struct sandbox_model *sandbox_model_new(void);
void sandbox_model_free(struct sandbox_model *m);

struct sandbox_limits *sandbox_model_limits(struct sandbox_model *m);
/* Of the whole tenant. */
struct sandbox_switches {
	bool tenant_auth, basic_auth; /* on at first */
	bool security_defaults;
	bool rewrite_ids; /* new Message-IDs in the final 250 */
	bool all_full;    /* every mailbox is full */
};
struct sandbox_switches *sandbox_model_switches(struct sandbox_model *m);
/* Any address signs in with this password, and its mailbox comes into being; empty: only known ones. */
void sandbox_model_set_open_password(struct sandbox_model *m, struct sv password);

/* Finds, or with `make` makes, a mailbox. NULL when unknown. */
struct sandbox_mailbox *sandbox_model_mailbox(
	struct sandbox_model *m, struct sv address, bool make);
size_t sandbox_model_mailbox_count(const struct sandbox_model *m);
struct sandbox_mailbox *sandbox_model_mailbox_at(struct sandbox_model *m, size_t index);
void sandbox_mailbox_set_password(struct sandbox_mailbox *b, struct sv password);
void sandbox_mailbox_allow_send_as(struct sandbox_mailbox *b, struct sv pattern);

/* At AUTH LOGIN: code 235 and the mailbox, or Exchange's refusal. */
struct sandbox_mailbox *sandbox_model_sign_in(struct sandbox_model *m, struct sv user,
	struct sv password, struct sandbox_reply *out_reply);
/* At AUTH XOAUTH2, once the token was looked at: Exchange gives one bare refusal for all that it lacks. */
struct sandbox_mailbox *sandbox_model_sign_in_token(struct sandbox_model *m, struct sv user,
	bool token_is_good, struct sandbox_reply *out_reply);

/* The same for a High Volume Email account, whose switches are others. */
struct sandbox_mailbox *sandbox_model_sign_in_hve(struct sandbox_model *m, struct sv user,
	struct sv password, struct sandbox_reply *out_reply);

/* Which limits of a mailbox hold at a door. */
enum sandbox_counting {
	SANDBOX_COUNT_ALL,
	SANDBOX_COUNT_DAY,  /* recipients in 24 h only: relay by connector, Graph */
	SANDBOX_COUNT_NONE, /* HVE, and bounces by connector */
};

/* One message at the end of DATA. */
struct sandbox_submission {
	struct sandbox_mailbox *mailbox; /* NULL: anonymous session */
	enum sandbox_counting counting;
	bool relay;       /* by connector: the sender is nobody's to check */
	struct sv sender; /* MAIL FROM */
	struct sv from;   /* the header's */
	uint32_t recipients;
	uint32_t external; /* of these, outside of the tenant */
	uint64_t bytes;
	uint64_t now_us;
};
/* code 250 (text left empty: the session writes it) or a refusal; broken limits are recorded. */
void sandbox_model_submit(struct sandbox_model *m, const struct sandbox_submission *s,
	struct sandbox_reply *out_reply);

/* By direct send, which knows no mailbox: a message, counted once for each domain that it goes to. */
void sandbox_model_direct(struct sandbox_model *m, char *const *recipients, size_t count,
	uint64_t now_us, struct sandbox_reply *out_reply);
/* What High Volume Email delivered costs money, and is refused by nobody. */
void sandbox_model_hve(
	struct sandbox_model *m, struct sv account, uint32_t recipients, uint64_t now_us);
uint64_t sandbox_model_hve_microdollars(const struct sandbox_model *m);
/* People send to the outside beside us, so many an hour from now on. */
void sandbox_model_people(struct sandbox_model *m, uint32_t external_per_hour, uint64_t now_us);
/* From this mailbox: messages to one recipient each. */
void sandbox_mailbox_people(struct sandbox_mailbox *b, uint32_t per_hour, uint64_t now_us);
/* As Get-LimitsEnforcementStatus says it: external recipients of the last 24 hours, and how many there may be. */
uint64_t sandbox_model_external(struct sandbox_model *m, uint64_t now_us, uint64_t *out_allowed);

/* So much is used of a limit; 0 allowed: it is none. */
void sandbox_model_used(struct sandbox_model *m, enum sandbox_limit limit, struct sv who,
	uint64_t at_us, uint64_t used, uint64_t allowed);
const struct sandbox_peak *sandbox_model_peak(
	const struct sandbox_model *m, enum sandbox_limit limit);
/* One more broken limit. */
void sandbox_model_broken(struct sandbox_model *m, enum sandbox_limit limit, struct sv who,
	uint64_t at_us, uint64_t used, uint64_t allowed);

size_t sandbox_model_violation_count(const struct sandbox_model *m);
const struct sandbox_violation *sandbox_model_violation(
	const struct sandbox_model *m, size_t index);
void sandbox_model_forget(struct sandbox_model *m); /* counts and violations, not the switches */
