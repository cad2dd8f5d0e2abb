/* SPDX-License-Identifier: Apache-2.0 */
#include "authn/spf_priv.h"

#include "base/err.h"

#include <arpa/inet.h>
#include <string.h>

static const struct {
	struct sv name;
	bool wants_target, may_target, may_prefix, asks;
} kinds[] = {
	[SPF_ALL] = { .name = SV_INIT("all") },
	[SPF_INCLUDE] = { .name = SV_INIT("include"), .wants_target = true, .asks = true },
	[SPF_A] = { .name = SV_INIT("a"), .may_target = true, .may_prefix = true, .asks = true },
	[SPF_MX] = { .name = SV_INIT("mx"), .may_target = true, .may_prefix = true, .asks = true },
	[SPF_PTR] = { .name = SV_INIT("ptr"), .may_target = true, .asks = true },
	[SPF_IP4] = { .name = SV_INIT("ip4") },
	[SPF_IP6] = { .name = SV_INIT("ip6") },
	[SPF_EXISTS] = { .name = SV_INIT("exists"), .wants_target = true, .asks = true },
	[SPF_REDIRECT] = { .name = SV_INIT("redirect"), .wants_target = true, .asks = true },
	[SPF_EXP] = { .name = SV_INIT("exp"), .wants_target = true },
	[SPF_MODIFIER] = { .name = SV_INIT("") },
};
_Static_assert(sizeof(kinds) / sizeof(kinds[0]) == SPF_KIND_COUNT, "a kind without a row");

bool spf_kind_asks(enum spf_kind kind)
{
	return kinds[kind].asks;
}

static bool record_is_spf(struct sv text)
{
	return sv_starts_nocase(text, SV("v=spf1")) && (text.len == 6 || text.ptr[6] == ' ');
}

int spf_record_find(const struct authn_answer *a, struct sv *out_record)
{
	unsigned found = 0;

	for (size_t i = 0; i < a->count; i++) {
		if (!record_is_spf(a->records[i].data))
			continue;
		if (++found > 1)
			return RC_LIMIT;
		*out_record = sv_skip(a->records[i].data, 6);
	}
	return found ? 0 : RC_NOT_FOUND;
}

/* A prefix length at the end, behind `mark`: *v becomes what stands before it. True also when there is none. */
static bool cut_prefix(struct sv *v, struct sv mark, uint32_t max, unsigned *out)
{
	size_t digits = 0;
	uint32_t number;

	while (digits < v->len && v->ptr[v->len - 1 - digits] >= '0' &&
		v->ptr[v->len - 1 - digits] <= '9')
		digits++;
	if (v->len < digits + mark.len ||
		!sv_eq(sv_make(v->ptr + v->len - digits - mark.len, mark.len), mark))
		return true;
	if (digits == 0 || digits > 3 || (digits > 1 && v->ptr[v->len - digits] == '0') ||
		sv_parse_u32(sv_skip(*v, v->len - digits), max, &number) != 0)
		return false;
	*out = number;
	v->len -= digits + mark.len;
	return true;
}

static bool read_network(struct sv v, struct spf_term *t)
{
	char text[64];
	bool six = t->kind == SPF_IP6;

	if (six ? !cut_prefix(&v, SV("/"), 128, &t->prefix6)
		: !cut_prefix(&v, SV("/"), 32, &t->prefix4))
		return false;
	if (v.len == 0 || v.len >= sizeof(text) || memchr(v.ptr, '\0', v.len))
		return false;
	memcpy(text, v.ptr, v.len);
	text[v.len] = '\0';
	return inet_pton(six ? AF_INET6 : AF_INET, text, t->address) == 1;
}

/* Of "name", "name:rest" and "name/24" what stands behind the name, with its mark. */
static bool read_arguments(struct sv v, struct spf_term *t)
{
	bool spec = true;

	if (t->kind == SPF_IP4 || t->kind == SPF_IP6)
		return v.len && v.ptr[0] == ':' && read_network(sv_skip(v, 1), t);
	if (kinds[t->kind].may_prefix && !(cut_prefix(&v, SV("//"), 128, &t->prefix6) &&
						 cut_prefix(&v, SV("/"), 32, &t->prefix4)))
		return false;
	if (v.len == 0)
		return !kinds[t->kind].wants_target;
	if (v.ptr[0] != ':' || !(kinds[t->kind].wants_target || kinds[t->kind].may_target))
		return false;
	t->target = sv_skip(v, 1);
	return spf_macro_check(t->target, false, &spec) == 0 && spec;
}

static bool is_name(struct sv v)
{
	for (size_t i = 0; i < v.len; i++) {
		char c = ascii_lower(v.ptr[i]);
		bool letter = c >= 'a' && c <= 'z';

		if (!letter &&
			(i == 0 || !((c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.')))
			return false;
	}
	return v.len > 0;
}

static bool read_modifier(struct sv name, struct sv value, struct spf_term *t)
{
	bool spec = true;

	if (!is_name(name))
		return false;
	t->kind = sv_eq_nocase(name, SV("redirect")) ? SPF_REDIRECT
		  : sv_eq_nocase(name, SV("exp"))    ? SPF_EXP
						     : SPF_MODIFIER;
	t->target = value;
	if (spf_macro_check(value, false, &spec) != 0)
		return false;
	return t->kind == SPF_MODIFIER || spec;
}

static bool read_mechanism(struct sv v, struct spf_term *t)
{
	struct sv name = v;

	for (size_t i = 0; i < v.len; i++) {
		if (v.ptr[i] == ':' || v.ptr[i] == '/') {
			name.len = i;
			break;
		}
	}
	for (unsigned k = 0; k < SPF_REDIRECT; k++) {
		if (sv_eq_nocase(name, kinds[k].name)) {
			t->kind = (enum spf_kind)k;
			return read_arguments(sv_skip(v, name.len), t);
		}
	}
	return false;
}

static bool read_term(struct sv v, struct spf_term *t)
{
	static const char marks[] = "+-~?";
	static const enum spf_result results[] = { SPF_PASS, SPF_FAIL, SPF_SOFTFAIL, SPF_NEUTRAL };
	ptrdiff_t equals = sv_find_char(v, '=');
	const char *mark = v.ptr[0] ? strchr(marks, v.ptr[0]) : NULL;

	for (ptrdiff_t i = 0; i < equals; i++) {
		if (v.ptr[i] == ':' || v.ptr[i] == '/')
			equals = -1;
	}
	if (equals >= 0)
		return read_modifier(sv_head(v, (size_t)equals), sv_skip(v, (size_t)equals + 1), t);
	t->result = mark ? results[mark - marks] : SPF_PASS;
	return read_mechanism(sv_skip(v, mark ? 1 : 0), t);
}

int spf_term_next(struct sv *rest, struct spf_term *out_term)
{
	struct sv text;

	do {
		if (rest->len == 0)
			return 0;
		(void)sv_cut_char(rest, ' ', &text);
	} while (text.len == 0);
	*out_term = (struct spf_term){ .text = text, .prefix4 = 32, .prefix6 = 128 };
	return read_term(text, out_term) ? 1 : RC_PARSE;
}

int spf_record_check(struct sv record, struct spf_term *out_redirect, struct spf_term *out_exp,
	struct sv *out_bad)
{
	struct spf_term t;
	unsigned redirects = 0, exps = 0;
	int rc;

	while ((rc = spf_term_next(&record, &t)) == 1) {
		if (t.kind == SPF_REDIRECT && redirects++ == 0)
			*out_redirect = t;
		if (t.kind == SPF_EXP && exps++ == 0)
			*out_exp = t;
		if (redirects > 1 || exps > 1) {
			rc = RC_PARSE;
			break;
		}
	}
	if (rc != 0)
		*out_bad = t.text;
	return rc;
}
