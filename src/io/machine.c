/* SPDX-License-Identifier: Apache-2.0 */
#include "io/machine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *io_machine_variable(const char *name)
{
	return getenv(name);
}

unsigned io_machine_process_id(void)
{
	return (unsigned)getpid();
}

int io_machine_name(char out[IO_MACHINE_NAME_MAX])
{
	memset(out, 0, IO_MACHINE_NAME_MAX);
	return gethostname(out, IO_MACHINE_NAME_MAX - 1) == 0 ? 0 : -errno;
}
