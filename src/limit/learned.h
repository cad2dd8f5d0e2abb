/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/time.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * What replies say of one window of a scope. A reply that means "used up" shuts it for one length, so that no second one comes within
 * it; then one message tries, whoever sends it. What had been taken in that window is what there is: if it is near what we thought, or
 * it happens again soon, it is learned as the limit. (Much less is what others have used, and passes.) It is tried upward again in
 * steps, slower after each that fails. Pure.
 */
struct limit_learned {
	uint32_t limit;      /* in the receiver's words, before the share; 0: nothing was learned */
	uint32_t percent;    /* the share of it */
	struct wall_time at; /* when */
	uint32_t failed;     /* times in a row that it was lowered once more */
	bool trying;         /* one message at a time, until one passes */
	struct mono_time shut_till; /* 0: it is not shut */
	struct mono_time heard_at;  /* the last such reply; 0: none */
	struct mono_time raise_at;
};

/* One such reply. */
struct limit_refusal {
	uint32_t cost;    /* of the refused message: it was not taken */
	uint32_t percent; /* the share that we may use */
	struct wall_time wall;
	struct mono_time now;
};
/* `taken`: of ours in this window before; `cap`: what we thought we may have, 0: anything. False: it is known already. */
bool limit_learned_refused(struct limit_learned *l, const struct limit_refusal *r,
	uint64_t length_us, uint32_t taken, uint32_t cap);
/* One got through that was taken since. */
void limit_learned_passed(struct limit_learned *l, struct mono_time now);
/* What we may have; 0: nothing was learned. */
uint32_t limit_learned_cap(const struct limit_learned *l);
/* A step upward, if it is time; at `cap`, what is configured (0: nothing), what was learned is forgotten. True: it changed. */
bool limit_learned_raise(
	struct limit_learned *l, uint64_t length_us, uint32_t cap, struct mono_time now);
/* After a restart: when a step upward comes next. */
void limit_learned_restore(struct limit_learned *l, uint64_t length_us, struct mono_time now);
