/* SPDX-License-Identifier: Apache-2.0 */
#include "io/file.h"

#include "io/notify.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cmocka_all.h"
#include "io/test_folder.h"

/* ---- files and folders ---- */

static unsigned mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	return st.st_mode & 07777;
}

static unsigned count_files(void)
{
	DIR *d = opendir(folder);
	unsigned count = 0;

	assert_non_null(d);
	for (const struct dirent *e = readdir(d); e; e = readdir(d))
		count += e->d_name[0] != '.';
	(void)closedir(d);
	return count;
}

static void a_durable_file_has_its_bytes_and_mode(void **state)
{
	static const unsigned modes[] = { 0600, 0640, 0644, 0400 };
	struct buf in = BUF_INIT(1000);
	struct err err = { 0 };
	mode_t before = umask(077);

	(void)state;
	/* Also over one that exists, whatever its mode was; the umask has no say. */
	for (size_t i = 0; i < COUNT_OF(modes); i++) {
		char text[32];

		(void)snprintf(text, sizeof(text), "version %zu", i);
		assert_int_equal(
			io_file_write_durably(path_of("f"), sv_from(text), modes[i], &err), 0);
		assert_int_equal(mode_of(path_of("f")), modes[i]);
		assert_int_equal(io_file_read(path_of("f"), 100, &in, &err), 0);
		assert_true(sv_eq(buf_sv(&in), sv_from(text)));
		buf_reset(&in);
	}
	(void)umask(before);
	assert_int_equal(count_files(), 1);
	assert_int_equal(io_file_write_durably(path_of("f"), SV(""), 0600, NULL), 0);
	assert_int_equal(io_file_read(path_of("f"), 0, &in, NULL), 0);
	assert_int_equal(in.len, 0);
	assert_int_equal(unlink(path_of("f")), 0);
	buf_deinit(&in);
}

static void a_durable_file_that_fails_leaves_nothing(void **state)
{
	static char long_path[PATH_MAX + 10];
	struct err err = { 0 };

	(void)state;
	assert_int_equal(io_file_write_durably("/nonexistent/f", SV("x"), 0600, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/nonexistent/f"));
	/* The name is that of a folder. */
	assert_int_equal(io_folder_make(path_of("d"), 0700, &err), 0);
	assert_int_equal(io_file_write_durably(path_of("d"), SV("x"), 0600, &err), -EISDIR);
	assert_non_null(strstr(err.text, path_of("d")));
	assert_int_equal(rmdir(path_of("d")), 0);
	assert_int_equal(count_files(), 0);
	assert_int_equal(io_file_write_durably("", SV("x"), 0600, &err), -ENAMETOOLONG);
	memset(long_path, 'x', sizeof(long_path) - 1);
	assert_int_equal(io_file_write_durably(long_path, SV("x"), 0600, &err), -ENAMETOOLONG);
	long_path[PATH_MAX - 2] = '\0';
	assert_int_equal(io_file_write_durably(long_path, SV("x"), 0600, &err), -ENAMETOOLONG);
	assert_int_equal(io_folder_make(long_path, 0700, &err), -ENAMETOOLONG);
	assert_int_equal(io_folder_make("", 0700, &err), -ENAMETOOLONG);
}

static void reading_is_bounded(void **state)
{
	static char big[40000];
	struct buf in = BUF_INIT(sizeof(big)), small = BUF_INIT(10);
	struct err err = { 0 };

	(void)state;
	memset(big, 'b', sizeof(big));
	assert_int_equal(
		io_file_write_durably(path_of("f"), sv_make(big, sizeof(big)), 0600, &err), 0);
	assert_int_equal(io_file_read(path_of("f"), sizeof(big) - 1, &in, &err), RC_LIMIT);
	assert_non_null(strstr(err.text, "is larger than 39999 bytes"));
	assert_int_equal(in.len, 0);
	/* The buffer has a maximum of its own. */
	assert_int_equal(io_file_read(path_of("f"), sizeof(big), &small, &err), RC_LIMIT);
	assert_int_equal(small.len, 0);
	assert_int_equal(io_file_read(path_of("f"), sizeof(big), &in, &err), 0);
	assert_true(sv_eq(buf_sv(&in), sv_make(big, sizeof(big))));
	assert_int_equal(unlink(path_of("f")), 0);
	assert_int_equal(io_file_read(path_of("f"), 10, &in, &err), -ENOENT);
	assert_non_null(strstr(err.text, path_of("f")));
	assert_int_equal(io_file_read(folder, 10, &in, &err), -EISDIR);
	buf_deinit(&in);
	buf_deinit(&small);
}

static void folders_are_made_with_their_parents(void **state)
{
	struct err err = { 0 };

	(void)state;
	assert_int_equal(io_folder_make(path_of("a//b/c/"), 0750, &err), 0);
	assert_int_equal(mode_of(path_of("a")), 0750);
	assert_int_equal(mode_of(path_of("a/b/c")), 0750);
	/* What is there stays as it is. */
	assert_int_equal(io_folder_make(path_of("a/b/c"), 0700, &err), 0);
	assert_int_equal(mode_of(path_of("a/b/c")), 0750);
	assert_int_equal(io_file_write_durably(path_of("a/f"), SV("x"), 0600, &err), 0);
	assert_int_equal(io_folder_make(path_of("a/f"), 0700, &err), -ENOTDIR);
	assert_non_null(strstr(err.text, path_of("a/f")));
	assert_int_equal(io_folder_make(path_of("a/f/g"), 0700, &err), -ENOTDIR);
	assert_int_equal(io_folder_sync(path_of("a"), &err), 0);
	assert_int_equal(io_folder_sync(path_of("a/f"), &err), -ENOTDIR);
	assert_int_equal(io_folder_sync(path_of("none"), &err), -ENOENT);
	assert_int_equal(unlink(path_of("a/f")), 0);
	assert_int_equal(rmdir(path_of("a/b/c")), 0);
	assert_int_equal(rmdir(path_of("a/b")), 0);
	assert_int_equal(rmdir(path_of("a")), 0);
}

/* ---- systemd ---- */

static const char *receive(int fd)
{
	static char text[512];
	ssize_t n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void the_manager_is_told(void **state)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	CLEANUP(io_closep) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)state;
	(void)snprintf(at.sun_path, sizeof(at.sun_path), "%s/n", folder);
	assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
	io_notify_ready();
	assert_string_equal(receive(fd), "");
	assert_int_equal(setenv("NOTIFY_SOCKET", at.sun_path, 1), 0);
	io_notify_ready();
	assert_string_equal(receive(fd), "READY=1");
	io_notify_extend(90 * US_PER_S);
	assert_string_equal(receive(fd), "EXTEND_TIMEOUT_USEC=90000000");
	io_notify_stopping();
	assert_string_equal(receive(fd), "STOPPING=1");
	io_notify_watchdog();
	assert_string_equal(receive(fd), "WATCHDOG=1");
	io_notify_reloading();
	assert_non_null(strstr(receive(fd), "RELOADING=1\nMONOTONIC_USEC="));
	assert_int_equal(unlink(at.sun_path), 0);
	io_notify_ready();
	assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
}

static void the_manager_is_understood(void **state)
{
	char pid[16];

	(void)state;
	(void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
	assert_int_equal(setenv("WATCHDOG_USEC", "30000000", 1), 0);
	assert_int_equal(unsetenv("WATCHDOG_PID"), 0);
	assert_int_equal(io_notify_watchdog_interval_us(), 15000000);
	assert_int_equal(setenv("WATCHDOG_PID", "1", 1), 0);
	assert_int_equal(io_notify_watchdog_interval_us(), 0);
	assert_int_equal(setenv("WATCHDOG_PID", pid, 1), 0);
	assert_int_equal(setenv("WATCHDOG_USEC", "soon", 1), 0);
	assert_int_equal(io_notify_watchdog_interval_us(), 0);
	assert_int_equal(unsetenv("WATCHDOG_USEC"), 0);
	assert_int_equal(io_notify_watchdog_interval_us(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_durable_file_has_its_bytes_and_mode),
		cmocka_unit_test(a_durable_file_that_fails_leaves_nothing),
		cmocka_unit_test(reading_is_bounded),
		cmocka_unit_test(folders_are_made_with_their_parents),
		cmocka_unit_test(the_manager_is_told),
		cmocka_unit_test(the_manager_is_understood),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
