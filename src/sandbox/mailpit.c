/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/mailpit.h"

#include "base/must.h"
#include "base/text.h"
#include "mail/mime.h"
#include "sandbox/mailpit_priv.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	LIMIT_DEFAULT = 50, /* of a page of the list, as Mailpit's */
	VIEW_GROWTH =
		16, /* of HTML whose images get addresses, and of character sets that become UTF-8 */
};

static const struct sv prefix = SV_INIT("/api/v1/");

bool sandbox_mailpit_knows(struct sv path)
{
	return sv_starts(path, prefix) || sv_starts(path, SV("/view/")) ||
	       sv_eq(path, SV("/livez")) || sv_eq(path, SV("/readyz"));
}

static void put(json_t *o, const char *key, json_t *value)
{
	must(json_object_set_new(o, key, value) == 0);
}

static enum MHD_Result refuse(struct sandbox_web_request *r, unsigned status, const char *why)
{
	json_t *o = json_object();

	put(o, "Error", json_string(why));
	return sandbox_web_json(r, status, o);
}

static enum MHD_Result ok(struct sandbox_web_request *r)
{
	return sandbox_web_send(r, MHD_HTTP_OK, "text/plain", SV("ok"));
}

/* ---- lists ---- */

struct page {
	size_t start, limit;
};

static int read_page(const struct sandbox_web_request *r, struct page *out)
{
	struct sv start = sandbox_web_argument(r, "start"),
		  limit = sandbox_web_argument(r, "limit");
	uint64_t from = 0, most = LIMIT_DEFAULT;

	if ((start.len && sv_parse_u64(start, SIZE_MAX, &from) != 0) ||
		(limit.len && sv_parse_u64(limit, SIZE_MAX, &most) != 0))
		return RC_PARSE;
	*out = (struct page){ (size_t)from, (size_t)most };
	return 0;
}

static size_t count_unread(const struct sandbox_messages *all)
{
	struct sandbox_message *m;
	size_t n = 0;

	for (size_t i = 0; (m = sandbox_messages_at(all, i)); i++)
		n += !m->read;
	return n;
}

/* Newest first. Counts all that fit, and shows the page's. */
static json_t *list(
	const struct sandbox_messages *all, const struct mailpit_query *q, struct page page)
{
	json_t *o = json_object(), *shown = json_array();
	size_t fitting = 0, unread = 0;
	struct sandbox_message *m;

	for (size_t i = 0; (m = sandbox_messages_at(all, i)); i++) {
		if (q && !mailpit_query_fits(q, m))
			continue;
		unread += !m->read;
		if (fitting >= page.start && fitting - page.start < page.limit)
			must(json_array_append(shown, mailpit_summary(m)) == 0);
		fitting++;
	}
	put(o, "total", json_integer((json_int_t)sandbox_messages_count(all)));
	put(o, "unread", json_integer((json_int_t)count_unread(all)));
	put(o, "count", json_integer((json_int_t)json_array_size(shown)));
	put(o, "messages_count", json_integer((json_int_t)fitting));
	put(o, "messages_unread", json_integer((json_int_t)unread));
	put(o, "start", json_integer((json_int_t)page.start));
	put(o, "tags", json_array());
	put(o, "messages", shown);
	return o;
}

static enum MHD_Result send_list(const struct sandbox_mailpit *s, struct sandbox_web_request *r,
	const struct mailpit_query *q)
{
	struct page page;

	if (read_page(r, &page) != 0)
		return refuse(r, MHD_HTTP_BAD_REQUEST, "start and limit are whole numbers from 0");
	return sandbox_web_json(r, MHD_HTTP_OK, list(s->messages, q, page));
}

/* ---- the read mark, and going ---- */

static void mark(struct sandbox_message *m, const void *read)
{
	m->read = *(const bool *)read;
}

static void each_fitting(const struct sandbox_mailpit *s, const struct mailpit_query *q,
	void (*fn)(struct sandbox_message *m, const void *arg), const void *arg)
{
	struct sandbox_message *m;

	for (size_t i = 0; (m = sandbox_messages_at(s->messages, i)); i++) {
		if (!q || mailpit_query_fits(q, m))
			fn(m, arg);
	}
}

static struct sandbox_message *by_id(const struct sandbox_mailpit *s, struct sv id)
{
	uint64_t number;

	return sv_parse_u64(id, UINT64_MAX, &number) == 0
		       ? sandbox_messages_get(s->messages, number)
		       : NULL;
}

static void remove_fitting(const struct sandbox_mailpit *s, const struct mailpit_query *q)
{
	struct sandbox_message *m;
	size_t i = 0;

	while ((m = sandbox_messages_at(s->messages, i))) {
		if (q && !mailpit_query_fits(q, m))
			i++;
		else
			(void)sandbox_messages_remove(s->messages, m->number);
	}
}

static enum MHD_Result set_read(const struct sandbox_mailpit *s, struct sandbox_web_request *r)
{
	CLEANUP(mailpit_query_freep) struct mailpit_query *q = NULL;
	json_t *body = json_loadb(buf_sv(&r->body).ptr, r->body.len, 0, NULL);
	const json_t *ids = json_object_get(body, "IDs"), *id;
	const char *search = json_string_value(json_object_get(body, "Search"));
	bool read = json_is_true(json_object_get(body, "Read"));
	struct err err = { 0 };
	size_t i;

	if (!json_is_object(body))
		(void)err_set(&err, RC_PARSE, "the body is no JSON object");
	else if (search && json_array_size(ids))
		(void)err_set(&err, RC_PARSE, "give IDs or a Search, not both");
	else if (search)
		q = mailpit_query_new(sv_from(search), &err);
	json_array_foreach(ids, i, id)
	{
		struct sandbox_message *m = by_id(s, sv_from(json_string_value(id)));

		if (m && !err.text[0])
			m->read = read;
	}
	if (!err.text[0] && json_array_size(ids) == 0)
		each_fitting(s, q, mark, &read);
	json_decref(body);
	return err.text[0] ? refuse(r, MHD_HTTP_BAD_REQUEST, err.text) : ok(r);
}

static enum MHD_Result remove_messages(
	const struct sandbox_mailpit *s, struct sandbox_web_request *r)
{
	json_t *body = r->body.len ? json_loadb(buf_sv(&r->body).ptr, r->body.len, 0, NULL)
				   : json_object();
	const json_t *ids = json_object_get(body, "IDs"), *id;
	size_t i;

	if (!json_is_object(body)) {
		json_decref(body);
		return refuse(r, MHD_HTTP_BAD_REQUEST, "the body is no JSON object");
	}
	json_array_foreach(ids, i, id)
	{
		const struct sandbox_message *m = by_id(s, sv_from(json_string_value(id)));

		if (m)
			(void)sandbox_messages_remove(s->messages, m->number);
	}
	if (json_array_size(ids) == 0)
		remove_fitting(s, NULL);
	json_decref(body);
	return ok(r);
}

static enum MHD_Result serve_search(
	const struct sandbox_mailpit *s, struct sandbox_web_request *r, bool remove)
{
	CLEANUP(mailpit_query_freep) struct mailpit_query *q = NULL;
	struct sv text = sv_trim(sandbox_web_argument(r, "query"));
	struct err err = { 0 };

	if (text.len == 0)
		return refuse(r, MHD_HTTP_BAD_REQUEST, "no search: ?query=");
	q = mailpit_query_new(text, &err);
	if (!q)
		return refuse(r, MHD_HTTP_BAD_REQUEST, err.text);
	if (!remove)
		return send_list(s, r, q);
	remove_fitting(s, q);
	return ok(r);
}

/* ---- one message ---- */

/* "latest" may be the latest of a search. */
static struct sandbox_message *find_message(
	const struct sandbox_mailpit *s, const struct sandbox_web_request *r, struct sv id)
{
	CLEANUP(mailpit_query_freep) struct mailpit_query *q = NULL;
	struct sandbox_message *m = NULL;
	struct err err = { 0 };

	if (!sv_eq(id, SV("latest")))
		return by_id(s, id);
	q = mailpit_query_new(sandbox_web_argument(r, "query"), &err);
	for (size_t i = 0; q && (m = sandbox_messages_at(s->messages, i)); i++) {
		if (mailpit_query_fits(q, m))
			return m;
	}
	return NULL;
}

/* What a browser would run does not run in our name. */
static bool is_active(struct sv type)
{
	static const struct sv types[] = { SV_INIT("text/html"),
		SV_INIT("text/xml"),
		SV_INIT("text/xsl"),
		SV_INIT("application/xhtml+xml"),
		SV_INIT("application/xml"),
		SV_INIT("image/svg+xml") };

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (sv_eq_nocase(type, types[i]))
			return true;
	}
	return false;
}

static enum MHD_Result send_part(
	const struct sandbox_message *m, struct sandbox_web_request *r, struct sv number)
{
	CLEANUP(buf_deinitp)
	struct buf bytes = BUF_INIT(m->raw_len + 1), type = BUF_INIT(m->raw_len + 1);
	uint32_t n;

	if (sv_parse_u32(number, UINT32_MAX, &n) != 0 ||
		!sandbox_message_attachment(m, n, &bytes, &type))
		return refuse(r, MHD_HTTP_NOT_FOUND, "no such part; 1 is the first");
	sandbox_web_header(r, "X-Content-Type-Options", "nosniff");
	sandbox_web_header(r, "Content-Security-Policy", "sandbox");
	if (is_active(sv_from(buf_sv(&type).ptr)))
		return sandbox_web_send(r, MHD_HTTP_OK, "application/octet-stream", buf_sv(&bytes));
	return sandbox_web_send(r, MHD_HTTP_OK, buf_sv(&type).ptr, buf_sv(&bytes));
}

static enum MHD_Result serve_message(
	const struct sandbox_mailpit *s, struct sandbox_web_request *r, struct sv path)
{
	struct sandbox_message *m;
	struct sv id;

	(void)sv_cut_char(&path, '/', &id);
	m = find_message(s, r, id);
	if (!m)
		return refuse(r, MHD_HTTP_NOT_FOUND, "no such message (kept: the newest)");
	if (path.len == 0) {
		m->read = true;
		return sandbox_web_json(r, MHD_HTTP_OK, mailpit_message(m));
	}
	if (sv_eq(path, SV("headers")))
		return sandbox_web_json(r, MHD_HTTP_OK, mailpit_headers(m));
	if (sv_eq(path, SV("raw")))
		return sandbox_web_send(
			r, MHD_HTTP_OK, "text/plain; charset=utf-8", sv_make(m->raw, m->raw_len));
	if (sv_starts(path, SV("part/")))
		return send_part(m, r, sv_skip(path, 5));
	return refuse(r, MHD_HTTP_NOT_FOUND, "known: headers, raw, part/K");
}

static struct sv text_of(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	return sv_make(json_string_value(v), json_string_length(v));
}

/* The part whose Content-ID stands at the front of `html`; NULL: none. */
static const json_t *part_of_id(const json_t *whole, struct sv html)
{
	const json_t *part;
	size_t i;

	json_array_foreach(json_object_get(whole, "Inline"), i, part)
	{
		struct sv id = text_of(part, "ContentID");

		if (id.len && sv_starts(html, id))
			return part;
	}
	return NULL;
}

/* Images that the message brings along ("cid:", RFC 2392) are asked for here. */
static int append_html(struct buf *out, const json_t *whole)
{
	struct sv html = text_of(whole, "HTML");
	ptrdiff_t at;
	int rc = 0;

	while (rc == 0 && (at = sv_find(html, SV("cid:"))) >= 0) {
		const json_t *part = part_of_id(whole, sv_skip(html, (size_t)at + 4));

		rc = buf_append(out, sv_head(html, (size_t)at + (part ? 0 : 4)));
		html = sv_skip(html, (size_t)at + 4);
		if (!part || rc != 0)
			continue;
		rc = buf_printf(out,
			"/api/v1/message/%s/part/%s",
			json_string_value(json_object_get(whole, "ID")),
			json_string_value(json_object_get(part, "PartID")));
		html = sv_skip(html, text_of(part, "ContentID").len);
	}
	return rc == 0 ? buf_append(out, html) : rc;
}

/* Text or HTML as a browser shows it: nothing of it may run, reach this API, or ask anybody else. */
static enum MHD_Result serve_view(
	const struct sandbox_mailpit *s, struct sandbox_web_request *r, struct sv path)
{
	ptrdiff_t dot = sv_rfind_char(path, '.');
	struct sandbox_message *m =
		find_message(s, r, sv_head(path, dot < 0 ? path.len : (size_t)dot));
	bool html = sv_ends_nocase(path, SV(".html"));
	struct buf out = BUF_INIT(m ? VIEW_GROWTH * m->raw_len + VIEW_GROWTH : 0);
	enum MHD_Result result;
	json_t *whole;

	if (!m || (!html && !sv_ends_nocase(path, SV(".txt"))))
		return refuse(r, MHD_HTTP_NOT_FOUND, "/view/ID.html or /view/ID.txt");
	whole = mailpit_message(m);
	sandbox_web_header(r, "X-Content-Type-Options", "nosniff");
	sandbox_web_header(r,
		"Content-Security-Policy",
		"sandbox; default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'");
	if (!html)
		result = sandbox_web_send(
			r, MHD_HTTP_OK, "text/plain; charset=utf-8", text_of(whole, "Text"));
	else if (append_html(&out, whole) == 0)
		result = sandbox_web_send(r, MHD_HTTP_OK, "text/html; charset=utf-8", buf_sv(&out));
	else
		result = refuse(r,
			MHD_HTTP_CONTENT_TOO_LARGE,
			"its HTML names its images too often to be shown");
	buf_deinit(&out);
	json_decref(whole);
	return result;
}

/* ---- about ---- */

static enum MHD_Result send_info(const struct sandbox_mailpit *s, struct sandbox_web_request *r)
{
	json_t *o = json_object(), *stats = json_object();
	uint64_t kept = sandbox_messages_count(s->messages);

	put(stats, "Uptime", json_integer(s->uptime_s));
	put(stats, "MessagesDeleted", json_integer((json_int_t)(s->accepted - kept)));
	put(stats, "SMTPAccepted", json_integer((json_int_t)s->accepted));
	put(stats,
		"SMTPAcceptedSize",
		json_integer((json_int_t)sandbox_messages_bytes(s->messages)));
	put(stats, "SMTPRejected", json_integer((json_int_t)s->refused));
	put(stats, "SMTPIgnored", json_integer(0));
	put(o, "Version", json_string("postern-sandbox " POSTERN_VERSION));
	put(o, "LatestVersion", json_string("postern-sandbox " POSTERN_VERSION));
	put(o, "Database", json_string("memory"));
	put(o, "DatabaseSize", json_integer((json_int_t)sandbox_messages_bytes(s->messages)));
	put(o, "Messages", json_integer((json_int_t)kept));
	put(o, "Unread", json_integer((json_int_t)count_unread(s->messages)));
	put(o, "Tags", json_object());
	put(o, "RuntimeStats", stats);
	return sandbox_web_json(r, MHD_HTTP_OK, o);
}

static enum MHD_Result send_configuration(struct sandbox_web_request *r)
{
	json_t *o = json_object(), *relay = json_object();

	put(relay, "Enabled", json_false());
	put(relay, "SMTPServer", json_string(""));
	put(o, "Label", json_string("postern-sandbox"));
	put(o, "MessageRelay", relay);
	put(o, "SpamAssassin", json_false());
	put(o, "ChaosEnabled", json_false());
	put(o, "DuplicatesIgnored", json_false());
	return sandbox_web_json(r, MHD_HTTP_OK, o);
}

enum MHD_Result sandbox_mailpit_serve(
	const struct sandbox_mailpit *s, struct sandbox_web_request *r)
{
	bool get = sv_eq(r->method, SV("GET")), del = sv_eq(r->method, SV("DELETE"));
	struct sv path = r->path;

	if (get && (sv_eq(path, SV("/livez")) || sv_eq(path, SV("/readyz"))))
		return ok(r);
	if (get && sv_starts(path, SV("/view/")))
		return serve_view(s, r, sv_skip(path, 6));
	path = sv_skip(path, prefix.len);
	if (get && sv_eq(path, SV("info")))
		return send_info(s, r);
	if (get && sv_eq(path, SV("webui")))
		return send_configuration(r);
	if (get && sv_eq(path, SV("tags")))
		return sandbox_web_json(r, MHD_HTTP_OK, json_array());
	if (get && sv_eq(path, SV("messages")))
		return send_list(s, r, NULL);
	if (sv_eq(r->method, SV("PUT")) && sv_eq(path, SV("messages")))
		return set_read(s, r);
	if (del && sv_eq(path, SV("messages")))
		return remove_messages(s, r);
	if ((get || del) && sv_eq(path, SV("search")))
		return serve_search(s, r, del);
	if (get && sv_starts(path, SV("message/")))
		return serve_message(s, r, sv_skip(path, 8));
	return refuse(r,
		MHD_HTTP_NOT_FOUND,
		"of Mailpit's API there are: info webui tags messages search message/ID, and "
		"headers, raw and part/K of one");
}
