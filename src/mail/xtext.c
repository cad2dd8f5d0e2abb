/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/dsn.h"

#include "base/err.h"

int dsn_xtext_encode(struct buf *out, struct sv text)
{
	size_t before = out->len;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		if (c <= 0x20 || c >= 0x7f || c == '+' || c == '=')
			rc = buf_printf(out, "+%02X", c);
		else
			rc = buf_append_char(out, (char)c);
	}
	if (rc != 0)
		out->len = before;
	return rc;
}

/* RFC 3461 4: upper case only. */
static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int decode_char(struct sv *text, char *out_char)
{
	char c = text->ptr[0];

	if (c == '+') {
		int high = text->len >= 3 ? hex_value(text->ptr[1]) : -1;
		int low = text->len >= 3 ? hex_value(text->ptr[2]) : -1;

		if (high < 0 || low < 0)
			return RC_PARSE;
		*out_char = (char)(high << 4 | low);
		*text = sv_skip(*text, 3);
		return 0;
	}
	if (c <= 0x20 || c >= 0x7f || c == '=')
		return RC_PARSE;
	*out_char = c;
	*text = sv_skip(*text, 1);
	return 0;
}

int dsn_xtext_decode(struct buf *out, struct sv text)
{
	size_t before = out->len;
	int rc = 0;

	while (rc == 0 && text.len) {
		char c;

		rc = decode_char(&text, &c);
		if (rc == 0)
			rc = buf_append_char(out, c);
	}
	if (rc != 0)
		out->len = before;
	return rc;
}
