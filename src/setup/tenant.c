/* SPDX-License-Identifier: Apache-2.0 */
#include "setup/tenant.h"

#include "base/err.h"

#include <jansson.h>

enum {
	GUID_LEN = 36
};

static bool is_guid(struct sv text)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = ascii_lower(text.ptr[i]);
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? c != '-' : !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return false;
	}
	return text.len == GUID_LEN;
}

int setup_tenant_id(struct sv body, char out_id[SETUP_TENANT_ID_MAX])
{
	json_t *o = json_loadb(body.ptr, body.len, JSON_REJECT_DUPLICATES, NULL);
	struct sv rest = sv_from(json_string_value(json_object_get(o, "issuer"))), part;
	int rc = RC_PARSE;

	while (rc != 0 && rest.len) {
		(void)sv_cut_char(&rest, '/', &part);
		if (!is_guid(part))
			continue;
		for (size_t i = 0; i < part.len; i++)
			out_id[i] = ascii_lower(part.ptr[i]);
		out_id[part.len] = '\0';
		rc = 0;
	}
	json_decref(o);
	return rc;
}
