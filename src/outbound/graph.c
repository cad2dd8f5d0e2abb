/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "base/text.h"
#include "io/log.h"
#include "outbound/charset.h"
#include "outbound/graph_priv.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- life ---- */

static void reset(struct graph_session *g)
{
	struct connection *c = g->c;

	graph_call_cancel(g);
	graph_large_reset(g);
	header_block_free(g->block);
	mime_scan_free(g->scan);
	buf_deinit(&g->copy);
	buf_deinit(&g->url);
	buf_deinit(&g->body);
	*g = (struct graph_session){ .c = c, .step = GRAPH_OVER, .is_open = true };
}

static void set_relay(struct connection *c)
{
	struct sv url = c->c->tenant ? c->c->tenant->graph_url : SV("");
	ptrdiff_t host = sv_find(url, SV("://"));

	if (host >= 0)
		url = sv_skip(url, (size_t)host + 3);
	(void)snprintf(c->relay, sizeof(c->relay), "%.*s", SV_ARG(sv_head(url, 200)));
}

/* Requests find or open connections of their own: there is nothing to wait for. */
static void opened(void *arg)
{
	struct graph_session *g = arg;

	g->is_open = true;
	connection_pump(g->c);
}

static void web_open(struct connection *c)
{
	c->connected_at = io_now(c->o->loop);
	c->graph = xcalloc(1, sizeof(*c->graph));
	c->graph->c = c;
	c->graph->step = GRAPH_OVER;
	c->graph->opened = (struct io_task){ .run = opened, .arg = c->graph };
	c->state = CONNECTION_SESSION;
	set_relay(c);
	io_task_post(c->o->loop, &c->graph->opened);
}

static void web_close(struct connection *c)
{
	if (!c->graph)
		return;
	io_task_cancel(c->o->loop, &c->graph->opened);
	reset(c->graph);
	free(c->graph);
	c->graph = NULL;
}

/* ---- the message comes in ---- */

static void web_begin(struct connection *c, struct delivery *d)
{
	struct graph_session *g = c->graph;

	reset(g);
	g->step = GRAPH_READING;
	g->size = delivery_message(d)->size;
	g->block =
		header_block_new(g->size < LIMIT_HEADER ? LIMIT_HEADER : 4 * (size_t)LIMIT_HEADER,
			LIMIT_HEADER_FIELDS * 2);
	buf_init(&g->url, GRAPH_URL_MAX);
	d->wants_body = true;
}

static bool web_has_room(const struct connection *c)
{
	return c->graph && c->graph->step == GRAPH_READING;
}

void graph_cannot_carry(struct graph_session *g, struct sv reply)
{
	const struct verdict v = cause_verdict(CAUSE_GRAPH_CANNOT_CARRY);

	graph_end(g, &v, reply);
}

/* The recipients of this attempt: one address when everything is redirected. */
static size_t recipients_of(struct delivery *d, struct sv *out)
{
	if (d->rewrite.redirect.len) {
		out[0] = d->rewrite.redirect;
		return 1;
	}
	for (size_t i = 0; i < d->count; i++)
		out[i] = d->recipients[i].r.address;
	return d->count;
}

static void copy_header(struct graph_session *g)
{
	struct delivery *d = g->c->delivery;
	struct sv *to = xcalloc(d->count, sizeof(*to));
	size_t count = recipients_of(d, to);
	int rc;

	buf_init(&g->copy, (size_t)GRAPH_MIME_MAX + (count + 1) * (LIMIT_ADDRESS + 8));
	rc = envelope_header_render(g->block, to, count, &g->copy);
	free(to);
	if (rc == RC_STATE) {
		g->apart = true;
		g->step = GRAPH_OVER;
	} else if (rc == RC_LIMIT) {
		graph_cannot_carry(g, SV("the header is too large for one request of Graph"));
	} else if (rc != 0) {
		graph_cannot_carry(g,
			SV("its header has a bare CR, LF or NUL: nobody can say whom other readers "
			   "would find in it"));
	}
}

static void choose_way(struct graph_session *g)
{
	uint64_t body = g->size - g->header_len;
	uint64_t limit = g->c->c->limits.message_bytes_max;
	const struct verdict too_large = cause_verdict(CAUSE_MESSAGE_TOO_LARGE);

	if (limit && g->size > limit) {
		graph_end(
			g, &too_large, SV("the message is larger than the limit of this mailbox"));
		return;
	}
	g->large = g->copy.len + body > GRAPH_MIME_MAX;
	if (!g->large)
		return;
	mime_top(g->block, &g->top);
	if (header_block_body_bytes(g->block) > 0)
		g->top.kind = MIME_TOP_UNREADABLE;
	switch (g->top.kind) {
	case MIME_TOP_SINGLE:
	case MIME_TOP_MULTIPART:
		g->scan = mime_scan_new(&g->top, g->block, g->header_len, &outbound_charsets);
		return;
	case MIME_TOP_SEALED:
		graph_cannot_carry(g,
			SV("larger than 3 MB, and signed or encrypted: taken apart for Graph its "
			   "signature would break"));
		return;
	case MIME_TOP_UNREADABLE:
	case MIME_TOP_COUNT:
		break;
	}
	graph_cannot_carry(g,
		SV("larger than 3 MB, and its Content-Type cannot be read: nobody can tell its "
		   "parts apart"));
}

/* The header is there as a whole: returns how many of `bytes` belonged to it. */
static size_t take_header(struct graph_session *g, struct sv bytes, bool end)
{
	size_t used = 0;
	int rc = header_block_feed(g->block, bytes, &used);

	if (rc == 0 && end) {
		rc = header_block_end(g->block);
		rc = rc == 0 ? 1 : rc;
	}
	if (rc < 0) {
		graph_cannot_carry(g, SV("its header is larger than postern can change"));
		return 0;
	}
	if (rc == 1) {
		g->header_known = true;
		g->header_len = g->come + used;
		copy_header(g);
		if (g->step == GRAPH_READING)
			choose_way(g);
	}
	return used;
}

static void web_body(struct connection *c, struct sv bytes, bool end)
{
	struct graph_session *g = c->graph;
	struct delivery *d = c->delivery;
	size_t used = 0;

	if (!g->header_known)
		used = take_header(g, bytes, end);
	g->come += bytes.len;
	bytes = sv_skip(bytes, used);
	if (g->step != GRAPH_READING) {
		d->wants_body = false;
		return;
	}
	if (g->header_known && g->large)
		mime_scan_feed(g->scan, bytes);
	else if (g->header_known)
		must(buf_append(&g->copy, bytes) == 0);
	if (end) {
		d->wants_body = false;
		g->step = GRAPH_READ;
	}
}

/* ---- it leaves, or not ---- */

static void send_mail(struct graph_session *g)
{
	g->step = GRAPH_SEND_MAIL;
	g->stage = "sendMail";
	graph_encode_copy(g);
	graph_url(g, "/sendMail", SV(""), "");
	g->method = "POST";
	g->content_type = SV("text/plain");
	g->payload = buf_sv(&g->body);
	graph_call(g);
}

void graph_end(struct graph_session *g, const struct verdict *v, struct sv reply)
{
	g->verdict = *v;
	(void)text_line(reply, g->reply, sizeof(g->reply));
	if (g->draft.len && v->kind != VERDICT_DELIVERED && !g->uncertain &&
		g->step != GRAPH_DELETE) {
		g->step = GRAPH_DELETE;
		graph_url(g, "/messages/", buf_sv(&g->draft), "");
		g->method = "DELETE";
		g->content_type = SV("");
		g->payload = SV("");
		g->range[0] = '\0';
		g->signed_url = false;
		graph_call(g);
		return;
	}
	g->step = GRAPH_OVER;
}

/* Its recipients go back, and the queue knows from then on that they go one by one. */
static void go_apart(struct graph_session *g, struct delivery *d)
{
	reset(g);
	d->apart = true;
	delivery_withdraw(d, NULL, SV(""));
}

static void over(struct connection *c)
{
	struct graph_session *g = c->graph;
	struct delivery *d = c->delivery;

	if (g->apart) {
		go_apart(g, d);
		connection_ready(c);
		return;
	}
	delivery_judge_rest(d,
		&g->verdict,
		arena_sv(&d->arena, sv_from(g->reply)),
		g->of_session ? SCHED_SAID_SESSION : SCHED_SAID_CONTENT);
	for (size_t i = 0; i < d->count; i++) {
		d->recipients[i].accepted = true;
		d->recipients[i].r.uncertain += g->uncertain;
	}
	if (g->stage)
		d->stage = arena_sv(&d->arena, sv_from(g->stage));
	reset(g);
	delivery_finish(d);
	connection_ready(c);
}

static void web_run(struct connection *c)
{
	struct graph_session *g = c->graph;

	if (c->state == CONNECTION_SESSION && g->is_open)
		connection_ready(c);
	if (c->ended || !c->delivery || !c->delivery->begun)
		return;
	if (g->step == GRAPH_READING)
		delivery_feed(c->delivery);
	/* The body may have been unreadable, and the connection closed for it. */
	if (c->ended || !c->delivery)
		return;
	if (g->step == GRAPH_READ && g->large)
		graph_large_begin(g);
	else if (g->step == GRAPH_READ)
		send_mail(g);
	if (g->step == GRAPH_OVER)
		over(c);
}

/* ---- what the other kinds do on a line ---- */

static void web_orphan(struct connection *c)
{
	(void)c;
}

static struct mono_time web_deadline(const struct connection *c)
{
	(void)c;
	/* Each request has one of its own. */
	return MONO_NEVER;
}

static void web_tick(struct connection *c)
{
	(void)c;
}

static void web_abandon(struct connection *c)
{
	if (c->graph)
		reset(c->graph);
}

static void web_quit(struct connection *c)
{
	c->ended = true;
}

const struct connection_kind connection_web = { .open = web_open,
	.begin = web_begin,
	.has_room = web_has_room,
	.body = web_body,
	.run = web_run,
	.orphan = web_orphan,
	.deadline = web_deadline,
	.tick = web_tick,
	.abandon = web_abandon,
	.quit = web_quit,
	.close = web_close };
