/* SPDX-License-Identifier: Apache-2.0 */
#include "authn/wire.h"

#include "base/err.h"

#include <string.h>

void authn_wire_init(struct authn_wire *w)
{
	*w = (struct authn_wire){ 0 };
	/* An answer is at most 64 KiB; bytes of names may become four each. */
	buf_init(&w->text, LIMIT_DNS_ANSWER);
}

void authn_wire_deinit(struct authn_wire *w)
{
	buf_deinit(&w->text);
}

/* What would be read as something else is written as zone files do. */
static int put_label(struct buf *out, struct sv label)
{
	int rc = 0;

	for (size_t i = 0; i < label.len && rc == 0; i++) {
		unsigned char c = (unsigned char)label.ptr[i];

		rc = c > 0x20 && c < 0x7f && c != '.' && c != '\\'
			     ? buf_append_char(out, ascii_lower((char)c))
			     : buf_printf(out, "\\%03u", (unsigned)c);
	}
	return rc;
}

/* The whole of `v` is one name. */
static int put_name(struct buf *out, struct sv v)
{
	size_t from = out->len;
	int rc = v.len <= 255 ? 0 : RC_PARSE;

	while (rc == 0 && v.len) {
		size_t n = (unsigned char)v.ptr[0];

		if (n == 0)
			return v.len == 1 ? 0 : RC_PARSE;
		if (n > 63 || n + 1 >= v.len)
			return RC_PARSE;
		if (out->len > from)
			rc = buf_append_char(out, '.');
		if (rc == 0)
			rc = put_label(out, sv_make(v.ptr + 1, n));
		v = sv_skip(v, n + 1);
	}
	return rc == 0 ? RC_PARSE : rc;
}

/* Strings with a length before each, joined. */
static int put_strings(struct buf *out, struct sv v)
{
	size_t from = out->len;
	int rc = 0;

	while (v.len && rc == 0) {
		size_t n = (unsigned char)v.ptr[0];

		if (n + 1 > v.len)
			return RC_PARSE;
		if (out->len - from + n > LIMIT_DNS_TEXT)
			return RC_LIMIT;
		rc = buf_append(out, sv_make(v.ptr + 1, n));
		v = sv_skip(v, n + 1);
	}
	return rc;
}

static int put_record(struct buf *out, uint16_t type, struct sv v, uint16_t *out_preference)
{
	switch (type) {
	case AUTHN_A:
		return v.len == 4 ? buf_append(out, v) : RC_PARSE;
	case AUTHN_AAAA:
		return v.len == 16 ? buf_append(out, v) : RC_PARSE;
	case AUTHN_MX:
		if (v.len < 3)
			return RC_PARSE;
		*out_preference =
			(uint16_t)((unsigned char)v.ptr[0] << 8 | (unsigned char)v.ptr[1]);
		return put_name(out, sv_skip(v, 2));
	case AUTHN_CNAME:
	case AUTHN_NS:
	case AUTHN_PTR:
		return put_name(out, v);
	case AUTHN_TXT:
		return put_strings(out, v);
	default:
		return buf_append(out, v);
	}
}

void authn_wire_read(struct authn_wire *w, uint16_t type, const struct sv *rdata, size_t count)
{
	size_t at[LIMIT_DNS_RECORDS] = { 0 };

	w->answer = (struct authn_answer){ .records = w->records };
	buf_reset(&w->text);
	for (size_t i = 0; i < count; i++) {
		struct authn_record *r = &w->records[w->answer.count];
		size_t from = w->text.len;

		if (w->answer.count == LIMIT_DNS_RECORDS) {
			w->answer.cut = true;
			break;
		}
		*r = (struct authn_record){ 0 };
		if (put_record(&w->text, type, rdata[i], &r->preference) != 0) {
			w->text.len = from;
			w->answer.cut = true;
			continue;
		}
		at[w->answer.count++] = from;
	}
	/* Only now: the buffer has stopped moving. */
	for (size_t i = 0; i < w->answer.count; i++) {
		size_t to = i + 1 < w->answer.count ? at[i + 1] : w->text.len;

		w->records[i].data = sv_head(sv_skip(buf_sv(&w->text), at[i]), to - at[i]);
	}
}
