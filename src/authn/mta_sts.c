/* SPDX-License-Identifier: Apache-2.0 */
#include "authn/mta_sts.h"

#include "authn/tags.h"

enum {
	MAX_AGE_MAX = 31557600, /* a year (RFC 8461 3.2) */
};

/* ---- the two records ---- */

/* The only record that begins with this version; those with other text at their beginning are no part of it. */
static enum authn_sts_fault only_record(
	const struct authn_answer *a, struct sv version, struct sv *out_rest)
{
	enum authn_sts_fault found = AUTHN_STS_NONE;

	if (a->status == AUTHN_FAILURE)
		return AUTHN_STS_UNKNOWN;
	for (size_t i = 0; i < a->count; i++) {
		struct sv rest = a->records[i].data, first;
		bool more = sv_cut_char(&rest, ';', &first);

		if (!sv_eq(authn_trim(first), version))
			continue;
		if (found != AUTHN_STS_NONE)
			return AUTHN_STS_SEVERAL;
		found = more ? AUTHN_STS_GOOD : AUTHN_STS_SYNTAX;
		*out_rest = rest;
	}
	return found;
}

/* The first field of that name in "; name=value; ...". */
static enum authn_sts_fault get_field(struct sv rest, struct sv name, struct sv *out_value)
{
	bool found = false, more = true;

	*out_value = (struct sv){ 0 };
	while (more) {
		struct sv field, field_name;

		more = sv_cut_char(&rest, ';', &field);
		field = authn_trim(field);
		if (field.len == 0 && !more)
			break;
		if (!sv_cut_char(&field, '=', &field_name) || field.len == 0)
			return AUTHN_STS_SYNTAX;
		if (!found && sv_eq(authn_trim(field_name), name)) {
			*out_value = authn_trim(field);
			found = true;
		}
	}
	return AUTHN_STS_GOOD;
}

static bool is_id(struct sv id)
{
	for (size_t i = 0; i < id.len; i++) {
		char c = ascii_lower(id.ptr[i]);

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9'))
			return false;
	}
	return id.len > 0 && id.len <= AUTHN_STS_ID_MAX;
}

enum authn_sts_fault authn_sts_record(const struct authn_answer *a, struct sv *out_id)
{
	struct sv rest;
	enum authn_sts_fault fault = only_record(a, SV("v=STSv1"), &rest);

	*out_id = (struct sv){ 0 };
	if (fault == AUTHN_STS_GOOD)
		fault = get_field(rest, SV("id"), out_id);
	if (fault != AUTHN_STS_GOOD)
		return fault;
	return is_id(*out_id) ? AUTHN_STS_GOOD : AUTHN_STS_ID;
}

enum authn_sts_fault authn_tls_rpt_record(const struct authn_answer *a, struct sv *out_rua)
{
	struct sv rest, list, one;
	enum authn_sts_fault fault = only_record(a, SV("v=TLSRPTv1"), &rest);
	bool more = true;

	*out_rua = (struct sv){ 0 };
	if (fault == AUTHN_STS_GOOD)
		fault = get_field(rest, SV("rua"), out_rua);
	if (fault != AUTHN_STS_GOOD)
		return fault;
	for (list = *out_rua; more;) {
		more = sv_cut_char(&list, ',', &one);
		one = authn_trim(one);
		if (!sv_starts_nocase(one, SV("mailto:")) && !sv_starts_nocase(one, SV("https:")))
			return AUTHN_STS_RUA;
	}
	return AUTHN_STS_GOOD;
}

/* ---- the policy ---- */

static enum authn_sts_fault read_mode(struct sv value, enum authn_sts_mode *out)
{
	for (int i = 0; i <= AUTHN_STS_MODE_ENFORCE; i++)
		if (sv_eq(value, sv_from(authn_sts_mode_name((enum authn_sts_mode)i)))) {
			*out = (enum authn_sts_mode)i;
			return AUTHN_STS_GOOD;
		}
	return AUTHN_STS_MODE;
}

static enum authn_sts_fault read_mx(struct sv value, struct authn_sts_policy *out)
{
	struct sv name = sv_starts(value, SV("*.")) ? sv_skip(value, 2) : value;

	if (!authn_name_is_valid(name) || name.ptr[name.len - 1] == '.' ||
		sv_find_char(name, '*') >= 0 || sv_find_char(name, ' ') >= 0)
		return AUTHN_STS_MX;
	if (out->mx_count == AUTHN_STS_MX_MAX)
		return AUTHN_STS_TOO_LONG;
	out->mx[out->mx_count++] = value;
	return AUTHN_STS_GOOD;
}

/* Of all but mx the first counts (RFC 8461 3.2). */
struct seen {
	bool version, mode, max_age;
};

static enum authn_sts_fault read_field(
	struct sv name, struct sv value, struct seen *seen, struct authn_sts_policy *out)
{
	if (sv_eq(name, SV("mx")))
		return read_mx(value, out);
	if (sv_eq(name, SV("version")) && !seen->version) {
		seen->version = true;
		return sv_eq(value, SV("STSv1")) ? AUTHN_STS_GOOD : AUTHN_STS_VERSION;
	}
	if (sv_eq(name, SV("mode")) && !seen->mode) {
		seen->mode = true;
		return read_mode(value, &out->mode);
	}
	if (sv_eq(name, SV("max_age")) && !seen->max_age) {
		seen->max_age = true;
		return sv_parse_u32(value, MAX_AGE_MAX, &out->max_age_s) == 0 ? AUTHN_STS_GOOD
									      : AUTHN_STS_MAX_AGE;
	}
	return AUTHN_STS_GOOD;
}

enum authn_sts_fault authn_sts_policy_parse(struct sv text, struct authn_sts_policy *out_policy)
{
	struct seen seen = { 0 };
	bool more = true;

	out_policy->mode = AUTHN_STS_MODE_NONE;
	out_policy->max_age_s = 0;
	out_policy->mx_count = 0;
	if (text.len > AUTHN_STS_POLICY_MAX)
		return AUTHN_STS_TOO_LONG;
	while (more) {
		struct sv line, name;
		enum authn_sts_fault fault;

		more = sv_cut_char(&text, '\n', &line);
		line = authn_trim(line);
		if (line.len == 0)
			continue;
		if (!sv_cut_char(&line, ':', &name))
			return AUTHN_STS_SYNTAX;
		fault = read_field(authn_trim(name), authn_trim(line), &seen, out_policy);
		if (fault != AUTHN_STS_GOOD)
			return fault;
	}
	if (!seen.version)
		return AUTHN_STS_VERSION;
	if (!seen.mode)
		return AUTHN_STS_MODE;
	if (!seen.max_age)
		return AUTHN_STS_MAX_AGE;
	return out_policy->mx_count || out_policy->mode == AUTHN_STS_MODE_NONE ? AUTHN_STS_GOOD
									       : AUTHN_STS_MX;
}

bool authn_sts_matches(const struct authn_sts_policy *p, struct sv host)
{
	if (host.len && host.ptr[host.len - 1] == '.')
		host.len--;
	for (size_t i = 0; i < p->mx_count; i++) {
		ptrdiff_t dot = sv_find_char(host, '.');

		if (!sv_starts(p->mx[i], SV("*."))) {
			if (sv_eq_nocase(p->mx[i], host))
				return true;
		} else if (dot > 0 &&
			   sv_eq_nocase(sv_skip(p->mx[i], 1), sv_skip(host, (size_t)dot))) {
			return true;
		}
	}
	return false;
}

const char *authn_sts_mode_name(enum authn_sts_mode mode)
{
	static const char *const names[] = { "none", "testing", "enforce" };

	return names[mode];
}

const char *authn_sts_fault_text(enum authn_sts_fault fault)
{
	static const char *const texts[] = {
		[AUTHN_STS_GOOD] = "it is in order",
		[AUTHN_STS_NONE] = "there is no record",
		[AUTHN_STS_SEVERAL] = "there are several records, which counts as none",
		[AUTHN_STS_UNKNOWN] = "DNS gave no answer",
		[AUTHN_STS_SYNTAX] = "it cannot be read: a field has no name or no value",
		[AUTHN_STS_VERSION] = "version is missing, or is not STSv1",
		[AUTHN_STS_ID] = "id= is missing, or is not 1 to 32 letters and digits",
		[AUTHN_STS_RUA] =
			"rua= is missing, or has an address that is neither mailto: nor https:",
		[AUTHN_STS_MODE] = "mode is missing, or is not enforce, testing or none",
		[AUTHN_STS_MAX_AGE] = "max_age is missing, or is not a number up to 31557600",
		[AUTHN_STS_MX] = "mx is missing, or is not the name of a host",
		[AUTHN_STS_TOO_LONG] = "it is longer than 64 KB, or has more than 100 hosts",
	};

	static_assert(COUNT_OF(texts) == AUTHN_STS_FAULT_COUNT, "a text for each");
	return texts[fault];
}
