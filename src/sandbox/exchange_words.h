/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "smtp/server.h"

/* What Exchange Online says where our own server says something else. */
const struct smtp_server_wording *sandbox_exchange_words(size_t *out_count);
