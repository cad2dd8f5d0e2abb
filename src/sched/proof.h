/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "base/buf.h"
#include "base/time.h"
#include "provider/verdict.h"

#include <stdbool.h>

/*
 * Who may stop what. A refusal may speak of a mailbox or a tenant, and still be the fault of the one
 * message that it was said to. So it holds more than that message only
 *   - when it was said before any message was spoken of (connection, greeting, sign-in, token),
 *   - when the reply itself proves a limit (`proved` of the verdict), or
 *   - when a second, different message was refused alike, with no success between them.
 * Until then the message waits by its own back-off. And the probe of a hold is none of the messages that
 * caused it, while another one waits. Pure: values in, an answer out. docs/decisions/0075 has the reasons.
 */

/* What had been told to the server when it refused. */
enum sched_said {
	SCHED_SAID_SESSION,   /* nothing of a message */
	SCHED_SAID_SENDER,    /* MAIL: the envelope's sender */
	SCHED_SAID_RECIPIENT, /* RCPT: and one recipient */
	SCHED_SAID_CONTENT,   /* DATA and behind it: all */
};

/* A message that was refused, as far as it tells it from another: hashes; 0: not known. */
struct sched_witness {
	uint64_t message;   /* its id */
	uint64_t sender;    /* of its envelope */
	uint64_t author;    /* From in its header */
	uint64_t content;   /* equal when the same mail is sent twice */
	uint64_t recipient; /* who was refused; content: the first of them */
	uint64_t domain;    /* of that recipient */
	uint64_t cause;     /* what for */
	struct wall_time at;
};

/* What proved a hold, or may come to do so: the last ones, oldest first, one of each message. */
enum {
	SCHED_WITNESSES = 8
};
struct sched_proof {
	struct sched_witness who[SCHED_WITNESSES];
	uint32_t count;
};

struct sched_refusal {
	const struct verdict *verdict;
	enum sched_said said;
	struct sched_witness who;
	bool own_author; /* the author is the envelope's sender: nothing is forged */
	bool own_sender; /* that sender is the mailbox itself */
};

/* Does the verdict speak of more than the message (a sender, a mailbox, a tenant, a route)? */
NODISCARD bool sched_is_wide(const struct verdict *v);
/*
 * May the refusal hold all that its verdict speaks of? False: only the message, or the recipient. `before`
 * is what was refused in that scope since the last success.
 */
NODISCARD bool sched_proof_widens(const struct sched_refusal *r, const struct sched_proof *before);
/* It is remembered; what was said to a session is not, as no message caused it. */
void sched_proof_note(struct sched_proof *proof, const struct sched_refusal *r);
/* It was the probe, and neither got through nor was refused for the hold: the next one is another. */
void sched_proof_tried(struct sched_proof *proof, uint64_t message);
/* Whether this message is one of those that caused the hold, or was tried for it in vain: no probe, where another
 * message waits. */
NODISCARD bool sched_proof_has(const struct sched_proof *proof, uint64_t message);

/* For the store: one line. What is not understood (damaged, or of a newer version) proves nothing. */
enum {
	SCHED_PROOF_TEXT_MAX = SCHED_WITNESSES * 8 * 17
};
void sched_proof_write(const struct sched_proof *proof, struct buf *out);
void sched_proof_read(struct sv text, struct sched_proof *out);
