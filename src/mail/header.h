/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/sv.h"
#include "base/time.h"

/*
 * The header block of a message (RFC 5322), found in a stream and edited once. Pure: bytes in, bytes
 * out. Nothing is touched but what `struct header_edits` says: folding, order and odd fields of the
 * client stay byte for byte. A block without the empty line (headers only, or a body at once) is
 * legal: the first line that is not a field starts the body and an empty line is put before it.
 *
 * Two things that programs put on top of a header and that are no part of a message go: the "From " line of
 * an mbox file (git format-patch; also ">From "), and the byte order mark of UTF-8.
 */
struct header_block;

NODISCARD struct header_block *header_block_new(size_t bytes_max, size_t fields_max);
void header_block_free(struct header_block *h);
size_t header_block_memory(const struct header_block *h); /* on the heap; NULL: 0 */
DEFINE_CLEANUP(struct header_block, header_block_free);

/*
 * Offers body bytes (CRLF lines). Returns 0 while it wants more, 1 once the block is complete
 * (*out_used says how many bytes belonged to it; the rest is body), RC_LIMIT when the block is
 * larger than allowed. Call header_block_end() when the message ends before that.
 */
NODISCARD int header_block_feed(struct header_block *h, struct sv bytes, size_t *out_used);
NODISCARD int header_block_end(struct header_block *h);

/*
 * How many bytes of body the block had to take before it could tell that they are not a field (less
 * than a line, and only when that line came in pieces). header_block_render() puts them behind the
 * empty line, so nothing is lost; who wants the size of the header alone subtracts this.
 */
size_t header_block_body_bytes(const struct header_block *h);

/* The unfolded, trimmed value of the first field of that name; empty and false when absent. */
NODISCARD bool header_block_get(struct header_block *h, struct sv name, struct sv *out_value);
NODISCARD size_t header_block_count(const struct header_block *h, struct sv name);

/*
 * The addresses in all fields of that name (To, Cc, Bcc, From, Sender, Resent-*), groups and
 * comments understood, one call each. For `sendmail -t`. An element that is no address goes to `bad`, and
 * the rest is read; with NULL there, RC_PARSE, with what was read so far already reported.
 */
typedef void header_address_fn(void *arg, struct sv address);
NODISCARD int header_block_addresses(struct header_block *h, struct sv name,
	header_address_fn *each, header_address_fn *bad, void *arg);

struct header_edits {
	struct sv received;     /* whole trace field without "Received: " and CRLF; goes on top */
	struct sv message_id;   /* "<id@host>": used when the message has none */
	struct wall_time date;  /* used when the message has no Date */
	bool drop_bcc;          /* removes Bcc and Resent-Bcc */
	bool drop_return_path;  /* RFC 5321 4.4: only the final delivery adds it */
	struct sv from;         /* not empty: the addr-spec of From is replaced, the name stays */
	bool one_from;          /* second From fields are removed, without `from`, too */
	struct sv from_missing; /* used as From when the message has none (sendmail) */
	struct sv reply_to_missing; /* used as Reply-To when the message has none */
	bool drop_recipients; /* removes To, Cc, Bcc and their Resent- forms: `added` brings others */
	struct sv qualify; /* domain put behind bare addresses in From, Sender, To, Cc, Reply-To */
	struct sv added;   /* whole extra fields, each ending in CRLF; may be empty */
};

/*
 * Appends the edited block, with the empty line at its end (and header_block_body_bytes() behind it).
 * Once, and after the block is complete. RC_LIMIT when `out` is full.
 * The edits are one line each, checked by the caller: a CR, LF or NUL in them is a bug. `received`
 * may be folded; `added` is taken as it is. Empty From, Message-ID, Date and Reply-To fields count as missing. With
 * `from`, second From fields (there must be one only), Sender and Resent-Sender are removed, and Resent-From
 * becomes it, too.
 */
NODISCARD int header_block_render(
	struct header_block *h, const struct header_edits *edits, struct buf *out);

/* What the queue keeps of it, views into `h`. */
struct header_facts {
	struct sv message_id;   /* with angle brackets; empty if missing */
	struct sv subject;      /* as it stands, encoded words and all */
	struct sv from;         /* the first addr-spec of From */
	uint32_t received_hops; /* Received fields: the loop check */
	bool auto_submitted;    /* Auto-Submitted other than "no" (RFC 3834) */
	bool has_8bit;          /* bytes above 0x7f in the block: the next hop needs SMTPUTF8 */
};
void header_block_facts(struct header_block *h, struct header_facts *out_facts);
