/* SPDX-License-Identifier: Apache-2.0 */
#include "authn/mta_sts.h"

#include "base/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv text = sv_make((const char *)data, size), value;
	struct authn_record r = { .data = text };
	struct authn_answer a = { .status = AUTHN_FOUND, .records = &r, .count = 1 };
	struct authn_sts_policy p;

	if (authn_sts_record(&a, &value) == AUTHN_STS_GOOD)
		must(value.len > 0 && value.len <= AUTHN_STS_ID_MAX);
	if (authn_tls_rpt_record(&a, &value) == AUTHN_STS_GOOD)
		must(sv_starts_nocase(value, SV("mailto:")) ||
			sv_starts_nocase(value, SV("https:")));
	if (authn_sts_policy_parse(text, &p) != AUTHN_STS_GOOD)
		return 0;
	must(p.mx_count > 0 || p.mode == AUTHN_STS_MODE_NONE);
	for (size_t i = 0; i < p.mx_count; i++)
		must(sv_starts(p.mx[i], SV("*.")) || authn_sts_matches(&p, p.mx[i]));
	must(!authn_sts_matches(&p, SV("")));
	return 0;
}
