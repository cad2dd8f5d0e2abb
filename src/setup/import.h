/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/secret.h"

#include <stdint.h>

/*
 * What another relay's configuration says, in our words. The readers look at text only; other files that
 * it names come through a callback. Passwords go straight into secrets, each with the name of the file
 * that is to hold it: nothing else here has them.
 */
struct setup_secret {
	struct sv file; /* a name without a folder; in the vault: the name there */
	struct secret *value;
	bool is_user;   /* of an inbound user: only a verifier is kept */
	bool is_script; /* prints the password */
	bool in_vault;  /* as vault:NAME where there is a vault; else a file */
};

enum {
	SETUP_IMPORT_MAX = 500, /* of each list */
	SETUP_IMPORT_RULES_MAX = 2000,
	SETUP_IMPORT_WAYS_MAX = 4,
	SETUP_IMPORT_FILE_MAX = 4 * 1024 * 1024,
	SETUP_IMPORT_TEXT_MAX = 16 * 1024 * 1024,
};

/* A server to send through: a mailbox where `address` is given, else a connector. */
struct setup_account {
	struct sv name; /* for routes: the address, or the connector's name */
	struct sv provider;
	struct sv address, tenant, login;
	struct sv host;                         /* empty: the provider's */
	uint16_t port;                          /* 0: the provider's */
	struct sv tls;                          /* "required", "implicit", "none" */
	struct sv secret_file, command, script; /* the password; all empty: none */
	struct sv auth;                         /* of a mailbox: "password", "app", "user" */
	struct sv ca_file, certificate, key, source;
	uint32_t connections, per_minute, per_message; /* 0: the provider's */
};

struct setup_rule {
	struct sv sender, recipient, header; /* empty: any */
	struct sv through[SETUP_IMPORT_WAYS_MAX];
	size_t ways;
	struct sv rewrite_from; /* empty: as it is */
};

struct setup_listener {
	struct sv address; /* "127.0.0.1:25" */
	struct sv tls;     /* "starttls", "implicit"; empty: none */
	struct sv certificate, key;
	struct sv auth; /* "optional", "required"; empty: off */
	bool plaintext_auth;
	const struct sv *networks; /* without a password */
	size_t network_count;
	uint64_t message_kb; /* 0: the default */
	uint32_t recipients, per_peer;
};

struct setup_user {
	struct sv name, secret_file;
	const struct sv *senders;
	size_t sender_count;
};

struct setup_app {
	struct sv tenant, id, cloud; /* cloud empty: global */
	struct sv client_id;         /* empty: the tenant has no app */
	struct sv domain;            /* its recipients are internal; empty: not known */
	struct sv login_url;         /* empty: the cloud's */
	struct sv secret_file;
	struct sv certificate, key; /* paths */
};

struct setup_alias {
	struct sv name, address;
};

/* What `postern login` would have left in the vault. */
struct setup_login {
	struct sv tenant, user, client_id;
	struct secret *refresh_token;
	bool confidential;
};

enum setup_note_kind {
	SETUP_NOTE_LOST,      /* not carried over */
	SETUP_NOTE_DIFFERENT, /* carried over, but not the same, or something is left to do */
	SETUP_NOTE_IDLE,      /* has no meaning here */
	SETUP_NOTE_KINDS,
};

struct setup_note {
	enum setup_note_kind kind;
	struct sv text; /* one printable sentence without its full stop */
};

struct setup_import {
	struct arena arena;
	struct sv hostname, qualify;
	struct sv retry_first, retry_ceiling, retry_expire, delay_notice; /* "5m"; empty: default */
	struct setup_listener listeners[SETUP_IMPORT_MAX];
	struct setup_account accounts[SETUP_IMPORT_MAX];
	struct setup_rule rules[SETUP_IMPORT_RULES_MAX];
	struct setup_user users[SETUP_IMPORT_MAX];
	struct setup_secret secrets[SETUP_IMPORT_MAX * 2];
	struct setup_app apps[SETUP_IMPORT_MAX];
	struct setup_alias aliases[SETUP_IMPORT_MAX];
	struct setup_login logins[SETUP_IMPORT_MAX];
	struct setup_note notes[SETUP_IMPORT_RULES_MAX];
	size_t listener_count, account_count, rule_count, user_count, secret_count, app_count,
		alias_count, login_count, note_count;
	size_t notes_beyond; /* that found no room */
	bool vault;          /* there is one */
	bool sealed;         /* the secrets that may lie in it do so */
};

struct setup_import_source {
	struct sv text;
	struct sv file; /* its name, for notes: "main.cf" */
	/* Reads a file that the text names; 0 or negative. */
	int (*read)(void *arg, struct sv path, struct buf *out);
	void *arg;
	struct sv base;   /* the folder of the text: relative paths begin there */
	struct sv sender; /* who sends, where the text does not say; empty: not known */
};

typedef int setup_import_fn(
	struct setup_import *im, const struct setup_import_source *from, struct err *err);
/* 0, RC_PARSE or RC_LIMIT with a sentence. *im is zeroed before, and to be freed in any case. */
setup_import_fn setup_import_postfix;    /* main.cf */
setup_import_fn setup_import_smtp2graph; /* config.yml */
setup_import_fn setup_import_msmtp;      /* msmtprc */
void setup_import_deinit(struct setup_import *im);

/* postern.yaml; the secrets lie in `folder`, a path of plain characters. RC_LIMIT. */
NODISCARD int setup_import_config(
	const struct setup_import *im, struct sv origin, struct sv folder, struct buf *out);
/* For the command: something that is different from before. */
void setup_import_say(struct setup_import *im, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The words above a list of notes. */
const char *setup_note_title(enum setup_note_kind kind);
