/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "base/must.h"
#include "base/text.h"
#include "smtp/challenge.h"
#include "smtp/client_priv.h"

/*
 * AUTH: with a token XOAUTH2, else OAUTHBEARER (RFC 7628); with a password LOGIN, else PLAIN. The one
 * is never tried with the means of the other.
 */
enum mechanism {
	MECHANISM_NONE,
	MECHANISM_LOGIN,
	MECHANISM_PLAIN,
	MECHANISM_XOAUTH2,
	MECHANISM_OAUTHBEARER,
};

enum {
	/* All that surrounds login and secret in any response. */
	RESPONSE_REST = 64
};

static enum mechanism choose(const struct smtp_client *c)
{
	const struct smtp_client_offers *o = &c->offers;

	if (c->o.token)
		return o->auth_xoauth2       ? MECHANISM_XOAUTH2
		       : o->auth_oauthbearer ? MECHANISM_OAUTHBEARER
					     : MECHANISM_NONE;
	return o->auth_login ? MECHANISM_LOGIN : o->auth_plain ? MECHANISM_PLAIN : MECHANISM_NONE;
}

static struct sv secret_of(const struct smtp_client *c)
{
	return secret_reveal(c->o.token ? c->o.token : c->o.password);
}

/* ---- what is said ---- */

static void put(struct buf *b, struct sv bytes)
{
	must(buf_append(b, bytes) == 0);
}

/* RFC 5801 4: a comma ends the name. */
static void put_saslname(struct buf *b, struct sv name)
{
	for (size_t i = 0; i < name.len; i++) {
		if (name.ptr[i] == ',')
			put(b, SV("=2C"));
		else if (name.ptr[i] == '=')
			put(b, SV("=3D"));
		else
			put(b, sv_make(name.ptr + i, 1));
	}
}

static size_t response_max(const struct smtp_client *c)
{
	return c->o.login.len * 3 + secret_of(c).len + RESPONSE_REST;
}

/* What holds the secret, before base64. The buffer has its full size at once: one that grows leaves
 * the secret behind. wipe() ends it. */
static struct buf response(const struct smtp_client *c, enum mechanism mechanism)
{
	struct buf b = BUF_INIT(response_max(c));
	struct sv secret = secret_of(c);

	must(buf_reserve(&b, b.max) == 0);
	if (mechanism == MECHANISM_XOAUTH2) {
		put(&b, SV("user="));
		put(&b, c->o.login);
		put(&b,
			SV("\x01"
			   "auth=Bearer "));
		put(&b, secret);
		put(&b, SV("\x01\x01"));
	} else if (mechanism == MECHANISM_OAUTHBEARER) {
		put(&b, SV("n,a="));
		put_saslname(&b, c->o.login);
		put(&b,
			SV(",\x01"
			   "auth=Bearer "));
		put(&b, secret);
		put(&b, SV("\x01\x01"));
	} else if (mechanism == MECHANISM_PLAIN) {
		put(&b, sv_make("\0", 1));
		put(&b, c->o.login);
		put(&b, sv_make("\0", 1));
		put(&b, secret);
	} else {
		put(&b, secret);
	}
	return b;
}

static void wipe(struct buf *b)
{
	if (b->ptr)
		secret_wipe(b->ptr, b->cap);
	buf_deinit(b);
}

static size_t base64_len(size_t n)
{
	return (n + 2) / 3 * 4;
}

static void put_line(struct smtp_client *c, struct sv prefix, struct sv plain)
{
	/* Its full size at once, as above. */
	must(buf_reserve(&c->out, prefix.len + base64_len(plain.len) + 2) == 0);
	c->secret_in_output = true;
	client_put(c, prefix);
	must(text_base64_encode(&c->out, plain) == 0);
	client_put(c, SV("\r\n"));
}

static void put_response(struct smtp_client *c, enum mechanism mechanism, struct sv prefix)
{
	struct buf plain = response(c, mechanism);

	put_line(c, prefix, buf_sv(&plain));
	wipe(&plain);
}

static void token_begin(struct smtp_client *c, enum mechanism mechanism)
{
	struct sv prefix =
		mechanism == MECHANISM_XOAUTH2 ? SV("AUTH XOAUTH2 ") : SV("AUTH OAUTHBEARER ");
	struct buf plain = response(c, mechanism);

	if (prefix.len + base64_len(plain.len) + 2 <= LIMIT_AUTH_COMMAND) {
		put_line(c, prefix, buf_sv(&plain));
		client_expect(c, PENDING_AUTH_TOKEN, 0);
	} else {
		client_put(c, sv_trim(prefix));
		client_put(c, SV("\r\n"));
		client_expect(c, PENDING_AUTH_ASK, 0);
	}
	wipe(&plain);
}

bool client_wants_sign_in(const struct smtp_client *c)
{
	return c->o.login.len && (c->o.token || c->o.password);
}

void client_sign_in(struct smtp_client *c)
{
	enum mechanism mechanism = choose(c);

	if (mechanism == MECHANISM_NONE || secret_of(c).len > LIMIT_TOKEN) {
		client_fail(c, SMTP_CLIENT_FAIL_NO_AUTH, NULL);
	} else if (mechanism == MECHANISM_LOGIN) {
		client_put(c, SV("AUTH LOGIN\r\n"));
		client_expect(c, PENDING_AUTH, 0);
	} else if (mechanism == MECHANISM_PLAIN) {
		put_response(c, mechanism, SV("AUTH PLAIN "));
		client_expect(c, PENDING_AUTH_PASSWORD, 0);
	} else {
		token_begin(c, mechanism);
	}
}

/* ---- refusals ---- */

static void refused(struct smtp_client *c, const struct smtp_reply *r)
{
	struct buf text = BUF_INIT(LIMIT_REPLY_KEPT + SMTP_CHALLENGE_TEXT_MAX + RESPONSE_REST);
	const struct smtp_mask mask = client_mask(c);
	struct smtp_reply told = *r;

	put(&text, sv_head(r->text, LIMIT_REPLY_KEPT));
	if (c->challenge.len)
		must(buf_printf(&text, " (challenge: %.*s)", SV_ARG(buf_sv(&c->challenge))) == 0);
	buf_reset(&c->refusal_text);
	/* A challenge may repeat it, too. */
	must(smtp_mask_text(&mask, buf_sv(&text), &c->refusal_text) == 0);
	wipe(&text);
	told.text = buf_sv(&c->refusal_text);
	client_fail(c, SMTP_CLIENT_FAIL_REPLY, &told);
}

/* The token is refused, and this says why. The refusal itself comes when that is acknowledged. */
static void challenged(struct smtp_client *c, const struct smtp_reply *r)
{
	if (smtp_challenge_describe(r->text, &c->challenge) != 0)
		buf_reset(&c->challenge); /* not understood: nothing to tell */
	client_put(c, choose(c) == MECHANISM_XOAUTH2 ? SV("\r\n") : SV("AQ==\r\n"));
	client_expect(c, PENDING_AUTH_REASON, 0);
}

static void step(struct smtp_client *c, enum pending_kind kind, const struct smtp_reply *r)
{
	client_answered(c);
	if (kind == PENDING_AUTH) {
		put_line(c, SV(""), c->o.login);
		client_expect(c, PENDING_AUTH_USER, 0);
	} else if (kind == PENDING_AUTH_USER) {
		put_response(c, MECHANISM_LOGIN, SV(""));
		client_expect(c, PENDING_AUTH_PASSWORD, 0);
	} else if (kind == PENDING_AUTH_ASK) {
		put_response(c, choose(c), SV(""));
		client_expect(c, PENDING_AUTH_TOKEN, 0);
	} else if (r->code == 334) {
		challenged(c, r);
	} else {
		client_ready(c);
	}
}

static bool is_due(enum pending_kind kind, uint16_t code)
{
	switch ((unsigned)kind) {
	case PENDING_AUTH:
	case PENDING_AUTH_USER:
	case PENDING_AUTH_ASK:
		return code == 334;
	case PENDING_AUTH_PASSWORD:
		return code == 235;
	case PENDING_AUTH_TOKEN:
		return code == 235 || code == 334;
	default:
		return false;
	}
}

void client_sign_in_reply(struct smtp_client *c, struct pending p, const struct smtp_reply *r)
{
	if (is_due(p.kind, r->code))
		step(c, p.kind, r);
	else if (r->code < 400)
		client_fail(c, SMTP_CLIENT_FAIL_PROTOCOL, NULL);
	else
		refused(c, r);
}
