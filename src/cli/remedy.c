/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ask.h"

#include <stdio.h>

/* Who can fix what holds mail, and how: the same words on every screen. */

static void put_line(size_t indent, const char *label, const char *text)
{
	if (text[0])
		cli_print(indent + 10, "%*s%-9s %s\n", (int)indent, "", label, text);
}

void cli_print_remedy(const struct cli_context *ctx, const json_t *of, size_t indent)
{
	(void)ctx;
	put_line(indent, "who", cli_text(of, "who"));
	put_line(indent, "step", cli_text(of, "step"));
	put_line(indent, "or", cli_text(of, "or"));
	put_line(indent, "shell", cli_text(of, "command"));
	put_line(indent, "page", cli_text(of, "page"));
}
