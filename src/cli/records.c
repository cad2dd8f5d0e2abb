/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/records.h"

#include "authn/wire.h"
#include "base/must.h"
#include "domain/look.h"
#include "domain/set.h"
#include "io/dnssec.h"
#include "io/loop.h"

#include <stdlib.h>

struct cli_records {
	struct io_loop *loop;
	struct io_dnssec *dnssec;
	struct authn_memo *memo; /* of the call under way */
	struct authn_wire wire;
	size_t open;
	struct mono_time until;
};

struct question {
	struct cli_records *look;
	struct authn_question asked;
};

struct cli_records *cli_records_new(struct sv dns, struct err *err)
{
	struct cli_records *d;
	char forward[DOMAIN_SERVER_MAX] = "";

	if (dns.len && !domain_server_text(dns, forward)) {
		(void)err_set(err,
			RC_PARSE,
			"--dns needs an address, for example 192.0.2.1 or 127.0.0.1:53");
		return NULL;
	}
	d = xcalloc(1, sizeof(*d));
	authn_wire_init(&d->wire);
	d->loop = io_loop_new();
	d->dnssec = io_dnssec_new(d->loop, SV(""), sv_from(forward), err);
	d->until = mono_add(io_clock_mono(), CLI_RECORDS_TOTAL_S * US_PER_S);
	if (d->dnssec)
		return d;
	cli_records_free(d);
	return NULL;
}

void cli_records_free(struct cli_records *d)
{
	if (!d)
		return;
	io_dnssec_free(d->dnssec);
	io_loop_free(d->loop);
	authn_wire_deinit(&d->wire);
	free(d);
}

static void on_answer(void *arg, const struct io_dns_answer *answer)
{
	struct question *q = arg;
	struct cli_records *d = q->look;

	domain_answer_read(&d->wire, q->asked.type, answer);
	authn_memo_answer(d->memo, &q->asked, &d->wire.answer);
	free(q);
	if (--d->open == 0)
		io_loop_stop(d->loop);
}

static void ask(struct cli_records *d, const struct authn_question *asked)
{
	const struct authn_answer too_late = { .status = AUTHN_FAILURE };
	uint64_t left_us = mono_span(io_clock_mono(), d->until);
	uint64_t patience_us = CLI_RECORDS_PATIENCE_S * US_PER_S;
	struct question *q;

	if (left_us == 0) {
		authn_memo_answer(d->memo, asked, &too_late);
		return;
	}
	q = xcalloc(1, sizeof(*q));
	q->look = d;
	q->asked = *asked;
	d->open++;
	must(io_dns_ask(d->dnssec,
		     sv_from(asked->name),
		     asked->type,
		     patience_us < left_us ? patience_us : left_us,
		     on_answer,
		     q) != NULL);
}

void cli_records_serve(struct cli_records *d, struct authn_memo *memo)
{
	struct authn_question asked;

	d->memo = memo;
	while (authn_memo_next(memo, &asked))
		ask(d, &asked);
	if (d->open)
		io_loop_run(d->loop);
}
