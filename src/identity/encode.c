/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/encode.h"

#include "base/err.h"
#include "base/must.h"
#include "base/text.h"
#include "io/loop.h"

#include <stdio.h>
#include <stdlib.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

int identity_base64url_encode(struct buf *out, struct sv bytes)
{
	size_t full = bytes.len / 3, rest = bytes.len % 3;
	size_t len = full * 4 + (rest ? rest + 1 : 0);
	char *to;

	if (buf_reserve(out, len) != 0)
		return RC_LIMIT;
	to = buf_tail(out);
	for (size_t i = 0; i < bytes.len; i += 3) {
		const unsigned char *b = (const unsigned char *)bytes.ptr + i;
		size_t n = bytes.len - i < 3 ? bytes.len - i : 3;
		unsigned v = (unsigned)b[0] << 16;

		if (n > 1)
			v |= (unsigned)b[1] << 8;
		if (n > 2)
			v |= b[2];
		for (size_t k = 0; k <= n; k++)
			*to++ = alphabet[v >> (18 - 6 * k) & 63];
	}
	buf_grew(out, len);
	return 0;
}

static int letter_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '-')
		return 62;
	return c == '_' ? 63 : -1;
}

int identity_base64url_decode(struct buf *out, struct sv text)
{
	size_t before = out->len;
	unsigned held = 0, bits = 0;

	if (text.len % 4 == 1)
		return RC_PARSE;
	if (buf_reserve(out, text.len / 4 * 3 + 3) != 0)
		return RC_LIMIT;
	for (size_t i = 0; i < text.len; i++) {
		int value = letter_value(text.ptr[i]);

		if (value < 0)
			goto wrong;
		held = (held << 6 | (unsigned)value) & 0xffff;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			if (buf_append_char(out, (char)(held >> bits & 0xff)) != 0)
				goto wrong;
		}
	}
	if (held & ((1U << bits) - 1))
		goto wrong;
	return 0;
wrong:
	out->len = before;
	return RC_PARSE;
}

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'f');
}

bool identity_is_guid(struct sv text)
{
	if (text.len != IDENTITY_GUID_MAX - 1)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? text.ptr[i] != '-' : !is_hex(text.ptr[i]))
			return false;
	}
	return true;
}

void identity_guid_random(char out[IDENTITY_GUID_MAX])
{
	unsigned char b[16];

	io_random(b, sizeof(b));
	b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
	b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
	(void)snprintf(out,
		IDENTITY_GUID_MAX,
		"%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
		b[0],
		b[1],
		b[2],
		b[3],
		b[4],
		b[5],
		b[6],
		b[7],
		b[8],
		b[9],
		b[10],
		b[11],
		b[12],
		b[13],
		b[14],
		b[15]);
}

/* ---- forms ---- */

static bool is_plain(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_' || c == '.' || c == '~';
}

static char *put_escaped(char *to, struct sv value)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < value.len; i++) {
		unsigned char c = (unsigned char)value.ptr[i];

		if (is_plain((char)c)) {
			*to++ = (char)c;
		} else {
			*to++ = '%';
			*to++ = hex[c >> 4];
			*to++ = hex[c & 15];
		}
	}
	return to;
}

static size_t form_len_max(const struct identity_pair *pairs, size_t count)
{
	size_t len = 1;

	for (size_t i = 0; i < count; i++)
		len += strlen(pairs[i].name) + 2 + 3 * pairs[i].value.len;
	return len;
}

static size_t form_put(char *out, const struct identity_pair *pairs, size_t count)
{
	char *to = out;

	for (size_t i = 0; i < count; i++) {
		size_t len = strlen(pairs[i].name);

		if (!pairs[i].value.ptr)
			continue;
		if (to != out)
			*to++ = '&';
		memcpy(to, pairs[i].name, len);
		to += len;
		*to++ = '=';
		to = put_escaped(to, pairs[i].value);
	}
	return (size_t)(to - out);
}

struct secret *identity_form(const struct identity_pair *pairs, size_t count)
{
	size_t max = form_len_max(pairs, count);
	char *text = xmalloc(max);
	struct secret *form = secret_new(sv_make(text, form_put(text, pairs, count)));

	secret_wipe(text, max);
	free(text);
	return form;
}

int identity_form_url(
	struct buf *out, struct sv url, const struct identity_pair *pairs, size_t count)
{
	if (buf_reserve(out, url.len + 1 + form_len_max(pairs, count)) != 0)
		return RC_LIMIT;
	must(buf_append(out, url) == 0);
	must(buf_append_char(out, '?') == 0);
	buf_grew(out, form_put(buf_tail(out), pairs, count));
	return 0;
}

static unsigned hex_value(char c)
{
	return c <= '9' ? (unsigned)(c - '0') : (unsigned)(ascii_lower(c) - 'a' + 10);
}

int identity_form_decode(struct buf *out, struct sv value)
{
	for (size_t i = 0; i < value.len; i++) {
		char c = value.ptr[i];

		if (c == '+') {
			c = ' ';
		} else if (c == '%') {
			if (i + 2 >= value.len || !is_hex(value.ptr[i + 1]) ||
				!is_hex(value.ptr[i + 2]))
				return RC_PARSE;
			c = (char)(hex_value(value.ptr[i + 1]) << 4 | hex_value(value.ptr[i + 2]));
			i += 2;
		}
		if ((unsigned char)c < ' ' || c == 0x7f)
			return RC_PARSE;
		if (buf_append_char(out, c) != 0)
			return RC_LIMIT;
	}
	return 0;
}
