/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"

/*
 * A domain's SPF record as it should be: what it says now, with other terms beside. Every address that passes by the record that
 * is there passes by the new one, but those of the terms that are dropped; that holds as long as the new record keeps
 * SPF's limits, which its caller looks at (authn/spf_survey.h). Pure.
 *
 * New terms stand in front, where nothing that is there can stop them, and cost least. Several records, of which no receiver takes
 * any, become one: all of their terms, and the mildest "all".
 */
enum {
	SPF_MERGE_MAX = 2048, /* of the new record: LIMIT_DNS_TEXT holds it */
};
struct spf_merge {
	const struct sv *records; /* whole: "v=spf1 ..." */
	size_t record_count;      /* 0: there is none */
	const struct sv *add;     /* "include:spf.protection.outlook.com", "ip4:192.0.2.1" */
	size_t add_count;
	const struct sv *drop; /* terms that go, as they are written */
	size_t drop_count;
	char all; /* '-', '~', '?': the new mark of "all"; 0: as it is, and '~' where there is none at all */
};
/*
 * Appends the new record. RC_PARSE: *out_bad is a term that cannot be read, or a second redirect; RC_NOT_FOUND: *out_bad is to be dropped and is
 * not there; RC_LIMIT: too long.
 */
NODISCARD int spf_merge(const struct spf_merge *m, struct buf *out, struct sv *out_bad);
/* May it be added: a mechanism that can be read, that lets pass, and is no "all". */
NODISCARD bool spf_merge_takes(struct sv term);
