/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "base/text.h"
#include "conf/route.h"
#include "inbound/accept_priv.h"
#include "mail/address.h"
#include "store/store_health.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void answer_set(struct answer *a, uint16_t code, const char *enhanced, const char *fmt, ...)
{
	va_list args;

	a->code = code;
	(void)snprintf(a->enhanced, sizeof(a->enhanced), "%s", enhanced);
	va_start(args, fmt);
	(void)vsnprintf(a->text, sizeof(a->text), fmt, args);
	va_end(args);
}

struct accept *accept_new(struct inbound *in, struct conf *conf, const struct accept_origin *origin)
{
	struct accept *a = xcalloc(1, sizeof(*a));
	struct sv *const views[] = { &a->origin.user, &a->origin.client, &a->origin.listener };

	a->in = in;
	a->conf = conf_ref(conf);
	a->origin = *origin;
	io_timer_init(&a->late, in->loop, accept_late, a);
	for (size_t i = 0; i < COUNT_OF(views); i++)
		*views[i] = arena_sv(&a->arena, *views[i]);
	a->principal = a->origin.user.len ? a->origin.user
		       : origin->device   ? arena_sv(&a->arena, origin->device->name)
					  : a->origin.listener;
	limit_payer_copy(&a->payer, origin->payer);
	a->origin.payer = &a->payer;
	if (origin->device)
		a->quota.use = quota_of_device(in, origin->device->name);
	else if (origin->account)
		a->quota.use = quota_of_user(in, origin->user);
	a->known.seed = in->names_seed;
	buf_init(&a->body, LIMIT_HEADER + 4 * LIMIT_CHUNK);
	in->accepts++;
	return a;
}

void accept_free(struct accept *a)
{
	struct inbound *in = a->in;

	io_timer_stop(&a->late);
	accounts_note_memory(in);
	limit_payer_end(&a->payer, io_now(in->loop));
	quota_give_back(&a->quota);
	header_block_free(a->header);
	buf_deinit(&a->body);
	htable_deinit(&a->known);
	arena_reset(&a->arena);
	free(a->recipients);
	free(a->undecided);
	conf_unref(a->conf);
	in->accepts--;
	free(a);
	inbound_check_drained(in);
}

/* ---- addresses ---- */

/* root -> root@contoso.com, and a recipient by alias -> it@contoso.com. Empty: it stays without a domain. */
struct sv accept_complete(struct accept *a, struct sv address, bool by_alias)
{
	const struct conf_general *g = conf_general(a->conf);
	ptrdiff_t at = address_at(address);
	struct sv alias, domain = sv_skip(address, (size_t)(at + 1));
	char text[LIMIT_ADDRESS + 2];
	int n;

	/* A local name: bare, at our own host name, or at the domain that bare names get. */
	if (by_alias && (at < 0 || sv_eq_nocase(domain, g->hostname) ||
				(g->qualify.len && sv_eq_nocase(domain, g->qualify)))) {
		alias = conf_alias(a->conf, at < 0 ? address : sv_head(address, (size_t)at));
		if (alias.len)
			address = alias;
	}
	if (address_at(address) >= 0)
		return arena_sv(&a->arena, address);
	if (g->qualify.len == 0 || address.len + 1 + g->qualify.len > LIMIT_ADDRESS)
		return SV("");
	n = snprintf(text, sizeof(text), "%.*s@%.*s", SV_ARG(address), SV_ARG(g->qualify));
	return arena_sv(&a->arena, sv_make(text, (size_t)n));
}

/* ---- MAIL ---- */

static uint64_t min_free(const struct accept *a)
{
	const struct conf_general *g = conf_general(a->conf);
	uint64_t rule = 2 * a->origin.bytes_max;

	if (g->min_free_bytes)
		return g->min_free_bytes;
	return rule > MIN_FREE_DEFAULT ? rule : MIN_FREE_DEFAULT;
}

/* What a client announces reserves nothing: room and memory are charged as the bytes come. */
static bool has_room(struct accept *a, uint64_t size, struct answer *out)
{
	struct inbound *in = a->in;
	/* The fourth part of what is left stays for others, see take_room(). */
	int rc = store_room(in->store, min_free(a), size + size / 3);

	if (rc == -EIO) {
		answer_set(out, 451, "4.3.0", "The disk of the queue fails, try again later");
		return false;
	}
	if (rc != 0) {
		answer_set(
			out, 452, "4.3.1", "The disk of the queue is nearly full, try again later");
		return false;
	}
	if (limit_payer_take(&a->payer, LIMIT_RESOURCE_BYTES, MESSAGE_COST) != LIMIT_ANSWER_YES) {
		answer_set(out, 452, "4.3.1", NO_MEMORY);
		return false;
	}
	return true;
}

static struct sv device_name(const struct accept *a)
{
	return a->origin.device ? a->origin.device->name : SV("");
}

/* Who the mail comes from, whatever it says itself. */
static void prescribe_sender(struct accept *a)
{
	const struct conf_user *account = a->origin.account;

	a->original = a->sender;
	if (a->origin.device) {
		a->from_mode = CONF_SENDER_FORCE;
		a->from = arena_sv(&a->arena, a->origin.device->sender);
		/* Also what comes without a sender: trouble with it is told to `errors_to`. */
		a->sender = a->from;
	} else if (account && account->sender != CONF_SENDER_KEEP) {
		a->from_mode = account->sender;
		a->from = arena_sv(&a->arena, account->as);
		/* A notice stays without a sender, or it could bounce to and fro. */
		if (a->sender.len)
			a->sender = a->from;
	}
}

bool accept_pays(struct accept *a, enum quota_kind kind, uint64_t n, struct answer *out)
{
	if (a->origin.is_whole || quota_take(a->in, &a->quota, kind, n, out))
		return true;
	a->quota.use->quota_refused++;
	return false;
}

/* For as many bytes as the client says that will come. */
static bool has_quota(const struct accept *a, uint64_t size, struct answer *out)
{
	if (a->origin.is_whole || quota_has_room(a->in, a->quota.use, size, out))
		return true;
	a->quota.use->quota_refused++;
	return false;
}

struct sv accept_sender(const struct accept *a)
{
	return a->sender;
}

void accept_mail(struct accept *a, const struct smtp_server_event *e, struct answer *out)
{
	a->sender = e->address.len ? accept_complete(a, e->address, false) : SV("");
	if (e->address.len && a->sender.len == 0 && !a->origin.device) {
		answer_set(
			out, 553, "5.1.7", "The sender has no domain, and `qualify:` is not set");
		return;
	}
	if (a->origin.account && a->origin.account->sender_count &&
		!identity_sender_allowed(a->origin.account, a->sender)) {
		answer_set(out,
			553,
			"5.7.1",
			"User %.*s may not send as <%.*s>; see `senders:`",
			SV_ARG(sv_head(a->origin.user, 40)),
			SV_ARG(sv_head(a->sender, 80)));
		return;
	}
	prescribe_sender(a);
	if (!a->origin.park_no_route &&
		!conf_route_possible(
			a->conf, a->sender, a->origin.user, a->origin.listener, device_name(a))) {
		answer_set(out,
			550,
			"5.7.1",
			"No route takes mail from <%.*s>",
			SV_ARG(sv_head(a->sender, 100)));
		return;
	}
	if (!has_room(a, e->size, out))
		return;
	if (!has_quota(a, e->size, out) || !accept_pays(a, QUOTA_MESSAGES, 1, out))
		return;
	a->smtputf8 = e->smtputf8;
	a->dsn_ret = e->dsn_ret;
	a->envid = arena_sv(&a->arena, e->envid);
	answer_set(out, 250, "2.1.0", "Ok");
}

/* ---- RCPT ---- */

/* Its rows while they grow and when they are handed over, its strings, and its place in `known`. */
static uint64_t recipient_cost(struct sv address, const struct smtp_server_event *e)
{
	return 3 * sizeof(struct store_recipient) + 2 * (address.len + sizeof(struct htable_slot)) +
	       e->orcpt.len + 64;
}

static struct store_recipient *more_recipients(struct accept *a, bool undecided)
{
	if (a->recipient_count == a->recipient_cap) {
		a->recipient_cap = a->recipient_cap ? a->recipient_cap * 2 : 4;
		a->recipients = xrealloc(a->recipients, a->recipient_cap * sizeof(*a->recipients));
		a->undecided = xrealloc(a->undecided, a->recipient_cap * sizeof(*a->undecided));
	}
	a->undecided[a->recipient_count] = undecided;
	a->undecided_count += undecided;
	return &a->recipients[a->recipient_count++];
}

static struct conf_route_query query_for(const struct accept *a, struct sv recipient)
{
	return (struct conf_route_query){ .sender = a->sender,
		.recipient = recipient,
		.user = a->origin.user,
		.listener = a->origin.listener,
		.device = device_name(a) };
}

/* `size` 0: not known yet. */
static void set_plan(struct accept *a, struct store_recipient *r,
	const struct conf_route_answer *found, uint64_t size)
{
	struct mail_flow *f = &r->flow;

	f->queue = conf_queue_key(a->conf,
		found->members,
		found->member_count,
		r->address,
		size,
		&a->arena,
		&f->external);
	f->class =
		conf_class_of(found->route, a->origin.account, a->origin.device, a->origin.rules);
	f->principal = a->principal;
	r->last_cause = found->member ? SV("") : SV("no-route");
	r->rewrite_from = found->member ? arena_sv(&a->arena, found->route->rewrite_from) : SV("");
}

/* Its queue is known since RCPT; now the size is, too. */
static void drop_too_small(struct accept *a, struct store_recipient *r)
{
	const struct conf_member *members[CONF_THROUGH_MAX];
	size_t count = conf_queue_members(a->conf, r->flow.queue, members);
	bool all = true;

	for (size_t i = 0; i < count; i++)
		all = all && conf_member_takes(a->conf, members[i], r->address, a->size);
	if (!all)
		r->flow.queue = conf_queue_key(
			a->conf, members, count, r->address, a->size, &a->arena, &r->flow.external);
}

static void refuse_route(const struct accept *a, struct sv recipient, struct answer *out)
{
	answer_set(out,
		550,
		"5.7.1",
		"No route takes mail from <%.*s> to <%.*s>",
		SV_ARG(sv_head(a->sender, 60)),
		SV_ARG(sv_head(recipient, 60)));
}

static bool device_takes(const struct accept *a, const struct conf_device *d, struct sv address)
{
	switch (d->recipients) {
	case CONF_DEVICE_ANY:
		return true;
	case CONF_DEVICE_INTERNAL:
		return conf_is_internal(a->conf, NULL, address);
	case CONF_DEVICE_LISTED:
		break;
	}
	for (size_t i = 0; i < d->recipient_pattern_count; i++)
		if (address_matches(d->recipient_patterns[i], address))
			return true;
	return false;
}

/* The name and the setting: whoever reads it on a printer's display must know where to look. */
static bool device_may_send(const struct accept *a, struct sv address, struct answer *out)
{
	const struct conf_device *d = a->origin.device;

	if (!d || device_takes(a, d, address))
		return true;
	answer_set(out,
		550,
		"5.7.1",
		"Device %.*s may send to %s only, not to <%.*s>; see its `recipients:`",
		SV_ARG(sv_head(d->name, 40)),
		d->recipients == CONF_DEVICE_INTERNAL ? "internal recipients" : "listed recipients",
		SV_ARG(sv_head(address, 60)));
	return false;
}

/* Whether it is among the recipients already. */
static bool is_known(const struct accept *a, struct sv address)
{
	CLEANUP(buf_deinitp) struct buf key = BUF_INIT(LIMIT_ADDRESS + 2);

	must(address_key(&key, address) == 0);
	return htable_get(&a->known, buf_sv(&key)) != NULL;
}

static void note_known(struct accept *a, struct sv address)
{
	CLEANUP(buf_deinitp) struct buf key = BUF_INIT(LIMIT_ADDRESS + 2);

	must(address_key(&key, address) == 0);
	htable_put(&a->known, buf_sv(&key), a);
}

/*
 * Whoever left it was told that all is well, and hears of a refusal by mail only: such a recipient gets
 * into the queue without a route, and outbound ends it (delivery_reroute()).
 */
static void keep_to_bounce(
	struct accept *a, const struct smtp_server_event *e, const struct answer *why)
{
	const struct conf_route_answer none = { 0 };
	char reply[LIMIT_REPLY_KEPT];
	struct store_recipient *r = more_recipients(a, false);

	(void)snprintf(reply, sizeof(reply), "%u %s %s", why->code, why->enhanced, why->text);
	*r = (struct store_recipient){ .index = (uint32_t)a->recipient_count - 1,
		.address = arena_sv(&a->arena, e->address),
		.orcpt = arena_sv(&a->arena, e->orcpt),
		.dsn_notify = e->dsn_notify,
		.state = STORE_RCPT_QUEUED };
	set_plan(a, r, &none, 0);
	r->last_reply = arena_sv(&a->arena, sv_from(reply));
}

void accept_rcpt(struct accept *a, const struct smtp_server_event *e, struct answer *out)
{
	struct sv address = accept_complete(a, e->address, true);
	struct conf_route_query q;
	struct conf_route_answer found;
	struct store_recipient *r;

	if (address.len == 0) {
		answer_set(out,
			553,
			"5.1.3",
			"The recipient has no domain, and `qualify:` is not set");
		if (a->origin.park_no_route && a->recipient_count < LIMIT_RCPT)
			keep_to_bounce(a, e, out);
		return;
	}
	if (!device_may_send(a, address, out))
		return;
	q = query_for(a, address);
	found = conf_route_find(a->conf, &q);
	if (!found.member && !found.undecided && !a->origin.park_no_route) {
		refuse_route(a, address, out);
		return;
	}
	/* Twice in the envelope, or by two names of `aliases:`: one copy, as every other server does it. */
	if (is_known(a, address)) {
		answer_set(out, 250, "2.1.5", "Ok, it is among the recipients already");
		return;
	}
	if (a->recipient_count >= LIMIT_RCPT) {
		answer_set(out, 452, "4.5.3", "Too many recipients");
		return;
	}
	if (limit_payer_take(&a->payer, LIMIT_RESOURCE_BYTES, recipient_cost(address, e)) !=
		LIMIT_ANSWER_YES) {
		answer_set(out, 452, "4.3.1", NO_MEMORY);
		return;
	}
	if (!accept_pays(a, QUOTA_RECIPIENTS, 1, out))
		return;
	note_known(a, address);
	r = more_recipients(a, found.undecided);
	*r = (struct store_recipient){ .index = (uint32_t)a->recipient_count - 1,
		.address = address,
		.orcpt = arena_sv(&a->arena, e->orcpt),
		.dsn_notify = e->dsn_notify,
		.state = STORE_RCPT_QUEUED };
	set_plan(a, r, &found, 0);
	answer_set(out, 250, "2.1.5", "Ok");
}

bool accept_pay_whole(struct accept *a, uint64_t size, struct answer *out)
{
	return quota_take(a->in, &a->quota, QUOTA_MESSAGES, 1, out) &&
	       quota_take(a->in, &a->quota, QUOTA_RECIPIENTS, a->recipient_count, out) &&
	       quota_take(a->in, &a->quota, QUOTA_BYTES, size, out);
}

/* ---- after DATA ---- */

static bool header_value(void *arg, struct sv name, struct sv *out_value)
{
	return header_block_get(arg, name, out_value);
}

void accept_choose(struct accept *a)
{
	for (size_t i = 0; i < a->recipient_count; i++) {
		struct store_recipient *r = &a->recipients[i];
		struct conf_route_query q;
		struct conf_route_answer found;

		if (!a->undecided[i]) {
			if (sv_find_char(r->flow.queue, '\n') >= 0)
				drop_too_small(a, r);
			continue;
		}
		q = query_for(a, r->address);
		q.has_body = true;
		q.size = a->size;
		q.header = header_value;
		q.header_arg = a->header;
		found = conf_route_find(a->conf, &q);
		if (!found.member && !a->origin.park_no_route) {
			answer_set(&a->refusal,
				550,
				"5.7.1",
				"No route takes this message to <%.*s>, by its size or header; "
				"nobody gets it",
				SV_ARG(sv_head(r->address, 60)));
			return;
		}
		set_plan(a, r, &found, a->size);
	}
}

size_t accept_recipient_count(const struct accept *a)
{
	return a->recipient_count;
}

uint64_t accept_id(const struct accept *a)
{
	return a->id;
}

/* ---- the body ---- */

void accept_begin_body(
	struct accept *a, uint64_t id, struct sv helo, struct sv protocol, struct sv tls)
{
	a->id = id ? id : store_new_id(a->in->store);
	a->origin.helo = arena_sv(&a->arena, helo);
	a->origin.protocol = arena_sv(&a->arena, protocol);
	a->origin.tls = arena_sv(&a->arena, tls);
	a->header = header_block_new(LIMIT_HEADER, LIMIT_HEADER_FIELDS);
}

struct chunk_op {
	struct store_chunk op;
	struct accept *accept;
	char bytes[LIMIT_CHUNK];
};

static void chunk_written(struct store_op *op)
{
	struct chunk_op *c = CONTAINER_OF(op, struct chunk_op, op.op);
	struct accept *a = c->accept;

	if (op->rc != 0 && a->failed == 0)
		a->failed = op->rc;
	free(c);
	a->chunks_under_way--;
	accept_charge(a);
	if (a->aborted) {
		if (a->chunks_under_way == 0)
			accept_take_back(a);
		return;
	}
	if (a->ended)
		accept_put(a);
	else if (a->room)
		a->room(a->room_arg);
}

/* Nothing of it is kept any more; the client hears of it at the end of its message. */
static void give_up_body(struct accept *a, const char *text)
{
	answer_set(&a->refusal, 452, "4.3.1", "%s", text);
	header_block_free(TAKE(a->header));
	buf_deinit(&a->body);
}

void accept_charge(struct accept *a)
{
	uint64_t is = header_block_memory(a->header) + a->body.cap +
		      a->chunks_under_way * sizeof(struct chunk_op);

	if (is > a->body_cost &&
		limit_payer_take(&a->payer, LIMIT_RESOURCE_BYTES, is - a->body_cost) !=
			LIMIT_ANSWER_YES) {
		if (a->refusal.code == 0)
			give_up_body(a, NO_MEMORY);
		return;
	}
	if (is < a->body_cost)
		limit_payer_give(&a->payer, LIMIT_RESOURCE_BYTES, a->body_cost - is);
	a->body_cost = is;
}

/* Of the disk, too, each may have its part only, as long as its messages are not whole. */
static bool take_room(struct accept *a)
{
	struct limit_accounts *all = a->in->accounts;

	limit_accounts_set(all,
		LIMIT_RESOURCE_ROOM,
		limit_accounts_used(all, LIMIT_RESOURCE_ROOM) +
			store_room_left(a->in->store, min_free(a)));
	return limit_payer_take(&a->payer, LIMIT_RESOURCE_ROOM, LIMIT_CHUNK) == LIMIT_ANSWER_YES;
}

/* A full piece goes ahead of its message, so that memory does not grow with it. */
static void write_chunk(struct accept *a)
{
	struct chunk_op *c = xmalloc(sizeof(*c));

	memcpy(c->bytes, buf_sv(&a->body).ptr, LIMIT_CHUNK);
	c->accept = a;
	c->op = (struct store_chunk){ .op.kind = STORE_OP_CHUNK,
		.op.done = chunk_written,
		.message_id = a->id,
		.index = a->chunk_count++,
		.bytes = sv_make(c->bytes, LIMIT_CHUNK) };
	buf_consume(&a->body, LIMIT_CHUNK);
	a->chunks_under_way++;
	store_submit(a->in->store, &c->op.op);
}

void accept_append(struct accept *a, struct sv bytes)
{
	a->size += bytes.len;
	if (a->failed)
		return;
	if (buf_append(&a->body, bytes) != 0) {
		a->failed = RC_LIMIT;
		return;
	}
	while (a->body.len > LIMIT_CHUNK) {
		if (!take_room(a)) {
			give_up_body(a, "The disk of the queue is nearly full, try again later");
			return;
		}
		write_chunk(a);
	}
}

static bool has_high_bit(struct sv bytes)
{
	uint64_t seen = 0, word;
	size_t i = 0;

	for (; i + sizeof(word) <= bytes.len; i += sizeof(word)) {
		memcpy(&word, bytes.ptr + i, sizeof(word));
		seen |= word;
	}
	for (; i < bytes.len; i++)
		seen |= (unsigned char)bytes.ptr[i];
	return seen & UINT64_C(0x8080808080808080);
}

/* Bytes in their one form (mail/lines.h). */
static void take_clean(struct accept *a, struct sv bytes)
{
	size_t used = 0;
	int rc;

	if (!a->header_done && a->refusal.code == 0) {
		rc = header_block_feed(a->header, bytes, &used);
		if (rc == 1)
			accept_render_header(a);
		else if (rc < 0)
			answer_set(&a->refusal,
				552,
				"5.3.4",
				"The header of the message is too large");
		bytes = sv_skip(bytes, used);
	}
	/* What is refused at the end is only counted. */
	if (a->refusal.code || bytes.len == 0)
		return;
	if (!a->has_8bit)
		a->has_8bit = has_high_bit(bytes);
	accept_append(a, bytes);
}

void accept_body(struct accept *a, struct sv bytes)
{
	struct sv piece;

	a->came += bytes.len;
	while (mail_lines_next(&a->lines, &bytes, !a->header_done, &piece))
		take_clean(a, piece);
	accept_charge(a);
}

void accept_body_end(struct accept *a)
{
	struct sv owed = mail_lines_end(&a->lines);

	if (owed.len)
		take_clean(a, owed);
}

bool accept_is_full(const struct accept *a)
{
	return a->chunks_under_way >= CHUNKS_UNDER_WAY;
}

void accept_on_room(struct accept *a, accept_room_fn *room, void *arg)
{
	a->room = room;
	a->room_arg = arg;
}

/* ---- giving up ---- */

struct abort_op {
	struct store_abort op;
};

static void taken_back(struct store_op *op)
{
	free(CONTAINER_OF(op, struct abort_op, op.op));
}

void accept_take_back(struct accept *a)
{
	if (a->chunk_count) {
		struct abort_op *op = xcalloc(1, sizeof(*op));

		op->op.op = (struct store_op){ .kind = STORE_OP_ABORT, .done = taken_back };
		op->op.message_id = a->id;
		store_submit(a->in->store, &op->op.op);
	}
	accept_free(a);
}

void accept_abort(struct accept *a)
{
	if (!a)
		return;
	a->room = NULL;
	/* Its client may come again before the last piece is written. */
	quota_give_back(&a->quota);
	if (a->chunks_under_way) {
		a->aborted = true;
		return;
	}
	accept_take_back(a);
}
