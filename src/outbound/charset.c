/* SPDX-License-Identifier: Apache-2.0 */
#include "outbound/charset.h"

#include "base/err.h"

#include <iconv.h>
#include <stdio.h>

enum {
	NAME_BYTES = 40, /* of a character set; real ones are shorter */
};

/* What writers call them, and what holds all that they mean by it. */
static struct sv known_as(struct sv name)
{
	static const struct {
		struct sv name, means;
	} rows[] = {
		{ SV_INIT("iso-8859-1"), SV_INIT("windows-1252") },
		{ SV_INIT("latin1"), SV_INIT("windows-1252") },
		{ SV_INIT("shift_jis"), SV_INIT("CP932") },
		{ SV_INIT("shift-jis"), SV_INIT("CP932") },
		{ SV_INIT("x-sjis"), SV_INIT("CP932") },
		{ SV_INIT("sjis"), SV_INIT("CP932") },
		{ SV_INIT("windows-31j"), SV_INIT("CP932") },
		{ SV_INIT("gb2312"), SV_INIT("GB18030") },
		{ SV_INIT("gbk"), SV_INIT("GB18030") },
		{ SV_INIT("x-gbk"), SV_INIT("GB18030") },
		{ SV_INIT("ks_c_5601-1987"), SV_INIT("CP949") },
		{ SV_INIT("euc-kr"), SV_INIT("CP949") },
		{ SV_INIT("iso-8859-8-i"), SV_INIT("ISO-8859-8") },
		{ SV_INIT("x-mac-roman"), SV_INIT("MACINTOSH") },
		{ SV_INIT("utf8"), SV_INIT("UTF-8") },
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (sv_eq_nocase(name, rows[i].name))
			return rows[i].means;
	return name;
}

/* A name of iconv could ask for more ("//TRANSLIT"), or be a path to a table. */
static bool is_name(struct sv name)
{
	for (size_t i = 0; i < name.len; i++) {
		char c = ascii_lower(name.ptr[i]);

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_'))
			return false;
	}
	return name.len > 0 && name.len < NAME_BYTES;
}

static bool run(iconv_t way, struct sv bytes, struct buf *out)
{
	char in[4096], *from = in, *to;
	size_t left = bytes.len, room;

	if (bytes.len == 0 || bytes.len > sizeof(in) || buf_reserve(out, 4 * bytes.len) != 0)
		return false;
	memcpy(in, bytes.ptr, bytes.len);
	to = buf_tail(out);
	room = 4 * bytes.len;
	if (iconv(way, &from, &left, &to, &room) == (size_t)-1 || left > 0)
		return false;
	buf_grew(out, 4 * bytes.len - room);
	return true;
}

static bool convert(void *arg, struct sv charset, struct sv bytes, struct buf *out)
{
	char name[NAME_BYTES];
	iconv_t way;
	bool ok;

	(void)arg;
	charset = known_as(charset);
	if (!is_name(charset))
		return false;
	(void)snprintf(name, sizeof(name), "%.*s", SV_ARG(charset));
	way = iconv_open("UTF-8", name);
	/* The function's own sign of a failure. */
	if (way == (iconv_t)-1) /* NOLINT(performance-no-int-to-ptr) */
		return false;
	ok = run(way, bytes, out);
	(void)iconv_close(way);
	return ok;
}

const struct mime_converter outbound_charsets = { .convert = convert };
