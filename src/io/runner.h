/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/sv.h"

/*
 * The runner: a small process that starts the programs of the configuration for a daemon that may start none
 * itself (io/confine.h). It is begun before there are threads and secrets, knows the command lines of that
 * moment, and takes no others: whoever gets hold of the daemon can have a secret printed once more, and no
 * program of his own. It ends with the daemon. Once it runs, io_command_run() asks it.
 */

/*
 * The values of the environment's `hidden` variables are gone for the programs. May be called once. What it
 * allows is exactly `lines`, also when there are none, and so no process.
 */
NODISCARD int io_runner_start(const struct sv *lines, size_t line_count, const struct sv *hidden,
	size_t hidden_count, struct err *err);
/* Could io_command_run() start it? Always, as long as no runner was begun. */
NODISCARD bool io_runner_takes(struct sv line);
