/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "base/must.h"
#include "smtp/server_priv.h"

#include <inttypes.h>
#include <stdio.h>

/*
 * The body. Only CRLF "." CRLF ends DATA, and nothing else in the stream is taken for an end, unless the
 * client ends all of its lines in another way (server.h). With `strict` a message with a bare CR, a bare LF
 * or a NUL is read on to its real end and refused, and the connection closed, so that nothing of it and
 * nothing behind it can become a command (SMTP smuggling). BDAT counts its bytes: there the session goes on.
 *
 * `eol` says what was seen last in DATA:
 */
enum {
	EOL_INSIDE, /* in a line */
	EOL_CR,     /* CR; with `strict` it is not handed out yet */
	EOL_START,  /* at the start of a line */
	EOL_DOT,    /* "." at the start of a line; not handed out */
	EOL_DOT_CR, /* ".CR" at the start of a line; not handed out */
	EOL_CR_CR,  /* CR CR, handed out; not with `strict` */
};

static void body_fault(struct smtp_server *s, enum server_body_fault fault)
{
	bool first = s->fault == BODY_OK;

	/* Of the form of a message more depends than of its size, see body_ended(). */
	if (!first && (s->fault != BODY_TOO_LARGE || fault == BODY_TOO_LARGE))
		return;
	s->fault = fault;
	/* What the owner kept of it is of no use any more; the reply comes at the end. */
	if (first && s->mail)
		(void)server_push(s, SMTP_SERVER_EV_RESET);
}

static bool form_matters(const struct smtp_server *s)
{
	return s->fault == BODY_OK || s->fault == BODY_TOO_LARGE;
}

static void hand_out(struct smtp_server *s, struct sv bytes)
{
	if (bytes.len == 0)
		return;
	s->body_bytes += bytes.len;
	if (s->o.message_bytes_max && s->body_bytes > s->o.message_bytes_max)
		body_fault(s, BODY_TOO_LARGE);
	if (s->fault == BODY_OK)
		server_push(s, SMTP_SERVER_EV_BODY)->bytes = bytes;
}

static uint64_t most(const struct smtp_server *s)
{
	uint64_t max = s->o.message_bytes_max ? s->o.message_bytes_max : LIMIT_MESSAGE;

	return max + LIMIT_OVERRUN;
}

/* Who goes on and on behind the limit hears no end: it would be read for ever. */
static void end_endless(struct smtp_server *s)
{
	server_reply(s, 552, "5.3.4", SV("Message is larger than this listener takes, goodbye"));
	server_close(s, SV("too-large"));
}

static void progress(struct smtp_server *s, size_t n)
{
	s->idle_end = mono_add(s->now, s->o.data_us_max);
	s->slow_bytes += n;
	if (s->slow_bytes < SERVER_SLOW_STEP)
		return;
	s->slow_bytes = 0;
	s->slow_end = mono_add(s->now, s->o.slow_us_max);
}

static void progress_begin(struct smtp_server *s)
{
	s->slow_bytes = 0;
	s->idle_end = mono_add(s->now, s->o.data_us_max);
	s->slow_end = mono_add(s->now, s->o.slow_us_max);
}

static void refuse_body(struct smtp_server *s)
{
	switch (s->fault) {
	case BODY_OK:
		break;
	case BODY_BARE_CR_LF:
		server_complain(s,
			550,
			"5.6.0",
			SV("Message has a bare CR or LF (smuggling is not possible here)"));
		break;
	case BODY_NUL:
		server_complain(s, 550, "5.6.0", SV("Message has a NUL byte"));
		break;
	case BODY_TOO_LARGE:
		server_reply(s, 552, "5.3.4", SV("Message is larger than this listener takes"));
		break;
	case BODY_REFUSED:
		/* Of a message that was begun, any number of chunks may be under way already. */
		if (s->mail)
			server_reply(
				s, s->refusal.code, s->refusal.enhanced, sv_from(s->refusal_text));
		else
			server_complain(
				s, s->refusal.code, s->refusal.enhanced, sv_from(s->refusal_text));
		break;
	}
}

static void body_ended(struct smtp_server *s)
{
	bool doubtful =
		s->state == SERVER_DATA && (s->fault == BODY_BARE_CR_LF || s->fault == BODY_NUL);

	s->state = SERVER_COMMAND;
	s->line_done = true;
	s->idle_end = mono_add(s->now, s->o.idle_us_max);
	s->slow_end = MONO_NEVER;
	if (s->fault == BODY_OK) {
		(void)server_ask(s, SMTP_SERVER_EV_END);
		return;
	}
	refuse_body(s);
	/* Whoever made this message may have meant another end ("\r\r\n.\r\n"), and what follows as text. */
	if (doubtful)
		server_close(s, SV("bad-message"));
	if (s->state != SERVER_CLOSED)
		server_forget(s);
}

/* ---- DATA ---- */

void server_data_begin(struct smtp_server *s)
{
	s->state = SERVER_DATA;
	s->eol = EOL_START;
	s->crcr = false;
	s->body_bytes = 0;
	s->fault = BODY_OK;
	progress_begin(s);
}

/* Checks a line without its CRLF, or a piece of one. What comes first is named, however it is cut. */
static void check_line(struct smtp_server *s, struct sv line)
{
	const char *nul, *cr;

	if (line.len == 0 || !form_matters(s))
		return;
	nul = memchr(line.ptr, '\0', line.len);
	cr = memchr(line.ptr, '\r', line.len);
	if (nul && (!cr || nul < cr))
		body_fault(s, BODY_NUL);
	else if (cr)
		body_fault(s, BODY_BARE_CR_LF);
}

/*
 * Takes what can be decided of the beginning of `bytes`, where a line start or a split CRLF makes single
 * bytes matter. Returns how much it took; *out_end: the message is over.
 */
static size_t data_edge(struct smtp_server *s, struct sv bytes, bool *out_end)
{
	char c = bytes.ptr[0];

	switch (s->eol) {
	case EOL_CR:
		if (c == '\n') {
			s->eol = EOL_START;
			hand_out(s, SV("\r\n"));
			return 1;
		}
		body_fault(s, BODY_BARE_CR_LF);
		s->eol = EOL_INSIDE;
		return 0;
	case EOL_START:
		s->eol = c == '.' ? EOL_DOT : EOL_INSIDE;
		return c == '.';
	case EOL_DOT:
		if (c == '\r') {
			s->eol = EOL_DOT_CR;
			return 1;
		}
		/* Stuffing undone: the dot is gone (RFC 5321 4.5.2). */
		s->eol = EOL_INSIDE;
		return 0;
	case EOL_DOT_CR:
		if (c == '\n') {
			*out_end = true;
			return 1;
		}
		body_fault(s, BODY_BARE_CR_LF);
		s->eol = EOL_INSIDE;
		return 0;
	default:
		return 0;
	}
}

/* Length of the run that can be handed out at once: whole lines, none of which begins with a dot. */
static size_t plain_run(struct smtp_server *s, struct sv bytes)
{
	size_t at = 0;

	while (at < bytes.len) {
		const char *line = bytes.ptr + at;
		const char *lf;

		if (s->eol == EOL_START && *line == '.')
			break;
		s->eol = EOL_INSIDE;
		lf = memchr(line, '\n', bytes.len - at);
		if (!lf) {
			size_t left = bytes.len - at;

			/* A CR at the very end may belong to a CRLF that is cut in two. */
			if (line[left - 1] == '\r') {
				check_line(s, sv_make(line, left - 1));
				s->eol = EOL_CR;
				return bytes.len - 1;
			}
			check_line(s, sv_make(line, left));
			return bytes.len;
		}
		if (lf == line || lf[-1] != '\r') {
			check_line(s, sv_make(line, (size_t)(lf - line)));
			body_fault(s, BODY_BARE_CR_LF);
		} else {
			check_line(s, sv_make(line, (size_t)(lf - line) - 1));
			s->eol = EOL_START;
		}
		at += (size_t)(lf - line) + 1;
	}
	return at;
}

/* ---- DATA of who is not `strict` ---- */

static bool starts_line(const struct smtp_server *s, const char *lf, const char *from)
{
	bool cr = lf > from ? lf[-1] == '\r' : s->eol == EOL_CR || s->eol == EOL_CR_CR;

	return cr || s->ends != ENDS_CRLF;
}

/* Whether the line that this LF ends has CR CR before it. */
static bool ends_in_crcr(const struct smtp_server *s, const char *lf, const char *from)
{
	if (lf - from >= 2)
		return lf[-1] == '\r' && lf[-2] == '\r';
	if (lf - from == 1)
		return lf[-1] == '\r' && (s->eol == EOL_CR || s->eol == EOL_CR_CR);
	return s->eol == EOL_CR_CR;
}

static void note_tail(struct smtp_server *s, struct sv run)
{
	char last = run.ptr[run.len - 1];
	bool cr_before = run.len > 1 ? run.ptr[run.len - 2] == '\r'
				     : s->eol == EOL_CR || s->eol == EOL_CR_CR;

	s->eol = last != '\r' ? EOL_INSIDE : cr_before ? EOL_CR_CR : EOL_CR;
}

/* Hands out up to and with the next line end that counts, or all there is. */
static size_t loose_run(struct smtp_server *s, struct sv bytes)
{
	const char *from = bytes.ptr, *at = from, *end = from + bytes.len;

	while (at < end) {
		const char *lf = memchr(at, '\n', (size_t)(end - at));
		const char *cr = NULL;

		if (s->ends == ENDS_CR)
			cr = memchr(at, '\r', (size_t)((lf ? lf : end) - at));
		if (cr)
			lf = cr;
		if (!lf)
			break;
		at = lf + 1;
		if (!cr && !starts_line(s, lf, from))
			continue;
		s->crcr = !cr && ends_in_crcr(s, lf, from);
		/* As long as no dot follows, the run goes on. */
		if (at < end && *at != '.' && s->ends != ENDS_CR) {
			s->eol = EOL_INSIDE;
			continue;
		}
		s->eol = EOL_START;
		return (size_t)(at - from);
	}
	note_tail(s, bytes);
	return bytes.len;
}

/* Who sends CRLF, and CR CR LF before a dot, may have taken that dot for content. */
static void loose_end(struct smtp_server *s, bool *out_end)
{
	if (s->crcr && s->ends == ENDS_CRLF)
		body_fault(s, BODY_BARE_CR_LF);
	*out_end = true;
}

/* A line that begins with a dot: the end, or a dot that was doubled (RFC 5321 4.5.2). */
static size_t loose_dot(struct smtp_server *s, char c, bool *out_end)
{
	bool cr = s->eol == EOL_DOT_CR;

	if (c == '\n' && (cr || s->ends != ENDS_CRLF)) {
		loose_end(s, out_end);
		return 1;
	}
	if (c == '\r' && s->ends == ENDS_CR) {
		s->after_cr = true;
		loose_end(s, out_end);
		return 1;
	}
	if (c == '\r' && (!cr || s->ends == ENDS_LF)) {
		s->eol = EOL_DOT_CR;
		return 1;
	}
	if (cr)
		hand_out(s, SV("\r"));
	s->eol = cr ? EOL_CR : EOL_INSIDE;
	return 0;
}

/* Of a client that ends its lines in CR alone that is the line end, which no other reader would see in it. */
static void loose_out(struct smtp_server *s, struct sv run)
{
	bool cr = s->ends == ENDS_CR && s->eol == EOL_START && run.ptr[run.len - 1] == '\r';

	hand_out(s, sv_head(run, run.len - cr));
	if (cr)
		hand_out(s, SV("\r\n"));
}

static size_t loose_data(struct smtp_server *s, struct sv bytes)
{
	size_t at = server_skip_line_end(s, bytes);
	bool end = false;

	while (at < bytes.len && !end && s->event_count < SERVER_EVENTS_MAX - 2) {
		struct sv rest = sv_skip(bytes, at);
		size_t run;

		if (s->eol == EOL_START && rest.ptr[0] == '.') {
			s->eol = EOL_DOT;
			at++;
		} else if (s->eol == EOL_DOT || s->eol == EOL_DOT_CR) {
			at += loose_dot(s, rest.ptr[0], &end);
		} else {
			if (s->eol == EOL_START)
				s->eol = EOL_INSIDE;
			run = loose_run(s, rest);
			loose_out(s, sv_head(rest, run));
			at += run;
		}
	}
	progress(s, at);
	if (end)
		body_ended(s);
	return at;
}

/* ---- DATA ---- */

static size_t strict_data(struct smtp_server *s, struct sv bytes)
{
	size_t at = 0;
	bool end = false;

	/* Two events fit beside the RESET that a fault gives: then the owner takes them. */
	while (at < bytes.len && !end && s->event_count < SERVER_EVENTS_MAX - 2) {
		struct sv rest;
		size_t run;

		if (s->eol != EOL_INSIDE && (s->eol != EOL_START || bytes.ptr[at] == '.')) {
			at += data_edge(s, sv_skip(bytes, at), &end);
			continue;
		}
		rest = sv_skip(bytes, at);
		run = plain_run(s, rest);
		hand_out(s, sv_head(rest, run));
		/* plain_run() stops one early at a CR that it has noted in `eol`. */
		at += s->eol == EOL_CR ? run + 1 : run;
	}
	progress(s, at);
	if (end)
		body_ended(s);
	return at;
}

size_t server_data(struct smtp_server *s, struct sv bytes)
{
	size_t used = s->o.strict ? strict_data(s, bytes) : loose_data(s, bytes);

	if (s->state == SERVER_DATA && s->body_bytes > most(s))
		end_endless(s);
	return used;
}

/* ---- BDAT (RFC 3030) ---- */

static void refuse_chunk(struct smtp_server *s, uint16_t code, const char *enhanced, struct sv text)
{
	body_fault(s, BODY_REFUSED);
	s->refusal.code = code;
	(void)snprintf(s->refusal.enhanced, sizeof(s->refusal.enhanced), "%s", enhanced);
	(void)snprintf(s->refusal_text, sizeof(s->refusal_text), "%.*s", SV_ARG(text));
}

static void chunk_ended(struct smtp_server *s)
{
	char text[64];

	if (s->o.strict && s->chunk_last && s->last_cr && form_matters(s))
		body_fault(s, BODY_BARE_CR_LF);
	if (s->chunk_last) {
		body_ended(s);
		return;
	}
	s->state = SERVER_COMMAND;
	s->line_done = true;
	s->idle_end = mono_add(s->now, s->o.idle_us_max);
	s->slow_end = MONO_NEVER;
	if (s->fault == BODY_OK) {
		(void)snprintf(text, sizeof(text), "%" PRIu64 " octets received", s->chunk_size);
		server_reply(s, 250, "2.0.0", sv_from(text));
		return;
	}
	/* Each later chunk is refused likewise, until RSET or the last one. */
	refuse_body(s);
	if (s->state != SERVER_CLOSED && !s->mail)
		server_forget(s);
}

static void chunk_begin(struct smtp_server *s)
{
	s->state = SERVER_BDAT;
	progress_begin(s);
	if (s->chunk_left == 0)
		chunk_ended(s);
}

void server_bdat_command(struct smtp_server *s, struct sv rest)
{
	struct sv size;
	uint64_t n;

	(void)sv_cut_char(&rest, ' ', &size);
	rest = sv_trim(rest);
	/* Without a size nobody knows where the next command is: the connection cannot go on. */
	if (!s->o.chunking || sv_parse_u64(size, INT64_MAX, &n) != 0 ||
		(rest.len && !sv_eq_nocase(rest, SV("LAST")))) {
		server_reply(s,
			501,
			"5.5.4",
			SV("Syntax: BDAT size [LAST]; where the chunk ends is unknown, goodbye"));
		server_close(s, SV("bad-chunk"));
		return;
	}
	s->chunk_left = s->chunk_size = n;
	s->chunk_last = rest.len > 0;
	if (!s->bdat)
		s->body_bytes = 0;
	/* Of a chunk that nobody will ever take the end is not waited for. */
	if (n > most(s) - s->body_bytes) {
		end_endless(s);
		return;
	}
	if (s->bdat) {
		chunk_begin(s);
		return;
	}
	s->last_cr = false;
	if (!s->mail || s->rcpts == 0) {
		bool had_mail = s->mail;

		refuse_chunk(s,
			had_mail ? 554 : 503,
			"5.5.1",
			had_mail ? SV("No valid recipients") : SV("Say MAIL first"));
		s->bdat = had_mail;
		chunk_begin(s);
		return;
	}
	s->bdat = true;
	(void)server_ask(s, SMTP_SERVER_EV_DATA);
}

void server_bdat_answered(
	struct smtp_server *s, uint16_t code, const char *enhanced, struct sv text)
{
	/* Then the connection ends, whatever of the chunk is still to come. */
	if (code == 421) {
		server_reply(s, code, enhanced, text);
		return;
	}
	if (code != 354)
		refuse_chunk(s, code, enhanced ? enhanced : "", text);
	chunk_begin(s);
}

/* The first CR or LF that is no part of a CRLF; NULL: none. A CR at the very end waits for what follows. */
static const char *find_bare(const struct smtp_server *s, struct sv bytes)
{
	const char *end = bytes.ptr + bytes.len;

	if (s->last_cr && bytes.ptr[0] != '\n')
		return bytes.ptr;
	for (const char *at = bytes.ptr; at < end; at++) {
		const char *lf = memchr(at, '\n', (size_t)(end - at));
		const char *line_end = lf ? lf : end;
		const char *cr = memchr(at, '\r', (size_t)(line_end - at));

		if (cr && cr + 1 != line_end)
			return cr;
		if (lf && !cr && !(lf == bytes.ptr && s->last_cr))
			return lf;
		at = line_end;
	}
	return NULL;
}

static void check_chunk(struct smtp_server *s, struct sv bytes)
{
	const char *nul, *bare;

	if (!s->o.strict || !form_matters(s))
		return;
	nul = memchr(bytes.ptr, '\0', bytes.len);
	bare = find_bare(s, bytes);
	if (nul && (!bare || nul < bare))
		body_fault(s, BODY_NUL);
	else if (bare)
		body_fault(s, BODY_BARE_CR_LF);
	s->last_cr = bytes.ptr[bytes.len - 1] == '\r';
}

size_t server_bdat(struct smtp_server *s, struct sv bytes)
{
	struct sv part =
		sv_head(bytes, s->chunk_left < bytes.len ? (size_t)s->chunk_left : bytes.len);

	check_chunk(s, part);
	hand_out(s, part);
	s->chunk_left -= part.len;
	progress(s, part.len);
	if (s->chunk_left == 0)
		chunk_ended(s);
	return part.len;
}
