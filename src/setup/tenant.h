/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "base/sv.h"

enum {
	SETUP_TENANT_ID_MAX = 37
};

/*
 * The tenant's id in a domain's OpenID configuration (https://LOGIN/DOMAIN/v2.0/.well-known/
 * openid-configuration): the GUID in the path of `issuer`. RC_PARSE.
 */
NODISCARD int setup_tenant_id(struct sv body, char out_id[SETUP_TENANT_ID_MAX]);
