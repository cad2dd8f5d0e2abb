/* SPDX-License-Identifier: Apache-2.0 */
#include "setup/quote.h"

#include "base/text.h"

enum {
	REPLACEMENT = 0xfffd,
	BEYOND_BMP = 0x10000,
	SURROGATE_HIGH = 0xd800,
	SURROGATE_LOW = 0xdc00,
	SURROGATE_BITS = 10,
	CHARACTER_BYTES_MAX = 4,
};

static bool is_plain(uint32_t c)
{
	return c >= ' ' && c <= '~';
}

static uint32_t decode(struct sv c)
{
	static const unsigned char first_bits[CHARACTER_BYTES_MAX + 1] = {
		0, 0x7f, 0x1f, 0x0f, 0x07
	};
	uint32_t value = (unsigned char)c.ptr[0] & first_bits[c.len];

	for (size_t i = 1; i < c.len; i++)
		value = value << 6 | ((unsigned char)c.ptr[i] & 0x3f);
	return value;
}

uint32_t setup_utf8_next(struct sv *text)
{
	for (size_t n = 1; n <= CHARACTER_BYTES_MAX && n <= text->len; n++) {
		struct sv c = sv_head(*text, n);

		if (!text_is_utf8(c))
			continue;
		*text = sv_skip(*text, n);
		return decode(c);
	}
	*text = sv_skip(*text, 1);
	return REPLACEMENT;
}

static bool all_plain(struct sv text)
{
	for (size_t i = 0; i < text.len; i++)
		if (!is_plain((unsigned char)text.ptr[i]))
			return false;
	return true;
}

static int put_plain(struct buf *out, uint32_t c)
{
	int rc = c == '\'' ? buf_append_char(out, '\'') : 0;

	return rc ? rc : buf_append_char(out, (char)c);
}

static int put_code(struct buf *out, uint32_t c)
{
	if (c < BEYOND_BMP)
		return buf_printf(out, "' + [char]0x%04X + '", c);
	c -= BEYOND_BMP;
	return buf_printf(out,
		"' + [char]0x%04X + [char]0x%04X + '",
		SURROGATE_HIGH | c >> SURROGATE_BITS,
		SURROGATE_LOW | (c & ((1U << SURROGATE_BITS) - 1)));
}

int setup_ps_quote(struct buf *out, struct sv text)
{
	bool plain = all_plain(text);
	int rc = buf_append(out, plain ? SV("'") : SV("('"));

	while (rc == 0 && text.len) {
		uint32_t c = setup_utf8_next(&text);

		rc = is_plain(c) ? put_plain(out, c) : put_code(out, c);
	}
	return rc ? rc : buf_append(out, plain ? SV("'") : SV("')"));
}

int setup_ps_comment(struct buf *out, struct sv text)
{
	int rc = 0;

	while (rc == 0 && text.len) {
		uint32_t c = setup_utf8_next(&text);

		rc = buf_append_char(out, is_plain(c) ? (char)c : '?');
	}
	return rc;
}
