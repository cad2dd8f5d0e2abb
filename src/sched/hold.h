/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "base/buf.h"
#include "base/rng.h"
#include "base/time.h"
#include "provider/verdict.h"
#include "sched/proof.h"
#include "sched/retry.h"

#include <stdbool.h>

/*
 * What is held: ONE table of scopes, each with its reason, its back-off, the one that tries, and what proved it. Pure:
 * what was heard goes in, with `now` and the dice; what is to be done about it comes out as events. Which refusal may
 * hold more than its message stands in sched/proof.h; which holds concern a lane and its mail, in sched/lane.h.
 */
struct sched_holds;
struct sched_hold; /* one scope: it holds something, or was refused something of late, or neither */

enum sched_hold_scope {
	SCHED_HOLD_MAILBOX,  /* a lane */
	SCHED_HOLD_SENDER,   /* one sender on a lane */
	SCHED_HOLD_SIGN_IN,  /* lanes of a tenant that need a token */
	SCHED_HOLD_TENANT,   /* all of its lanes */
	SCHED_HOLD_EXTERNAL, /* mail of a tenant to the outside */
	SCHED_HOLD_SCOPE_COUNT,
};

struct sched_hold_reason {
	enum cause cause;
	enum verdict_nature nature;
	struct wall_time since;
	char *summary, *reply; /* never NULL where it holds */
	char *transcript;      /* of the session in which it was heard; NULL: none */
};

NODISCARD struct sched_holds *sched_holds_new(void);
void sched_holds_free(struct sched_holds *t);

/* A scope, of any kind but a sender; it stays as long as the table. `name`: of the lane or the tenant. */
struct sched_hold *sched_hold_get(
	struct sched_holds *t, enum sched_hold_scope scope, struct sv name);
/* A lane that nobody needs any more: neither it nor a sender on it holds anything, and all events of them were asked for. */
bool sched_hold_may_go(const struct sched_hold *h);
void sched_hold_drop(
	struct sched_hold *h); /* only then: h and its senders are gone, and what was suspected */
/* A sender on a lane. NULL, unless it is to be made: nothing was refused. It may be gone after any change of the table. */
struct sched_hold *sched_hold_of_sender(struct sched_hold *mailbox, struct sv sender, bool make);

/* ---- what happens ---- */

/* A refusal speaks of this scope: it is remembered. True: it may hold the scope, not only its message. */
NODISCARD bool sched_hold_weigh(struct sched_hold *h, const struct sched_refusal *r);

struct sched_heard {
	const struct verdict *verdict;
	struct sv reply, transcript;
	const struct sched_retry *retry; /* for a lane that only waits */
	struct wall_time wall;
	struct mono_time now;
	struct prng *rng;
};
/*
 * Holds the scope. Each time in a row lasts longer; what is heard while it is in force belongs to it. For reputation:
 * until a person releases it, and nothing that is heard meanwhile changes that. Returns what happened (below); 0: it is
 * stopped, and stays so.
 */
unsigned sched_hold_set(struct sched_hold *h, const struct sched_heard *heard);
/* Parked, and visible as such; else it waits for a time. Of the verdict, for this scope. */
NODISCARD bool sched_hold_parks(const struct sched_hold *h, const struct verdict *v);
/* Something of this scope got through, and was begun then: what had left before the hold says nothing of it. */
void sched_hold_clear(struct sched_hold *h, struct mono_time begun);
/* The next probe is due now: a person said so, or something was mended. */
void sched_hold_probe_now(struct sched_hold *h, struct mono_time now);
/* All but lanes, and what a person must release. */
void sched_holds_probe_all(struct sched_holds *t, struct mono_time now);
/* `who` (a lane, or a message) is the one that tries, for a while. False: it may not. */
bool sched_hold_try(struct sched_hold *h, uint64_t who, struct mono_time now);
/* Its turn is over, and the message in it (0: none) told nothing of the hold: another one may. */
void sched_hold_tried(struct sched_hold *h, uint64_t who, uint64_t message);

/* ---- what is to be done ---- */

enum {
	SCHED_HOLD_RECORD = 1, /* its row is written */
	SCHED_HOLD_FORGET = 2, /* its row goes */
	SCHED_HOLD_TELL = 4,   /* to whoever wants to know: parked for this reason; or ended */
	SCHED_HOLD_LOG = 8,    /* held, or held again */
	SCHED_HOLD_NEWS = 16,  /* for another cause than before, or none */
	SCHED_HOLD_HELD = 32,  /* by what was heard now */
	SCHED_HOLD_ENDED = 64, /* its reason can be asked for till the next event is */
};
struct sched_hold_event {
	struct sched_hold *hold;
	unsigned what;
};
/* To be asked for after each change, until there is none. */
NODISCARD bool sched_holds_next_event(struct sched_holds *t, struct sched_hold_event *out);

/* ---- what is seen ---- */

bool sched_hold_holds(const struct sched_hold *h);    /* NULL: no */
bool sched_hold_is_clean(const struct sched_hold *h); /* neither held nor suspected */
bool sched_hold_is_sender_on(const struct sched_hold *h, const struct sched_hold *mailbox);
/* Nothing of it may leave now but `who` (0: nobody is meant); else it is free, or its probe is due. */
bool sched_hold_is_shut(const struct sched_hold *h, uint64_t who, struct mono_time now);
bool sched_hold_is_parked(const struct sched_hold *h);
/* When it is shut no more; MONO_NEVER: when a person releases it. */
struct mono_time sched_hold_until(const struct sched_hold *h, struct mono_time now);
/* By its nature: may the mail that it stops leave by another door? Never for reputation. */
bool sched_hold_may_leave(const struct sched_hold *h);
/* Did this message cause it, or try for it in vain? It is not the probe while another one waits. */
bool sched_hold_is_culprit(const struct sched_hold *h, uint64_t message);
/* These messages: how many. */
size_t sched_hold_culprits(const struct sched_hold *h, uint64_t out[SCHED_WITNESSES]);
enum sched_hold_scope sched_hold_scope(const struct sched_hold *h);
/* "mailbox:LANE", "sender:LANE:ADDRESS", "tenant:NAME", ...: under which it is recorded and told. */
struct sv sched_hold_key(const struct sched_hold *h);
const struct sched_hold_reason *sched_hold_why(
	const struct sched_hold *h); /* NULL: holds nothing */
void sched_hold_write_proof(const struct sched_hold *h, struct buf *out);
/* Those that hold something, one after the other; `before` NULL: the first. NULL: no more. */
struct sched_hold *sched_holds_next(const struct sched_holds *t, const struct sched_hold *before);

/* ---- after a restart ---- */

struct sched_hold_row {
	struct verdict verdict; /* its nature, cause and summary */
	struct sv reply, transcript, proof;
	struct wall_time since, probe_at; /* INT64_MAX: never */
};
void sched_hold_load(struct sched_hold *h, const struct sched_hold_row *row, struct wall_time wall,
	struct mono_time now);
/* The scope and the name in a key; of a sender: "LANE:ADDRESS". False: it is no hold. */
NODISCARD bool sched_hold_parse_key(
	struct sv key, enum sched_hold_scope *out_scope, struct sv *out_name);
