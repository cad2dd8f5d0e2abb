/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "observe/query.h"

#include <sys/types.h>

/*
 * The control socket: how the CLI and the dashboard look into a running daemon, since no other process
 * may open the database (an idle reader lets the WAL grow without end). JSON lines both ways, see
 * observe/query.h. Peers: root, the daemon's own user, and members of the socket's group.
 */
struct observe_control;

struct observe_control_options {
	const struct observe_sources *sources; /* borrowed */
	struct sv path;                        /* made with mode 0660 */
	gid_t group;                           /* of the file; -1: ours */
	bool monitors;                         /* observe_query_sink.monitors */
};
NODISCARD struct observe_control *observe_control_open(
	const struct observe_control_options *options, struct err *err);
/* False: it has our group, since we are not in `group`. */
NODISCARD bool observe_control_has_group(const struct observe_control *c);
void observe_control_close(struct observe_control *c);
