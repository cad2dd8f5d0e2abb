/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include "base/err.h"
#include "base/must.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	BUF_FIRST = 256
};

void buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){ .max = max };
}

void buf_init_wiping(struct buf *b, size_t max)
{
	*b = (struct buf){ .max = max, .wipes = true };
}

static void wipe(struct buf *b)
{
	if (b->wipes && b->ptr)
		explicit_bzero(b->ptr, b->cap);
}

void buf_deinit(struct buf *b)
{
	wipe(b);
	free(b->ptr);
	*b = (struct buf){ .max = b->max, .wipes = b->wipes };
}

void buf_deinitp(struct buf *b)
{
	buf_deinit(b);
}

void buf_reset(struct buf *b)
{
	wipe(b);
	b->head = 0;
	b->len = 0;
}

/* Not by realloc() where it wipes: that leaves what it moved behind. */
static void grow(struct buf *b, size_t cap)
{
	char *grown;

	if (!b->wipes) {
		b->ptr = xrealloc(b->ptr, cap);
		b->cap = cap;
		return;
	}
	grown = xmalloc(cap);
	if (b->len)
		memcpy(grown, b->ptr, b->len);
	wipe(b);
	free(b->ptr);
	b->ptr = grown;
	b->cap = cap;
}

static bool has_room(const struct buf *b, size_t n)
{
	return b->cap - b->head - b->len >= n && b->ptr && n <= b->max - b->len;
}

int buf_reserve(struct buf *b, size_t n)
{
	size_t cap;

	if (has_room(b, n))
		return 0;
	if (n > b->max - b->len)
		return RC_LIMIT;
	if (b->ptr && b->cap - b->len >= n && b->head >= b->len) {
		/* Moving fewer bytes than were consumed keeps the whole linear. */
		memcpy(b->ptr, b->ptr + b->head, b->len);
		b->head = 0;
		return 0;
	}
	cap = b->cap ? b->cap : BUF_FIRST;
	while (cap < b->len + n)
		cap *= 2;
	if (b->head) {
		memmove(b->ptr, b->ptr + b->head, b->len);
		b->head = 0;
	}
	if (cap != b->cap || !b->ptr)
		grow(b, cap);
	return 0;
}

char *buf_tail(struct buf *b)
{
	return b->ptr + b->head + b->len;
}

void buf_grew(struct buf *b, size_t n)
{
	must(n <= b->cap - b->head - b->len);
	b->len += n;
}

int buf_append(struct buf *b, struct sv bytes)
{
	if (bytes.len == 0)
		return 0;
	if (!has_room(b, bytes.len) && buf_reserve(b, bytes.len) != 0)
		return RC_LIMIT;
	memcpy(buf_tail(b), bytes.ptr, bytes.len);
	b->len += bytes.len;
	return 0;
}

int buf_append_char(struct buf *b, char c)
{
	return buf_append(b, sv_make(&c, 1));
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list args;
	size_t room;
	int n;

	if (buf_reserve(b, b->len < b->max ? 1 : 0) != 0 || !b->ptr)
		return RC_LIMIT;
	room = b->cap - b->head - b->len;
	va_start(args, fmt);
	n = vsnprintf(buf_tail(b), room, fmt, args);
	va_end(args);
	must(n >= 0);
	if ((size_t)n >= room) {
		/* One byte more than is kept: vsnprintf wants room for its NUL. */
		size_t keep_max = b->max;
		int rc;

		if ((size_t)n > b->max - b->len)
			return RC_LIMIT;
		b->max = keep_max + 1;
		rc = buf_reserve(b, (size_t)n + 1);
		b->max = keep_max;
		if (rc != 0)
			return rc;
		va_start(args, fmt);
		n = vsnprintf(buf_tail(b), (size_t)n + 1, fmt, args);
		va_end(args);
	} else if ((size_t)n > b->max - b->len) {
		return RC_LIMIT;
	}
	b->len += (size_t)n;
	return 0;
}

void buf_consume(struct buf *b, size_t n)
{
	must(n <= b->len);
	b->head += n;
	b->len -= n;
	if (b->len == 0)
		b->head = 0;
}
