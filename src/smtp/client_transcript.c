/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "smtp/client_priv.h"

#include <stdio.h>

/* What is told of a session (smtp/transcript.h). By the cursors it is known which line holds what, so secrets and bodies
 * never come in. */

struct smtp_mask client_mask(const struct smtp_client *c)
{
	const struct secret *secret = c->o.token ? c->o.token : c->o.password;

	return (struct smtp_mask){ .secret = secret ? secret_reveal(secret) : SV(""),
		.is_token = c->o.token != NULL };
}

static struct sv masked_text(const struct smtp_client *c, struct sv text, struct buf *out)
{
	const struct smtp_mask mask = client_mask(c);

	must(smtp_mask_text(&mask, sv_head(text, LIMIT_REPLY_KEPT), out) == 0);
	return buf_sv(out);
}

static void add(struct smtp_client *c, enum smtp_transcript_side side, struct sv line)
{
	smtp_transcript_add(c->o.transcript, c->now, side, line);
}

/* The newest line of the output, without its end. */
static struct sv last_line(const struct smtp_client *c)
{
	struct sv out = sv_head(buf_sv(&c->out), c->out.len - 2);
	ptrdiff_t before = sv_rfind_char(out, '\n');

	return sv_skip(out, (size_t)(before + 1));
}

/* "AUTH PLAIN [secret]", or what stands behind a 334. */
static void add_sign_in(struct smtp_client *c, enum pending_kind kind, struct sv line)
{
	char text[64];
	struct sv verb;

	if (line.len == 0) {
		add(c, SMTP_TRANSCRIPT_OURS, SV("[empty line]"));
	} else if (kind == PENDING_AUTH_USER) {
		add(c, SMTP_TRANSCRIPT_OURS, SV("[login]"));
	} else if (!sv_starts(line, SV("AUTH "))) {
		add(c, SMTP_TRANSCRIPT_OURS, SV("[secret]"));
	} else {
		line = sv_skip(line, 5);
		(void)sv_cut_char(&line, ' ', &verb);
		(void)snprintf(text,
			sizeof(text),
			"AUTH %.*s%s",
			SV_ARG(sv_head(verb, 20)),
			line.len ? " [secret]" : "");
		add(c, SMTP_TRANSCRIPT_OURS, sv_from(text));
	}
}

void client_record_command(struct smtp_client *c, enum pending_kind kind)
{
	if (!c->o.transcript || kind == PENDING_GREETING)
		return;
	if (kind == PENDING_DOT)
		client_record_body(c);
	if (kind >= PENDING_AUTH && kind < PENDING_MAIL)
		add_sign_in(c, kind, last_line(c));
	else
		add(c, SMTP_TRANSCRIPT_OURS, last_line(c));
}

void client_record_body(struct smtp_client *c)
{
	if (c->o.transcript)
		smtp_transcript_add_body(c->o.transcript, c->now, c->body_bytes);
}

void client_record_reply(struct smtp_client *c, const struct smtp_reply *r)
{
	CLEANUP(buf_deinitp) struct buf masked = BUF_INIT(SMTP_MASK_GROWTH * LIMIT_REPLY_KEPT);
	struct smtp_reply told = *r;

	if (!c->o.transcript)
		return;
	/* The question that a secret answers: in base64, and maybe of the one before. */
	if (r->code == 334)
		told.text = SV("[challenge]");
	/* Of what is cut half a secret could stay behind, which nobody knows for one. */
	else if (r->code < 400 && r->text.len + 16 > LIMIT_TRANSCRIPT_LINE)
		told.text = masked_text(c, r->text, &masked);
	smtp_transcript_add_reply(c->o.transcript, c->now, &told);
}

/* What is no reply: as much of it as has come. */
void client_record_noise(struct smtp_client *c, struct sv bytes)
{
	CLEANUP(buf_deinitp) struct buf masked = BUF_INIT(SMTP_MASK_GROWTH * LIMIT_REPLY_KEPT);
	struct sv line;

	if (!c->o.transcript)
		return;
	bytes = masked_text(c, bytes, &masked);
	(void)sv_cut_char(&bytes, '\n', &line);
	if (line.len && line.ptr[line.len - 1] == '\r')
		line.len--;
	add(c, SMTP_TRANSCRIPT_THEIRS, line);
}

void client_record_end(struct smtp_client *c, enum smtp_client_failure failure)
{
	static const char *const words[SMTP_CLIENT_FAIL_COUNT] = {
		[SMTP_CLIENT_FAIL_NO_STARTTLS] = "STARTTLS is not offered",
		[SMTP_CLIENT_FAIL_NO_AUTH] = "no way to sign in with what we have is offered",
		[SMTP_CLIENT_FAIL_PROTOCOL] = "this is not SMTP, or nobody had asked for it",
		[SMTP_CLIENT_FAIL_TIMEOUT] = "no answer in time",
		[SMTP_CLIENT_FAIL_CLOSED] = "the connection is gone",
	};

	if (!c->o.transcript || !words[failure])
		return;
	if (c->state == CLIENT_BODY)
		client_record_body(c);
	add(c, SMTP_TRANSCRIPT_NOTE, sv_from(words[failure]));
}

void client_record_tls(struct smtp_client *c)
{
	if (c->o.transcript)
		add(c, SMTP_TRANSCRIPT_NOTE, SV("TLS from here on"));
}
