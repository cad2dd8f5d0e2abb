/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/secret.h"
#include "conf/conf.h"
#include "identity/vault.h"
#include "provider/verdict.h"

/*
 * Fetches a secret from where the configuration says it is. One trailing newline of a file is cut. A
 * file that others may read gives a warning in *out_warning (static text, or NULL). The error text
 * names the place in the configuration and the file, never a byte of the secret. `vault` is for
 * vault:NAME; NULL: there is none, which is an error then.
 *
 * A command is waited for (at most IDENTITY_COMMAND_S): not on the loop, but in a worker.
 */
enum {
	IDENTITY_COMMAND_S = 10
};
/* What it means that a secret could not be had: the vault's own troubles (identity_vault_get()), else `otherwise`. */
NODISCARD enum cause identity_secret_cause(int rc, enum cause otherwise);
NODISCARD int identity_secret_load(const struct conf_secret *where, struct identity_vault *vault,
	struct secret **out_secret, const char **out_warning, struct err *err);
