/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "io/log.h"
#include "outbound/outbound_priv.h"
#include "sched/retry.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * Exchange's own counter of what a tenant sends to the outside, where the administrator lets the app ask (`counters:` of the
 * tenant): one question at a time, by the cmdlet Get-LimitsEnforcementStatus. It is the truth that the book is corrected by; a
 * failure holds nothing, and is asked again later and later.
 * The cmdlets' transport is that of Microsoft's own module: https://techcommunity.microsoft.com/blog/exchange/4372797 (replies), and
 * CSS-Exchange's Get-TerrlExternalRecipientEstimate, read on 2026-11-30.
 */
#define FIRST_AGAIN_US \
	US_PER_MIN /* soon: how fast others spend is known from the second answer on */
#define TOKEN_LEFT_US US_PER_MIN

enum {
	ANSWER_MAX = 64 << 10,
	URL_MAX = 1024,
	FAILURES_MAX = 6,
};
static const char question[] =
	"{\"CmdletInput\":{\"CmdletName\":\"Get-LimitsEnforcementStatus\",\"Parameters\":{}}}";

struct counters {
	struct outbound *o;
	char *tenant;
	struct io_timer timer;
	struct identity_token_request *token;
	struct io_https_request *request;
	struct conf *conf; /* of the question that runs */
	uint32_t ours;
	struct mono_time asked;
	unsigned failures, answers;
};

static const struct conf_tenant *tenant_of(const struct conf *conf, const char *name)
{
	size_t count;
	const struct conf_tenant *const *all = conf_tenants(conf, &count);

	for (size_t i = 0; i < count; i++)
		if (sv_eq(all[i]->name, sv_from(name)))
			return all[i];
	return NULL;
}

static void stop(struct counters *c)
{
	if (c->token)
		identity_token_cancel(TAKE(c->token));
	if (c->request)
		io_https_cancel(TAKE(c->request));
	conf_unref(TAKE(c->conf));
}

static void counters_free(struct counters *c)
{
	io_timer_stop(&c->timer);
	stop(c);
	free(c->tenant);
	free(c);
}

static void wait(struct counters *c, uint64_t us)
{
	io_timer_start(&c->timer, mono_add(io_now(c->o->loop), us));
}

/* Once for a series of failures; mail is not touched. */
static void failed(struct counters *c, struct sv why)
{
	const struct conf_tenant *t = tenant_of(c->o->conf, c->tenant);
	unsigned shift = c->failures < FAILURES_MAX ? c->failures : FAILURES_MAX;
	uint64_t pause = t ? t->counters_us << shift : 0;

	stop(c);
	if (c->failures++ == 0)
		log_event(LOG_WARN,
			"qmgr",
			SV(""),
			"Exchange's counter could not be asked",
			(const struct log_field[]){ LOG_F("tenant", sv_from(c->tenant)),
				LOG_F("why", why),
				LOG_F("fix",
					SV("the app needs Exchange.ManageAsApp of Office 365 "
					   "Exchange "
					   "Online with consent, and a role in Entra such as "
					   "Exchange Administrator or a role group of its own; or "
					   "remove counters: from the tenant. Mail leaves by the "
					   "limits that are configured")) },
			3);
	if (t)
		wait(c, pause < US_PER_DAY ? pause : US_PER_DAY);
}

/* The row of the tenant's external recipients. False: there is none. */
static bool read_answer(struct sv body, struct limit_observation *out)
{
	json_t *all = json_loadb(body.ptr, body.len, JSON_REJECT_DUPLICATES, NULL);
	const json_t *rows = json_object_get(all, "value");
	bool found = false;

	for (size_t i = 0; i < json_array_size(rows) && !found; i++) {
		const json_t *row = json_array_get(rows, i);
		const json_t *used = json_object_get(row, "ObservedValue"),
			     *most = json_object_get(row, "Threshold");
		json_int_t u = json_integer_value(used), m = json_integer_value(most);

		/* Other limits may come with it one day. */
		found = json_is_integer(used) && json_is_integer(most) && u >= 0 && m > 0 &&
			u < UINT32_MAX / 4 && m < UINT32_MAX / 4 &&
			(json_array_size(rows) == 1 ||
				strstr(json_string_value(json_object_get(row, "LimitType"))
						? json_string_value(
							  json_object_get(row, "LimitType"))
						: "",
					"External"));
		if (found) {
			out->observed = (uint32_t)u;
			out->threshold = (uint32_t)m;
		}
	}
	json_decref(all);
	return found;
}

static void take(struct counters *c, struct limit_observation *seen)
{
	const struct conf_tenant *t = tenant_of(c->o->conf, c->tenant);

	stop(c);
	if (!t)
		return;
	seen->ours = c->ours;
	seen->asked = c->asked;
	seen->wall = io_wall(c->o->loop);
	if (c->failures)
		log_line(LOG_INFO,
			"qmgr",
			"Exchange's counter of tenant %s answers again",
			c->tenant);
	c->failures = 0;
	limits_observed(c->o, t, seen);
	wait(c,
		c->answers++ == 0 && t->counters_us > FIRST_AGAIN_US ? FIRST_AGAIN_US
								     : t->counters_us);
}

static void answered(void *arg, const struct io_https_answer *a)
{
	struct counters *c = arg;
	struct limit_observation seen = { 0 };
	char why[128];

	c->request = NULL;
	if (a->rc == 0 && a->status == 200 && read_answer(a->body, &seen)) {
		take(c, &seen);
		return;
	}
	if (a->rc != 0)
		(void)snprintf(why, sizeof(why), "%.*s", SV_ARG(sv_head(a->error, 100)));
	else
		(void)snprintf(why, sizeof(why), "HTTP %u", a->status);
	failed(c,
		a->rc == 0 && a->status == 200 ? SV("its answer has no such counter")
					       : sv_from(why));
}

static void ask(struct counters *c, const struct conf_tenant *t, const struct secret *token)
{
	char url[URL_MAX], anchor[URL_MAX];
	const char *headers[] = { anchor, NULL };

	(void)snprintf(url,
		sizeof(url),
		"%.*s/adminapi/beta/%.*s/InvokeCommand",
		SV_ARG(t->exchange_url),
		SV_ARG(t->id));
	/* The system mailbox that each tenant has: an app has none of its own. */
	(void)snprintf(anchor,
		sizeof(anchor),
		"X-AnchorMailbox: UPN:SystemMailbox{bb558c35-97f1-4cb9-8ff7-d53741dc928c}@%.*s",
		SV_ARG(t->id));
	c->ours = limits_ours(c->o, t);
	c->asked = io_now(c->o->loop);
	c->request = io_https_start(c->o->https,
		&(struct io_https_call){ .method = "POST",
			.url = sv_from(url),
			.ca_file = t->ca_file,
			.bearer = token,
			.content_type = SV("application/json; charset=utf-8"),
			.body = sv_from(question),
			.headers = headers,
			.answer_max = ANSWER_MAX },
		answered,
		c);
}

static void on_token(void *arg, const struct identity_token *answer)
{
	struct counters *c = arg;
	const struct conf_tenant *t = tenant_of(c->conf, c->tenant);

	c->token = NULL;
	if (answer->token && t)
		ask(c, t, answer->token);
	else
		failed(c, answer->reply);
}

static void on_timer(void *arg)
{
	struct counters *c = arg;
	struct outbound *o = c->o;
	const struct conf_tenant *t = tenant_of(o->conf, c->tenant);
	struct identity_token_request *later = NULL;

	if (!t || !t->counters_us || o->draining || c->token || c->request)
		return;
	if (!o->https || !o->tokens)
		return;
	conf_unref(TAKE(c->conf));
	c->conf = conf_ref(o->conf);
	c->asked = io_now(o->loop);
	if (identity_token_get(o->tokens, c->conf, t->admin, TOKEN_LEFT_US, on_token, c, &later))
		c->token = later;
}

/* What an administrator has changed may have fixed it; who reloads again and again asks no more often for that. */
static void begin(struct counters *c)
{
	struct mono_time now = io_now(c->o->loop), again = mono_add(c->asked, FIRST_AGAIN_US);

	if (c->token || c->request)
		return;
	io_timer_start(&c->timer, c->asked.us && mono_before(now, again) ? again : now);
}

/* At the start, and after a reload. */
void counters_configure(struct outbound *o)
{
	size_t count;
	const struct conf_tenant *const *all = conf_tenants(o->conf, &count);

	for (size_t i = 0; i < count; i++) {
		struct counters *c = htable_get(&o->counters, all[i]->name);

		if (!all[i]->counters_us || c)
			continue;
		c = xcalloc(1, sizeof(*c));
		c->o = o;
		c->tenant = sv_dup(all[i]->name);
		io_timer_init(&c->timer, o->loop, on_timer, c);
		htable_put(&o->counters, all[i]->name, c);
	}
	htable_each (&o->counters, slot)
		begin(slot->value);
}

void counters_stop(struct outbound *o)
{
	htable_each (&o->counters, slot)
		stop(slot->value);
}

void counters_end(struct outbound *o)
{
	htable_each (&o->counters, slot)
		counters_free(slot->value);
	htable_deinit(&o->counters);
}
