/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "setup/import.h"

/* A copy that lives as long as `im`. */
struct sv import_keep(struct setup_import *im, struct sv text);

/* Where something stands in what is read; line 0: in the whole file. */
struct import_place {
	struct sv file;
	unsigned line;
};
/* "main.cf line 7: " and a sentence for people; control characters become `?`. Never a secret. */
void import_note(struct setup_import *im, enum setup_note_kind kind, struct import_place at,
	const char *fmt, ...) PRINTF_LIKE(4, 5);
/* One of the lists is full. */
void import_full(struct setup_import *im, const char *what);

/* Keeps a password under a file name made of `name`; the name, or empty when there are too many. */
struct sv import_secret(struct setup_import *im, struct sv name, struct sv value, bool is_user);

/* What a server is to us: by its host, and whether somebody signs in with an address. */
struct import_server {
	struct sv host, login, password, command, from;
	struct sv script; /* a line for a shell that prints the password */
	uint16_t port;
	struct sv tls;
	struct sv ca_file, certificate, key, source;
	uint32_t connections, per_minute, per_message;
	struct sv auth, tenant; /* signs in with tokens: "user" or "app" of this tenant */
	struct import_place at;
};
/* The name for routes; empty when there are too many. Equal servers are one. */
struct sv import_account(struct setup_import *im, const struct import_server *s);
struct setup_account *import_account_named(struct setup_import *im, struct sv name);
/* Does this door refuse senders that are not its own? */
bool import_is_strict(const struct setup_account *a);

/* A rule that one before it covers is not added. Views are copied. False: there is no room. */
bool import_rule(struct setup_import *im, const struct setup_rule *rule);
/* The usual one. */
void import_rule_for(struct setup_import *im, struct sv sender, struct sv through);
void import_alias(
	struct setup_import *im, struct import_place at, struct sv name, struct sv address);
/* The name of the tenant: one that is there already, or a new one. */
struct sv import_app(struct setup_import *im, const struct setup_app *app, struct sv secret);

/* One line without its line end, cut off the front. False at the end. */
NODISCARD bool import_line(struct sv *text, struct sv *out_line);
/* Space, tab and others around it. */
struct sv import_trim(struct sv text);
/* Cuts the word in front off, and the blanks behind it. */
struct sv import_word(struct sv *text);

/* ---- networks (import_networks.c) ---- */

/* Networks that are open, without those that are not: an excluded one stays closed, whatever its place. */
struct import_networks {
	struct sv open[SETUP_IMPORT_MAX], closed[SETUP_IMPORT_MAX];
	size_t open_count, closed_count;
};
/* "10.0.0.0/8", "[::1]/128", "192.0.2.7". False: not a network, or no room. */
bool import_network(
	struct setup_import *im, struct import_networks *n, struct sv network, bool closed);
/* What is left, in the arena. Everything that is public and whole ("0.0.0.0/0") is left out with a note. */
const struct sv *import_networks_open(struct setup_import *im, const struct import_networks *n,
	struct import_place at, size_t *out_count);

/* ---- regular expressions (import_pattern.c) ---- */

enum {
	IMPORT_PATTERNS_MAX = 16,
	IMPORT_PATTERN_BYTES = 256,
};
struct import_patterns {
	char text[IMPORT_PATTERNS_MAX][IMPORT_PATTERN_BYTES];
	size_t count;
	bool wider; /* they match more than the expression */
};
/*
 * The patterns with stars that match what a regular expression matches, when it is of the simple kind.
 * RC_PARSE: it is not. RC_LIMIT: too many or too long. The expression is read once, never run.
 */
NODISCARD int import_patterns(struct sv expression, struct import_patterns *out);
/* The same for mail addresses, as address_matches() takes them; "" for any. */
NODISCARD int import_address_patterns(struct sv expression, struct import_patterns *out);

/* ---- token files (import_token.c) ---- */

struct import_token {
	struct sv client_id, token_endpoint; /* in the arena of the import */
	struct secret *client_secret, *refresh_token;
	bool client_credentials; /* the app signs in, no person */
	bool external;           /* another program gets the access token */
};
void import_token_deinit(struct import_token *t);
/* Whatever form it has: JSON of any depth, NAME=VALUE lines, or the bare token. What is found replaces. */
void import_token_read(struct setup_import *im, struct sv text, struct import_token *t);
/* Makes `s` sign in so: with a tenant, its app, and the login that was there. */
void import_token_use(
	struct setup_import *im, const struct import_token *t, struct import_server *s);
