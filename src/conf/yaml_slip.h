/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "base/sv.h"

/* The usual slips of YAML, in words that say what to change. */

/* What libyaml says, and the text that it read. Lines and columns from 1; columns in characters. */
struct conf_yaml_trouble {
	struct sv text;
	unsigned line, column;
	unsigned context_line;         /* where that began; 0: unknown */
	const char *problem, *context; /* never NULL */
};
enum {
	CONF_YAML_SLIP_MAX = 300
};
/* Never quotes the text: there may be a password in it. True: it belongs to where the context began. */
NODISCARD bool conf_yaml_slip(const struct conf_yaml_trouble *t, char out[CONF_YAML_SLIP_MAX]);

/* What makes a plain word something else than it looks like; NULL: nothing. */
const char *conf_yaml_foreign(struct sv text);
