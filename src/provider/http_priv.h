/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "provider/reply.h"

/* The rows of the catalogue of HTTPS answers, shared between its tables, the judge and the test. */

struct provider_http_row {
	/* All that is set must fit; the row with more of it wins, in this order. */
	uint32_t aadsts;   /* the number in "AADSTS7000215: ..."; 0: any */
	const char *text;  /* NULL: any; found anywhere in the description, in any case */
	const char *error; /* NULL: any; the whole word */
	uint16_t status;   /* 0: any; 2 to 5: that class; else this one */
	enum verdict_kind kind;
	enum verdict_scope scope;
	enum verdict_nature nature;
	uint64_t retry_after_us;
	const char *detail; /* of the enhanced code: "7.8"; NULL: by its nature */
	enum cause cause;
	const char *summary;
	const char *source;  /* an address, or an RFC with its section */
	const char *checked; /* the day on which somebody read the source: 2026-11-23 */
};

/* Made by tools/catalogue of replies.txt. */
extern const struct provider_http_row provider_token_rows[];
extern const size_t provider_token_rows_count;
extern const struct provider_http_row provider_graph_rows[];
extern const size_t provider_graph_rows_count;

/* The most specific row; NULL: none knows the answer. */
const struct provider_http_row *provider_find_graph_row(const struct provider_http_answer *answer);
const struct provider_http_row *provider_find_token_row(const struct provider_http_answer *answer);
struct verdict provider_http_row_verdict(
	const struct provider_http_row *row, const struct provider_http_answer *answer);
