/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/sv.h"

/*
 * A throw-away certification authority and one server certificate (P-256, a month), written to
 * FOLDER/ca.pem, server.pem and server.key. Kept and used again while it is there.
 */
NODISCARD int sandbox_ca_make(struct sv folder, struct sv host_name, struct err *err);
