/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/sv.h"
#include "mail/address.h"

/* The grammar of SMTP commands (RFC 5321 4.1.2), as the server reads it. */

enum smtp_verb {
	SMTP_VERB_UNKNOWN,
	SMTP_VERB_HELO,
	SMTP_VERB_EHLO,
	SMTP_VERB_MAIL,
	SMTP_VERB_RCPT,
	SMTP_VERB_DATA,
	SMTP_VERB_BDAT,
	SMTP_VERB_RSET,
	SMTP_VERB_NOOP,
	SMTP_VERB_QUIT,
	SMTP_VERB_VRFY,
	SMTP_VERB_EXPN,
	SMTP_VERB_HELP,
	SMTP_VERB_STARTTLS,
	SMTP_VERB_AUTH,
	SMTP_VERB_FOREIGN, /* HTTP: a browser was sent here to speak for somebody */
};

/* The verb, and what stands behind it without the spaces around. */
enum smtp_verb smtp_command_verb(struct sv line, struct sv *out_rest);

/*
 * Reads "FROM:<path> params" or "TO:<path> params" behind MAIL or RCPT. `keyword` is "FROM" or "TO". As
 * Postfix does, blanks around the path, a path without brackets, with double ones or with a closing one only,
 * and a semicolon behind it are taken as well. A source route is dropped (RFC 5321 4.1.1.3). *out_path comes
 * without brackets, *out_params without blanks.
 * `lenient`, for devices: the colon may be missing or have blanks before it, a name may stand before the
 * opening bracket ("Anna <b@example.org>": the address is what the brackets hold), the closing one may be
 * missing. Never does it matter less what the bytes mean: what could be a second address is RC_PARSE.
 */
NODISCARD int smtp_command_path(struct sv rest, struct sv keyword, bool lenient,
	struct sv *out_path, struct sv *out_params);

/* Cuts the next "KEY" or "KEY=value" off. 1: there is one; 0: the end; RC_PARSE. */
NODISCARD int smtp_command_param(struct sv *params, struct sv *out_key, struct sv *out_value);

/* Only space to "~": what RFC 3461 asks of ENVID and ORCPT once their xtext is undone (4.2, 4.4). */
NODISCARD bool smtp_text_printable(struct sv text);
/* ORCPT: "type;xtext" (RFC 3461 4.2). */
NODISCARD bool smtp_orcpt_ok(struct sv value);
