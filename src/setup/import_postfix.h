/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "setup/import_priv.h"

/*
 * Postfix's configuration:
 * import_postfix.c          the order in which things are read
 * import_postfix_main.c     main.cf and master.cf: settings, services, $names
 * import_postfix_maps.c     maps of all types that are text
 * import_postfix_keys.c     what becomes of the settings that nobody read
 * import_postfix_listen.c   listeners and networks
 * import_postfix_hops.c     servers: next hops, transports, passwords
 * import_postfix_senders.c  rewriting, aliases, and the routes
 */
enum {
	POSTFIX_VALUE_MAX = 16384,
	POSTFIX_SETTINGS_MAX = 2000,
	POSTFIX_SERVICES_MAX = 200,
	POSTFIX_OVERRIDES_MAX = 60,
	POSTFIX_ROWS_MAX = 10000,
	POSTFIX_REWRITES_MAX = 400,
};

struct postfix_setting {
	struct sv name, value;
	unsigned line;
	bool used; /* somebody asked for it */
};

/* A line of master.cf. Its -o settings go before those of main.cf. */
struct postfix_service {
	struct sv name, type, command;
	struct postfix_setting *overrides;
	size_t override_count;
	unsigned line;
	struct postfix_rows *passwords; /* of smtp_sasl_password_maps, once read */
};

enum postfix_row_kind {
	POSTFIX_ROW_EXACT,
	POSTFIX_ROW_EXPRESSION, /* key: between the slashes */
	POSTFIX_ROW_CIDR,
	POSTFIX_ROW_ANY, /* static: */
};

struct postfix_row {
	enum postfix_row_kind kind;
	bool negated;     /* !/x/, !10.0.0.0/8 */
	bool conditional; /* between if and endif */
	struct sv key, value;
	struct import_place at;
};

struct postfix_rows {
	struct postfix_row *items;
	size_t count, room;
};

/* What the mail of some senders becomes. */
struct postfix_rewrite {
	struct sv pattern; /* empty: any */
	struct sv header;  /* "From: *x*"; empty: none */
	struct sv to;
	bool late; /* after the server was chosen (smtp_generic_maps): the old address decides */
};

struct postfix {
	struct setup_import *im;
	const struct setup_import_source *from;
	struct arena arena; /* what may hold passwords: wiped at the end */
	struct postfix_setting settings[POSTFIX_SETTINGS_MAX];
	size_t setting_count;
	struct postfix_service main; /* no service: main.cf alone */
	struct postfix_service services[POSTFIX_SERVICES_MAX];
	size_t service_count;
	bool has_master;
	struct postfix_rewrite rewrites[POSTFIX_REWRITES_MAX];
	size_t rewrite_count;
	struct postfix_rows transports, relayhosts, sender_transports;
	struct import_networks networks; /* room for one listener at a time */
	struct sv origin, domain;        /* $myorigin, $mydomain */
};

/* ---- main.cf and master.cf ---- */
void postfix_read_main(struct postfix *p);
void postfix_read_master(struct postfix *p);
/* The value with its $names put in, as long as `im` lives; empty: none. */
struct sv postfix_get(struct postfix *p, const struct postfix_service *s, const char *name);
bool postfix_is(
	struct postfix *p, const struct postfix_service *s, const char *name, const char *value);
bool postfix_has(struct postfix *p, const struct postfix_service *s, const char *name);
struct import_place postfix_at(
	struct postfix *p, const struct postfix_service *s, const char *name);
/* Without marking it as read. */
struct postfix_setting *postfix_find(struct postfix *p, struct sv name);
struct postfix_service *postfix_service(struct postfix *p, struct sv name);
/* Cuts an item off a list: white space and commas divide, braces hold together. False: no more. */
NODISCARD bool postfix_item(struct sv *list, struct sv *out_item);
/* "{ x }" without its braces. */
struct sv postfix_unbrace(struct sv item);
/* A line and those that go on with it. False at the end. */
NODISCARD bool postfix_logical(
	struct sv *text, unsigned *at_line, struct buf *out, unsigned *out_line);

/* ---- maps ---- */
/* All rows of all maps that the parameter names; what cannot be read is noted. */
void postfix_rows_read(struct postfix *p, const struct postfix_service *s, const char *name,
	struct postfix_rows *out);
void postfix_rows_of(struct postfix *p, const char *name, struct import_place at, struct sv maps,
	struct postfix_rows *out);
/* As Postfix looks an address up: the whole, then "@domain". */
const struct postfix_row *postfix_rows_find(const struct postfix_rows *rows, struct sv address);
/* The row of just this key. */
const struct postfix_row *postfix_rows_key(const struct postfix_rows *rows, struct sv key);
/* The patterns of a row of senders or recipients: 0, or negative. */
NODISCARD int postfix_row_patterns(
	struct postfix *p, const struct postfix_row *row, struct import_patterns *out);

/* ---- what becomes of them ---- */
void postfix_listeners(struct postfix *p);
/* The account of "[host]:port"; `sender` where its own password may be meant. Empty: none. */
struct sv postfix_account(
	struct postfix *p, struct postfix_service *s, struct sv next, struct sv sender);
/* "transport:nexthop" in its parts; false: it does not lead to a server. */
bool postfix_transport(struct postfix *p, struct sv value, struct import_place at,
	struct postfix_service **out_service, struct sv *out_next);
/* The way of mail of a sender ("" for any), by the general rules; fills through and ways. */
void postfix_way(struct postfix *p, struct sv sender, struct setup_rule *rule);
void postfix_routes(struct postfix *p);
void postfix_aliases(struct postfix *p);
void postfix_senders(struct postfix *p);
void postfix_note_rest(struct postfix *p);
