/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "base/rng.h"
#include "store/fault_vfs.h"
#include "tests/sim/acts.h"
#include "tests/sim/sim.h"

#include <sqlite3.h>

/* What happens in a run, thrown by its seed. */
enum {
	LOOK_EVERY_S = 300,
	STEPS_MAX = 2000000, /* of a run; 100,000 are many */
	STEADY_EVERY = 8,    /* seeds */
	URGENT = 8,          /* messages that somebody waits for, while a flood of bulk is there */
};

#define DISK_ILL_US_MAX (3 * US_PER_MIN)
#define STEADY_BEGIN_US (2 * US_PER_MIN)
#define STEADY_END_US (14 * US_PER_MIN)

jmp_buf relay_death;

/* So many of a class come at once for the busy host, from so many principals. */
struct flood {
	enum mail_class class;
	unsigned principals, each, bulk;
};
static const struct flood floods[] = {
	{ .class = MAIL_CLASS_BULK, .principals = 3, .each = 45 },
	{ .class = MAIL_CLASS_TRANSACTIONAL, .principals = 2, .each = 70, .bulk = 12 },
};

static struct {
	struct io_loop *loop;
	struct io_timer mail, death, look, second, flood, steady, urgent, shut, deny, clock, disk;
	unsigned mails, calm, deaths, urgent_left, clock_left, shuts, denies, disk_left;
	const struct flood *floods;
	bool crowd;      /* for the host with the narrow limit */
	bool no_reboots; /* over one the wall clock stands in for a steady one */
	/* Its own, so that what it throws does not depend on what becomes of it. */
	struct prng dice;
} script;

static uint64_t below(uint64_t bound)
{
	return prng_below(&script.dice, bound);
}

static bool chance(unsigned percent)
{
	return below(100) < percent;
}

static void in(struct io_timer *t, uint64_t us)
{
	io_timer_start(t, mono_add(io_now(script.loop), us));
}

/* ---- mail ---- */

static void put(const struct post *p)
{
	must(script.mails < MAILS);
	relay_put(script.mails++, p);
}

static void give(const struct post *p, enum act kind)
{
	if (act_happens(kind,
		    "m%u, for %u at host %u, %s",
		    script.mails,
		    p->recipients,
		    p->host,
		    mail_class_name(p->class).ptr))
		put(p);
}

static enum mail_class any_class(void)
{
	uint64_t dice = below(10);

	return dice < 2 ? MAIL_CLASS_TRANSACTIONAL : dice < 8 ? MAIL_CLASS_NORMAL : MAIL_CLASS_BULK;
}

static void on_mail(void *arg)
{
	(void)arg;
	if (script.calm < MAILS_CALM) {
		struct post p = { .host = (unsigned)below(HOST_COUNT),
			.recipients = 1 + (unsigned)below(RECIPIENTS_MAX),
			.class = any_class(),
			.principal = (unsigned)below(PRINCIPALS),
			.quick = chance(50) };

		/* More than that host takes before the time is over. */
		if (script.crowd && chance(60))
			p.host = HOST_LIMIT;
		p.denied = p.host == HOST_ERP && chance(15);
		script.calm++;
		if (relay_is_up())
			give(&p, ACT_MAIL);
	}
	if (script.calm < MAILS_CALM)
		in(&script.mail, below(2 * MAIL_SPAN_US / MAILS_CALM));
}

static void pour(const struct flood *f, struct post *p)
{
	for (unsigned i = 0; i < f->each; i++)
		for (p->principal = 0; p->principal < f->principals; p->principal++)
			put(p);
	p->class = MAIL_CLASS_BULK;
	for (unsigned i = 0; i < f->bulk; i++)
		put(p);
}

static void on_flood(void *arg)
{
	const struct flood *f = script.floods;
	struct post p = { .host = HOST_BUSY, .recipients = 1, .class = f->class };

	(void)arg;
	if (!relay_is_up()) {
		in(&script.flood, US_PER_MIN);
		return;
	}
	if (act_happens(ACT_FLOOD,
		    "%u messages, %s",
		    f->each * f->principals,
		    mail_class_name(f->class).ptr))
		pour(f, &p);
	script.urgent_left = f->class == MAIL_CLASS_BULK ? URGENT : 0;
	if (script.urgent_left)
		in(&script.urgent, 1);
}

/* Of each class and principal more than a minute has for it, and so little of bulk that nobody is told of its delay. */
static void on_steady(void *arg)
{
	static const unsigned enough[MAIL_CLASS_COUNT] = { 45, 10, 2 };
	struct post p = { .host = HOST_BUSY, .recipients = 1 };
	bool begins = script.mails == 0;

	(void)arg;
	for (p.class = 0; p.class < MAIL_CLASS_COUNT; p.class ++)
		for (p.principal = 0; p.principal < STEADY_PRINCIPALS; p.principal++)
			for (unsigned n = order_waiting(p.class, p.principal); n < enough[p.class];
				n++)
				put(&p);
	if (begins)
		order_steady();
	if (simio_now() < STEADY_END_US)
		in(&script.steady, 5 * US_PER_S);
}

static void on_urgent(void *arg)
{
	const struct post p = { .host = HOST_BUSY,
		.recipients = 1,
		.class = MAIL_CLASS_TRANSACTIONAL,
		.quick = chance(50) };

	(void)arg;
	if (relay_is_up()) {
		script.urgent_left--;
		give(&p, ACT_URGENT);
	}
	if (script.urgent_left)
		in(&script.urgent, 14 * US_PER_S + below(10 * US_PER_S));
}

/* ---- what is done to the relay ---- */

static bool power_is_cut(void)
{
	return chance(50) && !script.no_reboots;
}

static void rise_later(void)
{
	in(&script.death, US_PER_S + below(40 * US_PER_S));
}

static void die(void)
{
	uint64_t nth = chance(40) ? 1 + below(40) : 0;
	bool power_cut = power_is_cut();
	const char *how = power_cut ? ", its machine too" : "";

	if (nth == 0 && act_happens(ACT_DEATH, "the relay dies%s", how))
		relay_kill(power_cut);
	else if (nth && act_happens(ACT_DEATH, "it dies at write %u%s", (unsigned)nth, how))
		relay_die_at(nth, power_cut);
}

static void on_death(void *arg)
{
	(void)arg;
	if (!relay_is_up())
		relay_start();
	else
		die();
	if (!relay_is_up()) {
		rise_later();
	} else if (script.deaths > 0) {
		script.deaths--;
		in(&script.death, below(3 * US_PER_MIN));
	}
}

static void on_clock(void *arg)
{
	int64_t by = (int64_t)below(30 * US_PER_MIN) - 15 * (int64_t)US_PER_MIN;

	(void)arg;
	if (act_happens(ACT_CLOCK, "the clock is set by %d s", (int)(by / (int64_t)US_PER_S))) {
		simio_note("the clock is set by %lld s", (long long)(by / (int64_t)US_PER_S));
		simio_set_clock(by);
		check_clock_was_set(by);
		script.no_reboots = true;
		relay_keep_power();
	}
	if (--script.clock_left)
		in(&script.clock, below(20 * US_PER_MIN));
}

static const struct {
	const char *name;
	struct fault_plan plan;
} illnesses[] = {
	{ "writes fail", { .calls = FAULT_CHANGES, .write_code = SQLITE_IOERR_WRITE } },
	{ "half of a write",
		{ .calls = FAULT_CHANGES, .write_code = SQLITE_IOERR_WRITE, .half = true } },
	{ "it is full", { .calls = FAULT_CHANGES, .write_code = SQLITE_FULL } },
	{ "syncs fail", { .calls = FAULT_SYNCS, .write_code = SQLITE_IOERR_WRITE } },
	{ "syncs fail and lose",
		{ .calls = FAULT_SYNCS, .write_code = SQLITE_IOERR_WRITE, .sync_loses = true } },
	{ "reads fail", { .calls = FAULT_READS } },
};

static void on_disk(void *arg)
{
	size_t which = (size_t)below(COUNT_OF(illnesses));
	struct fault_plan plan = illnesses[which].plan;
	bool once = chance(40);
	/* Long ones are dear: the store opens its file twenty times a second. */
	uint64_t for_us = below(chance(15) ? DISK_ILL_US_MAX : DISK_ILL_US_MAX / 10),
		 pause_us = below(15 * US_PER_MIN);

	(void)arg;
	plan.nth = 1 + below(30);
	plan.mode = once ? FAULT_ONCE : FAULT_ALWAYS;
	if (script.disk_left % 2) {
		relay_disk_is_well();
	} else if (relay_is_up() && act_happens(ACT_DISK,
					    "%s %s call %u, for %u s",
					    illnesses[which].name,
					    once ? "at" : "from",
					    (unsigned)plan.nth,
					    (unsigned)(for_us / US_PER_S))) {
		relay_disk_fails(&plan);
	}
	if (--script.disk_left)
		in(&script.disk, script.disk_left % 2 ? for_us : pause_us);
}

/* ---- what is done to the mailbox ---- */

static void on_shut(void *arg)
{
	bool shut = script.shuts++ % 2 == 0;

	(void)arg;
	if (act_happens(ACT_SHUT, "SMTP AUTH is %s", shut ? "off" : "on")) {
		simio_note("SMTP AUTH of the mailbox is %s", shut ? "off" : "on");
		peer_shut_smtp_auth(shut);
	}
	in(&script.shut, US_PER_MIN + below(shut ? 10 * US_PER_MIN : 20 * US_PER_MIN));
}

static void on_deny(void *arg)
{
	bool deny = script.denies++ % 2 == 0;

	(void)arg;
	if (act_happens(ACT_DENY, "a sender is %s", deny ? "denied" : "allowed")) {
		simio_note("a sender of the mailbox is %s", deny ? "denied" : "allowed");
		peer_deny_sender(deny);
	}
	in(&script.deny, US_PER_MIN + below(12 * US_PER_MIN));
}

/* ---- what is looked at ---- */

static void on_look(void *arg)
{
	(void)arg;
	if (relay_is_up() && !relay_looks())
		relay_look(false);
	in(&script.look, LOOK_EVERY_S * US_PER_S);
}

static void on_second(void *arg)
{
	(void)arg;
	order_look();
	in(&script.second, US_PER_S);
}

/* ---- the run ---- */

static void leave_the_dead(void)
{
	longjmp(relay_death, 1);
}

static void run_until(uint64_t until)
{
	if (setjmp(relay_death) != 0)
		rise_later();
	while (simio_step(until)) {
		acts_report()->steps = simio_steps();
		if (simio_steps() > STEPS_MAX)
			check_failed("circle: %u events, and there is no end", STEPS_MAX);
	}
}

static void throw_all(uint64_t seed)
{
	static const struct {
		struct io_timer *timer;
		void (*fire)(void *arg);
	} timers[] = { { &script.mail, on_mail },
		{ &script.death, on_death },
		{ &script.look, on_look },
		{ &script.second, on_second },
		{ &script.flood, on_flood },
		{ &script.steady, on_steady },
		{ &script.urgent, on_urgent },
		{ &script.shut, on_shut },
		{ &script.deny, on_deny },
		{ &script.clock, on_clock },
		{ &script.disk, on_disk } };

	for (size_t i = 0; i < COUNT_OF(timers); i++)
		io_timer_init(timers[i].timer, script.loop, timers[i].fire, NULL);
	in(&script.look, 1);
	in(&script.second, US_PER_S);
	if (seed % STEADY_EVERY == 0) {
		if (act_happens(ACT_STEADY, "more than host %u may take", HOST_BUSY))
			in(&script.steady, STEADY_BEGIN_US);
		return;
	}
	script.deaths = (unsigned)below(5);
	script.crowd = chance(50);
	script.floods = chance(40) ? &floods[below(COUNT_OF(floods))] : NULL;
	script.clock_left = chance(25) ? 1 + (unsigned)below(3) : 0;
	/* Each time it falls ill, and is well again. */
	script.disk_left = chance(30) ? 2 * (1 + (unsigned)below(3)) : 0;
	in(&script.mail, 1);
	in(&script.shut, below(20 * US_PER_MIN));
	in(&script.deny, below(12 * US_PER_MIN));
	if (script.deaths)
		in(&script.death, below(3 * US_PER_MIN));
	if (script.floods)
		in(&script.flood, US_PER_MIN + below(3 * US_PER_MIN));
	if (script.clock_left)
		in(&script.clock, below(20 * US_PER_MIN));
	if (script.disk_left)
		in(&script.disk, below(15 * US_PER_MIN));
}

void script_run(uint64_t seed, const char *folder)
{
	simio_begin(seed);
	simio_on_abandon(leave_the_dead);
	prng_seed(&script.dice, ~seed);
	check_begin();
	script.loop = io_loop_new();
	peers_open(script.loop);
	graph_open(script.loop);
	relay_begin(folder);
	relay_start();
	throw_all(seed);
	run_until(WORLD_END_US);
	if (!relay_is_up())
		relay_start();
	io_timer_stop(&script.death);
	io_timer_stop(&script.look);
	relay_die_at(0, false);
	relay_look(true);
	run_until(WORLD_END_US + 10 * US_PER_S);
	must(!relay_looks());
	check_end();
	order_end();
	if (check_promises() == 0)
		check_failed("empty: no mail was given, the run shows nothing");
	acts_report()->hash = simio_hash();
}
