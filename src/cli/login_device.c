/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "cli/login_priv.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The device code flow (RFC 8628): this machine needs no browser, and no address of its own. */

#define SLOWER_US (5 * US_PER_S) /* RFC 8628 3.5 */

static const struct device_end {
	const char *error;
	int exit_code;
	const char *words;
} ends[] = {
	{ "authorization_declined", EX_NOPERM, "the sign-in was declined" },
	{ "access_denied", EX_NOPERM, "the sign-in was declined" },
	{ "expired_token", EX_TEMPFAIL, "the code has expired: run the command again" },
	{ "code_expired", EX_TEMPFAIL, "the code has expired: run the command again" },
	{ "bad_verification_code",
		EX_TEMPFAIL,
		"the service does not know the code any more: run the command again" },
};

static void poll_later(struct login *l)
{
	io_timer_start(&l->poll, mono_add(io_now(l->loop), l->interval_us));
}

/* "access_denied" is said when the person declines, and of every policy, too: then its number says which. */
static void end(struct login *l, const struct device_end *e,
	const struct identity_oauth_refusal *why, unsigned status)
{
	bool numbered = sv_find(sv_from(why->description), SV("AADSTS")) >= 0;

	if (e->exit_code == EX_NOPERM)
		login_fail_refused(l, status, why, numbered ? NULL : e->words);
	else
		login_fail(l,
			e->exit_code,
			"%s%s%s",
			why->description,
			why->description[0] ? "\n" : "",
			e->words);
}

static void refused(struct login *l, const struct identity_oauth_refusal *why, unsigned status)
{
	if (strcmp(why->error, "authorization_pending") == 0) {
		poll_later(l);
		return;
	}
	/* A service that is busy is treated like one that says so in the words of OAuth. */
	if (strcmp(why->error, "slow_down") == 0 || status >= 500 || status == 429) {
		l->interval_us += SLOWER_US;
		poll_later(l);
		return;
	}
	if (login_may_present(l, why)) {
		poll_later(l);
		return;
	}
	for (size_t i = 0; i < COUNT_OF(ends); i++)
		if (strcmp(why->error, ends[i].error) == 0) {
			end(l, &ends[i], why, status);
			return;
		}
	login_fail_refused(l, status, why, NULL);
}

static void on_tokens(void *arg, const struct io_https_answer *answer)
{
	struct login *l = arg;

	if (answer->rc != 0) {
		/* RFC 8628 3.5: a connection that fails is no answer; ask less often. */
		l->interval_us += SLOWER_US;
		poll_later(l);
		return;
	}
	identity_oauth_read_tokens(answer->status, answer->body, &l->tokens);
	if (l->tokens.access_token)
		login_succeed(l);
	else
		refused(l, &l->tokens.refusal, answer->status);
}

static void on_poll(void *arg)
{
	CLEANUP(secret_freep) struct secret *assertion = NULL;
	struct identity_oauth_client client;
	struct login *l = arg;
	struct err err = { 0 };

	if (login_client(l, &client, &assertion, &err) != 0) {
		login_fail(l, EX_CONFIG, "%s", err.text);
		return;
	}
	login_post(l,
		l->token_url,
		identity_oauth_poll_body(&client, l->device.device_code),
		on_tokens);
}

static void show(struct login *l)
{
	const struct identity_oauth_device *d = &l->device;

	if (l->ctx->json) {
		login_print_json(json_pack("{s:s, s:s, s:I, s:s}",
			"verification_uri",
			d->address,
			"user_code",
			d->user_code,
			"expires_in",
			(json_int_t)(d->life_us / US_PER_S),
			"message",
			d->message));
	} else {
		if (d->message[0])
			(void)printf("%s\n\n", d->message);
		(void)printf("  address  %s%s%s\n  code     %s%s%s\n  sign in as %.*s\n\n",
			cli_style(l->ctx, "bold"),
			d->address,
			cli_style(l->ctx, "off"),
			cli_style(l->ctx, "bold"),
			d->user_code,
			cli_style(l->ctx, "off"),
			SV_ARG(l->user));
	}
	(void)fflush(stdout);
}

static void start(struct login *l);

static void on_device(void *arg, const struct io_https_answer *answer)
{
	struct login *l = arg;

	if (answer->rc != 0) {
		login_fail(l,
			EX_UNAVAILABLE,
			"the token service did not answer: %.*s",
			SV_ARG(answer->error));
		return;
	}
	identity_oauth_read_device(answer->status, answer->body, &l->device);
	if (!l->device.device_code) {
		if (login_may_present(l, &l->device.refusal))
			start(l);
		else
			login_fail_refused(l, answer->status, &l->device.refusal, NULL);
		return;
	}
	show(l);
	l->interval_us = l->device.interval_us;
	l->deadline = mono_add(io_now(l->loop), l->device.life_us);
	login_count_down(l);
	io_timer_init(&l->poll, l->loop, on_poll, l);
	poll_later(l);
}

static void start(struct login *l)
{
	CLEANUP(secret_freep) struct secret *assertion = NULL;
	struct identity_oauth_client client;
	char url[IDENTITY_URL_MAX];
	struct err err = { 0 };
	int rc = identity_app_url(
		l->lane->tenant, provider_cloud(l->lane->tenant->cloud)->device_path, url, &err);

	if (rc == 0)
		rc = login_client(l, &client, &assertion, &err);
	if (rc != 0) {
		login_fail(l, EX_CONFIG, "%s", err.text);
		return;
	}
	login_post(l, url, identity_oauth_device_body(&client, sv_from(l->scope)), on_device);
}

void login_device_start(struct login *l)
{
	start(l);
}
