/* SPDX-License-Identifier: Apache-2.0 */
#include "authn/verify.h"

#include "authn/dkim_canon.h"
#include "base/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Of the input: a byte of pieces, the record of every key up to an LF, and the message. */
struct input {
	size_t step;
	struct sv record, message;
};

static struct authn_verify *run(const struct input *in, size_t step)
{
	struct authn_verify *v = authn_verify_new();
	struct authn_record record = { .data = in->record };
	struct authn_answer answer = { .status = AUTHN_FOUND, .records = &record, .count = 1 };
	struct authn_question q;
	size_t asked = 0;

	for (struct sv rest = in->message; rest.len; rest = sv_skip(rest, step))
		must(authn_verify_feed(v, sv_head(rest, step)) == 0);
	must(authn_verify_end(v, (struct wall_time){ INT64_C(1796032800000000) }) == 0);
	while (authn_verify_next(v, &q) == AUTHN_ASK) {
		must(++asked <= AUTHN_VERIFY_QUESTIONS_MAX);
		must(sv_find(sv_from(q.name), SV("._domainkey.")) > 0);
		authn_verify_answer(v, &q, &answer);
	}
	return v;
}

static void must_be_same(const struct authn_checked *a, const struct authn_checked *b)
{
	must(a->reason == b->reason && a->body == b->body && a->header == b->header);
	must(a->unsigned_bytes == b->unsigned_bytes && a->missing_bytes == b->missing_bytes);
	if (a->reason == AUTHN_REASON_GOOD)
		must(a->header == AUTHN_SAME && a->key_bits > 0 && a->signature.value.len > 0);
	must(authn_reason_text(a->reason) != NULL && authn_verdict_name(a->reason) != NULL);
}

/* In other pieces a message is the same. */
static void compare(const struct authn_verify *a, const struct authn_verify *b)
{
	size_t count, count_b, more, more_b;
	const struct authn_checked *one = authn_verify_signatures(a, &count, &more);
	const struct authn_checked *two = authn_verify_signatures(b, &count_b, &more_b);
	const struct authn_arc *arc = authn_verify_arc(a), *arc_b = authn_verify_arc(b);

	must(count == count_b && more == more_b && count <= AUTHN_SIGNATURES_MAX);
	for (size_t i = 0; i < count; i++)
		must_be_same(&one[i], &two[i]);
	must(arc->verdict == arc_b->verdict && arc->fault == arc_b->fault &&
		arc->fault_instance == arc_b->fault_instance && arc->count == arc_b->count);
	must((arc->verdict == AUTHN_CHAIN_FAIL) == (arc->fault != AUTHN_ARC_GOOD));
	for (size_t i = 0; i < arc->count; i++) {
		must_be_same(&arc->sets[i].message, &arc_b->sets[i].message);
		must_be_same(&arc->sets[i].seal, &arc_b->sets[i].seal);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in;
	struct authn_verify *a, *b;

	if (size < 1 || size > 20000)
		return 0;
	in.step = (size_t)(data[0] % 97) + 1;
	in.message = sv_make((const char *)data + 1, size - 1);
	(void)sv_cut_char(&in.message, '\n', &in.record);
	a = run(&in, in.message.len + 1);
	b = run(&in, in.step);
	compare(a, b);
	authn_verify_free(a);
	authn_verify_free(b);
	return 0;
}
