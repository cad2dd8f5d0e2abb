/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "base/buf.h"
#include "base/sv.h"

enum {
	SMTP_CHALLENGE_TEXT_MAX = 400 /* of what smtp_challenge_describe() appends */
};

/*
 * Why a token was refused, as the 334 behind XOAUTH2 or OAUTHBEARER says it: base64 of a JSON object
 * with "status", "schemes" and "scope" (RFC 7628 3.2.2, and Google's XOAUTH2 page). Appends
 * "status 400, schemes Bearer, scope https://mail.google.com/": those that are there, in this order,
 * as strings or numbers, each cut, printable ASCII only. RC_PARSE, and nothing appended, when it is
 * not such an object or has none of them; RC_LIMIT when it is too long or `out` is full.
 */
NODISCARD int smtp_challenge_describe(struct sv base64, struct buf *out);
