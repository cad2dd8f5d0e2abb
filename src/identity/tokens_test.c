/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/tokens.h"

#include "identity/test_tokens.h"
#include "provider/reply.h"

#include <sys/stat.h>

#include "cmocka_all.h"

/* ---- one token, many lanes ---- */

static void two_hundred_lanes_cause_one_request(void **state)
{
	static char names[200][40];
	struct bench *b = bench_open();
	struct conf_lane lane = b->app_lane;

	(void)state;
	service_says(&b->service, 200, NULL, TOKEN("tok-1", "3599"));
	for (int i = 0; i < 200; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "submission/m%d@contoso.com", i);
		lane.key = sv_from(names[i]);
		lane.name = lane.login = sv_skip(lane.key, 11);
		(void)want(b, &lane);
	}
	wait_for(b, 200);
	for (int i = 0; i < 200; i++) {
		assert_string_equal(b->waiters[i].token, "tok-1");
		assert_int_equal(b->waiters[i].answers, 1);
	}
	/* And from then on it is there at once. */
	assert_string_equal(want(b, &b->app_lane)->token, "tok-1");
	assert_int_equal(service_requests(&b->service), 1);
	assert_string_equal(b->service.urls[0], "/contoso.com/oauth2/v2.0/token");
	assert_string_equal(b->service.bodies[0],
		"grant_type=client_credentials&scope=https%3A%2F%2Foutlook.office365.com%2F."
		"default&client_id=11111111-2222-3333-4444-555555555555&client_secret=Abc8Q~value");
	bench_close(b);
}

static void what_differs_gets_a_token_of_its_own(void **state)
{
	struct bench *b = bench_open();
	struct conf_tenant other = b->tenant;
	struct conf_lane graph = b->app_lane, elsewhere = b->app_lane;

	(void)state;
	service_says(&b->service, 200, NULL, TOKEN("tok-1", "3599"));
	service_says(&b->service, 200, NULL, TOKEN("tok-2", "3599"));
	service_says(&b->service, 200, NULL, TOKEN("tok-3", "3599"));
	graph.provider = PROVIDER_GRAPH;
	other.id = SV("fabrikam.com");
	elsewhere.tenant = &other;
	assert_string_equal(get(b, &b->app_lane)->token, "tok-1");
	assert_string_equal(get(b, &graph)->token, "tok-2");
	assert_string_equal(get(b, &elsewhere)->token, "tok-3");
	assert_non_null(
		strstr(b->service.bodies[1], "scope=https%3A%2F%2Fgraph.microsoft.com%2F.d"));
	assert_string_equal(b->service.urls[2], "/fabrikam.com/oauth2/v2.0/token");
	assert_string_equal(want(b, &graph)->token, "tok-2");
	bench_close(b);
}

static void a_cancelled_request_is_not_answered(void **state)
{
	struct bench *b = bench_open();
	struct waiter *w = want(b, &b->app_lane);

	(void)state;
	service_says(&b->service, 200, NULL, TOKEN("tok-1", "3599"));
	identity_token_cancel(w->request);
	settle(b, 1);
	assert_int_equal(w->answers, 0);
	assert_string_equal(want(b, &b->app_lane)->token, "tok-1");
	bench_close(b);
}

/* ---- refresh ahead ---- */

static void a_token_is_refreshed_ahead_of_its_end(void **state)
{
	struct bench *b = bench_open();
	struct identity *id;
	uint64_t ahead;

	(void)state;
	service_says(&b->service, 200, NULL, TOKEN("tok-1", "3600"));
	service_says(&b->service, 200, NULL, TOKEN("tok-2", "1000"));
	(void)get(b, &b->app_lane);
	id = only_identity(b);
	ahead = mono_span(id->refresh_at, id->expires_at);
	assert_in_range(ahead, 20 * US_PER_MIN, 30 * US_PER_MIN);
	assert_int_equal(id->timer.at.us, id->refresh_at.us);
	/* The time has come: the old one is handed out while the new one is fetched. */
	id->refresh_at = io_now(b->loop);
	service_hold(&b->service, true);
	assert_string_equal(want(b, &b->app_lane)->token, "tok-1");
	run_a_moment(b);
	assert_string_equal(want(b, &b->app_lane)->token, "tok-1");
	service_hold(&b->service, false);
	settle(b, 2);
	assert_string_equal(want(b, &b->app_lane)->token, "tok-2");
	assert_int_equal(mono_span(id->refresh_at, id->expires_at), 500 * US_PER_S);
	bench_close(b);
}

/* The timer does it without anybody asking, but not for those whom nobody has asked for lately. */
static void only_wanted_tokens_are_kept_warm(void **state)
{
	struct bench *b = bench_open();
	struct identity *id;

	(void)state;
	service_says(&b->service, 200, NULL, TOKEN("tok-1", "3600"));
	(void)get(b, &b->app_lane);
	id = only_identity(b);
	io_timer_start(&id->timer, io_now(b->loop));
	settle(b, 2);
	id->asked_at.us = 0;
	if (io_now(b->loop).us < 2 * US_PER_HOUR)
		id->asked_at.us = UINT64_MAX; /* a machine that has just started cannot show this */
	else
		io_timer_start(&id->timer, io_now(b->loop));
	run_a_moment(b);
	settle(b, 2);
	bench_close(b);
}

static void a_short_rest_of_life_is_not_handed_out(void **state)
{
	struct bench *b = bench_open();
	struct waiter *w;
	bool later;

	(void)state;
	service_says(&b->service, 200, NULL, TOKEN("tok-1", "3600"));
	service_says(&b->service, 200, NULL, TOKEN("tok-2", "600"));
	(void)get(b, &b->app_lane);
	only_identity(b)->expires_at = mono_add(io_now(b->loop), 15 * US_PER_MIN);
	w = &b->waiters[b->count++];
	w->b = b;
	later = identity_token_get(
		b->tokens, b->conf, &b->app_lane, 20 * US_PER_MIN, on_token, w, &w->request);
	assert_true(later);
	wait_for(b, 2);
	/* Ten minutes are less than what is asked for, but all that there is: no endless asking. */
	assert_string_equal(w->token, "tok-2");
	w = &b->waiters[b->count++];
	w->b = b;
	later = identity_token_get(
		b->tokens, b->conf, &b->app_lane, 20 * US_PER_MIN, on_token, w, &w->request);
	assert_false(later);
	assert_int_equal(service_requests(&b->service), 2);
	/* An ended one is none, whatever is asked for. */
	only_identity(b)->expires_at = io_now(b->loop);
	(void)get(b, &b->app_lane);
	assert_int_equal(service_requests(&b->service), 3);
	bench_close(b);
}

/* ---- failures ---- */

static void a_busy_service_is_asked_again_when_it_says(void **state)
{
	struct bench *b = bench_open();
	struct waiter *w;

	(void)state;
	service_says(&b->service, 503, "120", "");
	service_says(&b->service, 503, NULL, "<html>");
	service_says(&b->service, 200, NULL, TOKEN("tok-1", "3600"));
	(void)want(b, &b->app_lane);
	w = get(b, &b->app_lane);
	assert_string_equal(w->token, "");
	assert_int_equal(w->verdict.kind, VERDICT_RETRY);
	assert_in_range(w->verdict.retry_after_us, 119 * US_PER_S, 120 * US_PER_S);
	/* Meanwhile everybody gets the same answer at once. */
	w = want(b, &b->app_lane);
	assert_int_equal(w->answers, 1);
	assert_int_equal(w->verdict.kind, VERDICT_RETRY);
	assert_in_range(w->verdict.retry_after_us, 110 * US_PER_S, 120 * US_PER_S);
	assert_int_equal(service_requests(&b->service), 1);
	skip_pause(b);
	w = get(b, &b->app_lane);
	assert_int_equal(w->verdict.kind, VERDICT_RETRY);
	assert_in_range(
		w->verdict.retry_after_us, 8 * US_PER_S, 12 * US_PER_S + 1); /* the second */
	skip_pause(b);
	assert_string_equal(get(b, &b->app_lane)->token, "tok-1");
	bench_close(b);
}

static void pauses_grow_to_their_ends(void **state)
{
	struct bench *b = bench_open();
	uint64_t last = 0;

	(void)state;
	service_says(&b->service, 500, NULL, "");
	for (int i = 0; i < 12; i++) {
		struct waiter *w = get(b, &b->app_lane);

		assert_true(w->verdict.retry_after_us > last || i > 7);
		last = w->verdict.retry_after_us;
		assert_true(last <= 12 * US_PER_MIN + 1);
		skip_pause(b);
	}
	assert_true(last >= 8 * US_PER_MIN - US_PER_S);
	bench_close(b);
}

static void reload(struct identity_tokens *t, struct conf *conf)
{
	struct arena arena = { 0 };
	size_t count;
	const struct sv *keys = identity_tokens_keys(t, &arena, &count);

	for (size_t i = 0; i < count; i++)
		identity_token_reload(t, keys[i], conf);
	arena_reset(&arena);
}

static void a_wrong_secret_parks_the_tenant(void **state)
{
	struct bench *b = bench_open();
	struct waiter *w;

	(void)state;
	service_says(&b->service,
		401,
		NULL,
		REFUSED("invalid_client", "AADSTS7000215: Invalid client secret provided."));
	service_says(&b->service, 200, NULL, TOKEN("tok-1", "3600"));
	w = get(b, &b->app_lane);
	assert_int_equal(w->verdict.kind, VERDICT_PARK);
	assert_string_equal(w->reply, "AADSTS7000215: Invalid client secret provided.");
	w = want(b, &b->app_lane);
	assert_int_equal(w->answers, 1);
	assert_string_equal(w->reply, "AADSTS7000215: Invalid client secret provided.");
	assert_int_equal(service_requests(&b->service), 1);
	/* Mended and reloaded: at once. */
	reload(b->tokens, b->conf);
	assert_string_equal(get(b, &b->app_lane)->token, "tok-1");
	bench_close(b);
}

static void what_is_wrong_here_is_told_without_asking(void **state)
{
	struct bench *b = bench_open();
	struct waiter *w;

	(void)state;
	assert_int_equal(unlink(b->secret), 0);
	w = get(b, &b->app_lane);
	assert_int_equal(w->verdict.kind, VERDICT_PARK);
	assert_int_equal(w->verdict.scope, VERDICT_SCOPE_TENANT);
	assert_string_equal(cause_name(w->verdict.cause), "app-credentials");
	assert_non_null(strstr(w->reply, b->secret));
	b->tenant.id = SV("contoso");
	w = get(b, &b->app_lane);
	assert_non_null(strstr(w->reply, "neither a tenant id"));
	b->app_lane.provider = PROVIDER_SMTP;
	w = get(b, &b->app_lane);
	assert_int_equal(w->verdict.kind, VERDICT_PARK);
	assert_string_equal(cause_name(w->verdict.cause), "no-app");
	assert_int_equal(service_requests(&b->service), 0);
	bench_close(b);
}

static void a_failed_refresh_leaves_the_token_in_use(void **state)
{
	struct bench *b = bench_open();
	struct identity *id;

	(void)state;
	service_says(&b->service, 200, NULL, TOKEN("tok-1", "3600"));
	service_says(&b->service, 503, NULL, "");
	service_says(&b->service, 200, NULL, TOKEN("tok-2", "3600"));
	(void)get(b, &b->app_lane);
	id = only_identity(b);
	id->refresh_at = io_now(b->loop);
	(void)want(b, &b->app_lane);
	settle(b, 2);
	assert_true(id->failed);
	assert_string_equal(want(b, &b->app_lane)->token, "tok-1");
	/* It tries again by itself. */
	assert_int_equal(id->timer.at.us, id->backoff.until.us);
	io_timer_start(&id->timer, io_now(b->loop));
	settle(b, 3);
	assert_string_equal(want(b, &b->app_lane)->token, "tok-2");
	assert_false(id->failed);
	bench_close(b);
}

static void a_reload_keeps_what_nobody_changed(void **state)
{
	struct bench *b = bench_open();
	struct conf *same = bench_conf(b, CLIENT_ID);
	struct conf *other = bench_conf(b, "99999999-2222-3333-4444-555555555555");
	struct conf *first = b->conf;
	const struct conf_lane *lane = conf_lane_named(b->conf, SV("erp@contoso.com"));

	(void)state;
	service_says(&b->service, 200, NULL, TOKEN("tok-1", "3600"));
	service_says(&b->service, 200, NULL, TOKEN("tok-2", "3600"));
	assert_string_equal(get(b, lane)->token, "tok-1");
	(void)get(b, conf_lane_named(b->conf, SV("scan@contoso.com"))); /* in vain */
	reload(b->tokens, same);
	conf_unref(first);
	b->conf = same;
	lane = conf_lane_named(same, SV("erp@contoso.com"));
	assert_string_equal(want(b, lane)->token, "tok-1");
	reload(b->tokens, other);
	conf_unref(same);
	b->conf = other;
	assert_int_equal(b->tokens->identities.count, 0);
	assert_string_equal(get(b, conf_lane_named(other, SV("erp@contoso.com")))->token, "tok-2");
	assert_non_null(strstr(b->service.bodies[1], "client_id=99999999-"));
	bench_close(b);
}

/* ---- refused by a server ---- */

static void a_refused_token_is_not_handed_out_again(void **state)
{
	struct bench *b = bench_open();
	struct conf_lane other = b->app_lane;
	struct waiter *w;

	(void)state;
	other.key = SV("submission/crm@contoso.com");
	service_says(&b->service, 200, NULL, TOKEN("tok-1", "3600"));
	service_says(&b->service, 200, NULL, TOKEN("tok-2", "3600"));
	service_says(&b->service, 200, NULL, TOKEN("tok-3", "3600"));
	w = get(b, &b->app_lane);
	assert_true(
		identity_token_refused(b->tokens, &b->app_lane, w->serial + 7)); /* an older one */
	assert_string_equal(want(b, &b->app_lane)->token, "tok-1");
	/* Just after a refresh one more is asked for at once, for all who share it ... */
	assert_true(identity_token_refused(b->tokens, &b->app_lane, w->serial));
	assert_string_equal(want(b, &other)->token, "tok-1");
	w = get(b, &b->app_lane);
	assert_string_equal(w->token, "tok-2");
	/* ... and when that is refused, too, the next would be as well. */
	assert_false(identity_token_refused(b->tokens, &b->app_lane, w->serial));
	w = want(b, &b->app_lane);
	assert_int_equal(w->answers, 1);
	assert_string_equal(w->token, "");
	assert_int_equal(w->verdict.kind, VERDICT_RETRY);
	assert_string_equal(cause_name(w->verdict.cause), "token-refused");
	assert_in_range(w->verdict.retry_after_us, 50 * US_PER_S, 61 * US_PER_S);
	/* The neighbour has not been refused. */
	assert_string_equal(want(b, &other)->token, "tok-2");
	only_identity(b)->fetched_at.us -= US_PER_MIN;
	w = get(b, &b->app_lane);
	assert_string_equal(w->token, "tok-3");
	assert_string_equal(want(b, &other)->token, "tok-3");
	assert_int_equal(service_requests(&b->service), 3);
	/* At once again only after a while. */
	assert_false(identity_token_refused(b->tokens, &b->app_lane, w->serial));
	only_identity(b)->replaced_at.us -= 15 * US_PER_MIN;
	assert_true(identity_token_refused(b->tokens, &b->app_lane, w->serial));
	bench_close(b);
}

/* ---- people ---- */

static void the_vault_has_it(struct waiter *w, const struct identity_token *answer)
{
	if (answer->token)
		expect_login(w->b, "ref-2", "ref-1");
}

static void a_rotated_refresh_token_is_saved_before_the_token_is_used(void **state)
{
	struct bench *b = bench_open();
	struct waiter *w;

	(void)state;
	sign_in(b, "ref-1", "ref-0");
	service_says(&b->service, 200, NULL, ROTATED("tok-1", "ref-2"));
	service_says(&b->service, 200, NULL, ROTATED("tok-2", "ref-3"));
	w = want(b, &b->user_lane);
	w->hook = the_vault_has_it;
	wait_for(b, 1);
	assert_string_equal(w->token, "tok-1");
	assert_string_equal(b->service.bodies[0],
		"grant_type=refresh_token&refresh_token=ref-1&scope=https%3A%2F%2Foutlook."
		"office365.com%2FSMTP.Send%20offline_access&client_id=11111111-2222-3333-4444-"
		"555555555555");
	only_identity(b)->expires_at = io_now(b->loop);
	assert_string_equal(get(b, &b->user_lane)->token, "tok-2");
	assert_non_null(strstr(b->service.bodies[1], "refresh_token=ref-2&"));
	expect_login(b, "ref-3", "ref-2");
	bench_close(b);
}

static void a_refresh_token_that_stays_stays(void **state)
{
	struct bench *b = bench_open();

	(void)state;
	sign_in(b, "ref-1", NULL);
	service_says(&b->service, 200, NULL, TOKEN("tok-1", "3600"));
	assert_string_equal(get(b, &b->user_lane)->token, "tok-1");
	expect_login(b, "ref-1", NULL);
	bench_close(b);
}

/* As after a crash between the service's answer and the write, or the other way round. */
static void the_one_before_is_tried_when_the_new_one_is_refused(void **state)
{
	struct bench *b = bench_open();

	(void)state;
	sign_in(b, "ref-2", "ref-1");
	service_says(&b->service, 400, NULL, REFUSED("invalid_grant", "AADSTS70000: no."));
	service_says(&b->service, 200, NULL, ROTATED("tok-1", "ref-3"));
	assert_string_equal(get(b, &b->user_lane)->token, "tok-1");
	assert_non_null(strstr(b->service.bodies[0], "refresh_token=ref-2&"));
	assert_non_null(strstr(b->service.bodies[1], "refresh_token=ref-1&"));
	expect_login(b, "ref-3", "ref-1");
	bench_close(b);
}

static void a_dead_login_parks_the_mailbox(void **state)
{
	struct bench *b = bench_open();
	struct waiter *w;

	(void)state;
	sign_in(b, "ref-2", "ref-1");
	service_says(&b->service, 400, NULL, REFUSED("invalid_grant", "AADSTS700082: expired."));
	service_says(&b->service, 400, NULL, REFUSED("invalid_grant", "AADSTS700082: expired."));
	service_says(&b->service, 200, NULL, ROTATED("tok-1", "ref-9"));
	w = get(b, &b->user_lane);
	assert_int_equal(w->verdict.kind, VERDICT_PARK);
	assert_int_equal(w->verdict.scope, VERDICT_SCOPE_MAILBOX);
	assert_string_equal(w->reply,
		"AADSTS700082: expired. - to sign in again, run `postern login scan@contoso.com`");
	assert_int_equal(service_requests(&b->service), 2);
	expect_login(b, "ref-2", "ref-1");
	/* Somebody does. */
	sign_in(b, "ref-8", NULL);
	assert_int_equal(want(b, &b->user_lane)->answers, 1);
	identity_tokens_signed_in(b->tokens, b->conf, &b->user_lane);
	assert_string_equal(get(b, &b->user_lane)->token, "tok-1");
	assert_non_null(strstr(b->service.bodies[2], "refresh_token=ref-8&"));
	expect_login(b, "ref-9", "ref-8");
	bench_close(b);
}

static void nobody_signed_in_is_told_with_the_command(void **state)
{
	struct bench *b = bench_open();
	struct waiter *w = get(b, &b->user_lane);

	(void)state;
	assert_int_equal(w->verdict.kind, VERDICT_PARK);
	assert_int_equal(w->verdict.scope, VERDICT_SCOPE_MAILBOX);
	assert_string_equal(cause_name(w->verdict.cause), "login-needed");
	assert_string_equal(w->reply,
		"nobody has signed in yet as scan@contoso.com: run `postern login "
		"scan@contoso.com`");
	/* A refresh token is of no use to another app. */
	sign_in(b, "ref-1", NULL);
	b->tenant.app.client_id = SV("99999999-2222-3333-4444-555555555555");
	w = get(b, &b->user_lane);
	assert_string_equal(cause_name(w->verdict.cause), "login-needed");
	assert_int_equal(service_requests(&b->service), 0);
	bench_close(b);
}

/* Two scopes of one person share a refresh token that is good for one use only. */
static void one_person_refreshes_once_at_a_time(void **state)
{
	struct bench *b = bench_open();
	struct conf_lane graph = b->user_lane;

	(void)state;
	graph.provider = PROVIDER_GRAPH;
	sign_in(b, "ref-1", NULL);
	service_says(&b->service, 200, NULL, ROTATED("tok-1", "ref-2"));
	service_says(&b->service, 200, NULL, ROTATED("tok-2", "ref-3"));
	(void)want(b, &b->user_lane);
	(void)want(b, &graph);
	wait_for(b, 2);
	assert_string_equal(b->waiters[0].token, "tok-1");
	assert_string_equal(b->waiters[1].token, "tok-2");
	assert_non_null(strstr(b->service.bodies[1], "refresh_token=ref-2&"));
	expect_login(b, "ref-3", "ref-2");
	bench_close(b);
}

/* A vault that cannot be written: the access token is kept back, and nothing is asked for anew. */
static void an_unwritten_refresh_token_holds_the_access_token_back(void **state)
{
	struct bench *b = bench_open();
	struct waiter *w;

	(void)state;
	sign_in(b, "ref-1", NULL);
	service_says(&b->service, 200, NULL, ROTATED("tok-1", "ref-2"));
	service_hold(&b->service, true);
	w = want(b, &b->user_lane);
	while (!service_holds(&b->service))
		run_a_moment(b);
	/* A folder in the place of the lock: no write can begin. */
	(void)unlink(b->lock_path);
	assert_int_equal(mkdir(b->lock_path, 0700), 0);
	service_hold(&b->service, false);
	wait_for(b, 1);
	assert_string_equal(w->token, "");
	assert_int_equal(w->verdict.kind, VERDICT_RETRY);
	assert_string_equal(cause_name(w->verdict.cause), "vault-unwritable");
	assert_int_equal(rmdir(b->lock_path), 0);
	skip_pause(b);
	assert_string_equal(get(b, &b->user_lane)->token, "tok-1");
	assert_int_equal(service_requests(&b->service), 1);
	expect_login(b, "ref-2", "ref-1");
	bench_close(b);
}

/* A daemon that ends in the middle of anything leaves nothing behind. */
static void a_broker_may_go_at_any_time(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct bench *b = bench_open();

		service_says(&b->service, 200, NULL, TOKEN("tok-1", "3600"));
		service_hold(&b->service, true);
		(void)want(b, &b->app_lane);
		(void)want(b, &b->user_lane);
		while (!service_holds(&b->service))
			run_a_moment(b);
		if (i == 1)
			reload(b->tokens, b->conf);
		bench_close(b);
	}
}

static void check_status(const struct identity_token_status *s)
{
	assert_true(sv_eq(s->tenant, SV("contoso")));
	if (s->user.len) {
		assert_true(sv_eq(s->user, SV("scan@contoso.com")));
		assert_true(sv_eq(s->cause, SV("login-needed")));
		assert_int_equal(s->expires_at.us, 0);
	} else {
		assert_int_equal(s->cause.len, 0);
		assert_int_equal(s->refreshes, 1);
		assert_int_equal(s->expires_at.us - s->refreshed_at.us, 3600 * US_PER_S);
	}
}

static void status_names_every_identity(void **state)
{
	struct bench *b = bench_open();
	struct identity_token_status s;
	struct arena arena = { 0 };
	const struct sv *keys;
	size_t count;

	(void)state;
	service_says(&b->service, 200, NULL, TOKEN("tok-1", "3600"));
	(void)get(b, &b->app_lane);
	(void)get(b, &b->user_lane);
	keys = identity_tokens_keys(b->tokens, &arena, &count);
	assert_int_equal(count, 2);
	for (size_t i = 0; i < count; i++) {
		assert_true(identity_token_look(b->tokens, keys[i], &s));
		check_status(&s);
	}
	assert_false(identity_token_look(b->tokens, SV("gone"), &s));
	arena_reset(&arena);
	bench_close(b);
}

static int open_ca(void **state)
{
	(void)state;
	test_ca_open(&ca);
	return 0;
}

static int close_ca(void **state)
{
	(void)state;
	test_ca_close(&ca);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_hundred_lanes_cause_one_request),
		cmocka_unit_test(what_differs_gets_a_token_of_its_own),
		cmocka_unit_test(a_cancelled_request_is_not_answered),
		cmocka_unit_test(a_token_is_refreshed_ahead_of_its_end),
		cmocka_unit_test(only_wanted_tokens_are_kept_warm),
		cmocka_unit_test(a_short_rest_of_life_is_not_handed_out),
		cmocka_unit_test(a_busy_service_is_asked_again_when_it_says),
		cmocka_unit_test(pauses_grow_to_their_ends),
		cmocka_unit_test(a_wrong_secret_parks_the_tenant),
		cmocka_unit_test(what_is_wrong_here_is_told_without_asking),
		cmocka_unit_test(a_failed_refresh_leaves_the_token_in_use),
		cmocka_unit_test(a_reload_keeps_what_nobody_changed),
		cmocka_unit_test(a_refused_token_is_not_handed_out_again),
		cmocka_unit_test(a_rotated_refresh_token_is_saved_before_the_token_is_used),
		cmocka_unit_test(a_refresh_token_that_stays_stays),
		cmocka_unit_test(the_one_before_is_tried_when_the_new_one_is_refused),
		cmocka_unit_test(a_dead_login_parks_the_mailbox),
		cmocka_unit_test(nobody_signed_in_is_told_with_the_command),
		cmocka_unit_test(one_person_refreshes_once_at_a_time),
		cmocka_unit_test(an_unwritten_refresh_token_holds_the_access_token_back),
		cmocka_unit_test(a_broker_may_go_at_any_time),
		cmocka_unit_test(status_names_every_identity),
	};

	return cmocka_run_group_tests(tests, open_ca, close_ca);
}
