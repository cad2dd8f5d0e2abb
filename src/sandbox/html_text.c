/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/html_text.h"

#include "base/text.h"
#include "sandbox/events.h"

#include <string.h>

enum {
	REFERENCE_MAX = 10, /* "&#x10ffff;" */
};

static bool is_name(struct sv tag, struct sv name)
{
	return sv_starts_nocase(tag, name) &&
	       (tag.len == name.len || !(tag.ptr[name.len] >= 'a' && tag.ptr[name.len] <= 'z'));
}

static bool ends_line(struct sv tag)
{
	static const struct sv names[] = {
		SV_INIT("br"),
		SV_INIT("/p"),
		SV_INIT("/div"),
		SV_INIT("/tr"),
		SV_INIT("/li"),
		SV_INIT("/h1"),
		SV_INIT("/h2"),
		SV_INIT("/h3"),
		SV_INIT("/table"),
		SV_INIT("hr"),
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (is_name(tag, names[i]))
			return true;
	}
	return false;
}

/* Behind the end tag of an element whose content is no text; `html` begins behind its start tag. */
static struct sv skip_element(struct sv html, struct sv end_tag)
{
	ptrdiff_t at = sv_find_nocase(html, end_tag);

	return at < 0 ? SV("") : sv_skip(html, (size_t)at);
}

/* The character that a reference names, 0: none that is known here. Latin-1, and what word processors write. */
static uint32_t named_character(struct sv name)
{
	/* From U+00A0 on, in their order. */
	struct sv latin1 = SV("nbsp iexcl cent pound curren yen brvbar sect uml copy ordf "
			      "laquo not shy reg macr deg plusmn sup2 sup3 acute micro "
			      "para middot cedil sup1 ordm raquo frac14 frac12 frac34 "
			      "iquest Agrave Aacute Acirc Atilde Auml Aring AElig Ccedil "
			      "Egrave Eacute Ecirc Euml Igrave Iacute Icirc Iuml ETH "
			      "Ntilde Ograve Oacute Ocirc Otilde Ouml times Oslash Ugrave "
			      "Uacute Ucirc Uuml Yacute THORN szlig agrave aacute acirc "
			      "atilde auml aring aelig ccedil egrave eacute ecirc euml "
			      "igrave iacute icirc iuml eth ntilde ograve oacute ocirc "
			      "otilde ouml divide oslash ugrave uacute ucirc uuml yacute "
			      "thorn yuml"),
		  one;
	uint32_t code = 0xa0;
	static const struct {
		struct sv name;
		uint32_t code;
	} others[] = {
		{ SV_INIT("amp"), '&' },
		{ SV_INIT("lt"), '<' },
		{ SV_INIT("gt"), '>' },
		{ SV_INIT("quot"), '"' },
		{ SV_INIT("apos"), '\'' },
		{ SV_INIT("ndash"), 0x2013 },
		{ SV_INIT("mdash"), 0x2014 },
		{ SV_INIT("lsquo"), 0x2018 },
		{ SV_INIT("rsquo"), 0x2019 },
		{ SV_INIT("ldquo"), 0x201c },
		{ SV_INIT("rdquo"), 0x201d },
		{ SV_INIT("bull"), 0x2022 },
		{ SV_INIT("hellip"), 0x2026 },
		{ SV_INIT("euro"), 0x20ac },
	};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		if (sv_eq(name, others[i].name))
			return others[i].code;
	}
	for (bool more = true; more; code++) {
		more = sv_cut_char(&latin1, ' ', &one);
		if (sv_eq(name, one))
			return code;
	}
	return 0;
}

/* "#233" or "#xe9"; 0: it is none. What is too large for a character becomes U+FFFD later. */
static uint32_t numbered_character(struct sv name)
{
	static const char digits[] = "0123456789abcdef";
	bool hex = name.len > 1 && ascii_lower(name.ptr[1]) == 'x';
	uint32_t code = 0;

	for (size_t i = hex ? 2 : 1; i < name.len; i++) {
		const char *digit = strchr(digits, ascii_lower(name.ptr[i]));

		if (!name.ptr[i] || !digit || (!hex && digit > digits + 9))
			return 0;
		code = code * (hex ? 16 : 10) + (uint32_t)(digit - digits);
	}
	return code;
}

/* The reference at the front, "&amp;..."; how many bytes it takes, 0: it is none. */
static size_t take_reference(struct buf *out, struct sv html)
{
	ptrdiff_t end = sv_find_char(sv_head(html, REFERENCE_MAX), ';');
	struct sv name = end > 1 ? sv_make(html.ptr + 1, (size_t)end - 1) : SV("");
	uint32_t code =
		name.len && name.ptr[0] == '#' ? numbered_character(name) : named_character(name);

	if (code == 0)
		return 0;
	(void)!text_put_character(out, code);
	return (size_t)end + 1;
}

/* The rest behind a tag or comment that begins at the front. */
static struct sv skip_tag(struct buf *out, struct sv html)
{
	struct sv tag;
	ptrdiff_t end;

	if (sv_starts(html, SV("<!--"))) {
		end = sv_find(html, SV("-->"));
		return end < 0 ? SV("") : sv_skip(html, (size_t)end + 3);
	}
	end = sv_find_char(html, '>');
	if (end < 0)
		return SV("");
	tag = sv_make(html.ptr + 1, (size_t)end - 1);
	html = sv_skip(html, (size_t)end + 1);
	if (is_name(tag, SV("style")))
		return skip_element(html, SV("</style"));
	if (is_name(tag, SV("script")))
		return skip_element(html, SV("</script"));
	if (is_name(tag, SV("title")))
		return skip_element(html, SV("</title"));
	if (ends_line(tag))
		(void)!buf_append_char(out, '\n');
	else if (is_name(tag, SV("/td")) || is_name(tag, SV("/th")))
		(void)!buf_append_char(out, ' ');
	return html;
}

json_t *html_text(struct sv html)
{
	CLEANUP(buf_deinitp) struct buf out = BUF_INIT(2 * html.len + 8);

	while (html.len) {
		size_t n = 0;

		if (*html.ptr == '<' && html.len > 1 && html.ptr[1] != ' ') {
			html = skip_tag(&out, html);
			continue;
		}
		if (*html.ptr == '&')
			n = take_reference(&out, html);
		if (n == 0) {
			(void)!buf_append_char(&out, *html.ptr);
			n = 1;
		}
		html = sv_skip(html, n);
	}
	return sandbox_json_text(buf_sv(&out));
}
