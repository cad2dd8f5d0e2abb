/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/route.h"
#include "outbound/outbound_priv.h"
#include "sched/turn.h"
#include "tests/sim/sim.h"

#include <string.h>

/*
 * Faults that the relay had, or could have, for a test that the checks find them. The linker leads calls between files
 * here (--wrap), so the product knows nothing of it; without a fault they go on to where they wanted to go.
 */
enum fault {
	NONE,
	SILENT_HOST,
	TTL,
	UNCERTAIN,
	CLASS,
	TURNS,
	KEPT,
	HEADROOM,
	ASLEEP,
	UNUSED,
	WEIGHTS,
};
static enum fault fault;

bool faults_put_back(const char *name)
{
	static const char *const names[] = {
		[NONE] = "",
		[SILENT_HOST] = "silent-host",
		[TTL] = "ttl",
		[UNCERTAIN] = "uncertain",
		[CLASS] = "class",
		[TURNS] = "turns",
		[KEPT] = "kept",
		[HEADROOM] = "headroom",
		[ASLEEP] = "asleep",
		[UNUSED] = "unused",
		[WEIGHTS] = "weights",
	};

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		if (strcmp(name, names[i]) != 0)
			continue;
		fault = (enum fault)i;
		return true;
	}
	return false;
}

/* A slot of what was open at the death of the relay was free again at its next start. */
bool faults_forget_uncertain(void)
{
	return fault == UNCERTAIN;
}

/* All hosts shared one budget of handshakes. */
struct endpoint *__real_endpoint_get(struct outbound *o, const struct conf_lane *c);
struct endpoint *__wrap_endpoint_get(struct outbound *o, const struct conf_lane *c);

struct endpoint *__wrap_endpoint_get(struct outbound *o, const struct conf_lane *c)
{
	static const struct conf_lane *first;

	if (!first)
		first = c;
	return __real_endpoint_get(o, fault == SILENT_HOST ? first : c);
}

/* What waits was not looked at for its age: only an attempt that failed ended it. */
void __real_overdue_start(struct outbound *o, bool waits);
void __wrap_overdue_start(struct outbound *o, bool waits);

void __wrap_overdue_start(struct outbound *o, bool waits)
{
	if (fault != TTL)
		__real_overdue_start(o, waits);
}

void __real_overdue_expect(struct outbound *o, struct wall_time at);
void __wrap_overdue_expect(struct outbound *o, struct wall_time at);

void __wrap_overdue_expect(struct outbound *o, struct wall_time at)
{
	if (fault != TTL)
		__real_overdue_expect(o, at);
}

void __real_overdue_expect_new(struct outbound *o);
void __wrap_overdue_expect_new(struct outbound *o);

void __wrap_overdue_expect_new(struct outbound *o)
{
	if (fault != TTL)
		__real_overdue_expect_new(o);
}

bool __real_overdue_passes_over(struct lane *l, const struct store_message *m);
bool __wrap_overdue_passes_over(struct lane *l, const struct store_message *m);

bool __wrap_overdue_passes_over(struct lane *l, const struct store_message *m)
{
	return fault != TTL && __real_overdue_passes_over(l, m);
}

/* No class had an end of its own. */
struct wall_time __real_conf_class_end(
	const struct conf *c, enum mail_class class, struct wall_time accepted_at);
struct wall_time __wrap_conf_class_end(
	const struct conf *c, enum mail_class class, struct wall_time accepted_at);

struct wall_time __wrap_conf_class_end(
	const struct conf *c, enum mail_class class, struct wall_time accepted_at)
{
	return fault == CLASS ? (struct wall_time){ INT64_MAX }
			      : __real_conf_class_end(c, class, accepted_at);
}

/* All principals of a class stood in one line. */
void __real_sched_turn_enter(struct sched_turns *all, struct sched_turn *turn,
	const struct mail_flow *key, struct wall_time due, uint64_t recipients);
void __wrap_sched_turn_enter(struct sched_turns *all, struct sched_turn *turn,
	const struct mail_flow *key, struct wall_time due, uint64_t recipients);

void __wrap_sched_turn_enter(struct sched_turns *all, struct sched_turn *turn,
	const struct mail_flow *key, struct wall_time due, uint64_t recipients)
{
	struct mail_flow one = *key;

	if (fault == TURNS)
		one.principal = SV("");
	__real_sched_turn_enter(all, turn, &one, due, recipients);
}

/* What a minute keeps for better mail was kept from bulk while such mail filled every minute; or nothing was kept. */
struct sched_room __real_sched_room_of(uint32_t room, const struct limit_use *use,
	const struct sched_better *better, struct mono_time now);
struct sched_room __wrap_sched_room_of(uint32_t room, const struct limit_use *use,
	const struct sched_better *better, struct mono_time now);

struct sched_room __wrap_sched_room_of(uint32_t room, const struct limit_use *use,
	const struct sched_better *better, struct mono_time now)
{
	struct sched_room out = __real_sched_room_of(room, use, better, now);

	if (fault == KEPT)
		out.wanted_turn = 0;
	if (fault == HEADROOM)
		out.wanted_bulk = out.wanted;
	return out;
}

/* A lane whose last connection had ended was not told of mail that came later. */
void __real_sched_taker_watch(struct sched_taker *t);
void __wrap_sched_taker_watch(struct sched_taker *t);

void __wrap_sched_taker_watch(struct sched_taker *t)
{
	if (fault != ASLEEP)
		__real_sched_taker_watch(t);
}

/* A class had less than its weight: now and then it was passed over, and its clock was set to the present. */
struct sched_turn *__real_sched_turns_next(
	const struct sched_turns *all, const struct sched_turn_rule *rule);
struct sched_turn *__wrap_sched_turns_next(
	const struct sched_turns *all, const struct sched_turn_rule *rule);

struct sched_turn *__wrap_sched_turns_next(
	const struct sched_turns *all, const struct sched_turn_rule *rule)
{
	struct sched_turn_rule others = *rule;
	struct sched_turn *turn = NULL;
	static unsigned calls;

	others.class[MAIL_CLASS_NORMAL] = false;
	if (fault == WEIGHTS && ++calls % 20)
		turn = __real_sched_turns_next(all, &others);
	return turn ? turn : __real_sched_turns_next(all, rule);
}

/* A slot came back later than the receiver let it. */
size_t __real_limit_slot_settle(
	struct limit_slot *slot, struct mono_time now, struct limit_entry out[LIMIT_ENTRIES_MAX]);
size_t __wrap_limit_slot_settle(
	struct limit_slot *slot, struct mono_time now, struct limit_entry out[LIMIT_ENTRIES_MAX]);

size_t __wrap_limit_slot_settle(
	struct limit_slot *slot, struct mono_time now, struct limit_entry out[LIMIT_ENTRIES_MAX])
{
	return __real_limit_slot_settle(
		slot, fault == UNUSED ? mono_add(now, 3 * US_PER_S) : now, out);
}
