/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/sv.h"
#include "provider/reply.h"

/*
 * Endpoints and limits of each provider: data with a source and a date (the .c file has both). The
 * configuration may lower or override each.
 */
struct provider_defaults {
	struct sv host; /* empty: must be configured */
	uint16_t port;
	uint32_t connections;         /* at once, for one mailbox */
	uint32_t messages_per_minute; /* 0: no limit */
	uint32_t recipients_per_day;  /* 0: no limit */
	uint32_t recipients_per_hour; /* likewise */
	uint32_t external_per_day, messages_per_day;
	uint32_t recipients_per_message; /* 0: no limit */
	uint64_t message_bytes_max;      /* 0: no limit known */
	uint64_t connection_us_max; /* never keep one longer: Exchange cuts at about 20 minutes */
	uint64_t idle_us_max;
	bool null_sender; /* MAIL FROM:<> is taken; false on mailbox doors: bounces need a mailbox */
	bool needs_login;
	bool internal_only; /* recipients outside of the tenant's domains are refused: 5.5.105 */
	bool own_sender;    /* MAIL FROM and From must be the account's: the lane rewrites */
	bool is_connector;  /* listed under connectors: there is no mailbox behind it */
	bool is_http;       /* no SMTP */
	/* SMTP AUTH of Exchange Online: a mailbox can have it switched off, is opened when a message comes, and keeps a copy. */
	bool is_smtp_auth;
	bool needs_account; /* an administrator makes accounts for it alone */
	bool knows_relay;   /* by its certificate or address */
	bool is_microsoft;  /* else any server, or Google */
	bool is_any_server; /* named by whoever configures it: its certificate may be anybody's */
	bool has_cost;      /* each delivered recipient is paid for */
	bool shares_mailbox; /* other doors lead to the same mailbox, and what leaves by one counts for all */
	uint32_t recipients_per_domain; /* of one domain in one message; 0: no limit */
	/* The scope behind the cloud's scope host (or graph host), app and user; NULL: no tokens. */
	const char *app_scope, *user_scope;
	/* What the token must permit; NULL: nobody looks. */
	const char *app_permission, *user_permission;
	/* What is to be said of signing in with a password there, with its dates; NULL: nothing. */
	const char *password_ends;
	int64_t password_end_s;     /* the first of these dates, seconds since 1970; 0: none */
	uint64_t token_left_us_min; /* the server refuses tokens with less life left */
};

const struct provider_defaults *provider_defaults(enum provider_kind kind);
/* What a server is of which nothing is known: its lane is gone from the configuration. */
enum provider_kind provider_unknown(void);
/* That of a mailbox in Microsoft 365, if nothing else is said. */
enum provider_kind provider_usual(void);

/* Whether a mail exchanger of this name can only be Microsoft's, in any cloud. */
NODISCARD bool provider_is_exchanger(struct sv host);

/*
 * An app password as Microsoft shows it: 16 lower-case letters, pasted in groups of four with spaces.
 * True when `password` has that shape with spaces; *out then gets it without them. (field.md: pasted
 * spaces are the most common reason that a right password is refused.)
 */
NODISCARD bool provider_app_password_unspace(struct sv password, char out[17]);
