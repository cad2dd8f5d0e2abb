/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "base/text.h"
#include "conf/route.h"
#include "io/log.h"
#include "mail/dsn.h"
#include "mail/trace.h"
#include "outbound/outbound_priv.h"
#include "provider/defaults.h"
#include "provider/remedy.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * Notices to the sender (RFC 3461, 3464). A notice is in the queue before the outcome that it speaks of:
 * a crash between the two sends it twice rather than never. A notice never causes a notice (I7).
 */
enum {
	HEADERS_MAX = 65536, /* of the original, attached */
	NOTICE_MAX = 4 << 20,
	BOUNDARY_LEN = 24,
	REMEDIES_MAX = 100, /* recipients of a notice that get the step told; the size is bounded */
};

struct bounce_job {
	struct change *c;
	void (*then)(struct change *c);
	enum dsn_action action; /* under way; failed, then delayed, then relayed */
	struct buf headers;
	struct store_body read;
	struct arena arena;
	struct store_put put;
	struct store_message message;
	struct store_recipient recipient;
	struct buf body;
	struct io_timer again;
	unsigned failures;
};

static void next_action(struct bounce_job *j);

static bool wants(uint8_t notify, uint8_t bit)
{
	/* Not asked: failures and delays (RFC 3461 4.1, what every server does). */
	return notify ? (notify & bit) != 0 : bit != DSN_NOTIFY_SUCCESS;
}

static bool is_delay_due(const struct change *c)
{
	struct outbound *o = c->lane->o;
	uint64_t after = conf_general(o->conf)->delay_notice_us;

	return after && !(c->m.flags & STORE_MSG_DELAY_NOTICED) &&
	       outbound_age_now(o).us >= c->m.accepted_at.us + (int64_t)after;
}

/* Does recipient `i` belong into this notice? */
static bool belongs(const struct change *c, size_t i, enum dsn_action action)
{
	uint8_t notify = c->recipients[i].dsn_notify;

	switch (action) {
	case DSN_FAILED:
		return (c->outcomes[i].state == STORE_RCPT_BOUNCED ||
			       c->outcomes[i].state == STORE_RCPT_EXPIRED) &&
		       wants(notify, DSN_NOTIFY_FAILURE);
	case DSN_DELAYED:
		return c->outcomes[i].state == STORE_RCPT_QUEUED && is_delay_due(c) &&
		       wants(notify, DSN_NOTIFY_DELAY);
	case DSN_RELAYED:
		return c->outcomes[i].state == STORE_RCPT_DELIVERED && !c->next_hop_dsn &&
		       wants(notify, DSN_NOTIFY_SUCCESS);
	}
	return false;
}

static bool any_belongs(const struct change *c, enum dsn_action action)
{
	for (size_t i = 0; i < c->count; i++)
		if (belongs(c, i, action))
			return true;
	return false;
}

static void done(struct bounce_job *j)
{
	struct change *c = j->c;
	void (*then)(struct change * c) = j->then;

	io_timer_stop(&j->again);
	buf_deinit(&j->headers);
	buf_deinit(&j->body);
	arena_reset(&j->arena);
	free(j);
	then(c);
}

/* ---- where a notice goes out ---- */

static bool no_header(void *arg, struct sv name, struct sv *out_value)
{
	(void)arg;
	(void)name;
	(void)out_value;
	return false;
}

/* Where mail of the sender to himself would go. */
static const struct conf_lane *lane_of_sender(const struct change *c)
{
	const struct conf_route_query q = { .sender = c->m.sender,
		.recipient = c->m.sender,
		.user = c->m.user,
		.listener = c->m.listener,
		.device = c->m.device,
		.has_body = true,
		.header = no_header };

	const struct conf_member *m =
		c->m.sender.len ? conf_route_find(c->lane->o->conf, &q).member : NULL;

	return m ? &m->lanes[0] : NULL;
}

/* The mailbox or connector named in `bounces:`, else the lane that failed; mail that never had one goes
 * as its sender's. */
static const struct conf_lane *notice_lane(const struct change *c)
{
	const struct conf_general *g = conf_general(c->lane->o->conf);
	const struct conf_lane *lane = NULL;

	if (g->bounces_through.len)
		lane = conf_lane_named(c->lane->o->conf, g->bounces_through);
	if (!lane)
		lane = conf_lane(c->lane->o->conf, c->lane->key);
	return lane ? lane : lane_of_sender(c);
}

/* Who it is from: the mailbox itself, since mailbox doors let nobody else send. */
static struct sv notice_from(struct bounce_job *j, const struct conf_lane *lane)
{
	const struct conf_general *g = conf_general(j->c->lane->o->conf);
	char text[LIMIT_ADDRESS + 32];
	int n;

	if (lane && lane->kind == CONF_LANE_MAILBOX)
		return lane->name;
	n = snprintf(text,
		sizeof(text),
		"postmaster@%.*s",
		SV_ARG(g->qualify.len ? g->qualify : g->hostname));
	return arena_sv(&j->arena, sv_make(text, (size_t)n));
}

/* Who is told: nobody reads mail at a device. Empty: nobody. */
static struct sv notice_to(const struct change *c)
{
	const struct conf *conf = c->lane->o->conf;
	const struct conf_device *device = c->m.device.len ? conf_device(conf, c->m.device) : NULL;
	struct sv bounces_to = conf_general(conf)->bounces_to;

	if (device && device->errors_to.len)
		return device->errors_to;
	if (c->m.device.len && bounces_to.len)
		return bounces_to;
	return c->m.sender.len ? c->m.sender : bounces_to;
}

/* ---- making it ---- */

static struct sv random_text(struct bounce_job *j, size_t len)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
	char *text = arena_alloc(&j->arena, len + 1);

	for (size_t i = 0; i < len; i++)
		text[i] = letters[io_random_u64() % (sizeof(letters) - 1)];
	return sv_make(text, len);
}

/* The first step of `postern explain`, with the names that are known here. */
static struct sv first_step(struct bounce_job *j, const struct provider_remedy *remedy,
	const struct provider_facts *facts)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(4096);

	if (provider_remedy_fill(
		    remedy->advice ? remedy->advice : remedy->steps[0], facts, &text) != 0)
		return SV("");
	return arena_sv(&j->arena, buf_sv(&text));
}

/* The same words as `postern explain` has for it. */
static void add_remedy(struct bounce_job *j, size_t i, struct dsn_recipient *out)
{
	const struct change *c = j->c;
	const struct conf_lane *lane = conf_lane(c->lane->o->conf, c->lane->key);
	const struct provider_facts facts = {
		.provider = lane ? lane->provider : provider_unknown(),
		.mailbox = lane && lane->kind == CONF_LANE_MAILBOX ? lane->name : SV(""),
		.sender = c->m.sender,
		.recipient = c->recipients[i].address,
	};
	const struct provider_remedy *remedy =
		provider_remedy(c->outcomes[i].verdict.cause, &facts);

	if (!remedy || j->action == DSN_RELAYED)
		return;
	out->whose = sv_from(provider_owner_words(remedy->owner));
	out->step = first_step(j, remedy, &facts);
}

static size_t list_recipients(struct bounce_job *j, struct dsn_recipient *out)
{
	struct change *c = j->c;
	size_t n = 0;

	for (size_t i = 0; i < c->count; i++) {
		const struct store_recipient_outcome *o = &c->outcomes[i];

		if (!belongs(c, i, j->action))
			continue;
		out[n] = (struct dsn_recipient){ .address = c->recipients[i].address,
			.original = c->recipients[i].orcpt,
			.enhanced = o->verdict.enhanced[0]     ? sv_from(o->verdict.enhanced)
				    : j->action == DSN_FAILED  ? SV("5.0.0")
				    : j->action == DSN_DELAYED ? SV("4.0.0")
							       : SV("2.0.0"),
			.reply = o->reply,
			.relay = c->op.relay,
			.summary = sv_from(o->verdict.summary),
			.last_attempt_at = c->op.at };
		if (n < REMEDIES_MAX)
			add_remedy(j, i, &out[n]);
		n++;
	}
	return n;
}

static void notice_queued(struct store_op *op)
{
	struct bounce_job *j = CONTAINER_OF(op, struct bounce_job, put.op);
	struct outbound *o = j->c->lane->o;
	char id[TEXT_ID_MAX], of[TEXT_ID_MAX], text[128], size[24];
	static const char *const kinds[][2] = { [DSN_FAILED] = { "failed", "non-delivery" },
		[DSN_DELAYED] = { "delayed", "delay" },
		[DSN_RELAYED] = { "relayed", "delivery status" } };

	if (op->rc != 0) {
		/* The outcome waits for it: a failure that nobody hears of is worse than a late one. */
		log_line(LOG_ERROR,
			"qmgr",
			"a notice could not be queued, trying again: %s",
			op->err.text);
		io_timer_start(&j->again,
			mono_add(io_now(o->loop), outbound_queue_pause(op->rc, j->failures++)));
		return;
	}
	(void)snprintf(text,
		sizeof(text),
		"sender %s notification: %s",
		kinds[j->action][1],
		text_id(j->message.id, id));
	log_record(LOG_INFO,
		"bounce",
		sv_from(text_id(j->c->m.id, of)),
		"notice",
		sv_from(text),
		(const struct log_field[]){ LOG_F("notice_id", sv_from(id)),
			LOG_F("to", j->recipient.address),
			LOG_F("kind", sv_from(kinds[j->action][0])) },
		3);
	(void)snprintf(size, sizeof(size), "%" PRIu64, j->message.size);
	log_record(LOG_INFO,
		"qmgr",
		sv_from(id),
		"queued",
		SV(""),
		(const struct log_field[]){ LOG_A("from", SV("")),
			LOG_N("size", sv_from(size)),
			LOG_N("nrcpt", SV("1")),
			LOG_F("message-id", j->message.message_id) },
		4);
	outbound_queued(o, j->message.id, &j->recipient.flow, 1);
	j->action++;
	next_action(j);
}

static void put_again(void *arg)
{
	struct bounce_job *j = arg;

	store_submit(j->c->lane->o->store, &j->put.op);
}

static void make_message_id(struct bounce_job *j, uint64_t id)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(512);
	struct outbound *o = j->c->lane->o;

	must(message_id_render(&text, id, io_random_u64(), conf_general(o->conf)->hostname) == 0);
	j->message.message_id = arena_sv(&j->arena, buf_sv(&text));
}

static void submit_notice(
	struct bounce_job *j, const struct conf_lane *lane, struct sv to, struct sv from)
{
	struct change *c = j->c;
	struct outbound *o = c->lane->o;
	const struct conf_general *g = conf_general(o->conf);
	struct dsn_recipient *list = arena_alloc(&j->arena, c->count * sizeof(*list));
	uint64_t id = store_new_id(o->store);
	char of[TEXT_ID_MAX];
	struct dsn dsn;
	struct sv body;
	ptrdiff_t blank;

	j->message = (struct store_message){ .id = id };
	make_message_id(j, id);
	dsn = (struct dsn){ .action = j->action,
		.hostname = g->hostname,
		.from = from,
		.to = to,
		.message_id = j->message.message_id,
		.boundary = random_text(j, BOUNDARY_LEN),
		.envid = c->m.envid,
		.queue_id = arena_sv(&j->arena, sv_from(text_id(c->m.id, of))),
		.arrived_at = c->m.accepted_at,
		.now = io_wall(o->loop),
		.expires_at = c->m.expires_at,
		.original_headers = buf_sv(&j->headers),
		.recipients = list,
		.recipient_count = list_recipients(j, list) };
	buf_deinit(&j->body);
	buf_init(&j->body, NOTICE_MAX);
	if (dsn_render(&dsn, &j->body) != 0) {
		/* Too many recipients with long replies: the headers are what can be left out. */
		dsn.original_headers = SV("");
		buf_reset(&j->body);
		must(dsn_render(&dsn, &j->body) == 0);
	}
	body = buf_sv(&j->body);
	blank = sv_find(body, SV("\r\n\r\n"));
	j->message = (struct store_message){ .id = id,
		.message_id = j->message.message_id,
		.accepted_at = io_wall(o->loop),
		.expires_at = conf_mail_end(o->conf, MAIL_CLASS_NORMAL, io_wall(o->loop)),
		.sender = lane && !provider_defaults(lane->provider)->null_sender ? from : SV(""),
		.flags = STORE_MSG_BOUNCE | (text_is_ascii(body) ? 0 : STORE_MSG_8BIT),
		.size = body.len,
		.header_size = blank < 0 ? 0 : (uint32_t)blank + 4,
		.subject = SV("Delivery status notification"),
		.client = SV("postern"),
		.bounce_of = c->m.id,
		.recipients = &j->recipient,
		.recipient_count = 1 };
	j->recipient = (struct store_recipient){ .address = to,
		.flow = { .queue = lane ? lane->member->key : SV(""), .class = MAIL_CLASS_NORMAL },
		.state = STORE_RCPT_QUEUED,
		.dsn_notify = DSN_NOTIFY_NEVER,
		.next_at = outbound_due_now(o),
		.look_at = j->message.expires_at };
	j->put = (struct store_put){ .op.kind = STORE_OP_PUT,
		.op.done = notice_queued,
		.message = &j->message,
		.body = body };
	store_submit(o->store, &j->put.op);
}

static void headers_read(struct store_op *op)
{
	struct bounce_job *j = CONTAINER_OF(op, struct bounce_job, read.op);
	const struct conf_lane *lane = notice_lane(j->c);

	if (op->rc != 0)
		buf_reset(&j->headers);
	submit_notice(j, lane, notice_to(j->c), notice_from(j, lane));
}

/* Nobody to tell: said in the log, and that is all that can be done. */
static bool has_addressee(struct bounce_job *j)
{
	struct change *c = j->c;
	char id[TEXT_ID_MAX];

	if (c->m.flags & STORE_MSG_BOUNCE || c->m.bounce_of) {
		if (j->action == DSN_FAILED)
			log_event(LOG_WARN,
				"qmgr",
				sv_from(text_id(c->m.id, id)),
				"a notice could not be delivered and is dropped",
				(const struct log_field[]){ LOG_F("to", c->recipients[0].address) },
				1);
		return false;
	}
	if (c->m.sender.len || (j->action == DSN_FAILED && notice_to(c).len))
		return true;
	if (j->action == DSN_FAILED)
		log_event(LOG_WARN,
			"qmgr",
			sv_from(text_id(c->m.id, id)),
			"undeliverable, and there is no sender to tell (see bounces: to)",
			NULL,
			0);
	return false;
}

static void next_action(struct bounce_job *j)
{
	struct change *c = j->c;

	while (j->action <= DSN_RELAYED && !(any_belongs(c, j->action) && has_addressee(j)))
		j->action++;
	if (j->action > DSN_RELAYED) {
		done(j);
		return;
	}
	if (j->action == DSN_DELAYED)
		c->op.set_flags |= STORE_MSG_DELAY_NOTICED;
	buf_reset(&j->headers);
	j->headers.max = c->m.header_size < HEADERS_MAX ? c->m.header_size : HEADERS_MAX;
	j->read = (struct store_body){ .op.kind = STORE_OP_BODY,
		.op.done = headers_read,
		.message_id = c->m.id,
		.out = &j->headers };
	store_submit(c->lane->o->store, &j->read.op);
}

void bounce_send(struct change *c, void (*then)(struct change *c))
{
	struct bounce_job *j;

	if (!any_belongs(c, DSN_FAILED) && !any_belongs(c, DSN_DELAYED) &&
		!any_belongs(c, DSN_RELAYED)) {
		then(c);
		return;
	}
	j = xcalloc(1, sizeof(*j));
	j->c = c;
	j->then = then;
	j->action = DSN_FAILED;
	buf_init(&j->headers, HEADERS_MAX);
	io_timer_init(&j->again, c->lane->o->loop, put_again, j);
	next_action(j);
}

void change_tell(struct change *c)
{
	bounce_send(c, change_write);
}
