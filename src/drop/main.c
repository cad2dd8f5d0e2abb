/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/must.h"
#include "base/text.h"
#include "drop/compose.h"
#include "drop/options.h"
#include "drop/submit.h"

/*
 * postern-drop: what programs call as sendmail, mailq and newaliases. It hands the message to the
 * daemon's socket; when the daemon is not there, or cannot take it now, it leaves it in the maildrop.
 *
 * It may be setgid to the group that writes the maildrop, and trusts its caller with nothing then:
 * the right is laid down first thing, taken up only to write there, and no variable is read.
 */
#ifndef POSTERN_BIN_PATH
#define POSTERN_BIN_PATH "/usr/sbin/postern"
#endif

enum {
	BAD_SHOWN_MAX = 65536, /* recipients that are no addresses; more are not named */
};

static void say(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* What callers and peers gave us is in these texts: it must not steer the terminal or forge a log. */
static void say(const char *fmt, ...)
{
	char text[2048];
	struct buf quoted = BUF_INIT(sizeof(text) * 4);
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (text_log_quote(&quoted, sv_from(text)) == 0)
		(void)fprintf(stderr, "sendmail: %.*s\n", SV_ARG(buf_sv(&quoted)));
	buf_deinit(&quoted);
}

/* ---- where we run ---- */

/*
 * A file opened as descriptor 2 would get our error messages. Nothing can be read from the one that
 * stands in for a closed standard input: no message is not an empty message.
 */
static bool have_standard_fds(void)
{
	for (int fd = 0; fd <= 2; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_WRONLY) != fd)
			return false;
	}
	return true;
}

static void close_stray_fds(void)
{
	long fd_max;

	if (syscall(SYS_close_range, 3U, UINT_MAX, 0U) == 0)
		return;
	fd_max = sysconf(_SC_OPEN_MAX);
	for (int fd = 3; fd < (fd_max > 0 && fd_max < 65536 ? (int)fd_max : 65536); fd++)
		(void)close(fd);
}

/* Uses the group we were installed with, or the caller's. The saved id keeps the way back. */
static bool use_group(gid_t group)
{
	return setresgid((gid_t)-1, group, (gid_t)-1) == 0;
}

static bool set_up(gid_t *out_granted)
{
	gid_t granted = getegid();
	uid_t user = getuid();

	(void)umask(077);
	if (!have_standard_fds())
		return false;
	close_stray_fds();
	(void)signal(SIGPIPE, SIG_IGN);
	/* A small RLIMIT_FSIZE is a failed write with a message, not a death in the middle. */
	(void)signal(SIGXFSZ, SIG_IGN);
	/* Never meant to be setuid: whose mail it is comes from the user id. */
	if (geteuid() != user && setresuid(user, user, user) != 0)
		return false;
	if (!use_group(getgid()))
		return false;
	*out_granted = granted;
	return true;
}

static const char *path_of(const char *variable, const char *otherwise)
{
	const char *value = secure_getenv(variable);

	return value && value[0] ? value : otherwise;
}

/*
 * Whoever sets one of these means another relay than the machine's own. With borrowed rights no variable
 * is followed; to go on would send a test's mail to everybody whom it names.
 */
static bool is_misled(void)
{
	static const char *const variables[] = { "POSTERN_SUBMIT_SOCKET", "POSTERN_MAILDROP" };

	for (size_t i = 0; i < COUNT_OF(variables); i++) {
		const char *value = getenv(variables[i]);

		if (!value || !value[0] || secure_getenv(variables[i]))
			continue;
		say("not sent: %s is set, but this sendmail is setgid and follows no variable. "
		    "Unset it, "
		    "or run a copy of the program",
			variables[i]);
		return true;
	}
	return false;
}

static void find_user(struct arena *arena, struct drop_user *out_user)
{
	const struct passwd *pw =
		getpwuid(getuid()); /* NOLINT(concurrency-mt-unsafe): one thread */
	char number[32];

	if (pw && pw->pw_name && pw->pw_name[0]) {
		out_user->login = arena_sv(arena, sv_from(pw->pw_name));
		out_user->gecos = arena_sv(arena, sv_from(pw->pw_gecos));
		return;
	}
	/* Containers run as numbers nobody has a name for. */
	(void)snprintf(number, sizeof(number), "uid%lu", (unsigned long)getuid());
	out_user->login = arena_sv(arena, sv_from(number));
	out_user->gecos = sv_make(NULL, 0);
}

/* ---- mailq ---- */

static int run_mailq(void)
{
	const char *path = path_of("POSTERN_BIN", POSTERN_BIN_PATH);
	char name[] = "postern", command[] = "mailq";
	char *const args[] = { name, command, NULL };
	gid_t group = getgid();

	if (setresgid(group, group, group) != 0) {
		say("cannot lay down the group: %s", rc_text(-errno));
		return EX_OSERR;
	}
	(void)signal(SIGPIPE, SIG_DFL);
	(void)signal(SIGXFSZ, SIG_DFL);
	(void)execv(path, args);
	say("mailq runs %s mailq: %s", path, rc_text(-errno));
	return EX_UNAVAILABLE;
}

/* ---- submitting ---- */

static int exit_code_of_maildrop(int rc)
{
	switch (-rc) {
	case EACCES:
	case EPERM:
		return EX_NOPERM;
	case ENOENT:
	case ENOTDIR:
	case ELOOP:
		return EX_CANTCREAT;
	default:
		return EX_TEMPFAIL;
	}
}

/* Whom it does not reach, a line each. */
static void say_each(const char *what, const struct buf *lines)
{
	struct sv rest = buf_sv(lines), line;

	while (rest.len) {
		(void)sv_cut_char(&rest, '\n', &line);
		say("%s %.*s", what, SV_ARG(line));
	}
}

static int refused(const struct drop_answer *answer)
{
	if (answer->recipient.len)
		say("all recipients were refused; nothing was sent");
	else
		say("the message was refused: %.*s", SV_ARG(sv_head(buf_sv(&answer->reply), 1024)));
	return answer->exit_code;
}

static int leave_in_maildrop(const struct drop_options *options, gid_t granted,
	const struct drop_envelope *envelope, const struct drop_message *message,
	const struct err *why)
{
	const char *folder = path_of("POSTERN_MAILDROP", DROP_MAILDROP_PATH);
	struct err err = { 0 };
	int rc;

	if (!use_group(granted)) {
		say("cannot take up the group: %s", rc_text(-errno));
		return EX_OSERR;
	}
	rc = drop_submit_maildrop(folder, envelope, message, &err);
	if (!use_group(getgid()))
		return EX_OSERR;
	if (rc != 0) {
		say("not sent. The daemon: %s. The %s", why->text, err.text);
		return exit_code_of_maildrop(rc);
	}
	if (options->verbose)
		(void)printf("left in %s (%s)\n", folder, why->text);
	return EX_OK;
}

static int submit(const struct drop_options *options, gid_t granted,
	const struct drop_envelope *envelope, const struct drop_message *message)
{
	struct drop_answer answer;
	struct err err = { 0 };
	int code = EX_OK;

	drop_submit_socket(path_of("POSTERN_SUBMIT_SOCKET", DROP_SOCKET_PATH),
		envelope,
		message,
		&answer,
		&err);
	say_each("refused:", &answer.refused);
	if (answer.outcome == DROP_REFUSED)
		code = refused(&answer);
	else if (answer.outcome == DROP_ELSEWHERE)
		code = leave_in_maildrop(options, granted, envelope, message, &err);
	else if (options->verbose)
		(void)printf("%.*s\n", SV_ARG(buf_sv(&answer.reply)));
	drop_answer_deinit(&answer);
	return code;
}

static int exit_code_of(int rc)
{
	switch (rc) {
	case RC_PARSE:
		return EX_DATAERR;
	case RC_LIMIT:
		return EX_UNAVAILABLE;
	case RC_NOT_FOUND:
		return EX_USAGE;
	case -EIO:
		return EX_IOERR;
	default:
		return EX_TEMPFAIL;
	}
}

static int read_and_submit(struct arena *arena, struct drop_compose_args *args,
	struct drop_message *message, gid_t granted)
{
	struct drop_envelope envelope;
	struct timespec now = { 0 };
	struct err err = { 0 };
	int rc = drop_message_read(message, STDIN_FILENO, &err);

	(void)clock_gettime(CLOCK_REALTIME, &now);
	args->now = (struct wall_time){ (int64_t)now.tv_sec * (int64_t)US_PER_S };
	if (rc == 0)
		rc = drop_compose(arena, args, message, &envelope, &err);
	if (rc == 0)
		say_each("not an address:", args->bad);
	if (rc != 0) {
		say("%s", err.text);
		return exit_code_of(rc);
	}
	return submit(args->options, granted, &envelope, message);
}

static int run_submit(
	const struct drop_options *options, char *const *operand, size_t count, gid_t granted)
{
	struct arena arena = { 0 };
	struct drop_message message;
	struct drop_user user;
	struct sv *operands;
	struct buf bad = BUF_INIT(BAD_SHOWN_MAX);
	struct drop_compose_args args = {
		.options = options, .operand_count = count, .user = &user, .bad = &bad
	};
	int code;

	if (count == 0 && !options->recipients_from_header) {
		say("no recipient: name one, or use -t to take them from the header");
		return EX_USAGE;
	}
	operands = xcalloc(count + 1, sizeof(*operands));
	for (size_t i = 0; i < count; i++)
		operands[i] = sv_from(operand[i]);
	args.operands = operands;
	find_user(&arena, &user);
	drop_message_init(&message, options->ignore_dots);
	code = read_and_submit(&arena, &args, &message, granted);
	drop_message_deinit(&message);
	buf_deinit(&bad);
	arena_reset(&arena);
	free(operands);
	return code;
}

/* sendmail -bs. A web server's child waits for a greeting: it gets one in any case. */
static int run_smtp(void)
{
	struct err err = { 0 };

	if (drop_pipe_smtp(path_of("POSTERN_SUBMIT_SOCKET", DROP_SOCKET_PATH),
		    STDIN_FILENO,
		    STDOUT_FILENO,
		    &err) == 0)
		return EX_OK;
	(void)printf("421 4.3.2 postern does not run, try again later\r\n");
	say("no daemon: %s", err.text);
	return EX_TEMPFAIL;
}

int main(int argc, char **argv)
{
	struct drop_options options;
	struct err err = { 0 };
	gid_t granted;

	if (!set_up(&granted))
		return EX_OSERR;
	if (drop_options_parse(argc, argv, &options, &err) != 0) {
		say("%s", err.text);
		return EX_USAGE;
	}
	switch (options.mode) {
	case DROP_MODE_MAILQ:
		return run_mailq();
	case DROP_MODE_NEWALIASES:
	case DROP_MODE_NOTHING:
		return EX_OK;
	case DROP_MODE_SMTP:
		return run_smtp();
	case DROP_MODE_SUBMIT:
		break;
	}
	if (is_misled())
		return EX_CONFIG;
	return run_submit(&options,
		argv + options.operands_at,
		(size_t)(argc - options.operands_at),
		granted);
}
