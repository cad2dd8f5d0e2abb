/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/sv.h"
#include "mail/header.h"

/*
 * The structure of a message (RFC 2045, 2046, 2231), for a service that takes large attachments apart from
 * the message. Pure and streaming: what is held does not grow with the message. Multiparts are followed into
 * each other; what is signed or encrypted stays closed, and so does a message within the message.
 */

/* What the whole message is. */
enum mime_top_kind {
	MIME_TOP_SINGLE,    /* one part: a text, or a document that is all there is */
	MIME_TOP_MULTIPART, /* attachments can be taken out and put back */
	MIME_TOP_SEALED,    /* signed or encrypted: any change breaks it */
	MIME_TOP_UNREADABLE,
	MIME_TOP_COUNT,
};
enum mime_container_kind {
	MIME_MIXED,       /* and every multipart that nobody knows (RFC 2046 5.1.3) */
	MIME_RELATED,     /* its first part shows the others */
	MIME_ALTERNATIVE, /* its parts say the same: none is an attachment */
};
enum {
	MIME_BOUNDARY_MAX = 200, /* RFC 2046 5.1.1 says 70; some writers use more */
};
struct mime_top {
	enum mime_top_kind kind;
	enum mime_container_kind container;
	char boundary[MIME_BOUNDARY_MAX]; /* of MULTIPART */
	size_t boundary_len;
};
void mime_top(struct header_block *h, struct mime_top *out_top);

/*
 * Makes UTF-8 of bytes in a character set, for names of files. False: not known, or not such text. NULL in
 * place of the whole: only UTF-8 and Latin-1 are known, other bytes become '_'.
 */
struct mime_converter {
	bool (*convert)(void *arg, struct sv charset, struct sv bytes, struct buf *out);
	void *arg;
};

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
	MIME_DEPTH_MAX = 16,      /* of multiparts within each other; what is deeper stays closed */
	MIME_PART_HEADER = 65536, /* of a part: bytes */
};

/* A part that is no multipart, or one that stays closed. */
struct mime_part {
	uint64_t from;    /* offset of its delimiter line in the message; of a SINGLE the body */
	uint64_t body_at; /* behind its header */
	uint64_t end;     /* of its body; the CRLF before the next delimiter is not part of it */
	uint64_t next;    /* offset of the next delimiter line, or the end of the message */
	/*
	 * It can leave the message and come back by name, type and bytes: a leaf with a known encoding
	 * that is an attachment or an image that a text shows; no text that is to be read, nothing sealed.
	 */
	bool movable;
	bool is_inline;
	enum mime_encoding encoding;
	uint64_t decoded_size;
	size_t container; /* index of the multipart it is in */
	struct sv type;   /* "application/pdf", in lower case */
	struct sv
		content_type; /* the type with those parameters that readers need: charset, method... */
	struct sv name;       /* of the file, UTF-8; never empty when movable */
	struct sv content_id; /* without brackets; empty: none */
};

struct mime_container {
	enum mime_container_kind kind;
	char boundary[MIME_BOUNDARY_MAX];
	size_t boundary_len;
	size_t children; /* parts and multiparts in it */
};

/*
 * Reads the body of a message: give it every byte behind the header `h`. Views in parts live as long as the
 * scan. `top` is SINGLE (then there is one part) or MULTIPART.
 */
struct mime_scan;
NODISCARD struct mime_scan *mime_scan_new(const struct mime_top *top, struct header_block *h,
	uint64_t body_at, const struct mime_converter *converter);
void mime_scan_free(struct mime_scan *s);
DEFINE_CLEANUP(struct mime_scan, mime_scan_free);
void mime_scan_feed(struct mime_scan *s, struct sv bytes);
/*
 * The end of the message. RC_PARSE: a multipart without a part; RC_LIMIT: too many parts. *out_open: the last
 * delimiter is missing, as some devices leave it.
 */
NODISCARD int mime_scan_end(struct mime_scan *s, bool *out_open);
const struct mime_part *mime_scan_parts(const struct mime_scan *s, size_t *out_count);
/* The multiparts; the outermost is the first. None of a SINGLE. */
const struct mime_container *mime_scan_containers(const struct mime_scan *s, size_t *out_count);

/* Appends the fields of a header but those that describe its content (Content-...). */
NODISCARD int mime_without_content(struct buf *out, struct sv header);

/* ---- fields ---- */

/*
 * Appends the parameter of a Content-Type or Content-Disposition value as UTF-8, by RFC 2231 and, as
 * many write it, RFC 2047. Bytes of a character set that is not known here, nor to `converter`, become '_',
 * control characters too. False: there is none.
 */
NODISCARD bool mime_parameter(struct sv value, struct sv name, struct buf *out);
NODISCARD bool mime_parameter_as(
	struct sv value, struct sv name, const struct mime_converter *converter, struct buf *out);
/* The same for text with encoded words (RFC 2047), as Subject: what fits into `out`, cut at its end. */
void mime_words(struct sv v, struct buf *out);
