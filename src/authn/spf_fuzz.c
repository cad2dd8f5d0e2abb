/* SPDX-License-Identifier: Apache-2.0 */
#include "authn/spf.h"
#include "base/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	ROUNDS_MAX = 160,
};

/* The next line of the input is the answer to whatever is asked: TXT as it is, names, and addresses of its bytes. */
static void take(struct sv *rest, const struct authn_question *q, struct authn_record *record,
	struct authn_answer *a)
{
	struct sv line;

	(void)sv_cut_char(rest, '\n', &line);
	*a = (struct authn_answer){ .status = line.len ? AUTHN_FOUND : AUTHN_NXDOMAIN,
		.records = record };
	if (line.len && line.ptr[0] == '!')
		a->status = AUTHN_FAILURE;
	if (a->status != AUTHN_FOUND)
		return;
	a->count = 1;
	record->data = line;
	if (q->type == AUTHN_A || q->type == AUTHN_AAAA)
		record->data = sv_head(line, q->type == AUTHN_A ? 4 : 16);
}

/* Whatever the answers are: it ends, within the limits of RFC 7208 4.6.4, and with one verdict. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv rest = sv_make((const char *)data, size), sender;
	struct spf_input in = { .helo = SV("mail.example"), .address = { 192, 0, 2, 1 } };
	struct authn_record answer_record = { 0 };
	struct authn_answer a;
	struct authn_question q;
	struct spf *s;
	unsigned rounds = 0;

	if (size > 8192)
		return 0;
	(void)sv_cut_char(&rest, '\n', &sender);
	in.sender = sv_head(sender, LIMIT_ADDRESS);
	in.is_ipv6 = size % 2;
	s = spf_new(&in);
	while (spf_next(s, &q) == AUTHN_ASK) {
		must(++rounds <= ROUNDS_MAX);
		must(authn_name_is_valid(sv_from(q.name)));
		take(&rest, &q, &answer_record, &a);
		spf_answer(s, &a);
	}
	must(spf_verdict(s)->lookups <= SPF_TERMS_MAX + 1);
	must(spf_verdict(s)->result == SPF_PERMERROR || spf_verdict(s)->voids <= SPF_VOID_MAX);
	must(spf_verdict(s)->result < SPF_RESULT_COUNT);
	spf_free(s);
	return 0;
}
