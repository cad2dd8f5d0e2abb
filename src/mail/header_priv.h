/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/arena.h"
#include "mail/address_list.h"
#include "mail/header.h"

/* What is known of the line that is being read; see the drawing in header.c. */
enum header_line {
	HEADER_LINE_START,
	HEADER_LINE_CR,
	HEADER_LINE_NAME,
	HEADER_LINE_NAME_BLANK, /* "Subject :", RFC 5322 4.5 */
	HEADER_LINE_FIELD,
	HEADER_LINE_FOLD,
	HEADER_LINE_EMPTY,
	HEADER_LINE_BODY,
	HEADER_LINE_MBOX, /* "From " on top: dropped */
};

/* Offsets, because the bytes move while the buffer grows. */
struct header_field {
	size_t at;
	size_t name_len;
	size_t len;         /* with all its lines and their CRLF */
	struct sv unfolded; /* made on first use; ptr NULL before */
};

struct header_block {
	size_t bytes_max, fields_max;
	struct buf raw; /* every field; behind line_at what could be a field or body */
	size_t line_at;
	size_t name_len;
	enum header_line line;
	bool mbox_gone;    /* there was one: a second is body */
	unsigned char bom; /* bytes of the mark that were seen in front of the first line */
	bool complete, failed;
	struct header_field *fields;
	size_t field_count, field_cap;
	struct arena arena; /* unfolded values */
};

struct sv header_field_name(const struct header_block *h, const struct header_field *f);
struct sv header_field_raw(const struct header_block *h, const struct header_field *f);
size_t header_field_value_at(const struct header_block *h, const struct header_field *f);
struct sv header_field_value(struct header_block *h, struct header_field *f);
