/* SPDX-License-Identifier: Apache-2.0 */
#include "base/limits.h"
#include "base/must.h"
#include "base/text.h"
#include "mail/address.h"
#include "sandbox/graph_priv.h"
#include "sandbox/jwt.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * Graph over HTTPS, for /v1.0/me and /v1.0/users/{id}:
 *
 *   POST   /sendMail                                      MIME in base64 (text/plain), or JSON
 *   POST   /messages                                      a draft, the same two ways
 *   POST   /messages/{id}/attachments                     up to 3 MB
 *   POST   /messages/{id}/attachments/createUploadSession up to 150 MB; then PUT /uploads/{id} in ranges
 *   POST   /messages/{id}/send     GET, DELETE /messages/{id}     GET /messages/{id}/$value
 *   GET    /messages, /mailFolders/inbox/messages         what arrived: NDRs
 */
/* ---- answers ---- */

enum MHD_Result graph_say_error(
	struct graph_call *c, unsigned status, const char *code, const char *fmt, ...)
{
	struct wall_time now = { (int64_t)(sandbox_instant(c->s).now_s * US_PER_S) };
	char text[500], at[WALL_RFC3339_MAX], id[40];
	json_t *event = json_object();
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	(void)wall_rfc3339(now, at);
	(void)snprintf(id, sizeof(id), "%016llx", (unsigned long long)sandbox_now_us(c->s));
	(void)json_object_set_new(event, "status", json_integer(status));
	(void)json_object_set_new(event, "mailbox", sandbox_json_text(sv_from(c->mailbox)));
	(void)json_object_set_new(event, "text", json_sprintf("%s: %s", code, text));
	sandbox_events_write(c->s->events, "graph-refused", sandbox_now_us(c->s), event);
	return sandbox_web_json(c->r,
		status,
		json_pack("{s:{s:s, s:o, s:{s:s, s:s, s:s}}}",
			"error",
			"code",
			code,
			"message",
			sandbox_json_text(sv_from(text)),
			"innerError",
			"date",
			at,
			"request-id",
			id,
			"client-request-id",
			id));
}

enum MHD_Result graph_say_empty(struct graph_call *c, unsigned status)
{
	return sandbox_web_send(c->r, status, NULL, SV(""));
}

/* ---- who asks, for whom ---- */

static enum MHD_Result bad_token(struct graph_call *c, const char *text)
{
	sandbox_web_header(c->r, "WWW-Authenticate", "Bearer realm=\"\", error=\"invalid_token\"");
	return graph_say_error(c, MHD_HTTP_UNAUTHORIZED, "InvalidAuthenticationToken", "%s", text);
}

/* True: go on; else *out_result is the answer. */
static bool check_token(struct graph_call *c, enum MHD_Result *out_result)
{
	struct sv field = sandbox_web_field(c->r, "Authorization");
	const char *why;

	if (!sv_starts_nocase(field, SV("Bearer ")) || field.len == 7) {
		*out_result = bad_token(c, "Access token is empty.");
		return false;
	}
	why = sandbox_entra_check(
		c->s->entra, sv_skip(field, 7), sandbox_instant(c->s).now_s, &c->bearer);
	if (why == sandbox_bearer_expired)
		*out_result = bad_token(c, "Lifetime validation failed, the token is expired.");
	else if (why)
		*out_result = bad_token(c, "Access token validation failure.");
	else if (c->bearer.resource != SANDBOX_RESOURCE_GRAPH)
		*out_result = bad_token(c, "Access token validation failure. Invalid audience.");
	else
		return true;
	return false;
}

static bool is_missing(const struct sandbox *s, struct sv address)
{
	const struct sandbox_mailbox *b = sandbox_model_mailbox(s->model, address, false);

	return b && b->missing;
}

static bool find_mailbox(struct graph_call *c, enum MHD_Result *out_result)
{
	struct sv path = sv_skip(c->r->path, 6), what, id; /* "/v1.0/" */
	struct address parsed;

	(void)sv_cut_char(&path, '/', &what);
	if (sv_eq_nocase(what, SV("me"))) {
		id = c->bearer.user;
		if (id.len == 0) {
			*out_result = graph_say_error(c,
				MHD_HTTP_BAD_REQUEST,
				"BadRequest",
				"/me request is only valid with delegated authentication flow.");
			return false;
		}
	} else if (sv_eq_nocase(what, SV("users"))) {
		(void)sv_cut_char(&path, '/', &id);
	} else {
		*out_result = graph_say_error(c,
			MHD_HTTP_BAD_REQUEST,
			"BadRequest",
			"Resource not found for the segment '%.*s'.",
			SV_ARG(sv_head(what, 100)));
		return false;
	}
	if (address_parse(id, ADDRESS_UTF8, &parsed) != 0 || is_missing(c->s, id) ||
		!sandbox_tenant_accepts(&c->s->tenant, parsed.domain)) {
		*out_result = graph_say_error(c,
			MHD_HTTP_NOT_FOUND,
			"ErrorInvalidUser",
			"The requested user '%.*s' is invalid.",
			SV_ARG(sv_head(id, 200)));
		return false;
	}
	(void)snprintf(c->mailbox, sizeof(c->mailbox), "%.*s", SV_ARG(id));
	c->rest = path;
	return true;
}

static bool may(struct graph_call *c, const char *permission, enum MHD_Result *out_result)
{
	bool reads = strcmp(permission, "Mail.Read") == 0;

	if (sandbox_bearer_owns(c->s->entra, &c->bearer, sv_from(c->mailbox)) &&
		(sandbox_bearer_may(&c->bearer, permission, permission) ||
			(reads && sandbox_bearer_may(
					  &c->bearer, "Mail.ReadWrite", "Mail.ReadWrite"))))
		return true;
	*out_result = graph_say_error(c,
		MHD_HTTP_FORBIDDEN,
		"ErrorAccessDenied",
		"Access is denied. Check credentials and try again.");
	return false;
}

/* ---- limits and faults ---- */

struct open_request {
	struct sandbox *s;
	char *who;
};

static void request_done(void *arg, struct sandbox_web_request *r)
{
	struct open_request *o = arg;

	(void)r;
	sandbox_graph_leave(o->s->graph, sv_from(o->who));
	free(o->who);
	free(o);
}

static bool admitted(struct graph_call *c, enum MHD_Result *out_result)
{
	struct sv app = sandbox_jwt_text(c->bearer.claims, "appid");
	struct open_request *o;
	uint32_t seconds;
	char who[500], text[16];

	if (c->r->done)
		return true;
	(void)snprintf(who, sizeof(who), "%.*s %s", SV_ARG(sv_head(app, 100)), c->mailbox);
	o = xcalloc(1, sizeof(*o));
	o->s = c->s;
	o->who = sv_dup(sv_from(who));
	c->r->done = request_done;
	c->r->done_arg = o;
	seconds = sandbox_graph_admit(c->s->graph,
		c->s->model,
		sv_from(who),
		sv_from(c->mailbox),
		sandbox_now_us(c->s),
		c->r->body.len);
	if (!seconds)
		return true;
	(void)snprintf(text, sizeof(text), "%u", seconds);
	sandbox_web_header(c->r, "Retry-After", text);
	*out_result = graph_say_error(c,
		429,
		"ApplicationThrottled",
		"Application is over its MailboxConcurrency limit.");
	return false;
}

/* True: *out_result is the answer. */
static bool fault_strikes(struct graph_call *c, enum MHD_Result *out_result)
{
	const struct sandbox_fault *fault;
	struct sv rest, code;
	char name[80];
	enum sandbox_strike strike = sandbox_web_strike(
		c->s, c->r, SANDBOX_AT_GRAPH, sv_from(c->mailbox), &fault, out_result);

	if (strike != SANDBOX_STRIKE_REPLY)
		return strike == SANDBOX_STRIKE_TAKEN;
	rest = sv_from(fault->text);
	if (sv_find_char(rest, ':') >= 0)
		(void)sv_cut_char(&rest, ':', &code);
	else
		code = fault->code == 429 ? SV("ApplicationThrottled") : SV("UnknownError");
	(void)snprintf(name, sizeof(name), "%.*s", SV_ARG(sv_head(code, sizeof(name) - 1)));
	*out_result = graph_say_error(c, fault->code, name, "%.*s", SV_ARG(sv_trim(rest)));
	return true;
}

/* ---- the requests ---- */

static enum MHD_Result on_send_mail(struct graph_call *c, struct sv id)
{
	enum MHD_Result result = MHD_NO;
	struct sandbox_draft *d = graph_read_message(c, "message", &result);

	(void)id;
	if (!d)
		return result;
	result = graph_send_draft(c, d);
	sandbox_draft_remove(c->s->graph, d);
	return result;
}

static json_t *draft_json(const struct sandbox_draft *d)
{
	return json_pack("{s:s, s:o, s:b, s:b}",
		"id",
		d->id,
		"internetMessageId",
		sandbox_json_text(sv_from(d->message_id)),
		"isDraft",
		true,
		"hasAttachments",
		d->attachment_count != 0);
}

static enum MHD_Result on_create(struct graph_call *c, struct sv id)
{
	enum MHD_Result result = MHD_NO;
	struct sandbox_draft *d = graph_read_message(c, NULL, &result);

	(void)id;
	return d ? sandbox_web_json(c->r, MHD_HTTP_CREATED, draft_json(d)) : result;
}

static struct sandbox_draft *need_draft(
	struct graph_call *c, struct sv id, enum MHD_Result *out_result)
{
	struct sandbox_draft *d = sandbox_draft_find(c->s->graph, sv_from(c->mailbox), id);

	if (!d)
		*out_result = graph_say_error(c,
			404,
			"ErrorItemNotFound",
			"The specified object was not found in the store.");
	return d;
}

static enum MHD_Result on_send(struct graph_call *c, struct sv id)
{
	enum MHD_Result result = MHD_NO;
	struct sandbox_draft *d = need_draft(c, id, &result);
	uint64_t accepted = c->s->totals.accepted;

	if (!d)
		return result;
	result = graph_send_draft(c, d);
	if (c->s->totals.accepted != accepted)
		sandbox_draft_remove(c->s->graph, d);
	return result;
}

static enum MHD_Result on_delete(struct graph_call *c, struct sv id)
{
	enum MHD_Result result = MHD_NO;
	struct sandbox_draft *d = need_draft(c, id, &result);

	if (!d)
		return result;
	sandbox_draft_remove(c->s->graph, d);
	return graph_say_empty(c, MHD_HTTP_NO_CONTENT);
}

static enum MHD_Result on_attach(struct graph_call *c, struct sv id)
{
	struct sv body = buf_sv(&c->r->body);
	enum MHD_Result result = MHD_NO;
	struct sandbox_draft *d = need_draft(c, id, &result);
	struct sandbox_attachment a = { 0 };
	json_t *root;
	bool ok;

	if (!d)
		return result;
	root = json_loadb(body.len ? body.ptr : "", body.len, 0, NULL);
	ok = sandbox_attachment_read(root, &a) &&
	     text_base64_decode(&a.bytes, sandbox_jwt_text(root, "contentBytes")) == 0;
	json_decref(root);
	if (ok && a.bytes.len > SANDBOX_GRAPH_ATTACHMENT_MAX)
		result = graph_say_error(c,
			413,
			"ErrorAttachmentSizeLimitExceeded",
			"An attachment above 3 MB needs an upload session.");
	else if (!ok)
		result = graph_say_error(c,
			400,
			"ErrorInvalidRequest",
			"A file attachment has a name and contentBytes in base64.");
	else {
		result = sandbox_web_json(c->r,
			MHD_HTTP_CREATED,
			json_pack("{s:o, s:I}",
				"name",
				sandbox_json_text(sv_from(a.name)),
				"size",
				(json_int_t)a.bytes.len));
		sandbox_draft_attach(d, &a);
	}
	sandbox_attachment_deinit(&a);
	return result;
}

static json_t *upload_json(const struct sandbox_upload *u)
{
	return json_pack(
		"{s:[o]}", "nextExpectedRanges", json_sprintf("%zu-", u->attachment.bytes.len));
}

static enum MHD_Result on_upload_session(struct graph_call *c, struct sv id)
{
	struct sv body = buf_sv(&c->r->body), host = sandbox_web_field(c->r, "Host");
	struct wall_time until = { (int64_t)((sandbox_instant(c->s).now_s + 86400) * US_PER_S) };
	char at[WALL_RFC3339_MAX];
	enum MHD_Result result = MHD_NO;
	struct sandbox_draft *d = need_draft(c, id, &result);
	struct sandbox_attachment a = { 0 };
	struct sandbox_upload *u = NULL;
	json_t *root, *item, *answer;
	bool refused = true;
	uint64_t size;

	if (!d)
		return result;
	root = json_loadb(body.len ? body.ptr : "", body.len, 0, NULL);
	item = json_object_get(root, "AttachmentItem");
	if (!item)
		item = json_object_get(root, "attachmentItem");
	size = sandbox_jwt_number(item, "size");
	if (size > SANDBOX_GRAPH_UPLOAD_MAX)
		result = graph_say_error(c,
			413,
			"ErrorAttachmentSizeLimitExceeded",
			"The attachment is larger than 150 MB.");
	else if (size && size < SANDBOX_GRAPH_ATTACHMENT_MAX)
		result = graph_say_error(c,
			400,
			"ErrorAttachmentSizeShouldNotBeLessThanMinimumSize",
			"An attachment below 3 MB is posted in one request.");
	else if (size == 0 || !sv_eq_nocase(sandbox_jwt_text(item, "attachmentType"), SV("file")) ||
		 !sandbox_attachment_read(item, &a))
		result = graph_say_error(c,
			400,
			"ErrorInvalidRequest",
			"An AttachmentItem has attachmentType file, a name and a size.");
	else {
		refused = false;
		u = sandbox_upload_add(c->s->graph, d, &a, size);
	}
	json_decref(root);
	sandbox_attachment_deinit(&a);
	if (refused)
		return result;
	if (!u)
		return graph_say_error(c, 507, "ErrorQuotaExceeded", "Too many uploads.");
	answer = upload_json(u);
	(void)json_object_set_new(answer,
		"uploadUrl",
		json_sprintf("https://%.*s/uploads/%s", SV_ARG(sv_head(host, 255)), u->id));
	(void)json_object_set_new(
		answer, "expirationDateTime", json_string(wall_rfc3339(until, at)));
	return sandbox_web_json(c->r, MHD_HTTP_CREATED, answer);
}

static json_t *arrived_json(const struct sandbox_message *m)
{
	return json_pack("{s:o, s:o, s:o, s:b}",
		"id",
		json_sprintf("inbox-%llu", (unsigned long long)m->number),
		"subject",
		sandbox_json_text(sv_from(m->subject)),
		"internetMessageId",
		sandbox_json_text(sv_from(m->message_id)),
		"isDraft",
		false);
}

/* "isDraft eq true and internetMessageId eq '<id>'": what a sender asks; other words are passed over. */
struct list_filter {
	struct sv message_id; /* empty: any */
	bool drafts, arrived;
};

static struct list_filter read_filter(struct graph_call *c)
{
	struct sv text = sandbox_web_argument(c->r, "$filter"), rest;
	static const struct sv words = SV_INIT("internetMessageId eq '");
	ptrdiff_t at = sv_find_nocase(text, words);
	struct list_filter f = {
		.drafts = sv_find_nocase(text, SV("isDraft eq false")) < 0,
		.arrived = sv_find_nocase(text, SV("isDraft eq true")) < 0,
	};

	if (at >= 0) {
		rest = sv_skip(text, (size_t)at + words.len);
		(void)sv_cut_char(&rest, '\'', &f.message_id);
	}
	return f;
}

static bool wanted(const struct list_filter *f, const char *message_id)
{
	return f->message_id.len == 0 || sv_eq(f->message_id, sv_from(message_id));
}

static enum MHD_Result on_list(struct graph_call *c, struct sv id)
{
	struct sandbox_message_filter to = { .to = sv_from(c->mailbox) };
	struct list_filter f = read_filter(c);
	const struct sandbox_message *m;
	json_t *all = json_array();

	if (sv_eq_nocase(c->rest, SV("mailFolders/inbox/messages")))
		f.drafts = false;
	(void)id;
	for (m = sandbox_messages_next(c->s->inboxes, 0, &to); f.arrived && m;
		m = sandbox_messages_next(c->s->inboxes, m->number, &to)) {
		if (wanted(&f, m->message_id))
			(void)json_array_append_new(all, arrived_json(m));
	}
	for (struct sandbox_draft *d = sandbox_draft_next(c->s->graph, NULL); f.drafts && d;
		d = sandbox_draft_next(c->s->graph, d)) {
		if (address_eq(sv_from(d->mailbox), sv_from(c->mailbox)) &&
			wanted(&f, d->message_id))
			(void)json_array_append_new(all, draft_json(d));
	}
	return sandbox_web_json(c->r, MHD_HTTP_OK, json_pack("{s:o}", "value", all));
}

static const struct sandbox_message *find_arrived(struct graph_call *c, struct sv id)
{
	const struct sandbox_message *m;
	uint64_t number;

	if (!sv_starts(id, SV("inbox-")) || sv_parse_u64(sv_skip(id, 6), UINT64_MAX, &number) != 0)
		return NULL;
	m = sandbox_messages_get(c->s->inboxes, number);
	return m && address_eq(sv_from(m->mailbox), sv_from(c->mailbox)) ? m : NULL;
}

static enum MHD_Result on_get(struct graph_call *c, struct sv id)
{
	const struct sandbox_message *m = find_arrived(c, id);
	enum MHD_Result result = MHD_NO;
	const struct sandbox_draft *d = m ? NULL : need_draft(c, id, &result);

	if (m)
		return sandbox_web_json(c->r, MHD_HTTP_OK, arrived_json(m));
	return d ? sandbox_web_json(c->r, MHD_HTTP_OK, draft_json(d)) : result;
}

static enum MHD_Result on_value(struct graph_call *c, struct sv id)
{
	CLEANUP(buf_deinitp) struct buf raw = BUF_INIT(SANDBOX_GRAPH_MESSAGE_MAX);
	const struct sandbox_message *m = find_arrived(c, id);
	enum MHD_Result result = MHD_NO;
	const struct sandbox_draft *d = m ? NULL : need_draft(c, id, &result);

	if (m)
		return sandbox_web_send(
			c->r, MHD_HTTP_OK, "text/plain", sv_make(m->raw, m->raw_len));
	if (!d)
		return result;
	if (sandbox_draft_render(d, &raw) != 0)
		return graph_say_error(
			c, 413, "ErrorMessageSizeExceeded", "The message is too large.");
	return sandbox_web_send(c->r, MHD_HTTP_OK, "text/plain", buf_sv(&raw));
}

/* ---- dispatch ---- */

/* `*` stands for an id. */
static const struct {
	const char *method;
	struct sv path;
	const char *permission;
	enum MHD_Result (*run)(struct graph_call *c, struct sv id);
} paths[] = {
	{ "POST", SV_INIT("sendMail"), "Mail.Send", on_send_mail },
	{ "POST", SV_INIT("messages"), "Mail.ReadWrite", on_create },
	{ "POST", SV_INIT("mailFolders/drafts/messages"), "Mail.ReadWrite", on_create },
	{ "GET", SV_INIT("messages"), "Mail.Read", on_list },
	{ "GET", SV_INIT("mailFolders/inbox/messages"), "Mail.Read", on_list },
	{ "GET", SV_INIT("messages/*"), "Mail.Read", on_get },
	{ "DELETE", SV_INIT("messages/*"), "Mail.ReadWrite", on_delete },
	{ "GET", SV_INIT("messages/*/$value"), "Mail.Read", on_value },
	{ "POST", SV_INIT("messages/*/send"), "Mail.Send", on_send },
	{ "POST", SV_INIT("messages/*/attachments"), "Mail.ReadWrite", on_attach },
	{ "POST",
		SV_INIT("messages/*/attachments/createUploadSession"),
		"Mail.ReadWrite",
		on_upload_session },
};

static bool path_matches(struct sv pattern, struct sv path, struct sv *out_id)
{
	while (pattern.len || path.len) {
		struct sv wanted, found;

		(void)sv_cut_char(&pattern, '/', &wanted);
		(void)sv_cut_char(&path, '/', &found);
		if (sv_eq(wanted, SV("*")) && found.len)
			*out_id = found;
		else if (!sv_eq_nocase(wanted, found))
			return false;
	}
	return true;
}

static enum MHD_Result serve(struct graph_call *c)
{
	enum MHD_Result result = MHD_NO;

	if (!check_token(c, &result) || !find_mailbox(c, &result))
		return result;
	for (size_t i = 0; i < COUNT_OF(paths); i++) {
		struct sv id = SV("");

		if (!sv_eq(c->r->method, sv_from(paths[i].method)) ||
			!path_matches(paths[i].path, c->rest, &id))
			continue;
		if (!may(c, paths[i].permission, &result) || !admitted(c, &result) ||
			fault_strikes(c, &result))
			return result;
		if (c->r->too_large || c->r->body.len > SANDBOX_GRAPH_REQUEST_MAX)
			return graph_say_error(c,
				413,
				"RequestEntityTooLarge",
				"The request is larger than 4 MB.");
		return paths[i].run(c, id);
	}
	return graph_say_error(c,
		MHD_HTTP_BAD_REQUEST,
		"BadRequest",
		"Resource not found for the segment '%.*s', or not here.",
		SV_ARG(sv_head(c->rest, 100)));
}

static enum MHD_Result put_range(struct graph_call *c, struct sandbox_upload *u)
{
	struct sv range = sandbox_web_field(c->r, "Content-Range");
	int rc;

	if (c->r->too_large || c->r->body.len > SANDBOX_GRAPH_REQUEST_MAX)
		return graph_say_error(c, 413, "RequestEntityTooLarge", "A range is at most 4 MB.");
	rc = sandbox_upload_put(u, range, buf_sv(&c->r->body));
	if (rc == RC_PARSE)
		return graph_say_error(
			c, 400, "ErrorInvalidRequest", "Content-Range is as 'bytes 0-99/1000'.");
	if (rc != 0)
		return graph_say_error(c,
			416,
			"ErrorInvalidRange",
			"The range is not the one that is expected: %zu-.",
			u->attachment.bytes.len);
	if (u->attachment.bytes.len < u->size)
		return sandbox_web_json(c->r, MHD_HTTP_OK, upload_json(u));
	sandbox_web_header(c->r, "Location", "https://localhost/attachments/AAMk");
	sandbox_draft_attach(u->draft, &u->attachment);
	sandbox_upload_remove(c->s->graph, u);
	return graph_say_empty(c, MHD_HTTP_CREATED);
}

/* The address is the secret: no token is asked for. */
static enum MHD_Result serve_upload(struct graph_call *c)
{
	struct sandbox_upload *u = sandbox_upload_find(c->s->graph, sv_skip(c->r->path, 9));
	enum MHD_Result result = MHD_NO;

	if (!u)
		return graph_say_error(
			c, 404, "ErrorItemNotFound", "The upload session was not found.");
	(void)snprintf(c->mailbox, sizeof(c->mailbox), "%s", u->draft->mailbox);
	if (fault_strikes(c, &result))
		return result;
	if (sv_eq(c->r->method, SV("PUT")))
		return put_range(c, u);
	if (sv_eq(c->r->method, SV("GET")))
		return sandbox_web_json(c->r, MHD_HTTP_OK, upload_json(u));
	if (!sv_eq(c->r->method, SV("DELETE")))
		return graph_say_error(c, 405, "ErrorInvalidRequest", "PUT, GET or DELETE.");
	sandbox_upload_remove(c->s->graph, u);
	return graph_say_empty(c, MHD_HTTP_NO_CONTENT);
}

enum MHD_Result sandbox_graph_web(struct sandbox *s, struct sandbox_web_request *r)
{
	struct graph_call c = { .s = s, .r = r };
	enum MHD_Result result = sv_starts(r->path, SV("/uploads/")) ? serve_upload(&c) : serve(&c);

	sandbox_bearer_deinit(&c.bearer);
	return result;
}
