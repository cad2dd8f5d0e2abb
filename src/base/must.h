/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"

#include <stddef.h>

/*
 * A condition that only a bug of ours can break. Stays in release builds: the store is crash-safe,
 * and going on with a broken invariant is not. Nothing that a peer, a disk or an administrator does
 * may reach a `must`.
 */
#define must(cond)                                            \
	do {                                                  \
		if (__builtin_expect(!(cond), 0))             \
			must_fail(#cond, __FILE__, __LINE__); \
	} while (0)

NORETURN void must_fail(const char *cond, const char *file, int line);

/*
 * Allocation that either succeeds or does not return. Honest only because every size that a peer
 * influences is bounded first (base/limits.h).
 */
NODISCARD void *xmalloc(size_t size);
NODISCARD void *xcalloc(size_t count, size_t size); /* overflow of count * size aborts */
NODISCARD void *xrealloc(void *ptr, size_t size);
