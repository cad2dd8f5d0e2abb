/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "base/buf.h"
#include "base/sv.h"

/*
 * What a cause means for people: a title, whose it is to mend, the steps, where to read on. One row a
 * cause; the rows of replies say what it is on the wire. Steps and commands have the places {mailbox}
 * {sender} {recipient} {tenant} {app}.
 */
enum provider_owner {
	PROVIDER_OWNER_YOU,           /* who runs postern, or the application that sends */
	PROVIDER_OWNER_ADMINISTRATOR, /* of the tenant */
	PROVIDER_OWNER_RECIPIENT,     /* or the recipient's administrator */
	PROVIDER_OWNER_MICROSOFT,     /* or another provider: wait */
	PROVIDER_OWNER_COUNT,
};
const char *provider_owner_name(enum provider_owner owner);  /* "you", "administrator", ... */
const char *provider_owner_words(enum provider_owner owner); /* "your administrator" */

enum {
	PROVIDER_STEPS_MAX = 3,
};
struct provider_remedy {
	const char *cause;
	const char *title;   /* a line, without a full stop */
	const char *literal; /* the reply that people meet most; NULL: there is no one text */
	enum provider_owner owner;
	const char *steps[PROVIDER_STEPS_MAX]; /* the first NULL ends them */
	const char
		*powershell[PROVIDER_STEPS_MAX]; /* likewise; all of Exchange Online PowerShell */
	const char *link;                        /* an address, or an RFC with its section */
};

/* NULL: the cause is none of this module's. */
const struct provider_remedy *provider_remedy(const char *cause);

/* What the places stand for; what is empty keeps a word in capitals: MAILBOX. */
struct provider_facts {
	struct sv mailbox, sender, recipient, tenant, app;
};

/*
 * Appends `step` with its places filled. Only plain addresses, domains and ids are put in, so that
 * no name can bring a command with it. RC_LIMIT when `out` is full.
 */
NODISCARD int provider_remedy_fill(
	const char *step, const struct provider_facts *facts, struct buf *out);
