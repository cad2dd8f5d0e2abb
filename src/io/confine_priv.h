/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "io/confine.h"

/*
 * confine.c        the order of the steps, capabilities, what is said of it
 * confine_files.c  Landlock: folders and ports
 * confine_calls.c  seccomp: system calls
 *
 * Each fills its part of the state. NULL, or what the kernel lacks: static text.
 */
NODISCARD const char *io_confine_files(
	const struct io_confine_plan *plan, struct io_confine_state *state);
NODISCARD const char *io_confine_calls(struct io_confine_state *state);
