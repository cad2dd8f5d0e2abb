/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "inbound/inbound_priv.h"
#include "io/log.h"

#include <stdio.h>
#include <stdlib.h>

/*
 * What devices and users have used of their day, and whether they may have more: one mechanism, in which a
 * device, a user with a password and an account of this machine differ by the name of their entry only. Each
 * message writes what it takes into the ledger with its own PUT, so that a restart forgets nothing; at start
 * the ledger fills the windows before the first connection, or file of the maildrop, is taken.
 *
 * A window exists from the moment at which somebody limits it, and counts from then on, whatever the
 * configuration says later: a reload that brings a limit back finds what was used. Those of devices exist
 * always, since `status` shows them. Limits are those of the configuration of now, also in sessions that began
 * under another: they are a property of who sends, not of how it came.
 */
#define BUCKET_US (5 * US_PER_MIN)
#define DEVICE SV("d:")
#define USER SV("u:")
#define SCOPES "du" /* in the ledger */

enum {
	UNIT = 1024, /* bytes are counted in these: a window has 32 bits */
	LEDGER_PAGE = 10000,
	DAY_MINUTES = 24 * 60,
};

static const struct quota_words {
	const char *unit, *setting;
	uint16_t code; /* of what exceeds the limit by itself, which waiting does not help */
	const char *enhanced;
} words[QUOTA_COUNT] = {
	[QUOTA_RECIPIENTS] = { "recipients", "per_day", 550, "5.5.3" },
	[QUOTA_MESSAGES] = { "messages", "messages_per_day", 550, "5.7.1" },
	[QUOTA_BYTES] = { "KB", "bytes_per_day", 552, "5.3.4" },
};

static struct sv name_of(const struct quota_use *use)
{
	return sv_skip(sv_from(use->key), DEVICE.len);
}

static bool is_device(const struct quota_use *use)
{
	return sv_starts(sv_from(use->key), DEVICE);
}

static const struct conf_user *user_rules(const struct conf *c, struct sv name)
{
	const struct conf_user *local = conf_local_user(c, name);

	return local ? local : conf_user(c, name);
}

/* All zero: the configuration knows it no more, or limits nothing. */
static struct conf_quota rules(const struct inbound *in, const struct quota_use *use)
{
	const struct conf_device *d = is_device(use) ? conf_device(in->conf, name_of(use)) : NULL;
	const struct conf_user *u = is_device(use) ? NULL : user_rules(in->conf, name_of(use));

	return d ? d->quota : u ? u->quota : (struct conf_quota){ 0 };
}

static uint32_t units(uint64_t bytes)
{
	uint64_t n = bytes / UNIT + (bytes % UNIT != 0);

	return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

/* 0: none. */
static uint32_t limit_of(const struct conf_quota *q, enum quota_kind kind)
{
	switch (kind) {
	case QUOTA_RECIPIENTS:
		return q->recipients;
	case QUOTA_MESSAGES:
		return q->messages;
	case QUOTA_BYTES:
		return units(q->bytes);
	case QUOTA_COUNT:
		break;
	}
	return 0;
}

/* ---- who ---- */

static struct limit_window *window_of(struct quota_use *use, enum quota_kind kind)
{
	const struct limit_window_options day = {
		.capacity = UINT32_MAX, .length_us = US_PER_DAY, .bucket_us = BUCKET_US
	};

	if (!use->day[kind])
		use->day[kind] = limit_window_new(&day);
	return use->day[kind];
}

static struct quota_use *use_of(struct inbound *in, struct sv key)
{
	struct quota_use *use = htable_get(&in->quotas, key);

	if (use)
		return use;
	use = xcalloc(1, sizeof(*use));
	use->key = sv_dup(key);
	htable_put(&in->quotas, key, use);
	return use;
}

static struct sv key_of(struct sv kind, struct sv name, char out[PRINCIPAL_MAX])
{
	int n = snprintf(out,
		PRINCIPAL_MAX,
		"%.*s%.*s",
		SV_ARG(kind),
		SV_ARG(sv_head(name, PRINCIPAL_MAX - 1 - kind.len)));

	return sv_make(out, (size_t)n);
}

struct quota_use *quota_of_device(struct inbound *in, struct sv name)
{
	char key[PRINCIPAL_MAX];
	struct quota_use *use = use_of(in, key_of(DEVICE, name, key));

	(void)window_of(use, QUOTA_RECIPIENTS);
	return use;
}

struct quota_use *quota_of_user(struct inbound *in, struct sv name)
{
	const struct conf_user *u = user_rules(in->conf, name);
	char text[PRINCIPAL_MAX];
	struct sv key = key_of(USER, name, text);

	/* An entry for each account of the machine that was never limited would be a list of them. */
	if (!u || !(u->quota.recipients || u->quota.messages || u->quota.bytes))
		return htable_get(&in->quotas, key);
	return use_of(in, key);
}

void quotas_free(struct inbound *in)
{
	htable_each (&in->quotas, slot) {
		struct quota_use *use = slot->value;

		for (size_t i = 0; i < QUOTA_COUNT; i++)
			limit_window_free(use->day[i]);
		free(use->key);
		free(use);
	}
	htable_deinit(&in->quotas);
	arena_reset(&in->ledger_arena);
}

/* ---- what a message takes ---- */

static void answer_over(const struct quota_use *use, const struct quota_words *w, uint32_t limit,
	bool for_ever, struct answer *out)
{
	const char *who = is_device(use) ? "device" : "user";
	struct sv name = sv_head(name_of(use), 40);

	if (for_ever)
		answer_set(out,
			w->code,
			w->enhanced,
			"The message exceeds what %s %.*s may send at all: %u %s a day; see its "
			"`%s:`",
			who,
			SV_ARG(name),
			limit,
			w->unit,
			w->setting);
	else
		answer_set(out,
			452,
			"4.7.1",
			"Quota of %s %.*s is used up: %u %s a day; see its `%s:`",
			who,
			SV_ARG(name),
			limit,
			w->unit,
			w->setting);
}

static bool has_room(struct inbound *in, struct quota_use *use, enum quota_kind kind, uint32_t n,
	struct answer *out)
{
	const struct conf_quota q = rules(in, use);
	uint32_t limit = limit_of(&q, kind);

	if (limit)
		limit_window_set_capacity(window_of(use, kind), limit);
	else if (use->day[kind])
		limit_window_set_capacity(use->day[kind], UINT32_MAX);
	if (!use->day[kind] || n <= limit_window_room(use->day[kind], io_now(in->loop)))
		return true;
	answer_over(use, &words[kind], limit, n > limit, out);
	return false;
}

bool quota_has_room(struct inbound *in, struct quota_use *use, uint64_t bytes, struct answer *out)
{
	/* What no size was announced for has one all the same. */
	return !use || has_room(in, use, QUOTA_BYTES, units(bytes ? bytes : 1), out);
}

bool quota_take(struct inbound *in, struct quota_taken *taken, enum quota_kind kind, uint64_t n,
	struct answer *out)
{
	struct quota_use *use = taken->use;
	uint32_t slots = kind == QUOTA_BYTES ? units(n) : (uint32_t)n;

	if (!use)
		return true;
	if (!has_room(in, use, kind, slots, out))
		return false;
	if (use->day[kind]) {
		limit_window_reserve(use->day[kind], io_now(in->loop), slots);
		taken->held[kind] += slots;
	}
	return true;
}

void quota_settle(struct inbound *in, struct quota_taken *taken)
{
	for (size_t i = 0; i < QUOTA_COUNT; i++)
		if (taken->held[i])
			limit_window_settle(taken->use->day[i], io_now(in->loop), taken->held[i]);
	taken->use = NULL;
}

void quota_give_back(struct quota_taken *taken)
{
	for (size_t i = 0; taken->use && i < QUOTA_COUNT; i++)
		if (taken->held[i])
			limit_window_withdraw(taken->use->day[i], taken->held[i]);
	taken->use = NULL;
}

/* ---- the ledger ---- */

void quota_write(
	struct inbound *in, struct arena *a, const struct quota_taken *taken, struct store_put *put)
{
	struct limit_entry *entries;

	if (!taken->use || !(taken->held[QUOTA_RECIPIENTS] || taken->held[QUOTA_MESSAGES] ||
				   taken->held[QUOTA_BYTES]))
		return;
	entries = arena_alloc(a, (put->ledger_count + 1) * sizeof(*entries));
	if (put->ledger_count)
		memcpy(entries, put->ledger, put->ledger_count * sizeof(*entries));
	entries[put->ledger_count++] = (struct limit_entry){ .scope = sv_from(taken->use->key),
		.bucket = limit_bucket(store_steady_now(in->store, io_now(in->loop))),
		.messages = (int32_t)taken->held[QUOTA_MESSAGES],
		.recipients = (int32_t)taken->held[QUOTA_RECIPIENTS],
		.bytes = (int64_t)taken->held[QUOTA_BYTES] * UNIT };
	put->ledger = entries;
}

/* ---- at start ---- */

static void restore(struct inbound *in, const struct limit_entry *e)
{
	const int64_t used[QUOTA_COUNT] = { [QUOTA_RECIPIENTS] = e->recipients,
		[QUOTA_MESSAGES] = e->messages,
		[QUOTA_BYTES] = e->bytes / UNIT };
	int64_t left = (e->bucket + DAY_MINUTES) * (int64_t)US_PER_MIN -
		       store_steady_now(in->store, io_now(in->loop));

	for (unsigned i = 0; i < QUOTA_COUNT && left > 0; i++)
		if (used[i] > 0)
			limit_window_restore(window_of(use_of(in, e->scope), i),
				mono_add(io_now(in->loop), (uint64_t)left),
				(uint32_t)used[i]);
}

static void ledger_read(struct store_op *op)
{
	struct inbound *in = CONTAINER_OF(op, struct inbound, ledger_op.op);

	if (op->rc != 0)
		log_line(LOG_ERROR,
			"smtpd",
			"what devices and users have used of their day could not be read: %s",
			op->err.text);
	for (size_t i = 0; op->rc == 0 && i < in->ledger_op.out_count; i++)
		restore(in, &in->ledger_op.out_entries[i]);
	arena_reset(&in->ledger_arena);
	if (op->rc == 0 && in->ledger_op.out_more) {
		store_submit(in->store, op);
		return;
	}
	in->ledger_is_read = true;
	inbound_begin(in);
}

void quotas_start(struct inbound *in)
{
	listeners_pause(in, true);
	in->ledger_op = (struct store_ledger_read){ .op.kind = STORE_OP_LEDGER_READ,
		.op.done = ledger_read,
		.since = store_steady_now(in->store, io_now(in->loop)) / (int64_t)US_PER_MIN -
			 DAY_MINUTES,
		.kinds = SCOPES,
		.limit = LEDGER_PAGE,
		.out_arena = &in->ledger_arena };
	store_submit(in->store, &in->ledger_op.op);
}

/* ---- status ---- */

struct sv *inbound_quota_keys(const struct inbound *in, struct arena *a, size_t *out_count)
{
	struct sv *keys = arena_alloc(a, (in->quotas.count + 1) * sizeof(*keys));

	*out_count = 0;
	htable_each (&in->quotas, slot)
		keys[(*out_count)++] = arena_sv(a, sv_make(slot->key, slot->key_len));
	return keys;
}

bool inbound_quota_look(struct inbound *in, struct sv key, struct inbound_quota_status *out_status)
{
	const struct quota_use *use = htable_get(&in->quotas, key);
	struct inbound_quota_status status;
	struct conf_quota q;
	bool any, limited;

	if (!use)
		return false;
	q = rules(in, use);
	status = (struct inbound_quota_status){ .name = name_of(use),
		.is_device = is_device(use),
		.accepted = use->accepted,
		.refused = use->refused,
		.quota_refused = use->quota_refused,
		.legacy_sessions = use->legacy_sessions };
	any = use->accepted || use->refused || use->legacy_sessions;
	limited = status.is_device;
	for (unsigned i = 0; i < QUOTA_COUNT; i++) {
		uint64_t unit = i == QUOTA_BYTES ? UNIT : 1;

		status.of[i].limit = unit * limit_of(&q, i);
		if (use->day[i])
			status.of[i].used = unit * limit_window_used(use->day[i], io_now(in->loop));
		any |= status.of[i].used != 0;
		limited |= status.of[i].limit != 0;
	}
	*out_status = status;
	return any && limited;
}
