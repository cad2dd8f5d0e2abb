/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/limits.h"

#include "base/must.h"
#include "base/time.h"

#define ON(kind) PROVIDER_DOOR(PROVIDER_##kind)

/* A mailbox's doors, and those of Exchange as a whole. HVE is in neither: it is counted apart. */
#define MAILBOX_DOORS (ON(SUBMISSION) | ON(GRAPH))
#define TENANT_DOORS (MAILBOX_DOORS | ON(CONNECTOR))

/*
 * Sources. LIMITS: learn.microsoft.com/defender-office-365/outbound-spam-sending-limits-troubleshoot (2026-05-26).
 * STORE: learn.microsoft.com/exchange/troubleshoot/send-emails/smtp-submission-improvements. DEVICE:
 * learn.microsoft.com/exchange/mail-flow-best-practices, "How to set up a multifunction device or application". GRAPH:
 * learn.microsoft.com/graph/throttling-limits. GOOGLE: support.google.com/a/answer/166852.
 */
#define LIMITS                                             \
	"https://learn.microsoft.com/defender-office-365/" \
	"outbound-spam-sending-limits-troubleshoot"
#define STORE                                                            \
	"https://learn.microsoft.com/exchange/troubleshoot/send-emails/" \
	"smtp-submission-improvements"
#define DEVICE                                                                                   \
	"https://learn.microsoft.com/exchange/mail-flow-best-practices/"                         \
	"how-to-set-up-a-multifunction-device-or-application-to-send-email-using-microsoft-365-" \
	"or-office-365"
#define GRAPH "https://learn.microsoft.com/graph/throttling-limits"
#define HVE                                                              \
	"https://learn.microsoft.com/exchange/mail-flow-best-practices/" \
	"troubleshoot-high-volume-email-m365"
#define MOERA "https://techcommunity.microsoft.com/blog/exchange/4446167"
#define NDR                                                                     \
	"https://learn.microsoft.com/troubleshoot/exchange/email-delivery/ndr/" \
	"non-delivery-reports-in-exchange-online"
#define SET_MAILBOX "https://learn.microsoft.com/powershell/module/exchange/set-mailbox"
#define GOOGLE "https://support.google.com/a/answer/166852"
#define DAY US_PER_DAY
#define MB (UINT64_C(1) << 20)

/* In the order of enum provider_limit_id. */
static const struct provider_limit limits[] = {
	[PROVIDER_LIMIT_MAILBOX_MINUTE] = { "mailbox-minute",
		MAILBOX_DOORS,
		PROVIDER_SCOPE_MAILBOX,
		PROVIDER_UNIT_MESSAGES,
		US_PER_MIN,
		30,
		PROVIDER_TRUST_STATED,
		LIMITS,
		"2026-11-23" },
	[PROVIDER_LIMIT_MAILBOX_CONNECTIONS] = { "mailbox-connections",
		ON(SUBMISSION),
		PROVIDER_SCOPE_MAILBOX,
		PROVIDER_UNIT_CONNECTIONS,
		0,
		3,
		PROVIDER_TRUST_STATED,
		STORE,
		"2026-11-23" },
	[PROVIDER_LIMIT_MAILBOX_DAY] = { "mailbox-day",
		MAILBOX_DOORS,
		PROVIDER_SCOPE_MAILBOX,
		PROVIDER_UNIT_RECIPIENTS,
		DAY,
		10000,
		PROVIDER_TRUST_STATED,
		LIMITS,
		"2026-11-23" },
	[PROVIDER_LIMIT_MESSAGE_RECIPIENTS] = { "message-recipients",
		MAILBOX_DOORS,
		PROVIDER_SCOPE_MESSAGE,
		PROVIDER_UNIT_RECIPIENTS,
		0,
		500,
		PROVIDER_TRUST_STATED,
		SET_MAILBOX,
		"2026-11-23" },
	/* What may be allowed; a mailbox takes 35 MB unless its administrator raised that. */
	[PROVIDER_LIMIT_MESSAGE_BYTES] = { "message-bytes",
		TENANT_DOORS | ON(DIRECT),
		PROVIDER_SCOPE_MESSAGE,
		PROVIDER_UNIT_BYTES,
		0,
		150 * MB,
		PROVIDER_TRUST_STATED,
		SET_MAILBOX,
		"2026-11-23" },
	[PROVIDER_LIMIT_TENANT_EXTERNAL] = { "tenant-external",
		TENANT_DOORS,
		PROVIDER_SCOPE_TENANT,
		PROVIDER_UNIT_EXTERNAL,
		DAY,
		0,
		PROVIDER_TRUST_STATED,
		LIMITS,
		"2026-11-30" },
	[PROVIDER_LIMIT_ONMICROSOFT] = { "onmicrosoft-external",
		TENANT_DOORS,
		PROVIDER_SCOPE_ONMICROSOFT,
		PROVIDER_UNIT_EXTERNAL,
		DAY,
		100,
		PROVIDER_TRUST_STATED,
		MOERA,
		"2026-11-23" },
	[PROVIDER_LIMIT_GRAPH_REQUESTS] = { "graph-requests",
		ON(GRAPH),
		PROVIDER_SCOPE_APP_MAILBOX,
		PROVIDER_UNIT_REQUESTS,
		10 * US_PER_MIN,
		10000,
		PROVIDER_TRUST_STATED,
		GRAPH,
		"2026-11-23" },
	[PROVIDER_LIMIT_GRAPH_CONNECTIONS] = { "graph-concurrency",
		ON(GRAPH),
		PROVIDER_SCOPE_APP_MAILBOX,
		PROVIDER_UNIT_CONNECTIONS,
		0,
		4,
		PROVIDER_TRUST_STATED,
		GRAPH,
		"2026-11-23" },
	[PROVIDER_LIMIT_GRAPH_BYTES] = { "graph-bytes",
		ON(GRAPH),
		PROVIDER_SCOPE_APP_MAILBOX,
		PROVIDER_UNIT_BYTES,
		5 * US_PER_MIN,
		150 * MB,
		PROVIDER_TRUST_STATED,
		GRAPH,
		"2026-11-23" },
	[PROVIDER_LIMIT_HVE_RECIPIENTS] = { "hve-recipients",
		ON(HVE),
		PROVIDER_SCOPE_MESSAGE,
		PROVIDER_UNIT_RECIPIENTS,
		0,
		50,
		PROVIDER_TRUST_STATED,
		HVE,
		"2026-11-23" },
	[PROVIDER_LIMIT_HVE_BYTES] = { "hve-bytes",
		ON(HVE),
		PROVIDER_SCOPE_MESSAGE,
		PROVIDER_UNIT_BYTES,
		0,
		10 * MB,
		PROVIDER_TRUST_AGREED,
		"https://petri.com/high-volume-email-delivery-internal-recipients",
		"2026-11-23" },
	[PROVIDER_LIMIT_HVE_ACCOUNTS] = { "hve-accounts",
		ON(HVE),
		PROVIDER_SCOPE_TENANT,
		PROVIDER_UNIT_ACCOUNTS,
		0,
		100,
		PROVIDER_TRUST_AGREED,
		"https://petri.com/high-volume-email-delivery-internal-recipients",
		"2026-11-23" },
	[PROVIDER_LIMIT_CONNECTOR_DAY] = { "connector-day",
		ON(CONNECTOR),
		PROVIDER_SCOPE_CONNECTOR,
		PROVIDER_UNIT_RECIPIENTS,
		DAY,
		10000,
		PROVIDER_TRUST_STATED,
		LIMITS,
		"2026-11-23" },
	[PROVIDER_LIMIT_CONNECTOR_DOMAIN] = { "connector-domain",
		ON(CONNECTOR),
		PROVIDER_SCOPE_MESSAGE,
		PROVIDER_UNIT_SAME_DOMAIN,
		0,
		200,
		PROVIDER_TRUST_STATED,
		NDR,
		"2026-11-23" },
	[PROVIDER_LIMIT_DIRECT_HOUR] = { "direct-hour",
		ON(DIRECT),
		PROVIDER_SCOPE_RECIPIENT_DOMAIN,
		PROVIDER_UNIT_MESSAGES,
		US_PER_HOUR,
		3600,
		PROVIDER_TRUST_STATED,
		DEVICE,
		"2026-11-23" },
	[PROVIDER_LIMIT_DIRECT_DOMAIN] = { "direct-domain",
		ON(DIRECT),
		PROVIDER_SCOPE_MESSAGE,
		PROVIDER_UNIT_SAME_DOMAIN,
		0,
		200,
		PROVIDER_TRUST_STATED,
		NDR,
		"2026-11-23" },
	[PROVIDER_LIMIT_GMAIL_MESSAGES] = { "gmail-messages",
		ON(GMAIL),
		PROVIDER_SCOPE_MAILBOX,
		PROVIDER_UNIT_MESSAGES,
		DAY,
		2000,
		PROVIDER_TRUST_STATED,
		GOOGLE,
		"2026-11-23" },
	[PROVIDER_LIMIT_GMAIL_DAY] = { "gmail-day",
		ON(GMAIL),
		PROVIDER_SCOPE_MAILBOX,
		PROVIDER_UNIT_RECIPIENTS,
		DAY,
		10000,
		PROVIDER_TRUST_STATED,
		GOOGLE,
		"2026-11-23" },
	[PROVIDER_LIMIT_GMAIL_EXTERNAL] = { "gmail-external",
		ON(GMAIL),
		PROVIDER_SCOPE_MAILBOX,
		PROVIDER_UNIT_EXTERNAL,
		DAY,
		3000,
		PROVIDER_TRUST_STATED,
		GOOGLE,
		"2026-11-23" },
	/* 3,000, of which 2,000 outside: the lower one for all. */
	[PROVIDER_LIMIT_GMAIL_UNIQUE] = { "gmail-unique",
		ON(GMAIL),
		PROVIDER_SCOPE_MAILBOX,
		PROVIDER_UNIT_UNIQUE,
		DAY,
		2000,
		PROVIDER_TRUST_STATED,
		GOOGLE,
		"2026-11-23" },
	[PROVIDER_LIMIT_GMAIL_MESSAGE] = { "gmail-message",
		ON(GMAIL),
		PROVIDER_SCOPE_MESSAGE,
		PROVIDER_UNIT_RECIPIENTS,
		0,
		100,
		PROVIDER_TRUST_STATED,
		GOOGLE,
		"2026-11-23" },
};
static_assert(COUNT_OF(limits) == PROVIDER_LIMIT_COUNT, "a row for each limit");

const struct provider_limit *provider_limit(enum provider_limit_id id)
{
	must(id < PROVIDER_LIMIT_COUNT);
	return &limits[id];
}

bool provider_limit_counts(const struct provider_limit *limit, enum provider_kind door)
{
	return (limit->doors & PROVIDER_DOOR(door)) != 0;
}

const struct provider_limit *provider_limit_of_day(enum provider_kind door)
{
	for (size_t i = 0; i < COUNT_OF(limits); i++) {
		const struct provider_limit *l = &limits[i];

		if (provider_limit_counts(l, door) && l->window_us == DAY &&
			(l->scope == PROVIDER_SCOPE_MAILBOX ||
				l->scope == PROVIDER_SCOPE_CONNECTOR))
			return l;
	}
	return &limits[PROVIDER_LIMIT_MAILBOX_DAY];
}

const struct provider_limit *provider_limit_named(struct sv name)
{
	for (size_t i = 0; i < COUNT_OF(limits); i++)
		if (sv_eq(name, sv_from(limits[i].name)))
			return &limits[i];
	return NULL;
}

bool provider_limit_of_reply(enum provider_kind door, enum cause cause, enum provider_limit_id *out)
{
	/* At a door of its own each cause means another limit. Graph says 429 of its requests. */
	static const struct {
		enum cause cause;
		enum provider_limit_id limit;
		uint32_t doors;
	} rows[] = {
		{ CAUSE_RATE_EXCEEDED, PROVIDER_LIMIT_MAILBOX_MINUTE, ON(SUBMISSION) },
		{ CAUSE_DAILY_LIMIT, PROVIDER_LIMIT_MAILBOX_DAY, MAILBOX_DOORS },
		{ CAUSE_DAILY_LIMIT, PROVIDER_LIMIT_CONNECTOR_DAY, ON(CONNECTOR) },
		{ CAUSE_DAILY_LIMIT, PROVIDER_LIMIT_GMAIL_DAY, ON(GMAIL) },
		{ CAUSE_TENANT_DAILY_LIMIT, PROVIDER_LIMIT_TENANT_EXTERNAL, TENANT_DOORS },
		{ CAUSE_TRIAL_TENANT_DAILY_LIMIT, PROVIDER_LIMIT_TENANT_EXTERNAL, TENANT_DOORS },
		{ CAUSE_ONMICROSOFT_DAILY_LIMIT, PROVIDER_LIMIT_ONMICROSOFT, TENANT_DOORS },
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (rows[i].cause == cause && rows[i].doors & PROVIDER_DOOR(door)) {
			*out = rows[i].limit;
			return true;
		}
	return false;
}

const char *provider_scope_name(enum provider_scope scope)
{
	static const char *const names[] = { "message",
		"mailbox",
		"app and mailbox",
		"connector",
		"recipient domain",
		"onmicrosoft senders",
		"tenant" };

	static_assert(COUNT_OF(names) == PROVIDER_SCOPE_COUNT, "a name for each scope");
	must(scope < PROVIDER_SCOPE_COUNT);
	return names[scope];
}

const char *provider_unit_name(enum provider_unit unit)
{
	static const char *const names[] = { "messages",
		"recipients",
		"external recipients",
		"different recipients",
		"recipients of a domain",
		"connections",
		"requests",
		"bytes",
		"accounts" };

	static_assert(COUNT_OF(names) == PROVIDER_UNIT_COUNT, "a name for each unit");
	must(unit < PROVIDER_UNIT_COUNT);
	return names[unit];
}

/* ---- a tenant's external recipients ---- */

enum {
	BASE = 9500,
	FACTOR = 500,
	ROOT = 10,   /* licences^0.7 is the tenth root of ... */
	POWER = 7,   /* ... the seventh power */
	STEPS = 200, /* Newton's steps from above: at most 65 for any number of licences */
};

static double power(double x, int n)
{
	double y = 1;

	for (int i = 0; i < n; i++)
		y *= x;
	return y;
}

static uint32_t by_licences(uint32_t licences)
{
	const double of = power(licences, POWER);
	double root = licences;

	if (licences == 0)
		return BASE;
	for (int i = 0; i < STEPS; i++) {
		double next = ((ROOT - 1) * root + of / power(root, ROOT - 1)) / ROOT;

		if (next >= root)
			break;
		root = next;
	}
	return (uint32_t)(FACTOR * root + BASE + 0.5);
}

uint32_t provider_tenant_external(const struct provider_tenant *t)
{
	uint64_t all;

	if (t->external_per_day)
		return t->external_per_day;
	if (t->trial)
		return PROVIDER_TRIAL_EXTERNAL;
	all = by_licences(t->licences);
	if (t->age_days < PROVIDER_YOUNG_DAYS)
		return (uint32_t)(all * PROVIDER_YOUNG_PERCENT / 100);
	if (t->age_days < PROVIDER_GROWING_DAYS)
		return (uint32_t)(all * PROVIDER_GROWING_PERCENT / 100);
	return (uint32_t)all;
}
