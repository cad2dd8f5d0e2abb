/* SPDX-License-Identifier: Apache-2.0 */
#include "io/fs.h"

#include "base/attr.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cmocka_all.h"
#include "io/test_folder.h"

static void write_file(const char *name, struct sv bytes)
{
	CLEANUP(io_closep) int fd = io_fs_create(path_of(name), O_WRONLY | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(io_fs_write_at(fd, 0, bytes), 0);
}

/* ---- descriptors ---- */

static void closing_keeps_errno_and_forgets(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	errno = EXDEV;
	io_closep(&fds[0]);
	io_closep(&fds[0]);
	io_closep(&fds[1]);
	assert_int_equal(errno, EXDEV);
	assert_int_equal(fds[0], -1);
}

static void opening_says_why_not(void **state)
{
	CLEANUP(io_closep) int fd = -1, again = -1;
	mode_t before = umask(0);
	struct stat st;

	(void)state;
	assert_int_equal(io_fs_open(path_of("f"), O_RDONLY), -ENOENT);
	assert_int_equal(io_fs_create("/nonexistent/f", O_RDWR, 0600), -ENOENT);
	fd = io_fs_create(path_of("f"), O_RDWR | O_EXCL, 0640);
	(void)umask(before);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(io_fs_stat_open(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(io_fs_create(path_of("f"), O_RDWR | O_EXCL, 0600), -EEXIST);
	assert_int_equal(symlink(path_of("f"), path_of("l")), 0);
	assert_int_equal(io_fs_open(path_of("l"), O_RDONLY | O_NOFOLLOW), -ELOOP);
	again = io_fs_open(path_of("l"), O_RDONLY);
	assert_true(again >= 0);
	assert_int_equal(io_fs_open(path_of("f"), O_RDONLY | O_DIRECTORY), -ENOTDIR);
	assert_int_equal(io_fs_open(folder, O_RDWR), -EISDIR);
	assert_int_equal(io_fs_unlink(path_of("l")), 0);
	assert_int_equal(io_fs_unlink(path_of("f")), 0);
}

static void no_descriptor_is_left(void **state)
{
	struct rlimit before, few;
	struct io_fs_list *list = (struct io_fs_list *)&few;
	char temporary[] = "/tmp/postern-test-XXXXXX";

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = (struct rlimit){ 0, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_int_equal(io_fs_open(folder, O_RDONLY), -EMFILE);
	assert_int_equal(io_fs_create(path_of("f"), O_RDWR, 0600), -EMFILE);
	assert_int_equal(io_fs_create_temporary(temporary), -EMFILE);
	assert_int_equal(io_fs_list_open(folder, &list), -EMFILE);
	assert_null(list);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

static void temporary_files_are_ours_alone(void **state)
{
	char first[80], second[80];
	CLEANUP(io_closep) int a = -1, b = -1;
	struct stat st;

	(void)state;
	(void)snprintf(first, sizeof(first), "%s/t.XXXXXX", folder);
	(void)snprintf(second, sizeof(second), "%s/t.XXXXXX", folder);
	a = io_fs_create_temporary(first);
	b = io_fs_create_temporary(second);
	assert_true(a >= 0 && b >= 0);
	assert_string_not_equal(first, second);
	assert_int_equal(fcntl(a, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(io_fs_stat(first, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_true(io_fs_is_at(a, first));
	assert_int_equal(io_fs_unlink(first), 0);
	assert_int_equal(io_fs_unlink(second), 0);
	(void)snprintf(first, sizeof(first), "/nonexistent/t.XXXXXX");
	assert_int_equal(io_fs_create_temporary(first), -ENOENT);
}

static void bytes_are_where_they_were_put(void **state)
{
	CLEANUP(io_closep) int fd = io_fs_create(path_of("f"), O_RDWR, 0600);
	char in[16];

	(void)state;
	assert_int_equal(io_fs_write_at(fd, 4, SV("efgh")), 0);
	assert_int_equal(io_fs_write_at(fd, 0, SV("abcd")), 0);
	assert_int_equal(io_fs_write_at(fd, 2, SV("")), 0);
	assert_int_equal(io_fs_read_at(fd, 0, in, 8), 8);
	assert_memory_equal(in, "abcdefgh", 8);
	/* Less than was asked for is the end. */
	assert_int_equal(io_fs_read_at(fd, 6, in, sizeof(in)), 2);
	assert_memory_equal(in, "gh", 2);
	assert_int_equal(io_fs_read_at(fd, 8, in, sizeof(in)), 0);
	assert_int_equal(io_fs_read_at(fd, 100, in, sizeof(in)), 0);
	/* None of them moves where the descriptor stands. */
	assert_int_equal(io_fs_read(fd, in, 3), 3);
	assert_memory_equal(in, "abc", 3);
	assert_int_equal(io_write_all(fd, SV("DE")), 0);
	assert_int_equal(io_fs_read(fd, in, sizeof(in)), 3);
	assert_memory_equal(in, "fgh", 3);
	assert_int_equal(io_fs_read(fd, in, sizeof(in)), 0);
	assert_int_equal(io_fs_truncate(fd, 5), 0);
	assert_int_equal(io_fs_read_at(fd, 0, in, sizeof(in)), 5);
	assert_memory_equal(in, "abcDE", 5);
	assert_int_equal(io_fs_sync_data(fd), 0);
	assert_int_equal(io_fs_sync(fd), 0);
	assert_int_equal(io_fs_unlink(path_of("f")), 0);
}

static void what_cannot_be_read_or_written_says_so(void **state)
{
	CLEANUP(io_closep) int full = io_fs_open("/dev/full", O_RDWR);
	CLEANUP(io_closep) int here = io_fs_open(folder, O_RDONLY);
	int ends[2];
	char byte;

	(void)state;
	assert_true(full >= 0 && here >= 0);
	assert_int_equal(io_fs_write_at(full, 0, SV("x")), -ENOSPC);
	assert_int_equal(io_write_all(full, SV("x")), -ENOSPC);
	assert_int_equal(io_fs_read_at(here, 0, &byte, 1), -EISDIR);
	assert_int_equal(io_fs_read(here, &byte, 1), -EISDIR);
	assert_int_equal(io_fs_write_at(here, 0, SV("x")), -EBADF);
	assert_int_equal(io_fs_truncate(here, 0), -EINVAL);
	assert_int_equal(io_fs_sync(-1), -EBADF);
	assert_int_equal(io_fs_sync_data(-1), -EBADF);
	assert_int_equal(io_fs_lock(-1, LOCK_EX), -EBADF);
	assert_int_equal(io_fs_chmod_open(-1, 0600), -EBADF);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(io_fs_read_at(ends[0], 0, &byte, 1), -ESPIPE);
	assert_int_equal(io_fs_sync(ends[0]), -EINVAL);
	io_closep(&ends[0]);
	io_closep(&ends[1]);
}

/* A file that may not grow: what fits is written before the kernel says so. */
static void a_write_that_ends_halfway_is_a_failure(void **state)
{
	CLEANUP(io_closep) int fd = io_fs_create(path_of("f"), O_RDWR, 0600);
	const struct sv bytes = SV("0123456789");
	struct rlimit before, small;
	struct stat st;

	(void)state;
	assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = (struct rlimit){ 6, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(io_fs_write_at(fd, 0, bytes), -EFBIG);
	assert_int_equal(io_fs_stat_open(fd, &st), 0);
	assert_int_equal(st.st_size, 6);
	assert_int_equal(io_fs_truncate(fd, 7), -EFBIG);
	assert_int_equal(io_fs_allocate(fd, 7), -EFBIG);
	assert_int_equal(io_fs_truncate(fd, 0), 0);
	assert_int_equal(io_write_all(fd, bytes), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(io_fs_allocate(fd, 100000), 0);
	assert_int_equal(io_fs_stat_open(fd, &st), 0);
	assert_int_equal(st.st_size, 100000);
	assert_true(st.st_blocks * 512 >= 100000);
	assert_int_equal(io_fs_unlink(path_of("f")), 0);
}

static void a_lock_is_for_one_or_for_readers(void **state)
{
	CLEANUP(io_closep) int a = io_fs_create(path_of("f"), O_RDWR, 0600);
	CLEANUP(io_closep) int b = io_fs_open(path_of("f"), O_RDONLY);

	(void)state;
	assert_int_equal(io_fs_lock(a, LOCK_EX), 0);
	assert_int_equal(io_fs_lock(b, LOCK_EX | LOCK_NB), -EWOULDBLOCK);
	assert_int_equal(io_fs_lock(b, LOCK_SH | LOCK_NB), -EWOULDBLOCK);
	assert_int_equal(io_fs_lock(a, LOCK_SH), 0);
	assert_int_equal(io_fs_lock(b, LOCK_SH | LOCK_NB), 0);
	assert_int_equal(io_fs_lock(b, LOCK_EX | LOCK_NB), -EWOULDBLOCK);
	/* It goes with the descriptor. */
	io_closep(&a);
	assert_int_equal(io_fs_lock(b, LOCK_EX | LOCK_NB), 0);
	assert_int_equal(io_fs_unlink(path_of("f")), 0);
}

/* ---- what is there ---- */

static void files_are_told_apart(void **state)
{
	CLEANUP(io_closep) int fd = -1;
	struct stat st, other;

	(void)state;
	write_file("f", SV("four"));
	assert_int_equal(symlink(path_of("f"), path_of("l")), 0);
	assert_int_equal(symlink(path_of("gone"), path_of("m")), 0);
	assert_int_equal(io_fs_stat(path_of("l"), &st), 0);
	assert_true(S_ISREG(st.st_mode) && st.st_size == 4);
	assert_int_equal(io_fs_stat_link(path_of("l"), &other), 0);
	assert_true(S_ISLNK(other.st_mode));
	assert_false(io_fs_is_same(&st, &other));
	assert_int_equal(io_fs_stat(path_of("f"), &other), 0);
	assert_true(io_fs_is_same(&st, &other));
	assert_int_equal(io_fs_stat(path_of("m"), &st), -ENOENT);
	assert_int_equal(io_fs_stat_link(path_of("none"), &st), -ENOENT);
	assert_int_equal(io_fs_stat_open(-1, &st), -EBADF);
	assert_true(io_fs_exists(path_of("l")) && io_fs_is_readable(path_of("l")));
	assert_false(io_fs_exists(path_of("m")) || io_fs_is_readable(path_of("m")));
	fd = io_fs_open(path_of("f"), O_RDONLY);
	assert_true(io_fs_is_at(fd, path_of("f")) && io_fs_is_at(fd, path_of("l")));
	/* Another file of that name, or none. */
	write_file("g", SV("four"));
	assert_int_equal(io_fs_rename(path_of("g"), path_of("f")), 0);
	assert_false(io_fs_is_at(fd, path_of("f")));
	assert_int_equal(io_fs_unlink(path_of("f")), 0);
	assert_false(io_fs_is_at(fd, path_of("f")));
	assert_false(io_fs_is_at(-1, path_of("l")));
	assert_int_equal(io_fs_unlink(path_of("l")), 0);
	assert_int_equal(io_fs_unlink(path_of("m")), 0);
}

static void rights_are_given(void **state)
{
	CLEANUP(io_closep) int fd = -1;
	struct stat st;

	(void)state;
	write_file("f", SV(""));
	fd = io_fs_open(path_of("f"), O_RDONLY);
	assert_int_equal(io_fs_chmod(path_of("f"), 0640), 0);
	assert_int_equal(io_fs_stat_open(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(io_fs_chmod_open(fd, 0604), 0);
	assert_int_equal(io_fs_stat_open(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0604);
	assert_int_equal(io_fs_chmod(path_of("none"), 0600), -ENOENT);
	assert_int_equal(io_fs_give_to_group(path_of("f"), getegid()), 0);
	assert_int_equal(io_fs_give_to_group(path_of("none"), getegid()), -ENOENT);
	/* To nobody in particular; whoever is not root is refused, and that is no failure. */
	assert_int_equal(io_fs_give(fd, 65534, (gid_t)-1), 0);
	assert_int_equal(io_fs_stat_open(fd, &st), 0);
	assert_int_equal(st.st_uid, geteuid() == 0 ? 65534 : geteuid());
	assert_int_equal(io_fs_give_to_owner_of(folder, fd), 0);
	assert_int_equal(io_fs_stat_open(fd, &st), 0);
	assert_int_equal(st.st_uid, geteuid());
	assert_int_equal(io_fs_give_to_owner_of("/nonexistent", fd), 0);
	assert_int_equal(io_fs_unlink(path_of("f")), 0);
}

/* ---- names and folders ---- */

static void names_are_changed(void **state)
{
	struct stat st;

	(void)state;
	write_file("a", SV("1"));
	assert_int_equal(io_fs_link(path_of("a"), path_of("b")), 0);
	assert_int_equal(io_fs_link(path_of("a"), path_of("b")), -EEXIST);
	assert_int_equal(io_fs_link(path_of("none"), path_of("c")), -ENOENT);
	assert_int_equal(io_fs_stat(path_of("b"), &st), 0);
	assert_int_equal(st.st_nlink, 2);
	assert_int_equal(io_fs_rename(path_of("none"), path_of("a")), -ENOENT);
	assert_int_equal(io_fs_make_folder(path_of("d"), 0700), 0);
	assert_int_equal(io_fs_make_folder(path_of("d"), 0700), -EEXIST);
	assert_int_equal(io_fs_make_folder(path_of("e/f"), 0700), -ENOENT);
	assert_int_equal(io_fs_rename(path_of("a"), path_of("d")), -EISDIR);
	assert_int_equal(io_fs_rename(path_of("a"), path_of("d/a")), 0);
	assert_int_equal(io_fs_remove_folder(path_of("d")), -ENOTEMPTY);
	assert_int_equal(io_fs_remove_folder(path_of("b")), -ENOTDIR);
	assert_int_equal(io_fs_unlink(path_of("d")), -EISDIR);
	assert_int_equal(io_fs_unlink(path_of("d/a")), 0);
	assert_int_equal(io_fs_unlink(path_of("d/a")), -ENOENT);
	assert_int_equal(io_fs_remove_folder(path_of("d")), 0);
	assert_int_equal(io_fs_unlink(path_of("b")), 0);
}

static void folders_are_listed(void **state)
{
	CLEANUP(io_fs_list_closep) struct io_fs_list *list = NULL;
	const char *name;
	unsigned seen = 0;

	(void)state;
	assert_int_equal(io_fs_list_open("/nonexistent", &list), -ENOENT);
	assert_null(list);
	write_file("1", SV(""));
	write_file(".2", SV(""));
	assert_int_equal(io_fs_make_folder(path_of("4"), 0700), 0);
	assert_int_equal(io_fs_list_open(path_of("1"), &list), -ENOTDIR);
	assert_int_equal(io_fs_list_open(folder, &list), 0);
	while (io_fs_list_next(list, &name) == 0 && name)
		seen |= (unsigned)(name[name[0] == '.'] - '0');
	assert_null(name);
	assert_int_equal(seen, 7);
	io_fs_list_close(TAKE(list));
	io_fs_list_close(NULL);
	assert_int_equal(io_fs_unlink(path_of("1")), 0);
	assert_int_equal(io_fs_unlink(path_of(".2")), 0);
	/* Empty; and one that was deleted meanwhile. */
	assert_int_equal(io_fs_list_open(path_of("4"), &list), 0);
	assert_int_equal(io_fs_remove_folder(path_of("4")), 0);
	assert_int_equal(io_fs_list_next(list, &name), 0);
	assert_null(name);
}

/* ---- disks ---- */

static void disks_are_measured(void **state)
{
	uint64_t bytes = 7;

	(void)state;
	assert_int_equal(io_disk_free(folder, &bytes), 0);
	assert_true(bytes != 7);
	assert_int_equal(io_disk_free("/nonexistent", &bytes), -ENOENT);
	assert_false(io_disk_is_network("/nonexistent"));
	assert_false(io_disk_is_network("/proc"));
	assert_false(io_disk_is_read_only(folder));
	assert_false(io_disk_is_read_only("/nonexistent"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(closing_keeps_errno_and_forgets),
		cmocka_unit_test(opening_says_why_not),
		cmocka_unit_test(no_descriptor_is_left),
		cmocka_unit_test(temporary_files_are_ours_alone),
		cmocka_unit_test(bytes_are_where_they_were_put),
		cmocka_unit_test(what_cannot_be_read_or_written_says_so),
		cmocka_unit_test(a_write_that_ends_halfway_is_a_failure),
		cmocka_unit_test(a_lock_is_for_one_or_for_readers),
		cmocka_unit_test(files_are_told_apart),
		cmocka_unit_test(rights_are_given),
		cmocka_unit_test(names_are_changed),
		cmocka_unit_test(folders_are_listed),
		cmocka_unit_test(disks_are_measured),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
