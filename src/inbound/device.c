/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "inbound/inbound_priv.h"
#include "io/log.h"

#include <stdio.h>
#include <stdlib.h>

/*
 * What devices have used of their day. Each message writes its recipients into the ledger with its own
 * PUT, so that a restart forgets nothing; at start the ledger fills the windows before the first
 * connection is taken. Uses are kept by name, whether or not the configuration knows the device: a
 * reload that brings it back finds what it had.
 */
#define PREFIX SV("device/")
#define LIMIT_NAME "/recipients-day"
#define BUCKET_US (5 * US_PER_MIN)

struct device_use *device_use_of(struct inbound *in, struct sv name)
{
	const struct limit_window_options day = {
		.capacity = UINT32_MAX, .length_us = US_PER_DAY, .bucket_us = BUCKET_US
	};
	struct device_use *use = htable_get(&in->devices, name);

	if (use)
		return use;
	use = xcalloc(1, sizeof(*use));
	use->name = sv_dup(name);
	use->day = limit_window_new(&day);
	htable_put(&in->devices, name, use);
	return use;
}

void devices_free(struct inbound *in)
{
	htable_each (&in->devices, slot) {
		struct device_use *use = slot->value;

		limit_window_free(use->day);
		free(use->name);
		free(use);
	}
	htable_deinit(&in->devices);
	arena_reset(&in->ledger_arena);
}

/* ---- the quota ---- */

bool device_reserve(struct device_use *use, const struct conf_device *d, struct mono_time now)
{
	limit_window_set_capacity(use->day, d->per_day ? d->per_day : UINT32_MAX);
	if (limit_window_room(use->day, now) == 0)
		return false;
	limit_window_reserve(use->day, now, 1);
	return true;
}

struct store_ledger device_ledger_row(
	struct inbound *in, struct arena *a, const struct device_use *use, size_t recipients)
{
	int64_t steady = store_steady_now(in->store, io_now(in->loop));
	struct sv name = sv_from(use->name);
	size_t size = PREFIX.len + name.len + sizeof(LIMIT_NAME);
	char *key = arena_alloc(a, size);
	int n = snprintf(key, size, "%.*s%s%s", SV_ARG(PREFIX), use->name, LIMIT_NAME);

	return (struct store_ledger){ .key = sv_make(key, (size_t)n),
		.bucket_us = (steady / (int64_t)BUCKET_US + 1) * (int64_t)BUCKET_US,
		.amount = (int32_t)recipients };
}

/* ---- at start ---- */

static void restore_row(struct inbound *in, const struct store_ledger *row)
{
	int64_t left = row->bucket_us + (int64_t)US_PER_DAY -
		       store_steady_now(in->store, io_now(in->loop));
	struct sv name = sv_skip(row->key, PREFIX.len);

	if (!sv_ends_nocase(name, SV(LIMIT_NAME)) || left <= 0)
		return;
	name = sv_head(name, name.len - strlen(LIMIT_NAME));
	if (name.len)
		limit_window_restore(device_use_of(in, name)->day,
			mono_add(io_now(in->loop), (uint64_t)left),
			(uint32_t)row->amount);
}

static void ledger_read(struct store_op *op)
{
	struct inbound *in = CONTAINER_OF(op, struct inbound, ledger_op.op);

	if (op->rc != 0)
		log_line(LOG_ERROR,
			"smtpd",
			"what devices have used of their day could not be read: %s",
			op->err.text);
	for (size_t i = 0; op->rc == 0 && i < in->ledger_op.out_count; i++)
		restore_row(in, &in->ledger_op.out_rows[i]);
	arena_reset(&in->ledger_arena);
	in->ledger_is_read = true;
	listeners_pause(in, false);
}

void devices_start(struct inbound *in)
{
	listeners_pause(in, true);
	in->ledger_op = (struct store_ledger_read){ .op.kind = STORE_OP_LEDGER_READ,
		.op.done = ledger_read,
		.since_us = store_steady_now(in->store, io_now(in->loop)) - (int64_t)US_PER_DAY,
		.prefix = PREFIX,
		.out_arena = &in->ledger_arena };
	store_submit(in->store, &in->ledger_op.op);
}

/* ---- status ---- */

void inbound_each_device(struct inbound *in,
	void (*each)(void *arg, const struct inbound_device_status *status), void *arg)
{
	htable_each (&in->devices, slot) {
		const struct device_use *use = slot->value;
		const struct conf_device *d = conf_device(in->conf, sv_from(use->name));
		struct inbound_device_status status = { .name = sv_from(use->name),
			.per_day = d ? d->per_day : 0,
			.used = limit_window_used(use->day, io_now(in->loop)),
			.accepted = use->accepted,
			.refused = use->refused,
			.quota_refused = use->quota_refused,
			.legacy_sessions = use->legacy_sessions };

		if (status.used || status.accepted || status.refused || status.legacy_sessions)
			each(arg, &status);
	}
}
