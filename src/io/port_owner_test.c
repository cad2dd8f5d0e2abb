/* SPDX-License-Identifier: Apache-2.0 */
#include "io/port_owner.h"

#include "base/must.h"
#include "cmocka_all.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

/* Listens at `text` with port 0; the address with the real port goes to *out. */
static int listen_at(const char *text, struct io_address *out)
{
	int fd;

	must(io_address_parse(sv_from(text), out) == 0);
	fd = socket(out->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, &out->any, out->len) != 0 || listen(fd, 1) != 0) {
		(void)close(fd);
		return -1;
	}
	must(getsockname(fd, &out->any, &out->len) == 0);
	return fd;
}

static struct io_address with_port(const char *host, const struct io_address *from)
{
	struct io_address a;
	char text[64];

	(void)snprintf(text,
		sizeof(text),
		"%s:%u",
		host,
		(unsigned)ntohs(
			from->any.sa_family == AF_INET ? from->v4.sin_port : from->v6.sin6_port));
	must(io_address_parse(sv_from(text), &a) == 0);
	return a;
}

static void assert_mine(const struct io_address *a)
{
	struct io_port_owner o;

	assert_int_equal(io_port_try(a), -EADDRINUSE);
	assert_true(io_port_owner(a, &o));
	assert_int_equal(o.pid, getpid());
	assert_int_equal(o.uid, getuid());
	assert_string_not_equal(o.name, "");
	assert_non_null(strstr(o.program, "port_owner_test"));
}

static void a_listener_is_found(void **state)
{
	struct io_address mine, every, other;
	struct io_port_owner o;
	int fd = listen_at("127.0.0.1:0", &mine);

	(void)state;
	assert_true(fd >= 0);
	every = with_port("0.0.0.0", &mine);
	other = with_port("127.0.0.2", &mine);
	assert_mine(&mine);
	assert_mine(&every);
	assert_int_equal(io_port_try(&other), 0);
	assert_false(io_port_owner(&other, &o));
	(void)close(fd);
	assert_int_equal(io_port_try(&mine), 0);
	assert_false(io_port_owner(&mine, &o));
}

static void so_is_one_for_both_families(void **state)
{
	struct io_address every, v4;
	int fd = listen_at("[::]:0", &every);

	(void)state;
	if (fd < 0) {
		print_message("no IPv6 here\n");
		skip();
	}
	v4 = with_port("127.0.0.1", &every);
	assert_mine(&v4);
	(void)close(fd);
}

static void an_address_of_another_machine(void **state)
{
	struct io_address a;

	(void)state;
	must(io_address_parse(SV("192.0.2.77:2525"), &a) == 0);
	assert_int_equal(io_port_try(&a), -EADDRNOTAVAIL);
	must(io_address_parse(SV("unix:/nowhere/at/all"), &a) == 0);
	assert_int_equal(io_port_try(&a), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_listener_is_found),
		cmocka_unit_test(so_is_one_for_both_families),
		cmocka_unit_test(an_address_of_another_machine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
