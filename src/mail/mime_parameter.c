/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "base/text.h"
#include "mail/mime.h"

/*
 * Parameters (RFC 2045 5.1), their long and foreign forms (RFC 2231), and the encoded words (RFC 2047)
 * that many writers put into them though RFC 2047 5 forbids it.
 */
enum {
	SECTIONS_MAX = 64, /* name*0 to name*63; each is a look through the field */
};

/* ---- characters ---- */

static bool is_utf8_name(struct sv charset)
{
	return charset.len == 0 || sv_eq_nocase(charset, SV("utf-8")) ||
	       sv_eq_nocase(charset, SV("us-ascii")) || sv_eq_nocase(charset, SV("utf8"));
}

static bool is_latin1_name(struct sv charset)
{
	return sv_eq_nocase(charset, SV("iso-8859-1")) ||
	       sv_eq_nocase(charset, SV("windows-1252")) ||
	       sv_eq_nocase(charset, SV("iso-8859-15"));
}

/* False when it is full. A character is written whole or not at all. */
static bool put_latin1(struct buf *out, unsigned char c)
{
	const char two[] = { (char)(0xc0 | c >> 6), (char)(0x80 | (c & 0x3f)) };

	return buf_append(out, sv_make(two, 2)) == 0;
}

/* The length of the UTF-8 character at the front of valid text. */
static size_t utf8_len(struct sv v)
{
	size_t n = 1;

	while (n < v.len && ((unsigned char)v.ptr[n] & 0xc0) == 0x80)
		n++;
	return n;
}

static void put_utf8_or_latin1(struct buf *out, struct sv bytes, struct sv charset)
{
	bool utf8 = is_utf8_name(charset) && text_is_utf8(bytes);
	bool latin1 = is_latin1_name(charset);

	while (bytes.len) {
		unsigned char c = (unsigned char)bytes.ptr[0];
		size_t n = utf8 ? utf8_len(bytes) : 1;
		bool room;

		if (c < 0x20 || c == 0x7f)
			room = buf_append_char(out, '_') == 0;
		else if (c < 0x80 || utf8)
			room = buf_append(out, sv_head(bytes, n)) == 0;
		else if (latin1 && c >= 0xa0)
			room = put_latin1(out, c);
		else
			room = buf_append_char(out, '_') == 0;
		if (!room)
			return;
		bytes = sv_skip(bytes, n);
	}
}

/* What is no UTF-8 and names no character set is Windows' Latin-1 more often than anything else. */
static void put_text(
	struct buf *out, struct sv bytes, struct sv charset, const struct mime_converter *converter)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(4 * bytes.len + 16);
	bool utf8 = is_utf8_name(charset);

	if (utf8 && text_is_utf8(bytes))
		put_utf8_or_latin1(out, bytes, charset);
	else if (converter &&
		 converter->convert(
			 converter->arg, utf8 ? SV("windows-1252") : charset, bytes, &text))
		put_utf8_or_latin1(out, buf_sv(&text), SV("utf-8"));
	else
		put_utf8_or_latin1(out, bytes, charset);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "%41" (sign '%') or "=41" and "_" (sign '='). */
static int append_escaped(struct buf *out, struct sv text, char sign)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < text.len; i++) {
		char c = text.ptr[i];

		if (c == sign && i + 2 < text.len && hex_digit(text.ptr[i + 1]) >= 0 &&
			hex_digit(text.ptr[i + 2]) >= 0) {
			c = (char)(hex_digit(text.ptr[i + 1]) * 16 + hex_digit(text.ptr[i + 2]));
			i += 2;
		} else if (c == '_' && sign == '=') {
			c = ' ';
		}
		rc = buf_append_char(out, c);
	}
	return rc;
}

/* ---- encoded words ---- */

struct word {
	struct sv charset;
	char encoding;
	struct sv text;
	size_t len;
};

static bool read_word(struct sv v, struct word *out_word)
{
	struct word w;
	struct sv rest = sv_skip(v, 2), charset, encoding;

	if (!sv_starts(v, SV("=?")) || !sv_cut_char(&rest, '?', &charset) ||
		!sv_cut_char(&rest, '?', &encoding) || encoding.len != 1 ||
		!sv_cut_char(&rest, '?', &w.text) || rest.len == 0 || rest.ptr[0] != '=')
		return false;
	w.encoding = ascii_lower(encoding.ptr[0]);
	if (w.encoding != 'b' && w.encoding != 'q')
		return false;
	/* RFC 2231 5: "charset*language". */
	(void)sv_cut_char(&charset, '*', &w.charset);
	w.len = (size_t)(rest.ptr + 1 - v.ptr);
	*out_word = w;
	return true;
}

static int append_word(struct buf *run, const struct word *w)
{
	return w->encoding == 'b' ? text_base64_decode(run, w->text)
				  : append_escaped(run, w->text, '=');
}

/* Neighbours of one character set are joined before they are read. */
static void put_words(struct sv v, const struct mime_converter *converter, struct buf *out)
{
	CLEANUP(buf_deinitp) struct buf run = BUF_INIT(v.len);
	struct sv charset = sv_make(NULL, 0);
	struct word w;

	while (v.len) {
		size_t blanks = 0, n = 1;

		while (run.len && blanks < v.len && (v.ptr[blanks] == ' ' || v.ptr[blanks] == '\t'))
			blanks++;
		if (read_word(sv_skip(v, blanks), &w)) {
			if (run.len && !sv_eq_nocase(w.charset, charset)) {
				put_text(out, buf_sv(&run), charset, converter);
				buf_reset(&run);
			}
			charset = w.charset;
			if (append_word(&run, &w) == 0) {
				v = sv_skip(v, blanks + w.len);
				continue;
			}
		}
		put_text(out, buf_sv(&run), charset, converter);
		buf_reset(&run);
		while (n < v.len && v.ptr[n] != '=' && v.ptr[n] != ' ' && v.ptr[n] != '\t')
			n++;
		put_text(out, sv_head(v, n), SV("utf-8"), converter);
		v = sv_skip(v, n);
	}
	put_text(out, buf_sv(&run), charset, converter);
}

void mime_words(struct sv v, struct buf *out)
{
	put_words(v, NULL, out);
}

/* ---- finding ---- */

/* Cuts one ";"-separated piece off, quotes understood. */
static bool cut_piece(struct sv *v, struct sv *out_piece)
{
	size_t i = 0;
	bool quoted = false;

	if (v->len == 0)
		return false;
	for (; i < v->len && (quoted || v->ptr[i] != ';'); i++) {
		if (v->ptr[i] == '"')
			quoted = !quoted;
		else if (quoted && v->ptr[i] == '\\')
			i++;
	}
	if (i > v->len)
		i = v->len;
	*out_piece = sv_head(*v, i);
	*v = sv_skip(*v, i + 1);
	return true;
}

/* Takes quotes and backslashes away. */
static int append_unquoted(struct buf *out, struct sv v)
{
	int rc = 0;

	v = sv_trim(v);
	if (v.len == 0 || v.ptr[0] != '"')
		return buf_append(out, v);
	for (size_t i = 1; rc == 0 && i < v.len && v.ptr[i] != '"'; i++) {
		if (v.ptr[i] == '\\' && i + 1 < v.len)
			i++;
		rc = buf_append_char(out, v.ptr[i]);
	}
	return rc;
}

/* The value of the parameter with exactly this name ("filename*0*"), unquoted. */
static bool find_exact(struct sv value, struct sv name, struct buf *out)
{
	struct sv piece, key;

	while (cut_piece(&value, &piece)) {
		if (!sv_cut_char(&piece, '=', &key) || !sv_eq_nocase(sv_trim(key), name))
			continue;
		buf_reset(out);
		return append_unquoted(out, piece) == 0;
	}
	return false;
}

static bool find_section(
	struct sv value, struct sv name, unsigned section, bool *out_escaped, struct buf *out)
{
	CLEANUP(buf_deinitp) struct buf key = BUF_INIT(name.len + 8);

	for (int escaped = 1; escaped >= 0; escaped--) {
		buf_reset(&key);
		if (buf_printf(&key, "%.*s*%u%s", SV_ARG(name), section, escaped ? "*" : "") != 0)
			return false;
		*out_escaped = escaped;
		if (find_exact(value, buf_sv(&key), out))
			return true;
	}
	return false;
}

/* "utf-8'en'rest": takes the front off. */
static struct sv cut_charset(struct sv *v)
{
	struct sv charset, language;

	if (!sv_cut_char(v, '\'', &charset) || !sv_cut_char(v, '\'', &language)) {
		*v = charset;
		return SV("utf-8");
	}
	return charset;
}

/* RFC 2231: name*=..., or name*0=...; name*1*=... */
static bool extended(
	struct sv value, struct sv name, const struct mime_converter *converter, struct buf *out)
{
	CLEANUP(buf_deinitp)
	struct buf one = BUF_INIT(value.len + 1), whole = BUF_INIT(value.len + 1),
		   charset = BUF_INIT(value.len + 1);
	CLEANUP(buf_deinitp) struct buf key = BUF_INIT(name.len + 2);
	bool escaped = true, found;

	if (buf_append(&key, name) != 0 || buf_append_char(&key, '*') != 0)
		return false;
	found = find_exact(value, buf_sv(&key), &one);
	for (unsigned section = 0; section < SECTIONS_MAX; section++) {
		struct sv text;

		if ((!found || section > 0) &&
			(found || !find_section(value, name, section, &escaped, &one)))
			break;
		text = buf_sv(&one);
		if (section == 0 && escaped && buf_append(&charset, cut_charset(&text)) != 0)
			return false;
		if ((escaped ? append_escaped(&whole, text, '%') : buf_append(&whole, text)) != 0)
			return false;
	}
	if (whole.len == 0)
		return false;
	put_text(out, buf_sv(&whole), buf_sv(&charset), converter);
	return true;
}

bool mime_parameter_as(
	struct sv value, struct sv name, const struct mime_converter *converter, struct buf *out)
{
	CLEANUP(buf_deinitp) struct buf plain = BUF_INIT(value.len + 1);
	struct sv first;

	/* What stands before the first semicolon is the value itself. */
	if (!cut_piece(&value, &first))
		return false;
	if (extended(value, name, converter, out))
		return true;
	if (!find_exact(value, name, &plain))
		return false;
	put_words(buf_sv(&plain), converter, out);
	return true;
}

bool mime_parameter(struct sv value, struct sv name, struct buf *out)
{
	return mime_parameter_as(value, name, NULL, out);
}
