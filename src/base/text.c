/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include "base/err.h"
#include "base/must.h"

#include <stdio.h>
#include <string.h>

static const char base64_digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int text_base64_encode(struct buf *out, struct sv bytes)
{
	const unsigned char *p = (const unsigned char *)bytes.ptr;
	size_t full = bytes.len / 3 * 3;
	char *to;

	if (buf_reserve(out, (bytes.len + 2) / 3 * 4) != 0)
		return RC_LIMIT;
	if (bytes.len == 0)
		return 0;
	to = buf_tail(out);
	for (size_t i = 0; i < full; i += 3) {
		*to++ = base64_digits[p[i] >> 2];
		*to++ = base64_digits[(p[i] & 3) << 4 | p[i + 1] >> 4];
		*to++ = base64_digits[(p[i + 1] & 15) << 2 | p[i + 2] >> 6];
		*to++ = base64_digits[p[i + 2] & 63];
	}
	if (bytes.len - full == 1) {
		*to++ = base64_digits[p[full] >> 2];
		*to++ = base64_digits[(p[full] & 3) << 4];
		*to++ = '=';
		*to++ = '=';
	} else if (bytes.len - full == 2) {
		*to++ = base64_digits[p[full] >> 2];
		*to++ = base64_digits[(p[full] & 3) << 4 | p[full + 1] >> 4];
		*to++ = base64_digits[(p[full + 1] & 15) << 2];
		*to++ = '=';
	}
	buf_grew(out, (bytes.len + 2) / 3 * 4);
	return 0;
}

static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

int text_base64_decode(struct buf *out, struct sv text)
{
	size_t before = out->len;

	if (text.len % 4 != 0)
		return RC_PARSE;
	for (size_t i = 0; i < text.len; i += 4) {
		bool last = i + 4 == text.len;
		int a = base64_value(text.ptr[i]);
		int b = base64_value(text.ptr[i + 1]);
		int c = base64_value(text.ptr[i + 2]);
		int d = base64_value(text.ptr[i + 3]);
		int pad = last && text.ptr[i + 3] == '=' ? (text.ptr[i + 2] == '=' ? 2 : 1) : 0;
		char bytes[3];

		if (a < 0 || b < 0 || (c < 0 && pad < 2) || (d < 0 && pad < 1)) {
			out->len = before;
			return RC_PARSE;
		}
		bytes[0] = (char)(a << 2 | b >> 4);
		bytes[1] = (char)((b & 15) << 4 | (pad < 2 ? c >> 2 : 0));
		bytes[2] = (char)((pad < 2 ? (c & 3) << 6 : 0) | (pad < 1 ? d : 0));
		if (buf_append(out, sv_make(bytes, (size_t)(3 - pad))) != 0) {
			out->len = before;
			return RC_LIMIT;
		}
	}
	return 0;
}

/* Length of the UTF-8 sequence at the front (RFC 3629 4), 0 when it is not one. */
static size_t utf8_len(struct sv v)
{
	const unsigned char *p = (const unsigned char *)v.ptr;
	size_t len;

	if (p[0] < 0x80)
		return 1;
	len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	if (p[0] < 0xc2 || p[0] > 0xf4 || v.len < len)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
		(p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return len;
}

int text_put_character(struct buf *out, uint32_t code)
{
	static const unsigned char leads[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
	char bytes[4];
	unsigned n;

	if (code == 0 || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
		code = 0xfffd;
	n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
	bytes[0] = (char)(leads[n] | code >> 6 * (n - 1));
	for (unsigned i = 1; i < n; i++)
		bytes[i] = (char)(0x80 | (code >> 6 * (n - 1 - i) & 0x3f));
	return buf_append(out, sv_make(bytes, n));
}

bool text_is_utf8(struct sv v)
{
	while (v.len) {
		size_t len = utf8_len(v);

		if (len == 0)
			return false;
		v = sv_skip(v, len);
	}
	return true;
}

bool text_is_ascii(struct sv v)
{
	for (size_t i = 0; i < v.len; i++) {
		if ((unsigned char)v.ptr[i] > 0x7f || v.ptr[i] == '\0')
			return false;
	}
	return true;
}

static uint32_t code_point(struct sv c)
{
	const unsigned char *p = (const unsigned char *)c.ptr;
	static const unsigned char lead[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	uint32_t point = p[0] & lead[c.len];

	for (size_t i = 1; i < c.len; i++)
		point = point << 6 | (p[i] & 0x3fU);
	return point;
}

static bool steers(uint32_t point)
{
	return point < 0x20 || (point >= 0x7f && point < 0xa0) || point == 0x061c ||
	       point == 0x200e || point == 0x200f || (point >= 0x2028 && point <= 0x202e) ||
	       (point >= 0x2066 && point <= 0x2069) || point == 0xfeff || point == 0xfffe ||
	       point == 0xffff;
}

size_t text_next(struct sv v, bool *out_safe)
{
	size_t len = utf8_len(v);

	*out_safe = len > 0 && !steers(code_point(sv_head(v, len)));
	return len ? len : 1;
}

bool text_is_cut(struct sv v)
{
	unsigned char c = v.len ? (unsigned char)v.ptr[0] : 0;
	size_t len = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;

	for (size_t i = 1; i < v.len; i++)
		if (((unsigned char)v.ptr[i] & 0xc0) != 0x80)
			return false;
	return v.len < len;
}

static int put_bytes(struct buf *out, struct sv bytes)
{
	int rc = 0;

	for (size_t i = 0; i < bytes.len && rc == 0; i++)
		rc = buf_printf(out, "\\x%02x", (unsigned char)bytes.ptr[i]);
	return rc;
}

static int show(struct buf *out, struct sv v, const char *also)
{
	while (v.len) {
		bool safe;
		struct sv c = sv_head(v, text_next(v, &safe));
		int rc = safe && !strchr(also, c.ptr[0]) ? buf_append(out, c) : put_bytes(out, c);

		if (rc != 0)
			return rc;
		v = sv_skip(v, c.len);
	}
	return 0;
}

int text_show(struct buf *out, struct sv v)
{
	return show(out, v, "");
}

size_t text_line(struct sv v, char *out, size_t size)
{
	size_t at = 0;
	bool blank = false;

	must(size > 0);
	while (v.len) {
		bool safe;
		struct sv c = sv_head(v, text_next(v, &safe));

		v = sv_skip(v, c.len);
		if (!safe || c.ptr[0] == ' ') {
			blank = at > 0;
			continue;
		}
		if (at + blank + c.len >= size)
			break;
		if (blank)
			out[at++] = ' ';
		blank = false;
		memcpy(out + at, c.ptr, c.len);
		at += c.len;
	}
	out[at] = '\0';
	return at;
}

int text_log_quote(struct buf *out, struct sv v)
{
	return show(out, v, "\"\\");
}

static int json_char(struct buf *out, struct sv *v)
{
	bool safe, valid = utf8_len(*v) > 0;
	struct sv c = sv_head(*v, text_next(*v, &safe));

	*v = sv_skip(*v, c.len);
	if (!valid)
		return buf_append(out, SV("\xef\xbf\xbd"));
	if (c.ptr[0] == '"' || c.ptr[0] == '\\')
		return buf_printf(out, "\\%c", c.ptr[0]);
	return safe ? buf_append(out, c) : buf_printf(out, "\\u%04x", code_point(c));
}

int text_json_string(struct buf *out, struct sv v)
{
	int rc = buf_append_char(out, '"');

	while (rc == 0 && v.len)
		rc = json_char(out, &v);
	return rc == 0 ? buf_append_char(out, '"') : rc;
}

static const char crockford[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

const char *text_id(uint64_t id, char out[TEXT_ID_MAX])
{
	for (int i = TEXT_ID_LEN - 1; i >= 0; i--) {
		out[i] = crockford[id & 31];
		id >>= 5;
	}
	out[TEXT_ID_LEN] = '\0';
	return out;
}

int text_parse_id(struct sv text, uint64_t *out_id)
{
	uint64_t id = 0;

	if (text.len != TEXT_ID_LEN)
		return RC_PARSE;
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];
		const char *hit;

		if (c >= 'a' && c <= 'z')
			c = (char)(c - ('a' - 'A'));
		hit = c ? strchr(crockford, c) : NULL;
		if (!hit)
			return RC_PARSE;
		id = id << 5 | (uint64_t)(hit - crockford);
	}
	*out_id = id;
	return 0;
}

struct unit {
	struct sv name;
	uint64_t factor;
};

static const struct unit durations[] = {
	{ SV_INIT("d"), US_PER_DAY },
	{ SV_INIT("h"), US_PER_HOUR },
	{ SV_INIT("m"), US_PER_MIN },
	{ SV_INIT("s"), US_PER_S },
	{ SV_INIT("ms"), US_PER_MS },
};

static const struct unit sizes[] = {
	{ SV_INIT("GB"), UINT64_C(1) << 30 },
	{ SV_INIT("MB"), UINT64_C(1) << 20 },
	{ SV_INIT("KB"), UINT64_C(1) << 10 },
	{ SV_INIT("B"), 1 },
	{ SV_INIT(""), 1 },
};

static int parse_units(struct sv text, const struct unit *units, size_t count, uint64_t *out_value)
{
	size_t digits = 0;
	uint64_t value;
	int rc;

	while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9')
		digits++;
	rc = sv_parse_u64(sv_head(text, digits), UINT64_MAX, &value);
	if (rc != 0)
		return rc;
	text = sv_trim(sv_skip(text, digits));
	for (size_t i = 0; i < count; i++) {
		if (!sv_eq_nocase(text, units[i].name))
			continue;
		if (__builtin_mul_overflow(value, units[i].factor, &value) || value > INT64_MAX)
			return RC_LIMIT;
		*out_value = value;
		return 0;
	}
	return RC_PARSE;
}

int text_parse_duration(struct sv text, uint64_t *out_us)
{
	return parse_units(text, durations, COUNT_OF(durations), out_us);
}

int text_parse_size(struct sv text, uint64_t *out_bytes)
{
	return parse_units(text, sizes, COUNT_OF(sizes), out_bytes);
}

const char *text_duration(uint64_t us, char out[TEXT_DURATION_MAX])
{
	size_t i = 0;

	while (i + 1 < COUNT_OF(durations) && (us == 0 || us % durations[i].factor != 0))
		i++;
	(void)snprintf(out,
		TEXT_DURATION_MAX,
		"%llu%s",
		(unsigned long long)(us / durations[i].factor),
		durations[i].name.ptr);
	return out;
}

const char *text_span(uint64_t us, char out[TEXT_DURATION_MAX])
{
	if (us < 10 * US_PER_S) {
		(void)snprintf(out,
			TEXT_DURATION_MAX,
			"%llu.%llus",
			(unsigned long long)(us / US_PER_S),
			(unsigned long long)(us % US_PER_S / (US_PER_S / 10)));
		return out;
	}
	for (size_t i = 0; i + 2 < COUNT_OF(durations); i++) {
		const struct unit *big = &durations[i];
		const struct unit *small = &durations[i + 1];

		if (us < big->factor)
			continue;
		(void)snprintf(out,
			TEXT_DURATION_MAX,
			"%llu%s %llu%s",
			(unsigned long long)(us / big->factor),
			big->name.ptr,
			(unsigned long long)(us % big->factor / small->factor),
			small->name.ptr);
		return out;
	}
	(void)snprintf(out, TEXT_DURATION_MAX, "%llus", (unsigned long long)(us / US_PER_S));
	return out;
}

const char *text_size(uint64_t bytes, char out[TEXT_DURATION_MAX])
{
	for (size_t i = 0; i < 3; i++) {
		uint64_t factor = sizes[i].factor;

		if (bytes < factor)
			continue;
		(void)snprintf(out,
			TEXT_DURATION_MAX,
			"%llu.%llu %s",
			(unsigned long long)(bytes / factor),
			(unsigned long long)(bytes % factor * 10 / factor),
			sizes[i].name.ptr);
		return out;
	}
	(void)snprintf(out, TEXT_DURATION_MAX, "%llu B", (unsigned long long)bytes);
	return out;
}

char *text_digits(uint64_t number, char *to)
{
	char digits[20];
	size_t n = 0;

	do
		digits[n++] = (char)('0' + number % 10);
	while ((number /= 10) > 0);
	while (n > 0)
		*to++ = digits[--n];
	return to;
}

const char *text_count(long long number, char out[TEXT_COUNT_MAX])
{
	char digits[TEXT_COUNT_MAX];
	int len = snprintf(digits, sizeof(digits), "%lld", number), at = 0;

	for (int i = 0; i < len && at + 2 < TEXT_COUNT_MAX; i++) {
		if (i > 0 && (len - i) % 3 == 0 && digits[i - 1] != '-')
			out[at++] = ',';
		out[at++] = digits[i];
	}
	out[at] = '\0';
	return out;
}
