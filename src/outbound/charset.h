/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "mail/mime.h"

/* Names of files in the character sets of the world, by the C library's iconv (mail/ is pure and has none). */
extern const struct mime_converter outbound_charsets;
