/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"

/* This process, and the machine that it runs on. */

/* Of the environment; NULL: there is none of that name. Nobody changes it while we run. */
const char *io_machine_variable(const char *name);
unsigned io_machine_process_id(void);
enum {
	IO_MACHINE_NAME_MAX = 256
};
/* What the machine calls itself; -ENAMETOOLONG and the like when it cannot be told. */
NODISCARD int io_machine_name(char out[IO_MACHINE_NAME_MAX]);
