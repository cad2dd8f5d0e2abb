/* SPDX-License-Identifier: Apache-2.0 */
#include "authn/dmarc.h"

#include "base/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	ROUNDS_MAX =
		8 * 3 +
		1, /* a walk for the author, one for each identifier, and whether the author exists */
};

/* Of a world in which no name exists. */
static void ask_consent(struct sv domain)
{
	const struct authn_answer none = { .status = AUTHN_NXDOMAIN };
	struct authn_memo *memo = authn_memo_new(20);
	struct authn_question q;
	enum dmarc_consent consent;

	while (!dmarc_report_consent(memo, SV("contoso.com"), domain, &consent))
		while (authn_memo_next(memo, &q))
			authn_memo_answer(memo, &q, &none);
	authn_memo_free(memo);
}

/* The author, what SPF and DKIM say, and then one line for each question. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv rest = sv_make((const char *)data, size), spf, dkim, line, uri, domain;
	struct dmarc_input in = { .dkim = &dkim, .dkim_count = 1 };
	struct authn_record record = { 0 };
	struct authn_question q;
	struct dmarc *d;
	const struct dmarc_verdict *v;
	unsigned rounds = 0, addresses = 0;

	(void)sv_cut_char(&rest, '\n', &in.author);
	(void)sv_cut_char(&rest, '\n', &spf);
	(void)sv_cut_char(&rest, '\n', &dkim);
	in.spf = spf;
	d = dmarc_new(&in);
	while (dmarc_next(d, &q) == AUTHN_ASK) {
		struct authn_answer a = { .status = AUTHN_NXDOMAIN, .records = &record };

		must(++rounds <= ROUNDS_MAX);
		(void)sv_cut_char(&rest, '\n', &line);
		if (line.len) {
			record.data = line;
			a.status = line.ptr[0] == '!' ? AUTHN_FAILURE : AUTHN_FOUND;
			a.count = a.status == AUTHN_FOUND;
		}
		dmarc_answer(d, &a);
	}
	v = dmarc_verdict(d);
	must(v->result < DMARC_RESULT_COUNT && v->found.lookups <= 8);
	must(v->result != DMARC_PASS || v->spf_aligned || v->dkim_aligned);
	must(v->asked <= v->found.policy);
	for (line = v->found.record.rua; dmarc_report_next(&line, &uri, &domain); addresses++) {
		must(domain.len <= uri.len);
		ask_consent(domain);
	}
	must(addresses <= size);
	dmarc_free(d);
	return 0;
}
