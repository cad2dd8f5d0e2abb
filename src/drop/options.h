/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/sv.h"
#include "mail/dsn.h"

/*
 * The command line of sendmail, mailq and newaliases. What programs pass out of habit and what means
 * nothing here is taken and ignored; a flag nobody knows is refused, for it could have mattered.
 */
enum drop_mode {
	DROP_MODE_SUBMIT,
	DROP_MODE_SMTP,       /* -bs: the caller speaks SMTP */
	DROP_MODE_MAILQ,      /* named mailq, or -bp */
	DROP_MODE_NEWALIASES, /* named newaliases, -bi or -I: there is nothing to build */
	DROP_MODE_NOTHING,    /* -q, -bh, -bH: the daemon does by itself what they ask for */
};

enum {
	DROP_NAME_MAX = 200 /* bytes of -F: a From field of one line (RFC 5322 2.1.1) */
};

/* Views borrow from argv. */
struct drop_options {
	enum drop_mode mode;
	bool recipients_from_header; /* -t */
	bool ignore_dots;            /* -i, -oi: a line with only a dot does not end the message */
	bool verbose;                /* -v */
	bool sender_given;
	struct sv sender; /* -f, -r as given; may be empty or "<>": the null sender */
	struct sv name;   /* -F */
	uint8_t notify;   /* -N, DSN_NOTIFY_* bits */
	enum dsn_ret ret; /* -R */
	struct sv envid;  /* -V */
	bool body_8bit;   /* -B 8BITMIME */
	int operands_at;  /* argv[operands_at] and on are recipients */
};

/*
 * Options stand before the recipients; `--` ends them. A word with a dash among the recipients is
 * refused: programs that pass on what strangers typed must not hand us options that way.
 * RC_PARSE with the flag named in `err`.
 */
NODISCARD int drop_options_parse(
	int argc, char *const *argv, struct drop_options *out_options, struct err *err);
