/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "base/list.h"
#include "base/sv.h"
#include "base/time.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Who holds how much of what there is once for all: connections, memory, room on the disk, places in the
 * queue of password checks. A principal is whoever can be told apart: an address (a /64 of IPv6), a uid,
 * a user, a device, a listener. Each has one account, and each session pays from several at once: that of
 * its address, that of its listener, later that of its user.
 *
 * The reserve: the less is left, the less of it one principal may take. It takes nothing more once it holds
 * share * (share + 1) * free * free / all. So one alone gets share / (share + 1) of everything, and of many,
 * each of which takes what it can, the n-th still leaves about 1 / (share * (share + 1) * n): whoever comes
 * next finds something. (With a rule that only looks at `free`, five would have left nothing of a thousand.)
 * There is no number to configure, and nothing is kept back while nobody wants it.
 *
 * Failed sign-ins are remembered here, too, across connections. The level of a principal rises by one with
 * each and sinks by one in `LIMIT_FAILURE_US`.
 *
 * Pure. The table is bounded: accounts in use by whoever uses them, the remembered ones by
 * LIMIT_ACCOUNTS_KEPT; beyond that the one that was quiet for longest is forgotten.
 */
enum limit_resource {
	LIMIT_RESOURCE_SESSIONS,
	LIMIT_RESOURCE_CONNECTIONS, /* descriptors: with those that linger after their session */
	LIMIT_RESOURCE_BYTES,       /* memory */
	LIMIT_RESOURCE_ROOM,        /* bytes on the disk, of messages that are not whole yet */
	LIMIT_RESOURCE_CHECKS,      /* passwords waiting for their check */
	LIMIT_RESOURCE_COUNT,
};

enum {
	LIMIT_ACCOUNTS_KEPT = 8192, /* remembered without being in use; about 200 bytes each */
	LIMIT_FAILURES_MAX = 1000,  /* the level rises no further */
	LIMIT_PAYER_MAX = 4,
};
#define LIMIT_FAILURE_US US_PER_MIN /* in which one failure is forgotten */
#define LIMIT_GOOD_US US_PER_DAY    /* how long a success is remembered */

struct limit_accounts;
struct limit_account;

/* `seed`: random where peers choose the keys. */
NODISCARD struct limit_accounts *limit_accounts_new(uint64_t seed);
/* Lives on until the last account is closed: connections may linger. */
void limit_accounts_free(struct limit_accounts *all);

/* All there is of a resource. Lowering it takes nothing away from those who hold it. */
void limit_accounts_set(
	struct limit_accounts *all, enum limit_resource resource, uint64_t capacity);
uint64_t limit_accounts_used(const struct limit_accounts *all, enum limit_resource resource);
uint64_t limit_accounts_capacity(const struct limit_accounts *all, enum limit_resource resource);

/* ---- one principal ---- */

/* That of `key` from now on in use; a new one gets this share. Close it when done with it. */
NODISCARD struct limit_account *limit_account_open(
	struct limit_accounts *all, struct sv key, unsigned share);
void limit_account_close(struct limit_account *a, struct mono_time now);
struct sv limit_account_key(const struct limit_account *a); /* as long as it is open */
uint64_t limit_account_used(const struct limit_account *a, enum limit_resource resource);

/* Failures: how many are remembered at `now`, and one more. A success forgets them. */
uint32_t limit_account_failures(const struct limit_account *a, struct mono_time now);
void limit_account_failed(struct limit_account *a, struct mono_time now);
void limit_account_succeeded(struct limit_account *a, struct mono_time now);
bool limit_account_is_good(const struct limit_account *a, struct mono_time now);
/* When the level is below `level` if nothing else happens; `now` or later. */
struct mono_time limit_account_below_at(
	const struct limit_account *a, struct mono_time now, uint32_t level);

/*
 * Turns at what is done one after the other. Whoever wants one takes a number, and the least number is next:
 * the numbers of one principal rise by one, so that the sessions of each have one turn together for one of each
 * other's. `now`: the number that is served; nobody saves up for later.
 */
uint64_t limit_account_turn(struct limit_account *a, uint64_t now);

/* Something was refused to it. True when it should be told to a person: the first, then one in a while
 * (LIMIT_TELL_US); *out_count: how many there were since it was told. */
#define LIMIT_TELL_US (10 * US_PER_S)
NODISCARD bool limit_account_refused(
	struct limit_account *a, struct mono_time now, uint64_t *out_count);

/* ---- who pays ---- */

/* A session or a message: it pays from the accounts of all its principals at once. */
struct limit_payer {
	struct limit_accounts *all;
	struct limit_account *accounts[LIMIT_PAYER_MAX];
	unsigned count;
	uint64_t held[LIMIT_RESOURCE_COUNT];
};

enum limit_answer {
	LIMIT_ANSWER_YES,
	LIMIT_ANSWER_FULL,     /* there is not so much left, whoever asks */
	LIMIT_ANSWER_TOO_MUCH, /* one of its principals has its share already */
};

void limit_payer_init(struct limit_payer *p, struct limit_accounts *all);
/* One more principal, known from now on: what is held is charged to it as well, whatever it has. */
void limit_payer_add(struct limit_payer *p, struct sv key, unsigned share);
/* The same principals, holding nothing yet. */
void limit_payer_copy(struct limit_payer *p, const struct limit_payer *from);
/* All or nothing. */
NODISCARD enum limit_answer limit_payer_take(
	struct limit_payer *p, enum limit_resource resource, uint64_t amount);
void limit_payer_give(struct limit_payer *p, enum limit_resource resource, uint64_t amount);
/* Gives everything back and closes the accounts. Nothing when it was never begun. */
void limit_payer_end(struct limit_payer *p, struct mono_time now);
