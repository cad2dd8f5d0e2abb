/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/sv.h"

#define SANDBOX_CLIENT_NAME "mail.contoso.com"

/*
 * A throw-away certification authority, a server's certificate and that of a connector's client (P-256, ten
 * years): FOLDER/ca.pem, ca.key, server.pem, server.key, client.pem, client.key. Kept and used again
 * while they are there and valid, and hold the host name; else all are made anew.
 */
NODISCARD int sandbox_ca_make(struct sv folder, struct sv host_name, struct err *err);
