/* SPDX-License-Identifier: Apache-2.0 */
#include "authn/spf_priv.h"

#include "base/err.h"
#include "base/must.h"

#include <arpa/inet.h>
#include <string.h>

/* RFC 7208, 7: %{letter digits r delimiters}, %%, %_ and %-. */
struct macro {
	char letter; /* small */
	bool escaped, reversed;
	uint32_t keep; /* the right-most so many parts; 0: all */
	struct sv delimiters;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
	return is_digit(c) || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z');
}

/* What stands between the braces. */
static bool read_macro(struct sv v, bool in_explanation, struct macro *out)
{
	size_t digits = 0;

	if (v.len == 0)
		return false;
	*out = (struct macro){ .letter = ascii_lower(v.ptr[0]) };
	out->escaped = out->letter != v.ptr[0];
	if (out->letter == '\0' ||
		!strchr(in_explanation ? "slodiphvcrt" : "slodiphv", out->letter))
		return false;
	v = sv_skip(v, 1);
	while (digits < v.len && is_digit(v.ptr[digits]))
		digits++;
	if (digits) {
		/* More than there can be parts is all of them. */
		if (sv_parse_u32(sv_head(v, digits), UINT32_MAX, &out->keep) != 0)
			out->keep = UINT32_MAX;
		if (out->keep == 0)
			return false;
		v = sv_skip(v, digits);
	}
	if (v.len && ascii_lower(v.ptr[0]) == 'r') {
		out->reversed = true;
		v = sv_skip(v, 1);
	}
	for (size_t i = 0; i < v.len; i++) {
		if (v.ptr[i] == '\0' || !strchr(".-+,/_=", v.ptr[i]))
			return false;
	}
	out->delimiters = v;
	return true;
}

/* Cuts a piece off the front: a run of letters, or something with a %. RC_PARSE. */
static int next_piece(
	struct sv *rest, bool in_explanation, struct sv *out_text, struct macro *out_macro)
{
	ptrdiff_t percent = sv_find_char(*rest, '%'), close;

	out_macro->letter = '\0';
	if (percent != 0) {
		*out_text = sv_head(*rest, percent < 0 ? rest->len : (size_t)percent);
		*rest = sv_skip(*rest, out_text->len);
		return 0;
	}
	if (rest->len < 2)
		return RC_PARSE;
	switch (rest->ptr[1]) {
	case '%':
		*out_text = SV("%");
		break;
	case '_':
		*out_text = SV(" ");
		break;
	case '-':
		*out_text = SV("%20");
		break;
	case '{':
		close = sv_find_char(*rest, '}');
		if (close < 0 || !read_macro(sv_make(rest->ptr + 2, (size_t)close - 2),
					 in_explanation,
					 out_macro))
			return RC_PARSE;
		*rest = sv_skip(*rest, (size_t)close + 1);
		return 0;
	default:
		return RC_PARSE;
	}
	*rest = sv_skip(*rest, 2);
	return 0;
}

/* ".com", ".co-op", with or without a dot behind it: the end of a domain-spec. */
static bool ends_in_label(struct sv text)
{
	struct sv label;
	ptrdiff_t dot;
	bool other = false;

	if (text.len && text.ptr[text.len - 1] == '.')
		text.len--;
	dot = sv_rfind_char(text, '.');
	if (dot < 0)
		return false;
	label = sv_skip(text, (size_t)dot + 1);
	if (label.len == 0 || !is_alnum(label.ptr[0]) || !is_alnum(label.ptr[label.len - 1]))
		return false;
	for (size_t i = 0; i < label.len; i++) {
		if (!is_alnum(label.ptr[i]) && label.ptr[i] != '-')
			return false;
		other = other || !is_digit(label.ptr[i]);
	}
	return other;
}

int spf_macro_check(struct sv text, bool in_explanation, bool *out_is_spec)
{
	struct sv rest = text, piece = { 0 };
	struct macro m = { 0 };
	bool ends_in_macro = false;

	while (rest.len) {
		bool escape = rest.ptr[0] == '%';

		if (next_piece(&rest, in_explanation, &piece, &m) != 0)
			return RC_PARSE;
		ends_in_macro = m.letter != '\0';
		for (size_t i = 0; !escape && i < piece.len; i++) {
			if (piece.ptr[i] < (in_explanation ? 0x20 : 0x21) || piece.ptr[i] > 0x7e)
				return RC_PARSE;
		}
	}
	*out_is_spec = text.len > 0 && (ends_in_macro || ends_in_label(text));
	return 0;
}

bool spf_macro_wants_name(struct sv text)
{
	struct sv piece = { 0 };
	struct macro m = { 0 };

	while (text.len) {
		if (next_piece(&text, true, &piece, &m) != 0)
			return false;
		if (m.letter == 'p')
			return true;
	}
	return false;
}

void spf_address_labels(const unsigned char *address, bool is_ipv6, bool reversed, struct buf *out)
{
	unsigned count = is_ipv6 ? 32 : 4;

	for (unsigned i = 0; i < count; i++) {
		unsigned at = reversed ? count - 1 - i : i;
		unsigned nibble = address[at / 2];
		int rc = is_ipv6 ? buf_printf(out,
					   "%s%X",
					   i ? "." : "",
					   at % 2 ? nibble & 15 : nibble >> 4)
				 : buf_printf(out, "%s%u", i ? "." : "", (unsigned)address[at]);

		must(rc == 0);
	}
}

static void put_plain_address(const struct spf_input *in, struct buf *out)
{
	char text[INET6_ADDRSTRLEN];

	must(inet_ntop(in->is_ipv6 ? AF_INET6 : AF_INET, in->address, text, sizeof(text)) != NULL);
	must(buf_append(out, sv_from(text)) == 0);
}

static int put_value(const struct spf_macro *m, char letter, struct buf *out)
{
	switch (letter) {
	case 's':
		if (buf_append(out, m->local) != 0 || buf_append_char(out, '@') != 0)
			return RC_LIMIT;
		return buf_append(out, m->sender_domain);
	case 'l':
		return buf_append(out, m->local);
	case 'o':
		return buf_append(out, m->sender_domain);
	case 'd':
		return buf_append(out, m->domain);
	case 'p':
		return buf_append(out, m->validated);
	case 'h':
		return buf_append(out, m->in->helo);
	case 'r':
		return buf_append(out, m->in->receiver.len ? m->in->receiver : SV("unknown"));
	case 'v':
		return buf_append(out, m->in->is_ipv6 ? SV("ip6") : SV("in-addr"));
	case 't':
		return buf_printf(out, "%llu", (unsigned long long)m->in->now_s);
	case 'c':
		put_plain_address(m->in, out);
		return 0;
	default:
		spf_address_labels(m->in->address, m->in->is_ipv6, false, out);
		return 0;
	}
}

static int put_escaped(struct sv v, bool escaped, struct buf *out)
{
	int rc = 0;

	if (!escaped)
		return buf_append(out, v);
	for (size_t i = 0; i < v.len && rc == 0; i++) {
		char c = v.ptr[i];

		rc = is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~'
			     ? buf_append_char(out, c)
			     : buf_printf(out, "%%%02X", (unsigned)(unsigned char)c);
	}
	return rc;
}

enum {
	VALUE_MAX = 1024, /* an address and more */
};

struct parts {
	uint16_t from[VALUE_MAX + 1], to[VALUE_MAX + 1];
	uint32_t count;
};

static void find_parts(struct sv value, struct sv delimiters, struct parts *out)
{
	bool is_mark[256] = { false };
	size_t from = 0;

	is_mark['.'] = delimiters.len == 0;
	for (size_t i = 0; i < delimiters.len; i++)
		is_mark[(unsigned char)delimiters.ptr[i]] = true;
	out->count = 0;
	for (size_t i = 0; i <= value.len; i++) {
		if (i < value.len && !is_mark[(unsigned char)value.ptr[i]])
			continue;
		out->from[out->count] = (uint16_t)from;
		out->to[out->count++] = (uint16_t)i;
		from = i + 1;
	}
}

static int put_macro(const struct spf_macro *m, const struct macro *macro, struct buf *out)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(VALUE_MAX);
	struct parts parts;
	struct sv value;
	uint32_t keep;

	if (put_value(m, macro->letter, &text) != 0)
		return RC_LIMIT;
	value = buf_sv(&text);
	if (value.len == 0 || (!macro->reversed && macro->keep == 0 && macro->delimiters.len == 0))
		return put_escaped(value, macro->escaped, out);
	find_parts(value, macro->delimiters, &parts);
	keep = macro->keep && macro->keep < parts.count ? macro->keep : parts.count;
	for (uint32_t i = parts.count - keep; i < parts.count; i++) {
		uint32_t at = macro->reversed ? parts.count - 1 - i : i;
		struct sv part = sv_make(
			value.ptr + parts.from[at], (size_t)(parts.to[at] - parts.from[at]));

		if ((i > parts.count - keep && buf_append_char(out, '.') != 0) ||
			put_escaped(part, macro->escaped, out) != 0)
			return RC_LIMIT;
	}
	return 0;
}

int spf_macro_expand(const struct spf_macro *m, struct sv text, struct buf *out)
{
	struct sv piece = { 0 };
	struct macro macro = { 0 };

	while (text.len) {
		if (next_piece(&text, true, &piece, &macro) != 0)
			return RC_PARSE;
		if ((macro.letter ? put_macro(m, &macro, out) : buf_append(out, piece)) != 0)
			return RC_LIMIT;
	}
	return 0;
}

int spf_macro_name(const struct spf_macro *m, struct sv text, struct buf *out)
{
	int rc = spf_macro_expand(m, text, out);
	struct sv name = buf_sv(out), label;

	if (rc != 0)
		return rc;
	if (name.len && name.ptr[name.len - 1] == '.')
		name.len--;
	while (name.len > LIMIT_DNS_NAME && sv_cut_char(&name, '.', &label))
		;
	buf_consume(out, (size_t)(name.ptr - buf_sv(out).ptr));
	out->len = name.len;
	return 0;
}
