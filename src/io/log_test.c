/* SPDX-License-Identifier: Apache-2.0 */
#include "io/log.h"

#include "base/limits.h"
#include "base/must.h"
#include "base/text.h"
#include "io/file.h"
#include "io/loop.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cmocka_all.h"

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
			LOG_F("empty", SV("")),
			LOG_F("status", SV("sent")),
			LOG_R("reply", SV("250 2.0.0 Ok, \"queued\"\n")) };

		begin_log(LOG_INFO, false);
		log_event(LOG_INFO, "outbound", SV("0000000000A"), "delivery", fields, 4);
		(void)snprintf(expected,
			sizeof(expected),
			"postern/outbound[%d]: 0000000000A: delivery, %s, status=sent (250 2.0.0 "
			"Ok, "
			"\\x22queued\\x22\\x0a)\n",
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

/* ---- JSON: a checker as small as the grammar (RFC 8259) of one flat object of strings and numbers ---- */

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
		p = *p >= '0' && *p <= '9' ? p + strspn(p, "0123456789.") : skip_string(p);
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
			LOG_R("reply", SV("sent (\"\\\b\f\n\r\t\x01)")),
			LOG_N("size", SV("1234")) };

		begin_log(LOG_INFO, true);
		log_event(LOG_WARN, "outbound", SV("0000000000A"), "deli\"very", fields, 3);
		assert_int_equal(count_members(end_log()), 8);
		assert_non_null(strstr(logged, ",\"size\":1234}"));
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

/* ---- Postfix's words ---- */

static void an_attempt_reads_as_postfix_writes_it(void **state)
{
	const struct log_field fields[] = { LOG_A("to", SV("anna@example.org")),
		LOG_F("relay", SV("mail.example.org[192.0.2.1]:25")),
		LOG_N("delay", SV("0.42")),
		LOG_F("dsn", SV("2.0.0")),
		LOG_F("status", SV("sent")),
		LOG_R("reply", SV("250 2.0.0 OK")),
		LOG_F("cause", SV("")),
		LOG_F("lane", SV("smtp/x")) };

	(void)state;
	begin_log(LOG_INFO, false);
	log_record(
		LOG_INFO, "smtp", SV("0000000000A"), "attempt", SV(""), fields, COUNT_OF(fields));
	assert_string_equal(behind_pid(end_log()),
		"0000000000A: to=<anna@example.org>, relay=mail.example.org[192.0.2.1]:25, "
		"delay=0.42, dsn=2.0.0, status=sent (250 2.0.0 OK), lane=smtp/x\n");
	begin_log(LOG_INFO, true);
	log_record(LOG_INFO, "smtp", SV("0000000000A"), "attempt", SV("words"), fields, 3);
	assert_non_null(strstr(end_log(),
		"\"event\":\"attempt\",\"to\":\"anna@example.org\",\"relay\":"
		"\"mail.example.org[192.0.2.1]:25\",\"delay\":0.42}\n"));
	begin_log(LOG_INFO, false);
	log_record(LOG_WARN, "smtpd", SV(""), "refused", SV("other\nwords"), fields, 3);
	assert_string_equal(behind_pid(end_log()), "warning: other\\x0awords\n");
}

static void an_address_does_not_go_on_as_a_status(void **state)
{
	const struct log_field fields[] = { LOG_A("to", SV("\"a>, relay=x\"@b.example")),
		LOG_A("from", SV("")) };

	(void)state;
	begin_log(LOG_INFO, false);
	log_record(LOG_INFO, "smtp", SV(""), "attempt", SV(""), fields, 2);
	assert_string_equal(
		behind_pid(end_log()), "to=<\\x22a\\x3e, relay=x\\x22@b.example>, from=<>\n");
}

/* ---- places ---- */

static void lines_in_a_file_have_a_time_and_a_host(void **state)
{
	char path[] = "/tmp/postern-test-XXXXXX", text[512] = "", host[65] = "", expected[128];
	CLEANUP(io_closep) int fd = mkostemp(path, O_CLOEXEC);
	int before = dup(STDERR_FILENO);
	ssize_t n;

	(void)state;
	assert_true(fd >= 0 && before >= 0);
	assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
	log_open("/nonexistent");
	log_line(LOG_INFO, "serve", "one");
	assert_int_equal(dup2(before, STDERR_FILENO), STDERR_FILENO);
	io_closep(&before);
	log_open("/nonexistent");
	n = pread(fd, text, sizeof(text) - 1, 0);
	assert_true(n > 40);
	/* 2026-11-30T03:35:00.123456+01:00 */
	assert_int_equal(strspn(text, "0123456789-T:.+"), 32);
	assert_int_equal(text[10], 'T');
	assert_int_equal(text[19], '.');
	assert_int_equal(text[29], ':');
	assert_int_equal(gethostname(host, sizeof(host) - 1), 0);
	host[strcspn(host, ".")] = '\0';
	(void)snprintf(
		expected, sizeof(expected), " %s postern/serve[%d]: one\n", host, (int)getpid());
	assert_string_equal(text + 32, expected);
	assert_int_equal(unlink(path), 0);
}

static void the_journal_gets_fields(void **state)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	CLEANUP(io_closep) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char name[64], got[512] = "";
	struct stat st;
	ssize_t n;

	(void)state;
	(void)snprintf(at.sun_path, sizeof(at.sun_path), "/tmp/postern-test-journal-%d", getpid());
	assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof(at)), 0);
	begin_log(LOG_INFO, false);
	/* A stream that is not the one systemd gave: an editor's pipe, say. */
	assert_int_equal(setenv("JOURNAL_STREAM", "1:1", 1), 0);
	log_open(at.sun_path);
	log_line(LOG_ERROR, "serve", "to the pipe");
	assert_int_equal(fstat(STDERR_FILENO, &st), 0);
	(void)snprintf(name,
		sizeof(name),
		"%llu:%llu",
		(unsigned long long)st.st_dev,
		(unsigned long long)st.st_ino);
	assert_int_equal(setenv("JOURNAL_STREAM", name, 1), 0);
	log_open(at.sun_path);
	log_event(LOG_ERROR, "smtp", SV("0000000000A"), "to the\njournal", NULL, 0);
	n = recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT);
	assert_true(n > 0);
	assert_string_equal(got,
		"PRIORITY=3\nSYSLOG_FACILITY=2\nSYSLOG_IDENTIFIER=postern/smtp\n"
		"POSTERN_ID=0000000000A\nMESSAGE=error: 0000000000A: to the\\x0ajournal\n");
	assert_true(recv(fd, got, sizeof(got), MSG_DONTWAIT) < 0);
	/* A journal that is gone: standard error has it. */
	io_closep(&fd);
	assert_int_equal(unlink(at.sun_path), 0);
	log_line(LOG_INFO, "serve", "after it");
	assert_int_equal(unsetenv("JOURNAL_STREAM"), 0);
	log_open("/nonexistent");
	(void)end_log();
	assert_string_equal(behind_pid(logged), "error: to the pipe\nafter it\n");
}

/* ---- a reader that stalls ---- */

enum {
	STALL_LINES = 40000, /* of 64 bytes and more: twice what may wait */
	STALL_TEXT_MAX = 16 << 20,
	STALL_POLL_US = 2000,
	STALL_POLLS_MAX = 30000,
};

struct slow_reader {
	char *text;
	_Atomic size_t len;
};

static void *read_all(void *arg)
{
	struct slow_reader *r = arg;
	ssize_t n;

	while ((n = read(log_pipe[0], r->text + r->len, STALL_TEXT_MAX - 1 - r->len)) > 0)
		r->len += (size_t)n;
	return NULL;
}

/* The lines that arrived, and those that a line says are lost. */
static void count_lines(
	struct sv rest, unsigned *out_here, unsigned *out_lost, unsigned *out_notices)
{
	struct sv line;

	*out_here = *out_lost = *out_notices = 0;
	while (sv_cut_char(&rest, '\n', &line)) {
		ssize_t at = sv_find(line, SV("]: warning: "));
		uint32_t lost = 0;
		struct sv number;

		if (at < 0) {
			++*out_here;
			continue;
		}
		line = sv_skip(line, (size_t)at + strlen("]: warning: "));
		assert_true(sv_cut_char(&line, ' ', &number));
		assert_int_equal(sv_parse_u32(number, STALL_LINES, &lost), 0);
		assert_true(sv_eq(line, SV("lines lost: the reader of the log does not keep up")));
		*out_lost += lost;
		++*out_notices;
	}
}

static void a_reader_that_stalls_costs_lines_only(void **state)
{
	struct slow_reader r = { .text = xcalloc(1, STALL_TEXT_MAX) };
	unsigned here, lost, notices, polls = 0;
	pthread_t reader;

	(void)state;
	begin_log(LOG_INFO, false);
	log_start();
	/* Nobody reads: this would not come back. */
	for (unsigned i = 0; i < STALL_LINES; i++)
		log_line(LOG_INFO, "serve", "%064u", i);
	assert_true(log_lost() > 0);
	lost = (unsigned)log_lost();
	assert_int_equal(pthread_create(&reader, NULL, read_all, &r), 0);
	/* What waited comes out, and then the count, without a further line that would bring it. */
	while (!strstr(r.text, "lines lost") && polls++ < STALL_POLLS_MAX)
		(void)usleep(STALL_POLL_US);
	assert_int_equal(log_lost(), lost);
	log_stop();
	(void)dup2(stderr_before, STDERR_FILENO);
	io_closep(&stderr_before);
	io_closep(&log_pipe[1]);
	assert_int_equal(pthread_join(reader, NULL), 0);
	io_closep(&log_pipe[0]);
	count_lines(sv_make(r.text, r.len), &here, &lost, &notices);
	assert_int_equal(notices, 1);
	assert_int_equal(lost, log_lost());
	assert_int_equal(here + lost, STALL_LINES);
	free(r.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_cannot_be_misread),
		cmocka_unit_test(levels_are_kept_apart),
		cmocka_unit_test(json_lines_are_valid),
		cmocka_unit_test(long_lines_leave_fields_out_whole),
		cmocka_unit_test(a_long_event_is_cut_and_the_line_stays_whole),
		cmocka_unit_test(lines_of_threads_do_not_mix),
		cmocka_unit_test(an_attempt_reads_as_postfix_writes_it),
		cmocka_unit_test(an_address_does_not_go_on_as_a_status),
		cmocka_unit_test(lines_in_a_file_have_a_time_and_a_host),
		cmocka_unit_test(the_journal_gets_fields),
		cmocka_unit_test(a_reader_that_stalls_costs_lines_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
