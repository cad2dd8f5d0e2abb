/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/start.h"

#include "base/err.h"
#include "cli/ask.h"
#include "io/file.h"
#include "io/port_owner.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	TEXT_MAX = 600,
	PRIVILEGED_PORT_MAX = 1023,
	GROUPS_MAX = 256,
};

#define SYSTEM_FOLDER "/etc/postern/"
/* systemd makes it at the start (StateDirectory=). */
#define STATE_FOLDER "/var/lib/postern"

int cli_start_exit(int code)
{
	switch (code) {
	case RC_CONFIG:
	case RC_PARSE:
		return EX_CONFIG;
	case RC_DISK_FULL:
	case -ENOSPC:
	case -EBUSY:
	case -EAGAIN:
	case -ENOMEM:
	case -EMFILE:
	case -ENFILE:
		return EX_TEMPFAIL;
	default:
		return EX_UNAVAILABLE;
	}
}

/* ---- who it runs as ---- */

static bool take_account(const struct passwd *p, struct cli_account *out)
{
	if (!p || p->pw_uid == 0)
		return false;
	*out = (struct cli_account){ .uid = p->pw_uid, .gid = p->pw_gid };
	(void)snprintf(out->name, sizeof(out->name), "%s", p->pw_name);
	return true;
}

bool cli_daemon_account(
	const char *config_path, const struct conf *c, struct cli_account *out_account)
{
	char path[PATH_MAX];
	struct stat st;

	if (geteuid() != 0)
		return false;
	(void)snprintf(path,
		sizeof(path),
		"%.*s",
		SV_ARG(c ? conf_general(c)->data_dir : SV(STATE_FOLDER)));
	/* One thread, and the answer is copied: getpwuid_r() would gain nothing. */
	if (c && stat(path, &st) == 0)
		return take_account(
			getpwuid(st.st_uid), out_account); /* NOLINT(concurrency-mt-unsafe) */
	return config_path && strncmp(config_path, SYSTEM_FOLDER, strlen(SYSTEM_FOLDER)) == 0 &&
	       take_account(
		       getpwnam(CLI_SERVICE_USER), out_account); /* NOLINT(concurrency-mt-unsafe) */
}

gid_t cli_service_group(void)
{
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
	const struct group *g = geteuid() == 0 ? getgrnam(CLI_SERVICE_USER) : NULL;

	return g ? g->gr_gid : (gid_t)-1;
}

static gid_t find_group(const char *name)
{
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
	const struct group *g = getgrnam(name);

	return g ? g->gr_gid : (gid_t)-1;
}

/*
 * The libraries of the name services stay in whoever asked (systemd's have 350 KB, those of a directory more), and the
 * daemon asks once. So a child does.
 */
static gid_t find_group_in_child(const char *name)
{
	gid_t gid = (gid_t)-1;
	int ends[2];
	pid_t child;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return find_group(name);
	child = fork();
	if (child == 0) {
		gid = find_group(name);
		_exit(write(ends[1], &gid, sizeof(gid)) == sizeof(gid) ? EX_OK : EX_OSERR);
	}
	io_closep(&ends[1]);
	if (child < 0 || read(ends[0], &gid, sizeof(gid)) != sizeof(gid))
		gid = find_group(name);
	io_closep(&ends[0]);
	while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	return gid;
}

gid_t cli_admin_group(void)
{
	gid_t gid = find_group_in_child(CLI_ADMIN_GROUP), groups[GROUPS_MAX + 1];
	int count = geteuid() == 0 ? getgroups(GROUPS_MAX, groups) : -1;

	if (gid == (gid_t)-1)
		return gid;
	if (count >= 0) {
		groups[count] = gid;
		(void)!setgroups((size_t)count + 1, groups);
	}
	return gid;
}

int cli_become_daemon(const struct cli_context *ctx, const struct conf *c)
{
	struct cli_account account;

	return cli_daemon_account(ctx->config_path, c, &account) ? cli_become(&account) : EX_OK;
}

int cli_become(const struct cli_account *account)
{
	if (initgroups(account->name, account->gid) != 0 || setgid(account->gid) != 0 ||
		setuid(account->uid) != 0)
		return cli_fail(
			EX_NOPERM, "cannot become user %s: %s", account->name, rc_text(-errno));
	/* A change of the user sets it anew. */
	(void)prctl(PR_SET_DUMPABLE, 0);
	return EX_OK;
}

/* ---- ports ---- */

struct look {
	const struct conf *conf;
	cli_obstacle_fn *obstacle;
	void *arg;
	bool daemon_runs;
};

static void PRINTF_LIKE(3, 4)
	say(const struct look *l, const struct conf_place *place, const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	l->obstacle(l->arg, place, text);
}

/* Programs whose process is not called as people call them. */
static const struct {
	const char *name, *program; /* the latter is part of the command line */
	const char *words, *service;
} known[] = {
	{ "master", "postfix", "Postfix's master", "postfix" },
	{ "exim4", "", "Exim", "exim4" },
	{ "sendmail-mta", "", "Sendmail", "sendmail" },
	{ "sendmail", "", "Sendmail", "sendmail" },
	{ "smtpd", "opensmtpd", "OpenSMTPD", "opensmtpd" },
	{ "docker-proxy", "", "a published port of a container (docker-proxy)", "" },
};

/* "by Postfix's master, pid 706: systemctl disable --now postfix" */
static void owner_text(const struct io_port_owner *o, char *out, size_t size)
{
	const char *words = o->name, *service = o->unit;
	struct passwd *p;

	for (size_t i = 0; i < COUNT_OF(known); i++) {
		if (strcmp(o->name, known[i].name) != 0 || !strstr(o->program, known[i].program))
			continue;
		words = known[i].words;
		service = o->unit[0] ? known[i].service : "";
		break;
	}
	p = o->pid ? NULL : getpwuid(o->uid); /* NOLINT(concurrency-mt-unsafe): one thread */
	if (!o->pid)
		(void)snprintf(out,
			size,
			"a process of user %s: `postern check` as root names it",
			p ? p->pw_name : "(without a name)");
	else if (service[0])
		(void)snprintf(out,
			size,
			"%.64s, pid %ld: systemctl disable --now %.120s",
			words,
			(long)o->pid,
			service);
	else
		(void)snprintf(out,
			size,
			"%s, pid %ld: stop it, or choose another address",
			words[0] ? words : "a process",
			(long)o->pid);
}

/* The daemon that runs has its ports, and systemd those of a socket unit, which it hands over. */
static bool is_ours(const struct look *l, const struct io_port_owner *o)
{
	char path[PATH_MAX];
	struct stat st;

	if (o->pid)
		return o->pid == 1 || (l->daemon_runs && strcmp(o->name, "postern") == 0);
	(void)snprintf(path, sizeof(path), "%.*s", SV_ARG(conf_general(l->conf)->data_dir));
	return l->daemon_runs && stat(path, &st) == 0 && st.st_uid == o->uid;
}

static void look_at_port(const struct look *l, const struct conf_listener *c)
{
	struct io_port_owner owner;
	char text[TEXT_MAX / 2];
	int rc = io_port_try(&c->address);

	if (rc == -EADDRNOTAVAIL) {
		say(l,
			&c->place,
			"address %.*s: no interface of this machine has this address: correct it, "
			"or listen on *",
			SV_ARG(c->name));
	} else if (rc == -EADDRINUSE && !io_port_owner(&c->address, &owner)) {
		say(l, &c->place, "address %.*s is in use", SV_ARG(c->name));
	} else if (rc == -EADDRINUSE && !is_ours(l, &owner)) {
		owner_text(&owner, text, sizeof(text));
		say(l, &c->place, "address %.*s is taken by %s", SV_ARG(c->name), text);
	}
}

void cli_start_ports(const struct conf *c, cli_obstacle_fn *obstacle, void *arg)
{
	const struct look l = { c, obstacle, arg, cli_daemon_runs(c) };
	size_t count;
	const struct conf_listener *listeners = conf_listeners(c, &count);

	for (size_t i = 0; i < count; i++)
		if (!listeners[i].systemd)
			look_at_port(&l, &listeners[i]);
}

/* ---- folders ---- */

static const char *user_name(void)
{
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
	const struct passwd *p = getpwuid(geteuid());

	return p ? p->pw_name : "this user";
}

/* Files of another user lie there when a command ran as root once. */
static void look_into(const struct look *l, const char *folder)
{
	char path[PATH_MAX + NAME_MAX + 2];
	const struct dirent *e;
	DIR *d = opendir(folder);

	while (d && (e = readdir(d)) != NULL) {
		struct stat st;

		(void)snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
		if (e->d_name[0] == '.' || lstat(path, &st) != 0 ||
			!(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) ||
			access(path, S_ISDIR(st.st_mode) ? R_OK | W_OK | X_OK : R_OK | W_OK) == 0)
			continue;
		say(l,
			NULL,
			"user %s may not write %s: chown -R %s: %s",
			user_name(),
			path,
			user_name(),
			folder);
		break;
	}
	if (d)
		(void)closedir(d);
}

/* The nearest that exists. */
static void find_parent(char path[PATH_MAX])
{
	struct stat st;

	while (strlen(path) > 1 && stat(path, &st) != 0) {
		char *slash = strrchr(path, '/');

		if (!slash)
			return;
		slash[slash == path] = '\0';
	}
}

static void look_at_data(const struct look *l)
{
	char path[PATH_MAX], parent[PATH_MAX];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%.*s", SV_ARG(conf_general(l->conf)->data_dir));
	if (stat(path, &st) != 0) {
		(void)snprintf(parent, sizeof(parent), "%s", path);
		find_parent(parent);
		if (access(parent, W_OK | X_OK) != 0 && strcmp(path, STATE_FOLDER) != 0)
			say(l,
				NULL,
				"data_dir %s does not exist, and user %s may not make it: install "
				"-d -m 0700 -o %s %s",
				path,
				user_name(),
				user_name(),
				path);
	} else if (!S_ISDIR(st.st_mode)) {
		say(l, NULL, "data_dir %s is not a folder: name another", path);
	} else if (access(path, R_OK | W_OK | X_OK) != 0) {
		say(l,
			NULL,
			"data_dir %s: user %s may not write there (%s): chown -R %s: %s",
			path,
			user_name(),
			rc_text(-errno),
			user_name(),
			path);
	} else if (io_disk_is_network(path)) {
		say(l,
			NULL,
			"data_dir %s is on a network file system, which cannot promise that a "
			"message is safe: use a local disk",
			path);
	} else {
		look_into(l, path);
	}
}

/* A folder that is not there is made by systemd (RuntimeDirectory=), or nobody listens there at all. */
static void look_at_socket(const struct look *l, const char *key, struct sv name)
{
	char folder[PATH_MAX], *slash;
	struct stat st;

	(void)snprintf(folder, sizeof(folder), "%.*s", SV_ARG(name));
	slash = strrchr(folder, '/');
	if (slash)
		slash[slash == folder] = '\0';
	if (stat(folder, &st) == 0 && access(folder, W_OK | X_OK) != 0)
		say(l,
			NULL,
			"%s: user %s may not write to %s (%s)",
			key,
			user_name(),
			folder,
			rc_text(-errno));
}

void cli_start_folders(const struct conf *c, cli_obstacle_fn *obstacle, void *arg)
{
	const struct look l = { .conf = c, .obstacle = obstacle, .arg = arg };
	const struct conf_general *g = conf_general(c);

	look_at_data(&l);
	look_at_socket(&l, "control_socket", g->control_socket);
	look_at_socket(&l, "submit_socket", g->submit_socket);
}
