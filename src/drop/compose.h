/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/arena.h"
#include "base/time.h"
#include "drop/message.h"
#include "drop/options.h"
#include "mail/drop_format.h"

/* Whoever runs the program, as the system knows him. */
struct drop_user {
	struct sv login;
	struct sv gecos; /* passwd's field, comma parts and all; may be empty */
};

struct drop_compose_args {
	const struct drop_options *options;
	const struct sv *operands; /* recipients of the command line, lists allowed */
	size_t operand_count;
	const struct drop_user *user;
	struct wall_time now;
	struct buf *bad; /* gets the recipients that are no addresses, a line each: the others go */
};

/*
 * Makes the envelope and fixes the header of a message that was read: sender (by default the login
 * name, which the daemon qualifies), recipients from the operands and, with -t, the header; Bcc goes,
 * From and Date come when they are missing. Views live in `arena`, in argv and in the user.
 * RC_PARSE: a sender that is no address, or no recipient that is one, in `err`; RC_LIMIT: too many; RC_NOT_FOUND: no recipient.
 */
NODISCARD int drop_compose(struct arena *arena, const struct drop_compose_args *args,
	struct drop_message *message, struct drop_envelope *out_envelope, struct err *err);
