/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/hold.h"
#include "sched/lane.h"

#include "base/must.h"

#include "cmocka_all.h"

#include <stdlib.h>

/*
 * The table of holds under random schedules: attempts that begin, end and are withdrawn on lanes of two tenants,
 * verdicts of all kinds, a clock, persons, restarts. What must be true of any of them is checked after each step; the
 * seed of a failure is printed, and another one can be had by POSTERN_SEED.
 */
enum {
	SEEDS = 400,
	STEPS = 600,
	LANES = 5,
	SENDERS = 3,
	MAILS = 24, /* that wait, at any time; their ids grow */
	RUNNING = 8,
	ROWS = 32,
	KEY = 96,
};

struct row {
	char key[KEY]; /* empty: free */
	enum cause cause;
	enum verdict_nature nature;
	char proof[SCHED_PROOF_TEXT_MAX + 1];
	struct wall_time since, probe_at;
};

struct mail {
	uint64_t id;
	uint32_t lane, sender;
	bool external;
	struct mono_time again; /* its own back-off */
};

struct attempt {
	bool runs, probe;
	struct mail mail;
	struct mono_time begun;
};

struct world {
	uint64_t seed;
	struct prng rng;
	struct mono_time now;
	struct sched_holds *holds;
	struct sched_lane *lanes[LANES];
	struct mail mails[MAILS];
	uint64_t next_id;
	struct attempt attempts[RUNNING];
	struct row rows[ROWS]; /* what the queue has */
	char stopped[ROWS][KEY];
	char told[ROWS][KEY];
	struct {
		char key[KEY];
		struct mono_time at;    /* when it was heard of, last */
		struct mono_time turns; /* whose turn it is is open since then */
	} heard[ROWS];
};

static const char *const lane_keys[LANES] = {
	"submission/a@x.test", "submission/b@x.test", "graph/c@x.test", "hve/d@y.test", "smtp/lab"
};
static const char *const tenants[LANES] = { "x", "x", "x", "y", "" };
static const char *const senders[SENDERS] = { "a@x.test", "erp@x.test", "\"a:b\"@y.test" };

static uint64_t below(struct world *w, uint64_t n)
{
	return prng_below(&w->rng, n);
}

static bool chance(struct world *w, unsigned percent)
{
	return below(w, 100) < percent;
}

/* A wall clock that goes with the other. */
static struct wall_time wall(const struct world *w)
{
	return (struct wall_time){ (int64_t)w->now.us };
}

#define check(w, what) check_at((w), (what), #what, __LINE__)
static void check_at(const struct world *w, bool what, const char *text, int line)
{
	if (!what)
		fail_msg("POSTERN_SEED=%llu, line %d: %s", (unsigned long long)w->seed, line, text);
}

/* ---- sets of keys ---- */

static char *find_key(char set[ROWS][KEY], struct sv key)
{
	for (size_t i = 0; i < ROWS; i++)
		if (sv_eq(sv_from(set[i]), key))
			return set[i];
	return NULL;
}

static void put_key(char set[ROWS][KEY], struct sv key)
{
	char *at = find_key(set, key);

	at = at ? at : find_key(set, SV(""));
	must(at != NULL && key.len < KEY);
	memcpy(at, key.ptr, key.len);
	at[key.len] = '\0';
}

static void take_key(char set[ROWS][KEY], struct sv key)
{
	char *at = find_key(set, key);

	if (at)
		at[0] = '\0';
}

static void hear(struct world *w, struct sv key, bool refused)
{
	for (size_t i = 0; i < ROWS; i++) {
		if (w->heard[i].key[0] && !sv_eq(sv_from(w->heard[i].key), key))
			continue;
		memcpy(w->heard[i].key, key.ptr, key.len);
		w->heard[i].turns = w->now;
		if (refused)
			w->heard[i].at = w->now;
		return;
	}
	fail();
}

static struct mono_time heard_at(const struct world *w, struct sv key, bool refused)
{
	for (size_t i = 0; i < ROWS; i++)
		if (sv_eq(sv_from(w->heard[i].key), key))
			return refused ? w->heard[i].at : w->heard[i].turns;
	return (struct mono_time){ 0 };
}

static struct row *find_row(struct world *w, struct sv key)
{
	for (size_t i = 0; i < ROWS; i++)
		if (sv_eq(sv_from(w->rows[i].key), key))
			return &w->rows[i];
	return NULL;
}

/* ---- what the hands do ---- */

static void record(struct world *w, const struct sched_hold *h)
{
	CLEANUP(buf_deinitp) struct buf proof = BUF_INIT(SCHED_PROOF_TEXT_MAX);
	const struct sched_hold_reason *why = sched_hold_why(h);
	struct mono_time until = sched_hold_until(h, w->now);
	struct row *r = find_row(w, sched_hold_key(h));

	r = r ? r : find_row(w, SV(""));
	must(r != NULL);
	sched_hold_write_proof(h, &proof);
	*r = (struct row){ .cause = why->cause,
		.nature = why->nature,
		.since = why->since,
		.probe_at.us = until.us == MONO_NEVER.us ? INT64_MAX : (int64_t)until.us };
	memcpy(r->key, sched_hold_key(h).ptr, sched_hold_key(h).len);
	if (proof.len)
		memcpy(r->proof, buf_sv(&proof).ptr, proof.len);
}

static void forget(struct world *w, const struct sched_hold *h)
{
	struct row *r = find_row(w, sched_hold_key(h));

	check(w, r != NULL);
	if (r)
		r->key[0] = '\0';
}

/* Parked is told before its end is, and no end is told twice. */
static void tell(struct world *w, const struct sched_hold *h, bool ended)
{
	if (ended) {
		check(w, find_key(w->told, sched_hold_key(h)) != NULL);
		take_key(w->told, sched_hold_key(h));
	} else {
		put_key(w->told, sched_hold_key(h));
	}
}

static void execute(struct world *w)
{
	struct sched_hold_event e;

	while (sched_holds_next_event(w->holds, &e)) {
		bool ended = e.what & SCHED_HOLD_ENDED;

		check(w, sched_hold_why(e.hold) != NULL);
		if (e.what & SCHED_HOLD_RECORD)
			record(w, e.hold);
		if (e.what & SCHED_HOLD_FORGET)
			forget(w, e.hold);
		if (e.what & SCHED_HOLD_TELL)
			tell(w, e.hold, ended);
		if (!ended)
			continue;
		check(w, find_key(w->stopped, sched_hold_key(e.hold)) == NULL);
		check(w, find_key(w->told, sched_hold_key(e.hold)) == NULL);
	}
}

/* ---- life ---- */

static void open_lanes(struct world *w)
{
	w->holds = sched_holds_new();
	for (size_t i = 0; i < LANES; i++) {
		w->lanes[i] = sched_lane_new(w->holds, sv_from(lane_keys[i]));
		sched_lane_set(w->lanes[i], sv_from(tenants[i]), i != 0);
	}
}

static void close_lanes(struct world *w)
{
	for (size_t i = 0; i < LANES; i++)
		sched_lane_free(w->lanes[i]);
	sched_holds_free(w->holds);
}

static void new_mail(struct world *w, struct mail *m)
{
	*m = (struct mail){ .id = ++w->next_id,
		.lane = (uint32_t)below(w, LANES),
		.sender = (uint32_t)below(w, SENDERS),
		.external = chance(w, 50) };
}

static struct sched_mail mail_of(const struct mail *m)
{
	return (struct sched_mail){
		.message = m->id, .sender = sv_from(senders[m->sender]), .external = m->external
	};
}

/* ---- attempts ---- */

static bool is_running(const struct world *w, const struct mail *m)
{
	for (size_t i = 0; i < RUNNING; i++)
		if (w->attempts[i].runs && w->attempts[i].mail.id == m->id)
			return true;
	return false;
}

static bool may_leave(struct world *w, const struct mail *m)
{
	const struct sched_mail mail = mail_of(m);

	return !is_running(w, m) && !mono_before(w->now, m->again) &&
	       !sched_lane_stops(w->lanes[m->lane], &mail, w->now);
}

static bool is_culprit(const struct world *w, const struct sched_mail *mail, uint32_t lane)
{
	uint64_t all[5 * SCHED_WITNESSES];
	size_t n = sched_lane_culprits(w->lanes[lane], mail, all, COUNT_OF(all));

	for (size_t i = 0; i < n; i++)
		if (all[i] == mail->message)
			return true;
	return false;
}

/* As outbound/ does: a culprit only where no other one could be the probe. */
static struct mail *choose(struct world *w, uint32_t lane)
{
	struct mail *culprit = NULL;
	size_t first = below(w, MAILS);

	for (size_t i = 0; i < MAILS; i++) {
		struct mail *m = &w->mails[(first + i) % MAILS];
		const struct sched_mail mail = mail_of(m);

		if (m->lane != lane || !may_leave(w, m))
			continue;
		if (!is_culprit(w, &mail, lane))
			return m;
		culprit = m;
	}
	return culprit;
}

static bool is_of_tenant(const struct world *w, const struct sched_hold *h, const struct attempt *a)
{
	return sched_hold_scope(h) != SCHED_HOLD_EXTERNAL &&
	       sched_lane_shares(w->lanes[a->mail.lane], h);
}

/* Two lanes never try for one tenant within a turn, nor two messages for one lane. */
static void check_probers(const struct world *w, const struct attempt *a)
{
	for (size_t i = 0; i < RUNNING; i++) {
		const struct attempt *b = &w->attempts[i];

		if (!b->runs || b == a || !b->probe)
			continue;
		check(w, b->mail.lane != a->mail.lane);
		for (const struct sched_hold *h = sched_holds_next(w->holds, NULL); h;
			h = sched_holds_next(w->holds, h))
			if (is_of_tenant(w, h, a) && is_of_tenant(w, h, b) &&
				mono_before(heard_at(w, sched_hold_key(h), false), b->begun))
				check(w, mono_span(b->begun, w->now) >= 2 * US_PER_MIN);
	}
}

static void begin(struct world *w)
{
	uint32_t lane = (uint32_t)below(w, LANES);
	struct sched_lane *l = w->lanes[lane];
	const struct sched_lane_now now = sched_lane_now(l, w->now);
	struct attempt *a = &w->attempts[below(w, RUNNING)];
	struct sched_mail mail;
	struct mail *m;

	if (now.held || (now.probing && sched_lane_is_trying(l)) || a->runs)
		return;
	m = choose(w, lane);
	if (!m)
		return;
	if (now.probing)
		sched_lane_take_turn(l, w->now);
	*a = (struct attempt){ .runs = true, .probe = now.probing, .mail = *m, .begun = w->now };
	if (a->probe)
		check_probers(w, a);
	mail = mail_of(m);
	sched_lane_begin(l, &mail, a->probe, w->now);
	/* Of a sender that is held, and of mail to the outside: the others wait for this one. */
	if (sched_lane_holds(l, &mail))
		check(w, sched_lane_stops(l, &mail, w->now) != NULL);
}

static struct verdict any_verdict(struct world *w)
{
	static const enum cause causes[] = {
		CAUSE_TIMEOUT, CAUSE_SMTP_AUTH_OFF, CAUSE_MAILBOX_RESTRICTED
	};

	return (struct verdict){ .kind = chance(w, 50) ? VERDICT_RETRY : VERDICT_PARK,
		.scope = (enum verdict_scope)below(w, VERDICT_SCOPE_COUNT),
		.nature = (enum verdict_nature)below(w, VERDICT_NATURE_COUNT),
		.proved = chance(w, 10),
		.retry_after_us = chance(w, 10) ? US_PER_HOUR : 0,
		.cause = causes[below(w, COUNT_OF(causes))],
		.summary = "It says no." };
}

static struct sched_refusal refusal_of(
	struct world *w, const struct mail *m, const struct verdict *v)
{
	return (struct sched_refusal){ .verdict = v,
		.said = (enum sched_said)below(w, 4),
		.own_author = true,
		.own_sender = chance(w, 50),
		.who = { .message = m->id,
			.sender = 1 + m->sender,
			.author = 1,
			.content = m->id,
			.recipient = m->id,
			.domain = m->id,
			.cause = v->cause,
			.at = wall(w) } };
}

static void set(struct world *w, struct sched_hold *h, const struct verdict *v)
{
	static const struct sched_retry minutes = { US_PER_MIN, US_PER_HOUR };
	bool was_stopped = find_key(w->stopped, sched_hold_key(h)) != NULL;
	struct mono_time until;
	unsigned what = sched_hold_set(h,
		&(struct sched_heard){ .verdict = v,
			.reply = SV("550 no"),
			.retry = &minutes,
			.wall = wall(w),
			.now = w->now,
			.rng = &w->rng });

	check(w, was_stopped == (what == 0));
	if (what)
		hear(w, sched_hold_key(h), true);
	until = sched_hold_until(h, w->now);
	if (until.us == MONO_NEVER.us) {
		check(w, was_stopped || v->nature == VERDICT_NATURE_REPUTATION);
		put_key(w->stopped, sched_hold_key(h));
	} else {
		check(w, mono_span(w->now, until) <= US_PER_HOUR / 5 * 6 + 1);
	}
	check(w, sched_hold_is_shut(h, 0, w->now));
	check(w,
		sched_hold_may_leave(h) == verdict_may_go_elsewhere(&(struct verdict){
						   .nature = sched_hold_why(h)->nature }));
	execute(w);
}

/* True: it may hold that all. */
static struct sched_hold *weigh(struct world *w, const struct mail *m, const struct verdict *v)
{
	const struct sched_refusal r = refusal_of(w, m, v);
	struct sched_hold *h;

	if (!sched_is_wide(v))
		return NULL;
	h = sched_lane_hold_of(w->lanes[m->lane], v, sv_from(senders[m->sender]));
	if (!h || !sched_hold_weigh(h, &r))
		return NULL;
	/* Who caused it is known, if anybody did. */
	set(w, h, v);
	check(w, r.said == SCHED_SAID_SESSION || sched_hold_is_culprit(h, m->id));
	return h;
}

static bool concerns(const struct world *w, const struct mail *m, const struct sched_hold *h)
{
	const struct sched_lane *l = w->lanes[m->lane];

	switch (sched_hold_scope(h)) {
	case SCHED_HOLD_MAILBOX:
		return h == sched_lane_own(l);
	case SCHED_HOLD_SENDER:
		return h ==
		       sched_hold_of_sender(sched_lane_own(l), sv_from(senders[m->sender]), false);
	case SCHED_HOLD_TENANT:
		return sched_lane_shares(l, h);
	case SCHED_HOLD_EXTERNAL:
		return sched_lane_shares(l, h) && m->external;
	case SCHED_HOLD_SIGN_IN:
	case SCHED_HOLD_SCOPE_COUNT:
		break;
	}
	return false;
}

/* It got through: what was heard before it began, and is nobody's to release, has ended. */
static void check_success(struct world *w, const struct attempt *a)
{
	for (const struct sched_hold *h = sched_holds_next(w->holds, NULL); h;
		h = sched_holds_next(w->holds, h))
		check(w,
			!concerns(w, &a->mail, h) || find_key(w->stopped, sched_hold_key(h)) ||
				!mono_before(heard_at(w, sched_hold_key(h), true), a->begun));
}

static void end(struct world *w)
{
	struct attempt *a = &w->attempts[below(w, RUNNING)];
	struct sched_lane *l = w->lanes[a->mail.lane];
	const struct sched_mail mail = mail_of(&a->mail);
	bool left = !chance(w, 10), delivered = left && chance(w, 40);

	if (!a->runs)
		return;
	if (left && !delivered) {
		const struct verdict v = any_verdict(w);

		(void)weigh(w, &a->mail, &v);
	}
	if (delivered)
		sched_lane_succeed(l, &mail, a->begun);
	sched_lane_end(l, &mail, a->probe, left);
	a->runs = false;
	execute(w);
	if (delivered)
		check_success(w, a);
	for (size_t i = 0; i < MAILS; i++) {
		if (w->mails[i].id != a->mail.id)
			continue;
		if (delivered)
			new_mail(w, &w->mails[i]);
		else
			w->mails[i].again = mono_add(w->now, below(w, US_PER_HOUR));
	}
}

/* ---- what else happens ---- */

static void sign_in(struct world *w)
{
	const struct verdict v = { .kind = VERDICT_PARK,
		.scope = VERDICT_SCOPE_TENANT,
		.nature = VERDICT_NATURE_AUTHENTICATION,
		.cause = CAUSE_APP_SECRET_WRONG,
		.summary = "The secret is wrong." };
	struct sched_hold *h = sched_lane_sign_in(w->lanes[below(w, LANES)]);

	if (h && chance(w, 30)) {
		set(w, h, &v);
	} else if (h) {
		sched_hold_clear(h, MONO_NEVER);
		check(w, !sched_hold_holds(h));
		execute(w);
	}
}

/* One lane, or all that nobody must release. */
static void person(struct world *w)
{
	struct sched_lane *l = w->lanes[below(w, LANES)];

	if (chance(w, 50)) {
		for (const struct sched_hold *h = sched_holds_next(w->holds, NULL); h;
			h = sched_holds_next(w->holds, h))
			hear(w, sched_hold_key(h), false);
		sched_holds_probe_all(w->holds, w->now);
		execute(w);
		return;
	}
	for (const struct sched_hold *h = sched_holds_next(w->holds, NULL); h;
		h = sched_holds_next(w->holds, h))
		if (h == sched_lane_own(l) || sched_lane_shares(l, h) ||
			sched_hold_is_sender_on(h, sched_lane_own(l))) {
			take_key(w->stopped, sched_hold_key(h));
			hear(w, sched_hold_key(h), false);
		}
	(void)sched_lane_probe_now(l, w->now);
	check(w, !sched_lane_now(l, w->now).held);
	execute(w);
}

/* ---- a restart ---- */

static struct sched_hold *hold_of(struct world *w, struct sv key)
{
	enum sched_hold_scope scope;
	struct sv name;

	must(sched_hold_parse_key(key, &scope, &name));
	if (scope != SCHED_HOLD_SENDER)
		return sched_hold_get(w->holds, scope, name);
	for (size_t i = 0; i < LANES; i++)
		if (sv_starts(name, sv_from(lane_keys[i])))
			return sched_hold_of_sender(sched_lane_own(w->lanes[i]),
				sv_skip(name, strlen(lane_keys[i]) + 1),
				true);
	return NULL;
}

static void load(struct world *w, const struct row *r)
{
	const struct sched_hold_row row = {
		.verdict = { .nature = r->nature, .cause = r->cause, .summary = "It says no." },
		.reply = SV("550 no"),
		.proof = sv_from(r->proof),
		.since = r->since,
		.probe_at = r->probe_at
	};

	sched_hold_load(hold_of(w, sv_from(r->key)), &row, wall(w), w->now);
}

/* What is parked is what the queue has, for the same reason, by the same culprits; stopped is who was. */
static void check_rows(struct world *w)
{
	size_t rows = 0, parked = 0;

	for (size_t i = 0; i < ROWS; i++)
		rows += w->rows[i].key[0] != '\0';
	for (const struct sched_hold *h = sched_holds_next(w->holds, NULL); h;
		h = sched_holds_next(w->holds, h)) {
		const struct row *r = find_row(w, sched_hold_key(h));
		bool stopped = find_key(w->stopped, sched_hold_key(h)) != NULL;

		check(w, stopped == (sched_hold_until(h, w->now).us == MONO_NEVER.us));
		check(w, !stopped || sched_hold_is_shut(h, 0, w->now));
		if (!sched_hold_is_parked(h))
			continue;
		parked++;
		check(w, find_key(w->told, sched_hold_key(h)) != NULL);
		check(w, r && r->cause == sched_hold_why(h)->cause);
		check(w, r && r->nature == sched_hold_why(h)->nature);
		check(w, r && r->since.us == sched_hold_why(h)->since.us);
		check(w, r && stopped == (r->probe_at.us == INT64_MAX));
	}
	check(w, rows == parked);
}

static void check_culprits(struct world *w)
{
	for (size_t i = 0; i < ROWS; i++) {
		struct sched_proof proof;

		if (w->rows[i].key[0] == '\0')
			continue;
		sched_proof_read(sv_from(w->rows[i].proof), &proof);
		for (uint32_t k = 0; k < proof.count; k++)
			check(w,
				sched_hold_is_culprit(
					hold_of(w, sv_from(w->rows[i].key)), proof.who[k].message));
	}
}

static void restart(struct world *w)
{
	close_lanes(w);
	open_lanes(w);
	memset(w->attempts, 0, sizeof(w->attempts));
	memset(w->heard, 0, sizeof(w->heard));
	for (size_t i = 0; i < ROWS; i++)
		if (w->rows[i].key[0])
			load(w, &w->rows[i]);
	/* Nothing happens by it: nobody is told again, nothing is written again. */
	for (struct sched_hold_event e; sched_holds_next_event(w->holds, &e);)
		check(w, false);
	check_rows(w);
	check_culprits(w);
}

/* ---- the schedule ---- */

static void step(struct world *w)
{
	/* Never twice at one instant: what was before is before. */
	w->now.us += 1 + (chance(w, 20) ? below(w, 20 * US_PER_MIN) : below(w, US_PER_S));
	if (chance(w, 45))
		begin(w);
	else if (chance(w, 80))
		end(w);
	else if (chance(w, 50))
		sign_in(w);
	else if (chance(w, 30))
		person(w);
	else if (chance(w, 20))
		restart(w);
	check_rows(w);
}

/* Whatever was held: without refusals, and with a person for what was stopped, all mail leaves. */
static void check_all_goes_on(struct world *w)
{
	for (size_t i = 0; i < LANES; i++) {
		struct sched_hold *h = sched_lane_sign_in(w->lanes[i]);

		(void)sched_lane_probe_now(w->lanes[i], w->now);
		if (h)
			sched_hold_clear(h, MONO_NEVER);
	}
	w->now.us++;
	for (size_t i = 0; i < MAILS; i++) {
		const struct mail *m = &w->mails[i];
		const struct sched_mail mail = mail_of(m);

		check(w, !sched_lane_now(w->lanes[m->lane], w->now).held);
		check(w, !sched_lane_stops(w->lanes[m->lane], &mail, w->now));
		sched_lane_begin(w->lanes[m->lane], &mail, false, w->now);
		sched_lane_succeed(w->lanes[m->lane], &mail, w->now);
		sched_lane_end(w->lanes[m->lane], &mail, false, true);
		check(w, !sched_lane_now(w->lanes[m->lane], w->now).by);
		check(w, !sched_lane_holds(w->lanes[m->lane], &mail));
	}
}

static void run(uint64_t seed)
{
	struct world *w = xcalloc(1, sizeof(*w));

	w->seed = seed;
	w->now.us = US_PER_DAY;
	prng_seed(&w->rng, seed);
	open_lanes(w);
	for (size_t i = 0; i < MAILS; i++)
		new_mail(w, &w->mails[i]);
	for (size_t i = 0; i < STEPS; i++)
		step(w);
	check_all_goes_on(w);
	close_lanes(w);
	free(w);
}

static void any_schedule_keeps_the_rules(void **state)
{
	const char *given = getenv("POSTERN_SEED");

	(void)state;
	if (given) {
		run(strtoull(given, NULL, 10));
		return;
	}
	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		run(seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_schedule_keeps_the_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
