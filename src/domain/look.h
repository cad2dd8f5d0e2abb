/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "authn/wire.h"
#include "domain/check.h"
#include "io/dnssec.h"

/*
 * Checks of many domains, some at once, each within a time. What an answer is missing for by then is a failure, and its
 * findings say "unknown": a server that stalls costs DOMAIN_PATIENCE_S once, not for each question.
 */
enum {
	DOMAIN_AT_ONCE = 40,
	DOMAIN_ASK_S = 6,       /* one question */
	DOMAIN_PATIENCE_S = 15, /* one domain */
};

/* What a name server said as what a memo takes: `w->answer`. */
void domain_answer_read(struct authn_wire *w, uint16_t type, const struct io_dns_answer *answer);

struct domain_look;
/* Once for each question, in the order in which they are done; `r` is valid during the call. */
typedef void domain_done_fn(
	void *arg, const struct domain_question *q, const struct domain_report *r);
/* Views of the questions must live until the last is done. NULL `finished` is allowed. */
NODISCARD struct domain_look *domain_look_new(struct io_loop *loop, struct io_dnssec *dns,
	const struct domain_question *questions, size_t count, domain_done_fn *done,
	void (*finished)(void *arg), void *arg);
void domain_look_free(struct domain_look *l); /* also before it is finished */
