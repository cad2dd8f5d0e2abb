/* SPDX-License-Identifier: Apache-2.0 */
#include "io/file.h"

#include "base/limits.h"
#include "base/text.h"
#include "io/log.h"
#include "io/notify.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cmocka_all.h"

/* ---- files and folders ---- */

static char folder[64];

static const char *path_of(const char *name)
{
	static char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static int make_folder(void **state)
{
	(void)state;
	(void)snprintf(folder, sizeof(folder), "/tmp/postern-test-XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	(void)state;
	return rmdir(folder);
}

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

static void disks_are_measured(void **state)
{
	struct err err = { 0 };
	uint64_t bytes = 7;

	(void)state;
	assert_int_equal(io_disk_free(folder, &bytes, &err), 0);
	assert_true(bytes != 7);
	assert_int_equal(io_disk_free("/nonexistent", &bytes, &err), -ENOENT);
	assert_false(io_disk_is_network("/nonexistent"));
	assert_false(io_disk_is_network("/proc"));
}

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

/* ---- the log ---- */

static int stderr_before = -1, log_pipe[2] = { -1, -1 };
static char logged[LIMIT_LOG_LINE * 4];

/* Until end_log() the log writes into a pipe; nothing else may print meanwhile. */
static void begin_log(enum log_level least, bool json)
{
	log_setup(least, json);
	assert_int_equal(pipe2(log_pipe, O_CLOEXEC), 0);
	stderr_before = dup(STDERR_FILENO);
	assert_true(stderr_before >= 0);
	assert_int_equal(dup2(log_pipe[1], STDERR_FILENO), STDERR_FILENO);
}

static const char *end_log(void)
{
	size_t len = 0;
	ssize_t n;

	assert_int_equal(dup2(stderr_before, STDERR_FILENO), STDERR_FILENO);
	io_closep(&stderr_before);
	io_closep(&log_pipe[1]);
	do {
		n = read(log_pipe[0], logged + len, sizeof(logged) - 1 - len);
		len += n > 0 ? (size_t)n : 0;
	} while (n > 0);
	logged[len] = '\0';
	io_closep(&log_pipe[0]);
	log_setup(LOG_INFO, false);
	return logged;
}

static const char *behind_pid(const char *line)
{
	const char *at = strstr(line, "]: ");

	assert_non_null(at);
	return at + 3;
}

struct field_row {
	struct sv value;
	const char *text;
};

static const struct field_row field_rows[] = {
	{ SV_INIT("plain"), "to=plain" },
	{ SV_INIT("<a@b.c>"), "to=<a@b.c>" },
	{ SV_INIT(""), "to=\"\"" },
	{ SV_INIT("two words"), "to=\"two words\"" },
	{ SV_INIT("a, status=sent"), "to=\"a, status=sent\"" },
	{ SV_INIT("a,b"), "to=\"a,b\"" },
	{ SV_INIT("say \"hi\""), "to=\"say \\x22hi\\x22\"" },
	{ SV_INIT("a\nforged"), "to=a\\x0aforged" },
	{ SV_INIT("\x1b[31m\r\x7f"), "to=\\x1b[31m\\x0d\\x7f" },
	{ SV_INIT("nul\0byte"), "to=nul\\x00byte" },
	{ SV_INIT("j\xc3\xb6rg"), "to=j\xc3\xb6rg" },
	{ SV_INIT("bad\xff"), "to=bad\\xff" },
};

static void fields_cannot_be_misread(void **state)
{
	char expected[256];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(field_rows); i++) {
		const struct log_field fields[] = { LOG_F("to", field_rows[i].value),
			LOG_F("status", SV("sent (250 2.0.0 Ok, \"queued\")\n")) };

		begin_log(LOG_INFO, false);
		log_event(LOG_INFO, "outbound", SV("0000000000A"), "delivery", fields, 2);
		(void)snprintf(expected,
			sizeof(expected),
			"postern/outbound[%d]: 0000000000A: delivery, %s, status=sent (250 2.0.0 "
			"Ok, "
			"\\x22queued\\x22)\\x0a\n",
			(int)getpid(),
			field_rows[i].text);
		assert_string_equal(end_log(), expected);
	}
}

static void levels_are_kept_apart(void **state)
{
	const char *text;

	(void)state;
	begin_log(LOG_WARN, false);
	log_line(LOG_DEBUG, "serve", "one");
	log_line(LOG_INFO, "serve", "two");
	log_line(LOG_WARN, "serve", "three %d", 3);
	text = end_log();
	assert_string_equal(behind_pid(text), "warning: three 3\n");
	begin_log(LOG_DEBUG, false);
	log_line(LOG_DEBUG, "serve", "%s", "four\nfive");
	text = end_log();
	assert_string_equal(behind_pid(text), "four\\x0afive\n");
	begin_log(LOG_INFO, false);
	log_event(LOG_ERROR, "inbound", SV("0000000000B"), "six", NULL, 0);
	text = end_log();
	assert_string_equal(behind_pid(text), "error: 0000000000B: six\n");
}

/* ---- JSON: a checker as small as the grammar (RFC 8259) of one flat object of strings ---- */

static const char *skip_string(const char *p)
{
	if (*p++ != '"')
		return NULL;
	while (*p != '"') {
		if ((unsigned char)*p < 0x20)
			return NULL;
		if (*p++ != '\\')
			continue;
		if (*p == 'u') {
			for (unsigned i = 1; i <= 4; i++) {
				if (!p[i] || !strchr("0123456789abcdefABCDEF", p[i]))
					return NULL;
			}
			p += 5;
		} else if (*p && strchr("\"\\/bfnrt", *p)) {
			p++;
		} else {
			return NULL;
		}
	}
	return p + 1;
}

/* How many members; -1 when it is not one object on one line. */
static int count_members(const char *p)
{
	int count = 0;

	if (*p++ != '{')
		return -1;
	for (;;) {
		p = skip_string(p);
		if (!p || *p++ != ':')
			return -1;
		p = skip_string(p);
		if (!p)
			return -1;
		count++;
		if (*p != ',')
			break;
		p++;
	}
	return strcmp(p, "}\n") == 0 ? count : -1;
}

static void json_lines_are_valid(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(field_rows); i++) {
		const struct log_field fields[] = { LOG_F("to", field_rows[i].value),
			LOG_F("status", SV("sent (\"\\\b\f\n\r\t\x01)")) };

		begin_log(LOG_INFO, true);
		log_event(LOG_WARN, "outbound", SV("0000000000A"), "deli\"very", fields, 2);
		assert_int_equal(count_members(end_log()), 7);
		assert_non_null(strstr(logged, "\"level\":\"warning\",\"part\":\"outbound\""));
		assert_non_null(
			strstr(logged, "\"id\":\"0000000000A\",\"event\":\"deli\\\"very\""));
		assert_true(text_is_utf8(sv_from(logged)));
	}
}

static void long_lines_leave_fields_out_whole(void **state)
{
	static char big[LIMIT_LOG_LINE];
	const struct log_field fields[] = { LOG_F("from", SV("before")),
		LOG_F("to", sv_make(big, sizeof(big))),
		LOG_F("status", SV("behind")) };

	(void)state;
	/* 0x01 becomes four bytes in text and six in JSON: both start well within the limit. */
	memset(big, 1, sizeof(big));
	for (unsigned json = 0; json < 2; json++) {
		begin_log(LOG_INFO, json);
		log_event(LOG_INFO, "outbound", SV(""), "delivery", fields, COUNT_OF(fields));
		(void)end_log();
		assert_true(strlen(logged) < LIMIT_LOG_LINE);
		if (json)
			assert_int_equal(count_members(logged), 7);
		else
			assert_string_equal(
				behind_pid(logged), "delivery, from=before, status=behind\n");
	}
}

static void a_long_event_is_cut_and_the_line_stays_whole(void **state)
{
	static char big[3 * LIMIT_LOG_LINE];
	const struct log_field fields[] = { LOG_F("status", SV("behind")) };
	char *second;

	(void)state;
	for (unsigned json = 0; json < 2; json++) {
		memset(big, json ? 1 : 'x', sizeof(big) - 1);
		begin_log(LOG_INFO, json);
		log_event(LOG_INFO, "serve", SV(""), big, fields, 1);
		log_line(LOG_INFO, "serve", "%s", big);
		(void)end_log();
		second = strchr(logged, '\n');
		assert_non_null(second);
		second++;
		assert_int_equal(second[strlen(second) - 1], '\n');
		if (json)
			assert_int_equal(count_members(second), 5);
		second[0] = '\0';
		if (json)
			assert_int_equal(count_members(logged), 6);
		assert_non_null(strstr(logged, "status"));
	}
}

enum {
	LINES = 50
};

static void *write_lines(void *arg)
{
	const struct log_field fields[] = { LOG_F("who", sv_from(arg)) };

	for (unsigned i = 0; i < LINES; i++)
		log_event(LOG_INFO, "serve", SV(""), "x", fields, 1);
	return NULL;
}

static void lines_of_threads_do_not_mix(void **state)
{
	static char a[] = "aaaaaaaaaaaaaaaaaaaaaaaa", b[] = "bbbbbbbbbbbbbbbbbbbbbbbb";
	char expected[2][128];
	pthread_t threads[2];
	struct sv rest, line;
	unsigned count = 0;

	(void)state;
	begin_log(LOG_INFO, false);
	assert_int_equal(pthread_create(&threads[0], NULL, write_lines, a), 0);
	assert_int_equal(pthread_create(&threads[1], NULL, write_lines, b), 0);
	assert_int_equal(pthread_join(threads[0], NULL), 0);
	assert_int_equal(pthread_join(threads[1], NULL), 0);
	rest = sv_from(end_log());
	(void)snprintf(
		expected[0], sizeof(expected[0]), "postern/serve[%d]: x, who=%s", (int)getpid(), a);
	(void)snprintf(
		expected[1], sizeof(expected[1]), "postern/serve[%d]: x, who=%s", (int)getpid(), b);
	while (sv_cut_char(&rest, '\n', &line)) {
		assert_true(sv_eq(line, sv_from(expected[0])) || sv_eq(line, sv_from(expected[1])));
		count++;
	}
	assert_int_equal(count, 2 * LINES);
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
		cmocka_unit_test(disks_are_measured),
		cmocka_unit_test(closing_keeps_errno_and_forgets),
		cmocka_unit_test(fields_cannot_be_misread),
		cmocka_unit_test(levels_are_kept_apart),
		cmocka_unit_test(json_lines_are_valid),
		cmocka_unit_test(long_lines_leave_fields_out_whole),
		cmocka_unit_test(a_long_event_is_cut_and_the_line_stays_whole),
		cmocka_unit_test(lines_of_threads_do_not_mix),
		cmocka_unit_test(the_manager_is_told),
		cmocka_unit_test(the_manager_is_understood),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
