/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"

/*
 * What a session signs in with, taken out of what a server says: some repeat the line that they do not understand,
 * and what they say is logged, stored and shown. Found are the secret as it is, its base64 by itself or within that
 * of a longer text, and pieces of either; over spaces, and over the line ends of replies and transcripts. A password
 * as it is counts only as a whole: pieces of one are words.
 */
enum {
	SMTP_MASK_GROWTH =
		8 /* times as long at most: a byte a line of a secret that is spread over many */
};
struct smtp_mask {
	struct sv secret; /* empty: nothing is taken out */
	bool is_token;
};

/* Appends `text`, with "[secret]" in place of what it repeats. RC_LIMIT: the buffer is full, and holds no secret. */
NODISCARD int smtp_mask_text(const struct smtp_mask *m, struct sv text, struct buf *out);
