/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/graph.h"

#include "base/htable.h"
#include "base/must.h"
#include "base/text.h"
#include "base/time.h"
#include "mail/address.h"
#include "sandbox/jwt.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	DRAFTS_MAX = 1000,
	UPLOADS_MAX = 1000,
	ATTACHMENTS_MAX = 500,
	TEXT_MAX = 1024,
};

#define REQUESTS_WINDOW_US (10 * US_PER_MIN)
#define BYTES_WINDOW_US (5 * US_PER_MIN)

/* An app on a mailbox. */
struct box {
	struct entry {
		uint64_t at_us, bytes;
	} * log;
	size_t count, cap;
	uint32_t open;
};

struct sandbox_graph {
	struct list drafts, uploads;
	size_t draft_count, upload_count;
	struct htable boxes;
};

struct sandbox_graph *sandbox_graph_new(void)
{
	struct sandbox_graph *g = xcalloc(1, sizeof(*g));

	list_init(&g->drafts);
	list_init(&g->uploads);
	return g;
}

void sandbox_graph_free(struct sandbox_graph *g)
{
	if (!g)
		return;
	list_each_safe (at, after, &g->drafts)
		sandbox_draft_remove(g, list_entry(at, struct sandbox_draft, node));
	htable_each (&g->boxes, slot) {
		struct box *b = slot->value;

		free(b->log);
		free(b);
	}
	htable_deinit(&g->boxes);
	free(g);
}

/* ---- attachments ---- */

void sandbox_attachment_deinit(struct sandbox_attachment *a)
{
	free(a->name);
	free(a->type);
	free(a->content_id);
	buf_deinit(&a->bytes);
	*a = (struct sandbox_attachment){ 0 };
}

static bool is_line(struct sv text)
{
	for (size_t i = 0; i < text.len; i++) {
		if ((unsigned char)text.ptr[i] < ' ' || text.ptr[i] == 0x7f)
			return false;
	}
	return text.len <= TEXT_MAX;
}

bool sandbox_attachment_read(const json_t *spec, struct sandbox_attachment *out)
{
	struct sv name = sandbox_jwt_text(spec, "name");
	struct sv type = sandbox_jwt_text(spec, "contentType");
	struct sv id = sandbox_jwt_text(spec, "contentId");

	if (name.len == 0 || !is_line(name) || !is_line(type) || !is_line(id))
		return false;
	*out = (struct sandbox_attachment){
		.name = sv_dup(name),
		.type = sv_dup(type.len ? type : SV("application/octet-stream")),
		.content_id = id.len ? sv_dup(id) : NULL,
		.is_inline = json_is_true(json_object_get(spec, "isInline")),
		.bytes = BUF_INIT(SANDBOX_GRAPH_UPLOAD_MAX),
	};
	return true;
}

/* ---- drafts ---- */

static void make_id(char out[48])
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(64);
	unsigned char bytes[24];

	must(RAND_bytes(bytes, sizeof(bytes)) == 1);
	must(sandbox_base64url(&text, sv_make((const char *)bytes, sizeof(bytes))) == 0);
	(void)snprintf(out, 48, "AAMk%.*s", SV_ARG(buf_sv(&text)));
}

struct sandbox_draft *sandbox_draft_add(struct sandbox_graph *g, struct sv mailbox)
{
	struct sandbox_draft *d;

	if (g->draft_count == DRAFTS_MAX)
		return NULL;
	d = xcalloc(1, sizeof(*d));
	make_id(d->id);
	d->mailbox = sv_dup(mailbox);
	d->message_id = sv_dup(SV(""));
	buf_init(&d->mime, SANDBOX_GRAPH_REQUEST_MAX + 65536);
	list_append(&g->drafts, &d->node);
	g->draft_count++;
	return d;
}

struct sandbox_draft *sandbox_draft_next(struct sandbox_graph *g, const struct sandbox_draft *after)
{
	struct list *next = after ? after->node.next : g->drafts.next;

	return next == &g->drafts ? NULL : list_entry(next, struct sandbox_draft, node);
}

struct sandbox_draft *sandbox_draft_find(struct sandbox_graph *g, struct sv mailbox, struct sv id)
{
	list_each (node, &g->drafts) {
		struct sandbox_draft *d = list_entry(node, struct sandbox_draft, node);

		if (sv_eq(sv_from(d->id), id) && address_eq(sv_from(d->mailbox), mailbox))
			return d;
	}
	return NULL;
}

void sandbox_draft_remove(struct sandbox_graph *g, struct sandbox_draft *d)
{
	list_each_safe (node, after, &g->uploads) {
		struct sandbox_upload *u = list_entry(node, struct sandbox_upload, node);

		if (u->draft == d)
			sandbox_upload_remove(g, u);
	}
	for (size_t i = 0; i < d->attachment_count; i++)
		sandbox_attachment_deinit(&d->attachments[i]);
	free(d->attachments);
	free(d->mailbox);
	free(d->message_id);
	buf_deinit(&d->mime);
	list_remove(&d->node);
	g->draft_count--;
	free(d);
}

void sandbox_draft_attach(struct sandbox_draft *d, struct sandbox_attachment *a)
{
	if (d->attachment_count == ATTACHMENTS_MAX) {
		sandbox_attachment_deinit(a);
		return;
	}
	d->attachments =
		xrealloc(d->attachments, (d->attachment_count + 1) * sizeof(*d->attachments));
	d->attachments[d->attachment_count++] = *a;
	*a = (struct sandbox_attachment){ 0 };
}

/* ---- uploads ---- */

struct sandbox_upload *sandbox_upload_add(struct sandbox_graph *g, struct sandbox_draft *d,
	struct sandbox_attachment *a, uint64_t size)
{
	struct sandbox_upload *u;

	if (g->upload_count == UPLOADS_MAX)
		return NULL;
	u = xcalloc(1, sizeof(*u));
	make_id(u->id);
	u->draft = d;
	u->attachment = *a;
	u->size = size;
	*a = (struct sandbox_attachment){ 0 };
	list_append(&g->uploads, &u->node);
	g->upload_count++;
	return u;
}

struct sandbox_upload *sandbox_upload_find(struct sandbox_graph *g, struct sv id)
{
	list_each (node, &g->uploads) {
		struct sandbox_upload *u = list_entry(node, struct sandbox_upload, node);

		if (sv_eq(sv_from(u->id), id))
			return u;
	}
	return NULL;
}

void sandbox_upload_remove(struct sandbox_graph *g, struct sandbox_upload *u)
{
	sandbox_attachment_deinit(&u->attachment);
	list_remove(&u->node);
	g->upload_count--;
	free(u);
}

int sandbox_upload_put(struct sandbox_upload *u, struct sv range, struct sv bytes)
{
	struct sv first, last;
	uint64_t from, to, total;

	if (!sv_starts_nocase(range, SV("bytes ")))
		return RC_PARSE;
	range = sv_skip(range, 6);
	if (!sv_cut_char(&range, '-', &first) || !sv_cut_char(&range, '/', &last) ||
		sv_parse_u64(first, SANDBOX_GRAPH_UPLOAD_MAX, &from) != 0 ||
		sv_parse_u64(last, SANDBOX_GRAPH_UPLOAD_MAX, &to) != 0 ||
		sv_parse_u64(range, SANDBOX_GRAPH_UPLOAD_MAX, &total) != 0)
		return RC_PARSE;
	if (from != u->attachment.bytes.len || to < from || to - from + 1 != bytes.len ||
		total != u->size || to >= total)
		return RC_STATE;
	return buf_append(&u->attachment.bytes, bytes);
}

/* ---- throttling ---- */

static void expire(struct box *b, uint64_t now_us)
{
	size_t old = 0;

	while (old < b->count && b->log[old].at_us + REQUESTS_WINDOW_US <= now_us)
		old++;
	if (old) {
		memmove(b->log, b->log + old, (b->count - old) * sizeof(*b->log));
		b->count -= old;
	}
}

static uint64_t bytes_within(const struct box *b, uint64_t now_us, uint64_t *out_first_us)
{
	uint64_t sum = 0;

	*out_first_us = now_us;
	for (size_t i = b->count; i-- > 0;) {
		if (b->log[i].at_us + BYTES_WINDOW_US <= now_us)
			break;
		sum += b->log[i].bytes;
		*out_first_us = b->log[i].at_us;
	}
	return sum;
}

static uint32_t seconds_until(uint64_t then_us, uint64_t now_us)
{
	return then_us > now_us ? (uint32_t)((then_us - now_us + US_PER_S - 1) / US_PER_S) : 1;
}

uint32_t sandbox_graph_admit(struct sandbox_graph *g, struct sandbox_model *m, struct sv who,
	struct sv mailbox, uint64_t now_us, uint64_t bytes)
{
	const struct sandbox_limits *l = sandbox_model_limits(m);
	struct box *b = htable_get(&g->boxes, who);
	uint64_t first, sum;

	if (!b) {
		b = xcalloc(1, sizeof(*b));
		htable_put(&g->boxes, who, b);
	}
	b->open++;
	expire(b, now_us);
	sum = bytes_within(b, now_us, &first) + bytes;
	if (l->graph_connections && b->open > l->graph_connections) {
		sandbox_model_broken(m,
			SANDBOX_LIMIT_GRAPH_CONNECTIONS,
			mailbox,
			now_us,
			b->open,
			l->graph_connections);
		return 1;
	}
	if (l->graph_requests && b->count + 1 > l->graph_requests) {
		sandbox_model_broken(m,
			SANDBOX_LIMIT_GRAPH_REQUESTS,
			mailbox,
			now_us,
			b->count + 1,
			l->graph_requests);
		return seconds_until(b->log[0].at_us + REQUESTS_WINDOW_US, now_us);
	}
	if (l->graph_bytes && sum > l->graph_bytes) {
		sandbox_model_broken(
			m, SANDBOX_LIMIT_GRAPH_BYTES, mailbox, now_us, sum, l->graph_bytes);
		return seconds_until(first + BYTES_WINDOW_US, now_us);
	}
	if (b->count == b->cap) {
		b->cap = b->cap ? b->cap * 2 : 64;
		b->log = xrealloc(b->log, b->cap * sizeof(*b->log));
	}
	b->log[b->count++] = (struct entry){ now_us, bytes };
	sandbox_model_used(
		m, SANDBOX_LIMIT_GRAPH_CONNECTIONS, mailbox, now_us, b->open, l->graph_connections);
	sandbox_model_used(
		m, SANDBOX_LIMIT_GRAPH_REQUESTS, mailbox, now_us, b->count, l->graph_requests);
	sandbox_model_used(m, SANDBOX_LIMIT_GRAPH_BYTES, mailbox, now_us, sum, l->graph_bytes);
	return 0;
}

void sandbox_graph_leave(struct sandbox_graph *g, struct sv who)
{
	struct box *b = htable_get(&g->boxes, who);

	if (b && b->open)
		b->open--;
}
