/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "base/sv.h"

#include <stdbool.h>

/*
 * What a server says, and what it only repeats. A reply often quotes the message that it refuses: an
 * address, a subject, the name in our EHLO. Who writes the message would choose the verdict, if those
 * words were matched like the server's. Pure; the time is bounded whatever stands in the texts.
 */
enum {
	PROVIDER_OWN_MAX = 64,          /* texts of one message that a reply may repeat */
	PROVIDER_OWN_BYTES = 1024,      /* of each of them */
	PROVIDER_SAID_BYTES = 4096,     /* of a reply are searched (what is kept of one) */
	PROVIDER_SAID_OCCURRENCES = 16, /* of a pattern in a reply, and in each text */
};

/* The message's own words at the stage of the reply; count 0: none are known. */
struct provider_own {
	const struct sv *words;
	size_t count;
};

/*
 * Does the server itself say `pattern` (in any case), at the start when `first`? A place does not count
 * that a server marks as somebody else's words ("...", <...>, an address, what follows `subject` or
 * `header field`), nor one at which it repeats one of `own`.
 */
NODISCARD bool provider_says(
	struct sv text, struct sv pattern, bool first, const struct provider_own *own);
