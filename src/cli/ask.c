/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ask.h"
#include "cli/start.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/must.h"
#include "base/text.h"
#include "io/loop.h"
#include "observe/query.h"
#include "store/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
	BUSY_PAUSE_MS = 100,
	BUSY_WAIT_MS = 15000,
};

const struct cli_option cli_filter_options[] = {
	{ "id", true },
	{ "sender", true },
	{ "recipient", true },
	{ "mailbox", true },
	{ "tenant", true },
	{ "state", true },
	{ "reason", true },
	{ "older", true },
	{ "newer", true },
	{ "since", true },
	{ "until", true },
	/* The same by another name. */
	{ "to", true },
	{ "from", true },
	{ "cause", true },
	{ "sort", true },
	{ "limit", true },
	{ NULL, false },
};
static_assert(COUNT_OF(cli_filter_options) == CLI_FILTER_OPTIONS + 1, "see cli_filter_options");

int cli_filter_set(json_t *request, const char *name, const char *value)
{
	static const char *const same[][2] = {
		{ "to", "recipient" }, { "from", "sender" }, { "cause", "reason" }
	};
	uint32_t limit;

	for (size_t i = 0; i < COUNT_OF(same); i++)
		if (strcmp(name, same[i][0]) == 0)
			name = same[i][1];
	if (strcmp(name, "limit") != 0) {
		(void)json_object_set_new(request, name, json_string(value));
		return EX_OK;
	}
	if (sv_parse_u32(sv_from(value), UINT32_MAX, &limit) != 0 || limit == 0)
		return cli_fail(EX_USAGE, "--limit needs a number from 1, not '%s'", value);
	(void)json_object_set_new(request, name, json_integer(limit));
	return EX_OK;
}

const char *cli_text(const json_t *line, const char *key)
{
	const char *text = json_string_value(json_object_get(line, key));

	return text ? text : "";
}

bool cli_conf_is_absent(const struct cli_context *ctx)
{
	return access(ctx->config_path, F_OK) != 0 && errno == ENOENT;
}

int cli_conf_failed(const struct cli_context *ctx)
{
	if (cli_conf_is_absent(ctx))
		return cli_fail(EX_CONFIG, "%s: " CLI_NO_CONF_TEXT, ctx->config_path);
	if (access(ctx->config_path, R_OK) != 0)
		return cli_fail(
			EX_NOPERM, "%s: %s: run this as root", ctx->config_path, rc_text(-errno));
	return cli_fail(EX_CONFIG, "%s has errors: see above", ctx->config_path);
}

static void print_findings(
	const struct cli_context *ctx, const struct conf_findings *findings, bool is_usable)
{
	/* cli_conf_failed() says it better. */
	if (access(ctx->config_path, R_OK) != 0)
		return;
	for (size_t i = 0; i < findings->count; i++) {
		const struct conf_finding *f = &findings->items[i];

		if (!f->warning || !is_usable)
			cli_print_finding(f);
	}
}

struct conf *cli_load_conf_at_start(const struct cli_context *ctx, bool *out_passing)
{
	struct conf_findings findings;
	struct conf *c = conf_load(ctx->config_path, &findings);

	print_findings(ctx, &findings, c != NULL);
	if (out_passing)
		*out_passing = findings.passing;
	conf_findings_free(&findings);
	return c;
}

struct conf *cli_load_conf(const struct cli_context *ctx)
{
	return cli_load_conf_at_start(ctx, NULL);
}

struct asker {
	struct cli_context *ctx;
	bool quiet;
	cli_line_fn *each;
	void *arg;
	int exit_code;
	bool ended;
	struct io_loop *loop; /* only when the daemon is down */
};

/* What strangers wrote begins no line and no column of ours. */
static void show_strings(json_t *value)
{
	CLEANUP(buf_deinitp) struct buf shown = BUF_INIT(4 * LIMIT_CONTROL_LINE);
	const char *key;
	json_t *member;
	size_t i;

	if (json_is_string(value)) {
		if (text_show(&shown,
			    sv_make(json_string_value(value), json_string_length(value))) == 0)
			(void)json_string_setn(value, buf_sv(&shown).ptr, shown.len);
	} else if (json_is_array(value)) {
		json_array_foreach(value, i, member) show_strings(member);
	} else if (json_is_object(value)) {
		json_object_foreach(value, key, member) show_strings(member);
	}
}

static void take_line(void *arg, struct sv text)
{
	struct asker *a = arg;
	json_t *line = json_loadb(text.ptr, text.len, 0, NULL);
	const char *error;

	if (!line)
		return;
	if (!a->ctx->json)
		show_strings(line);
	error = json_string_value(json_object_get(line, "error"));
	if (error) {
		a->exit_code = (int)json_integer_value(json_object_get(line, "code"));
		if (!a->quiet)
			(void)cli_fail(a->exit_code, "%s", error);
		a->ended = true;
	} else if (json_object_get(line, "end")) {
		a->ended = true;
		if (!a->ctx->json && json_object_get(line, "totals"))
			a->each(a->arg, line);
	} else if (a->ctx->json) {
		(void)printf("%.*s\n", SV_ARG(text));
	} else {
		a->each(a->arg, line);
	}
	json_decref(line);
}

/* ---- the daemon is up ---- */

static int connect_control(struct sv path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd;

	if (path.len >= sizeof(un.sun_path))
		return -ENAMETOOLONG;
	memcpy(un.sun_path, path.ptr, path.len);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&un, sizeof(un)) != 0) {
		int rc = -errno;

		(void)close(fd);
		return rc;
	}
	return fd;
}

bool cli_daemon_runs(const struct conf *c)
{
	int fd = connect_control(conf_general(c)->control_socket);

	if (fd >= 0)
		(void)close(fd);
	return fd >= 0 || fd == -EACCES;
}

/* Whoever may not use the control socket may still watch. */
static int connect_monitor(struct sv control)
{
	CLEANUP(buf_deinitp) struct buf path = BUF_INIT(4096);
	ptrdiff_t slash = sv_rfind_char(control, '/');
	int fd = -EACCES;

	if (buf_append(&path, sv_head(control, (size_t)(slash + 1))) == 0 &&
		buf_append(&path, SV(CLI_MONITOR_SOCKET)) == 0)
		fd = connect_control(buf_sv(&path));
	return fd < 0 ? -EACCES : fd;
}

static int read_answer(struct asker *a, int fd)
{
	CLEANUP(buf_deinitp) struct buf in = BUF_INIT(8 << 20);

	while (!a->ended) {
		struct sv line;
		ssize_t n;

		if (buf_reserve(&in, 65536) != 0)
			return cli_fail(
				EX_PROTOCOL, "the daemon's answer has a line that is too long");
		n = read(fd, buf_tail(&in), 65536);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return cli_fail(
				EX_TEMPFAIL, "the daemon closed the control socket: see its log");
		buf_grew(&in, (size_t)n);
		while (sv_find_char(buf_sv(&in), '\n') >= 0) {
			struct sv rest = buf_sv(&in);

			(void)sv_cut_char(&rest, '\n', &line);
			take_line(a, line);
			buf_consume(&in, line.len + 1);
		}
	}
	return a->exit_code;
}

static int ask_daemon(struct asker *a, int fd, struct sv request)
{
	while (request.len) {
		ssize_t n = send(fd, request.ptr, request.len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return cli_fail(EX_TEMPFAIL, "control socket: %s", rc_text(-errno));
		request = sv_skip(request, (size_t)n);
	}
	return read_answer(a, fd);
}

/* ---- the daemon is down ---- */

static bool always_room(void *arg)
{
	(void)arg;
	return true;
}

static void stop_loop(void *arg)
{
	struct asker *a = arg;

	io_loop_stop(a->loop);
}

static int ask_store(struct asker *a, struct conf *c, struct sv request)
{
	const struct conf_general *g = conf_general(c);
	const struct store_options options = {
		.data_dir = g->data_dir,
		.history_keep_us = g->history_keep_us,
		.history_bytes_max = g->history_bytes_max,
		.in_spite_of_damage = true,
	};
	struct observe_query_sink sink = {
		.line = take_line,
		.done = stop_loop,
		.has_room = always_room,
		.arg = a,
	};
	struct observe_sources sources = { 0 };
	struct store_recovery recovery;
	struct err err = { 0 };
	struct observe_query *q;
	struct store *s;
	char path[4096];

	(void)snprintf(path, sizeof(path), "%.*s/queue.db", SV_ARG(g->data_dir));
	if (access(path, F_OK) != 0)
		return cli_fail(EX_UNAVAILABLE,
			"the daemon does not run, and there is no queue in %.*s yet",
			SV_ARG(g->data_dir));
	a->ctx->offline = true;
	a->loop = io_loop_new();
	s = store_open(a->loop, &options, &recovery, &err);
	if (!s && err.code == -EBUSY) {
		io_loop_free(a->loop);
		return -EBUSY;
	}
	if (!s) {
		io_loop_free(a->loop);
		return cli_fail(EX_UNAVAILABLE,
			"no daemon answers on %.*s, and the queue cannot be opened: %s",
			SV_ARG(g->control_socket),
			err.text);
	}
	sources.loop = a->loop;
	sources.store = s;
	sources.conf = &c;
	sources.started_at = io_now(a->loop);
	q = observe_query_new(&sources, request, &sink);
	if (!a->ended)
		io_loop_run(a->loop);
	observe_query_free(q);
	if (store_close(s))
		io_loop_free(a->loop);
	return a->exit_code;
}

/*
 * A file with errors, and a daemon that runs: it has a configuration of its own and answers. A file that
 * names no socket of its own speaks of the system's daemon only if it is the system's.
 */
static int connect_in_spite(const struct cli_context *ctx, struct sv socket_path)
{
	bool default_socket = sv_eq(socket_path, SV(CLI_CONTROL_SOCKET));

	if (default_socket && strcmp(ctx->config_path, CLI_CONFIG_PATH) != 0)
		return -ENOENT;
	return connect_control(socket_path);
}

static int render_request(json_t *request, struct buf *out)
{
	char *dumped = json_dumps(request, JSON_COMPACT);
	int rc;

	must(dumped != NULL);
	rc = buf_append(out, sv_from(dumped)) == 0 ? buf_append(out, SV("\n")) : RC_LIMIT;
	free(dumped);
	return rc;
}

/*
 * The daemon, or the queue itself while none runs. The queue is in use for a moment while a daemon starts or
 * another command looks into it: then the daemon answers, or the command is done.
 */
static int ask_either(struct asker *a, struct conf *c, int *fd, struct sv line)
{
	const struct timespec pause = { .tv_nsec = BUSY_PAUSE_MS * 1000000L };
	int code = ask_store(a, c, sv_head(line, line.len - 1));

	for (unsigned waited = 0; code == -EBUSY && waited < BUSY_WAIT_MS;
		waited += BUSY_PAUSE_MS) {
		(void)nanosleep(&pause, NULL);
		*fd = connect_control(conf_general(c)->control_socket);
		if (*fd >= 0) {
			a->ctx->offline = false;
			return ask_daemon(a, *fd, line);
		}
		code = ask_store(a, c, sv_head(line, line.len - 1));
	}
	if (code != -EBUSY)
		return code;
	return cli_fail(EX_TEMPFAIL,
		"no daemon answers on %.*s, and another postern has the queue in %.*s open",
		SV_ARG(conf_general(c)->control_socket),
		SV_ARG(conf_general(c)->data_dir));
}

int cli_ask(struct cli_context *ctx, json_t *request, cli_line_fn *each, void *arg)
{
	struct asker a = { .ctx = ctx, .each = each, .arg = arg };
	struct conf_findings findings;
	CLEANUP(conf_unrefp) struct conf *c = conf_load(ctx->config_path, &findings);
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(LIMIT_CONTROL_LINE);
	bool is_reload = strcmp(cli_text(request, "do"), "reload") == 0;
	int rc = render_request(request, &text);
	int code, fd;

	json_decref(request);
	code = cli_become_daemon(ctx, c);
	if (code != EX_OK) {
		conf_findings_free(&findings);
		return code;
	}
	fd = c ? connect_control(findings.control_socket)
	       : connect_in_spite(ctx, findings.control_socket);
	if (fd == -EACCES)
		fd = connect_monitor(findings.control_socket);
	/* A reload says them itself. */
	if (fd < 0 || !is_reload)
		print_findings(ctx, &findings, c != NULL);
	if (rc != 0)
		code = cli_fail(EX_USAGE, "the request is too long");
	else if (fd == -EACCES)
		code = cli_fail(EX_NOPERM,
			"%.*s: permission denied; be root or in group " CLI_ADMIN_GROUP,
			SV_ARG(findings.control_socket));
	else if (fd < 0)
		code = c ? ask_either(&a, c, &fd, buf_sv(&text)) : cli_conf_failed(ctx);
	else
		code = ask_daemon(&a, fd, buf_sv(&text));
	if (fd >= 0)
		(void)close(fd);
	conf_findings_free(&findings);
	return code;
}

bool cli_ask_running(struct conf *c, json_t *request, cli_line_fn *each, void *arg)
{
	struct cli_context quiet = { 0 };
	struct asker a = { .ctx = &quiet, .quiet = true, .each = each, .arg = arg };
	int fd = connect_control(conf_general(c)->control_socket);
	char *dumped = json_dumps(request, JSON_COMPACT);
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(LIMIT_CONTROL_LINE);
	bool ok = fd >= 0 && dumped && buf_append(&text, sv_from(dumped)) == 0 &&
		  buf_append(&text, SV("\n")) == 0 && ask_daemon(&a, fd, buf_sv(&text)) == EX_OK;

	free(dumped);
	json_decref(request);
	if (fd >= 0)
		(void)close(fd);
	return ok;
}
