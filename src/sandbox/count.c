/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/model_priv.h"

#include "base/must.h"
#include "mail/address.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A violation is a line in a report: past this many, more add nothing. */
enum {
	VIOLATIONS_MAX = 10000,
	DOMAINS_MAX = 10000,
	MICRODOLLARS_A_CENT = 10000,
	MILLION = 1000000,
};

static const struct {
	const char *name, *scope;
} limits[] = {
	[SANDBOX_LIMIT_MINUTE] = { "messages-per-minute", "mailbox" },
	[SANDBOX_LIMIT_CONNECTIONS] = { "connections", "mailbox" },
	[SANDBOX_LIMIT_DAY] = { "recipients-per-day", "mailbox" },
	[SANDBOX_LIMIT_MESSAGE] = { "recipients-per-message", "message" },
	[SANDBOX_LIMIT_EXTERNAL] = { "tenant-external", "tenant" },
	[SANDBOX_LIMIT_ONMICROSOFT] = { "onmicrosoft-external", "tenant" },
	[SANDBOX_LIMIT_DIRECT] = { "direct-per-hour", "domain" },
	[SANDBOX_LIMIT_GRAPH_CONNECTIONS] = { "graph-connections", "app and mailbox" },
	[SANDBOX_LIMIT_GRAPH_REQUESTS] = { "graph-requests", "app and mailbox" },
	[SANDBOX_LIMIT_GRAPH_BYTES] = { "graph-bytes", "app and mailbox" },
	[SANDBOX_LIMIT_HVE_MONEY] = { "hve-money", "tenant" },
	[SANDBOX_LIMIT_SEND_AS] = { "send-as-refusals", "mailbox" },
};
static_assert(COUNT_OF(limits) == SANDBOX_LIMIT_COUNT, "a row for each limit");

const char *sandbox_limit_name(enum sandbox_limit limit)
{
	return limits[limit].name;
}

const char *sandbox_limit_scope(enum sandbox_limit limit)
{
	return limits[limit].scope;
}

/* ---- the record ---- */

static void copy_who(char out[320], struct sv who)
{
	who = sv_head(who, 319);
	if (who.len)
		memcpy(out, who.ptr, who.len);
	out[who.len] = '\0';
}

/* The nearest to its limit; of no limit, the most. */
static bool is_higher(const struct sandbox_peak *p, uint64_t used, uint64_t allowed)
{
	if (p->used == 0)
		return true;
	if (allowed && p->allowed)
		return used * p->allowed > p->used * allowed;
	return used > p->used;
}

void sandbox_model_used(struct sandbox_model *m, enum sandbox_limit limit, struct sv who,
	uint64_t at_us, uint64_t used, uint64_t allowed)
{
	struct sandbox_peak *p = &m->count.peaks[limit];

	if (!is_higher(p, used, allowed))
		return;
	p->used = used;
	p->allowed = allowed;
	p->at_us = at_us;
	copy_who(p->who, who);
}

const struct sandbox_peak *sandbox_model_peak(
	const struct sandbox_model *m, enum sandbox_limit limit)
{
	must(limit < SANDBOX_LIMIT_COUNT);
	return &m->count.peaks[limit];
}

static uint32_t short_of(uint64_t n)
{
	return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

void sandbox_model_broken(struct sandbox_model *m, enum sandbox_limit limit, struct sv who,
	uint64_t at_us, uint64_t used, uint64_t allowed)
{
	struct sandbox_count *c = &m->count;
	struct sandbox_violation *v;

	sandbox_model_used(m, limit, who, at_us, used, allowed);
	c->peaks[limit].broken++;
	if (c->violation_count == VIOLATIONS_MAX)
		return;
	if (c->violation_count == c->violation_cap) {
		c->violation_cap = c->violation_cap ? c->violation_cap * 2 : 16;
		c->violations = xrealloc(c->violations, c->violation_cap * sizeof(*c->violations));
	}
	v = &c->violations[c->violation_count++];
	*v = (struct sandbox_violation){
		.limit = limits[limit].name,
		.at_us = at_us,
		.used = short_of(used),
		.allowed = short_of(allowed),
	};
	copy_who(v->mailbox, who);
}

size_t sandbox_model_violation_count(const struct sandbox_model *m)
{
	return m->count.violation_count;
}

const struct sandbox_violation *sandbox_model_violation(const struct sandbox_model *m, size_t index)
{
	must(index < m->count.violation_count);
	return &m->count.violations[index];
}

static void drop_windows(struct sandbox_count *c)
{
	htable_each (&c->direct, slot) {
		struct sandbox_window *w = slot->value;

		sandbox_window_deinit(w);
		free(w);
	}
	htable_deinit(&c->direct);
	c->direct = (struct htable){ 0 };
	sandbox_window_deinit(&c->external);
	sandbox_window_deinit(&c->onmicrosoft);
}

void sandbox_count_deinit(struct sandbox_count *c)
{
	drop_windows(c);
	free(c->violations);
	*c = (struct sandbox_count){ 0 };
}

void sandbox_model_forget(struct sandbox_model *m)
{
	const struct sandbox_people people = m->count.people;

	for (size_t i = 0; i < m->mailbox_count; i++) {
		struct sandbox_mailbox *b = m->mailboxes[i];

		sandbox_window_deinit(&b->messages);
		sandbox_window_deinit(&b->recipients);
		b->accepted = 0;
		b->refusals = 0;
	}
	sandbox_count_deinit(&m->count);
	m->count.people = people;
}

/* ---- a submission ---- */

/* One limit that it meets: what would be used with it, of what. */
struct met {
	enum sandbox_limit limit;
	uint64_t used, allowed;
	uint16_t code;
	const char *enhanced, *text;
};

static bool is_of_onmicrosoft(struct sv address)
{
	return sv_ends_nocase(address, SV(".onmicrosoft.com"));
}

static struct sv author_of(const struct sandbox_submission *s)
{
	return s->from.len ? s->from : s->sender;
}

static uint64_t external_used(struct sandbox_model *m, uint64_t now_us)
{
	sandbox_people_spend(&m->count.people, &m->count.external, now_us, US_PER_DAY);
	return sandbox_window_used(&m->count.external, now_us, US_PER_DAY);
}

uint64_t sandbox_model_external(struct sandbox_model *m, uint64_t now_us, uint64_t *out_allowed)
{
	*out_allowed = provider_tenant_external(&m->limits.tenant);
	return external_used(m, now_us);
}

static bool breaks(struct sandbox_model *m, const struct sandbox_submission *s,
	const struct met *met, struct sandbox_reply *r)
{
	if (met->allowed == 0 || met->used <= met->allowed)
		return false;
	sandbox_model_broken(
		m, met->limit, sv_from(s->mailbox->address), s->now_us, met->used, met->allowed);
	sandbox_say(r, met->code, met->enhanced, "%s", met->text);
	return true;
}

static bool mailbox_refuses(
	struct sandbox_model *m, const struct sandbox_submission *s, struct sandbox_reply *r)
{
	const struct sandbox_limits *l = &m->limits;
	struct sandbox_mailbox *b = s->mailbox;
	bool all = s->counting == SANDBOX_COUNT_ALL;
	struct met met[4] = {
		{ SANDBOX_LIMIT_MESSAGE,
			s->recipients,
			l->recipients_per_message,
			550,
			"5.5.3",
			"Too many recipients" },
		{ SANDBOX_LIMIT_CONNECTIONS,
			b->sending,
			all ? l->connections : 0,
			432,
			"4.3.2",
			"Concurrent connections limit exceeded. Visit "
			"https://aka.ms/concurrent_sending for more information." },
		{ SANDBOX_LIMIT_MINUTE,
			0,
			all ? l->messages_per_minute : 0,
			451,
			"4.4.2",
			"Message submission rate for this client has exceeded the configured "
			"limit" },
		{ SANDBOX_LIMIT_DAY,
			0,
			l->recipients_per_day,
			554,
			"5.2.0",
			"STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed to "
			"process message due to a permanent exception with message The message "
			"can't be submitted because the sender's submission quota was exceeded." },
	};

	sandbox_people_spend(&b->people_minute, &b->messages, s->now_us, US_PER_MIN);
	sandbox_people_spend(&b->people_day, &b->recipients, s->now_us, US_PER_DAY);
	met[2].used = sandbox_window_used(&b->messages, s->now_us, US_PER_MIN) + 1;
	met[3].used = sandbox_window_used(&b->recipients, s->now_us, US_PER_DAY) + s->recipients;
	for (size_t i = 0; i < COUNT_OF(met); i++)
		if (breaks(m, s, &met[i], r))
			return true;
	return false;
}

static bool tenant_refuses(
	struct sandbox_model *m, const struct sandbox_submission *s, struct sandbox_reply *r)
{
	const struct sandbox_limits *l = &m->limits;
	struct met met[2] = {
		{ SANDBOX_LIMIT_ONMICROSOFT,
			0,
			l->onmicrosoft_per_day,
			550,
			"5.7.236",
			"Your message can't be sent because your tenant exceeded its daily limit "
			"for sending email from onmicrosoft.com domains to external recipients" },
		{ SANDBOX_LIMIT_EXTERNAL,
			0,
			0,
			550,
			l->tenant.trial ? "5.7.232" : "5.7.233",
			l->tenant.trial
				? "Your message can't be sent because your trial tenant has "
				  "exceeded its daily limit for sending email to external "
				  "recipients (tenant external recipient rate limit)"
				: "Your message can't be sent because your tenant exceeded its "
				  "daily limit for sending email to external recipients (tenant "
				  "external recipient rate limit)" },
	};

	if (!l->strict || s->external == 0)
		return false;
	if (is_of_onmicrosoft(author_of(s)))
		met[0].used = sandbox_window_used(&m->count.onmicrosoft, s->now_us, US_PER_DAY) +
			      s->external;
	met[1].used = sandbox_model_external(m, s->now_us, &met[1].allowed) + s->external;
	return breaks(m, s, &met[0], r) || breaks(m, s, &met[1], r);
}

bool sandbox_count_refuses(
	struct sandbox_model *m, const struct sandbox_submission *s, struct sandbox_reply *r)
{
	if (s->counting == SANDBOX_COUNT_NONE)
		return false;
	return mailbox_refuses(m, s, r) || tenant_refuses(m, s, r);
}

static void count_external(struct sandbox_model *m, const struct sandbox_submission *s)
{
	const struct sandbox_limits *l = &m->limits;
	uint64_t allowed, used = sandbox_model_external(m, s->now_us, &allowed) + s->external;

	sandbox_window_add(&m->count.external, s->now_us, s->external);
	sandbox_model_used(m,
		SANDBOX_LIMIT_EXTERNAL,
		SV("the tenant"),
		s->now_us,
		used,
		l->strict ? allowed : 0);
	if (!is_of_onmicrosoft(author_of(s)))
		return;
	sandbox_window_add(&m->count.onmicrosoft, s->now_us, s->external);
	sandbox_model_used(m,
		SANDBOX_LIMIT_ONMICROSOFT,
		SV("the tenant"),
		s->now_us,
		sandbox_window_used(&m->count.onmicrosoft, s->now_us, US_PER_DAY),
		l->strict ? l->onmicrosoft_per_day : 0);
}

void sandbox_count(struct sandbox_model *m, const struct sandbox_submission *s)
{
	const struct sandbox_limits *l = &m->limits;
	struct sandbox_mailbox *b = s->mailbox;
	struct sv who = sv_from(b->address);

	if (s->counting == SANDBOX_COUNT_NONE)
		return;
	sandbox_model_used(
		m, SANDBOX_LIMIT_MESSAGE, who, s->now_us, s->recipients, l->recipients_per_message);
	if (s->counting == SANDBOX_COUNT_ALL) {
		sandbox_window_add(&b->messages, s->now_us, 1);
		sandbox_model_used(m,
			SANDBOX_LIMIT_MINUTE,
			who,
			s->now_us,
			b->messages.sum,
			l->messages_per_minute);
		sandbox_model_used(
			m, SANDBOX_LIMIT_CONNECTIONS, who, s->now_us, b->sending, l->connections);
	}
	sandbox_window_add(&b->recipients, s->now_us, s->recipients);
	sandbox_model_used(
		m, SANDBOX_LIMIT_DAY, who, s->now_us, b->recipients.sum, l->recipients_per_day);
	if (s->external)
		count_external(m, s);
}

/* ---- doors without a mailbox ---- */

static struct sandbox_window *window_of_domain(struct sandbox_count *c, struct sv domain)
{
	struct sandbox_window *w = htable_get(&c->direct, domain);

	if (!w && c->direct.count < DOMAINS_MAX) {
		w = xcalloc(1, sizeof(*w));
		htable_put(&c->direct, domain, w);
	}
	return w;
}

static struct sv domain_of(const char *recipient)
{
	struct sv address = sv_from(recipient);
	ptrdiff_t at = address_at(address);

	return at < 0 ? address : sv_skip(address, (size_t)at + 1);
}

/* False: refused. */
static bool count_direct(
	struct sandbox_model *m, struct sv domain, uint64_t now_us, struct sandbox_reply *out_reply)
{
	uint32_t allowed = m->limits.strict ? m->limits.direct_per_hour : 0;
	struct sandbox_window *w = window_of_domain(&m->count, domain);
	uint64_t used = w ? sandbox_window_used(w, now_us, US_PER_HOUR) + 1 : 0;

	if (allowed && used > allowed) {
		sandbox_model_broken(m, SANDBOX_LIMIT_DIRECT, domain, now_us, used, allowed);
		sandbox_say(out_reply,
			451,
			"4.7.500",
			"Server busy. Please try again later from [127.0.0.1]. (S77719)");
		return false;
	}
	if (w)
		sandbox_window_add(w, now_us, 1);
	sandbox_model_used(m, SANDBOX_LIMIT_DIRECT, domain, now_us, used, allowed);
	return true;
}

void sandbox_model_direct(struct sandbox_model *m, char *const *recipients, size_t count,
	uint64_t now_us, struct sandbox_reply *out_reply)
{
	for (size_t i = 0; i < count; i++) {
		struct sv domain = domain_of(recipients[i]);
		bool counted = false;

		for (size_t k = 0; k < i && !counted; k++)
			counted = sv_eq_nocase(domain_of(recipients[k]), domain);
		if (!counted && !count_direct(m, domain, now_us, out_reply))
			return;
	}
}

uint64_t sandbox_model_hve_microdollars(const struct sandbox_model *m)
{
	return m->count.hve_recipients * m->limits.hve_cents_per_million * MICRODOLLARS_A_CENT /
	       MILLION;
}

void sandbox_model_hve(
	struct sandbox_model *m, struct sv account, uint32_t recipients, uint64_t now_us)
{
	uint32_t budget = m->limits.strict ? m->limits.hve_budget_cents : 0;
	uint64_t cents;

	m->count.hve_recipients += recipients;
	cents = (sandbox_model_hve_microdollars(m) + MICRODOLLARS_A_CENT - 1) / MICRODOLLARS_A_CENT;
	if (budget && cents > budget)
		sandbox_model_broken(m, SANDBOX_LIMIT_HVE_MONEY, account, now_us, cents, budget);
	else
		sandbox_model_used(m, SANDBOX_LIMIT_HVE_MONEY, account, now_us, cents, budget);
}

/* ---- others beside us ---- */

void sandbox_model_people(struct sandbox_model *m, uint32_t external_per_hour, uint64_t now_us)
{
	(void)external_used(m, now_us);
	m->count.people = (struct sandbox_people){ external_per_hour, now_us };
}

void sandbox_mailbox_people(struct sandbox_mailbox *b, uint32_t per_hour, uint64_t now_us)
{
	sandbox_people_spend(&b->people_minute, &b->messages, now_us, US_PER_MIN);
	sandbox_people_spend(&b->people_day, &b->recipients, now_us, US_PER_DAY);
	b->people_minute = b->people_day = (struct sandbox_people){ per_hour, now_us };
}
