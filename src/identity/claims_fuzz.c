/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/claims.h"

#include "base/buf.h"
#include "base/must.h"
#include "identity/encode.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Texts go into lines for people: printable ASCII, ended, and nothing that begins another line. */
static void plain(const char *text, size_t size)
{
	must(memchr(text, '\0', size) != NULL);
	for (const char *at = text; *at; at++)
		must((unsigned char)*at >= ' ' && (unsigned char)*at < 0x7f);
}

static void look(struct sv token)
{
	static const struct conf_tenant tenant = {
		.id = SV_INIT("22222222-2222-2222-2222-222222222222"),
		.graph_url = SV_INIT("https://graph.microsoft.com"),
		.scope_host = SV_INIT("https://outlook.office365.com"),
	};
	const struct wall_time now = { INT64_C(1790000000000000) };
	struct identity_claims c;

	if (identity_claims_read(token, &c) != 0)
		return;
	plain(c.audience, sizeof(c.audience));
	plain(c.permissions, sizeof(c.permissions));
	plain(c.app, sizeof(c.app));
	plain(c.tenant, sizeof(c.tenant));
	plain(c.object, sizeof(c.object));
	plain(c.user, sizeof(c.user));
	must(c.issued_s >= 0 && c.not_before_s >= 0 && c.expires_s >= 0);
	for (unsigned provider = 0; provider < PROVIDER_COUNT; provider++) {
		CLEANUP(buf_deinitp) struct buf text = BUF_INIT(4096);
		const struct conf_lane lane = { .name = SV_INIT("erp@contoso.com"),
			.provider = (enum provider_kind)provider,
			.sign_in = provider % 2 ? CONF_SIGN_IN_USER : CONF_SIGN_IN_APP,
			.tenant = &tenant };
		enum identity_claims_fault fault = identity_claims_judge(&c, &lane, now);

		must(identity_claims_explain(fault, &c, &lane, now, &text) == 0);
		must((fault == IDENTITY_CLAIMS_FINE) == (text.len == 0));
		must(!identity_claims_is_fatal(fault) || fault != IDENTITY_CLAIMS_FINE);
	}
	(void)identity_claims_skew_s(&c, now);
}

/* An input: 't' and a token; else the JSON of its claims. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(buf_deinitp) struct buf token = BUF_INIT(1 << 20);
	struct sv input = sv_make((const char *)data, size);

	if (size && data[0] == 't') {
		look(sv_skip(input, 1));
		return 0;
	}
	must(buf_append(&token, SV("e30.")) == 0);
	must(identity_base64url_encode(&token, sv_head(input, 40000)) == 0);
	must(buf_append(&token, SV(".x")) == 0);
	look(buf_sv(&token));
	return 0;
}
