/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/limits.h"
#include "base/sv.h"

/*
 * The addresses in the value of a header field (RFC 5322 3.4): display names, groups, comments,
 * folding and the obsolete forms are understood. Used for `sendmail -t`, for recipients on a command
 * line, and to find the place of an address that is to be replaced. Linear, no recursion.
 */
struct address_list {
	struct sv text;
	size_t pos;
	size_t element_at; /* where the element that is being read begins */
	bool in_group;
	char scratch[LIMIT_ADDRESS];
};

struct address_list_item {
	struct sv
		address; /* comments and folding taken out; valid until the next call; may be empty: "<>" */
	size_t at; /* where the addr-spec stands in the text, and how long it is there */
	size_t len;
	size_t name_at; /* likewise the display name, its comments and folding included; len 0: none */
	size_t name_len;
};

void address_list_init(struct address_list *l, struct sv text);

/*
 * Takes the next address, in the form of address_clean(). 1: there is one, and unless it is empty it passes
 * address_parse() with UTF-8 and without a domain allowed. 0: the end. RC_PARSE: not an address list from
 * here on. Semicolons separate as commas do: Outlook taught people to write them.
 */
NODISCARD int address_list_next(struct address_list *l, struct address_list_item *out_item);

/*
 * After RC_PARSE: goes on behind the element that cannot be read, and says which it was. False: nothing is
 * left. Only for who may leave an element out; who decides for whom a message is may not.
 */
NODISCARD bool address_list_skip(struct address_list *l, struct sv *out_bad);

/*
 * Appends a person's name as it may stand before an address: as atoms, quoted, or as encoded words
 * (RFC 2047) when it is not ASCII. Control characters and invalid UTF-8 become '?'. Nothing for "".
 */
NODISCARD int address_name_render(struct buf *out, struct sv name);
