/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"

#include <jansson.h>

/*
 * What a JSON object of the API may hold. A misspelt key that is passed over leaves a test that proves
 * nothing, so every object is checked whole before anything of it is applied.
 */
enum sandbox_type {
	SANDBOX_TYPE_BOOL,
	SANDBOX_TYPE_COUNT, /* a whole number, 0 to 4294967295 */
	SANDBOX_TYPE_INTEGER,
	SANDBOX_TYPE_NUMBER,
	SANDBOX_TYPE_TEXT,
	SANDBOX_TYPE_TEXT_OR_NULL,
	SANDBOX_TYPE_TEXTS, /* a list of texts */
	SANDBOX_TYPE_OBJECT,
	SANDBOX_TYPE_LIST, /* of anything; its reader looks closer */
};

struct sandbox_key {
	const char *name;
	enum sandbox_type type;
};

/* RC_PARSE with `where`, the key, what is wrong with it, and the nearest known key. */
NODISCARD int sandbox_keys_check(const json_t *object, const char *where,
	const struct sandbox_key *keys, size_t count, struct err *err);
