/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/sv.h"
#include "mail/dsn.h"

/*
 * A message in the maildrop, as `sendmail` leaves it when the daemon is not there:
 *
 *	postern-drop 1
 *	sender erp@contoso.com            (empty for the null sender)
 *	ret hdrs                          (full, hdrs; left out: not asked for)
 *	envid xtext                       (RFC 3461; left out: none)
 *	body 8bitmime                     (left out: 7bit)
 *	smtputf8                          (left out: not needed)
 *	notify success,failure            (for the recipients below it; left out: the default)
 *	recipient a@example.com           (once or more)
 *	size 00000000000000012345         (always 20 digits, so that it can be filled in at the end)
 *	(an empty line)
 *	the message: `size` bytes with CRLF line ends
 *	postern-drop end
 *
 * Lines of the envelope end in LF. The last line together with the size proves that the file is
 * whole: a cut file is never taken for a message. Who wrote it is the owner of the file; nothing in
 * the file can say that.
 */
#define DROP_END SV("postern-drop end\n")
#define DROP_TMP_PREFIX "tmp." /* names that are still being written; not to be read */
#define DROP_SUFFIX ".msg"     /* complete: MICROSECONDS.PID.RANDOM.msg; a digit first */

enum {
	DROP_SIZE_DIGITS = 20,
	/* LIMIT_RCPT recipients of LIMIT_ADDRESS bytes, with their words, and the rest. */
	DROP_ENVELOPE_MAX = 2 << 20,
};

struct drop_envelope {
	struct sv sender;
	struct sv envid; /* plain, xtext undone */
	enum dsn_ret ret;
	uint8_t notify; /* DSN_NOTIFY_* bits, the same for all recipients */
	bool body_8bit;
	bool smtputf8;
	uint64_t size; /* of the message */
	const struct sv *recipients;
	size_t recipient_count;
};

/*
 * Appends the envelope with its empty line. *out_size_at is where the digits of the size stand in
 * what was appended: they are written last, when the message is known, with drop_size_render().
 */
NODISCARD int drop_envelope_render(
	const struct drop_envelope *envelope, struct buf *out, size_t *out_size_at);
void drop_size_render(uint64_t size, char out[DROP_SIZE_DIGITS + 1]);

/*
 * Reads an envelope from the front of a file. 1: done, *out_used bytes belong to it and the message
 * begins behind them. 0: `bytes` ends before the envelope does; come back with more (at most
 * DROP_ENVELOPE_MAX). RC_PARSE, RC_LIMIT: not a file of ours; err says which line and why.
 * Addresses are checked as address_parse() does, a missing domain allowed. Views live in the arena.
 */
NODISCARD int drop_envelope_parse(struct arena *arena, struct sv bytes,
	struct drop_envelope *out_envelope, size_t *out_used, struct err *err);

/* The size that a whole file has whose envelope took `used` bytes. */
static inline uint64_t drop_file_size(const struct drop_envelope *envelope, size_t used)
{
	return used + envelope->size + DROP_END.len;
}

/* "never" or a comma list of success, failure, delay (RFC 3461 4.1) to DSN_NOTIFY_* bits. */
NODISCARD int drop_notify_parse(struct sv text, uint8_t *out_notify);
NODISCARD int drop_notify_render(uint8_t notify, struct buf *out);
