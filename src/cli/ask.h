/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cli/cli.h"
#include "conf/conf.h"

#include <jansson.h>

/*
 * Asks the running daemon by its control socket. When none runs, opens the queue itself (the folder's
 * lock keeps a daemon out meanwhile) and answers from there by the same code. `each` gets every line
 * but the last, and the last one when it has totals; the object is borrowed. With --json the lines are printed as they come and `each` is
 * not called. Takes `request`. Returns an exit code; failures are told on standard error.
 */
typedef void cli_line_fn(void *arg, const json_t *line);
int cli_ask(struct cli_context *ctx, json_t *request, cli_line_fn *each, void *arg);

/* The same of a daemon that runs, and with nothing said when there is none or it fails. False: so it is. */
NODISCARD bool cli_ask_running(struct conf *c, json_t *request, cli_line_fn *each, void *arg);

/* Whether a daemon answers on the control socket. */
NODISCARD bool cli_daemon_runs(const struct conf *c);

/* The text under `key`, "" when absent; borrowed. */
const char *cli_text(const json_t *line, const char *key);

/* There is no configuration yet, and that is no fault: `postern init` makes one. */
NODISCARD bool cli_conf_is_absent(const struct cli_context *ctx);
#define CLI_NO_CONF_TEXT "no configuration yet: run `postern init`, or name a file with --config"

/* Loads the configuration and prints all findings to standard error; NULL when there are errors. */
NODISCARD struct conf *cli_load_conf(const struct cli_context *ctx);
/* *out_passing (NULL: not asked): a file could not be read for a reason that may pass. */
NODISCARD struct conf *cli_load_conf_at_start(const struct cli_context *ctx, bool *out_passing);
/* After that NULL: says why nothing can be done. An exit code. */
NODISCARD int cli_conf_failed(const struct cli_context *ctx);

/* Filter options of queue and trace: cli_filter_set() puts each into the request. */
extern const struct cli_option cli_filter_options[];
enum {
	CLI_FILTER_OPTIONS = 16
};
NODISCARD int cli_filter_set(json_t *request, const char *name, const char *value);
#define CLI_FILTER_HELP                                                                       \
	"  --id ID               queue id, as in the log\n"                                   \
	"  --sender PATTERN      erp@contoso.com or *@contoso.com (also --from)\n"            \
	"  --recipient PATTERN   likewise (also --to)\n"                                      \
	"  --mailbox NAME        mailbox or connector it waits for, or left by\n"             \
	"  --tenant NAME         of the mailboxes of this tenant\n"                           \
	"  --state STATE         queued, parked, waiting (queued, not parked), open, held,\n" \
	"                        uncertain, delivered, bounced, expired, dropped\n"           \
	"  --reason CAUSE        smtp-auth-off, mailbox-full, ... (also --cause)\n"           \
	"  --older AGE           accepted longer ago than 30s, 5m, 1h, 2d\n"                  \
	"  --newer AGE           accepted since\n"                                            \
	"  --since TIME          accepted since 2026-11-23, 2026-11-23T20:22:17Z or an age\n" \
	"  --until TIME          accepted before\n"                                           \
	"  --sort KEY            oldest, newest, size, next, attempts, sender, recipient,\n"  \
	"                        mailbox, cause\n"                                            \
	"  --limit N             at most N rows\n"                                            \
	"  --config FILE         default /etc/postern/postern.yaml\n"                         \
	"  --json                one object a line\n"

/* remedy.c: who can fix it and the step, for an object with "who", "step" and so on; `indent` spaces in front. */
void cli_print_remedy(const struct cli_context *ctx, const json_t *of, size_t indent);
/* The state of a recipient in words: "parked" where it is. */
const char *cli_state(const json_t *line);
/* The sum behind a list of recipients. */
void cli_print_totals(const json_t *totals);

/* wait.c: of a line with "wait" (observe/where.h): "waits for the minute of erp@contoso.com"; of what waits for its next try nothing. */
struct buf;
void cli_put_waits_for(const json_t *line, struct buf *out);
/* Nothing holds it: a limit, or those before it. */
bool cli_waits_for_limits(const json_t *line);
enum {
	CLI_PACE_MAX = 400
};
/* "24 messages a minute (80 % of 30)"; "": no limit sets the pace. */
const char *cli_pace(const json_t *pace, char out[CLI_PACE_MAX]);
