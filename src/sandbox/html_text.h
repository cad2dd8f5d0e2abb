/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/sv.h"

#include <jansson.h>

/*
 * What a person would read of HTML, about: without tags, style and script; ends of blocks become line ends, and the common
 * character references are resolved. For searching and for lists, never for showing as HTML. Linear.
 */
json_t *html_text(struct sv html); /* a string, the caller's */
