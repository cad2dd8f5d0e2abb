/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "tests/sim/sim.h"

/* What happens in a run, thrown by its seed. */
enum {
	LOOK_EVERY_S = 300,
	STEPS_MAX = 2000000, /* of a run; 100,000 are many */
	STEADY_EVERY = 8,    /* seeds */
	URGENT = 8,          /* messages that somebody waits for, while a flood of bulk is there */
};

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
	struct io_timer mail, death, look, second, flood, steady, urgent, shut, deny, clock;
	unsigned mails, calm, deaths, urgent_left, clock_left;
	const struct flood *floods;
	bool is_steady;  /* nothing but mail for the busy host, always more than it may take */
	bool crowd;      /* for the host with the narrow limit */
	bool no_reboots; /* over one the wall clock stands in for a steady one */
	unsigned steps;
} script;

static void in(struct io_timer *t, uint64_t us)
{
	io_timer_start(t, mono_add(io_now(script.loop), us));
}

/* ---- mail ---- */

static void give(const struct post *p)
{
	must(script.mails < MAILS);
	relay_put(script.mails++, p);
}

static enum mail_class any_class(void)
{
	uint64_t dice = simio_below(10);

	return dice < 2 ? MAIL_CLASS_TRANSACTIONAL : dice < 8 ? MAIL_CLASS_NORMAL : MAIL_CLASS_BULK;
}

static void on_mail(void *arg)
{
	(void)arg;
	if (relay_is_up() && script.calm < MAILS_CALM) {
		struct post p = { .host = (unsigned)simio_below(HOST_COUNT),
			.recipients = 1 + (unsigned)simio_below(RECIPIENTS_MAX),
			.class = any_class(),
			.principal = (unsigned)simio_below(PRINCIPALS),
			.quick = simio_chance(50) };

		/* More than that host takes before the time is over. */
		if (script.crowd && simio_chance(60))
			p.host = HOST_LIMIT;
		p.denied = p.host == HOST_ERP && simio_chance(15);
		script.calm++;
		give(&p);
	}
	if (script.calm < MAILS_CALM)
		in(&script.mail, simio_below(2 * MAIL_SPAN_US / MAILS_CALM));
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
	for (unsigned i = 0; i < f->each; i++)
		for (p.principal = 0; p.principal < f->principals; p.principal++)
			give(&p);
	p.class = MAIL_CLASS_BULK;
	for (unsigned i = 0; i < f->bulk; i++)
		give(&p);
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
				give(&p);
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
		.quick = simio_chance(50) };

	(void)arg;
	if (relay_is_up()) {
		script.urgent_left--;
		give(&p);
	}
	if (script.urgent_left)
		in(&script.urgent, 14 * US_PER_S + simio_below(10 * US_PER_S));
}

/* ---- what is done to the relay ---- */

static bool power_is_cut(void)
{
	return simio_chance(50) && !script.no_reboots;
}

static void rise_later(void)
{
	in(&script.death, US_PER_S + simio_below(40 * US_PER_S));
}

static void on_death(void *arg)
{
	(void)arg;
	if (!relay_is_up())
		relay_start();
	else if (simio_chance(40))
		relay_die_at(1 + simio_below(40), power_is_cut());
	else
		relay_kill(power_is_cut());
	if (!relay_is_up()) {
		rise_later();
	} else if (script.deaths > 0) {
		script.deaths--;
		in(&script.death, simio_below(8 * US_PER_MIN));
	}
}

static void on_clock(void *arg)
{
	int64_t by = (int64_t)simio_below(30 * US_PER_MIN) - 15 * (int64_t)US_PER_MIN;

	(void)arg;
	simio_note("the clock is set by %lld s", (long long)(by / (int64_t)US_PER_S));
	simio_set_clock(by);
	check_clock_was_set(by);
	script.no_reboots = true;
	relay_keep_power();
	if (--script.clock_left)
		in(&script.clock, simio_below(20 * US_PER_MIN));
}

/* ---- what is done to the mailbox ---- */

static void on_shut(void *arg)
{
	bool shut = !peer_smtp_auth_is_shut();

	(void)arg;
	simio_note("SMTP AUTH of the mailbox is %s", shut ? "off" : "on");
	peer_shut_smtp_auth(shut);
	in(&script.shut, US_PER_MIN + simio_below(shut ? 10 * US_PER_MIN : 20 * US_PER_MIN));
}

static void on_deny(void *arg)
{
	bool deny = !peer_denies(sv_from(relay_denied_sender));

	(void)arg;
	simio_note("a sender of the mailbox is %s", deny ? "denied" : "allowed");
	peer_deny_sender(deny);
	in(&script.deny, US_PER_MIN + simio_below(12 * US_PER_MIN));
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

static void run_until(uint64_t until)
{
	if (setjmp(relay_death) != 0)
		rise_later();
	while (simio_step(until))
		if (++script.steps > STEPS_MAX)
			check_failed("something runs in a circle: %u events", STEPS_MAX);
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
		{ &script.clock, on_clock } };

	for (size_t i = 0; i < COUNT_OF(timers); i++)
		io_timer_init(timers[i].timer, script.loop, timers[i].fire, NULL);
	in(&script.look, 1);
	in(&script.second, US_PER_S);
	script.is_steady = seed % STEADY_EVERY == 0;
	if (script.is_steady) {
		in(&script.steady, STEADY_BEGIN_US);
		return;
	}
	script.deaths = (unsigned)simio_below(5);
	script.crowd = simio_chance(50);
	script.floods = simio_chance(40) ? &floods[simio_below(COUNT_OF(floods))] : NULL;
	script.clock_left = simio_chance(25) ? 1 + (unsigned)simio_below(3) : 0;
	in(&script.mail, 1);
	in(&script.shut, simio_below(20 * US_PER_MIN));
	in(&script.deny, simio_below(12 * US_PER_MIN));
	if (script.deaths)
		in(&script.death, simio_below(8 * US_PER_MIN));
	if (script.floods)
		in(&script.flood, US_PER_MIN + simio_below(8 * US_PER_MIN));
	if (script.clock_left)
		in(&script.clock, simio_below(20 * US_PER_MIN));
}

void script_run(uint64_t seed, const char *folder)
{
	simio_begin(seed);
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
	simio_note("%u events", script.steps);
	if (check_promises() == 0)
		check_failed("no mail was given: the run shows nothing");
}
