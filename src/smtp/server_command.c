/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "base/must.h"
#include "mail/dsn.h"
#include "smtp/command.h"
#include "smtp/server_priv.h"

#include <inttypes.h>

/* ---- greeting the client ---- */

static int put_line(struct buf *out, bool offered, const char *text)
{
	return offered ? buf_printf(out, "\n%s", text) : 0;
}

static int put_auth(const struct smtp_server *s, struct buf *out)
{
	static const struct {
		unsigned bit;
		const char *name;
	} mechanisms[] = {
		{ SMTP_SERVER_AUTH_SCRAM_SHA_256, " SCRAM-SHA-256" },
		{ SMTP_SERVER_AUTH_PLAIN, " PLAIN" },
		{ SMTP_SERVER_AUTH_LOGIN, " LOGIN" },
		{ SMTP_SERVER_AUTH_XOAUTH2, " XOAUTH2" },
	};
	bool any = false;

	for (size_t i = 0; i < COUNT_OF(mechanisms); i++) {
		if (!server_auth_offered(s, mechanisms[i].bit))
			continue;
		if (buf_append(out, any ? SV("") : SV("\nAUTH")) != 0 ||
			buf_append(out, sv_from(mechanisms[i].name)) != 0)
			return RC_LIMIT;
		any = true;
	}
	return 0;
}

static void say_ehlo(struct smtp_server *s)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(4096);
	uint64_t size = s->o.size_announced ? s->o.size_announced : s->o.message_bytes_max;
	int rc = buf_append(&text, s->o.ehlo_text.len ? s->o.ehlo_text : s->o.hostname);

	if (rc == 0)
		rc = buf_printf(&text, "\nSIZE %" PRIu64, size);
	rc |= put_line(&text, s->o.pipelining, "PIPELINING");
	rc |= put_line(&text, s->o.dsn, "DSN");
	rc |= put_line(&text, true, "ENHANCEDSTATUSCODES");
	rc |= put_line(&text, s->o.starttls && !s->tls, "STARTTLS");
	rc |= put_auth(s, &text);
	rc |= put_line(&text, s->o.eightbitmime, "8BITMIME");
	rc |= put_line(&text, s->o.binarymime_listed, "BINARYMIME");
	rc |= put_line(&text, s->o.chunking, "CHUNKING");
	rc |= put_line(&text, s->o.smtputf8, "SMTPUTF8");
	must(rc == 0);
	/* RFC 2034 4: no enhanced code in the answer to EHLO. */
	server_reply(s, 250, NULL, buf_sv(&text));
}

static bool helo_ok(struct sv name)
{
	for (size_t i = 0; i < name.len; i++)
		if ((unsigned char)name.ptr[i] <= ' ' || name.ptr[i] == 0x7f)
			return false;
	return name.len > 0 && name.len <= LIMIT_DOMAIN;
}

/* The name decides nothing: programs send their own, with blanks, or none (OpenSMTPD issue 1054: a UPS). */
static void do_helo(struct smtp_server *s, struct sv rest, bool extended)
{
	if (!helo_ok(rest) && s->o.strict) {
		server_complain(s, 501, "5.5.4", SV("Say your name: EHLO host.example"));
		return;
	}
	server_reset(s);
	buf_reset(&s->helo);
	must(buf_append(&s->helo, rest.len ? sv_head(rest, LIMIT_DOMAIN) : SV("unknown")) == 0);
	s->extended = extended;
	if (extended)
		say_ehlo(s);
	else
		server_reply(s, 250, NULL, s->o.hostname);
}

static void do_starttls(struct smtp_server *s, struct sv rest)
{
	if (!s->o.starttls || s->tls) {
		server_complain(s,
			503,
			"5.5.1",
			s->tls ? SV("TLS is on already") : SV("TLS is not offered"));
		return;
	}
	if (rest.len) {
		server_complain(s, 501, "5.5.4", SV("STARTTLS takes no parameter"));
		return;
	}
	server_reset(s);
	if (s->o.ready_tls_text.len)
		server_reply(s, 220, NULL, s->o.ready_tls_text);
	else
		server_reply(s, 220, "2.0.0", SV("Ready to start TLS"));
	s->state = SERVER_STARTTLS;
	(void)server_push(s, SMTP_SERVER_EV_STARTTLS);
}

/* ---- MAIL and RCPT ---- */

static bool may_begin_mail(struct smtp_server *s)
{
	if (s->helo.len == 0 && s->o.strict)
		server_complain(s, 503, "5.5.1", SV("Say EHLO first"));
	else if (s->o.tls_required && !s->tls)
		server_complain(s, 530, "5.7.0", SV("Use STARTTLS first"));
	else if (s->o.auth_required && !s->authenticated)
		server_complain(s, 530, "5.7.0", SV("Authentication required"));
	else if (s->mail)
		server_complain(s, 503, "5.5.1", SV("A message is under way: end it or say RSET"));
	else
		return true;
	return false;
}

/* One parameter of MAIL. 0, or the code of the reply (501, 555, 552). */
static uint16_t mail_param(
	struct smtp_server *s, struct smtp_server_event *e, struct sv key, struct sv value)
{
	CLEANUP(buf_deinitp) struct buf envid = BUF_INIT(LIMIT_ENVID);

	if (sv_eq_nocase(key, SV("SIZE"))) {
		int rc = sv_parse_u64(value, UINT64_MAX, &e->size);

		if (rc != 0)
			return rc == RC_LIMIT ? 552 : 501;
		return s->o.message_bytes_max && e->size > s->o.message_bytes_max ? 552 : 0;
	}
	if (sv_eq_nocase(key, SV("BODY")) && s->o.eightbitmime) {
		e->body_8bit = sv_eq_nocase(value, SV("8BITMIME"));
		return e->body_8bit || sv_eq_nocase(value, SV("7BIT")) ? 0 : 501;
	}
	if (sv_eq_nocase(key, SV("SMTPUTF8")) && s->o.smtputf8) {
		e->smtputf8 = true;
		return value.len ? 501 : 0;
	}
	if (sv_eq_nocase(key, SV("RET")) && s->o.dsn) {
		bool full = sv_eq_nocase(value, SV("FULL"));

		if (e->dsn_ret || (!full && !sv_eq_nocase(value, SV("HDRS"))))
			return 501;
		e->dsn_ret = full ? DSN_RET_FULL : DSN_RET_HDRS;
		return 0;
	}
	if (sv_eq_nocase(key, SV("ENVID")) && s->o.dsn) {
		if (e->envid.len || dsn_xtext_decode(&envid, value) != 0 ||
			!smtp_text_printable(buf_sv(&envid)))
			return 501;
		e->envid = arena_sv(&s->arena, buf_sv(&envid));
		return 0;
	}
	/* RFC 4954 5: who is trusted to say whose mail it is? Nobody here; it is allowed and ignored. */
	if (sv_eq_nocase(key, SV("AUTH")) && s->o.auth)
		return value.len ? 0 : 501;
	return 555;
}

static void refuse_param(struct smtp_server *s, uint16_t code)
{
	if (code == 552)
		server_reply(s, 552, "5.3.4", SV("Message is larger than this listener takes"));
	else if (code == 555)
		server_complain(s, 555, "5.5.4", SV("Parameter is not known here"));
	else
		server_complain(s, 501, "5.5.4", SV("Parameter cannot be read"));
}

/*
 * A word behind the path of a device's command that is no parameter. Behind MAIL it does not matter: its
 * sender is replaced. Behind RCPT it could be the rest of an address.
 */
static bool may_skip(const struct smtp_server *s, const struct smtp_server_event *e, bool has_value)
{
	return s->o.lenient && (e->kind == SMTP_SERVER_EV_MAIL || has_value);
}

/* What a command makes of one parameter: 0, or the code of the reply (501, 555, 552). */
typedef uint16_t param_fn(
	struct smtp_server *s, struct smtp_server_event *e, struct sv key, struct sv value);

/* False after a refusal. */
static bool read_params(
	struct smtp_server *s, struct smtp_server_event *e, struct sv params, param_fn *take)
{
	struct sv key, value;
	int more;

	while ((more = smtp_command_param(&params, &key, &value)) == 1) {
		uint16_t code = take(s, e, key, value);

		/* What a device says of its message besides the size is of no use here. */
		if (code != 0 && (code == 552 || !may_skip(s, e, value.len > 0))) {
			refuse_param(s, code);
			return false;
		}
	}
	if (more < 0 && may_skip(s, e, false))
		more = 0;
	if (more < 0)
		refuse_param(s, 501);
	return more == 0;
}

/* The form that is kept (mail/address.h), borrowed until the next command. */
static int clean_path(struct smtp_server *s, bool utf8_said, struct sv *path)
{
	CLEANUP(buf_deinitp) struct buf clean = BUF_INIT(LIMIT_ADDRESS);
	/* UTF-8 without the keyword is taken, as by Postfix: what is said on the way out hangs on it. */
	unsigned flags = utf8_said || !s->o.strict ? ADDRESS_UTF8 : 0;
	int rc;

	if (s->o.strict) {
		struct address unused;

		return address_parse(*path, ADDRESS_NO_DOMAIN | flags, &unused);
	}
	rc = address_clean(&clean, *path, ADDRESS_NO_DOMAIN | flags);
	if (rc == 0)
		*path = arena_sv(&s->arena, buf_sv(&clean));
	return rc;
}

static void do_mail(struct smtp_server *s, struct sv rest)
{
	struct smtp_server_event e = { .kind = SMTP_SERVER_EV_MAIL };
	struct sv path, params;

	if (!may_begin_mail(s))
		return;
	if (smtp_command_path(rest, SV("FROM"), s->o.lenient, &path, &params) != 0) {
		if (!s->o.lenient) {
			server_complain(s, 501, "5.5.4", SV("Syntax: MAIL FROM:<address>"));
			return;
		}
		path = params = SV("");
	}
	if (!read_params(s, &e, params, mail_param))
		return;
	if (path.len && clean_path(s, e.smtputf8, &path) != 0) {
		if (!s->o.lenient) {
			server_complain(s, 553, "5.1.7", SV("Sender address cannot be read"));
			return;
		}
		path = SV("");
	}
	e.address = path;
	s->smtputf8 = e.smtputf8;
	*server_ask(s, SMTP_SERVER_EV_MAIL) = e;
}

static int parse_notify(struct sv value, uint8_t *out_bits)
{
	uint8_t bits = 0;
	bool more = true;

	while (more) {
		struct sv word;
		uint8_t bit;

		more = sv_cut_char(&value, ',', &word);
		if (sv_eq_nocase(word, SV("NEVER")))
			bit = DSN_NOTIFY_NEVER;
		else if (sv_eq_nocase(word, SV("SUCCESS")))
			bit = DSN_NOTIFY_SUCCESS;
		else if (sv_eq_nocase(word, SV("FAILURE")))
			bit = DSN_NOTIFY_FAILURE;
		else if (sv_eq_nocase(word, SV("DELAY")))
			bit = DSN_NOTIFY_DELAY;
		else
			return RC_PARSE;
		bits |= bit;
	}
	*out_bits = bits;
	/* NEVER stands alone (RFC 3461 4.1). */
	return (bits & DSN_NOTIFY_NEVER) && bits != DSN_NOTIFY_NEVER ? RC_PARSE : 0;
}

static uint16_t rcpt_param(
	struct smtp_server *s, struct smtp_server_event *e, struct sv key, struct sv value)
{
	if (s->o.dsn && sv_eq_nocase(key, SV("NOTIFY")))
		return e->dsn_notify || parse_notify(value, &e->dsn_notify) != 0 ? 501 : 0;
	if (s->o.dsn && sv_eq_nocase(key, SV("ORCPT"))) {
		if (e->orcpt.len || !smtp_orcpt_ok(value))
			return 501;
		e->orcpt = value;
		return 0;
	}
	return 555;
}

static void do_rcpt(struct smtp_server *s, struct sv rest)
{
	struct smtp_server_event e = { .kind = SMTP_SERVER_EV_RCPT };
	struct sv path, params;

	if (!s->mail || s->bdat) {
		server_complain(s, 503, "5.5.1", SV("Say MAIL first"));
		return;
	}
	if (smtp_command_path(rest, SV("TO"), s->o.lenient, &path, &params) != 0) {
		server_complain(s, 501, "5.5.4", SV("Syntax: RCPT TO:<address>"));
		return;
	}
	if (!read_params(s, &e, params, rcpt_param))
		return;
	if (clean_path(s, s->smtputf8, &path) != 0) {
		server_complain(s, 553, "5.1.3", SV("Recipient address cannot be read"));
		return;
	}
	if (s->rcpts >= s->o.rcpt_max) {
		server_reply(s,
			452,
			"4.5.3",
			SV("Too many recipients; send the others in another message"));
		return;
	}
	e.address = path;
	*server_ask(s, SMTP_SERVER_EV_RCPT) = e;
}

static void do_data(struct smtp_server *s, struct sv rest)
{
	if (!s->mail || s->bdat)
		server_complain(
			s, 503, "5.5.1", s->bdat ? SV("BDAT was begun") : SV("Say MAIL first"));
	else if (rest.len)
		server_complain(s, 501, "5.5.4", SV("DATA takes no parameter"));
	else if (s->rcpts == 0)
		server_complain(s, 554, "5.5.1", SV("No valid recipients"));
	else
		(void)server_ask(s, SMTP_SERVER_EV_DATA);
}

void server_command(struct smtp_server *s, struct sv line)
{
	struct sv rest;

	switch (smtp_command_verb(line, &rest)) {
	case SMTP_VERB_MAIL:
		do_mail(s, rest);
		return;
	case SMTP_VERB_RCPT:
		do_rcpt(s, rest);
		return;
	case SMTP_VERB_DATA:
		do_data(s, rest);
		return;
	case SMTP_VERB_BDAT:
		server_bdat_command(s, rest);
		return;
	case SMTP_VERB_EHLO:
		do_helo(s, rest, true);
		return;
	case SMTP_VERB_HELO:
		do_helo(s, rest, false);
		return;
	case SMTP_VERB_STARTTLS:
		do_starttls(s, rest);
		return;
	case SMTP_VERB_AUTH:
		server_auth_command(s, rest);
		return;
	case SMTP_VERB_RSET:
		server_reset(s);
		server_reply(s, 250, "2.0.0", SV("Ok"));
		return;
	case SMTP_VERB_NOOP:
		server_reply(s, 250, "2.0.0", SV("Ok"));
		return;
	case SMTP_VERB_QUIT:
		server_reply(s, 221, "2.0.0", SV("Bye"));
		server_close(s, SV("quit"));
		return;
	case SMTP_VERB_VRFY:
		server_say(s, 252, "2.5.2", SV("Send the message and see"));
		return;
	case SMTP_VERB_EXPN:
		server_complain(s, 502, "5.5.1", SV("Lists are not shown"));
		return;
	case SMTP_VERB_HELP:
		server_reply(s, 214, "2.0.0", SV("RFC 5321; see postern(8)"));
		return;
	case SMTP_VERB_FOREIGN:
		server_reply(s, 421, "4.7.0", SV("This is SMTP"));
		server_close(s, SV("not-smtp"));
		return;
	case SMTP_VERB_UNKNOWN:
		break;
	}
	server_complain(s, 500, "5.5.1", SV("Command is not known"));
}
