/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/client_priv.h"

/* From the greeting to ready: EHLO, STARTTLS, EHLO again; then client_sign_in.c. */

void client_hello(struct smtp_client *c, bool extended)
{
	client_put(c, extended ? SV("EHLO ") : SV("HELO "));
	client_put(c, c->o.hostname);
	client_put(c, SV("\r\n"));
	client_expect(c, extended ? PENDING_EHLO : PENDING_HELO, 0);
}

/* ---- what is offered ---- */

static void read_auth(struct smtp_client_offers *o, struct sv list)
{
	bool more = true;

	while (more) {
		struct sv word;

		more = sv_cut_char(&list, ' ', &word);
		o->auth_login |= sv_eq_nocase(word, SV("LOGIN"));
		o->auth_plain |= sv_eq_nocase(word, SV("PLAIN"));
		o->auth_xoauth2 |= sv_eq_nocase(word, SV("XOAUTH2"));
		o->auth_oauthbearer |= sv_eq_nocase(word, SV("OAUTHBEARER"));
	}
}

static void read_offer(struct smtp_client_offers *o, struct sv line)
{
	struct sv name;

	/* "AUTH=LOGIN" is an old Exchange's way to say it. */
	if (sv_starts_nocase(line, SV("AUTH=")))
		read_auth(o, sv_skip(line, 5));
	(void)sv_cut_char(&line, ' ', &name);
	if (sv_eq_nocase(name, SV("AUTH")))
		read_auth(o, line);
	else if (sv_eq_nocase(name, SV("SIZE"))) {
		o->size = true;
		if (sv_parse_u64(sv_trim(line), UINT64_MAX, &o->size_max) != 0)
			o->size_max = 0;
	}
	o->pipelining |= sv_eq_nocase(name, SV("PIPELINING"));
	o->eightbitmime |= sv_eq_nocase(name, SV("8BITMIME"));
	o->smtputf8 |= sv_eq_nocase(name, SV("SMTPUTF8"));
	o->dsn |= sv_eq_nocase(name, SV("DSN"));
	o->starttls |= sv_eq_nocase(name, SV("STARTTLS"));
	o->chunking |= sv_eq_nocase(name, SV("CHUNKING"));
}

static void read_offers(struct smtp_client *c, struct sv text)
{
	struct sv line;
	bool more = sv_cut_char(&text, '\n', &line); /* the host's greeting */

	c->offers = (struct smtp_client_offers){ 0 };
	while (more) {
		more = sv_cut_char(&text, '\n', &line);
		read_offer(&c->offers, line);
	}
	if (c->o.pipelining_off)
		c->offers.pipelining = false;
}

static void after_hello(struct smtp_client *c)
{
	if (c->o.tls == SMTP_CLIENT_TLS_REQUIRED && !c->tls) {
		if (!c->offers.starttls) {
			client_fail(c, SMTP_CLIENT_FAIL_NO_STARTTLS, NULL);
			return;
		}
		client_put(c, SV("STARTTLS\r\n"));
		client_expect(c, PENDING_STARTTLS, 0);
	} else if (client_wants_sign_in(c)) {
		client_sign_in(c);
	} else {
		client_ready(c);
	}
}

/* ---- replies ---- */

static void hello_refused(struct smtp_client *c, struct pending p, const struct smtp_reply *r)
{
	/* A server that knows no EHLO offers neither TLS nor AUTH: only where none is wanted. */
	if (p.kind == PENDING_EHLO && r->code >= 500 && c->o.tls == SMTP_CLIENT_TLS_NONE &&
		c->o.login.len == 0) {
		client_answered(c);
		client_hello(c, false);
		return;
	}
	client_fail(c, SMTP_CLIENT_FAIL_REPLY, r);
}

static void starttls_accepted(struct smtp_client *c)
{
	/* Bytes in the clear behind it are an attacker's (RFC 3207 4.2). */
	if (c->held.len) {
		client_fail(c, SMTP_CLIENT_FAIL_PROTOCOL, NULL);
		return;
	}
	client_answered(c);
	client_set_state(c, CLIENT_TLS_WAIT);
	client_wait(c, TIMEOUT_COMMAND);
	(void)client_push(c, SMTP_CLIENT_EV_STARTTLS);
}

static void step(struct smtp_client *c, struct pending p, const struct smtp_reply *r)
{
	if (p.kind == PENDING_STARTTLS) {
		starttls_accepted(c);
		return;
	}
	if (p.kind == PENDING_EHLO)
		read_offers(c, r->text);
	client_answered(c);
	if (p.kind == PENDING_GREETING) {
		client_hello(c, true);
	} else {
		after_hello(c);
	}
}

void client_session_reply(struct smtp_client *c, struct pending p, const struct smtp_reply *r)
{
	static const uint16_t wanted[] = { [PENDING_GREETING] = 220,
		[PENDING_EHLO] = 250,
		[PENDING_HELO] = 250,
		[PENDING_STARTTLS] = 220 };

	if (p.kind >= PENDING_AUTH)
		client_sign_in_reply(c, p, r);
	else if (r->code == wanted[p.kind])
		step(c, p, r);
	else if (r->code < 400)
		client_fail(c, SMTP_CLIENT_FAIL_PROTOCOL, NULL);
	else if (p.kind == PENDING_EHLO || p.kind == PENDING_HELO)
		hello_refused(c, p, r);
	else
		client_fail(c, SMTP_CLIENT_FAIL_REPLY, r);
}
