/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/must.h"
#include "base/text.h"
#include "sandbox/sandbox_priv.h"

#include <stdio.h>
#include <stdlib.h>

/* A message that a door has taken: kept, counted, told; and its later failures, as NDRs to the sender. */
enum {
	NDR_MAX = 1 << 20,
	NDR_HEADER_MAX = 65536, /* of the original's header, given back */
};

static struct wall_time wall_now(const struct sandbox *s)
{
	return (struct wall_time){ (int64_t)(sandbox_instant(s).now_s * US_PER_S) };
}

static void make_id(struct sandbox *s, char out[128])
{
	(void)snprintf(out,
		128,
		"<AM0PR01MB%08llX@AM0PR01MB0001.eurprd01.PROD.OUTLOOK.COM>",
		(unsigned long long)(prng_next(io_prng(s->loop)) & 0xffffffffU));
}

static void finish(struct sandbox_message *m, struct sv raw, const struct header_facts *facts)
{
	m->message_id = sv_dup(facts->message_id);
	m->subject = sv_dup(facts->subject);
	m->raw_len = raw.len;
	m->raw = xmalloc(raw.len + 1);
	if (raw.len)
		memcpy(m->raw, raw.ptr, raw.len);
}

/* ---- NDRs ---- */

static struct sv header_of(struct sv raw)
{
	ptrdiff_t end = sv_find(raw, SV("\r\n\r\n"));

	return sv_head(raw, end < 0 || end > NDR_HEADER_MAX ? 0 : (size_t)end + 2);
}

static int render_ndr(struct sandbox *s, struct buf *out, const struct sandbox_message *m,
	const char *recipient, const char *id)
{
	struct wall_time now = wall_now(s);
	char at[WALL_RFC5322_MAX];
	struct sv header = header_of(sv_make(m->raw, m->raw_len));
	static const char why[] = "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found "
				  "by SMTP address lookup";
	int rc = buf_printf(out,
		"From: Microsoft Outlook <postmaster@contoso.com>\r\n"
		"To: <%s>\r\n"
		"Date: %s\r\n"
		"Message-ID: %s\r\n"
		"In-Reply-To: %s\r\n"
		"Subject: Undeliverable: %s\r\n"
		"Auto-Submitted: auto-replied\r\n"
		"MIME-Version: 1.0\r\n"
		"Content-Type: multipart/report; report-type=delivery-status; "
		"boundary=\"sandbox-ndr\"\r\n\r\n",
		m->sender,
		wall_rfc5322(now, at),
		id,
		m->message_id,
		m->subject);

	if (rc == 0)
		rc = buf_printf(out,
			"--sandbox-ndr\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
			"Your message to %s couldn't be delivered.\r\n%s\r\n\r\n"
			"--sandbox-ndr\r\nContent-Type: message/delivery-status\r\n\r\n"
			"Reporting-MTA: dns;AM0PR01MB0001.eurprd01.prod.outlook.com\r\n\r\n"
			"Final-Recipient: rfc822;%s\r\nAction: failed\r\nStatus: 5.1.10\r\n"
			"Diagnostic-Code: smtp;%s\r\n\r\n"
			"--sandbox-ndr\r\nContent-Type: text/rfc822-headers\r\n\r\n",
			recipient,
			why,
			recipient,
			why);
	if (rc == 0)
		rc = buf_append(out, header);
	return rc == 0 ? buf_append(out, SV("\r\n--sandbox-ndr--\r\n")) : rc;
}

static void bounce(struct sandbox *s, const struct sandbox_message *m, const char *recipient)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(NDR_MAX);
	struct sandbox_message *ndr;
	struct header_facts facts = { 0 };
	char id[128], subject[300];

	make_id(s, id);
	if (render_ndr(s, &text, m, recipient, id) != 0)
		return;
	(void)snprintf(subject, sizeof(subject), "Undeliverable: %.200s", m->subject);
	facts.message_id = sv_from(id);
	facts.subject = sv_from(subject);
	ndr = xcalloc(1, sizeof(*ndr));
	ndr->door = "ndr";
	ndr->at_us = sandbox_now_us(s);
	ndr->date = wall_now(s);
	ndr->mailbox = sv_dup(sv_from(m->sender));
	ndr->sender = sv_dup(SV(""));
	ndr->new_id = sv_dup(SV(""));
	ndr->recipients = xmalloc(sizeof(char *));
	ndr->recipients[0] = sv_dup(sv_from(m->sender));
	ndr->recipient_count = 1;
	finish(ndr, buf_sv(&text), &facts);
	(void)sandbox_messages_add(s->inboxes, ndr);
	sandbox_tell_message(s, "bounced", ndr);
	sandbox_events_write(s->events, "bounced", sandbox_now_us(s), sandbox_message_json(ndr));
}

/* ---- delivery ---- */

static void count_hve(struct sandbox *s, const struct sandbox_message *m)
{
	s->totals.hve_recipients += m->recipient_count;
	sandbox_model_hve(
		s->model, sv_from(m->mailbox), (uint32_t)m->recipient_count, sandbox_now_us(s));
}

struct sandbox_message *sandbox_deliver(struct sandbox *s, const struct sandbox_delivery *d)
{
	struct sandbox_message *m = xcalloc(1, sizeof(*m));
	char id[128] = "";
	uint32_t copies;

	if (sandbox_model_switches(s->model)->rewrite_ids)
		make_id(s, id);
	m->door = sandbox_door_name(d->door);
	m->at_us = sandbox_now_us(s);
	m->date = wall_now(s);
	m->mailbox = sv_dup(d->mailbox);
	m->sender = sv_dup(d->sender);
	m->new_id = sv_dup(sv_from(id));
	m->recipients = xmalloc((d->recipient_count + 1) * sizeof(char *));
	if (d->recipient_count)
		memcpy(m->recipients, d->recipients, d->recipient_count * sizeof(char *));
	m->recipient_count = d->recipient_count;
	finish(m, d->raw, d->facts);
	copies = sandbox_messages_add(s->messages, m);
	s->totals.accepted++;
	s->totals.recipients += m->recipient_count;
	if (d->door == SANDBOX_DOOR_HVE)
		count_hve(s, m);
	sandbox_tell_message(s, copies > 1 ? "duplicate" : "accepted", m);
	sandbox_events_write(s->events,
		copies > 1 ? "duplicate" : "accepted",
		sandbox_now_us(s),
		sandbox_message_json(m));
	for (size_t i = 0; m->sender[0] && i < m->recipient_count; i++) {
		if (sandbox_tenant_bounces(&s->tenant, sv_from(m->recipients[i])))
			bounce(s, m, m->recipients[i]);
	}
	if (s->api)
		sandbox_api_message_arrived(s->api);
	return m;
}
