/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "drop/message.h"
#include "mail/drop_format.h"

#define DROP_SOCKET_PATH "/run/postern/submit.sock"
#define DROP_MAILDROP_PATH "/var/spool/postern/maildrop"

enum drop_outcome {
	DROP_DONE,      /* the daemon has it in its queue */
	DROP_REFUSED,   /* it said 5xx: `exit_code`, `reply` */
	DROP_ELSEWHERE, /* not reached, or not now: `reply` or err says why; the maildrop is next */
};

struct drop_answer {
	enum drop_outcome outcome;
	uint16_t code;       /* SMTP code of the refusal */
	int exit_code;       /* sysexits */
	struct sv recipient; /* the refused one; empty: not about one */
	struct buf
		refused; /* DONE: recipients that were refused while others were taken, a line each */
	struct buf reply; /* the last reply, its lines joined; drop_answer_deinit() */
};

void drop_answer_deinit(struct drop_answer *a);

/* A socket to the daemon, or a negative code. */
NODISCARD int drop_connect(const char *path, struct err *err);

/*
 * Carries SMTP between two descriptors and the daemon's socket until one side ends. Lines that end in a
 * bare LF get their CR when the first one does. A negative code: nothing was said, the daemon is not
 * there.
 */
NODISCARD int drop_pipe_smtp(const char *path, int in, int out, struct err *err);

/*
 * Hands the message to the daemon over SMTP on its socket (RFC 5321, 1870, 6152, 6531, 3461). Recipients that
 * are refused for good do not keep the others from it; when all are, it is DROP_REFUSED. When the connection breaks after the final dot nobody knows whether it was taken; it then goes
 * elsewhere, for twice is better than never.
 */
void drop_submit_socket(const char *path, const struct drop_envelope *envelope,
	const struct drop_message *message, struct drop_answer *out_answer, struct err *err);

/*
 * Leaves the message in the maildrop, as mail/drop_format.h describes it. 0 is returned when it would
 * survive a power cut; on failure nothing is left behind. Wants the right to write there.
 */
NODISCARD int drop_submit_maildrop(const char *folder, const struct drop_envelope *envelope,
	const struct drop_message *message, struct err *err);
