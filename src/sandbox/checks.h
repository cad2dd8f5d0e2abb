/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>

/*
 * What a message that was taken would meet further on: at Exchange Online, at readers (RFC 5322), and at those who take bulk
 * mail. A list of {"check", "of", "result": ok | note | warn | fail, "text", "step"}; the caller's. What DNS says is not asked
 * here: `postern domain check` does.
 */
struct sandbox;
struct sandbox_message;

json_t *sandbox_checks(struct sandbox *s, const struct sandbox_message *m);
