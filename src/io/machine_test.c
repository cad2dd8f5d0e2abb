/* SPDX-License-Identifier: Apache-2.0 */
#include "io/machine.h"

#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cmocka_all.h"

static void what_the_process_was_given(void **state)
{
	(void)state;
	assert_int_equal(setenv("POSTERN_TEST", "value", 1), 0);
	assert_string_equal(io_machine_variable("POSTERN_TEST"), "value");
	assert_int_equal(unsetenv("POSTERN_TEST"), 0);
	assert_null(io_machine_variable("POSTERN_TEST"));
	assert_int_equal(io_machine_process_id(), getpid());
}

static void the_machine_has_a_name(void **state)
{
	char name[IO_MACHINE_NAME_MAX];
	struct utsname is;

	(void)state;
	memset(name, 'x', sizeof(name));
	assert_int_equal(io_machine_name(name), 0);
	assert_int_equal(uname(&is), 0);
	assert_string_equal(name, is.nodename);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_process_was_given),
		cmocka_unit_test(the_machine_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
