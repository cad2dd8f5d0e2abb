/* SPDX-License-Identifier: Apache-2.0 */
#include "domain/check_priv.h"

#include "base/must.h"

#include <stdarg.h>
#include <stdio.h>

/* What the parts of a check have in common: look-ups, texts and findings. */
enum {
	TEXT_MAX = 1200,
	RECORD_SHOWN_MAX = 600,
};

static const char *const topic_names[] = { "SPF",
	"DKIM",
	"DMARC",
	"MX",
	"autodiscover",
	"MTA-STS",
	"TLS-RPT",
	"DANE",
	"host name",
	"block lists" };
_Static_assert(sizeof(topic_names) / sizeof(topic_names[0]) == DOMAIN_TOPIC_COUNT,
	"a topic without a name");
static const char *const level_names[] = { "ok", "note", "warn", "fail", "unknown" };
_Static_assert(sizeof(level_names) / sizeof(level_names[0]) == DOMAIN_LEVEL_COUNT,
	"a level without a name");
static const char *const meets_names[] = { "meets", "fails", "unknown" };
_Static_assert(sizeof(meets_names) / sizeof(meets_names[0]) == DOMAIN_MEETS_COUNT,
	"an answer without a name");

const char *domain_topic_name(enum domain_topic t)
{
	return topic_names[t];
}

const char *domain_level_name(enum domain_level l)
{
	return level_names[l];
}

const char *domain_meets_name(enum domain_meets m)
{
	return meets_names[m];
}

struct sv domain_text(struct domain_run *d, const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return arena_sv(&d->r->arena, sv_from(text));
}

void domain_find(struct domain_run *d, enum domain_topic topic, enum domain_level level,
	struct sv text, struct sv step, struct sv record)
{
	struct domain_report *r = d->r;

	if (r->finding_count == DOMAIN_FINDINGS_MAX)
		return;
	r->findings[r->finding_count++] = (struct domain_finding){
		topic, level, text, step, arena_sv(&r->arena, sv_head(record, RECORD_SHOWN_MAX))
	};
}

const struct authn_answer *domain_look_name(
	struct domain_run *d, struct sv name, enum authn_rr type)
{
	const struct authn_answer *a = authn_memo_look(d->memo, name, type);

	d->waits = d->waits || !a;
	return a;
}

const struct authn_answer *domain_look(struct domain_run *d, struct sv prefix, enum authn_rr type)
{
	char name[2 * LIMIT_DNS_NAME + 2];

	(void)snprintf(name,
		sizeof(name),
		"%.*s.%.*s",
		SV_ARG(sv_head(prefix, LIMIT_DNS_NAME)),
		SV_ARG(sv_head(d->q->domain, LIMIT_DNS_NAME)));
	return domain_look_name(d, sv_from(name), type);
}

const struct provider_domain_row *domain_cloud(const struct domain_run *d)
{
	return provider_domain(d->q->cloud);
}

struct sv domain_step(struct domain_run *d, const char *step)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(1024);

	must(provider_domain_step(&text, step, d->q->domain) == 0);
	return arena_sv(&d->r->arena, buf_sv(&text));
}
