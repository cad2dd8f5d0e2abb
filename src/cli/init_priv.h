/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cli/cli.h"
#include "domain/plan.h"
#include "setup/config.h"
#include "setup/tenant.h"

#include <limits.h>

/*
 * init.c         the command: options, questions, what is written (import.c shares its end)
 * init_users.c   the users of a report, and their sheets
 * init_lookup.c  what the network tells about a domain
 */
enum {
	INIT_SENDERS_MAX = 100,
	INIT_ANSWER_MAX = 2048,
	INIT_TEXT_MAX = 512,
};

/* "Could not look" is not "is not there": advice depends on it. */
enum init_known {
	INIT_UNKNOWN, /* nobody answered, or not about this */
	INIT_ABSENT,  /* the service that knows says so */
	INIT_FOUND,
};
struct init_fact {
	enum init_known known;
	char text[INIT_TEXT_MAX]; /* found: what; else the reason */
};
struct init_facts {
	struct init_fact tenant, mx, spf;
	struct domain_plan
		plan; /* of its records; empty: nobody has looked. Its memory is the command's */
};

struct init_lookup {
	struct sv domain;
	enum provider_cloud cloud;
	struct sv login_url; /* "https://login.microsoftonline.com" */
	struct sv ca_file;   /* of it; empty: the system's */
	struct sv dns;       /* name servers; empty: the system's */
};

/* What does not answer is unknown. */
void init_lookup(const struct init_lookup *q, struct init_facts *out_facts);

/*
 * The folder of a configuration that is to be written, with its real path: secrets lie beside it.
 * *out_plain is the same where that path can stand in the configuration as it is, else empty. Returns an
 * exit code.
 */
NODISCARD int init_find_folder(const char *output, char folder[PATH_MAX], struct sv *out_plain);

/* Is there just the sample of the package, as it was installed? Then there is no configuration yet. */
NODISCARD bool init_is_sample(const char *path);

/* `postern check` of what was written; its exit code. */
NODISCARD int init_check(struct cli_context *ctx, const char *path);

struct init_users {
	const struct setup_report *report;
	struct sv host;     /* as devices know this relay */
	struct sv folder;   /* the verifiers go to FOLDER/users */
	const char *sheets; /* a folder */
};

/* Returns an exit code. */
NODISCARD int init_make_users(const struct init_users *u);
