/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/mask.h"

#include "base/err.h"
#include "base/heap.h"
#include "base/must.h"
#include "base/secret.h"
#include "base/text.h"

#include <ctype.h>
#include <stdlib.h>

enum {
	SECRET_SHORTEST = 4, /* less is found in any text */
	TOKEN_PIECE = 12,
	CODED_PIECE = 8,
	GRAMS = 1 << 16,
};

/* What stands at a byte of the text. */
enum place {
	PLACE_TEXT,
	PLACE_SPACE, /* skipped, and hidden between two that are */
	PLACE_HEAD,  /* the end of a line and what form puts before the next: skipped, and shown */
};

struct masker {
	struct sv text;
	unsigned char *place;
	bool *hidden;
	char *dense;   /* the text without what is skipped */
	size_t *where; /* of each of these, its byte in the text */
	size_t dense_len;
	struct buf needle;
	unsigned char grams[GRAMS / 8]; /* which four bytes stand in the needle */
};

/* ---- the text, made dense ---- */

static size_t digits_at(struct sv text, size_t at)
{
	size_t n = 0;

	while (at + n < text.len && isdigit((unsigned char)text.ptr[at + n]))
		n++;
	return n;
}

static bool is_at(struct sv text, size_t at, const char *set)
{
	return at < text.len && text.ptr[at] && strchr(set, text.ptr[at]);
}

/* "12 < " of a transcript, "535-" of a reply, "5.7.8 ". */
static size_t head_at(struct sv text, size_t at)
{
	size_t from = at, n = digits_at(text, at);

	if (n && is_at(text, at + n, " ") && is_at(text, at + n + 1, "<>*") &&
		is_at(text, at + n + 2, " "))
		at += n + 3;
	if (digits_at(text, at) == 3 && is_at(text, at + 3, "- "))
		at += 4;
	n = digits_at(text, at);
	if (n == 1 && is_at(text, at + 1, ".") && digits_at(text, at + 2)) {
		size_t end = at + 2 + digits_at(text, at + 2);

		if (is_at(text, end, ".") && digits_at(text, end + 1) &&
			is_at(text, end + 1 + digits_at(text, end + 1), " "))
			at = end + 2 + digits_at(text, end + 1);
	}
	return at - from;
}

static void make_dense(struct masker *k, bool has_heads)
{
	size_t head = has_heads ? head_at(k->text, 0) : 0;

	k->dense_len = 0;
	memset(k->place, PLACE_TEXT, k->text.len);

	for (size_t i = 0; i < k->text.len; i++) {
		char c = k->text.ptr[i];

		if (head > 0) {
			head--;
			k->place[i] = PLACE_HEAD;
		} else if (c == '\n') {
			k->place[i] = PLACE_HEAD;
			head = has_heads ? head_at(k->text, i + 1) : 0;
		} else if (c == ' ' || c == '\t' || c == '\r') {
			k->place[i] = PLACE_SPACE;
		} else {
			k->dense[k->dense_len] = c;
			k->where[k->dense_len++] = i;
		}
	}
}

/* ---- one needle ---- */

static unsigned gram(const char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v * 2654435761U >> 16;
}

static void learn(struct masker *k)
{
	memset(k->grams, 0, sizeof(k->grams));
	for (size_t i = 0; i + 4 <= k->needle.len; i++) {
		unsigned g = gram(buf_sv(&k->needle).ptr + i);

		k->grams[g / 8] |= (unsigned char)(1U << g % 8);
	}
}

/* How much of the needle stands at `at`: at least `piece` bytes, or 0. */
static size_t run_at(const struct masker *k, size_t at, size_t piece)
{
	struct sv rest = sv_make(k->dense + at, k->dense_len - at), needle = buf_sv(&k->needle);
	unsigned g;
	size_t n = piece;

	if (rest.len < piece)
		return 0;
	/* Nearly everywhere this is all. */
	g = gram(rest.ptr);
	if (!(k->grams[g / 8] & 1U << g % 8) || sv_find(needle, sv_head(rest, piece)) < 0)
		return 0;
	while (n < rest.len && sv_find(needle, sv_head(rest, n + 1)) >= 0)
		n++;
	return n;
}

static bool is_base64(char c)
{
	return isalnum((unsigned char)c) || (c && strchr("+/-_=", c));
}

static void hide(struct masker *k, size_t first, size_t end)
{
	for (size_t i = k->where[first]; i <= k->where[end - 1]; i++)
		k->hidden[i] |= k->place[i] != PLACE_HEAD;
}

/* `coded`: the word around it goes too, as its ends may hold some bits of the secret. */
static void hide_needle(struct masker *k, size_t piece, bool coded)
{
	piece = piece && piece < k->needle.len ? piece : k->needle.len;
	if (piece < SECRET_SHORTEST)
		return;
	learn(k);
	for (size_t i = 0; i < k->dense_len;) {
		size_t n = run_at(k, i, piece), first = i, end = i + n;

		i += n ? n : 1;
		if (n == 0)
			continue;
		while (coded && first > 0 && k->where[first] == k->where[first - 1] + 1 &&
			is_base64(k->dense[first - 1]))
			first--;
		while (coded && end < k->dense_len && k->where[end] == k->where[end - 1] + 1 &&
			is_base64(k->dense[end]))
			end++;
		hide(k, first, end);
	}
}

/* ---- the needles ---- */

static void plain_needle(struct masker *k, struct sv secret)
{
	buf_reset(&k->needle);
	for (size_t i = 0; i < secret.len; i++)
		if (!strchr(" \t\r\n", secret.ptr[i]) || !secret.ptr[i])
			must(buf_append_char(&k->needle, secret.ptr[i]) == 0);
}

/* What base64 makes of the secret behind so many bytes of something else, as far as the secret alone decides. */
static void coded_needle(struct masker *k, struct sv secret, size_t before)
{
	struct buf plain = BUF_INIT(before + secret.len);
	size_t from = (before * 8 + 5) / 6, end = (before + secret.len) * 8 / 6;

	must(buf_reserve(&plain, plain.max) == 0);
	must(buf_append(&plain, sv_make("\0\0", before)) == 0);
	must(buf_append(&plain, secret) == 0);
	buf_reset(&k->needle);
	must(text_base64_encode(&k->needle, buf_sv(&plain)) == 0);
	k->needle.len = end;
	buf_consume(&k->needle, from < end ? from : end);
	secret_wipe(plain.ptr, plain.cap);
	buf_deinit(&plain);
}

static void find_all(struct masker *k, const struct smtp_mask *m)
{
	plain_needle(k, m->secret);
	hide_needle(k, m->is_token ? TOKEN_PIECE : 0, false);
	for (size_t before = 0; before < 3; before++) {
		coded_needle(k, m->secret, before);
		hide_needle(k, CODED_PIECE, true);
	}
}

/* ---- */

static int write_masked(const struct masker *k, struct buf *out)
{
	bool shown = false; /* that something is hidden here */
	int rc = 0;

	for (size_t i = 0; i < k->text.len && rc == 0; i++) {
		if (k->hidden[i]) {
			rc = shown ? 0 : buf_append(out, SV("[secret]"));
			shown = true;
		} else {
			rc = buf_append_char(out, k->text.ptr[i]);
			shown = false;
		}
	}
	return rc;
}

int smtp_mask_text(const struct smtp_mask *m, struct sv text, struct buf *out)
{
	struct masker *k;
	int rc;

	if (m->secret.len < SECRET_SHORTEST || text.len == 0)
		return buf_append(out, text);
	k = xcalloc(1, sizeof(*k));
	k->text = text;
	k->place = xcalloc(text.len, sizeof(*k->place));
	k->hidden = xcalloc(text.len, sizeof(*k->hidden));
	k->dense = xcalloc(text.len, sizeof(*k->dense));
	k->where = xcalloc(text.len, sizeof(*k->where));
	/* Its full size at once: one that grows leaves the secret behind. */
	buf_init(&k->needle, (m->secret.len + 4) / 3 * 4 + 8);
	must(buf_reserve(&k->needle, k->needle.max) == 0);
	/* What looks like form may be the secret's own. */
	for (int has_heads = 0; has_heads < 2; has_heads++) {
		make_dense(k, has_heads);
		find_all(k, m);
	}
	rc = write_masked(k, out);
	secret_wipe(k->needle.ptr, k->needle.cap);
	buf_deinit(&k->needle);
	secret_wipe(k->dense, text.len);
	free(k->place);
	free(k->hidden);
	free(k->dense);
	free(k->where);
	free(k);
	return rc;
}
