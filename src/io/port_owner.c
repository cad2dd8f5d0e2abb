/* SPDX-License-Identifier: Apache-2.0 */
#include "io/port_owner.h"

#include "base/buf.h"
#include "io/file.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * From /proc: the tables of TCP sockets give the inode and the user, the descriptors of the processes lead
 * from the inode to the process, its control group to the unit of systemd.
 */
enum {
	TCP_LISTEN = 10,
	COLUMNS = 10, /* sl local remote state queues timer retransmits uid timeout inode */
	LINE_BYTES = 512,
	PATH_BYTES = 64,
};

struct row {
	struct io_address address;
	uint32_t state, uid;
	uint64_t inode;
};

/* ---- the tables ---- */

static bool read_hex(struct sv text, uint32_t *out)
{
	uint32_t n = 0;

	if (!text.len || text.len > 8)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		char c = ascii_lower(text.ptr[i]);
		bool digit = c >= '0' && c <= '9';

		if (!digit && !(c >= 'a' && c <= 'f'))
			return false;
		n = n * 16 + (uint32_t)(digit ? c - '0' : c - 'a' + 10);
	}
	*out = n;
	return true;
}

/* "0100007F:0019", or four such words: as they lie in memory. */
static bool read_local(struct sv text, struct io_address *out)
{
	uint32_t words[4], port;
	struct sv host;
	size_t count;

	*out = (struct io_address){ 0 };
	(void)sv_cut_char(&text, ':', &host);
	count = host.len / 8;
	if (!read_hex(text, &port) || host.len % 8 || (count != 1 && count != COUNT_OF(words)))
		return false;
	for (size_t i = 0; i < count; i++)
		if (!read_hex(sv_head(sv_skip(host, i * 8), 8), &words[i]))
			return false;
	if (count == 1) {
		out->v4.sin_family = AF_INET;
		out->v4.sin_port = htons((uint16_t)port);
		out->v4.sin_addr.s_addr = words[0];
		out->len = sizeof(out->v4);
		return true;
	}
	out->v6.sin6_family = AF_INET6;
	out->v6.sin6_port = htons((uint16_t)port);
	memcpy(&out->v6.sin6_addr, words, sizeof(words));
	out->len = sizeof(out->v6);
	return true;
}

static bool read_row(struct sv line, struct row *out)
{
	struct sv column[COLUMNS], rest = line;

	for (size_t i = 0; i < COLUMNS; i++) {
		while (rest.len && rest.ptr[0] == ' ')
			rest = sv_skip(rest, 1);
		(void)sv_cut_char(&rest, ' ', &column[i]);
	}
	return read_local(column[1], &out->address) && read_hex(column[3], &out->state) &&
	       sv_parse_u32(column[7], UINT32_MAX, &out->uid) == 0 &&
	       sv_parse_u64(column[9], UINT64_MAX, &out->inode) == 0;
}

static uint16_t port_of(const struct io_address *a)
{
	return a->any.sa_family == AF_INET ? a->v4.sin_port : a->v6.sin6_port;
}

static bool is_every_address(const struct io_address *a)
{
	return a->any.sa_family == AF_INET ? a->v4.sin_addr.s_addr == INADDR_ANY
					   : IN6_IS_ADDR_UNSPECIFIED(&a->v6.sin6_addr);
}

/* Of two listeners that cannot be at once. "::" may or may not take IPv4, too: the table does not tell. */
static bool are_in_conflict(const struct io_address *a, const struct io_address *b)
{
	if (port_of(a) != port_of(b))
		return false;
	if (a->any.sa_family != b->any.sa_family)
		return (a->any.sa_family == AF_INET6 && is_every_address(a)) ||
		       (b->any.sa_family == AF_INET6 && is_every_address(b));
	if (is_every_address(a) || is_every_address(b))
		return true;
	return a->any.sa_family == AF_INET
		       ? a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr
		       : memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, sizeof(a->v6.sin6_addr)) == 0;
}

static bool find_in(const char *table, const struct io_address *address, struct row *out)
{
	FILE *f = fopen(table, "re");
	char line[LINE_BYTES];
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f))
		found = read_row(sv_trim(sv_from(line)), out) && out->state == TCP_LISTEN &&
			are_in_conflict(&out->address, address);
	if (f)
		(void)fclose(f);
	return found;
}

static bool find_listener(const struct io_address *address, struct row *out)
{
	bool v6 = address->any.sa_family == AF_INET6;
	const char *const own = v6 ? "/proc/net/tcp6" : "/proc/net/tcp";
	const char *const other = v6 ? "/proc/net/tcp" : "/proc/net/tcp6";

	return find_in(own, address, out) || find_in(other, address, out);
}

/* ---- the process ---- */

static bool has_socket(const char *pid, uint64_t inode)
{
	char folder[PATH_BYTES], wanted[PATH_BYTES], path[PATH_BYTES + NAME_MAX + 2];
	const struct dirent *e;
	bool found = false;
	DIR *d;

	(void)snprintf(folder, sizeof(folder), "/proc/%.20s/fd", pid);
	(void)snprintf(wanted, sizeof(wanted), "socket:[%" PRIu64 "]", inode);
	d = opendir(folder);
	while (d && !found && (e = readdir(d)) != NULL) {
		char to[PATH_BYTES];
		ssize_t n;

		(void)snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
		n = readlink(path, to, sizeof(to) - 1);
		to[n > 0 ? n : 0] = '\0';
		found = strcmp(to, wanted) == 0;
	}
	if (d)
		(void)closedir(d);
	return found;
}

/* The lowest number: a server's first process, not its children, which have the socket, too. */
static pid_t process_of(uint64_t inode)
{
	const struct dirent *e;
	uint32_t best = 0;
	DIR *d = opendir("/proc");

	while (d && (e = readdir(d)) != NULL) {
		uint32_t pid;

		if (sv_parse_u32(sv_from(e->d_name), INT32_MAX, &pid) == 0 &&
			(best == 0 || pid < best) && has_socket(e->d_name, inode))
			best = pid;
	}
	if (d)
		(void)closedir(d);
	return (pid_t)best;
}

/* What a process says of itself goes to a terminal. */
static void copy_plain(char *out, size_t size, struct sv text)
{
	size_t n = 0;

	while (n < text.len && n + 1 < size && text.ptr[n] > ' ' && text.ptr[n] <= '~') {
		out[n] = text.ptr[n];
		n++;
	}
	out[n] = '\0';
}

static void read_of(pid_t pid, const char *name, struct buf *out)
{
	char path[PATH_BYTES];

	(void)snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, name);
	buf_reset(out);
	if (io_file_read(path, out->max, out, NULL) != 0)
		buf_reset(out);
}

/* "0::/system.slice/system-postfix.slice/postfix@-.service". A person's programs are below a service, too. */
static void find_unit(struct sv groups, char out[IO_OWNER_UNIT_MAX])
{
	struct sv line;

	while (groups.len) {
		(void)sv_cut_char(&groups, '\n', &line);
		line = sv_skip(line, (size_t)(sv_rfind_char(line, '/') + 1));
		if (sv_ends_nocase(line, SV(".service")))
			copy_plain(out, IO_OWNER_UNIT_MAX, line);
	}
}

static void read_process(struct io_port_owner *o)
{
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(64 * 1024);

	read_of(o->pid, "comm", &text);
	copy_plain(o->name, sizeof(o->name), buf_sv(&text));
	read_of(o->pid, "cmdline", &text);
	copy_plain(o->program, sizeof(o->program), buf_sv(&text));
	read_of(o->pid, "cgroup", &text);
	find_unit(buf_sv(&text), o->unit);
}

bool io_port_owner(const struct io_address *address, struct io_port_owner *out_owner)
{
	struct row row;

	if (address->any.sa_family != AF_INET && address->any.sa_family != AF_INET6)
		return false;
	if (!find_listener(address, &row))
		return false;
	*out_owner = (struct io_port_owner){ .uid = row.uid, .pid = process_of(row.inode) };
	if (out_owner->pid)
		read_process(out_owner);
	return true;
}

int io_port_try(const struct io_address *address)
{
	const int on = 1, v6_only = !address->both_families;
	CLEANUP(io_closep) int fd = -1;
	struct row row;

	if (address->any.sa_family != AF_INET && address->any.sa_family != AF_INET6)
		return 0;
	fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (address->any.sa_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof(v6_only));
	if (bind(fd, &address->any, address->len) == 0)
		return 0;
	if (errno == EACCES)
		return find_listener(address, &row) ? -EADDRINUSE : -EACCES;
	return -errno;
}
