/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "outbound/session_priv.h"
#include "provider/defaults.h"

/* The access token of a connection: it asks for one before it signs in, and keeps its own copy. */

#define TOKEN_LEFT_US_MIN US_PER_MIN

static uint64_t left_min(const struct connection *c)
{
	uint64_t left = provider_defaults(c->c->provider)->token_left_us_min;

	return left ? left : TOKEN_LEFT_US_MIN;
}

/* The broker hands out no token with less of its life than this, either. */
static struct mono_time token_until(const struct connection *c, const struct identity_token *t)
{
	uint64_t left = left_min(c);

	if (left > t->life_us / 2)
		left = t->life_us / 2;
	return (struct mono_time){ t->expires_at.us > left ? t->expires_at.us - left : 0 };
}

static void no_token(struct connection *c, const struct verdict *v, struct sv reply)
{
	struct lane *l = c->lane;

	c->ended = true;
	if (v->kind == VERDICT_PARK && v->scope == VERDICT_SCOPE_TENANT &&
		park_set_sign_in(l, v, reply))
		return;
	lane_hold_for_token(l, v, reply);
}

static void on_token(void *arg, const struct identity_token *t)
{
	struct connection *c = arg;

	c->token_request = NULL;
	if (t->token) {
		c->token = secret_new(secret_reveal(t->token));
		c->token_serial = t->serial;
		c->token_until = token_until(c, t);
		park_clear_sign_in(c->lane);
		connection_take_slot(c);
	} else {
		no_token(c, &t->verdict, t->reply);
	}
	connection_pump(c);
}

void connection_ask_token(struct connection *c)
{
	const struct verdict none = cause_verdict(CAUSE_NO_TOKENS);
	struct identity_token_request *request = NULL;

	c->state = CONNECTION_TOKEN;
	if (!c->o->tokens)
		no_token(c, &none, SV("no token service"));
	else if (identity_token_get(
			 c->o->tokens, c->conf, c->c, left_min(c), on_token, c, &request))
		c->token_request = request;
}

bool connection_token_refused(struct connection *c, const struct verdict *v)
{
	struct lane *l = c->lane;
	uint64_t serial = c->token_serial;
	bool another = identity_token_refused(c->o->tokens, c->c, serial);

	/* A refusal that names no reason is worth one try with another token: it may have come too fresh. */
	if (v->cause != CAUSE_TOKEN_STALE && !(v->cause == CAUSE_TOKEN_REFUSED && another))
		return false;
	/* Several connections may have had the same one; a second in a row is the lane's trouble. */
	if (l->stale_serial && l->stale_serial != serial)
		return false;
	l->stale_serial = serial;
	lane_poke(l);
	return true;
}
