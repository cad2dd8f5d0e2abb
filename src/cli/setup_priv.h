/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cli/cli.h"
#include "conf/conf.h"
#include "identity/oauth.h"
#include "io/https.h"
#include "setup/plan.h"

#include <jansson.h>
#include <limits.h>

/*
 * setup.c        the command
 * setup_admin.c  the administrator's sign-in, and one call at a time
 * setup_steps.c  what each step of the plan looks at and changes
 * setup_apply.c  apply and undo: asks, remembers, reports
 * setup_survey.c who still signs in with a password, and where each moves
 */
enum {
	SETUP_WHY_MAX = 400
};

struct setup_given {
	const char *address;   /* of the relay, for connectors */
	const char *admin;     /* who signs in: admin@contoso.com */
	const char *exchange;  /* another address of Exchange's endpoint; NULL: the cloud's */
	const char *client_id; /* another public client to sign in with; NULL: Microsoft's own */
	const char *report;    /* survey: a CSV file */
	const char *tenant;    /* survey: only this one; NULL: all */
	bool yes;
};

struct setup_admin {
	struct cli_context *ctx;
	const struct setup_given *given;
	const struct conf *conf;
	const struct conf_tenant *tenant;
	struct io_loop *loop;
	struct io_resolver *resolver;
	struct io_https *https;
	struct secret *exchange, *graph; /* tokens; NULL: not signed in there */
	json_t *undo;                    /* calls, the last change at the end */
	char undo_path[PATH_MAX];
	char client_id[64], principal_id[64]; /* once known */
	char why[SETUP_WHY_MAX];              /* of the last refusal; fit for a terminal */
	bool uncertain;                       /* there was no answer: it may have been done */
};

NODISCARD int setup_admin_init(struct setup_admin *a, struct cli_context *ctx,
	const struct setup_given *given, const struct conf *c, const struct conf_tenant *t);
void setup_admin_deinit(struct setup_admin *a);
/* By device code; an exit code. `graph`: at Graph too. */
NODISCARD int setup_admin_sign_in(struct setup_admin *a, bool graph);
/* The same, to read Graph's sign-in log. */
NODISCARD int setup_admin_sign_in_log(struct setup_admin *a);

/*
 * A call is {"cmdlet", "parameters"}, or {"method", "path", "body"} for Graph. The answer, or NULL with
 * a->why. Borrows the call.
 */
NODISCARD json_t *setup_admin_call(struct setup_admin *a, const json_t *call);

enum setup_result {
	SETUP_RIGHT, /* nothing to do */
	SETUP_DONE,
	SETUP_SKIPPED, /* the administrator said no */
	SETUP_REFUSED, /* a->why */
	SETUP_BY_HAND, /* only the script does this */
};
enum setup_result setup_step_apply(struct setup_admin *a, const struct setup_step *s);
/* In words, for a line; in `out`. */
const char *setup_step_title(const struct setup_step *s, char out[SETUP_WHY_MAX]);

/* "Shall it?" of setup_apply.c, and one change that is remembered before it is made. Both take what they get. */
NODISCARD bool setup_confirm(struct setup_admin *a, const char *what);
NODISCARD enum setup_result setup_change(struct setup_admin *a, json_t *call, json_t *undo);

int setup_apply(struct cli_context *ctx, const struct setup_given *given);
int setup_undo(struct cli_context *ctx, const struct setup_given *given);
/* With `report` the CSV file is read, else the sign-in log of each tenant (or of `tenant`) is asked for. */
int setup_survey(struct cli_context *ctx, const struct setup_given *given);
