/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/verdict.h"

#include "base/err.h"
#include "base/must.h"
#include "provider/remedy_priv.h"

#include <assert.h>
#include <stdio.h>

/* These words stand in logs, metrics and the store: they never change, only grow. */
static const char *const kind_names[] = { "delivered", "retry", "park", "bounce" };
static_assert(COUNT_OF(kind_names) == VERDICT_KIND_COUNT, "one name a kind");

static const char *const scope_names[] = {
	"recipient",
	"message",
	"sender",
	"mailbox",
	"mailbox-window",
	"tenant",
	"tenant-external",
	"route",
};
static_assert(COUNT_OF(scope_names) == VERDICT_SCOPE_COUNT, "one name a scope");

static const char *const nature_names[] = {
	"other", "authentication", "quota", "outage", "reputation"
};
static_assert(COUNT_OF(nature_names) == VERDICT_NATURE_COUNT, "one name a nature");

const char *verdict_kind_name(enum verdict_kind kind)
{
	must(kind < VERDICT_KIND_COUNT);
	return kind_names[kind];
}

const char *verdict_scope_name(enum verdict_scope scope)
{
	must(scope < VERDICT_SCOPE_COUNT);
	return scope_names[scope];
}

const char *verdict_nature_name(enum verdict_nature nature)
{
	must(nature < VERDICT_NATURE_COUNT);
	return nature_names[nature];
}

bool verdict_may_go_elsewhere(const struct verdict *v)
{
	return v->nature == VERDICT_NATURE_AUTHENTICATION || v->nature == VERDICT_NATURE_QUOTA ||
	       v->nature == VERDICT_NATURE_OUTAGE;
}

static int find_name(const char *const *names, size_t count, struct sv name, size_t *out_index)
{
	for (size_t i = 0; i < count; i++) {
		if (sv_eq_nocase(name, sv_from(names[i]))) {
			*out_index = i;
			return 0;
		}
	}
	return RC_PARSE;
}

int verdict_kind_parse(struct sv name, enum verdict_kind *out_kind)
{
	size_t i;
	int rc = find_name(kind_names, COUNT_OF(kind_names), name, &i);

	if (rc == 0)
		*out_kind = (enum verdict_kind)i;
	return rc;
}

int verdict_scope_parse(struct sv name, enum verdict_scope *out_scope)
{
	size_t i;
	int rc = find_name(scope_names, COUNT_OF(scope_names), name, &i);

	if (rc == 0)
		*out_scope = (enum verdict_scope)i;
	return rc;
}

const char *cause_name(enum cause cause)
{
	must(cause < CAUSE_COUNT);
	return provider_causes[cause].name;
}

enum cause cause_parse(struct sv name)
{
	for (size_t i = 0; i < CAUSE_COUNT; i++)
		if (sv_eq(name, sv_from(provider_causes[i].name)))
			return (enum cause)i;
	for (const struct provider_was *was = provider_was; was->name; was++)
		if (sv_eq(name, sv_from(was->name)))
			return was->cause;
	return CAUSE_UNKNOWN_CAUSE;
}

struct verdict cause_verdict(enum cause cause)
{
	const struct provider_cause *c = &provider_causes[cause];
	struct verdict v = { .kind = c->kind,
		.scope = c->scope == VERDICT_SCOPE_COUNT ? VERDICT_SCOPE_MESSAGE : c->scope,
		.nature = c->nature,
		.retry_after_us = c->retry_after_us,
		.cause = cause,
		.summary = provider_remedy(cause, NULL)->means };

	(void)snprintf(v.enhanced, sizeof(v.enhanced), "%s", c->status);
	return v;
}
