/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "observe/query.h"

/*
 * The control socket: how the CLI and the dashboard look into a running daemon, since no other process
 * may open the database (an idle reader lets the WAL grow without end). JSON lines both ways, see
 * observe/query.h. Peers: root, the daemon's own user, and members of the socket's group.
 */
struct observe_control;

/* `path`: general.control_socket. Made with mode 0660. `sources` is borrowed. */
NODISCARD struct observe_control *observe_control_open(
	const struct observe_sources *sources, struct sv path, struct err *err);
void observe_control_close(struct observe_control *c);
