/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "base/text.h"
#include "outbound/graph_priv.h"

#include <stdio.h>
#include <stdlib.h>

/*
 * A message that is too large for one request. What is left of it without its large attachments, the
 * skeleton, becomes a draft as MIME, so that Message-ID, In-Reply-To, List-Unsubscribe and the text stay
 * as they are. The attachments follow one by one, decoded, from the queue: memory holds a range of one of
 * them. A DKIM signature of the client does not survive that; Exchange signs anew.
 */
static void next_part(struct graph_session *g);
static void read_more(struct graph_session *g);
static void read_failed(struct graph_session *g, const char *why);

/* ---- reading the queue ---- */

void graph_large_reset(struct graph_session *g)
{
	if (g->read)
		g->read->graph = NULL;
	g->read = NULL;
	free(g->moved);
	g->moved = NULL;
	free(g->kept);
	g->kept = NULL;
	buf_deinit(&g->data);
	buf_deinit(&g->draft);
	buf_deinit(&g->upload_url);
	json_decref(g->old_drafts);
	g->old_drafts = NULL;
}

static void on_read(struct store_op *op)
{
	struct graph_read *r = CONTAINER_OF(op, struct graph_read, op.op);
	struct graph_session *g = r->graph;
	struct sv got = buf_sv(&r->out);

	if (!g) {
		buf_deinit(&r->out);
		free(r);
		return;
	}
	g->read = NULL;
	if (op->rc != 0 || got.len == 0) {
		read_failed(g, op->rc ? op->err.text : "it is shorter than it should be");
	} else {
		got = sv_head(got, g->end - g->at);
		g->at += got.len;
		if (g->step == GRAPH_SKELETON)
			must(buf_append(&g->copy, got) == 0);
		else
			must(mime_decode(&g->decoder, got, &g->data, &g->decoded) == 0);
		read_more(g);
	}
	buf_deinit(&r->out);
	free(r);
	connection_pump(g->c);
}

/* Offsets count bytes of what leaves; the header may have been rewritten. */
static uint64_t stored_at(const struct delivery *d, uint64_t at)
{
	return d->head.len ? at - d->head.len + d->m.header_size : at;
}

static void submit_read(struct graph_session *g)
{
	const struct delivery *d = g->c->delivery;
	struct graph_read *r = xcalloc(1, sizeof(*r));

	buf_init(&r->out, BODY_PIECE);
	r->graph = g;
	r->op = (struct store_body){ .op.kind = STORE_OP_BODY,
		.op.done = on_read,
		.message_id = d->m.id,
		.offset = stored_at(d, g->at),
		.out = &r->out };
	g->read = r;
	store_submit(g->c->o->store, &r->op.op);
}

static void read_failed(struct graph_session *g, const char *why)
{
	const struct verdict v = cause_verdict(CAUSE_QUEUE_UNREADABLE);

	graph_end(g, &v, sv_from(why));
}

/* ---- which parts go apart ---- */

static size_t largest(const struct graph_session *g, bool movable)
{
	size_t found = SIZE_MAX;
	uint64_t most = 0;

	for (size_t i = 0; i < g->part_count; i++) {
		const struct mime_part *p = &g->parts[i];

		if (p->movable != movable || g->moved[i] || p->next - p->from <= most)
			continue;
		most = p->next - p->from;
		found = i;
	}
	return found;
}

static void explain(struct graph_session *g)
{
	size_t i = largest(g, false);
	const struct mime_part *p = i == SIZE_MAX ? NULL : &g->parts[i];
	char text[300];

	if (!p)
		(void)snprintf(
			text, sizeof(text), "its header and small parts alone are above 3 MB");
	else if (sv_starts(p->type, SV("text/")))
		(void)snprintf(text,
			sizeof(text),
			"its text alone (%.*s) has %llu bytes, and one request of Graph holds 3 MB",
			SV_ARG(sv_head(p->type, 100)),
			(unsigned long long)(p->next - p->from));
	else
		(void)snprintf(text,
			sizeof(text),
			"above 3 MB without what can go apart: a part of type %.*s (%llu bytes) "
			"cannot",
			SV_ARG(sv_head(p->type, 100)),
			(unsigned long long)(p->next - p->from));
	graph_cannot_carry(g, sv_from(text));
}

static void move_part(struct graph_session *g, size_t i)
{
	g->moved[i] = true;
	if (g->kept)
		g->kept[g->parts[i].container]--;
}

/*
 * The largest ones leave until the rest fits: as few requests as can be. Then those behind the first of them, so
 * that attachments keep their order; where an image stands in its text does not hang on that.
 */
static bool choose_parts(struct graph_session *g)
{
	uint64_t left = g->copy.len + g->size - g->header_len;
	size_t containers, first = SIZE_MAX;

	g->parts = mime_scan_parts(g->scan, &g->part_count);
	g->containers = mime_scan_containers(g->scan, &containers);
	g->moved = xcalloc(g->part_count + 1, sizeof(*g->moved));
	g->kept = containers ? xcalloc(containers, sizeof(*g->kept)) : NULL;
	for (size_t i = 0; i < containers; i++)
		g->kept[i] = g->containers[i].children;
	while (left > GRAPH_MIME_MAX) {
		size_t i = largest(g, true);

		if (i == SIZE_MAX)
			return false;
		move_part(g, i);
		left -= g->parts[i].next - g->parts[i].from;
		if (!g->parts[i].is_inline && i < first)
			first = i;
	}
	for (size_t i = first; i < g->part_count; i++)
		if (g->parts[i].movable && !g->parts[i].is_inline && !g->moved[i])
			move_part(g, i);
	return true;
}

/* ---- the skeleton ---- */

/* When everything in a multipart goes apart, something must stand between its boundaries. */
static void put_placeholder(struct graph_session *g, size_t part)
{
	size_t container = g->parts[part].container;
	const struct mime_container *c;

	if (!g->kept || g->kept[container] > 0)
		return;
	g->kept[container] = 1;
	c = &g->containers[container];
	(void)!buf_printf(&g->copy,
		"--%.*s\r\nContent-Type: text/plain\r\n\r\n\r\n",
		(int)c->boundary_len,
		c->boundary);
}

/* Instead of a message that is nothing but a document: an empty text, to which it is attached. */
static void put_empty_text(struct graph_session *g)
{
	CLEANUP(buf_deinitp) struct buf header = BUF_INIT(g->copy.max);

	must(mime_without_content(&header, buf_sv(&g->copy)) == 0);
	buf_reset(&g->copy);
	must(buf_append(&g->copy, buf_sv(&header)) == 0);
	must(buf_append(&g->copy, SV("Content-Type: text/plain\r\n\r\n\r\n")) == 0);
}

/* The last delimiter, where the message lacks it: what Graph adds needs one. */
static void close_skeleton(struct graph_session *g)
{
	struct sv text = buf_sv(&g->copy);

	if (!g->open || !g->kept)
		return;
	(void)!buf_printf(&g->copy,
		"%s--%.*s--\r\n",
		sv_ends_nocase(text, SV("\r\n")) ? "" : "\r\n",
		(int)g->containers[0].boundary_len,
		g->containers[0].boundary);
}

/* Moves g->at over the parts that go apart. False: the end of the message. */
static bool next_kept(struct graph_session *g)
{
	g->end = g->size;
	for (size_t i = 0; i < g->part_count; i++) {
		const struct mime_part *p = &g->parts[i];

		if (!g->moved[i] || p->next <= g->at)
			continue;
		if (p->from > g->at) {
			g->end = p->from;
			break;
		}
		put_placeholder(g, i);
		g->at = p->next;
	}
	return g->at < g->size;
}

static bool was_tried(const struct delivery *d)
{
	for (size_t i = 0; i < d->count; i++)
		if (d->recipients[i].r.attempts > 1)
			return true;
	return false;
}

/* A message that was split goes by several connections, and the drafts of all have its Message-ID. */
static bool is_under_way_elsewhere(const struct graph_session *g)
{
	list_each (at, &g->c->lane->connections) {
		const struct connection *c = list_entry(at, struct connection, node);

		if (c != g->c && c->delivery && c->delivery->m.id == g->c->delivery->m.id)
			return true;
	}
	return false;
}

/*
 * Asks for drafts with this Message-ID. After a lost answer to `send` one that is still there has not
 * been sent, so that it is never wrong to delete it: another one takes its place.
 */
static bool find_old_drafts(struct graph_session *g)
{
	const struct delivery *d = g->c->delivery;
	struct sv id = d->m.message_id;
	int rc;

	/* A quote would end the string of the filter (OData 4.01, 5.1.1.6.1); no usual id has one. */
	if (!was_tried(d) || is_under_way_elsewhere(g) || id.len == 0 ||
		sv_find_char(id, '\'') >= 0)
		return false;
	g->step = GRAPH_FIND;
	graph_url(g, "/messages?$select=id&$filter=", SV(""), "");
	rc = graph_append_escaped(&g->url, SV("isDraft eq true and internetMessageId eq '"));
	if (rc == 0)
		rc = graph_append_escaped(&g->url, id);
	if (rc == 0)
		rc = graph_append_escaped(&g->url, SV("'"));
	if (rc != 0)
		return false;
	g->method = "GET";
	g->content_type = SV("");
	g->payload = SV("");
	graph_call(g);
	return true;
}

static void create_draft(struct graph_session *g)
{
	g->step = GRAPH_DRAFT;
	graph_encode_copy(g);
	graph_url(g, "/messages", SV(""), "");
	g->method = "POST";
	g->content_type = SV("text/plain");
	g->payload = buf_sv(&g->body);
	graph_call(g);
}

void graph_large_begin(struct graph_session *g)
{
	const struct delivery *d = g->c->delivery;
	int rc = mime_scan_end(g->scan, &g->open);

	g->stage = "draft";
	if (rc != 0 || g->header_len < d->head.len) {
		graph_cannot_carry(
			g, SV("larger than 3 MB, and no boundary of its MIME structure is in it"));
		return;
	}
	if (!choose_parts(g)) {
		explain(g);
		return;
	}
	buf_init(&g->draft, GRAPH_URL_MAX / 4);
	buf_init(&g->upload_url, GRAPH_URL_MAX);
	buf_init(&g->data, GRAPH_RANGE + BODY_PIECE + 8);
	g->step = GRAPH_SKELETON;
	if (g->top.kind == MIME_TOP_SINGLE)
		put_empty_text(g);
	g->at = g->header_len;
	g->end = g->at;
	read_more(g);
}

/* ---- the attachments ---- */

static void end_of_flow(struct graph_session *g)
{
	g->step = GRAPH_SEND_DRAFT;
	g->stage = "send";
	graph_url(g, "/messages/", buf_sv(&g->draft), "/send");
	g->method = "POST";
	g->content_type = SV("");
	g->payload = SV("");
	graph_call(g);
}

static json_t *text_json(struct sv text)
{
	return json_stringn(text.ptr ? text.ptr : "", text.len);
}

/* What both ways of attaching say of a part. */
static void describe(json_t *item, const struct mime_part *p)
{
	must(json_object_set_new(item, "name", text_json(p->name)) == 0);
	must(json_object_set_new(item, "contentType", text_json(p->content_type)) == 0);
	must(json_object_set_new(item, "isInline", json_boolean(p->is_inline)) == 0);
	if (p->content_id.len && text_is_utf8(p->content_id))
		must(json_object_set_new(item, "contentId", text_json(p->content_id)) == 0);
}

static void post_json(struct graph_session *g, json_t *root, const char *rest)
{
	char *text = json_dumps(root, JSON_COMPACT);

	must(text != NULL);
	json_decref(root);
	buf_deinit(&g->body);
	buf_init(&g->body, strlen(text) + 1);
	must(buf_append(&g->body, sv_from(text)) == 0);
	free(text);
	graph_url(g, "/messages/", buf_sv(&g->draft), rest);
	g->method = "POST";
	g->content_type = SV("application/json");
	g->payload = buf_sv(&g->body);
	graph_call(g);
}

static void begin_upload(struct graph_session *g, const struct mime_part *p)
{
	json_t *root = json_object(), *item = json_object();

	g->step = GRAPH_UPLOAD;
	must(json_object_set_new(item, "attachmentType", json_string("file")) == 0);
	must(json_object_set_new(item, "size", json_integer((json_int_t)p->decoded_size)) == 0);
	describe(item, p);
	must(json_object_set_new(root, "AttachmentItem", item) == 0);
	post_json(g, root, "/attachments/createUploadSession");
}

static void attach(struct graph_session *g, const struct mime_part *p)
{
	CLEANUP(buf_deinitp) struct buf bytes = BUF_INIT(g->data.len / 3 * 4 + 8);
	json_t *root = json_object();

	g->step = GRAPH_ATTACH;
	must(text_base64_encode(&bytes, buf_sv(&g->data)) == 0);
	must(json_object_set_new(
		     root, "@odata.type", json_string("#microsoft.graph.fileAttachment")) == 0);
	describe(root, p);
	must(json_object_set_new(root, "contentBytes", text_json(buf_sv(&bytes))) == 0);
	post_json(g, root, "/attachments");
}

static void put_range(struct graph_session *g, const struct mime_part *p)
{
	struct sv range = sv_head(buf_sv(&g->data), GRAPH_RANGE);

	g->step = GRAPH_PUT;
	g->signed_url = true;
	buf_reset(&g->url);
	must(buf_append(&g->url, buf_sv(&g->upload_url)) == 0);
	g->method = "PUT";
	g->content_type = SV("application/octet-stream");
	g->payload = range;
	(void)snprintf(g->range,
		sizeof(g->range),
		"Content-Range: bytes %llu-%llu/%llu",
		(unsigned long long)g->uploaded,
		(unsigned long long)(g->uploaded + range.len - 1),
		(unsigned long long)p->decoded_size);
	graph_call(g);
}

static void read_part(struct graph_session *g)
{
	g->step = GRAPH_PART;
	read_more(g);
}

static void next_part(struct graph_session *g)
{
	const struct mime_part *p;

	while (g->part < g->part_count && !g->moved[g->part])
		g->part++;
	if (g->part >= g->part_count) {
		end_of_flow(g);
		return;
	}
	p = &g->parts[g->part];
	g->decoder = (struct mime_decoder){ .encoding = p->encoding };
	g->decoded = 0;
	g->uploaded = 0;
	g->at = p->body_at;
	g->end = p->end;
	buf_reset(&g->data);
	if (p->decoded_size >= GRAPH_SESSION_MIN)
		begin_upload(g, p);
	else
		read_part(g);
}

/* As much of the part is decoded as one request takes, or all of it. */
static void part_read(struct graph_session *g)
{
	const struct mime_part *p = &g->parts[g->part];

	if (g->at == g->end && mime_decode_end(&g->decoder, &g->data, &g->decoded) != 0) {
		read_failed(g, "an attachment decodes in two ways");
		return;
	}
	if (g->at == g->end && g->decoded != p->decoded_size)
		read_failed(g, "an attachment is not what it was a moment ago");
	else if (p->decoded_size >= GRAPH_SESSION_MIN)
		put_range(g, p);
	else
		attach(g, p);
}

/* Goes on with what is being read: the skeleton, or a part. */
static void read_more(struct graph_session *g)
{
	if (g->step == GRAPH_SKELETON) {
		if (g->at == g->end && !next_kept(g)) {
			close_skeleton(g);
			if (!find_old_drafts(g))
				create_draft(g);
			return;
		}
	} else if (g->at == g->end || g->data.len >= GRAPH_RANGE) {
		part_read(g);
		return;
	}
	submit_read(g);
}

/* ---- answers ---- */

static bool take_text(struct sv body, const char *key, struct buf *out)
{
	json_t *root = json_loadb(body.len ? body.ptr : "", body.len, 0, NULL);
	json_t *value = json_object_get(root, key);
	bool ok = json_is_string(value) && json_string_length(value) > 0;

	buf_reset(out);
	ok = ok &&
	     buf_append(out, sv_make(json_string_value(value), json_string_length(value))) == 0;
	json_decref(root);
	return ok;
}

/* Where the server wants us to go on, when it says so: "nextExpectedRanges": ["2097152-"]. */
static bool goes_on_at(struct sv body, uint64_t at)
{
	json_t *root = json_loadb(body.len ? body.ptr : "", body.len, 0, NULL);
	json_t *first = json_array_get(json_object_get(root, "nextExpectedRanges"), 0);
	bool ok = true;

	if (json_is_string(first)) {
		struct sv text = sv_from(json_string_value(first)), number;
		uint64_t value;

		(void)sv_cut_char(&text, '-', &number);
		ok = sv_parse_u64(number, UINT64_MAX, &value) == 0 && value == at;
	}
	json_decref(root);
	return ok;
}

static void not_understood(struct graph_session *g, const char *what)
{
	const struct verdict v = cause_verdict(CAUSE_GRAPH_PROTOCOL);

	graph_end(g, &v, sv_from(what));
}

/* A success of another kind is none: something between may have answered. */
static void not_created(struct graph_session *g, unsigned status, const char *what)
{
	char text[96];

	(void)snprintf(text, sizeof(text), "%s was not created: HTTP %u", what, status);
	not_understood(g, text);
}

/* Deletes the next one that an earlier attempt left; then the flow goes on. */
static void clear_next(struct graph_session *g)
{
	json_t *id = json_object_get(json_array_get(g->old_drafts, g->old_draft++), "id");

	if (!json_is_string(id)) {
		create_draft(g);
		return;
	}
	g->step = GRAPH_CLEAR;
	graph_url(g, "/messages/", sv_from(json_string_value(id)), "");
	g->method = "DELETE";
	g->content_type = SV("");
	g->payload = SV("");
	graph_call(g);
}

void graph_large_unfound(struct graph_session *g)
{
	create_draft(g);
}

static void old_drafts_found(struct graph_session *g, struct sv body)
{
	json_t *root = json_loadb(body.len ? body.ptr : "", body.len, 0, NULL);

	g->old_drafts = json_incref(json_object_get(root, "value"));
	json_decref(root);
	clear_next(g);
}

static void range_taken(struct graph_session *g, unsigned status, struct sv body)
{
	const struct mime_part *p = &g->parts[g->part];

	g->uploaded += g->payload.len;
	buf_consume(&g->data, g->payload.len);
	g->signed_url = false;
	g->range[0] = '\0';
	if (g->uploaded == p->decoded_size) {
		if (status != 201) {
			not_understood(
				g, "the upload of an attachment did not end where it should");
			return;
		}
		g->part++;
		next_part(g);
	} else if (status == 201 || !goes_on_at(body, g->uploaded)) {
		not_understood(g, "the upload of an attachment goes on somewhere else");
	} else if (g->data.len >= GRAPH_RANGE || g->at == g->end) {
		put_range(g, p);
	} else {
		read_part(g);
	}
}

void graph_large_answered(struct graph_session *g, unsigned status, struct sv body)
{
	switch (g->step) {
	case GRAPH_FIND:
		old_drafts_found(g, body);
		return;
	case GRAPH_CLEAR:
		clear_next(g);
		return;
	case GRAPH_DRAFT:
		buf_deinit(&g->body);
		if (take_text(body, "id", &g->draft) && status == 201)
			next_part(g);
		else
			not_created(g, status, "a draft");
		return;
	case GRAPH_UPLOAD:
		/* 201 by its page; older ones said 200. */
		if (!take_text(body, "uploadUrl", &g->upload_url) || status > 201)
			not_created(g, status, "an upload session");
		else if (!provider_cloud_upload_ok(g->c->c->tenant->cloud,
				 g->c->c->tenant->graph_url,
				 buf_sv(&g->upload_url)))
			not_understood(g,
				"an attachment should be uploaded to a host outside of the cloud");
		else
			read_part(g);
		return;
	case GRAPH_PUT:
		range_taken(g, status, body);
		return;
	case GRAPH_ATTACH:
		if (status != 201) {
			not_created(g, status, "an attachment");
			return;
		}
		g->part++;
		next_part(g);
		return;
	case GRAPH_READING:
	case GRAPH_READ:
	case GRAPH_SEND_MAIL:
	case GRAPH_SKELETON:
	case GRAPH_PART:
	case GRAPH_SEND_DRAFT:
	case GRAPH_DELETE:
	case GRAPH_OVER:
		break;
	}
	not_understood(g, "an answer that nobody waits for");
}
