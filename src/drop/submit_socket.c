/* SPDX-License-Identifier: Apache-2.0 */
#include "drop/submit.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/limits.h"

/*
 * One command, one reply: the daemon is on this machine, so a round trip costs less than the thought
 * that pipelining would take.
 *
 *	connect -> 220 -> EHLO -> MAIL -> RCPT... -> DATA -> message, dot -> 250 -> QUIT
 */
enum {
	GREETING_SECONDS = 15, /* longer: something is wrong, and there is the maildrop */
	REPLY_SECONDS = 60,
	/* RFC 5321 4.5.3.2.6: leaving earlier than the daemon makes up its mind sends twice. */
	DOT_SECONDS = 600,
	QUIT_SECONDS = 1,
	CHUNK_BYTES = 65536,
};

enum extension {
	EXT_SIZE = 1,
	EXT_8BITMIME = 2,
	EXT_SMTPUTF8 = 4,
	EXT_DSN = 8,
};

struct conn {
	int fd;
	struct buf in;
	struct buf out;
	struct buf reply; /* text of the last reply */
	uint16_t code;
	unsigned extensions;
	bool line_start; /* of the message, for the dots */
	bool in_message; /* a QUIT would become part of it */
	struct err *err;
};

void drop_answer_deinit(struct drop_answer *a)
{
	buf_deinit(&a->reply);
	buf_deinit(&a->refused);
}

static void set_timeout(int fd, int option, int seconds)
{
	struct timeval t = { .tv_sec = seconds };

	(void)setsockopt(fd, SOL_SOCKET, option, &t, sizeof(t));
}

int drop_connect(const char *path, struct err *err)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	size_t len = strlen(path);
	int fd, rc;

	if (len == 0 || len >= sizeof(to.sun_path))
		return err_set(err, -ENAMETOOLONG, "socket %s: no usable path", path);
	memcpy(to.sun_path, path, len);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(err, -errno, "no socket: %s", rc_text(-errno));
	/* Counts for connect too: a daemon that hangs with a full backlog must not hang us. */
	set_timeout(fd, SO_SNDTIMEO, GREETING_SECONDS);
	if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) != 0) {
		rc = err_set(err, -errno, "%s: %s", path, rc_text(-errno));
		(void)close(fd);
		return rc;
	}
	set_timeout(fd, SO_SNDTIMEO, REPLY_SECONDS);
	return fd;
}

static int flush(struct conn *c)
{
	while (c->out.len) {
		struct sv rest = buf_sv(&c->out);
		ssize_t n = send(c->fd, rest.ptr, rest.len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(
				c->err, -errno, "the daemon does not listen: %s", rc_text(-errno));
		buf_consume(&c->out, (size_t)n);
	}
	return 0;
}

static int receive(struct conn *c)
{
	ssize_t n;

	if (buf_reserve(&c->in, 1024) != 0)
		return err_set(c->err, RC_LIMIT, "the daemon's reply has no end");
	do {
		n = recv(c->fd, buf_tail(&c->in), 1024, 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return err_set(c->err, RC_TIMEOUT, "the daemon does not answer");
	if (n < 0)
		return err_set(c->err, -errno, "the daemon is gone: %s", rc_text(-errno));
	if (n == 0)
		return err_set(c->err, RC_CLOSED, "the daemon closed the connection");
	buf_grew(&c->in, (size_t)n);
	return 0;
}

static void note_extension(struct conn *c, struct sv text)
{
	static const struct {
		struct sv keyword;
		enum extension bit;
	} known[] = {
		{ SV_INIT("SIZE"), EXT_SIZE },
		{ SV_INIT("8BITMIME"), EXT_8BITMIME },
		{ SV_INIT("SMTPUTF8"), EXT_SMTPUTF8 },
		{ SV_INIT("DSN"), EXT_DSN },
	};
	struct sv keyword;

	(void)sv_cut_char(&text, ' ', &keyword);
	for (size_t i = 0; i < COUNT_OF(known); i++) {
		if (sv_eq_nocase(keyword, known[i].keyword))
			c->extensions |= known[i].bit;
	}
}

/* "250-text" or "250 text". 1: the last line; 0: more follow. */
static int read_line(struct conn *c, struct sv line)
{
	uint32_t code;

	if (line.len < 3 || sv_parse_u32(sv_head(line, 3), 599, &code) != 0 || code < 200 ||
		(line.len > 3 && line.ptr[3] != ' ' && line.ptr[3] != '-'))
		return err_set(c->err, RC_PARSE, "the daemon does not speak SMTP");
	c->code = (uint16_t)code;
	if ((c->reply.len && buf_append_char(&c->reply, ' ') != 0) ||
		buf_append(&c->reply, sv_skip(line, 4)) != 0)
		return err_set(c->err, RC_LIMIT, "the daemon's reply has no end");
	note_extension(c, sv_skip(line, 4));
	return line.len > 3 && line.ptr[3] == '-' ? 0 : 1;
}

static int read_reply(struct conn *c, int seconds)
{
	size_t total = 0;
	int rc = 0;

	set_timeout(c->fd, SO_RCVTIMEO, seconds);
	buf_reset(&c->reply);
	c->code = 0;
	while (rc == 0) {
		struct sv rest = buf_sv(&c->in);
		struct sv line;

		if (!sv_cut_line(&rest, &line)) {
			rc = receive(c);
			continue;
		}
		total += line.len;
		rc = total > LIMIT_REPLY ? RC_LIMIT : read_line(c, line);
		buf_consume(&c->in, line.len + 2);
	}
	return rc == 1 ? 0 : rc;
}

/* Sends what is in `out` and waits for the reply. */
static int exchange(struct conn *c, int seconds)
{
	int sent = flush(c);
	int rc = read_reply(c, seconds);

	buf_reset(&c->out);
	/* A daemon that hangs up may have said why before. */
	return sent != 0 && c->code < 400 ? sent : rc;
}

static int render_mail(struct conn *c, const struct drop_envelope *e)
{
	int rc = buf_printf(&c->out, "MAIL FROM:<%.*s>", SV_ARG(e->sender));

	if (rc == 0 && (c->extensions & EXT_SIZE))
		rc = buf_printf(&c->out, " SIZE=%llu", (unsigned long long)e->size);
	if (rc == 0 && e->body_8bit && (c->extensions & EXT_8BITMIME))
		rc = buf_append(&c->out, SV(" BODY=8BITMIME"));
	if (rc == 0 && e->smtputf8)
		rc = buf_append(&c->out, SV(" SMTPUTF8"));
	if (rc == 0 && e->ret != DSN_RET_NONE && (c->extensions & EXT_DSN))
		rc = buf_append(
			&c->out, e->ret == DSN_RET_FULL ? SV(" RET=FULL") : SV(" RET=HDRS"));
	if (rc == 0 && e->envid.len && (c->extensions & EXT_DSN)) {
		rc = buf_append(&c->out, SV(" ENVID="));
		if (rc == 0)
			rc = dsn_xtext_encode(&c->out, e->envid);
	}
	return rc == 0 ? buf_append(&c->out, SV("\r\n")) : rc;
}

static int render_rcpt(struct conn *c, const struct drop_envelope *e, struct sv recipient)
{
	int rc = buf_printf(&c->out, "RCPT TO:<%.*s>", SV_ARG(recipient));

	if (rc == 0 && e->notify && (c->extensions & EXT_DSN)) {
		rc = buf_append(&c->out, SV(" NOTIFY="));
		if (rc == 0)
			rc = drop_notify_render(e->notify, &c->out);
	}
	return rc == 0 ? buf_append(&c->out, SV("\r\n")) : rc;
}

/* Appends message bytes with the dots doubled (RFC 5321 4.5.2); sends when the buffer is full. */
static int put_message(void *arg, struct sv bytes)
{
	struct conn *c = arg;

	while (bytes.len) {
		ptrdiff_t lf = sv_find_char(bytes, '\n');
		struct sv line = sv_head(bytes, lf < 0 ? CHUNK_BYTES : (size_t)lf + 1);
		int rc = 0;

		line = sv_head(line, CHUNK_BYTES);
		if (c->out.len + line.len + 1 > CHUNK_BYTES)
			rc = flush(c);
		if (rc == 0 && c->line_start && line.ptr[0] == '.')
			rc = buf_append_char(&c->out, '.');
		if (rc == 0)
			rc = buf_append(&c->out, line);
		if (rc != 0)
			return rc;
		c->line_start = line.ptr[line.len - 1] == '\n';
		bytes = sv_skip(bytes, line.len);
	}
	return 0;
}

static int send_message(struct conn *c, const struct drop_message *message)
{
	int rc;

	c->line_start = true;
	c->in_message = true;
	rc = drop_message_each(message, put_message, c);
	if (rc == 0)
		rc = buf_append(&c->out, SV(".\r\n"));
	if (rc != 0) {
		/* Never a dot behind half a message; a daemon that hung up may have said why. */
		buf_reset(&c->out);
		return read_reply(c, QUIT_SECONDS) == 0 && c->code >= 400 ? 0 : rc;
	}
	c->in_message = false;
	return exchange(c, DOT_SECONDS);
}

static int exit_code_of(struct sv reply, bool of_recipient)
{
	if (sv_starts(reply, SV("5.1.")) && of_recipient)
		return EX_NOUSER;
	if (sv_starts(reply, SV("5.6.")))
		return EX_DATAERR;
	if (sv_starts(reply, SV("5.7.")))
		return EX_NOPERM;
	return EX_UNAVAILABLE;
}

/* Whether the dialogue goes on; if not, the answer says why. */
static bool accepted(struct conn *c, int rc, uint16_t wanted, struct drop_answer *a)
{
	if (rc == 0 && c->code == wanted)
		return true;
	a->outcome = DROP_ELSEWHERE;
	if (rc != 0) {
		buf_reset(&c->reply);
	} else if (c->code >= 500) {
		a->outcome = DROP_REFUSED;
		a->code = c->code;
		a->exit_code = exit_code_of(buf_sv(&c->reply), false);
	} else {
		(void)err_set(c->err,
			RC_STATE,
			"the daemon said %u %.*s",
			c->code,
			SV_ARG(sv_head(buf_sv(&c->reply), 160)));
	}
	return false;
}

/* "550 5.7.1 No route ... <b@example.org>", kept for the person who reads it. */
static void note_refused(const struct conn *c, struct sv recipient, struct drop_answer *a)
{
	/* Where the buffer ends, enough of them were named. */
	if (buf_printf(&a->refused,
		    "%.*s: %u %.*s\n",
		    SV_ARG(recipient),
		    c->code,
		    SV_ARG(sv_head(buf_sv(&c->reply), 300))) != 0)
		return;
}

static bool send_envelope(struct conn *c, const struct drop_envelope *e, struct drop_answer *a)
{
	size_t taken = 0;
	bool later = false;
	int rc;

	a->outcome = DROP_ELSEWHERE;
	/* The daemon always offers it; somebody else's server may not, and then the daemon shall. */
	if (e->smtputf8 && !(c->extensions & EXT_SMTPUTF8)) {
		(void)err_set(c->err, RC_STATE, "no SMTPUTF8 on the socket");
		return false;
	}
	rc = render_mail(c, e);
	if (rc == 0)
		rc = exchange(c, REPLY_SECONDS);
	if (!accepted(c, rc, 250, a))
		return false;
	for (size_t i = 0; i < e->recipient_count; i++) {
		rc = render_rcpt(c, e, e->recipients[i]);
		if (rc == 0)
			rc = exchange(c, REPLY_SECONDS);
		if (rc == 0 && c->code == 251)
			c->code = 250;
		if (accepted(c, rc, 250, a)) {
			taken++;
			continue;
		}
		if (a->outcome == DROP_REFUSED) {
			a->exit_code = exit_code_of(buf_sv(&c->reply), true);
			a->recipient = e->recipients[i];
			note_refused(c, e->recipients[i], a);
		} else {
			later = true;
		}
		/* After a "not now" the rest is still asked: when all are a "never", nobody waits. */
		if (rc != 0 || c->code == 421)
			break;
	}
	/* Those who wait, and those who were taken, wait together in the maildrop. */
	a->outcome = taken || later ? DROP_ELSEWHERE : DROP_REFUSED;
	return taken && !later;
}

static void run(struct conn *c, const struct drop_envelope *e, const struct drop_message *message,
	struct drop_answer *a)
{
	int rc;

	if (!accepted(c, read_reply(c, GREETING_SECONDS), 220, a))
		return;
	c->extensions = 0;
	rc = buf_append(&c->out, SV("EHLO localhost\r\n"));
	if (rc == 0)
		rc = exchange(c, REPLY_SECONDS);
	if (!accepted(c, rc, 250, a) || !send_envelope(c, e, a))
		return;
	rc = buf_append(&c->out, SV("DATA\r\n"));
	if (rc == 0)
		rc = exchange(c, REPLY_SECONDS);
	if (!accepted(c, rc, 354, a) || !accepted(c, send_message(c, message), 250, a))
		return;
	a->outcome = DROP_DONE;
	a->exit_code = EX_OK;
	a->recipient = SV("");
}

/* Good manners only: the answer stands by now. */
static void quit(struct conn *c)
{
	c->err = NULL;
	buf_reset(&c->out);
	if (!c->in_message && buf_append(&c->out, SV("QUIT\r\n")) == 0)
		(void)exchange(c, QUIT_SECONDS);
}

void drop_submit_socket(const char *path, const struct drop_envelope *envelope,
	const struct drop_message *message, struct drop_answer *out_answer, struct err *err)
{
	struct conn c = { .fd = -1, .err = err };

	*out_answer = (struct drop_answer){ .outcome = DROP_ELSEWHERE, .exit_code = EX_TEMPFAIL };
	buf_init(&out_answer->refused, LIMIT_REPLY);
	buf_init(&c.reply, LIMIT_REPLY);
	buf_init(&c.in, LIMIT_REPLY);
	buf_init(&c.out, CHUNK_BYTES + LIMIT_COMMAND_LINE);
	c.fd = drop_connect(path, err);
	if (c.fd >= 0) {
		run(&c, envelope, message, out_answer);
		out_answer->reply = c.reply;
		buf_init(&c.reply, LIMIT_REPLY);
		quit(&c);
	}
	if (c.fd >= 0)
		(void)close(c.fd);
	buf_deinit(&c.reply);
	buf_deinit(&c.in);
	buf_deinit(&c.out);
}
