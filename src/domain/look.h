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
/*
 * One of `count`: a function over its memo, which says false while it waits for answers, and is run again once they are there. True:
 * it has done what it wants with what it found. In the order in which they are done.
 */
typedef bool domain_run_fn(void *arg, size_t index, struct authn_memo *memo);
/* NULL `finished` is allowed: it is called when all are done. */
NODISCARD struct domain_look *domain_look_new(struct io_loop *loop, struct io_dnssec *dns,
	size_t count, domain_run_fn *run, void (*finished)(void *arg), void *arg);
void domain_look_free(struct domain_look *l); /* also before it is finished */
