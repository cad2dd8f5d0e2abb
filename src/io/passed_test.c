/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "io/file.h"
#include "io/net.h"
#include "io/notify.h"
#include "io/passed.h"

#include "cmocka_all.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static void on_accept(void *arg, int fd)
{
	(void)arg;
	io_closep(&fd);
}

static void names_come_in_their_order(void **state)
{
	static const struct {
		const char *pid, *count, *names;
		size_t expected;
		const char *first, *last;
	} rows[] = {
		{ "77", "1", "smtp", 1, "smtp", "smtp" },
		{ "77", "2", "smtp:listen@127.0.0.1%3a25", 2, "smtp", "listen@127.0.0.1%3a25" },
		{ "77", "3", "a:b", 3, "a", "" },  /* fewer names than sockets */
		{ "77", "1", "a:b", 1, "a", "a" }, /* more */
		{ "77", "2", NULL, 2, "", "" },    /* before systemd 227 */
		{ "77", "3", "::c", 3, "", "c" },
		{ "78", "1", "smtp", 0, NULL, NULL }, /* of another process */
		{ "", "1", "smtp", 0, NULL, NULL },
		{ NULL, "1", "smtp", 0, NULL, NULL },
		{ "77", "0", "", 0, NULL, NULL },
		{ "77", "-1", "smtp", 0, NULL, NULL },
		{ "77", "1x", "smtp", 0, NULL, NULL },
		{ "77", "99999999999", "smtp", 0, NULL, NULL },
		{ "77", "2147483644", "smtp", IO_PASSED_MAX, "smtp", "" },
	};
	struct io_passed *p = xcalloc(1, sizeof(*p));

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		io_passed_parse(p,
			sv_from(rows[i].pid),
			sv_from(rows[i].count),
			sv_from(rows[i].names),
			77);
		assert_int_equal(p->count, rows[i].expected);
		if (p->count == 0)
			continue;
		assert_true(sv_eq(p->sockets[0].name, sv_from(rows[i].first)));
		assert_true(sv_eq(p->sockets[p->count - 1].name, sv_from(rows[i].last)));
	}
	free(p);
}

static void the_environment_is_read(void **state)
{
	struct io_passed *p = xcalloc(1, sizeof(*p));
	char pid[16];

	(void)state;
	(void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
	assert_int_equal(setenv("LISTEN_FDS", "2", 1), 0);
	io_passed_from_environment(p);
	assert_int_equal(p->count, 0);
	assert_int_equal(setenv("LISTEN_PID", pid, 1), 0);
	assert_int_equal(setenv("LISTEN_FDNAMES", "smtp:metrics", 1), 0);
	io_passed_from_environment(p);
	assert_int_equal(p->count, 2);
	assert_int_equal(io_passed_take(p, SV("metrics")), 4);
	assert_int_equal(setenv("LISTEN_PID", "1", 1), 0);
	io_passed_from_environment(p);
	assert_int_equal(p->count, 0);
	assert_int_equal(unsetenv("LISTEN_PID"), 0);
	free(p);
}

static void a_socket_is_taken_once(void **state)
{
	struct io_passed *p = xcalloc(1, sizeof(*p));

	(void)state;
	io_passed_parse(p, SV("5"), SV("3"), SV("a:b:a"), 5);
	assert_int_equal(io_passed_take(p, SV("b")), 4);
	assert_int_equal(io_passed_take(p, SV("b")), -1);
	assert_int_equal(io_passed_take(p, SV("a")), 3);
	assert_int_equal(io_passed_take(p, SV("a")), 5);
	assert_int_equal(io_passed_take(p, SV("a")), -1);
	assert_int_equal(io_passed_take(p, SV("c")), -1);
	free(p);
}

static void a_stored_name_holds_no_separator(void **state)
{
	CLEANUP(buf_deinitp) struct buf name = BUF_INIT(4096);
	char path[300];

	(void)state;
	assert_int_equal(io_passed_store_name(SV("[::1]:25"), &name), 0);
	assert_true(sv_eq(buf_sv(&name), SV("listen@[%3a%3a1]%3a25")));
	assert_true(io_passed_is_stored(buf_sv(&name)));
	assert_false(io_passed_is_stored(SV("smtp")));
	name.len = 0;
	assert_int_equal(io_passed_store_name(SV("unix:/a b%/\xc3\xa9"), &name), 0);
	assert_true(sv_eq(buf_sv(&name), SV("listen@unix%3a/a%20b%25/%c3%a9")));
	memset(path, 'x', sizeof(path));
	name.len = 0;
	assert_int_equal(io_passed_store_name(sv_make(path, IO_PASSED_NAME_MAX), &name), RC_LIMIT);
	assert_int_equal(name.len, 0);
	assert_int_equal(io_passed_store_name(sv_make(path, IO_PASSED_NAME_MAX - 7), &name), 0);
}

/* ---- which sockets may be inherited ---- */

static int listening_copy(struct io_loop *l, const char *text, struct io_address *out_address)
{
	struct io_listener *n;
	struct err err;
	int copy;

	assert_int_equal(io_address_parse(sv_from(text), out_address), 0);
	n = io_listener_open(l, out_address, 0600, on_accept, NULL, &err);
	assert_non_null(n);
	copy = fcntl(io_listener_fd(n), F_DUPFD_CLOEXEC, 0);
	/* Port 0: the address that it got. */
	if (out_address->any.sa_family == AF_INET)
		out_address->v4.sin_port = htons((uint16_t)io_listener_port(n));
	else if (out_address->any.sa_family == AF_INET6)
		out_address->v6.sin6_port = htons((uint16_t)io_listener_port(n));
	io_listener_leave(n);
	return copy;
}

static bool inherits(struct io_loop *l, int fd, const struct io_address *address)
{
	struct io_listener *n = io_listener_inherit(l, fd, address, 0600, on_accept, NULL);

	io_listener_leave(n);
	return n != NULL;
}

static void only_a_socket_on_the_same_address_is_inherited(void **state)
{
	struct io_loop *l = io_loop_new();
	struct io_address at, other;
	int fd = listening_copy(l, "127.0.0.1:0", &at);

	(void)state;
	other = at;
	other.v4.sin_port = htons((uint16_t)(ntohs(at.v4.sin_port) ^ 1));
	assert_false(inherits(l, fcntl(fd, F_DUPFD_CLOEXEC, 0), &other));
	other = at;
	other.v4.sin_addr.s_addr = htonl(INADDR_ANY);
	assert_false(inherits(l, fcntl(fd, F_DUPFD_CLOEXEC, 0), &other));
	/* A kernel without IPv6 gives an IPv4 socket for "*", and that one is not "*". */
	other = (struct io_address){ .both_families = true };
	other.v6.sin6_family = AF_INET6;
	other.v6.sin6_port = at.v4.sin_port;
	assert_false(inherits(l, fcntl(fd, F_DUPFD_CLOEXEC, 0), &other));
	assert_true(inherits(l, fd, &at));
	/* Not a listening one, and no socket at all. */
	assert_false(inherits(l, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), &at));
	assert_false(inherits(l, open("/dev/null", O_RDONLY | O_CLOEXEC), &at));
	fd = listening_copy(l, "*:0", &at);
	assert_true(inherits(l, fcntl(fd, F_DUPFD_CLOEXEC, 0), &at));
	at.both_families = false;
	if (at.any.sa_family == AF_INET6)
		assert_false(inherits(l, fcntl(fd, F_DUPFD_CLOEXEC, 0), &at));
	io_closep(&fd);
	io_loop_free(l);
}

static void a_unix_socket_must_still_be_found(void **state)
{
	char folder[] = "/tmp/postern-passed-XXXXXX", text[128];
	struct io_loop *l = io_loop_new();
	struct io_address at;
	struct stat st;
	int fd;

	(void)state;
	assert_non_null(mkdtemp(folder));
	(void)snprintf(text, sizeof(text), "unix:%s/s", folder);
	fd = listening_copy(l, text, &at);
	assert_int_equal(chmod(at.un.sun_path, 0), 0);
	assert_true(inherits(l, fcntl(fd, F_DUPFD_CLOEXEC, 0), &at));
	/* Left, not unlinked; and with the mode of today. */
	assert_int_equal(stat(at.un.sun_path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(unlink(at.un.sun_path), 0);
	assert_false(inherits(l, fcntl(fd, F_DUPFD_CLOEXEC, 0), &at));
	io_closep(&fd);
	assert_int_equal(rmdir(folder), 0);
	io_loop_free(l);
}

/* ---- the manager's side ---- */

static int take_message(int manager, char *text, size_t max)
{
	char control[CMSG_SPACE(sizeof(int))];
	struct iovec part = { text, max - 1 };
	struct msghdr m = { .msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(manager, &m, MSG_DONTWAIT);
	const struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	int fd = -1;

	assert_true(n >= 0);
	text[n] = '\0';
	if (c)
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

static void the_manager_gets_a_copy(void **state)
{
	char folder[] = "/tmp/postern-notify-XXXXXX", text[256];
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int mine = open("/dev/null", O_RDONLY | O_CLOEXEC), copy;

	(void)state;
	assert_non_null(mkdtemp(folder));
	(void)snprintf(at.sun_path, sizeof(at.sun_path), "%s/n", folder);
	assert_false(io_notify_has_manager());
	assert_int_equal(bind(manager, (const struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(setenv("NOTIFY_SOCKET", at.sun_path, 1), 0);
	assert_true(io_notify_has_manager());
	io_notify_store(mine, SV("listen@x"));
	copy = take_message(manager, text, sizeof(text));
	assert_string_equal(text, "FDSTORE=1\nFDNAME=listen@x\nFDPOLL=0");
	assert_true(copy >= 0);
	io_closep(&copy);
	io_notify_forget(SV("listen@x"));
	assert_int_equal(take_message(manager, text, sizeof(text)), -1);
	assert_string_equal(text, "FDSTOREREMOVE=1\nFDNAME=listen@x");
	assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
	io_closep(&mine);
	io_closep(&manager);
	assert_int_equal(unlink(at.sun_path), 0);
	assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_come_in_their_order),
		cmocka_unit_test(the_environment_is_read),
		cmocka_unit_test(a_socket_is_taken_once),
		cmocka_unit_test(a_stored_name_holds_no_separator),
		cmocka_unit_test(only_a_socket_on_the_same_address_is_inherited),
		cmocka_unit_test(a_unix_socket_must_still_be_found),
		cmocka_unit_test(the_manager_gets_a_copy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
