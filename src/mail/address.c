/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/address.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/text.h"

enum {
	LABEL_MAX = 63
}; /* RFC 1035 2.3.4 */

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* RFC 5322 3.2.3, and RFC 6531 3.3 for the bytes above 0x7f (their form is checked elsewhere). */
static bool is_atext(char c, unsigned flags)
{
	if ((unsigned char)c > 0x7f)
		return flags & ADDRESS_UTF8;
	return c != '\0' && (is_alnum(c) || strchr("!#$%&'*+-/=?^_`{|}~", c));
}

/* U+0080 to U+009F are control characters: some terminals and log viewers obey them. */
static bool has_c1_control(struct sv v)
{
	for (size_t i = 0; i + 1 < v.len; i++) {
		if (v.ptr[i] == '\xc2' && (unsigned char)v.ptr[i + 1] < 0xa0)
			return true;
	}
	return false;
}

static int parse_quoted_local(struct sv text, unsigned flags, size_t *out_len)
{
	size_t i = 1;

	while (i < text.len && text.ptr[i] != '"') {
		unsigned char c;

		if (text.ptr[i] == '\\')
			i++;
		if (i >= text.len)
			return RC_PARSE;
		c = (unsigned char)text.ptr[i];
		if (c < 0x20 || c == 0x7f || (c > 0x7f && !(flags & ADDRESS_UTF8)))
			return RC_PARSE;
		i++;
	}
	if (i >= text.len || i == 1)
		return RC_PARSE;
	*out_len = i + 1;
	return 0;
}

static int parse_dot_string(struct sv text, unsigned flags, size_t *out_len)
{
	bool loose = flags & ADDRESS_LOOSE;
	bool after_dot = true;
	size_t i = 0;

	for (; i < text.len && text.ptr[i] != '@'; i++) {
		bool dot = text.ptr[i] == '.';

		if (dot ? after_dot && !loose : !is_atext(text.ptr[i], flags))
			return RC_PARSE;
		after_dot = dot;
	}
	if (i == 0 || (after_dot && !loose))
		return RC_PARSE;
	*out_len = i;
	return 0;
}

static bool ipv4_ok(struct sv v)
{
	for (int i = 0; i < 4; i++) {
		struct sv part;
		uint32_t n;
		bool more = sv_cut_char(&v, '.', &part);

		if (part.len > 3 || sv_parse_u32(part, 255, &n) != 0 || more != (i < 3))
			return false;
	}
	return v.len == 0;
}

/* The form of RFC 4291 2.2 in so far as it matters here: groups, one "::", an IPv4 tail. */
static bool ipv6_ok(struct sv v)
{
	int groups = 0, gaps = 0;
	size_t i = 0;

	while (i < v.len) {
		struct sv rest = sv_skip(v, i);
		size_t digits = 0;

		if (sv_starts(rest, SV("::"))) {
			gaps++;
			i += 2;
			continue;
		}
		if (groups && rest.ptr[0] == ':' && v.ptr[i - 1] != ':') {
			i++;
			continue;
		}
		if (sv_find_char(rest, '.') >= 0 && sv_find_char(rest, ':') < 0) {
			groups += 2;
			return ipv4_ok(rest) && gaps <= 1 && (gaps ? groups < 8 : groups == 8);
		}
		while (digits < rest.len && strchr("0123456789abcdefABCDEF", rest.ptr[digits]) &&
			rest.ptr[digits] != '\0')
			digits++;
		if (digits == 0 || digits > 4)
			return false;
		if (digits < rest.len && rest.ptr[digits] != ':')
			return false;
		groups++;
		i += digits;
	}
	if (v.len && v.ptr[v.len - 1] == ':' && !(v.len > 1 && v.ptr[v.len - 2] == ':'))
		return false;
	return gaps <= 1 && (gaps ? groups < 8 : groups == 8);
}

static int check_literal(struct sv domain)
{
	struct sv inner = sv_head(sv_skip(domain, 1), domain.len >= 2 ? domain.len - 2 : 0);

	if (domain.len < 3 || domain.ptr[domain.len - 1] != ']')
		return RC_PARSE;
	if (sv_starts_nocase(inner, SV("IPv6:")))
		return ipv6_ok(sv_skip(inner, 5)) ? 0 : RC_PARSE;
	return ipv4_ok(inner) ? 0 : RC_PARSE;
}

/*
 * Stricter than no check and laxer than RFC 5321 in one point: an underscore may stand in a label,
 * since names inside of companies have them.
 */
static int check_domain(struct sv domain, unsigned flags)
{
	bool more = true;

	if (domain.len && domain.ptr[0] == '[')
		return check_literal(domain);
	if ((flags & ADDRESS_LOOSE) && domain.len > 1 && domain.ptr[domain.len - 1] == '.')
		domain.len--;
	while (more) {
		struct sv label;

		more = sv_cut_char(&domain, '.', &label);
		if (label.len == 0)
			return RC_PARSE;
		if (label.len > LABEL_MAX)
			return RC_LIMIT;
		if (label.ptr[0] == '-' || label.ptr[label.len - 1] == '-')
			return RC_PARSE;
		for (size_t i = 0; i < label.len; i++) {
			char c = label.ptr[i];
			bool high = (unsigned char)c > 0x7f;

			if (high ? !(flags & ADDRESS_UTF8) : !(is_alnum(c) || c == '-' || c == '_'))
				return RC_PARSE;
		}
	}
	return 0;
}

int address_parse(struct sv text, unsigned flags, struct address *out_address)
{
	struct address a = { .text = text };
	size_t local_len;
	int rc;

	if (text.len == 0)
		return RC_PARSE;
	if (text.len > LIMIT_ADDRESS)
		return RC_LIMIT;
	if (text.ptr[0] == '"')
		rc = parse_quoted_local(text, flags, &local_len);
	else
		rc = parse_dot_string(text, flags, &local_len);
	if (rc != 0)
		return rc;
	a.local = sv_head(text, local_len);
	if (local_len == text.len) {
		if (!(flags & ADDRESS_NO_DOMAIN))
			return RC_PARSE;
	} else {
		a.domain = sv_skip(text, local_len + 1);
		if (text.ptr[local_len] != '@' || a.domain.len == 0)
			return RC_PARSE;
		if (a.domain.len > LIMIT_DOMAIN + (size_t)(a.domain.ptr[a.domain.len - 1] == '.'))
			return RC_LIMIT;
		rc = check_domain(a.domain, flags);
		if (rc != 0)
			return rc;
	}
	if ((flags & ADDRESS_UTF8) && (!text_is_utf8(text) || has_c1_control(text)))
		return RC_PARSE;
	*out_address = a;
	return 0;
}

/* Quotes and backslashes taken away. False: longer than an address can be. */
static bool plain_local(struct sv local, char out[LIMIT_ADDRESS], struct sv *out_plain)
{
	bool quoted = local.len > 1 && local.ptr[0] == '"';
	size_t n = 0;

	for (size_t i = quoted; i + quoted < local.len; i++) {
		if (quoted && local.ptr[i] == '\\')
			i++;
		if (n == LIMIT_ADDRESS || i >= local.len)
			return false;
		out[n++] = local.ptr[i];
	}
	*out_plain = sv_make(out, n);
	return true;
}

static bool needs_quotes(struct sv plain, unsigned flags)
{
	size_t len;

	return parse_dot_string(plain, flags & ~(unsigned)ADDRESS_LOOSE, &len) != 0 ||
	       len != plain.len;
}

static int append_local(struct buf *out, struct sv plain, unsigned flags)
{
	bool quotes = needs_quotes(plain, flags);
	int rc = quotes ? buf_append_char(out, '"') : 0;

	for (size_t i = 0; rc == 0 && i < plain.len; i++) {
		char c = plain.ptr[i];

		if (quotes && (c == '"' || c == '\\'))
			rc = buf_append_char(out, '\\');
		if (rc == 0)
			rc = buf_append_char(out, c);
	}
	return rc == 0 && quotes ? buf_append_char(out, '"') : rc;
}

int address_clean(struct buf *out, struct sv text, unsigned flags)
{
	char bytes[LIMIT_ADDRESS];
	size_t before = out->len;
	struct address a;
	struct sv plain;
	int rc = address_parse(text, flags | ADDRESS_LOOSE, &a);

	if (rc != 0)
		return rc;
	if (!plain_local(a.local, bytes, &plain))
		return RC_LIMIT;
	if (a.domain.len && a.domain.ptr[a.domain.len - 1] == '.')
		a.domain.len--;
	rc = append_local(out, plain, flags);
	if (rc == 0 && a.domain.len)
		rc = buf_append_char(out, '@');
	if (rc == 0)
		rc = buf_append(out, a.domain);
	/* Quotes may have made it too long. */
	if (rc == 0 && out->len - before > LIMIT_ADDRESS)
		rc = RC_LIMIT;
	if (rc != 0)
		out->len = before;
	return rc;
}

bool address_eq(struct sv a, struct sv b)
{
	return sv_eq_nocase(a, b);
}

bool address_needs_utf8(struct sv text)
{
	for (size_t i = 0; i < text.len; i++) {
		if ((unsigned char)text.ptr[i] > 0x7f)
			return true;
	}
	return false;
}

/* a..b@ in the configuration means "a..b"@ of the envelope, and the other way round. */
static bool local_matches(struct sv pattern, struct sv local)
{
	char a[LIMIT_ADDRESS], b[LIMIT_ADDRESS];
	struct sv plain_pattern = pattern, plain = local;

	return plain_local(pattern, a, &plain_pattern) && plain_local(local, b, &plain) &&
	       sv_matches_nocase(plain_pattern, plain);
}

ptrdiff_t address_at(struct sv text)
{
	/* The last one: a quoted local part may hold some, a domain never does. Nor does a domain end in a quote. */
	return text.len && text.ptr[text.len - 1] == '"' ? -1 : sv_rfind_char(text, '@');
}

bool address_matches(struct sv pattern, struct sv text)
{
	ptrdiff_t pattern_at = address_at(pattern), text_at = address_at(text);

	if (sv_eq(pattern, SV("*")))
		return true;
	if (pattern.len == 0 || text.len == 0)
		return pattern.len == text.len;
	if (pattern_at < 0 || text_at < 0)
		return pattern_at == text_at && local_matches(pattern, text);
	return local_matches(
		       sv_head(pattern, (size_t)pattern_at), sv_head(text, (size_t)text_at)) &&
	       sv_matches_nocase(sv_skip(pattern, (size_t)pattern_at + 1),
		       sv_skip(text, (size_t)text_at + 1));
}

bool address_fold(struct sv text, char bytes[LIMIT_ADDRESS], struct sv *out)
{
	ptrdiff_t at = sv_rfind_char(text, '@');
	struct sv local = at < 0 ? text : sv_head(text, (size_t)at);
	struct sv rest = at < 0 ? SV("") : sv_skip(text, (size_t)at), plain;
	size_t len;

	/* It is written to the beginning of `bytes`. */
	if (!plain_local(local, bytes, &plain) || plain.len + rest.len > LIMIT_ADDRESS)
		return false;
	if (rest.len)
		memcpy(bytes + plain.len, rest.ptr, rest.len);
	len = plain.len + rest.len;
	for (size_t i = 0; i < len; i++)
		bytes[i] = ascii_lower(bytes[i]);
	*out = sv_make(bytes, len);
	return true;
}

int address_pattern_check(struct sv pattern)
{
	char plain[LIMIT_ADDRESS];
	struct address unused;
	ptrdiff_t at = address_at(pattern);

	if (pattern.len == 0 || sv_eq(pattern, SV("*")))
		return 0;
	if (at <= 0 || pattern.len > sizeof(plain))
		return RC_PARSE;
	/* A star in the domain may stand for anything there, so a letter in its place must do. In the
	 * local part a star is an ordinary character already. */
	memcpy(plain, pattern.ptr, pattern.len);
	for (size_t i = (size_t)at; i < pattern.len; i++) {
		if (plain[i] == '*')
			plain[i] = 'x';
	}
	if (address_parse(sv_make(plain, pattern.len), ADDRESS_UTF8 | ADDRESS_LOOSE, &unused) != 0)
		return RC_PARSE;
	return 0;
}

int address_key(struct buf *out, struct sv text)
{
	if (buf_reserve(out, text.len) != 0)
		return RC_LIMIT;
	for (size_t i = 0; i < text.len; i++)
		buf_tail(out)[i] = ascii_lower(text.ptr[i]);
	if (text.len)
		buf_grew(out, text.len);
	return 0;
}
