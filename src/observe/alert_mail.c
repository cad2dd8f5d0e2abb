/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "base/text.h"
#include "conf/route.h"
#include "io/log.h"
#include "mail/trace.h"
#include "observe/alerts_priv.h"
#include "provider/defaults.h"

#include <stdlib.h>

/*
 * An alert goes into the queue as a message of our own. Like a notice it never causes a notice; and it
 * goes only by a lane that is healthy now, and that the alert does not speak of.
 */
enum {
	MESSAGE_MAX = 65536,
	TEXT_LINE_MAX = 900, /* RFC 5322 2.1.1: 998 */
};

struct alert_mail {
	struct alert_way *w;
	struct arena arena;
	struct store_put put;
	struct store_message message;
	struct store_recipient recipient;
	struct buf body;
};

static void mail_free(struct alert_mail *m)
{
	buf_deinit(&m->body);
	arena_reset(&m->arena);
	free(m);
}

static void queued(struct store_op *op)
{
	struct alert_mail *m = CONTAINER_OF(op, struct alert_mail, put.op);
	struct alert_way *w = m->w;
	bool ok = op->rc == 0;

	if (ok)
		outbound_queued(w->a->outbound, m->message.id, &m->recipient.flow, 1);
	alert_way_done(w, ok ? ALERT_DONE : ALERT_AGAIN, op->err.text);
	mail_free(m);
}

/* A door of it at least, and none of them is what the alert speaks of. */
static const struct conf_lane *healthy_door(struct alert_way *w, const struct conf_member *m)
{
	const struct conf_lane *door = NULL;

	for (size_t i = 0; i < m->lane_count; i++) {
		if (sv_eq(m->lanes[i].key, sv_from(w->busy->lane)))
			return NULL;
		if (!door && outbound_is_healthy(w->a->outbound, m->lanes[i].key))
			door = &m->lanes[i];
	}
	return door;
}

static const struct conf_lane *healthy_lane(struct alert_way *w)
{
	const struct conf_alerts *c = &conf_general(w->a->conf)->alerts;
	const struct conf_lane *lane = NULL;

	for (size_t i = 0; i < c->mail_through_count && !lane; i++) {
		const struct conf_member *m = conf_member_named(w->a->conf, c->mail_through[i]);

		lane = m ? healthy_door(w, m) : NULL;
	}
	return lane;
}

/* Replies of servers are in it: no line of theirs becomes a field or a line of SMTP. */
static int put_plain(struct buf *out, struct sv text, bool lines)
{
	size_t in_line = 0;

	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];
		int rc;

		if (lines && c == '\n') {
			rc = buf_append(out, SV("\r\n"));
			in_line = 0;
		} else {
			c = c >= ' ' && c < 0x7f ? c : '?';
			rc = in_line++ < TEXT_LINE_MAX ? buf_append(out, sv_make(&c, 1)) : 0;
		}
		if (rc != 0)
			return rc;
	}
	return 0;
}

static struct sv mail_from(struct alert_mail *m, const struct conf_lane *lane)
{
	const struct conf_general *g = conf_general(m->w->a->conf);
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(1024);

	if (lane->kind == CONF_LANE_MAILBOX)
		return arena_sv(&m->arena, lane->name);
	must(buf_printf(&text,
		     "postmaster@%.*s",
		     SV_ARG(g->qualify.len ? g->qualify : g->hostname)) == 0);
	return arena_sv(&m->arena, buf_sv(&text));
}

static int render(struct alert_mail *m, struct sv from, struct sv to)
{
	const struct observe_alerts *a = m->w->a;
	char date[WALL_RFC5322_MAX];
	struct buf *out = &m->body;
	int rc = buf_printf(out,
		"Date: %s\r\nFrom: postern <%.*s>\r\nTo: <%.*s>\r\nMessage-ID: %.*s\r\n"
		"Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
		"Content-Type: text/plain; charset=us-ascii\r\nSubject: ",
		wall_rfc5322(io_wall(a->loop), date),
		SV_ARG(from),
		SV_ARG(to),
		SV_ARG(m->message.message_id));

	rc = rc ? rc : put_plain(out, sv_head(sv_from(m->w->busy->subject), 200), false);
	m->message.header_size = (uint32_t)out->len + 4;
	rc = rc ? rc : buf_append(out, SV("\r\n\r\n"));
	return rc ? rc : put_plain(out, sv_from(m->w->busy->text), true);
}

static void fill(struct alert_mail *m, const struct conf_lane *lane, struct sv from)
{
	struct observe_alerts *a = m->w->a;
	const struct conf_general *g = conf_general(a->conf);
	struct wall_time now = io_wall(a->loop);

	m->recipient = (struct store_recipient){ .address = arena_sv(&m->arena, g->alerts.mail_to),
		.flow = { .class = MAIL_CLASS_NORMAL, .principal = SV("postern") },
		.state = STORE_RCPT_QUEUED,
		.next_at = now };
	m->recipient.flow.queue = conf_queue_key(a->conf,
		&lane->member,
		1,
		m->recipient.address,
		0,
		&m->arena,
		&m->recipient.flow.external);
	m->message.accepted_at = now;
	m->message.expires_at = conf_mail_end(a->conf, m->recipient.flow.class, now);
	m->recipient.look_at = m->message.expires_at;
	m->message.sender = provider_defaults(lane->provider)->null_sender ? SV("") : from;
	m->message.flags = STORE_MSG_BOUNCE | (text_is_ascii(from) ? 0 : STORE_MSG_UTF8);
	m->message.subject = SV("alert");
	m->message.client = SV("postern");
	m->message.recipients = &m->recipient;
	m->message.recipient_count = 1;
}

void alert_mail_send(struct alert_way *w)
{
	CLEANUP(buf_deinitp) struct buf id = BUF_INIT(512);
	struct observe_alerts *a = w->a;
	const struct conf_lane *lane = healthy_lane(w);
	struct alert_mail *m;
	struct sv from;

	if (!lane) {
		alert_way_done(
			w, ALERT_AGAIN, "no mailbox of `alerts: { mail: { through } }` is free");
		return;
	}
	m = xcalloc(1, sizeof(*m));
	m->w = w;
	buf_init(&m->body, MESSAGE_MAX);
	m->message.id = store_new_id(a->store);
	must(message_id_render(
		     &id, m->message.id, io_random_u64(), conf_general(a->conf)->hostname) == 0);
	m->message.message_id = arena_sv(&m->arena, buf_sv(&id));
	from = mail_from(m, lane);
	fill(m, lane, from);
	if (render(m, from, m->recipient.address) != 0) {
		alert_way_done(w, ALERT_NEVER, "it is too long");
		mail_free(m);
		return;
	}
	m->message.size = m->body.len;
	m->put = (struct store_put){ .op.kind = STORE_OP_PUT,
		.op.done = queued,
		.message = &m->message,
		.body = buf_sv(&m->body) };
	store_submit(a->store, &m->put.op);
}
