/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "base/text.h"
#include "observe/query_priv.h"
#include "observe/where.h"

#include <sysexits.h>

/* `queue show`: a message, what each recipient waits for, its attempts, and what was said where it failed. */

static json_t *attempt_json(const struct store_show *show, const struct store_attempt_story *a)
{
	json_t *o = json_object();

	observe_json_sv(o, "type", SV("attempt"));
	observe_json_int(o, "attempt", a->number);
	observe_json_wall(o, "at", a->at);
	observe_json_wall(o, "ended_at", a->ended_at);
	observe_json_sv(o, "lane", a->lane);
	observe_json_sv(o, "relay", a->relay);
	observe_json_sv(o, "stage", a->stage);
	if (a->index < show->out_message->recipient_count)
		observe_json_sv(o, "recipient", show->out_message->recipients[a->index].address);
	if (a->uncertain)
		must(json_object_set_new(o, "uncertain", json_true()) == 0);
	if (a->ended_at.us != 0) {
		observe_json_sv(o, "verdict", sv_from(verdict_kind_name(a->kind)));
		observe_json_sv(o, "scope", sv_from(verdict_scope_name(a->scope)));
	}
	observe_json_sv(o, "reason", a->cause);
	observe_json_sv(o, "reply", a->reply);
	observe_json_sv(o, "remote_message_id", a->remote_message_id);
	return o;
}

/* ---- what was said ---- */

static json_t *transcript_json(struct sv text)
{
	json_t *o = json_object();

	observe_json_sv(o, "type", SV("transcript"));
	must(json_object_set_new(o, "lines", observe_transcript_json(text)) == 0);
	return o;
}

/* Of the last attempt that failed; and of the session for which a mailbox is held, once each. */
static void show_transcripts(struct observe_query *q)
{
	const struct store_message *m = q->show.out_message;
	struct outbound_hold hold = { 0 };
	struct sv shown = SV("");
	json_t *o;

	if (q->show.out_transcript.len) {
		o = transcript_json(q->show.out_transcript);
		observe_json_int(o, "attempt", q->show.out_transcript_attempt);
		observe_query_emit(q, o);
	}
	for (size_t i = 0; i < m->recipient_count; i++) {
		const struct store_recipient *r = &m->recipients[i];

		if (sv_eq(r->lane, shown) || !observe_hold_of(q, r, m->sender, &hold) ||
			hold.transcript.len == 0)
			continue;
		shown = r->lane;
		o = transcript_json(hold.transcript);
		observe_json_sv(o, "lane", r->lane);
		observe_json_sv(o, "reason", hold.cause);
		observe_query_emit(q, o);
	}
}

static void show_rows(struct observe_query *q)
{
	const struct store_message *m = q->show.out_message;
	json_t *o, *recipients;
	struct wall_time expires_at = { 0 };

	if (!m) {
		observe_query_fail(q, EX_NOINPUT, "there is no message with this id");
		return;
	}
	observe_set_lanes(q->sources->outbound, q->conf, &q->page, q->show.out_message);
	o = observe_message_json(m);
	observe_json_sv(o, "type", SV("message"));
	observe_json_wall(o, "finished_at", q->show.out_finished_at);
	recipients = json_array();
	for (size_t i = 0; i < m->recipient_count; i++) {
		const struct store_recipient *its = &m->recipients[i];
		json_t *r = json_object();
		struct wall_time at;

		observe_json_sv(r, "type", SV("recipient"));
		at = observe_expires_at(q, m, its, observe_recipient_put(q, r, m, its));
		expires_at = at.us > expires_at.us ? at : expires_at;
		observe_wait_put(r,
			q->sources->outbound,
			q->conf,
			its,
			q->show.out_ahead[i],
			io_wall(q->sources->loop));
		must(json_array_append_new(recipients, r) == 0);
	}
	observe_json_wall(o, "expires_at", expires_at);
	observe_query_emit(q, o);
	for (size_t i = 0; i < m->recipient_count; i++)
		observe_query_emit(q, json_incref(json_array_get(recipients, i)));
	json_decref(recipients);
	for (size_t i = 0; i < q->show.out_attempt_count; i++)
		observe_query_emit(q, attempt_json(&q->show, &q->show.out_attempts[i]));
	show_transcripts(q);
	q->rows = 1;
	observe_query_end(q);
}

static void show(struct observe_query *q)
{
	if (text_parse_id(observe_json_get_sv(q->request, "id"), &q->show.message_id) != 0) {
		observe_query_fail(
			q, EX_USAGE, "a queue id has 11 letters and digits, as in the log");
		return;
	}
	q->show.out_arena = &q->page;
	observe_query_submit(q, STORE_OP_SHOW, show_rows);
}

void observe_query_show(struct observe_query *q)
{
	observe_query_with_holds(q, show);
}
