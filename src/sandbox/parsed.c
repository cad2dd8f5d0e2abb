/* SPDX-License-Identifier: Apache-2.0 */
#include "base/limits.h"
#include "base/must.h"
#include "base/text.h"
#include "mail/header.h"
#include "mail/mime.h"
#include "sandbox/events.h"
#include "sandbox/messages.h"

#include <iconv.h>
#include <stdio.h>
#include <stdlib.h>

/* A message as a person would see it, for tests that look at what was sent. */
enum {
	DEPTH_MAX = 8, /* real mail stays below five */
	VALUE_MAX = 65536,
	NAME_MAX_LEN = 1024,
};

struct reading {
	json_t *text, *html; /* NULL: none yet */
	json_t *attachments;
	uint32_t count;  /* of attachments so far */
	uint32_t wanted; /* the attachment whose bytes are asked for; 0: none */
	struct buf *out, *out_type;
	bool found;
};

struct leaf {
	struct sv type; /* without parameters */
	struct sv charset;
	struct sv name, content_id;
	bool is_attachment, is_inline;
	struct mime_decoder decoder;
	struct sv body;
};

static enum mime_encoding encoding_of(struct sv name)
{
	if (sv_eq_nocase(name, SV("base64")))
		return MIME_BASE64;
	if (sv_eq_nocase(name, SV("quoted-printable")))
		return MIME_QUOTED_PRINTABLE;
	return MIME_IDENTITY;
}

static struct sv first_word(struct sv value)
{
	struct sv word;

	(void)sv_cut_char(&value, ';', &word);
	return sv_trim(word);
}

/* ---- character sets ---- */

/* What cannot be read becomes a question mark: it is for looking at, not for sending on. */
static json_t *utf8_json(struct sv bytes, struct sv charset)
{
	CLEANUP(buf_deinitp) struct buf out = BUF_INIT(4 * bytes.len + 8);
	char name[64];
	char *in = (char *)(uintptr_t)bytes.ptr, *at;
	size_t left = bytes.len, room;
	iconv_t to_utf8;

	(void)snprintf(name, sizeof(name), "%.*s", SV_ARG(sv_head(charset, sizeof(name) - 1)));
	to_utf8 = charset.len && !text_is_utf8(bytes) ? iconv_open("UTF-8", name) : (iconv_t)-1;
	/* NOLINTNEXTLINE(performance-no-int-to-ptr): iconv_open's way to say no */
	if (to_utf8 == (iconv_t)-1)
		return sandbox_json_text(bytes);
	must(buf_reserve(&out, 4 * bytes.len + 4) == 0);
	at = buf_tail(&out);
	room = 4 * bytes.len + 4;
	while (left) {
		if (iconv(to_utf8, &in, &left, &at, &room) != (size_t)-1 || !left || !room)
			break;
		*at++ = '?';
		room--;
		in++;
		left--;
	}
	(void)iconv_close(to_utf8);
	buf_grew(&out, (size_t)(at - buf_tail(&out)));
	return sandbox_json_text(buf_sv(&out));
}

/* ---- parts ---- */

static void take_attachment(struct reading *r, const struct leaf *l, struct sv bytes)
{
	json_t *o = json_object();

	r->count++;
	if (r->wanted == r->count) {
		r->found = buf_append(r->out, bytes) == 0 &&
			   buf_append(r->out_type, l->type) == 0 &&
			   buf_append_char(r->out_type, '\0') == 0;
	}
	must(json_object_set_new(o, "number", json_integer(r->count)) == 0);
	must(json_object_set_new(o, "name", sandbox_json_text(l->name)) == 0);
	must(json_object_set_new(o, "type", sandbox_json_text(l->type)) == 0);
	must(json_object_set_new(o, "size", json_integer((json_int_t)bytes.len)) == 0);
	must(json_object_set_new(o, "inline", json_boolean(l->is_inline)) == 0);
	must(json_object_set_new(o, "content_id", sandbox_json_text(l->content_id)) == 0);
	must(json_array_append_new(r->attachments, o) == 0);
}

static void take_leaf(struct reading *r, struct leaf *l)
{
	CLEANUP(buf_deinitp) struct buf bytes = BUF_INIT(l->body.len + 4);
	json_t **shown = sv_eq_nocase(l->type, SV("text/plain"))  ? &r->text
			 : sv_eq_nocase(l->type, SV("text/html")) ? &r->html
								  : NULL;
	uint64_t count = 0;

	if (mime_decode(&l->decoder, l->body, &bytes, &count) != 0 ||
		mime_decode_end(&l->decoder, &bytes, &count) != 0)
		return;
	if (shown && !*shown && !l->is_attachment)
		*shown = utf8_json(buf_sv(&bytes), l->charset);
	else
		take_attachment(r, l, buf_sv(&bytes));
}

static void read_part(struct reading *r, struct sv part, unsigned depth);

static void read_parts(struct reading *r, struct sv body, struct sv boundary, unsigned depth)
{
	struct mime_top top = { .kind = MIME_TOP_MULTIPART, .boundary_len = boundary.len };
	const struct mime_part *parts;
	struct mime_scan *scan;
	bool open;
	size_t count = 0;

	memcpy(top.boundary, boundary.ptr, boundary.len);
	scan = mime_scan_new(&top, NULL, 0, NULL);
	mime_scan_feed(scan, body);
	/* A multipart without its end is shown as far as it goes. */
	(void)!mime_scan_end(scan, &open);
	parts = mime_scan_parts(scan, &count);
	for (size_t i = 0; i < count; i++) {
		struct sv part = sv_skip(sv_head(body, parts[i].end), parts[i].from);
		struct sv delimiter;

		(void)sv_cut_char(&part, '\n', &delimiter);
		read_part(r, part, depth + 1);
	}
	mime_scan_free(scan);
}

static struct sv in_brackets(struct sv id)
{
	bool bare = id.len < 2 || id.ptr[0] != '<' || id.ptr[id.len - 1] != '>';

	return bare ? id : sv_skip(sv_head(id, id.len - 1), 1);
}

static struct header_block *read_header(struct sv part, struct sv *out_body)
{
	struct header_block *h = header_block_new(LIMIT_HEADER, LIMIT_HEADER_FIELDS);
	size_t used = 0;
	int rc = header_block_feed(h, part, &used);

	if (rc == 0)
		rc = header_block_end(h);
	if (rc < 0) {
		header_block_free(h);
		return NULL;
	}
	*out_body = sv_skip(part, used - header_block_body_bytes(h));
	return h;
}

static void read_part(struct reading *r, struct sv part, unsigned depth)
{
	CLEANUP(buf_deinitp)
	struct buf boundary = BUF_INIT(MIME_BOUNDARY_MAX), charset = BUF_INIT(64),
		   name = BUF_INIT(NAME_MAX_LEN);
	CLEANUP(header_block_freep) struct header_block *h = NULL;
	struct sv type, disposition, encoding, id, body;
	struct leaf l = { .type = SV("text/plain") };

	h = read_header(part, &body);
	if (!h)
		return;
	if (header_block_get(h, SV("Content-Type"), &type) && type.len)
		l.type = first_word(type);
	if (depth < DEPTH_MAX && sv_starts_nocase(l.type, SV("multipart/")) &&
		mime_parameter(type, SV("boundary"), &boundary) && boundary.len) {
		read_parts(r, body, buf_sv(&boundary), depth);
		return;
	}
	if (header_block_get(h, SV("Content-Disposition"), &disposition)) {
		l.is_inline = sv_eq_nocase(first_word(disposition), SV("inline"));
		l.is_attachment = sv_eq_nocase(first_word(disposition), SV("attachment"));
		(void)!mime_parameter(disposition, SV("filename"), &name);
	}
	if (type.len && !name.len)
		(void)!mime_parameter(type, SV("name"), &name);
	if (type.len)
		(void)!mime_parameter(type, SV("charset"), &charset);
	if (header_block_get(h, SV("Content-Transfer-Encoding"), &encoding))
		l.decoder.encoding = encoding_of(sv_trim(encoding));
	if (header_block_get(h, SV("Content-ID"), &id))
		l.content_id = in_brackets(sv_trim(id));
	l.is_attachment = l.is_attachment || name.len > 0;
	l.name = buf_sv(&name);
	l.charset = buf_sv(&charset);
	l.body = body;
	take_leaf(r, &l);
}

/* ---- fields ---- */

/* The next field of a header block, folded lines and all; false at its end. */
static bool next_field(struct sv *block, struct sv *out_field)
{
	size_t n = 0;
	ptrdiff_t lf;

	do {
		lf = sv_find_char(sv_skip(*block, n), '\n');
		n = lf < 0 ? block->len : n + (size_t)lf + 1;
	} while (n < block->len && (block->ptr[n] == ' ' || block->ptr[n] == '\t'));
	*out_field = sv_trim(sv_head(*block, n));
	*block = sv_skip(*block, n);
	return out_field->len > 0;
}

static json_t *headers_json(struct sv raw)
{
	json_t *all = json_array();
	struct sv field, name;

	while (next_field(&raw, &field) && sv_cut_char(&field, ':', &name)) {
		CLEANUP(buf_deinitp)
		struct buf flat = BUF_INIT(VALUE_MAX), value = BUF_INIT(VALUE_MAX);
		json_t *o = json_object();
		struct sv text = sv_trim(field);

		for (size_t i = 0; i < text.len; i++) {
			if (text.ptr[i] != '\r' && text.ptr[i] != '\n')
				(void)!buf_append_char(
					&flat, text.ptr[i] == '\t' ? ' ' : text.ptr[i]);
		}
		mime_words(buf_sv(&flat), &value);
		must(json_object_set_new(o, "name", sandbox_json_text(sv_trim(name))) == 0);
		must(json_object_set_new(o, "value", sandbox_json_text(buf_sv(&value))) == 0);
		must(json_array_append_new(all, o) == 0);
	}
	return all;
}

json_t *sandbox_message_parsed(const struct sandbox_message *message)
{
	struct sv raw = sv_make(message->raw, message->raw_len);
	json_t *o = sandbox_message_json(message);
	struct reading r = { .attachments = json_array() };

	read_part(&r, raw, 0);
	must(json_object_set_new(o, "headers", headers_json(raw)) == 0);
	must(json_object_set_new(o, "text", r.text ? r.text : json_null()) == 0);
	must(json_object_set_new(o, "html", r.html ? r.html : json_null()) == 0);
	must(json_object_set_new(o, "attachments", r.attachments) == 0);
	return o;
}

bool sandbox_message_attachment(const struct sandbox_message *message, uint32_t number,
	struct buf *out, struct buf *out_type)
{
	struct reading r = {
		.attachments = json_array(), .wanted = number, .out = out, .out_type = out_type
	};

	read_part(&r, sv_make(message->raw, message->raw_len), 0);
	json_decref(r.text);
	json_decref(r.html);
	json_decref(r.attachments);
	return r.found;
}
