/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/transcript.h"

#include <string.h>

void cli_transcript_line(struct cli_context *ctx, FILE *to, const struct smtp_transcript_line *line)
{
	static const char signs[] = { '>', '<', '*' };
	bool styled = to == stdout && line->side != SMTP_TRANSCRIPT_THEIRS;

	(void)fprintf(to,
		"    %s%7.3f %c %.*s%s\n",
		styled ? cli_style(ctx, "dim") : "",
		(double)line->ms / 1000,
		signs[line->side],
		SV_ARG(line->text),
		styled ? cli_style(ctx, "off") : "");
}

enum smtp_transcript_side cli_transcript_side(const char *name)
{
	for (enum smtp_transcript_side s = 0; s < SMTP_TRANSCRIPT_SIDE_COUNT; s++)
		if (strcmp(name, smtp_transcript_side_name(s)) == 0)
			return s;
	return SMTP_TRANSCRIPT_NOTE;
}
