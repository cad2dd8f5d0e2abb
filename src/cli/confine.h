/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "conf/conf.h"

/*
 * What the daemon needs of the machine, taken from its configuration (io/confine.h). Programs are started by the
 * runner (io/runner.h), which begins here, too.
 */

/* Before any thread. Fails only when the runner cannot be started. `confine: false` leaves all as it is. */
NODISCARD int cli_confine(const struct conf *c, struct err *err);
/* The listeners are open; says in the log what is in force. */
void cli_confine_settled(const struct conf *c);
/*
 * Does the running daemon reach all that `fresh` names? If not, false, and *out has a line for each thing: a
 * restart is needed.
 */
NODISCARD bool cli_confine_allows(const struct conf *fresh, struct buf *out);
