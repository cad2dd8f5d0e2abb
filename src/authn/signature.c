/* SPDX-License-Identifier: Apache-2.0 */
#include "authn/signature.h"

#include "authn/ask.h"
#include "authn/dkim_key.h"
#include "base/err.h"
#include "mail/mime.h"

static bool is_set(enum authn_reason fault)
{
	return fault != AUTHN_REASON_GOOD;
}

/* A domain or selector as it can be asked for: more than one label for a domain, in ASCII (RFC 8616 asks for A-labels). */
static bool is_host(struct sv name)
{
	for (size_t i = 0; i < name.len; i++) {
		char c = ascii_lower(name.ptr[i]);

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_' &&
			c != '.')
			return false;
	}
	return name.len && name.ptr[name.len - 1] != '.' && authn_name_is_valid(name);
}

static enum authn_reason read_algorithm(const struct authn_tags *t, struct authn_signature *out)
{
	static const struct {
		struct sv name;
		enum authn_algorithm algorithm;
	} known[] = {
		{ SV_INIT("rsa-sha256"), AUTHN_RSA_SHA256 },
		{ SV_INIT("ed25519-sha256"), AUTHN_ED25519_SHA256 },
		{ SV_INIT("rsa-sha1"), AUTHN_RSA_SHA1 },
	};

	if (!authn_tags_get(t, SV("a"), &out->algorithm_name))
		return AUTHN_REASON_MISSING;
	for (size_t i = 0; i < COUNT_OF(known); i++)
		if (sv_eq_nocase(out->algorithm_name, known[i].name)) {
			out->algorithm = known[i].algorithm;
			return AUTHN_REASON_GOOD;
		}
	return AUTHN_REASON_ALGORITHM;
}

static bool canon_of(struct sv name, enum authn_canon *out)
{
	*out = sv_eq_nocase(name, SV("relaxed")) ? AUTHN_RELAXED : AUTHN_SIMPLE;
	return *out == AUTHN_RELAXED || sv_eq_nocase(name, SV("simple"));
}

static enum authn_reason read_canon(const struct authn_tags *t, struct authn_signature *out)
{
	struct sv body, header;

	/* A seal has no choice (RFC 8617 5.1.1). */
	out->header_canon = out->kind == AUTHN_ARC_SEAL ? AUTHN_RELAXED : AUTHN_SIMPLE;
	if (out->kind == AUTHN_ARC_SEAL || !authn_tags_get(t, SV("c"), &body))
		return AUTHN_REASON_GOOD;
	if (!sv_cut_char(&body, '/', &header))
		body = SV("simple");
	return canon_of(header, &out->header_canon) && canon_of(body, &out->body_canon)
		       ? AUTHN_REASON_GOOD
		       : AUTHN_REASON_CANON;
}

static enum authn_reason read_who(const struct authn_tags *t, struct authn_signature *out)
{
	if (!authn_tags_get(t, SV("d"), &out->domain) ||
		!authn_tags_get(t, SV("s"), &out->selector))
		return AUTHN_REASON_MISSING;
	return is_host(out->domain) && is_host(out->selector) ? AUTHN_REASON_GOOD
							      : AUTHN_REASON_DOMAIN;
}

/* dkim-quoted-printable (RFC 6376 2.11), folds left out. */
static bool decode_identity(struct sv text, struct buf *out)
{
	struct mime_decoder d = { .encoding = MIME_QUOTED_PRINTABLE };
	uint64_t count = 0;

	for (size_t i = 0; i < text.len; i++)
		if (!authn_is_blank(text.ptr[i]) &&
			mime_decode(&d, sv_make(&text.ptr[i], 1), out, &count) != 0)
			return false;
	return mime_decode_end(&d, out, &count) == 0 && !d.broken &&
	       sv_find_char(buf_sv(out), '\0') < 0;
}

/* i= of DKIM: an address, whose local part may be empty, in d= or below it. */
static enum authn_reason read_identity(const struct authn_tags *t, struct authn_signature *out)
{
	/* Room for what the decoder may write beyond. */
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(LIMIT_ADDRESS + 3);
	struct sv value, domain;
	ptrdiff_t at;

	if (!authn_tags_get(t, SV("i"), &value))
		return AUTHN_REASON_GOOD;
	if (!decode_identity(value, &text) || text.len > LIMIT_ADDRESS)
		return AUTHN_REASON_IDENTITY;
	at = sv_rfind_char(buf_sv(&text), '@');
	if (at < 0)
		return AUTHN_REASON_IDENTITY;
	memcpy(out->identity, buf_sv(&text).ptr, text.len);
	domain = sv_skip(buf_sv(&text), (size_t)at + 1);
	if (sv_eq_nocase(domain, out->domain))
		return AUTHN_REASON_GOOD;
	out->identity_below = authn_name_is_below(domain, out->domain);
	return out->identity_below ? AUTHN_REASON_GOOD : AUTHN_REASON_IDENTITY;
}

static enum authn_reason read_arc(const struct authn_tags *t, struct authn_signature *out)
{
	static const char *const names[] = { "none", "pass", "fail" };
	struct sv value;

	if (!authn_tags_get(t, SV("i"), &value))
		return AUTHN_REASON_MISSING;
	if (sv_parse_u32(value, AUTHN_ARC_SETS_MAX, &out->instance) != 0 || out->instance == 0)
		return AUTHN_REASON_INSTANCE;
	if (out->kind != AUTHN_ARC_SEAL)
		return AUTHN_REASON_GOOD;
	/* RFC 8617 4.1.3: a seal that says what it signs is none. */
	if (authn_tags_get(t, SV("h"), &value))
		return AUTHN_REASON_EXCESS;
	if (!authn_tags_get(t, SV("cv"), &value))
		return AUTHN_REASON_MISSING;
	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (sv_eq_nocase(value, sv_from(names[i]))) {
			out->chain = (enum authn_chain)i;
			return AUTHN_REASON_GOOD;
		}
	return AUTHN_REASON_CHAIN;
}

static enum authn_reason read_numbers(const struct authn_tags *t, struct authn_signature *out)
{
	/* RFC 6376 3.5: l= has at most 76 digits; no message has so many bytes. Times have 12. */
	const uint64_t times_max = 999999999999;
	struct sv value;

	out->has_length = out->kind == AUTHN_DKIM && authn_tags_get(t, SV("l"), &value);
	if (out->has_length && sv_parse_u64(value, UINT64_MAX - 1, &out->length) != 0)
		return AUTHN_REASON_LENGTH;
	out->has_time = authn_tags_get(t, SV("t"), &value);
	if (out->has_time && sv_parse_u64(value, times_max, &out->time_s) != 0)
		return AUTHN_REASON_TIME;
	out->has_expiry = authn_tags_get(t, SV("x"), &value);
	if (out->has_expiry && sv_parse_u64(value, times_max, &out->expiry_s) != 0)
		return AUTHN_REASON_TIME;
	return out->has_time && out->has_expiry && out->expiry_s <= out->time_s ? AUTHN_REASON_TIME
										: AUTHN_REASON_GOOD;
}

static enum authn_reason check_query(const struct authn_tags *t)
{
	struct sv value;

	return !authn_tags_get(t, SV("q"), &value) || authn_list_has(value, SV("dns/txt")) ||
			       authn_list_has(value, SV("dns"))
		       ? AUTHN_REASON_GOOD
		       : AUTHN_REASON_QUERY;
}

static bool is_base64(struct sv text)
{
	CLEANUP(buf_deinitp) struct buf out = BUF_INIT(LIMIT_HEADER);

	return authn_base64_decode(&out, text) == 0;
}

static enum authn_reason read_values(const struct authn_tags *t, struct authn_signature *out)
{
	bool hashes_body = out->kind != AUTHN_ARC_SEAL;

	if (!authn_tags_get(t, SV("b"), &out->value))
		return AUTHN_REASON_MISSING;
	for (size_t i = 0; i < t->count; i++)
		if (sv_eq(t->tags[i].name, SV("b")))
			out->value_whole = t->tags[i].whole;
	if (hashes_body && !authn_tags_get(t, SV("bh"), &out->body_hash))
		return AUTHN_REASON_MISSING;
	return is_base64(out->value) && (!hashes_body || is_base64(out->body_hash))
		       ? AUTHN_REASON_GOOD
		       : AUTHN_REASON_BASE64;
}

static enum authn_reason read_names(const struct authn_tags *t, struct authn_signature *out)
{
	struct sv list, one;
	size_t count = 0;

	if (out->kind == AUTHN_ARC_SEAL)
		return AUTHN_REASON_GOOD;
	if (!authn_tags_get(t, SV("h"), &out->names))
		return AUTHN_REASON_MISSING;
	for (list = out->names; authn_list_next(&list, &one); count++)
		if (count == AUTHN_SIGNED_NAMES_MAX)
			return AUTHN_REASON_NAMES;
	if (out->kind == AUTHN_ARC_MESSAGE)
		return authn_list_has(out->names, SV("arc-seal")) ? AUTHN_REASON_SEAL
								  : AUTHN_REASON_GOOD;
	if (out->names.len == 0)
		return AUTHN_REASON_NAMES;
	return authn_list_has(out->names, SV("from")) ? AUTHN_REASON_GOOD : AUTHN_REASON_FROM;
}

static enum authn_reason check_version(
	const struct authn_tags *t, const struct authn_signature *out)
{
	struct sv value;

	if (out->kind != AUTHN_DKIM)
		return AUTHN_REASON_GOOD;
	if (!authn_tags_get(t, SV("v"), &value))
		return AUTHN_REASON_MISSING;
	return sv_eq(value, SV("1")) ? AUTHN_REASON_GOOD : AUTHN_REASON_VERSION;
}

static enum authn_reason read_all(const struct authn_tags *t, struct authn_signature *out)
{
	enum authn_reason fault = check_version(t, out);

	/* Who signs is read even of what is void, so that it can be told apart; of ARC also its place. */
	if (!is_set(fault) && out->kind != AUTHN_DKIM)
		fault = read_arc(t, out);
	if (is_set(fault)) {
		(void)read_who(t, out);
		return fault;
	}
	fault = read_who(t, out);
	if (!is_set(fault) && out->kind == AUTHN_DKIM)
		fault = read_identity(t, out);
	if (!is_set(fault))
		fault = read_algorithm(t, out);
	if (!is_set(fault))
		fault = read_canon(t, out);
	if (!is_set(fault))
		fault = check_query(t);
	if (!is_set(fault))
		fault = read_numbers(t, out);
	if (!is_set(fault))
		fault = read_values(t, out);
	return is_set(fault) ? fault : read_names(t, out);
}

void authn_signature_parse(
	enum authn_signature_kind kind, struct sv value, struct authn_signature *out)
{
	struct authn_tags tags;

	*out = (struct authn_signature){ .kind = kind };
	if (authn_tags_parse(value, &tags) != 0)
		out->fault = AUTHN_REASON_SYNTAX;
	else
		out->fault = read_all(&tags, out);
}

struct reason_row {
	const char *name, *text;
};
static const struct reason_row reason_rows[] = {
	[AUTHN_REASON_GOOD] = { "valid", "is valid" },
	[AUTHN_REASON_SYNTAX] = { "field-syntax",
		"cannot be read: it is not a list of tags, or has a tag twice" },
	[AUTHN_REASON_VERSION] = { "version", "has an unknown version (v=)" },
	[AUTHN_REASON_MISSING] = { "tag-missing", "lacks a required tag" },
	[AUTHN_REASON_EXCESS] = { "tag-forbidden", "has h=, which a seal must not have" },
	[AUTHN_REASON_INSTANCE] = { "instance", "has no instance (i=) from 1 to 50" },
	[AUTHN_REASON_CHAIN] = { "chain-value",
		"has a chain status (cv=) other than none, pass and fail" },
	[AUTHN_REASON_ALGORITHM] = { "algorithm", "uses an unknown algorithm (a=)" },
	[AUTHN_REASON_CANON] = { "canonicalization", "uses an unknown canonicalization (c=)" },
	[AUTHN_REASON_QUERY] = { "query-method", "names a way to its key other than DNS (q=)" },
	[AUTHN_REASON_DOMAIN] = { "domain-syntax",
		"has a domain (d=) or selector (s=) that cannot be looked up" },
	[AUTHN_REASON_IDENTITY] = { "identity", "has an identity (i=) outside its domain (d=)" },
	[AUTHN_REASON_LENGTH] = { "length", "has a body length (l=) that is not a number" },
	[AUTHN_REASON_TIME] = { "time",
		"has times (t=, x=) that are not numbers, or expires before it was made" },
	[AUTHN_REASON_BASE64] = { "base64", "is damaged: b= or bh= is not base64" },
	[AUTHN_REASON_NAMES] = { "signed-fields", "names no signed fields (h=), or too many" },
	[AUTHN_REASON_FROM] = { "from-unsigned", "does not cover From" },
	[AUTHN_REASON_SEAL] = { "seal-signed", "covers ARC-Seal, which it must not" },
	[AUTHN_REASON_EXPIRED] = { "expired", "has expired (x=)" },
	[AUTHN_REASON_KEY_UNKNOWN] = { "key-unknown",
		"cannot be checked: DNS gave no answer for its key" },
	[AUTHN_REASON_KEY_NONE] = { "key-missing", "has no key in DNS" },
	[AUTHN_REASON_KEY_RECORD] = { "key-record", "has a key record that cannot be used" },
	[AUTHN_REASON_KEY_TYPE] = { "key-type",
		"has a key of another type (k=) than its algorithm (a=)" },
	[AUTHN_REASON_KEY_HASH] = { "key-hash", "has a key that does not allow its hash (h=)" },
	[AUTHN_REASON_KEY_STRICT] = { "key-strict",
		"has an identity (i=) in a subdomain, and its key does not allow that (t=s)" },
	[AUTHN_REASON_KEY_LONG] = { "key-long", "has a key that is too long to be checked" },
	[AUTHN_REASON_BODY] = { "body-changed",
		"was made over another body: the body was changed" },
	[AUTHN_REASON_BODY_SHORT] = { "body-shortened",
		"covers more body than there is: the body was cut off" },
	[AUTHN_REASON_HEADER] = { "header-changed",
		"does not match the header: a signed field was changed, or the key is another" },
	[AUTHN_REASON_SHA1] = { "rsa-sha1", "uses rsa-sha1, which is no longer valid (RFC 8301)" },
	[AUTHN_REASON_KEY_SHORT] = { "key-short",
		"has a key of less than 1024 bits, which is not valid (RFC 8301)" },
};
static_assert(COUNT_OF(reason_rows) == AUTHN_REASON_COUNT, "a row for each reason");

const char *authn_reason_text(enum authn_reason reason)
{
	return reason_rows[reason].text;
}

const char *authn_reason_name(enum authn_reason reason)
{
	return reason_rows[reason].name;
}
