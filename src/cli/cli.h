/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "base/buf.h"
#include "base/sv.h"
#include "cli/screen.h"

#include <jansson.h>
#include <stdbool.h>
#include <sysexits.h>

#define CLI_CONFIG_PATH "/etc/postern/postern.yaml"
#define CLI_CONTROL_SOCKET "/run/postern/control.sock" /* the default, see conf/ */

/*
 * One file a command. Each gets its own arguments (argv[0] is the command's name) and returns an exit
 * code of sysexits.h. --config, --json and --help are read by each command with cli_option().
 */
struct cli_context {
	const char *config_path; /* /etc/postern/postern.yaml, $POSTERN_CONFIG or --config */
	bool json;               /* one object a line */
	bool takes_json;         /* the command has JSON to give: elsewhere --json is refused */
	bool offline; /* of cli_ask(): no daemon answered, the queue was opened instead */
	bool color;   /* standard output is a terminal with colours, and NO_COLOR is not set */
};

/* The packages make this user and group, and the unit names them. */
#define CLI_SERVICE_USER "postern"
/* Who is in it uses the control socket, and reads no secret (those are of the group CLI_SERVICE_USER). */
#define CLI_ADMIN_GROUP "postern-admin"
#define CLI_MONITOR_SOCKET \
	"monitor.sock" /* beside the control socket: observe_control_options.monitors */

int cli_check(struct cli_context *ctx, int argc, char **argv);
int cli_demo(struct cli_context *ctx, int argc, char **argv);
int cli_domain(struct cli_context *ctx, int argc, char **argv);
int cli_doctor(struct cli_context *ctx, int argc, char **argv);
int cli_explain(struct cli_context *ctx, int argc, char **argv);
int cli_health(struct cli_context *ctx, int argc, char **argv);
int cli_import(struct cli_context *ctx, int argc, char **argv);
int cli_init(struct cli_context *ctx, int argc, char **argv);
int cli_login(struct cli_context *ctx, int argc, char **argv);
int cli_mailboxes(struct cli_context *ctx, int argc, char **argv);
int cli_plan(struct cli_context *ctx, int argc, char **argv);
int cli_queue(struct cli_context *ctx, int argc, char **argv);
int cli_mailq(struct cli_context *ctx, int argc, char **argv);
int cli_reload(struct cli_context *ctx, int argc, char **argv);
int cli_report(struct cli_context *ctx, int argc, char **argv);
int cli_sandbox(struct cli_context *ctx, int argc, char **argv);
int cli_serve(struct cli_context *ctx, int argc, char **argv);
int cli_setup(struct cli_context *ctx, int argc, char **argv);
int cli_simulate(struct cli_context *ctx, int argc, char **argv);
int cli_status(struct cli_context *ctx, int argc, char **argv);
int cli_trace(struct cli_context *ctx, int argc, char **argv);
int cli_user(struct cli_context *ctx, int argc, char **argv);
int cli_vault(struct cli_context *ctx, int argc, char **argv);

/*
 * Reads options in the manner of getopt_long, the common ones included. `options` ends with a NULL
 * name. Returns the index of the option that was met, CLI_OPTION_END when only operands are left (they
 * start at argv[optind]), CLI_OPTION_HELP after the help was printed, CLI_OPTION_WRONG after a message.
 */
struct cli_option {
	const char *name; /* without the dashes */
	bool has_value;
};
enum {
	CLI_OPTION_END = -1,
	CLI_OPTION_HELP = -2,
	CLI_OPTION_WRONG = -3
};
NODISCARD int cli_option(struct cli_context *ctx, int argc, char **argv,
	const struct cli_option *options, const char *help, const char **out_value);

/* An option whose value is a number within bounds: goes into the uint32_t `at` bytes behind `into`. EX_USAGE after a message. */
struct cli_number {
	const char *name;
	uint32_t min, max;
	size_t at;
};
int cli_number(const struct cli_number *n, const char *value, void *into);

/*
 * "postern: " + text + line end, on standard error; with --json an object {"error":...,"code":...}; in
 * the log when cli_fail_to_log() was called. Returns `exit_code`.
 */
int cli_fail(int exit_code, const char *fmt, ...) PRINTF_LIKE(2, 3);
void cli_fail_to_log(const char *part);
/* Prints `o` as a line of its own, and takes it. NULL: "{}". */
void cli_put_json(json_t *o);
/* A finding of the configuration, by the same way. */
struct conf_finding;
void cli_print_finding(const struct conf_finding *f);

/* A file with something secret was made there: a purge of the package deletes it, when it is in /etc/postern. */
void cli_made(const char *path);

/* Terminal styles, empty strings when there is no colour. */
const char *cli_style(
	const struct cli_context *ctx, const char *name); /* "bold", "red", ..., "off" */

/*
 * The columns of the terminal on standard output, 80 when it does not tell; 0 when it is none: then one
 * line stays one line, for grep and for other programs.
 */
size_t cli_columns(void);
/* Whether the terminal shows more than ASCII, by LC_ALL, LC_CTYPE and LANG. */
bool cli_is_utf8(void);
void cli_columns_keep(void); /* from now on those of now, wherever standard output goes */

/*
 * Appends `text` and a line end; `at` columns of the line are written already. Folds between words before
 * column `width` (0: never), so that what follows stands behind `indent` spaces. A buf_append() error.
 */
NODISCARD int cli_fold(struct buf *out, struct sv text, size_t at, size_t indent, size_t width);

/* printf() of whole lines, each folded to the terminal. A text without a line end gets one. */
void cli_print(size_t indent, const char *fmt, ...) PRINTF_LIKE(2, 3);
