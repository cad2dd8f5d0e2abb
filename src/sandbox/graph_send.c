/* SPDX-License-Identifier: Apache-2.0 */
#include "base/limits.h"
#include "base/must.h"
#include "base/text.h"
#include "mail/address.h"
#include "sandbox/graph_priv.h"

#include <stdio.h>
#include <stdlib.h>

/* From a request's body to a draft, and from a draft to a message that is sent. */
enum {
	RECIPIENTS_MAX = 2000
};

/* ---- sending ---- */

struct names {
	char *items[RECIPIENTS_MAX];
	size_t count;
	bool bad;
};

static void take_name(void *arg, struct sv address)
{
	struct names *n = arg;
	struct address parsed;

	for (size_t i = 0; i < n->count; i++) {
		if (address_eq(sv_from(n->items[i]), address))
			return;
	}
	if (n->count == RECIPIENTS_MAX || address_parse(address, ADDRESS_UTF8, &parsed) != 0)
		n->bad = true;
	else
		n->items[n->count++] = sv_dup(address);
}

/* Exchange's refusal of the store, as Graph tells it. */
static enum MHD_Result say_refusal(struct graph_call *c, const struct sandbox_reply *reply)
{
	static const struct {
		const char *enhanced;
		unsigned status;
		const char *code;
	} rows[] = {
		{ "5.2.252", 403, "ErrorSendAsDenied" },
		{ "5.1.8", 403, "ErrorMessageSubmissionBlocked" },
		{ "5.2.2", 507, "ErrorQuotaExceeded" },
		{ "5.3.4", 413, "ErrorMessageSizeExceeded" },
		{ "5.2.0", 429, "ErrorExceededMessageLimit" },
		{ "5.5.3", 400, "ErrorInvalidRecipients" },
	};

	c->s->totals.refused++;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if (strcmp(rows[i].enhanced, reply->enhanced) == 0)
			return graph_say_error(
				c, rows[i].status, rows[i].code, "%.300s", reply->text);
	}
	return graph_say_error(c, 500, "InternalServerError", "%.300s", reply->text);
}

/* The message as it goes out: no Bcc, and with a Message-ID and a Date. */
static int make_copy(struct graph_call *c, struct header_block *h, struct sv body, struct buf *out)
{
	char id[160];
	struct header_edits edits = { .drop_bcc = true };
	int rc;

	(void)snprintf(id,
		sizeof(id),
		"<%016llx%08llx@AM0PR01MB0001.eurprd01.prod.outlook.com>",
		(unsigned long long)sandbox_now_us(c->s),
		(unsigned long long)(prng_next(io_prng(c->s->loop)) & 0xffffffffU));
	edits.message_id = sv_from(id);
	edits.date.us = (int64_t)(sandbox_instant(c->s).now_s * US_PER_S);
	rc = header_block_render(h, &edits, out);
	return rc == 0 ? buf_append(out, body) : rc;
}

static enum MHD_Result submit(
	struct graph_call *c, struct header_block *h, struct sv body, struct names *to)
{
	CLEANUP(buf_deinitp) struct buf copy = BUF_INIT(SANDBOX_GRAPH_MESSAGE_MAX);
	struct header_facts facts;
	struct header_block *again;
	struct sandbox_reply reply = { 0 };
	struct sandbox_submission submission = {
		.mailbox = sandbox_model_mailbox(c->s->model, sv_from(c->mailbox), true),
		.counting = SANDBOX_COUNT_DAY,
		.recipients = (uint32_t)to->count,
		.external = sandbox_tenant_external(&c->s->tenant, to->items, to->count),
		.now_us = sandbox_now_us(c->s),
	};
	struct sandbox_delivery delivery = { .door = SANDBOX_DOOR_GRAPH,
		.mailbox = sv_from(c->mailbox),
		.recipients = to->items,
		.recipient_count = to->count };
	size_t used;

	header_block_facts(h, &facts);
	delivery.sender = facts.from.len ? facts.from : sv_from(c->mailbox);
	submission.sender = sv_from(c->mailbox);
	submission.from = delivery.sender;
	submission.bytes = body.len;
	sandbox_model_submit(c->s->model, &submission, &reply);
	if (reply.code != 250)
		return say_refusal(c, &reply);
	if (make_copy(c, h, body, &copy) != 0)
		return graph_say_error(
			c, 413, "ErrorMessageSizeExceeded", "The message is too large.");
	/* What is kept of it is read from the copy: it may have got its Message-ID there. */
	again = header_block_new(LIMIT_HEADER + 4096, LIMIT_HEADER_FIELDS + 8);
	if (header_block_feed(again, buf_sv(&copy), &used) == 0)
		(void)!header_block_end(again);
	header_block_facts(again, &facts);
	delivery.raw = buf_sv(&copy);
	delivery.facts = &facts;
	(void)sandbox_deliver(c->s, &delivery);
	to->count = 0; /* they are the message's now */
	header_block_free(again);
	return graph_say_empty(c, MHD_HTTP_ACCEPTED);
}

static enum MHD_Result send_mime(struct graph_call *c, struct sv raw)
{
	static const struct sv lists[] = { SV_INIT("To"), SV_INIT("Cc"), SV_INIT("Bcc") };
	struct names *to = xcalloc(1, sizeof(*to));
	struct header_block *h = header_block_new(LIMIT_HEADER, LIMIT_HEADER_FIELDS);
	enum MHD_Result result;
	size_t used = raw.len;
	int rc = header_block_feed(h, raw, &used);

	if (rc == 0)
		rc = header_block_end(h);
	for (size_t i = 0; rc >= 0 && i < COUNT_OF(lists); i++)
		to->bad = header_block_addresses(h, lists[i], take_name, NULL, to) != 0 || to->bad;
	if (rc < 0)
		result = graph_say_error(
			c, 400, "ErrorMimeContentInvalid", "The MIME content is invalid.");
	else if (to->bad || to->count == 0)
		result = graph_say_error(
			c, 400, "ErrorInvalidRecipients", "At least one recipient isn't valid.");
	else
		result = submit(c, h, sv_skip(raw, used), to);
	for (size_t i = 0; i < to->count; i++)
		free(to->items[i]);
	free(to);
	header_block_free(h);
	return result;
}

enum MHD_Result graph_send_draft(struct graph_call *c, const struct sandbox_draft *d)
{
	CLEANUP(buf_deinitp) struct buf raw = BUF_INIT(SANDBOX_GRAPH_MESSAGE_MAX);

	if (sandbox_draft_render(d, &raw) != 0)
		return graph_say_error(
			c, 413, "ErrorMessageSizeExceeded", "The message is too large.");
	return send_mime(c, buf_sv(&raw));
}

/* ---- what a body says ---- */

/* Base64 with line breaks is base64 to Exchange. */
static int decode_mime(struct sv text, struct buf *out)
{
	CLEANUP(buf_deinitp) struct buf plain = BUF_INIT(SANDBOX_GRAPH_REQUEST_MAX);
	int rc = 0;

	while (rc == 0 && text.len) {
		struct sv line;

		(void)sv_cut_char(&text, '\n', &line);
		if (line.len && line.ptr[line.len - 1] == '\r')
			line.len--;
		rc = buf_append(&plain, line);
	}
	return rc == 0 ? text_base64_decode(out, buf_sv(&plain)) : rc;
}

static void note_message_id(struct sandbox_draft *d)
{
	struct header_block *h = header_block_new(LIMIT_HEADER, LIMIT_HEADER_FIELDS);
	struct header_facts facts = { 0 };
	size_t used;
	int rc = header_block_feed(h, buf_sv(&d->mime), &used);

	if (rc == 0)
		rc = header_block_end(h);
	if (rc >= 0) {
		header_block_facts(h, &facts);
		free(d->message_id);
		d->message_id = sv_dup(facts.message_id);
	}
	header_block_free(h);
}

struct sandbox_draft *graph_read_message(
	struct graph_call *c, const char *key, enum MHD_Result *out_result)
{
	struct sv type = sandbox_web_field(c->r, "Content-Type"), body = buf_sv(&c->r->body);
	struct wall_time now = { (int64_t)(sandbox_instant(c->s).now_s * US_PER_S) };
	struct sandbox_draft *d = sandbox_draft_add(c->s->graph, sv_from(c->mailbox));
	const char *code = "ErrorMimeContentInvalidBase64String";
	const char *bad = NULL;
	json_t *root;

	if (!d) {
		*out_result = graph_say_error(
			c, 507, "ErrorQuotaExceeded", "There are too many drafts here.");
		return NULL;
	}
	if (sv_starts_nocase(type, SV("text/plain"))) {
		if (decode_mime(body, &d->mime) != 0 || d->mime.len == 0)
			bad = "Invalid base64 string for MIME content.";
	} else if (sv_starts_nocase(type, SV("application/json"))) {
		root = json_loadb(body.len ? body.ptr : "", body.len, 0, NULL);
		bad = sandbox_graph_compose(key ? json_object_get(root, key) : root,
			sv_from(c->mailbox),
			now,
			d,
			&code);
		json_decref(root);
	} else {
		code = "UnsupportedMediaType";
		bad = "The Content-Type is text/plain (MIME in base64) or application/json.";
	}
	if (!bad) {
		note_message_id(d);
		return d;
	}
	sandbox_draft_remove(c->s->graph, d);
	*out_result = graph_say_error(c, 400, code, "%s", bad);
	return NULL;
}
