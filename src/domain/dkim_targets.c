/* SPDX-License-Identifier: Apache-2.0 */
#include "domain/dkim_targets.h"

#include "base/err.h"
#include "provider/domain_facts.h"

static const struct sv keys[2] = { SV_INIT("Selector1CNAME"), SV_INIT("Selector2CNAME") };

static bool is_name_char(char c)
{
	return (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z') || (c >= '0' && c <= '9') ||
	       c == '.' || c == '-' || c == '_';
}

/* What stands behind the key: blanks, colons, quotes, then a name. */
static struct sv value_behind(struct sv text)
{
	size_t from = 0, len = 0;

	while (from < text.len &&
		(text.ptr[from] == ' ' || text.ptr[from] == ':' || text.ptr[from] == '"' ||
			text.ptr[from] == '=' || text.ptr[from] == '\'' || text.ptr[from] == '\t'))
		from++;
	text = sv_skip(text, from);
	while (len < text.len && is_name_char(text.ptr[len]))
		len++;
	text = sv_head(text, len);
	return text.len && text.ptr[text.len - 1] == '.' ? sv_head(text, text.len - 1) : text;
}

static size_t count_of(struct sv text, struct sv needle)
{
	size_t n = 0;
	ptrdiff_t at;

	while ((at = sv_find_nocase(text, needle)) >= 0) {
		text = sv_skip(text, (size_t)at + needle.len);
		n++;
	}
	return n;
}

/* Behind the domain's name where it stands by itself: "Domain : contoso.com", not within another name. */
static bool find_part(struct sv *text, struct sv domain)
{
	struct sv rest = *text;
	ptrdiff_t at;

	while ((at = sv_find_nocase(rest, domain)) >= 0) {
		struct sv behind = sv_skip(rest, (size_t)at + domain.len);
		bool begins = at == 0 || !is_name_char(rest.ptr[at - 1]);

		rest = behind;
		if (begins && (behind.len == 0 || !is_name_char(behind.ptr[0]))) {
			*text = behind;
			return true;
		}
	}
	return false;
}

int domain_dkim_targets(struct sv text, struct sv domain, struct sv out_targets[2])
{
	bool several = count_of(text, keys[0]) > 1;

	if (several && !find_part(&text, domain))
		return RC_PARSE;
	for (unsigned i = 0; i < 2; i++) {
		ptrdiff_t at = sv_find_nocase(text, keys[i]);

		if (at < 0)
			return RC_NOT_FOUND;
		out_targets[i] = value_behind(sv_skip(text, (size_t)at + keys[i].len));
		if (!provider_is_dkim_target(out_targets[i]) ||
			sv_find_nocase(out_targets[i], SV("._domainkey.")) < 0)
			return RC_PARSE;
	}
	return 0;
}
