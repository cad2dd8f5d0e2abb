/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "base/sv.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Growing bytes with a mandatory maximum. The all-zero value is a valid empty buffer of maximum 0.
 * Appends fail with RC_LIMIT, and change nothing, beyond the maximum. Consumed bytes at the front
 * are given back lazily, so consume() in small steps stays linear.
 */
struct buf {
	char *ptr;   /* storage */
	size_t head; /* first live byte */
	size_t len;  /* live bytes */
	size_t cap;
	size_t max;
	bool wipes; /* secrets may come in: no byte of it stays in memory that is given back, nor behind a reset */
};

#define BUF_INIT(max_bytes)        \
	{                          \
		.max = (max_bytes) \
	}

void buf_init(struct buf *b, size_t max);
void buf_init_wiping(struct buf *b, size_t max);
void buf_deinit(struct buf *b);  /* frees; what init() set stays, so it can be used again */
void buf_deinitp(struct buf *b); /* for CLEANUP() on a struct buf */
void buf_reset(struct buf *b);   /* empty, storage kept */

NODISCARD int buf_append(struct buf *b, struct sv bytes);
NODISCARD int buf_append_char(struct buf *b, char c);
NODISCARD int buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* At least `n` writable bytes at buf_tail(); then buf_grew(b, written). RC_LIMIT if over the maximum. */
NODISCARD int buf_reserve(struct buf *b, size_t n);
char *buf_tail(struct buf *b);
void buf_grew(struct buf *b, size_t n);

void buf_consume(struct buf *b, size_t n); /* n <= len */

static inline struct sv buf_sv(const struct buf *b)
{
	return sv_make(b->ptr ? b->ptr + b->head : NULL, b->len);
}

static inline size_t buf_room(const struct buf *b)
{
	return b->max - b->len;
}
