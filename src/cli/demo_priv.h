/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "cli/cli.h"

#include <limits.h>
#include <sys/types.h>

/*
 * demo.c         the course of the demo
 * demo_mail.c    the corpus: messages of every usual shape
 * demo_submit.c  handing them in: SMTP and sendmail
 */
enum {
	DEMO_MAILBOXES = 12,
	DEMO_MESSAGES = 300, /* spread over the mailboxes */
	DEMO_BURST = 35,     /* from one mailbox: more than its 30 a minute */
	DEMO_WHILE_DOWN = 5, /* by sendmail, while the relay is dead */
	DEMO_ALL = DEMO_MESSAGES + DEMO_BURST + DEMO_WHILE_DOWN,
	DEMO_LARGE_BYTES = 20 << 20,
};

struct demo {
	struct cli_context *ctx;
	char folder[PATH_MAX / 4];
	char exe[PATH_MAX / 2], sendmail[PATH_MAX / 2 + 32];
	int relay_port, sandbox_port, http_port;
	pid_t relay, sandbox;
	bool accepted[DEMO_ALL];
	unsigned accepted_count, by_sendmail, refused_tries, kills;
};

/* ---- demo_mail.c ---- */
struct demo_mail {
	char sender[64], recipient[64];
	bool utf8, has_8bit, by_sendmail;
};
/* Message `n` of the corpus: the same each time. CRLF lines. */
void demo_mail_make(unsigned n, struct demo_mail *out, struct buf *text);

/* ---- demo_submit.c ---- */
/* A blocking connection to a port of 127.0.0.1; -1: nobody listens. */
int demo_connect(int port);
/* True when 250 was said. */
bool demo_submit_smtp(struct demo *d, const struct demo_mail *mail, struct sv text);
bool demo_submit_sendmail(struct demo *d, const struct demo_mail *mail, struct sv text);
