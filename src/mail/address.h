/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/limits.h"
#include "base/sv.h"

/*
 * A mail address as an envelope carries it, without angle brackets: RFC 5321 4.1.2 Mailbox, with
 * UTF-8 in both parts when RFC 6531 allows it. The null reverse-path is an empty `text`.
 * Views borrow from the parsed text.
 */
struct address {
	struct sv text;   /* the whole, as given: "Erp@Contoso.com" */
	struct sv local;  /* as given, quotes included */
	struct sv domain; /* as given; an address literal keeps its brackets; empty: no domain */
};

enum {
	ADDRESS_UTF8 = 1,      /* allow UTF-8 (SMTPUTF8 was asked for) */
	ADDRESS_NO_DOMAIN = 2, /* allow "root" (to be qualified) */
	/* Allow what is no address by RFC 5321 and gets mail all the same: dots in a row or at an end of the
	 * local part (a..b@, a.@), and one dot behind the domain. address_clean() makes one of it. */
	ADDRESS_LOOSE = 4,
};

/*
 * Parses the whole of `text`. Control characters, CR, LF, NUL, and spaces outside a quoted local
 * part are refused, so an accepted address can stand in a command or a header as it is.
 * RC_PARSE, RC_LIMIT (RFC 5321 4.5.3.1 sizes).
 */
NODISCARD int address_parse(struct sv text, unsigned flags, struct address *out_address);

/*
 * Reads an address as somebody wrote it (ADDRESS_LOOSE is added to `flags`) and appends the one form that
 * postern keeps and sends on: quotes only where the local part needs them, "a..b"@docomo.example, and no dot
 * behind the domain. What was appended passes address_parse(). RC_PARSE, RC_LIMIT: nothing was.
 */
NODISCARD int address_clean(struct buf *out, struct sv text, unsigned flags);

/* Where its '@' is, behind which the domain begins; negative: it has none. One in a quoted local part is none. */
NODISCARD ptrdiff_t address_at(struct sv text);

/* Same mailbox for our purposes: domain and local part without regard to ASCII case. */
NODISCARD bool address_eq(struct sv a, struct sv b);
NODISCARD bool address_needs_utf8(struct sv text); /* any byte above 0x7f */

/*
 * Patterns of routes and senders: "erp@contoso.com", "*@contoso.com", "*@*.contoso.com", "*", and
 * "" for the null sender. `*` stands for any run of characters in its part. Case is ignored.
 */
NODISCARD bool address_matches(struct sv pattern, struct sv text);
/*
 * The same bytes for two that match each other, whatever their case and quotes; of a text without a star, which
 * then stands for no run of characters. False: too long, it matches nothing. `*out` points into `bytes`.
 */
NODISCARD bool address_fold(struct sv text, char bytes[LIMIT_ADDRESS], struct sv *out);
NODISCARD int address_pattern_check(struct sv pattern); /* RC_PARSE: not a pattern */

/* Appends "local@domain" in lower case: the key under which a mailbox is counted. */
NODISCARD int address_key(struct buf *out, struct sv text);
