/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "conf/conf.h"
#include "identity/vault.h"
#include "provider/reply.h"

/*
 * What `postern check MAILBOX` does on the network: the way of a message through one mailbox or connector,
 * step by step, with the daemon's own parts, on a loop of its own. Each step ends within DIAGNOSE_STEP_S
 * seconds, so that the whole ends. No mail leaves unless it is asked for.
 */
enum {
	DIAGNOSE_STEP_S = 10
};

enum diagnose_status {
	DIAGNOSE_OK,
	DIAGNOSE_WARN,
	DIAGNOSE_FAIL,
	DIAGNOSE_SKIPPED,
	DIAGNOSE_STATUS_COUNT,
};
const char *diagnose_status_name(enum diagnose_status status); /* "ok", "warn", ... */

struct diagnose_step {
	const struct conf_lane *lane;
	const char *name; /* static: "name", "connect", "TLS", "token", ... */
	enum diagnose_status status;
	const char *cause; /* static slug: "port-blocked"; empty: none */
	struct sv text;    /* a sentence; never a secret */
	struct sv
		transcript; /* what was said since the step before (smtp/transcript.h); may be empty */
};

/* Whose it is to mend. */
enum diagnose_owner {
	DIAGNOSE_OWNER_YOU,       /* who runs postern */
	DIAGNOSE_OWNER_ADMIN,     /* the administrator of the tenant */
	DIAGNOSE_OWNER_NETWORK,   /* who runs the network between */
	DIAGNOSE_OWNER_RECIPIENT, /* the recipient, or who runs his mail */
	DIAGNOSE_OWNER_PROVIDER,  /* Microsoft, or whoever runs the server: wait, or ask there */
	DIAGNOSE_OWNER_COUNT,
};
const char *diagnose_owner_name(enum diagnose_owner owner); /* "you", "administrator", ... */

/* What it comes to: the first step that failed (else the first that warned), and what to do first. */
struct diagnose_verdict {
	const struct conf_lane *lane;
	enum diagnose_status status; /* OK, WARN or FAIL */
	const char *step, *cause;
	enum diagnose_owner owner;
	struct sv text;  /* what is wrong */
	struct sv first; /* the one thing to do first */
	/* Where it cannot be told apart from outside: what else it may be, in the order in which to try; lines
	 * that end with '\n'. */
	struct sv then;
	int exit_code; /* of sysexits.h: EX_OK, EX_UNAVAILABLE, EX_TEMPFAIL, EX_NOPERM, EX_CONFIG */
};

/* What the relay that runs knows of a lane, from the mail that it had. */
enum diagnose_hold {
	DIAGNOSE_HOLD_UNKNOWN, /* no relay runs */
	DIAGNOSE_HOLD_NONE,
	DIAGNOSE_HOLD_LANE, /* it sends nothing through this lane now */
	DIAGNOSE_HOLD_SENDER, /* mail of the sender that is asked about waits, for a cause of its own */
};
struct diagnose_heard {
	struct sv text;  /* "since 10:12 CET, because of ...", "3 waiting" */
	struct sv reply; /* what the server said to mail of the sender */
};

struct diagnose_options {
	struct conf *conf;
	struct identity_vault *vault; /* NULL: none */
	struct sv name_servers;       /* "127.0.0.1:5301"; empty: those of resolv.conf */
	bool send;                    /* one message to itself for each sender */
	struct sv to;                 /* recipient to try (and to send to); empty: none */
	/* A step begins (for a line that says what is waited for; may be NULL), and it has ended. */
	void (*begins)(void *arg, const struct conf_lane *lane, const char *name);
	void (*ended)(void *arg, const struct diagnose_step *step);
	/* Asked at the end of each lane; may be NULL. */
	enum diagnose_hold (*heard)(
		void *arg, const struct conf_lane *lane, struct diagnose_heard *out);
	void *arg;
};
struct diagnose;
NODISCARD struct diagnose *diagnose_new(const struct diagnose_options *options, struct err *err);
void diagnose_free(struct diagnose *d);
/* The address that the mail in question carries on the next lane, instead of all that routes lead there; empty:
 * all. Borrowed until then. */
void diagnose_as(struct diagnose *d, struct sv sender);
/* Takes seconds. Views in the verdict are valid until the next call. */
void diagnose_lane(
	struct diagnose *d, const struct conf_lane *lane, struct diagnose_verdict *out_verdict);
