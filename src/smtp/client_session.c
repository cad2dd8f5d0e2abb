/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "base/must.h"
#include "base/text.h"
#include "smtp/client_priv.h"

/* From the greeting to ready: EHLO, STARTTLS, EHLO again, AUTH. */

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

/* ---- AUTH ---- */

static void put_secret(struct smtp_client *c, struct sv prefix, struct sv plain)
{
	/* Its full size at once: a buffer that grows leaves the secret behind. */
	must(buf_reserve(&c->out, prefix.len + plain.len * 2 + 16) == 0);
	c->secret_in_output = true;
	client_put(c, prefix);
	must(text_base64_encode(&c->out, plain) == 0);
	client_put(c, SV("\r\n"));
}

static void auth_plain(struct smtp_client *c)
{
	struct sv password = secret_reveal(c->o.password);
	struct buf plain = BUF_INIT(c->o.login.len + password.len + 2);

	must(buf_reserve(&plain, c->o.login.len + password.len + 2) == 0);
	must(buf_append_char(&plain, '\0') == 0);
	must(buf_append(&plain, c->o.login) == 0);
	must(buf_append_char(&plain, '\0') == 0);
	must(buf_append(&plain, password) == 0);
	put_secret(c, SV("AUTH PLAIN "), buf_sv(&plain));
	secret_wipe(plain.ptr, plain.cap);
	buf_deinit(&plain);
	client_expect(c, PENDING_AUTH_PASSWORD, 0);
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
	} else if (c->o.login.len == 0 || !c->o.password) {
		client_ready(c);
	} else if (c->offers.auth_login) {
		client_put(c, SV("AUTH LOGIN\r\n"));
		client_expect(c, PENDING_AUTH, 0);
	} else if (c->offers.auth_plain) {
		auth_plain(c);
	} else {
		client_fail(c, SMTP_CLIENT_FAIL_NO_AUTH, NULL);
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
	} else if (p.kind == PENDING_EHLO || p.kind == PENDING_HELO) {
		after_hello(c);
	} else if (p.kind == PENDING_AUTH) {
		put_secret(c, SV(""), c->o.login);
		client_expect(c, PENDING_AUTH_USER, 0);
	} else if (p.kind == PENDING_AUTH_USER) {
		put_secret(c, SV(""), secret_reveal(c->o.password));
		client_expect(c, PENDING_AUTH_PASSWORD, 0);
	} else {
		client_ready(c);
	}
}

void client_session_reply(struct smtp_client *c, struct pending p, const struct smtp_reply *r)
{
	static const uint16_t wanted[] = { [PENDING_GREETING] = 220,
		[PENDING_EHLO] = 250,
		[PENDING_HELO] = 250,
		[PENDING_STARTTLS] = 220,
		[PENDING_AUTH] = 334,
		[PENDING_AUTH_USER] = 334,
		[PENDING_AUTH_PASSWORD] = 235 };

	if (r->code == wanted[p.kind])
		step(c, p, r);
	else if (r->code < 400)
		client_fail(c, SMTP_CLIENT_FAIL_PROTOCOL, NULL);
	else if (p.kind == PENDING_EHLO || p.kind == PENDING_HELO)
		hello_refused(c, p, r);
	else
		client_fail(c, SMTP_CLIENT_FAIL_REPLY, r);
}
