/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "base/buf.h"
#include "base/sv.h"
#include "provider/kind.h"
#include "provider/verdict.h"

/*
 * What a cause means for people: a title, who can fix it, the steps, where to read on. All of it stands in
 * causes.txt; replies.txt says which reply has which cause. Steps and commands have the places {mailbox}
 * {login} {sender} {recipient} {tenant} {app} {object} {user} {host} {port} {needed} {api} {number}.
 */
enum provider_owner {
	PROVIDER_OWNER_YOU,           /* who runs postern, or the application that sends */
	PROVIDER_OWNER_ADMINISTRATOR, /* of the tenant */
	PROVIDER_OWNER_NETWORK,       /* who runs the network between */
	PROVIDER_OWNER_RECIPIENT,     /* or the recipient's administrator */
	PROVIDER_OWNER_MICROSOFT,     /* Microsoft, or whoever runs the server: wait */
	PROVIDER_OWNER_COUNT,
};
const char *provider_owner_name(enum provider_owner owner);  /* "you", "administrator", ... */
const char *provider_owner_words(enum provider_owner owner); /* "your administrator" */

enum {
	PROVIDER_STEPS_MAX = 6,
	PROVIDER_EXIT_BY_VERDICT = -1,
};
struct provider_remedy {
	enum cause cause;
	const char *title;   /* a line, without a full stop */
	const char *means;   /* a sentence or two */
	const char *literal; /* the reply that people meet most; NULL: there is no one text */
	enum provider_owner owner;
	int exit_code;                         /* of check; PROVIDER_EXIT_BY_VERDICT */
	const char *steps[PROVIDER_STEPS_MAX]; /* at least one; NULL ends them */
	const char
		*powershell[PROVIDER_STEPS_MAX]; /* likewise; all of Exchange Online PowerShell */
	const char *link;                        /* an address, an RFC with its section; "" */
	const char *advice; /* for whoever wrote the mail; NULL: the steps will do */
};

/* Who signs in, where this decides what helps. */
enum provider_who {
	PROVIDER_WHO_ANY,
	PROVIDER_WHO_APP,
	PROVIDER_WHO_PERSON,
	PROVIDER_WHO_PASSWORD,
};

/*
 * What is known of the place: the door, who signs in there, and what the places stand for; what is empty
 * keeps a word in capitals: MAILBOX. `login` is the account that signs in; empty: the mailbox itself.
 */
struct provider_facts {
	enum provider_kind provider;
	enum provider_who who;
	struct sv mailbox, login, sender, recipient, tenant, app;
	struct sv object, user, host, port, needed, api;
	struct sv number; /* of AADSTS */
};

/* What helps there; NULL facts: in general. Never NULL but for CAUSE_NONE. */
const struct provider_remedy *provider_remedy(enum cause cause, const struct provider_facts *facts);

/*
 * Appends `step` with its places filled. Only plain addresses, domains and ids are put in, so that
 * no name can bring a command with it. RC_LIMIT when `out` is full.
 */
NODISCARD int provider_remedy_fill(
	const char *step, const struct provider_facts *facts, struct buf *out);
