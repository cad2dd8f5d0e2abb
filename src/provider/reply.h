/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "provider/kind.h"
#include "provider/own_words.h"
#include "provider/verdict.h"
#include "smtp/client.h"
#include "smtp/reply.h"

/*
 * What is known of each provider's answers (replies.txt): code, enhanced code, text pattern and stage
 * lead to a cause, which has the verdict (causes.txt). The most specific row
 * wins; what no row knows follows RFC 5321: 4xx retries, 5xx bounces - except that refusals of a
 * session step (greeting, EHLO, STARTTLS, AUTH) never bounce mail: they park or retry the lane.
 * Match on code + enhanced + prefix, never on the whole line: Exchange adds [HOST TIME ID].
 */
struct provider_answer {
	enum provider_kind provider;
	enum smtp_client_stage stage;
	const struct smtp_reply *reply;
	bool after_uncertain;    /* an earlier attempt of this message ended uncertain */
	bool token;              /* the session signs in with a token, not with a password */
	struct provider_own own; /* what the reply may repeat of the message, or of our EHLO */
};

/*
 * The verdict. `after_uncertain` turns MapiExceptionDuplicateDelivery into VERDICT_DELIVERED: the first
 * copy had been accepted.
 */
struct verdict provider_judge(const struct provider_answer *answer);

/* The verdict for a session that broke without a reply (failure other than FAIL_REPLY). */
struct verdict provider_judge_failure(enum provider_kind provider, enum smtp_client_stage stage,
	enum smtp_client_failure failure);

/*
 * Answers of the token service and of Graph: HTTP status, the JSON's "error" and "code" words and the
 * whole text. `status` 0: there was no answer (provider_judge_network() says more). A token is never a
 * reason to bounce: RETRY or PARK, of the tenant for errors of the app, else of the mailbox. Graph
 * delivers with 202 alone; a 5xx or a broken connection behind a whole request may have been accepted,
 * which only the caller knows. The cause "token-stale" (here and of HVE) wants a fresh token at once.
 */
struct provider_http_answer {
	unsigned status;
	struct sv error;         /* "invalid_client"; Graph: "ErrorQuotaExceeded" */
	struct sv description;   /* "AADSTS7000215: Invalid client secret provided. ..." */
	uint64_t retry_after_us; /* of Retry-After; 0: none */
};
struct verdict provider_judge_token(const struct provider_http_answer *answer);
struct verdict provider_judge_graph(const struct provider_http_answer *answer);

/* Verdicts that io/ failures give: name, connect, TLS. `rc` is RC_DNS, RC_NO_NAME, RC_TLS, errno... */
struct verdict provider_judge_network(enum provider_kind provider, int rc);
