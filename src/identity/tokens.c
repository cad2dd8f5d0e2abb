/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/tokens.h"

#include "base/must.h"
#include "identity/tokens_priv.h"

#include <stdio.h>
#include <stdlib.h>

/*
 * A token is refreshed AHEAD of its end (the contract says at least 20 minutes), so that a token service
 * may be away for some minutes before anybody notices; shorter lives at half. The clock is the monotonic one:
 * what the wall clock of either side says does not matter.
 */
#define AHEAD_US (25 * US_PER_MIN)
/* Identities that nobody asks for are not kept warm. */
#define WARM_US US_PER_HOUR
/* A token that a server refuses so soon after it came is not at fault; the next would be refused, too. */
#define REFUSED_US US_PER_MIN
/* But for one: Microsoft now and then refuses the token that a refresh has just brought. */
#define REPLACED_US (15 * US_PER_MIN)

/* Pauses after failures: what clears by itself, and what a person must mend. */
#define RETRY_US_FIRST (5 * US_PER_S)
#define RETRY_US_MAX (10 * US_PER_MIN)
#define PARK_US_FIRST US_PER_MIN
#define PARK_US_MAX US_PER_HOUR

enum {
	REPLY_MAX = 1024,
	KEY_MAX = 4096,
	JITTER_PERCENT = 10,
};

struct identity_token_request {
	struct list node; /* in the waiters of an identity */
	identity_token_fn *done;
	void *arg;
};

/* ---- who ---- */

int identity_token_scope(const struct conf_lane *lane, char out[IDENTITY_SCOPE_MAX])
{
	const struct provider_defaults *d = provider_defaults(lane->provider);
	const struct conf_tenant *tenant = lane->tenant;
	bool google = tenant && tenant->cloud == PROVIDER_CLOUD_GOOGLE;
	bool person = lane->sign_in == CONF_SIGN_IN_USER;
	const char *path = person ? d->user_scope : d->app_scope;
	struct sv host;
	int n;

	if (!tenant || !path || (!person && lane->sign_in != CONF_SIGN_IN_APP))
		return RC_CONFIG;
	host = d->is_http ? tenant->graph_url : tenant->scope_host;
	n = snprintf(out,
		IDENTITY_SCOPE_MAX,
		"%.*s%s%s",
		SV_ARG(host),
		path,
		person && !google ? " offline_access" : "");
	return n > 0 && n < IDENTITY_SCOPE_MAX ? 0 : RC_CONFIG;
}

/* What makes an identity: joined by line ends, which none of them has. *out_fixed is where user begins. */
static int make_key(
	const struct conf_lane *lane, struct buf *out, size_t *out_user_at, size_t *out_scope_at)
{
	char scope[IDENTITY_SCOPE_MAX], user[IDENTITY_USER_MAX] = "";
	const struct conf_tenant *tenant = lane->tenant;
	int rc = identity_token_scope(lane, scope);

	if (rc != 0)
		return rc;
	/* A service account of Google speaks for one user in each token. */
	if (lane->sign_in == CONF_SIGN_IN_USER || tenant->cloud == PROVIDER_CLOUD_GOOGLE)
		(void)identity_login_user(lane, user);
	rc = buf_printf(out,
		"%s\n%.*s\n%.*s\n%.*s\n%.*s\n",
		lane->sign_in == CONF_SIGN_IN_USER ? "user" : "app",
		SV_ARG(tenant->name),
		SV_ARG(tenant->login_url),
		SV_ARG(tenant->id),
		SV_ARG(tenant->app.client_id));
	*out_user_at = out->len;
	if (rc == 0)
		rc = buf_printf(out, "%s\n", user);
	*out_scope_at = out->len;
	return rc == 0 ? buf_append(out, sv_from(scope)) : rc;
}

static void on_timer(void *arg);

static struct identity *identity_new(struct identity_tokens *t, const struct conf_lane *lane,
	struct sv key, size_t user_at, size_t scope_at)
{
	CLEANUP(buf_deinitp) struct buf name = BUF_INIT(VAULT_NAME_MAX);
	struct identity *id = xcalloc(1, sizeof(*id));
	bool person = lane->sign_in == CONF_SIGN_IN_USER;
	struct sv user = sv_make(key.ptr + user_at, scope_at - user_at - 1);

	if (person && identity_login_name(lane->tenant, user, &name) != 0)
		buf_reset(&name); /* longer than a vault's name: found empty, and told so */
	if (person && name.len == 0)
		must(buf_append(&name, SV("login/")) == 0);
	id->key = xcalloc(1, key.len + name.len + 1);
	memcpy(id->key, key.ptr, key.len);
	if (name.len)
		memcpy(id->key + key.len, buf_sv(&name).ptr, name.len);
	id->broker = t;
	id->user = sv_make(id->key + user_at, user.len);
	id->scope = sv_make(id->key + scope_at, key.len - scope_at);
	id->login_name = sv_make(id->key + key.len, name.len);
	list_init(&id->queued);
	list_init(&id->waiters);
	io_timer_init(&id->timer, t->o.loop, on_timer, id);
	htable_put(&t->identities, key, id);
	return id;
}

static void drop_token(struct identity *id)
{
	secret_free(TAKE(id->token));
	htable_deinit(&id->refused);
	id->refused = (struct htable){ 0 };
}

static void identity_free(struct identity *id)
{
	identity_stop(id);
	while (!list_empty(&id->waiters)) {
		struct identity_token_request *r =
			list_entry(id->waiters.next, struct identity_token_request, node);

		list_remove(&r->node);
		free(r);
	}
	drop_token(id);
	free(id->reply);
	conf_unref(id->conf);
	free(id->key);
	free(id);
}

static struct identity *find(struct identity_tokens *t, const struct conf_lane *lane, bool make)
{
	CLEANUP(buf_deinitp) struct buf key = BUF_INIT(KEY_MAX);
	size_t user_at = 0, scope_at = 0;
	struct identity *id;

	if (make_key(lane, &key, &user_at, &scope_at) != 0)
		return NULL;
	id = htable_get(&t->identities, buf_sv(&key));
	if (!id && make)
		id = identity_new(t, lane, buf_sv(&key), user_at, scope_at);
	return id;
}

static void set_conf(struct identity *id, struct conf *conf, const struct conf_lane *lane)
{
	struct conf *old = id->conf;

	id->conf = conf_ref(conf);
	/* A made mailbox may go before the snapshot does. */
	id->lane = lane->made_of ? lane->made_of : lane;
	id->gone = false;
	if (old)
		conf_unref(old);
}

/* ---- answers ---- */

static struct mono_time now_of(const struct identity *id)
{
	return io_now(id->broker->o.loop);
}

static void give_token(struct identity *id, identity_token_fn *done, void *arg)
{
	const struct identity_token answer = { .token = id->token,
		.expires_at = id->expires_at,
		.life_us = id->life_us,
		.serial = id->serial };

	done(arg, &answer);
}

/* Asking again before the pause is over would bring the same answer. */
static void give_failure(struct identity *id, identity_token_fn *done, void *arg)
{
	struct identity_token answer = { .verdict = id->verdict, .reply = sv_from(id->reply) };
	uint64_t left = mono_span(now_of(id), id->backoff.until);

	if (answer.verdict.retry_after_us < left || answer.verdict.kind == VERDICT_RETRY)
		answer.verdict.retry_after_us = left;
	done(arg, &answer);
}

static void answer_all(
	struct identity *id, void (*give)(struct identity *id, identity_token_fn *done, void *arg))
{
	struct list all;

	/* Who asks while we answer waits for the next refresh. */
	list_init(&all);
	while (!list_empty(&id->waiters)) {
		struct list *node = id->waiters.next;

		list_remove(node);
		list_append(&all, node);
	}
	id->answering++;
	while (!list_empty(&all)) {
		struct identity_token_request *r =
			list_entry(all.next, struct identity_token_request, node);
		identity_token_fn *done = r->done;
		void *arg = r->arg;

		list_remove(&r->node);
		free(r);
		give(id, done, arg);
	}
	id->answering--;
}

static uint64_t jitter(struct identity *id, uint64_t us)
{
	return us + prng_below(io_prng(id->broker->o.loop), us * JITTER_PERCENT / 100 + 1);
}

/* Within the contract's 20 minutes; spread, so that many that came together do not go together. */
static uint64_t ahead_us(struct identity *id)
{
	if (id->life_us < 2 * AHEAD_US)
		return id->life_us / 2;
	return jitter(id, AHEAD_US);
}

void identity_took(struct identity *id)
{
	struct mono_time now = now_of(id);

	drop_token(id);
	id->token = TAKE(id->fresh.access_token);
	id->life_us = id->fresh.life_us;
	identity_oauth_tokens_deinit(&id->fresh);
	id->serial = ++id->broker->serial;
	id->fetched_at = now;
	id->expires_at = mono_add(now, id->life_us);
	id->refresh_at = mono_add(now, id->life_us - ahead_us(id));
	id->refreshed_wall = io_wall(id->broker->o.loop);
	id->expires_wall = wall_add(id->refreshed_wall, (int64_t)id->life_us);
	id->refreshes++;
	id->failed = false;
	id->backoff = (struct sched_backoff){ 0 };
	io_timer_start(&id->timer, id->refresh_at);
	answer_all(id, give_token);
}

void identity_failed(struct identity *id, const struct verdict *verdict, struct sv reply)
{
	static const struct sched_retry passes = { RETRY_US_FIRST, RETRY_US_MAX };
	static const struct sched_retry to_mend = { PARK_US_FIRST, PARK_US_MAX };
	bool park = verdict->kind == VERDICT_PARK;
	uint64_t asked =
		verdict->retry_after_us < PARK_US_MAX ? verdict->retry_after_us : PARK_US_MAX;

	(void)sched_backoff_fail(&id->backoff,
		park ? &to_mend : &passes,
		park ? 0 : asked,
		now_of(id),
		io_prng(id->broker->o.loop));
	id->failed = true;
	id->verdict = *verdict;
	free(id->reply);
	id->reply = sv_dup(sv_head(reply, REPLY_MAX));
	/* A token that still lives is kept and refreshed behind the pause. */
	if (id->token)
		io_timer_start(&id->timer, id->backoff.until);
	answer_all(id, give_failure);
}

/* Time to refresh ahead, if anybody has asked of late. */
static void on_timer(void *arg)
{
	struct identity *id = arg;

	if (id->state == IDENTITY_IDLE && !id->gone &&
		mono_span(id->asked_at, now_of(id)) < WARM_US)
		identity_begin(id);
}

/* ---- asking ---- */

static void give_refused(struct identity *id, identity_token_fn *done, void *arg)
{
	struct identity_token answer = { .verdict = cause_verdict(CAUSE_TOKEN_REFUSED),
		.reply = SV("the server refused the token that came a moment ago; another one is "
			    "asked for in a minute at the earliest") };

	/* A change at Microsoft can take an hour to work: this one is no proof yet. */
	answer.verdict.kind = VERDICT_RETRY;
	(void)snprintf(answer.verdict.enhanced, sizeof(answer.verdict.enhanced), "%s", "4.7.0");
	answer.verdict.retry_after_us =
		mono_span(now_of(id), mono_add(id->fetched_at, REFUSED_US)) + 1;
	done(arg, &answer);
}

/* Whether the token that is there will do. A server may want more life than half of it: it gets that. */
static bool is_fit(const struct identity *id, struct mono_time now, uint64_t left_us_min)
{
	uint64_t left = mono_span(now, id->expires_at);
	uint64_t wanted = left_us_min < id->life_us / 2 ? left_us_min : id->life_us / 2;

	return id->token && left > 0 && left >= wanted;
}

static bool is_young(const struct identity *id, struct mono_time now)
{
	return mono_span(id->fetched_at, now) < REFUSED_US;
}

static bool may_replace(const struct identity *id, struct mono_time now)
{
	return !id->replaced || mono_span(id->replaced_at, now) >= REPLACED_US;
}

static void wait_for(struct identity *id, identity_token_fn *done, void *arg,
	struct identity_token_request **out_request)
{
	struct identity_token_request *r = xcalloc(1, sizeof(*r));

	r->done = done;
	r->arg = arg;
	list_append(&id->waiters, &r->node);
	*out_request = r;
}

bool identity_token_get(struct identity_tokens *t, struct conf *conf, const struct conf_lane *lane,
	uint64_t left_us_min, identity_token_fn *done, void *arg,
	struct identity_token_request **out_request)
{
	struct identity *id = find(t, lane, true);
	struct mono_time now = io_now(t->o.loop);
	bool was_refused, paused;

	if (!id) {
		const struct identity_token none = { .verdict = cause_verdict(CAUSE_NO_APP),
			.reply = SV("no token can be had for this mailbox: it needs a tenant with "
				    "an app") };

		done(arg, &none);
		return false;
	}
	set_conf(id, conf, lane);
	id->asked_at = now;
	paused = id->failed && mono_before(now, id->backoff.until);
	was_refused = htable_get(&id->refused, lane->key) != NULL;
	if (!was_refused && is_fit(id, now, left_us_min)) {
		if (id->state == IDENTITY_IDLE && !paused && !mono_before(now, id->refresh_at))
			identity_begin(id);
		give_token(id, done, arg);
		return false;
	}
	if (id->state == IDENTITY_IDLE && was_refused && !paused && is_young(id, now)) {
		if (!may_replace(id, now)) {
			give_refused(id, done, arg);
			return false;
		}
		id->replaced = true;
		id->replaced_at = now;
	}
	if (id->state == IDENTITY_IDLE && paused) {
		give_failure(id, done, arg);
		return false;
	}
	wait_for(id, done, arg, out_request);
	if (id->state == IDENTITY_IDLE)
		identity_begin(id);
	return true;
}

void identity_token_cancel(struct identity_token_request *r)
{
	if (!r)
		return;
	list_remove(&r->node);
	free(r);
}

bool identity_token_refused(
	struct identity_tokens *t, const struct conf_lane *lane, uint64_t serial)
{
	struct identity *id = find(t, lane, false);
	struct mono_time now = io_now(t->o.loop);

	if (!id)
		return false;
	if (!id->token || id->serial != serial)
		return true;
	htable_put(&id->refused, lane->key, id);
	return !is_young(id, now) || may_replace(id, now);
}

/* ---- life ---- */

struct identity_tokens *identity_tokens_new(const struct identity_tokens_options *options)
{
	struct identity_tokens *t = xcalloc(1, sizeof(*t));

	identity_oauth_init();
	t->o = *options;
	list_init(&t->queued);
	return t;
}

void identity_tokens_free(struct identity_tokens *t)
{
	if (!t)
		return;
	io_timer_stop(&t->again);
	htable_each (&t->identities, slot)
		identity_free(slot->value);
	if (t->running)
		t->running->broker = NULL;
	htable_deinit(&t->identities);
	htable_deinit(&t->busy);
	free(t);
}

static void forgive(struct identity *id)
{
	id->failed = false;
	id->backoff = (struct sched_backoff){ 0 };
}

/* The lane that asked last may be gone, or sign in otherwise now. */
static void adopt(struct identity *id, struct conf *conf)
{
	const struct conf_lane *lane = conf_lane(conf, id->lane->key);

	forgive(id);
	if (lane && find(id->broker, lane, false) == id)
		set_conf(id, conf, lane);
	else
		id->gone = true;
}

void identity_token_reload(struct identity_tokens *t, struct sv key, struct conf *conf)
{
	struct identity *id = htable_get(&t->identities, key);

	if (!id)
		return;
	adopt(id, conf);
	if (!id->gone || id->state != IDENTITY_IDLE || id->answering || !list_empty(&id->waiters))
		return;
	(void)htable_take(&t->identities, key);
	identity_free(id);
}

void identity_tokens_signed_in(
	struct identity_tokens *t, struct conf *conf, const struct conf_lane *lane)
{
	struct identity *id = find(t, lane, true);

	if (!id)
		return;
	set_conf(id, conf, lane);
	htable_each (&t->identities, slot) {
		struct identity *other = slot->value;

		if (other != id &&
			(id->login_name.len == 0 || !sv_eq(other->login_name, id->login_name)))
			continue;
		forgive(other);
		drop_token(other);
	}
}

void identity_tokens_retry(
	struct identity_tokens *t, struct conf *conf, const struct conf_lane *lane)
{
	struct identity *id = find(t, lane, false);

	if (!id || !id->failed)
		return;
	set_conf(id, conf, lane);
	forgive(id);
}

struct sv *identity_tokens_keys(const struct identity_tokens *t, struct arena *a, size_t *out_count)
{
	struct sv *keys = arena_alloc(a, (t->identities.count + 1) * sizeof(*keys));

	*out_count = 0;
	htable_each (&t->identities, slot)
		keys[(*out_count)++] = arena_sv(a, sv_make(slot->key, slot->key_len));
	return keys;
}

bool identity_token_look(
	const struct identity_tokens *t, struct sv key, struct identity_token_status *out_status)
{
	const struct identity *id = htable_get(&t->identities, key);

	if (!id)
		return false;
	*out_status = (struct identity_token_status){ .tenant = id->lane->tenant->name,
		.user = id->user,
		.scope = id->scope,
		.refreshes = id->refreshes };
	if (id->token) {
		out_status->expires_at = id->expires_wall;
		out_status->refreshed_at = id->refreshed_wall;
	}
	if (id->failed) {
		out_status->cause = sv_from(cause_name(id->verdict.cause));
		out_status->reply = sv_from(id->reply);
	}
	return true;
}
