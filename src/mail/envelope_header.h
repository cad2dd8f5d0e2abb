/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/sv.h"
#include "mail/header.h"

/*
 * The envelope rule: the header of the copy that goes to a service without an envelope (Graph), which
 * delivers to whoever stands in To, Cc and Bcc. Pure.
 *
 * Of every copy this is true:
 *   1. The addresses in its To, Cc and Bcc are exactly the recipients it is for, each once. Mail never
 *      goes to an address that the envelope did not name, whatever the header says.
 *   2. Its To and Cc name nobody whom the original To and Cc did not name. The service takes Bcc out
 *      before it delivers, so no recipient learns of another one that the sender kept from him.
 *      (RC_STATE below is the one exception: the only recipient of a copy stands in its To.)
 *
 * How:
 *   - An address of To or Cc that is a recipient stays where it is, with its display name, spelt as in
 *     the envelope (local parts may be told apart by case somewhere). One that is not is taken out. A
 *     second mention is taken out too: two would be counted, and perhaps delivered, twice.
 *   - A field that keeps all of its addresses is copied byte for byte, unless another reader could find
 *     other addresses in it than we do: comments, groups, source routes, unquoted signs in names. Then,
 *     and when an address leaves, the field is written anew from names and addresses only.
 *   - A second To or Cc field (RFC 5322 3.6 forbids it) is joined with the first: a reader that takes
 *     only one would miss recipients.
 *   - Recipients who stand in neither go into one Bcc field, which is the first field of the copy.
 *   - Bcc of the original, Resent-* and Apparently-To are left out: some readers send to those.
 *   - Lines of blanks only within a field stay, but some readers take one for the end of the header: in such
 *     a copy To and Cc come first.
 *   - Everything else stays as it is: Received, Date, Message-ID, List-Unsubscribe, In-Reply-To.
 *
 * A DKIM-Signature whose h= covers To or Cc breaks when they change. They are changed all the same: the
 * alternative would be mail to people whom the envelope did not name; and Exchange signs anew.
 * Addresses with UTF-8 stand there as they are (RFC 6532): no encoding of RFC 2047 may hold an address.
 *
 * Appends header and empty line (and header_block_body_bytes() behind it). `h` is complete, every
 * recipient passes address_parse() and has the form of address_clean(). Returns 0, or with nothing appended:
 *   RC_STATE    a To or Cc list cannot be read, so nobody can tell whom it names. Each recipient gets
 *               a copy of his own: called with him alone, this writes "To: <him>" in place of all lists.
 *   RC_CORRUPT  a CR, LF or NUL inside of a field: another reader could find more fields there, a Bcc
 *               for instance. Nobody can say to whom such a copy would go.
 *   RC_PARSE    a recipient is not an address; RC_LIMIT: `out` is full.
 */
NODISCARD int envelope_header_render(
	struct header_block *h, const struct sv *recipients, size_t count, struct buf *out);
