/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "base/sv.h"

/*
 * Is this the common name of a public CA, of the kind that mail services get their certificates from? When such
 * a one is not trusted, the list of CAs here is old or missing; who intercepts TLS signs with a CA of his own.
 */
NODISCARD bool provider_is_public_ca(struct sv issuer);
