/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "domain/plan.h"

/*
 * Records as a zone file has them (RFC 1035 5.1): "contoso.com. 3600 IN TXT "v=spf1 ..."" and a line end. A text over 255 bytes becomes several
 * strings, which readers join; quotes, backslashes and what is not ASCII are escaped. RC_LIMIT.
 */
NODISCARD int domain_zone_record(struct buf *out, struct sv name, const struct domain_value *v);
/* The data alone, as most hosts' forms take it: a text without quotes around it, a name, "0 name" of an MX. */
NODISCARD int domain_plain_data(struct buf *out, const struct domain_value *v);
const char *domain_type_name(uint16_t type); /* "TXT" */
