/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/screen.h"

#include "base/attr.h"
#include "base/buf.h"
#include "base/must.h"
#include "base/text.h"
#include "io/file.h"
#include "io/loop.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	NONCE_LEN = 16, /* of hexadecimal digits */
	MARK_LEN = 1 + NONCE_LEN + 2,
	PIECE = 4096,
};

static const struct {
	char letter;
	const char *sent;
} marks[] = {
	[CLI_MARK_OFF] = { 'O', "\x1b[0m" },
	[CLI_MARK_BOLD] = { 'B', "\x1b[1m" },
	[CLI_MARK_DIM] = { 'D', "\x1b[2m" },
	[CLI_MARK_RED] = { 'R', "\x1b[31m" },
	[CLI_MARK_GREEN] = { 'G', "\x1b[32m" },
	[CLI_MARK_YELLOW] = { 'Y', "\x1b[33m" },
	[CLI_MARK_AGAIN] = { 'A', "\r\x1b[K" },
};
static_assert(COUNT_OF(marks) == CLI_MARK_COUNT, "a way to send each");

static char written[CLI_MARK_COUNT][MARK_LEN + 1];

struct screen {
	int fd;
	bool json;
	char held[MARK_LEN]; /* the beginning of a character or of a mark */
	size_t held_len;
};

const char *cli_mark(enum cli_mark mark)
{
	return written[mark];
}

static void make_marks(void)
{
	uint64_t nonce = io_random_u64();

	static_assert(NONCE_LEN == 2 * sizeof(nonce), "a digit for four bits");
	for (size_t i = 0; i < CLI_MARK_COUNT; i++)
		(void)snprintf(written[i],
			sizeof(written[i]),
			"\x1b%016llx%cm",
			(unsigned long long)nonce,
			marks[i].letter);
}

/* Our mark at the front: what it stands for. `out_more`: it could become one. */
static const char *mark_of(struct sv v, bool *out_more)
{
	struct sv nonce = sv_head(sv_from(written[0]), 1 + NONCE_LEN);

	*out_more = v.len < MARK_LEN && sv_eq(sv_head(nonce, v.len), sv_head(v, nonce.len));
	for (size_t i = 0; v.len >= MARK_LEN && i < CLI_MARK_COUNT; i++)
		if (memcmp(v.ptr, written[i], MARK_LEN) == 0)
			return marks[i].sent;
	return NULL;
}

static int show(struct buf *out, struct sv c, bool json)
{
	uint32_t point = 0xfffd;

	if (!json)
		return text_show(out, c);
	if (c.len == 1 && (unsigned char)c.ptr[0] < 0x80)
		point = (unsigned char)c.ptr[0];
	else if (c.len == 2)
		point = ((unsigned char)c.ptr[0] & 0x1fU) << 6 | ((unsigned char)c.ptr[1] & 0x3fU);
	else if (c.len == 3)
		point = ((unsigned char)c.ptr[0] & 0x0fU) << 12 |
			((unsigned char)c.ptr[1] & 0x3fU) << 6 | ((unsigned char)c.ptr[2] & 0x3fU);
	return buf_printf(out, "\\u%04x", point);
}

/* Takes from the front of `v`; what cannot be judged yet stays in it. */
static int pass(struct buf *out, struct sv *v, bool json)
{
	int rc = 0;

	while (v->len && rc == 0) {
		bool more = false, safe = false;
		const char *own = v->ptr[0] == '\x1b' ? mark_of(*v, &more) : NULL;
		size_t len = own ? MARK_LEN : text_next(*v, &safe);

		if (more || (!own && text_is_cut(*v)))
			return 0;
		/* Lines and columns are ours: what strangers wrote of them was shown before (cli/ask.c). */
		safe |= v->ptr[0] == '\n' || v->ptr[0] == '\t';
		if (own)
			rc = buf_append(out, sv_from(own));
		else
			rc = safe ? buf_append(out, sv_head(*v, len))
				  : show(out, sv_head(*v, len), json);
		*v = sv_skip(*v, len);
	}
	return rc;
}

static ssize_t on_write(void *arg, const char *bytes, size_t len)
{
	struct screen *s = arg;
	struct sv rest = sv_make(bytes, len);

	while (rest.len) {
		CLEANUP(buf_deinitp) struct buf out = BUF_INIT(8 * PIECE);
		char piece[MARK_LEN + PIECE];
		size_t n = rest.len < PIECE ? rest.len : PIECE;
		struct sv v = sv_make(piece, s->held_len + n);

		memcpy(piece, s->held, s->held_len);
		memcpy(piece + s->held_len, rest.ptr, n);
		must(pass(&out, &v, s->json) == 0);
		must(v.len < sizeof(s->held));
		s->held_len = v.len;
		if (v.len)
			memcpy(s->held, v.ptr, v.len);
		if (io_write_all(s->fd, buf_sv(&out)) != 0)
			return 0;
		rest = sv_skip(rest, n);
	}
	return (ssize_t)len;
}

static int on_close(void *arg)
{
	struct screen *s = arg;
	int rc = s->fd > STDERR_FILENO ? close(s->fd) : 0;

	free(s);
	return rc;
}

static FILE *open_screen(int fd, bool json, int buffering)
{
	const cookie_io_functions_t functions = { .write = on_write, .close = on_close };
	struct screen *s = xcalloc(1, sizeof(*s));
	FILE *file;

	*s = (struct screen){ .fd = fd, .json = json };
	file = fopencookie(s, "w", functions);
	if (!file)
		free(s);
	else
		(void)setvbuf(file, NULL, buffering, 0);
	return file;
}

FILE *cli_screen_file(int fd)
{
	return open_screen(fd, false, _IOFBF);
}

void cli_screen_open(bool json)
{
	FILE *out, *err;

	make_marks();
	out = open_screen(STDOUT_FILENO, json, isatty(STDOUT_FILENO) ? _IOLBF : _IOFBF);
	err = open_screen(STDERR_FILENO, json, _IONBF);
	must(out != NULL);
	must(err != NULL);
	stdout = out;
	stderr = err;
}
