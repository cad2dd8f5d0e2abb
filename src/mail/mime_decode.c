/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "mail/mime.h"

/* Where quoted-printable stands (RFC 2045 6.7), in mime_decoder.sextets. */
enum {
	QP_TEXT,
	QP_SIGN,  /* "=" */
	QP_HEX,   /* "=X" */
	QP_BLANK, /* "=" and blanks before a line end: a soft break */
	QP_CR,
};

static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decoded bytes go to `at` when there is one, and are counted. */
struct sink {
	char *at;
	size_t count;
};

static void put(struct sink *s, char c)
{
	if (s->at)
		s->at[s->count] = c;
	s->count++;
}

static void decode_base64(struct mime_decoder *d, struct sv in, struct sink *s)
{
	for (size_t i = 0; i < in.len; i++) {
		char c = in.ptr[i];
		int value = base64_value(c);

		if (value < 0) {
			if (c == '=')
				d->padded = true;
			else if (c != '\r' && c != '\n' && c != ' ' && c != '\t')
				d->broken = true;
			continue;
		}
		/* Something behind the padding: two readers could go on in two ways. */
		d->broken |= d->padded;
		d->bits = d->bits << 6 | (uint32_t)value;
		if (++d->sextets < 4)
			continue;
		put(s, (char)(d->bits >> 16 & 0xff));
		put(s, (char)(d->bits >> 8 & 0xff));
		put(s, (char)(d->bits & 0xff));
		d->sextets = 0;
		d->bits = 0;
	}
}

static void broken_qp(struct mime_decoder *d, struct sink *s, char c)
{
	d->broken = true;
	d->sextets = QP_TEXT;
	put(s, c);
}

static void decode_qp_byte(struct mime_decoder *d, char c, struct sink *s)
{
	switch (d->sextets) {
	case QP_SIGN:
		if (hex_value(c) >= 0) {
			d->held[0] = c;
			d->sextets = QP_HEX;
		} else if (c == '\r') {
			d->sextets = QP_CR;
		} else if (c == ' ' || c == '\t') {
			d->sextets = QP_BLANK;
		} else {
			broken_qp(d, s, c);
		}
		return;
	case QP_HEX:
		d->sextets = QP_TEXT;
		if (hex_value(c) < 0)
			broken_qp(d, s, c);
		else
			put(s, (char)(hex_value(d->held[0]) * 16 + hex_value(c)));
		return;
	case QP_BLANK:
		if (c == '\r')
			d->sextets = QP_CR;
		else if (c != ' ' && c != '\t')
			broken_qp(d, s, c);
		return;
	case QP_CR:
		if (c == '\n')
			d->sextets = QP_TEXT;
		else
			broken_qp(d, s, c);
		return;
	default:
		if (c == '=')
			d->sextets = QP_SIGN;
		else
			put(s, c);
		return;
	}
}

int mime_decode(struct mime_decoder *d, struct sv in, struct buf *out, uint64_t *out_count)
{
	struct sink s = { 0 };

	if (out) {
		if (buf_reserve(out, in.len + 2) != 0)
			return RC_LIMIT;
		s.at = buf_tail(out);
	}
	switch (d->encoding) {
	case MIME_BASE64:
		decode_base64(d, in, &s);
		break;
	case MIME_QUOTED_PRINTABLE:
		for (size_t i = 0; i < in.len; i++)
			decode_qp_byte(d, in.ptr[i], &s);
		break;
	case MIME_IDENTITY:
	case MIME_UNKNOWN:
		if (s.at && in.len)
			memcpy(s.at, in.ptr, in.len);
		s.count = in.len;
		break;
	}
	if (out)
		buf_grew(out, s.count);
	*out_count += s.count;
	return 0;
}

int mime_decode_end(struct mime_decoder *d, struct buf *out, uint64_t *out_count)
{
	struct sink s = { 0 };

	if (out) {
		if (buf_reserve(out, 2) != 0)
			return RC_LIMIT;
		s.at = buf_tail(out);
	}
	if (d->encoding == MIME_QUOTED_PRINTABLE) {
		d->broken |= d->sextets == QP_HEX;
	} else if (d->encoding == MIME_BASE64 && d->sextets) {
		d->broken |= d->sextets == 1;
		d->bits <<= 6 * (4 - d->sextets);
		for (unsigned i = 1; i < d->sextets; i++)
			put(&s, (char)(d->bits >> (24 - 8 * i) & 0xff));
	}
	d->sextets = 0;
	if (out)
		buf_grew(out, s.count);
	*out_count += s.count;
	return 0;
}
