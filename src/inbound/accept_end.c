/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "base/text.h"
#include "conf/route.h"
#include "inbound/accept_priv.h"
#include "io/log.h"
#include "mail/address.h"
#include "mail/trace.h"
#include "sched/look.h"
#include "store/store_health.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define LATE_US (3 * US_PER_S)

/* ---- header ---- */

/* "192.0.2.1:4711" and "[2001:db8::1]:4711" without the port, which is nobody's business further on. */
static struct sv address_literal(struct sv client, char *out, size_t size)
{
	ptrdiff_t colon = sv_rfind_char(client, ':');
	int n;

	if (sv_starts(client, SV("unix")))
		return SV("unix");
	if (colon < 0 || client.ptr[0] == '[')
		return colon < 0 ? client : sv_head(client, (size_t)colon);
	n = snprintf(out, size, "[%.*s]", SV_ARG(sv_head(client, (size_t)colon)));
	return sv_make(out, (size_t)n);
}

static void make_received(struct accept *a, struct buf *out)
{
	char id[TEXT_ID_MAX], client[IO_ADDRESS_TEXT_MAX + 2];
	struct trace t = { .helo = a->origin.helo,
		.hostname = conf_general(a->conf)->hostname,
		.protocol = a->origin.protocol,
		.id = sv_from(text_id(a->id, id)),
		.tls = a->origin.tls,
		.at = io_wall(a->in->loop) };

	t.client = address_literal(a->origin.client, client, sizeof(client));
	/* With several recipients the others stay private. */
	if (a->recipient_count == 1)
		t.for_address = a->recipients[0].address;
	must(trace_render(&t, out) == 0);
}

static bool is_loop(struct accept *a, const struct header_facts *f)
{
	if (f->received_hops < LIMIT_RECEIVED_HOPS)
		return false;
	answer_set(&a->refusal,
		554,
		"5.4.6",
		"Mail loop: the message has passed %" PRIu32 " servers",
		f->received_hops);
	return true;
}

/* The address that Reply-To keeps where From becomes another one; empty: none, or not wanted. */
static struct sv reply_to(struct accept *a, const struct header_facts *f)
{
	/* Facts give addresses that can stand in a header as they are (mail/address_list.h). */
	struct sv original = f->from.len ? accept_complete(a, f->from, false) : SV("");

	if (a->from_mode != CONF_SENDER_REWRITE)
		return SV("");
	/* Where From names nobody that could be answered, the envelope does. */
	if (original.len == 0)
		original = a->original;
	return address_eq(original, a->from) ? SV("") : original;
}

/* What a message without From says: the sender; a notice has none, and comes from the server it came by. */
static void make_from(struct accept *a, struct buf *out)
{
	const struct conf_general *g = conf_general(a->conf);

	if (a->sender.len)
		must(buf_append(out, a->sender) == 0);
	else
		must(buf_printf(out, "MAILER-DAEMON@%.*s", SV_ARG(g->hostname)) == 0);
}

void accept_render_header(struct accept *a)
{
	CLEANUP(buf_deinitp) struct buf received = BUF_INIT(4096), message_id = BUF_INIT(512);
	CLEANUP(buf_deinitp) struct buf from = BUF_INIT(LIMIT_ADDRESS + LIMIT_DOMAIN);
	CLEANUP(buf_deinitp) struct buf out = BUF_INIT(LIMIT_HEADER + LIMIT_CHUNK);
	const struct conf_general *g = conf_general(a->conf);
	struct header_edits edits;
	struct header_facts facts;
	size_t body_bytes = header_block_body_bytes(a->header);

	header_block_facts(a->header, &facts);
	a->header_done = true;
	if (is_loop(a, &facts))
		return;
	accept_check_authors(a);
	if (a->refusal.code)
		return;
	make_received(a, &received);
	make_from(a, &from);
	/* Two of them, one of which may be empty, are looked at by header_block_render(). */
	if (!facts.message_id.len || header_block_count(a->header, SV("Message-ID")) > 1)
		must(message_id_render(&message_id, a->id, io_random_u64(), g->hostname) == 0);
	a->message_id =
		arena_sv(&a->arena, facts.message_id.len ? facts.message_id : buf_sv(&message_id));
	if (g->keep_subject)
		a->subject = arena_sv(&a->arena, sv_head(facts.subject, LIMIT_SUBJECT_KEPT));
	a->header_8bit = facts.has_8bit;
	a->has_8bit |= facts.has_8bit;
	edits = (struct header_edits){ .received = buf_sv(&received),
		.message_id = buf_sv(&message_id),
		.date = io_wall(a->in->loop),
		.drop_bcc = true,
		.drop_return_path = true,
		.from = a->from,
		.one_from = a->one_from,
		.from_missing = buf_sv(&from),
		.reply_to_missing = reply_to(a, &facts),
		.qualify = g->qualify };
	if (header_block_render(a->header, &edits, &out) != 0) {
		answer_set(&a->refusal, 552, "5.3.4", "The header of the message is too large");
		return;
	}
	a->header_size = (uint32_t)(out.len - body_bytes);
	/* UTF-8 in the header can only go on as SMTPUTF8 (RFC 6531 3.2); without that it is 8-bit text of
	 * an older custom, and passes as it came. */
	accept_append(a, buf_sv(&out));
	/* Routes may ask for fields when the size is known, too. */
	if (a->undecided_count == 0)
		header_block_free(TAKE(a->header));
}

/* ---- the end ---- */

static void answer_and_free(struct accept *a, const struct answer *answer)
{
	accept_done_fn *done = a->done;
	void *arg = a->done_arg;

	accept_free(a);
	if (done)
		done(arg, answer);
}

static void refuse(struct accept *a, const struct answer *answer)
{
	accept_done_fn *done = a->done;
	void *arg = a->done_arg;

	accept_take_back(a);
	if (done)
		done(arg, answer);
}

static void failure_answer(int rc, struct answer *out)
{
	if (rc == RC_DISK_FULL)
		answer_set(out, 452, "4.3.1", "The disk of the queue is full, try again later");
	else
		answer_set(out, 451, "4.3.0", "The message could not be stored, try again later");
}

static void mark_claimed(const struct accept *a, bool *claimed)
{
	for (size_t i = 0; i < a->put.attempt_count; i++)
		for (size_t k = 0; k < a->put.attempts[i].recipient_count; k++)
			claimed[a->put.attempts[i].recipients[k]] = true;
}

static void tell_flows(struct accept *a)
{
	const struct inbound_dispatch *d = &a->in->dispatch;
	const struct store_message *m = &a->message;
	bool *claimed = arena_alloc(&a->arena, m->recipient_count * sizeof(*claimed));
	const struct mail_flow *flow = NULL;
	uint32_t count = 0;

	memset(claimed, 0, m->recipient_count * sizeof(*claimed));
	mark_claimed(a, claimed);
	for (size_t i = 0; i < m->recipient_count; i++) {
		const struct mail_flow *its = &m->recipients[i].flow;

		if (claimed[i])
			continue;
		if (flow && !mail_flow_eq(flow, its)) {
			d->queued(d->arg, m->id, flow, count);
			count = 0;
		}
		flow = its;
		count++;
	}
	if (flow)
		d->queued(d->arg, m->id, flow, count);
}

static void put_done(struct store_op *op)
{
	struct accept *a = CONTAINER_OF(op, struct accept, put.op);
	const struct inbound_dispatch *d = &a->in->dispatch;
	struct answer answer;
	char id[TEXT_ID_MAX];

	if (op->rc != 0) {
		log_line(LOG_ERROR, "smtpd", "a message could not be stored: %s", op->err.text);
		failure_answer(op->rc, &answer);
		if (a->claim)
			d->withdrawn(d->arg, a->claim);
		refuse(a, &answer);
		return;
	}
	quota_settle(a->in, &a->quota);
	log_accepted(&a->origin, sv_from(text_id(a->id, id)), &a->message);
	answer_set(&answer, 250, "2.0.0", "Ok: queued as %s", text_id(a->id, id));
	/* The arena goes with the claim. */
	tell_flows(a);
	if (a->claim)
		d->committed(d->arg, a->claim, &a->arena, &a->body);
	answer_and_free(a, &answer);
}

static void fill_message(struct accept *a, struct store_recipient *recipients)
{
	struct wall_time now = io_wall(a->in->loop);
	struct wall_time last = now;

	for (size_t i = 0; i < a->recipient_count; i++) {
		struct wall_time end = conf_mail_end(a->conf, recipients[i].flow.class, now);

		recipients[i].next_at = now;
		recipients[i].look_at =
			sched_look_first(now, end, conf_general(a->conf)->delay_notice_us);
		last = end.us > last.us ? end : last;
	}
	a->message = (struct store_message){ .id = a->id,
		.accepted_at = now,
		.expires_at = last,
		.sender = a->sender,
		.envid = a->envid,
		.dsn_ret = a->dsn_ret,
		.flags = (a->has_8bit ? (unsigned)STORE_MSG_8BIT : 0) |
			 (a->smtputf8 && a->header_8bit ? (unsigned)STORE_MSG_UTF8 : 0) |
			 (a->from_mode == CONF_SENDER_FORCE ? (unsigned)STORE_MSG_FORCE : 0),
		.size = a->size,
		.header_size = a->header_size,
		.message_id = a->message_id,
		.subject = a->subject,
		.user = a->origin.user,
		.client = a->origin.client,
		.listener = a->origin.listener,
		.device = a->origin.device ? arena_sv(&a->arena, a->origin.device->name) : SV(""),
		.recipients = recipients,
		.recipient_count = a->recipient_count };
}

void accept_put(struct accept *a)
{
	const struct inbound_dispatch *d = &a->in->dispatch;
	struct store_recipient *recipients;
	struct answer answer;

	if (a->chunks_under_way)
		return;
	if (a->failed) {
		failure_answer(a->failed, &answer);
		refuse(a, &answer);
		return;
	}
	/* The arena may be handed over with the message: everything it points to lives there. */
	recipients = arena_alloc(&a->arena, a->recipient_count * sizeof(*recipients));
	memcpy(recipients, a->recipients, a->recipient_count * sizeof(*recipients));
	fill_message(a, recipients);
	a->put = (struct store_put){ .op.kind = STORE_OP_PUT,
		.op.done = put_done,
		.message = &a->message,
		.body = buf_sv(&a->body),
		.chunk_count = a->chunk_count };
	a->claim = d->claim(d->arg, &a->arena, &a->put, &a->message, recipients);
	quota_write(a->in, &a->arena, &a->quota, &a->put);
	store_submit(a->in->store, &a->put.op);
}

/* The disk does not answer: the client must not wait for it. Should the message be in the queue after all, it
 * leaves, and comes once more: that is better than silence. */
void accept_late(void *arg)
{
	struct accept *a = arg;
	accept_done_fn *done = a->done;
	struct answer answer;

	if (!done)
		return;
	if (store_health(a->in->store).trouble == STORE_TROUBLE_NONE) {
		io_timer_start(&a->late, mono_add(io_now(a->in->loop), LATE_US));
		return;
	}
	a->done = NULL;
	if (a->chunks_under_way)
		a->failed = -EIO;
	failure_answer(-EIO, &answer);
	done(a->done_arg, &answer);
}

void accept_end(struct accept *a, accept_done_fn *done, void *arg)
{
	a->ended = true;
	a->room = NULL;
	a->done = done;
	a->done_arg = arg;
	accept_body_end(a);
	if (!a->header_done && a->refusal.code == 0) {
		if (header_block_end(a->header) < 0)
			answer_set(&a->refusal,
				552,
				"5.3.4",
				"The header of the message is too large");
		else
			accept_render_header(a);
	}
	if (a->refusal.code == 0)
		accept_choose(a);
	if (a->refusal.code == 0)
		(void)!accept_pays(a, QUOTA_BYTES, a->came, &a->refusal);
	if (a->refusal.code) {
		struct answer refusal = a->refusal;

		accept_abort(a);
		done(arg, &refusal);
		return;
	}
	io_timer_start(&a->late, mono_add(io_now(a->in->loop), LATE_US));
	accept_put(a);
}

void accept_forget(struct accept *a)
{
	a->done = NULL;
}
