/* SPDX-License-Identifier: Apache-2.0 */
#include "io/loop.h"

#include <sys/timex.h>

bool io_clock_is_synced(void)
{
	struct timex t = { 0 };

	return adjtimex(&t) >= 0 && !(t.status & STA_UNSYNC);
}
