/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/address.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What address_clean() makes passes the strict parser, and is made of itself again. */
static void check_clean(struct sv text)
{
	CLEANUP(buf_deinitp)
	struct buf one = BUF_INIT(LIMIT_ADDRESS), two = BUF_INIT(LIMIT_ADDRESS);
	const unsigned flags = ADDRESS_UTF8 | ADDRESS_NO_DOMAIN;
	struct address a;

	if (address_clean(&one, text, flags) != 0)
		return;
	must(address_parse(buf_sv(&one), flags, &a) == 0);
	must(address_clean(&two, buf_sv(&one), flags) == 0);
	must(sv_eq(buf_sv(&one), buf_sv(&two)));
	must(text.len > LIMIT_ADDRESS || address_matches(text, buf_sv(&one)) ||
		sv_find_char(text, '*') >= 0 || text.ptr[text.len - 1] == '.');
}

/* An accepted address can stand in a command or a header: that is the promise tested here. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv text = sv_make((const char *)data, size);
	struct sv pattern;

	for (unsigned flags = 0; flags < 8; flags++) {
		struct address a;

		if (address_parse(text, flags, &a) != 0)
			continue;
		for (size_t i = 0; i < text.len; i++) {
			must((unsigned char)text.ptr[i] >= 0x20);
			must(text.ptr[i] != 0x7f);
		}
		must(a.local.len > 0);
		must(a.domain.len > 0 || (flags & ADDRESS_NO_DOMAIN));
		must((flags & ADDRESS_UTF8) || !address_needs_utf8(text));
		must(address_matches(SV("*"), text));
		must(a.domain.len == 0 || address_matches(SV("*@*"), text));
	}
	check_clean(text);
	(void)sv_cut_char(&text, '\n', &pattern);
	/* Quotes do not tell addresses apart. */
	if (pattern.len < 1000 && text.len < 1000 && address_matches(pattern, text) &&
		sv_find_char(pattern, '*') < 0 && sv_find_char(pattern, '"') < 0 &&
		sv_find_char(text, '"') < 0)
		must(sv_eq_nocase(pattern, text));
	if (address_pattern_check(pattern) == 0)
		must(sv_find_char(pattern, '\r') < 0);
	return 0;
}
