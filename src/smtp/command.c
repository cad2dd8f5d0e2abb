/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/command.h"

#include "base/err.h"
#include "base/limits.h"
#include "mail/dsn.h"

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
	(void)sv_cut_char(&line, ' ', &verb);
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

int smtp_command_path(struct sv rest, struct sv keyword, struct sv *out_path, struct sv *out_params)
{
	ptrdiff_t end;

	if (!sv_starts_nocase(rest, keyword))
		return RC_PARSE;
	rest = sv_trim(sv_skip(rest, keyword.len));
	if (rest.len == 0)
		return RC_PARSE;
	if (rest.ptr[0] != '<') {
		(void)sv_cut_char(&rest, ' ', out_path);
		*out_params = sv_trim(rest);
		return sv_find_char(*out_path, '>') >= 0 ? RC_PARSE : 0;
	}
	end = path_end(rest);
	if (end < 0)
		return RC_PARSE;
	*out_path = drop_source_route(sv_make(rest.ptr + 1, (size_t)end - 1));
	rest = sv_skip(rest, (size_t)end + 1);
	if (rest.len && rest.ptr[0] != ' ')
		return RC_PARSE;
	*out_params = sv_trim(rest);
	return 0;
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
	(void)sv_cut_char(params, ' ', &word);
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
