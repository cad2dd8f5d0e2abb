/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "conf/conf.h"
#include "io/loop.h"
#include "store/store.h"

/*
 * The queue for the daemon. Of one that a disk has damaged a repair that loses nothing is made at once; any other needs
 * a person, and what can be read leaves until then. NULL, -EBUSY: another has it open.
 */
NODISCARD struct store *cli_serve_queue_open(
	struct io_loop *l, struct conf *c, struct store_recovery *out_recovery, struct err *err);
