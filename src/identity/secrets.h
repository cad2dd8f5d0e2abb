/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/secret.h"
#include "conf/conf.h"

/*
 * Fetches a secret from where the configuration says it is. One trailing newline of a file is cut. A
 * file that others may read gives a warning in *out_warning (static text, or NULL). The error text
 * names the place in the configuration and the file, never a byte of the secret.
 */
NODISCARD int identity_secret_load(const struct conf_secret *where, struct secret **out_secret,
	const char **out_warning, struct err *err);
