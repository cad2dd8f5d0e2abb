/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"

/*
 * Text for PowerShell. What comes out is printable ASCII only: Windows PowerShell reads a file without a
 * byte order mark in the machine's code page, where bytes of UTF-8 can become U+2018 to U+201B, which it
 * takes for quotes. So 'text' with doubled quotes, or ('te' + [char]0x2019 + 'xt').
 */

/* Appends an expression whose value is `text`; what is not UTF-8 becomes U+FFFD. RC_LIMIT. */
NODISCARD int setup_ps_quote(struct buf *out, struct sv text);

/* Appends what may stand in a comment: all else than printable ASCII becomes `?`. RC_LIMIT. */
NODISCARD int setup_ps_comment(struct buf *out, struct sv text);

/* Cuts one character off the front of `text`; U+FFFD for a byte that begins none. `text` is not empty. */
NODISCARD uint32_t setup_utf8_next(struct sv *text);
