/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <assert.h>

/* Compiler attributes and the few macros that are allowed (style: never for flow). */

#define NODISCARD __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define NORETURN __attribute__((noreturn))
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* The struct that holds `member` at `ptr`. */
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* `CLEANUP(x_freep) struct x *p = ...` frees p on every way out of the block. */
#define CLEANUP(fn) __attribute__((cleanup(fn)))
#define DEFINE_CLEANUP(type, fn)           \
	static inline void fn##p(type **p) \
	{                                  \
		if (*p)                    \
			fn(*p);            \
	}                                  \
	struct cleanup_decl_##fn /* swallows the semicolon */

/* Gives the pointer away: yields its value and leaves NULL, so that CLEANUP frees nothing. */
#define TAKE(ptr)                                      \
	({                                             \
		__typeof__(ptr) *taken_from_ = &(ptr); \
		__typeof__(ptr) taken_ = *taken_from_; \
		*taken_from_ = NULL;                   \
		taken_;                                \
	})
