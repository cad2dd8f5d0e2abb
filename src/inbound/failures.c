/* SPDX-License-Identifier: Apache-2.0 */
#include "inbound/inbound_priv.h"

#include <stdio.h>

/*
 * Failed sign-ins, remembered over connections (limit/account.h): by peer, by user, and by both together.
 * A device that knows an old password tries it for ever, behind the same address as an application that
 * knows the right one: so it is the pair that is refused first, and a pair that has signed in within a day is
 * never refused for what others do. A user is never locked out for what strangers guess: its checks come later
 * than those of others, no more.
 */
enum {
	PAIR_FAILURES_MAX = 10,
	PEER_FAILURES_MAX = 100,
	LATE_MAX = 20,        /* turns */
	UNKNOWN_BUCKETS = 64, /* accounts of one peer for all names that there are not */
	SHARE_NONE = 1,       /* nothing is taken from these accounts */
};

static struct sv peer_of(const struct session *s)
{
	return limit_account_key(s->payer.accounts[0]);
}

/* Names of strangers have a few accounts together, or each guess would be one more. */
static struct limit_account *pair_open(const struct session *s, struct sv user)
{
	char key[2 * PRINCIPAL_MAX], bucket[24];
	int n;

	if (!conf_user(s->conf, user)) {
		(void)snprintf(bucket,
			sizeof(bucket),
			"#%u",
			(unsigned)(sv_hash(user, s->in->names_seed) % UNKNOWN_BUCKETS));
		user = sv_from(bucket);
	}
	n = snprintf(key,
		sizeof(key),
		"pair/%.*s/%.*s",
		SV_ARG(peer_of(s)),
		SV_ARG(sv_head(user, PRINCIPAL_MAX - 16)));
	return limit_account_open(s->in->accounts, sv_make(key, (size_t)n), SHARE_NONE);
}

static struct limit_account *user_open(const struct session *s, struct sv user)
{
	char key[PRINCIPAL_MAX];
	int n = snprintf(
		key, sizeof(key), "guessed/%.*s", SV_ARG(sv_head(user, PRINCIPAL_MAX - 16)));

	return limit_account_open(s->in->accounts, sv_make(key, (size_t)n), SHARE_NONE);
}

bool failures_block(const struct session *s, struct sv user, unsigned *out_minutes)
{
	struct mono_time now = session_now(s), until = now;
	struct limit_account *pair = pair_open(s, user), *peer = s->payer.accounts[0];

	if (limit_account_failures(pair, now) >= PAIR_FAILURES_MAX)
		until = limit_account_below_at(pair, now, PAIR_FAILURES_MAX);
	else if (limit_account_failures(peer, now) >= PEER_FAILURES_MAX &&
		 !limit_account_is_good(pair, now))
		until = limit_account_below_at(peer, now, PEER_FAILURES_MAX);
	limit_account_close(pair, now);
	*out_minutes = (unsigned)(mono_span(now, until) / US_PER_MIN) + 1;
	return mono_before(now, until);
}

uint32_t failures_late(const struct session *s, struct sv user)
{
	struct mono_time now = session_now(s);
	struct limit_account *pair = pair_open(s, user), *guessed = user_open(s, user);
	uint32_t late = 0;

	if (!limit_account_is_good(pair, now))
		late = limit_account_failures(s->payer.accounts[0], now) +
		       limit_account_failures(guessed, now);
	limit_account_close(pair, now);
	limit_account_close(guessed, now);
	return late < LATE_MAX ? late : LATE_MAX;
}

void failures_note(const struct session *s, struct sv user, bool ok)
{
	struct mono_time now = session_now(s);
	struct limit_account *pair = pair_open(s, user), *guessed = NULL;

	if (ok) {
		limit_account_succeeded(pair, now);
	} else {
		limit_account_failed(pair, now);
		limit_account_failed(s->payer.accounts[0], now);
	}
	if (!ok && conf_user(s->conf, user)) {
		guessed = user_open(s, user);
		limit_account_failed(guessed, now);
		limit_account_close(guessed, now);
	}
	limit_account_close(pair, now);
}
