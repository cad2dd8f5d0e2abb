/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "base/text.h"
#include "mail/address.h"
#include "mail/address_list.h"
#include "mail/mime.h"
#include "sandbox/events.h"
#include "sandbox/html_text.h"
#include "sandbox/mailpit_priv.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	SNIPPET_CHARACTERS = 250, /* as Mailpit cuts it */
	NAME_MAX_BYTES = 1024,
	ADDRESSES_MAX = 2000, /* of a field that are shown */
	LINKS_MAX = 2,
	HEX_MAX = 2 * EVP_MAX_MD_SIZE + 1,
};

static void put(json_t *o, const char *key, json_t *value)
{
	must(json_object_set_new(o, key, value) == 0);
}

static struct sv text_of(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	return sv_make(json_string_value(v), json_string_length(v));
}

/* The value of the first header field of that name. */
static struct sv field(const json_t *parsed, const char *name)
{
	const json_t *all = json_object_get(parsed, "headers"), *h;
	size_t i;

	json_array_foreach(all, i, h)
	{
		if (sv_eq_nocase(text_of(h, "name"), sv_from(name)))
			return text_of(h, "value");
	}
	return SV("");
}

/* ---- addresses ---- */

static json_t *person(struct sv name, struct sv address)
{
	CLEANUP(buf_deinitp) struct buf plain = BUF_INIT(NAME_MAX_BYTES);
	json_t *o = json_object();

	/* A quoted name loses its quotes; what was quoted in them loses its backslash. */
	for (size_t i = 0; i < name.len; i++) {
		if (name.ptr[i] == '"')
			continue;
		if (name.ptr[i] == '\\' && i + 1 < name.len)
			i++;
		(void)!buf_append_char(&plain, name.ptr[i]);
	}
	put(o, "Name", sandbox_json_text(sv_trim(buf_sv(&plain))));
	put(o, "Address", sandbox_json_text(address));
	return o;
}

static json_t *people(const json_t *parsed, const char *name)
{
	struct address_list list;
	struct address_list_item item;
	struct sv value = field(parsed, name), bad;
	json_t *all = json_array();
	int rc;

	address_list_init(&list, value);
	while (json_array_size(all) < ADDRESSES_MAX) {
		rc = address_list_next(&list, &item);
		if (rc == 1)
			must(json_array_append_new(all,
				     person(sv_head(sv_skip(value, item.name_at), item.name_len),
					     item.address)) == 0);
		else if (rc == 0 || !address_list_skip(&list, &bad))
			break;
	}
	return all;
}

static bool names(const json_t *list, struct sv address)
{
	const json_t *one;
	size_t i;

	json_array_foreach(list, i, one)
	{
		if (address_eq(text_of(one, "Address"), address))
			return true;
	}
	return false;
}

/* Who got it and is named nowhere. */
static json_t *blind(const struct sandbox_message *m, const json_t *to, const json_t *cc)
{
	json_t *all = json_array();

	for (size_t i = 0; i < m->recipient_count; i++) {
		struct sv address = sv_from(m->recipients[i]);

		if (!names(to, address) && !names(cc, address))
			must(json_array_append_new(all, person(SV(""), address)) == 0);
	}
	return all;
}

/* ---- both forms ---- */

static struct sv bare_id(const struct sandbox_message *m)
{
	struct sv id = sv_from(m->message_id);
	bool bracketed = id.len > 2 && id.ptr[0] == '<' && id.ptr[id.len - 1] == '>';

	return bracketed ? sv_make(id.ptr + 1, id.len - 2) : id;
}

static void put_common(json_t *o, const struct sandbox_message *m, const json_t *parsed)
{
	CLEANUP(buf_deinitp) struct buf subject = BUF_INIT(4 * strlen(m->subject) + 64);
	json_t *from = people(parsed, "From"), *to = people(parsed, "To"),
	       *cc = people(parsed, "Cc");
	char id[24];

	(void)snprintf(id, sizeof(id), "%llu", (unsigned long long)m->number);
	mime_words(sv_from(m->subject), &subject);
	put(o, "ID", json_string(id));
	put(o, "MessageID", sandbox_json_text(bare_id(m)));
	put(o, "From", json_array_size(from) ? json_incref(json_array_get(from, 0)) : json_null());
	put(o, "Bcc", blind(m, to, cc));
	put(o, "To", to);
	put(o, "Cc", cc);
	put(o, "ReplyTo", people(parsed, "Reply-To"));
	put(o, "Subject", sandbox_json_text(buf_sv(&subject)));
	put(o, "Size", json_integer((json_int_t)m->raw_len));
	put(o, "Tags", json_array());
	put(o, "Username", sandbox_json_text(sv_from(m->mailbox)));
	json_decref(from);
}

static json_t *plain_text(const json_t *parsed)
{
	const json_t *text = json_object_get(parsed, "text");

	/* Who looks for a code finds it in a message without a plain part, too. */
	return json_is_string(text) ? json_copy((json_t *)(uintptr_t)text)
				    : html_text(text_of(parsed, "html"));
}

/* ---- summary ---- */

static json_t *snippet(struct sv text)
{
	CLEANUP(buf_deinitp) struct buf out = BUF_INIT(4 * SNIPPET_CHARACTERS + 16);
	size_t count = 0;
	bool gap = false, safe;

	while (text.len && count < SNIPPET_CHARACTERS) {
		size_t n = text_next(text, &safe);

		if (!safe || *text.ptr == ' ') {
			gap = out.len > 0;
		} else {
			if (gap)
				(void)!buf_append_char(&out, ' ');
			gap = false;
			(void)!buf_append(&out, sv_head(text, n));
			count++;
		}
		text = sv_skip(text, n);
	}
	return json_stringn(out.len ? buf_sv(&out).ptr : "", out.len);
}

static json_t *make_summary(const struct sandbox_message *m)
{
	json_t *parsed = sandbox_message_parsed(m), *o = json_object(), *text = plain_text(parsed);
	char created[WALL_RFC3339_MAX];

	put_common(o, m, parsed);
	put(o, "Created", json_string(wall_rfc3339(m->date, created)));
	put(o,
		"Attachments",
		json_integer((json_int_t)json_array_size(json_object_get(parsed, "attachments"))));
	put(o, "Snippet", snippet(sv_make(json_string_value(text), json_string_length(text))));
	json_decref(text);
	json_decref(parsed);
	return o;
}

json_t *mailpit_summary(struct sandbox_message *m)
{
	if (!m->summary)
		m->summary = make_summary(m);
	put(m->summary, "Read", json_boolean(m->read));
	return m->summary;
}

/* ---- whole ---- */

static json_t *hash(struct sv bytes, const EVP_MD *md)
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	char hex[HEX_MAX] = "";

	/* A provider that refuses MD5 leaves it empty. */
	if (EVP_Digest(bytes.ptr ? bytes.ptr : "", bytes.len, sum, &len, md, NULL) != 1)
		len = 0;
	for (unsigned i = 0; i < len; i++)
		(void)snprintf(hex + (size_t)2 * i, 3, "%02x", sum[i]);
	return json_string(hex);
}

static json_t *checksums(const struct sandbox_message *m, uint32_t number)
{
	CLEANUP(buf_deinitp)
	struct buf bytes = BUF_INIT(m->raw_len + 1), type = BUF_INIT(m->raw_len + 1);
	json_t *o = json_object();

	if (!sandbox_message_attachment(m, number, &bytes, &type))
		buf_reset(&bytes);
	put(o, "MD5", hash(buf_sv(&bytes), EVP_md5()));
	put(o, "SHA1", hash(buf_sv(&bytes), EVP_sha1()));
	put(o, "SHA256", hash(buf_sv(&bytes), EVP_sha256()));
	return o;
}

static void put_attachments(json_t *o, const struct sandbox_message *m, const json_t *parsed)
{
	json_t *attached = json_array(), *shown = json_array();
	const json_t *a;
	size_t i;

	json_array_foreach(json_object_get(parsed, "attachments"), i, a)
	{
		json_t *part = json_object();
		json_int_t number = json_integer_value(json_object_get(a, "number"));
		char id[24];

		(void)snprintf(id, sizeof(id), "%lld", (long long)number);
		put(part, "PartID", json_string(id));
		put(part, "FileName", json_incref(json_object_get(a, "name")));
		put(part, "ContentType", json_incref(json_object_get(a, "type")));
		put(part, "ContentID", json_incref(json_object_get(a, "content_id")));
		put(part, "Size", json_incref(json_object_get(a, "size")));
		put(part, "Checksums", checksums(m, (uint32_t)number));
		must(json_array_append_new(
			     json_is_true(json_object_get(a, "inline")) ? shown : attached, part) ==
			0);
	}
	put(o, "Attachments", attached);
	put(o, "Inline", shown);
}

/* RFC 2369 3.2: addresses in angle brackets. One by mail and one by HTTP are what readers use. */
static json_t *unsubscribe(const json_t *parsed)
{
	struct sv header = field(parsed, "List-Unsubscribe"), rest = header, link;
	json_t *o = json_object(), *links = json_array();

	while (json_array_size(links) < LINKS_MAX && sv_cut_char(&rest, '<', &link) &&
		sv_cut_char(&rest, '>', &link))
		must(json_array_append_new(links, sandbox_json_text(sv_trim(link))) == 0);
	put(o, "Header", sandbox_json_text(header));
	put(o, "HeaderPost", sandbox_json_text(field(parsed, "List-Unsubscribe-Post")));
	put(o, "Links", links);
	put(o,
		"Errors",
		json_string(
			header.len && !json_array_size(links) ? "no link in angle brackets" : ""));
	return o;
}

json_t *mailpit_message(const struct sandbox_message *m)
{
	json_t *parsed = sandbox_message_parsed(m), *o = json_object();
	struct wall_time date = m->date;
	char text[WALL_RFC3339_MAX];

	(void)!wall_parse_rfc5322(field(parsed, "Date"), &date);
	put_common(o, m, parsed);
	put(o, "Date", json_string(wall_rfc3339(date, text)));
	put(o, "ReturnPath", sandbox_json_text(sv_from(m->sender)));
	put(o, "Text", plain_text(parsed));
	put(o, "HTML", sandbox_json_text(text_of(parsed, "html")));
	put_attachments(o, m, parsed);
	put(o, "ListUnsubscribe", unsubscribe(parsed));
	json_decref(parsed);
	return o;
}

json_t *mailpit_headers(const struct sandbox_message *m)
{
	json_t *parsed = sandbox_message_parsed(m), *o = json_object();
	const json_t *h;
	size_t i;

	json_array_foreach(json_object_get(parsed, "headers"), i, h)
	{
		const char *name = json_string_value(json_object_get(h, "name"));
		json_t *values = json_object_get(o, name);

		if (!values) {
			values = json_array();
			put(o, name, values);
		}
		must(json_array_append(values, json_object_get(h, "value")) == 0);
	}
	json_decref(parsed);
	return o;
}
