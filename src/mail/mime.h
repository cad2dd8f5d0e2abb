/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/sv.h"
#include "mail/header.h"

/*
 * The outer structure of a message (RFC 2045, 2046, 2231), for a service that takes large attachments
 * apart from the message. Pure and streaming: what is held does not grow with the message. Only the
 * parts of the outermost multipart are told apart; what is inside of them stays closed.
 */

/* What the whole message is. */
enum mime_top_kind {
	MIME_TOP_SINGLE,  /* not a multipart */
	MIME_TOP_MIXED,   /* attachments can be taken out and put back */
	MIME_TOP_RELATED, /* likewise, but for the first part, which shows the others */
	MIME_TOP_OTHER,   /* alternative, report, ...: its parts belong together */
	MIME_TOP_SEALED,  /* signed or encrypted: any change breaks it */
	MIME_TOP_UNREADABLE,
	MIME_TOP_COUNT,
};
enum {
	MIME_BOUNDARY_MAX = 200, /* RFC 2046 5.1.1 says 70; some writers use more */
};
struct mime_top {
	enum mime_top_kind kind;
	char boundary[MIME_BOUNDARY_MAX]; /* of MIXED and RELATED */
	size_t boundary_len;
};
void mime_top(struct header_block *h, struct mime_top *out_top);

/* ---- transfer encodings ---- */

enum mime_encoding {
	MIME_IDENTITY, /* 7bit, 8bit, binary */
	MIME_BASE64,
	MIME_QUOTED_PRINTABLE,
	MIME_UNKNOWN,
};
struct mime_decoder {
	enum mime_encoding encoding;
	uint32_t bits;
	unsigned sextets; /* of base64 that wait for a fourth; or of "=XY" seen so far */
	bool padded;
	bool broken; /* not this encoding: what came out is not to be trusted */
	char held[2];
};
/*
 * Decodes a piece. Appends to `out`, which needs room for in.len + 2 bytes (RC_LIMIT); NULL: only
 * counts. *out_count grows by the number of decoded bytes.
 */
NODISCARD int mime_decode(
	struct mime_decoder *d, struct sv in, struct buf *out, uint64_t *out_count);
/* The end of the part: an unfinished group of base64 is broken. */
NODISCARD int mime_decode_end(struct mime_decoder *d, struct buf *out, uint64_t *out_count);

/* ---- parts ---- */

enum {
	MIME_PARTS_MAX = 1000,    /* real mail stays below 100; more is not told apart */
	MIME_PART_HEADER = 65536, /* of a part: bytes */
};

struct mime_part {
	uint64_t from;    /* offset of its delimiter line in the message */
	uint64_t body_at; /* behind its header */
	uint64_t end;     /* of its body; the CRLF before the next delimiter is not part of it */
	uint64_t next;    /* offset of the next delimiter line */
	/*
	 * It can leave the message and come back by name, type and bytes: a leaf with a known encoding
	 * that is an attachment; no text that is to be read, no message in a message, nothing sealed.
	 */
	bool movable;
	bool is_inline;
	enum mime_encoding encoding;
	uint64_t decoded_size;
	struct sv type;       /* "application/pdf", in lower case */
	struct sv name;       /* of the file, UTF-8; never empty when movable */
	struct sv content_id; /* without brackets; empty: none */
};

/*
 * Reads the body of a multipart: give it every byte behind the header of the message. Views in parts
 * live as long as the scan.
 */
struct mime_scan;
NODISCARD struct mime_scan *mime_scan_new(const struct mime_top *top, uint64_t body_at);
void mime_scan_free(struct mime_scan *s);
DEFINE_CLEANUP(struct mime_scan, mime_scan_free);
void mime_scan_feed(struct mime_scan *s, struct sv bytes);
/* The end of the message. RC_PARSE: no end of the multipart was seen; RC_LIMIT: too many parts. */
NODISCARD int mime_scan_end(struct mime_scan *s);
const struct mime_part *mime_scan_parts(const struct mime_scan *s, size_t *out_count);

/* ---- fields ---- */

/*
 * Appends the parameter of a Content-Type or Content-Disposition value as UTF-8, by RFC 2231 and, as
 * many write it, RFC 2047. Bytes of a character set that is not known here become '_', control
 * characters too. False: there is none.
 */
NODISCARD bool mime_parameter(struct sv value, struct sv name, struct buf *out);
/* The same for text with encoded words (RFC 2047), as Subject: what fits into `out`, cut at its end. */
void mime_words(struct sv value, struct buf *out);
