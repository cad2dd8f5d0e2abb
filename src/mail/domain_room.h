/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/sv.h"

#include <stdint.h>

/*
 * How many recipients, from the first on, may go in one message when no domain may have more than `max`
 * of them (Exchange: 4.5.3 after 200 of a domain). At least 1; all when `max` is 0. Pure.
 */
size_t mail_domain_room(size_t count, uint32_t max, struct sv (*address)(const void *arg, size_t i),
	const void *arg);
