/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

struct cli_context;

/*
 * On a terminal, what is printed from now on goes through $PAGER, or `less` with -FRX: it ends by itself
 * when all of it fits on the screen. Nothing in a pipe, with --json, with an empty $PAGER or without less.
 */
void cli_pager_open(const struct cli_context *ctx);
/* Waits until its reader leaves. Nothing when none is open. */
void cli_pager_close(void);
