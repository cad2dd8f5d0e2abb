/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdio.h>

/*
 * The border of every terminal. Whatever a command prints, on standard output, standard error or into a report,
 * passes text_next() here: subjects, addresses and replies of strangers are shown and steer nothing. What we
 * send ourselves (a style, the beginning of the line) is written as a mark that nobody else can know.
 */
void cli_screen_open(
	bool json); /* of standard output and standard error; --json: escaped as in a JSON string */
/* The same for a file that was opened for writing. NULL: no memory; the descriptor is closed by fclose(). */
FILE *cli_screen_file(int fd);

enum cli_mark {
	CLI_MARK_OFF,
	CLI_MARK_BOLD,
	CLI_MARK_DIM,
	CLI_MARK_RED,
	CLI_MARK_GREEN,
	CLI_MARK_YELLOW,
	CLI_MARK_AGAIN, /* back to the first column, and what stands there goes */
	CLI_MARK_COUNT
};
/* To be printed; it begins with ESC, ends with 'm', and takes no column. Valid for ever. */
const char *cli_mark(enum cli_mark mark);
