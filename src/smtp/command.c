/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/command.h"

#include "base/err.h"
#include "base/limits.h"
#include "mail/dsn.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Cuts off what comes before the first blank. */
static struct sv cut_word(struct sv *v)
{
	size_t n = 0;
	struct sv word;

	while (n < v->len && !is_blank(v->ptr[n]))
		n++;
	word = sv_head(*v, n);
	*v = sv_skip(*v, n + 1);
	return word;
}

enum smtp_verb smtp_command_verb(struct sv line, struct sv *out_rest)
{
	static const struct {
		struct sv name;
		enum smtp_verb verb;
	} verbs[] = {
		{ SV_INIT("MAIL"), SMTP_VERB_MAIL },
		{ SV_INIT("RCPT"), SMTP_VERB_RCPT },
		{ SV_INIT("DATA"), SMTP_VERB_DATA },
		{ SV_INIT("RSET"), SMTP_VERB_RSET },
		{ SV_INIT("QUIT"), SMTP_VERB_QUIT },
		{ SV_INIT("EHLO"), SMTP_VERB_EHLO },
		{ SV_INIT("HELO"), SMTP_VERB_HELO },
		{ SV_INIT("BDAT"), SMTP_VERB_BDAT },
		{ SV_INIT("AUTH"), SMTP_VERB_AUTH },
		{ SV_INIT("STARTTLS"), SMTP_VERB_STARTTLS },
		{ SV_INIT("NOOP"), SMTP_VERB_NOOP },
		{ SV_INIT("VRFY"), SMTP_VERB_VRFY },
		{ SV_INIT("EXPN"), SMTP_VERB_EXPN },
		{ SV_INIT("HELP"), SMTP_VERB_HELP },
		{ SV_INIT("GET"), SMTP_VERB_FOREIGN },
		{ SV_INIT("POST"), SMTP_VERB_FOREIGN },
		{ SV_INIT("PUT"), SMTP_VERB_FOREIGN },
		{ SV_INIT("CONNECT"), SMTP_VERB_FOREIGN },
		{ SV_INIT("OPTIONS"), SMTP_VERB_FOREIGN },
	};
	struct sv verb;

	line = sv_trim(line);
	verb = cut_word(&line);
	*out_rest = sv_trim(line);
	for (size_t i = 0; i < COUNT_OF(verbs); i++)
		if (sv_eq_nocase(verb, verbs[i].name))
			return verbs[i].verb;
	return SMTP_VERB_UNKNOWN;
}

/* Index of the '>' that closes a path, quoted local parts understood; -1: none. */
static ptrdiff_t path_end(struct sv v)
{
	bool quoted = false;

	for (size_t i = 0; i < v.len; i++) {
		char c = v.ptr[i];

		if (quoted && c == '\\')
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (c == '>' && !quoted)
			return (ptrdiff_t)i;
	}
	return -1;
}

static struct sv drop_source_route(struct sv path)
{
	ptrdiff_t colon;

	if (path.len == 0 || path.ptr[0] != '@')
		return path;
	colon = sv_find_char(path, ':');
	/* With nothing behind it, it must not turn into the null sender. */
	return colon < 0 || (size_t)colon + 1 == path.len ? path : sv_skip(path, (size_t)colon + 1);
}

/* "FROM:" at the front, or what stands for it at a device. */
static bool cut_keyword(struct sv *rest, struct sv keyword, bool lenient)
{
	struct sv v;

	if (!sv_starts_nocase(*rest, keyword))
		return false;
	v = sv_skip(*rest, keyword.len);
	if (lenient && (v.len == 0 || v.ptr[0] != ':')) {
		bool apart = v.len && (is_blank(v.ptr[0]) || v.ptr[0] == '<');

		v = sv_trim(v);
		if (!apart)
			return false;
	}
	if (v.len && v.ptr[0] == ':')
		v = sv_skip(v, 1);
	else if (!lenient)
		return false;
	*rest = sv_trim(v);
	return rest->len > 0;
}

/* What may follow a path: parameters behind a blank, or signs that end a list of one. */
static bool cut_params(struct sv rest, struct sv *out_params)
{
	while (rest.len && (rest.ptr[0] == ';' || rest.ptr[0] == ','))
		rest = sv_skip(rest, 1);
	if (rest.len && !is_blank(rest.ptr[0]))
		return false;
	*out_params = sv_trim(rest);
	return true;
}

/* "<path>" or "<<path>>" at the front. */
static int bracketed(struct sv rest, bool lenient, struct sv *out_path, struct sv *out_params)
{
	size_t depth = 0;
	ptrdiff_t end;

	while (depth < rest.len && rest.ptr[depth] == '<')
		depth++;
	rest = sv_skip(rest, depth);
	end = path_end(rest);
	if (end < 0 && lenient) {
		/* The closing one is missing: with nothing else in the line nothing else can be meant. */
		*out_path = sv_trim(rest);
		*out_params = SV("");
		for (size_t i = 0; i < out_path->len; i++)
			if (is_blank(out_path->ptr[i]))
				return RC_PARSE;
		return 0;
	}
	if (end < 0)
		return RC_PARSE;
	*out_path = drop_source_route(sv_trim(sv_head(rest, (size_t)end)));
	rest = sv_skip(rest, (size_t)end);
	for (size_t i = 0; i < depth && rest.len && rest.ptr[0] == '>'; i++)
		rest = sv_skip(rest, 1);
	return cut_params(rest, out_params) ? 0 : RC_PARSE;
}

/*
 * Where the path begins when a name stands before it: at the bracket. 0: at the front. A name has no sign of
 * another address, or of a list, or of parameters.
 */
static size_t name_len(struct sv v)
{
	bool quoted = false;

	for (size_t i = 0; i < v.len; i++) {
		char c = v.ptr[i];

		if (quoted && c == '\\')
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (c == '<' && !quoted)
			return i;
		else if (c != '\0' && strchr("@,;=", c) && !quoted)
			return 0;
	}
	return 0;
}

int smtp_command_path(
	struct sv rest, struct sv keyword, bool lenient, struct sv *out_path, struct sv *out_params)
{
	struct sv path;

	if (!cut_keyword(&rest, keyword, lenient))
		return RC_PARSE;
	if (lenient)
		rest = sv_skip(rest, name_len(rest));
	if (rest.ptr[0] == '<')
		return bracketed(rest, lenient, out_path, out_params);
	path = cut_word(&rest);
	while (path.len && (path.ptr[path.len - 1] == ';' || path.ptr[path.len - 1] == ','))
		path.len--;
	if (path.len && path.ptr[path.len - 1] == '>')
		path.len--;
	*out_path = path;
	*out_params = sv_trim(rest);
	return path.len == 0 || sv_find_char(path, '>') >= 0 ? RC_PARSE : 0;
}

/* Letters, digits and hyphens: an esmtp-keyword, or an address type of ORCPT. */
static bool is_keyword(struct sv word)
{
	for (size_t i = 0; i < word.len; i++) {
		char c = ascii_lower(word.ptr[i]);

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'))
			return false;
	}
	return word.len > 0;
}

int smtp_command_param(struct sv *params, struct sv *out_key, struct sv *out_value)
{
	struct sv word;
	ptrdiff_t equals;

	*params = sv_trim(*params);
	if (params->len == 0)
		return 0;
	word = cut_word(params);
	equals = sv_find_char(word, '=');
	*out_key = equals < 0 ? word : sv_head(word, (size_t)equals);
	*out_value = equals < 0 ? SV("") : sv_skip(word, (size_t)equals + 1);
	if (equals >= 0 && out_value->len == 0)
		return RC_PARSE;
	return is_keyword(*out_key) ? 1 : RC_PARSE;
}

bool smtp_text_printable(struct sv text)
{
	for (size_t i = 0; i < text.len; i++)
		if (!text.ptr || text.ptr[i] < ' ' || text.ptr[i] > '~')
			return false;
	return true;
}

bool smtp_orcpt_ok(struct sv value)
{
	ptrdiff_t semicolon = sv_find_char(value, ';');
	CLEANUP(buf_deinitp) struct buf decoded = BUF_INIT((size_t)2 * LIMIT_ADDRESS);

	if (semicolon <= 0 || (size_t)semicolon + 1 == value.len ||
		value.len > (size_t)2 * LIMIT_ADDRESS ||
		!is_keyword(sv_head(value, (size_t)semicolon)))
		return false;
	return dsn_xtext_decode(&decoded, sv_skip(value, (size_t)semicolon + 1)) == 0 &&
	       smtp_text_printable(buf_sv(&decoded));
}
