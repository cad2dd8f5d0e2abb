/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cli/cli.h"

#include "smtp/transcript.h"

/* What was said in a session: "  0.012 > EHLO relay", a line each, dim where they are ours. */
void cli_transcript_line(
	struct cli_context *ctx, FILE *to, const struct smtp_transcript_line *line);
/* The side of a line of JSON; what is unknown is a note. */
enum smtp_transcript_side cli_transcript_side(const char *name);
