/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/sv.h"
#include "provider/cause.h"

#include <stdbool.h>

/*
 * What an answer of a mail system means. A value, never an error (style 3.3, plane 3): provider/
 * makes it from a reply, only sched/ acts on it.
 */
enum verdict_kind {
	VERDICT_DELIVERED,
	VERDICT_RETRY, /* later, by the retry schedule; or after `retry_after_us` if that is set */
	VERDICT_PARK, /* hold `scope` with a visible reason until somebody fixes it; never a bounce */
	VERDICT_BOUNCE, /* can never work: tell the sender */
	VERDICT_KIND_COUNT,
};

/* What the verdict speaks of. A park or a retry of a wider scope holds everything in it. */
enum verdict_scope {
	VERDICT_SCOPE_RECIPIENT,
	VERDICT_SCOPE_MESSAGE,
	VERDICT_SCOPE_SENDER,          /* this sender on this mailbox (SendAs refused) */
	VERDICT_SCOPE_MAILBOX,         /* the lane: its credentials, its state at the provider */
	VERDICT_SCOPE_MAILBOX_WINDOW,  /* a limit of the mailbox that clears with time */
	VERDICT_SCOPE_TENANT,          /* every mailbox of the tenant */
	VERDICT_SCOPE_TENANT_EXTERNAL, /* mail of the tenant to recipients outside of it */
	VERDICT_SCOPE_ROUTE,           /* the endpoint: DNS, connect, TLS */
	VERDICT_SCOPE_COUNT,
};

/* Why, in the one respect that decides whether the mail may leave by another door meanwhile. The store
 * keeps the numbers: they never change, only grow. */
enum verdict_nature {
	VERDICT_NATURE_OTHER,
	VERDICT_NATURE_AUTHENTICATION, /* we cannot sign in, or may not do what we ask for */
	VERDICT_NATURE_QUOTA,          /* a limit that clears with time */
	VERDICT_NATURE_OUTAGE,         /* the service, or the way to it, is broken */
	/* Spam or abuse is suspected: held until a person releases it. By another door it would be
	 * evasion, and could take the tenant down. */
	VERDICT_NATURE_REPUTATION,
	VERDICT_NATURE_COUNT,
};

struct verdict {
	enum verdict_kind kind;
	enum verdict_scope scope;
	enum verdict_nature nature;
	uint64_t
		retry_after_us; /* 0: the schedule decides. For PARK: probe again after this long */
	bool of_line; /* nobody refused anything: the line broke, or the way to the server is closed */
	bool proved; /* the reply itself proves its scope, whatever message it was said to: a limit */
	char enhanced[12]; /* "5.7.139", from the reply or made to fit its class; NUL-ended */
	enum cause cause;
	const char *summary; /* static sentence for people: what it means */
};

const char *verdict_kind_name(enum verdict_kind kind);    /* "delivered", "retry", ... */
const char *verdict_scope_name(enum verdict_scope scope); /* "recipient", "mailbox-window", ... */
const char *verdict_nature_name(enum verdict_nature nature); /* "authentication", "quota", ... */
/* Whether mail that this holds may go by the next door of `through: [a, b]`. */
NODISCARD bool verdict_may_go_elsewhere(const struct verdict *v);
NODISCARD int verdict_kind_parse(struct sv name, enum verdict_kind *out_kind);
NODISCARD int verdict_scope_parse(struct sv name, enum verdict_scope *out_scope);

/* The name of a cause stands in logs, metrics and the queue: "smtp-auth-off". Of CAUSE_NONE: "". */
const char *cause_name(enum cause cause);
/* Also by a name that it had once. Empty: CAUSE_NONE; what nobody knows: CAUSE_UNKNOWN_CAUSE. */
enum cause cause_parse(struct sv name);
/* The verdict that the catalogue has for a cause that no reply gave. */
struct verdict cause_verdict(enum cause cause);
