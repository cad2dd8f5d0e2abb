/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/must.h"
#include "cli/ask.h"
#include "observe/json.h"
#include "provider/explain.h"

/* The parts of `postern explain` that look at more than one text. */

int cli_explain_unknown(struct cli_context *ctx);
int cli_explain_catalogue(struct cli_context *ctx);
