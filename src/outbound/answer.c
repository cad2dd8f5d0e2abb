/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "outbound/attempt_priv.h"
#include "outbound/session_priv.h"

#include <stdio.h>

/* What a server of SMTP has said of a message, as verdicts. */

static struct sv keep_reply(struct delivery *d, const struct smtp_reply *r)
{
	CLEANUP(buf_deinitp) struct buf line = BUF_INIT(LIMIT_REPLY + 64);

	if (r->code == 0 || smtp_reply_line(r, &line) != 0)
		return SV("");
	return arena_sv(&d->arena, sv_head(buf_sv(&line), LIMIT_REPLY_KEPT));
}

/* Only a refusal repeats words of the message in which a cause could be seen. */
static struct provider_own own_words(struct delivery *d, const struct smtp_client_event *e)
{
	if (e->reply.code / 100 == 2)
		return (struct provider_own){ 0 };
	return witness_words(d, e->stage, e->index);
}

static struct verdict judge(
	struct delivery *d, const struct smtp_client_event *e, uint32_t uncertain)
{
	const struct provider_answer answer = { .provider = lane_provider(d->lane),
		.stage = e->stage,
		.reply = &e->reply,
		.after_uncertain = uncertain > 0,
		.token = d->connection && d->connection->token,
		.own = own_words(d, e) };

	struct verdict v = provider_judge(&answer);

	if (d->connection)
		(void)connection_is_too_many(d->connection, &v);
	/* Trouble of the session, or of the host behind it, must not meet the next message there. */
	if (d->connection && (e->reply.code == 503 ||
				     (v.kind == VERDICT_RETRY && v.scope == VERDICT_SCOPE_ROUTE)))
		d->connection->worn = true;
	return v;
}

static enum sched_said said_at(enum smtp_client_stage stage)
{
	if (stage == SMTP_CLIENT_STAGE_MAIL)
		return SCHED_SAID_SENDER;
	if (stage == SMTP_CLIENT_STAGE_RCPT)
		return SCHED_SAID_RECIPIENT;
	return stage == SMTP_CLIENT_STAGE_DATA || stage == SMTP_CLIENT_STAGE_BODY ||
			       stage == SMTP_CLIENT_STAGE_DOT
		       ? SCHED_SAID_CONTENT
		       : SCHED_SAID_SESSION;
}

static struct verdict local_verdict(const struct smtp_client_event *e)
{
	bool utf8 = sv_eq(sv_from(e->reply.enhanced), SV("5.6.7"));
	struct verdict v = cause_verdict(e->reply.code == 552 ? CAUSE_MESSAGE_TOO_LARGE
					 : utf8               ? CAUSE_NEEDS_SMTPUTF8
							      : CAUSE_NOT_SUPPORTED_THERE);

	/* What we found by what was offered, not what was said: the message can never go there. */
	v.kind = VERDICT_BOUNCE;
	v.scope = VERDICT_SCOPE_MESSAGE;
	memcpy(v.enhanced, e->reply.enhanced, sizeof(v.enhanced));
	return v;
}

static void on_result(struct delivery *d, const struct smtp_client_event *e)
{
	struct verdict v = e->local ? local_verdict(e) : judge(d, e, d->recipients[0].r.uncertain);

	if (d->connection && d->connection->client)
		d->next_hop_dsn = smtp_client_offers(d->connection->client)->dsn;
	if (e->reply.code / 100 == 2)
		d->remote_message_id = arena_sv(&d->arena, smtp_reply_message_id(&e->reply));
	delivery_judge_rest(d, &v, keep_reply(d, &e->reply), said_at(e->stage));
	delivery_finish(d);
}

static struct sv broken_text(struct delivery *d, const struct smtp_client_event *e)
{
	static const char *const words[SMTP_CLIENT_FAIL_COUNT] = { "the server refused",
		"no STARTTLS is offered",
		"no way to sign in is offered",
		"the server broke the protocol",
		"timeout",
		"the connection was lost" };
	const struct err *err = d->connection && d->connection->stream
					? io_stream_error(d->connection->stream)
					: NULL;
	char text[400];

	if (e->reply.code)
		return keep_reply(d, &e->reply);
	(void)snprintf(text,
		sizeof(text),
		"%s while %s%s%s",
		words[e->failure],
		smtp_client_stage_text(e->stage),
		err && err->code ? ": " : "",
		err && err->code ? err->text : "");
	return arena_sv(&d->arena, sv_from(text));
}

static void on_failed(struct delivery *d, const struct smtp_client_event *e)
{
	struct verdict v;

	if (e->uncertain)
		v = cause_verdict(CAUSE_UNCERTAIN);
	else if (e->failure == SMTP_CLIENT_FAIL_REPLY)
		v = judge(d, e, 0);
	else
		v = provider_judge_failure(lane_provider(d->lane), e->stage, e->failure);
	/* A connection that broke under one message says nothing of the others. */
	if (!e->uncertain && v.kind == VERDICT_RETRY && e->stage >= SMTP_CLIENT_STAGE_MAIL &&
		e->failure != SMTP_CLIENT_FAIL_REPLY)
		v.scope = VERDICT_SCOPE_MESSAGE;
	delivery_judge_rest(d, &v, broken_text(d, e), said_at(e->stage));
	for (size_t i = 0; i < d->count && e->uncertain; i++)
		if (d->recipients[i].accepted)
			d->recipients[i].r.uncertain++;
	/* Behind the dot a line may break before the dot has left us. */
	d->stayed = !e->uncertain;
	d->stage = arena_sv(&d->arena, sv_from(smtp_client_stage_text(e->stage)));
	delivery_finish(d);
}

static void on_rcpt(
	struct delivery *d, struct delivery_recipient *r, const struct smtp_client_event *e)
{
	r->answered = true;
	r->accepted = e->reply.code < 400;
	if (r->accepted)
		return;
	r->said = SCHED_SAID_RECIPIENT;
	r->verdict = judge(d, e, r->r.uncertain);
	r->reply = keep_reply(d, &e->reply);
}

void delivery_event(struct delivery *d, const struct smtp_client_event *e)
{
	switch (e->kind) {
	case SMTP_CLIENT_EV_RCPT:
		must(e->index < d->count);
		for (size_t i = 0; i < d->count; i++)
			/* One address stands for all who are redirected to it. */
			if (i == e->index || d->rewrite.redirect.len)
				on_rcpt(d, &d->recipients[i], e);
		return;
	case SMTP_CLIENT_EV_BODY:
		d->wants_body = true;
		delivery_feed(d);
		return;
	case SMTP_CLIENT_EV_RESULT:
		on_result(d, e);
		return;
	case SMTP_CLIENT_EV_FAILED:
		on_failed(d, e);
		return;
	case SMTP_CLIENT_EV_STARTTLS:
	case SMTP_CLIENT_EV_READY:
	case SMTP_CLIENT_EV_CLOSED:
	case SMTP_CLIENT_EV_COUNT:
		return;
	}
}
