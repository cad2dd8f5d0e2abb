/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "authn/ask.h"
#include "base/err.h"

/* The answers to what a memo asks (authn/ask.h), from the name servers of this machine, or from one that is named. */
struct cli_records;

enum {
	CLI_RECORDS_PATIENCE_S = 5, /* for one answer */
	CLI_RECORDS_TOTAL_S = 30,   /* for all of them: what is asked later is not known */
};

/* `dns`: "192.0.2.1", "[2001:db8::1]:5353" or "127.0.0.1:5353"; empty: those of resolv.conf. */
NODISCARD struct cli_records *cli_records_new(struct sv dns, struct err *err);
void cli_records_free(struct cli_records *d);
DEFINE_CLEANUP(struct cli_records, cli_records_free);
/* Asks all that the memo has noted, at once, and comes back when each has an answer. */
void cli_records_serve(struct cli_records *d, struct authn_memo *memo);
