/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"
#include "base/buf.h"
#include "base/htable.h"
#include "base/must.h"
#include "io/confine_priv.h"
#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * Landlock, by its numbers: the header of the machine that builds may be older than the kernel that runs. A rule
 * is for a folder and all below it, or for one file. A file is replaced by rename(2), so that the rule would hold
 * the old one: whoever names a file gets its folder, unless that folder is everybody's.
 */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif

enum {
	CREATE_VERSION = 1,
	RULE_PATH = 1,
	RULE_PORT = 2,
};

#define FS_EXECUTE (1u << 0)
#define FS_WRITE_FILE (1u << 1)
#define FS_READ_FILE (1u << 2)
#define FS_READ_DIR (1u << 3)
#define FS_REMOVE_DIR (1u << 4)
#define FS_REMOVE_FILE (1u << 5)
#define FS_MAKE_DIR (1u << 7)
#define FS_MAKE_REG (1u << 8)
#define FS_MAKE_SOCK (1u << 9)
#define FS_REFER (1u << 13)     /* version 2 */
#define FS_TRUNCATE (1u << 14)  /* version 3 */
#define FS_IOCTL_DEV (1u << 15) /* version 5 */
#define NET_CONNECT_TCP (1u << 1)
#define SCOPE_ABSTRACT_UNIX (1u << 0)
#define SCOPE_SIGNAL (1u << 1)

#define FS_OF_FILES (FS_READ_FILE | FS_WRITE_FILE | FS_TRUNCATE)
#define FS_READ (FS_READ_FILE | FS_READ_DIR)
#define FS_WRITE                                                                                \
	(FS_READ | FS_WRITE_FILE | FS_REMOVE_DIR | FS_REMOVE_FILE | FS_MAKE_DIR | FS_MAKE_REG | \
		FS_MAKE_SOCK | FS_REFER | FS_TRUNCATE)

struct ruleset {
	uint64_t fs, net, scoped;
};

struct __attribute__((packed)) path_rule {
	uint64_t allowed;
	int32_t parent;
};

struct port_rule {
	uint64_t allowed, port;
};

/* What was allowed, to ask later. */
struct rule {
	char *path; /* without links */
	bool folder, write;
	dev_t device;
	ino_t inode;
};

static struct {
	struct rule *rules;
	size_t rule_count;
	uint16_t *ports;
	size_t port_count;
	bool files, tcp;
	int ruleset; /* while it is made */
	uint64_t handled;
} jail;

/* What libraries and name look-ups read. What a machine does not have is left out. */
static const char *const system_folders[] = {
	"/usr",
	"/lib",
	"/lib64",
	"/nix/store",
	"/gnu/store", /* libraries, time zones */
	/* Of other processes it has only what everybody may know: Landlock keeps us from looking into them. */
	"/proc",
	"/sys/devices/system/cpu",
	"/sys/fs/cgroup",
	"/run/systemd/resolve",
	"/run/systemd/userdb",
	"/run/nscd", /* names */
	"/run/resolvconf",
	"/run/NetworkManager",
	"/run/connman", /* what resolv.conf may point to */
	"/var/lib/sss",
	"/run/nslcd", /* directories of users */
	"/etc/ssl/certs",
	"/etc/pki",
	"/etc/ca-certificates",
	"/etc/crypto-policies",
};
/*
 * Of /etc a daemon that is not root sees what everybody sees. Root would see /etc/shadow: it gets single files, so
 * that one which is replaced later is read after the next start only.
 */
static const char *const root_files[] = {
	"/etc/passwd",
	"/etc/group",
	"/etc/nsswitch.conf",
	"/etc/hosts",
	"/etc/resolv.conf",
	"/etc/host.conf",
	"/etc/gai.conf",
	"/etc/services",
	"/etc/protocols",
	"/etc/localtime",
	"/etc/ld.so.cache",
	"/etc/ssl/openssl.cnf",
	"/etc/ssl/cert.pem",
};
static const char *const devices[] = { "/dev/null", "/dev/zero", "/dev/urandom", "/dev/random" };
/* Names of files and folders with certificates or settings of OpenSSL, and of systemd's credentials. */
static const char *const variables[] = {
	"SSL_CERT_FILE",
	"SSL_CERT_DIR",
	"OPENSSL_CONF",
	"OPENSSL_MODULES",
	"CREDENTIALS_DIRECTORY",
};

/* ---- making the rules ---- */

static void allow_fd(int fd, const char *path, uint64_t rights)
{
	struct path_rule rule = { .allowed = rights & jail.handled, .parent = fd };
	struct rule *r;
	struct stat st;

	if (fstat(fd, &st) != 0)
		return;
	if (!S_ISDIR(st.st_mode))
		rule.allowed &= FS_OF_FILES;
	if (syscall(SYS_landlock_add_rule, jail.ruleset, RULE_PATH, &rule, 0) != 0)
		return;
	jail.rules = xrealloc(jail.rules, (jail.rule_count + 1) * sizeof(*jail.rules));
	r = &jail.rules[jail.rule_count++];
	*r = (struct rule){ .path = realpath(path, NULL),
		.folder = S_ISDIR(st.st_mode),
		.write = (rights & FS_WRITE_FILE) != 0,
		.device = st.st_dev,
		.inode = st.st_ino };
	if (!r->path)
		r->path = sv_dup(sv_from(path));
}

static void allow(const char *path, uint64_t rights)
{
	CLEANUP(io_closep) int fd = open(path, O_PATH | O_CLOEXEC);

	if (fd >= 0)
		allow_fd(fd, path, rights);
}

static bool is_allowed(const char *path, bool write);

static void allow_once(const char *path, uint64_t rights)
{
	if (!is_allowed(path, rights == FS_WRITE))
		allow(path, rights);
}

/* Folders that hold more than what is ours. */
static bool is_shared(const char *folder)
{
	static const char *const shared[] = { "/",
		"/etc",
		"/etc/ssl",
		"/run",
		"/var",
		"/var/lib",
		"/var/run",
		"/tmp",
		"/var/tmp",
		"/home",
		"/root",
		"/usr/local",
		"/opt",
		"/srv",
		"/mnt",
		"/media",
		"/dev",
		"/boot",
		"/sys" };

	for (size_t i = 0; i < COUNT_OF(shared); i++)
		if (strcmp(folder, shared[i]) == 0)
			return true;
	return false;
}

/* `whole`: folders that are allowed with all that is in them. Thousands of secrets lie side by side. */
static void allow_with_folder(const char *file, struct htable *whole)
{
	char copy[PATH_MAX], *named, *folder;

	if (strlen(file) >= sizeof(copy))
		return;
	memcpy(copy, file, strlen(file) + 1);
	named = dirname(copy);
	if (htable_get(whole, sv_from(named)))
		return;
	folder = realpath(named, NULL);
	if (folder)
		allow_once(is_shared(folder) ? file : folder, FS_READ);
	if (folder && !is_shared(folder))
		htable_put(whole, sv_from(named), &jail);
	free(folder);
}

/* Where it is named, and where it is: certificates are links into a folder in which the next one will be. */
static void allow_to_read(const char *path, struct htable *whole)
{
	struct stat st;
	bool is_link = lstat(path, &st) == 0 && S_ISLNK(st.st_mode);
	char *real = is_link ? realpath(path, NULL) : NULL;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
		allow_once(path, FS_READ);
	} else {
		allow_with_folder(path, whole);
		if (real)
			allow_with_folder(real, whole);
	}
	free(real);
}

static void allow_to_write(const struct io_confine_path *p)
{
	struct stat st;

	if (p->make && stat(p->path, &st) != 0)
		(void)!io_folder_make(p->path, 0700, NULL);
	allow_once(p->path, FS_WRITE);
}

static void allow_system(struct htable *whole)
{
	for (size_t i = 0; i < COUNT_OF(system_folders); i++)
		allow_once(system_folders[i], FS_READ);
	if (geteuid() != 0)
		allow("/etc", FS_READ);
	for (size_t i = 0; i < COUNT_OF(root_files) && geteuid() == 0; i++)
		allow_to_read(root_files[i], whole);
	for (size_t i = 0; i < COUNT_OF(devices); i++)
		allow(devices[i], i == 0 ? FS_READ_FILE | FS_WRITE_FILE : FS_READ_FILE);
	for (size_t i = 0; i < COUNT_OF(variables); i++) {
		const char *value = getenv(variables[i]);

		if (value && value[0] == '/')
			allow_to_read(value, whole);
	}
}

static void allow_paths(const struct io_confine_plan *plan)
{
	struct htable whole = { 0 };

	allow_system(&whole);
	for (size_t i = 0; i < plan->path_count; i++) {
		if (plan->paths[i].write)
			allow_to_write(&plan->paths[i]);
		else
			allow_to_read(plan->paths[i].path, &whole);
	}
	htable_deinit(&whole);
}

static void allow_ports(const struct io_confine_plan *plan)
{
	jail.ports = xcalloc(plan->port_count + 1, sizeof(*jail.ports));
	for (size_t i = 0; i < plan->port_count; i++) {
		struct port_rule rule = { NET_CONNECT_TCP, plan->ports[i] };

		if (syscall(SYS_landlock_add_rule, jail.ruleset, RULE_PORT, &rule, 0) == 0)
			jail.ports[jail.port_count++] = plan->ports[i];
	}
}

/* The manager's socket may be an abstract one. */
static bool uses_abstract_sockets(void)
{
	const char *notify = getenv("NOTIFY_SOCKET");

	return notify && notify[0] == '@';
}

static struct ruleset handled_by(unsigned version)
{
	struct ruleset set = { .fs = (1u << 13) - 1 };

	if (version >= 2)
		set.fs |= FS_REFER;
	if (version >= 3)
		set.fs |= FS_TRUNCATE;
	if (version >= 4)
		set.net = NET_CONNECT_TCP;
	if (version >= 5)
		set.fs |= FS_IOCTL_DEV;
	if (version >= 6)
		set.scoped = SCOPE_SIGNAL | (uses_abstract_sockets() ? 0 : SCOPE_ABSTRACT_UNIX);
	return set;
}

static int create(unsigned version, struct ruleset *set)
{
	/* An older kernel refuses a struct with more than it knows. */
	size_t size = version >= 6   ? sizeof(*set)
		      : version >= 4 ? offsetof(struct ruleset, scoped)
				     : offsetof(struct ruleset, net);

	*set = handled_by(version);
	return (int)syscall(SYS_landlock_create_ruleset, set, size, 0);
}

const char *io_confine_files(const struct io_confine_plan *plan, struct io_confine_state *state)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_VERSION);
	CLEANUP(io_closep) int fd = -1;
	struct ruleset set;

	if (version <= 0)
		return "files and TCP (this kernel has no Landlock, or it is not switched on)";
	fd = create((unsigned)version, &set);
	if (fd < 0)
		return "files and TCP (the kernel refuses Landlock's rules)";
	jail.ruleset = fd;
	jail.handled = set.fs;
	allow_paths(plan);
	if (set.net)
		allow_ports(plan);
	if (syscall(SYS_landlock_restrict_self, fd, 0) != 0)
		return "files and TCP (Landlock cannot be entered here)";
	state->landlock = (unsigned)version;
	state->files = jail.files = true;
	state->tcp = jail.tcp = set.net != 0;
	return set.net ? NULL : "TCP (Landlock of this kernel knows only files)";
}

/* ---- asking ---- */

/* As it would be reached; for what does not exist, from the nearest that does. */
static void resolve(const char *path, char out[PATH_MAX])
{
	char copy[PATH_MAX], *slash, *real = realpath(path, NULL);

	(void)snprintf(out, PATH_MAX, "%s", real ? real : path);
	if (real || strlen(path) >= sizeof(copy)) {
		free(real);
		return;
	}
	memcpy(copy, path, strlen(path) + 1);
	while (!real && (slash = strrchr(copy, '/')) && slash > copy) {
		*slash = '\0';
		real = realpath(copy, NULL);
	}
	if (real)
		(void)snprintf(out,
			PATH_MAX,
			"%s%s",
			strcmp(real, "/") == 0 ? "" : real,
			path + strlen(copy));
	free(real);
}

static bool is_below(const char *path, const char *folder)
{
	size_t len = strlen(folder);

	return strcmp(folder, "/") == 0 ||
	       (strncmp(path, folder, len) == 0 && (path[len] == '/' || path[len] == '\0'));
}

static bool is_allowed(const char *path, bool write)
{
	char real[PATH_MAX];
	struct stat st = { 0 };

	resolve(path, real);
	(void)stat(real, &st);
	for (size_t i = 0; i < jail.rule_count; i++) {
		const struct rule *r = &jail.rules[i];

		if (write && !r->write)
			continue;
		if (r->folder ? is_below(real, r->path)
			      : st.st_dev == r->device && st.st_ino == r->inode)
			return true;
	}
	return false;
}

bool io_confine_may_read(const char *path)
{
	return !jail.files || is_allowed(path, false);
}

bool io_confine_may_write(const char *folder)
{
	return !jail.files || is_allowed(folder, true);
}

bool io_confine_may_connect(uint16_t port)
{
	for (size_t i = 0; i < jail.port_count; i++)
		if (jail.ports[i] == port)
			return true;
	return !jail.tcp;
}
