/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "cli/cli.h"

#include <limits.h>
#include <sys/types.h>

/*
 * demo.c         the course of the demo
 * demo_config.c  the relay's configuration
 * demo_mail.c    the corpus: messages of every usual shape
 * demo_submit.c  handing them in: SMTP and sendmail
 */
enum {
	DEMO_MAILBOXES = 12,
	DEMO_MESSAGES = 300, /* spread over the mailboxes */
	DEMO_BURST = 35,     /* from one mailbox: more than its 30 a minute */
	DEMO_WHILE_DOWN = 5, /* by sendmail, while the relay is dead */
	DEMO_BY_PASSWORD = DEMO_MESSAGES + DEMO_BURST + DEMO_WHILE_DOWN,
	DEMO_EACH_DOOR = 5, /* by each of the other doors */
	DEMO_LARGE_BYTES = 20 << 20,
};

/* The doors besides the mailboxes that sign in with a password. */
enum demo_door {
	DEMO_TOKEN,   /* client submission, signed in with a token */
	DEMO_HVE,     /* High Volume Email, to a colleague */
	DEMO_SCANNER, /* a device without a password, through the connector */
	DEMO_GRAPH,   /* Graph; the last message is too large for one request */
	DEMO_DOOR_COUNT,
};
enum {
	DEMO_ALL = DEMO_BY_PASSWORD + DEMO_DOOR_COUNT * DEMO_EACH_DOOR,
	DEMO_SCAN_BYTES = 6 << 20,
};
#define DEMO_SCANNER_ADDRESS "127.0.0.3"

struct demo {
	struct cli_context *ctx;
	char folder[PATH_MAX / 4];
	char exe[PATH_MAX / 2];
	int sendmail; /* a copy of postern-drop in memory */
	int relay_port, sandbox_port, http_port, https_port, hve_port, connector_port;
	pid_t relay, sandbox;
	bool accepted[DEMO_ALL];
	unsigned accepted_count, by_sendmail, refused_tries, kills;
};

/* ---- demo_config.c ---- */
NODISCARD int demo_write_config(const struct demo *d, struct err *err);

/* ---- demo_mail.c ---- */
struct demo_mail {
	char sender[64], recipient[64];
	const char *from_address; /* of our machine; NULL: any */
	const char *door;         /* by which the sandbox must see it come */
	bool utf8, has_8bit, by_sendmail;
};
/* Message `n` of the corpus: the same each time. CRLF lines. */
void demo_mail_make(unsigned n, struct demo_mail *out, struct buf *text);

/* ---- demo_submit.c ---- */
/* A blocking connection to a port of 127.0.0.1, from `source` (NULL: any); -1: nobody listens. */
int demo_connect(int port, const char *source);
/* True when 250 was said. */
bool demo_submit_smtp(struct demo *d, const struct demo_mail *mail, struct sv text);
bool demo_submit_sendmail(struct demo *d, const struct demo_mail *mail, struct sv text);
