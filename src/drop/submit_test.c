/* SPDX-License-Identifier: Apache-2.0 */
#include "drop/submit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/must.h"

#include "cmocka_all.h"

enum {
	PATH_BYTES = 200,
	SCRIPT_MAX = 16,
	WIRE_MAX = 8 << 20
};

static const struct sv recipients[] = { SV_INIT("a@x.y"), SV_INIT("b@x.y") };

static const struct drop_envelope plain = {
	.sender = SV_INIT("root"),
	.recipients = recipients,
	.recipient_count = 2,
};

static void make_message(struct drop_message *m, struct drop_envelope *e, struct sv in)
{
	struct header_edits none = { 0 };

	drop_message_init(m, true);
	assert_int_equal(drop_message_feed(m, in, NULL), 0);
	assert_int_equal(drop_message_end(m, NULL), 0);
	assert_int_equal(drop_message_render(m, &none, NULL), 0);
	e->size = drop_message_size(m);
}

static int make_folder(void **state)
{
	char *folder = xmalloc(PATH_BYTES);

	(void)snprintf(folder, PATH_BYTES, "/tmp/postern-drop-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	*state = folder;
	return 0;
}

static int remove_folder(void **state)
{
	char *folder = *state;
	int rc = rmdir(folder);

	free(folder);
	return rc;
}

/* ---- the maildrop ---- */

static size_t only_file(const char *folder, char out_path[PATH_BYTES])
{
	DIR *dir = opendir(folder);
	size_t count = 0;

	assert_non_null(dir);
	for (;;) {
		const struct dirent *e =
			readdir(dir); /* NOLINT(concurrency-mt-unsafe): its own DIR */

		if (!e)
			break;
		if (e->d_name[0] == '.')
			continue;
		(void)snprintf(out_path, PATH_BYTES, "%s/%.100s", folder, e->d_name);
		count++;
	}
	(void)closedir(dir);
	return count;
}

static void read_all(const char *path, struct buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 1;

	assert_true(fd >= 0);
	while (n > 0) {
		assert_int_equal(buf_reserve(out, 65536), 0);
		n = read(fd, buf_tail(out), 65536);
		assert_true(n >= 0);
		buf_grew(out, (size_t)n);
	}
	(void)close(fd);
}

static void what_is_dropped_can_be_read_back(void **state)
{
	struct drop_envelope e = plain, got;
	struct drop_message m;
	struct buf file = BUF_INIT(1 << 20);
	struct arena arena = { 0 };
	struct stat st;
	char path[PATH_BYTES];
	size_t used;
	const struct sv text = SV("A: 1\r\n\r\n.\r\nx\r\n");

	e.envid = SV("x y");
	e.ret = DSN_RET_FULL;
	e.notify = DSN_NOTIFY_NEVER;
	e.body_8bit = true;
	make_message(&m, &e, text);
	(void)umask(077);
	assert_int_equal(drop_submit_maildrop(*state, &e, &m, NULL), 0);
	assert_int_equal(only_file(*state, path), 1);
	assert_true(sv_ends_nocase(sv_from(path), SV(DROP_SUFFIX)));
	assert_null(strstr(path, "/" DROP_TMP_PREFIX));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	read_all(path, &file);
	assert_int_equal(drop_envelope_parse(&arena, buf_sv(&file), &got, &used, NULL), 1);
	assert_true(sv_eq(got.sender, e.sender));
	assert_true(sv_eq(got.envid, e.envid));
	assert_int_equal(got.ret, e.ret);
	assert_int_equal(got.notify, e.notify);
	assert_true(got.body_8bit);
	assert_int_equal(got.recipient_count, 2);
	assert_true(sv_eq(got.recipients[1], recipients[1]));
	assert_int_equal(got.size, text.len);
	assert_int_equal(drop_file_size(&got, used), file.len);
	assert_true(sv_eq(sv_head(sv_skip(buf_sv(&file), used), text.len), text));
	assert_true(sv_eq(sv_skip(buf_sv(&file), used + text.len), DROP_END));
	assert_int_equal(unlink(path), 0);
	drop_message_deinit(&m);
	arena_reset(&arena);
	buf_deinit(&file);
}

static void a_folder_that_is_none_is_named(void **state)
{
	struct drop_envelope e = plain;
	struct drop_message m;
	struct err err;
	char path[PATH_BYTES];

	make_message(&m, &e, SV("A: 1\r\n"));
	(void)snprintf(path, sizeof(path), "%.100s/none", (const char *)*state);
	assert_int_equal(drop_submit_maildrop(path, &e, &m, &err), -ENOENT);
	assert_non_null(strstr(err.text, path));
	/* A link to a folder could lead anywhere. */
	assert_int_equal(symlink("/tmp", path), 0);
	assert_true(drop_submit_maildrop(path, &e, &m, &err) < 0);
	assert_int_equal(unlink(path), 0);
	drop_message_deinit(&m);
}

static void a_failed_write_leaves_nothing(void **state)
{
	struct drop_envelope e = plain;
	struct drop_message m;
	struct err err;
	char path[PATH_BYTES];

	make_message(&m, &e, SV("A: 1\r\n"));
	/* Reading the body back fails: its file is gone and its length says there is one. */
	m.fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	m.body_bytes = 10;
	assert_int_equal(drop_submit_maildrop(*state, &e, &m, &err), -EIO);
	assert_int_equal(only_file(*state, path), 0);
	drop_message_deinit(&m);
}

/* ---- the socket ---- */

/* A daemon that answers each line with the next words of a script, and the dot too. */
struct daemon {
	const char *const *script; /* replies without CRLF; NULL: close */
	int listener;
	struct buf wire; /* what it got */
	pthread_t thread;
};

static bool say(int fd, const char *words)
{
	char line[400];
	int n;

	if (!words)
		return false;
	n = snprintf(line, sizeof(line), "%s\r\n", words);
	return send(fd, line, (size_t)n, MSG_NOSIGNAL) == n;
}

static void talk(struct daemon *d, int fd)
{
	size_t next = 0, seen = 0;
	bool in_data = false;

	if (!say(fd, d->script[next++]))
		return;
	for (;;) {
		struct sv rest = sv_skip(buf_sv(&d->wire), seen);
		ptrdiff_t end =
			in_data ? sv_find(rest, SV("\r\n.\r\n")) : sv_find(rest, SV("\r\n"));
		ssize_t n;

		if (end >= 0) {
			seen += (size_t)end + (in_data ? 5 : 2);
			in_data = d->script[next] && strncmp(d->script[next], "354", 3) == 0;
			if (!say(fd, d->script[next]))
				return;
			next++;
			continue;
		}
		if (buf_reserve(&d->wire, 4096) != 0)
			return;
		n = recv(fd, buf_tail(&d->wire), 4096, 0);
		if (n <= 0)
			return;
		buf_grew(&d->wire, (size_t)n);
	}
}

static void *serve(void *arg)
{
	struct daemon *d = arg;
	int fd = accept(d->listener, NULL, NULL);

	if (fd >= 0) {
		talk(d, fd);
		(void)close(fd);
	}
	return NULL;
}

struct trial {
	struct drop_answer answer;
	struct buf wire; /* what the daemon got */
	struct err err;
};

static void trial_deinit(struct trial *t)
{
	drop_answer_deinit(&t->answer);
	buf_deinit(&t->wire);
}

static void submit_to(const char *folder, const char *const *script, const struct drop_envelope *e,
	const struct drop_message *m, struct trial *t)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	struct daemon d = { .script = script };

	buf_init(&d.wire, WIRE_MAX);
	(void)snprintf(at.sun_path, sizeof(at.sun_path), "%s/s", folder);
	d.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(d.listener, (const struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(d.listener, 1), 0);
	assert_int_equal(pthread_create(&d.thread, NULL, serve, &d), 0);
	t->err = (struct err){ 0 };
	drop_submit_socket(at.sun_path, e, m, &t->answer, &t->err);
	assert_int_equal(pthread_join(d.thread, NULL), 0);
	(void)close(d.listener);
	assert_int_equal(unlink(at.sun_path), 0);
	t->wire = d.wire;
}

#define EHLO "250-h\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250-DSN\r\n250 SMTPUTF8"

static void a_message_goes_over_the_socket(void **state)
{
	const char *const script[] = { "220 h",
		EHLO,
		"250 ok",
		"250 ok",
		"251 ok",
		"354 go",
		"250 2.0.0 Ok: queued as X",
		"221 bye",
		NULL };
	struct drop_envelope e = plain;
	struct drop_message m;
	struct trial t;

	e.envid = SV("x=y");
	e.ret = DSN_RET_HDRS;
	e.notify = DSN_NOTIFY_SUCCESS;
	e.body_8bit = true;
	make_message(&m, &e, SV("A: 1\r\n\r\n.\r\n..x\r\ny.\r\n"));
	submit_to(*state, script, &e, &m, &t);
	assert_int_equal(t.answer.outcome, DROP_DONE);
	assert_true(sv_eq(buf_sv(&t.answer.reply), SV("2.0.0 Ok: queued as X")));
	assert_true(sv_eq(buf_sv(&t.wire),
		SV("EHLO localhost\r\n"
		   "MAIL FROM:<root> SIZE=20 BODY=8BITMIME RET=HDRS ENVID=x+3Dy\r\n"
		   "RCPT TO:<a@x.y> NOTIFY=success\r\nRCPT TO:<b@x.y> NOTIFY=success\r\nDATA\r\n"
		   "A: 1\r\n\r\n..\r\n...x\r\ny.\r\n.\r\nQUIT\r\n")));
	trial_deinit(&t);
	drop_message_deinit(&m);
}

static void a_large_message_goes_over_the_socket(void **state)
{
	const char *const script[] = {
		"220 h", "250 h", "250 ok", "250 ok", "250 ok", "354 go", "250 ok", "221 bye", NULL
	};
	struct drop_envelope e = plain;
	struct drop_message m;
	struct trial t;
	struct buf in = BUF_INIT(WIRE_MAX);
	ptrdiff_t at;

	assert_int_equal(buf_append(&in, SV("A: 1\r\n\r\n")), 0);
	for (int i = 0; i < 200000; i++)
		assert_int_equal(buf_append_char(&in, 'x'), 0);
	assert_int_equal(buf_append(&in, SV("\r\n")), 0);
	for (int i = 0; i < 300000; i++)
		assert_int_equal(buf_append(&in, SV("line.\r\n")), 0);
	make_message(&m, &e, buf_sv(&in));
	assert_true(m.fd >= 0);
	submit_to(*state, script, &e, &m, &t);
	assert_int_equal(t.answer.outcome, DROP_DONE);
	at = sv_find(buf_sv(&t.wire), SV("DATA\r\n"));
	assert_true(at > 0);
	assert_true(sv_starts(sv_skip(buf_sv(&t.wire), (size_t)at + 6), buf_sv(&in)));
	assert_int_equal(t.wire.len, (size_t)at + 6 + in.len + 3 + 6);
	trial_deinit(&t);
	drop_message_deinit(&m);
	buf_deinit(&in);
}

struct answer_row {
	const char *name;
	const char *script[SCRIPT_MAX];
	enum drop_outcome outcome;
	int exit_code;
	const char *recipient;
	const char *why;   /* part of the reply when refused, of err when elsewhere */
	const char *never; /* must not have been sent */
};

static const struct answer_row answer_rows[] = {
	{ "closes at once", { NULL }, DROP_ELSEWHERE, EX_TEMPFAIL, "", "", "EHLO" },
	{ "no SMTP", { "hello" }, DROP_ELSEWHERE, EX_TEMPFAIL, "", "SMTP", "EHLO" },
	{ "421 greeting",
		{ "421 4.3.2 full", "221 b" },
		DROP_ELSEWHERE,
		EX_TEMPFAIL,
		"",
		"full",
		"EHLO" },
	{ "4xx to EHLO",
		{ "220 h", "451 4.3.0 no", "221 b" },
		DROP_ELSEWHERE,
		EX_TEMPFAIL,
		"",
		"451",
		"MAIL" },
	{ "452 to MAIL",
		{ "220 h", EHLO, "452 4.3.1 disk", "221 b" },
		DROP_ELSEWHERE,
		EX_TEMPFAIL,
		"",
		"disk",
		"RCPT" },
	{ "5xx to MAIL",
		{ "220 h", EHLO, "550 5.7.1 not you", "221 b" },
		DROP_REFUSED,
		EX_NOPERM,
		"",
		"not you",
		"RCPT" },
	{ "552 to MAIL",
		{ "220 h", EHLO, "552 5.3.4 big", "221 b" },
		DROP_REFUSED,
		EX_UNAVAILABLE,
		"",
		"big",
		"RCPT" },
	{ "5xx to every RCPT",
		{ "220 h", EHLO, "250 ok", "550 5.1.1 who", "550 5.1.1 who else", "221 b" },
		DROP_REFUSED,
		EX_NOUSER,
		"b@x.y",
		"who else",
		"DATA" },
	{ "5xx to the first RCPT",
		{ "220 h", EHLO, "250 ok", "550 5.1.1 who", "250 ok", "354 go", "250 ok", "221 b" },
		DROP_DONE,
		EX_OK,
		"",
		"",
		"RSET" },
	{ "5xx to the last RCPT",
		{ "220 h",
			EHLO,
			"250 ok",
			"250 ok",
			"553-5.1.3 x\r\n553 5.1.3 y",
			"354 go",
			"250 ok",
			"221 b" },
		DROP_DONE,
		EX_OK,
		"",
		"",
		"RSET" },
	{ "4xx to one RCPT",
		{ "220 h", EHLO, "250 ok", "452 4.5.3 many", "250 ok", "221 b" },
		DROP_ELSEWHERE,
		EX_TEMPFAIL,
		"",
		"many",
		"DATA" },
	{ "4xx and 5xx to RCPT",
		{ "220 h", EHLO, "250 ok", "452 4.5.3 many", "550 5.1.1 who", "221 b" },
		DROP_ELSEWHERE,
		EX_NOUSER,
		"b@x.y",
		"many",
		"DATA" },
	{ "421 to RCPT",
		{ "220 h", EHLO, "250 ok", "421 4.3.2 stop", NULL },
		DROP_ELSEWHERE,
		EX_TEMPFAIL,
		"",
		"stop",
		"b@x.y" },
	{ "4xx to DATA",
		{ "220 h", EHLO, "250 ok", "250 ok", "250 ok", "451 4.3.0 no", "221 b" },
		DROP_ELSEWHERE,
		EX_TEMPFAIL,
		"",
		"451",
		"A: 1" },
	{ "4xx to the dot",
		{ "220 h",
			EHLO,
			"250 ok",
			"250 ok",
			"250 ok",
			"354 go",
			"452 4.3.1 disk",
			"221 b" },
		DROP_ELSEWHERE,
		EX_TEMPFAIL,
		"",
		"disk",
		"RSET" },
	{ "5xx to the dot",
		{ "220 h", EHLO, "250 ok", "250 ok", "250 ok", "354 go", "550 5.6.0 bad", "221 b" },
		DROP_REFUSED,
		EX_DATAERR,
		"",
		"bad",
		"RSET" },
	{ "no reply to the dot",
		{ "220 h", EHLO, "250 ok", "250 ok", "250 ok", "354 go", NULL },
		DROP_ELSEWHERE,
		EX_TEMPFAIL,
		"",
		"",
		"QUIT" },
};

static void every_answer_has_its_way_on(void **state)
{
	for (size_t i = 0; i < COUNT_OF(answer_rows); i++) {
		const struct answer_row *row = &answer_rows[i];
		struct drop_envelope e = plain;
		struct drop_message m;
		struct trial t;
		struct sv text;

		make_message(&m, &e, SV("A: 1\r\n\r\nx\r\n"));
		submit_to(*state, row->script, &e, &m, &t);
		t.answer.reply.max += 1;
		assert_int_equal(buf_append(&t.answer.reply, SV("\0")), 0);
		text = row->outcome == DROP_REFUSED ? buf_sv(&t.answer.reply) : sv_from(t.err.text);
		if (t.answer.outcome != row->outcome || t.answer.exit_code != row->exit_code ||
			!sv_eq(t.answer.recipient, sv_from(row->recipient)) ||
			sv_find(text, sv_from(row->why)) < 0 ||
			(t.answer.outcome == DROP_ELSEWHERE && !t.err.text[0]) ||
			sv_find(buf_sv(&t.wire), sv_from(row->never)) >= 0)
			fail_msg("%s: outcome %d, exit %d, '%.*s', sent: %.*s",
				row->name,
				t.answer.outcome,
				t.answer.exit_code,
				SV_ARG(text),
				SV_ARG(buf_sv(&t.wire)));
		trial_deinit(&t);
		drop_message_deinit(&m);
	}
}

static void nobody_there_means_elsewhere(void **state)
{
	struct drop_envelope e = plain;
	struct drop_message m;
	struct drop_answer a;
	struct err err = { 0 };
	char path[PATH_BYTES];

	(void)snprintf(path, sizeof(path), "%.100s/none", (const char *)*state);
	make_message(&m, &e, SV("A: 1\r\n"));
	drop_submit_socket(path, &e, &m, &a, &err);
	assert_int_equal(a.outcome, DROP_ELSEWHERE);
	assert_int_equal(err.code, -ENOENT);
	drop_answer_deinit(&a);
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	drop_submit_socket(path, &e, &m, &a, &err);
	assert_int_equal(a.outcome, DROP_ELSEWHERE);
	drop_answer_deinit(&a);
	drop_message_deinit(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			what_is_dropped_can_be_read_back, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(
			a_folder_that_is_none_is_named, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(
			a_failed_write_leaves_nothing, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(
			a_message_goes_over_the_socket, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(
			a_large_message_goes_over_the_socket, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(
			every_answer_has_its_way_on, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(
			nobody_there_means_elsewhere, make_folder, remove_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
