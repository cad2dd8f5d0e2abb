/* SPDX-License-Identifier: Apache-2.0 */
#include "base/limits.h"
#include "base/must.h"
#include "cli/demo_priv.h"
#include "io/file.h"
#include "io/loop.h"
#include "io/spawn.h"
#include "smtp/client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	SENDMAIL_S = 120,
};

/* ---- SMTP: the product's own client machine on a blocking socket ---- */

int demo_connect(int port, const char *source)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	struct sockaddr_in from = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (source && (inet_pton(AF_INET, source, &from.sin_addr) != 1 || fd < 0 ||
			      bind(fd, (const struct sockaddr *)&from, sizeof(from)) != 0))
		io_closep(&fd);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0)
		return fd;
	io_closep(&fd);
	return -1;
}

static bool flush(struct smtp_client *c, int fd)
{
	struct sv out = smtp_client_output(c);

	while (out.len) {
		ssize_t n = send(fd, out.ptr, out.len, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			return false;
		if (n > 0) {
			smtp_client_sent(c, io_clock_mono(), (size_t)n);
			out = smtp_client_output(c);
		}
	}
	return true;
}

static bool give_body(struct smtp_client *c, int fd, struct sv text)
{
	while (text.len) {
		smtp_client_body(c, io_clock_mono(), sv_head(text, LIMIT_CHUNK));
		text = sv_skip(text, LIMIT_CHUNK);
		if (!flush(c, fd))
			return false;
	}
	smtp_client_body_end(c, io_clock_mono());
	return true;
}

/* One message over one connection; 250 or not. */
static bool converse(
	struct smtp_client *c, int fd, const struct smtp_client_message *m, struct sv text)
{
	char bytes[8192];
	bool sent = false;

	smtp_client_connected(c, io_clock_mono());
	for (;;) {
		struct smtp_client_event e;
		ssize_t n;

		while (smtp_client_next(c, &e)) {
			if (e.kind == SMTP_CLIENT_EV_RESULT)
				return e.reply.code == 250;
			if (e.kind == SMTP_CLIENT_EV_FAILED || e.kind == SMTP_CLIENT_EV_CLOSED)
				return false;
			if (e.kind == SMTP_CLIENT_EV_READY && !sent) {
				sent = true;
				smtp_client_send(c, io_clock_mono(), m);
			}
			if (e.kind == SMTP_CLIENT_EV_BODY && !give_body(c, fd, text))
				return false;
		}
		if (!flush(c, fd))
			return false;
		n = recv(fd, bytes, sizeof(bytes), 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		smtp_client_feed(c, io_clock_mono(), sv_make(bytes, (size_t)n));
	}
}

bool demo_submit_smtp(struct demo *d, const struct demo_mail *mail, struct sv text)
{
	const struct smtp_client_options options = { .hostname = SV("demo.example.com") };
	const struct smtp_client_recipient recipient = { .address = sv_from(mail->recipient) };
	const struct smtp_client_message m = { .sender = sv_from(mail->sender),
		.recipients = &recipient,
		.recipient_count = 1,
		.size = text.len,
		.needs_8bit = mail->has_8bit,
		.needs_utf8 = mail->utf8 };
	CLEANUP(io_closep) int fd = demo_connect(d->relay_port, mail->from_address);
	CLEANUP(smtp_client_freep) struct smtp_client *c = NULL;

	if (fd < 0)
		return false;
	c = smtp_client_new(&options);
	return converse(c, fd, &m, text);
}

/* ---- sendmail ---- */

static int start_sendmail(const struct demo *d, const struct demo_mail *mail, int in, pid_t *out)
{
	char submit[PATH_MAX], maildrop[PATH_MAX];
	struct demo_mail copy = *mail;
	/* A CRLF message goes in as it is: `sendmail` takes both line ends. */
	char *words[] = { (char[]){ "sendmail" },
		(char[]){ "-i" },
		(char[]){ "-f" },
		copy.sender,
		copy.recipient,
		NULL };
	/* With borrowed rights the variables would be ignored, and the machine's own relay get the mail. */
	const struct io_spawn what = { .words = words,
		.program = "/proc/self/fd/3",
		.foreground = true,
		.real_ids = true,
		.fourth = d->sendmail,
		.in = in,
		.out = IO_SPAWN_SAME,
		.err = IO_SPAWN_SAME };

	(void)snprintf(submit, sizeof(submit), "%s/submit.sock", d->folder);
	(void)snprintf(maildrop, sizeof(maildrop), "%s/maildrop", d->folder);
	(void)setenv("POSTERN_SUBMIT_SOCKET", submit, 1);
	(void)setenv("POSTERN_MAILDROP", maildrop, 1);
	return io_spawn_start(&what, out);
}

bool demo_submit_sendmail(struct demo *d, const struct demo_mail *mail, struct sv text)
{
	int ends[2], status = 0;
	bool started, written;
	pid_t child;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return false;
	started = start_sendmail(d, mail, ends[0], &child) == 0;
	io_closep(&ends[0]);
	written = started && io_write_all(ends[1], text) == 0;
	io_closep(&ends[1]);
	if (started)
		written &= io_spawn_wait(child,
				   true,
				   mono_add(io_clock_mono(), SENDMAIL_S * US_PER_S),
				   &status) == 0;
	if (written && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		d->by_sendmail++;
		return true;
	}
	return false;
}
