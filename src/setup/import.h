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
	struct sv file; /* a name without a folder */
	struct secret *value;
	bool is_user; /* of an inbound user: only a verifier is kept */
};

/* A server to send through: a mailbox where `address` is given, else a connector. */
struct setup_account {
	struct sv name; /* for routes: the address, or the connector's name */
	struct sv provider;
	struct sv address, tenant, login;
	struct sv host;                 /* empty: the provider's */
	uint16_t port;                  /* 0: the provider's */
	struct sv tls;                  /* "required", "implicit", "none" */
	struct sv secret_file, command; /* the password; both empty: none */
	bool app;                       /* the tenant's app signs in */
};

struct setup_rule {
	struct sv sender;  /* empty: any */
	struct sv through; /* empty: the sender's own mailbox */
};

struct setup_user {
	struct sv name, secret_file;
	const struct sv *senders;
	size_t sender_count;
};

struct setup_app {
	struct sv tenant, id, client_id; /* empty tenant: no app */
	struct sv secret_file;
	struct sv certificate, key; /* paths */
};

enum {
	SETUP_IMPORT_MAX = 500, /* of each list */
	SETUP_IMPORT_FILE_MAX = 4 * 1024 * 1024,
	SETUP_IMPORT_TEXT_MAX = 16 * 1024 * 1024,
};

struct setup_import {
	struct arena arena;
	struct sv hostname, qualify;
	struct sv listen;           /* "127.0.0.1:25" */
	struct sv certificate, key; /* of the listener */
	bool auth_required;
	struct sv networks[SETUP_IMPORT_MAX];
	struct setup_account accounts[SETUP_IMPORT_MAX];
	struct setup_rule rules[SETUP_IMPORT_MAX];
	struct setup_user users[SETUP_IMPORT_MAX];
	struct setup_secret secrets[SETUP_IMPORT_MAX * 2];
	struct sv notes[SETUP_IMPORT_MAX]; /* what could not be carried over: printable sentences */
	size_t network_count, account_count, rule_count, user_count, secret_count, note_count;
	struct setup_app app;
};

struct setup_import_source {
	struct sv text;
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
