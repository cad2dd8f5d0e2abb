/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "tests/sim/sim.h"

#include <stdlib.h>
#include <string.h>

/*
 * What must hold of the order in which mail leaves:
 *   limit     no minute has more messages than the host allows, and no day more recipients, by its own count
 *   free      mail that nothing stops has its transaction within five seconds
 *   fair      who sends to the busy host in one class has as much of a minute as the others
 *   starved   bulk is never forgotten
 *   prompt    who is waited for passes a flood of bulk
 *   full      while enough waits, a limit is used: 60 / (60 + mean time from the dot to its reply) of it, less a hundredth
 *   share     and each class has its weight of that, each principal its part of the class, over ten minutes
 */
enum {
	COUNTED_MAX = 4096,
	BACKLOG = 6,      /* recipients of one principal: less may be under way */
	FAIR_LEAST = 20,  /* in a minute */
	STARVED = 130,    /* recipients of better classes to one of bulk; by weight it is 111 */
	BETTER_LEAST = 5, /* of six that a minute keeps for them */
	STEADY_MINUTES = 10,
	SHARE_SLACK = 2, /* messages: a class has them whole */
};
#define FREE_US (5 * US_PER_S)
#define PROMPT_US (3 * US_PER_S)
#define RESTED_US (2 * US_PER_MIN) /* after a start a minute counts as used */
#define JAIN 0.99

struct counted {
	uint64_t at[COUNTED_MAX];
	size_t count;
	unsigned recipients;
};
/* As the busy host takes it. */
struct taken {
	uint64_t at;
	enum mail_class class;
	unsigned principal;
};

static struct counted counted[HOST_COUNT];
static struct taken taken[COUNTED_MAX];
static size_t taken_count;
static unsigned waiting[MAIL_CLASS_COUNT][PRINCIPALS];
static uint64_t backlog_since[MAIL_CLASS_COUNT][PRINCIPALS]; /* 0: there is none */
static unsigned since_bulk;
static uint64_t up_since;
static bool is_up;
static unsigned open[HOST_COUNT];
static uint64_t answered_us[HOST_COUNT], answers[HOST_COUNT];
static size_t steady_from; /* of `taken`; 0: nothing is steady */
static uint64_t closed_at[HOST_COUNT], free_since[HOST_COUNT][2];

void order_relay_up(bool up)
{
	is_up = up;
	up_since = simio_now();
	/* What was under way is not due for a while: nobody here can tell how much waits. */
	memset(waiting, 0, sizeof(waiting));
	memset(backlog_since, 0, sizeof(backlog_since));
	memset(free_since, 0, sizeof(free_since));
	since_bulk = 0;
}

/* ---- how much waits for the busy host ---- */

static void note_backlog(enum mail_class class, unsigned principal)
{
	uint64_t *since = &backlog_since[class][principal];

	if (waiting[class][principal] < BACKLOG)
		*since = 0;
	else if (*since == 0)
		*since = simio_now();
}

void order_promised(const struct post *p)
{
	if (p->host != HOST_BUSY)
		return;
	waiting[p->class][p->principal] += p->recipients;
	note_backlog(p->class, p->principal);
}

/* ---- turns ---- */

static unsigned had(enum mail_class class, unsigned principal, uint64_t from)
{
	unsigned n = 0;

	for (size_t i = taken_count; i-- > 0 && taken[i].at > from;)
		n += taken[i].class == class && taken[i].principal == principal;
	return n;
}

/* Those who had something waiting for all of the last minute share it alike. */
static void check_fair(enum mail_class class)
{
	uint64_t from = simio_now() - US_PER_MIN;
	double sum = 0, squares = 0;
	unsigned who = 0;

	for (unsigned p = 0; p < PRINCIPALS; p++) {
		uint64_t since = backlog_since[class][p];
		double n = had(class, p, from);

		if (since == 0 || since > from)
			continue;
		who++;
		sum += n;
		squares += n * n;
	}
	if (who >= 2 && sum >= FAIR_LEAST && sum * sum < JAIN * who * squares)
		check_failed("fair: Jain is %.3f among %u principals who had %.0f of a minute",
			sum * sum / (who * squares),
			who,
			sum);
}

static void check_starved(enum mail_class class)
{
	unsigned bulk = 0;

	for (unsigned p = 0; p < PRINCIPALS; p++)
		bulk += waiting[MAIL_CLASS_BULK][p];
	since_bulk = class == MAIL_CLASS_BULK || bulk < BACKLOG ? 0 : since_bulk + 1;
	if (since_bulk > STARVED)
		check_failed("starved: %u recipients of better classes, and none of %u of bulk",
			since_bulk,
			bulk);
}

/* Better mail has left before in this life, and not too much of it since: then a part of the minute is kept for it. */
static bool has_headroom(void)
{
	uint64_t now = simio_now();
	unsigned better = 0;
	bool before = false;

	if (now < up_since + RESTED_US)
		return false;
	for (size_t i = taken_count; i-- > 0 && taken[i].at > up_since;) {
		bool of_now = taken[i].at + US_PER_MIN + PROMPT_US > now;

		if (taken[i].class == MAIL_CLASS_BULK)
			continue;
		better += of_now;
		before = before || !of_now;
	}
	return before && better <= BETTER_LEAST;
}

void order_received_late(unsigned host, const struct post *p)
{
	if (host != HOST_BUSY)
		return;
	must(taken_count < COUNTED_MAX);
	taken[taken_count++] = (struct taken){ simio_now(), p->class, p->principal };
}

void order_received(unsigned host, const struct post *p, uint64_t waited_us)
{
	if (host != HOST_BUSY)
		return;
	order_received_late(host, p);
	if (waiting[p->class][p->principal])
		waiting[p->class][p->principal]--;
	/* There each principal's share of all is looked at, over a longer time. */
	if (!steady_from)
		check_fair(p->class);
	check_starved(p->class);
	note_backlog(p->class, p->principal);
	if (p->class == MAIL_CLASS_TRANSACTIONAL && has_headroom() && waited_us > PROMPT_US)
		check_failed("prompt: somebody waited for %llu s, for mail that passes bulk",
			(unsigned long long)(waited_us / US_PER_S));
}

/* ---- while more waits than may leave ---- */

void order_answered(unsigned host, uint64_t after_us)
{
	answered_us[host] += after_us;
	answers[host]++;
}

unsigned order_waiting(enum mail_class class, unsigned principal)
{
	return waiting[class][principal];
}

void order_steady(void)
{
	steady_from = taken_count + 1;
}

/* `count` messages came in that time, the first at its beginning. */
static void check_full(size_t count, uint64_t took_us)
{
	double mean = (double)answered_us[HOST_BUSY] / (double)answers[HOST_BUSY];
	double rounds = (double)count / BUSY_A_MINUTE;
	double least_us = rounds * ((double)US_PER_MIN + mean);

	if ((double)took_us * 0.99 > least_us)
		check_failed("full: %zu messages took %.1f s, and %.1f would do",
			count,
			(double)took_us / (double)US_PER_S,
			least_us / (double)US_PER_S);
}

static void check_shares(const struct taken *from, size_t count)
{
	static const unsigned weights[MAIL_CLASS_COUNT] = { 100, 10, 1 };
	unsigned had_of[MAIL_CLASS_COUNT][PRINCIPALS] = { 0 };

	for (size_t i = 0; i < count; i++)
		had_of[from[i].class][from[i].principal]++;
	for (unsigned c = 0; c < MAIL_CLASS_COUNT; c++) {
		double part = (double)count * weights[c] / (100 + 10 + 1) / STEADY_PRINCIPALS;

		for (unsigned p = 0; p < STEADY_PRINCIPALS; p++)
			if (had_of[c][p] + SHARE_SLACK < part || had_of[c][p] > part + SHARE_SLACK)
				check_failed("share: principal %u of class %u had %u of %zu "
					     "messages, its part is %.1f",
					p,
					c,
					had_of[c][p],
					count,
					part);
	}
}

static void check_steady(void)
{
	const size_t count = (size_t)STEADY_MINUTES * BUSY_A_MINUTE;
	const struct taken *from = &taken[steady_from - 1];

	if (taken_count < steady_from + count)
		check_failed(
			"full: only %zu messages while more waited", taken_count - steady_from + 1);
	check_full(count, from[count].at - from[0].at);
	check_shares(from, count);
}

/* ---- who waits for nothing ---- */

void order_transaction(unsigned host, bool begins)
{
	open[host] += begins ? 1U : -1U;
	closed_at[host] = simio_now();
}

static void look_at(unsigned host, bool bulk)
{
	uint64_t now = simio_now(), since = 0, *free = &free_since[host][bulk];

	if (!is_up || open[host] || !check_waits(host, bulk, &since) ||
		!relay_may_send(host, bulk)) {
		*free = 0;
		return;
	}
	if (*free == 0)
		*free = now;
	since = since > *free ? since : *free;
	since = since > closed_at[host] ? since : closed_at[host];
	if (now > since + FREE_US)
		check_failed("free: host %u could have %s since %llu s",
			host,
			bulk ? "bulk" : "mail",
			(unsigned long long)((now - since) / US_PER_S));
}

void order_look(void)
{
	static const unsigned hosts[] = { HOST_GOOD, HOST_BUSY, HOST_ERP };

	for (size_t i = 0; i < COUNT_OF(hosts); i++) {
		look_at(hosts[i], false);
		look_at(hosts[i], true);
	}
}

/* ---- limits ---- */

void order_counted(unsigned host, uint64_t at_us, unsigned recipients)
{
	struct counted *c = &counted[host];

	must(c->count < COUNTED_MAX);
	c->at[c->count++] = at_us;
	c->recipients += recipients;
}

static int by_time(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void check_minutes(unsigned host, unsigned limit)
{
	struct counted *c = &counted[host];

	qsort(c->at, c->count, sizeof(c->at[0]), by_time);
	for (size_t i = limit; i < c->count; i++)
		if (c->at[i] - c->at[i - limit] < US_PER_MIN)
			check_failed("limit: %u messages to host %u between %llu s and %llu s of "
				     "the run",
				limit + 1,
				host,
				(unsigned long long)(c->at[i - limit] / US_PER_S),
				(unsigned long long)(c->at[i] / US_PER_S));
}

void order_end(void)
{
	if (steady_from)
		check_steady();
	check_minutes(HOST_LIMIT, LIMIT_A_MINUTE);
	check_minutes(HOST_BUSY, BUSY_A_MINUTE);
	check_minutes(HOST_ERP, ERP_A_MINUTE);
	if (counted[HOST_ERP].recipients > ERP_A_DAY)
		check_failed("limit: %u recipients of a mailbox that has %u a day",
			counted[HOST_ERP].recipients,
			ERP_A_DAY);
}
