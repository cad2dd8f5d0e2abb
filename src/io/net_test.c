/* SPDX-License-Identifier: Apache-2.0 */
#include "io/net.h"

#include "base/limits.h"
#include "base/must.h"
#include "io/file.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmocka_all.h"

enum {
	GUARD_S = 60
};

/* ---- addresses ---- */

struct address_row {
	const char *text;
	const char *printed; /* NULL: RC_PARSE */
	bool loopback;
};

static const struct address_row address_rows[] = {
	{ "127.0.0.1:2525", "127.0.0.1:2525", true },
	{ "127.255.255.254:1", "127.255.255.254:1", true },
	{ "192.0.2.1:0", "192.0.2.1:0", false },
	{ "0.0.0.0:65535", "0.0.0.0:65535", false },
	{ "[::1]:25", "[::1]:25", true },
	{ "[2001:DB8:0:0::1]:587", "[2001:db8::1]:587", false },
	{ "[::ffff:127.0.0.1]:25", "[::ffff:127.0.0.1]:25", true },
	{ "[::ffff:192.0.2.1]:25", "[::ffff:192.0.2.1]:25", false },
	{ "*:587", "[::]:587", false },
	{ "unix:/run/postern/smtp", "unix:/run/postern/smtp", true },
	{ "", NULL, false },
	{ ":25", NULL, false },
	{ "127.0.0.1", NULL, false },
	{ "127.0.0.1:", NULL, false },
	{ "127.0.0.1:65536", NULL, false },
	{ "127.0.0.1:-1", NULL, false },
	{ "127.0.0.1:25 ", NULL, false },
	{ " 127.0.0.1:25", NULL, false },
	{ "127.1:25", NULL, false },
	{ "127.0.0.01:25", NULL, false },
	{ "256.0.0.1:25", NULL, false },
	{ "localhost:25", NULL, false },
	{ "::1:25", NULL, false },
	{ "[::1]", NULL, false },
	{ "[]:25", NULL, false },
	{ "[127.0.0.1]:25", NULL, false },
	{ "[::1%lo]:25", NULL, false },
	{ "**:25", NULL, false },
	{ "unix:", NULL, false },
	{ "unix:relative", NULL, false },
};

static void addresses_are_read_and_printed(void **state)
{
	char text[IO_ADDRESS_TEXT_MAX];
	struct io_address a;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(address_rows); i++) {
		const struct address_row *row = &address_rows[i];
		int rc = io_address_parse(sv_from(row->text), &a);

		if (rc != (row->printed ? 0 : RC_PARSE))
			fail_msg("'%s': %d", row->text, rc);
		if (rc != 0)
			continue;
		assert_string_equal(io_address_text(&a.any, text), row->printed);
		if (io_address_is_loopback(&a.any) != row->loopback)
			fail_msg("'%s': loopback", row->text);
		assert_int_equal(a.both_families, row->text[0] == '*');
		assert_true(a.len > 0);
	}
	assert_int_equal(io_address_parse(sv_make("unix:/a\0b", 9), &a), RC_PARSE);
	assert_int_equal(io_address_parse(sv_make("127.0.0.1\0:25", 13), &a), RC_PARSE);
}

/* A customer's IPv6 addresses are a /64 (RFC 6177): one principal. */
static void a_site_is_an_address_or_a_64(void **state)
{
	static const struct {
		const char *address, *site;
	} rows[] = {
		{ "192.0.2.7:25", "192.0.2.7" },
		{ "[::ffff:192.0.2.7]:25", "192.0.2.7" },
		{ "[2001:db8:1:2:3:4:5:6]:25", "2001:db8:1:2::/64" },
		{ "[2001:db8:1:2::1]:587", "2001:db8:1:2::/64" },
		{ "[::1]:25", "::/64" },
		{ "unix:/run/x", "unix" },
	};
	const struct sockaddr nothing = { .sa_family = AF_UNSPEC };
	char text[IO_ADDRESS_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct io_address a;

		assert_int_equal(io_address_parse(sv_from(rows[i].address), &a), 0);
		assert_string_equal(io_address_site(&a.any, text), rows[i].site);
	}
	assert_string_equal(io_address_site(&nothing, text), "unknown");
}

static void the_longest_unix_path_is_printed_whole(void **state)
{
	char path[5 + sizeof(((struct sockaddr_un *)0)->sun_path) + 1] = "unix:/";
	char text[IO_ADDRESS_TEXT_MAX];
	const struct sockaddr nothing = { .sa_family = AF_UNSPEC };
	struct io_address a;

	(void)state;
	memset(path + 6, 'x', sizeof(path) - 7);
	assert_int_equal(io_address_parse(sv_from(path), &a), RC_PARSE);
	path[sizeof(path) - 2] = '\0';
	assert_int_equal(io_address_parse(sv_from(path), &a), 0);
	assert_string_equal(io_address_text(&a.any, text), path);
	assert_string_equal(io_address_text(&nothing, text), "unknown");
	assert_false(io_address_is_loopback(&nothing));
}

/* ---- networks ---- */

struct network_row {
	const char *network;
	const char *address;
	bool holds;
};

static const struct network_row network_rows[] = {
	{ "10.0.0.0/8", "10.255.255.255:1", true },
	{ "10.0.0.0/8", "11.0.0.0:1", false },
	{ "10.1.2.3/8", "10.200.0.1:1", true }, /* bits behind the mask do not matter */
	{ "192.0.2.7", "192.0.2.7:1", true },
	{ "192.0.2.7", "192.0.2.6:1", false },
	{ "192.0.2.0/31", "192.0.2.1:1", true },
	{ "192.0.2.0/31", "192.0.2.2:1", false },
	{ "192.0.2.128/25", "192.0.2.127:1", false },
	{ "192.0.2.128/25", "192.0.2.129:1", true },
	{ "0.0.0.0/0", "203.0.113.9:1", true },
	{ "0.0.0.0/0", "[2001:db8::1]:1", false },
	{ "::/0", "[2001:db8::1]:1", true },
	{ "::/0", "10.0.0.1:1", false },
	{ "::/0", "[::ffff:10.0.0.1]:1", false },
	{ "::1/128", "[::1]:1", true },
	{ "::1", "[::2]:1", false },
	{ "2001:db8::/33", "[2001:db8:7fff::1]:1", true },
	{ "2001:db8::/33", "[2001:db8:8000::1]:1", false },
	{ "10.0.0.0/8", "[::ffff:10.9.9.9]:1", true },
	{ "::ffff:10.0.0.0/104", "10.9.9.9:1", true },
	{ "::ffff:10.0.0.0/104", "11.9.9.9:1", false },
	{ "10.0.0.0/8", "unix:/x", false },
};

static void networks_hold_what_they_should(void **state)
{
	struct io_network n;
	struct io_address a;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(network_rows); i++) {
		const struct network_row *row = &network_rows[i];

		assert_int_equal(io_network_parse(sv_from(row->network), &n), 0);
		assert_int_equal(io_address_parse(sv_from(row->address), &a), 0);
		if (io_network_holds(&n, &a.any) != row->holds)
			fail_msg("%s in %s", row->address, row->network);
	}
}

static void bad_networks_are_refused(void **state)
{
	static const char *const bad[] = { "",
		"/",
		"/8",
		"10.0.0.0/",
		"10.0.0.0/33",
		"10.0.0.0/-1",
		"10.0.0.0/8/8",
		"10.0.0/8",
		"::/129",
		"[::1]/128",
		"10.0.0.0/8 ",
		"localhost",
		"*" };
	struct io_network n;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		if (io_network_parse(sv_from(bad[i]), &n) != RC_PARSE)
			fail_msg("'%s'", bad[i]);
	}
}

static void loopback_networks_are_known(void **state)
{
	static const struct {
		const char *text;
		bool loopback;
	} rows[] = { { "127.0.0.0/8", true },
		{ "127.0.0.1", true },
		{ "127.0.0.0/7", false },
		{ "0.0.0.0/0", false },
		{ "10.0.0.0/8", false },
		{ "::1", true },
		{ "::/127", false },
		{ "::/0", false },
		{ "::ffff:127.0.0.0/104", true } };
	struct io_network n;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		assert_int_equal(io_network_parse(sv_from(rows[i].text), &n), 0);
		if (io_network_is_loopback(&n) != rows[i].loopback)
			fail_msg("%s", rows[i].text);
	}
}

/* ---- listeners ---- */

struct door {
	struct io_loop *loop;
	struct io_timer guard, later;
	bool hung;
	struct io_listener *listener;
	unsigned accepted, stop_after;
	int flags, fd_flags;
	bool closes, pauses;
	char folder[64], path[96];
	struct io_address at;
};

static void on_guard(void *arg)
{
	struct door *d = arg;

	d->hung = true;
	io_loop_stop(d->loop);
}

static void on_later(void *arg)
{
	struct door *d = arg;

	io_loop_stop(d->loop);
}

static void open_door(struct door *d)
{
	*d = (struct door){ .loop = io_loop_new() };
	io_timer_init(&d->guard, d->loop, on_guard, d);
	io_timer_start(&d->guard, mono_add(io_now(d->loop), GUARD_S * US_PER_S));
	io_timer_init(&d->later, d->loop, on_later, d);
	(void)snprintf(d->folder, sizeof(d->folder), "/tmp/postern-test-XXXXXX");
	assert_non_null(mkdtemp(d->folder));
	(void)snprintf(d->path, sizeof(d->path), "unix:%s/s", d->folder);
	assert_int_equal(io_address_parse(sv_from(d->path), &d->at), 0);
}

static void close_door(struct door *d)
{
	io_listener_close(d->listener);
	io_loop_free(d->loop);
	(void)rmdir(d->folder);
}

static void run(struct door *d)
{
	io_loop_run(d->loop);
	assert_false(d->hung);
}

static void run_a_moment(struct door *d)
{
	io_timer_start(&d->later, mono_add(io_now(d->loop), 20 * US_PER_MS));
	run(d);
}

static void on_accept(void *arg, int fd)
{
	struct door *d = arg;

	d->flags = fcntl(fd, F_GETFL);
	d->fd_flags = fcntl(fd, F_GETFD);
	io_closep(&fd);
	if (++d->accepted == d->stop_after)
		io_loop_stop(d->loop);
	if (d->closes)
		io_listener_close(TAKE(d->listener));
	else if (d->pauses)
		io_listener_pause(d->listener, true);
}

/* Connects without waiting; the descriptor is the caller's. */
static int knock(const struct io_address *at, int *out_error)
{
	int fd = socket(at->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	*out_error = connect(fd, &at->any, at->len) == 0 ? 0 : errno;
	return fd;
}

static struct io_address port_of(const struct door *d, const char *format)
{
	char text[64];
	struct io_address a;

	(void)snprintf(text, sizeof(text), "%s:%d", format, io_listener_port(d->listener));
	assert_int_equal(io_address_parse(sv_from(text), &a), 0);
	return a;
}

static void a_listener_on_port_0_has_a_port(void **state)
{
	static const char *const at[] = { "127.0.0.1", "*" };
	struct door d;

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(at); i++) {
		char text[32];
		struct io_address a;
		int fds[3], error;

		open_door(&d);
		(void)snprintf(text, sizeof(text), "%s:0", at[i]);
		assert_int_equal(io_address_parse(sv_from(text), &a), 0);
		d.listener = io_listener_open(d.loop, &a, 0, on_accept, &d, NULL);
		assert_non_null(d.listener);
		assert_in_range(io_listener_port(d.listener), 1, UINT16_MAX);
		a = port_of(&d, "127.0.0.1");
		d.stop_after = COUNT_OF(fds);
		for (unsigned k = 0; k < COUNT_OF(fds); k++) {
			fds[k] = knock(&a, &error);
			assert_int_equal(error, 0);
		}
		run(&d);
		assert_int_equal(d.accepted, COUNT_OF(fds));
		assert_true(d.flags & O_NONBLOCK);
		assert_true(d.fd_flags & FD_CLOEXEC);
		for (unsigned k = 0; k < COUNT_OF(fds); k++)
			io_closep(&fds[k]);
		close_door(&d);
	}
}

static void a_port_in_use_is_named(void **state)
{
	struct door d;
	struct io_address a;
	struct err err = { 0 };
	char text[64];

	(void)state;
	open_door(&d);
	assert_int_equal(io_address_parse(SV("127.0.0.1:0"), &a), 0);
	d.listener = io_listener_open(d.loop, &a, 0, on_accept, &d, &err);
	assert_non_null(d.listener);
	a = port_of(&d, "127.0.0.1");
	assert_null(io_listener_open(d.loop, &a, 0, on_accept, &d, &err));
	assert_int_equal(err.code, -EADDRINUSE);
	(void)snprintf(text,
		sizeof(text),
		"cannot listen on 127.0.0.1:%d: ",
		io_listener_port(d.listener));
	assert_non_null(strstr(err.text, text));
	close_door(&d);
}

static void a_listener_pauses_and_closes_in_its_callback(void **state)
{
	struct door d;
	int fds[3], error;

	(void)state;
	open_door(&d);
	d.listener = io_listener_open(d.loop, &d.at, 0, on_accept, &d, NULL);
	assert_non_null(d.listener);
	d.pauses = true;
	for (unsigned k = 0; k < COUNT_OF(fds); k++) {
		fds[k] = knock(&d.at, &error);
		assert_int_equal(error, 0);
	}
	run_a_moment(&d);
	assert_int_equal(d.accepted, 1);
	io_listener_pause(d.listener, true);
	io_listener_pause(d.listener, false);
	run_a_moment(&d);
	assert_int_equal(d.accepted, 2);
	d.closes = true;
	io_listener_pause(d.listener, false);
	run_a_moment(&d);
	assert_int_equal(d.accepted, 3);
	assert_null(d.listener);
	io_listener_close(NULL);
	for (unsigned k = 0; k < COUNT_OF(fds); k++)
		io_closep(&fds[k]);
	close_door(&d);
}

static void unix_sockets_come_with_their_mode_and_go(void **state)
{
	struct door d;
	struct stat st;

	(void)state;
	open_door(&d);
	d.listener = io_listener_open(d.loop, &d.at, 0660, on_accept, &d, NULL);
	assert_non_null(d.listener);
	assert_int_equal(lstat(d.at.un.sun_path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0660);
	assert_int_equal(io_listener_port(d.listener), 0);
	io_listener_close(TAKE(d.listener));
	assert_int_equal(lstat(d.at.un.sun_path, &st), -1);
	close_door(&d);
}

static void a_stale_unix_socket_is_replaced_and_a_live_one_is_not(void **state)
{
	struct door d;
	struct err err = { 0 };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int knocking, error;

	(void)state;
	open_door(&d);
	assert_true(fd >= 0);
	/* Left behind by a process that is gone. */
	assert_int_equal(bind(fd, &d.at.any, d.at.len), 0);
	assert_int_equal(listen(fd, 1), 0);
	io_closep(&fd);
	d.listener = io_listener_open(d.loop, &d.at, 0600, on_accept, &d, &err);
	assert_non_null(d.listener);
	assert_null(io_listener_open(d.loop, &d.at, 0600, on_accept, &d, &err));
	assert_int_equal(err.code, -EADDRINUSE);
	assert_non_null(strstr(err.text, "is in use by another process"));
	assert_non_null(strstr(err.text, d.at.un.sun_path));
	/* The live one still works. */
	d.stop_after = d.accepted + 2; /* the question whether it lives came in, too */
	knocking = knock(&d.at, &error);
	assert_int_equal(error, 0);
	run(&d);
	io_closep(&knocking);
	close_door(&d);
}

static void other_files_are_left_alone(void **state)
{
	struct door d;
	struct err err = { 0 };
	struct stat st;
	int fd;

	(void)state;
	open_door(&d);
	fd = open(d.at.un.sun_path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	io_closep(&fd);
	assert_null(io_listener_open(d.loop, &d.at, 0600, on_accept, &d, &err));
	assert_int_equal(err.code, -EEXIST);
	assert_non_null(strstr(err.text, "is not a socket"));
	assert_int_equal(unlink(d.at.un.sun_path), 0);
	/* A successor has put its own socket in our place: closing does not take it away. */
	d.listener = io_listener_open(d.loop, &d.at, 0600, on_accept, &d, &err);
	assert_non_null(d.listener);
	assert_int_equal(unlink(d.at.un.sun_path), 0);
	fd = open(d.at.un.sun_path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	io_closep(&fd);
	io_listener_close(TAKE(d.listener));
	assert_int_equal(lstat(d.at.un.sun_path, &st), 0);
	assert_int_equal(unlink(d.at.un.sun_path), 0);
	close_door(&d);
}

static void a_missing_folder_is_named(void **state)
{
	struct door d;
	struct io_address a;
	struct err err = { 0 };

	(void)state;
	open_door(&d);
	assert_int_equal(io_address_parse(SV("unix:/nonexistent/s"), &a), 0);
	assert_null(io_listener_open(d.loop, &a, 0600, on_accept, &d, &err));
	assert_int_equal(err.code, -ENOENT);
	assert_non_null(strstr(err.text, "cannot listen on unix:/nonexistent/s: "));
	close_door(&d);
}

static void handed_over_sockets_are_taken(void **state)
{
	struct door d;
	int fds[2], fd, error;
	FILE *file = tmpfile();

	(void)state;
	open_door(&d);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, &d.at.any, d.at.len), 0);
	assert_int_equal(listen(fd, 4), 0);
	d.listener = io_listener_adopt(d.loop, fd, on_accept, &d);
	assert_non_null(d.listener);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	fds[0] = knock(&d.at, &error);
	d.stop_after = 1;
	run(&d);
	io_closep(&fds[0]);
	assert_non_null(file);
	assert_null(io_listener_adopt(d.loop, fileno(file), on_accept, &d));
	(void)fclose(file);
	/* One that we did not make is not taken away. */
	io_listener_close(TAKE(d.listener));
	assert_int_equal(unlink(d.at.un.sun_path), 0);
	close_door(&d);
}

static void without_descriptors_connections_are_refused_and_the_loop_lives(void **state)
{
	struct door d;
	struct rlimit before, few;
	int fds[2], error;
	char c;

	(void)state;
	open_door(&d);
	d.listener = io_listener_open(d.loop, &d.at, 0600, on_accept, &d, NULL);
	assert_non_null(d.listener);
	run_a_moment(&d);
	for (unsigned i = 0; i < 2; i++) {
		fds[i] = knock(&d.at, &error);
		assert_int_equal(error, 0);
	}
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	few.rlim_cur = (rlim_t)fds[1] + 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	run_a_moment(&d);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(d.accepted, 0);
	/* The first one was refused, the second is accepted after the rest. */
	assert_int_equal(recv(fds[0], &c, 1, 0), 0);
	d.stop_after = 1;
	run(&d);
	for (unsigned i = 0; i < 2; i++)
		io_closep(&fds[i]);
	close_door(&d);
}

/* ---- names ---- */

struct ask {
	struct io_loop *loop;
	struct io_timer guard;
	bool hung;
	struct io_resolver *resolver;
	unsigned answers, stop_after;
	int rc;
	size_t count;
	struct io_address addresses[LIMIT_HOST_ADDRESSES];
};

static void on_ask_guard(void *arg)
{
	struct ask *a = arg;

	a->hung = true;
	io_loop_stop(a->loop);
}

static void on_answer(void *arg, int rc, const struct io_address *addresses, size_t count)
{
	struct ask *a = arg;

	must(count <= LIMIT_HOST_ADDRESSES);
	a->answers++;
	a->rc = rc;
	a->count = count;
	if (count)
		memcpy(a->addresses, addresses, count * sizeof(*addresses));
	if (a->answers == a->stop_after)
		io_loop_stop(a->loop);
}

static void open_ask(struct ask *a)
{
	*a = (struct ask){ .loop = io_loop_new() };
	io_timer_init(&a->guard, a->loop, on_ask_guard, a);
	io_timer_start(&a->guard, mono_add(io_now(a->loop), GUARD_S * US_PER_S));
	a->resolver = io_resolver_new(a->loop, NULL);
	assert_non_null(a->resolver);
}

static void close_ask(struct ask *a)
{
	io_resolver_free(a->resolver);
	io_loop_free(a->loop);
}

static void ask_for(struct ask *a, const char *host)
{
	unsigned before = a->answers;

	a->stop_after = before + 1;
	assert_non_null(io_resolve_host(a->resolver, sv_from(host), 587, on_answer, a));
	assert_int_equal(a->answers, before);
	io_loop_run(a->loop);
	assert_false(a->hung);
	assert_int_equal(a->answers, before + 1);
}

static void numeric_hosts_and_localhost_have_addresses(void **state)
{
	char text[IO_ADDRESS_TEXT_MAX];
	struct ask a;

	(void)state;
	open_ask(&a);
	ask_for(&a, "192.0.2.1");
	assert_int_equal(a.rc, 0);
	assert_int_equal(a.count, 1);
	assert_string_equal(io_address_text(&a.addresses[0].any, text), "192.0.2.1:587");
	ask_for(&a, "2001:db8::1");
	assert_int_equal(a.rc, 0);
	assert_string_equal(io_address_text(&a.addresses[0].any, text), "[2001:db8::1]:587");
	ask_for(&a, "localhost");
	assert_int_equal(a.rc, 0);
	assert_true(a.count > 0);
	for (size_t i = 0; i < a.count; i++) {
		assert_true(io_address_is_loopback(&a.addresses[i].any));
		assert_int_equal(a.addresses[i].v4.sin_port, htons(587));
	}
	close_ask(&a);
	io_resolver_free(NULL);
}

static void impossible_names_have_none(void **state)
{
	char label[80], name[601] = "";
	struct ask a;

	(void)state;
	open_ask(&a);
	/* Without a name server that answers it is RC_DNS. */
	ask_for(&a, "name.invalid");
	assert_true(a.rc == RC_NO_NAME || a.rc == RC_DNS);
	assert_int_equal(a.count, 0);
	memset(label, 'x', sizeof(label) - 1);
	label[sizeof(label) - 1] = '\0';
	ask_for(&a, label);
	assert_true(a.rc == RC_NO_NAME || a.rc == RC_DNS);
	for (unsigned i = 0; i < 100; i++)
		memcpy(name + strlen(name), "label.", 7);
	ask_for(&a, name);
	assert_true(a.rc == RC_NO_NAME || a.rc == RC_DNS);
	ask_for(&a, "a..b");
	assert_true(a.rc == RC_NO_NAME || a.rc == RC_DNS);
	close_ask(&a);
}

static void cancelled_queries_are_not_answered(void **state)
{
	struct io_resolve *q[3];
	struct ask a;

	(void)state;
	open_ask(&a);
	q[0] = io_resolve_host(a.resolver, SV("127.0.0.1"), 1, on_answer, &a);
	q[1] = io_resolve_host(a.resolver, SV("name.invalid"), 1, on_answer, &a);
	q[2] = io_resolve_host(a.resolver, SV("localhost"), 1, on_answer, &a);
	for (unsigned i = 0; i < COUNT_OF(q); i++)
		io_resolve_cancel(q[i]);
	io_resolve_cancel(NULL);
	ask_for(&a, "localhost");
	assert_int_equal(a.answers, 1);
	close_ask(&a);
}

static void many_queries_at_once_are_all_answered(void **state)
{
	struct ask a;

	(void)state;
	open_ask(&a);
	a.stop_after = 100;
	for (unsigned i = 0; i < a.stop_after; i++)
		assert_non_null(io_resolve_host(a.resolver,
			i % 3   ? SV("localhost")
			: i % 2 ? SV("127.0.0.1")
				: SV("name.invalid"),
			1,
			on_answer,
			&a));
	io_loop_run(a.loop);
	assert_false(a.hung);
	assert_int_equal(a.answers, 100);
	close_ask(&a);
}

static void the_resolver_goes_with_queries_that_run(void **state)
{
	struct io_resolve *q;
	struct ask a;

	(void)state;
	/* Before they start, after, and cancelled ones. */
	for (unsigned started = 0; started < 2; started++) {
		open_ask(&a);
		for (unsigned i = 0; i < 5; i++) {
			q = io_resolve_host(a.resolver, SV("name.invalid"), 1, on_answer, &a);
			assert_non_null(q);
			if (i == 2)
				io_resolve_cancel(q);
		}
		if (started) {
			/* A numeric host is answered in the round in which the others start. */
			a.stop_after = 1;
			assert_non_null(io_resolve_host(a.resolver, SV("::1"), 1, on_answer, &a));
			io_loop_run(a.loop);
			assert_false(a.hung);
		}
		close_ask(&a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_read_and_printed),
		cmocka_unit_test(a_site_is_an_address_or_a_64),
		cmocka_unit_test(the_longest_unix_path_is_printed_whole),
		cmocka_unit_test(networks_hold_what_they_should),
		cmocka_unit_test(bad_networks_are_refused),
		cmocka_unit_test(loopback_networks_are_known),
		cmocka_unit_test(a_listener_on_port_0_has_a_port),
		cmocka_unit_test(a_port_in_use_is_named),
		cmocka_unit_test(a_listener_pauses_and_closes_in_its_callback),
		cmocka_unit_test(unix_sockets_come_with_their_mode_and_go),
		cmocka_unit_test(a_stale_unix_socket_is_replaced_and_a_live_one_is_not),
		cmocka_unit_test(other_files_are_left_alone),
		cmocka_unit_test(a_missing_folder_is_named),
		cmocka_unit_test(handed_over_sockets_are_taken),
		cmocka_unit_test(without_descriptors_connections_are_refused_and_the_loop_lives),
		cmocka_unit_test(numeric_hosts_and_localhost_have_addresses),
		cmocka_unit_test(impossible_names_have_none),
		cmocka_unit_test(cancelled_queries_are_not_answered),
		cmocka_unit_test(many_queries_at_once_are_all_answered),
		cmocka_unit_test(the_resolver_goes_with_queries_that_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
