/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "base/text.h"
#include "cli/demo_priv.h"
#include "io/file.h"
#include "io/loop.h"
#include "io/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char help[] =
	"usage: postern demo [--keep]\n\n"
	"Starts a relay and a sandbox in a scratch folder, submits a few hundred messages by SMTP "
	"and sendmail,\n"
	"which leave by every door (password, token, High Volume Email, connector, Graph),\n"
	"kills the relay with -9 in the middle, starts it again, and sums up: accepted, delivered, "
	"lost,\n"
	"duplicates, limits broken. Exit code 0 only if nothing was lost and no limit was broken. "
	"One mailbox\n"
	"gets more than its 30 messages a minute, so the demo takes a little over a minute.\n\n"
	"  --keep                leave the scratch folder (configuration, queue, logs) for a "
	"look\n\n"
	"example:\n"
	"  postern demo --keep\n";

enum {
	PATIENCE_S = 240,
	START_S = 60,
	END_S = 60,
	MAX_LOG = 8 << 20,
	MAX_BODY = (DEMO_LARGE_BYTES / 3) * 4 + (2 << 20)
};

/* ---- little things ---- */

static void nap_ms(long ms)
{
	const struct timespec ts = { ms / 1000, ms % 1000 * 1000000L };

	(void)nanosleep(&ts, NULL);
}

static int free_port(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t len = sizeof(at);
	CLEANUP(io_closep) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&at, sizeof(at)) != 0 ||
		getsockname(fd, (struct sockaddr *)&at, &len) != 0)
		return -1;
	return ntohs(at.sin_port);
}

static bool wait_listening(int port)
{
	for (int i = 0; i < START_S * 20; i++) {
		CLEANUP(io_closep) int fd = demo_connect(port, NULL);

		if (fd >= 0)
			return true;
		nap_ms(50);
	}
	return false;
}

static json_t *http_get(int port, const char *path)
{
	CLEANUP(buf_deinitp) struct buf in = BUF_INIT(64 << 20);
	CLEANUP(io_closep) int fd = demo_connect(port, NULL);
	char request[256];
	ptrdiff_t body;
	int n = snprintf(request,
		sizeof(request),
		"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
		path);

	if (fd < 0 || send(fd, request, (size_t)n, MSG_NOSIGNAL) != n)
		return NULL;
	for (;;) {
		ssize_t got;

		if (buf_reserve(&in, 65536) != 0)
			return NULL;
		got = recv(fd, buf_tail(&in), 65536, 0);
		if (got <= 0)
			break;
		buf_grew(&in, (size_t)got);
	}
	body = sv_find(buf_sv(&in), SV("\r\n\r\n"));
	if (body < 0)
		return NULL;
	return json_loadb(buf_sv(&in).ptr + body + 4, in.len - (size_t)body - 4, 0, NULL);
}

/* ---- children ---- */

static pid_t start_child(const struct demo *d, const char *log_name, char *const args[])
{
	char path[PATH_MAX];
	CLEANUP(io_closep) int log = -1;
	struct io_spawn what = { .words = args, .foreground = true, .in = IO_SPAWN_SAME };
	pid_t child = 0;

	(void)snprintf(path, sizeof(path), "%s/%s", d->folder, log_name);
	log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	what.out = log;
	what.err = log;
	return io_spawn_start(&what, &child) == 0 ? child : 0;
}

static bool start_sandbox(struct demo *d)
{
	char smtp[64], http[64], https[64], hve[64], connector[64], folder[PATH_MAX];
	char *args[] = { d->exe,
		(char[]){ "sandbox" },
		(char[]){ "--smtp" },
		smtp,
		(char[]){ "--http" },
		http,
		(char[]){ "--https" },
		https,
		(char[]){ "--hve" },
		hve,
		(char[]){ "--connector" },
		connector,
		(char[]){ "--folder" },
		folder,
		(char[]){ "--keep" },
		(char[]){ "512MB" },
		NULL };

	(void)snprintf(smtp, sizeof(smtp), "127.0.0.1:%d", d->sandbox_port);
	(void)snprintf(http, sizeof(http), "127.0.0.1:%d", d->http_port);
	(void)snprintf(https, sizeof(https), "127.0.0.1:%d", d->https_port);
	(void)snprintf(hve, sizeof(hve), "127.0.0.1:%d", d->hve_port);
	(void)snprintf(connector, sizeof(connector), "127.0.0.1:%d", d->connector_port);
	(void)snprintf(folder, sizeof(folder), "%s/sandbox", d->folder);
	d->sandbox = start_child(d, "sandbox.log", args);
	return wait_listening(d->http_port);
}

static bool start_relay(struct demo *d)
{
	char config[PATH_MAX];
	char *args[] = { d->exe, (char[]){ "serve" }, (char[]){ "--config" }, config, NULL };

	(void)snprintf(config, sizeof(config), "%s/postern.yaml", d->folder);
	d->relay = start_child(d, "relay.log", args);
	return wait_listening(d->relay_port);
}

static void end_child(pid_t *child, int sig)
{
	if (*child <= 0)
		return;
	int status;

	(void)kill(*child, sig);
	(void)!io_spawn_wait(*child, true, mono_add(io_clock_mono(), END_S * US_PER_S), &status);
	*child = 0;
}

/*
 * Installed, postern-drop is setgid and then trusts no variable: it would hand the demo's mail to the
 * machine's own relay. A copy has no such bit; in memory, since /tmp may be mounted noexec.
 */
static int copy_program(int from)
{
	int fd = memfd_create("postern-drop", MFD_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(from, &st) != 0)
		return -1;
	for (off_t at = 0; at < st.st_size;) {
		if (sendfile(fd, from, &at, (size_t)(st.st_size - at)) <= 0) {
			io_closep(&fd);
			return -1;
		}
	}
	return fd;
}

static bool find_programs(struct demo *d)
{
	static const char *const places[] = { "postern-drop", "../drop/postern-drop" };
	ssize_t n = readlink("/proc/self/exe", d->exe, sizeof(d->exe) - 1);
	char *slash;

	if (n <= 0)
		return false;
	d->exe[n] = '\0';
	slash = strrchr(d->exe, '/');
	/* Installed, both lie side by side; in a build folder, one room further. */
	for (size_t i = 0; i < COUNT_OF(places); i++) {
		char path[PATH_MAX];
		CLEANUP(io_closep) int from = -1;

		(void)snprintf(
			path, sizeof(path), "%.*s/%s", (int)(slash - d->exe), d->exe, places[i]);
		from = open(path, O_RDONLY | O_CLOEXEC);
		if (from >= 0) {
			d->sendmail = copy_program(from);
			return d->sendmail >= 0;
		}
	}
	return false;
}

/* ---- the course ---- */

struct progress {
	unsigned delivered, unique, duplicates, violations, lost, astray;
	unsigned by_door[DEMO_DOOR_COUNT];
};

static unsigned number_of(const char *message_id)
{
	uint32_t n = DEMO_ALL;
	struct sv v = sv_from(message_id);
	ptrdiff_t at = sv_find_char(v, '@');

	if (!sv_starts(v, SV("<demo-")) || at < 0 ||
		sv_parse_u32(sv_skip(sv_head(v, (size_t)at), 6), DEMO_ALL, &n) != 0)
		return DEMO_ALL;
	return n;
}

/* Did it come by the door it was meant for? */
static bool came_right(unsigned n, const json_t *message)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(MAX_BODY);
	struct demo_mail mail;

	demo_mail_make(n, &mail, &text);
	return sv_eq(
		sv_from(mail.door), sv_from(json_string_value(json_object_get(message, "door"))));
}

static bool measure(const struct demo *d, struct progress *out)
{
	json_t *messages = http_get(d->http_port, "/messages"),
	       *verdict = http_get(d->http_port, "/verdict"), *one;
	bool seen[DEMO_ALL + 1] = { false };
	size_t i;

	*out = (struct progress){ 0 };
	json_array_foreach(messages, i, one)
	{
		unsigned n = number_of(json_string_value(json_object_get(one, "message_id")));

		out->delivered++;
		if (n >= DEMO_BY_PASSWORD && n < DEMO_ALL && !seen[n]) {
			out->astray += !came_right(n, one);
			out->by_door[(n - DEMO_BY_PASSWORD) / DEMO_EACH_DOOR]++;
		}
		out->unique += n < DEMO_ALL && !seen[n];
		seen[n] = true;
	}
	for (unsigned n = 0; n < DEMO_ALL; n++)
		out->lost += d->accepted[n] && !seen[n];
	out->duplicates = out->delivered - out->unique;
	out->violations = (unsigned)json_array_size(json_object_get(verdict, "limits_broken"));
	json_decref(messages);
	json_decref(verdict);
	return messages && verdict;
}

static void show(struct demo *d, const struct progress *p, const char *what)
{
	bool live = d->ctx->color;

	(void)printf("%s  accepted %3u   delivered %3u   on their way %3u   %s%s",
		live ? cli_mark(CLI_MARK_AGAIN) : "",
		d->accepted_count,
		p->unique,
		d->accepted_count - p->unique,
		what,
		live ? "" : "\n");
	(void)fflush(stdout);
}

static void submit(struct demo *d, unsigned n)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(MAX_BODY);
	struct demo_mail mail;

	demo_mail_make(n, &mail, &text);
	/* A client that hears no 250 tries again, as every client must. */
	for (int tries = 0; tries < 50 && !d->accepted[n]; tries++) {
		if (mail.by_sendmail)
			d->accepted[n] = demo_submit_sendmail(d, &mail, buf_sv(&text));
		else
			d->accepted[n] = demo_submit_smtp(d, &mail, buf_sv(&text));
		if (!d->accepted[n]) {
			d->refused_tries++;
			nap_ms(100);
		}
	}
	d->accepted_count += d->accepted[n];
}

static bool kill_and_restart(struct demo *d)
{
	struct progress p;

	(void)measure(d, &p);
	show(d, &p, "kill -9");
	(void)printf("\n");
	end_child(&d->relay, SIGKILL);
	d->kills++;
	for (unsigned i = 0; i < DEMO_WHILE_DOWN; i++)
		submit(d, DEMO_MESSAGES + DEMO_BURST + i);
	show(d, &p, "the relay is dead; sendmail left its mail in the maildrop");
	(void)printf("\n");
	return start_relay(d);
}

static bool submit_all(struct demo *d)
{
	struct progress p;

	for (unsigned n = 0; n < DEMO_MESSAGES + DEMO_BURST; n++) {
		if (n == DEMO_MESSAGES / 2 && !kill_and_restart(d))
			return false;
		submit(d, n);
		if (n % 25 == 24) {
			(void)measure(d, &p);
			show(d, &p, "submitting");
		}
	}
	for (unsigned n = DEMO_BY_PASSWORD; n < DEMO_ALL; n++)
		submit(d, n);
	return true;
}

static struct progress wait_delivered(struct demo *d)
{
	struct progress p = { 0 };

	for (int i = 0; i < PATIENCE_S; i++) {
		if (measure(d, &p) && p.lost == 0)
			break;
		if (d->ctx->color || i % 10 == 0)
			show(d, &p, "newsletter@ waits for its 30 a minute");
		nap_ms(1000);
	}
	show(d, &p, "done");
	(void)printf("\n");
	return p;
}

static int sum_up(struct demo *d, const struct progress *p, uint64_t us)
{
	bool good = p->lost == 0 && p->violations == 0 && p->astray == 0 &&
		    d->accepted_count == DEMO_ALL;
	char span[TEXT_DURATION_MAX];

	(void)printf("\n  accepted        %u (%u by sendmail; %u tries found the relay dead)\n"
		     "  delivered       %u: %u with a password, %u with a token, %u by High Volume "
		     "Email,\n"
		     "                  %u from a scanner through the connector, %u over Graph\n"
		     "  lost            %u\n"
		     "  duplicates      %u (attempts that were open at kill -9 may come twice)\n"
		     "  limits broken   %u\n"
		     "  time            %s\n\n%s%s%s\n",
		d->accepted_count,
		d->by_sendmail,
		d->refused_tries,
		p->unique,
		p->unique - p->by_door[DEMO_TOKEN] - p->by_door[DEMO_HVE] -
			p->by_door[DEMO_SCANNER] - p->by_door[DEMO_GRAPH],
		p->by_door[DEMO_TOKEN],
		p->by_door[DEMO_HVE],
		p->by_door[DEMO_SCANNER],
		p->by_door[DEMO_GRAPH],
		p->lost,
		p->duplicates,
		p->violations,
		text_span(us, span),
		cli_style(d->ctx, good ? "green" : "red"),
		good ? "  nothing lost, no limit broken" : "  FAILED: see the logs",
		cli_style(d->ctx, "off"));
	return good ? EX_OK : EX_SOFTWARE;
}

/* Its last words say why. */
static int not_started(const struct demo *d, const char *what)
{
	CLEANUP(buf_deinitp) struct buf log = BUF_INIT(MAX_LOG);
	char path[PATH_MAX];
	struct sv last, text;

	(void)snprintf(path, sizeof(path), "%s/%s.log", d->folder, what);
	if (io_file_read(path, MAX_LOG, &log, NULL) != 0)
		log.len = 0;
	text = buf_sv(&log);
	while (text.len && text.ptr[text.len - 1] == '\n')
		text = sv_head(text, text.len - 1);
	last = sv_skip(text, (size_t)(sv_rfind_char(text, '\n') + 1));
	return cli_fail(EX_SOFTWARE,
		"the %s did not start within %d s; its log, %s, ends: %.*s",
		what,
		START_S,
		path,
		SV_ARG(last));
}

static int run_demo(struct demo *d)
{
	struct mono_time begun = io_clock_mono();
	struct progress p;
	struct err err = { 0 };

	if (!find_programs(d))
		return cli_fail(
			EX_UNAVAILABLE, "cannot read postern-drop (sendmail) beside this program");
	d->relay_port = free_port();
	d->sandbox_port = free_port();
	d->http_port = free_port();
	d->https_port = free_port();
	d->hve_port = free_port();
	d->connector_port = free_port();
	if (demo_write_config(d, &err) != 0)
		return cli_fail(EX_CANTCREAT, "%s", err.text);
	(void)printf("%spostern demo%s in %s\n"
		     "  a Microsoft 365 on loopback (port %d), a relay (port %d), %d mailboxes, a "
		     "scanner, %d messages\n\n",
		cli_style(d->ctx, "bold"),
		cli_style(d->ctx, "off"),
		d->folder,
		d->sandbox_port,
		d->relay_port,
		DEMO_MAILBOXES + 4,
		DEMO_ALL);
	if (!start_sandbox(d))
		return not_started(d, "sandbox");
	if (!start_relay(d) || !submit_all(d))
		return not_started(d, "relay");
	p = wait_delivered(d);
	end_child(&d->relay, SIGTERM);
	return sum_up(d, &p, mono_span(begun, io_clock_mono()));
}

static void remove_folder(const char *folder)
{
	char path[PATH_MAX];
	char *words[] = { (char[]){ "rm" }, (char[]){ "-rf" }, (char[]){ "--" }, path, NULL };
	const struct io_spawn what = { .words = words,
		.search = true,
		.foreground = true,
		.in = IO_SPAWN_NULL,
		.out = IO_SPAWN_SAME,
		.err = IO_SPAWN_SAME };
	pid_t child;
	int status;

	(void)snprintf(path, sizeof(path), "%s", folder);
	if (io_spawn_start(&what, &child) == 0)
		(void)!io_spawn_wait(child, true, MONO_NEVER, &status);
}

int cli_demo(struct cli_context *ctx, int argc, char **argv)
{
	static const struct cli_option options[] = { { "keep", false }, { NULL, false } };
	struct demo d = { .ctx = ctx, .sendmail = -1 };
	const char *value = NULL;
	bool keep = false;
	int seen, code;

	while ((seen = cli_option(ctx, argc, argv, options, help, &value)) >= 0)
		keep = true;
	if (seen != CLI_OPTION_END)
		return seen == CLI_OPTION_HELP ? EX_OK : EX_USAGE;
	(void)snprintf(d.folder, sizeof(d.folder), "/tmp/postern-demo.XXXXXX");
	if (!mkdtemp(d.folder))
		return cli_fail(EX_CANTCREAT, "cannot make a folder in /tmp");
	(void)signal(SIGPIPE, SIG_IGN);
	code = run_demo(&d);
	io_closep(&d.sendmail);
	end_child(&d.relay, SIGKILL);
	end_child(&d.sandbox, SIGTERM);
	if (keep || code != EX_OK)
		(void)printf("the scratch folder stays: %s\n", d.folder);
	else
		remove_folder(d.folder);
	return code;
}
