/* SPDX-License-Identifier: Apache-2.0 */
#include "io/names.h"

#include "base/err.h"
#include "base/must.h"

#include <errno.h>
#include <pwd.h>
#include <unistd.h>

#include "cmocka_all.h"

static struct io_loop *loop;

struct told {
	int rc;
	char name[IO_NAME_MAX];
	unsigned times;
};

static void take(void *arg, int rc, struct sv name)
{
	struct told *t = arg;

	t->rc = rc;
	(void)snprintf(t->name, sizeof(t->name), "%.*s", SV_ARG(name));
	t->times++;
	io_loop_stop(loop);
}

static void a_name_is_found_and_kept(void **state)
{
	struct io_names *n = io_names_new(loop);
	struct told t = { 0 };

	(void)state;
	for (unsigned i = 1; i < 4; i++) {
		(void)!io_names_ask(n, 0, take, &t);
		assert_int_equal(t.times, i - 1); /* never at once */
		io_loop_run(loop);
		assert_int_equal(t.times, i);
		assert_int_equal(t.rc, 0);
		assert_string_equal(t.name, "root");
	}
	io_names_free(n);
}

static void who_is_not_there_has_no_name(void **state)
{
	struct io_names *n = io_names_new(loop);
	struct told t = { 0 };

	(void)state;
	/* More than are kept. */
	for (unsigned i = 0; i < IO_NAMES_KEPT + 50; i++) {
		(void)!io_names_ask(n, 3000000000U + i, take, &t);
		io_loop_run(loop);
		assert_int_equal(t.rc, RC_NO_NAME);
	}
	assert_int_equal(t.times, IO_NAMES_KEPT + 50);
	io_names_free(n);
}

static void a_cancelled_question_has_no_answer(void **state)
{
	struct io_names *n = io_names_new(loop);
	struct told no = { 0 }, yes = { 0 };

	(void)state;
	io_names_cancel(io_names_ask(n, 0, take, &no));
	(void)!io_names_ask(n, 0, take, &yes);
	io_loop_run(loop);
	assert_int_equal(yes.times, 1);
	assert_int_equal(no.times, 0);
	io_names_free(n);
}

/* Its owner goes while the thread is at work: it is told so, and nothing is left behind. */
static void the_end_comes_before_the_answer(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		struct io_names *n = io_names_new(loop);
		struct told t = { 0 };

		(void)!io_names_ask(n, 4000000000U + i, take, &t);
		io_names_free(n);
		assert_int_equal(t.times, 1);
		assert_int_equal(t.rc, -ECANCELED);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_is_found_and_kept),
		cmocka_unit_test(who_is_not_there_has_no_name),
		cmocka_unit_test(a_cancelled_question_has_no_answer),
		cmocka_unit_test(the_end_comes_before_the_answer),
	};
	int failed;

	loop = io_loop_new();
	failed = cmocka_run_group_tests_name("io/names", tests, NULL, NULL);
	io_loop_free(loop);
	return failed;
}
