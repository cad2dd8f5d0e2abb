/* SPDX-License-Identifier: Apache-2.0 */
#include "authn/verify_priv.h"
#include "base/must.h"

#include <stdlib.h>

/*
 * ARC (RFC 8617): each hop that changes a message or expects others to, adds a set: what it saw, a signature over the
 * message, and a seal over all the sets so far.
 */
struct arc_chain {
	struct authn_arc_set sets[AUTHN_ARC_SETS_MAX];
	const struct authn_field *results[AUTHN_ARC_SETS_MAX];
	const struct authn_field *messages[AUTHN_ARC_SETS_MAX];
	const struct authn_field *seals[AUTHN_ARC_SETS_MAX];
	const struct authn_fields *fields;
	uint32_t highest;
};

void arc_free(struct arc_chain *chain)
{
	free(chain);
}

/* The first fault is the one that is told. */
static void fail(struct authn_arc *arc, enum authn_arc_fault fault, uint32_t instance)
{
	arc->verdict = AUTHN_CHAIN_FAIL;
	if (arc->fault != AUTHN_ARC_GOOD)
		return;
	arc->fault = fault;
	arc->fault_instance = instance;
}

static void fail_reason(struct authn_arc *arc, enum authn_arc_fault fault, uint32_t instance,
	enum authn_reason reason)
{
	if (arc->fault == AUTHN_ARC_GOOD)
		arc->reason = reason;
	fail(arc, fault, instance);
}

static struct sv skip_blanks(struct sv v)
{
	while (v.len && authn_is_blank(v.ptr[0]))
		v = sv_skip(v, 1);
	return v;
}

/* "i=1; host; spf=pass ..." (RFC 8617 4.1.1): its instance, 0 when it cannot be read. */
static uint32_t read_results(struct sv value, struct sv *out_rest)
{
	struct sv number;
	uint32_t instance;

	value = skip_blanks(value);
	if (!sv_starts(value, SV("i")))
		return 0;
	value = skip_blanks(sv_skip(value, 1));
	if (!sv_starts(value, SV("=")))
		return 0;
	value = sv_skip(value, 1);
	if (!sv_cut_char(&value, ';', &number) ||
		sv_parse_u32(authn_trim(number), AUTHN_ARC_SETS_MAX, &instance) != 0)
		return 0;
	*out_rest = authn_trim(value);
	return instance;
}

static void place(struct authn_verify *v, const struct authn_field **slots,
	const struct authn_field *field, uint32_t instance)
{
	if (slots[instance - 1])
		fail(&v->arc, AUTHN_ARC_DOUBLE, instance);
	slots[instance - 1] = field;
	if (instance > v->chain->highest)
		v->chain->highest = instance;
}

static void read_signature(struct authn_verify *v, const struct authn_field *field,
	enum authn_signature_kind kind, const struct authn_field **slots)
{
	struct authn_signature s;
	struct authn_arc_set *set;

	authn_signature_parse(kind, field->value, &s);
	if (s.instance == 0) {
		fail_reason(&v->arc, AUTHN_ARC_FIELD, 0, s.fault);
		return;
	}
	set = &v->chain->sets[s.instance - 1];
	*(kind == AUTHN_ARC_SEAL ? &set->seal.signature : &set->message.signature) = s;
	place(v, slots, field, s.instance);
}

static void read_field(struct authn_verify *v, const struct authn_field *field)
{
	struct arc_chain *c = v->chain;

	if (sv_eq_nocase(field->name, SV("ARC-Message-Signature"))) {
		read_signature(v, field, AUTHN_ARC_MESSAGE, c->messages);
	} else if (sv_eq_nocase(field->name, SV("ARC-Seal"))) {
		read_signature(v, field, AUTHN_ARC_SEAL, c->seals);
	} else if (sv_eq_nocase(field->name, SV("ARC-Authentication-Results"))) {
		struct sv rest;
		uint32_t instance = read_results(field->value, &rest);

		if (instance == 0) {
			fail_reason(&v->arc, AUTHN_ARC_FIELD, 0, AUTHN_REASON_INSTANCE);
			return;
		}
		c->sets[instance - 1].results = rest;
		place(v, c->results, field, instance);
	}
}

static bool is_arc(const struct authn_field *field)
{
	return sv_eq_nocase(field->name, SV("ARC-Message-Signature")) ||
	       sv_eq_nocase(field->name, SV("ARC-Seal")) ||
	       sv_eq_nocase(field->name, SV("ARC-Authentication-Results"));
}

static void check_order(struct authn_verify *v)
{
	const struct arc_chain *c = v->chain;

	/* What a seal says of the chain before it is looked at only if it is there for every set. */
	for (uint32_t i = c->highest; i-- > 0;)
		if (!c->seals[i] || !c->messages[i] || !c->results[i]) {
			fail(&v->arc, AUTHN_ARC_GAP, i + 1);
			return;
		}
	if (c->sets[c->highest - 1].seal.signature.chain == AUTHN_CHAIN_FAIL)
		fail(&v->arc, AUTHN_ARC_TOLD, c->highest);
	for (uint32_t i = c->highest; i-- > 0;) {
		const struct authn_signature *s = &c->sets[i].seal.signature;

		if (s->fault != AUTHN_REASON_GOOD)
			fail_reason(&v->arc, AUTHN_ARC_BAD_SEAL, i + 1, s->fault);
		else if (s->chain != (i == 0 ? AUTHN_CHAIN_NONE : AUTHN_CHAIN_PASS))
			fail(&v->arc, AUTHN_ARC_ORDER, i + 1);
	}
}

void arc_read(struct authn_verify *v)
{
	size_t count, sets = 0;
	const struct authn_field *list = authn_fields_list(v->fields, &count);

	for (size_t i = 0; i < count; i++)
		sets += is_arc(&list[i]);
	if (sets == 0)
		return;
	v->chain = xcalloc(1, sizeof(*v->chain));
	v->chain->fields = v->fields;
	if (sets > 3 * (size_t)AUTHN_ARC_SETS_MAX) {
		fail(&v->arc, AUTHN_ARC_TOO_MANY, 0);
		return;
	}
	for (size_t i = 0; i < count; i++)
		read_field(v, &list[i]);
	if (v->arc.fault == AUTHN_ARC_GOOD)
		check_order(v);
	if (v->arc.fault != AUTHN_ARC_GOOD)
		return;
	v->arc.sets = v->chain->sets;
	v->arc.count = v->chain->highest;
	for (size_t i = 0; i < v->arc.count; i++)
		verify_want_body(v, &v->chain->sets[i].message.signature);
}

struct link {
	const struct arc_chain *chain;
	uint32_t index;
};

static void hash_message(void *arg, const struct authn_signature *s, struct digest *d)
{
	const struct link *l = arg;
	const struct authn_field *own = l->chain->messages[l->index];

	digest_fields(l->chain->fields, own, s->names, s->header_canon, d);
	digest_own(own, s->value_whole, s->header_canon, d);
}

/* Every set up to this one, oldest first (RFC 8617 5.1.1). */
static void hash_seal(void *arg, const struct authn_signature *s, struct digest *d)
{
	const struct link *l = arg;
	struct authn_sink sink = digest_sink(d);

	for (uint32_t i = 0; i <= l->index; i++) {
		authn_canon_field(AUTHN_RELAXED, l->chain->results[i]->whole, true, &sink);
		authn_canon_field(AUTHN_RELAXED, l->chain->messages[i]->whole, true, &sink);
		if (i < l->index)
			authn_canon_field(AUTHN_RELAXED, l->chain->seals[i]->whole, true, &sink);
	}
	digest_own(l->chain->seals[l->index], s->value_whole, AUTHN_RELAXED, d);
}

bool arc_judge(struct authn_verify *v)
{
	struct arc_chain *c = v->chain;
	bool known = true, same = true;

	if (!c || v->arc.fault != AUTHN_ARC_GOOD)
		return true;
	/* The newest first: what the chain hangs on is asked for before the number of questions is used up. */
	for (uint32_t i = c->highest; i-- > 0;) {
		struct link l = { c, i };

		known &= verify_check(v, &c->sets[i].seal, hash_seal, &l);
		known &= verify_check(v, &c->sets[i].message, hash_message, &l);
	}
	if (!known)
		return false;
	v->arc.verdict = AUTHN_CHAIN_PASS;
	for (uint32_t i = c->highest; i-- > 0;) {
		same &= c->sets[i].message.reason == AUTHN_REASON_GOOD;
		if (same)
			v->arc.oldest_same = i + 1;
		if (i + 1 == c->highest && !same)
			fail_reason(
				&v->arc, AUTHN_ARC_BAD_MESSAGE, i + 1, c->sets[i].message.reason);
		if (c->sets[i].seal.reason != AUTHN_REASON_GOOD)
			fail_reason(&v->arc, AUTHN_ARC_BAD_SEAL, i + 1, c->sets[i].seal.reason);
	}
	return true;
}

struct fault_row {
	const char *name, *text;
};
static const struct fault_row fault_rows[] = {
	[AUTHN_ARC_GOOD] = { "valid", "is valid" },
	[AUTHN_ARC_TOO_MANY] = { "too-many-sets", "has more than 50 sets" },
	[AUTHN_ARC_FIELD] = { "field-syntax", "has a field that cannot be read" },
	[AUTHN_ARC_DOUBLE] = { "double-field", "has a set with a field twice" },
	[AUTHN_ARC_GAP] = { "incomplete-set", "has an incomplete set" },
	[AUTHN_ARC_ORDER] = { "chain-value",
		"has a seal whose chain status (cv=) does not fit its place" },
	[AUTHN_ARC_TOLD] = { "broken-before",
		"was broken when the last hop received the message (cv=fail)" },
	[AUTHN_ARC_BAD_MESSAGE] = { "message-signature",
		"is broken: its last message signature is not valid" },
	[AUTHN_ARC_BAD_SEAL] = { "seal", "is broken: a seal is not valid" },
};
static_assert(COUNT_OF(fault_rows) == AUTHN_ARC_FAULT_COUNT, "a row for each fault");

const char *authn_arc_fault_text(enum authn_arc_fault fault)
{
	return fault_rows[fault].text;
}

const char *authn_arc_fault_name(enum authn_arc_fault fault)
{
	return fault_rows[fault].name;
}

const char *authn_chain_name(enum authn_chain chain)
{
	static const char *const names[] = { "none", "pass", "fail" };

	return names[chain];
}
