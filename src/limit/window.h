/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "base/time.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * A limit over time, as the receiver may see it: a slot is occupied from dot release until the final
 * reply + the window's length. We only know that the message was counted somewhere in between, so
 * with this rule no jitter can pass the limit; a fixed guard time cannot promise that.
 *
 * Windows up to an hour are exact (one instant per slot); longer ones use `bucket_us` buckets that
 * expire by their newest edge. Memory: 8 bytes a slot of an exact window, 16 a bucket.
 */
struct limit_window;

struct limit_window_options {
	uint32_t capacity;  /* slots; > 0 */
	uint64_t length_us; /* a minute, a day */
	uint64_t bucket_us; /* 0: exact (length up to an hour only); else at most five minutes */
};

NODISCARD struct limit_window *limit_window_new(const struct limit_window_options *options);
void limit_window_free(struct limit_window *w);
DEFINE_CLEANUP(struct limit_window, limit_window_free);

/* Free slots at `now`. */
uint32_t limit_window_room(struct limit_window *w, struct mono_time now);
/* When `n` slots will be free if nothing else happens: `now` or later; MONO_NEVER when n > capacity.
 * Open reservations count as never ending: the caller asks again when one settles. */
struct mono_time limit_window_room_at(struct limit_window *w, struct mono_time now, uint32_t n);

/* Takes slots before dot release; must not exceed the room. */
void limit_window_reserve(struct limit_window *w, struct mono_time now, uint32_t n);
/* The final reply came (or the connection of an uncertain attempt was closed and the reply timeout
 * is over): the slots expire one length after `now`. */
void limit_window_settle(struct limit_window *w, struct mono_time now, uint32_t n);
/* Given back: the dot was never released. */
void limit_window_withdraw(struct limit_window *w, uint32_t n);

/* From the ledger at start: `n` slots that expire at `expires_at`. May pass the capacity. */
void limit_window_restore(struct limit_window *w, struct mono_time expires_at, uint32_t n);
/* A new capacity (configuration reload); what is occupied stays so. */
void limit_window_set_capacity(struct limit_window *w, uint32_t capacity);
uint32_t limit_window_used(struct limit_window *w, struct mono_time now); /* settled + open */
/* Of what is settled, what is still occupied then. */
uint32_t limit_window_settled_at(const struct limit_window *w, struct mono_time at);
uint32_t limit_window_capacity(const struct limit_window *w);
