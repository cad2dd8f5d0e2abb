/* SPDX-License-Identifier: Apache-2.0 */
#include "io/folder_watch.h"

#include "io/fs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "cmocka_all.h"
#include "io/test_folder.h"

struct seen {
	struct io_loop *loop;
	struct io_folder_watch *watch;
	struct io_timer timer;
	unsigned arrivals;
	bool free_at_once;
};

static void on_arrival(void *arg)
{
	struct seen *s = arg;

	s->arrivals++;
	if (s->free_at_once)
		io_folder_watch_free(TAKE(s->watch));
	io_loop_stop(s->loop);
}

static void on_timer(void *arg)
{
	struct seen *s = arg;

	io_loop_stop(s->loop);
}

/* What the kernel has said already is heard in the first round. */
static void run_a_round(struct seen *s)
{
	io_timer_init(&s->timer, s->loop, on_timer, s);
	io_timer_start(&s->timer, mono_add(io_now(s->loop), 20 * US_PER_MS));
	io_loop_run(s->loop);
	io_timer_stop(&s->timer);
}

static void put(const char *name)
{
	CLEANUP(io_closep) int fd = io_fs_create(path_of(name), O_WRONLY, 0600);

	assert_true(fd >= 0);
	assert_int_equal(io_write_all(fd, SV("x")), 0);
}

static int begin(void **state)
{
	static struct seen s;

	s = (struct seen){ .loop = io_loop_new() };
	*state = &s;
	return make_folder(state);
}

static int end(void **state)
{
	struct seen *s = *state;

	io_folder_watch_free(s->watch);
	io_loop_free(s->loop);
	return remove_folder(state);
}

static void a_file_that_gets_its_name_is_an_arrival(void **state)
{
	struct seen *s = *state;
	int rc = 0;

	s->watch = io_folder_watch_new(s->loop, folder, on_arrival, s, &rc);
	assert_non_null(s->watch);
	/* Being written is none. */
	put("tmp.1");
	put("tmp.2");
	run_a_round(s);
	assert_int_equal(s->arrivals, 0);
	assert_int_equal(io_fs_rename(path_of("tmp.1"), path_of("1")), 0);
	assert_int_equal(io_fs_rename(path_of("tmp.2"), path_of("2")), 0);
	io_loop_run(s->loop);
	assert_int_equal(s->arrivals, 1);
	/* All that came is told; leaving is nothing. */
	assert_int_equal(io_fs_unlink(path_of("1")), 0);
	run_a_round(s);
	assert_int_equal(s->arrivals, 1);
	assert_int_equal(io_fs_rename(path_of("2"), path_of("3")), 0);
	io_loop_run(s->loop);
	assert_int_equal(s->arrivals, 2);
	assert_int_equal(io_fs_unlink(path_of("3")), 0);
}

static void it_may_be_freed_from_within(void **state)
{
	struct seen *s = *state;
	int rc = 0;

	s->free_at_once = true;
	s->watch = io_folder_watch_new(s->loop, folder, on_arrival, s, &rc);
	assert_non_null(s->watch);
	put("tmp");
	assert_int_equal(io_fs_rename(path_of("tmp"), path_of("1")), 0);
	io_loop_run(s->loop);
	assert_int_equal(s->arrivals, 1);
	assert_int_equal(io_fs_rename(path_of("1"), path_of("2")), 0);
	run_a_round(s);
	assert_int_equal(s->arrivals, 1);
	assert_int_equal(io_fs_unlink(path_of("2")), 0);
}

static void what_cannot_be_watched_says_why(void **state)
{
	struct seen *s = *state;
	struct rlimit before, few;
	int rc = 0;

	assert_null(io_folder_watch_new(s->loop, path_of("none"), on_arrival, s, &rc));
	assert_int_equal(rc, -ENOENT);
	put("f");
	assert_null(io_folder_watch_new(s->loop, path_of("f"), on_arrival, s, &rc));
	assert_int_equal(rc, -ENOTDIR);
	assert_int_equal(io_fs_unlink(path_of("f")), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = (struct rlimit){ 0, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_null(io_folder_watch_new(s->loop, folder, on_arrival, s, &rc));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(rc, -EMFILE);
	io_folder_watch_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_file_that_gets_its_name_is_an_arrival, begin, end),
		cmocka_unit_test_setup_teardown(it_may_be_freed_from_within, begin, end),
		cmocka_unit_test_setup_teardown(what_cannot_be_watched_says_why, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
