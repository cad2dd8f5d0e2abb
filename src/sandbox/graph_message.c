/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "base/text.h"
#include "base/time.h"
#include "mail/address.h"
#include "mail/header.h"
#include "sandbox/graph.h"
#include "sandbox/jwt.h"

#include <stdio.h>
#include <stdlib.h>

/* A message of Graph as MIME: made of JSON, and put together with its attachments. */
enum {
	LINE_BYTES = 57, /* 76 characters of base64 */
	ENCODED_WORD_BYTES = 42,
	BOUNDARY_MAX = 128,
};

/* ---- lines ---- */

static bool is_clean(struct sv text)
{
	return sv_find_char(text, '\r') < 0 && sv_find_char(text, '\n') < 0 &&
	       sv_find_char(text, '\0') < 0;
}

/* RFC 2047 when it is not ASCII; a character is not torn. */
static int append_words(struct buf *out, struct sv text)
{
	int rc = 0;

	if (text_is_ascii(text) || text.len == 0)
		return buf_append(out, text);
	while (rc == 0 && text.len) {
		size_t n = text.len < ENCODED_WORD_BYTES ? text.len : ENCODED_WORD_BYTES;

		while (n < text.len && n > 1 && ((unsigned char)text.ptr[n] & 0xc0) == 0x80)
			n--;
		rc = buf_append(out, SV("=?utf-8?B?"));
		if (rc == 0)
			rc = text_base64_encode(out, sv_head(text, n));
		if (rc == 0)
			rc = buf_append(out, SV("?="));
		text = sv_skip(text, n);
		if (rc == 0 && text.len)
			rc = buf_append(out, SV("\r\n "));
	}
	return rc;
}

static int append_base64(struct buf *out, struct sv bytes)
{
	int rc = 0;

	while (rc == 0 && bytes.len) {
		rc = text_base64_encode(out, sv_head(bytes, LINE_BYTES));
		if (rc == 0)
			rc = buf_append(out, SV("\r\n"));
		bytes = sv_skip(bytes, LINE_BYTES);
	}
	return rc;
}

/* ---- JSON to MIME ---- */

static const char *append_one(struct buf *out, const json_t *recipient, bool first)
{
	const json_t *who = json_object_get(recipient, "emailAddress");
	struct sv name = sandbox_jwt_text(who, "name");
	struct sv address = sandbox_jwt_text(who, "address");
	struct address parsed;
	int rc = 0;

	if (address_parse(address, ADDRESS_UTF8, &parsed) != 0 || !is_clean(name))
		return "At least one recipient isn't valid.";
	if (!first)
		rc = buf_append(out, SV(",\r\n "));
	if (rc == 0 && name.len && text_is_ascii(name))
		for (size_t i = 0; rc == 0 && i <= name.len + 1; i++)
			rc = buf_append_char(out,
				i == 0 || i == name.len + 1 ? '"'
				: name.ptr[i - 1] == '"' || name.ptr[i - 1] == '\\'
					? '\''
					: name.ptr[i - 1]);
	else if (rc == 0)
		rc = append_words(out, name);
	if (rc == 0)
		rc = buf_printf(out, "%s<%.*s>", name.len ? " " : "", SV_ARG(address));
	return rc == 0 ? NULL : "The message is too large.";
}

static const char *append_list(
	struct buf *out, const json_t *message, const char *key, const char *field)
{
	const json_t *value = json_object_get(message, key);
	size_t count = json_is_object(value) ? 1 : json_array_size(value);
	const char *bad = NULL;
	int rc = 0;

	if (count == 0)
		return NULL;
	rc = buf_printf(out, "%s: ", field);
	for (size_t i = 0; rc == 0 && !bad && i < count; i++)
		bad = append_one(
			out, json_is_object(value) ? value : json_array_get(value, i), i == 0);
	if (rc == 0 && !bad)
		rc = buf_append(out, SV("\r\n"));
	return bad ? bad : rc == 0 ? NULL : "The message is too large.";
}

static const char *append_own_headers(struct buf *out, const json_t *message, const char **out_code)
{
	const json_t *list = json_object_get(message, "internetMessageHeaders");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *one = json_array_get(list, i);
		struct sv name = sandbox_jwt_text(one, "name");
		struct sv value = sandbox_jwt_text(one, "value");

		*out_code = "InvalidInternetMessageHeader";
		if (!sv_starts_nocase(name, SV("x-")) || !is_clean(name) ||
			sv_find_char(name, ':') >= 0 || sv_find_char(name, ' ') >= 0)
			return "The internet message header name should start with 'x-' or 'X-'.";
		if (!is_clean(value))
			return "The internet message header value has a line break.";
		if (buf_printf(out, "%.*s: %.*s\r\n", SV_ARG(name), SV_ARG(value)) != 0)
			return "The message is too large.";
	}
	return NULL;
}

static const char *add_attachments(
	const json_t *message, struct sandbox_draft *d, const char **out_code)
{
	const json_t *list = json_object_get(message, "attachments");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *spec = json_array_get(list, i);
		struct sandbox_attachment a;

		*out_code = "ErrorInvalidRequest";
		if (!sandbox_attachment_read(spec, &a))
			return "An attachment has no name.";
		if (text_base64_decode(&a.bytes, sandbox_jwt_text(spec, "contentBytes")) != 0) {
			sandbox_attachment_deinit(&a);
			return "An attachment's contentBytes are not base64.";
		}
		sandbox_draft_attach(d, &a);
	}
	return NULL;
}

static const char *append_fields(struct buf *out, const json_t *message, struct sv mailbox,
	struct wall_time now, const char **out_code)
{
	static const struct {
		const char *key, *field;
	} lists[] = {
		{ "toRecipients", "To" },
		{ "ccRecipients", "Cc" },
		{ "bccRecipients", "Bcc" },
		{ "replyTo", "Reply-To" },
		{ "sender", "Sender" },
	};
	struct sv subject = sandbox_jwt_text(message, "subject");
	char at[WALL_RFC5322_MAX];
	const char *bad = NULL;
	int rc = 0;

	*out_code = "ErrorInvalidRecipients";
	if (json_object_get(message, "from"))
		bad = append_list(out, message, "from", "From");
	else
		rc = buf_printf(out, "From: <%.*s>\r\n", SV_ARG(mailbox));
	for (size_t i = 0; rc == 0 && !bad && i < COUNT_OF(lists); i++)
		bad = append_list(out, message, lists[i].key, lists[i].field);
	if (bad)
		return bad;
	*out_code = "ErrorInvalidRequest";
	if (!is_clean(subject))
		return "The subject has a line break.";
	if (rc == 0)
		rc = buf_append(out, SV("Subject: "));
	if (rc == 0)
		rc = append_words(out, subject);
	if (rc == 0)
		rc = buf_printf(out, "\r\nDate: %s\r\n", wall_rfc5322(now, at));
	return rc == 0 ? append_own_headers(out, message, out_code) : "The message is too large.";
}

const char *sandbox_graph_compose(const json_t *message, struct sv mailbox, struct wall_time now,
	struct sandbox_draft *d, const char **out_code)
{
	const json_t *body = json_object_get(message, "body");
	bool html = sv_eq_nocase(sandbox_jwt_text(body, "contentType"), SV("html"));
	struct buf *out = &d->mime;
	const char *bad = NULL;
	int rc;

	*out_code = "ErrorInvalidRequest";
	if (!json_is_object(message))
		return "There is no message.";
	bad = append_fields(out, message, mailbox, now, out_code);
	if (bad)
		return bad;
	rc = buf_printf(out,
		"MIME-Version: 1.0\r\nContent-Type: text/%s; charset=utf-8\r\n"
		"Content-Transfer-Encoding: base64\r\n\r\n",
		html ? "html" : "plain");
	if (rc == 0)
		rc = append_base64(out, sandbox_jwt_text(body, "content"));
	*out_code = "ErrorMessageSizeExceeded";
	return rc == 0 ? add_attachments(message, d, out_code) : "The message is too large.";
}

/* ---- together with the attachments ---- */

static int append_name(struct buf *out, const char *parameter, struct sv name)
{
	int rc;

	if (text_is_ascii(name)) {
		rc = buf_printf(out, "; %s=\"", parameter);
		for (size_t i = 0; rc == 0 && i < name.len; i++)
			rc = buf_append_char(
				out, name.ptr[i] == '"' || name.ptr[i] == '\\' ? '_' : name.ptr[i]);
		return rc == 0 ? buf_append_char(out, '"') : rc;
	}
	rc = buf_printf(out, ";\r\n %s*=UTF-8''", parameter);
	for (size_t i = 0; rc == 0 && i < name.len; i++)
		rc = buf_printf(out, "%%%02X", (unsigned char)name.ptr[i]);
	return rc;
}

static int append_part(struct buf *out, const struct sandbox_attachment *a, const char *boundary)
{
	int rc = buf_printf(out, "--%s\r\nContent-Type: %s", boundary, a->type);

	if (rc == 0)
		rc = append_name(out, "name", sv_from(a->name));
	if (rc == 0)
		rc = buf_printf(
			out, "\r\nContent-Disposition: %s", a->is_inline ? "inline" : "attachment");
	if (rc == 0)
		rc = append_name(out, "filename", sv_from(a->name));
	if (rc == 0 && a->content_id)
		rc = buf_printf(out, "\r\nContent-ID: <%s>", a->content_id);
	if (rc == 0)
		rc = buf_append(out, SV("\r\nContent-Transfer-Encoding: base64\r\n\r\n"));
	return rc == 0 ? append_base64(out, buf_sv(&a->bytes)) : rc;
}

static int append_parts(const struct sandbox_draft *d, struct buf *out, const char *boundary)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < d->attachment_count; i++)
		rc = append_part(out, &d->attachments[i], boundary);
	return rc == 0 ? buf_printf(out, "--%s--\r\n", boundary) : rc;
}

/* The boundary of a multipart/mixed; empty: it is something else. */
static void find_boundary(struct sv raw, char out[BOUNDARY_MAX])
{
	CLEANUP(header_block_freep)
	struct header_block *h = header_block_new(raw.len + 1, 2000);
	struct sv type, value, rest;
	ptrdiff_t at;
	size_t used;

	out[0] = '\0';
	if (header_block_feed(h, raw, &used) != 1 ||
		!header_block_get(h, SV("Content-Type"), &type) ||
		!sv_starts_nocase(type, SV("multipart/mixed")))
		return;
	at = sv_find_nocase(type, SV("boundary="));
	if (at < 0)
		return;
	value = sv_skip(type, (size_t)at + 9);
	if (value.len && value.ptr[0] == '"') {
		rest = sv_skip(value, 1);
		(void)sv_cut_char(&rest, '"', &value);
	} else {
		rest = value;
		(void)sv_cut_char(&rest, ';', &value);
	}
	value = sv_trim(value);
	if (value.len && value.len < BOUNDARY_MAX)
		(void)snprintf(out, BOUNDARY_MAX, "%.*s", SV_ARG(value));
}

static ptrdiff_t find_last(struct sv text, struct sv needle)
{
	ptrdiff_t found = -1;
	size_t skipped = 0;

	for (;;) {
		ptrdiff_t at = sv_find(sv_skip(text, skipped), needle);

		if (at < 0)
			return found;
		found = (ptrdiff_t)skipped + at;
		skipped = (size_t)found + 1;
	}
}

/* Fields that describe the content move to the inner part; the others stay in front. */
static int split_fields(struct sv header, bool content, struct buf *out)
{
	bool takes = false;
	struct sv line;
	int rc = 0;

	while (rc == 0 && sv_cut_line(&header, &line)) {
		if (line.len && line.ptr[0] != ' ' && line.ptr[0] != '\t')
			takes = content == sv_starts_nocase(line, SV("Content-")) &&
				!sv_starts_nocase(line, SV("MIME-Version:"));
		if (takes)
			rc = buf_printf(out, "%.*s\r\n", SV_ARG(line));
	}
	return rc;
}

static int wrap(const struct sandbox_draft *d, struct buf *out)
{
	struct sv raw = buf_sv(&d->mime);
	ptrdiff_t end = sv_find(raw, SV("\r\n\r\n"));
	struct sv header = end < 0 ? raw : sv_head(raw, (size_t)end + 2);
	struct sv body = end < 0 ? SV("") : sv_skip(raw, (size_t)end + 4);
	char boundary[BOUNDARY_MAX];
	int rc = split_fields(header, false, out);

	(void)snprintf(boundary, sizeof(boundary), "_%s_", d->id);
	if (rc == 0)
		rc = buf_printf(out,
			"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; "
			"boundary=\"%s\"\r\n\r\n--%s\r\n",
			boundary,
			boundary);
	if (rc == 0)
		rc = split_fields(header, true, out);
	if (rc == 0)
		rc = buf_append(out, SV("\r\n"));
	if (rc == 0)
		rc = buf_append(out, body);
	if (rc == 0)
		rc = buf_append(out, SV("\r\n"));
	return rc == 0 ? append_parts(d, out, boundary) : rc;
}

int sandbox_draft_render(const struct sandbox_draft *d, struct buf *out)
{
	char boundary[BOUNDARY_MAX], closing[BOUNDARY_MAX + 8];
	struct sv raw = buf_sv(&d->mime);
	ptrdiff_t end;
	int rc;

	if (d->attachment_count == 0)
		return buf_append(out, raw);
	find_boundary(raw, boundary);
	(void)snprintf(closing, sizeof(closing), "\r\n--%s--", boundary);
	end = boundary[0] ? find_last(raw, sv_from(closing)) : -1;
	if (end < 0)
		return wrap(d, out);
	rc = buf_append(out, sv_head(raw, (size_t)end + 2));
	return rc == 0 ? append_parts(d, out, boundary) : rc;
}
