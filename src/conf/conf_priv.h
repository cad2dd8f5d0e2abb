/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/guess.h"
#include "base/htable.h"
#include "base/limits.h"
#include "conf/conf.h"

/*
 * How a file becomes a snapshot:
 *   tree.c     YAML events -> nodes, each with its place; read_csv.c makes the same nodes of a row
 *   schema.c   a table of fields is laid over a map of nodes and fills a struct
 *   read_*.c   the tables, and what a table cannot say (combinations, names, doors, routes)
 *   load.c     files and includes, and the order: names are read before what refers to them
 * Nothing stops at the first error; a broken part is left at its default and not judged any further,
 * so that one mistake gives one finding.
 */

/* Bounds of what a file may ask for. Its author is trusted, but a typo or a generator is not. */
enum {
	CONF_FILE_BYTES_MAX = 4 << 20,
	CONF_CSV_BYTES_MAX = 64 << 20,
	CONF_CSV_ROWS_MAX = 100000,
	CONF_DEPTH_MAX = 16,
	CONF_NODES_MAX = 500000,
	CONF_INCLUDE_DEPTH_MAX = 4,
	CONF_FILES_MAX = 64,
	CONF_FINDINGS_MAX = 1000, /* past that only counted */
	CONF_GUESSES_MAX = 50,    /* errors, after which no similar name is looked for */
	CONF_FIELDS_MAX = 40,     /* of one schema */
	CONF_ROUTES_MAX = 20000,
	CONF_LISTENERS_MAX = 256,
	CONF_DEVICES_MAX = 10000,
	CONF_NAME_MAX = 64,
	CONF_VAULT_NAME_MAX = 400,
	CONF_AT_ONCE =
		1000, /* mailboxes of a wildcard that are at work at once, unless it says otherwise */
	CONF_AT_ONCE_MAX = 50000,
	CONF_HEADER_PATTERN_MAX = 200, /* compared with what a client writes, for each recipient */
};

struct conf_node;

struct conf {
	unsigned refs;
	struct arena arena;
	struct conf_general general;
	struct conf_listener *listeners;
	size_t listener_count;
	struct conf_user *users;
	size_t user_count;
	struct conf_device *devices;
	size_t device_count;
	struct conf_tenant **tenants; /* pointers: lanes keep them while the array grows */
	size_t tenant_count;
	struct conf_lane *lanes;
	size_t lane_count;
	struct conf_member *members; /* in the arena */
	size_t member_count;
	struct conf_pool **pools; /* in the arena */
	size_t pool_count;
	struct conf_made *made;            /* NULL: no wildcard, or not loaded yet */
	bool has_password[PROVIDER_COUNT]; /* a lane of it signs in with one */
	struct conf_route *routes;
	size_t route_count;
	struct conf_route_index *route_index; /* in the arena */
	struct conf_outside *outsides;
	size_t outside_count;
	struct htable user_by_name, device_by_name, lane_by_key, lane_by_name, member_by_key;
	struct htable account_by_key, pool_by_name;
	struct htable tenant_by_name, tenant_by_domain;
	struct htable alias; /* lower-case local part -> struct sv * */
};

/* tree.c */
enum conf_node_kind {
	CONF_NODE_SCALAR,
	CONF_NODE_LIST,
	CONF_NODE_MAP
};

struct conf_node {
	enum conf_node_kind kind;
	bool quoted; /* a scalar that was not plain: "" is a value then */
	const char *file;
	unsigned line, column;
	struct sv text;                 /* of a scalar */
	struct conf_node *first, *next; /* children; those of a map are its keys */
	struct conf_node *value;        /* of a key */
};

/* A section of the top level: its nodes, one for each file that has it. */
enum conf_section {
	CONF_SECTION_ALIASES,
	CONF_SECTION_LISTENERS,
	CONF_SECTION_USERS,
	CONF_SECTION_TENANTS,
	CONF_SECTION_DEVICES,
	CONF_SECTION_MAILBOXES,
	CONF_SECTION_MAILBOXES_FROM,
	CONF_SECTION_CONNECTORS,
	CONF_SECTION_POOLS,
	CONF_SECTION_ROUTES,
	CONF_SECTION_COUNT
};

struct conf_load_file {
	const char *path; /* as named */
	uint64_t device, inode;
	struct conf_node *root;
};

struct conf_found {
	struct conf_finding finding;
	size_t order; /* of its file */
	size_t turn;  /* in which it was found: keeps the sort stable */
};

/* One load: everything that is not in the snapshot. */
struct conf_load {
	struct conf *conf;
	bool on_disk;              /* false: no file is looked at */
	struct arena nodes;        /* the trees: gone after the load */
	struct arena *found_arena; /* texts and file names, kept by the findings */
	size_t node_count;
	struct conf_load_file files[CONF_FILES_MAX];
	size_t file_count;
	const struct conf_node *sections[CONF_SECTION_COUNT][CONF_FILES_MAX];
	size_t section_count[CONF_SECTION_COUNT];
	const struct conf_node *bounces_through, *alerts_through;
	struct conf_found *found;
	size_t found_count, found_cap;
	size_t error_count;
	bool incomplete;     /* a file could not be read: that a name is unknown says nothing */
	bool passing;        /* one could not for a reason that may pass */
	size_t hidden_count; /* past CONF_FINDINGS_MAX */
	size_t comparisons;  /* of routes with each other */
	size_t sender_tries; /* of mailboxes with patterns of senders */
};

/* The root of a text, or NULL with a finding; an empty text is an empty map. */
struct conf_node *conf_tree_read(struct conf_load *ld, const char *file, struct sv text);

/* findings.c */
void conf_error(struct conf_load *ld, const struct conf_node *at, const char *fmt, ...)
	PRINTF_LIKE(3, 4);
void conf_warn(struct conf_load *ld, const struct conf_node *at, const char *fmt, ...)
	PRINTF_LIKE(3, 4);
struct conf_place conf_place_of(struct conf_load *ld, const struct conf_node *at);
/* For messages about what stands at a place. */
struct conf_node conf_node_at(struct conf_place place);
/* Moves what was found, in the order of the files, into *out. */
void conf_findings_take(struct conf_load *ld, struct conf_findings *out);
/*
 * A name for a message, in quotes. What does not look like a name (and so might be a misplaced
 * password or a URL with one in it) gives words without it.
 */
enum {
	CONF_SHOWN_MAX = 72
};
const char *conf_shown(struct sv text, char out[CONF_SHOWN_MAX]);

/* schema.c */
enum conf_type {
	CONF_TYPE_TEXT,
	CONF_TYPE_NAME,     /* [A-Za-z0-9._-] */
	CONF_TYPE_PATH,     /* from the root */
	CONF_TYPE_HOST,     /* name or address of a server */
	CONF_TYPE_URL,      /* https://HOST[:PORT][/PATH]; see CONF_PROXY */
	CONF_TYPE_ADDRESS,  /* a@b */
	CONF_TYPE_PATTERN,  /* mail/address.h */
	CONF_TYPE_PATTERNS, /* a list: struct sv const *, then size_t right behind it */
	CONF_TYPE_DOMAINS,  /* the same, domains */
	CONF_TYPE_DURATION,
	CONF_TYPE_SIZE,
	CONF_TYPE_U32,
	CONF_TYPE_PORT,
	CONF_TYPE_PERCENT,
	CONF_TYPE_BOOL,
	CONF_TYPE_CHOICE, /* an enum by the index of its word */
	CONF_TYPE_WORD,   /* one of the words, kept as text */
	CONF_TYPE_SECRET,
	CONF_TYPE_MAP,  /* `fields` over the same struct */
	CONF_TYPE_READ, /* `read` does it */
};

enum {
	CONF_REQUIRED = 1,
	CONF_EMPTY = 2,   /* "" is allowed */
	CONF_EXISTS = 4,  /* the file must be there */
	CONF_OFF = 8,     /* 0 and "off" mean none */
	CONF_REPEAT = 16, /* may stand once in each file */
	CONF_LATER = 32,  /* with EXISTS: its absence is only a warning */
	CONF_PROXY = 64,  /* of a URL: http://HOST:PORT, and nothing behind it */
	CONF_OWN = 128,   /* of a path: the daemon makes it and writes there */
};

struct conf_field {
	struct sv name;
	enum conf_type type;
	unsigned flags;
	size_t offset;
	uint64_t min, max;               /* numbers, durations (us), sizes (bytes) */
	const char *const *words;        /* NULL-ended */
	const struct conf_field *fields; /* of a MAP: ends at an empty name */
	void (*read)(struct conf_load *ld, const struct conf_node *value, void *out);
};

#define CONF_FIELDS_END       \
	{                     \
		.name = { 0 } \
	}

/* Of users and devices: what they may send in 24 hours. */
#define CONF_QUOTA_FIELDS(in, member)                                          \
	{ .name = SV_INIT("per_day"),                                          \
		.type = CONF_TYPE_U32,                                         \
		.offset = offsetof(in, member.recipients),                     \
		.max = 10000000 },                                             \
		{ .name = SV_INIT("messages_per_day"),                         \
			.type = CONF_TYPE_U32,                                 \
			.offset = offsetof(in, member.messages),               \
			.max = 10000000 },                                     \
	{                                                                      \
		.name = SV_INIT("bytes_per_day"), .type = CONF_TYPE_SIZE,      \
		.offset = offsetof(in, member.bytes), .max = UINT64_C(1) << 40 \
	}

/* Which fields of a map were given: their values, by the index of the field. */
struct conf_seen {
	const struct conf_node *at[CONF_FIELDS_MAX];
};

/* Lays `fields` over `map`. True when it made no error. `seen` may be NULL or come from before. */
bool conf_read_map(struct conf_load *ld, const struct conf_node *map,
	const struct conf_field *fields, void *out, struct conf_seen *seen);
/* The value given for `name`, or NULL. */
const struct conf_node *conf_given(
	const struct conf_field *fields, const struct conf_seen *seen, const char *name);
/* The value of a key; NULL: not there, or it is no map. */
const struct conf_node *conf_find(const struct conf_node *map, struct sv key);
bool conf_is_absent(const struct conf_node *value); /* nothing behind the colon */
/* Is it a list? An absent value (`listeners:` with all items commented out) is an empty one. */
bool conf_is_list(struct conf_load *ld, const struct conf_node *value);
/* A scalar with text and without control characters? Says what is wrong otherwise. */
/* "42", "42.00"; at most so many dollars. RC_PARSE. */
NODISCARD int conf_parse_dollars(struct sv text, uint32_t most, uint32_t *out_cents);
bool conf_is_text(struct conf_load *ld, const struct conf_node *value);
bool conf_name_ok(struct sv text, const char *more);
bool conf_host_ok(struct sv text);
struct sv conf_keep(struct conf_load *ld, struct sv text); /* a copy in the snapshot */
struct sv conf_keep_lower(struct conf_load *ld, struct sv text);
/* `name` lives as long as the snapshot. */
void conf_outside_keep(struct conf_load *ld, enum conf_outside_kind kind, struct sv name,
	const struct conf_node *at);

/* All items of a section's lists. */
void conf_read_sections(struct conf_load *ld, enum conf_section s,
	void (*read)(struct conf_load *ld, const struct conf_node *map));

/* schema_value.c */
void conf_read_value(
	struct conf_load *ld, const struct conf_node *value, const struct conf_field *f, void *out);

/* read_general.c */
extern const struct conf_field conf_top_fields[];
void conf_read_top(struct conf_load *ld, const struct conf_node *root, struct conf_seen *seen);
void conf_general_defaults(struct conf_general *g);
void conf_general_check(struct conf_load *ld, const struct conf_seen *seen);
void conf_read_aliases(struct conf_load *ld);
void conf_read_users(struct conf_load *ld);

/* read_alerts.c */
void conf_read_alerts(struct conf_load *ld, const struct conf_node *value, void *out);

/* read_listeners.c */
void conf_read_listeners(struct conf_load *ld);
/* `from:` and `no_password_from:`: one network or a list; a pointer and right behind it the count. */
void conf_read_networks(
	struct conf_load *ld, const struct conf_node *value, const char *key, void *out);

/* check_open.c */
void conf_check_open_networks(struct conf_load *ld); /* after the routes */

/* read_devices.c */
void conf_read_devices(struct conf_load *ld);
void conf_check_devices(struct conf_load *ld); /* after the listeners */
/* RFC 1918, RFC 6598, RFC 4193, link-local and loopback. */
NODISCARD bool conf_network_is_private(const struct io_network *n);

/* read_tenants.c */
void conf_read_tenants(struct conf_load *ld);
/* Has its app a secret or a key? Without one it can only let persons sign in. */
NODISCARD bool conf_app_can_sign(const struct conf_tenant *t);

/* read_lanes.c: what mailboxes and connectors share */
struct conf_lane_draft {
	struct conf_lane lane;
	unsigned auth; /* index of the word: enum conf_sign_in, less NONE */
	struct sv source, domain;
	uint32_t connections; /* of a connector, outside of limits */
};
#define CONF_LANE_AT(member) .offset = offsetof(struct conf_lane_draft, lane.member)
#define CONF_LANE_SERVER_FIELDS                                                          \
	{ .name = SV_INIT("host"), .type = CONF_TYPE_HOST, CONF_LANE_AT(host) },         \
		{ .name = SV_INIT("port"), .type = CONF_TYPE_PORT, CONF_LANE_AT(port) }, \
		{ .name = SV_INIT("ca_file"),                                            \
			.type = CONF_TYPE_PATH,                                          \
			.flags = CONF_EXISTS | CONF_EMPTY,                               \
			CONF_LANE_AT(ca_file) },                                         \
	{                                                                                \
		.name = SV_INIT("tls"), .type = CONF_TYPE_CHOICE, CONF_LANE_AT(tls),     \
		.words = conf_lane_tls_words                                             \
	}
extern const char *const conf_lane_tls_words[];
extern const struct conf_field conf_lane_limits_fields[];
void conf_read_tenant_name(struct conf_load *ld, const struct conf_node *value, void *out);
void conf_read_provider(struct conf_load *ld, const struct conf_node *value, void *out);
/* The provider decides what the other fields default to, so it is read before all of them. */
enum provider_kind conf_provider_of(const struct conf_node *map, enum provider_kind otherwise);
void conf_lane_defaults(struct conf_lane *l, unsigned share);
void conf_lane_check_server(
	struct conf_load *ld, const struct conf_node *map, const struct conf_lane *l);
/* False: the limits there may be others than the provider's. */
bool conf_lane_check_limits(
	struct conf_load *ld, const struct conf_node *map, const struct conf_lane *l);
/* Is there one of that name already? Says so. */
bool conf_lane_is_taken(
	struct conf_load *ld, const struct conf_node *at, struct sv name, const char *what);
/* Makes its key. Further doors of a mailbox come right behind the first. */
void conf_lane_keep(struct conf_load *ld, struct conf_lane *l);
void conf_members_make(struct conf_load *ld);  /* after all lanes */
void conf_accounts_make(struct conf_load *ld); /* after that */

/* read_doors.c */
struct conf_door {
	enum provider_kind provider;
	const struct conf_node *at;
};
struct conf_doors {
	struct conf_door items[CONF_DOORS_MAX];
	size_t count; /* at least 1 */
	bool listed;  /* in `doors:` */
};
void conf_doors_read(struct conf_load *ld, const struct conf_node *map, struct conf_doors *out);
/* The lane of one of several doors, from what was read of their mailbox. */
struct conf_lane conf_door_lane(
	const struct conf_lane *read, const struct conf_node *map, const struct conf_door *door);

/* read_classes.c */
extern const struct conf_field conf_classes_fields[];
void conf_read_class(struct conf_load *ld, const struct conf_node *value, void *out);
void conf_classes_check(struct conf_load *ld, const struct conf_node *map);
#define CONF_CLASS_FIELD(in, member)                                                       \
	{                                                                                  \
		.name = SV_INIT("class"), .type = CONF_TYPE_READ, .read = conf_read_class, \
		.offset = offsetof(in, member)                                             \
	}

/* read_mailboxes.c */
void conf_read_mailboxes(struct conf_load *ld);
void conf_read_mailbox(struct conf_load *ld, const struct conf_node *map);
void conf_check_basic_auth(struct conf_load *ld); /* after all mailboxes */
/* keep, rewrite or force; `mailbox` is another word for rewrite. */
void conf_read_sender(struct conf_load *ld, const struct conf_node *value, void *out);

/* read_wildcard.c */
struct conf_wildcard_check {
	const struct conf_lane *lane; /* one of its doors */
	const struct conf_node *door, *auth, *address;
	const struct conf_node *password, *login; /* NULL: not given */
};
void conf_read_mailbox_address(struct conf_load *ld, const struct conf_node *value, void *out);
bool conf_check_wildcard(struct conf_load *ld, const struct conf_wildcard_check *w);
void conf_check_wildcard_users(struct conf_load *ld); /* after the members */

/* made.c */
void conf_made_begin(struct conf *c); /* all is loaded */
void conf_made_free(struct conf *c);
/* The mailbox of that very name, whoever asks; and the one that a sender may have. NULL: no wildcard stands for it. */
const struct conf_member *conf_made_named(const struct conf *c, struct sv name);
const struct conf_member *conf_made_for(
	const struct conf *c, struct sv sender, struct sv user, struct sv device);

/* read_connectors.c */
void conf_read_connectors(struct conf_load *ld);

/* read_pools.c: after the members */
void conf_read_pools(struct conf_load *ld);

/* read_csv.c */
void conf_read_mailboxes_from(struct conf_load *ld);
void conf_read_csv(struct conf_load *ld, const char *file, struct sv text);

/* read_routes.c */
void conf_read_routes(struct conf_load *ld);
void conf_check_bounces(struct conf_load *ld);

/* check_routes.c: what can be said of a route only beside all others */
void conf_check_routes(struct conf_load *ld);
void conf_check_route_sender(
	struct conf_load *ld, const struct conf_node *at, const struct conf_route *r);

/* route.c */
/* The mailbox whose address is `sender`, or NULL; and its first door, which there is before all are read. */
const struct conf_lane *conf_mailbox_lane(const struct conf *c, struct sv sender);
const struct conf_member *conf_mailbox_of(const struct conf *c, struct sv sender);

/* Is something asked for that is known only after DATA? */
NODISCARD bool conf_route_asks_body(const struct conf_route *r);

/* Looks up `name` in lower case; NULL also for what is longer than an address. */
void *conf_get_lower(const struct htable *t, struct sv name);

/* Room for one more in a growing array; all zero. */
/* route_index.c: the routes that may take something, in their order; all that can take it are among them. */
struct conf_route_scope {
	const struct sv *sender, *recipient; /* NULL: only routes that say nothing of it */
	bool any_recipient;                  /* it is not known yet: all that say something of it */
	struct sv user, device;              /* empty: none */
};
struct conf_route_scan {
	const struct conf *conf;
	const struct route_entry *at[8];
	size_t count;
};
void conf_route_index_build(struct conf *c);
void conf_route_index_free(struct conf *c);
struct conf_route_scan conf_route_scan_begin(
	const struct conf *c, const struct conf_route_scope *w);
const struct conf_route *conf_route_scan_next(struct conf_route_scan *s); /* NULL: no more */

void *conf_grow(void *array, size_t count, size_t size);
