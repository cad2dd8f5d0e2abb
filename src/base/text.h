/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "base/buf.h"
#include "base/sv.h"
#include "base/time.h"

/* Encodings and the named escapes: text that leaves for SMTP, a log or JSON passes one of these. */

/* Appends base64 (RFC 4648 4, with padding). RC_LIMIT when the buffer is full. */
NODISCARD int text_base64_encode(struct buf *out, struct sv bytes);
/* Appends what `text` decodes to; strict: padding required, no line breaks. RC_PARSE, RC_LIMIT. */
NODISCARD int text_base64_decode(struct buf *out, struct sv text);

/*
 * The one judge of what may reach a terminal. The length of the character at the front of `v`, which is not
 * empty: 1 for a byte that is none in UTF-8. Not safe are C0 (tab and line end, too), DEL, C1, the
 * marks that turn the direction of writing or end a line (U+061C, U+200E, U+200F, U+2028 to U+202E, U+2066 to
 * U+2069), U+FEFF, what is no character (U+FFFE, U+FFFF: no YAML either), and what is no UTF-8.
 */
NODISCARD size_t text_next(struct sv v, bool *out_safe);
NODISCARD bool text_is_cut(struct sv v); /* could it be the beginning of one character? */
/* Appends `v` with each byte of what is not safe as \xNN. RC_LIMIT. */
NODISCARD int text_show(struct buf *out, struct sv v);

/*
 * Copies others' words as one line: what is not safe becomes a blank, and so do several of them or of blanks; none
 * at either end. Cut between characters where `out` is full. The length, without the NUL.
 */
size_t text_line(struct sv v, char *out, size_t size);

/*
 * Appends `v` for a log line: as text_show(), and '"' and '\' become \xNN, too. Nothing a peer sent can forge a
 * line or steer a terminal.
 */
NODISCARD int text_log_quote(struct buf *out, struct sv v);

/* Appends `v` as a JSON string with its quotes, what is not safe escaped; invalid UTF-8 becomes U+FFFD. */
NODISCARD int text_json_string(struct buf *out, struct sv v);

/* Appends the character as UTF-8; what is none (a surrogate, NUL, above U+10FFFF) as U+FFFD. RC_LIMIT. */
NODISCARD int text_put_character(struct buf *out, uint32_t code);
NODISCARD bool text_is_utf8(struct sv v);  /* RFC 3629: no surrogates, no overlong forms */
NODISCARD bool text_is_ascii(struct sv v); /* 0x01 to 0x7f */

/*
 * Queue ids as people see them: 11 characters of Crockford's base32, upper case, fixed width, in
 * the order of the numbers (58 bits are enough: see store/store.h). Parsing takes either case.
 */
enum {
	TEXT_ID_LEN = 11,
	TEXT_ID_MAX = TEXT_ID_LEN + 1
};
const char *text_id(uint64_t id, char out[TEXT_ID_MAX]);
NODISCARD int text_parse_id(struct sv text, uint64_t *out_id);

/* "30s", "5m", "1h", "2d", "1500ms"; a bare number is refused (which unit?). RC_PARSE, RC_LIMIT. */
NODISCARD int text_parse_duration(struct sv text, uint64_t *out_us);
/* The largest unit that divides it: "90s", "1h". */
enum {
	TEXT_DURATION_MAX = 32
};
const char *text_duration(uint64_t us, char out[TEXT_DURATION_MAX]);
/* For people: "3d 4h", "12m 5s", "0.4s": the two largest units. */
const char *text_span(uint64_t us, char out[TEXT_DURATION_MAX]);

/* "512", "64KB", "10MB", "1GB" (powers of 1024). RC_PARSE, RC_LIMIT. */
NODISCARD int text_parse_size(struct sv text, uint64_t *out_bytes);
const char *text_size(uint64_t bytes, char out[TEXT_DURATION_MAX]); /* "12.4 MB" */

enum {
	TEXT_COUNT_MAX = 32
};
/* Its digits, no NUL behind them; to the end. Without printf(): for what every message goes through. */
char *text_digits(uint64_t number, char *to);
const char *text_count(long long number, char out[TEXT_COUNT_MAX]); /* "3,494" */
