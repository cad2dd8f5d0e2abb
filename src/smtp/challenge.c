/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/challenge.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/text.h"

static const struct sv field_names[] = { SV_INIT("status"), SV_INIT("schemes"), SV_INIT("scope") };

enum {
	FIELD_COUNT = COUNT_OF(field_names),
	FIELD_TEXT_MAX = 100
};
static_assert(FIELD_COUNT * (FIELD_TEXT_MAX + sizeof(", schemes ")) <= SMTP_CHALLENGE_TEXT_MAX,
	"all fields fit");

/* ---- as much of JSON (RFC 8259) as is needed ---- */

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_space(struct sv *in)
{
	while (in->len && is_space(in->ptr[0]))
		*in = sv_skip(*in, 1);
}

static bool take(struct sv *in, char c)
{
	skip_space(in);
	if (in->len == 0 || in->ptr[0] != c)
		return false;
	*in = sv_skip(*in, 1);
	return true;
}

/* What stands between the quotes, escapes and all. */
static int read_string(struct sv *in, struct sv *out_raw)
{
	if (!take(in, '"'))
		return RC_PARSE;
	for (size_t i = 0; i < in->len; i++) {
		if (in->ptr[i] == '"') {
			*out_raw = sv_head(*in, i);
			*in = sv_skip(*in, i + 1);
			return 0;
		}
		i += in->ptr[i] == '\\';
	}
	return RC_PARSE;
}

/* A number, or one of the three words. */
static int read_word(struct sv *in, struct sv *out_word)
{
	size_t n = 0;

	skip_space(in);
	while (n < in->len && !is_space(in->ptr[n]) && !strchr(",:{}[]\"", in->ptr[n]))
		n++;
	*out_word = sv_head(*in, n);
	*in = sv_skip(*in, n);
	return n ? 0 : RC_PARSE;
}

/* An object or array. No field of ours stands inside of one, so only its end matters. */
static int skip_nested(struct sv *in)
{
	size_t depth = 0;

	do {
		struct sv ignored;

		skip_space(in);
		if (in->len == 0)
			return RC_PARSE;
		if (in->ptr[0] == '"') {
			if (read_string(in, &ignored) != 0)
				return RC_PARSE;
			continue;
		}
		depth += in->ptr[0] == '{' || in->ptr[0] == '[';
		depth -= in->ptr[0] == '}' || in->ptr[0] == ']';
		*in = sv_skip(*in, 1);
	} while (depth);
	return 0;
}

/* *out_value is empty for what has no text: an object, an array. */
static int read_value(struct sv *in, struct sv *out_value)
{
	skip_space(in);
	if (in->len && in->ptr[0] == '"')
		return read_string(in, out_value);
	if (in->len && (in->ptr[0] == '{' || in->ptr[0] == '[')) {
		*out_value = SV("");
		return skip_nested(in);
	}
	return read_word(in, out_value);
}

static int read_fields(struct sv in, struct sv fields[FIELD_COUNT])
{
	if (!take(&in, '{'))
		return RC_PARSE;
	if (take(&in, '}'))
		return 0;
	do {
		struct sv name, value;

		if (read_string(&in, &name) != 0 || !take(&in, ':') || read_value(&in, &value) != 0)
			return RC_PARSE;
		for (size_t i = 0; i < FIELD_COUNT; i++)
			if (sv_eq(name, field_names[i]))
				fields[i] = value;
	} while (take(&in, ','));
	if (!take(&in, '}'))
		return RC_PARSE;
	skip_space(&in);
	return in.len ? RC_PARSE : 0;
}

/* ---- text for people ---- */

static int put_value(struct buf *out, struct sv raw)
{
	size_t put = 0;
	int rc = 0;

	for (size_t i = 0; i < raw.len && put < FIELD_TEXT_MAX && rc == 0; i++) {
		char c = raw.ptr[i];

		if (c == '\\' && i + 1 < raw.len) {
			/* "\/" is what stands behind it; \n, \u1234 and their like show as '?'. */
			c = raw.ptr[++i];
			if (c != '/' && c != '"' && c != '\\')
				c = '?';
		}
		rc = buf_append_char(out, c >= ' ' && c <= '~' ? c : '?');
		put++;
	}
	return rc;
}

static int describe(struct sv json, struct buf *out)
{
	struct sv fields[FIELD_COUNT] = { 0 };
	const char *comma = "";
	int rc = read_fields(json, fields);

	for (size_t i = 0; i < FIELD_COUNT && rc == 0; i++) {
		if (fields[i].len == 0)
			continue;
		rc = buf_printf(out, "%s%.*s ", comma, SV_ARG(field_names[i]));
		if (rc == 0)
			rc = put_value(out, fields[i]);
		comma = ", ";
	}
	return rc == 0 && !comma[0] ? RC_PARSE : rc;
}

int smtp_challenge_describe(struct sv base64, struct buf *out)
{
	CLEANUP(buf_deinitp) struct buf json = BUF_INIT(LIMIT_CHALLENGE);
	size_t before = out->len;
	int rc = text_base64_decode(&json, base64);

	if (rc == 0)
		rc = describe(buf_sv(&json), out);
	if (rc != 0)
		out->len = before;
	return rc;
}
