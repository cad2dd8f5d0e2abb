/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/text.h"

/*
 * Instants and numbers for people. Instants come as the daemon gives them (RFC 3339) and are shown in the
 * local zone with its offset; what cannot be read is shown as it is, "" as "". All return `out`.
 */
enum {
	CLI_WHEN_MAX = 96,
	CLI_COUNT_MAX = TEXT_COUNT_MAX,
};

/* "03:12:05 +01:00"; with the date in front when it is not today. */
const char *cli_clock(const char *at, char out[CLI_WHEN_MAX]);
/* "2 h ago", "in 41 s", "now". */
const char *cli_relative(const char *at, char out[CLI_WHEN_MAX]);
/* "03:12 +01:00 (2 h ago)". */
const char *cli_when(const char *at, char out[CLI_WHEN_MAX]);
/* "41 s", "42 min", "3 h", "12 days": the largest unit that says enough. */
const char *cli_span(long long seconds, char out[CLI_WHEN_MAX]);
/* "3,494". */
const char *cli_count(long long number, char out[CLI_COUNT_MAX]);
