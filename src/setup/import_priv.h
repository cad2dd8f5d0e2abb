/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "setup/import.h"

/* A copy that lives as long as `im`. */
struct sv import_keep(struct setup_import *im, struct sv text);
/* A sentence for people; control characters become `?`. Never a secret. */
void import_note(struct setup_import *im, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Keeps a password under a file name made of `name`; the name, or empty when there are too many. */
struct sv import_secret(struct setup_import *im, struct sv name, struct sv value, bool is_user);

/* What a server is to us: by its host, and whether somebody signs in with an address. */
struct import_server {
	struct sv host, login, password, command, from;
	uint16_t port;
	struct sv tls;
};
/* The name for routes; empty when there are too many. Equal servers are one. */
struct sv import_account(struct setup_import *im, const struct import_server *s);
void import_rule(struct setup_import *im, struct sv sender, struct sv through);
void import_network(struct setup_import *im, struct sv network);

/* One line without its line end, cut off the front. False at the end. */
NODISCARD bool import_line(struct sv *text, struct sv *out_line);
/* Space, tab and others around it. */
struct sv import_trim(struct sv text);
/* Cuts the word in front off, and the blanks behind it. */
struct sv import_word(struct sv *text);
