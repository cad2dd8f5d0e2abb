/* SPDX-License-Identifier: Apache-2.0 */
#include "base/limits.h"
#include "base/must.h"
#include "base/secret.h"
#include "base/text.h"
#include "cli/ask.h"
#include "cli/confine.h"
#include "cli/reload.h"
#include "cli/serve_queue.h"
#include "cli/start.h"
#include "identity/tokens.h"
#include "identity/vault.h"
#include "inbound/inbound.h"
#include "io/confine.h"
#include "io/https.h"
#include "io/log.h"
#include "io/notify.h"
#include "io/worker.h"
#include "observe/alerts.h"
#include "observe/control.h"
#include "observe/health.h"
#include "outbound/outbound.h"
#include "store/store.h"
#include "store/store_health.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/*
 * The daemon: puts the parts together, in the order in which they need each other, and takes them apart in
 * the other order. SIGTERM and SIGINT drain, SIGHUP reloads.
 */
static const char help[] = "usage: postern serve [--config FILE]\n\n"
			   "Runs the relay in the foreground; systemd keeps it (Type=notify, "
			   "socket activation and watchdog are\n"
			   "understood). SIGHUP reloads: a bad file keeps the old configuration. "
			   "SIGTERM drains and ends.\n\n"
			   "example:\n"
			   "  postern serve --config ./postern.yaml\n";

enum {
	WORKERS = 2,
	WORKER_QUEUE = 64,
	BUSY_PAUSE_MS = 20, /* a start waits so for whoever has the queue open, and so long */
	BUSY_WAIT_MS = 20000,
};
/* Clients wait that long at an upgrade; and how long the queue then has to note what was given up. */
#define DRAIN_US_MAX (5 * US_PER_S)
#define GIVE_UP_US_MAX (2 * US_PER_S)
#define UNCERTAIN_RETRY_STEPS 8 /* of retry.first, after a crash */

struct daemon {
	struct cli_context *ctx;
	struct io_loop *loop;
	struct conf *conf;
	struct store *store;
	struct io_workers *workers;
	struct io_resolver *resolver;
	struct io_https *https;
	struct identity_vault *vault; /* NULL: none is configured */
	struct identity_tokens *tokens;
	struct io_dnssec *dnssec; /* NULL: no DANE */
	struct cli_reload *reload;
	struct observe_alerts *alerts;
	struct domain_watch *domains; /* NULL: nobody wants it */
	struct outbound *outbound;
	struct inbound *inbound;
	char salt_key_file[PATH_MAX];
	gid_t admins; /* whose the control socket is; -1: ours */
	struct observe_control *control, *monitor;
	struct observe_health *health;
	struct observe_sources sources;
	struct io_timer watchdog, drain_limit;
	bool stopping, inbound_drained, outbound_drained, gave_up, drained;
};

static void set_log(const struct conf *c)
{
	static const char *const levels[] = { "debug", "info", "warn", "error" };
	const struct conf_general *g = conf_general(c);
	enum log_level level = LOG_INFO;

	for (size_t i = 0; i < COUNT_OF(levels); i++)
		if (sv_eq(g->log_level, sv_from(levels[i])))
			level = (enum log_level)i;
	log_setup(level, sv_eq(g->log_format, SV("json")));
}

/* ---- what others ask ---- */

static int signed_in(void *arg, struct sv mailbox)
{
	struct daemon *d = arg;
	const struct conf_member *m = conf_member_named(d->conf, mailbox);

	if (!m)
		return RC_NOT_FOUND;
	for (size_t i = 0; i < m->lane_count; i++)
		identity_tokens_signed_in(d->tokens, d->conf, &m->lanes[i]);
	log_line(LOG_INFO, "serve", "sign-in of %.*s has changed", SV_ARG(mailbox));
	return 0;
}

static void on_hup(void *arg, int signum)
{
	struct daemon *d = arg;

	(void)signum;
	cli_reload_ask(d->reload, NULL);
}

/* ---- stopping ---- */

static void stop_loop(void *arg)
{
	struct daemon *d = arg;

	io_loop_stop(d->loop);
}

static void check_drained(struct daemon *d)
{
	d->drained = d->inbound_drained && d->outbound_drained;
	/* Clients without an answer try again: when time is up, nothing waits for them. */
	if (d->drained || (d->gave_up && d->outbound_drained))
		stop_loop(d);
}

static void outbound_drained(void *arg)
{
	struct daemon *d = arg;

	d->outbound_drained = true;
	check_drained(d);
}

static void inbound_drained(void *arg)
{
	struct daemon *d = arg;

	d->inbound_drained = true;
	check_drained(d);
}

static void drain_too_long(void *arg)
{
	struct daemon *d = arg;

	log_line(LOG_WARN,
		"serve",
		"still busy after %u s, ending now; nothing is lost: messages that had not left go "
		"back "
		"to the queue, those without an answer are uncertain",
		(unsigned)(DRAIN_US_MAX / US_PER_S));
	d->gave_up = true;
	io_timer_init(&d->drain_limit, d->loop, stop_loop, d);
	io_timer_start(&d->drain_limit, mono_add(io_now(d->loop), GIVE_UP_US_MAX));
	outbound_give_up(d->outbound);
	check_drained(d);
}

static void on_stop(void *arg, int signum)
{
	struct daemon *d = arg;

	if (d->stopping) {
		stop_loop(d);
		return;
	}
	d->stopping = true;
	cli_reload_stop(d->reload);
	log_line(LOG_INFO, "serve", "signal %d: draining", signum);
	io_notify_stopping();
	io_timer_init(&d->drain_limit, d->loop, drain_too_long, d);
	io_timer_start(&d->drain_limit, mono_add(io_now(d->loop), DRAIN_US_MAX));
	inbound_drain(d->inbound, inbound_drained, d);
	outbound_drain(d->outbound, outbound_drained, d);
}

static void on_watchdog(void *arg)
{
	struct daemon *d = arg;
	uint64_t every = io_notify_watchdog_interval_us();

	io_notify_watchdog();
	io_timer_start(&d->watchdog, mono_add(io_now(d->loop), every));
}

/* ---- starting ---- */

static int open_store(struct daemon *d, struct err *err)
{
	const struct timespec pause = { .tv_nsec = BUSY_PAUSE_MS * 1000000L };
	struct store_recovery recovery = { 0 };

	d->store = cli_serve_queue_open(d->loop, d->conf, &recovery, err);
	/* A command that looks into the queue, or a daemon that ends: both are soon done. */
	for (unsigned waited = 0; !d->store && err->code == -EBUSY && waited < BUSY_WAIT_MS &&
				  !cli_daemon_runs(d->conf);
		waited += BUSY_PAUSE_MS) {
		(void)nanosleep(&pause, NULL);
		d->store = cli_serve_queue_open(d->loop, d->conf, &recovery, err);
	}
	if (!d->store)
		return RC_CONFIG;
	if (recovery.queued_count || recovery.uncertain_count || recovery.orphan_chunks)
		log_line(LOG_INFO,
			"serve",
			"queue: %llu recipients wait, %llu attempts without an outcome, %llu "
			"orphaned pieces",
			(unsigned long long)recovery.queued_count,
			(unsigned long long)recovery.uncertain_count,
			(unsigned long long)recovery.orphan_chunks);
	return 0;
}

static int resolve_uncertain(struct daemon *d, struct err *err)
{
	static const enum store_uncertain_policy policies[] = { [CONF_UNCERTAIN_RETRY] =
									STORE_UNCERTAIN_RETRY,
		[CONF_UNCERTAIN_HOLD] = STORE_UNCERTAIN_HOLD,
		[CONF_UNCERTAIN_ASSUME_SENT] = STORE_UNCERTAIN_ASSUME_SENT };
	const struct conf_general *g = conf_general(d->conf);
	struct wall_time now = io_wall(d->loop);
	uint64_t pause = UNCERTAIN_RETRY_STEPS * g->retry_first_us;
	int rc;

	if (pause > g->retry_ceiling_us)
		pause = g->retry_ceiling_us;
	rc = store_each_uncertain(d->store, outbound_restore_uncertain, d->outbound, err);
	if (rc == 0)
		rc = store_resolve_uncertain(d->store,
			&(struct store_uncertain){ .policy = policies[g->uncertain],
				.now = now,
				.retry_at = wall_add(now, (int64_t)pause),
				.ledger = outbound_uncertain_ledger,
				.flow = outbound_uncertain_flow,
				.arg = d->outbound },
			err);
	if (rc == 0 && store_health(d->store).bad_rows)
		log_line(LOG_ERROR,
			"serve",
			"queue: %llu attempts name a message or recipients that are not there: the "
			"disk "
			"may have lost them; `postern doctor` says more",
			(unsigned long long)store_health(d->store).bad_rows);
	return rc;
}

/*
 * A vault that does not open stops nothing but the mail that needs it, which waits; each use tries again. A key that
 * was exchanged is in place by now, so the one before it can go.
 */
static void open_vault(struct daemon *d)
{
	struct err err = { 0 };
	int rc;

	if (conf_general(d->conf)->vault_key.kind == CONF_SECRET_NONE)
		return;
	rc = identity_vault_open_later(d->conf, &d->vault, &err);
	if (rc == 0)
		rc = identity_vault_settle(d->vault, &err);
	if (rc != 0)
		log_line(LOG_ERROR,
			"serve",
			"%s; mail that needs the vault waits (vault-closed), all other mail goes "
			"on",
			err.text);
}

/* What signs lanes in: HTTPS, the vault with the logins, the tokens. */
static int open_identity(struct daemon *d, struct err *err)
{
	const struct conf_general *g = conf_general(d->conf);

	d->https = io_https_new(
		&(struct io_https_options){
			.loop = d->loop, .resolver = d->resolver, .proxy = g->proxy },
		err);
	if (!d->https)
		return RC_CONFIG;
	if (g->dnssec_anchor.len) {
		d->dnssec = io_dnssec_new(d->loop, g->dnssec_anchor, SV(""), err);
		if (!d->dnssec)
			return RC_CONFIG;
	}
	open_vault(d);
	d->tokens = identity_tokens_new(&(struct identity_tokens_options){
		.loop = d->loop, .https = d->https, .workers = d->workers, .vault = d->vault });
	return 0;
}

/* Without the socket for monitoring mail goes on all the same. */
static int open_controls(struct daemon *d, struct err *err)
{
	struct observe_control_options o = { .sources = &d->sources,
		.path = conf_general(d->conf)->control_socket,
		.group = d->admins };
	ptrdiff_t slash = sv_rfind_char(o.path, '/');
	char path[PATH_MAX];
	struct err ignored;

	d->control = observe_control_open(&o, err);
	if (!d->control)
		return RC_CONFIG;
	if (!observe_control_has_group(d->control))
		log_line(LOG_WARN,
			"serve",
			"%.*s: only root and the group of the daemon may use it, since the daemon "
			"is not "
			"in group " CLI_ADMIN_GROUP ": adduser " CLI_SERVICE_USER
			" " CLI_ADMIN_GROUP ", then restart",
			SV_ARG(o.path));
	(void)snprintf(path,
		sizeof(path),
		"%.*s" CLI_MONITOR_SOCKET,
		SV_ARG(sv_head(o.path, (size_t)(slash + 1))));
	o.path = sv_from(path);
	o.monitors = true;
	d->monitor = observe_control_open(&o, &ignored);
	if (!d->monitor)
		log_line(LOG_WARN, "serve", "no socket for monitoring: %s", ignored.text);
	return 0;
}

static int open_inbound(struct daemon *d, struct err *err)
{
	struct inbound_options options;

	(void)snprintf(d->salt_key_file,
		sizeof(d->salt_key_file),
		"%.*s/scram.key",
		SV_ARG(conf_general(d->conf)->data_dir));
	options = (struct inbound_options){ .loop = d->loop,
		.store = d->store,
		.workers = d->workers,
		.conf = d->conf,
		.dispatch = { d->outbound,
			outbound_claim,
			outbound_committed,
			outbound_withdrawn,
			outbound_queued },
		.salt_key_file = d->salt_key_file };
	d->inbound = inbound_new(&options, err);
	return d->inbound ? 0 : RC_CONFIG;
}

/* Mail goes on without it. */
static void watch_domains(void *arg)
{
	struct daemon *d = arg;
	struct err err = { 0 };
	struct domain_watch *old = TAKE(d->domains);

	d->domains =
		domain_watch_new(d->loop, d->conf, old, observe_alerts_domain, d->alerts, &err);
	domain_watch_free(old);
	d->sources.domains = d->domains;
	if (err.code)
		log_line(LOG_WARN, "serve", "domains are not watched: %s", err.text);
}

static int start(struct daemon *d, struct err *err)
{
	int rc = open_store(d, err);

	if (rc != 0)
		return rc;
	d->workers = io_workers_new(d->loop, WORKERS, WORKER_QUEUE);
	d->resolver = io_resolver_new(d->loop, err);
	if (!d->resolver)
		return RC_DNS;
	rc = open_identity(d, err);
	if (rc != 0)
		return rc;
	d->alerts = observe_alerts_new(&(struct observe_alerts_options){ .loop = d->loop,
		.store = d->store,
		.https = d->https,
		.workers = d->workers,
		.vault = d->vault,
		.conf = d->conf });
	d->outbound = outbound_new(&(struct outbound_options){ .loop = d->loop,
		.store = d->store,
		.resolver = d->resolver,
		.conf = d->conf,
		.workers = d->workers,
		.vault = d->vault,
		.tokens = d->tokens,
		.https = d->https,
		.dnssec = d->dnssec,
		.event = observe_alerts_event,
		.event_arg = d->alerts });
	rc = resolve_uncertain(d, err);
	if (rc != 0)
		return rc;
	rc = open_inbound(d, err);
	if (rc != 0)
		return rc;
	d->reload = cli_reload_new(&(struct cli_reload_parts){ .config_path = d->ctx->config_path,
		.salt_key_file = d->salt_key_file,
		.loop = d->loop,
		.workers = d->workers,
		.inbound = d->inbound,
		.outbound = d->outbound,
		.tokens = d->tokens,
		.https = d->https,
		.vault = d->vault,
		.alerts = d->alerts,
		.conf = &d->conf,
		.configured = set_log,
		.reloaded = watch_domains,
		.reloaded_arg = d });
	d->sources = (struct observe_sources){ .loop = d->loop,
		.store = d->store,
		.outbound = d->outbound,
		.inbound = d->inbound,
		.tokens = d->tokens,
		.alerts = d->alerts,
		.conf = &d->conf,
		.started_at = io_now(d->loop),
		.reload = cli_reload_ask,
		.reload_arg = d->reload,
		.signed_in = signed_in,
		.signed_in_arg = d };
	if (open_controls(d, err) != 0)
		return RC_CONFIG;
	d->health = observe_health_new(&d->sources, conf_general(d->conf)->control_socket);
	observe_alerts_start(d->alerts, d->outbound);
	watch_domains(d);
	outbound_start(d->outbound);
	return 0;
}

static void run(struct daemon *d)
{
	log_start();
	io_signal_watch(d->loop, SIGTERM, on_stop, d);
	io_signal_watch(d->loop, SIGINT, on_stop, d);
	if (io_notify_watchdog_interval_us()) {
		io_timer_init(&d->watchdog, d->loop, on_watchdog, d);
		on_watchdog(d);
	}
	log_line(LOG_INFO, "serve", "postern %s serves", POSTERN_VERSION);
	/* Now, not at the first password. */
	secret_free(secret_new(SV("")));
	if (!secret_memory_is_locked())
		log_line(LOG_WARN,
			"serve",
			"secrets may be swapped out: raise the limit of locked memory "
			"(LimitMEMLOCK=)");
	cli_confine_settled(d->conf);
	/* What reading the configuration and making the filters took. */
	io_memory_give_back();
	io_notify_ready();
	io_loop_run(d->loop);
}

static void limit_resources(void)
{
	const struct rlimit none = { 0, 0 };
	struct rlimit files;

	/* A small RLIMIT_FSIZE is a failed write with a message, not a death in the middle. */
	(void)signal(SIGXFSZ, SIG_IGN);
	/* Passwords are in this memory. */
	(void)setrlimit(RLIMIT_CORE, &none);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	(void)umask(0077);
}

/* Rights can be given while systemd tries again; a file with errors stays as it is. */
static int no_conf(const struct cli_context *ctx, bool passing)
{
	if (passing && access(ctx->config_path, R_OK) == 0)
		return cli_fail(EX_UNAVAILABLE,
			"%s could not be read to its end: see above",
			ctx->config_path);
	if (!cli_conf_is_absent(ctx) && access(ctx->config_path, R_OK) != 0)
		return cli_fail(EX_UNAVAILABLE,
			"%s may not be read: chown root:" CLI_SERVICE_USER " and chmod 0640 it",
			ctx->config_path);
	return cli_conf_failed(ctx);
}

static void say_obstacle(void *arg, const struct conf_place *place, const char *text)
{
	(void)arg;
	if (place)
		(void)cli_fail(0, "%s:%u: %s", place->file, place->line, text);
	else
		(void)cli_fail(0, "%s", text);
}

static void keep_obstacle(void *arg, const struct conf_place *place, const char *text)
{
	(void)!buf_printf(arg, "%s:%u: %s\n", place->file, place->line, text);
}

static void say_kept(struct sv text)
{
	struct sv line;

	while (text.len) {
		(void)sv_cut_char(&text, '\n', &line);
		(void)cli_fail(0, "%.*s", SV_ARG(line));
	}
}

/* What failed, and whoever is in the way. An exit code. */
static int say_obstacles(const struct daemon *d, const struct err *err, struct sv busy)
{
	(void)cli_fail(0, "%s", err->text);
	if (err->code == -EADDRINUSE && busy.len)
		say_kept(busy);
	else if (err->code == -EADDRINUSE || err->code == -EADDRNOTAVAIL)
		cli_start_ports(d->conf, say_obstacle, NULL);
	else if (err->code == -EACCES && !d->store)
		cli_start_folders(d->conf, say_obstacle, NULL);
	else if (err->code == -EACCES)
		(void)cli_fail(0,
			"ports below 1024 are for root and CAP_NET_BIND_SERVICE, which the unit "
			"of systemd gives; or choose another port");
	return cli_start_exit(err->code);
}

int cli_serve(struct cli_context *ctx, int argc, char **argv)
{
	CLEANUP(buf_deinitp) struct buf busy = BUF_INIT(1 << 16);
	struct daemon d = { .ctx = ctx };
	struct err err = { 0 };
	const char *value = NULL;
	bool passing = false, closed;
	int seen = cli_option(ctx, argc, argv, NULL, help, &value);
	int rc;

	if (seen != CLI_OPTION_END)
		return seen == CLI_OPTION_HELP ? EX_OK : EX_USAGE;
	if (optind < argc)
		return cli_fail(EX_USAGE, "serve takes no operand: '%s'", argv[optind]);
	/* On a terminal a person reads: no time, no tag. */
	if (!isatty(STDERR_FILENO))
		cli_fail_to_log("serve");
	limit_resources();
	d.conf = cli_load_conf_at_start(ctx, &passing);
	if (!d.conf)
		return no_conf(ctx, passing);
	set_log(d.conf);
	/* Confined, we do not see whose a port is. */
	if (geteuid() == 0)
		cli_start_ports(d.conf, keep_obstacle, &busy);
	d.admins = cli_admin_group();
	rc = cli_confine(d.conf, &err);
	if (rc == 0) {
		d.loop = io_loop_new();
		/* Heard when the loop runs: whoever sees the sockets may ask for a reload at once. */
		io_signal_watch(d.loop, SIGHUP, on_hup, &d);
		rc = start(&d, &err);
	}
	if (rc != 0) {
		/* The kernel takes the parts apart: nothing was promised to anybody yet. */
		_exit(say_obstacles(&d, &err, buf_sv(&busy)));
	}
	run(&d);
	observe_control_close(d.control);
	observe_control_close(d.monitor);
	observe_health_free(d.health);
	domain_watch_free(TAKE(d.domains));
	observe_alerts_stop(d.alerts);
	/* What was handed to the queue is finished; its completions find everybody alive. */
	closed = store_close(d.store);
	if (!closed)
		log_line(LOG_WARN,
			"serve",
			"the disk under data_dir does not answer: ending without it; what was "
			"accepted is "
			"in the queue");
	if (closed && d.drained) {
		inbound_free(d.inbound);
		outbound_free(d.outbound);
		identity_tokens_free(d.tokens);
		io_dnssec_free(d.dnssec);
		io_https_free(d.https);
		io_resolver_free(d.resolver);
		io_workers_free(d.workers);
		observe_alerts_free(d.alerts);
		identity_vault_free(d.vault);
		conf_unref(d.conf);
		io_loop_free(d.loop);
	}
	log_line(LOG_INFO, "serve", "ended");
	log_stop();
	return EX_OK;
}
