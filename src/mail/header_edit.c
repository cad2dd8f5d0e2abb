/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/header.h"

#include "base/err.h"
#include "base/must.h"
#include "mail/address.h"
#include "mail/header_priv.h"

/*
 * Writing. Every field is copied byte for byte unless an edit names it. An edit puts bytes at places
 * that the address scanner found, so names, comments and folding around them stay.
 */

struct render {
	struct header_block *h;
	const struct header_edits *edits;
	struct buf *out;
	bool from_seen, message_id_seen, date_seen, reply_to_seen;
};

static bool is_one_line(struct sv v)
{
	return sv_find_char(v, '\r') < 0 && sv_find_char(v, '\n') < 0 && sv_find_char(v, '\0') < 0;
}

/* Every line end is followed by a blank: it cannot begin a field of its own. */
static bool is_folded(struct sv v)
{
	for (size_t i = 0; i < v.len; i++) {
		bool crlf = v.ptr[i] == '\r' && i + 2 < v.len && v.ptr[i + 1] == '\n';

		if (crlf && (v.ptr[i + 2] == ' ' || v.ptr[i + 2] == '\t'))
			i += 2;
		else if (v.ptr[i] == '\r' || v.ptr[i] == '\n' || v.ptr[i] == '\0')
			return false;
	}
	return true;
}

static int append_field(struct buf *out, struct sv name, struct sv value)
{
	int rc = buf_append(out, name);

	if (rc == 0)
		rc = buf_append(out, value);
	return rc == 0 ? buf_append(out, SV("\r\n")) : rc;
}

/* How many mailboxes a list has (counting stops at two), and where the first one is. */
static int count_mailboxes(struct sv value, struct address_list_item *out_first)
{
	struct address_list list;
	struct address_list_item item;
	int count = 0;
	int rc;

	address_list_init(&list, value);
	for (rc = address_list_next(&list, &item); rc == 1; rc = address_list_next(&list, &item)) {
		if (count++ == 0)
			*out_first = item;
		if (count > 1)
			break;
	}
	return rc < 0 ? rc : count;
}

static int append_author(const struct render *r, const struct header_field *f)
{
	int rc = buf_append(r->out, header_field_name(r->h, f));

	return rc == 0 ? append_field(r->out, SV(": "), r->edits->from) : rc;
}

static int replace_from(const struct render *r, const struct header_field *f)
{
	struct sv raw = header_field_raw(r->h, f);
	size_t value_at = header_field_value_at(r->h, f);
	struct address_list_item item;
	size_t at;
	int rc;

	/* What is not exactly one readable mailbox could show a reader another one: replaced whole. */
	if (count_mailboxes(sv_skip(raw, value_at), &item) != 1)
		return append_author(r, f);
	at = value_at + item.at;
	rc = buf_append(r->out, sv_head(raw, at));
	if (rc == 0)
		rc = buf_append(r->out, r->edits->from);
	return rc == 0 ? buf_append(r->out, sv_skip(raw, at + item.len)) : rc;
}

static int qualify_list(const struct render *r, struct sv raw, size_t value_at)
{
	struct sv value = sv_skip(raw, value_at);
	struct address_list list;
	struct address_list_item item;
	size_t copied = 0;
	int rc = buf_append(r->out, sv_head(raw, value_at));

	address_list_init(&list, value);
	while (rc == 0) {
		size_t end;

		rc = address_list_next(&list, &item);
		if (rc <= 0)
			break;
		rc = 0;
		if (item.address.len == 0 || address_at(item.address) >= 0)
			continue;
		end = item.at + item.len;
		rc = buf_append(r->out, sv_head(sv_skip(value, copied), end - copied));
		if (rc == 0)
			rc = buf_append_char(r->out, '@');
		if (rc == 0)
			rc = buf_append(r->out, r->edits->qualify);
		copied = end;
	}
	return rc == 0 ? buf_append(r->out, sv_skip(value, copied)) : rc;
}

static int qualify_field(const struct render *r, const struct header_field *f)
{
	struct sv raw = header_field_raw(r->h, f);
	size_t before = r->out->len;
	int rc = qualify_list(r, raw, header_field_value_at(r->h, f));

	/* A list that cannot be read to its end stays as it is, all of it. */
	if (rc == RC_PARSE) {
		r->out->len = before;
		rc = buf_append(r->out, raw);
	}
	return rc;
}

static bool is_one_of(struct sv name, const struct sv *names, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (sv_eq_nocase(name, names[i]))
			return true;
	}
	return false;
}

static bool has_addresses(struct sv name)
{
	static const struct sv names[] = {
		SV_INIT("From"),
		SV_INIT("Sender"),
		SV_INIT("To"),
		SV_INIT("Cc"),
		SV_INIT("Reply-To"),
	};

	return is_one_of(name, names, COUNT_OF(names));
}

static bool names_recipients(struct sv name)
{
	static const struct sv names[] = {
		SV_INIT("To"),
		SV_INIT("Cc"),
		SV_INIT("Bcc"),
		SV_INIT("Resent-To"),
		SV_INIT("Resent-Cc"),
		SV_INIT("Resent-Bcc"),
	};

	return is_one_of(name, names, COUNT_OF(names));
}

/* A field that stays counts as seen; an empty one goes where an edit has a value for it. */
static bool gives_way(struct render *r, struct header_field *f, bool has_edit, bool *seen)
{
	if (has_edit && header_field_value(r->h, f).len == 0)
		return true;
	*seen = true;
	return false;
}

/* Whether the edits remove this field; notes on the way which fields there are. */
static bool is_dropped(struct render *r, struct header_field *f)
{
	const struct header_edits *e = r->edits;
	struct sv name = header_field_name(r->h, f);

	if (e->drop_recipients && names_recipients(name))
		return true;
	if (e->drop_bcc && (sv_eq_nocase(name, SV("Bcc")) || sv_eq_nocase(name, SV("Resent-Bcc"))))
		return true;
	/* Who spoke for the one that From does not name any more speaks for nobody. */
	if (e->from.len &&
		(sv_eq_nocase(name, SV("Sender")) || sv_eq_nocase(name, SV("Resent-Sender"))))
		return true;
	if (e->drop_return_path && sv_eq_nocase(name, SV("Return-Path")))
		return true;
	if (sv_eq_nocase(name, SV("Message-ID")))
		return gives_way(r, f, e->message_id.len > 0, &r->message_id_seen);
	if (sv_eq_nocase(name, SV("Date")))
		return gives_way(r, f, e->date.us != 0, &r->date_seen);
	if (sv_eq_nocase(name, SV("Reply-To")))
		return gives_way(r, f, e->reply_to_missing.len > 0, &r->reply_to_seen);
	if (sv_eq_nocase(name, SV("From")) && (e->from.len || (e->one_from && r->from_seen)))
		return r->from_seen;
	if (sv_eq_nocase(name, SV("From")))
		return gives_way(r, f, e->from_missing.len > 0, &r->from_seen);
	return false;
}

static int render_field(struct render *r, struct header_field *f)
{
	struct sv name = header_field_name(r->h, f);

	if (is_dropped(r, f))
		return 0;
	if (sv_eq_nocase(name, SV("From")) && r->edits->from.len) {
		r->from_seen = true;
		return replace_from(r, f);
	}
	if (sv_eq_nocase(name, SV("Resent-From")) && r->edits->from.len)
		return replace_from(r, f);
	if (r->edits->qualify.len && has_addresses(name))
		return qualify_field(r, f);
	return buf_append(r->out, header_field_raw(r->h, f));
}

static int render_missing(const struct render *r)
{
	const struct header_edits *e = r->edits;
	char date[WALL_RFC5322_MAX];
	int rc = 0;

	if (!r->from_seen && e->from.len)
		rc = append_field(r->out, SV("From: "), e->from);
	else if (!r->from_seen && e->from_missing.len)
		rc = append_field(r->out, SV("From: "), e->from_missing);
	if (rc == 0 && !r->reply_to_seen && e->reply_to_missing.len)
		rc = append_field(r->out, SV("Reply-To: "), e->reply_to_missing);
	if (rc == 0 && !r->message_id_seen && e->message_id.len)
		rc = append_field(r->out, SV("Message-ID: "), e->message_id);
	if (rc == 0 && !r->date_seen && e->date.us != 0)
		rc = append_field(r->out, SV("Date: "), sv_from(wall_rfc5322(e->date, date)));
	return rc == 0 ? buf_append(r->out, e->added) : rc;
}

int header_block_render(struct header_block *h, const struct header_edits *edits, struct buf *out)
{
	struct render r = { .h = h, .edits = edits, .out = out };
	size_t before = out->len;
	int rc = 0;

	must(h->complete);
	must(is_folded(edits->received));
	must(is_one_line(edits->message_id));
	must(is_one_line(edits->from));
	must(is_one_line(edits->from_missing));
	must(is_one_line(edits->reply_to_missing));
	must(is_one_line(edits->qualify));
	if (edits->received.len)
		rc = append_field(out, SV("Received: "), edits->received);
	for (size_t i = 0; rc == 0 && i < h->field_count; i++)
		rc = render_field(&r, &h->fields[i]);
	if (rc == 0)
		rc = render_missing(&r);
	if (rc == 0)
		rc = buf_append(out, SV("\r\n"));
	if (rc == 0)
		rc = buf_append(out, sv_skip(buf_sv(&h->raw), h->line_at));
	if (rc != 0)
		out->len = before;
	return rc;
}
