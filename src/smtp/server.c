/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/server.h"

#include "base/err.h"
#include "base/must.h"
#include "base/text.h"
#include "smtp/server_priv.h"

#include <stdio.h>
#include <stdlib.h>

struct smtp_server *smtp_server_new(const struct smtp_server_options *options, struct mono_time now)
{
	struct smtp_server *s = xcalloc(1, sizeof(*s));

	s->o = *options;
	buf_init(&s->line, LIMIT_AUTH_LINE);
	buf_init(&s->out, SERVER_OUTPUT_MAX);
	buf_init(&s->helo, LIMIT_DOMAIN);
	buf_init(&s->sasl_text, LIMIT_AUTH_LINE);
	buf_init(&s->sasl_user, LIMIT_AUTH_LINE);
	buf_init(&s->scram, LIMIT_AUTH_LINE);
	s->tls = options->tls_on;
	s->awaits = SMTP_SERVER_EV_COUNT;
	s->now = now;
	s->session_end =
		mono_add(now, options->session_us_max ? options->session_us_max : UINT64_MAX);
	s->idle_end = mono_add(now, options->idle_us_max);
	s->slow_end = MONO_NEVER;
	(void)server_ask(s, SMTP_SERVER_EV_GREET);
	return s;
}

/* It may hold a part of a password. */
static void wipe_line(struct smtp_server *s)
{
	if (s->line.ptr)
		secret_wipe(s->line.ptr, s->line.cap);
}

void smtp_server_free(struct smtp_server *s)
{
	if (!s)
		return;
	server_auth_wipe(s);
	wipe_line(s);
	secret_wipe(s->o.nonce_key, sizeof(s->o.nonce_key));
	buf_deinit(&s->line);
	buf_deinit(&s->out);
	buf_deinit(&s->helo);
	buf_deinit(&s->sasl_text);
	buf_deinit(&s->sasl_user);
	buf_deinit(&s->scram);
	arena_reset(&s->arena);
	free(s);
}

/* ---- events and replies ---- */

struct smtp_server_event *server_push(struct smtp_server *s, enum smtp_server_event_kind kind)
{
	struct smtp_server_event *e;

	must(s->event_count < SERVER_EVENTS_MAX);
	e = &s->events[(s->event_first + s->event_count) % SERVER_EVENTS_MAX];
	s->event_count++;
	*e = (struct smtp_server_event){ .kind = kind };
	return e;
}

struct smtp_server_event *server_ask(struct smtp_server *s, enum smtp_server_event_kind kind)
{
	s->awaits = kind;
	return server_push(s, kind);
}

bool smtp_server_next(struct smtp_server *s, struct smtp_server_event *out_event)
{
	if (s->event_count == 0)
		return false;
	*out_event = s->events[s->event_first];
	s->event_first = (s->event_first + 1) % SERVER_EVENTS_MAX;
	s->event_count--;
	return true;
}

static void put_line(struct buf *out, uint16_t code, const char *enhanced, struct sv text)
{
	char digits[24], *end = text_digits(code, digits);

	*end++ = ' ';
	must(buf_append(out, sv_make(digits, (size_t)(end - digits))) == 0);
	must(buf_append(out, sv_from(enhanced)) == 0);
	if (enhanced[0])
		must(buf_append_char(out, ' ') == 0);
	must(buf_append(out, text) == 0);
	must(buf_append(out, SV("\r\n")) == 0);
}

void server_reply(struct smtp_server *s, uint16_t code, const char *enhanced, struct sv text)
{
	struct smtp_reply r = { .code = code, .text = text };

	if (s->state == SERVER_CLOSED)
		return;
	/* What is read stops far below the maximum, so there is room for any one reply of ours. */
	if (sv_find_char(text, '\n') < 0) {
		put_line(&s->out, code, enhanced ? enhanced : "", sv_head(text, LIMIT_REPLY_LINE));
		return;
	}
	(void)snprintf(r.enhanced, sizeof(r.enhanced), "%s", enhanced ? enhanced : "");
	/* Many short lines grow, by a code each: then the first has to do. */
	if (smtp_reply_render(&r, &s->out) != 0)
		server_reply(s, code, enhanced, sv_head(text, (size_t)sv_find_char(text, '\n')));
}

void server_say(struct smtp_server *s, uint16_t code, const char *enhanced, struct sv text)
{
	for (size_t i = 0; i < s->o.wording_count; i++) {
		const struct smtp_server_wording *w = &s->o.wordings[i];

		if (sv_eq(text, w->instead_of)) {
			server_reply(s, w->code, w->enhanced, w->text);
			return;
		}
	}
	server_reply(s, code, enhanced, text);
}

void server_complain(struct smtp_server *s, uint16_t code, const char *enhanced, struct sv text)
{
	s->bad_commands++;
	if (s->o.bad_command_max && s->bad_commands > s->o.bad_command_max) {
		server_reply(s, 421, "4.7.0", SV("Too many errors, goodbye"));
		server_close(s, SV("too-many-errors"));
		return;
	}
	server_say(s, code, enhanced, text);
}

void server_forget(struct smtp_server *s)
{
	s->mail = false;
	s->bdat = false;
	s->smtputf8 = false;
	s->rcpts = 0;
	s->fault = BODY_OK;
	s->body_bytes = 0;
}

void server_reset(struct smtp_server *s)
{
	bool told = s->fault != BODY_OK; /* a bad body was reset when it turned bad */

	if (s->mail && !told)
		(void)server_push(s, SMTP_SERVER_EV_RESET);
	server_forget(s);
}

void server_close(struct smtp_server *s, struct sv reason)
{
	bool reset = s->mail && s->fault == BODY_OK;

	if (s->state == SERVER_CLOSED)
		return;
	/* What the owner did not take yet has views that die now. Only a RESET is still owed. */
	for (unsigned i = 0; i < s->event_count; i++)
		reset |= s->events[(s->event_first + i) % SERVER_EVENTS_MAX].kind ==
			 SMTP_SERVER_EV_RESET;
	s->event_count = 0;
	if (reset)
		(void)server_push(s, SMTP_SERVER_EV_RESET);
	server_forget(s);
	server_auth_wipe(s);
	wipe_line(s);
	s->state = SERVER_CLOSED;
	s->awaits = SMTP_SERVER_EV_COUNT;
	server_push(s, SMTP_SERVER_EV_CLOSE)->reason = reason;
}

static void last_words(struct smtp_server *s, const char *enhanced, struct sv text)
{
	/* Behind the 220 of STARTTLS comes a handshake; words in the clear would be dirt in it. */
	if (s->state != SERVER_STARTTLS)
		server_reply(s, 421, enhanced, text);
}

void smtp_server_shut(struct smtp_server *s, const char *enhanced, struct sv text)
{
	if (s->state == SERVER_CLOSED)
		return;
	/* An answer that is under way (a commit) comes first. */
	if (s->awaits != SMTP_SERVER_EV_COUNT && s->awaits != SMTP_SERVER_EV_GREET) {
		s->shut_planned = true;
		(void)snprintf(s->shut_enhanced, sizeof(s->shut_enhanced), "%s", enhanced);
		(void)snprintf(s->shut_text, sizeof(s->shut_text), "%.*s", SV_ARG(text));
		return;
	}
	last_words(s, enhanced, text);
	server_close(s, SV("shut"));
}

/* ---- lines ---- */

static bool is_secret_line(const struct smtp_server *s, struct sv line)
{
	return s->state == SERVER_AUTH_LINE || sv_starts_nocase(sv_trim(line), SV("AUTH"));
}

static void refuse_line(struct smtp_server *s, struct sv text)
{
	/* RFC 4954 4: 5.5.6 when it is a line of the exchange that is too long. */
	const char *enhanced = s->line_too_long && s->state == SERVER_AUTH_LINE ? "5.5.6" : "5.5.2";

	server_auth_wipe(s);
	s->state = SERVER_COMMAND;
	server_complain(s, 500, enhanced, text);
}

/*
 * Only CR LF ends a command: a bare LF is no line end anywhere (smuggling), so what stands behind it is
 * no command. The reply comes at once, for a client that knows no other end would wait for it for ever.
 */
static void bare_lf(struct smtp_server *s)
{
	if (s->line_refused)
		return;
	s->line_refused = true;
	wipe_line(s);
	buf_reset(&s->line);
	refuse_line(s, SV("Lines must end in CR LF and hold no other CR, LF or NUL"));
}

/* `line`: without its end. */
static void whole_line(struct smtp_server *s, struct sv line)
{
	bool secret = is_secret_line(s, line);

	s->idle_end = mono_add(s->now, s->o.idle_us_max);
	s->slow_end = MONO_NEVER;
	s->line_done = true;
	arena_reset(&s->arena);
	if (s->line_refused)
		return;
	/* Their sizes count the CR. */
	if (line.len >= (secret ? LIMIT_AUTH_LINE : LIMIT_COMMAND_LINE))
		s->line_too_long = true;
	if (s->line_too_long)
		refuse_line(s, SV("Line too long"));
	else if (sv_find_char(line, '\r') >= 0 || sv_find_char(line, '\0') >= 0)
		refuse_line(s, SV("Lines must end in CR LF and hold no other CR, LF or NUL"));
	else if (s->state == SERVER_AUTH_LINE)
		server_auth_line(s, line);
	else
		server_command(s, line);
	if (secret)
		wipe_line(s);
}

static void begin_line(struct smtp_server *s)
{
	buf_reset(&s->line);
	s->line_done = s->line_too_long = s->line_refused = s->line_cr = false;
	s->line_bytes = 0;
	s->slow_end = mono_add(s->now, s->o.slow_us_max);
}

static void collect(struct smtp_server *s, struct sv part)
{
	s->line_bytes += part.len;
	if (!s->line_too_long && !s->line_refused && buf_append(&s->line, part) != 0)
		s->line_too_long = true;
}

/* A line that has no end: it is not read for ever. */
static void end_endless(struct smtp_server *s)
{
	if (s->line_bytes <= LIMIT_OVERRUN)
		return;
	server_reply(s, 500, "5.5.2", SV("Line too long, goodbye"));
	server_close(s, SV("endless-line"));
}

/* Collects up to an LF. Returns how much was taken. */
static size_t take_strict_line(struct smtp_server *s, struct sv bytes)
{
	const char *lf = memchr(bytes.ptr, '\n', bytes.len);
	struct sv part = sv_head(bytes, lf ? (size_t)(lf - bytes.ptr) : bytes.len);
	struct sv line;
	bool cr;

	if (s->line_done)
		begin_line(s);
	cr = part.len ? part.ptr[part.len - 1] == '\r' : s->line_cr;
	s->line_cr = cr && !lf;
	collect(s, part);
	if (!lf) {
		end_endless(s);
		return bytes.len;
	}
	line = buf_sv(&s->line);
	line.len -= line.len > 0 && !s->line_too_long;
	if (cr)
		whole_line(s, line);
	else
		bare_lf(s);
	return part.len + 1;
}

/* The first byte that ends a line; NULL: none. */
static const char *line_end(const struct smtp_server *s, struct sv bytes)
{
	const char *lf = memchr(bytes.ptr, '\n', bytes.len);
	const char *cr = NULL;

	if (s->o.lenient)
		cr = memchr(bytes.ptr, '\r', lf ? (size_t)(lf - bytes.ptr) : bytes.len);
	return cr ? cr : lf;
}

/*
 * What still belongs to the end of a line that a bare CR ended already: an LF, perhaps behind one more CR. Only
 * then is it known how the client ends its lines.
 */
size_t server_skip_line_end(struct smtp_server *s, struct sv bytes)
{
	size_t n = 0;

	while (s->after_cr && n < bytes.len) {
		char c = bytes.ptr[n];

		if (c == '\n') {
			s->after_cr = false;
			s->ends = s->line_cr ? ENDS_LF : ENDS_CRLF;
		} else if (c == '\r' && !s->line_cr) {
			s->line_cr = true;
		} else {
			s->after_cr = false;
			break;
		}
		n++;
	}
	if (!s->after_cr)
		s->line_cr = false;
	return n;
}

/* Whatever ends it: a client that knows no other end would wait for the reply for ever. */
static size_t take_line(struct smtp_server *s, struct sv bytes)
{
	size_t skipped = server_skip_line_end(s, bytes), used;
	const char *end;
	struct sv part, line;

	bytes = sv_skip(bytes, skipped);
	if (bytes.len == 0)
		return skipped;
	end = line_end(s, bytes);
	part = sv_head(bytes, end ? (size_t)(end - bytes.ptr) : bytes.len);
	if (s->line_done)
		begin_line(s);
	collect(s, part);
	if (!end) {
		end_endless(s);
		return skipped + bytes.len;
	}
	used = part.len + 1;
	line = buf_sv(&s->line);
	s->ends = ENDS_LF;
	if (*end == '\r') {
		s->ends = ENDS_CR;
		s->after_cr = true;
		/* What is there already goes with it: behind STARTTLS nothing may be left. */
		used += server_skip_line_end(s, sv_skip(bytes, used));
	} else if (line.len && line.ptr[line.len - 1] == '\r') {
		line.len--;
		s->ends = line.len && line.ptr[line.len - 1] == '\r' ? ENDS_LF : ENDS_CRLF;
	}
	while (line.len && line.ptr[line.len - 1] == '\r')
		line.len--;
	whole_line(s, line);
	return skipped + used;
}

bool smtp_server_in_body(const struct smtp_server *s)
{
	return s->state == SERVER_DATA || s->state == SERVER_BDAT;
}

size_t smtp_server_feed(struct smtp_server *s, struct mono_time now, struct sv bytes)
{
	const bool in_body = smtp_server_in_body(s);
	size_t used = 0;

	s->now = now;
	while (used < bytes.len && s->event_count == 0 && s->awaits == SMTP_SERVER_EV_COUNT &&
		smtp_server_in_body(s) == in_body) {
		struct sv rest = sv_skip(bytes, used);

		if (s->state == SERVER_CLOSED)
			return bytes.len;
		if (s->state == SERVER_STARTTLS || s->out.len > SERVER_OUTPUT_FULL)
			break;
		if (s->state == SERVER_DATA)
			used += server_data(s, rest);
		else if (s->state == SERVER_BDAT)
			used += server_bdat(s, rest);
		else if (s->o.strict)
			used += take_strict_line(s, rest);
		else
			used += take_line(s, rest);
	}
	return used;
}

void smtp_server_eof(struct smtp_server *s)
{
	server_close(s, SV("closed-by-client"));
}

/* ---- answers ---- */

static void greeted(struct smtp_server *s, uint16_t code, const char *enhanced, struct sv text)
{
	char banner[LIMIT_DOMAIN + 32];

	s->state = SERVER_COMMAND;
	s->line_done = true;
	if (code != 220) {
		server_reply(s, code, enhanced, text);
		server_close(s, SV("refused"));
		return;
	}
	(void)snprintf(banner, sizeof(banner), "%.*s ESMTP postern", SV_ARG(s->o.hostname));
	server_reply(s, 220, NULL, s->o.banner.len ? s->o.banner : sv_from(banner));
}

void server_finish_shut(struct smtp_server *s)
{
	if (!s->shut_planned || s->awaits != SMTP_SERVER_EV_COUNT || s->state == SERVER_CLOSED)
		return;
	server_reply(s, 421, s->shut_enhanced, sv_from(s->shut_text));
	server_close(s, SV("shut"));
}

void smtp_server_answer(struct smtp_server *s, struct mono_time now, uint16_t code,
	const char *enhanced, struct sv text)
{
	enum smtp_server_event_kind asked = s->awaits;
	bool yes = code < 400;

	s->now = now;
	if (s->state == SERVER_CLOSED)
		return;
	must(asked != SMTP_SERVER_EV_COUNT);
	s->awaits = SMTP_SERVER_EV_COUNT;
	s->idle_end = mono_add(now, s->o.idle_us_max);
	if (asked == SMTP_SERVER_EV_GREET) {
		greeted(s, code, enhanced, text);
		return;
	}
	if (asked == SMTP_SERVER_EV_DATA && s->bdat) {
		server_bdat_answered(s, code, enhanced, text);
	} else {
		server_reply(s, code, enhanced, text);
		if (asked == SMTP_SERVER_EV_DATA && yes)
			server_data_begin(s);
		else if (asked == SMTP_SERVER_EV_MAIL)
			s->mail = yes;
		else if (asked == SMTP_SERVER_EV_RCPT)
			s->rcpts += yes;
		else if (asked == SMTP_SERVER_EV_END)
			server_forget(s);
		/* A mailer keeps a session for thousands of messages: only errors in a row count. */
		if (asked == SMTP_SERVER_EV_END && yes)
			s->bad_commands = 0;
	}
	if (code == 421)
		server_close(s, SV("refused"));
	server_finish_shut(s);
}

void smtp_server_answer_auth(struct smtp_server *s, struct mono_time now, uint16_t code,
	const char *enhanced, struct sv text)
{
	s->now = now;
	if (s->state == SERVER_CLOSED)
		return;
	must(s->awaits == SMTP_SERVER_EV_AUTH_PASSWORD || s->awaits == SMTP_SERVER_EV_AUTH_TOKEN ||
		s->awaits == SMTP_SERVER_EV_AUTH_SCRAM || s->awaits == SMTP_SERVER_EV_AUTH_DONE);
	/* A verifier comes by answer_scram(); a yes without any proof would be a hole. */
	must(code != 235 || s->awaits != SMTP_SERVER_EV_AUTH_SCRAM);
	s->awaits = SMTP_SERVER_EV_COUNT;
	s->idle_end = mono_add(now, s->o.idle_us_max);
	server_auth_answered(s, code, enhanced, text);
	if (code == 421)
		server_close(s, SV("auth-failures"));
	server_finish_shut(s);
}

void smtp_server_tls_started(struct smtp_server *s, struct mono_time now)
{
	if (s->state != SERVER_STARTTLS)
		return;
	s->now = now;
	s->idle_end = mono_add(now, s->o.idle_us_max);
	s->state = SERVER_COMMAND;
	s->tls = true;
	s->extended = false;
	s->authenticated = false;
	s->line_done = true;
	buf_reset(&s->helo);
}

/* ---- output and time ---- */

struct sv smtp_server_output(const struct smtp_server *s)
{
	return buf_sv(&s->out);
}

void smtp_server_sent(struct smtp_server *s, size_t n)
{
	buf_consume(&s->out, n);
	/* An idle session holds no buffer. */
	if (s->out.len == 0 && s->out.cap > 1024)
		buf_deinit(&s->out);
}

struct mono_time smtp_server_deadline(const struct smtp_server *s)
{
	if (s->state == SERVER_CLOSED || s->awaits != SMTP_SERVER_EV_COUNT)
		return MONO_NEVER;
	return mono_min(s->session_end, mono_min(s->idle_end, s->slow_end));
}

void smtp_server_tick(struct smtp_server *s, struct mono_time now)
{
	if (mono_before(now, smtp_server_deadline(s)) || s->state == SERVER_CLOSED ||
		s->awaits != SMTP_SERVER_EV_COUNT)
		return;
	s->now = now;
	last_words(s, "4.4.2", SV("Timeout, closing the connection"));
	server_close(s, mono_before(now, s->slow_end) ? SV("timeout") : SV("slow"));
}

size_t smtp_server_memory(const struct smtp_server *s)
{
	return s->line.cap + s->out.cap + s->helo.cap + s->sasl_text.cap + s->sasl_user.cap +
	       s->scram.cap + s->arena.used_bytes;
}

bool smtp_server_waits_for_answer(const struct smtp_server *s)
{
	return s->awaits != SMTP_SERVER_EV_COUNT;
}

bool smtp_server_in_transaction(const struct smtp_server *s)
{
	return s->mail;
}

struct sv smtp_server_helo(const struct smtp_server *s)
{
	return buf_sv(&s->helo);
}

struct sv smtp_server_protocol(const struct smtp_server *s)
{
	/* RFC 3848, RFC 6531 4.3: [SMTPUTF8][TLS][authenticated]. */
	static const struct sv names[2][2][2] = {
		{ { SV_INIT("ESMTP"), SV_INIT("ESMTPA") },
			{ SV_INIT("ESMTPS"), SV_INIT("ESMTPSA") } },
		{ { SV_INIT("UTF8SMTP"), SV_INIT("UTF8SMTPA") },
			{ SV_INIT("UTF8SMTPS"), SV_INIT("UTF8SMTPSA") } },
	};

	return s->extended ? names[s->smtputf8][s->tls][s->authenticated] : SV("SMTP");
}
